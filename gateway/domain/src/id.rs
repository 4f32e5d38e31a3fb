//! Identifiers. Each is a type of its own, so that a lease number can never be passed as a ticket.
//!
//! Public ids (coupons, claims) are written in Crockford's base32, lower case, most significant bit
//! first: no `i`, `l`, `o`, `u`, so they survive being read out loud.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a coupon id: 32 bits in groups of five.
pub const COUPON_ID_CHARS: usize = 7;
/// Characters of a claim id: 128 bits in groups of five.
pub const CLAIM_ID_CHARS: usize = 26;
/// Most bytes that a user id may have.
pub const USER_ID_BYTES_MAX: usize = 64;

/// Most bytes that an order id may have.
pub const ORDER_ID_BYTES_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Too long, too short or empty.
    #[error("has {found} characters; {expected} are expected")]
    Length {
        /// Characters found.
        found: usize,
        /// What would be accepted, in words.
        expected: &'static str,
    },
    /// A character outside the alphabet.
    #[error("has a character that is not allowed; use only {allowed}")]
    Character {
        /// The allowed characters, in words.
        allowed: &'static str,
    },
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl $name {
            /// The number after this one. Saturates at the end of its range.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

number! {
    /// A lane: one Redis hash slot, one outbox stream, one epoch, one keeper at a time.
    LaneId(u16)
}
number! {
    /// The serial number the ledger gave a coupon. Never shown; see [`CouponId`].
    CouponNumber(u32)
}
number! {
    /// An epoch of a lane. Rises by one with each recovery.
    Epoch(u64)
}
number! {
    /// A keeper's number: rises with each take-over of a lane, so a late keeper is recognised.
    KeeperNumber(u64)
}
number! {
    /// A lease's number within its coupon, from 1, never used twice. 0 means "no lease yet".
    LeaseNumber(u32)
}
number! {
    /// A ticket: the numbered unit of stock a claim consumes. A name, not a seat: a unit that comes
    /// back is leased again under a new number.
    Ticket(u64)
}
number! {
    /// Counts every change of a coupon, from 1. It is the `ETag` of the admin API.
    Revision(u32)
}
number! {
    /// Counts the changes of a coupon's terms, from 1, at most 1,000. Claims keep theirs.
    Version(u16)
}
number! {
    /// The running number of an outbox entry in its lane. Goes on over epochs, without a gap.
    EntryNumber(u64)
}
number! {
    /// Counts the times a coupon's stock changed after it was reported final (see the protocol).
    StockSeq(u64)
}

/// The public id of a coupon: a keyed permutation of its [`CouponNumber`], so it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CouponId(pub u32);

/// The id of a claim: the coupon's id (32 bits) and 96 bits of a keyed hash. Any gateway finds the
/// coupon, and by it the lane, from the id alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub [u8; 16]);

/// A shopper, as the token names them: 1 to 64 of `A-Z a-z 0-9 _ -`. Held inline: copying it never
/// allocates.
#[derive(Clone, Copy)]
pub struct UserId {
    length: u8,
    bytes: [u8; USER_ID_BYTES_MAX],
}

/// The id of a redemption: 128 bits of a keyed hash of its order's id, so that an order finds its
/// one redemption without an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedemptionId(pub [u8; 16]);

/// The id of a message to a shopper: 128 bits of a keyed hash of what it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(pub [u8; 16]);

/// An order, as the merchant's checkout names it: 1 to 64 of `A-Z a-z 0-9 _ - . :`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(Box<str>);

/// A keyed hash of a device id or of an address prefix, bound to one coupon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectHash(pub [u8; 8]);

/// The random identity of a ledger, made with it. Tells a ledger set back or swapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LedgerId(pub [u8; 16]);

// === impl CouponId ===

impl fmt::Display for CouponId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; COUPON_ID_CHARS];
        encode(u128::from(self.0), &mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_utf8| fmt::Error)?)
    }
}

impl fmt::Debug for CouponId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CouponId({self})")
    }
}

impl FromStr for CouponId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let value = decode(text, COUPON_ID_CHARS, "7")?;
        u32::try_from(value)
            .map(Self)
            .map_err(|_range| IdError::Character {
                allowed: "the digits of a coupon id (the first is 0 to 3)",
            })
    }
}

// === impl ClaimId ===

impl ClaimId {
    /// Puts an id together from its two parts.
    #[must_use]
    pub fn new(coupon: CouponId, hash: [u8; 12]) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&coupon.0.to_be_bytes());
        bytes[4..].copy_from_slice(&hash);
        Self(bytes)
    }

    /// The coupon this claim belongs to.
    #[must_use]
    pub fn coupon(self) -> CouponId {
        let [a, b, c, d, ..] = self.0;
        CouponId(u32::from_be_bytes([a, b, c, d]))
    }

    /// The 96 bits of keyed hash.
    #[must_use]
    pub fn hash(self) -> [u8; 12] {
        let mut hash = [0; 12];
        hash.copy_from_slice(&self.0[4..]);
        hash
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; CLAIM_ID_CHARS];
        encode(u128::from_be_bytes(self.0), &mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_utf8| fmt::Error)?)
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimId({self})")
    }
}

impl FromStr for ClaimId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let value = decode(text, CLAIM_ID_CHARS, "26")?;
        Ok(Self(value.to_be_bytes()))
    }
}

// === impl RedemptionId ===

impl fmt::Display for RedemptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; CLAIM_ID_CHARS];
        encode(u128::from_be_bytes(self.0), &mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_utf8| fmt::Error)?)
    }
}

impl fmt::Debug for RedemptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedemptionId({self})")
    }
}

impl FromStr for RedemptionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let value = decode(text, CLAIM_ID_CHARS, "26")?;
        Ok(Self(value.to_be_bytes()))
    }
}

// === impl NotificationId ===

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; CLAIM_ID_CHARS];
        encode(u128::from_be_bytes(self.0), &mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_utf8| fmt::Error)?)
    }
}

impl fmt::Debug for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotificationId({self})")
    }
}

impl FromStr for NotificationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let value = decode(text, CLAIM_ID_CHARS, "26")?;
        Ok(Self(value.to_be_bytes()))
    }
}

// === impl OrderId ===

impl OrderId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OrderId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > ORDER_ID_BYTES_MAX {
            return Err(IdError::Length {
                found: text.chars().count(),
                expected: "1 to 64",
            });
        }
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
        if !text.bytes().all(allowed) {
            return Err(IdError::Character {
                allowed: "letters, digits, _, -, . and :",
            });
        }
        Ok(Self(text.into()))
    }
}

// === impl UserId ===

impl UserId {
    /// Takes a user id from text.
    ///
    /// # Errors
    /// When it is empty, longer than 64 bytes, or has a character outside `[A-Za-z0-9_-]` (a `}`
    /// would move a Redis key to another slot).
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > USER_ID_BYTES_MAX {
            return Err(IdError::Length {
                found: text.len(),
                expected: "1 to 64",
            });
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        {
            return Err(IdError::Character {
                allowed: "letters, digits, _ and -",
            });
        }
        let mut bytes = [0; USER_ID_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).unwrap_or(0);
        Ok(Self { length, bytes })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    /// The id as bytes (ASCII).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl PartialEq for UserId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for UserId {}

impl PartialOrd for UserId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UserId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for UserId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({})", self.as_str())
    }
}

impl FromStr for UserId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

// === impl SubjectHash, LedgerId ===

impl fmt::Debug for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectHash({:016x})", u64::from_be_bytes(self.0))
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerId({self})")
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(
    CouponId,
    ClaimId,
    UserId,
    RedemptionId,
    NotificationId,
    OrderId
);

/// Writes the low `5 * text.len()` bits of `value`, most significant group first.
fn encode(value: u128, text: &mut [u8]) {
    let mut rest = value;
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[usize::try_from(rest & 31).unwrap_or(0)];
        rest >>= 5;
    }
}

/// Reads exactly `chars` characters of the alphabet (either case).
fn decode(text: &str, chars: usize, expected: &'static str) -> Result<u128, IdError> {
    let found = text.chars().count();
    if found != chars {
        return Err(IdError::Length { found, expected });
    }
    let mut value: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        let digit = ALPHABET
            .iter()
            .position(|&letter| letter == byte.to_ascii_lowercase())
            .ok_or(IdError::Character {
                allowed: "the letters and digits of base32 (no i, l, o, u)",
            })?;
        // 26 characters carry 130 bits: the first may use only its low three.
        if chars == CLAIM_ID_CHARS && index == 0 && digit > 7 {
            return Err(IdError::Character {
                allowed: "0 to 7 as the first character of a claim id",
            });
        }
        value = (value << 5) | u128::try_from(digit).unwrap_or(0);
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
