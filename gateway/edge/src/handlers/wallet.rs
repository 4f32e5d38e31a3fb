//! `GET /v1/wallet`: a user's claims.

use http::StatusCode;
use sluice_domain::claim::ClaimStatus;
use sluice_domain::id::UserId;

use crate::claims::Claims;
use crate::customer::Customer;
use crate::handlers::quote::json;
use crate::respond::{self, FieldError, Reply, Stop};
use crate::service::checkout::Call;
use crate::wire::wallet::WalletBody;

/// What the query may ask for.
struct Asked {
    status: Option<ClaimStatus>,
    user: Option<UserId>,
}

/// Lists the claims, newest first, of one status where that is asked for.
pub(crate) async fn handle<C: Claims>(
    call: Call<'_, C>,
    query: Option<&str>,
) -> Result<Reply, Stop> {
    let asked = read(query.unwrap_or_default())?;
    let user = match (call.customer, asked.user) {
        (Customer::Shopper(caller), None) => caller.shopper.user,
        (Customer::Service(_), Some(user)) => user,
        (Customer::Shopper(_), Some(_)) => {
            return Err(wrong("user_id", "is taken from the token; leave it out"));
        }
        (Customer::Service(_), None) => {
            return Err(wrong(
                "user_id",
                "is missing; with a service's key it says whose wallet",
            ));
        }
    };
    let now = call.edge.identity.now();
    Ok(
        match call.edge.checkout.wallet(&user, asked.status, now).await {
            Ok(page) => json(StatusCode::OK, &WalletBody::of(&page)),
            Err(error) => respond::checkout::fault(&error, call.context),
        },
    )
}

fn read(query: &str) -> Result<Asked, Stop> {
    let mut asked = Asked {
        status: None,
        user: None,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "status" => {
                asked.status = Some(status(value).ok_or_else(|| {
                    wrong(
                        "status",
                        "is none of usable, held, used, expired and revoked",
                    )
                })?);
            }
            "user_id" => {
                let user = UserId::new(value);
                asked.user = Some(user.map_err(|_form| wrong("user_id", "is no user id"))?);
            }
            other => {
                let known = "is not known here; status and user_id are";
                return Err(wrong(other, known));
            }
        }
    }
    Ok(asked)
}

fn status(word: &str) -> Option<ClaimStatus> {
    Some(match word {
        "usable" => ClaimStatus::Usable,
        "held" => ClaimStatus::Held,
        "used" => ClaimStatus::Used,
        "expired" => ClaimStatus::Expired,
        "revoked" => ClaimStatus::Revoked,
        _ => return None,
    })
}

fn wrong(name: &str, detail: &'static str) -> Stop {
    Stop::Invalid(vec![FieldError {
        pointer: format!("query:{name}"),
        detail: detail.into(),
    }])
}
