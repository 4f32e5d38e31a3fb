//! Small valid redemptions and transitions to build tests from.

use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::id::{ClaimId, OrderId, RedemptionId};
use sluice_domain::pricing::{Buyer, Choose, OrderLimits, Quote};
use sluice_domain::redemption::{
    QuoteRecord, Redemption, RedemptionStatus, RefundPolicy, RowVersion, TakenUse, Transition,
    TransitionEvent, UseChange, UseTarget, UserLimit,
};
use sluice_domain::terms::{Currency, MinorUnits};
use sluice_domain::time::Timestamp;

use super::sample::{NOW, user};

/// Until when sample holds last.
pub const HELD_UNTIL: Timestamp = NOW.plus_millis(900_000);

/// The n-th order.
#[must_use]
pub fn order(n: u32) -> OrderId {
    let parsed = format!("o-{n}").parse();
    parsed.unwrap_or_else(|error| panic!("a sample order id {error}"))
}

/// The id of the n-th order's redemption.
#[must_use]
pub fn redemption_id(n: u32) -> RedemptionId {
    let mut id = [0; 16];
    // The low bytes first, so that ids do not come in the order of orders.
    id[..4].copy_from_slice(&n.to_le_bytes());
    RedemptionId(id)
}

/// The first hold of the n-th order by a user.
#[must_use]
pub fn hold(n: u32, buyer: u32, operation: &str, uses: Vec<UseChange>) -> Transition {
    let redemption = Redemption {
        id: redemption_id(n),
        order: order(n),
        user: user(buyer),
        status: RedemptionStatus::Held,
        row_version: RowVersion(1),
        held_until: HELD_UNTIL,
        fingerprint: [7; 32],
        record: record(buyer),
        refund_policy: RefundPolicy::default(),
        refunds: Vec::new(),
        created_at: NOW,
        updated_at: NOW,
    };
    with_event(redemption, None, operation, uses)
}

/// What follows on a redemption.
#[must_use]
pub fn follow(
    held: &Redemption,
    to: RedemptionStatus,
    operation: &str,
    uses: Vec<UseChange>,
) -> Transition {
    let redemption = Redemption {
        status: to,
        row_version: RowVersion(held.row_version.0 + 1),
        updated_at: held.updated_at.plus_millis(1),
        ..held.clone()
    };
    with_event(redemption, Some(held), operation, uses)
}

fn with_event(
    redemption: Redemption,
    held: Option<&Redemption>,
    operation: &str,
    uses: Vec<UseChange>,
) -> Transition {
    let event = TransitionEvent {
        redemption: redemption.id,
        row_version: redemption.row_version,
        at: redemption.updated_at,
        from: held.map(|held| held.status),
        to: redemption.status,
        operation_id: operation.to_owned(),
        fingerprint: [1; 32],
        actor: "key:sample".to_owned(),
        result: format!("{{\"operation\":\"{operation}\"}}"),
    };
    Transition {
        redemption,
        seen: held.map(|held| held.row_version),
        event,
        uses,
    }
}

/// A use that is reserved until [`HELD_UNTIL`], of a claim that has one, without limits.
#[must_use]
pub fn reserved(claim_id: ClaimId, value: MinorUnits) -> UseChange {
    taken(claim_id, value, Some(HELD_UNTIL))
}

/// A use that is spent, of a claim that has one, without limits.
#[must_use]
pub fn spent(claim_id: ClaimId, value: MinorUnits) -> UseChange {
    taken(claim_id, value, None)
}

fn taken(claim_id: ClaimId, value: MinorUnits, held_until: Option<Timestamp>) -> UseChange {
    let to = UseTarget::Taken(TakenUse {
        held_until,
        value,
        uses_per_claim: 1,
        user_limit: None,
        budget: None,
    });
    UseChange { claim_id, to }
}

/// A use that becomes free.
#[must_use]
pub fn free(claim_id: ClaimId) -> UseChange {
    let to = UseTarget::Free;
    UseChange { claim_id, to }
}

/// The same with changed limits.
#[must_use]
pub fn limited(mut change: UseChange, limits: impl FnOnce(&mut TakenUse)) -> UseChange {
    if let UseTarget::Taken(wanted) = &mut change.to {
        limits(wanted);
    }
    change
}

/// The same under a budget.
#[must_use]
pub fn budgeted(change: UseChange, budget: MinorUnits) -> UseChange {
    limited(change, |wanted| wanted.budget = Some(budget))
}

/// The same under a limit of uses by its user in a period.
#[must_use]
pub fn per_user(change: UseChange, count: u32, period: &str) -> UseChange {
    let period = period.to_owned();
    limited(change, |wanted| {
        wanted.user_limit = Some(UserLimit { count, period });
    })
}

fn record(buyer: u32) -> QuoteRecord {
    let currency = Currency(*b"USD");
    let line = CartLine {
        id: "l1".to_owned(),
        sku: "A-1".to_owned(),
        quantity: 2,
        unit_price: 3_000,
        categories: vec!["shoes".to_owned()],
        brand: None,
        tags: Vec::new(),
        floor_price: 0,
    };
    QuoteRecord {
        cart: Cart {
            currency,
            lines: vec![line],
            shipping: 500,
            channel: None,
        },
        buyer: Buyer {
            user: user(buyer),
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        candidates: Vec::new(),
        choose: Choose::Given,
        limits: OrderLimits {
            coupons: 10,
            combinable: 5,
            always: 5,
            per_coupon: 1,
        },
        now: NOW,
        quote: Quote {
            currency,
            subtotal: 6_000,
            shipping: 500,
            discount: 0,
            total: 6_500,
            proven_optimal: true,
            discount_bound: None,
            applied: Vec::new(),
            rejected: Vec::new(),
            trace: Vec::new(),
        },
    }
}
