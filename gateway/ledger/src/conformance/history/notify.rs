//! Steps of messages to shoppers.

use proptest::prelude::{Strategy, prop, prop_oneof};
use sluice_domain::id::{CouponId, NotificationId, Ticket, Version};
use sluice_domain::notification::{Notification, NotificationKind};

use super::super::sample;
use crate::Ledger;
use crate::notifications::ReminderKey;

/// A step on messages.
#[derive(Debug, Clone)]
pub enum NotifyStep {
    /// Reminders are written.
    Remind {
        /// Of which version.
        version: u16,
        /// Up to which ticket.
        passed: u64,
        /// (message, user, when in milliseconds from now).
        messages: Vec<(u8, u32, i64)>,
    },
    /// One is read.
    Read {
        /// Which.
        message: u8,
        /// By whom.
        user: u32,
    },
    /// Old ones are removed.
    Forget {
        /// Expired before this, in milliseconds from now.
        before: i64,
        /// At most so many.
        limit: usize,
    },
}

pub(super) fn steps() -> impl Strategy<Value = NotifyStep> {
    let message = (0..6_u8, 0..2_u32, 0..3_i64);
    prop_oneof![
        4 => (1..3_u16, 0..8_u64, prop::collection::vec(message, 0..4))
            .prop_map(|(version, passed, messages)| NotifyStep::Remind { version, passed, messages }),
        3 => (0..6_u8, 0..2_u32).prop_map(|(message, user)| NotifyStep::Read { message, user }),
        1 => (0..8_i64, 1..3_usize)
            .prop_map(|(before, limit)| NotifyStep::Forget { before, limit }),
    ]
}

/// The place of a version, as histories have them.
pub(in crate::conformance) fn key(version: u16) -> ReminderKey {
    ReminderKey {
        coupon: CouponId(0),
        version: Version(version),
        lead_ms: 1,
    }
}

/// Carries a step out; the answer in words.
pub(super) async fn apply(ledger: &dyn Ledger, step: &NotifyStep) -> String {
    match step {
        NotifyStep::Remind {
            version,
            passed,
            messages,
        } => {
            let messages: Vec<Notification> = messages.iter().map(message).collect();
            let reminded = ledger.remind(key(*version), Ticket(*passed), &messages);
            super::apply::words(reminded.await)
        }
        NotifyStep::Read { message, user } => {
            let id = NotificationId([*message; 16]);
            let at = sample::NOW.plus_millis(i64::from(*user));
            super::apply::words(ledger.mark_read(id, &sample::user(*user), at).await)
        }
        NotifyStep::Forget { before, limit } => {
            let before = sample::NOW.plus_millis(*before);
            super::apply::words(ledger.forget_notifications(before, *limit).await)
        }
    }
}

fn message((n, user, at): &(u8, u32, i64)) -> Notification {
    Notification {
        id: NotificationId([*n; 16]),
        user: sample::user(*user),
        kind: NotificationKind::ClaimExpiring,
        claim_id: sample::claim_id(CouponId(0), u32::from(*n)),
        version: Version(1),
        expires_at: sample::NOW.plus_millis(i64::from(*n)),
        lead_ms: 1,
        at: sample::NOW.plus_millis(*at),
        read_at: None,
    }
}
