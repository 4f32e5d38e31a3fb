//! Invariant 9: the events of a redemption are a legal path to where it stands.

use std::collections::HashSet;

use super::super::Check;
use super::RedemptionRows;
use crate::redemption::decide::OperationResult;
use crate::redemption::{RedemptionStatus, Refund, RowVersion, TransitionEvent};
use crate::time::Timestamp;

pub(super) fn look_at(check: &mut Check, rows: &RedemptionRows) {
    let redemption = &rows.redemption;
    let id = redemption.id;
    let mut operations = HashSet::new();
    let mut version = RowVersion(0);
    let mut status = None;
    let mut held_until = None;
    let mut refunds: Vec<Refund> = Vec::new();
    for event in &rows.events {
        let legal = event.redemption == id
            && event.row_version == version.next()
            && event.from == status
            && event.to.may_follow(status);
        check.expect(legal, || {
            format!(
                "redemption {id}: after {status:?} at row version {} comes {:?} to {:?} at {}",
                version.0, event.from, event.to, event.row_version.0
            )
        });
        check.expect(operations.insert(event.operation_id.as_str()), || {
            format!(
                "redemption {id}: {} was carried out twice",
                event.operation_id
            )
        });
        let result = OperationResult::of(event).ok();
        let told = result.as_ref().map(|result| result.status);
        check.expect(told == Some(event.to), || {
            format!(
                "redemption {id}: {} led to {:?} and was answered with {told:?}",
                event.operation_id, event.to
            )
        });
        in_time(check, event, held_until);
        if let Some(result) = result {
            held_until = Some(result.held_until);
            refunds.extend(result.refund);
        }
        (version, status) = (event.row_version, Some(event.to));
    }
    let same = version == redemption.row_version
        && status == Some(redemption.status)
        && held_until == Some(redemption.held_until)
        && refunds == redemption.refunds;
    check.expect(same, || {
        format!(
            "redemption {id} is {:?} at row version {} with {} refunds; its events lead to \
             {status:?} at {} with {}",
            redemption.status,
            redemption.row_version.0,
            redemption.refunds.len(),
            version.0,
            refunds.len()
        )
    });
}

/// A hold is never cut short.
fn in_time(check: &mut Check, event: &TransitionEvent, held_until: Option<Timestamp>) {
    if event.to != RedemptionStatus::Expired {
        return;
    }
    let over = held_until.is_some_and(|held_until| held_until <= event.at);
    check.expect(over, || {
        format!(
            "redemption {}: expired at {}, held until {held_until:?}",
            event.redemption, event.at
        )
    });
}
