//! `bench-instructions`: instructions per request under callgrind, with the functions that have most
//! of them. `--check` compares with the last line of the table, `--write` appends one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use sluice_benches::instructions::{Case, Counted, count, history, stage};

/// Requests of the shorter run.
const REQUESTS: usize = 3_000;
/// Functions that are listed.
const FUNCTIONS: usize = 15;
const USAGE: &str = "usage: bench-instructions [--table FILE] [--requests N] [--check] [--write]";

struct Arguments {
    table: PathBuf,
    requests: usize,
    check: bool,
    write: bool,
}

fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if given.first().is_some_and(|first| first == "serve") {
        let [_serve, case, folder, redis @ ..] = given.as_slice() else {
            bail!(USAGE);
        };
        let case = Case::ALL.into_iter().find(|known| known.name() == case);
        let redis = redis.first().map(String::as_str);
        return stage::serve(case.context("an unknown case")?, Path::new(folder), redis);
    }
    let arguments = parse(&given)?;
    let mut counted = Vec::new();
    for case in Case::ALL {
        let folder = tempfile::Builder::new().prefix("sli").tempdir()?;
        let one = count(case, arguments.requests, folder.path())?;
        report(&listed(&one));
        counted.push(one.each.instructions);
    }
    let (date, subject) = commit()?;
    let line = history::line(&date, &subject, &counted);
    report(line.trim_end());
    let table = std::fs::read_to_string(&arguments.table)
        .with_context(|| arguments.table.display().to_string())?;
    if arguments.write {
        std::fs::write(&arguments.table, table.clone() + &line)?;
    }
    if arguments.check {
        let dearer = history::dearer(&history::last(&table)?, &counted);
        if !dearer.is_empty() {
            bail!("dearer than allowed:\n{}", dearer.join("\n"));
        }
        report("within 3 % of the last line");
    }
    Ok(())
}

fn parse(given: &[String]) -> anyhow::Result<Arguments> {
    let mut arguments = Arguments {
        table: PathBuf::from("benches/instructions.md"),
        requests: REQUESTS,
        check: false,
        write: false,
    };
    let mut given = given.iter();
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--check" => arguments.check = true,
            "--write" => arguments.write = true,
            "--table" => arguments.table = given.next().context(USAGE)?.into(),
            "--requests" => {
                let requests = given.next().context(USAGE)?.parse()?;
                if requests == 0 {
                    bail!("--requests is 0; at least 1");
                }
                arguments.requests = requests;
            }
            _other => bail!("{flag} is not known; {USAGE}"),
        }
    }
    Ok(arguments)
}

/// A case's figure and its dearest functions.
fn listed(counted: &Counted) -> String {
    let all = counted.each.instructions;
    let mut text = format!(
        "\n{}: {} instructions per request",
        counted.case.name(),
        history::grouped(all)
    );
    for (name, cost) in counted.each.functions.iter().take(FUNCTIONS) {
        text.push_str(&format!(
            "\n{:>9}  {:>4.1} %  {name}",
            history::grouped(*cost),
            cost * 100.0 / all
        ));
    }
    text
}

/// Date and subject of the commit that is measured.
fn commit() -> anyhow::Result<(String, String)> {
    let log = Command::new("git")
        .args(["log", "-1", "--format=%cs%x09%s"])
        .output()
        .context("git cannot be asked for the commit")?;
    let text = String::from_utf8(log.stdout)?;
    let (date, subject) = text.trim().split_once('\t').context("there is no commit")?;
    Ok((date.to_owned(), subject.to_owned()))
}

#[expect(
    clippy::print_stdout,
    reason = "the counts are what the program is for"
)]
fn report(text: &str) {
    println!("{text}");
}
