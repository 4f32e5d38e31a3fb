//! The life of a coupon: publish, pause, resume, end, archive.
//!
//! Each answers 200 with the coupon once its lane has taken the change; repeating one is harmless.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use sluice_domain::change as rules;
use sluice_domain::change::ChangeError;
use sluice_domain::coupon::Coupon;
use sluice_domain::time::Timestamp;

use super::{change, not_changed};
use crate::api::body::{RawBody, expect_nothing};
use crate::api::call::Call;
use crate::app::App;
use crate::error::Answer;

type Rule = fn(&Coupon, Timestamp) -> Result<Coupon, Vec<ChangeError>>;

/// Publishes a draft: from its start on it may be claimed.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/publish", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = Option<String>, Header, description = "Only if it is at this ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn publish_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    transition(&app, &call, &id, &bytes, "coupon.publish", rules::publish).await
}

/// Stops grants until resumed.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/pause", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = Option<String>, Header, description = "Only if it is at this ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn pause_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    transition(&app, &call, &id, &bytes, "coupon.pause", rules::pause).await
}

/// Goes on after a pause.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/resume", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = Option<String>, Header, description = "Only if it is at this ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn resume_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    transition(&app, &call, &id, &bytes, "coupon.resume", rules::resume).await
}

/// Ends a coupon for good. Claims made stay usable.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/end", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = Option<String>, Header, description = "Only if it is at this ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn end_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    transition(&app, &call, &id, &bytes, "coupon.end", rules::end).await
}

/// Soft-deletes a coupon: everything is stopped, everything is kept.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/archive", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = Option<String>, Header, description = "Only if it is at this ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn archive_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    let archive: Rule = |coupon, now| Ok(rules::archive(coupon, now));
    transition(&app, &call, &id, &bytes, "coupon.archive", archive).await
}

async fn transition(
    app: &App,
    call: &Call,
    id: &str,
    bytes: &[u8],
    action: &str,
    rule: Rule,
) -> Answer<Response> {
    expect_nothing(bytes)?;
    change(app, call, id, action, |coupon, now| {
        rule(coupon, now).map_err(|errors| not_changed(coupon, now, &errors))
    })
    .await
}
