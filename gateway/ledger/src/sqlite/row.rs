//! Rows of leases, stock and claims between Rust and SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::claim::{ClaimRow, Durability};
use sluice_domain::id::{
    ClaimId, CouponId, Epoch, LaneId, LeaseNumber, Revision, SubjectHash, Ticket, UserId, Version,
};
use sluice_domain::lease::{Lease, LeaseState, Stock};

use super::failure::Part;
use super::value::{Instant, Natural};
use crate::LedgerError;

/// The columns that [`lease`] reads, in order.
pub(super) const LEASE_COLUMNS: &str = "coupon, number, lane, epoch, first, size, state, \
     hot_possible, returned, grace_until, rows";

/// The columns that [`claim`] reads, in order.
pub(super) const CLAIM_COLUMNS: &str = "coupon, ticket, lease, hash, user, revision, version, \
     granted_at, durability, revoked, device, address";

/// Stored for [`LeaseState::Open`].
pub(super) const OPEN: u8 = 0;
/// Stored for [`LeaseState::Quarantined`].
pub(super) const QUARANTINED: u8 = 1;
/// Stored for [`LeaseState::Closed`].
pub(super) const CLOSED: u8 = 2;

/// A class as it is stored.
pub(super) const fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Ledger => 0,
        Durability::Hot => 1,
    }
}

/// A value that no version of this program writes.
fn nonsense(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, what.into())
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, Natural>(column).map(|value| value.0)
}

/// A lease.
pub(super) fn lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    Ok(Lease {
        coupon: CouponId(row.get(0)?),
        number: LeaseNumber(row.get(1)?),
        lane: LaneId(row.get(2)?),
        epoch: Epoch(natural(row, 3)?),
        first: Ticket(natural(row, 4)?),
        size: row.get(5)?,
        state: match row.get(6)? {
            OPEN => LeaseState::Open,
            QUARANTINED => LeaseState::Quarantined,
            CLOSED => LeaseState::Closed,
            _ => return Err(nonsense(6, "is no state of a lease")),
        },
        hot_possible: row.get(7)?,
        returned: row.get(8)?,
        grace_until: row.get::<_, Option<Instant>>(9)?.map(|instant| instant.0),
        rows: row.get(10)?,
    })
}

/// One lease of a coupon.
pub(super) fn find_lease(
    connection: &Connection,
    coupon: CouponId,
    number: LeaseNumber,
) -> Part<Option<Lease>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {LEASE_COLUMNS} FROM leases WHERE coupon = ?1 AND number = ?2"
        ))?
        .query_row(params![coupon.0, number.0], lease)
        .optional()?)
}

/// One lease of a coupon, which must exist.
pub(super) fn known_lease(
    connection: &Connection,
    coupon: CouponId,
    number: LeaseNumber,
) -> Part<Lease> {
    let found = find_lease(connection, coupon, number)?;
    let missing = || LedgerError::corrupt(format!("coupon {coupon} has no lease {number}"));
    Ok(found.ok_or_else(missing)?)
}

/// The stock of a coupon.
pub(super) fn find_stock(connection: &Connection, coupon: CouponId) -> Part<Option<Stock>> {
    Ok(connection
        .prepare_cached("SELECT total, target, leased, returned FROM stock WHERE coupon = ?1")?
        .query_row(params![coupon.0], |row| {
            Ok(Stock {
                total: row.get::<_, Option<Natural>>(0)?.map(|value| value.0),
                target: row.get::<_, Option<Natural>>(1)?.map(|value| value.0),
                leased: natural(row, 2)?,
                returned: natural(row, 3)?,
            })
        })
        .optional()?)
}

/// The stock of a coupon that must exist.
pub(super) fn known_stock(connection: &Connection, coupon: CouponId) -> Part<Stock> {
    let found = find_stock(connection, coupon)?;
    let missing = || LedgerError::corrupt(format!("there is no coupon {coupon}"));
    Ok(found.ok_or_else(missing)?)
}

/// A claim.
pub(super) fn claim(row: &Row<'_>) -> rusqlite::Result<ClaimRow> {
    let coupon = CouponId(row.get(0)?);
    let user = row.get_ref(4)?.as_str()?;
    let subject = |column: usize| -> rusqlite::Result<Option<SubjectHash>> {
        Ok(row.get::<_, Option<[u8; 8]>>(column)?.map(SubjectHash))
    };
    Ok(ClaimRow {
        claim_id: ClaimId::new(coupon, row.get(3)?),
        coupon,
        user: UserId::new(user).map_err(|_syntax| nonsense(4, "is no user id"))?,
        lease: LeaseNumber(row.get(2)?),
        ticket: Ticket(natural(row, 1)?),
        revision: Revision(row.get(5)?),
        version: Version(row.get(6)?),
        granted_at: row.get::<_, Instant>(7)?.0,
        durability: match row.get(8)? {
            0_u8 => Durability::Ledger,
            1 => Durability::Hot,
            _ => return Err(nonsense(8, "is no durability class")),
        },
        device: subject(10)?,
        address: subject(11)?,
        revoked: row.get(9)?,
    })
}
