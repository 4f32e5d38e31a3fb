//! The stored form of a redemption: JSON that says its format.

use serde::Deserialize;
use sluice_domain::redemption::Redemption;

use crate::LedgerError;
use crate::coupons::change::to_json;

/// The format written now: the serialized form of [`Redemption`] says it.
const FORMAT: &str = "1";

#[derive(Deserialize)]
struct Format {
    format: String,
}

/// Writes a redemption in the format of now.
pub(crate) fn write(redemption: &Redemption) -> Result<String, LedgerError> {
    to_json(redemption)
}

/// Reads a redemption of any format so far.
pub(crate) fn read(document: &str) -> Result<Redemption, LedgerError> {
    let unreadable =
        |error| LedgerError::corrupt(format!("a redemption's document cannot be read: {error}"));
    let Format { format } = serde_json::from_str(document).map_err(unreadable)?;
    if format != FORMAT {
        return Err(LedgerError::corrupt(format!(
            "a redemption's document has format {format}, and this program knows {FORMAT}"
        )));
    }
    serde_json::from_str(document).map_err(unreadable)
}
