//! The whole surface of the control plane on one page.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::coupons::{
    audit, claims, create, duplicate, edit, get as read, grants, lifecycle, list, stock, versions,
    why_not,
};
use crate::api::{api_keys, audit_log, cannot_use, index, system, whoami};
use crate::app::App;
use crate::error::Problem;
use crate::{openapi, phases};

/// The admin API: every route here is in the `OpenAPI` document and in the table of roles.
pub(crate) fn admin() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(list::list_coupons, create::create_coupon))
        .routes(routes!(read::get_coupon, edit::edit_coupon))
        .routes(routes!(lifecycle::publish_coupon))
        .routes(routes!(lifecycle::pause_coupon))
        .routes(routes!(lifecycle::resume_coupon))
        .routes(routes!(lifecycle::end_coupon))
        .routes(routes!(lifecycle::archive_coupon))
        .routes(routes!(duplicate::duplicate_coupon))
        .routes(routes!(stock::set_stock))
        .routes(routes!(versions::list_versions))
        .routes(routes!(claims::list_claims))
        .routes(routes!(audit::audit_coupon))
        .routes(routes!(grants::grant_coupon))
        .routes(routes!(why_not::why_not))
        .routes(routes!(cannot_use::cannot_use))
        .routes(routes!(audit_log::list_audit_log))
        .routes(routes!(api_keys::list_api_keys, api_keys::create_api_key))
        .routes(routes!(api_keys::revoke_api_key))
        .routes(routes!(whoami::get_whoami))
        .routes(routes!(system::list_lanes))
        .routes(routes!(system::recover_lane))
        .routes(routes!(system::release_lane))
}

/// Puts the phases around the surface; see [`phases`] for their order.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let (admin, _document) = admin().split_for_parts();
    let admin = admin
        .route_layer(from_fn_with_state(Arc::clone(app), phases::change))
        .route_layer(from_fn_with_state(Arc::clone(app), phases::admit));
    let open = Router::new()
        .route("/", get(index::get_index))
        .route("/openapi.json", get(index::get_openapi));
    open.merge(admin)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(app), phases::deadline))
        .layer(CatchPanicLayer::custom(phases::panicked))
        .layer(from_fn(phases::envelope))
        .with_state(Arc::clone(app))
}

async fn not_found() -> Problem {
    Problem::of_status(axum::http::StatusCode::NOT_FOUND)
}

async fn method_not_allowed() -> Problem {
    Problem::of_status(axum::http::StatusCode::METHOD_NOT_ALLOWED)
}
