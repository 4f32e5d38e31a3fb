//! Messages to a shopper, on the site's own channel.

use serde::{Deserialize, Serialize};

use crate::id::{ClaimId, NotificationId, UserId, Version};
use crate::time::Timestamp;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Follows from what it is about: the same message has the same id.
    pub id: NotificationId,
    /// To whom.
    pub user: UserId,
    /// About what.
    pub kind: NotificationKind,
    /// The claim it is about.
    pub claim_id: ClaimId,
    /// The version of the claim's frozen terms.
    pub version: Version,
    /// When the claim expires.
    pub expires_at: Timestamp,
    /// How long before that it was due, in milliseconds.
    pub lead_ms: u64,
    /// When it was written.
    pub at: Timestamp,
    /// When the shopper said that they had read it.
    pub read_at: Option<Timestamp>,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    /// A claim that nobody has used expires soon.
    ClaimExpiring,
}
