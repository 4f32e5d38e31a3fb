//! Who is calling: tokens of the merchant's issuer, and passes that we make of them.
//!
//! Verifying a token costs more CPU than a whole claim, so it is done once: verified tokens are
//! remembered ([`cache`]), and `POST /v1/passes` gives a compact MAC'd form of the same identity
//! ([`pass`]) that any gateway with the pass key verifies in well under a microsecond.
//!
//! Both kinds of key stand in files that are read again while the process runs ([`Identity::
//! reload`]): rotation is "add the new key, wait, remove the old one", without a restart and
//! without a failed request. A file that cannot be read or understood changes nothing.

mod cache;
mod key_set;
mod pass;
pub mod sign;
mod token;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sluice_domain::eligibility::Shopper;
use sluice_domain::time::Timestamp;

pub use key_set::{KeySet, KeySetError, TokenAlgorithm};
pub use pass::{PASS_PREFIX, PassKeys, PassKeysError};

use cache::TokenCache;

/// Longest token or pass that is looked at, in bytes.
pub const CREDENTIAL_BYTES_MAX: usize = 4 * 1024;
/// Longest key file that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the time comes from; the server hands it in.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How tokens and passes are verified.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// The only accepted `iss`.
    pub issuer: String,
    /// The accepted `aud`.
    pub audience: String,
    /// Accepted algorithms: any of `EdDSA` and `ES256`, or `HS256` alone.
    pub algorithms: Vec<TokenAlgorithm>,
    /// A JSON Web Key Set (RFC 7517) with the issuer's keys.
    pub jwks_file: PathBuf,
    /// Pass keys: one base64url key of 32 bytes per line, the first one signs, all verify.
    pub pass_keys_file: PathBuf,
    /// Tolerated difference between the issuer's clock and ours, in seconds, 0 to 300.
    pub leeway_s: u32,
    /// Longest life of a pass, in seconds, 60 to 86,400.
    pub pass_ttl_s: u32,
    /// Verified tokens remembered, from 1.
    pub token_cache_max: usize,
}

/// Verifies who is calling.
pub struct Identity {
    settings: IdentitySettings,
    clock: WallClock,
    tokens: ArcSwap<KeySet>,
    passes: ArcSwap<PassKeys>,
    cache: TokenCache,
    /// What the files held when they were last read, whether or not it could be used. Held while
    /// they are read again, so that an older reading never replaces a newer one.
    seen: Mutex<FilesSeen>,
}

/// A caller whose credential was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub shopper: Shopper,
    /// When the credential ends, in seconds since the Unix epoch.
    pub expires_at_s: u64,
    /// By what.
    pub by: Credential,
}

/// The kind of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A token of the merchant's issuer.
    Token,
    /// A pass of ours.
    Pass,
}

/// Why a credential is not accepted. Nothing in it helps to forge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There is none.
    #[error("Send a token or a pass as Authorization: Bearer.")]
    Missing,
    /// Not of a form that can be verified, signed by nobody we know, or altered.
    #[error("The token or pass is not valid.")]
    Invalid,
    /// Its time is over.
    #[error("The token or pass has expired.")]
    Expired,
    /// A service key, where only a shopper may call.
    #[error("A service key is not accepted here: send the shopper's token or pass.")]
    ServiceKey,
}

/// Why identity cannot be set up, or a changed file is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A setting is wrong.
    #[error("identity.{field} {problem}")]
    Setting {
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key set is unusable.
    #[error("{path} is no usable key set")]
    KeySet {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeySetError,
    },
    /// The pass keys are unusable.
    #[error("{path} has no usable pass keys")]
    PassKeys {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PassKeysError,
    },
}

#[derive(Debug)]
struct FilesSeen {
    /// Absent where the file could not be read.
    jwks: Option<blake3::Hash>,
    /// Likewise.
    passes: Option<blake3::Hash>,
}

// === impl IdentitySettings ===

impl IdentitySettings {
    /// Settings with the documented defaults.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, jwks_file: PathBuf, pass_keys_file: PathBuf) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            algorithms: vec![TokenAlgorithm::EdDsa, TokenAlgorithm::Es256],
            jwks_file,
            pass_keys_file,
            leeway_s: 30,
            pass_ttl_s: 3_600,
            token_cache_max: 100_000,
        }
    }

    /// Refuses settings outside their documented ranges.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), IdentityError> {
        let wrong = |field, problem| Err(IdentityError::Setting { field, problem });
        if self.issuer.is_empty() {
            return wrong("issuer", "is empty");
        }
        if self.audience.is_empty() {
            return wrong("audience", "is empty");
        }
        if self.algorithms.is_empty() {
            return wrong("algorithms", "is empty");
        }
        // A public key is no secret: beside asymmetric algorithms, HS256 would let anybody sign.
        if self.algorithms.contains(&TokenAlgorithm::Hs256) && self.algorithms.len() > 1 {
            return wrong("algorithms", "has HS256 beside another algorithm");
        }
        if self.leeway_s > 300 {
            return wrong("leeway_s", "is outside 0 to 300");
        }
        if !(60..=86_400).contains(&self.pass_ttl_s) {
            return wrong("pass_ttl_s", "is outside 60 to 86,400");
        }
        if self.token_cache_max == 0 {
            return wrong("token_cache_max", "is 0");
        }
        Ok(())
    }
}

// === impl Identity ===

impl Identity {
    /// Reads both key files.
    ///
    /// # Errors
    /// When a setting or a file is unusable.
    pub fn open(settings: IdentitySettings, clock: WallClock) -> Result<Self, IdentityError> {
        settings.validate()?;
        let jwks = read(&settings.jwks_file)?;
        let passes = read(&settings.pass_keys_file)?;
        let tokens = parse_key_set(&settings, &jwks, 1)?;
        let pass_keys = parse_pass_keys(&settings, &passes)?;
        Ok(Self {
            cache: TokenCache::new(settings.token_cache_max),
            tokens: ArcSwap::from_pointee(tokens),
            passes: ArcSwap::from_pointee(pass_keys),
            seen: Mutex::new(FilesSeen {
                jwks: Some(blake3::hash(&jwks)),
                passes: Some(blake3::hash(&passes)),
            }),
            settings,
            clock,
        })
    }

    /// Verifies the credential of an `Authorization` header (without the word `Bearer`).
    ///
    /// # Errors
    /// When it is not accepted.
    pub fn verify(&self, credential: &str) -> Result<Caller, Rejected> {
        if credential.len() > CREDENTIAL_BYTES_MAX {
            return Err(Rejected::Invalid);
        }
        let now_s = self.now_s();
        if credential.starts_with(PASS_PREFIX) {
            return self.passes.load().verify(credential, now_s);
        }
        let leeway_s = u64::from(self.settings.leeway_s);
        let keys = self.tokens.load();
        let fingerprint = blake3::hash(credential.as_bytes());
        if let Some(caller) = self.cache.get(&fingerprint, keys.generation()) {
            return alive(caller, now_s, leeway_s);
        }
        let verified = token::verify(credential, &keys, now_s, leeway_s)?;
        let caller = alive(verified, now_s, leeway_s)?;
        self.cache
            .put(fingerprint, keys.generation(), caller.clone());
        Ok(caller)
    }

    /// A pass for a caller, and when it ends: with the caller's own credential, or after the
    /// configured life.
    #[must_use]
    pub fn issue_pass(&self, caller: &Caller) -> (String, Timestamp) {
        let latest_s = self
            .now_s()
            .saturating_add(u64::from(self.settings.pass_ttl_s));
        let expires_at_s = caller.expires_at_s.min(latest_s);
        let pass = self.passes.load().issue(&caller.shopper, expires_at_s);
        let millis = i64::try_from(expires_at_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        (pass, Timestamp::from_millis(millis))
    }

    /// Reads the key files again and takes over what changed. Blocks on file reads; call it from a
    /// place where that is allowed, every second or so.
    ///
    /// # Errors
    /// When a changed file cannot be used. The keys in force stay, and the same broken content is
    /// reported once only, as is a file that is away: the next call goes on to the other file.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        reread(&self.settings.jwks_file, &mut seen.jwks, |text| {
            let generation = self.tokens.load().generation() + 1;
            let keys = parse_key_set(&self.settings, text, generation)?;
            self.tokens.store(Arc::new(keys));
            Ok(())
        })?;
        reread(&self.settings.pass_keys_file, &mut seen.passes, |text| {
            self.passes
                .store(Arc::new(parse_pass_keys(&self.settings, text)?));
            Ok(())
        })
    }

    /// The service's time, as the clock handed in tells it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.now().as_millis() / 1_000).unwrap_or(0)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The caller, unless the credential has ended (a remembered one may end while it is remembered).
fn alive(caller: Caller, now_s: u64, leeway_s: u64) -> Result<Caller, Rejected> {
    if now_s < caller.expires_at_s.saturating_add(leeway_s) {
        Ok(caller)
    } else {
        Err(Rejected::Expired)
    }
}

fn parse_key_set(
    settings: &IdentitySettings,
    text: &[u8],
    generation: u64,
) -> Result<KeySet, IdentityError> {
    KeySet::parse(text, settings, generation).map_err(|source| IdentityError::KeySet {
        path: settings.jwks_file.clone(),
        source,
    })
}

fn parse_pass_keys(settings: &IdentitySettings, text: &[u8]) -> Result<PassKeys, IdentityError> {
    PassKeys::parse(text).map_err(|source| IdentityError::PassKeys {
        path: settings.pass_keys_file.clone(),
        source,
    })
}

/// Reads a file again and takes its keys over where they are not those of the last reading.
fn reread(
    path: &Path,
    seen: &mut Option<blake3::Hash>,
    take_over: impl FnOnce(&[u8]) -> Result<(), IdentityError>,
) -> Result<(), IdentityError> {
    let text = match read(path) {
        Ok(text) => text,
        // Reported when it went away; the keys in force stay.
        Err(_still_away) if seen.is_none() => return Ok(()),
        Err(away) => {
            *seen = None;
            return Err(away);
        }
    };
    let hash = blake3::hash(&text);
    if *seen == Some(hash) {
        return Ok(());
    }
    *seen = Some(hash);
    take_over(&text)?;
    tracing::info!(path = %path.display(), "the keys of a changed file are in force");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    use std::io::Read as _;
    let wrap = |source| IdentityError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    std::fs::File::open(path)
        .map_err(wrap)?
        .take(KEY_FILE_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(wrap)?;
    Ok(text)
}
