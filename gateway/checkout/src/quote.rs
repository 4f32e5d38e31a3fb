//! Match and quote: a cart is priced, nothing is changed.

use sluice_domain::pricing::{self, MatchAnswer, Quote};
use sluice_domain::time::Timestamp;

use crate::Checkout;
use crate::candidates::Ask;
use crate::error::Answer;

// === impl Checkout ===

impl Checkout {
    /// What a cart costs with the claims asked for.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn quote(&self, ask: &Ask, now: Timestamp) -> Answer<Quote> {
        match self.gather(ask, None, now).await? {
            Ok(gathered) => Ok(self
                .price(gathered.input)
                .await?
                .map(|(_input, quote)| quote)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// What each claim of a wallet would do for a cart, and the best combination.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn match_cart(&self, ask: &Ask, now: Timestamp) -> Answer<MatchAnswer> {
        match self.gather(ask, None, now).await? {
            Ok(gathered) => {
                let computed = self.compute(gathered.input, pricing::match_wallet).await?;
                Ok(computed.map(|(_input, matched)| matched))
            }
            Err(refused) => Ok(Err(refused)),
        }
    }
}
