//! Checkout: wallet, match, quote, hold, confirm, cancel, refund.
//!
//! Decisions are pure and live in `sluice-domain`; this crate reads facts from the ledger, lets
//! them decide, and carries the outcome out by compare-and-set. It knows no Redis, so that
//! checkout goes on while hot state is away.

mod candidates;
mod causes;
mod error;
pub mod explain;
mod hold;
mod metrics;
mod notifications;
mod price;
mod quote;
mod refund;
mod settings;
mod settle;
mod sweep;
mod terms;
mod wallet;

use std::sync::Arc;

use sluice_domain::hash::HashKeys;
use sluice_ledger::Ledger;
use tokio::sync::Semaphore;

pub use candidates::{Ask, Unclaimed};
pub use causes::{CancelledClaim, CancelledOrder, Done, GrantPlan, GrantTarget, OrderGrant};
pub use error::{Answer, CheckoutError, PriceChange, Refused};
pub use hold::{HoldAsk, Holding};
pub use notifications::NotificationItem;
pub use settings::CheckoutSettings;
pub use settle::{Operation, Refunded, Settled};
pub use wallet::{WalletItem, WalletPage};

/// The checkout. Cheap to clone.
#[derive(Clone)]
pub struct Checkout {
    ledger: Arc<dyn Ledger>,
    keys: HashKeys,
    terms: terms::TermsCache,
    settings: CheckoutSettings,
    /// Turns for quotes that take long; each is kept until its computation is over.
    large_quotes: Arc<Semaphore>,
}

/// Large quotes computed at once.
const LARGE_QUOTES_MAX: usize = 2;
/// How often a decision is made again because another transition came first.
const ROUNDS_MAX: usize = 8;
/// Lapsed holds that one hold or confirm frees at most, besides those of its own claims.
const LAPSED_FREED_MAX: usize = 64;

// === impl Checkout ===

impl Checkout {
    /// A checkout on this ledger. `keys` are the ledger's own.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, keys: HashKeys, settings: CheckoutSettings) -> Self {
        Self {
            ledger,
            keys,
            terms: terms::TermsCache::new(settings.terms_cached_max),
            settings,
            large_quotes: Arc::new(Semaphore::new(LARGE_QUOTES_MAX)),
        }
    }
}

impl std::fmt::Debug for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkout")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
