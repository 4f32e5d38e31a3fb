//! Shoppers who claim while the keeper is in the midst of a step: between any two of its calls.

use sluice_claim::port::{ClaimAnswer, ClaimCall, ClaimRequest, ClaimStore as _};
use sluice_domain::claim::{ClaimForm, Durability};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, Revision, UserId};
use sluice_hotstate::model::ModelHotState;

use crate::dice::Dice;
use crate::world::{LANE, Told, now};

/// The revision that publishing gives; stock does not change the terms.
pub(crate) const PUBLISHED: Revision = Revision(2);

/// The rush.
pub(crate) struct Rush {
    pub(crate) keys: HashKeys,
    pub(crate) dice: Dice,
    /// Coupons with the class of their claims.
    pub(crate) coupons: Vec<(CouponId, Durability)>,
    /// Grants that nobody has noted yet.
    pub(crate) told: Vec<(CouponId, Told)>,
}

impl Rush {
    /// Now and then somebody claims. What the answer would tell the engine to do is left out.
    pub(crate) fn strike(&mut self, hot: &ModelHotState) {
        if self.coupons.is_empty() || self.dice.roll(3) > 0 {
            return;
        }
        let index = usize::try_from(self.dice.roll(self.coupons.len() as u64)).unwrap();
        let (coupon, durability) = self.coupons[index];
        let user = UserId::new(&format!("r{}", self.dice.roll(200))).unwrap();
        let call = single(&self.keys, coupon, user, PUBLISHED);
        let Ok(reply) = now(hot.decide(call)) else {
            return;
        };
        if let ClaimAnswer::Granted(grant) = reply.answers[0] {
            let told = Told {
                claim_id: grant.claim_id,
                ticket: grant.ticket,
                entry: grant.entry,
                epoch: reply.epoch,
                durability,
                acknowledged: durability == Durability::Hot,
            };
            self.told.push((coupon, told));
        }
    }
}

/// A call with one claim of a coupon whose limit is one a user.
pub(crate) fn single(
    keys: &HashKeys,
    coupon: CouponId,
    user: UserId,
    revision: Revision,
) -> ClaimCall {
    ClaimCall {
        lane: LANE,
        coupon,
        form: ClaimForm::Single,
        revision,
        requests: vec![ClaimRequest {
            user,
            claim_id: keys.single_claim_id(coupon, &user),
            device: None,
            address: None,
            replay_only: false,
        }],
    }
}
