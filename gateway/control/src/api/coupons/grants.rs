//! Granting a coupon to named users.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sluice_domain::coupon::Coupon;
use sluice_domain::input;
use sluice_domain::reason::ReasonCode;

use crate::api::body::{RawBody, not_accepted};
use crate::api::call::Call;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::grants::{self, Grants};
use crate::idempotency::NotStored;

/// Grants the coupon to 1 to 1,000 users, each by the same script as a claim: within the stock and
/// the limit per user, durable before it is reported. Says of each user what became of them.
///
/// Claims are named by the Idempotency-Key, so that a repeat grants nobody twice, also after a
/// crash; where some were refused or failed, a repeat tries those again.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/grants", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("Idempotency-Key" = String, Header, description = "Names the claims; a repeat grants nobody twice.")),
    request_body = crate::openapi::GrantInput,
    responses((status = 200, description = "What became of each user.", body = crate::openapi::GrantReport)))]
pub(crate) async fn grant_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    let request = input::grant(&bytes).map_err(not_accepted)?;
    let coupon = app.coupon(&id).await?;
    let Some(keyed) = &call.keyed else {
        return Err(Problem::new(
            ReasonCode::KeyRequired,
            "Send an Idempotency-Key: it names the claims, so that a repeat grants nobody twice.",
        ));
    };
    if coupon.first_open_at.is_none() {
        return Err(Problem::new(
            ReasonCode::Conflict,
            "The coupon is a draft; publish it first.",
        )
        .member("state", "draft"));
    }
    let asked = serde_json::json!({"reason": request.reason, "users": request.users});
    note(&app, &call, &coupon, "coupon.grant", asked.to_string()).await?;
    // With blanks in it, which no key of a shopper has: nobody else can name the same claims.
    let key = format!("grant by {} under {}", call.operator.actor(), keyed.key());
    let items = grants::run(&app, &coupon, &request.users, &key).await?;
    let report = Grants::of(items);
    let counts = serde_json::to_string(&report.counts()).unwrap_or_default();
    note(&app, &call, &coupon, "coupon.grant.done", counts).await?;
    let unfinished = report.is_unfinished();
    let mut response = Json(report).into_response();
    if unfinished {
        response.extensions_mut().insert(NotStored);
    }
    Ok(response)
}

async fn note(app: &App, call: &Call, coupon: &Coupon, action: &str, after: String) -> Answer<()> {
    let entry = call.entry(app, action, coupon.id, String::new(), after);
    Ok(app.ledger.append_audit(entry).await?)
}
