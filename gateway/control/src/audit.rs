//! The audit: what ledger and hot state hold, checked against the invariants.
//!
//! The same reader serves `GET …/{id}/audit`, `sluice audit` and the storm. It reads plain facts
//! ([`reading`]), from which pure functions make figures ([`figures`]) and checks ([`checks`],
//! [`chain`]). On a live system the facts of two stores are never of one instant: so all of them are
//! read again until two rounds agree. Every figure compared only ever rises, or belongs to a lease
//! whose numbers do, so what was equal twice did not move in between, and the first round's reading
//! of hot state is of the same instant as the ledger's. Where they do not agree within the bound,
//! the report names what moved, and what depends on it is unchecked rather than guessed.
//! Redemptions are in the ledger alone, and read in the same spirit ([`checkout`]).

pub(crate) mod chain;
pub(crate) mod checkout;
pub(crate) mod checks;
pub(crate) mod figures;
pub(crate) mod limits;
pub(crate) mod reading;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::CouponId;
use sluice_domain::invariant::{self, Check, Verdict};
use sluice_hotstate::LaneStore;
use sluice_ledger::{Ledger, LedgerError};

use checks::Evidence;
use figures::Figures;
use reading::{Claims, Reading};

pub use figures::CouponReport;

/// Coupons per page of a whole audit.
const COUPONS_PAGE: usize = 500;

/// The stores to be read.
pub struct AuditSource {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Hot state; `None` where it is stopped: what depends on it is unchecked.
    pub lanes_store: Option<Arc<dyn LaneStore>>,
}

/// How often to read before saying what moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// At most so many rounds, from 3.
    pub most: u32,
    /// The pause between two.
    pub pause: Duration,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// In one word.
    pub verdict: Verdict,
    /// The figures of each coupon.
    pub coupons: Vec<CouponReport>,
    /// Every check, those of several coupons under one number together.
    pub checks: Vec<Check>,
}

/// Audits one coupon. An unknown one gives a report without coupons.
///
/// # Errors
/// When the ledger cannot be read. Hot state that cannot be read makes checks unchecked.
pub async fn coupon(
    source: &AuditSource,
    id: CouponId,
    rounds: Rounds,
) -> Result<AuditReport, LedgerError> {
    let mut report = Collected::default();
    if report.add(source, id, rounds).await? {
        let ledger = source.ledger.as_ref();
        let checks = checkout::read_and_check(ledger, Some(id), rounds).await?;
        checks.into_iter().for_each(|check| report.merge(check));
    }
    Ok(report.finish())
}

/// Audits everything: all coupons, all redemptions, the ledger's own consistency and the audit log.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn everything(source: &AuditSource, rounds: Rounds) -> Result<AuditReport, LedgerError> {
    let mut report = Collected::default();
    let mut after = None;
    loop {
        let ids = source.ledger.coupon_ids(after, COUPONS_PAGE).await?;
        let Some(last) = ids.last().copied() else {
            break;
        };
        for id in ids {
            report.add(source, id, rounds).await?;
        }
        after = Some(last);
    }
    let ledger = source.ledger.as_ref();
    let checks = checkout::read_and_check(ledger, None, rounds).await?;
    checks.into_iter().for_each(|check| report.merge(check));
    let problems = source.ledger.integrity_problems().await?;
    report.merge(checks::integrity(&problems));
    report.merge(chain::read_and_check(ledger).await?);
    Ok(report.finish())
}

/// A report being put together.
#[derive(Debug, Default)]
struct Collected {
    coupons: Vec<CouponReport>,
    checks: Vec<Check>,
}

impl Collected {
    /// Adds a coupon's figures and checks; false where there is no such coupon.
    async fn add(
        &mut self,
        source: &AuditSource,
        id: CouponId,
        rounds: Rounds,
    ) -> Result<bool, LedgerError> {
        let Some(quiet) = read_until_quiet(source, id, rounds).await? else {
            return Ok(false);
        };
        let keys = HashKeys::derive(&source.ledger.identity().hash_key);
        let evidence = Evidence {
            reading: &quiet.reading,
            figures: &quiet.figures,
            moved: &quiet.moved,
            claims: quiet.claims.as_ref(),
            widest: limits::widest(source.ledger.as_ref(), &quiet.reading.ledger).await?,
            keys: &keys,
        };
        for check in checks::of_coupon(&evidence) {
            self.merge(check);
        }
        self.coupons
            .push(CouponReport::new(&quiet.figures, quiet.moved));
        Ok(true)
    }

    /// Adds a check to the one with the same number and name.
    fn merge(&mut self, check: Check) {
        let known = self
            .checks
            .iter_mut()
            .find(|known| known.invariant == check.invariant && known.name == check.name);
        match known {
            Some(known) => checks::merge(known, check),
            None => self.checks.push(check),
        }
    }

    fn finish(mut self) -> AuditReport {
        self.checks.sort_by_key(|check| check.invariant);
        AuditReport {
            verdict: invariant::verdict(&self.checks),
            coupons: self.coupons,
            checks: self.checks,
        }
    }
}

/// What was read once two rounds agreed, or the last round.
struct Quiet {
    reading: Reading,
    figures: Figures,
    /// What still moved.
    moved: Vec<&'static str>,
    /// Read between two rounds that agree; else `None`.
    claims: Option<Claims>,
}

/// Reads until two rounds agree. The claims, which are many, are read once between two such rounds.
async fn read_until_quiet(
    source: &AuditSource,
    id: CouponId,
    rounds: Rounds,
) -> Result<Option<Quiet>, LedgerError> {
    let Some(mut reading) = reading::read(source, id).await? else {
        return Ok(None);
    };
    let mut figures = Figures::of(&reading);
    let mut claims = None;
    let mut moved = Vec::new();
    for _round in 1..rounds.most.max(3) {
        if moved.is_empty() {
            claims = reading::read_claims(source, &reading).await?;
        }
        tokio::time::sleep(rounds.pause).await;
        let Some(next) = reading::read(source, id).await? else {
            return Ok(None);
        };
        let next_figures = Figures::of(&next);
        moved = figures.moved(&next_figures);
        (reading, figures) = (next, next_figures);
        if moved.is_empty() {
            break;
        }
        claims = None;
    }
    Ok(Some(Quiet {
        reading,
        figures,
        moved,
        claims,
    }))
}
