//! What `rules check` finds between rules, and the examples beside them.

use super::*;

/// The faults that only a check finds.
fn doubts(rules: &str) -> Vec<String> {
    let files = RuleFiles::from([
        ("a.toml".to_owned(), SETTINGS.to_owned()),
        ("b.toml".to_owned(), rules.to_owned()),
    ]);
    assert!(
        RuleSet::compile(&files).is_ok(),
        "it works all the same: {rules}"
    );
    RuleSet::check(&files)
        .map_err(|faults| faults.lines())
        .err()
        .unwrap_or_default()
}

#[test]
fn decisive_rules_must_not_contradict() {
    let decisive = |id: &str, value: &str, rest: &str| {
        rule(
            id,
            &format!("type = \"{value}\""),
            &format!("decisive = true\n{rest}"),
        )
    };
    let one = decisive("en", "avvik", "any = [\"alfa\", \"beta\"]");
    for (other, message) in [
        (
            decisive("to", "ros", "any = [\"beta\", \"alfa\"]"),
            Some(
                "b.toml:8:6: «to» og «en» har samme vilkår, begge er avgjørende, og de gir «ros» og «avvik» (behold én av dem, eller gjør vilkårene ulike)",
            ),
        ),
        (decisive("to", "avvik", "any = [\"beta\", \"alfa\"]"), None),
        (decisive("to", "ros", "any = [\"beta\"]"), None),
        (
            decisive(
                "to",
                "ros",
                "any = [\"beta\", \"alfa\"]\nzones = [\"subject\"]",
            ),
            None,
        ),
        (
            decisive(
                "to",
                "ros",
                "any = [\"alfa\", \"beta\"]\nwhen = { thread = \"reply\" }",
            ),
            None,
        ),
        (
            rule(
                "to",
                "type = \"ros\"",
                "strength = 9\nany = [\"alfa\", \"beta\"]",
            ),
            None,
        ),
    ] {
        let found = faults(&format!("{one}\n{other}"));
        assert_eq!(found.first().map(String::as_str), message, "{other}");
    }
}

#[test]
fn values_that_nothing_can_reach() {
    let weak = |strength: i64, rest: &str| {
        rule(
            "svak",
            "type = \"ros\"",
            &format!("strength = {strength}\nany = [\"alfa\"]\n{rest}"),
        )
    };
    let more = rule("til", "type = \"ros\"", "strength = 3\nany = [\"beta\"]");
    let fallback = rule(
        "nød",
        "type = \"ros\"",
        "strength = 2\nfallback = true\nwhen = { thread = \"none\" }",
    )
    .replace("nød", "noed");
    for (rules, found) in [
        (weak(3, ""), true),
        // 4 in the subject is 6.
        (weak(4, ""), false),
        (weak(4, "zones = [\"new\"]"), true),
        (format!("{}{more}", weak(3, "")), false),
        (format!("{}{more}", weak(-3, "")), true),
        // A guess that is meant for a person.
        (fallback.clone(), false),
        (format!("{}{fallback}", weak(2, "")), true),
        (
            rule(
                "sted",
                "destination = \"moss\"",
                "strength = 1\nany = [\"alfa\"]",
            ),
            false,
        ),
        (
            rule(
                "hvem",
                "direction = \"fra-kommune\"",
                "strength = 1\nany = [\"alfa\"]",
            ),
            false,
        ),
        (
            rule(
                "rad",
                "destination = \"aremark\"",
                "strength = 1\nany = [\"alfa\"]",
            ),
            false,
        ),
    ] {
        let lines = doubts(&rules);
        assert_eq!(
            lines
                .iter()
                .any(|line| line.contains("når aldri terskelen")),
            found,
            "{rules}\n{lines:?}"
        );
    }
}

#[test]
fn rules_that_can_never_speak() {
    for (give, rest) in [
        (
            "type = \"avvik\"",
            "any = [\"alfa\"]\nnone = [\"alfa\", \"beta\"]",
        ),
        (
            "type = \"avvik\"",
            "all = [\"alfa\", \"beta\"]\nnone = [\"beta\"]",
        ),
        (
            "type = \"avvik\"",
            "near_any = [[\"alfa\"], [\"beta\"]]\nnone = [\"beta\"]",
        ),
        (
            "category = \"annet\"",
            "any = [\"alfa\"]\nwhen = { type = [\"svar\", \"ros\"] }",
        ),
        (
            "destination = \"moss\"",
            "any = [\"alfa\"]\nwhen = { type = [\"ikke-avvik\"] }",
        ),
    ] {
        let lines = doubts(&rule("stum", give, &format!("strength = 9\n{rest}")));
        assert_eq!(lines.len(), 1, "{rest}: {lines:?}");
        assert!(lines[0].contains("kan aldri slå til"), "{lines:?}");
    }
    let fine = rule(
        "god",
        "category = \"annet\"",
        "strength = 9\nany = [\"alfa\", \"beta\"]\nnone = [\"alfa\"]\nwhen = { type = [\"svar\", \"avvik\"] }",
    );
    assert_eq!(doubts(&fine), Vec::<String>::new());
}

#[test]
fn doubts_come_with_all_other_faults() {
    let rules = format!(
        "{}{}{}",
        rule(
            "en",
            "type = \"avvik\"",
            "decisive = true\nany = [\"alfa\"]"
        ),
        rule("to", "type = \"ros\"", "decisive = true\nany = [\"alfa\"]"),
        "[[tests]]\nname = \"prøve\"\ntext = \"alfa\"\nexpect = { type = \"avik\" }\n",
    );
    let found = faults(&rules);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].contains("mente du «avvik»?"), "{found:?}");
}

#[test]
fn examples_take_no_part_and_are_checked() {
    let rules = rule("en", "type = \"avvik\"", "strength = 6\nany = [\"alfa\"]");
    let example = |rest: &str| format!("{rules}\n[[tests]]\nname = \"prøve\"\n{rest}\n");
    for (rest, message) in [
        (
            "text = \"alfa\"\nexpect = { type = \"avvik\", destination = \"sak\" }",
            "",
        ),
        ("text = \"alfa\"\nexpect = { triage = true }", ""),
        ("text = \"alfa\"\nexpect = {}", "expect er tom"),
        ("expect = { type = \"avvik\" }", "enten text"),
        (
            "text = \"a\"\neml = \"a.eml\"\nexpect = { triage = true }",
            "enten text",
        ),
        (
            "eml = \"../a.eml\"\nexpect = { triage = true }",
            "i regelmappen",
        ),
        (
            "eml = \"/etc/passwd\"\nexpect = { triage = true }",
            "i regelmappen",
        ),
        (
            "text = \"alfa\"\nexpect = { destination = \"mos\" }",
            "ukjent part",
        ),
        (
            "text = \"alfa\"\nexspect = { triage = true }",
            "mente du «expect»?",
        ),
    ] {
        let found = faults(&example(rest));
        if message.is_empty() {
            assert_eq!(found, Vec::<String>::new(), "{rest}");
        } else {
            assert!(
                found.iter().any(|line| line.contains(message)),
                "{rest}: {found:?}"
            );
        }
    }
    let set = compile(&example(
        "from = \"Kari <kari@moss.kommune.example>\"\nsubject = \"Ære\"\ntext = \"alfa\\nbeta\"\nexpect = { type = \"avvik\", triage = false }",
    ));
    let [one] = set.examples() else {
        panic!("one example")
    };
    assert_eq!(
        (one.file.as_str(), one.line, one.name.as_str()),
        ("b.toml", 8, "prøve")
    );
    let bytes = one.bytes(set.directory()).unwrap();
    let message = crate::message::parse(&bytes, &crate::message::Limits::default()).unwrap();
    assert_eq!(message.subject, "Ære");
    assert_eq!(message.to[0].address, "avvik@so-hf.example");
    let verdict = set.classify(&message, &ClassifyContext::default());
    assert_eq!(verdict.kind.as_str(), "avvik");
    assert_eq!(verdict.direction.as_str(), "fra-kommune");
    assert_eq!(verdict.because, {
        let mut other = compile(&rules).classify(&message, &ClassifyContext::default());
        std::mem::take(&mut other.because)
    });
}
