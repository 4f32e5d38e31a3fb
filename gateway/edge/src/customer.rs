//! Who calls a checkout route: a shopper for themselves, or a service for one of them.

use http::HeaderMap;
use http::header;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::UserId;
use sluice_domain::input::Principal;
use sluice_domain::pricing::Buyer;
use sluice_domain::reason::ReasonCode;

use crate::claims::Claims;
use crate::identity::Caller;
use crate::respond::{FieldError, Stop};
use crate::server::Edge;
use crate::service;
use crate::service_key::{SERVICE_KEY_PREFIX, ServiceKey};

/// Who calls.
#[derive(Debug)]
pub(crate) enum Customer {
    /// A shopper, by token or pass.
    Shopper(Caller),
    /// A service with the scope `checkout`.
    Service(ServiceKey),
}

// === impl Customer ===

impl Customer {
    /// Verifies the one bearer credential of a request. A shopper's request is counted against
    /// their limits; a service has none but the address's.
    pub(crate) async fn identify<C: Claims>(
        edge: &Edge<C>,
        headers: &HeaderMap,
    ) -> Result<Self, Stop> {
        let Some(key) = service(edge, headers).await? else {
            return Ok(Self::Shopper(service::identify(edge, headers)?));
        };
        if !key.checkout {
            return Err(Stop::Code(ReasonCode::Forbidden));
        }
        Ok(Self::Service(key))
    }

    /// The name under which the ledger keeps what this caller does.
    pub(crate) fn actor(&self) -> String {
        match self {
            Self::Shopper(caller) => format!("user:{}", caller.shopper.user),
            Self::Service(key) => format!("key:{}", key.prefix),
        }
    }

    /// Whose things this caller may see; `None` is everybody's. A service may narrow it by naming
    /// a user.
    pub(crate) fn owner(&self, named: Option<UserId>) -> Result<Option<UserId>, Stop> {
        match (self, named) {
            (Self::Shopper(caller), None) => Ok(Some(caller.shopper.user)),
            (Self::Shopper(_), Some(_)) => Err(from_token("/user_id")),
            (Self::Service(_), named) => Ok(named),
        }
    }

    /// The buyer that a body asks for: the shopper themselves, or whom the service names.
    pub(crate) fn buyer(&self, asked: Principal) -> Result<Buyer, Stop> {
        match self {
            Self::Shopper(caller) => {
                let named = [
                    ("/user_id", asked.user.is_some()),
                    ("/buyer", asked.buyer.is_some()),
                ];
                match named.into_iter().find(|(_, said)| *said) {
                    None => Ok(buyer_of(&caller.shopper)),
                    Some((pointer, _)) => Err(from_token(pointer)),
                }
            }
            Self::Service(_) => {
                let user = asked.user.ok_or_else(|| {
                    wrong(
                        "/user_id",
                        "is missing; with a service's key it says for whom",
                    )
                })?;
                let facts = asked.buyer.unwrap_or_default();
                Ok(Buyer {
                    user,
                    groups: facts.groups,
                    is_new: facts.is_new,
                    verified: facts.verified,
                })
            }
        }
    }

    /// The shopper that a claim by code is made for.
    pub(crate) fn shopper(&self, buyer: &Buyer) -> Shopper {
        match self {
            Self::Shopper(caller) => caller.shopper.clone(),
            Self::Service(_) => Shopper::from(buyer),
        }
    }
}

fn buyer_of(shopper: &Shopper) -> Buyer {
    Buyer {
        user: shopper.user,
        groups: shopper.groups.iter().map(ToString::to_string).collect(),
        is_new: shopper.is_new,
        verified: shopper.verified.to_vec(),
    }
}

fn from_token(pointer: &str) -> Stop {
    wrong(
        pointer,
        "is taken from the token; only a service's key may say it",
    )
}

fn wrong(pointer: &str, detail: &'static str) -> Stop {
    Stop::Invalid(vec![FieldError {
        pointer: pointer.to_owned(),
        detail: detail.into(),
    }])
}

/// The service that calls, whatever its scopes; `None` where the request carries no service's key.
pub(crate) async fn service<C: Claims>(
    edge: &Edge<C>,
    headers: &HeaderMap,
) -> Result<Option<ServiceKey>, Stop> {
    let Some(text) = bearer_key(headers) else {
        return Ok(None);
    };
    let proven = edge.service_keys.prove(text).await;
    let key = proven.map_err(|_unavailable| Stop::Unavailable)?;
    key.map(Some).ok_or(Stop::Code(ReasonCode::Unauthorized))
}

/// The bearer credential, where it is an API key.
fn bearer_key(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let text = lines.next()?.to_str().ok()?;
    // Two credentials are nobody's honest request; the token's check refuses them.
    if lines.next().is_some() {
        return None;
    }
    let (scheme, credential) = text.split_once(' ')?;
    let credential = credential.trim();
    (scheme.eq_ignore_ascii_case("bearer") && credential.starts_with(SERVICE_KEY_PREFIX))
        .then_some(credential)
}
