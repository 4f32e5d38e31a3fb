//! Where the claims of a version begin, found by halving: versions rise with tickets.

use sluice_domain::id::{CouponId, Ticket, Version};
use sluice_ledger::claims::ClaimsPage;
use sluice_ledger::{Ledger, LedgerError};

/// A ticket such that every claim behind it is of this version or a later one, and every claim up to
/// it of an earlier one.
pub(super) async fn before_version(
    ledger: &dyn Ledger,
    coupon: CouponId,
    version: Version,
) -> Result<Ticket, LedgerError> {
    // Every claim up to `earlier` is of an earlier version; claims behind `later` are not.
    let (mut earlier, mut later) = (0, None);
    let mut step = 1_024;
    loop {
        let at = match later {
            Some(later) if later <= earlier => return Ok(Ticket(earlier)),
            Some(later) => earlier + (later - earlier) / 2,
            None => earlier + step,
        };
        let page = ClaimsPage {
            after: Some(Ticket(at)),
            limit: 1,
        };
        let found = ledger.claims_of_coupon(coupon, page).await?.pop();
        match found {
            Some(row) if row.version < version => {
                earlier = row.ticket.0;
                step *= 2;
            }
            Some(_) | None => {
                // It may still begin at or before `at`.
                if at == earlier {
                    return Ok(Ticket(earlier));
                }
                later = Some(at);
            }
        }
    }
}
