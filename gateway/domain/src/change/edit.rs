//! Edits: what may change under a published coupon.

use super::{Action, ChangeError, VERSIONS_MAX, changed, is_lower, refused};
use crate::coupon::{Coupon, CouponSpec, Lifecycle, Status};
use crate::terms::Validity;
use crate::time::Timestamp;

/// Replaces what the operator wrote.
///
/// Under a published coupon these stay as they were, because hot state, claim ids or sums are built
/// on them: `per_user` on its side of 1 and more, `shards`, `currency`. A limit per device or
/// address may be changed or taken away but not added: earlier claims were not counted by it. A
/// total may be raised; lowering it is a step of its own ([`set_total`](super::set_total)).
///
/// # Errors
/// With everything that stands against the edit; never empty.
pub fn edit(coupon: &Coupon, spec: CouponSpec, now: Timestamp) -> Result<Coupon, Vec<ChangeError>> {
    let status = coupon.status(now);
    if matches!(status, Status::Ended | Status::Archived) {
        return Err(refused(Action::Edit, status));
    }
    if coupon.spec == spec {
        return Ok(coupon.clone());
    }
    let mut next = changed(coupon, now);
    if coupon.lifecycle == Lifecycle::Draft {
        next.spec = spec;
        return Ok(next);
    }
    let mut errors = fixed_once_published(coupon, &spec);
    errors.extend(over_already(&spec, now));
    let new_version = coupon.spec.terms != spec.terms || coupon.spec.durability != spec.durability;
    if new_version && coupon.version.0 >= VERSIONS_MAX {
        errors.push(ChangeError::Versions);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if new_version {
        next.version = coupon.version.next();
    }
    if only_stock(&coupon.spec, &spec) {
        next.terms_revision = coupon.terms_revision;
    }
    next.first_open_at = Some(first_open_at(coupon.first_open_at, &spec));
    next.spec = spec;
    Ok(next)
}

/// Lowest start ever published. Without a start the coupon is open from its publishing on, at an
/// instant that only the lane's clock knows: then no instant proves that it was never open.
pub(super) fn first_open_at(before: Option<Timestamp>, spec: &CouponSpec) -> Timestamp {
    let start = spec.window.starts_at.unwrap_or(Timestamp::MIN);
    before.map_or(start, |before| before.min(start))
}

/// A window that is over would end the coupon for good by mistake: `end` does that on purpose.
pub(super) fn over_already(spec: &CouponSpec, now: Timestamp) -> Vec<ChangeError> {
    let mut errors = Vec::new();
    if let Some(ended_at) = spec.window.ends_at.filter(|&end| end <= now) {
        errors.push(ChangeError::Over {
            pointer: "/claim_window/ends_at",
            ended_at,
        });
    }
    if let Validity::Fixed { ends_at, .. } = spec.terms.validity
        && ends_at <= now
    {
        errors.push(ChangeError::Over {
            pointer: "/validity/ends_at",
            ended_at: ends_at,
        });
    }
    errors
}

fn fixed_once_published(coupon: &Coupon, spec: &CouponSpec) -> Vec<ChangeError> {
    let (old, new) = (&coupon.spec.limits, &spec.limits);
    let mut errors = Vec::new();
    if old.form() != new.form() {
        errors.push(ChangeError::ClaimForm);
    }
    for (pointer, before, after) in [
        ("/limits/per_device", old.per_device, new.per_device),
        ("/limits/per_ip", old.per_address, new.per_address),
    ] {
        if before.is_none() && after.is_some() {
            errors.push(ChangeError::LimitAdded { pointer });
        }
    }
    if is_lower(coupon, new.total) {
        errors.push(ChangeError::TotalLowered);
    }
    for (pointer, same) in [
        (
            "/currency",
            coupon.spec.terms.currency == spec.terms.currency,
        ),
        ("/shards", coupon.spec.shards == spec.shards),
    ] {
        if !same {
            errors.push(ChangeError::Fixed { pointer });
        }
    }
    errors
}

/// Whether the two differ in their total alone.
fn only_stock(old: &CouponSpec, new: &CouponSpec) -> bool {
    let mut same_stock = old.clone();
    same_stock.limits.total = new.limits.total;
    same_stock == *new
}
