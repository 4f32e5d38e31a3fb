//! Messages of the model.

use sluice_domain::id::{NotificationId, Ticket, UserId};
use sluice_domain::notification::Notification;
use sluice_domain::time::Timestamp;

use super::ModelLedger;
use crate::LedgerError;
use crate::notifications::{
    Notifications, NotificationsPage, ReminderKey, check_count, page_notifications,
};

#[async_trait::async_trait]
impl Notifications for ModelLedger {
    async fn reminder_cursor(&self, key: ReminderKey) -> Result<Option<Ticket>, LedgerError> {
        self.call(|state| Ok(state.reminder_cursors.get(&key).copied()))
    }

    async fn remind(
        &self,
        key: ReminderKey,
        passed: Ticket,
        notifications: &[Notification],
    ) -> Result<u64, LedgerError> {
        check_count(notifications)?;
        self.call(|state| {
            if state
                .reminder_cursors
                .get(&key)
                .is_some_and(|at| *at >= passed)
            {
                return Ok(0);
            }
            state.reminder_cursors.insert(key, passed);
            let before = state.notifications.len();
            for one in notifications {
                state
                    .notifications
                    .entry(one.id)
                    .or_insert_with(|| one.clone());
            }
            Ok((state.notifications.len() - before) as u64)
        })
    }

    async fn notifications(
        &self,
        user: &UserId,
        page: NotificationsPage,
    ) -> Result<Vec<Notification>, LedgerError> {
        self.call(|state| {
            let place = |one: &Notification| (one.at, one.id);
            let of_user = state.notifications.values().filter(|one| one.user == *user);
            let mut found: Vec<Notification> = of_user
                .filter(|one| page.after.is_none_or(|after| place(one) < after))
                .cloned()
                .collect();
            found.sort_by_key(|one| std::cmp::Reverse(place(one)));
            found.truncate(page_notifications(page.limit));
            Ok(found)
        })
    }

    async fn mark_read(
        &self,
        id: NotificationId,
        user: &UserId,
        at: Timestamp,
    ) -> Result<Option<Notification>, LedgerError> {
        self.call(|state| {
            let found = state.notifications.get_mut(&id);
            let Some(found) = found.filter(|one| one.user == *user) else {
                return Ok(None);
            };
            found.read_at.get_or_insert(at);
            Ok(Some(found.clone()))
        })
    }

    async fn forget_notifications(
        &self,
        expired_before: Timestamp,
        limit: usize,
    ) -> Result<usize, LedgerError> {
        self.call(|state| {
            let all = state.notifications.values();
            let mut old: Vec<(Timestamp, NotificationId)> = all
                .filter(|one| one.expires_at < expired_before)
                .map(|one| (one.expires_at, one.id))
                .collect();
            old.sort_unstable();
            old.truncate(page_notifications(limit));
            for (_end, id) in &old {
                state.notifications.remove(id);
            }
            Ok(old.len())
        })
    }
}
