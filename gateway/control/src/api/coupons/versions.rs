//! The versions of a coupon's terms.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use sluice_domain::claim::Durability;
use sluice_domain::id::Version;
use sluice_domain::render::PublicTerms;
use sluice_domain::time::Timestamp;
use sluice_ledger::coupons::VersionRow;

use crate::api::audit_log::hex;
use crate::api::body::Page;
use crate::app::App;
use crate::error::Answer;

/// A version as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct VersionView {
    version: Version,
    /// In numbers and in words.
    terms: PublicTerms,
    durability: Durability,
    /// The content address of the terms.
    hash: String,
    at: Timestamp,
    author: String,
}

/// Lists the published versions of a coupon's terms, oldest first.
#[utoipa::path(get, path = "/admin/v1/coupons/{id}/versions", tag = "coupons",
    params(("id" = String, Path, description = "The coupon.")),
    responses((status = 200, description = "The versions.", body = inline(crate::openapi::VersionPage))))]
pub(crate) async fn list_versions(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Answer<Json<Page<VersionView>>> {
    let coupon = app.coupon(&id).await?;
    let rows = app.ledger.versions(coupon.id).await?;
    Ok(Json(Page {
        items: rows.iter().map(VersionView::of).collect(),
        next_cursor: None,
    }))
}

impl VersionView {
    fn of(row: &VersionRow) -> Self {
        Self {
            version: row.version,
            terms: PublicTerms::of(&row.terms),
            durability: row.published.durability,
            hash: hex(&row.hash),
            at: row.at,
            author: row.author.clone(),
        }
    }
}
