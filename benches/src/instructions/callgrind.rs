//! What callgrind wrote: instructions by function, each without what it called.

use std::collections::BTreeMap;

use anyhow::Context;

/// Instructions of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// All of them.
    pub total: u64,
    /// Those of each function itself.
    pub functions: BTreeMap<String, u64>,
}

// === impl Profile ===

impl Profile {
    /// Reads a file with one event and positions by line, the form that callgrind writes by itself.
    ///
    /// # Errors
    /// Where a line is not of that form.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        let mut own: BTreeMap<&str, u64> = BTreeMap::new();
        let mut current = None;
        let mut is_call = false;
        for line in text.lines() {
            if let Some((kind, rest)) = line.split_once('=') {
                match kind {
                    "fn" => current = Some(named(&mut names, rest)),
                    // Names are written out where they come first, which may be here.
                    "cfn" => _ = named(&mut names, rest),
                    // The next line is what the call cost, callees included.
                    "calls" => is_call = true,
                    _other => {}
                }
            } else if is_cost(line) && !std::mem::take(&mut is_call) {
                let cost = line.split_whitespace().nth(1).unwrap_or("0");
                let cost: u64 = cost.parse().with_context(|| line.to_owned())?;
                let function = current.context("a cost before any function")?;
                *own.entry(function).or_default() += cost;
            }
        }
        let named = own.iter().map(|(function, cost)| {
            let name = names.get(function).copied().unwrap_or(function);
            (plain(name), *cost)
        });
        let mut profile = Self::default();
        for (name, cost) in named {
            profile.total += cost;
            *profile.functions.entry(name).or_default() += cost;
        }
        Ok(profile)
    }

    /// What this run had more than a shorter one, per request; functions that had less are left out.
    #[must_use]
    pub fn per_request(&self, shorter: &Self, requests: u64) -> PerRequest {
        let each = |more: u64, less: u64| more.saturating_sub(less) as f64 / requests as f64;
        let mut functions: Vec<(String, f64)> = self
            .functions
            .iter()
            .map(|(name, cost)| {
                let before = shorter.functions.get(name).copied().unwrap_or(0);
                (name.clone(), each(*cost, before))
            })
            .filter(|(_name, cost)| *cost > 0.0)
            .collect();
        functions.sort_by(|one, other| other.1.total_cmp(&one.1));
        PerRequest {
            instructions: each(self.total, shorter.total),
            functions,
        }
    }
}

/// Instructions of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct PerRequest {
    /// All of them.
    pub instructions: f64,
    /// By function, the dearest first.
    pub functions: Vec<(String, f64)>,
}

/// Whether a line begins with a position: absolute, relative, or that of the line before.
fn is_cost(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
}

/// The number of a name such as `(12) main` or `(12)`, remembered with its text where there is one.
fn named<'a>(names: &mut BTreeMap<&'a str, &'a str>, text: &'a str) -> &'a str {
    match text.split_once(' ') {
        Some((number, name)) if number.starts_with('(') => {
            names.insert(number, name);
            number
        }
        _bare => text,
    }
}

/// A function's name without the hash that the compiler puts behind it, which changes with every
/// build, and without the mark of a recursion.
fn plain(name: &str) -> String {
    let name = name.split_once('\'').map_or(name, |(name, _depth)| name);
    match name.rsplit_once("::h") {
        Some((path, hash))
            if hash.len() == 16 && hash.chars().all(|digit| digit.is_ascii_hexdigit()) =>
        {
            path.to_owned()
        }
        _other => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
version: 1
creator: callgrind-3.19.0
positions: line
events: Ir
summary: 171

ob=(1) /bin/x
fl=(1) x.rs
fn=(1) x::main::h0123456789abcdef
16 20
+2 1
cfi=(2) y.rs
cfn=(2) y::answer
calls=3 40
+1 150
*  10

fn=(2)
fi=(3) inlined.rs
40 100
-3 30
fe=(2)
41 10
totals: 171
";

    #[test]
    fn each_function_has_its_own_instructions_only() {
        let profile = Profile::parse(FILE).unwrap();
        assert_eq!(profile.total, 171);
        assert_eq!(profile.functions["x::main"], 31);
        assert_eq!(profile.functions["y::answer"], 140);
    }

    #[test]
    fn two_runs_make_a_figure_per_request() {
        let shorter = Profile::parse(FILE).unwrap();
        let mut longer = shorter.clone();
        longer.total += 1_000;
        *longer.functions.get_mut("y::answer").unwrap() += 990;
        *longer.functions.get_mut("x::main").unwrap() += 10;
        let each = longer.per_request(&shorter, 10);
        assert_eq!(each.instructions, 100.0);
        assert_eq!(each.functions[0], ("y::answer".to_owned(), 99.0));
        assert_eq!(each.functions.len(), 2);
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        assert!(Profile::parse("12 13\n").is_err());
        assert!(Profile::parse("fn=(1) a\n12 many\n").is_err());
    }

    #[test]
    fn names_lose_their_hash_and_depth_only() {
        assert_eq!(plain("a::b::h0123456789abcdef'2"), "a::b");
        assert_eq!(plain("a::hello"), "a::hello");
        assert_eq!(plain("memcpy"), "memcpy");
    }
}
