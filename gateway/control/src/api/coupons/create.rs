//! Making a coupon.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, CouponNumber};
use sluice_domain::time::Timestamp;
use sluice_domain::{change, input};
use sluice_ledger::coupons::CouponWrite;

use super::{answer, document, shards_fit};
use crate::api::body::{RawBody, located, not_accepted};
use crate::api::call::Call;
use crate::app::App;
use crate::error::{Answer, Problem};

/// Makes a draft.
#[utoipa::path(post, path = "/admin/v1/coupons", tag = "coupons",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    request_body = crate::openapi::CouponInput,
    responses((status = 201, description = "The draft.", body = crate::openapi::Coupon)))]
pub(crate) async fn create_coupon(
    State(app): State<Arc<App>>,
    call: Call,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    let spec = input::coupon(&bytes).map_err(not_accepted)?;
    shards_fit(&app, &spec)?;
    store(&app, &call, "coupon.create", move |id, number, now| {
        change::create(id, number, spec.clone(), now)
    })
    .await
}

/// Stores a new draft under a number of its own; a repeat of a keyed call finds the one that its
/// first attempt made.
pub(super) async fn store(
    app: &App,
    call: &Call,
    action: &str,
    make: impl Fn(CouponId, CouponNumber, Timestamp) -> Coupon,
) -> Answer<Response> {
    let number = match &call.keyed {
        Some(keyed) => keyed.number(app).await?,
        None => app.ledger.next_number().await?,
    };
    let id = app.hash_keys.coupon_id(number);
    let made_before = match &call.keyed {
        Some(_) => app.ledger.coupon(id).await?,
        None => None,
    };
    let coupon = match made_before {
        Some(coupon) => coupon,
        None => {
            let now = app.clock.now();
            let coupon = make(id, number, now);
            let after = document(&coupon, now)?;
            let entry = call.entry(app, action, id, String::new(), after);
            match app.ledger.create_coupon(&coupon, entry).await? {
                CouponWrite::CodeTaken { holder } => return Err(Problem::code_taken(holder)),
                CouponWrite::Done | CouponWrite::Stale(_) | CouponWrite::Unknown => coupon,
            }
        }
    };
    let response = answer(app, StatusCode::CREATED, &coupon).await?;
    Ok(located(response, &format!("/admin/v1/coupons/{id}")))
}
