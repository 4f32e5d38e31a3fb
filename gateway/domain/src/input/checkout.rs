//! What a checkout sends: quotes, matches, holds, refunds.

use std::collections::BTreeSet;

use super::cart;
use super::reader::{Node, Object, Report};
use super::text;
use crate::cart::{Cart, LINE_QUANTITY_MAX, LINES_MAX};
use crate::id::{ClaimId, OrderId, UserId};
use crate::pricing::Choose;
use crate::redemption::RefundLine;
use crate::terms::{MinorUnits, Verified};

/// Most claims that one request may name.
pub const CLAIMS_MAX: usize = 200;
/// Most codes that one request may name.
pub const CODES_MAX: usize = 20;
/// Most characters of a code: bulk codes are longer than words.
pub const CODE_CHARS_MAX: usize = 64;
/// Most groups that a service may say of a buyer.
const GROUPS_MAX: usize = 100;

const CHOOSE: &[(&str, Choose)] = &[("given", Choose::Given), ("best", Choose::Best)];
const VERIFIED: &[(&str, Verified)] = &[
    ("phone", Verified::Phone),
    ("email", Verified::Email),
    ("identity", Verified::Identity),
];

/// For whom a service asks. Whether the caller may say so is decided where the key is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    /// The user.
    pub user: Option<UserId>,
    /// What is known of them; `None` where the request says nothing.
    pub buyer: Option<BuyerFacts>,
}

/// What a service says of a buyer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuyerFacts {
    /// Groups they are in; sorted, at most 100.
    pub groups: Vec<String>,
    /// Whether they have no paid order.
    pub is_new: Option<bool>,
    /// What they had verified; sorted.
    pub verified: Vec<Verified>,
}

/// The body of `POST /v1/claims`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimByCodeRequest {
    /// The code, trimmed and in upper case.
    pub code: String,
    /// For whom.
    pub principal: Principal,
}

/// The body of `POST /v1/quotes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteRequest {
    /// The cart.
    pub cart: Cart,
    /// Claims, distinct, at most [`CLAIMS_MAX`], in the caller's order.
    pub claims: Vec<ClaimId>,
    /// Codes, trimmed and in upper case, distinct, at most [`CODES_MAX`].
    pub codes: Vec<String>,
    /// Which claims are wanted.
    pub choose: Choose,
    /// For whom.
    pub principal: Principal,
}

/// The body of `POST /v1/wallet/match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRequest {
    /// The cart.
    pub cart: Cart,
    /// For whom.
    pub principal: Principal,
}

/// The body of `POST /v1/redemptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRequest {
    /// What is bought, and with which claims.
    pub quote: QuoteRequest,
    /// The order.
    pub order: OrderId,
    /// The total that the caller showed to the shopper.
    pub expected_total: Option<MinorUnits>,
}

/// The body of `POST /v1/redemptions/{id}/refunds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// The caller's id for it, 1 to 64 letters, digits and `_ - . :`.
    pub refund_id: String,
    /// What comes back.
    pub wanted: RefundWanted,
    /// For whom.
    pub user: Option<UserId>,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundWanted {
    /// Everything that is left.
    Full,
    /// Some pieces: lines are distinct, 1 to 1,000 of them.
    Lines(Vec<RefundLine>),
}

const QUOTE_FIELDS: [&str; 6] = ["cart", "claims", "codes", "choose", "user_id", "buyer"];

pub(super) fn read_claim_by_code(
    node: &Node<'_>,
    report: &mut Report,
) -> Option<ClaimByCodeRequest> {
    let object = node.object(report, &["code", "user_id", "buyer"])?;
    let code = object
        .require(report, "code", "the code as it was printed")
        .and_then(|node| code(&node, report));
    let principal = read_principal(&object, report);
    Some(ClaimByCodeRequest {
        code: code?,
        principal: principal?,
    })
}

pub(super) fn read_quote(node: &Node<'_>, report: &mut Report) -> Option<QuoteRequest> {
    let object = node.object(report, &QUOTE_FIELDS)?;
    quote_fields(&object, report)
}

pub(super) fn read_match(node: &Node<'_>, report: &mut Report) -> Option<MatchRequest> {
    let object = node.object(report, &["cart", "user_id", "buyer"])?;
    let cart = read_cart(&object, report);
    let principal = read_principal(&object, report);
    Some(MatchRequest {
        cart: cart?,
        principal: principal?,
    })
}

pub(super) fn read_hold(node: &Node<'_>, report: &mut Report) -> Option<HoldRequest> {
    let mut fields = QUOTE_FIELDS.to_vec();
    fields.extend(["order_id", "expected_total"]);
    let object = node.object(report, &fields)?;
    let quote = quote_fields(&object, report);
    let order = read_order(&object, report);
    let cart = quote.as_ref().map(|quote| &quote.cart);
    let expected_total = cart::amount_of(&object, report, "expected_total", cart);
    Some(HoldRequest {
        order: order?,
        expected_total: expected_total?,
        quote: quote?,
    })
}

/// The id of an order, as the shop names it.
pub(super) fn read_order(object: &Object<'_>, report: &mut Report) -> Option<OrderId> {
    let node = object.require(report, "order_id", "the id of an order")?;
    match node.text(report)?.parse() {
        Ok(order) => Some(order),
        Err(error) => node.refuse(report, error.to_string()),
    }
}

pub(super) fn read_refund(node: &Node<'_>, report: &mut Report) -> Option<RefundRequest> {
    let object = node.object(report, &["refund_id", "full", "lines", "user_id"])?;
    let refund_id = object
        .require(report, "refund_id", "a name for the refund")
        .and_then(|node| text::name(&node, report));
    let full = object.or(report, "full", false, Node::boolean);
    let lines = object.optional(report, "lines", read_refund_lines);
    let user = object.optional(report, "user_id", text::user);
    let wanted = match (full?, lines?) {
        (true, None) => RefundWanted::Full,
        (false, Some(lines)) => RefundWanted::Lines(lines),
        (true, Some(_)) => {
            return node.refuse(
                report,
                "has both \"full\": true and \"lines\"; use one of them",
            );
        }
        (false, None) => {
            return node.refuse(
                report,
                "says nothing to give back; use \"full\": true or \"lines\"",
            );
        }
    };
    Some(RefundRequest {
        refund_id: refund_id?,
        wanted,
        user: user?,
    })
}

/// The body of a transition that needs none: `{}`, or the user for whom a service asks.
pub(super) fn read_bare(node: &Node<'_>, report: &mut Report) -> Option<Option<UserId>> {
    let object = node.object(report, &["user_id"])?;
    object.optional(report, "user_id", text::user)
}

fn quote_fields(object: &Object<'_>, report: &mut Report) -> Option<QuoteRequest> {
    let cart = read_cart(object, report);
    let claims = object.or(report, "claims", Vec::new(), |node, report| {
        distinct(node, report, CLAIMS_MAX, claim)
    });
    let codes = object.or(report, "codes", Vec::new(), |node, report| {
        distinct(node, report, CODES_MAX, code)
    });
    let choose = object.or(report, "choose", Choose::Given, |node, report| {
        node.word(report, CHOOSE)
    });
    let principal = read_principal(object, report);
    Some(QuoteRequest {
        cart: cart?,
        claims: claims?,
        codes: codes?,
        choose: choose?,
        principal: principal?,
    })
}

pub(super) fn read_cart(object: &Object<'_>, report: &mut Report) -> Option<Cart> {
    let node = object.require(report, "cart", "an object with currency and lines")?;
    cart::read(&node, report)
}

fn read_principal(object: &Object<'_>, report: &mut Report) -> Option<Principal> {
    let user = object.optional(report, "user_id", text::user);
    let buyer = object.optional(report, "buyer", read_buyer);
    Some(Principal {
        user: user?,
        buyer: buyer?,
    })
}

fn read_buyer(node: &Node<'_>, report: &mut Report) -> Option<BuyerFacts> {
    let object = node.object(report, &["groups", "new", "verified"])?;
    buyer_facts(&object, report, "new")
}

/// What is said of a buyer; `newness` is the name of the field that says whether they are new.
pub(super) fn buyer_facts(
    object: &Object<'_>,
    report: &mut Report,
    newness: &str,
) -> Option<BuyerFacts> {
    let groups = object.or(report, "groups", Vec::new(), |node, report| {
        text::set(node, report, GROUPS_MAX, text::name)
    });
    let is_new = object.optional(report, newness, Node::boolean);
    let verified = object.or(report, "verified", Vec::new(), |node, report| {
        text::set(node, report, VERIFIED.len(), |node, report| {
            node.word(report, VERIFIED)
        })
    });
    Some(BuyerFacts {
        groups: groups?,
        is_new: is_new?,
        verified: verified?,
    })
}

pub(super) fn claim(node: &Node<'_>, report: &mut Report) -> Option<ClaimId> {
    match node.text(report)?.parse() {
        Ok(claim) => Some(claim),
        Err(error) => node.refuse(report, format!("is not a claim id: {error}")),
    }
}

/// Any short text: which codes there are is not for a reader to say, and an unknown one has to be
/// refused like every other unknown one.
fn code(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let text = text::filled(node, report, CODE_CHARS_MAX)?;
    Some(text.trim().to_ascii_uppercase())
}

/// A list in which every entry is there once, in the caller's order.
pub(super) fn distinct<T: Ord + Clone>(
    node: &Node<'_>,
    report: &mut Report,
    most: usize,
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let nodes = node.list(report, most)?;
    let mut seen = BTreeSet::new();
    let entries: Vec<Option<T>> = nodes
        .iter()
        .map(|node| {
            let entry = read(node, report)?;
            if seen.insert(entry.clone()) {
                Some(entry)
            } else {
                node.refuse(report, "is there twice; say it once")
            }
        })
        .collect();
    entries.into_iter().collect()
}

fn read_refund_lines(node: &Node<'_>, report: &mut Report) -> Option<Vec<RefundLine>> {
    let nodes = node.list(report, LINES_MAX)?;
    if nodes.is_empty() {
        return node.refuse(
            report,
            format!("is empty; 1 to {LINES_MAX} lines are expected"),
        );
    }
    let mut seen = BTreeSet::new();
    let lines: Vec<Option<RefundLine>> = nodes
        .iter()
        .map(|node| {
            let line = read_refund_line(node, report)?;
            if seen.insert(line.id.clone()) {
                Some(line)
            } else {
                node.refuse(report, "names a line twice; say it once")
            }
        })
        .collect();
    lines.into_iter().collect()
}

fn read_refund_line(node: &Node<'_>, report: &mut Report) -> Option<RefundLine> {
    let object = node.object(report, &["id", "quantity"])?;
    let id = object
        .require(report, "id", "the id of a line")
        .and_then(|node| text::filled(&node, report, 64));
    let quantity = object
        .require(report, "quantity", "a whole number from 1")
        .and_then(|node| node.small(report, 1_u32, LINE_QUANTITY_MAX));
    Some(RefundLine {
        id: id?,
        quantity: quantity?,
    })
}
