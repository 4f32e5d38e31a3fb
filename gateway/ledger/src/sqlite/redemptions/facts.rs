//! Facts about checkout for the audit, from the rows.

use rusqlite::{Connection, Row, params};
use sluice_domain::id::{CouponId, RedemptionId};
use sluice_domain::redemption::{Redemption, RowVersion};

use super::super::failure::Part;
use super::super::value::{Instant, Natural};
use super::{document, events, status_code, uses};
use crate::audit_facts::{
    OFFENDERS_MAX, Offenders, RedemptionFacts, RedemptionOrphans, UsageFacts,
};

/// Whether the columns of a row are those of its document.
fn agrees(row: &Row<'_>, redemption: &Redemption) -> rusqlite::Result<bool> {
    Ok(row.get::<_, [u8; 16]>(0)? == redemption.id.0
        && row.get_ref(1)?.as_str()? == redemption.order.as_str()
        && row.get_ref(2)?.as_str()? == redemption.user.as_str()
        && row.get::<_, u8>(3)? == status_code(redemption.status)
        && row.get::<_, u32>(4)? == redemption.row_version.0
        && row.get::<_, Instant>(5)?.0 == redemption.held_until)
}

/// A page of redemptions with what belongs to them.
pub(in crate::sqlite) fn page(
    connection: &Connection,
    coupon: Option<CouponId>,
    after: Option<RedemptionId>,
    limit: usize,
) -> Part<Vec<RedemptionFacts>> {
    let listed = match coupon {
        Some(_) => "AND id IN (SELECT redemption FROM coupon_redemptions WHERE coupon = ?3)",
        None => "AND ?3 IS NULL",
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, order_id, user, status, row_version, held_until, document
         FROM redemptions WHERE id > ?1 {listed} ORDER BY id LIMIT ?2"
    ))?;
    // Nothing is before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| &id.0);
    let coupon = coupon.map(|coupon| coupon.0);
    let mut rows = statement.query(params![after, Natural(limit as u64), coupon])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?;
        let redemption = document::read(text)?;
        // What belongs to the row is found by the row's own id, whatever its document says.
        let id = RedemptionId(row.get(0)?);
        found.push(RedemptionFacts {
            events: events(connection, id)?,
            uses: uses::of_redemption(connection, id)?,
            found_by_its_own: agrees(row, &redemption)?,
            redemption,
        });
    }
    Ok(found)
}

/// The uses of a coupon, as kept and as counted.
pub(in crate::sqlite) fn usage(connection: &Connection, coupon: CouponId) -> Part<UsageFacts> {
    let counted = connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(held_until IS NULL), 0), coalesce(sum(value), 0)
             FROM claim_uses WHERE coupon = ?1",
        )?
        .query_row(params![coupon.0], uses::counted)?;
    Ok(UsageFacts {
        kept: uses::kept(connection, coupon)?,
        counted,
    })
}

/// Counts and names rows of ours by a condition of ours.
fn offenders<T>(
    connection: &Connection,
    from: &str,
    columns: &str,
    order: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Part<Offenders<T>> {
    let count: Natural = connection
        .prepare_cached(&format!("SELECT count(*) FROM {from}"))?
        .query_row([], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns} FROM {from} ORDER BY {order} LIMIT {OFFENDERS_MAX}"
    ))?;
    let first = statement.query_map([], read)?;
    Ok(Offenders {
        count: count.0,
        first: first.collect::<rusqlite::Result<_>>()?,
    })
}

/// Everything without what it belongs to.
pub(in crate::sqlite) fn orphans(connection: &Connection) -> Part<RedemptionOrphans> {
    let uses_where = |condition: &str| {
        offenders(
            connection,
            &format!("claim_uses AS used WHERE NOT EXISTS ({condition})"),
            uses::USE_COLUMNS,
            "coupon, hash, use_number",
            uses::claim_use,
        )
    };
    Ok(RedemptionOrphans {
        events: offenders(
            connection,
            "redemption_events WHERE redemption NOT IN (SELECT id FROM redemptions)",
            "redemption, row_version",
            "redemption, row_version",
            |row| Ok((RedemptionId(row.get(0)?), RowVersion(row.get(1)?))),
        )?,
        redemptions: offenders(
            connection,
            "redemptions WHERE NOT EXISTS (
               SELECT 1 FROM redemption_events AS event
               WHERE event.redemption = redemptions.id
                 AND event.row_version = redemptions.row_version
                 AND event.to_status = redemptions.status)",
            "id",
            "id",
            |row| row.get(0).map(RedemptionId),
        )?,
        uses_without_redemption: uses_where(
            "SELECT 1 FROM redemptions
             WHERE redemptions.id = used.redemption AND redemptions.order_id = used.order_id",
        )?,
        uses_without_claim: uses_where(
            "SELECT 1 FROM claims
             WHERE claims.coupon = used.coupon AND claims.hash = used.hash
               AND claims.user = used.user AND claims.revoked = 0",
        )?,
        uses_unlisted: uses_where(
            "SELECT 1 FROM coupon_redemptions AS listed
             JOIN redemptions ON redemptions.id = listed.redemption
             WHERE listed.coupon = used.coupon AND listed.redemption = used.redemption",
        )?,
        listed: offenders(
            connection,
            "coupon_redemptions WHERE redemption NOT IN (SELECT id FROM redemptions)",
            "coupon, redemption",
            "coupon, redemption",
            |row| Ok((CouponId(row.get(0)?), RedemptionId(row.get(1)?))),
        )?,
    })
}
