//! When a coupon may be claimed, and when a claim may be used.

use super::reader::{Node, Object, Report};
use super::text;
use crate::coupon::ClaimWindow;
use crate::terms::{RelativeEnd, Validity};

#[derive(Clone, Copy)]
enum Type {
    Fixed,
    Relative,
    Permanent,
}

const TYPES: &[(&str, Type)] = &[
    ("fixed", Type::Fixed),
    ("relative", Type::Relative),
    ("permanent", Type::Permanent),
];
const ENDS: &[(&str, RelativeEnd)] = &[
    ("minute", RelativeEnd::Minute),
    ("end_of_day", RelativeEnd::EndOfDay),
];

pub(super) fn read(node: &Node<'_>, report: &mut Report) -> Option<Validity> {
    let object = node.open_object(report)?;
    let kind = object
        .require(report, "type", "fixed, relative or permanent")?
        .word(report, TYPES)?;
    match kind {
        Type::Fixed => read_fixed(&object, report),
        Type::Relative => read_relative(&object, report),
        Type::Permanent => {
            object.only(report, &["type"]);
            Some(Validity::Permanent)
        }
    }
}

pub(super) fn read_window(node: &Node<'_>, report: &mut Report) -> Option<ClaimWindow> {
    let object = node.object(report, &["starts_at", "ends_at"])?;
    let starts_at = object.optional(report, "starts_at", Node::instant);
    let ends_at = object.optional(report, "ends_at", Node::instant);
    let window = ClaimWindow {
        starts_at: starts_at?,
        ends_at: ends_at?,
    };
    match (window.starts_at, window.ends_at) {
        (Some(start), Some(end)) if end <= start => {
            report.say(
                object.at("ends_at"),
                format!("is not after starts_at; an instant after {start} is expected"),
            );
            None
        }
        _ => Some(window),
    }
}

fn read_fixed(object: &Object<'_>, report: &mut Report) -> Option<Validity> {
    object.only(report, &["type", "starts_at", "ends_at"]);
    let starts_at = object
        .require(report, "starts_at", "an instant")
        .and_then(|node| node.instant(report));
    let ends_at = object
        .require(report, "ends_at", "an instant")
        .and_then(|node| node.instant(report));
    let (starts_at, ends_at) = (starts_at?, ends_at?);
    if ends_at <= starts_at {
        report.say(
            object.at("ends_at"),
            format!("is not after starts_at; an instant after {starts_at} is expected"),
        );
        return None;
    }
    Some(Validity::Fixed { starts_at, ends_at })
}

fn read_relative(object: &Object<'_>, report: &mut Report) -> Option<Validity> {
    object.only(report, &["type", "days", "until", "zone"]);
    let days = object
        .require(report, "days", "a whole number from 1 to 3650")
        .and_then(|node| node.small(report, 1_u16, 3_650));
    let until = object.or(report, "until", RelativeEnd::Minute, |node, report| {
        node.word(report, ENDS)
    });
    let zone = object.or(report, "zone", "UTC".to_owned(), text::zone);
    Some(Validity::Relative {
        days: days?,
        until: until?,
        zone: zone?,
    })
}
