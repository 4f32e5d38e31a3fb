//! The stored form of a coupon: JSON with the number of its format.

use serde::{Deserialize, Serialize};
use sluice_domain::coupon::Coupon;

use crate::LedgerError;
use crate::coupons::change::to_json;

/// The format written now.
pub(crate) const COUPON_FORMAT: u16 = 1;

#[derive(Serialize)]
struct Written<'a> {
    format: u16,
    coupon: &'a Coupon,
}

#[derive(Deserialize)]
struct Stored {
    coupon: Coupon,
}

#[derive(Deserialize)]
struct Format {
    format: u16,
}

/// Writes a coupon in the format of now.
pub(crate) fn write(coupon: &Coupon) -> Result<String, LedgerError> {
    to_json(&Written {
        format: COUPON_FORMAT,
        coupon,
    })
}

/// Reads a coupon of any format so far.
pub(crate) fn read(document: &str) -> Result<Coupon, LedgerError> {
    let unreadable =
        |error| LedgerError::corrupt(format!("a coupon document cannot be read: {error}"));
    let Format { format } = serde_json::from_str(document).map_err(unreadable)?;
    if format != COUPON_FORMAT {
        return Err(LedgerError::corrupt(format!(
            "a coupon document has format {format}, and this program knows {COUPON_FORMAT}"
        )));
    }
    let Stored { coupon } = serde_json::from_str(document).map_err(unreadable)?;
    Ok(coupon)
}
