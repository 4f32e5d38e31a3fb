//! Facts for the audit, from SQLite. Counted from the rows at one instant.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use sluice_domain::claim::ClaimRow;
use sluice_domain::id::{ClaimId, CouponId, LeaseNumber, RedemptionId, Revision, UserId, Version};
use sluice_domain::lane::LaneCount;
use sluice_domain::lease::Lease;

use super::failure::{Part, Step};
use super::value::Natural;
use super::{SqliteLedger, coupons, lanes, redemptions, row};
use crate::LedgerError;
use crate::audit_facts::{
    AuditFacts, CouponLedgerFacts, LeaseFacts, OFFENDERS_MAX, Offenders, OverLimit,
    RedemptionFacts, RedemptionOrphans, SubjectFacts, UsageFacts,
};
use crate::claims::page_rows;

/// Condition of a row whose lease does not have its ticket.
const OUTSIDE: &str = "NOT EXISTS (
    SELECT 1 FROM leases
    WHERE leases.coupon = claims.coupon AND leases.number = claims.lease
      AND claims.ticket >= leases.first AND claims.ticket < leases.first + leases.size)";

fn count(connection: &Connection, sql: &str, coupon: CouponId) -> Part<u64> {
    let counted: Natural = connection
        .prepare_cached(sql)?
        .query_row(params![coupon.0], |row| row.get(0))?;
    Ok(counted.0)
}

fn outside_range(connection: &Connection, coupon: CouponId) -> Part<Offenders<ClaimRow>> {
    let counted = format!("SELECT count(*) FROM claims WHERE coupon = ?1 AND {OUTSIDE}");
    let listed = format!(
        "SELECT {} FROM claims WHERE coupon = ?1 AND {OUTSIDE} ORDER BY ticket LIMIT ?2",
        row::CLAIM_COLUMNS
    );
    let mut statement = connection.prepare_cached(&listed)?;
    let first =
        statement.query_map(params![coupon.0, Natural(OFFENDERS_MAX as u64)], row::claim)?;
    Ok(Offenders {
        count: count(connection, &counted, coupon)?,
        first: first.collect::<rusqlite::Result<_>>()?,
    })
}

fn leases(connection: &Connection, coupon: CouponId) -> Part<Vec<LeaseFacts>> {
    let mut counted = BTreeMap::new();
    let mut statement = connection.prepare_cached(
        "SELECT lease, count(*), sum(revoked) FROM claims WHERE coupon = ?1 GROUP BY lease",
    )?;
    let mut rows = statement.query(params![coupon.0])?;
    while let Some(row) = rows.next()? {
        let (rows, revoked): (Natural, Natural) = (row.get(1)?, row.get(2)?);
        counted.insert(LeaseNumber(row.get(0)?), (rows.0, revoked.0));
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM leases WHERE coupon = ?1 ORDER BY number",
        row::LEASE_COLUMNS
    ))?;
    let leases: Vec<Lease> = statement
        .query_map(params![coupon.0], row::lease)?
        .collect::<rusqlite::Result<_>>()?;
    let with_rows = leases.into_iter().map(|lease| {
        let (rows, revoked) = counted.get(&lease.number).copied().unwrap_or((0, 0));
        LeaseFacts {
            lease,
            rows,
            revoked,
        }
    });
    Ok(with_rows.collect())
}

/// `column` is one of ours, never input.
fn subjects(
    connection: &Connection,
    coupon: CouponId,
    column: &str,
    limit: Option<u16>,
) -> Part<SubjectFacts> {
    let grouped = format!(
        "SELECT count(*) AS claims, min(ticket) AS ticket FROM claims
         WHERE coupon = ?1 AND revoked = 0 AND {column} IS NOT NULL GROUP BY {column}"
    );
    let limit = limit.map_or(i64::MAX, i64::from);
    let (distinct, most, over): (Natural, Natural, Natural) = connection
        .prepare_cached(&format!(
            "SELECT count(*), coalesce(max(claims), 0), coalesce(sum(claims > ?2), 0)
             FROM ({grouped})"
        ))?
        .query_row(params![coupon.0, limit], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT claims.user, claims.hash, counted.claims
         FROM ({grouped}) AS counted
         JOIN claims ON claims.coupon = ?1 AND claims.ticket = counted.ticket
         WHERE counted.claims > ?2 ORDER BY counted.claims DESC, counted.ticket LIMIT ?3"
    ))?;
    let first = statement.query_map(
        params![coupon.0, limit, Natural(OFFENDERS_MAX as u64)],
        |row| {
            let user = UserId::new(row.get_ref(0)?.as_str()?);
            Ok(OverLimit {
                user: user.map_err(|_syntax| rusqlite::Error::InvalidQuery)?,
                claim_id: ClaimId::new(coupon, row.get(1)?),
                claims: row.get::<_, Natural>(2)?.0,
            })
        },
    )?;
    Ok(SubjectFacts {
        distinct: distinct.0,
        most: most.0,
        over: Offenders {
            count: over.0,
            first: first.collect::<rusqlite::Result<_>>()?,
        },
    })
}

/// `column` is one of ours, never input.
fn counts<K: Ord>(
    connection: &Connection,
    coupon: CouponId,
    column: &str,
    key: impl Fn(u32) -> K,
) -> Part<BTreeMap<K, u64>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {column}, count(*) FROM claims WHERE coupon = ?1 GROUP BY {column}"
    ))?;
    let rows = statement.query_map(params![coupon.0], |row| {
        Ok((key(row.get(0)?), row.get::<_, Natural>(1)?.0))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn facts(
    connection: &Connection,
    lane_count: LaneCount,
    id: CouponId,
) -> Step<Option<CouponLedgerFacts>> {
    let Some(coupon) = coupons::find(connection, id)? else {
        return Ok(None);
    };
    let limits = coupon.spec.limits;
    let rows = count(
        connection,
        "SELECT count(*) FROM claims WHERE coupon = ?1",
        id,
    )?;
    let revoked = "SELECT count(*) FROM claims WHERE coupon = ?1 AND revoked = 1";
    // `NOT INDEXED` reads the table itself: the index could hide what it does not hold.
    let ids = "SELECT count(DISTINCT hash) FROM claims NOT INDEXED WHERE coupon = ?1";
    let tickets = "SELECT count(DISTINCT ticket) FROM claims NOT INDEXED WHERE coupon = ?1";
    Ok(Some(CouponLedgerFacts {
        lane: lanes::read(connection, lane_count.lane_of(id))?,
        stock: row::known_stock(connection, id)?,
        leases: leases(connection, id)?,
        rows,
        revoked: count(connection, revoked, id)?,
        outside_range: outside_range(connection, id)?,
        // The coupon is part of the id as it is stored here: it cannot differ.
        foreign_ids: Offenders {
            count: 0,
            first: Vec::new(),
        },
        repeated_claim_ids: rows - count(connection, ids, id)?,
        repeated_tickets: rows - count(connection, tickets, id)?,
        users: subjects(connection, id, "user", Some(limits.per_user))?,
        devices: subjects(connection, id, "device", limits.per_device)?,
        addresses: subjects(connection, id, "address", limits.per_address)?,
        revisions: counts(connection, id, "revision", Revision)?,
        versions: counts(connection, id, "version", |version| {
            Version(u16::try_from(version).unwrap_or(u16::MAX))
        })?,
        coupon,
    }))
}

fn pragma_lines(
    connection: &Connection,
    sql: &str,
    line: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<String>,
) -> Part<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let lines = statement.query_map([], line)?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

#[async_trait::async_trait]
impl AuditFacts for SqliteLedger {
    async fn coupon_ids(
        &self,
        after: Option<CouponId>,
        limit: usize,
    ) -> Result<Vec<CouponId>, LedgerError> {
        let after = after.map_or(-1, |id| i64::from(id.0));
        let limit = page_rows(limit) as u64;
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id FROM coupons WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let ids = statement.query_map(params![after, Natural(limit)], |row| {
                row.get(0).map(CouponId)
            })?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn coupon_facts(
        &self,
        coupon: CouponId,
    ) -> Result<Option<CouponLedgerFacts>, LedgerError> {
        let lane_count = self.identity.lanes;
        self.read(move |connection| facts(connection, lane_count, coupon))
            .await
    }

    async fn redemption_facts(
        &self,
        coupon: Option<CouponId>,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionFacts>, LedgerError> {
        let limit = page_rows(limit);
        self.read(move |connection| Ok(redemptions::facts_page(connection, coupon, after, limit)?))
            .await
    }

    async fn usage_facts(&self, coupon: CouponId) -> Result<UsageFacts, LedgerError> {
        self.read(move |connection| Ok(redemptions::usage_facts(connection, coupon)?))
            .await
    }

    async fn redemption_orphans(&self) -> Result<RedemptionOrphans, LedgerError> {
        self.read(|connection| Ok(redemptions::orphans(connection)?))
            .await
    }

    async fn integrity_problems(&self) -> Result<Vec<String>, LedgerError> {
        self.read(|connection| {
            let check = format!("PRAGMA integrity_check({OFFENDERS_MAX})");
            let mut problems = pragma_lines(connection, &check, |row| row.get(0))?;
            problems.retain(|line| line != "ok");
            let dangling = pragma_lines(connection, "PRAGMA foreign_key_check", |row| {
                let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
                Ok(format!(
                    "a row of {table} refers to a row of {parent} that is not there"
                ))
            })?;
            problems.extend(dangling);
            problems.truncate(OFFENDERS_MAX);
            Ok(problems)
        })
        .await
    }
}
