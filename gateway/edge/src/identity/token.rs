//! Verifying one token of the issuer.

use std::sync::Arc;

use serde::Deserialize;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::UserId;
use sluice_domain::terms::Verified;

use super::key_set::KeySet;
use super::{Caller, Credential, Rejected};

/// Groups in a token or pass.
pub(super) const GROUPS_MAX: usize = 64;
/// Bytes of a group's name.
pub(super) const GROUP_BYTES_MAX: usize = 64;
/// Bytes of a device id.
pub(super) const DEVICE_BYTES_MAX: usize = 128;

/// What we read of a token; the rest is the issuer's business.
#[derive(Deserialize)]
struct TokenClaims {
    sub: String,
    exp: u64,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    new: Option<bool>,
    #[serde(default)]
    verified: Vec<String>,
    #[serde(default)]
    device: Option<String>,
}

/// Verifies signature, `iss`, `aud`, `nbf` and the shape of a token. The caller compares `exp`.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    now_s: u64,
    leeway_s: u64,
) -> Result<Caller, Rejected> {
    // Which check failed is for nobody to know.
    let header = jsonwebtoken::decode_header(token).map_err(|_detail| Rejected::Invalid)?;
    if header.crit.is_some() {
        return Err(Rejected::Invalid);
    }
    let key = keys.find(header.kid.as_deref()).ok_or(Rejected::Invalid)?;
    let data = jsonwebtoken::decode::<TokenClaims>(token, &key.key, &key.validation)
        .map_err(|_detail| Rejected::Invalid)?;
    let claims = data.claims;
    if claims
        .nbf
        .is_some_and(|start| start > now_s.saturating_add(leeway_s))
    {
        return Err(Rejected::Invalid);
    }
    let expires_at_s = claims.exp;
    Ok(Caller {
        shopper: shopper(claims)?,
        expires_at_s,
        by: Credential::Token,
    })
}

fn shopper(claims: TokenClaims) -> Result<Shopper, Rejected> {
    let user = UserId::new(&claims.sub).map_err(|_detail| Rejected::Invalid)?;
    let groups_fit = claims.groups.len() <= GROUPS_MAX
        && claims
            .groups
            .iter()
            .all(|group| (1..=GROUP_BYTES_MAX).contains(&group.len()));
    let device_fits = claims
        .device
        .as_ref()
        .is_none_or(|device| (1..=DEVICE_BYTES_MAX).contains(&device.len()));
    if !groups_fit || !device_fits {
        return Err(Rejected::Invalid);
    }
    let mut groups: Vec<Box<str>> = claims
        .groups
        .into_iter()
        .map(String::into_boxed_str)
        .collect();
    groups.sort_unstable();
    groups.dedup();
    // Words we do not know say nothing here, and may mean something to a later version.
    let mut verified: Vec<Verified> = claims
        .verified
        .iter()
        .filter_map(|word| verified_of(word))
        .collect();
    verified.sort_unstable();
    verified.dedup();
    Ok(Shopper {
        user,
        groups: groups.into(),
        is_new: claims.new,
        verified: verified.into(),
        device: claims.device.map(Arc::from),
    })
}

fn verified_of(word: &str) -> Option<Verified> {
    match word {
        "phone" => Some(Verified::Phone),
        "email" => Some(Verified::Email),
        "identity" => Some(Verified::Identity),
        _ => None,
    }
}
