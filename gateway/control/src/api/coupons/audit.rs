//! The audit of one coupon.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use crate::app::App;
use crate::audit::{self, AuditReport, AuditSource};
use crate::error::Answer;

/// Checks a coupon against the invariants that the stores can show.
#[utoipa::path(get, path = "/admin/v1/coupons/{id}/audit", tag = "audit",
    params(("id" = String, Path, description = "The coupon.")),
    responses((status = 200, description = "What was found.", body = crate::openapi::AuditReport)))]
pub(crate) async fn audit_coupon(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Answer<Json<AuditReport>> {
    let coupon = app.coupon(&id).await?;
    let source = AuditSource {
        ledger: Arc::clone(&app.ledger),
        lanes_store: Some(Arc::clone(&app.lanes_store)),
    };
    let rounds = audit::Rounds {
        most: app.settings.audit_rounds_max,
        pause: app.settings.audit_round_pause,
    };
    Ok(Json(audit::coupon(&source, coupon.id, rounds).await?))
}
