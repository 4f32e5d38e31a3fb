//! Stories of public words.

use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::id::CouponId;

use super::must;
use crate::Ledger;
use crate::conformance::sample;
use crate::coupons::CouponWrite;

/// Runs all of them.
pub(super) async fn run_all<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    a_word_has_one_coupon(&fresh().await).await;
    a_draft_keeps_its_word_to_itself(&fresh().await).await;
}

fn coupon(id: u32, word: &str) -> Coupon {
    let mut coupon = sample::coupon(CouponId(id), Some(1));
    coupon.spec.code = Some(word.to_owned());
    coupon
}

async fn create(ledger: &dyn Ledger, coupon: &Coupon) -> CouponWrite {
    let entry = sample::entry("coupon.create", "word");
    must(ledger.create_coupon(coupon, entry).await)
}

/// Changes the held coupon, and gives what it is then.
async fn change(ledger: &dyn Ledger, id: u32, change: impl FnOnce(&mut Coupon)) -> CouponWrite {
    let held = must(ledger.coupon(CouponId(id)).await);
    let mut coupon = held.unwrap_or_else(|| panic!("coupon {id} was made"));
    let seen = coupon.revision;
    coupon.revision = seen.next();
    change(&mut coupon);
    let entry = sample::entry("coupon.update", "word");
    must(ledger.update_coupon(seen, &coupon, "word", entry).await)
}

async fn holder(ledger: &dyn Ledger, code: &str) -> Option<u32> {
    let found = must(ledger.coupon_by_code(code).await);
    found.map(|coupon| coupon.id.0)
}

async fn a_word_has_one_coupon(ledger: &dyn Ledger) {
    let holder_1 = CouponWrite::CodeTaken {
        holder: CouponId(1),
    };
    assert_eq!(
        create(ledger, &coupon(1, "SUMMER")).await,
        CouponWrite::Done
    );
    assert_eq!(create(ledger, &coupon(2, "SUMMER")).await, holder_1);
    assert_eq!(
        must(ledger.coupon(CouponId(2)).await),
        None,
        "nothing was written"
    );
    assert_eq!(
        create(ledger, &coupon(2, "WINTER")).await,
        CouponWrite::Done
    );
    for written in ["SUMMER", "summer", "  Summer\t"] {
        assert_eq!(holder(ledger, written).await, Some(1), "{written:?}");
    }
    assert_eq!(holder(ledger, "SUMME").await, None);

    let takes =
        |word: &'static str| move |coupon: &mut Coupon| coupon.spec.code = Some(word.to_owned());
    assert_eq!(change(ledger, 2, takes("SUMMER")).await, holder_1);
    assert_eq!(holder(ledger, "WINTER").await, Some(2), "it keeps its own");
    assert_eq!(change(ledger, 2, |_coupon| ()).await, CouponWrite::Done);

    // Archiving gives a word back, and coming back takes it again, if nobody has it.
    let archive = |coupon: &mut Coupon| coupon.lifecycle = Lifecycle::Archived;
    assert_eq!(change(ledger, 1, archive).await, CouponWrite::Done);
    assert_eq!(holder(ledger, "SUMMER").await, None);
    assert_eq!(change(ledger, 2, takes("SUMMER")).await, CouponWrite::Done);
    assert_eq!(holder(ledger, "SUMMER").await, Some(2));
    assert_eq!(holder(ledger, "WINTER").await, None);
    let back = |coupon: &mut Coupon| coupon.lifecycle = Lifecycle::Live;
    let holder_2 = CouponWrite::CodeTaken {
        holder: CouponId(2),
    };
    assert_eq!(change(ledger, 1, back).await, holder_2);
    let without = |coupon: &mut Coupon| coupon.spec.code = None;
    assert_eq!(change(ledger, 2, without).await, CouponWrite::Done);
    assert_eq!(change(ledger, 1, back).await, CouponWrite::Done);
    assert_eq!(holder(ledger, "SUMMER").await, Some(1));
}

async fn a_draft_keeps_its_word_to_itself(ledger: &dyn Ledger) {
    let mut draft = coupon(1, "SUMMER");
    draft.first_open_at = None;
    draft.lifecycle = Lifecycle::Draft;
    create(ledger, &draft).await;
    assert_eq!(holder(ledger, "SUMMER").await, None, "not published");
    let other = create(ledger, &coupon(2, "SUMMER")).await;
    assert!(matches!(other, CouponWrite::CodeTaken { .. }), "{other:?}");
    let publish = |coupon: &mut Coupon| {
        coupon.lifecycle = Lifecycle::Live;
        coupon.first_open_at = Some(sample::NOW);
    };
    change(ledger, 1, publish).await;
    assert_eq!(holder(ledger, "SUMMER").await, Some(1));
}
