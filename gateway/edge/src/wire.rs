//! The success bodies, written by hand into one buffer each: fixed field order, so that a first
//! answer and its repeats are the same bytes.

pub(crate) mod notifications;
pub(crate) mod wallet;

use std::io::Write as _;

use serde::Serialize;
use sluice_claim::outcome::{ClaimView, StockLevel};
use sluice_domain::claim::{ClaimStatus, Durability};
use sluice_domain::coupon::{self, Status};
use sluice_domain::id::{ClaimId, CouponId, OrderId};
use sluice_domain::published::Published;
use sluice_domain::render::PublicTerms;
use sluice_domain::time::Timestamp;

/// Longest claim body: two ids, a user id of 64 and three instants fit well.
const CLAIM_BODY_BYTES: usize = 448;

/// By which order a claim is held, and until when.
pub(crate) type HeldBy = Option<(OrderId, Timestamp)>;

/// A claim as it stands now: `held` says by which order.
pub(crate) fn claim_now(view: &ClaimView, held: &HeldBy) -> Vec<u8> {
    let mut body = claim(view);
    if let Some((order, until)) = held {
        // An order id's characters need no escaping; writing into a Vec cannot fail.
        body.pop();
        let _infallible = write!(
            body,
            ",\"order_id\":\"{order}\",\"held_until\":\"{until}\"}}"
        );
    }
    body
}

/// A granted claim: `order` is the order that it was granted because of, or null where the user has
/// it for another reason.
pub(crate) fn granted(view: &ClaimView, order: Option<&OrderId>) -> Vec<u8> {
    let mut body = claim(view);
    body.pop();
    // An order id's characters need no escaping; writing into a Vec cannot fail.
    let _infallible = match order {
        Some(order) => write!(body, ",\"order_id\":\"{order}\"}}"),
        None => write!(body, ",\"order_id\":null}}"),
    };
    body
}

/// A claim.
///
/// Nothing in it needs escaping: ids are of closed alphabets, words and instants are ours.
pub(crate) fn claim(view: &ClaimView) -> Vec<u8> {
    let mut body = Vec::with_capacity(CLAIM_BODY_BYTES);
    // Writing into a Vec cannot fail.
    let _infallible = write!(
        body,
        "{{\"claim_id\":\"{}\",\"coupon_id\":\"{}\",\"user_id\":\"{}\",\"version\":{},\
         \"status\":\"{}\",\"durability\":\"{}\",\"granted_at\":\"{}\",\"valid_from\":\"{}\",\
         \"expires_at\":",
        view.claim_id,
        view.coupon,
        view.user,
        view.version,
        status(view.status),
        durability(view.durability),
        view.granted_at,
        view.valid_from,
    );
    match view.expires_at {
        Some(expires_at) => {
            let _infallible = write!(body, "\"{expires_at}\"}}");
        }
        None => body.extend_from_slice(b"null}"),
    }
    body
}

/// The 202 form. Only class `ledger` is ever waited for.
pub(crate) fn pending(claim_id: ClaimId) -> Vec<u8> {
    format!(
        "{{\"claim_id\":\"{claim_id}\",\"status\":\"pending\",\"durability\":\"ledger\",\
         \"poll\":\"/v1/claims/{claim_id}\"}}"
    )
    .into_bytes()
}

/// A pass. Its alphabet needs no escaping.
pub(crate) fn pass(pass: &str, expires_at: Timestamp) -> Vec<u8> {
    format!("{{\"pass\":\"{pass}\",\"expires_at\":\"{expires_at}\"}}").into_bytes()
}

const fn status(status: ClaimStatus) -> &'static str {
    match status {
        ClaimStatus::Pending => "pending",
        ClaimStatus::Usable => "usable",
        ClaimStatus::Held => "held",
        ClaimStatus::Used => "used",
        ClaimStatus::Expired => "expired",
        ClaimStatus::Revoked => "revoked",
    }
}

const fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Ledger => "ledger",
        Durability::Hot => "hot",
    }
}

/// A published coupon: what it is, its window, a coarse stock level and the service's time.
pub(crate) fn coupon(published: &Published, stock: StockLevel, now: Timestamp) -> Vec<u8> {
    let body = CouponBody {
        id: published.id,
        name: &published.terms.name,
        terms: PublicTerms::of(&published.terms),
        state: coupon::status(published.lifecycle, published.window, now),
        starts_at: published.window.starts_at,
        ends_at: published.window.ends_at,
        stock: match stock {
            StockLevel::Plenty => "plenty",
            StockLevel::Low => "low",
            StockLevel::Last => "last",
            StockLevel::SoldOut => "sold_out",
        },
        server_time: now,
    };
    // Plain values with text keys always have a JSON form.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct CouponBody<'a> {
    id: CouponId,
    name: &'a str,
    terms: PublicTerms,
    state: Status,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    stock: &'static str,
    server_time: Timestamp,
}
