//! A rush for the last money of a coupon: everybody holds in the same instant, and pays at once.
//!
//! Only a check in the same transaction as the hold keeps the budget then: each quote before it saw
//! money left.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::Method;
use serde_json::Value;
use sluice_domain::id::ClaimId;
use sluice_domain::invariant::checkout::{Asked, CheckoutAnswer};
use tokio::sync::Barrier;

use super::WARM_PAUSE;
use super::request::{Order, ask};
use crate::http::Connection;
use crate::shopper::Passes;
use crate::tally::Tally;

/// Tries at a request; nothing fails any more while they rush.
const TRIES_MAX: u32 = 40;

/// Buys with the claims of users 0, 1, 2 …, one each, all at once.
///
/// # Errors
/// When the server cannot be reached, or gives no definite answer.
pub async fn rush(
    data: SocketAddr,
    passes: &Arc<Passes>,
    claims: Vec<ClaimId>,
    name: &str,
    tally: &Arc<Tally>,
) -> anyhow::Result<()> {
    let ready = Arc::new(Barrier::new(claims.len()));
    let mut buyers = tokio::task::JoinSet::new();
    for (user, claim) in claims.into_iter().enumerate() {
        let order = Order {
            user,
            id: format!("rush-{name}-{user}").parse()?,
            claims: vec![claim],
        };
        let connection = Connection::new(data, crate::storm::CLIENT_TIMEOUT);
        buyers.spawn(buy_last(
            connection,
            Arc::clone(passes),
            order,
            Arc::clone(tally),
            Arc::clone(&ready),
        ));
    }
    while let Some(done) = buyers.join_next().await {
        done??;
    }
    Ok(())
}

async fn buy_last(
    mut connection: Connection,
    passes: Arc<Passes>,
    order: Order,
    tally: Arc<Tally>,
    ready: Arc<Barrier>,
) -> anyhow::Result<()> {
    let pass = passes.get(order.user);
    // Connected before the start, so that nobody is late.
    let headers = [("authorization", pass.authorization.as_str())];
    let mut opened = false;
    for _attempt in 0..TRIES_MAX {
        let wallet = connection.call(Method::GET, "/v1/wallet", &headers, "");
        opened = wallet.await.is_ok();
        if opened {
            break;
        }
    }
    ready.wait().await;
    anyhow::ensure!(opened, "the wallet of {} was not answered", pass.user);
    let mut redemption = None;
    for asked in [Asked::Hold, Asked::Confirm] {
        let body = match &asked {
            Asked::Hold => order.body(1),
            _confirm => Value::Null,
        };
        let mut answer = CheckoutAnswer::Unknown;
        for _attempt in 0..TRIES_MAX {
            let (given, attempt) =
                ask(&mut connection, pass, &order, redemption, &asked, &body).await;
            tally.checkout(attempt);
            answer = given;
            if !matches!(answer, CheckoutAnswer::Unknown | CheckoutAnswer::NotApplied) {
                break;
            }
            tokio::time::sleep(WARM_PAUSE).await;
        }
        match answer {
            CheckoutAnswer::Held { redemption: id, .. } => redemption = Some(id),
            CheckoutAnswer::Refused(_) | CheckoutAnswer::Confirmed { .. } => return Ok(()),
            other => {
                return Err(anyhow::anyhow!("{other:?}"))
                    .with_context(|| format!("{asked:?} of order {}", order.id));
            }
        }
    }
    Ok(())
}
