//! What is reserved and spent of claims, as one hold sees it: its own redemption's uses it may take
//! again, and holds that ran out are freed before it takes anything.

use std::collections::HashMap;

use sluice_domain::claim::ClaimRow;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId};
use sluice_domain::pricing::ClaimStanding;
use sluice_domain::redemption::ClaimUse;
use sluice_domain::terms::{MinorUnits, Terms};
use sluice_domain::time::Timestamp;

/// Live uses, split by whether they stand in the way.
pub(super) struct Uses {
    /// Held by other orders, or spent.
    taken: HashMap<ClaimId, Vec<ClaimUse>>,
    /// Of the own redemption, or of a hold that ran out.
    to_be_freed: Vec<ClaimUse>,
    /// Redemptions of others whose hold ran out; each once.
    pub(super) due: Vec<RedemptionId>,
}

// === impl Uses ===

impl Uses {
    pub(super) fn of(live: Vec<ClaimUse>, own: Option<RedemptionId>, now: Timestamp) -> Self {
        let mut uses = Self {
            taken: HashMap::new(),
            to_be_freed: Vec::new(),
            due: Vec::new(),
        };
        for one in live {
            let ran_out = one.held_until.is_some_and(|until| until <= now);
            if Some(one.redemption) == own {
                uses.to_be_freed.push(one);
            } else if ran_out {
                uses.due.push(one.redemption);
                uses.to_be_freed.push(one);
            } else {
                uses.taken.entry(one.claim_id).or_default().push(one);
            }
        }
        uses.due.sort_unstable();
        uses.due.dedup();
        uses
    }

    /// Whether a claim has a use left.
    pub(super) fn standing(&self, row: &ClaimRow, terms: &Terms) -> ClaimStanding {
        if row.revoked {
            return ClaimStanding::Revoked;
        }
        let taken = self.taken.get(&row.claim_id).map_or(&[][..], Vec::as_slice);
        if (taken.len() as u64) < u64::from(terms.uses_per_claim) {
            return ClaimStanding::Free;
        }
        // The first to come free again is the one to name.
        let held = taken
            .iter()
            .filter_map(|one| Some((one.held_until?, &one.order)))
            .min();
        match held {
            Some((until, order)) => ClaimStanding::Held {
                order: order.clone(),
                until,
            },
            None => ClaimStanding::Used,
        }
    }

    /// What comes back to a coupon's budget before the hold takes anything of it.
    pub(super) fn value_to_be_freed(&self, coupon: CouponId) -> MinorUnits {
        let uses = self.to_be_freed.iter();
        uses.filter(|one| one.claim_id.coupon() == coupon)
            .map(|one| one.value)
            .sum()
    }

    /// How many uses come back to the user's count in a period.
    pub(super) fn count_to_be_freed(&self, coupon: CouponId, period: &str) -> u32 {
        let counts = |one: &&ClaimUse| {
            one.claim_id.coupon() == coupon && one.period.as_deref() == Some(period)
        };
        u32::try_from(self.to_be_freed.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }
}
