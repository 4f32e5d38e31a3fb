//! Appending outbox entries: the write that everything else waits for.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use sluice_domain::claim::{Grant, GrantBatch};
use sluice_domain::id::{ClaimId, CouponId, Epoch, LaneId, Ticket};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::lease::LeaseState;

use super::failure::{Part, Step, Stop};
use super::value::{Instant, Natural};
use super::{lanes, row};
use crate::LedgerError;
use crate::claims::{Appended, Conflict, DeposedBy, check_batch};

/// Appends batches whose leases must be open and of `epoch`.
pub(super) fn append(
    connection: &Connection,
    lane_count: LaneCount,
    fence: LaneFence,
    epoch: Epoch,
    batches: &[GrantBatch],
) -> Step<Appended> {
    if !lanes::holds(connection, fence)? {
        let reason = DeposedBy::Lane;
        return Ok(Appended::Deposed { reason });
    }
    for batch in batches {
        if !is_of_lane(connection, lane_count, fence.lane, batch)? {
            let text = format!("coupon {} is not in lane {}", batch.coupon, fence.lane);
            return Err(LedgerError::corrupt(text).into());
        }
    }
    let mut conflicts = Vec::new();
    for batch in batches {
        if !append_batch(connection, fence.lane, epoch, batch, &mut conflicts)? {
            // Rows of earlier batches may be written: they are taken back.
            let (coupon, lease) = (batch.coupon, batch.lease);
            let reason = DeposedBy::Lease { coupon, lease };
            return Err(Stop::Undo(Box::new(Appended::Deposed { reason })));
        }
    }
    let seq = if batches.is_empty() {
        lanes::seq(connection, fence.lane)?
    } else {
        lanes::raise_seq(connection, fence.lane)?
    };
    Ok(Appended::Done { seq, conflicts })
}

/// Whether a lane may have granted this. A shard lives in another lane than its coupon: then the
/// lease says so.
fn is_of_lane(
    connection: &Connection,
    lane_count: LaneCount,
    lane: LaneId,
    batch: &GrantBatch,
) -> Part<bool> {
    if lane_count.lane_of(batch.coupon) == lane {
        return Ok(true);
    }
    let lease = row::find_lease(connection, batch.coupon, batch.lease)?;
    Ok(lease.is_some_and(|lease| lease.lane == lane))
}

/// False where the lease refuses a row that is not there yet.
fn append_batch(
    connection: &Connection,
    lane: LaneId,
    epoch: Epoch,
    batch: &GrantBatch,
    conflicts: &mut Vec<Conflict>,
) -> Part<bool> {
    let Some(lease) = row::find_lease(connection, batch.coupon, batch.lease)? else {
        return Ok(false);
    };
    check_batch(&lease, batch)?;
    // Epochs are counted in each lane: another lane's lease may be of the same.
    let writable = lease.state == LeaseState::Open && (lease.lane, lease.epoch) == (lane, epoch);
    let mut insert = connection.prepare_cached(
        "INSERT INTO claims (coupon, ticket, lease, hash, user, revision, version, granted_at,
                             durability, device, address)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT DO NOTHING",
    )?;
    let mut inserted = 0_u32;
    for grant in &batch.grants {
        // The fast path: the row is new. Only where it is not is there anything to look up.
        if writable && insert_row(&mut insert, batch, grant)? {
            inserted += 1;
            continue;
        }
        match holder(connection, batch.coupon, grant)? {
            Some(holder) if holder.claim_id == grant.claim_id && holder.ticket == grant.ticket => {}
            Some(holder) => conflicts.push(Conflict {
                entry: batch.entry,
                claim_id: grant.claim_id,
                ticket: grant.ticket,
                holder: holder.claim_id,
            }),
            None => return Ok(false),
        }
    }
    if inserted > 0 {
        connection
            .prepare_cached("UPDATE leases SET rows = rows + ?3 WHERE coupon = ?1 AND number = ?2")?
            .execute(params![batch.coupon.0, batch.lease.0, inserted])?;
    }
    Ok(true)
}

fn insert_row(
    insert: &mut CachedStatement<'_>,
    batch: &GrantBatch,
    grant: &Grant,
) -> rusqlite::Result<bool> {
    let inserted = insert.execute(params![
        batch.coupon.0,
        Natural(grant.ticket.0),
        batch.lease.0,
        grant.claim_id.hash(),
        grant.user.as_str(),
        batch.revision.0,
        batch.version.0,
        Instant(batch.granted_at),
        row::durability_code(batch.durability),
        grant.device.map(|hash| hash.0),
        grant.address.map(|hash| hash.0),
    ])?;
    Ok(inserted == 1)
}

/// The row that stands in a grant's place.
struct Holder {
    claim_id: ClaimId,
    ticket: Ticket,
}

/// The row with this ticket; where there is none, the row with this claim id.
fn holder(connection: &Connection, coupon: CouponId, grant: &Grant) -> Part<Option<Holder>> {
    let by_ticket: Option<[u8; 12]> = connection
        .prepare_cached("SELECT hash FROM claims WHERE coupon = ?1 AND ticket = ?2")?
        .query_row(params![coupon.0, Natural(grant.ticket.0)], |row| row.get(0))
        .optional()?;
    if let Some(hash) = by_ticket {
        return Ok(Some(Holder {
            claim_id: ClaimId::new(coupon, hash),
            ticket: grant.ticket,
        }));
    }
    let by_id: Option<Natural> = connection
        .prepare_cached("SELECT ticket FROM claims WHERE coupon = ?1 AND hash = ?2")?
        .query_row(params![coupon.0, grant.claim_id.hash()], |row| row.get(0))
        .optional()?;
    Ok(by_id.map(|ticket| Holder {
        claim_id: grant.claim_id,
        ticket: Ticket(ticket.0),
    }))
}
