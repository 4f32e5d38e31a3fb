//! The cart as a checkout sends it.

use std::collections::BTreeMap;

use super::reader::{Node, Object, Report};
use super::text;
use crate::cart::{Cart, CartLine, LINE_QUANTITY_MAX, LINES_MAX, UNITS_MAX};
use crate::money::{self, AMOUNT_MAX};
use crate::terms::{Currency, MinorUnits};

/// Most characters of a line id.
const LINE_ID_CHARS_MAX: usize = 64;
/// Most categories, and most tags, of one line.
const LABELS_MAX: usize = 50;

pub(super) fn read(node: &Node<'_>, report: &mut Report) -> Option<Cart> {
    let object = node.object(report, &["currency", "lines", "shipping", "channel"])?;
    let currency = object
        .require(report, "currency", "an ISO 4217 code")
        .and_then(|node| match Currency::new(node.text(report)?) {
            Ok(currency) => Some(currency),
            Err(error) => node.refuse(report, error.to_string()),
        });
    let lines = object
        .require(report, "lines", "a list of lines")
        .and_then(|node| read_lines(&node, report, currency));
    let shipping = object.or(report, "shipping", 0, |node, report| {
        let object = node.object(report, &["price"])?;
        let price = object.require(report, "price", "an amount")?;
        price.amount(report, currency)
    });
    let channel = object.optional(report, "channel", text::name);
    let cart = Cart {
        currency: currency?,
        lines: lines?,
        shipping: shipping?,
        channel: channel?,
    };
    check_sums(&cart, &object, report).then_some(cart)
}

/// The amount of an order, within the currency of its cart.
pub(super) fn amount_of(
    object: &Object<'_>,
    report: &mut Report,
    name: &str,
    cart: Option<&Cart>,
) -> Option<Option<MinorUnits>> {
    object.optional(report, name, |node, report| {
        node.amount(report, cart.map(|cart| cart.currency))
    })
}

fn read_lines(
    node: &Node<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Vec<CartLine>> {
    let nodes = node.list(report, LINES_MAX)?;
    if nodes.is_empty() {
        return node.refuse(
            report,
            format!("is empty; 1 to {LINES_MAX} lines are expected"),
        );
    }
    let lines: Vec<Option<CartLine>> = nodes
        .iter()
        .map(|node| read_line(node, report, currency))
        .collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut distinct = true;
    for (index, line) in lines.iter().enumerate() {
        let Some(line) = line else { continue };
        if let Some(first) = places.insert(&line.id, index) {
            distinct = false;
            nodes[index].refuse::<()>(
                report,
                format!("has the id of line {first}; every line needs an id of its own"),
            );
        }
    }
    let lines: Option<Vec<CartLine>> = lines.into_iter().collect();
    lines.filter(|_lines| distinct)
}

fn read_line(node: &Node<'_>, report: &mut Report, currency: Option<Currency>) -> Option<CartLine> {
    let object = node.object(
        report,
        &[
            "id",
            "sku",
            "quantity",
            "unit_price",
            "categories",
            "brand",
            "tags",
            "floor_price",
        ],
    )?;
    let id = object
        .require(report, "id", "a text of 1 to 64 characters")
        .and_then(|node| text::filled(&node, report, LINE_ID_CHARS_MAX));
    let sku = object
        .require(report, "sku", "the SKU of a product")
        .and_then(|node| text::label(&node, report));
    let quantity = object
        .require(report, "quantity", "a whole number from 1")
        .and_then(|node| node.small(report, 1_u32, LINE_QUANTITY_MAX));
    let unit_price = object
        .require(report, "unit_price", "an amount")
        .and_then(|node| node.amount(report, currency));
    let categories = object.or(report, "categories", Vec::new(), labels);
    let brand = object.optional(report, "brand", text::label);
    let tags = object.or(report, "tags", Vec::new(), labels);
    let floor_price = object.or(report, "floor_price", 0, |node, report| {
        let floor = node.amount(report, currency)?;
        match unit_price {
            Some(price) if floor > price => node.refuse(
                report,
                "is above unit_price; an amount from 0 to the unit price is expected",
            ),
            Some(_) | None => Some(floor),
        }
    });
    Some(CartLine {
        id: id?,
        sku: sku?,
        quantity: quantity?,
        unit_price: unit_price?,
        categories: categories?,
        brand: brand?,
        tags: tags?,
        floor_price: floor_price?,
    })
}

fn labels(node: &Node<'_>, report: &mut Report) -> Option<Vec<String>> {
    text::set(node, report, LABELS_MAX, text::label)
}

/// Bounds of the whole: each line may be within its own and all of them together too large.
fn check_sums(cart: &Cart, object: &Object<'_>, report: &mut Report) -> bool {
    let units: u64 = cart.lines.iter().map(|line| u64::from(line.quantity)).sum();
    let amounts = cart.lines.iter().map(|line| i128::from(line.amount()));
    let sum: i128 = amounts.sum::<i128>() + i128::from(cart.shipping);
    let mut sound = true;
    if units > UNITS_MAX {
        sound = false;
        report.say(
            object.at("lines"),
            format!("has {units} pieces in all; at most {UNITS_MAX} are accepted"),
        );
    }
    if sum > i128::from(AMOUNT_MAX) {
        sound = false;
        let most = money::format(AMOUNT_MAX, cart.currency);
        report.say(
            object.at("lines"),
            format!(
                "comes to more than {most} {} with shipping, which is the most that is accepted",
                cart.currency.as_str()
            ),
        );
    }
    sound
}
