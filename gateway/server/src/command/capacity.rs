//! `sluice capacity`: what a sale needs, computed from measured costs. Reads and calls nothing but a
//! file of costs.

use std::process::ExitCode;

use anyhow::Context;

use crate::capacity::{Costs, Report, Sale};
use crate::cli::CapacityArgs;

pub(crate) fn run(arguments: &CapacityArgs) -> anyhow::Result<ExitCode> {
    super::say(printed(arguments)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn printed(arguments: &CapacityArgs) -> anyhow::Result<String> {
    let report = Report::of(&sale(arguments), &costs(arguments)?)?;
    Ok(if arguments.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report.words()
    })
}

fn costs(arguments: &CapacityArgs) -> anyhow::Result<Costs> {
    let mut costs = match &arguments.costs {
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("the costs in {name} cannot be read"))?;
            Costs::parse(&name, &text)?
        }
        None => Costs::built_in()?,
    };
    let prices = &mut costs.prices;
    for (asked, price) in [
        (arguments.price_core_hour, &mut prices.core_hour),
        (arguments.price_gib_hour, &mut prices.gib_hour),
        (arguments.price_tb_egress, &mut prices.tb_egress),
    ] {
        if let Some(asked) = asked {
            price.value = asked;
        }
    }
    Ok(costs)
}

fn sale(arguments: &CapacityArgs) -> Sale {
    Sale {
        users: arguments.users,
        seconds: arguments.seconds,
        coupons: arguments.coupons,
        sales: arguments.sales,
        reloads: arguments.reloads,
        peak: arguments.peak,
        grant_seconds: arguments.grant_seconds.unwrap_or(arguments.seconds),
        class: arguments.class,
        connections_per_user: arguments.connections_per_user,
        quotes_per_winner: arguments.quotes_per_winner,
        checkout_seconds: arguments.checkout_seconds,
        hours: arguments.hours,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;
    use serde_json::Value;

    use super::*;
    use crate::cli::{Cli, Command};

    /// Before a table in the document, with the command that printed it.
    const BEGIN: &str = "<!-- printed by `";
    /// After it.
    const END: &str = "<!-- end -->";

    /// What a command line prints, or why it does not.
    fn of(line: &str) -> Result<String, String> {
        let parsed = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let Command::Capacity(arguments) = parsed.command else {
            panic!("another command: {line}")
        };
        printed(&arguments).map_err(|error| format!("{error:#}"))
    }

    /// The document with every table printed anew, and how many there were.
    fn printed_anew(held: &str) -> (String, usize) {
        let mut made = String::new();
        let mut rest = held;
        let mut tables = 0;
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (line, after) = after.split_once("` -->\n").unwrap();
            let (_old, after) = after.split_once(END).unwrap();
            let table = of(line).unwrap();
            let table = table.trim_end();
            made += &format!("{before}{BEGIN}{line}` -->\n```\n{table}\n```\n{END}");
            rest = after;
            tables += 1;
        }
        (made + rest, tables)
    }

    #[test]
    fn the_tables_of_the_document_are_what_the_command_prints() {
        let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/capacity.md");
        let held = std::fs::read_to_string(&document).unwrap();
        let (current, tables) = printed_anew(&held);
        assert!(tables >= 2, "the document has {tables} tables");
        if std::env::var_os("SLUICE_WRITE_CAPACITY").is_some() {
            std::fs::write(&document, &current).unwrap();
            return;
        }
        assert!(
            held == current,
            "docs/capacity.md is not what the command prints; `make capacity` writes it anew"
        );
    }

    #[test]
    fn json_has_what_the_words_say() {
        let line = "sluice capacity --users 1000000 --seconds 10 --coupons 1000 \
                    --price-core-hour 0 --json";
        let report: Value = serde_json::from_str(&of(line).unwrap()).unwrap();
        assert_eq!(report["sale"]["users"], 1_000_000);
        assert_eq!(report["demand"]["winners"], 1_000.0);
        assert_eq!(report["need"]["money"]["cores"], 0.0);
        assert!(report["need"]["edge_cores"].as_u64().unwrap() >= 1);
        let walls = report["one_machine"].as_array().unwrap();
        assert!(walls[0]["fits"].as_f64() <= walls[1]["fits"].as_f64());
    }

    #[test]
    fn what_cannot_be_computed_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("costs.toml");
        std::fs::write(&file, "[cpu]\nspeed = 1\n").unwrap();
        let file = file.display();
        let asked = |users: u64, more: &str| {
            let line = format!("sluice capacity --users {users} --seconds 10 --coupons 5{more}");
            of(&line).unwrap_err()
        };
        let cases = [
            (asked(0, ""), "--users is 0; from 1 to"),
            (asked(7, " --sales 9"), "--sales is 9"),
            (asked(7, &format!(" --costs {file}")), "costs.toml: "),
            (asked(7, &format!(" --costs {file}")), "speed"),
            (asked(7, " --costs /nowhere.toml"), "/nowhere.toml"),
            (asked(7, " --price-core-hour much"), "no price"),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}");
        }
    }
}
