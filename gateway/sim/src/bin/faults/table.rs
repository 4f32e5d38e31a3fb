//! The table of faults.

use serde::Deserialize;

/// A fault and what is promised in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// 1 to 34.
    pub(crate) number: u8,
    /// What happens.
    pub(crate) fault: String,
    /// What holds all the same.
    pub(crate) promise: String,
    /// Why nothing is promised, where nothing is.
    #[serde(default)]
    pub(crate) not_offered: Option<String>,
    /// What proves it.
    #[serde(default)]
    pub(crate) tests: Vec<Test>,
}

/// A test: `package/binary path::of::the::test`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Test {
    /// Name of the cargo package.
    pub(crate) package: String,
    /// Name of its test binary.
    pub(crate) binary: String,
    /// The test's path in it.
    pub(crate) path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    fault: Vec<Fault>,
}

/// Reads the table.
///
/// # Errors
/// Where it is not in its form, or a fault has neither tests nor a reason.
pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Fault>> {
    let table: Table = toml::from_str(text)?;
    for fault in &table.fault {
        anyhow::ensure!(
            fault.tests.is_empty() == fault.not_offered.is_some(),
            "F{:02} needs either tests or a reason why it is not offered",
            fault.number
        );
    }
    Ok(table.fault)
}

impl TryFrom<String> for Test {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts = text.split_once(' ').and_then(|(binary, path)| {
            let (package, binary) = binary.split_once('/')?;
            Some((package.to_owned(), binary.to_owned(), path.to_owned()))
        });
        let (package, binary, path) =
            parts.ok_or_else(|| format!("`{text}` is not `package/binary path`"))?;
        Ok(Self {
            package,
            binary,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_fault_has_tests_or_a_reason() {
        let fault =
            |more: &str| format!("[[fault]]\nnumber = 1\nfault = \"a\"\npromise = \"b\"\n{more}");
        assert!(read(&fault("tests = [\"sluice/it a::b\"]")).is_ok());
        assert!(read(&fault("not_offered = \"why\"")).is_ok());
        for bad in [
            "",
            "tests = [\"a::b\"]",
            "not_offered = \"why\"\ntests = [\"p/q a\"]",
        ] {
            assert!(read(&fault(bad)).is_err(), "{bad}");
        }
    }
}
