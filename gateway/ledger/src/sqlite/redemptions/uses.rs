//! Rows of live uses, and the counters kept with them.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};
use sluice_domain::redemption::{ClaimUse, CouponUsage};

use super::super::failure::Part;
use super::super::value::{Instant, Natural};
use super::nonsense;
use crate::audit_facts::CountedUses;

/// The columns that [`claim_use`] reads, in order.
pub(super) const USE_COLUMNS: &str =
    "coupon, hash, use_number, redemption, order_id, held_until, value, period";

/// A use.
pub(super) fn claim_use(row: &Row<'_>) -> rusqlite::Result<ClaimUse> {
    let order = row.get_ref(4)?.as_str()?.parse();
    Ok(ClaimUse {
        claim_id: ClaimId::new(CouponId(row.get(0)?), row.get(1)?),
        use_number: row.get(2)?,
        redemption: RedemptionId(row.get(3)?),
        order: order.map_err(|_syntax| nonsense(4, "is no order id"))?,
        held_until: row.get::<_, Option<Instant>>(5)?.map(|instant| instant.0),
        value: row.get(6)?,
        period: row.get(7)?,
    })
}

/// Uses by a condition of ours, never of input.
pub(super) fn select(
    connection: &Connection,
    rest: &str,
    parameters: impl rusqlite::Params,
) -> Part<Vec<ClaimUse>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {USE_COLUMNS} FROM claim_uses {rest}"))?;
    let rows = statement.query_map(parameters, claim_use)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The live uses of a claim, by use number.
pub(in crate::sqlite) fn of_claim(
    connection: &Connection,
    claim_id: ClaimId,
) -> Part<Vec<ClaimUse>> {
    select(
        connection,
        "WHERE coupon = ?1 AND hash = ?2 ORDER BY use_number",
        params![claim_id.coupon().0, claim_id.hash()],
    )
}

/// The live uses of a redemption, by claim.
pub(super) fn of_redemption(connection: &Connection, id: RedemptionId) -> Part<Vec<ClaimUse>> {
    select(
        connection,
        "WHERE redemption = ?1 ORDER BY coupon, hash",
        params![id.0],
    )
}

/// How many live uses a user has of a coupon in a period.
pub(super) fn in_period(
    connection: &Connection,
    coupon: CouponId,
    user: &UserId,
    period: &str,
) -> Part<u32> {
    Ok(connection
        .prepare_cached(
            "SELECT count(*) FROM claim_uses WHERE coupon = ?1 AND user = ?2 AND period = ?3",
        )?
        .query_row(params![coupon.0, user.as_str(), period], |row| row.get(0))?)
}

/// Writes a use that is new.
pub(super) fn insert(connection: &Connection, user: &UserId, taken: &ClaimUse) -> Part<()> {
    connection
        .prepare_cached(
            "INSERT INTO claim_uses (coupon, hash, use_number, redemption, order_id, user,
                                     held_until, value, period)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            taken.claim_id.coupon().0,
            taken.claim_id.hash(),
            taken.use_number,
            taken.redemption.0,
            taken.order.as_str(),
            user.as_str(),
            taken.held_until.map(Instant),
            taken.value,
            taken.period,
        ])?;
    Ok(())
}

/// Writes what may change of a use that is there.
pub(super) fn update(connection: &Connection, taken: &ClaimUse) -> Part<()> {
    connection
        .prepare_cached(
            "UPDATE claim_uses SET held_until = ?4, value = ?5, period = ?6
             WHERE coupon = ?1 AND hash = ?2 AND use_number = ?3",
        )?
        .execute(params![
            taken.claim_id.coupon().0,
            taken.claim_id.hash(),
            taken.use_number,
            taken.held_until.map(Instant),
            taken.value,
            taken.period,
        ])?;
    Ok(())
}

/// Takes a use away.
pub(super) fn delete(connection: &Connection, freed: &ClaimUse) -> Part<()> {
    connection
        .prepare_cached(
            "DELETE FROM claim_uses WHERE coupon = ?1 AND hash = ?2 AND use_number = ?3",
        )?
        .execute(params![
            freed.claim_id.coupon().0,
            freed.claim_id.hash(),
            freed.use_number
        ])?;
    Ok(())
}

/// What the uses of a coupon come to, by the counters.
pub(super) fn kept(connection: &Connection, coupon: CouponId) -> Part<CountedUses> {
    let found = connection
        .prepare_cached("SELECT uses, spent, value FROM coupon_usage WHERE coupon = ?1")?
        .query_row(params![coupon.0], counted)
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Counters from a row.
pub(super) fn counted(row: &Row<'_>) -> rusqlite::Result<CountedUses> {
    Ok(CountedUses {
        usage: CouponUsage {
            uses: row.get::<_, Natural>(0)?.0,
            value: row.get(2)?,
        },
        spent: row.get::<_, Natural>(1)?.0,
    })
}

/// Writes the counters of a coupon.
pub(super) fn keep(connection: &Connection, coupon: CouponId, counted: &CountedUses) -> Part<()> {
    connection
        .prepare_cached(
            "INSERT INTO coupon_usage (coupon, uses, spent, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (coupon) DO UPDATE SET uses = ?2, spent = ?3, value = ?4",
        )?
        .execute(params![
            coupon.0,
            Natural(counted.usage.uses),
            Natural(counted.spent),
            counted.usage.value
        ])?;
    Ok(())
}
