//! Why a user cannot use a claim, or has none.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sluice_checkout::Ask;
use sluice_domain::cart::Cart;
use sluice_domain::eligibility::{Shopper, fix_of_all};
use sluice_domain::id::{ClaimId, CouponId, Version};
use sluice_domain::input::{self, CannotUseRequest, Subject};
use sluice_domain::money;
use sluice_domain::pricing::{Buyer, Choose, Verdict};
use sluice_domain::reason::{Reason, ReasonCode};

use super::body::{RawBody, not_accepted};
use super::coupons::why_not::{self, WhyNot};
use crate::app::App;
use crate::error::{Answer, FieldProblem, Problem};
use crate::idempotency::NotStored;

/// The answer: of the claims that the user has, or of why they have none.
#[derive(Debug, Serialize)]
#[serde(tag = "about", rename_all = "snake_case")]
enum CannotUse {
    /// They have claims: each against the cart, those that apply first.
    Use {
        coupon_id: CouponId,
        claims: Vec<UseOf>,
    },
    /// They have none.
    Claim(WhyNot),
}

/// One claim against the cart.
#[derive(Debug, Serialize)]
struct UseOf {
    claim_id: ClaimId,
    verdict: Verdict,
    /// What it would take off alone.
    value: String,
    terms_version: Version,
    /// Every reason, in order of precedence; empty where it applies.
    reasons: Vec<Reason>,
    /// The smallest change that would do, in words; null where there is none, or none is needed.
    fix: Option<String>,
}

/// Evaluates every condition for a user: of use, against the cart, for each claim that they have of
/// the coupon (or the one that is named); of a claim, where they have none.
#[utoipa::path(post, path = "/admin/v1/cannot-use", tag = "explain",
    request_body = crate::openapi::CannotUseInput,
    responses((status = 200, description = "All reasons, and what would help.", body = crate::openapi::CannotUse)))]
pub(crate) async fn cannot_use(
    State(app): State<Arc<App>>,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    let request = input::cannot_use(&bytes).map_err(not_accepted)?;
    let answer = match request.subject {
        Subject::Claim(claim) => {
            let row = app.ledger.claim(claim).await?;
            let row = row.filter(|row| row.user == request.user);
            row.ok_or_else(no_claim)?;
            use_of(&app, claim.coupon(), &[claim], &request).await?
        }
        Subject::Coupon(id) => {
            let coupon = app.coupon(&id.to_string()).await?;
            let rows = why_not::claims_of(&app, id, &request.user).await?;
            let live = rows.iter().filter(|row| !row.revoked);
            let claims: Vec<ClaimId> = live.map(|row| row.claim_id).collect();
            if claims.is_empty() {
                let shopper = shopper_of(&request);
                let now = app.clock.now();
                CannotUse::Claim(why_not::of(&app, &coupon, &shopper, now).await?)
            } else {
                use_of(&app, id, &claims, &request).await?
            }
        }
    };
    let mut response = Json(answer).into_response();
    // A question: the answer of now is what is asked for.
    response.extensions_mut().insert(NotStored);
    Ok(response)
}

/// Matches the whole wallet with the cart, and gives what concerns these claims.
async fn use_of(
    app: &App,
    coupon: CouponId,
    claims: &[ClaimId],
    request: &CannotUseRequest,
) -> Answer<CannotUse> {
    let Some(cart) = request.cart.clone() else {
        let detail = "cart is missing; the user has a claim, and whether it can be used depends on the cart.";
        return Err(Problem::invalid(vec![FieldProblem::field("/cart", detail)]));
    };
    let currency = cart.currency;
    let ask = ask(cart, claims, request);
    let answer = app.checkout.match_cart(&ask, app.clock.now()).await;
    let matched = answer.map_err(Problem::from)?.map_err(|refused| {
        // Not found cannot be: the claims are rows of this user. What is left is too much at once.
        tracing::warn!(code = refused.code.as_str(), "a match was refused");
        Problem::unavailable(ReasonCode::Overloaded, "Too many large carts at once.")
    })?;
    let rows = matched.claims.into_iter();
    let found = rows.filter(|one| claims.contains(&one.claim_id));
    let claims = found.map(|one| UseOf {
        claim_id: one.claim_id,
        verdict: one.verdict,
        value: money::format(one.value, currency),
        terms_version: one.version,
        fix: fix_of_all(&one.reasons),
        reasons: one.reasons,
    });
    Ok(CannotUse::Use {
        coupon_id: coupon,
        claims: claims.collect(),
    })
}

fn ask(cart: Cart, claims: &[ClaimId], request: &CannotUseRequest) -> Ask {
    Ask {
        cart,
        buyer: Buyer {
            user: request.user,
            groups: request.buyer.groups.clone(),
            is_new: request.buyer.is_new,
            verified: request.buyer.verified.clone(),
        },
        claims: claims.to_vec(),
        codes: Vec::new(),
        choose: Choose::Best,
    }
}

fn shopper_of(request: &CannotUseRequest) -> Shopper {
    Shopper {
        groups: request
            .buyer
            .groups
            .iter()
            .map(|one| one.as_str().into())
            .collect(),
        is_new: request.buyer.is_new,
        verified: request.buyer.verified.clone().into(),
        device: request.device.as_deref().map(Into::into),
        ..Shopper::known_by_name(request.user)
    }
}

fn no_claim() -> Problem {
    Problem::new(
        ReasonCode::NotFound,
        "This user has no claim with this id in the ledger.",
    )
}
