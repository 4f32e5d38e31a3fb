//! Making a draft of a coupon that exists.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use sluice_domain::change;

use super::create::store;
use crate::api::body::{RawBody, expect_nothing};
use crate::api::call::Call;
use crate::app::App;
use crate::error::Answer;

/// Makes a draft with the same definition, without its public code word.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/duplicate", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    responses((status = 201, description = "The new draft.", body = crate::openapi::Coupon)))]
pub(crate) async fn duplicate_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    expect_nothing(&bytes)?;
    let original = app.coupon(&id).await?;
    call.if_match.check(original.revision)?;
    store(&app, &call, "coupon.duplicate", move |id, number, now| {
        change::duplicate(&original, id, number, now)
    })
    .await
}
