//! Reading a JSON tree field by field, with the place of each value, collecting every error.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{ERRORS_MAX, FieldError};
use crate::money;
use crate::terms::{Currency, MinorUnits};
use crate::time::Timestamp;

/// Longest name of an unknown field that is repeated in an error.
const NAME_BYTES_MAX: usize = 64;

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<FieldError>,
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node<'v> {
    value: &'v Value,
    pointer: String,
}

/// An object whose unknown fields have been reported.
#[derive(Debug)]
pub(super) struct Object<'v> {
    members: &'v Map<String, Value>,
    pointer: String,
}

// === impl Report ===

impl Report {
    /// Notes an error; beyond [`ERRORS_MAX`] it is not kept.
    pub(super) fn say(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError {
                pointer: pointer.into(),
                message: message.into(),
            });
        }
    }

    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }
}

// === impl Node ===

impl<'v> Node<'v> {
    pub(super) fn root(value: &'v Value) -> Self {
        Self {
            value,
            pointer: String::new(),
        }
    }

    /// Notes an error about this value.
    pub(super) fn refuse<T>(&self, report: &mut Report, message: impl Into<String>) -> Option<T> {
        report.say(self.pointer.clone(), message);
        None
    }

    /// An object with no other fields than these.
    pub(super) fn object(&self, report: &mut Report, fields: &[&str]) -> Option<Object<'v>> {
        let object = self.open_object(report)?;
        object.only(report, fields);
        Some(object)
    }

    /// An object whose fields are checked later, with [`Object::only`].
    pub(super) fn open_object(&self, report: &mut Report) -> Option<Object<'v>> {
        match self.value {
            Value::Object(members) => Some(Object {
                members,
                pointer: self.pointer.clone(),
            }),
            other => self.refuse(report, format!("is {}; an object is expected", kind(other))),
        }
    }

    /// A list of at most `most` values.
    pub(super) fn list(&self, report: &mut Report, most: usize) -> Option<Vec<Node<'v>>> {
        match self.value {
            Value::Array(items) if items.len() <= most => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, value)| Node {
                        value,
                        pointer: format!("{}/{index}", self.pointer),
                    })
                    .collect(),
            ),
            Value::Array(items) => self.refuse(
                report,
                format!("has {} entries; at most {most} are accepted", items.len()),
            ),
            other => self.refuse(report, format!("is {}; a list is expected", kind(other))),
        }
    }

    /// Text of any kind.
    pub(super) fn text(&self, report: &mut Report) -> Option<&'v str> {
        match self.value {
            Value::String(text) => Some(text),
            other => self.refuse(report, format!("is {}; text is expected", kind(other))),
        }
    }

    /// True or false.
    pub(super) fn boolean(&self, report: &mut Report) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(*value),
            other => self.refuse(
                report,
                format!("is {}; true or false is expected", kind(other)),
            ),
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(&self, report: &mut Report, least: u64, most: u64) -> Option<u64> {
        match self.value {
            Value::Number(number) => match number.as_u64() {
                Some(value) if (least..=most).contains(&value) => Some(value),
                _ => self.refuse(
                    report,
                    format!("is {number}; a whole number from {least} to {most} is expected"),
                ),
            },
            other => self.refuse(
                report,
                format!(
                    "is {}; a whole number from {least} to {most} is expected",
                    kind(other)
                ),
            ),
        }
    }

    /// A whole number in a range that fits a smaller type.
    pub(super) fn small<T: TryFrom<u64> + Into<u64>>(
        &self,
        report: &mut Report,
        least: T,
        most: T,
    ) -> Option<T> {
        let value = self.integer(report, least.into(), most.into())?;
        T::try_from(value).ok()
    }

    /// One word of a closed list.
    pub(super) fn word<T: Copy>(&self, report: &mut Report, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(report)?;
        let found = words.iter().find(|(word, _meaning)| *word == text);
        match found {
            Some((_word, meaning)) => Some(*meaning),
            None => {
                let words: Vec<&str> = words.iter().map(|(word, _meaning)| *word).collect();
                self.refuse(
                    report,
                    format!("is not known; use {}", alternatives(&words)),
                )
            }
        }
    }

    /// An instant.
    pub(super) fn instant(&self, report: &mut Report) -> Option<Timestamp> {
        match self.text(report)?.parse() {
            Ok(instant) => Some(instant),
            Err(error) => self.refuse(report, error.to_string()),
        }
    }

    /// An amount. Where the currency itself is wrong, amounts cannot be judged and are let pass:
    /// the request is refused anyway.
    pub(super) fn amount(
        &self,
        report: &mut Report,
        currency: Option<Currency>,
    ) -> Option<MinorUnits> {
        let Value::String(text) = self.value else {
            return self.refuse(
                report,
                format!("is {}; an amount is text, as in \"5.00\"", kind(self.value)),
            );
        };
        match money::parse(text, currency?) {
            Ok(amount) => Some(amount),
            Err(error) => self.refuse(report, error.to_string()),
        }
    }

    /// An amount above zero.
    pub(super) fn positive_amount(
        &self,
        report: &mut Report,
        currency: Option<Currency>,
    ) -> Option<MinorUnits> {
        match self.amount(report, currency)? {
            0 => self.refuse(report, "is 0; an amount above 0 is expected"),
            amount => Some(amount),
        }
    }
}

// === impl Object ===

impl<'v> Object<'v> {
    /// Reports each field that is not one of these.
    pub(super) fn only(&self, report: &mut Report, fields: &[&str]) {
        for name in self.members.keys() {
            if fields.contains(&name.as_str()) {
                continue;
            }
            // A name that long is no misspelling; its parent is place enough.
            if name.len() > NAME_BYTES_MAX {
                report.say(
                    self.pointer.clone(),
                    format!("has an unknown field; the fields are {}", fields.join(", ")),
                );
            } else {
                report.say(
                    self.at(name),
                    format!("is not a known field; the fields are {}", fields.join(", ")),
                );
            }
        }
    }

    /// The pointer of a field.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape(name))
    }

    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<Node<'v>> {
        self.get_or_null(name).filter(|node| !node.value.is_null())
    }

    /// A field that is there, perhaps null.
    pub(super) fn get_or_null(&self, name: &str) -> Option<Node<'v>> {
        self.members.get(name).map(|value| Node {
            value,
            pointer: self.at(name),
        })
    }

    /// A field that has to be there; `accepted` says what in words.
    pub(super) fn require(
        &self,
        report: &mut Report,
        name: &str,
        accepted: &str,
    ) -> Option<Node<'v>> {
        let found = self.get(name);
        if found.is_none() {
            report.say(self.at(name), format!("is missing; {accepted} is expected"));
        }
        found
    }

    /// A field with a default: `Some(default)` where it is absent or null.
    pub(super) fn or<T>(
        &self,
        report: &mut Report,
        name: &str,
        default: T,
        read: impl FnOnce(&Node<'v>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            Some(node) => read(&node, report),
            None => Some(default),
        }
    }

    /// A field that may be left out: `Some(None)` where it is absent or null.
    pub(super) fn optional<T>(
        &self,
        report: &mut Report,
        name: &str,
        read: impl FnOnce(&Node<'v>, &mut Report) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(node) => read(&node, report).map(Some),
            None => Some(None),
        }
    }
}

impl Node<'_> {
    /// Whether this is JSON's null.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }
}

/// A step of an RFC 6901 pointer.
pub(super) fn escape(step: &str) -> Cow<'_, str> {
    if step.contains(['~', '/']) {
        Cow::Owned(step.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(step)
    }
}

/// `"a", "b" or "c"`.
pub(super) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
