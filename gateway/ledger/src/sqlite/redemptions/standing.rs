//! What a price depends on, read at one instant.

use rusqlite::{Connection, OptionalExtension, params};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{ClaimId, CouponId};

use super::super::coupons::lifecycle_code;
use super::super::failure::Part;
use super::uses;
use crate::redemptions::standing::{CouponStanding, StandingFacts, StandingQuery};

/// The whole answer.
pub(super) fn read(connection: &Connection, query: &StandingQuery) -> Part<StandingFacts> {
    let coupons = query.coupons.iter();
    let periods = query.periods.iter();
    Ok(StandingFacts {
        uses: of_claims(connection, query.claims.clone())?,
        coupons: coupons
            .map(|coupon| of_coupon(connection, *coupon))
            .collect::<Part<_>>()?,
        user_uses: periods
            .map(|(coupon, period)| uses::in_period(connection, *coupon, &query.user, period))
            .collect::<Part<_>>()?,
    })
}

/// The live uses of claims, by claim and use number.
pub(super) fn of_claims(
    connection: &Connection,
    mut claims: Vec<ClaimId>,
) -> Part<Vec<sluice_domain::redemption::ClaimUse>> {
    claims.sort_unstable();
    claims.dedup();
    let mut found = Vec::new();
    for claim_id in claims {
        found.extend(uses::of_claim(connection, claim_id)?);
    }
    Ok(found)
}

/// Two values out of the document: reading it whole costs more than all the rest of a quote.
fn of_coupon(connection: &Connection, coupon: CouponId) -> Part<Option<CouponStanding>> {
    let found: Option<(u8, Option<i64>)> = connection
        .prepare_cached(
            "SELECT lifecycle, document ->> '$.coupon.spec.terms.budget' FROM coupons WHERE id = ?1",
        )?
        .query_row(params![coupon.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((lifecycle, budget)) = found else {
        return Ok(None);
    };
    Ok(Some(CouponStanding {
        archived: lifecycle == lifecycle_code(Lifecycle::Archived),
        budget,
        usage: uses::kept(connection, coupon)?.usage,
    }))
}
