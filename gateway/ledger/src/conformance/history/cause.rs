//! Steps of grants because of orders.

use proptest::prelude::{Strategy, prop, prop_oneof};
use sluice_domain::cause::{Cause, CauseState};
use sluice_domain::id::{CouponId, OrderId};

use super::super::sample;
use crate::Ledger;

/// Orders that histories have.
pub(in crate::conformance) const ORDERS: u8 = 2;

/// A step on the causes of an order.
#[derive(Debug, Clone)]
pub enum CauseStep {
    /// A claim is about to be granted because of it.
    Intend {
        /// Which claim.
        claim: u32,
        /// When, in milliseconds from now.
        at: i64,
    },
    /// How far a grant came.
    Settle {
        /// Which claim.
        claim: u32,
        /// Which state.
        to: u8,
        /// With an audit entry.
        noted: bool,
    },
    /// It is cancelled.
    Cancel {
        /// When, in milliseconds from now.
        at: i64,
    },
}

/// An order by number.
pub(in crate::conformance) fn order(number: u8) -> OrderId {
    format!("o-{number}")
        .parse()
        .unwrap_or_else(|error| panic!("a sample order id {error}"))
}

pub(super) fn steps() -> impl Strategy<Value = CauseStep> {
    let claim = || 0..3_u32;
    prop_oneof![
        4 => (claim(), 0..3_i64).prop_map(|(claim, at)| CauseStep::Intend { claim, at }),
        6 => (claim(), 0..5_u8, prop::bool::ANY)
            .prop_map(|(claim, to, noted)| CauseStep::Settle { claim, to, noted }),
        1 => (0..3_i64).prop_map(|at| CauseStep::Cancel { at }),
    ]
}

/// Carries a step out; the answer in words.
pub(super) async fn apply(ledger: &dyn Ledger, number: u8, step: &CauseStep) -> String {
    let order = order(number);
    let claim_id = |n: &u32| sample::claim_id(CouponId(0), *n);
    match step {
        CauseStep::Intend { claim, at } => {
            let cause = Cause {
                order,
                claim_id: claim_id(claim),
                user: sample::user(claim / 2),
                at: sample::NOW.plus_millis(*at),
                state: CauseState::Intended,
            };
            super::apply::words(ledger.intend(&cause).await)
        }
        CauseStep::Settle { claim, to, noted } => {
            let states = [
                CauseState::Intended,
                CauseState::Granted,
                CauseState::Refused,
                CauseState::Revoked,
                CauseState::Flagged,
            ];
            let to = states[usize::from(*to) % states.len()];
            let entry = noted.then(|| sample::entry("claim.settle", "cause"));
            let settled = ledger.settle_cause(&order, claim_id(claim), to, entry);
            super::apply::words(settled.await)
        }
        CauseStep::Cancel { at } => {
            let at = sample::NOW.plus_millis(*at);
            super::apply::words(ledger.cancel_order(&order, at).await)
        }
    }
}
