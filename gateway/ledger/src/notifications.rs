//! Messages to shoppers, and how far the reminders came.
//!
//! A reminder is written once for ever, by two things together: its id follows from claim and lead,
//! and the cursor of the claim's version, written in the same step, never goes back. So neither a
//! rerun nor the removal of old messages writes one again.

use sluice_domain::id::{CouponId, NotificationId, Ticket, UserId, Version};
use sluice_domain::notification::Notification;
use sluice_domain::time::Timestamp;

use crate::LedgerError;

/// Most messages on a page, and most that one call writes or removes.
pub const PAGE_NOTIFICATIONS_MAX: usize = 1_000;

/// Of which claims, and how long before their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReminderKey {
    /// The coupon.
    pub coupon: CouponId,
    /// The version of its claims' terms.
    pub version: Version,
    /// How long before their end they are due, in milliseconds.
    pub lead_ms: u64,
}

/// A place in a user's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationsPage {
    /// Go on after this one: when it was written, and its id.
    pub after: Option<(Timestamp, NotificationId)>,
    /// At most so many, 1 to [`PAGE_NOTIFICATIONS_MAX`].
    pub limit: usize,
}

/// Messages to shoppers.
#[async_trait::async_trait]
pub trait Notifications: Send + Sync + 'static {
    /// Up to which ticket a version's claims were gone through; `None` before the first step.
    async fn reminder_cursor(&self, key: ReminderKey) -> Result<Option<Ticket>, LedgerError>;

    /// Writes reminders and moves the cursor to `passed`, in one step; how many were written. Where
    /// the cursor is there or beyond already nothing is written; a message that is there stays.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] for more than [`PAGE_NOTIFICATIONS_MAX`] messages at once.
    async fn remind(
        &self,
        key: ReminderKey,
        passed: Ticket,
        notifications: &[Notification],
    ) -> Result<u64, LedgerError>;

    /// A user's messages, newest first, those of one instant by id from the largest.
    async fn notifications(
        &self,
        user: &UserId,
        page: NotificationsPage,
    ) -> Result<Vec<Notification>, LedgerError>;

    /// Writes down that a user has read a message, the first time; the message as it is then. `None`
    /// where there is none of this user.
    async fn mark_read(
        &self,
        id: NotificationId,
        user: &UserId,
        at: Timestamp,
    ) -> Result<Option<Notification>, LedgerError>;

    /// Removes messages about claims that expired before `expired_before`, at most `limit` (1 to
    /// [`PAGE_NOTIFICATIONS_MAX`]); how many.
    async fn forget_notifications(
        &self,
        expired_before: Timestamp,
        limit: usize,
    ) -> Result<usize, LedgerError>;
}

/// A limit of messages, held within its range.
pub(crate) fn page_notifications(limit: usize) -> usize {
    limit.clamp(1, PAGE_NOTIFICATIONS_MAX)
}

/// Refuses more than one step may write.
pub(crate) fn check_count(notifications: &[Notification]) -> Result<(), LedgerError> {
    if notifications.len() <= PAGE_NOTIFICATIONS_MAX {
        return Ok(());
    }
    Err(LedgerError::corrupt("too many reminders in one step"))
}
