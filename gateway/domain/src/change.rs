//! Changes of a coupon: which are legal, and what they do to its numbers.
//!
//! | change      | draft | scheduled, active | paused | ended     | archived  |
//! |-------------|-------|-------------------|--------|-----------|-----------|
//! | `publish`   | live  | as it is          | no     | no        | no        |
//! | `edit`      | yes   | yes (1)           | yes (1)| no        | no        |
//! | `pause`     | no    | paused            | as it is | no      | no        |
//! | `resume`    | no    | as it is          | live   | no        | no        |
//! | `end`       | no (2)| ended             | ended  | as it is (3) | no     |
//! | `archive`   | archived | archived       | archived | archived | as it is |
//! | `set_total` | yes   | yes               | yes    | no        | no        |
//! | `duplicate` | a new draft, from every state                              |||||
//!
//! (1) What hot state was built on stays as it was first published: see [`edit()`]. (2) Nobody can
//! have claimed a draft: archive it. (3) A coupon that its clock ended is ended by hand as well, so
//! that a later edit of the clock could not open it.
//!
//! Ended and archived are final, also when the clock ended the coupon: its hot state is retired some
//! days later and must not come to life again. To go on, duplicate it.
//!
//! "As it is" answers the coupon unchanged, with its revision: a repeated call is harmless and there
//! is nothing to write. Every other change raises `revision` by one. `version` rises where terms or
//! durability of a published coupon change; claims keep theirs. `terms_revision` follows `revision`
//! except where only the stock changed: a gateway with an older definition may then go on.

mod edit;
mod error;

use crate::coupon::{Coupon, CouponSpec, Lifecycle, Status};
use crate::id::{CouponId, CouponNumber, Revision, Version};
use crate::time::Timestamp;

pub use edit::edit;
pub use error::{Action, ChangeError};

/// Most versions of a coupon's terms: each stays readable as long as claims may hold it.
pub const VERSIONS_MAX: u16 = 1_000;

/// How the total of a coupon comes to be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TotalChange {
    /// It is that already.
    Unchanged,
    /// Write this coupon: the total is raised, or nothing was ever leased.
    Set(Box<Coupon>),
    /// The total is lowered under a published coupon: set the target, close the leases, then
    /// settle. This is the coupon to be written if that succeeds.
    Lower {
        /// The total aimed at.
        target: u64,
        /// The coupon with that total.
        settled: Box<Coupon>,
    },
}

/// A new draft.
#[must_use]
pub fn create(id: CouponId, number: CouponNumber, spec: CouponSpec, now: Timestamp) -> Coupon {
    Coupon {
        id,
        number,
        revision: Revision(1),
        terms_revision: Revision(1),
        version: Version(1),
        lifecycle: Lifecycle::Draft,
        spec,
        first_open_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// Publishes a draft: from its start on it may be claimed.
///
/// # Errors
/// When it is not a draft, or its claim window or the validity of its claims is over already.
pub fn publish(coupon: &Coupon, now: Timestamp) -> Result<Coupon, Vec<ChangeError>> {
    match coupon.status(now) {
        Status::Scheduled | Status::Active => return Ok(coupon.clone()),
        Status::Draft => {}
        status => return Err(refused(Action::Publish, status)),
    }
    let errors = edit::over_already(&coupon.spec, now);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut next = changed(coupon, now);
    next.lifecycle = Lifecycle::Live;
    next.first_open_at = Some(edit::first_open_at(None, &coupon.spec));
    Ok(next)
}

/// Stops grants until resumed.
///
/// # Errors
/// When the coupon is neither published nor running.
pub fn pause(coupon: &Coupon, now: Timestamp) -> Result<Coupon, Vec<ChangeError>> {
    match coupon.status(now) {
        Status::Paused => Ok(coupon.clone()),
        Status::Scheduled | Status::Active => Ok(moved(coupon, Lifecycle::Paused, now)),
        status => Err(refused(Action::Pause, status)),
    }
}

/// Goes on after a pause.
///
/// # Errors
/// When the coupon is not paused.
pub fn resume(coupon: &Coupon, now: Timestamp) -> Result<Coupon, Vec<ChangeError>> {
    match coupon.status(now) {
        Status::Scheduled | Status::Active => Ok(coupon.clone()),
        Status::Paused => Ok(moved(coupon, Lifecycle::Live, now)),
        status => Err(refused(Action::Resume, status)),
    }
}

/// Ends a coupon for good. Claims made stay usable.
///
/// # Errors
/// When it was never published, or is archived.
pub fn end(coupon: &Coupon, now: Timestamp) -> Result<Coupon, Vec<ChangeError>> {
    match coupon.lifecycle {
        Lifecycle::Ended => Ok(coupon.clone()),
        Lifecycle::Live | Lifecycle::Paused => Ok(moved(coupon, Lifecycle::Ended, now)),
        Lifecycle::Draft | Lifecycle::Archived => Err(refused(Action::End, coupon.status(now))),
    }
}

/// Soft-deletes a coupon, from whatever state. Never refused.
#[must_use]
pub fn archive(coupon: &Coupon, now: Timestamp) -> Coupon {
    match coupon.lifecycle {
        Lifecycle::Archived => coupon.clone(),
        Lifecycle::Draft | Lifecycle::Live | Lifecycle::Paused | Lifecycle::Ended => {
            moved(coupon, Lifecycle::Archived, now)
        }
    }
}

/// A new draft with the same definition, but for the public code word, which can only belong to
/// one coupon.
#[must_use]
pub fn duplicate(coupon: &Coupon, id: CouponId, number: CouponNumber, now: Timestamp) -> Coupon {
    let mut spec = coupon.spec.clone();
    spec.code = None;
    create(id, number, spec, now)
}

/// Sets the total; `None` is unlimited.
///
/// # Errors
/// When the coupon has ended or is archived.
pub fn set_total(
    coupon: &Coupon,
    total: Option<u64>,
    now: Timestamp,
) -> Result<TotalChange, Vec<ChangeError>> {
    let status = coupon.status(now);
    if matches!(status, Status::Ended | Status::Archived) {
        return Err(refused(Action::SetTotal, status));
    }
    if coupon.spec.limits.total == total {
        return Ok(TotalChange::Unchanged);
    }
    let mut next = changed(coupon, now);
    next.spec.limits.total = total;
    // A draft's gateways do not exist; else stock alone does not make definitions stale.
    if coupon.lifecycle != Lifecycle::Draft {
        next.terms_revision = coupon.terms_revision;
    }
    Ok(match total {
        Some(target) if coupon.lifecycle != Lifecycle::Draft && is_lower(coupon, total) => {
            TotalChange::Lower {
                target,
                settled: Box::new(next),
            }
        }
        _ => TotalChange::Set(Box::new(next)),
    })
}

/// Unlimited is above every number.
fn is_lower(coupon: &Coupon, total: Option<u64>) -> bool {
    match (coupon.spec.limits.total, total) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
    }
}

/// The coupon under its next revision.
fn changed(coupon: &Coupon, now: Timestamp) -> Coupon {
    let revision = coupon.revision.next();
    Coupon {
        revision,
        terms_revision: revision,
        // The clock of another process may be behind; time never goes back on paper.
        updated_at: now.max(coupon.updated_at),
        ..coupon.clone()
    }
}

fn moved(coupon: &Coupon, to: Lifecycle, now: Timestamp) -> Coupon {
    Coupon {
        lifecycle: to,
        ..changed(coupon, now)
    }
}

fn refused(action: Action, status: Status) -> Vec<ChangeError> {
    vec![ChangeError::State { action, status }]
}

#[cfg(test)]
mod tests;
