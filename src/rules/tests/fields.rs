//! Rules that read one field of a form.

use super::*;
use crate::message::{FieldName, Limits, parse};

fn form(text: &str) -> Message {
    let raw = format!("From: kari@moss.kommune.example\nSubject: Skjema\n\n{text}\n");
    parse(raw.as_bytes(), &Limits::default()).unwrap()
}

fn severity(set: &RuleSet, text: &str) -> i64 {
    let verdict = set.classify(&form(text), &ClassifyContext::default());
    verdict
        .because
        .iter()
        .filter(|evidence| evidence.facet == Facet::Severity)
        .map(|evidence| evidence.strength)
        .sum()
}

fn set(rest: &str) -> RuleSet {
    let always = rule("type", "type = \"avvik\"", "strength = 9\nregex = ['.']");
    let asked = rule(
        "felt",
        "severity = \"moderat\"",
        &format!("strength = 5\n{rest}"),
    );
    compile(&format!("{always}{asked}"))
}

#[test]
fn only_the_fields_that_are_named_are_read() {
    let one = "fields = [\"konsekvens\"]";
    for (rest, text, strength) in [
        ("any = [\"reinnleggelse\"]", "Konsekvens: Reinnleggelse", 5),
        (
            "any = [\"reinnleggelse\"]",
            "Konsekvenser for pasienten:\nReinnleggelsen kom",
            5,
        ),
        ("any = [\"reinnleggelse\"]", "Hendelse: Reinnleggelse", 0),
        (
            "any = [\"reinnleggelse\"]",
            "Reinnleggelse\n\nKonsekvens: Ingen",
            0,
        ),
        // Each group stands in the field.
        (
            "all = [\"smerte\", \"uro\"]",
            "Konsekvens: Smerte og uro",
            5,
        ),
        (
            "all = [\"smerte\", \"uro\"]",
            "Smerte\n\nKonsekvens: Uro",
            0,
        ),
        (
            "near = [\"nytt\", \"opphold\"]",
            "Konsekvens: et nytt opphold",
            5,
        ),
        (
            "regex = ['ekstra \\d timer']",
            "Konsekvens: ekstra 3 timer",
            5,
        ),
        ("regex = ['ekstra \\d timer']", "Tiltak: ekstra 3 timer", 0),
        // What must not stand there may stand elsewhere.
        (
            "any = [\"smerte\"]\nnone = [\"mild\"]",
            "Konsekvens: Smerte\nTiltak: mild trøst",
            5,
        ),
        (
            "any = [\"smerte\"]\nnone = [\"mild\"]",
            "Konsekvens: mild smerte",
            0,
        ),
        ("any = [\"smerte\"]", "Konsekvens: ikke smerte", 0),
    ] {
        let found = severity(&set(&format!("{one}\n{rest}")), text);
        assert_eq!(found, strength, "{rest}: {text}");
    }
    let two = set("fields = [\"tiltak\", \"forslag\"]\nany = [\"rutine\"]");
    assert_eq!(severity(&two, "Forslag til tiltak: Ny rutine"), 5);
    assert_eq!(severity(&two, "Strakstiltak: Ny rutine"), 5);
    assert_eq!(severity(&two, "Årsak: Ny rutine"), 0);
}

#[test]
fn the_evidence_names_the_field() {
    let set = set("fields = [\"konsekvens\"]\nany = [\"smerte\"]");
    let message = form("Smerte\n\nTiltak: smerte\nKonsekvens (for pasienten): Mye smerte");
    let verdict = set.classify(&message, &ClassifyContext::default());
    let spoken: Vec<_> = verdict
        .because
        .iter()
        .filter(|evidence| evidence.rule == "felt")
        .collect();
    assert_eq!(spoken.len(), 1);
    assert_eq!(
        (spoken[0].zone, spoken[0].field),
        (Zone::Field, Some(FieldName::Konsekvens))
    );
    let texts = set.texts(&message);
    let place = texts
        .iter()
        .find(|text| text.zone == Zone::Field && text.piece == spoken[0].piece)
        .unwrap();
    assert_eq!(place.field, Some(FieldName::Konsekvens));
    assert!(place.text[spoken[0].offset..].starts_with("smerte"));
    // A verdict that was stored before fields had names is still read.
    let mut old = serde_json::to_value(spoken[0]).unwrap();
    old.as_object_mut().unwrap().remove("field");
    let old: Evidence = serde_json::from_value(old).unwrap();
    assert_eq!(old.field, None);
}

#[test]
fn mistakes_in_fields() {
    for (rest, message) in [
        (
            "any = [\"alfa\"]\nfields = [\"konsekvns\"]",
            "b.toml:6:11: ukjent verdi «konsekvns» (mente du «konsekvens»?",
        ),
        (
            "any = [\"alfa\"]\nfields = [\"årsak\"]",
            "b.toml:6:11: ukjent verdi «årsak» (mente du «arsak»?",
        ),
        (
            "any = [\"alfa\"]\nfields = []",
            "b.toml:6:10: fields er tom",
        ),
        (
            "any = [\"alfa\"]\nfields = [\"tiltak\"]\nzones = [\"field\"]",
            "b.toml:6:10: fields og zones utelukker hverandre",
        ),
        (
            "when = { thread = \"none\" }\nfields = [\"tiltak\"]",
            "b.toml:6:10: fields sier hvor ord skal stå",
        ),
    ] {
        let rules = rule("en", "type = \"avvik\"", &format!("strength = 9\n{rest}"));
        let found = faults(&rules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(message), "{found:?}");
    }
}

#[test]
fn rules_for_different_fields_do_not_contradict() {
    let decisive = |id: &str, value: &str, field: &str| {
        rule(
            id,
            &format!("severity = \"{value}\""),
            &format!("decisive = true\nany = [\"alfa*\"]\nfields = [\"{field}\"]"),
        )
    };
    let one = decisive("en", "moderat", "konsekvens");
    let apart = format!("{one}{}", decisive("to", "mindre", "tiltak"));
    assert_eq!(faults(&apart), Vec::<String>::new());
    let together = format!("{one}{}", decisive("to", "mindre", "konsekvens"));
    assert_eq!(faults(&together).len(), 1);
}
