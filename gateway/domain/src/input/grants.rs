//! What is sent to grant, and to ask why somebody has no claim or cannot use theirs.

use super::checkout::{self, BuyerFacts};
use super::reader::{Node, Object, Report};
use super::text;
use crate::cart::Cart;
use crate::id::{ClaimId, CouponId, OrderId, UserId};

/// Most users of one grant.
pub const GRANT_USERS_MAX: usize = 1_000;
/// Most characters of the reason for a grant.
const REASON_CHARS_MAX: usize = 500;

/// The body of `POST /admin/v1/coupons/{id}/grants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRequest {
    /// To whom, distinct, 1 to [`GRANT_USERS_MAX`], in the caller's order.
    pub users: Vec<UserId>,
    /// Why, for the audit log; 1 to 500 characters.
    pub reason: String,
}

/// The body of `POST /v1/grants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderGrantRequest {
    /// What.
    pub coupon: CouponId,
    /// To whom.
    pub user: UserId,
    /// Because of which order.
    pub order: OrderId,
}

/// The body of `POST /admin/v1/cannot-use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotUseRequest {
    /// Who.
    pub user: UserId,
    /// What they cannot use.
    pub subject: Subject,
    /// Where; needed where they have a claim.
    pub cart: Option<Cart>,
    /// What is known of them.
    pub buyer: BuyerFacts,
    /// The device that their token is bound to.
    pub device: Option<String>,
}

/// What somebody cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One claim.
    Claim(ClaimId),
    /// A coupon, of which they may have claims or not.
    Coupon(CouponId),
}

pub(super) fn read_grant(node: &Node<'_>, report: &mut Report) -> Option<GrantRequest> {
    let object = node.object(report, &["users", "reason"])?;
    let users = object
        .require(report, "users", "a list of 1 to 1000 user ids")
        .and_then(|node| {
            let users = checkout::distinct(&node, report, GRANT_USERS_MAX, text::user)?;
            if users.is_empty() {
                return node.refuse(report, "is empty; 1 to 1000 user ids are expected");
            }
            Some(users)
        });
    let reason = object
        .require(report, "reason", "why it is granted, in words")
        .and_then(|node| text::filled(&node, report, REASON_CHARS_MAX));
    Some(GrantRequest {
        users: users?,
        reason: reason?,
    })
}

pub(super) fn read_order_grant(node: &Node<'_>, report: &mut Report) -> Option<OrderGrantRequest> {
    let object = node.object(report, &["coupon_id", "user_id", "order_id"])?;
    let coupon = object
        .require(report, "coupon_id", "a coupon id")
        .and_then(|node| coupon(&node, report));
    let user = object
        .require(report, "user_id", "a user id")
        .and_then(|node| text::user(&node, report));
    let order = checkout::read_order(&object, report);
    Some(OrderGrantRequest {
        coupon: coupon?,
        user: user?,
        order: order?,
    })
}

pub(super) fn read_cannot_use(node: &Node<'_>, report: &mut Report) -> Option<CannotUseRequest> {
    let fields = [
        "user_id",
        "claim_id",
        "coupon_id",
        "cart",
        "groups",
        "is_new",
        "verified",
        "device",
    ];
    let object = node.object(report, &fields)?;
    let user = object
        .require(report, "user_id", "a user id")
        .and_then(|node| text::user(&node, report));
    let subject = read_subject(node, &object, report);
    let cart = match object.get("cart") {
        Some(_node) => checkout::read_cart(&object, report).map(Some),
        None => Some(None),
    };
    let buyer = checkout::buyer_facts(&object, report, "is_new");
    let device = object.optional(report, "device", text::label);
    Some(CannotUseRequest {
        user: user?,
        subject: subject?,
        cart: cart?,
        buyer: buyer?,
        device: device?,
    })
}

fn read_subject(node: &Node<'_>, object: &Object<'_>, report: &mut Report) -> Option<Subject> {
    let claim = object.optional(report, "claim_id", checkout::claim);
    let coupon = object.optional(report, "coupon_id", coupon);
    match (claim?, coupon?) {
        (Some(claim), None) => Some(Subject::Claim(claim)),
        (None, Some(coupon)) => Some(Subject::Coupon(coupon)),
        (Some(_), Some(_)) => node.refuse(report, "has both claim_id and coupon_id; use one"),
        (None, None) => node.refuse(report, "names neither claim_id nor coupon_id; use one"),
    }
}

/// A coupon's id.
fn coupon(node: &Node<'_>, report: &mut Report) -> Option<CouponId> {
    match node.text(report)?.parse() {
        Ok(coupon) => Some(coupon),
        Err(error) => node.refuse(report, format!("is not a coupon id: {error}")),
    }
}

#[cfg(test)]
mod tests;
