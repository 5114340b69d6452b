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

/// All faults of files that are read together with the settings.
fn checked(files: &[(&str, String)]) -> Vec<String> {
    let mut all = RuleFiles::from([("a.toml".to_owned(), SETTINGS.to_owned())]);
    all.extend(
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.clone())),
    );
    RuleSet::check(&all)
        .map_err(|faults| faults.lines())
        .err()
        .unwrap_or_default()
}

#[test]
fn a_fault_of_form_hides_no_fault_of_meaning() {
    let good = rule("god", "type = \"avvik\"", "strength = 9\nany = [\"alfa\"]");
    let wrong = rule(
        "gal",
        "destination = \"medisinn\"",
        "strength = 21\nany = [\"bet*\", \"*\"]\nwhen = { type = [\"ros\", \"ikke-avvik\"] }",
    );
    let mute = rule(
        "stum",
        "type = \"ros\"",
        "strength = 9\nall = [\"gamma\"]\nnone = [\"gamma\"]",
    );
    let places = |lines: &[String]| -> Vec<String> {
        lines
            .iter()
            .map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":"))
            .collect()
    };
    let meaning = ["c.toml:3:24", "c.toml:4:12", "c.toml:5:16", "c.toml:9:6"];
    let other = format!("{wrong}\n{mute}");
    let alone = checked(&[("b.toml", good.clone()), ("c.toml", other.clone())]);
    assert_eq!(places(&alone), meaning, "{alone:#?}");
    for (broken, form) in [
        // An unknown key, a wrong type, syntax, and a party that cannot be read.
        (format!("{good}prioritet = 3\n"), "b.toml:6:1"),
        (
            good.replace("strength = 9", "strength = \"ni\""),
            "b.toml:4:12",
        ),
        (format!("{good}\n[[rules]\n"), "b.toml:7:9"),
        (
            format!("{good}\n[[parties]]\nid = \"ny\"\nname = \"Ny\"\nkind = \"klinik\"\n"),
            "b.toml:10:8",
        ),
    ] {
        let found = checked(&[("b.toml", broken.clone()), ("c.toml", other.clone())]);
        let mut expected = vec![form];
        expected.extend(meaning);
        assert_eq!(places(&found), expected, "{broken}\n{found:#?}");
    }
    // In the same file, and in the same rule.
    let same = other.replace("strength = 21", "strenght = 3\nstrength = 21");
    let found = checked(&[("c.toml", same)]);
    assert_eq!(
        places(&found),
        [
            "c.toml:3:24",
            "c.toml:4:1",
            "c.toml:5:12",
            "c.toml:6:16",
            "c.toml:10:6"
        ],
        "{found:#?}"
    );
}

#[test]
fn nothing_is_said_of_what_only_follows_from_a_fault_of_form() {
    let good = rule("god", "type = \"avvik\"", "strength = 9\nany = [\"alfa\"]");
    let to = |party: &str| {
        rule(
            "til",
            &format!("destination = \"{party}\""),
            "strength = 9\nany = [\"alfa\"]",
        )
    };
    let party = "[[parties]]\nid = \"ny\"\nname = \"Ny klinikk\"\nkind = \"klinikk\"\n";
    for (text, line) in [
        (
            good.replace("any =", "anny ="),
            "b.toml:5:1: ukjent nøkkel «anny»",
        ),
        (
            good.replace("any = [\"alfa\"]", "any = [7]"),
            "b.toml:5:8: her skal det stå en tekst",
        ),
        (
            good.replace("strength =", "strenght ="),
            "b.toml:4:1: ukjent nøkkel «strenght»",
        ),
        (
            good.replace("type =", "tpye ="),
            "b.toml:3:10: ukjent nøkkel «tpye»",
        ),
        (
            good.replace(
                "any = [\"alfa\"]",
                "when = { tread = \"none\" }\nany = [\"alfa\"]",
            ),
            "b.toml:5:10: ukjent nøkkel «tread»",
        ),
        (
            format!(
                "{good}\n[[tests]]\nname = \"en\"\ntext = \"alfa\"\nexpect = {{ typ = \"avvik\" }}\n"
            ),
            "b.toml:10:12: ukjent nøkkel «typ»",
        ),
        // The party may be the one that the rule means.
        (
            format!("{}{}", to("ny"), party.replace("kind =", "knid =")),
            "b.toml:",
        ),
        (
            format!("{}{}", to("ny"), party.replace("\"klinikk\"", "\"klinik\"")),
            "b.toml:9:8: ukjent verdi «klinik»",
        ),
        (format!("{}{party}x = = 3\n", to("ny")), "b.toml:10:5: "),
    ] {
        let found = checked(&[("b.toml", text.clone())]);
        assert!(found[0].starts_with(line), "{text}\n{found:#?}");
        assert!(
            found.len() == 1 || line == "b.toml:" && found.iter().all(|one| one.contains("kn")),
            "{text}\n{found:#?}"
        );
    }
    // Too weak a value is only certain when every rule for it could be read.
    let weak = rule("svak", "type = \"ros\"", "strength = 2\nany = [\"alfa\"]");
    let more = rule("mer", "type = \"ros\"", "strength = 90\nany = [\"beta\"]");
    let doubt = "når aldri terskelen";
    let found = checked(&[("b.toml", weak.clone())]);
    assert!(found[0].contains(doubt), "{found:?}");
    let found = checked(&[("b.toml", format!("{weak}\n{more}"))]);
    assert!(found.len() == 1 && !found[0].contains(doubt), "{found:?}");
    let elsewhere = more.replace("type = \"ros\"", "severity = \"mindre\"");
    let found = checked(&[("b.toml", format!("{weak}\n{elsewhere}"))]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|line| line.contains(doubt)), "{found:?}");
}
