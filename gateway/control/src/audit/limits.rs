//! The widest limits that a coupon ever had.
//!
//! A limit lowered by an edit takes nothing back, so claims above the limit of now may be right.
//! The audit log has every definition that was ever in force; it is read only where a limit of now
//! is exceeded.

use serde::Deserialize;
use sluice_domain::coupon::Status;
use sluice_ledger::audit_facts::CouponLedgerFacts;
use sluice_ledger::{Ledger, LedgerError};

use super::checks::WidestLimits;

const PAGE: usize = 500;

/// The part of a logged definition that is looked at.
#[derive(Debug, Deserialize)]
struct LoggedCoupon {
    status: Status,
    limits: LoggedLimits,
}

#[derive(Debug, Deserialize)]
struct LoggedLimits {
    per_user: u64,
    per_device: Option<u64>,
    per_ip: Option<u64>,
}

/// The widest limits of a coupon.
pub(crate) async fn widest(
    ledger: &dyn Ledger,
    facts: &CouponLedgerFacts,
) -> Result<WidestLimits, LedgerError> {
    let limits = &facts.coupon.spec.limits;
    let mut widest = WidestLimits {
        per_user: u64::from(limits.per_user),
        per_device: limits.per_device.map(u64::from),
        per_address: limits.per_address.map(u64::from),
    };
    if facts.users.over.count + facts.devices.over.count + facts.addresses.over.count == 0 {
        return Ok(widest);
    }
    let object = facts.coupon.id.to_string();
    let mut after = 0;
    loop {
        let rows = ledger.audit_entries(Some(&object), after, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(widest);
        };
        after = last.sequence;
        for row in &rows {
            // Entries about other things than the definition have no limits to look at.
            if let Ok(logged) = serde_json::from_str::<LoggedCoupon>(&row.entry.after)
                && logged.status != Status::Draft
            {
                widen(&mut widest, &logged.limits);
            }
        }
    }
}

fn widen(widest: &mut WidestLimits, logged: &LoggedLimits) {
    let wider = |held: Option<u64>, logged: Option<u64>| match (held, logged) {
        (Some(held), Some(logged)) => Some(held.max(logged)),
        _ => None,
    };
    widest.per_user = widest.per_user.max(logged.per_user);
    widest.per_device = wider(widest.per_device, logged.per_device);
    widest.per_address = wider(widest.per_address, logged.per_ip);
}
