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
    format: u16,
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
    // Read at once, as nearly every document is of the format of now.
    let error = match serde_json::from_str(document) {
        Ok(Stored { format, coupon }) if format == COUPON_FORMAT => return Ok(coupon),
        Ok(_other_format) => None,
        Err(error) => Some(error),
    };
    let Format { format } = serde_json::from_str(document).map_err(unreadable)?;
    Err(match error {
        Some(error) if format == COUPON_FORMAT => unreadable(error),
        _other_format => LedgerError::corrupt(format!(
            "a coupon document has format {format}, and this program knows {COUPON_FORMAT}"
        )),
    })
}
