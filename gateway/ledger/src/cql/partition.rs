//! A coupon's partition: its document, stock, leases and versions, read and written together.

use std::collections::BTreeMap;

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, Epoch, LaneId, LeaseNumber, Ticket, Version};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{Lease, LeaseState, Stock};

use super::CqlLedger;
use super::audit::Pending;
use super::store::{Call, Reading, fresh_op};
use super::value::{Record, from_json, values};
use crate::LedgerError;
use crate::coupons::change::to_json;
use crate::coupons::{VersionRow, document};

const READ: &str = "SELECT op, document, retired, total, target, leased, returned, fences, \
                    pending_audit FROM coupons WHERE coupon = ? LIMIT 1";
const WRITE: &str = "UPDATE coupons SET op = ?, document = ?, retired = ?, total = ?, target = ?, \
                     leased = ?, returned = ?, fences = ?, \
                     pending_audit = ? WHERE coupon = ? IF op = ?";
const CLEAR_PENDING: &str =
    "UPDATE coupons SET pending_audit = null WHERE coupon = ? IF pending_audit = ?";
const READ_LEASES: &str = "SELECT number, lane, epoch, first, size, state, hot_possible, came_back, \
                           grace_until, row_count, made_by FROM coupons \
                           WHERE coupon = ? AND kind = 'lease'";
const READ_LEASE: &str = "SELECT number, lane, epoch, first, size, state, hot_possible, came_back, \
                          grace_until, row_count, made_by FROM coupons \
                          WHERE coupon = ? AND kind = 'lease' AND number = ?";
const WRITE_LEASE: &str = "UPDATE coupons SET lane = ?, epoch = ?, first = ?, size = ?, state = ?, \
                           hot_possible = ?, came_back = ?, grace_until = ?, row_count = ?, \
                           made_by = ? WHERE coupon = ? AND kind = 'lease' AND number = ?";
const READ_VERSIONS: &str = "SELECT number, published, terms, hash, at, author FROM coupons \
                             WHERE coupon = ? AND kind = 'version'";
const READ_VERSION: &str = "SELECT number, published, terms, hash, at, author FROM coupons \
                            WHERE coupon = ? AND kind = 'version' AND number = ?";
const WRITE_VERSION: &str = "UPDATE coupons SET published = ?, terms = ?, hash = ?, at = ?, \
                             author = ? WHERE coupon = ? AND kind = 'version' AND number = ?";

pub(super) const STATEMENTS: &[&str] = &[
    READ,
    WRITE,
    CLEAR_PENDING,
    READ_LEASES,
    READ_LEASE,
    WRITE_LEASE,
    READ_VERSIONS,
    READ_VERSION,
    WRITE_VERSION,
];

/// What stands once in a coupon's partition. One that was never written is empty.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) id: CouponId,
    /// The stamp of the last write.
    op: Option<[u8; 16]>,
    /// `None`: there is no such coupon.
    pub(super) coupon: Option<Coupon>,
    pub(super) retired: bool,
    pub(super) stock: Stock,
    /// Epoch and keeper of the last fenced write of each lane: shards are sold in several.
    fences: BTreeMap<u16, (u64, u64)>,
    /// An audit entry that may not be in the log yet.
    pub(super) pending: Option<Pending>,
}

/// A lease as its coupon's partition has it, and which intention made it. `rows` is right only
/// once it is closed.
#[derive(Debug, Clone)]
pub(super) struct LeaseEntry {
    pub(super) lease: Lease,
    pub(super) made_by: [u8; 16],
}

/// A lease's state as it is stored.
pub(super) const fn state_word(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Open => "open",
        LeaseState::Quarantined => "quarantined",
        LeaseState::Closed => "closed",
    }
}

/// The state that a word stands for.
pub(super) fn state_of(word: &str) -> Result<LeaseState, LedgerError> {
    match word {
        "open" => Ok(LeaseState::Open),
        "quarantined" => Ok(LeaseState::Quarantined),
        "closed" => Ok(LeaseState::Closed),
        other => Err(LedgerError::corrupt(format!("a lease is {other:?}"))),
    }
}

fn decode(id: CouponId, record: Option<&Record>) -> Result<Part, LedgerError> {
    let Some(record) = record else {
        return Ok(Part::empty(id));
    };
    let number = |name| Ok::<u64, LedgerError>(record.opt_number(name)?.unwrap_or(0));
    Ok(Part {
        id,
        op: record.opt_bytes("op")?,
        coupon: record
            .opt_text("document")?
            .map(document::read)
            .transpose()?,
        retired: record.flag("retired")?,
        stock: Stock {
            total: record.opt_number("total")?,
            target: record.opt_number("target")?,
            leased: number("leased")?,
            returned: number("returned")?,
        },
        fences: record
            .opt_text("fences")?
            .map_or(Ok(BTreeMap::new()), from_json)?,
        pending: record
            .opt_text("pending_audit")?
            .map(from_json)
            .transpose()?,
    })
}

fn decode_lease(id: CouponId, record: &Record) -> Result<LeaseEntry, LedgerError> {
    Ok(LeaseEntry {
        lease: Lease {
            coupon: id,
            number: LeaseNumber(record.number("number")?),
            lane: LaneId(record.number("lane")?),
            epoch: Epoch(record.number("epoch")?),
            first: Ticket(record.number("first")?),
            size: record.number("size")?,
            state: state_of(record.text("state")?)?,
            hot_possible: record.flag("hot_possible")?,
            returned: record.number("came_back")?,
            grace_until: record.opt_instant("grace_until")?,
            rows: record.number("row_count")?,
        },
        made_by: record.bytes("made_by")?,
    })
}

fn decode_version(record: &Record) -> Result<VersionRow, LedgerError> {
    Ok(VersionRow {
        version: Version(record.number("number")?),
        published: record.json("published")?,
        terms: record.json("terms")?,
        hash: record.bytes("hash")?,
        at: record.instant("at")?,
        author: record.text("author")?.to_owned(),
    })
}

/// The write of a version, to go with that of its partition.
pub(super) fn version_call(id: CouponId, row: &VersionRow) -> Result<Call, LedgerError> {
    let (published, terms) = (to_json(&row.published)?, to_json(&row.terms)?);
    let values = values![
        published,
        terms,
        row.hash,
        row.at,
        row.author,
        id,
        row.version.0
    ];
    Ok((WRITE_VERSION, values))
}

// === impl LeaseEntry ===

impl LeaseEntry {
    /// The write of the lease, to go with that of its partition.
    pub(super) fn call(&self) -> Call {
        let lease = &self.lease;
        let values = values![
            lease.lane.0,
            lease.epoch.0,
            lease.first.0,
            lease.size,
            state_word(lease.state),
            lease.hot_possible,
            lease.returned,
            lease.grace_until,
            lease.rows,
            self.made_by,
            lease.coupon,
            lease.number.0
        ];
        (WRITE_LEASE, values)
    }
}

// === impl Part ===

impl Part {
    fn empty(id: CouponId) -> Self {
        Self {
            id,
            op: None,
            coupon: None,
            retired: false,
            stock: Stock::default(),
            fences: BTreeMap::new(),
            pending: None,
        }
    }

    /// The coupon, which must be there.
    pub(super) fn known(&self) -> Result<&Coupon, LedgerError> {
        let missing = || LedgerError::corrupt(format!("there is no coupon {}", self.id));
        self.coupon.as_ref().ok_or_else(missing)
    }

    /// Puts a keeper's fence on the partition; false where a later one has been here. Both numbers
    /// only ever rise in a lane.
    pub(super) fn fence(&mut self, fence: LaneFence) -> bool {
        let held = self.fences.entry(fence.lane.0).or_default();
        if fence.epoch.0 < held.0 || fence.keeper.0 < held.1 {
            return false;
        }
        *held = (fence.epoch.0, fence.keeper.0);
        true
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Reads what stands once in a coupon's partition.
    pub(super) async fn read_part(
        &self,
        id: CouponId,
        reading: Reading,
    ) -> Result<Part, LedgerError> {
        let record = self.store.row(READ, values![id], reading).await?;
        decode(id, record.as_ref())
    }

    /// Writes a partition that was read, with more rows of it, all or nothing; false where another
    /// write came first. `op` names the intention.
    pub(super) async fn write_part_as(
        &self,
        op: [u8; 16],
        part: &Part,
        mut rows: Vec<Call>,
    ) -> Result<bool, LedgerError> {
        let written = part.coupon.as_ref().map(document::write).transpose()?;
        let pending = part.pending.as_ref().map(to_json).transpose()?;
        let values = values![
            op,
            written,
            part.retired,
            part.stock.total,
            part.stock.target,
            part.stock.leased,
            part.stock.returned,
            to_json(&part.fences)?,
            pending,
            part.id,
            part.op
        ];
        rows.insert(0, (WRITE, values));
        let probe = (READ, values![part.id]);
        self.store.write(rows, probe, part.op, op).await
    }

    /// The same, as an intention of its own.
    pub(super) async fn write_part(
        &self,
        part: &Part,
        rows: Vec<Call>,
    ) -> Result<bool, LedgerError> {
        self.write_part_as(fresh_op()?, part, rows).await
    }

    /// Finishes a pending audit entry of a partition: it is in the log when this returns.
    pub(super) async fn finish_audit(&self, part: &Part) -> Result<(), LedgerError> {
        let Some(pending) = &part.pending else {
            return Ok(());
        };
        self.record(pending).await?;
        // Left standing where this fails: recording it again changes nothing.
        let cleared = self
            .store
            .cas(CLEAR_PENDING, values![part.id, to_json(pending)?])
            .await;
        if let Err(error) = cleared {
            tracing::debug!(?error, coupon = %part.id, "a pending audit entry stays for now");
        }
        Ok(())
    }

    /// All leases of a coupon, by number.
    pub(super) async fn lease_entries(
        &self,
        id: CouponId,
        reading: Reading,
    ) -> Result<Vec<LeaseEntry>, LedgerError> {
        let records = self.store.rows(READ_LEASES, values![id], reading).await?;
        let decode = |record| decode_lease(id, record);
        records.iter().map(decode).collect()
    }

    /// One lease, which must be there.
    pub(super) async fn lease_entry(
        &self,
        id: CouponId,
        number: LeaseNumber,
        reading: Reading,
    ) -> Result<LeaseEntry, LedgerError> {
        let found = self.find_lease(id, number, reading).await?;
        let missing = || LedgerError::corrupt(format!("coupon {id} has no lease {number}"));
        found.ok_or_else(missing)
    }

    /// One lease.
    pub(super) async fn find_lease(
        &self,
        id: CouponId,
        number: LeaseNumber,
        reading: Reading,
    ) -> Result<Option<LeaseEntry>, LedgerError> {
        let key = values![id, number.0];
        let record = self.store.row(READ_LEASE, key, reading).await?;
        let decode = |record| decode_lease(id, record);
        record.as_ref().map(decode).transpose()
    }

    /// All versions of a coupon, by number.
    pub(super) async fn read_versions(
        &self,
        id: CouponId,
        reading: Reading,
    ) -> Result<Vec<VersionRow>, LedgerError> {
        let records = self.store.rows(READ_VERSIONS, values![id], reading).await?;
        records.iter().map(decode_version).collect()
    }

    /// One version of a coupon.
    pub(super) async fn read_version(
        &self,
        id: CouponId,
        version: Version,
        reading: Reading,
    ) -> Result<Option<VersionRow>, LedgerError> {
        let key = values![id, version.0];
        let record = self.store.row(READ_VERSION, key, reading).await?;
        record.as_ref().map(decode_version).transpose()
    }
}
