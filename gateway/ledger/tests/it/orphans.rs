//! What the audit is told of a file whose rows of checkout were tampered with.

use std::path::Path;

use sluice_domain::redemption::RowVersion;
use sluice_ledger::SqliteLedger;
use sluice_ledger::audit_facts::{AuditFacts, RedemptionOrphans};
use sluice_ledger::claims::{AppendFrom, Claims};
use sluice_ledger::conformance::{redeem, sample, tamper};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::redemptions::{Redemptions, TransitionOutcome};

use crate::story::{COUPON, Keeper, options, runtime};

/// A ledger with one held redemption, whose rows were then changed by hand.
fn tampered(path: &Path, sql: &str) -> SqliteLedger {
    runtime().block_on(async {
        let keeper = Keeper::start(SqliteLedger::open(path, options()).unwrap()).await;
        let opened = keeper.ledger.open_lease(keeper.fence, COUPON, 8, false);
        let LeaseOpened::Opened(lease, _seq) = opened.await.unwrap() else {
            panic!("an unlimited coupon has leases")
        };
        let (from, batches) = (AppendFrom::Current, [sample::batch(1, &lease, 0, 0..1)]);
        keeper
            .ledger
            .append(keeper.fence, from, &batches)
            .await
            .unwrap();
        let uses = vec![redeem::reserved(sample::claim_id(COUPON, 0), 500)];
        let applied = keeper.ledger.apply(&redeem::hold(1, 0, "hold", uses)).await;
        assert_eq!(applied.unwrap(), TransitionOutcome::Done);
        keeper.ledger.close().await;
    });
    tamper(path, sql);
    SqliteLedger::open_read_only(path).unwrap()
}

/// The numbers of orphans, in the order of the fields.
fn counts(orphans: &RedemptionOrphans) -> [u64; 6] {
    [
        orphans.events.count,
        orphans.redemptions.count,
        orphans.uses_without_redemption.count,
        orphans.uses_without_claim.count,
        orphans.uses_unlisted.count,
        orphans.listed.count,
    ]
}

#[test]
fn every_kind_of_orphan_is_named() {
    let cases = [
        ("", [0, 0, 0, 0, 0, 0]),
        ("DELETE FROM redemptions", [1, 0, 1, 0, 1, 1]),
        ("DELETE FROM redemption_events", [0, 1, 0, 0, 0, 0]),
        (
            "UPDATE redemption_events SET to_status = 1",
            [0, 1, 0, 0, 0, 0],
        ),
        ("UPDATE claim_uses SET order_id = 'o-2'", [0, 0, 1, 0, 0, 0]),
        ("DELETE FROM claims", [0, 0, 0, 1, 0, 0]),
        ("UPDATE claims SET revoked = 1", [0, 0, 0, 1, 0, 0]),
        ("UPDATE claims SET user = 'somebody'", [0, 0, 0, 1, 0, 0]),
        ("DELETE FROM coupon_redemptions", [0, 0, 0, 0, 1, 0]),
    ];
    for (sql, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let ledger = tampered(&folder.path().join("ledger.db"), sql);
        let orphans = runtime().block_on(ledger.redemption_orphans()).unwrap();
        assert_eq!(counts(&orphans), expected, "{sql}");
        let events: Vec<_> = orphans
            .events
            .first
            .iter()
            .map(|(_id, version)| *version)
            .collect();
        assert_eq!(events, vec![RowVersion(1); usize::from(expected[0] == 1)]);
    }
}

#[test]
fn counters_and_copies_that_differ_show() {
    let cases = [
        ("UPDATE coupon_usage SET value = 499", false, true),
        ("UPDATE claim_uses SET held_until = NULL", false, true),
        ("UPDATE redemptions SET status = 1", true, false),
        (
            "UPDATE redemptions SET held_until = held_until + 1",
            true,
            false,
        ),
        ("", true, true),
    ];
    for (sql, counted, copied) in cases {
        let folder = tempfile::tempdir().unwrap();
        let ledger = tampered(&folder.path().join("ledger.db"), sql);
        let usage = runtime().block_on(ledger.usage_facts(COUPON)).unwrap();
        assert_eq!(usage.kept == usage.counted, counted, "{sql}: {usage:?}");
        let facts = runtime()
            .block_on(ledger.redemption_facts(None, None, 10))
            .unwrap();
        assert_eq!(facts[0].found_by_its_own, copied, "{sql}");
    }
}
