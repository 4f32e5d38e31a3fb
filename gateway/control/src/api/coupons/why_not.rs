//! Why a user has no claim of a coupon.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Serialize;
use sluice_domain::claim::{ClaimRow, ClaimStatus};
use sluice_domain::coupon::Coupon;
use sluice_domain::eligibility::refusal_reason;
use sluice_domain::eligibility::{ClaimFacts, Rules, Shopper, fix_of_all, why_not as reasons_of};
use sluice_domain::id::{ClaimId, CouponId, UserId, Version};
use sluice_domain::published::Published;
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::time::Timestamp;
use sluice_ledger::claims::PAGE_ROWS_MAX;

use crate::api::query::Parameters;
use crate::app::App;
use crate::counts;
use crate::error::{Answer, FieldProblem, Problem};

/// Why somebody may not claim a coupon, or that they may.
#[derive(Debug, Serialize)]
pub(crate) struct WhyNot {
    user_id: UserId,
    coupon_id: CouponId,
    verdict: ClaimVerdict,
    /// The version of the terms that a claim would get.
    terms_version: Version,
    /// Every reason, in order of precedence.
    reasons: Vec<Reason>,
    /// The smallest change that would do, in words; null where there is none, or none is needed.
    fix: Option<String>,
    /// The claims that the user has of it, newest first.
    claims: Vec<HeldClaim>,
}

#[derive(Debug, Serialize)]
struct HeldClaim {
    claim_id: ClaimId,
    status: ClaimStatus,
    version: Version,
    granted_at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// What a claim would end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClaimVerdict {
    /// Nothing is in the way.
    MayClaim,
    /// Something is: see the reasons.
    MayNotClaim,
}

/// Evaluates every condition of a claim for a user: state, window, distribution, the rules on users,
/// limits, stock. What only their token could say (groups, new, verified, device) counts as not said.
#[utoipa::path(get, path = "/admin/v1/coupons/{id}/why-not", tag = "explain",
    params(("id" = String, Path, description = "The coupon."),
        ("user" = String, Query, description = "The user.")),
    responses((status = 200, description = "All reasons, and what would help.", body = crate::openapi::WhyNot)))]
pub(crate) async fn why_not(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Json<WhyNot>> {
    let coupon = app.coupon(&id).await?;
    let mut parameters = Parameters::new(pairs);
    let user = parameters.text("user");
    parameters.done()?;
    let user = user.as_deref().map(UserId::new).and_then(Result::ok);
    let user = user.ok_or_else(|| {
        let detail =
            "user is missing or no user id; 1 to 64 letters, digits, _ and - are expected.";
        Problem::invalid(vec![FieldProblem::parameter("user", detail)])
    })?;
    let shopper = Shopper::known_by_name(user);
    Ok(Json(of(&app, &coupon, &shopper, app.clock.now()).await?))
}

/// Why this shopper has no claim of this coupon.
pub(crate) async fn of(
    app: &App,
    coupon: &Coupon,
    shopper: &Shopper,
    now: Timestamp,
) -> Answer<WhyNot> {
    let rows = claims_of(app, coupon.id, &shopper.user).await?;
    let items = app
        .checkout
        .items(rows.clone(), now)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "claims cannot be shown");
            Problem::from(error)
        })?;
    let reasons = match Published::of(coupon, &[]) {
        Some(published) => {
            let facts = ClaimFacts {
                claims: rows.len() as u64,
                available: counts::read(app, coupon).await?.available,
            };
            reasons_of(&Rules::new(Arc::new(published)), shopper, facts, now)
        }
        None => vec![refusal_reason(
            ReasonCode::NotFound,
            &coupon.spec.limits,
            coupon.version,
        )],
    };
    Ok(WhyNot {
        user_id: shopper.user,
        coupon_id: coupon.id,
        verdict: if reasons.is_empty() {
            ClaimVerdict::MayClaim
        } else {
            ClaimVerdict::MayNotClaim
        },
        terms_version: coupon.version,
        fix: fix_of_all(&reasons),
        reasons,
        claims: items
            .into_iter()
            .map(|item| HeldClaim {
                claim_id: item.row.claim_id,
                status: item.status,
                version: item.row.version,
                granted_at: item.row.granted_at,
                expires_at: item.expires_at,
            })
            .collect(),
    })
}

/// What a user has of a coupon, newest first, claims that were taken back included. Of somebody with
/// more claims in all than a page has, those of the newest page.
pub(crate) async fn claims_of(app: &App, coupon: CouponId, user: &UserId) -> Answer<Vec<ClaimRow>> {
    let mut rows = app.ledger.claims_of_user(user, PAGE_ROWS_MAX).await?;
    rows.retain(|row| row.coupon == coupon);
    Ok(rows)
}
