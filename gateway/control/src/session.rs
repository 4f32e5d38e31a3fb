//! Who is calling: API keys of operators.
//!
//! A key is `slk_<prefix>_<secret>`: twelve characters by which it is found and 43 that prove it
//! (256 bits). Only the SHA-256 of the secret is stored; a secret with that much entropy needs no
//! slow hash. People's sessions will join them with the console.

mod cache;
mod token;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use sluice_ledger::api_keys::{ApiKey, Role};

use crate::error::{Answer, Problem};

pub(crate) use cache::KeyCache;
pub use token::{ApiKeyText, RandomUnavailable};

/// The operator behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operator {
    /// The public part of the key.
    pub prefix: String,
    /// What the key is for.
    pub label: String,
    /// What it may do.
    pub role: Role,
}

impl Operator {
    /// The name under which the audit log keeps what this operator does.
    pub(crate) fn actor(&self) -> String {
        format!("key:{}", self.prefix)
    }
}

/// Finds the operator that a request's headers name.
///
/// # Errors
/// 401 without a valid key (all causes alike), 403 for a key that is not an operator's, 503 where
/// the ledger does not answer.
pub(crate) async fn identify(
    headers: &HeaderMap,
    keys: &KeyCache,
    now: Timestamp,
) -> Answer<Operator> {
    let text = bearer(headers).ok_or_else(unauthorized)?;
    let presented = ApiKeyText::parse(text).ok_or_else(unauthorized)?;
    let stored = keys.find(presented.prefix()).await?;
    decide(&presented, stored, now)
}

/// Whether the presented key is the stored one and may be used now.
fn decide(presented: &ApiKeyText, stored: Option<ApiKey>, now: Timestamp) -> Answer<Operator> {
    // An unknown key is compared too, so that its answer takes as long as a wrong secret's.
    let hash = stored.as_ref().map_or([0; 32], |key| key.hash);
    let proven = presented.proves(&hash);
    let Some(key) = stored.filter(|_key| proven) else {
        return Err(unauthorized());
    };
    let expired = key.expires_at.is_some_and(|at| now >= at);
    if expired || key.revoked_at.is_some() {
        return Err(unauthorized());
    }
    let role = key.role.ok_or_else(|| {
        Problem::new(
            ReasonCode::Forbidden,
            "This key belongs to a service; the admin API needs an operator's key.",
        )
    })?;
    Ok(Operator {
        prefix: key.prefix,
        label: key.label,
        role,
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized() -> Problem {
    Problem::new(
        ReasonCode::Unauthorized,
        "Send a valid key as Authorization: Bearer slk_….",
    )
    .header(
        WWW_AUTHENTICATE,
        axum::http::HeaderValue::from_static("Bearer"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(new: &ApiKeyText) -> ApiKey {
        ApiKey {
            prefix: new.prefix().to_owned(),
            hash: new.hash(),
            label: "test".to_owned(),
            role: Some(Role::Operator),
            scopes: Vec::new(),
            created_at: Timestamp::MIN,
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn only_the_right_secret_within_its_time_is_an_operator() {
        let new = ApiKeyText::generate().unwrap();
        let other = ApiKeyText::generate().unwrap();
        let now = Timestamp::from_millis(1_000);
        assert!(decide(&new, Some(stored(&new)), now).is_ok());
        assert!(decide(&other, Some(stored(&new)), now).is_err());
        assert!(decide(&new, None, now).is_err());
        for (expires_at, accepted) in [(1_001, true), (1_000, false)] {
            let key = ApiKey {
                expires_at: Some(Timestamp::from_millis(expires_at)),
                ..stored(&new)
            };
            assert_eq!(decide(&new, Some(key), now).is_ok(), accepted);
        }
        let revoked = ApiKey {
            revoked_at: Some(Timestamp::MIN),
            ..stored(&new)
        };
        assert!(decide(&new, Some(revoked), now).is_err());
        let service = ApiKey {
            role: None,
            ..stored(&new)
        };
        assert!(decide(&new, Some(service), now).is_err());
    }
}
