//! Editing a coupon.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use sluice_domain::{change as rules, input};

use super::{change, not_changed, shards_fit};
use crate::api::body::{RawBody, not_accepted};
use crate::api::call::Call;
use crate::app::App;
use crate::error::Answer;

/// Applies a merge patch. Claims made before keep their terms; a published coupon is in force under
/// the new ones when this answers 200.
#[utoipa::path(patch, path = "/admin/v1/coupons/{id}", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = String, Header, description = "The ETag that was read, or *.")),
    request_body(content = crate::openapi::CouponPatch, description = "RFC 7396 merge patch."),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn edit_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    call.if_match.require()?;
    change(&app, &call, &id, "coupon.edit", |coupon, now| {
        let spec = input::patch(coupon, &bytes).map_err(not_accepted)?;
        shards_fit(&app, &spec)?;
        rules::edit(coupon, spec, now).map_err(|errors| not_changed(coupon, now, &errors))
    })
    .await
}
