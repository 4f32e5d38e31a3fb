//! Redemptions on SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};
use sluice_domain::redemption::{
    ClaimUse, CouponUsage, Redemption, RedemptionStatus, RowVersion, TermsKey, Transition,
    TransitionEvent,
};
use sluice_domain::time::Timestamp;

use super::failure::Part;
use super::value::{Instant, Natural};
use super::{SqliteLedger, codes, coupons};
use crate::LedgerError;
use crate::claims::page_rows;
use crate::coupons::VersionRow;
use crate::redemptions::standing::{StandingFacts, StandingQuery};
use crate::redemptions::{Redemptions, RedemptionsPage, TransitionOutcome, document};

mod facts;
mod standing;
#[cfg(test)]
mod tests;
mod transition;
mod uses;

pub(super) use facts::{orphans, page as facts_page, usage as usage_facts};
pub(super) use uses::of_claim as live_uses;

const EVENT_COLUMNS: &str =
    "redemption, row_version, at, from_status, to_status, operation_id, fingerprint, actor, result";

/// A status as it is stored.
const fn status_code(status: RedemptionStatus) -> u8 {
    match status {
        RedemptionStatus::Held => 0,
        RedemptionStatus::Confirmed => 1,
        RedemptionStatus::Cancelled => 2,
        RedemptionStatus::Expired => 3,
        RedemptionStatus::PartiallyRefunded => 4,
        RedemptionStatus::Refunded => 5,
    }
}

/// A value that no version of this program writes.
fn nonsense(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

fn status(column: usize, code: u8) -> rusqlite::Result<RedemptionStatus> {
    let mut all = RedemptionStatus::ALL.into_iter();
    all.find(|status| status_code(*status) == code)
        .ok_or_else(|| nonsense(column, "is no status of a redemption"))
}

fn event(row: &Row<'_>) -> rusqlite::Result<TransitionEvent> {
    let from: Option<u8> = row.get(3)?;
    Ok(TransitionEvent {
        redemption: RedemptionId(row.get(0)?),
        row_version: RowVersion(row.get(1)?),
        at: row.get::<_, Instant>(2)?.0,
        from: from.map(|code| status(3, code)).transpose()?,
        to: status(4, row.get(4)?)?,
        operation_id: row.get(5)?,
        fingerprint: row.get(6)?,
        actor: row.get(7)?,
        result: row.get(8)?,
    })
}

/// One redemption.
fn find(connection: &Connection, id: RedemptionId) -> Part<Option<Redemption>> {
    let stored: Option<String> = connection
        .prepare_cached("SELECT document FROM redemptions WHERE id = ?1")?
        .query_row(params![id.0], |row| row.get(0))
        .optional()?;
    Ok(stored.as_deref().map(document::read).transpose()?)
}

/// All events of a redemption, oldest first.
fn events(connection: &Connection, id: RedemptionId) -> Part<Vec<TransitionEvent>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {EVENT_COLUMNS} FROM redemption_events WHERE redemption = ?1 ORDER BY row_version"
    ))?;
    let rows = statement.query_map(params![id.0], event)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The event of an operation.
fn operation(
    connection: &Connection,
    id: RedemptionId,
    operation_id: &str,
) -> Part<Option<TransitionEvent>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM redemption_events
             WHERE redemption = ?1 AND operation_id = ?2"
        ))?
        .query_row(params![id.0, operation_id], event)
        .optional()?)
}

fn due(
    connection: &Connection,
    now: Timestamp,
    after: Option<RedemptionId>,
    limit: u64,
) -> Part<Vec<RedemptionId>> {
    // The one that was given before keeps its `held_until` when it expires. Where it is held anew
    // until later, what it skips is found by the next sweep.
    let place: Option<(Instant, [u8; 16])> = match after {
        Some(id) => connection
            .prepare_cached("SELECT held_until, id FROM redemptions WHERE id = ?1")?
            .query_row(params![id.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?,
        None => None,
    };
    let (until, id) = place.unwrap_or((Instant(Timestamp::MIN), [0; 16]));
    let mut statement = connection.prepare_cached(
        "SELECT id FROM redemptions
         WHERE status = 0 AND held_until <= ?1 AND (held_until, id) > (?2, ?3)
         ORDER BY held_until, id LIMIT ?4",
    )?;
    let rows = statement.query_map(params![Instant(now), until, id, Natural(limit)], |row| {
        row.get(0).map(RedemptionId)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn of_coupon(
    connection: &Connection,
    coupon: CouponId,
    page: RedemptionsPage,
) -> Part<Vec<Redemption>> {
    let (at, id) = match page.after {
        Some((at, id)) => (at.as_millis(), id.0),
        None => (i64::MAX, [u8::MAX; 16]),
    };
    let mut statement = connection.prepare_cached(
        "SELECT document FROM coupon_redemptions AS listed
         JOIN redemptions ON redemptions.id = listed.redemption
         WHERE listed.coupon = ?1 AND (listed.created_at, listed.redemption) < (?2, ?3)
         ORDER BY listed.created_at DESC, listed.redemption DESC LIMIT ?4",
    )?;
    let limit = Natural(page_rows(page.limit) as u64);
    let mut rows = statement.query(params![coupon.0, at, id, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(document::read(
            row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?,
        )?);
    }
    Ok(found)
}

fn terms(connection: &Connection, keys: &[TermsKey]) -> Part<Vec<VersionRow>> {
    let one = |(coupon, version): &TermsKey| {
        let found = coupons::find_version(connection, *coupon, *version)?;
        let missing = || LedgerError::corrupt(format!("coupon {coupon} has no version {version}"));
        Ok(found.ok_or_else(missing)?)
    };
    keys.iter().map(one).collect()
}

#[async_trait::async_trait]
impl Redemptions for SqliteLedger {
    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, LedgerError> {
        self.read(move |connection| Ok(find(connection, id)?)).await
    }

    async fn events(&self, id: RedemptionId) -> Result<Vec<TransitionEvent>, LedgerError> {
        self.read(move |connection| Ok(events(connection, id)?))
            .await
    }

    async fn redemption_operation(
        &self,
        id: RedemptionId,
        operation_id: &str,
    ) -> Result<Option<TransitionEvent>, LedgerError> {
        let operation_id = operation_id.to_owned();
        self.read(move |connection| Ok(operation(connection, id, &operation_id)?))
            .await
    }

    async fn apply(&self, transition: &Transition) -> Result<TransitionOutcome, LedgerError> {
        let transition = transition.clone();
        self.write(move |connection| transition::apply(connection, &transition))
            .await
    }

    async fn claim_uses(&self, claims: &[ClaimId]) -> Result<Vec<ClaimUse>, LedgerError> {
        let claims = claims.to_vec();
        self.read(move |connection| Ok(standing::of_claims(connection, claims)?))
            .await
    }

    async fn uses_of_user(
        &self,
        periods: &[(CouponId, String)],
        user: &UserId,
    ) -> Result<Vec<u32>, LedgerError> {
        let (periods, user) = (periods.to_vec(), *user);
        self.read(move |connection| {
            let count = |(coupon, period): &(CouponId, String)| {
                uses::in_period(connection, *coupon, &user, period)
            };
            Ok(periods.iter().map(count).collect::<Part<_>>()?)
        })
        .await
    }

    async fn coupon_usage(&self, coupons: &[CouponId]) -> Result<Vec<CouponUsage>, LedgerError> {
        let coupons = coupons.to_vec();
        self.read(move |connection| {
            let usage = |coupon: &CouponId| Ok(uses::kept(connection, *coupon)?.usage);
            Ok(coupons.iter().map(usage).collect::<Part<_>>()?)
        })
        .await
    }

    async fn standing(&self, query: &StandingQuery) -> Result<StandingFacts, LedgerError> {
        let query = query.clone();
        self.read(move |connection| Ok(standing::read(connection, &query)?))
            .await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionId>, LedgerError> {
        let limit = page_rows(limit) as u64;
        self.read(move |connection| Ok(due(connection, now, after, limit)?))
            .await
    }

    async fn terms(&self, keys: &[TermsKey]) -> Result<Vec<VersionRow>, LedgerError> {
        let keys = keys.to_vec();
        self.read(move |connection| Ok(terms(connection, &keys)?))
            .await
    }

    async fn coupon_by_code(&self, code: &str) -> Result<Option<Coupon>, LedgerError> {
        let code = code.to_owned();
        self.read(move |connection| Ok(codes::coupon(connection, &code)?))
            .await
    }

    async fn redemptions_of_coupon(
        &self,
        coupon: CouponId,
        page: RedemptionsPage,
    ) -> Result<Vec<Redemption>, LedgerError> {
        self.read(move |connection| Ok(of_coupon(connection, coupon, page)?))
            .await
    }

    async fn redeemed(&self, coupon: CouponId) -> Result<u64, LedgerError> {
        self.read(move |connection| Ok(uses::kept(connection, coupon)?.spent))
            .await
    }
}
