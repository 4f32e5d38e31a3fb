//! The audit of redemptions, on a real walk and on files that were tampered with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluice_control::audit::{self, AuditReport, AuditSource, Rounds};
use sluice_domain::id::RedemptionId;
use sluice_domain::invariant::CheckStatus;
use sluice_domain::reason::ReasonCode;
use sluice_ledger::conformance::{sample::NOW, tamper};
use sluice_ledger::{Ledger, SqliteLedger};
use tempfile::TempDir;

use crate::shop::{COUPON, Shop, claim};

const ROUNDS: Rounds = Rounds {
    most: 3,
    pause: Duration::ZERO,
};

/// A file with one redemption of every status, whose uses leave too little of the budget for
/// another.
struct Walk {
    folder: TempDir,
    /// Of orders o-0 to o-4: partly refunded, refunded, held, cancelled, expired.
    ids: Vec<RedemptionId>,
}

impl Walk {
    async fn take() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop::open(&folder.path().join("ledger.db")).await;
        let expired = shop.hold("o-4", 4, NOW).await.unwrap();
        let later = NOW.plus_millis(3_600_000);
        assert_eq!(shop.sweep(later).await, 1);
        let mut ids = Vec::new();
        for (order, user) in [("o-0", 0), ("o-1", 1)] {
            let id = shop.hold(order, user, later).await.unwrap();
            shop.confirm(id, later).await;
            shop.refund(id, "r-1", Some(1), later).await;
            ids.push(id);
        }
        shop.refund(ids[1], "r-2", None, later).await;
        let cancelled = shop.hold("o-3", 3, later).await.unwrap();
        shop.cancel(cancelled, later).await;
        let held = shop.hold("o-2", 2, later).await.unwrap();
        let refused = shop.hold("o-5", 5, later).await;
        assert_eq!(refused, Err(ReasonCode::BudgetExhausted));
        shop.ledger.close().await;
        ids.extend([held, cancelled, expired]);
        Self { folder, ids }
    }

    /// The id of an order's redemption.
    fn order(&self, number: usize) -> String {
        self.ids[number].to_string()
    }

    /// A copy of the file in a folder of its own.
    fn copy(&self, into: &Path) -> PathBuf {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), into.join(entry.file_name())).unwrap();
        }
        into.join("ledger.db")
    }
}

/// The whole audit of a file, hot state apart.
async fn audit(path: &Path) -> AuditReport {
    let ledger = SqliteLedger::open_read_only(path).unwrap();
    let source = AuditSource {
        ledger: Arc::new(ledger) as Arc<dyn Ledger>,
        lanes_store: None,
    };
    audit::everything(&source, ROUNDS).await.unwrap()
}

/// All that the violated checks of an invariant say.
fn said(report: &AuditReport, invariant: u8) -> String {
    let violated = report
        .checks
        .iter()
        .filter(|check| check.invariant == invariant && check.status == CheckStatus::Violated);
    violated
        .flat_map(|check| &check.violations)
        .map(|line| format!("{line}\n"))
        .collect()
}

#[tokio::test]
async fn a_real_walk_is_exact_and_every_check_looked_at_something() {
    let walk = Walk::take().await;
    let path = walk.folder.path().join("ledger.db");
    let whole = audit(&path).await;
    let source = AuditSource {
        ledger: Arc::new(SqliteLedger::open_read_only(&path).unwrap()) as Arc<dyn Ledger>,
        lanes_store: None,
    };
    let alone = audit::coupon(&source, COUPON, ROUNDS).await.unwrap();
    for report in [&whole, &alone] {
        let of_checkout = |invariant| [9, 10, 13].contains(&invariant);
        let checks = report
            .checks
            .iter()
            .filter(|check| of_checkout(check.invariant));
        assert!(checks.clone().count() >= 10, "{report:?}");
        for check in checks {
            assert_eq!(check.status, CheckStatus::Held, "{check:?}");
            assert!(check.examined > 0, "{check:?}");
        }
    }
}

/// What is done, which invariant sees it, and what it names.
type Case = (&'static str, u8, String);

/// What redemptions went through, and the uses that they have.
fn paths_and_uses(walk: &Walk) -> Vec<Case> {
    vec![
        (
            "DELETE FROM redemption_events WHERE to_status = 1 AND redemption IN
               (SELECT id FROM redemptions WHERE order_id = 'o-0')",
            9,
            walk.order(0),
        ),
        (
            "UPDATE redemption_events SET to_status = 2 WHERE to_status = 3",
            9,
            walk.order(4),
        ),
        (
            "UPDATE redemption_events SET at = 0 WHERE to_status = 3",
            9,
            walk.order(4),
        ),
        (
            "DELETE FROM claim_uses WHERE order_id = 'o-0'",
            9,
            walk.order(0),
        ),
        (
            "UPDATE claim_uses SET value = 499 WHERE order_id = 'o-2'",
            9,
            walk.order(2),
        ),
        (
            "UPDATE claim_uses SET held_until = NULL WHERE order_id = 'o-2'",
            9,
            walk.order(2),
        ),
        (
            "UPDATE claim_uses SET use_number = 2 WHERE order_id = 'o-2'",
            9,
            claim(2).to_string(),
        ),
        (
            "UPDATE claim_uses SET period = NULL WHERE order_id = 'o-2'",
            9,
            walk.order(2),
        ),
        (
            "DROP INDEX claim_uses_by_redemption;
             INSERT INTO claim_uses
             SELECT coupon, hash, 2, redemption, order_id, user, held_until, value, period
             FROM claim_uses WHERE order_id = 'o-2'",
            9,
            "u0000002 has 2 uses".to_owned(),
        ),
    ]
}

/// Amounts.
fn money(walk: &Walk) -> Vec<Case> {
    vec![
        (
            "UPDATE redemptions
             SET document = replace(document, '\"discount\":500', '\"discount\":400')
             WHERE order_id = 'o-2'",
            10,
            walk.order(2),
        ),
        (
            "UPDATE redemptions
             SET document = replace(document, '\"amount\":2750', '\"amount\":6750')
             WHERE order_id = 'o-1'",
            10,
            walk.order(1),
        ),
        (
            "UPDATE coupon_usage SET value = 1001",
            10,
            COUPON.to_string(),
        ),
    ]
}

/// Counters, copies, and rows without what they belong to.
fn references(walk: &Walk) -> Vec<Case> {
    vec![
        (
            "UPDATE coupon_usage SET value = 749",
            13,
            COUPON.to_string(),
        ),
        ("UPDATE coupon_usage SET spent = 0", 13, COUPON.to_string()),
        (
            "UPDATE redemptions SET user = 'somebody' WHERE order_id = 'o-3'",
            13,
            walk.order(3),
        ),
        (
            "DELETE FROM redemptions WHERE order_id = 'o-3'",
            13,
            walk.order(3),
        ),
        (
            "DELETE FROM claims WHERE user = 'u0000002'",
            13,
            claim(2).to_string(),
        ),
        (
            "UPDATE claims SET revoked = 1 WHERE user = 'u0000000'",
            13,
            claim(0).to_string(),
        ),
        ("DELETE FROM coupon_redemptions", 13, claim(2).to_string()),
    ]
}

#[tokio::test]
async fn every_tampered_row_is_a_violation_that_names_it() {
    let walk = Walk::take().await;
    let cases = [paths_and_uses(&walk), money(&walk), references(&walk)].concat();
    for (sql, invariant, named) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = walk.copy(folder.path());
        tamper(&path, sql);
        let report = audit(&path).await;
        let said = said(&report, invariant);
        assert!(
            said.contains(&named),
            "{sql}: {named} is not in {said:?}\n{report:#?}"
        );
    }
}

/// A claim that goes from order to order while the pages are read is had by two of them, or by
/// none: no audit may say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redemptions_that_move_are_unchecked_and_never_violated() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Arc::new(Shop::open(&folder.path().join("ledger.db")).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mover = tokio::spawn({
        let (shop, stop) = (Arc::clone(&shop), Arc::clone(&stop));
        async move {
            let mut order = 0;
            while !stop.load(Ordering::Relaxed) {
                let held = shop.hold(&format!("o-{order}"), 0, NOW).await.unwrap();
                shop.cancel(held, NOW).await;
                order += 1;
            }
            order
        }
    });
    let source = AuditSource {
        ledger: shop.ledger.clone() as Arc<dyn Ledger>,
        lanes_store: None,
    };
    let (mut unchecked, mut redemptions) = (false, 0);
    // Two pages, so that something can move between them.
    while !unchecked || redemptions < 250 {
        let report = audit::everything(&source, ROUNDS).await.unwrap();
        for check in &report.checks {
            assert_ne!(check.status, CheckStatus::Violated, "{check:?}");
            unchecked |= check.invariant == 9 && check.status == CheckStatus::Unchecked;
            if check.name.starts_with("redemptions are found") {
                redemptions = check.examined;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let orders: u64 = mover.await.unwrap();
    let report = audit::everything(&source, ROUNDS).await.unwrap();
    let paths = report
        .checks
        .iter()
        .filter(|check| [9, 10].contains(&check.invariant));
    for check in paths {
        assert_eq!(check.status, CheckStatus::Held, "{check:?}");
    }
    assert!(orders >= redemptions);
}
