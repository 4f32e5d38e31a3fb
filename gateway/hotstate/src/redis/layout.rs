//! The packed fields that scripts and this crate share. The formats stand in `lua/prologue.lua`;
//! everything is big-endian and of fixed width.

use sluice_claim::port::StoreError;
use sluice_domain::claim::{Durability, GrantRecord};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, LeaseNumber, Revision, StockSeq, Ticket, Version,
};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

/// Bytes of a claim in a user's field: `RECORD` in the prologue.
pub(super) const RECORD_BYTES: usize = 31;
/// Bytes of a lease on the list: `LISTED` in the prologue.
const LISTED_BYTES: usize = 20;
/// An end of the claim window that never comes: one millisecond after the last instant.
const NEVER_MS: u64 = 253_402_207_200_001;

/// `FINAL` in the prologue.
pub(super) const FLAG_FINAL: u8 = 1;
/// `MORE_MAY_COME` in the prologue.
pub(super) const FLAG_MORE_MAY_COME: u8 = 2;

/// The field `stock` of a coupon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) lease: LeaseNumber,
    pub(super) next: Ticket,
    pub(super) end: Ticket,
    pub(super) last_lease: LeaseNumber,
    pub(super) stock_seq: StockSeq,
    pub(super) opens_at: Timestamp,
    pub(super) users: u64,
    pub(super) devices: u64,
    pub(super) addresses: u64,
    pub(super) flags: u8,
}

/// Reads fixed-width fields off the front of some bytes.
pub(super) struct Cursor<'a>(&'a [u8]);

/// The bytes end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated;

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// A big-endian number of `N` (1 to 8) bytes.
    pub(super) fn uint<const N: usize>(&mut self) -> Result<u64, Truncated> {
        let bytes: [u8; N] = self.bytes()?;
        let mut wide = [0; 8];
        wide[8 - N..].copy_from_slice(&bytes);
        Ok(u64::from_be_bytes(wide))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Truncated> {
        Ok(u8::from_be_bytes(self.bytes()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Truncated> {
        Ok(u16::from_be_bytes(self.bytes()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Truncated> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    pub(super) fn time<const N: usize>(&mut self) -> Result<Timestamp, Truncated> {
        let millis = i64::try_from(self.uint::<N>()?).unwrap_or(i64::MAX);
        Ok(Timestamp::from_millis(millis))
    }
}

impl From<Truncated> for StoreError {
    fn from(_: Truncated) -> Self {
        Self::Protocol {
            reason: "a packed field is too short".to_owned(),
        }
    }
}

/// Milliseconds as scripts write them.
pub(super) fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(0)
}

/// `RULES` in the prologue: all that the claim script needs of a definition.
pub(super) fn rules(published: &Published) -> Vec<u8> {
    let limits = published.limits;
    let mut bytes = Vec::with_capacity(34);
    bytes.extend_from_slice(&published.revision.0.to_be_bytes());
    bytes.extend_from_slice(&published.terms_revision.0.to_be_bytes());
    bytes.extend_from_slice(&published.version.0.to_be_bytes());
    bytes.push(match published.lifecycle {
        Lifecycle::Live => 1,
        Lifecycle::Paused => 2,
        // A draft is never published; if it were, it would not be claimable.
        Lifecycle::Draft | Lifecycle::Ended => 3,
        Lifecycle::Archived => 4,
    });
    bytes.push(durability_code(published.durability));
    let starts = published.window.starts_at.map_or(0, millis);
    let ends = published.window.ends_at.map_or(NEVER_MS, millis);
    bytes.extend_from_slice(&starts.to_be_bytes());
    bytes.extend_from_slice(&ends.to_be_bytes());
    bytes.extend_from_slice(&limits.per_user.to_be_bytes());
    bytes.extend_from_slice(&limits.per_device.unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&limits.per_address.unwrap_or(0).to_be_bytes());
    bytes
}

/// The revision that packed rules begin with.
pub(super) fn rules_revision(bytes: &[u8]) -> Result<Revision, Truncated> {
    Ok(Revision(Cursor::new(bytes).u32()?))
}

pub(super) const fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Ledger => 1,
        Durability::Hot => 2,
    }
}

pub(super) const fn durability_of(code: u8) -> Option<Durability> {
    match code {
        1 => Some(Durability::Ledger),
        2 => Some(Durability::Hot),
        _ => None,
    }
}

/// `STOCK` in the prologue.
pub(super) fn stock(bytes: &[u8]) -> Result<Stock, Truncated> {
    let mut cursor = Cursor::new(bytes);
    Ok(Stock {
        lease: LeaseNumber(cursor.u32()?),
        next: Ticket(cursor.uint::<8>()?),
        end: Ticket(cursor.uint::<8>()?),
        last_lease: LeaseNumber(cursor.u32()?),
        stock_seq: StockSeq(cursor.uint::<8>()?),
        opens_at: cursor.time::<8>()?,
        users: cursor.uint::<8>()?,
        devices: cursor.uint::<8>()?,
        addresses: cursor.uint::<8>()?,
        flags: cursor.u8()?,
    })
}

/// The field `leases` of a coupon: (lease, first ticket, end), in order.
pub(super) fn listed(bytes: &[u8]) -> Result<Vec<(LeaseNumber, Ticket, Ticket)>, Truncated> {
    let mut cursor = Cursor::new(bytes);
    let mut leases = Vec::with_capacity(bytes.len() / LISTED_BYTES);
    while !cursor.is_empty() {
        leases.push((
            LeaseNumber(cursor.u32()?),
            Ticket(cursor.uint::<8>()?),
            Ticket(cursor.uint::<8>()?),
        ));
    }
    Ok(leases)
}

/// Appends a claim to a user's field.
pub(super) fn push_record(bytes: &mut Vec<u8>, record: &GrantRecord) {
    bytes.extend_from_slice(&record.claim_id.hash());
    bytes.extend_from_slice(&record.ticket.0.to_be_bytes()[3..]);
    bytes.extend_from_slice(&record.version.0.to_be_bytes());
    bytes.extend_from_slice(&millis(record.granted_at).to_be_bytes()[2..]);
    bytes.extend_from_slice(&record.entry.0.to_be_bytes()[2..]);
}

/// The claims in a user's field.
pub(super) fn records(coupon: CouponId, bytes: &[u8]) -> Result<Vec<GrantRecord>, Truncated> {
    let mut cursor = Cursor::new(bytes);
    let mut records = Vec::with_capacity(bytes.len() / RECORD_BYTES);
    while !cursor.is_empty() {
        records.push(GrantRecord {
            claim_id: ClaimId::new(coupon, cursor.bytes()?),
            ticket: Ticket(cursor.uint::<5>()?),
            version: Version(cursor.u16()?),
            granted_at: cursor.time::<6>()?,
            entry: EntryNumber(cursor.uint::<6>()?),
        });
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::{RECORD_BYTES, Truncated, push_record, records};
    use sluice_domain::claim::GrantRecord;
    use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Ticket, Version};
    use sluice_domain::time::Timestamp;

    #[test]
    fn a_record_comes_back_as_it_went_in() {
        let coupon = CouponId(0xdead_beef);
        let record = GrantRecord {
            claim_id: ClaimId::new(coupon, [7; 12]),
            ticket: Ticket((1 << 40) - 1),
            version: Version(1_000),
            granted_at: Timestamp::MAX,
            entry: EntryNumber((1 << 48) - 1),
        };
        let mut bytes = Vec::new();
        push_record(&mut bytes, &record);
        push_record(&mut bytes, &record);
        assert_eq!(bytes.len(), 2 * RECORD_BYTES);
        assert_eq!(records(coupon, &bytes), Ok(vec![record, record]));
        assert_eq!(records(coupon, &bytes[1..]), Err(Truncated));
    }
}
