//! A TOML document that knows the line of each key.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// The keys of a document (`section.key`), each with its line.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What messages call it: the file's name.
    pub(super) name: String,
    /// Dotted key to line, from 1.
    pub(super) lines: BTreeMap<String, usize>,
    /// Dotted key to the kind of its value, in words.
    kinds: BTreeMap<String, &'static str>,
}

impl Document {
    /// Reads the keys of a text.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: place(name, error.span().map(|span| line_at(text, span.start))),
            message: error.message().to_owned(),
        })?;
        let mut document = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        document.collect(text, "", table.get_ref());
        Ok(document)
    }

    /// Refuses keys that are not in `known`, and values of another kind than there: 1.5 is no count,
    /// and must not become one by rounding.
    pub(super) fn refuse_unlike(&self, known: &Document) -> Result<(), ConfigError> {
        for (key, &line) in &self.lines {
            if !known.lines.contains_key(key) {
                return Err(ConfigError::UnknownKey {
                    place: place(&self.name, Some(line)),
                    key: key.clone(),
                    hint: nearest(key, known),
                });
            }
            let (is, should_be) = (self.kinds.get(key), known.kinds.get(key));
            if let (Some(is), Some(should_be)) = (is, should_be)
                && is != should_be
            {
                return Err(ConfigError::Value {
                    place: place(&self.name, Some(line)),
                    key: key.clone(),
                    message: format!("is {is}; {should_be} is accepted"),
                });
            }
        }
        Ok(())
    }

    /// Where a key stands, for messages.
    pub(super) fn place_of(&self, key: &str) -> Option<String> {
        self.lines
            .get(key)
            .map(|&line| place(&self.name, Some(line)))
    }

    fn collect(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let dotted = if prefix.is_empty() {
                name.to_string()
            } else {
                format!("{prefix}.{name}")
            };
            let line = line_at(text, key.span().start);
            self.lines.insert(dotted.clone(), line);
            self.kinds.insert(dotted.clone(), kind_of(value.get_ref()));
            if let DeValue::Table(inner) = value.get_ref() {
                self.collect(text, &dotted, inner);
            }
        }
    }
}

/// "did you mean": the known key that is spelled most alike, if any is near.
pub(super) fn nearest(key: &str, known: &Document) -> String {
    let leaf = |dotted: &str| dotted.rsplit('.').next().unwrap_or(dotted).to_owned();
    known
        .lines
        .keys()
        .map(|candidate| {
            let whole = strsim::jaro_winkler(key, candidate);
            let last = strsim::jaro_winkler(&leaf(key), &leaf(candidate)) - 0.05;
            (whole.max(last), candidate)
        })
        .filter(|(likeness, _candidate)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map_or_else(
            || "; config/default.toml lists all keys".to_owned(),
            |(_likeness, candidate)| format!("; did you mean `{candidate}`?"),
        )
}

/// The name of a file as messages show it.
pub(super) fn name_of(path: &Path) -> String {
    path.display().to_string()
}

fn place(name: &str, line: Option<usize>) -> String {
    line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
