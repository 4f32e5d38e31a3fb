//! What the ledger holds about a coupon, row by row, for the checker.

use sluice_domain::coupon::ClaimLimits;
use sluice_domain::id::CouponId;
use sluice_domain::invariant::rows::CouponRows;
use sluice_ledger::claims::ClaimsPage;
use sluice_ledger::{Ledger, LedgerError};

/// Rows read at a time.
const PAGE: usize = 5_000;

/// Reads everything about a coupon.
///
/// # Errors
/// When the ledger does not answer.
pub async fn read(
    ledger: &dyn Ledger,
    coupon: CouponId,
    limits: ClaimLimits,
) -> Result<CouponRows, LedgerError> {
    let mut rows = Vec::new();
    loop {
        let after = rows
            .last()
            .map(|row: &sluice_domain::claim::ClaimRow| row.ticket);
        let page = ClaimsPage { after, limit: PAGE };
        let found = ledger.claims_of_coupon(coupon, page).await?;
        let last = found.len() < PAGE;
        rows.extend(found);
        if last {
            break;
        }
    }
    Ok(CouponRows {
        coupon,
        stock: ledger.stock(coupon).await?,
        leases: ledger.leases(coupon).await?,
        rows,
        limits,
    })
}
