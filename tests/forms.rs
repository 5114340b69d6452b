//! A report form from its arrival to the adviser: rules that read one of its fields, and what is shown of it to whom.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/worker.rs"]
mod worker;

use std::fs;

use serde_json::{Value, json};
use worker::{Installation, repository, said, settings};

const FORM: &str = "From: Tildelingskontoret <tildeling@aremark.kommune.example>\r\nTo: samhandlingsavvik@so-hf.example\r\n\
    Subject: Samhandlingsavvik\r\nDate: Wed, 15 Apr 2026 08:20:00 +0200\r\nMessage-ID: <skjema@aremark.kommune.example>\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\n\
    Vi melder avvik.\r\n\r\nDato for hendelsen: 13.4.26\r\nSted: Slagenheten på Kalnes\r\n\
    Hendelsesforløp: Pasienten ble utskrevet uten epikrise.\r\nFnr 15067610072.\r\nKonsekvens: Utrygg natt\r\nTiltak: -\r\n";

/// A rule set in which a word of one field of a form decides.
const RULES: &str = r#"
[[parties]]
id = "medisin"
name = "Klinikk for medisin"
kind = "klinikk"

[[rules]]
id = "type"
give = { type = "avvik" }
strength = 9
any = ["avvik"]

[[rules]]
id = "alvor-i-skjema"
give = { severity = "moderat" }
strength = 5
any = ["utrygg"]
fields = ["konsekvens"]

[[tests]]
name = "Et avvik"
text = "Vi melder avvik."
expect = { type = "avvik" }
"#;

fn installation() -> Installation {
    let installation =
        Installation::new(&format!("{}\n[send_maildir]\npath = \"ut\"\n", settings()));
    fs::write(installation.path().join("skjema.eml"), FORM).unwrap();
    fs::create_dir(installation.path().join("regler")).unwrap();
    fs::write(installation.path().join("regler/regler.toml"), RULES).unwrap();
    installation
}

/// The page without what only aligns its columns.
fn squeezed(page: &str) -> String {
    page.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_day_of_the_event_is_on_the_page_and_the_rest_only_with_the_content() {
    let installation = installation();
    installation.ok(["ingest", "skjema.eml"]);
    let case = installation.cases()[0]["case"].as_str().unwrap().to_owned();
    let events = || {
        installation
            .json(["cases", "history", "--json", &case])
            .len()
    };
    let before = events();

    let page = installation.ok(["cases", "show", &case]);
    assert!(
        squeezed(&page).contains("Hendelsesdag 2026-04-13\n"),
        "{page}"
    );
    for word in ["Slagenheten på", "Utrygg", "Skjema", "13.4.26"] {
        assert!(!page.contains(word), "{word}: {page}");
    }
    let shown = &installation.json(["cases", "show", "--json", &case])[0];
    assert_eq!(
        (&shown["event_day"], &shown["event_place"], &shown["fields"]),
        (&json!("2026-04-13"), &Value::Null, &Value::Null)
    );
    assert_eq!(events(), before, "nothing was shown");

    let page = installation.ok(["cases", "show", "--show-content", &case]);
    for line in [
        "Hendelsesdag 2026-04-13\nHendelsessted Slagenheten på Kalnes\n",
        "\nDato 13.4.26\n",
        "\nHendelse Pasienten ble utskrevet uten epikrise.\nFnr ***********.\n",
        "\nKonsekvens Utrygg natt\n",
    ] {
        assert!(squeezed(&page).contains(line), "{line}\n{page}");
    }
    assert!(
        !page.contains("15067610072") && !page.contains("Tiltak  "),
        "{page}"
    );
    let shown = &installation.json(["cases", "show", "--json", "--show-content", &case])[0];
    assert_eq!(shown["event_place"], "Slagenheten på Kalnes");
    let names: Vec<&str> = shown["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sted", "dato", "hendelse", "konsekvens"]);
    assert_eq!(shown["fields"][3]["value"], "Utrygg natt");
    assert_eq!(events(), before + 2, "each look is noted");

    // Mail left alone and lists say nothing of it.
    for list in [
        &["cases", "list", "--json"][..],
        &["messages", "list", "--json"],
    ] {
        let text = installation.ok(list);
        assert!(
            !text.contains("Kalnes") && !text.contains("Utrygg"),
            "{text}"
        );
    }
}

#[test]
fn explain_names_the_field() {
    let installation = installation();
    let explain = |more: &[&str]| {
        let args = [
            &["rules", "explain", "--rules", "regler", "skjema.eml"],
            more,
        ]
        .concat();
        installation.ok(args)
    };
    let text = explain(&[]);
    assert!(
        text.contains(
            "+5 moderat: alvor-i-skjema «utrygg» i feltet konsekvens\n           1:1  ›Utrygg‹ natt"
        ),
        "{text}"
    );
    let facets = parsed(&explain(&["--json"]))["facets"].clone();
    let spoken: Vec<&Value> = facets
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|facet| facet["evidence"].as_array().unwrap())
        .filter(|evidence| evidence["rule"] == "alvor-i-skjema")
        .collect();
    assert_eq!(spoken.len(), 1);
    assert_eq!(
        (&spoken[0]["zone"], &spoken[0]["field"]),
        (&json!("field"), &json!("konsekvens"))
    );
}

#[test]
fn check_says_that_it_ran_no_tests_and_speaks_json() {
    let installation = installation();
    let text = installation.ok(["rules", "check", "--rules", "regler"]);
    assert_eq!(
        text.lines().last(),
        Some("prøvene er ikke kjørt; det gjør du med: linjevei rules test --rules regler")
    );
    let checked = parsed(&installation.ok(["rules", "check", "--json", "--rules", "regler"]));
    let hash = text.lines().nth(1).unwrap();
    assert_eq!(
        checked,
        json!({
            "place": "regler", "ok": true, "files": 1, "ruleset": hash, "rules": 2, "parties": 1, "tests": 1, "faults": []
        })
    );

    fs::write(
        installation.path().join("regler/flere.toml"),
        "# æ\nnavn = 1\n[[rules]]\nid = \"gal\"\ngive = { type = \"avik\" }\nstrength = 3\nany = [\"x\"]\n",
    )
    .unwrap();
    let output = installation.run(["rules", "check", "--json", "--rules", "regler"]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    let checked = parsed(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(
        (&checked["ok"], &checked["rules"]),
        (&json!(false), &Value::Null)
    );
    let faults: Vec<(u64, u64, &str)> = checked["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| {
            assert_eq!(fault["file"], "flere.toml");
            let number = |key: &str| fault[key].as_u64().unwrap();
            (
                number("line"),
                number("column"),
                fault["help"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!((faults[0].0, faults[0].1), (2, 1));
    assert_eq!(faults[1], (5, 17, "mente du «avvik»?"));
    assert_eq!((faults[2].0, faults[2].1), (7, 8));

    // A file in another encoding hides no fault, neither its own nor those of others.
    fs::write(
        installation.path().join("regler/latin1.toml"),
        b"# \xf8\n[[rules]]\nid = \"en\"\ngive = { destination = \"medisinn\" }\nstrength = 3\nany = [\"alfa\"]\n",
    )
    .unwrap();
    let output = installation.run(["rules", "check", "--rules", "regler"]);
    assert_eq!(output.status.code(), Some(65));
    let text = said(&output);
    for message in [
        "fila er ikke UTF-8 (linje 1)",
        "mente du «medisin»?",
        "mente du «avvik»?",
        "regler: 5 feil",
    ] {
        assert!(text.contains(message), "{message}\n{text}");
    }

    fs::remove_file(installation.path().join("regler/latin1.toml")).unwrap();
    fs::remove_file(installation.path().join("regler/flere.toml")).unwrap();
    let rules = RULES.split("[[tests]]").next().unwrap();
    fs::write(installation.path().join("regler/regler.toml"), rules).unwrap();
    let text = installation.ok(["rules", "check", "--rules", "regler"]);
    assert!(
        text.lines().last().unwrap().starts_with("ingen prøver"),
        "{text}"
    );
}

#[test]
fn diff_speaks_json() {
    let installation = installation();
    let old = repository().join("rules/ostfold").display().to_string();
    let diff = |more: &[&str]| {
        let args = [
            "rules",
            "diff",
            "--rules",
            "regler",
            "--against",
            &old,
            "--json",
        ];
        parsed(&installation.ok([&args[..], more].concat()))
    };
    let changed = diff(&["skjema.eml"]);
    assert_eq!(changed["to"]["name"], "regler");
    assert_eq!(changed["from"]["name"], old);
    assert_eq!(
        (&changed["messages"], &changed["changed"]),
        (&json!(1), &json!(1))
    );
    let change = &changed["changes"][0];
    assert_eq!(change["message"], "skjema.eml");
    assert!(change.get("content").is_none(), "{change}");
    let severity = &change["facets"]["severity"];
    assert_eq!(
        (&severity["from"], &severity["to"]),
        (&json!("mindre"), &json!("moderat"))
    );
    assert_eq!(severity["rules_now"], json!(["alvor-i-skjema +5"]));
    assert_eq!(changed["facets"]["severity"], 1);
    assert_eq!(changed["corrections"]["broken"], json!([]));
    let with_content = diff(&["--show-content", "skjema.eml"]);
    let text = with_content["changes"][0]["content"]["text"]
        .as_str()
        .unwrap();
    assert!(
        text.contains("Utrygg natt") && text.contains("***********"),
        "{text}"
    );
    assert_eq!(diff(&[])["messages"], 1, "the tests of the rules");
}
