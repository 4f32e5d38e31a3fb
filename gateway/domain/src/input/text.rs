//! Texts, words and lists of them, each with its bound.

use super::reader::{Node, Report};
use crate::id::UserId;

/// Which control characters a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// None.
    One,
    /// Line feeds.
    Many,
}

/// A text for people of at most `most` characters.
pub(super) fn prose(
    node: &Node<'_>,
    report: &mut Report,
    most: usize,
    lines: Lines,
) -> Option<String> {
    let text = node.text(report)?;
    let found = text.chars().count();
    if found > most {
        return node.refuse(
            report,
            format!("has {found} characters; at most {most} are accepted"),
        );
    }
    let allowed = |c: char| !c.is_control() || (lines == Lines::Many && c == '\n');
    if !text.chars().all(allowed) {
        let accepted = match lines {
            Lines::One => "plain text on one line is accepted",
            Lines::Many => "plain text with line feeds is accepted",
        };
        return node.refuse(report, format!("has a control character; {accepted}"));
    }
    Some(text.to_owned())
}

/// A text for people that says something.
pub(super) fn filled(node: &Node<'_>, report: &mut Report, most: usize) -> Option<String> {
    let text = prose(node, report, most, Lines::One)?;
    if text.trim().is_empty() {
        node.refuse(
            report,
            format!("is blank; 1 to {most} characters are expected"),
        )
    } else {
        Some(text)
    }
}

/// The name of a thing that other systems know: a product, a category, a tag …
pub(super) fn label(node: &Node<'_>, report: &mut Report) -> Option<String> {
    filled(node, report, 100)
}

/// A name made of letters, digits and `_ - . :`, 1 to 64 of them.
pub(super) fn name(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        Some(text.to_owned())
    } else {
        node.refuse(
            report,
            "is not a name; 1 to 64 letters, digits, _, -, . and : are accepted",
        )
    }
}

/// A public code word, folded to upper case.
pub(super) fn code_word(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (3..=32).contains(&text.len()) && text.bytes().all(plain) {
        Some(text.to_ascii_uppercase())
    } else {
        node.refuse(
            report,
            "is not a code; 3 to 32 letters, digits, _ and - are accepted",
        )
    }
}

/// A user id.
pub(super) fn user(node: &Node<'_>, report: &mut Report) -> Option<UserId> {
    match UserId::new(node.text(report)?) {
        Ok(user) => Some(user),
        Err(error) => node.refuse(report, error.to_string()),
    }
}

/// A list without order, at most `most` long: sorted, each entry once.
pub(super) fn set<T: Ord>(
    node: &Node<'_>,
    report: &mut Report,
    most: usize,
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    // Not `map(..).collect::<Option<_>>()`: that would stop at the first entry that is wrong.
    let entries: Vec<Option<T>> = node
        .list(report, most)?
        .iter()
        .map(|entry| read(entry, report))
        .collect();
    let mut entries: Vec<T> = entries.into_iter().collect::<Option<_>>()?;
    entries.sort_unstable();
    entries.dedup();
    Some(entries)
}

/// The IANA name of a time zone, in the database's own spelling.
pub(super) fn zone(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    match crate::weekly::zone(text) {
        Some(zone) => Some(zone.iana_name().unwrap_or(text).to_owned()),
        None => node.refuse(
            report,
            "is not a time zone; use an IANA name, as in \"Europe/Berlin\"",
        ),
    }
}
