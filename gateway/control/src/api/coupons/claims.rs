//! The claims of a coupon.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Serialize;
use sluice_domain::claim::{ClaimRow, ClaimStatus, Durability};
use sluice_domain::id::{ClaimId, Ticket, UserId, Version};
use sluice_domain::published::PublishedVersion;
use sluice_domain::time::Timestamp;
use sluice_domain::validity::{Standing, status};
use sluice_ledger::claims::ClaimsPage;

use crate::api::body::Page;
use crate::api::query::Parameters;
use crate::app::App;
use crate::error::Answer;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A claim as the admin API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ClaimItem {
    claim_id: ClaimId,
    user_id: UserId,
    ticket: Ticket,
    version: Version,
    status: ClaimStatus,
    granted_at: Timestamp,
    durability: Durability,
}

/// Lists the claims of a coupon by ticket, revoked ones included.
#[utoipa::path(get, path = "/admin/v1/coupons/{id}/claims", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended."),
        ("limit" = Option<u32>, Query, description = "Claims per page, 1 to 1,000; 100 by default.")),
    responses((status = 200, description = "A page of claims.", body = inline(crate::openapi::ClaimPage))))]
pub(crate) async fn list_claims(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Json<Page<ClaimItem>>> {
    let coupon = app.coupon(&id).await?;
    let mut parameters = Parameters::new(pairs);
    let after = parameters.parsed::<u64>("cursor", "a cursor of an earlier answer");
    let limit = parameters.limit(LIMIT_DEFAULT, LIMIT_MAX);
    parameters.done()?;
    let page = ClaimsPage {
        after: after.map(Ticket),
        limit: limit + 1,
    };
    let mut rows = app.ledger.claims_of_coupon(coupon.id, page).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_last| more)
        .map(|last| last.ticket.to_string());
    let versions = app.ledger.versions(coupon.id).await?;
    let versions: Vec<PublishedVersion> = versions.into_iter().map(|row| row.published).collect();
    let now = app.clock.now();
    Ok(Json(Page {
        items: rows
            .into_iter()
            .map(|row| item(row, &versions, now))
            .collect(),
        next_cursor,
    }))
}

fn item(row: ClaimRow, versions: &[PublishedVersion], now: Timestamp) -> ClaimItem {
    let standing = if row.revoked {
        Standing::Revoked
    } else {
        Standing::Durable
    };
    let expires_at = versions
        .iter()
        .find(|held| held.version == row.version)
        .and_then(|held| held.validity.expires_at(row.granted_at));
    ClaimItem {
        claim_id: row.claim_id,
        user_id: row.user,
        ticket: row.ticket,
        version: row.version,
        status: status(standing, expires_at, now),
        granted_at: row.granted_at,
        durability: row.durability,
    }
}
