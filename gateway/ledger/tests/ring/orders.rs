//! Orders that hold the claims which the keeper appends, under one budget and one limit per user.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sluice_domain::redemption::RedemptionStatus;
use sluice_ledger::audit_facts::AuditFacts;
use sluice_ledger::conformance::{redeem, sample};
use sluice_ledger::redemptions::{Redemptions, TransitionOutcome};
use sluice_ledger::{CqlLedger, LedgerError};

use crate::keeper::{COUPON, Keeper, ROWS};

/// Value of each use.
const VALUE: i64 = 5;
/// Enough for all orders of the story.
const BUDGET: i64 = 1_000_000;
/// Every so many claims are used.
const EVERY: u32 = 4;
/// Rest while there is no new claim, and after a refusal.
const REST: Duration = Duration::from_millis(50);

pub(crate) struct Orders {
    ledger: Arc<CqlLedger>,
    held: AtomicU64,
}

// === impl Orders ===

impl Orders {
    pub(crate) const fn new(ledger: Arc<CqlLedger>) -> Self {
        Self {
            ledger,
            held: AtomicU64::new(0),
        }
    }

    /// Holds acknowledged.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Holds a claim for one order after the other, each until it is told what became of it.
    pub(crate) async fn hold_until(self: Arc<Self>, keeper: Arc<Keeper>, stop: Arc<AtomicBool>) {
        for order in 0.. {
            let claim = order * EVERY;
            while u64::from(claim / ROWS) >= keeper.appended() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(REST).await;
            }
            let used = redeem::reserved(sample::claim_id(COUPON, claim), VALUE);
            let hold = redeem::hold(order, claim, "hold", vec![redeem::budgeted(used, BUDGET)]);
            loop {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match self.ledger.apply(&hold).await {
                    // The second: an attempt whose answer was lost.
                    Ok(TransitionOutcome::Done | TransitionOutcome::Repeated(_)) => break,
                    Ok(other) => panic!("order {order}: {other:?}"),
                    Err(LedgerError::Unavailable { .. } | LedgerError::Unknown { .. }) => {
                        tokio::time::sleep(REST).await;
                    }
                    Err(error) => panic!("order {order}: {error}"),
                }
            }
            self.held.fetch_add(1, Ordering::Release);
        }
    }

    /// Every acknowledged hold is there, and the budget counts each once.
    pub(crate) async fn check(&self, ledger: &CqlLedger) {
        let acknowledged = self.held();
        let all = u32::try_from(acknowledged).unwrap();
        for order in 0..all {
            let id = redeem::redemption_id(order);
            let found = ledger.redemption(id).await.unwrap();
            let found = found.unwrap_or_else(|| panic!("order {order} was acknowledged"));
            assert_eq!(found.status, RedemptionStatus::Held);
        }
        let facts = ledger.usage_facts(COUPON).await.unwrap();
        assert_eq!(facts.kept, facts.counted);
        let uses = facts.kept.usage.uses;
        assert!(
            uses == acknowledged || uses == acknowledged + 1,
            "{acknowledged} holds were acknowledged, {uses} uses are counted"
        );
        assert_eq!(facts.kept.usage.value, i64::try_from(uses).unwrap() * VALUE);
        let orphans = ledger.redemption_orphans().await.unwrap();
        assert_eq!(orphans.uses_without_redemption.count, 0);
    }
}
