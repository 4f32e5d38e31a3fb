//! Reminds shoppers of claims that expire soon.
//!
//! Cadence: the given interval, and at once again while a round stops at its bound. A rerun is
//! harmless: a reminder and the cursor of its version are written in one step, the cursor never goes
//! back, and the same reminder has the same id.
//!
//! What is due is found without looking through the ledger. Within a coupon tickets are given out in
//! the order of grants, and the claims of one version expire in that order. So per version and lead a
//! cursor stands at the last ticket that was dealt with, and a round reads on from there until the
//! first claim that is not due; until that one's instant the version needs no look at all.
//!
//! A claim that an order holds, that is used up or taken back at the instant at which its reminder is
//! due gets none, also if it is free again later: it was in its owner's hands.

mod first;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sluice_domain::claim::ClaimRow;
use sluice_domain::coupon::Lifecycle;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, Ticket};
use sluice_domain::notification::{Notification, NotificationKind};
use sluice_domain::redemption::ClaimUse;
use sluice_domain::reminder::{self, Reminder};
use sluice_domain::time::Timestamp;
use sluice_ledger::claims::ClaimsPage;
use sluice_ledger::notifications::ReminderKey;
use sluice_ledger::{Ledger, LedgerError};

use crate::clock::Clock;
use crate::metrics::{
    REMINDERS_BACKLOG, REMINDERS_LAG_SECONDS, REMINDERS_SENT_TOTAL, WORKER_HEARTBEAT_SECONDS,
};
use plan::{Plan, PlannedVersion};

/// Claims read in one step.
const PAGE_CLAIMS: usize = 500;
/// Claims read in one round, at most.
const ROUND_CLAIMS_MAX: usize = 20_000;
/// Old messages removed in one round, at most.
const ROUND_FORGOTTEN_MAX: usize = 1_000;

/// How reminders are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReminderSettings {
    /// How long before the end of a claim; one reminder for each. None: there are no reminders.
    pub before: Vec<Duration>,
    /// How often to look.
    pub every: Duration,
    /// How long after the end of its claim a message is kept.
    pub retention: Duration,
}

/// What one round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Reminders that were written.
    pub sent: u64,
    /// How late the latest of them was, in milliseconds.
    pub lag_ms: i64,
    /// Versions whose due claims were not all dealt with, because the round stopped at its bound.
    pub backlog: u64,
}

/// The worker's state: a memory of what needs no look, and nothing that a restart would miss.
pub struct Reminders {
    ledger: Arc<dyn Ledger>,
    keys: HashKeys,
    settings: ReminderSettings,
    plans: BTreeMap<CouponId, Plan>,
    /// Claims that the round under way may still read.
    left: usize,
}

/// What one page of a version's claims came to.
struct Dealt {
    passed: Option<Ticket>,
    notifications: Vec<Notification>,
    lag_ms: i64,
    /// Where it stopped at one that is not due: when that is.
    next: Option<Timestamp>,
}

/// Reminds until the task is dropped.
pub async fn run(mut reminders: Reminders, clock: Arc<dyn Clock>) {
    let heartbeat = metrics::gauge!(WORKER_HEARTBEAT_SECONDS, "worker" => "reminders");
    let sent = metrics::counter!(REMINDERS_SENT_TOTAL);
    let lag = metrics::gauge!(REMINDERS_LAG_SECONDS);
    let backlog = metrics::gauge!(REMINDERS_BACKLOG);
    sent.increment(0);
    let every = reminders.settings.every;
    let mut failing = false;
    loop {
        let round = reminders.round(clock.wall()).await;
        heartbeat.set(Duration::from_millis(clock.monotonic_ms()).as_secs_f64());
        match round {
            Ok(round) => {
                failing = false;
                sent.increment(round.sent);
                let late = u64::try_from(round.lag_ms).unwrap_or(0);
                lag.set(Duration::from_millis(late).as_secs_f64());
                backlog.set(f64::from(u32::try_from(round.backlog).unwrap_or(u32::MAX)));
                if round.backlog > 0 {
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            // Said once per outage: the next round goes on from the cursors.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "reminders cannot be given now");
            }
            Err(_still) => {}
        }
        tokio::time::sleep(every).await;
    }
}

// === impl Reminders ===

impl Reminders {
    /// Reminders over this ledger. `keys` are the ledger's own.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, keys: HashKeys, settings: ReminderSettings) -> Self {
        Self {
            ledger,
            keys,
            settings,
            plans: BTreeMap::new(),
            left: 0,
        }
    }

    /// One round at `now`: writes what is due, removes what is old.
    ///
    /// # Errors
    /// When the ledger does not answer. What was written before stays so.
    pub async fn round(&mut self, now: Timestamp) -> Result<Round, LedgerError> {
        let kept = i64::try_from(self.settings.retention.as_millis()).unwrap_or(i64::MAX);
        self.ledger
            .forget_notifications(now.plus_millis(-kept), ROUND_FORGOTTEN_MAX)
            .await?;
        let mut round = Round::default();
        if self.settings.before.is_empty() {
            return Ok(round);
        }
        self.left = ROUND_CLAIMS_MAX;
        let mut before = std::mem::take(&mut self.plans);
        for lane in self.ledger.identity().lanes.iter() {
            for (coupon, _retired) in self.ledger.published_coupons(lane).await? {
                let plan = self.plan(coupon, before.remove(&coupon), now).await?;
                let Some(mut plan) = plan else { continue };
                for version in &mut plan.versions {
                    self.version(coupon, version, now, &mut round).await?;
                }
                self.plans.insert(coupon, plan);
            }
        }
        Ok(round)
    }

    /// What there is to look at of a coupon; `None` for one that was archived: its claims cannot be
    /// used, whenever they expire.
    async fn plan(
        &self,
        coupon: CouponId,
        before: Option<Plan>,
        now: Timestamp,
    ) -> Result<Option<Plan>, LedgerError> {
        let Some(document) = self.ledger.coupon(coupon).await? else {
            return Ok(None);
        };
        if document.lifecycle == Lifecycle::Archived {
            return Ok(None);
        }
        match before {
            Some(plan) if plan.latest == document.version => Ok(Some(plan)),
            before => {
                let versions = self.ledger.versions(coupon).await?;
                let leads = self.settings.before.iter();
                let leads: Vec<u64> = leads
                    .map(|lead| u64::try_from(lead.as_millis()).unwrap_or(u64::MAX))
                    .collect();
                Ok(Some(Plan::of(
                    document.version,
                    &versions,
                    &leads,
                    before,
                    now,
                )))
            }
        }
    }

    /// Goes on through the claims of one version, for one lead.
    async fn version(
        &mut self,
        coupon: CouponId,
        version: &mut PlannedVersion,
        now: Timestamp,
        round: &mut Round,
    ) -> Result<(), LedgerError> {
        if version.next_look > now {
            return Ok(());
        }
        let key = ReminderKey {
            coupon,
            version: version.version,
            lead_ms: version.lead_ms,
        };
        let mut after = match self.ledger.reminder_cursor(key).await? {
            Some(ticket) => ticket,
            None => first::before_version(&*self.ledger, coupon, version.version).await?,
        };
        loop {
            if self.left == 0 {
                round.backlog += 1;
                return Ok(());
            }
            let page = ClaimsPage {
                after: Some(after),
                limit: PAGE_CLAIMS.min(self.left),
            };
            let rows = self.ledger.claims_of_coupon(coupon, page).await?;
            self.left -= rows.len();
            let is_last = rows.len() < page.limit;
            let of_version = rows.partition_point(|row| row.version <= version.version);
            let is_last = is_last || of_version < rows.len();
            let dealt = self.deal(version, &rows[..of_version], now).await?;
            if let Some(passed) = dealt.passed {
                let sent = self.ledger.remind(key, passed, &dealt.notifications);
                let sent = sent.await?;
                round.sent += sent;
                if sent > 0 {
                    round.lag_ms = round.lag_ms.max(dealt.lag_ms);
                }
                after = passed;
            }
            if let Some(next) = dealt.next {
                version.next_look = next;
                return Ok(());
            }
            if is_last {
                version.rest(now);
                return Ok(());
            }
        }
    }

    /// Decides about each of these claims in order, up to the first that is not due.
    async fn deal(
        &self,
        version: &PlannedVersion,
        rows: &[ClaimRow],
        now: Timestamp,
    ) -> Result<Dealt, LedgerError> {
        // Uses are read of those alone that may be reminded of.
        let open = rows
            .iter()
            .filter(|row| matches!(self.decided(version, row, &[], now), Reminder::Remind(_)));
        let ids: Vec<ClaimId> = open.map(|row| row.claim_id).collect();
        let mut uses: HashMap<ClaimId, Vec<ClaimUse>> = HashMap::new();
        if !ids.is_empty() {
            for one in self.ledger.claim_uses(&ids).await? {
                uses.entry(one.claim_id).or_default().push(one);
            }
        }
        let mut dealt = Dealt {
            passed: None,
            notifications: Vec::new(),
            lag_ms: 0,
            next: None,
        };
        for row in rows {
            let of_claim = uses.get(&row.claim_id).map_or(&[][..], Vec::as_slice);
            match self.decided(version, row, of_claim, now) {
                Reminder::NotYet(due_at) => {
                    dealt.next = Some(due_at);
                    break;
                }
                Reminder::Pass => {}
                Reminder::Remind(expires_at) => {
                    let due_at =
                        reminder::due_at(&version.validity, row.granted_at, version.lead_ms);
                    let late =
                        due_at.map_or(0, |due_at| now.millis_since(due_at.max(row.granted_at)));
                    dealt.lag_ms = dealt.lag_ms.max(late);
                    dealt
                        .notifications
                        .push(self.notification(version, row, expires_at, now));
                }
            }
            dealt.passed = Some(row.ticket);
        }
        Ok(dealt)
    }

    fn decided(
        &self,
        version: &PlannedVersion,
        row: &ClaimRow,
        uses: &[ClaimUse],
        now: Timestamp,
    ) -> Reminder {
        // Rows before the version's first are of an earlier one, and not this walk's.
        if row.version != version.version {
            return Reminder::Pass;
        }
        let (validity, most) = (&version.validity, version.uses_per_claim);
        reminder::decide(row, validity, most, uses, version.lead_ms, now)
    }

    fn notification(
        &self,
        version: &PlannedVersion,
        row: &ClaimRow,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Notification {
        Notification {
            id: self.keys.notification_id(row.claim_id, version.lead_ms),
            user: row.user,
            kind: NotificationKind::ClaimExpiring,
            claim_id: row.claim_id,
            version: row.version,
            expires_at,
            lead_ms: version.lead_ms,
            at: now,
            read_at: None,
        }
    }
}

impl std::fmt::Debug for Reminders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reminders")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
