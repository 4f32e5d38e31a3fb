//! Reading a coupon.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer;
use crate::app::App;
use crate::error::Answer;

/// Reads one coupon with its figures.
#[utoipa::path(get, path = "/admin/v1/coupons/{id}", tag = "coupons",
    params(("id" = String, Path, description = "The coupon.")),
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn get_coupon(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Answer<Response> {
    let coupon = app.coupon(&id).await?;
    answer(&app, StatusCode::OK, &coupon).await
}
