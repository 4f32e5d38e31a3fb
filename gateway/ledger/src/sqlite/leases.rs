//! Stock and leases on SQLite.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use sluice_domain::id::{CouponId, Epoch, LaneId, LeaseNumber};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{LEASE_TICKETS_MAX, Lease, LeaseState, Stock};
use sluice_domain::time::Timestamp;

use super::failure::{Part, Step};
use super::value::{Instant, Natural};
use super::{SqliteLedger, coupons, keys, lanes, row};
use crate::LedgerError;
use crate::coupons::change::lowered_entry;
use crate::leases::{LeaseOpened, LeaseStep, Leases, TargetSettled, no_stock};

/// Gives a coupon its next lease.
fn open(
    connection: &Connection,
    fence: LaneFence,
    coupon: CouponId,
    want: u32,
    hot_possible: bool,
) -> Step<LeaseOpened> {
    let Some(stock) = row::find_stock(connection, coupon)? else {
        return Ok(LeaseOpened::NothingLeft(no_stock()));
    };
    let wanted = u64::from(want.clamp(1, LEASE_TICKETS_MAX));
    let size = stock.unleased().map_or(wanted, |left| wanted.min(left));
    if size == 0 {
        return Ok(LeaseOpened::NothingLeft(stock));
    }
    let number: u32 = connection
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM leases WHERE coupon = ?1")?
        .query_row(params![coupon.0], |row| row.get(0))?;
    connection
        .prepare_cached(
            "INSERT INTO leases (coupon, number, lane, epoch, first, size, state, hot_possible)
             SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, max(?8, durability) FROM coupons WHERE id = ?1",
        )?
        .execute(params![
            coupon.0,
            number,
            fence.lane.0,
            Natural(fence.epoch.0),
            Natural(stock.leased + 1),
            Natural(size),
            row::OPEN,
            hot_possible,
        ])?;
    connection
        .prepare_cached("UPDATE stock SET leased = leased + ?2 WHERE coupon = ?1")?
        .execute(params![coupon.0, Natural(size)])?;
    let seq = lanes::raise_seq(connection, fence.lane)?;
    let lease = row::known_lease(connection, coupon, LeaseNumber(number))?;
    Ok(LeaseOpened::Opened(lease, seq))
}

/// The shards of a coupon; 1 for one that does not exist.
fn shards(connection: &Connection, coupon: CouponId) -> Part<u16> {
    let shards = connection
        .prepare_cached("SELECT shards FROM coupons WHERE id = ?1")?
        .query_row(params![coupon.0], |row| row.get(0))
        .optional()?;
    Ok(shards.unwrap_or(1))
}

/// A step on one lease: `change` says whether it changed anything.
fn step(
    connection: &Connection,
    fence: LaneFence,
    coupon: CouponId,
    number: LeaseNumber,
    change: impl FnOnce(&Lease) -> Part<bool>,
) -> Step<LeaseStep> {
    if !lanes::holds(connection, fence)? {
        return Ok(LeaseStep::Deposed);
    }
    let lease = row::known_lease(connection, coupon, number)?;
    if lease.lane != fence.lane {
        return Err(LedgerError::corrupt(format!(
            "lease {number} of coupon {coupon} belongs to lane {}, not {}",
            lease.lane, fence.lane
        ))
        .into());
    }
    let seq = if change(&lease)? {
        lanes::raise_seq(connection, fence.lane)?
    } else {
        lanes::seq(connection, fence.lane)?
    };
    Ok(LeaseStep::Done(
        row::known_lease(connection, coupon, number)?,
        seq,
    ))
}

/// Closes a lease by its rows, counted now: the counters are only compared with them.
fn close(connection: &Connection, lease: &Lease) -> Part<bool> {
    if lease.state == LeaseState::Closed {
        return Ok(false);
    }
    let (rows, revoked): (u32, u32) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(revoked), 0) FROM claims
             WHERE coupon = ?1 AND ticket >= ?2 AND ticket < ?3 AND lease = ?4",
        )?
        .query_row(
            params![
                lease.coupon.0,
                Natural(lease.first.0),
                Natural(lease.end().0),
                lease.number.0
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    if rows != lease.rows {
        tracing::error!(
            coupon = %lease.coupon, lease = %lease.number, counted = rows, kept = lease.rows,
            "the counter of a lease's rows was wrong; the rows count"
        );
    }
    let returned = lease.size - rows + revoked;
    connection
        .prepare_cached(
            "UPDATE leases SET state = ?3, rows = ?4, revoked = ?5, returned = ?6
             WHERE coupon = ?1 AND number = ?2",
        )?
        .execute(params![
            lease.coupon.0,
            lease.number.0,
            row::CLOSED,
            rows,
            revoked,
            returned
        ])?;
    give_back(connection, lease.coupon, returned)?;
    Ok(true)
}

/// Raises what came back to a coupon's stock.
pub(super) fn give_back(connection: &Connection, coupon: CouponId, units: u32) -> Part<()> {
    connection
        .prepare_cached("UPDATE stock SET returned = returned + ?2 WHERE coupon = ?1")?
        .execute(params![coupon.0, units])?;
    Ok(())
}

fn quarantine(
    connection: &Connection,
    lease: &Lease,
    current: Epoch,
    grace_until: Timestamp,
) -> Part<bool> {
    if lease.state != LeaseState::Open {
        return Ok(false);
    }
    if lease.epoch >= current {
        return Err(LedgerError::corrupt(format!(
            "lease {} of coupon {} is of the current epoch",
            lease.number, lease.coupon
        ))
        .into());
    }
    connection
        .prepare_cached(
            "UPDATE leases SET state = ?3, grace_until = ?4 WHERE coupon = ?1 AND number = ?2",
        )?
        .execute(params![
            lease.coupon.0,
            lease.number.0,
            row::QUARANTINED,
            Instant(grace_until)
        ])?;
    Ok(true)
}

fn settle(connection: &Connection, coupon: CouponId, now: Timestamp) -> Step<TargetSettled> {
    let held = row::known_stock(connection, coupon)?;
    let Some(target) = held.target else {
        return Ok(TargetSettled::NoTarget(held));
    };
    let mut stock = Stock {
        target: None,
        ..held
    };
    let settled = if held.leased - held.returned > target {
        TargetSettled::TooMuchGranted(stock)
    } else if held.total.is_some_and(|total| total <= target) {
        TargetSettled::Lowered(stock)
    } else {
        stock.total = Some(target);
        let before = coupons::known(connection, coupon)?;
        let mut after = before.clone();
        after.spec.limits.total = Some(target);
        after.revision = before.revision.next();
        after.updated_at = now;
        coupons::store(connection, &after)?;
        keys::write_audit(connection, lowered_entry(&before, &after, now)?)?;
        TargetSettled::Lowered(stock)
    };
    write_limits(connection, coupon, &stock)?;
    Ok(settled)
}

/// Writes total and target; what was leased stays as it is.
pub(super) fn write_limits(connection: &Connection, coupon: CouponId, stock: &Stock) -> Part<()> {
    connection
        .prepare_cached("UPDATE stock SET total = ?2, target = ?3 WHERE coupon = ?1")?
        .execute(params![
            coupon.0,
            stock.total.map(Natural),
            stock.target.map(Natural)
        ])?;
    Ok(())
}

fn list(connection: &Connection, condition: &str, value: u32) -> Step<Vec<Lease>> {
    let sql = format!(
        "SELECT {} FROM leases WHERE {condition} ORDER BY coupon, number",
        row::LEASE_COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let leases = statement.query_map(params![value], row::lease)?;
    Ok(leases.collect::<rusqlite::Result<_>>()?)
}

#[async_trait::async_trait]
impl Leases for SqliteLedger {
    async fn stock(&self, coupon: CouponId) -> Result<Stock, LedgerError> {
        self.read(move |connection| Ok(row::find_stock(connection, coupon)?.unwrap_or(no_stock())))
            .await
    }

    async fn leases(&self, coupon: CouponId) -> Result<Vec<Lease>, LedgerError> {
        self.read(move |connection| list(connection, "coupon = ?1", coupon.0))
            .await
    }

    async fn live_leases(&self, lane: LaneId) -> Result<Vec<Lease>, LedgerError> {
        self.read(move |connection| list(connection, "lane = ?1 AND state < 2", u32::from(lane.0)))
            .await
    }

    async fn open_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        want: u32,
        hot_possible: bool,
    ) -> Result<LeaseOpened, LedgerError> {
        let lane_count = self.identity.lanes;
        self.write(move |connection| {
            if !lanes::holds(connection, fence)? {
                return Ok(LeaseOpened::Deposed);
            }
            if !lane_count.keeps(fence.lane, coupon, shards(connection, coupon)?) {
                let text = format!("coupon {coupon} has no shard in lane {}", fence.lane);
                return Err(LedgerError::corrupt(text).into());
            }
            open(connection, fence, coupon, want, hot_possible)
        })
        .await
    }

    async fn close_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
    ) -> Result<LeaseStep, LedgerError> {
        self.write(move |connection| {
            step(connection, fence, coupon, lease, |held| {
                close(connection, held)
            })
        })
        .await
    }

    async fn quarantine_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
        grace_until: Timestamp,
    ) -> Result<LeaseStep, LedgerError> {
        self.write(move |connection| {
            step(connection, fence, coupon, lease, |held| {
                quarantine(connection, held, fence.epoch, grace_until)
            })
        })
        .await
    }

    async fn set_hot_possible(&self, coupon: CouponId) -> Result<(), LedgerError> {
        self.write(move |connection| {
            row::known_stock(connection, coupon)?;
            let mut flag = connection.prepare_cached(
                "UPDATE leases SET hot_possible = 1
                 WHERE coupon = ?1 AND state = ?2 AND hot_possible = 0 RETURNING lane",
            )?;
            let changed = flag
                .query_map(params![coupon.0, row::OPEN], |row| row.get(0))?
                .collect::<rusqlite::Result<BTreeSet<u16>>>()?;
            for lane in changed {
                lanes::raise_seq(connection, LaneId(lane))?;
            }
            Ok(())
        })
        .await
    }

    async fn set_target(
        &self,
        coupon: CouponId,
        target: Option<u64>,
    ) -> Result<Stock, LedgerError> {
        self.write(move |connection| {
            let mut stock = row::known_stock(connection, coupon)?;
            stock.target = target;
            write_limits(connection, coupon, &stock)?;
            Ok(stock)
        })
        .await
    }

    async fn settle_target(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        now: Timestamp,
    ) -> Result<TargetSettled, LedgerError> {
        self.write(move |connection| {
            if !lanes::holds(connection, fence)? {
                return Ok(TargetSettled::Deposed);
            }
            settle(connection, coupon, now)
        })
        .await
    }
}
