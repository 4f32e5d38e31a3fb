//! The pure part of a transition: what both implementations refuse as a defect of its maker.

use std::collections::BTreeSet;

use sluice_domain::redemption::{
    Redemption, RedemptionStatus, RowVersion, TakenUse, Transition, TransitionEvent, UseTarget,
};
use sluice_domain::terms::MinorUnits;
use sluice_domain::time::Timestamp;

use super::TransitionOutcome;
use crate::LedgerError;

fn defect<T>(transition: &Transition, what: &str) -> Result<T, LedgerError> {
    Err(LedgerError::corrupt(format!(
        "a transition of redemption {} {what}",
        transition.redemption.id
    )))
}

/// Refuses a transition that contradicts itself.
pub(crate) fn check_alone(transition: &Transition) -> Result<(), LedgerError> {
    let (redemption, event) = (&transition.redemption, &transition.event);
    let seen = transition.seen.unwrap_or(RowVersion(0));
    if seen.0.checked_add(1) != Some(redemption.row_version.0) {
        return defect(transition, "does not raise the row's version by one");
    }
    let same_row = event.redemption == redemption.id && event.row_version == redemption.row_version;
    if !same_row || event.to != redemption.status {
        return defect(transition, "has the event of another one");
    }
    if event.from.is_some() != transition.seen.is_some() || !event.to.may_follow(event.from) {
        return defect(transition, "follows no path that exists");
    }
    let (mut freed, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for change in &transition.uses {
        let new = match &change.to {
            UseTarget::Free => freed.insert(change.claim_id),
            UseTarget::Taken(wanted) => {
                check_use(transition, wanted)?;
                taken.insert(change.claim_id)
            }
        };
        if !new {
            return defect(transition, "changes one use twice");
        }
    }
    Ok(())
}

fn check_use(transition: &Transition, wanted: &TakenUse) -> Result<(), LedgerError> {
    let limit = wanted.user_limit.as_ref().map_or(1, |limit| limit.count);
    if wanted.value < 0 || wanted.uses_per_claim == 0 || limit == 0 {
        return defect(transition, "takes a use with a number out of range");
    }
    Ok(())
}

/// Refuses a transition whose row version is right and that is not made from this row.
pub(crate) fn check_follows(
    held: Option<&Redemption>,
    transition: &Transition,
) -> Result<(), LedgerError> {
    let new = &transition.redemption;
    if held.map(|held| held.status) != transition.event.from {
        return defect(
            transition,
            "starts from a status that the row does not have",
        );
    }
    let same = |held: &Redemption| {
        held.order == new.order && held.user == new.user && held.created_at == new.created_at
    };
    if held.is_some_and(|held| !same(held)) {
        return defect(transition, "changes whose it is");
    }
    Ok(())
}

/// Refuses uses that do not fit the status they are left in: a hold of a dead redemption would
/// never end.
pub(crate) fn check_left(
    transition: &Transition,
    mut uses: impl Iterator<Item = Option<Timestamp>>,
) -> Result<(), LedgerError> {
    let redemption = &transition.redemption;
    let fits = match redemption.status {
        RedemptionStatus::Held => uses.all(|held| held == Some(redemption.held_until)),
        RedemptionStatus::Confirmed
        | RedemptionStatus::PartiallyRefunded
        | RedemptionStatus::Refunded => uses.all(|held| held.is_none()),
        RedemptionStatus::Cancelled | RedemptionStatus::Expired => uses.next().is_none(),
    };
    if fits {
        return Ok(());
    }
    defect(transition, "leaves uses that do not fit its status")
}

/// A sum of values of uses.
pub(crate) fn sum(left: MinorUnits, right: MinorUnits) -> Result<MinorUnits, LedgerError> {
    let sum = left.checked_add(right);
    sum.ok_or_else(|| LedgerError::corrupt("the values of uses are more than can be counted"))
}

// === impl TransitionOutcome ===

impl TransitionOutcome {
    /// The answer where an event with the operation's id is there.
    pub(crate) fn known(event: TransitionEvent, transition: &Transition) -> Self {
        if event.fingerprint == transition.event.fingerprint {
            Self::Repeated(event)
        } else {
            Self::OperationReused(event)
        }
    }
}

/// A public word as it is stored.
pub(crate) fn folded(code: &str) -> String {
    code.trim().to_ascii_uppercase()
}
