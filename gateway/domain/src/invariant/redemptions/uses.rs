//! Invariant 9: a redemption's live uses are exactly those that its state says: reserved ones while
//! it is held, spent ones while it is paid, none where it was given up; after a full refund only
//! spent ones of claims that did not return.

use std::collections::BTreeMap;

use super::super::Check;
use super::RedemptionRows;
use crate::id::ClaimId;
use crate::redemption::RedemptionStatus;
use crate::terms::MinorUnits;

pub(super) fn look_at(check: &mut Check, rows: &RedemptionRows) {
    let redemption = &rows.redemption;
    let id = redemption.id;
    let mut expected: BTreeMap<ClaimId, MinorUnits> = redemption
        .live_values()
        .into_iter()
        .map(|value| (value.claim_id, value.value))
        .collect();
    let held_until = (redemption.status == RedemptionStatus::Held).then_some(redemption.held_until);
    for held in &rows.uses {
        let value = expected.remove(&held.claim_id);
        let fits = value == Some(held.value)
            && held.held_until == held_until
            && held.redemption == id
            && held.order == redemption.order;
        check.expect(fits, || {
            format!(
                "redemption {id} is {:?} and has a use of claim {} that takes off {} (its own \
                 figure: {value:?}), held until {:?}",
                redemption.status, held.claim_id, held.value, held.held_until
            )
        });
    }
    check.expect(expected.is_empty(), || {
        format!(
            "redemption {id} is {:?} without its uses of {:?}",
            redemption.status,
            expected.keys().collect::<Vec<_>>()
        )
    });
}
