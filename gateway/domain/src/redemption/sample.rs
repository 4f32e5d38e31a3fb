//! Orders that tests of refunds, redemptions and their invariants start from, with a small pricing
//! of their own: so that these tests say nothing about the real one.

mod shop;
mod store;

use std::collections::BTreeMap;

use crate::cart::{Cart, CartLine};
use crate::hash::HashKeys;
use crate::id::{ClaimId, CouponId, UserId, Version};
use crate::pricing::{
    Applied, Buyer, CandidateFacts, Choose, ClaimStanding, LineShare, OrderLimits, Quote,
};
use crate::redemption::QuoteRecord;
use crate::sample::user;
use crate::terms::{Currency, MinorUnits};
use crate::time::Timestamp;

pub(crate) use shop::{Reply, Shop};
pub(crate) use store::{Defect, Outcome, Store};

/// What a claim gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deal {
    /// Some money off, from a minimum spend on.
    Spend { spend: MinorUnits, off: MinorUnits },
    /// Hundredths of a percent off.
    Percent(i64),
    /// The shipping for free, from a minimum spend on.
    FreeShipping { spend: MinorUnits },
}

/// A claim and what it gives.
pub(crate) type Offer = (ClaimId, Deal);

/// The claim of this user for the coupon with this number.
pub(crate) fn claim(coupon: u32, user: &UserId) -> ClaimId {
    HashKeys::derive(&[9; 32]).single_claim_id(CouponId(coupon), user)
}

pub(crate) fn line(id: &str, quantity: u32, unit_price: MinorUnits) -> CartLine {
    CartLine {
        id: id.to_owned(),
        sku: format!("S-{id}"),
        quantity,
        unit_price,
        categories: Vec::new(),
        brand: None,
        tags: Vec::new(),
        floor_price: 0,
    }
}

pub(crate) fn cart(lines: Vec<CartLine>, shipping: MinorUnits) -> Cart {
    Cart {
        currency: Currency(*b"USD"),
        lines,
        shipping,
        channel: None,
    }
}

/// Prices a cart: the offers in their order, each on what the ones before left, as far as it
/// applies.
pub(crate) fn price(cart: &Cart, offers: &[Offer]) -> Quote {
    let mut running: Vec<MinorUnits> = cart.lines.iter().map(CartLine::amount).collect();
    let mut shipping_left = cart.shipping;
    let mut applied = Vec::new();
    for (claim_id, deal) in offers {
        let sum: MinorUnits = running.iter().sum();
        let (off, shipping_off) = match *deal {
            Deal::Spend { spend, off } if sum >= spend => (off.min(sum), 0),
            Deal::Percent(points) => ((sum * points + 5_000) / 10_000, 0),
            Deal::FreeShipping { spend } if sum >= spend => (0, shipping_left),
            Deal::Spend { .. } | Deal::FreeShipping { .. } => (0, 0),
        };
        if off + shipping_off == 0 {
            continue;
        }
        let mut lines = Vec::new();
        for (index, share) in allocate(off, &running).into_iter().enumerate() {
            if share > 0 {
                let of_cart = &cart.lines[index];
                lines.push(LineShare {
                    id: of_cart.id.clone(),
                    off: share,
                    off_before: of_cart.amount() - running[index],
                    quantity: of_cart.quantity,
                });
                running[index] -= share;
            }
        }
        shipping_left -= shipping_off;
        applied.push(Applied {
            claim_id: *claim_id,
            coupon: claim_id.coupon(),
            version: Version(1),
            code: None,
            value: off + shipping_off,
            desired_value: off + shipping_off,
            lines,
            shipping_off,
            added: None,
        });
    }
    let discount = applied.iter().map(|applied| applied.value).sum();
    Quote {
        currency: cart.currency,
        subtotal: cart.subtotal(),
        shipping: cart.shipping,
        discount,
        total: cart.subtotal() + cart.shipping - discount,
        proven_optimal: true,
        discount_bound: None,
        applied,
        rejected: Vec::new(),
        trace: Vec::new(),
    }
}

/// Largest remainder in proportion to the weights; ties: the first.
fn allocate(amount: MinorUnits, weights: &[MinorUnits]) -> Vec<MinorUnits> {
    let all = i128::from(weights.iter().sum::<MinorUnits>().max(1));
    let exact = |weight: &MinorUnits| i128::from(amount) * i128::from(*weight);
    let mut shares: Vec<MinorUnits> = weights
        .iter()
        .map(|weight| i64::try_from(exact(weight) / all).unwrap())
        .collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(exact(&weights[index]) % all));
    let rest = amount - shares.iter().sum::<MinorUnits>();
    for &index in order.iter().take(usize::try_from(rest).unwrap()) {
        shares[index] += 1;
    }
    shares
}

/// The frozen record of a priced cart; no claim ends.
pub(crate) fn record(cart: &Cart, offers: &[Offer], buyer: &UserId, now: Timestamp) -> QuoteRecord {
    QuoteRecord {
        cart: cart.clone(),
        buyer: Buyer {
            user: *buyer,
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        candidates: offers
            .iter()
            .map(|(claim_id, _deal)| CandidateFacts {
                claim_id: *claim_id,
                coupon: claim_id.coupon(),
                version: Version(1),
                code: None,
                valid_from: Timestamp::MIN,
                expires_at: None,
                standing: ClaimStanding::Free,
                user_uses: None,
                budget_left: None,
                archived: false,
            })
            .collect(),
        choose: Choose::Given,
        limits: OrderLimits {
            coupons: 10,
            combinable: 5,
            always: 5,
            per_coupon: 1,
        },
        now,
        quote: price(cart, offers),
    }
}

/// A record for somebody, some time.
pub(crate) fn any_record(cart: &Cart, offers: &[Offer]) -> QuoteRecord {
    record(cart, offers, &user("ann"), Timestamp::from_millis(1_000))
}

/// The values of a list, by claim.
pub(crate) fn by_claim(values: &[crate::redemption::ClaimValue]) -> BTreeMap<ClaimId, MinorUnits> {
    values
        .iter()
        .map(|value| (value.claim_id, value.value))
        .collect()
}
