//! `docs/regler.md` is true: its rules work, its tests pass, its mistakes get the messages that it shows, its commands exist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use linjevei::message::{FieldName, Limits, parse};
use linjevei::rules::{ClassifyContext, Facet, RuleFiles, RuleSet};

const GUIDE: &str = include_str!("../docs/regler.md");

/// Fenced blocks: what stands after the fence, and the text.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in GUIDE.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((info, text))) => open = Some((info, format!("{text}{line}\n"))),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// All rules of the page as one rule set.
fn files() -> RuleFiles {
    let blocks = blocks();
    let good = blocks.iter().filter(|(info, _)| info == "toml");
    let files: RuleFiles = good
        .enumerate()
        .map(|(at, (_, text))| (format!("{at:02}.toml"), text.clone()))
        .collect();
    assert!(files.len() > 8, "the page has examples");
    files
}

#[test]
fn the_examples_work_together() {
    let rules = RuleSet::check(&files()).unwrap_or_else(|faults| panic!("{faults}"));
    let [example] = rules.examples() else {
        panic!("one test stands on the page")
    };
    let bytes = example.bytes(rules.directory()).unwrap();
    let message = parse(&bytes, &Limits::default()).unwrap();
    let verdict = rules.classify(&message, &ClassifyContext::default());
    for (facet, decision) in [
        (Facet::Type, &verdict.kind),
        (Facet::Direction, &verdict.direction),
        (Facet::Destination, &verdict.destination),
        (Facet::Category, &verdict.category),
    ] {
        assert_eq!(Some(&example.expect[&facet]), decision.value.as_ref());
    }
    assert_eq!(Some(verdict.triage), example.triage);
    let sum: i64 = verdict
        .because
        .iter()
        .filter(|evidence| evidence.rule == "type-avvik-ordet")
        .map(|evidence| evidence.strength)
        .sum();
    assert_eq!(sum, 9, "the sum that the page works out");
}

#[test]
fn the_mistakes_get_the_messages_that_are_shown() {
    let blocks = blocks();
    let mut shown = 0;
    for pair in blocks.windows(2) {
        let [(info, mistake), (kind, message)] = pair else {
            continue;
        };
        if info != "toml feil" {
            continue;
        }
        assert_eq!(kind, "text", "what is said follows the mistake");
        let mut files = files();
        files.insert("feil.toml".to_owned(), mistake.clone());
        let faults = RuleSet::check(&files).expect_err("it is a mistake");
        let lines = faults.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].ends_with(message.trim()),
            "{}\nis not\n{message}",
            lines[0]
        );
        shown += 1;
    }
    assert!(shown >= 5, "{shown} mistakes");
}

#[test]
fn the_fields_are_those_of_the_page_and_their_labels_are_read() {
    let rows: Vec<(&str, &str)> = GUIDE
        .lines()
        .skip_while(|line| !line.starts_with("| felt |"))
        .skip(2)
        .map_while(|line| {
            let (name, labels) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((name, labels.trim_end_matches(" |")))
        })
        .collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, FieldName::ALL.map(FieldName::id));
    for (name, labels) in rows {
        for label in labels.split(", ") {
            let text = format!("From: a@moss.kommune.example\nSubject: Avvik\n\n{label}: verdi\n");
            let text = text.replace("?:", "?");
            let message = parse(text.as_bytes(), &Limits::default()).unwrap();
            let form = message.form();
            assert_eq!(form.len(), 1, "{label}");
            assert_eq!(
                (form[0].name.id(), form[0].value.as_str()),
                (name, "verdi"),
                "{label}"
            );
        }
    }
}

#[test]
fn the_rule_for_a_field_reads_that_field() {
    let rules = RuleSet::check(&files()).unwrap();
    for (line, speaks) in [
        ("Konsekvens: Ny innleggelse", true),
        ("Tiltak: Vi avtalte ny innleggelse", false),
    ] {
        let text = format!("From: a@moss.kommune.example\nSubject: Avvik\n\n{line}\n");
        let message = parse(text.as_bytes(), &Limits::default()).unwrap();
        let verdict = rules.classify(&message, &ClassifyContext::default());
        let spoken = verdict
            .because
            .iter()
            .find(|evidence| evidence.rule == "alvor-skjema-reinnleggelse");
        assert_eq!(spoken.is_some(), speaks, "{line}");
        assert_eq!(
            spoken.and_then(|evidence| evidence.field),
            speaks.then_some(FieldName::Konsekvens)
        );
    }
}

#[test]
fn the_commands_exist_with_their_options() {
    let blocks = blocks();
    let lines: Vec<&str> = blocks
        .iter()
        .filter(|(info, _)| info == "console")
        .flat_map(|(_, text)| text.lines())
        .collect();
    assert!(lines.len() > 8, "the page shows commands");
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(&words[..3], &["$", "linjevei", "rules"], "{line}");
        let help = assert_cmd::Command::cargo_bin("linjevei")
            .unwrap()
            .args(["rules", words[3], "--help"])
            .output()
            .unwrap();
        assert!(help.status.success(), "{line}");
        let help = String::from_utf8(help.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{line}: {option}");
        }
    }
}
