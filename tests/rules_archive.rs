//! `rules diff` and `rules score` on stored messages: corrections by people come first, content only when asked for and noted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/worker.rs"]
mod worker;

use std::fs;

use worker::{Installation, repository, settings};

const MESSAGE: &str = "From: Hjemmesykepleien <post@moss.kommune.example>\r\nTo: samhandlingsavvik@so-hf.example\r\n\
    Subject: Samhandlingsavvik\r\nDate: Mon, 05 Jan 2026 09:00:00 +0100\r\nMessage-ID: <a1@moss.kommune.example>\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\n\
    Vi melder avvik. Epikrisen fra slagenheten er ikke mottatt. Ballong.\r\n";

/// A rule for a category that the rules of Østfold do not give this message.
const RULE: &str = "[[rules]]\nid = \"proeve-ballong\"\ngive = { category = \"transport\" }\ndecisive = true\nany = [\"ballong\"]\n";

#[test]
fn what_people_corrected_is_held_against_new_rules() {
    let installation =
        Installation::new(&format!("{}\n[send_maildir]\npath = \"ut\"\n", settings()));
    let inside = |name: &str| installation.path().join(name);
    fs::write(inside("en.eml"), MESSAGE).unwrap();
    installation.ok(["ingest", "en.eml"]);
    let case = installation.cases()[0]["case"].as_str().unwrap().to_owned();

    let with_rule = inside("med-regel");
    fs::create_dir(&with_rule).unwrap();
    for entry in fs::read_dir(repository().join("rules/ostfold")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, with_rule.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::write(with_rule.join("ballong.toml"), RULE).unwrap();
    let plain = repository().join("rules/ostfold").display().to_string();
    let with_rule = with_rule.display().to_string();
    let database = installation.database().display().to_string();
    let diff = |rules: &str, against: &str, more: &[&str]| {
        let mut args = vec!["rules", "diff", "--rules", rules, "--against", against];
        args.extend(["--archive", &database]);
        args.extend(more);
        installation.ok(args)
    };

    // Nobody has corrected anything: one message changes, and which rule does it.
    let said = diff(&with_rule, &plain, &[]);
    assert!(said.contains("1 melding, 1 avgjøres annerledes"), "{said}");
    assert!(
        said.contains("→ transport   nå: proeve-ballong +1000"),
        "{said}"
    );
    assert!(said.contains(&format!("melding 1 ({case})")), "{said}");
    assert!(!said.contains("BRYTER"), "{said}");

    installation.ok([
        "cases",
        "reroute",
        &case,
        "--category",
        "transport",
        "--reason",
        "det gjelder kjøringen",
    ]);
    let said = diff(&with_rule, &plain, &[]);
    assert!(
        said.contains("det nye treffer og det gamle ikke: 1"),
        "{said}"
    );
    let said = diff(&plain, &with_rule, &[]);
    let broken = said
        .find("DET NYE BRYTER: 1")
        .unwrap_or_else(|| panic!("{said}"));
    assert!(broken < said.find("avgjøres annerledes").unwrap(), "{said}");
    assert!(!said.contains("slagenheten"), "no content: {said}");

    let score =
        |rules: &str| installation.ok(["rules", "score", "--rules", rules, "--archive", &database]);
    assert!(score(&with_rule).contains("category     1.000  1/1"));
    assert!(score(&plain).contains("category     0.000  0/1"));

    let shown = |installation: &Installation| {
        installation.number("SELECT count(*) FROM case_event WHERE kind = 'shown'")
    };
    assert_eq!(shown(&installation), 0);
    let said = diff(&plain, &with_rule, &["--show-content"]);
    assert!(said.contains("Epikrisen fra slagenheten"), "{said}");
    assert_eq!(shown(&installation), 1, "the history says who looked");

    installation.refused(
        74,
        [
            "rules",
            "diff",
            "--against",
            &plain,
            "--archive",
            "borte.db",
        ],
    );
    assert!(
        !inside("borte.db").exists(),
        "no database is made by looking"
    );
}
