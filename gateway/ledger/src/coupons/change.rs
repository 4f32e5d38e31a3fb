//! The pure part of changing a coupon: what both implementations write.

use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::id::Revision;
use sluice_domain::lease::Stock;
use sluice_domain::published::PublishedVersion;
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::coupons::VersionRow;

/// The coupon as it is stored, and its stock's total with it. A total that would fall while tickets
/// were leased stays, in the document too: only [`settle_target`] lowers it, so that document and
/// stock never differ.
///
/// [`settle_target`]: crate::leases::Leases::settle_target
pub(crate) fn with_kept_total(stock: &Stock, coupon: &Coupon) -> Coupon {
    let mut stored = coupon.clone();
    let asked = coupon.spec.limits.total;
    let lowers = match (stock.total, asked) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(held), Some(asked)) => asked < held,
    };
    if lowers && stock.leased > 0 {
        stored.spec.limits.total = stock.total;
    }
    stored
}

/// The public word that a coupon keeps others from having.
pub(crate) fn word_in_use(coupon: &Coupon) -> Option<&str> {
    let code = coupon.spec.code.as_deref();
    code.filter(|_word| coupon.lifecycle != Lifecycle::Archived)
}

/// Refuses a change whose revision does not follow the one it was made from.
pub(crate) fn check_revision(seen: Revision, coupon: &Coupon) -> Result<(), LedgerError> {
    if coupon.revision == seen.next() {
        return Ok(());
    }
    Err(LedgerError::corrupt(format!(
        "coupon {}: revision {} was to follow {seen}",
        coupon.id, coupon.revision
    )))
}

/// The version row of a published coupon; `None` for one that never was.
pub(crate) fn version_row(
    coupon: &Coupon,
    author: &str,
) -> Result<Option<VersionRow>, LedgerError> {
    if coupon.first_open_at.is_none() {
        return Ok(None);
    }
    Ok(Some(VersionRow {
        version: coupon.version,
        published: PublishedVersion {
            version: coupon.version,
            validity: coupon.spec.terms.validity.clone(),
            durability: coupon.spec.durability,
        },
        terms: coupon.spec.terms.clone(),
        hash: coupon.spec.terms.content_hash().0,
        at: coupon.updated_at,
        author: author.to_owned(),
    }))
}

/// Refuses to give a version another content: claims hold it.
pub(crate) fn check_version(held: &VersionRow, new: &VersionRow) -> Result<(), LedgerError> {
    if held.hash == new.hash && held.published == new.published {
        return Ok(());
    }
    Err(LedgerError::corrupt(format!(
        "version {} was published with other terms",
        new.version
    )))
}

/// The audit entry of a total that was lowered by settling its target.
pub(crate) fn lowered_entry(
    before: &Coupon,
    after: &Coupon,
    at: Timestamp,
) -> Result<AuditEntry, LedgerError> {
    Ok(AuditEntry {
        at,
        actor: "system".to_owned(),
        action: "coupon.stock".to_owned(),
        object: after.id.to_string(),
        before: to_json(before)?,
        after: to_json(after)?,
        request_id: String::new(),
    })
}

/// A coupon as JSON.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value)
        .map_err(|error| LedgerError::corrupt(format!("a document cannot be written: {error}")))
}
