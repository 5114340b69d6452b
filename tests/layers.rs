//! The pure modules stay pure: no I/O crates, no file system, no clock and no network in them; no stage knows a later one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};

/// Modules without I/O.
const PURE: [&str; 6] = [
    "message",
    "rules",
    "case",
    "template",
    "calendar",
    "diagnostic",
];
/// What they may not name.
const IO: [&str; 12] = [
    "tokio",
    "sqlx",
    "async_imap",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::time::SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "getrandom",
    "lettre",
];
/// The stages in the order in which data flows, each with what it may not know.
const LATER: [(&str, &[&str]); 6] = [
    (
        "message",
        &[
            "rules", "case", "template", "outbox", "intake", "store", "worker", "cli",
        ],
    ),
    (
        "rules",
        &[
            "case", "template", "outbox", "intake", "store", "worker", "cli",
        ],
    ),
    (
        "case",
        &["template", "outbox", "intake", "store", "worker", "cli"],
    ),
    ("template", &["outbox", "intake", "store", "worker", "cli"]),
    (
        "intake",
        &[
            "rules", "case", "template", "outbox", "store", "worker", "cli",
        ],
    ),
    ("outbox", &["intake", "store", "worker", "cli"]),
];

/// The files of a module: `src/NAME.rs` and everything below `src/NAME/`.
fn files(module: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found[0].is_file(), "src/{module}.rs is missing");
    found
}

/// The code of a file, without its tests and without comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
}

#[test]
fn pure_modules_do_no_io() {
    let mut offences = Vec::new();
    for module in PURE {
        for path in files(module).iter().filter(|path| !is_test_file(path)) {
            let code = code(path);
            offences.extend(
                IO.iter()
                    .filter(|name| code.contains(*name))
                    .map(|name| format!("{} names {name}", path.display())),
            );
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn no_stage_knows_a_later_one() {
    let mut offences = Vec::new();
    for (module, later) in LATER {
        for path in files(module).iter().filter(|path| !is_test_file(path)) {
            let code = code(path);
            for name in later {
                if code.contains(&format!("crate::{name}::"))
                    || code.contains(&format!("use crate::{name};"))
                {
                    offences.push(format!("{} knows {name}", path.display()));
                }
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn all_sql_is_in_the_store() {
    for module in [
        "message", "rules", "case", "template", "intake", "outbox", "worker", "cli",
    ] {
        for path in files(module) {
            assert!(
                !code(&path).contains("sqlx"),
                "{} names sqlx",
                path.display()
            );
        }
    }
}

/// `docs/loefter.md` and `docs/feil.md` name tests as `file::test`; each of them is there, and each promise has one.
#[test]
fn every_test_that_the_promises_name_exists() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(repository.join("docs/loefter.md")).unwrap();
    let mut named = 0;
    let faults = std::fs::read_to_string(repository.join("docs/feil.md")).unwrap();
    for line in page.lines().chain(faults.lines()) {
        for span in line.split('`').skip(1).step_by(2) {
            let Some((file, test)) = span.split_once("::") else {
                continue;
            };
            let is_code = Path::new(file)
                .extension()
                .is_some_and(|extension| extension == "rs");
            if !is_code {
                continue;
            }
            named += 1;
            let code = std::fs::read_to_string(repository.join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(is_test(&code, test), "{file} has no test {test}");
        }
    }
    assert!(named > 50, "{named}");
    for promise in 1..=11 {
        let row = format!("| {promise} | ");
        assert!(
            page.lines()
                .any(|line| line.starts_with(&row) && line.contains("::")),
            "promise {promise} has no test"
        );
    }
}

/// A function with a test attribute above it, or an entry of a macro that makes such functions.
fn is_test(code: &str, name: &str) -> bool {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let attribute = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let function = format!("fn {name}(");
    let entry = format!("{name}: ");
    lines.iter().enumerate().any(|(at, line)| {
        let above = || {
            lines[at.saturating_sub(3)..at]
                .iter()
                .any(|line| attribute(line))
        };
        line.contains(&function) && above()
            || line.starts_with(&entry) && line.ends_with(';') && line.contains(" => ")
            // One that a macro runs on both databases.
            || line.contains(&function) && lines.contains(&name)
    })
}
