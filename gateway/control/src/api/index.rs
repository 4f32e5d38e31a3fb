//! What a browser or a curious person finds at the root.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;

const INDEX: &str = concat!(
    r#"{"service":"sluice control plane","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","api":"/admin/v1","openapi":"/openapi.json","authorization":"Bearer <admin key>"}"#
);

/// Says where things are.
pub(crate) async fn get_index() -> Response {
    ([(CONTENT_TYPE, "application/json")], INDEX).into_response()
}

/// The `OpenAPI` document of this plane.
pub(crate) async fn get_openapi(State(app): State<Arc<App>>) -> Response {
    let body = Arc::clone(&app.openapi);
    (
        [(CONTENT_TYPE, "application/json")],
        axum::body::Bytes::from_owner(body),
    )
        .into_response()
}
