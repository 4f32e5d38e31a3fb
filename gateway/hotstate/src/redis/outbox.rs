//! The outbox entry: what the claim script writes and the keeper reads.
//!
//! An entry is one stream record with the id `<entry>-0`. Its first field is `h`, the header; every
//! further field is a user, and its value is the record that the gateway sent with the claim. So
//! the script passes records through without looking into them. All numbers are big-endian.
//!
//! - header: format (1), coupon (7, base32), lease (4), revision (4), version (2), class (1), granted
//!   at in ms (8), first ticket (8), number of claims (2)
//! - record: claim hash (12), presence (1: bit 0 device, bit 1 address), device (8) and address (8)
//!   where present

use sluice_domain::claim::{Grant, GrantBatch};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, LeaseNumber, Revision, SubjectHash, Ticket, UserId, Version,
};

use super::layout::{Cursor, Truncated, durability_of};
use crate::lane_store::OutboxEntry;

/// The format written now.
pub(super) const FORMAT: u8 = 1;
/// Name of the header field.
pub(super) const HEADER: &[u8] = b"h";
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
    #[error("its header is missing")]
    Header,
    #[error("a field holds a value that cannot be")]
    Value,
    #[error("it does not hold as many claims as its header says")]
    Count,
}

impl From<Truncated> for Unreadable {
    fn from(_: Truncated) -> Self {
        Self::Short
    }
}

/// The record that goes with a claim.
pub(super) fn record(
    claim_id: ClaimId,
    device: Option<SubjectHash>,
    address: Option<SubjectHash>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(29);
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
    let [name, header, claims @ ..] = fields else {
        return Err(Unreadable::Header);
    };
    if name != HEADER {
        return Err(Unreadable::Header);
    }
    let mut cursor = Cursor::new(header);
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
    if !cursor.is_empty() {
        return Err(Unreadable::Long);
    }
    if count == 0 || claims.len() != 2 * usize::from(count) {
        return Err(Unreadable::Count);
    }
    let grants = claims
        .chunks_exact(2)
        .zip(first..)
        .map(|(pair, ticket)| grant(coupon, Ticket(ticket), &pair[0], &pair[1]))
        .collect::<Result<_, _>>()?;
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

fn grant(
    coupon: CouponId,
    ticket: Ticket,
    user: &[u8],
    record: &[u8],
) -> Result<Grant, Unreadable> {
    let user = std::str::from_utf8(user)
        .ok()
        .and_then(|text| UserId::new(text).ok())
        .ok_or(Unreadable::Value)?;
    let mut cursor = Cursor::new(record);
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
    if !cursor.is_empty() {
        return Err(Unreadable::Long);
    }
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
