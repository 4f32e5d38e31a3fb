//! After the storm: a fresh coupon with money for a few, and many who want it in the same instant.

use std::sync::Arc;

use super::offer::LAST_MONEY;
use super::setup::Stage;
use super::{CLIENT_TIMEOUT, Sale};
use crate::buyer::fill_wallets_of;
use crate::buyer::rush::rush;
use crate::http::Connection;
use crate::shopper::Passes;
use crate::tally::Tally;

/// Buyers, each with a claim of their own.
const BUYERS: usize = 32;

/// Sells the coupon's claims, and lets their owners rush.
pub(super) async fn rush_for_it(
    stage: &Stage,
    passes: &Arc<Passes>,
    tally: &Arc<Tally>,
) -> anyhow::Result<Sale> {
    let sale = stage.open_sale(&LAST_MONEY, 1, tally).await?;
    let data = stage.data(0)?;
    let mut connection = Connection::new(data, CLIENT_TIMEOUT);
    let wanted = [sale.wanted()];
    let wallets = fill_wallets_of(BUYERS, &mut connection, passes, &wanted, tally).await?;
    let claims = wallets.into_iter().flatten().collect();
    rush(data, passes, claims, &sale.coupon.to_string(), tally).await?;
    Ok(sale)
}
