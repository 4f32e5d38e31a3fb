//! Query parameters: each known by name, said once, and refused by name.

use std::str::FromStr;

use crate::error::{Answer, FieldProblem, Problem};

/// Parameters not yet read.
#[derive(Debug)]
pub(crate) struct Parameters {
    left: Vec<(String, String)>,
    errors: Vec<FieldProblem>,
}

impl Parameters {
    /// Those of a request, decoded.
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        Self {
            left: pairs,
            errors: Vec::new(),
        }
    }

    /// Takes a parameter as text; an empty one counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut found = None;
        for (_name, value) in self.left.extract_if(.., |(given, _value)| given == name) {
            if found.is_some() {
                self.errors.push(FieldProblem::parameter(
                    name,
                    format!("{name} is there twice."),
                ));
                break;
            }
            found = Some(value);
        }
        found.filter(|value| !value.is_empty())
    }

    /// Takes a parameter that has a form of its own; `accepted` says which.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, accepted: &str) -> Option<T> {
        let text = self.text(name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.refuse(name, accepted);
        }
        parsed
    }

    /// Takes a number of items per page, 1 to `most`.
    pub(crate) fn limit(&mut self, default: usize, most: usize) -> usize {
        let accepted = format!("a whole number from 1 to {most}");
        let Some(limit) = self.parsed::<usize>("limit", &accepted) else {
            return default;
        };
        if !(1..=most).contains(&limit) {
            self.refuse("limit", &accepted);
        }
        limit
    }

    /// Takes one word of a closed list.
    pub(crate) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _meaning)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _meaning)| *word).collect();
            self.refuse(name, &format!("one of {}", known.join(", ")));
        }
        found.map(|(_word, meaning)| *meaning)
    }

    /// Notes that a parameter is not accepted.
    pub(crate) fn refuse(&mut self, name: &str, accepted: &str) {
        let detail = format!("{name} is not accepted; {accepted} is expected.");
        self.errors.push(FieldProblem::parameter(name, detail));
    }

    /// Ends the reading: what is left is unknown.
    ///
    /// # Errors
    /// 400 naming every parameter that was not accepted.
    pub(crate) fn done(mut self) -> Answer<()> {
        for (name, _value) in self.left {
            let detail = format!("{name} is not a known parameter.");
            self.errors.push(FieldProblem::parameter(&name, detail));
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.errors))
        }
    }
}
