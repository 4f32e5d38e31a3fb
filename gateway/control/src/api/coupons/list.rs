//! Listing coupons.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use futures_util::{StreamExt, TryStreamExt, stream};
use sluice_domain::coupon::Status;
use sluice_ledger::coupons::{CouponQuery, CouponSort, listing};

use super::{CouponView, view};
use crate::api::body::Page;
use crate::api::query::Parameters;
use crate::app::App;
use crate::error::Answer;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
const SEARCH_CHARS_MAX: usize = 200;
/// Coupons whose figures are read at a time.
const READ_AHEAD: usize = 8;

const STATUSES: &[(&str, Status)] = &[
    ("draft", Status::Draft),
    ("scheduled", Status::Scheduled),
    ("active", Status::Active),
    ("paused", Status::Paused),
    ("ended", Status::Ended),
    ("archived", Status::Archived),
];

const SORTS: &[(&str, CouponSort)] = &[
    ("-created_at", CouponSort::CreatedDesc),
    ("created_at", CouponSort::CreatedAsc),
    ("-updated_at", CouponSort::UpdatedDesc),
    ("name", CouponSort::NameAsc),
    ("ends_at", CouponSort::EndsAsc),
];

/// Lists coupons, newest first where nothing else is said.
#[utoipa::path(get, path = "/admin/v1/coupons", tag = "coupons",
    params(
        ("status" = Option<String>, Query, description = "Only draft, scheduled, active, paused, ended or archived ones."),
        ("q" = Option<String>, Query, description = "Only where name, code or id contain this, in any case."),
        ("sort" = Option<String>, Query, description = "-created_at (default), created_at, -updated_at, name or ends_at."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended; the sort must be the same."),
        ("limit" = Option<u32>, Query, description = "Coupons per page, 1 to 200; 50 by default."),
    ),
    responses((status = 200, description = "A page of coupons.", body = inline(crate::openapi::CouponPage))))]
pub(crate) async fn list_coupons(
    State(app): State<Arc<App>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Json<Page<CouponView>>> {
    let query = read_query(&app, pairs)?;
    let page = app.ledger.list_coupons(&query).await?;
    let reads = page.items.into_iter().map(|coupon| {
        let app = Arc::clone(&app);
        async move { view(&app, &coupon).await }
    });
    let items = stream::iter(reads).buffered(READ_AHEAD);
    Ok(Json(Page {
        items: items.try_collect().await?,
        next_cursor: page.next_cursor,
    }))
}

fn read_query(app: &App, pairs: Vec<(String, String)>) -> Answer<CouponQuery> {
    let mut parameters = Parameters::new(pairs);
    let status = parameters.word("status", STATUSES);
    let search = parameters.text("q");
    if search
        .as_ref()
        .is_some_and(|text| text.chars().count() > SEARCH_CHARS_MAX)
    {
        parameters.refuse(
            "q",
            &format!("text of at most {SEARCH_CHARS_MAX} characters"),
        );
    }
    let sort = parameters.word("sort", SORTS).unwrap_or_default();
    let cursor = parameters.text("cursor");
    if cursor
        .as_ref()
        .is_some_and(|cursor| !listing::is_cursor(sort, cursor))
    {
        parameters.refuse("cursor", "a cursor of an earlier answer with the same sort");
    }
    let limit = parameters.limit(LIMIT_DEFAULT, LIMIT_MAX);
    parameters.done()?;
    Ok(CouponQuery {
        status,
        search,
        sort,
        cursor,
        limit,
        now: app.clock.now(),
    })
}
