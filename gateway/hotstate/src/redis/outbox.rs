//! The outbox entry: what the claim script writes and the keeper reads.
//!
//! An entry is one stream record with the id `<entry>-0` and one field, `h`: the header, and after it
//! the record and the user of every claim, just as the gateway sent them, so that the script need not
//! look into them. One field and not two for each claim: Redis copies, logs and answers fields one by
//! one. All numbers are big-endian.
//!
//! - header: format (1), coupon (7, base32), lease (4), revision (4), version (2), class (1), granted
//!   at in ms (8), first ticket (8), number of claims (2)
//! - record: length of the user (1), claim hash (12), presence (1: bit 0 device, bit 1 address),
//!   device (8) and address (8) where present

use sluice_domain::claim::{Grant, GrantBatch};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, LeaseNumber, Revision, SubjectHash, Ticket, UserId, Version,
};

use super::layout::{Cursor, Truncated, durability_of};
use crate::lane_store::OutboxEntry;

/// The format written now.
pub(super) const FORMAT: u8 = 2;
/// Name of the field.
pub(super) const FIELD: &[u8] = b"h";
/// Bytes of a record at most.
const RECORD_BYTES_MAX: usize = 30;
const HAS_DEVICE: u8 = 1;
const HAS_ADDRESS: u8 = 2;

/// Why an entry cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Unreadable {
    #[error("it is shorter than its format says")]
    Short,
    #[error("it is longer than its format says")]
    Long,
    #[error("its format is not known here")]
    Format,
    #[error("it has not the one field it should have")]
    Field,
    #[error("a field holds a value that cannot be")]
    Value,
    #[error("its header says that it holds no claim")]
    Empty,
}

impl From<Truncated> for Unreadable {
    fn from(_: Truncated) -> Self {
        Self::Short
    }
}

/// The record that goes with a claim, before its user.
pub(super) fn record(
    user: &UserId,
    claim_id: ClaimId,
    device: Option<SubjectHash>,
    address: Option<SubjectHash>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_BYTES_MAX);
    // A user id has 64 bytes at most.
    bytes.push(u8::try_from(user.as_bytes().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&claim_id.hash());
    let presence = if device.is_some() { HAS_DEVICE } else { 0 }
        | if address.is_some() { HAS_ADDRESS } else { 0 };
    bytes.push(presence);
    for subject in [device, address].into_iter().flatten() {
        bytes.extend_from_slice(&subject.0);
    }
    bytes
}

/// Reads an entry. Never fails: what cannot be read is handed on as it is.
pub(super) fn decode(entry: EntryNumber, fields: &[Vec<u8>]) -> OutboxEntry {
    match batch(entry, fields) {
        Ok(batch) => OutboxEntry::Batch(batch),
        Err(why) => OutboxEntry::Unreadable {
            entry,
            payload: payload(fields),
            reason: why.to_string(),
        },
    }
}

fn batch(entry: EntryNumber, fields: &[Vec<u8>]) -> Result<GrantBatch, Unreadable> {
    let [name, value] = fields else {
        return Err(Unreadable::Field);
    };
    if name != FIELD {
        return Err(Unreadable::Field);
    }
    let mut cursor = Cursor::new(value);
    if cursor.u8()? != FORMAT {
        return Err(Unreadable::Format);
    }
    let coupon: [u8; 7] = cursor.bytes()?;
    let coupon = std::str::from_utf8(&coupon)
        .ok()
        .and_then(|text| text.parse::<CouponId>().ok())
        .ok_or(Unreadable::Value)?;
    let lease = LeaseNumber(cursor.u32()?);
    let revision = Revision(cursor.u32()?);
    let version = Version(cursor.u16()?);
    let durability = durability_of(cursor.u8()?).ok_or(Unreadable::Value)?;
    let granted_at = cursor.time::<8>()?;
    let first = cursor.uint::<8>()?;
    let count = cursor.u16()?;
    if count == 0 {
        return Err(Unreadable::Empty);
    }
    let grants = (first..)
        .take(usize::from(count))
        .map(|ticket| grant(coupon, Ticket(ticket), &mut cursor))
        .collect::<Result<_, _>>()?;
    if !cursor.is_empty() {
        return Err(Unreadable::Long);
    }
    Ok(GrantBatch {
        entry,
        coupon,
        lease,
        revision,
        version,
        granted_at,
        durability,
        grants,
    })
}

fn grant(coupon: CouponId, ticket: Ticket, cursor: &mut Cursor<'_>) -> Result<Grant, Unreadable> {
    let user_bytes = usize::from(cursor.u8()?);
    let claim_id = ClaimId::new(coupon, cursor.bytes()?);
    let presence = cursor.u8()?;
    if presence & !(HAS_DEVICE | HAS_ADDRESS) != 0 {
        return Err(Unreadable::Value);
    }
    let mut subject = |bit: u8| -> Result<Option<SubjectHash>, Truncated> {
        if presence & bit == 0 {
            return Ok(None);
        }
        cursor.bytes().map(|bytes| Some(SubjectHash(bytes)))
    };
    let (device, address) = (subject(HAS_DEVICE)?, subject(HAS_ADDRESS)?);
    let user = std::str::from_utf8(cursor.take(user_bytes)?)
        .ok()
        .and_then(|text| UserId::new(text).ok())
        .ok_or(Unreadable::Value)?;
    Ok(Grant {
        ticket,
        claim_id,
        user,
        device,
        address,
    })
}

/// All fields, each with its length in four bytes before it: nothing of an unreadable entry is lost.
fn payload(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
