//! Stories of messages to shoppers.

use sluice_domain::id::{NotificationId, Ticket, Version};
use sluice_domain::notification::{Notification, NotificationKind};
use sluice_domain::time::Timestamp;

use super::{COUPON, must};
use crate::Ledger;
use crate::conformance::sample;
use crate::notifications::{NotificationsPage, PAGE_NOTIFICATIONS_MAX, ReminderKey};

/// Runs all of them.
pub(super) async fn run_all<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    a_reminder_is_written_once(&fresh().await).await;
    messages_come_in_pages(&fresh().await).await;
    a_message_is_read_by_its_owner(&fresh().await).await;
    old_messages_are_removed(&fresh().await).await;
}

const KEY: ReminderKey = ReminderKey {
    coupon: COUPON,
    version: Version(1),
    lead_ms: 5,
};

fn later(millis: i64) -> Timestamp {
    sample::NOW.plus_millis(millis)
}

/// The n-th message of a user; its claim expires n milliseconds from now.
fn message(n: u8, user: u32, at: i64) -> Notification {
    Notification {
        id: NotificationId([n; 16]),
        user: sample::user(user),
        kind: NotificationKind::ClaimExpiring,
        claim_id: sample::claim_id(COUPON, n.into()),
        version: Version(1),
        expires_at: later(n.into()),
        lead_ms: 5,
        at: later(at),
        read_at: None,
    }
}

async fn remind(ledger: &dyn Ledger, passed: u64, messages: &[Notification]) -> u64 {
    must(ledger.remind(KEY, Ticket(passed), messages).await)
}

async fn ids(ledger: &dyn Ledger, user: u32, page: NotificationsPage) -> Vec<u8> {
    let found = must(ledger.notifications(&sample::user(user), page).await);
    found.iter().map(|one| one.id.0[0]).collect()
}

const FIRST: NotificationsPage = NotificationsPage {
    after: None,
    limit: 10,
};

async fn a_reminder_is_written_once(ledger: &dyn Ledger) {
    assert_eq!(must(ledger.reminder_cursor(KEY).await), None);
    assert_eq!(
        remind(ledger, 3, &[message(1, 0, 0), message(2, 1, 0)]).await,
        2
    );
    assert_eq!(must(ledger.reminder_cursor(KEY).await), Some(Ticket(3)));
    // A rerun from the same place, and one that is behind.
    assert_eq!(remind(ledger, 3, &[message(3, 0, 0)]).await, 0);
    assert_eq!(remind(ledger, 2, &[message(4, 0, 0)]).await, 0);
    assert_eq!(must(ledger.reminder_cursor(KEY).await), Some(Ticket(3)));
    assert_eq!(ids(ledger, 0, FIRST).await, [1]);
    // One that is there stays as it is.
    let again = message(1, 0, 9);
    assert_eq!(remind(ledger, 4, &[again, message(5, 0, 0)]).await, 1);
    let found = must(ledger.notifications(&sample::user(0), FIRST).await);
    assert_eq!(found, [message(5, 0, 0), message(1, 0, 0)]);
    // Other versions and leads have places of their own.
    for other in [
        ReminderKey {
            version: Version(2),
            ..KEY
        },
        ReminderKey { lead_ms: 6, ..KEY },
    ] {
        assert_eq!(must(ledger.reminder_cursor(other).await), None);
        assert_eq!(must(ledger.remind(other, Ticket(1), &[]).await), 0);
        assert_eq!(must(ledger.reminder_cursor(other).await), Some(Ticket(1)));
    }
    assert_eq!(must(ledger.reminder_cursor(KEY).await), Some(Ticket(4)));
    let many = vec![message(9, 0, 0); PAGE_NOTIFICATIONS_MAX + 1];
    assert!(ledger.remind(KEY, Ticket(9), &many).await.is_err());
    assert_eq!(must(ledger.reminder_cursor(KEY).await), Some(Ticket(4)));
}

async fn messages_come_in_pages(ledger: &dyn Ledger) {
    let messages = [
        message(1, 0, 0),
        message(2, 0, 7),
        message(3, 0, 7),
        message(4, 1, 3),
        message(5, 0, 2),
    ];
    remind(ledger, 1, &messages).await;
    assert_eq!(ids(ledger, 0, FIRST).await, [3, 2, 5, 1]);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = NotificationsPage { after, limit: 1 };
        let found = must(ledger.notifications(&sample::user(0), page).await);
        let Some(last) = found.last() else { break };
        after = Some((last.at, last.id));
        seen.push(last.id.0[0]);
    }
    assert_eq!(seen, [3, 2, 5, 1]);
    assert_eq!(ids(ledger, 2, FIRST).await, [0; 0]);
}

async fn a_message_is_read_by_its_owner(ledger: &dyn Ledger) {
    remind(ledger, 1, &[message(1, 0, 0)]).await;
    let id = message(1, 0, 0).id;
    let foreign = ledger.mark_read(id, &sample::user(1), later(1)).await;
    assert_eq!(must(foreign), None);
    let unknown = NotificationId([9; 16]);
    let nothing = ledger.mark_read(unknown, &sample::user(0), later(1)).await;
    assert_eq!(must(nothing), None);
    for at in [2, 3] {
        let read = must(ledger.mark_read(id, &sample::user(0), later(at)).await);
        let read_at = read.and_then(|read| read.read_at);
        assert_eq!(read_at, Some(later(2)), "the first time counts");
    }
    let listed = must(ledger.notifications(&sample::user(0), FIRST).await);
    assert_eq!(listed[0].read_at, Some(later(2)));
}

async fn old_messages_are_removed(ledger: &dyn Ledger) {
    let messages = [
        message(3, 0, 0),
        message(1, 0, 0),
        message(2, 0, 0),
        message(9, 0, 0),
    ];
    remind(ledger, 4, &messages).await;
    assert_eq!(must(ledger.forget_notifications(later(1), 10).await), 0);
    assert_eq!(must(ledger.forget_notifications(later(9), 2).await), 2);
    assert_eq!(ids(ledger, 0, FIRST).await, [9, 3], "the oldest went first");
    assert_eq!(must(ledger.forget_notifications(later(9), 10).await), 1);
    // What was removed is not written again.
    assert_eq!(remind(ledger, 4, &messages).await, 0);
    assert_eq!(ids(ledger, 0, FIRST).await, [9]);
}
