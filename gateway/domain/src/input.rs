//! What operators and checkouts send: the API form of a coupon, read into [`CouponSpec`], and of
//! carts, holds and refunds.
//!
//! Reading goes in two steps. First bytes become a tree: there, what is not JSON, is nested too deep
//! or says one key twice is refused. Then each field is read from the tree by hand rather than by a
//! derived deserialiser, for two reasons: a derived one stops at the first error, and below a
//! tagged enum it no longer knows where it is. So *every* error is reported, each with the JSON
//! pointer of its place and with what would be accepted there.
//!
//! [`crate::render`] is the other direction; reading what it wrote gives the same coupon.

mod benefit;
mod cart;
mod checkout;
mod conditions;
mod definition;
mod grants;
mod limits;
mod merge;
mod reader;
mod text;
mod tree;
mod validity;

use serde::Serialize;

use crate::coupon::{Coupon, CouponSpec};
use crate::id::UserId;
use reader::{Node, Report};

pub use grants::{CannotUseRequest, GRANT_USERS_MAX, GrantRequest, OrderGrantRequest, Subject};

pub use checkout::{
    BuyerFacts, CLAIMS_MAX, CODE_CHARS_MAX, CODES_MAX, ClaimByCodeRequest, HoldRequest,
    MatchRequest, Principal, QuoteRequest, RefundRequest, RefundWanted,
};

/// Most errors that one answer lists.
pub const ERRORS_MAX: usize = 100;
/// Most levels of nesting in a request.
pub const DEPTH_MAX: usize = 16;
/// Most units that a coupon may have in all.
pub const TOTAL_MAX: u64 = 1_000_000_000;

/// One field that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: an RFC 6901 pointer into the request, empty for the whole.
    pub pointer: String,
    /// What was found and what would be accepted; reads on from the name of the field.
    pub message: String,
}

/// Reads a new coupon.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn coupon(body: &[u8]) -> Result<CouponSpec, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| definition::read(&Node::root(&tree), report))
}

/// Applies a merge patch (RFC 7396) to the API form of a coupon, and reads the outcome.
///
/// `null` takes a field away, so that its default holds; for `limits.total`, which has no
/// default, it means unlimited. Where the patch changes the `type` of a benefit or validity or the
/// `kind` of users, what belonged to the old one goes with it.
///
/// Whether a published coupon may change in this way is a question for [`crate::change::edit`].
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn patch(coupon: &Coupon, body: &[u8]) -> Result<CouponSpec, Vec<FieldError>> {
    let patch = tree::parse(body)?;
    let merged = merge::merge(&coupon.spec, patch)?;
    read(|report| definition::read(&Node::root(&merged), report))
}

/// Reads the body of a stock change, `{"total": 2000}`; `null` is unlimited.
///
/// # Errors
/// With every field that was not accepted; never empty.
pub fn stock(body: &[u8]) -> Result<Option<u64>, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| {
        let object = Node::root(&tree).object(report, &["total"])?;
        limits::total(&object, report)
    })
}

/// Reads the body of a quote.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn quote(body: &[u8]) -> Result<QuoteRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| checkout::read_quote(&Node::root(&tree), report))
}

/// Reads the body of a claim by code.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn claim_by_code(body: &[u8]) -> Result<ClaimByCodeRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| checkout::read_claim_by_code(&Node::root(&tree), report))
}

/// Reads the body of a match of the wallet with a cart.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn wallet_match(body: &[u8]) -> Result<MatchRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| checkout::read_match(&Node::root(&tree), report))
}

/// Reads the body of a hold.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn hold(body: &[u8]) -> Result<HoldRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| checkout::read_hold(&Node::root(&tree), report))
}

/// Reads the body of a refund.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn refund(body: &[u8]) -> Result<RefundRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| checkout::read_refund(&Node::root(&tree), report))
}

/// Reads the body of a confirm or a cancel: nothing, `{}`, or the user for whom a service asks.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn for_user(body: &[u8]) -> Result<Option<UserId>, Vec<FieldError>> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let tree = tree::parse(body)?;
    read(|report| checkout::read_bare(&Node::root(&tree), report))
}

/// Reads the body of an operator's grant to users.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn grant(body: &[u8]) -> Result<GrantRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| grants::read_grant(&Node::root(&tree), report))
}

/// Reads the body of a service's grant because of an order.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn order_grant(body: &[u8]) -> Result<OrderGrantRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| grants::read_order_grant(&Node::root(&tree), report))
}

/// Reads the body of a call that says everything in its path: nothing, or `{}`.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn nothing(body: &[u8]) -> Result<(), Vec<FieldError>> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let tree = tree::parse(body)?;
    read(|report| Node::root(&tree).object(report, &[]).map(|_empty| ()))
}

/// Reads the body of the question why a user cannot use something.
///
/// # Errors
/// With every field that was not accepted, at most [`ERRORS_MAX`] of them; never empty.
pub fn cannot_use(body: &[u8]) -> Result<CannotUseRequest, Vec<FieldError>> {
    let tree = tree::parse(body)?;
    read(|report| grants::read_cannot_use(&Node::root(&tree), report))
}

/// Runs a reader; what it found counts only where it found nothing wrong.
fn read<T>(reader: impl FnOnce(&mut Report) -> Option<T>) -> Result<T, Vec<FieldError>> {
    let mut report = Report::default();
    match (reader(&mut report), report.into_errors()) {
        (Some(found), errors) if errors.is_empty() => Ok(found),
        (_, errors) => {
            debug_assert!(!errors.is_empty(), "a reader gave up without saying why");
            Err(errors)
        }
    }
}

#[cfg(test)]
mod tests;
