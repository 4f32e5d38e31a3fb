//! All that can be read from a ledger, as text to compare.

use std::fmt::Write as _;

use sluice_domain::coupon::Status;
use sluice_domain::id::{CouponId, UserId};

use super::history::{cause, notify};
use super::sample::NOW;
use crate::audit_log::verify_chain;
use crate::claims::ClaimsPage;
use crate::coupons::{CouponQuery, CouponSort};
use crate::notifications::NotificationsPage;
use crate::{Ledger, LedgerError};

mod redemptions;

/// Reads everything about these coupons and users, and everything else that a ledger holds.
///
/// # Errors
/// The ledger's own, and where its audit chain or its store is damaged.
pub async fn read_all(
    ledger: &dyn Ledger,
    coupons: &[CouponId],
    users: &[UserId],
) -> Result<String, LedgerError> {
    let mut text = String::new();
    for lane in ledger.identity().lanes.iter() {
        line(&mut text, "lane", &ledger.lane(lane).await?);
        line(&mut text, "live", &ledger.live_leases(lane).await?);
        line(
            &mut text,
            "published",
            &ledger.published_coupons(lane).await?,
        );
        line(&mut text, "dead", &ledger.dead_letters(lane).await?);
    }
    for coupon in coupons {
        read_coupon(ledger, *coupon, &mut text).await?;
    }
    for user in users {
        line(&mut text, "wallet", &ledger.claims_of_user(user, 3).await?);
    }
    read_lists(ledger, &mut text).await?;
    line(&mut text, "keys", &ledger.list_keys().await?);
    let audit = ledger.audit_entries(None, 0, 1_000).await?;
    verify_chain([0; 32], &audit).map_err(|broken| LedgerError::corrupt(broken.to_string()))?;
    line(&mut text, "audit", &audit);
    let ids = ledger.coupon_ids(None, 100).await?;
    line(&mut text, "ids", &ids);
    if let Some(first) = ids.first() {
        let entries = ledger.audit_entries(Some(&first.to_string()), 1, 2).await?;
        line(&mut text, "audit of one", &entries);
        line(
            &mut text,
            "ids after",
            &ledger.coupon_ids(Some(*first), 1).await?,
        );
    }
    redemptions::read(ledger, coupons, users, &mut text).await?;
    for number in 0..cause::ORDERS {
        let known = ledger.order_causes(&cause::order(number)).await?;
        line(&mut text, "causes", &known);
    }
    read_notifications(ledger, users, &mut text).await?;
    line(&mut text, "problems", &ledger.integrity_problems().await?);
    Ok(text)
}

async fn read_notifications(
    ledger: &dyn Ledger,
    users: &[UserId],
    text: &mut String,
) -> Result<(), LedgerError> {
    for version in 1..3 {
        let cursor = ledger.reminder_cursor(notify::key(version)).await?;
        line(text, "reminders", &cursor);
    }
    for user in users {
        let mut after = None;
        loop {
            let page = NotificationsPage { after, limit: 2 };
            let found = ledger.notifications(user, page).await?;
            line(text, "messages", &found);
            let Some(last) = found.last() else { break };
            after = Some((last.at, last.id));
        }
    }
    Ok(())
}

fn line(text: &mut String, what: &str, value: &impl std::fmt::Debug) {
    let _infallible = writeln!(text, "{what}: {value:?}");
}

async fn read_coupon(
    ledger: &dyn Ledger,
    coupon: CouponId,
    text: &mut String,
) -> Result<(), LedgerError> {
    line(text, "coupon", &ledger.coupon(coupon).await?);
    line(text, "versions", &ledger.versions(coupon).await?);
    line(text, "stock", &ledger.stock(coupon).await?);
    line(text, "leases", &ledger.leases(coupon).await?);
    line(text, "granted", &ledger.granted(coupon).await?);
    line(text, "facts", &ledger.coupon_facts(coupon).await?);
    let mut after = None;
    loop {
        let page = ClaimsPage { after, limit: 3 };
        let rows = ledger.claims_of_coupon(coupon, page).await?;
        line(text, "claims", &rows);
        let Some(last) = rows.last() else { break };
        after = Some(last.ticket);
    }
    let mut after: Option<UserId> = None;
    loop {
        let rows = ledger
            .claims_by_user_order(coupon, after.as_ref(), 2)
            .await?;
        line(text, "by user", &rows);
        let Some(last) = rows.last() else { break };
        after = Some(last.user);
    }
    Ok(())
}

async fn read_lists(ledger: &dyn Ledger, text: &mut String) -> Result<(), LedgerError> {
    let sorts = [
        CouponSort::CreatedDesc,
        CouponSort::CreatedAsc,
        CouponSort::UpdatedDesc,
        CouponSort::NameAsc,
        CouponSort::EndsAsc,
    ];
    for sort in sorts {
        let mut cursor = None;
        loop {
            let query = CouponQuery {
                sort,
                cursor,
                limit: 1,
                now: NOW,
                ..CouponQuery::default()
            };
            let page = ledger.list_coupons(&query).await?;
            line(text, "list", &page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    let statuses = [
        Status::Draft,
        Status::Scheduled,
        Status::Active,
        Status::Paused,
        Status::Ended,
        Status::Archived,
    ];
    for status in statuses {
        for millis in [-1, 0, 1, 1_000] {
            let query = CouponQuery {
                status: Some(status),
                search: Some("OUP".to_owned()),
                limit: 200,
                now: NOW.plus_millis(millis),
                ..CouponQuery::default()
            };
            let page = ledger.list_coupons(&query).await?;
            if page
                .items
                .iter()
                .any(|coupon| coupon.status(query.now) != status)
            {
                return Err(LedgerError::corrupt(
                    "a list has a coupon of another status",
                ));
            }
            line(text, "by status", &page.items);
        }
    }
    Ok(())
}
