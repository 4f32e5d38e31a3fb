//! Claims on SQLite.

use std::time::Instant as Stopwatch;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::claim::{ClaimRow, GrantBatch};
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId, Ticket, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::LeaseState;

use super::append::append;
use super::failure::{Part, Step};
use super::value::{Instant, Natural};
use super::{SqliteLedger, lanes, leases, redemptions, row};
use crate::LedgerError;
use crate::claims::{AppendFrom, Appended, Claims, ClaimsPage, DeadLetter, Revoked, page_rows};

/// One claim.
pub(super) fn find(connection: &Connection, claim_id: ClaimId) -> Part<Option<ClaimRow>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {} FROM claims WHERE coupon = ?1 AND hash = ?2",
            row::CLAIM_COLUMNS
        ))?
        .query_row(params![claim_id.coupon().0, claim_id.hash()], row::claim)
        .optional()?)
}

fn select(
    connection: &Connection,
    rest: &str,
    parameters: impl rusqlite::Params,
) -> Part<Vec<ClaimRow>> {
    let sql = format!("SELECT {} FROM claims {rest}", row::CLAIM_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(parameters, row::claim)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn by_user_order(
    connection: &Connection,
    coupon: CouponId,
    after: Option<&UserId>,
    limit: usize,
) -> Step<Vec<ClaimRow>> {
    let after = after.map_or("", UserId::as_str);
    // One row more than the page: it tells whether the last user is whole.
    let mut rows = select(
        connection,
        "WHERE coupon = ?1 AND user > ?2 ORDER BY user, ticket LIMIT ?3",
        params![coupon.0, after, Natural(limit as u64 + 1)],
    )?;
    let Some(beyond) = rows.get(limit).map(|row| row.user) else {
        return Ok(rows);
    };
    rows.retain(|row| row.user != beyond);
    if rows.is_empty() {
        rows = select(
            connection,
            "WHERE coupon = ?1 AND user = ?2 ORDER BY ticket",
            params![coupon.0, beyond.as_str()],
        )?;
    }
    Ok(rows)
}

fn revoke(connection: &Connection, claim_id: ClaimId) -> Step<Revoked> {
    let Some(claim) = find(connection, claim_id)? else {
        return Ok(Revoked::Unchanged);
    };
    if claim.revoked {
        return Ok(Revoked::Unchanged);
    }
    let uses = redemptions::live_uses(connection, claim_id)?;
    if !uses.is_empty() {
        return Ok(Revoked::InUse(uses));
    }
    connection
        .prepare_cached("UPDATE claims SET revoked = 1 WHERE coupon = ?1 AND ticket = ?2")?
        .execute(params![claim.coupon.0, Natural(claim.ticket.0)])?;
    let closed =
        row::known_lease(connection, claim.coupon, claim.lease)?.state == LeaseState::Closed;
    let returned = u32::from(closed);
    connection
        .prepare_cached(
            "UPDATE leases SET revoked = revoked + 1, returned = returned + ?3
             WHERE coupon = ?1 AND number = ?2",
        )?
        .execute(params![claim.coupon.0, claim.lease.0, returned])?;
    leases::give_back(connection, claim.coupon, returned)?;
    Ok(Revoked::Done)
}

fn set_aside(connection: &Connection, letter: &DeadLetter) -> Part<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (lane, epoch, entry, claim_id, at, reason, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            letter.lane.0,
            Natural(letter.epoch.0),
            Natural(letter.entry.0),
            letter.claim_id.as_ref().map_or(&[] as &[u8], |id| &id.0),
            Instant(letter.at),
            letter.reason,
            letter.payload,
        ])?;
    Ok(())
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let claim_id = row.get_ref(3)?.as_blob()?;
    Ok(DeadLetter {
        lane: LaneId(row.get(0)?),
        epoch: Epoch(row.get::<_, Natural>(1)?.0),
        entry: EntryNumber(row.get::<_, Natural>(2)?.0),
        claim_id: claim_id.try_into().ok().map(ClaimId),
        at: row.get::<_, Instant>(4)?.0,
        reason: row.get(5)?,
        payload: row.get(6)?,
    })
}

#[async_trait::async_trait]
impl Claims for SqliteLedger {
    async fn append(
        &self,
        fence: LaneFence,
        from: AppendFrom,
        batches: &[GrantBatch],
    ) -> Result<Appended, LedgerError> {
        let begun = Stopwatch::now();
        let (lane_count, epoch) = (self.identity.lanes, from.lease_epoch(fence));
        let owned = batches.to_vec();
        let appended = self
            .write(move |connection| append(connection, lane_count, fence, epoch, &owned))
            .await?;
        if matches!(appended, Appended::Done { .. }) {
            let rows: usize = batches.iter().map(|batch| batch.grants.len()).sum();
            self.append_seconds.record(begun.elapsed());
            self.batch_rows
                .record(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
        }
        Ok(appended)
    }

    async fn claim(&self, claim_id: ClaimId) -> Result<Option<ClaimRow>, LedgerError> {
        self.read(move |connection| Ok(find(connection, claim_id)?))
            .await
    }

    async fn claims(&self, claims: &[ClaimId]) -> Result<Vec<Option<ClaimRow>>, LedgerError> {
        let claims = claims.to_vec();
        self.read(move |connection| {
            let found = claims.iter().map(|claim| find(connection, *claim));
            Ok(found.collect::<Part<_>>()?)
        })
        .await
    }

    async fn claim_with_epoch(
        &self,
        claim_id: ClaimId,
        lane: LaneId,
    ) -> Result<(Option<ClaimRow>, Epoch), LedgerError> {
        // Both are read at one instant, which is as good as the epoch after the row.
        self.read(move |connection| {
            let claim = find(connection, claim_id)?;
            Ok((claim, lanes::read(connection, lane)?.epoch))
        })
        .await
    }

    async fn claims_of_coupon(
        &self,
        coupon: CouponId,
        page: ClaimsPage,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let limit = page_rows(page.limit) as u64;
        // Tickets begin at 1.
        let after = page.after.unwrap_or(Ticket(0));
        self.read(move |connection| {
            Ok(select(
                connection,
                "WHERE coupon = ?1 AND ticket > ?2 ORDER BY ticket LIMIT ?3",
                params![coupon.0, Natural(after.0), Natural(limit)],
            )?)
        })
        .await
    }

    async fn claims_by_user_order(
        &self,
        coupon: CouponId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let (after, limit) = (after.copied(), page_rows(limit));
        self.read(move |connection| by_user_order(connection, coupon, after.as_ref(), limit))
            .await
    }

    async fn claims_of_user(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let (user, limit) = (*user, page_rows(limit) as u64);
        self.read(move |connection| {
            Ok(select(
                connection,
                "WHERE user = ?1 ORDER BY granted_at DESC, coupon, ticket LIMIT ?2",
                params![user.as_str(), Natural(limit)],
            )?)
        })
        .await
    }

    async fn granted(&self, coupon: CouponId) -> Result<u64, LedgerError> {
        self.read(move |connection| {
            let granted: Natural = connection
                .prepare_cached(
                    "SELECT coalesce(sum(rows - revoked), 0) FROM leases WHERE coupon = ?1",
                )?
                .query_row(params![coupon.0], |row| row.get(0))?;
            Ok(granted.0)
        })
        .await
    }

    async fn revoke(&self, claim_id: ClaimId) -> Result<Revoked, LedgerError> {
        self.write(move |connection| revoke(connection, claim_id))
            .await
    }

    async fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), LedgerError> {
        let letters = letters.to_vec();
        self.write(move |connection| {
            for letter in &letters {
                set_aside(connection, letter)?;
            }
            Ok(())
        })
        .await
    }

    async fn dead_letters(&self, lane: LaneId) -> Result<Vec<DeadLetter>, LedgerError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT lane, epoch, entry, claim_id, at, reason, payload
                 FROM dead_letters WHERE lane = ?1 ORDER BY id",
            )?;
            let letters = statement.query_map(params![lane.0], dead_letter)?;
            Ok(letters.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
