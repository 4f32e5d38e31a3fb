//! Granting to many users: each by the claim engine, a few at a time, until all have an answer.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use sluice_claim::outcome::{AttemptOutcome, ClaimOutcome, Refusal, Unavailable};
use sluice_domain::coupon::Coupon;
use sluice_domain::eligibility::refusal_reason;
use sluice_domain::id::{ClaimId, UserId};
use sluice_domain::reason::{Reason, ReasonCode};
use tokio::time::Instant;

use crate::app::App;
use crate::error::Answer;

/// Users whose grants are under way at a time: they share script calls and ledger writes, and leave
/// room in the lane's queue for shoppers.
const AT_ONCE: usize = 32;
/// Pause before a user's grant is asked for again: a coupon that is warming up takes some.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct GrantItem {
    user_id: UserId,
    outcome: GrantOutcome,
    /// The claim; null where there is none, or none that is known of.
    claim_id: Option<ClaimId>,
    /// Why not, all of it.
    reasons: Vec<Reason>,
}

/// What became of one user, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrantOutcome {
    /// They have the claim now.
    Granted,
    /// They had it before.
    Replayed,
    /// They may not have it.
    Refused,
    /// The machine's fault: the same call again tells, and grants nobody twice.
    Failed,
}

/// What became of all of them.
#[derive(Debug, Serialize)]
pub(crate) struct Grants {
    granted: usize,
    replayed: usize,
    refused: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<GrantItem>,
}

/// Grants a published coupon to these users, in their order.
///
/// # Errors
/// When the ledger does not answer.
pub(crate) async fn run(
    app: &App,
    coupon: &Coupon,
    users: &[UserId],
    key: &str,
) -> Answer<Vec<GrantItem>> {
    let deadline = Instant::now() + app.settings.grants_timeout;
    let mut items = Vec::with_capacity(users.len());
    for some in users.chunks(AT_ONCE) {
        let grants = some
            .iter()
            .map(|user| grant_one(app, coupon, *user, key, deadline));
        for item in join_all(grants).await {
            items.push(item?);
        }
    }
    Ok(items)
}

/// Asks until there is an answer or the time is over. Asking again is harmless: the claim's id is
/// the same each time.
async fn grant_one(
    app: &App,
    coupon: &Coupon,
    user: UserId,
    key: &str,
    deadline: Instant,
) -> Answer<GrantItem> {
    // An earlier attempt of this call that may have granted.
    let mut attempted = None;
    loop {
        let fault = match app.granter.grant(coupon.id, user, key).await {
            ClaimOutcome::Granted(view) => {
                return Ok(item(user, GrantOutcome::Granted, view.claim_id));
            }
            ClaimOutcome::Replayed(view) if attempted == Some(view.claim_id) => {
                return Ok(item(user, GrantOutcome::Granted, view.claim_id));
            }
            ClaimOutcome::Replayed(view) => {
                return replayed(app, coupon, user, view.claim_id).await;
            }
            ClaimOutcome::Refused(refusal) => return Ok(refused(coupon, user, &refusal)),
            ClaimOutcome::Pending(claim) => {
                attempted = Some(claim);
                Unavailable::unknown(0)
            }
            ClaimOutcome::Unavailable(fault) => fault,
        };
        if Instant::now() + PAUSE >= deadline {
            return Ok(failed(coupon, user, attempted, fault));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A claim that was there before: it may have been taken back since, and is not given a second time.
async fn replayed(app: &App, coupon: &Coupon, user: UserId, claim: ClaimId) -> Answer<GrantItem> {
    let row = app.ledger.claim(claim).await?;
    if !row.is_some_and(|row| row.revoked) {
        return Ok(item(user, GrantOutcome::Replayed, claim));
    }
    let taken_back = Reason {
        code: ReasonCode::Archived,
        condition: "claim".into(),
        expected: "a claim that was not taken back".to_owned(),
        actual: "taken back".to_owned(),
        gap: None,
        fix: Some("Grant another coupon, or this one under another Idempotency-Key where it allows several claims per user.".to_owned()),
        terms_version: coupon.version,
    };
    Ok(GrantItem {
        reasons: vec![taken_back],
        ..item(user, GrantOutcome::Refused, claim)
    })
}

fn refused(coupon: &Coupon, user: UserId, refusal: &Refusal) -> GrantItem {
    let reasons = if refusal.reasons.is_empty() {
        vec![refusal_reason(
            refusal.code,
            &coupon.spec.limits,
            coupon.version,
        )]
    } else {
        refusal.reasons.clone()
    };
    GrantItem {
        user_id: user,
        outcome: GrantOutcome::Refused,
        claim_id: None,
        reasons,
    }
}

fn failed(
    coupon: &Coupon,
    user: UserId,
    claim_id: Option<ClaimId>,
    fault: Unavailable,
) -> GrantItem {
    let actual = match fault.outcome {
        AttemptOutcome::NotApplied => "not carried out",
        AttemptOutcome::Unknown => "not known whether it was carried out",
    };
    let reason = Reason {
        code: fault.code,
        condition: "service".into(),
        expected: "an answer in time".to_owned(),
        actual: actual.to_owned(),
        gap: None,
        fix: Some("Repeat the call with the same Idempotency-Key.".to_owned()),
        terms_version: coupon.version,
    };
    GrantItem {
        user_id: user,
        outcome: GrantOutcome::Failed,
        claim_id,
        reasons: vec![reason],
    }
}

fn item(user: UserId, outcome: GrantOutcome, claim: ClaimId) -> GrantItem {
    GrantItem {
        user_id: user,
        outcome,
        claim_id: Some(claim),
        reasons: Vec::new(),
    }
}

// === impl Grants ===

impl Grants {
    /// Counts the items.
    pub(crate) fn of(items: Vec<GrantItem>) -> Self {
        let count = |outcome| items.iter().filter(|item| item.outcome == outcome).count();
        Self {
            granted: count(GrantOutcome::Granted),
            replayed: count(GrantOutcome::Replayed),
            refused: count(GrantOutcome::Refused),
            failed: count(GrantOutcome::Failed),
            items,
        }
    }

    /// The counts alone.
    pub(crate) fn counts(&self) -> Self {
        Self {
            items: Vec::new(),
            ..*self
        }
    }

    /// Whether a repeat of the call has something left to do: what was refused may be granted later.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.failed > 0 || self.refused > 0
    }
}
