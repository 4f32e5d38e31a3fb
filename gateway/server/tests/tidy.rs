//! The rules of this tree that no compiler checks: who may use whom, sizes, and that Lua stays in
//! `lua/`, each script under its contract.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets nothing but its own tree"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file, and of a Lua script.
const FILE_LINES_MAX: usize = 500;
const SCRIPT_LINES_MAX: usize = 100;

/// Which of our crates each crate may use in what it ships. ARCHITECTURE.md draws the same table.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("claim", &["domain"]),
    ("hotstate", &["domain", "claim"]),
    ("ledger", &["domain"]),
    ("checkout", &["domain", "ledger"]),
    ("edge", &["domain", "claim", "checkout"]),
    (
        "control",
        &["domain", "hotstate", "ledger", "claim", "checkout"],
    ),
    (
        "workers",
        &["domain", "hotstate", "ledger", "claim", "checkout"],
    ),
    (
        "server",
        &[
            "domain", "hotstate", "ledger", "claim", "checkout", "edge", "control", "workers",
        ],
    ),
    (
        "sim",
        &[
            "domain", "hotstate", "ledger", "claim", "checkout", "control", "workers",
        ],
    ),
    (
        "benches",
        &[
            "domain", "hotstate", "ledger", "claim", "checkout", "edge", "workers",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// All files below a folder with one of these endings, build output left out.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "var", "node_modules"].contains(&&*name) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn crates() -> Vec<(String, PathBuf)> {
    let root = root();
    let mut found: Vec<_> = fs::read_dir(root.join("gateway"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                path,
            )
        })
        .collect();
    found.push(("benches".to_owned(), root.join("benches")));
    found
}

#[test]
fn crates_use_only_whom_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    for (name, path) in crates() {
        let manifest: toml::Table = fs::read_to_string(path.join("Cargo.toml"))
            .unwrap()
            .parse()
            .unwrap();
        let may = allowed
            .get(&*name)
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            if let Some(ours) = dependency.strip_prefix("sluice-") {
                assert!(may.contains(&ours), "{name} may not use {ours}");
            }
        }
        let lints = manifest["lints"]["workspace"].as_bool();
        assert_eq!(lints, Some(true), "{name} has lints of its own");
        assert!(path.join("README.md").exists(), "{name} has no README.md");
    }
}

#[test]
fn files_are_short_and_clean() {
    for path in files(&root(), &[".rs", ".lua", ".js", ".ts", ".sh", ".toml"]) {
        let text = fs::read_to_string(&path).unwrap();
        let shown = path.display();
        let lines = text.lines().count();
        let most = if path.extension().is_some_and(|ending| ending == "lua") {
            SCRIPT_LINES_MAX
        } else {
            FILE_LINES_MAX
        };
        assert!(lines <= most, "{shown} has {lines} lines; at most {most}");
        for (number, line) in text.lines().enumerate() {
            let place = format!("{shown}:{}", number + 1);
            assert!(!line.contains('\t'), "{place} has a tab");
            assert!(line == line.trim_end(), "{place} ends in blanks");
            for mark in ["FIX", "XX"] {
                // Put together here, so that this file does not name them.
                let word = format!("{mark}{}", if mark == "XX" { "X" } else { "ME" });
                // Quoted it is a value: one of the words is the code of "no currency".
                let bare = line
                    .replace(&format!("\"{word}\""), "")
                    .replace(&format!("`{word}`"), "");
                let mut words = bare.split(|letter: char| !letter.is_alphanumeric());
                assert!(!words.any(|bare| bare == word), "{place} has {word}");
            }
        }
    }
}

#[test]
fn modules_are_files_beside_their_folder() {
    for path in files(&root().join("gateway"), &["mod.rs"]) {
        let name = path.file_name().unwrap();
        assert_ne!(
            name,
            "mod.rs",
            "{}: write foo.rs beside foo/",
            path.display()
        );
    }
}

#[test]
fn lua_stays_in_its_folder() {
    let strays = files(&root().join("gateway"), &[".lua"]);
    assert!(strays.is_empty(), "belong into lua/: {strays:?}");
    for path in files(&root().join("gateway"), &[".rs"]) {
        if path.ends_with("tidy.rs") || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("redis.call"),
            "{} has Lua in it",
            path.display()
        );
    }
}

/// `claim-7.lua` takes seven keys, says so in its header, and lists each of them there.
#[test]
fn each_script_opens_with_its_contract() {
    let mut scripts = 0;
    for path in files(&root().join("lua"), &[".lua"]) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "prologue" {
            continue;
        }
        scripts += 1;
        let (_verb, keys) = name
            .rsplit_once('-')
            .unwrap_or_else(|| panic!("{name} has no arity"));
        let keys: usize = keys
            .parse()
            .unwrap_or_else(|_| panic!("{name}: no number of keys"));
        let text = fs::read_to_string(&path).unwrap();
        let header: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("--") || line.starts_with("#!"))
            .collect();
        for part in ["KEYS", "ARGV", "Returns"] {
            let said = header
                .iter()
                .any(|line| line.to_lowercase().contains(&part.to_lowercase()));
            assert!(said, "{name}: its header does not say {part}");
        }
        let counted = header
            .iter()
            .any(|line| line.contains(&format!("KEYS ({keys})")));
        assert!(counted, "{name}: its header does not say KEYS ({keys})");
        let beyond = format!("KEYS[{}]", keys + 1);
        assert!(!text.contains(&beyond), "{name} uses {beyond}");
    }
    assert!(scripts > 10, "no scripts were found");
}

/// The numbers that a test's name begins with: 2 and 6 of `f02_f06_a_killed_master`.
fn numbers(test: &str) -> Vec<i64> {
    let mut rest = test;
    let mut found = Vec::new();
    while let Some((digits, after)) = rest.strip_prefix('f').and_then(|name| name.split_once('_')) {
        match digits.parse() {
            Ok(number) if digits.len() == 2 => found.push(number),
            _ => break,
        }
        rest = after;
    }
    found
}

/// All tests of a crate that prove a fault, with the file each is in.
fn proofs(tests: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for path in files(tests, &[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim_start) {
            let line = line.strip_prefix("async ").unwrap_or(line);
            let Some((name, _)) = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split_once('('))
            else {
                continue;
            };
            found.push((name.to_owned(), path.clone()));
        }
    }
    found
}

/// Every fault has its place in the matrix, every test that the matrix names exists and says by its
/// name what it proves (the storm proves several), and no test that does is forgotten.
#[test]
fn the_fault_matrix_is_whole() {
    let table: toml::Table = fs::read_to_string(root().join("deploy/faults.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let faults = table["fault"].as_array().unwrap();
    let listed: Vec<i64> = faults
        .iter()
        .map(|fault| fault["number"].as_integer().unwrap())
        .collect();
    assert_eq!(listed, (1..=34).collect::<Vec<i64>>());
    let proofs: BTreeMap<String, Vec<(String, PathBuf)>> = crates()
        .into_iter()
        .filter(|(_name, path)| path.join("tests").exists())
        .map(|(name, path)| (name, proofs(&path.join("tests"))))
        .collect();
    let mut named = std::collections::BTreeSet::new();
    for fault in faults {
        let number = fault["number"].as_integer().unwrap();
        let none = toml::Value::Array(Vec::new());
        let tests = fault.get("tests").unwrap_or(&none).as_array().unwrap();
        for test in tests.iter().map(|test| test.as_str().unwrap()) {
            let (binary, path) = test.split_once(' ').unwrap();
            let (package, binary) = binary.split_once('/').unwrap();
            let of = package.strip_prefix("sluice-").unwrap_or("server");
            let name = path.rsplit("::").next().unwrap();
            let here = |(known, file): &&(String, PathBuf)| {
                known == name && file.to_string_lossy().contains(&format!("/tests/{binary}"))
            };
            assert!(
                proofs[of].iter().any(|proof| here(&proof)),
                "no test: {test}"
            );
            let says = numbers(name).contains(&number) || name.starts_with("storm_");
            assert!(says, "F{number:02}: {name} does not say so");
            named.insert((number, of.to_owned(), name.to_owned()));
        }
    }
    for (of, found) in &proofs {
        for (name, path) in found {
            for number in numbers(name) {
                let there = named.contains(&(number, of.clone(), name.clone()));
                assert!(there, "{name} ({}) is not in the matrix", path.display());
            }
        }
    }
}
