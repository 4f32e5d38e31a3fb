//! Cells: what transitions of several redemptions meet at. A cell has a content, a version that
//! rises whenever it is let go, and an owner while a transition has it locked.
//!
//! A lock is taken on the condition of the version that was read, so a delayed request to lock, or
//! to write, cannot take place once the cell was let go.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sluice_domain::id::{ClaimId, CouponId, OrderId, RedemptionId, UserId};

use super::CqlLedger;
use super::failure::Failure;
use super::store::{Cas, Reading};
use super::value::{from_json, values};
use crate::LedgerError;

const READ: &str = "SELECT content, version, owner FROM cells WHERE kind = ? AND key = ?";
const LOCK: &str =
    "UPDATE cells SET owner = ? WHERE kind = ? AND key = ? IF owner = null AND version = ?";
const FILL: &str = "UPDATE cells SET content = ?, version = ?, owner = null \
                    WHERE kind = ? AND key = ? IF owner = ? AND version = ?";
const FREE: &str = "UPDATE cells SET version = ?, owner = null WHERE kind = ? AND key = ? \
                    IF owner = ? AND version = ?";
const CHANGE: &str = "UPDATE cells SET content = ?, version = ? WHERE kind = ? AND key = ? \
                      IF owner = null AND version = ?";

pub(super) const STATEMENTS: &[&str] = &[READ, LOCK, FILL, FREE, CHANGE];

/// Names a cell. The order of keys is the order in which cells are locked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct CellKey {
    pub(super) kind: String,
    pub(super) key: String,
}

/// Who has a cell locked: a redemption, and which attempt at a transition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) redemption: RedemptionId,
    pub(super) attempt: [u8; 16],
}

/// A cell as it was read.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) key: CellKey,
    content: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) owner: Option<Owner>,
}

// === impl CellKey ===

impl CellKey {
    fn new(kind: &str, key: String) -> Self {
        let kind = kind.to_owned();
        Self { kind, key }
    }

    /// The redemption of an order.
    pub(super) fn order(order: &OrderId) -> Self {
        Self::new("order", order.to_string())
    }

    /// The uses of a claim.
    pub(super) fn claim(claim_id: ClaimId) -> Self {
        Self::new("claim", claim_id.to_string())
    }

    /// A user's uses of a coupon, by period.
    pub(super) fn user(coupon: CouponId, user: &UserId) -> Self {
        Self::new("user", format!("{coupon}:{user}"))
    }

    /// The counters of a coupon. Last in the order of locks, as most meet there.
    pub(super) fn coupon(coupon: CouponId) -> Self {
        Self::new("zcoupon", coupon.to_string())
    }
}

// === impl Owner ===

impl Owner {
    fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.redemption.0);
        bytes[16..].copy_from_slice(&self.attempt);
        bytes
    }

    fn read(bytes: [u8; 32]) -> Self {
        let (mut redemption, mut attempt) = ([0; 16], [0; 16]);
        redemption.copy_from_slice(&bytes[..16]);
        attempt.copy_from_slice(&bytes[16..]);
        Self {
            redemption: RedemptionId(redemption),
            attempt,
        }
    }
}

// === impl Cell ===

impl Cell {
    /// What is in it; the default where nothing is yet.
    pub(super) fn content<T: DeserializeOwned + Default>(&self) -> Result<T, LedgerError> {
        self.content.as_deref().map_or(Ok(T::default()), from_json)
    }

    /// The version that it has once it is let go.
    pub(super) fn next_version(&self) -> u64 {
        next(self.version)
    }
}

/// The version after a version.
pub(super) fn next(version: Option<u64>) -> u64 {
    version.unwrap_or(0) + 1
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Reads a cell as it is, locked or not.
    pub(super) async fn read_cell(
        &self,
        key: &CellKey,
        reading: Reading,
    ) -> Result<Cell, LedgerError> {
        let found = self
            .store
            .row(READ, values![key.kind, key.key], reading)
            .await?;
        let Some(record) = found else {
            return Ok(Cell {
                key: key.clone(),
                content: None,
                version: None,
                owner: None,
            });
        };
        Ok(Cell {
            key: key.clone(),
            content: record.opt_text("content")?.map(str::to_owned),
            version: record.opt_number("version")?,
            owner: record.opt_bytes("owner")?.map(Owner::read),
        })
    }

    /// Asks once for the lock of a free cell.
    pub(super) async fn try_lock(&self, cell: &Cell, owner: Owner) -> Result<Cas, Failure> {
        let (kind, key) = (&cell.key.kind, &cell.key.key);
        let values = values![owner.bytes(), kind, key, cell.version];
        self.store.cas(LOCK, values).await
    }

    /// Fills a locked cell and lets it go. Nothing where that was done before.
    pub(super) async fn fill_cell(
        &self,
        key: &CellKey,
        owner: Owner,
        version: Option<u64>,
        content: &str,
    ) -> Result<Cas, Failure> {
        let values = values![
            content,
            next(version),
            key.kind,
            key.key,
            owner.bytes(),
            version
        ];
        self.store.cas(FILL, values).await
    }

    /// Lets a locked cell go as it was. Nothing where that was done before.
    pub(super) async fn free_cell(&self, cell: &Cell, owner: Owner) -> Result<Cas, Failure> {
        let (kind, key) = (&cell.key.kind, &cell.key.key);
        let values = values![cell.next_version(), kind, key, owner.bytes(), cell.version];
        self.store.cas(FREE, values).await
    }

    /// Changes a free cell in one step.
    pub(super) async fn change_cell(&self, cell: &Cell, content: &str) -> Result<Cas, Failure> {
        let (kind, key) = (&cell.key.kind, &cell.key.key);
        let values = values![content, cell.next_version(), kind, key, cell.version];
        self.store.cas(CHANGE, values).await
    }
}
