//! A file of an earlier schema is brought up to date with everything in it.

use std::path::Path;

use sluice_domain::id::CouponId;
use sluice_ledger::SqliteLedger;
use sluice_ledger::audit_facts::AuditFacts;
use sluice_ledger::claims::Claims;
use sluice_ledger::conformance::{redeem, sample};
use sluice_ledger::coupons::Coupons;
use sluice_ledger::redemptions::{Redemptions, TransitionOutcome};
use sluice_ledger::sqlite::OpenError;

use crate::story::{options, runtime};

/// A file that was written under schema 1, as SQL: three coupons, of which 1 (a draft) and 2 (live,
/// with a claim of user 0) have one word, and 3 is archived with another.
const SCHEMA_1: &str = include_str!("../golden/schema1.sql");

fn restore(path: &Path) {
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.execute_batch(SCHEMA_1).unwrap();
}

#[test]
fn a_file_of_schema_1_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    restore(&path);
    let early = SqliteLedger::open_read_only(&path);
    assert!(
        matches!(early, Err(OpenError::OlderSchema { found: 1, .. })),
        "{early:?}"
    );
    runtime().block_on(async {
        let ledger = SqliteLedger::open(&path, options()).unwrap();
        assert_eq!(ledger.coupon_ids(None, 10).await.unwrap().len(), 3);
        let found = ledger.coupon_by_code("summer").await.unwrap().unwrap();
        assert_eq!(found.id, CouponId(2), "the one that was published");
        assert_eq!(ledger.coupon_by_code("GONE").await.unwrap(), None);

        // The other one keeps its word in its document, and can still be changed.
        let mut draft = ledger.coupon(CouponId(1)).await.unwrap().unwrap();
        let seen = draft.revision;
        draft.revision = seen.next();
        draft.spec.notes = "changed".to_owned();
        let entry = sample::entry("coupon.update", "migration");
        let written = ledger.update_coupon(seen, &draft, "test", entry).await;
        assert_eq!(written.unwrap(), sluice_ledger::coupons::CouponWrite::Done);

        let claim_id = sample::claim_id(CouponId(2), 0);
        assert!(ledger.claim(claim_id).await.unwrap().is_some());
        let first = redeem::hold(1, 0, "hold", vec![redeem::reserved(claim_id, 500)]);
        assert_eq!(ledger.apply(&first).await.unwrap(), TransitionOutcome::Done);
        assert_eq!(ledger.integrity_problems().await.unwrap(), [""; 0]);
        ledger.close().await;
        let again = SqliteLedger::open_read_only(&path).unwrap();
        assert!(
            again
                .redemption(first.redemption.id)
                .await
                .unwrap()
                .is_some()
        );
    });
}
