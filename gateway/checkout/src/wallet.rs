//! A user's claims, each with its frozen terms and its status of now.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_domain::claim::{ClaimRow, ClaimStatus};
use sluice_domain::id::{ClaimId, OrderId, UserId};
use sluice_domain::redemption::ClaimUse;
use sluice_domain::terms::Terms;
use sluice_domain::time::Timestamp;
use sluice_domain::validity::{self, Standing};

use crate::Checkout;
use crate::error::CheckoutError;

/// One claim in a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletItem {
    /// The claim.
    pub row: ClaimRow,
    /// Its frozen terms.
    pub terms: Arc<Terms>,
    /// Where it stands now.
    pub status: ClaimStatus,
    /// First instant at which it may be used.
    pub valid_from: Timestamp,
    /// First instant at which it may not be used any more.
    pub expires_at: Option<Timestamp>,
    /// With `held`: by which order, and until when.
    pub held: Option<(OrderId, Timestamp)>,
    /// Uses that are neither reserved nor spent.
    pub uses_left: u32,
}

/// The newest claims of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletPage {
    /// The claims, newest first.
    pub items: Vec<WalletItem>,
    /// Whether there are older ones that are not listed.
    pub more: bool,
}

// === impl Checkout ===

impl Checkout {
    /// A user's newest claims, of one status where that is asked for.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn wallet(
        &self,
        user: &UserId,
        status: Option<ClaimStatus>,
        now: Timestamp,
    ) -> Result<WalletPage, CheckoutError> {
        let limit = self.settings.wallet_claims_max;
        let mut rows = self.ledger.claims_of_user(user, limit + 1).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let mut items = self.items(rows, now).await?;
        items.retain(|item| status.is_none_or(|wanted| item.status == wanted));
        Ok(WalletPage { items, more })
    }

    /// One claim of this user; somebody else's is not found.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn wallet_item(
        &self,
        claim: ClaimId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Option<WalletItem>, CheckoutError> {
        let row = self.ledger.claim(claim).await?;
        let Some(row) = row.filter(|row| row.user == *user) else {
            return Ok(None);
        };
        Ok(self.items(vec![row], now).await?.pop())
    }

    /// These claims, each with its frozen terms and its status of now, in the order given.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn items(
        &self,
        rows: Vec<ClaimRow>,
        now: Timestamp,
    ) -> Result<Vec<WalletItem>, CheckoutError> {
        let keys = rows.iter().map(|row| (row.coupon, row.version));
        let terms = self.terms.all(&*self.ledger, keys).await?;
        let ids: Vec<ClaimId> = rows.iter().map(|row| row.claim_id).collect();
        let mut uses: HashMap<ClaimId, Vec<ClaimUse>> = HashMap::new();
        for one in self.ledger.claim_uses(&ids).await? {
            uses.entry(one.claim_id).or_default().push(one);
        }
        let items = rows.into_iter().filter_map(|row| {
            let terms = Arc::clone(terms.get(&(row.coupon, row.version))?);
            let live = uses.remove(&row.claim_id).unwrap_or_default();
            Some(item(row, terms, &live, now))
        });
        Ok(items.collect())
    }
}

fn item(row: ClaimRow, terms: Arc<Terms>, live: &[ClaimUse], now: Timestamp) -> WalletItem {
    let expires_at = terms.validity.expires_at(row.granted_at);
    // A hold that ran out holds nothing, whether it was swept or not.
    let counted = |one: &&ClaimUse| one.held_until.is_none_or(|until| until > now);
    let taken = u32::try_from(live.iter().filter(counted).count()).unwrap_or(u32::MAX);
    let uses_left = terms.uses_per_claim.saturating_sub(taken);
    let held = live
        .iter()
        .filter(counted)
        .filter_map(|one| Some((one.held_until?, one.order.clone())))
        .min()
        .map(|(until, order)| (order, until));
    let standing = if row.revoked {
        Standing::Revoked
    } else {
        Standing::Durable
    };
    let status = match (
        validity::status(standing, expires_at, now),
        uses_left,
        &held,
    ) {
        (ClaimStatus::Revoked, ..) => ClaimStatus::Revoked,
        (_, 0, Some(_)) => ClaimStatus::Held,
        (_, 0, None) => ClaimStatus::Used,
        (status, ..) => status,
    };
    WalletItem {
        valid_from: terms.validity.valid_from(row.granted_at),
        expires_at,
        held: held.filter(|_| status == ClaimStatus::Held),
        uses_left,
        status,
        row,
        terms,
    }
}
