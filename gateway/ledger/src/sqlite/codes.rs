//! Public words on SQLite: one coupon that is not archived per word.

use rusqlite::{Connection, OptionalExtension, params};
use sluice_domain::coupon::Coupon;
use sluice_domain::id::CouponId;

use super::coupons;
use super::failure::Part;
use crate::coupons::change::word_in_use;
use crate::redemptions::check::folded;

fn holder(connection: &Connection, code: &str) -> Part<Option<CouponId>> {
    Ok(connection
        .prepare_cached("SELECT coupon FROM coupon_codes WHERE code = ?1")?
        .query_row(params![code], |row| row.get(0).map(CouponId))
        .optional()?)
}

/// Gives a coupon the word of its new state, and back the one that it had. Gives the holder, and
/// changes nothing, where another coupon has the word.
pub(super) fn hand_over(
    connection: &Connection,
    before: Option<&Coupon>,
    after: &Coupon,
) -> Part<Option<CouponId>> {
    let (had, wanted) = (before.and_then(word_in_use), word_in_use(after));
    let Some(code) = wanted else {
        if had.is_some() {
            give_back(connection, after.id)?;
        }
        return Ok(None);
    };
    match holder(connection, code)? {
        Some(holder) if holder == after.id => Ok(None),
        // Two coupons with one word, from before words were kept apart: the other one keeps it,
        // and this one can still be changed.
        Some(_other) if had == wanted => Ok(None),
        Some(other) => Ok(Some(other)),
        None => {
            give_back(connection, after.id)?;
            connection
                .prepare_cached("INSERT INTO coupon_codes (code, coupon) VALUES (?1, ?2)")?
                .execute(params![code, after.id.0])?;
            Ok(None)
        }
    }
}

fn give_back(connection: &Connection, coupon: CouponId) -> Part<()> {
    connection
        .prepare_cached("DELETE FROM coupon_codes WHERE coupon = ?1")?
        .execute(params![coupon.0])?;
    Ok(())
}

/// The published coupon with a word, in any case.
pub(super) fn coupon(connection: &Connection, code: &str) -> Part<Option<Coupon>> {
    let Some(id) = holder(connection, &folded(code))? else {
        return Ok(None);
    };
    let coupon = coupons::known(connection, id)?;
    Ok(Some(coupon).filter(|coupon| coupon.first_open_at.is_some()))
}
