//! Which claims their owners are reminded of, before they expire.
//!
//! The claims of one version expire in the order in which they were granted: at one instant all of
//! them, or so many days after each grant. Tickets are given out in the order of grants too. So
//! whoever goes through a version's claims by ticket may stop at the first that is not due.

use crate::claim::ClaimRow;
use crate::redemption::ClaimUse;
use crate::terms::Validity;
use crate::time::Timestamp;

/// What is to be done about one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reminder {
    /// It is due at this instant, and so are all that were granted later, then or later.
    NotYet(Timestamp),
    /// Never: it does not expire or has expired, was taken back, is held by an order, or is used up.
    Pass,
    /// Now: it expires at this instant.
    Remind(Timestamp),
}

/// When the reminder of a claim that was granted at `granted_at` is due; `None` where it never
/// expires.
#[must_use]
pub fn due_at(validity: &Validity, granted_at: Timestamp, lead_ms: u64) -> Option<Timestamp> {
    let lead = i64::try_from(lead_ms).unwrap_or(i64::MAX);
    Some(validity.expires_at(granted_at)?.plus_millis(-lead))
}

/// What is to be done about a claim at `now`. `uses` are its live uses: a hold that ran out holds
/// nothing. A claim that is granted with less than the lead left is due at once.
#[must_use]
pub fn decide(
    row: &ClaimRow,
    validity: &Validity,
    uses_per_claim: u32,
    uses: &[ClaimUse],
    lead_ms: u64,
    now: Timestamp,
) -> Reminder {
    let (Some(expires_at), Some(due_at)) = (
        validity.expires_at(row.granted_at),
        due_at(validity, row.granted_at, lead_ms),
    ) else {
        return Reminder::Pass;
    };
    if now < due_at {
        return Reminder::NotYet(due_at);
    }
    let live = |one: &&ClaimUse| {
        one.claim_id == row.claim_id && one.held_until.is_none_or(|until| until > now)
    };
    let mut live = uses.iter().filter(live);
    let is_held = live.clone().any(|one| one.held_until.is_some());
    let taken = live.by_ref().count();
    let is_used_up = taken >= usize::try_from(uses_per_claim).unwrap_or(usize::MAX);
    if now >= expires_at || row.revoked || is_held || is_used_up {
        Reminder::Pass
    } else {
        Reminder::Remind(expires_at)
    }
}

#[cfg(test)]
mod tests;
