//! Command lines of the form `--name NUMBER`, with a default each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// The program under measure.
    pub sluice: PathBuf,
    numbers: BTreeMap<&'static str, usize>,
}

// === impl Flags ===

impl Flags {
    /// Reads `--sluice PATH` and numbers; `known` are their names with their defaults.
    ///
    /// # Errors
    /// Where a name is not known, a value is missing or no number, or the program is not named.
    pub fn parse(
        given: impl IntoIterator<Item = String>,
        known: &[(&'static str, usize)],
    ) -> anyhow::Result<Self> {
        let usage = || {
            let flags: Vec<String> = known
                .iter()
                .map(|(name, default)| format!("[--{name} {default}]"))
                .collect();
            format!("usage: --sluice PATH {}", flags.join(" "))
        };
        let mut numbers: BTreeMap<&'static str, usize> = known.iter().copied().collect();
        let mut sluice = None;
        let mut given = given.into_iter();
        while let Some(flag) = given.next() {
            let value = given.next().with_context(usage)?;
            let name = flag.strip_prefix("--").with_context(usage)?;
            if name == "sluice" {
                sluice = Some(PathBuf::from(value));
                continue;
            }
            let Some((name, _default)) = known.iter().find(|(known, _)| *known == name) else {
                bail!("{flag} is not known; {}", usage());
            };
            let number = value
                .parse()
                .with_context(|| format!("{flag} {value}: no number; {}", usage()))?;
            numbers.insert(name, number);
        }
        Ok(Self {
            sluice: sluice.with_context(usage)?,
            numbers,
        })
    }

    /// The number of a name that was among the known ones; else 0.
    #[must_use]
    pub fn number(&self, name: &str) -> usize {
        self.numbers.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    fn parse(line: &str) -> anyhow::Result<Flags> {
        let words = line.split(' ').map(str::to_owned);
        Flags::parse(words, &[("rows", 7), ("rounds", 3)])
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let flags = parse("--rows 10 --sluice /bin/x").unwrap();
        assert_eq!((flags.number("rows"), flags.number("rounds")), (10, 3));
        assert_eq!(flags.sluice.to_str(), Some("/bin/x"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("--rows 10", "usage"),
            ("--sluice x --rows many", "no number"),
            ("--sluice x --lines 3", "--lines is not known"),
            ("--sluice", "usage"),
            ("rows 10", "usage"),
        ] {
            let refusal = format!("{:#}", parse(line).unwrap_err());
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}
