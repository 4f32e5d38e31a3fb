//! A shopper's messages, each with the frozen terms of the claim it is about.

use std::sync::Arc;

use sluice_domain::id::{NotificationId, UserId};
use sluice_domain::notification::Notification;
use sluice_domain::terms::Terms;
use sluice_domain::time::Timestamp;
use sluice_ledger::notifications::NotificationsPage;

use crate::Checkout;
use crate::error::CheckoutError;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationItem {
    /// The message.
    pub notification: Notification,
    /// The terms of its claim.
    pub terms: Arc<Terms>,
}

// === impl Checkout ===

impl Checkout {
    /// A user's messages, newest first, behind a place (when one was written, and its id) where one
    /// is given; at most `limit` (1 to 999), and whether there are older ones.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn notifications(
        &self,
        user: &UserId,
        after: Option<(Timestamp, NotificationId)>,
        limit: usize,
    ) -> Result<(Vec<NotificationItem>, bool), CheckoutError> {
        let one_more = NotificationsPage {
            after,
            limit: limit + 1,
        };
        let mut found = self.ledger.notifications(user, one_more).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((self.with_terms(found).await?, more))
    }

    /// Writes down that a user has read a message; the message as it is then. Somebody else's is not
    /// found. A repeat keeps the first instant.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn mark_read(
        &self,
        id: NotificationId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Option<NotificationItem>, CheckoutError> {
        let found = self.ledger.mark_read(id, user, now).await?;
        let mut items = self.with_terms(found.into_iter().collect()).await?;
        Ok(items.pop())
    }

    async fn with_terms(
        &self,
        found: Vec<Notification>,
    ) -> Result<Vec<NotificationItem>, CheckoutError> {
        let key = |one: &Notification| (one.claim_id.coupon(), one.version);
        let terms = self.terms.all(&*self.ledger, found.iter().map(key)).await?;
        let items = found.into_iter().filter_map(|notification| {
            let terms = Arc::clone(terms.get(&key(&notification))?);
            Some(NotificationItem {
                notification,
                terms,
            })
        });
        Ok(items.collect())
    }
}
