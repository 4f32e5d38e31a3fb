//! Changing the total of a coupon.
//!
//! Raising it is a change like any other. Lowering it under a published coupon needs its lane: the
//! tickets that hot state holds are called back first, so that nothing is sold above the new total.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use sluice_domain::change::{self, TotalChange};
use sluice_domain::coupon::Coupon;
use sluice_domain::input;
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;

use super::{ATTEMPTS_MAX, answer, document, not_changed, overtaken, save};
use crate::api::body::{RawBody, not_accepted};
use crate::api::call::Call;
use crate::api::system::problem_of;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::port::Lowering;

const ACTION: &str = "coupon.stock";

/// Sets the total. Lowering it waits a few seconds for the lane; where more is granted already, or
/// may have been, it answers 409 with what is.
#[utoipa::path(post, path = "/admin/v1/coupons/{id}/stock", tag = "coupons",
    params(("id" = String, Path, description = "The coupon."),
        ("If-Match" = Option<String>, Header, description = "Only if it is at this ETag."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    request_body = crate::openapi::StockInput,
    responses((status = 200, description = "The coupon.", body = crate::openapi::Coupon)))]
pub(crate) async fn set_stock(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    let total = input::stock(&bytes).map_err(not_accepted)?;
    for _attempt in 0..ATTEMPTS_MAX {
        let current = app.coupon(&id).await?;
        call.if_match.check(current.revision)?;
        let now = app.clock.now();
        let decided = change::set_total(&current, total, now)
            .map_err(|errors| not_changed(&current, now, &errors))?;
        let next = match decided {
            TotalChange::Unchanged => Box::new(current.clone()),
            TotalChange::Set(next) => next,
            TotalChange::Lower { target, settled } => {
                return lower(&app, &call, &current, target, &settled).await;
            }
        };
        if save(&app, &call, ACTION, &current, &next).await? {
            return answer(&app, StatusCode::OK, &next).await;
        }
    }
    Err(overtaken())
}

async fn lower(
    app: &App,
    call: &Call,
    current: &Coupon,
    target: u64,
    settled: &Coupon,
) -> Answer<Response> {
    let now = app.clock.now();
    let (before, after) = (document(current, now)?, document(settled, now)?);
    // The ledger itself records the lowering when it happens; this says who asked for it.
    let entry = call.entry(app, "coupon.stock.lower", current.id, before, after);
    app.ledger.append_audit(entry).await?;
    let lane = app.lanes.lane_of(current.id);
    let lowering = app.lane_operator.lower_total(lane, current.id, target);
    let ended = tokio::time::timeout(app.settings.lowering_timeout, lowering)
        .await
        .unwrap_or(Ok(Lowering::StillClosing))
        .map_err(problem_of)?;
    match ended {
        Lowering::Lowered(_stock) => {
            let coupon = app.coupon(&current.id.to_string()).await?;
            app.publisher.put_in_force(&coupon).await?;
            answer(app, StatusCode::OK, &coupon).await
        }
        Lowering::TooMuchGranted {
            stock,
            granted,
            quarantined,
            grace_until,
        } => Err(too_much_granted(granted, quarantined, grace_until).member("total", stock.total)),
        Lowering::StillClosing => Err(Problem::unknown(
            "The tickets that hot state holds are still being called back. The target is kept; \
             repeat the request to see how it ended.",
        )
        .member("lane", lane.0)),
    }
}

fn too_much_granted(granted: u64, quarantined: u64, grace_until: Option<Timestamp>) -> Problem {
    let detail = match grace_until {
        Some(until) => format!(
            "{granted} are granted and {quarantined} more may have been; those come back after \
             {until} where they were not."
        ),
        None => format!("{granted} are granted already; the total stays as it was."),
    };
    Problem::new(ReasonCode::Conflict, detail)
        .member("granted", granted)
        .member("quarantined", quarantined)
        .member("grace_until", grace_until.map(|until| until.to_string()))
}
