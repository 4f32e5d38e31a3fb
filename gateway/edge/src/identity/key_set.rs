//! The issuer's keys: a JSON Web Key Set, reduced to what may verify a token here.
//!
//! Keys come from the configured file only. What a token says about keys (`jku`, `jwk`, `x5u`,
//! `x5c`) is never followed, and its `kid` is compared with ours, never used as a path.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use super::IdentitySettings;

/// Keys in a set; a rotation needs two per issuer.
const KEYS_MAX: usize = 64;
/// Shortest secret for `HS256`, in bytes: as long as its hash.
const SECRET_BYTES_MIN: usize = 32;

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// HMAC with SHA-256. Only where it is the only algorithm.
    #[serde(rename = "HS256")]
    Hs256,
}

/// The keys in force. Each verifies with exactly one algorithm.
pub struct KeySet {
    keys: Vec<TokenKey>,
    generation: u64,
}

/// One key.
pub(super) struct TokenKey {
    kid: Option<Box<str>>,
    pub(super) key: DecodingKey,
    pub(super) validation: Validation,
}

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON of the form `{"keys": […]}`.
    #[error("it is not a JSON Web Key Set")]
    Syntax(#[source] serde_json::Error),
    /// No key in it fits the configured algorithms.
    #[error("it has no key for the configured algorithms")]
    NoUsableKey,
    /// More keys than anybody rotates.
    #[error("it has more than {KEYS_MAX} keys")]
    TooManyKeys,
    /// Two keys with the same id: which one is meant?
    #[error("it has two keys with the id {0:?}")]
    SameId(String),
    /// A key says that it fits and does not.
    #[error("the key with the id {kid:?} is broken")]
    BrokenKey {
        /// Its id.
        kid: Option<String>,
        /// Why.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
    /// A secret that can be guessed.
    #[error("the secret with the id {0:?} is shorter than {SECRET_BYTES_MIN} bytes")]
    ShortSecret(Option<String>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

// === impl TokenAlgorithm ===

impl TokenAlgorithm {
    const fn jwt(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Hs256 => Algorithm::HS256,
        }
    }

    /// The algorithm that this key is for; `None` for keys that are not used here (RSA, other
    /// curves, encryption).
    fn of(key: &Jwk) -> Option<Self> {
        if matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let named = key.common.key_algorithm;
        let says = |algorithm| named.is_none() || named == Some(algorithm);
        match &key.algorithm {
            AlgorithmParameters::OctetKeyPair(pair)
                if pair.curve == EllipticCurve::Ed25519 && says(KeyAlgorithm::EdDSA) =>
            {
                Some(Self::EdDsa)
            }
            AlgorithmParameters::EllipticCurve(curve)
                if curve.curve == EllipticCurve::P256 && says(KeyAlgorithm::ES256) =>
            {
                Some(Self::Es256)
            }
            AlgorithmParameters::OctetKey(_secret) if says(KeyAlgorithm::HS256) => {
                Some(Self::Hs256)
            }
            _ => None,
        }
    }
}

// === impl KeySet ===

impl KeySet {
    /// Reads a key set. Keys of other kinds than the configured ones are passed over, since
    /// issuers publish them in the same set.
    ///
    /// # Errors
    /// When no key is left, or one that should be usable is broken.
    pub fn parse(
        text: &[u8],
        settings: &IdentitySettings,
        generation: u64,
    ) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(text).map_err(KeySetError::Syntax)?;
        if document.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooManyKeys);
        }
        let mut keys: Vec<TokenKey> = Vec::new();
        for value in document.keys {
            // A key of a kind this library does not know is not for us.
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            let Some(algorithm) = TokenAlgorithm::of(&jwk) else {
                continue;
            };
            if !settings.algorithms.contains(&algorithm) {
                continue;
            }
            let key = TokenKey::new(&jwk, algorithm, settings)?;
            if keys.iter().any(|held| held.kid == key.kid) {
                return Err(KeySetError::SameId(
                    key.kid.map(String::from).unwrap_or_default(),
                ));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        Ok(Self { keys, generation })
    }

    /// Rises with each set taken over; what was verified with another set is verified again.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The key that a token names. A token without a `kid` fits only a set with a single key.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&TokenKey> {
        match kid {
            Some(kid) => self.keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            None if self.keys.len() == 1 => self.keys.first(),
            None => None,
        }
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.keys.len())
            .field("generation", &self.generation)
            .finish()
    }
}

// === impl TokenKey ===

impl TokenKey {
    fn new(
        jwk: &Jwk,
        algorithm: TokenAlgorithm,
        settings: &IdentitySettings,
    ) -> Result<Self, KeySetError> {
        let kid = jwk.common.key_id.clone();
        let key = DecodingKey::from_jwk(jwk).map_err(|source| KeySetError::BrokenKey {
            kid: kid.clone(),
            source,
        })?;
        let short = key
            .try_get_as_bytes()
            .is_ok_and(|bytes| bytes.len() < SECRET_BYTES_MIN);
        if algorithm == TokenAlgorithm::Hs256 && short {
            return Err(KeySetError::ShortSecret(kid));
        }
        let mut validation = Validation::new(algorithm.jwt());
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        // Times are compared by us, with the clock that the server hands in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            kid: kid.map(String::into_boxed_str),
            key,
            validation,
        })
    }
}
