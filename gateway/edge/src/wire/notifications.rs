//! The bodies of messages.

use serde::Serialize;
use sluice_checkout::NotificationItem;
use sluice_domain::id::{ClaimId, CouponId, NotificationId};
use sluice_domain::notification::NotificationKind;
use sluice_domain::render::PublicTerms;
use sluice_domain::time::Timestamp;

/// A page of messages.
#[derive(Serialize)]
pub(crate) struct NotificationsBody<'a> {
    items: Vec<NotificationBody<'a>>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<String>,
}

/// A message.
#[derive(Serialize)]
pub(crate) struct NotificationBody<'a> {
    id: NotificationId,
    kind: NotificationKind,
    claim_id: ClaimId,
    coupon_id: CouponId,
    name: &'a str,
    /// In numbers, and in words.
    terms: PublicTerms,
    expires_at: Timestamp,
    at: Timestamp,
    read_at: Option<Timestamp>,
}

// === impl NotificationsBody ===

impl<'a> NotificationsBody<'a> {
    pub(crate) fn of(items: &'a [NotificationItem], more: bool) -> Self {
        let last = items.last().filter(|_last| more);
        Self {
            next_cursor: last.map(|last| cursor(last.notification.at, last.notification.id)),
            items: items.iter().map(NotificationBody::of).collect(),
        }
    }
}

// === impl NotificationBody ===

impl<'a> NotificationBody<'a> {
    pub(crate) fn of(item: &'a NotificationItem) -> Self {
        let one = &item.notification;
        Self {
            id: one.id,
            kind: one.kind,
            claim_id: one.claim_id,
            coupon_id: one.claim_id.coupon(),
            name: &item.terms.name,
            terms: PublicTerms::of(&item.terms),
            expires_at: one.expires_at,
            at: one.at,
            read_at: one.read_at,
        }
    }
}

/// A place in a list of messages, as text that needs no escaping in a URL.
fn cursor(at: Timestamp, id: NotificationId) -> String {
    format!("{}.{id}", at.as_millis())
}

/// The place that a cursor names; `None` for what no list gave out.
pub(crate) fn read_cursor(text: &str) -> Option<(Timestamp, NotificationId)> {
    let (at, id) = text.split_once('.')?;
    let millis: i64 = at.parse().ok()?;
    let at = Timestamp::from_millis(millis);
    Some((at, id.parse().ok()?)).filter(|_place| at.as_millis() == millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nonsense_is_not() {
        let place = (Timestamp::from_millis(5), NotificationId([7; 16]));
        assert_eq!(read_cursor(&cursor(place.0, place.1)), Some(place));
        for nonsense in ["", ".", "5.", "5", "-5.", "x.y", "5.zz"] {
            assert_eq!(read_cursor(nonsense), None, "{nonsense}");
        }
    }
}
