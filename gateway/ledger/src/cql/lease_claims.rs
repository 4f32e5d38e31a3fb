//! The partition of a lease's claims: what stands once in it, its rows, and how it is closed.

use sluice_domain::claim::{ClaimRow, Durability, Grant, GrantBatch};
use sluice_domain::id::{
    ClaimId, CouponId, Epoch, LeaseNumber, Revision, SubjectHash, Ticket, Version,
};
use sluice_domain::lease::{Lease, LeaseState};

use super::partition::{state_of, state_word};
use super::store::{Call, Reading, back_off, fresh_op};
use super::value::{Record, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;

const READ: &str = "SELECT op, state, writer_epoch, row_count, revoked_count FROM lease_claims \
                    WHERE coupon = ? AND lease = ? LIMIT 1";
const WRITE: &str = "UPDATE lease_claims SET op = ?, state = ?, writer_epoch = ?, row_count = ?, \
                     revoked_count = ? WHERE coupon = ? AND lease = ? IF op = ?";
const INSERT: &str = "INSERT INTO lease_claims (coupon, lease, ticket, claim_id, user_id, revision, \
                      version, granted_at, durability, device, address, revoked) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false) IF NOT EXISTS";
const REVOKE: &str = "UPDATE lease_claims SET revoked = true \
                      WHERE coupon = ? AND lease = ? AND ticket = ?";
const READ_ROWS: &str = "SELECT lease, ticket, claim_id, user_id, revision, version, granted_at, \
                         durability, device, address, revoked FROM lease_claims \
                         WHERE coupon = ? AND lease = ? AND ticket >= ? AND ticket <= ?";

pub(super) const STATEMENTS: &[&str] = &[READ, WRITE, INSERT, REVOKE, READ_ROWS];

/// Writers of one lease that may be lost against.
const ROUNDS: u32 = 20;

/// What stands once in a lease's partition.
#[derive(Debug, Clone)]
pub(super) struct LeaseClaims {
    pub(super) coupon: CouponId,
    pub(super) lease: LeaseNumber,
    op: Option<[u8; 16]>,
    /// Rows are taken only while it is open.
    pub(super) state: LeaseState,
    /// Epoch of the last keeper that wrote; one of an earlier epoch writes no more.
    pub(super) writer_epoch: Epoch,
    /// Rows, revoked ones included.
    pub(super) row_count: u32,
    /// Revoked ones.
    pub(super) revoked_count: u32,
}

const fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Ledger => 0,
        Durability::Hot => 1,
    }
}

fn decode_row(coupon: CouponId, record: &Record) -> Result<ClaimRow, LedgerError> {
    Ok(ClaimRow {
        claim_id: ClaimId(record.bytes("claim_id")?),
        coupon,
        user: record.user("user_id")?,
        lease: LeaseNumber(record.number("lease")?),
        ticket: Ticket(record.number("ticket")?),
        revision: Revision(record.number("revision")?),
        version: Version(record.number("version")?),
        granted_at: record.instant("granted_at")?,
        durability: match record.number::<u8>("durability")? {
            0 => Durability::Ledger,
            1 => Durability::Hot,
            other => return Err(LedgerError::corrupt(format!("durability {other}"))),
        },
        device: record.opt_bytes("device")?.map(SubjectHash),
        address: record.opt_bytes("address")?.map(SubjectHash),
        revoked: record.flag("revoked")?,
    })
}

/// The insert of a claim, to go with the write of its partition.
pub(super) fn insert_call(batch: &GrantBatch, grant: &Grant) -> Call {
    let values = values![
        batch.coupon,
        batch.lease.0,
        grant.ticket.0,
        grant.claim_id,
        grant.user,
        batch.revision.0,
        batch.version.0,
        batch.granted_at,
        durability_code(batch.durability),
        grant.device,
        grant.address
    ];
    (INSERT, values)
}

// === impl LeaseClaims ===

impl LeaseClaims {
    /// Rows that are not revoked.
    pub(super) const fn live(&self) -> u32 {
        self.row_count - self.revoked_count
    }

    /// A partition that is not there yet. Nothing is written to one that is closed.
    fn missing(coupon: CouponId, lease: LeaseNumber) -> Self {
        Self {
            coupon,
            lease,
            op: None,
            state: LeaseState::Closed,
            writer_epoch: Epoch(0),
            row_count: 0,
            revoked_count: 0,
        }
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// What stands once in a lease's partition; `None` where it was never made.
    pub(super) async fn lease_claims(
        &self,
        coupon: CouponId,
        lease: LeaseNumber,
        reading: Reading,
    ) -> Result<Option<LeaseClaims>, LedgerError> {
        let key = values![coupon, lease.0];
        let Some(record) = self.store.row(READ, key, reading).await? else {
            return Ok(None);
        };
        Ok(Some(LeaseClaims {
            coupon,
            lease,
            op: Some(record.bytes("op")?),
            state: state_of(record.text("state")?)?,
            writer_epoch: Epoch(record.number("writer_epoch")?),
            row_count: record.number("row_count")?,
            revoked_count: record.number("revoked_count")?,
        }))
    }

    /// Writes the partition that was read, with rows of it, all or nothing; false where another
    /// write came first. Then `claims` is what stands there.
    pub(super) async fn write_claims(
        &self,
        claims: &mut LeaseClaims,
        mut rows: Vec<Call>,
    ) -> Result<bool, LedgerError> {
        let op = fresh_op()?;
        let values = values![
            op,
            state_word(claims.state),
            claims.writer_epoch.0,
            claims.row_count,
            claims.revoked_count,
            claims.coupon,
            claims.lease.0,
            claims.op
        ];
        rows.insert(0, (WRITE, values));
        let probe = (READ, values![claims.coupon, claims.lease.0]);
        let written = self.store.write(rows, probe, claims.op, op).await?;
        claims.op = Some(op);
        Ok(written)
    }

    /// Makes the partition of a new lease; false where somebody gave the lease up already.
    pub(super) async fn open_claims(&self, lease: &Lease) -> Result<bool, LedgerError> {
        let mut claims = LeaseClaims {
            state: LeaseState::Open,
            writer_epoch: lease.epoch,
            ..LeaseClaims::missing(lease.coupon, lease.number)
        };
        self.write_claims(&mut claims, Vec::new()).await
    }

    /// Keeps further rows out of a lease's partition, which is made closed where it is not there.
    /// `None` where a keeper of a later epoch was here.
    pub(super) async fn seal_claims(
        &self,
        coupon: CouponId,
        lease: LeaseNumber,
        epoch: Epoch,
        to: LeaseState,
    ) -> Result<Option<LeaseClaims>, LedgerError> {
        for round in 0..ROUNDS {
            let held = self.lease_claims(coupon, lease, Reading::Serial).await?;
            let missing = held.is_none();
            let mut claims = held.unwrap_or(LeaseClaims::missing(coupon, lease));
            if claims.writer_epoch > epoch {
                return Ok(None);
            }
            let sealed = claims.state == LeaseState::Closed || claims.state == to;
            if sealed && !missing && claims.writer_epoch == epoch {
                return Ok(Some(claims));
            }
            if !sealed || missing {
                claims.state = to;
            }
            claims.writer_epoch = epoch;
            if self.write_claims(&mut claims, Vec::new()).await? {
                return Ok(Some(claims));
            }
            back_off(round).await;
        }
        Err(crowded("lease", lease))
    }

    /// The rows of some tickets of a lease, ends included. Read after a serial read or a write of
    /// the partition, a quorum has all of them.
    pub(super) async fn claim_rows(
        &self,
        coupon: CouponId,
        lease: LeaseNumber,
        tickets: (Ticket, Ticket),
        reading: Reading,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let key = values![coupon, lease.0, tickets.0.0, tickets.1.0];
        let records = self.store.rows(READ_ROWS, key, reading).await?;
        let decode = |record| decode_row(coupon, record);
        records.iter().map(decode).collect()
    }

    /// Takes a row back, with its partition's count; false where another write came first.
    pub(super) async fn revoke_row(
        &self,
        claims: &LeaseClaims,
        row: &ClaimRow,
    ) -> Result<bool, LedgerError> {
        let mut revoked = LeaseClaims {
            revoked_count: claims.revoked_count + 1,
            ..claims.clone()
        };
        let call = (REVOKE, values![row.coupon, row.lease.0, row.ticket.0]);
        self.write_claims(&mut revoked, vec![call]).await
    }
}
