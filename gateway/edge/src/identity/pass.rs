//! Passes: a verified identity in compact form, under a MAC of ours.
//!
//! A pass is stateless. Its text is `sp_` and the base64url (no padding) of
//! ```text
//! format     1 byte   1
//! key id     4 bytes  which pass key made the MAC
//! expires    5 bytes  seconds since the Unix epoch, big endian
//! flags      1 byte   bit 0 says "new" is told, bit 1 is "new", bits 2 to 4 are phone, email and
//!                     identity verified, bit 5 says that a device follows
//! user       1 byte of length and as many bytes
//! device     the same, only with bit 5
//! groups     1 byte of count, then each as 1 byte of length and as many bytes, sorted
//! MAC        16 bytes of BLAKE3, keyed, over all bytes before
//! ```
//! The MAC is compared in constant time and before anything inside is read.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::UserId;
use sluice_domain::terms::Verified;
use subtle::ConstantTimeEq as _;

use super::token::{DEVICE_BYTES_MAX, GROUP_BYTES_MAX, GROUPS_MAX};
use super::{CREDENTIAL_BYTES_MAX, Caller, Credential, Rejected};

/// How the text of every pass begins. No token begins like this: tokens have dots.
pub const PASS_PREFIX: &str = "sp_";

const FORMAT: u8 = 1;
const MAC_BYTES: usize = 16;
const EXPIRES_BYTES: usize = 5;
const KEYS_MAX: usize = 16;
const KEY_CONTEXT: &str = "sluice 2026 pass";
const KEY_ID_CONTEXT: &str = "sluice 2026 pass key id";

const NEW_TOLD: u8 = 1;
const NEW: u8 = 1 << 1;
const PHONE: u8 = 1 << 2;
const EMAIL: u8 = 1 << 3;
const IDENTITY: u8 = 1 << 4;
const DEVICE: u8 = 1 << 5;

/// The keys of passes: the first one signs, all verify.
pub struct PassKeys {
    keys: Vec<PassKey>,
}

struct PassKey {
    id: [u8; 4],
    mac: [u8; 32],
}

/// Why pass keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassKeysError {
    /// Not text.
    #[error("it is not text")]
    Text,
    /// A line is no key.
    #[error("line {line} is not the base64url form of 32 bytes")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// No line at all.
    #[error("it holds no key")]
    Empty,
    /// More keys than anybody rotates.
    #[error("it holds more than {KEYS_MAX} keys")]
    TooMany,
}

/// Reads the inside of a pass, front to back.
struct Reader<'a> {
    rest: &'a [u8],
}

// === impl PassKeys ===

impl PassKeys {
    /// Reads pass keys: one base64url key of 32 bytes per line; blank lines and lines that begin
    /// with `#` say nothing.
    ///
    /// # Errors
    /// When a line is no key or there is none.
    pub fn parse(text: &[u8]) -> Result<Self, PassKeysError> {
        let text = std::str::from_utf8(text).map_err(|_utf8| PassKeysError::Text)?;
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_text = line.trim();
            if line_text.is_empty() || line_text.starts_with('#') {
                continue;
            }
            let bad = PassKeysError::Line { line: index + 1 };
            let bytes = URL_SAFE_NO_PAD.decode(line_text).map_err(|_base64| bad)?;
            let secret: [u8; 32] = bytes.try_into().map_err(|_length| bad)?;
            keys.push(PassKey::of(&secret));
        }
        match keys.len() {
            0 => Err(PassKeysError::Empty),
            1..=KEYS_MAX => Ok(Self { keys }),
            _ => Err(PassKeysError::TooMany),
        }
    }

    /// A pass for this shopper.
    #[must_use]
    pub fn issue(&self, shopper: &Shopper, expires_at_s: u64) -> String {
        let mut bytes = Vec::with_capacity(256);
        let key = self.keys.first();
        bytes.push(FORMAT);
        bytes.extend_from_slice(&key.map_or([0; 4], |key| key.id));
        bytes.extend_from_slice(&expires_at_s.to_be_bytes()[8 - EXPIRES_BYTES..]);
        bytes.push(flags_of(shopper));
        put(&mut bytes, shopper.user.as_bytes());
        if let Some(device) = &shopper.device {
            put(&mut bytes, device.as_bytes());
        }
        bytes.push(u8::try_from(shopper.groups.len()).unwrap_or(u8::MAX));
        for group in shopper.groups.iter() {
            put(&mut bytes, group.as_bytes());
        }
        if let Some(key) = key {
            let mac = key.mac_of(&bytes);
            bytes.extend_from_slice(&mac);
        }
        let mut text = String::with_capacity(PASS_PREFIX.len() + bytes.len() * 4 / 3 + 4);
        text.push_str(PASS_PREFIX);
        URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
        text
    }

    /// Verifies a pass.
    ///
    /// # Errors
    /// When it is not ours, was altered, or has ended.
    pub fn verify(&self, pass: &str, now_s: u64) -> Result<Caller, Rejected> {
        let text = pass.strip_prefix(PASS_PREFIX).ok_or(Rejected::Invalid)?;
        if text.len() > CREDENTIAL_BYTES_MAX {
            return Err(Rejected::Invalid);
        }
        // Strict: also the unused bits of the last character must be zero, so that no two texts
        // are the same pass. On the heap, because a pass is small and its bound is not: a buffer of
        // that size would be zeroed for every request.
        let decoded = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_base64| Rejected::Invalid)?;
        let body_length = decoded.len().checked_sub(MAC_BYTES);
        let (body, mac) = decoded.split_at(body_length.ok_or(Rejected::Invalid)?);
        let mut reader = Reader { rest: body };
        if reader.byte()? != FORMAT {
            return Err(Rejected::Invalid);
        }
        let id = reader.take(4)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or(Rejected::Invalid)?;
        if !bool::from(key.mac_of(body).ct_eq(mac)) {
            return Err(Rejected::Invalid);
        }
        let caller = reader.caller()?;
        if now_s >= caller.expires_at_s {
            return Err(Rejected::Expired);
        }
        Ok(caller)
    }
}

impl std::fmt::Debug for PassKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PassKeys({} secret)", self.keys.len())
    }
}

// === impl PassKey ===

impl PassKey {
    fn of(secret: &[u8; 32]) -> Self {
        let named = blake3::derive_key(KEY_ID_CONTEXT, secret);
        let [a, b, c, d, ..] = named;
        Self {
            id: [a, b, c, d],
            mac: blake3::derive_key(KEY_CONTEXT, secret),
        }
    }

    fn mac_of(&self, body: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&blake3::keyed_hash(&self.mac, body).as_bytes()[..MAC_BYTES]);
        mac
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Rejected> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Rejected::Invalid)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Rejected> {
        self.take(1)?.first().copied().ok_or(Rejected::Invalid)
    }

    fn text(&mut self) -> Result<&'a str, Rejected> {
        let length = self.byte()?;
        std::str::from_utf8(self.take(usize::from(length))?).map_err(|_utf8| Rejected::Invalid)
    }

    /// Everything after the key id.
    fn caller(&mut self) -> Result<Caller, Rejected> {
        let mut expires = [0; 8];
        expires[8 - EXPIRES_BYTES..].copy_from_slice(self.take(EXPIRES_BYTES)?);
        let flags = self.byte()?;
        let user = UserId::new(self.text()?).map_err(|_detail| Rejected::Invalid)?;
        let device = if flags & DEVICE == 0 {
            None
        } else {
            Some(Arc::from(self.text()?))
        };
        let groups = match self.byte()? {
            0 => Arc::default(),
            count => (0..count)
                .map(|_group| self.text().map(Box::from))
                .collect::<Result<Vec<Box<str>>, Rejected>>()?
                .into(),
        };
        if !self.rest.is_empty() {
            return Err(Rejected::Invalid);
        }
        Ok(Caller {
            shopper: Shopper {
                user,
                groups,
                is_new: (flags & NEW_TOLD != 0).then_some(flags & NEW != 0),
                verified: verified_of(flags),
                device,
            },
            expires_at_s: u64::from_be_bytes(expires),
            by: Credential::Pass,
        })
    }
}

// Lengths and counts are one byte each, and a whole pass fits the largest credential.
const _: () = assert!(GROUPS_MAX <= 255 && GROUP_BYTES_MAX <= 255 && DEVICE_BYTES_MAX <= 255);

fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    debug_assert!(text.len() <= 255, "tokens are bounded when they are read");
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(text);
}

fn flags_of(shopper: &Shopper) -> u8 {
    let mut flags = match shopper.is_new {
        None => 0,
        Some(false) => NEW_TOLD,
        Some(true) => NEW_TOLD | NEW,
    };
    for verified in shopper.verified.iter() {
        flags |= match verified {
            Verified::Phone => PHONE,
            Verified::Email => EMAIL,
            Verified::Identity => IDENTITY,
        };
    }
    if shopper.device.is_some() {
        flags |= DEVICE;
    }
    flags
}

fn verified_of(flags: u8) -> Arc<[Verified]> {
    if flags & (PHONE | EMAIL | IDENTITY) == 0 {
        return Arc::default();
    }
    [
        (PHONE, Verified::Phone),
        (EMAIL, Verified::Email),
        (IDENTITY, Verified::Identity),
    ]
    .into_iter()
    .filter_map(|(bit, verified)| (flags & bit != 0).then_some(verified))
    .collect()
}
