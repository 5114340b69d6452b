//! The engine as a whole, on small rule sets and hand-made messages.

mod checking;
mod fields;

use proptest::prelude::*;

use super::*;
use crate::message::{
    Address, AuthenticationResult, AuthenticationResults, Forwarded, Mark, Message, Zone, ZoneText,
};

const SETTINGS: &str = r#"
[own]
addresses = ["avvik@so-hf.example", "postmottak@so-hf.example"]
domains = ["so-hf.example"]

[cues]
negating = ["ikke", "uten", "ingen"]
soothing = ["kom i tide", "var i orden"]
clause_breaks = ["men", ","]
ignore = ["ikke bare", "Sykehuset Østfold Moss"]

[defaults]
direction = "ukjent"
severity = "ukjent"

[direction_bias]
fra-sykehus = { kommune = 3, klinikk = -6 }
fra-kommune = { klinikk = 2, kommune = -3 }

[[portals]]
id = "edialog"
name = "eDialog"
addresses = ["varsling@edialog.example"]
sender_labels = ["Fra"]
title_labels = ["Tittel"]
footer = ["Dette er et automatisk varsel"]

[[parties]]
id = "samhandling"
name = "Samhandlingsavdelingen"
kind = "samhandling"
addresses = ["avvik@so-hf.example"]

[[parties]]
id = "medisin"
name = "Klinikk for medisin"
kind = "klinikk"
send_to = ["med@so-hf.example"]
units = ["slagenhet", "lungepost*"]
words = ["KOLS", "dialyse", "hjertesvikt"]
secure = true

[[parties]]
id = "kirurgi"
name = "Klinikk for kirurgi"
kind = "klinikk"
units = ["gastropost*", "DPS Moss"]

[[parties]]
id = "ortopedi"
name = "Ortopedisk avdeling"
kind = "klinikk"
units = ["hoftepost*"]

[[parties]]
id = "moss"
name = "Moss kommune"
kind = "kommune"
send_to = ["avvik@moss.kommune.example"]
domains = ["moss.kommune.example"]
places = ["Moss"]
units = ["Kambo sykehjem"]

[[parties]]
id = "halden"
name = "Halden kommune"
kind = "kommune"
addresses = ["post@halden.kommune.example"]
domains = ["halden.kommune.example", "felles.example"]
places = ["=Halden"]
language = "nn"

[[parties]]
id = "aremark"
name = "Aremark kommune"
kind = "kommune"
domains = ["felles.example"]

[[parties]]
id = "legene-aasen"
name = "Åsen legekontor"
kind = "fastlege"
addresses = ["post@aasen-lege.example"]
"#;

fn compile(rules: &str) -> RuleSet {
    let files = RuleFiles::from([
        ("a.toml".to_owned(), SETTINGS.to_owned()),
        ("b.toml".to_owned(), rules.to_owned()),
    ]);
    match RuleSet::compile(&files) {
        Ok(set) => set,
        Err(faults) => panic!("{faults}"),
    }
}

fn faults(rules: &str) -> Vec<String> {
    let files = RuleFiles::from([
        ("a.toml".to_owned(), SETTINGS.to_owned()),
        ("b.toml".to_owned(), rules.to_owned()),
    ]);
    RuleSet::compile(&files)
        .map_err(|faults| faults.lines())
        .err()
        .unwrap_or_default()
}

fn address(text: &str) -> Address {
    Address {
        name: String::new(),
        address: text.to_owned(),
    }
}

fn message(from: &str, subject: &str, text: &str) -> Message {
    let zone = |zone, text: &str| ZoneText {
        zone,
        label: String::new(),
        text: text.to_owned(),
    };
    Message {
        from: vec![address(from)],
        to: vec![address("avvik@so-hf.example")],
        subject: subject.to_owned(),
        texts: vec![
            zone(Zone::Subject, subject),
            zone(Zone::New, text),
            zone(Zone::Sender, from),
        ],
        ..Message::default()
    }
}

fn text(set: &RuleSet, text: &str) -> Verdict {
    set.classify(
        &message("kari@ukjent.example", "", text),
        &ClassifyContext::default(),
    )
}

fn rule(id: &str, give: &str, rest: &str) -> String {
    format!("[[rules]]\nid = \"{id}\"\ngive = {{ {give} }}\n{rest}\n")
}

/// The score of category `informasjon` by one rule of strength 4.
fn category_score(conditions: &str, words: &str) -> i64 {
    let set = compile(&format!(
        "{}{}",
        rule(
            "er-avvik",
            "type = \"avvik\"",
            "strength = 9\nany = [\"avvik\"]"
        ),
        rule(
            "info",
            "category = \"informasjon\"",
            &format!("strength = 4\n{conditions}")
        ),
    ));
    text(&set, &format!("Melder avvik. {words}")).category.score
}

#[test]
fn groups_cues_and_zones() {
    let epikrise = "any = [\"epikrise\"]";
    let missing = "any = [\"epikrise ikke mottatt\", \"ikke mottatt\"]";
    let near = "near = [\"epikrise\", \"mangler\"]\nwithin = 3";
    let near_any = "near_any = [[\"epikrise\", \"epikr*\"], [\"mangler\", \"ikke mottatt\", \"aldri\"]]\nwithin = 4";
    let near_both = "near = [\"hjemmesykepleien\"]\nnear_any = [[\"epikrise\"], [\"aldri\"]]";
    let all = "all = [\"epikrise\", \"mangler\"]";
    for (conditions, words, spoke) in [
        (epikrise, "Epikrisen er sen", true),
        (epikrise, "Epikrisen kom i tide", false),
        (epikrise, "Epikrisen kom ikke", false),
        (epikrise, "Lista kom ikke, epikrisen er sen", true),
        (
            epikrise,
            "Epikrisen kom i tide, men epikrisen var tom",
            true,
        ),
        (epikrise, "Det er ikke bare epikrisen", true),
        (missing, "Epikrisen er ikke mottatt", true),
        (missing, "Epikrisen er ikke\nmottatt", true),
        (near, "Epikrisen for mars mangler", true),
        (near, "Epikrisen for hele mars mangler", false),
        (near, "Mangler epikrise", true),
        (near, "Epikrisen kom. Svaret mangler", false),
        (near_any, "Epikrisen for mars mangler", true),
        (near_any, "Vi har ikke mottatt epikrisen", true),
        (near_any, "Vi har aldri sett noen epikrise", true),
        (near_any, "Epikrisen mangler ikke", false),
        (near_any, "Epikrisen er god. Svaret mangler", false),
        (near_any, "Epikrisen og svaret og alt annet mangler", false),
        (
            near_any,
            "Epikrisen kom i tide, men lista ikke mottatt",
            false,
        ),
        (near_both, "Hjemmesykepleien fikk aldri epikrisen", true),
        (near_both, "Epikrisen mangler i hjemmesykepleien", false),
        (all, "Epikrisen kom. Svaret mangler", true),
        (all, "Epikrisen kom. Svaret ikke", false),
        (
            "any = [\"epikrise\"]\nnone = [\"til orientering\"]",
            "Epikrise, til orientering",
            false,
        ),
        (
            "any = [\"epikrise\"]\nzones = [\"subject\"]",
            "Epikrise",
            false,
        ),
        (
            "any = [\"epikrise\"]\nnegatable = false",
            "Epikrisen kom ikke",
            true,
        ),
        ("regex = ['oe\\w+ing \\d{2}']", "Økning 12 prosent", true),
        (
            "any = [\"epikrise\"]\nwhen = { type = [\"ros\"] }",
            "Epikrise",
            false,
        ),
        (
            "any = [\"epikrise\"]\nwhen = { sender = [\"ukjent\"] }",
            "Epikrise",
            true,
        ),
    ] {
        assert_eq!(
            category_score(conditions, words) > 0,
            spoke,
            "{conditions}: {words}"
        );
    }
}

#[test]
fn strongest_zone_counts_once() {
    let set = compile(&rule(
        "a",
        "type = \"avvik\"",
        "strength = 4\nany = [\"epikrise\"]",
    ));
    let both = message("kari@ukjent.example", "Epikrise", "epikrise epikrise");
    assert_eq!(
        set.classify(&both, &ClassifyContext::default()).kind.score,
        6,
        "150 % in the subject, once"
    );
    let set = compile(&rule(
        "a",
        "type = \"avvik\"",
        "strength = 4\nany = [\"epikrise\"]\nonce = false",
    ));
    assert_eq!(
        set.classify(&both, &ClassifyContext::default()).kind.score,
        10,
        "once a zone"
    );
}

#[test]
fn decisions() {
    let words = |a: i64, b: i64, more: &str| {
        format!(
            "{}{}{more}",
            rule(
                "a",
                "type = \"avvik\"",
                &format!("strength = {a}\nany = [\"alfa\"]")
            ),
            rule(
                "b",
                "type = \"ros\"",
                &format!("strength = {b}\nany = [\"beta\"]")
            ),
        )
    };
    let decisive = |id: &str, value: &str, word: &str| {
        rule(
            id,
            &format!("type = \"{value}\""),
            &format!("decisive = true\nany = [\"{word}\"]"),
        )
    };
    let fallback = rule(
        "f",
        "type = \"ikke-avvik\"",
        "strength = 7\nfallback = true\nwhen = { thread = \"none\" }",
    );
    let both = format!(
        "{}{}",
        decisive("d", "ros", "gamma"),
        decisive("e", "faktura", "delta")
    );
    for (rules, words, value, certain) in [
        (words(6, 1, ""), "alfa", Some("avvik"), true),
        (words(5, 1, ""), "alfa", Some("avvik"), false),
        (words(9, 6, ""), "alfa beta", Some("avvik"), true),
        (words(8, 6, ""), "alfa beta", Some("avvik"), false),
        (words(8, 8, ""), "alfa beta", Some("avvik"), false),
        (words(6, -3, ""), "alfa beta", Some("avvik"), true),
        (words(6, 6, ""), "verken eller", None, false),
        (words(20, 1, &both), "alfa gamma", Some("ros"), true),
        (
            words(20, 1, &both),
            "alfa gamma delta",
            Some("faktura"),
            false,
        ),
        (
            words(6, 6, &fallback),
            "noe annet",
            Some("ikke-avvik"),
            true,
        ),
        (words(6, 6, &fallback), "alfa", Some("avvik"), true),
        (words(5, 5, &fallback), "alfa", Some("ikke-avvik"), false),
    ] {
        let verdict = text(&compile(&rules), words);
        assert_eq!(
            (verdict.kind.value.as_deref(), verdict.kind.certain),
            (value, certain),
            "{words}"
        );
        assert!(
            verdict.triage || certain,
            "{words}: a person looks at an uncertain type"
        );
    }
}

#[test]
fn what_stands_first_breaks_a_tie() {
    let set = |threshold: &str, b: i64| {
        let rules = [
            "[thresholds]\ntype = { min = 6, lead = 3 }".to_owned(),
            format!("category = {threshold}\n"),
            rule("t", "type = \"avvik\"", "strength = 9\nany = [\"avvik\"]"),
            rule(
                "a",
                "category = \"annet\"",
                "strength = 4\nany = [\"alfa\"]",
            ),
            rule(
                "b",
                "category = \"transport\"",
                &format!("strength = {b}\nany = [\"beta\"]"),
            ),
        ];
        compile(&rules.join("\n"))
    };
    let first = "{ min = 3, lead = 1, first = 1 }";
    let far = "{ min = 3, lead = 2, first = 3 }";
    for (threshold, b, words, value, certain) in [
        ("{ min = 3, lead = 1 }", 4, "beta alfa", "annet", false),
        (first, 4, "beta alfa", "transport", true),
        (first, 4, "alfa beta", "annet", true),
        (first, 5, "alfa beta", "transport", true),
        (far, 5, "alfa beta", "annet", true),
        (far, 6, "alfa beta", "transport", true),
    ] {
        let verdict = text(&set(threshold, b), &format!("Avvik: {words}"));
        let decision = &verdict.category;
        assert_eq!(
            (decision.as_str(), decision.certain),
            (value, certain),
            "{threshold} {words}"
        );
        let sum: i64 = verdict
            .because
            .iter()
            .filter(|evidence| evidence.facet == Facet::Category && evidence.value == value)
            .map(|evidence| evidence.strength)
            .sum();
        assert_eq!(sum, decision.score, "the sum is that of the evidence");
    }
    // The subject is read before the text.
    let verdict = set("{ min = 3, lead = 1, first = 1 }", 6).classify(
        &message("kari@ukjent.example", "Alfa", "Avvik: beta"),
        &ClassifyContext::default(),
    );
    assert_eq!(verdict.category.as_str(), "annet");
}

#[test]
fn conditions_may_ask_for_certainty() {
    let rules = |when: &str| {
        format!(
            "{}{}{}",
            rule(
                "r",
                "robot = \"fravaer\"",
                "strength = 5\nany = [\"ferie\"]"
            ),
            rule("t", "type = \"avvik\"", "strength = 5\nany = [\"avvik\"]"),
            rule(
                "d",
                "direction = \"fra-kommune\"",
                &format!("strength = 9\nwhen = {{ {when} }}"),
            ),
        )
    };
    for (when, words, spoke) in [
        ("type = [\"avvik\"]", "avvik", true),
        ("type = [\"avvik\"], certain = true", "avvik", false),
        ("robot = [\"fravaer\"]", "ferie", false),
    ] {
        let verdict = text(&compile(&rules(when)), words);
        assert_eq!(verdict.direction.score == 9, spoke, "{when}");
    }
    let found = faults(&rule(
        "d",
        "type = \"avvik\"",
        "strength = 1\nany = [\"alfa\"]\nwhen = { thread = \"none\", certain = true }",
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("certain gjelder avgjørelser"),
        "{found:?}"
    );
    let found = faults(&rule(
        "n",
        "type = \"avvik\"",
        "strength = 1\nnear_any = [[\"alfa\", \"beta\"]]",
    ));
    assert!(found[0].contains("minst to lister"), "{found:?}");
}

/// Rules that make everything an avvik, for tests of direction and destination.
fn avvik() -> String {
    rule(
        "avvik",
        "type = \"avvik\"",
        "strength = 9\nany = [\"avvik\"]",
    )
}

fn placed(from: &str, to: &[&str], words: &str) -> (String, String, bool) {
    let set = compile(&avvik());
    let mut message = message(from, "Avvik", words);
    message.to.extend(to.iter().map(|to| address(to)));
    let verdict = set.classify(&message, &ClassifyContext::default());
    let destination = verdict.destination;
    (
        verdict.direction.as_str().to_owned(),
        destination.as_str().to_owned(),
        destination.certain,
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn directory_places() {
    let kommune = "kari@moss.kommune.example";
    let doctor = "post@aasen-lege.example";
    let ward = "ola@so-hf.example";
    for (from, to, words, direction, destination, certain) in [
        (
            kommune,
            &[][..],
            "Fra slagenheten kom ingen epikrise",
            "fra-kommune",
            "medisin",
            true,
        ),
        (
            kommune,
            &[],
            "Pasient med KOLS i Moss",
            "fra-kommune",
            "medisin",
            false,
        ),
        (
            kommune,
            &[],
            "Bor på Kambo sykehjem i Moss",
            "fra-kommune",
            "samhandling",
            false,
        ),
        (
            doctor,
            &[],
            "Lungeposten sendte ikke epikrise",
            "fra-fastlege",
            "medisin",
            true,
        ),
        (
            doctor,
            &[],
            "Kambo sykehjem i Moss svarer ikke",
            "fra-fastlege",
            "moss",
            true,
        ),
        (
            doctor,
            &[],
            "DPS Moss svarer ikke",
            "fra-fastlege",
            "kirurgi",
            true,
        ),
        (
            doctor,
            &[],
            "Innlagt Sykehuset Østfold Moss",
            "fra-fastlege",
            "",
            false,
        ),
        (
            ward,
            &["avvik@moss.kommune.example"],
            "Kom fra slagenheten uten plass",
            "fra-sykehus",
            "moss",
            true,
        ),
        (
            ward,
            &[],
            "Slagenheten sendte til Kambo sykehjem",
            "fra-sykehus",
            "moss",
            true,
        ),
        (
            ward,
            &[],
            "Åsen legekontor sendte ikke liste",
            "fra-sykehus",
            "samhandling",
            true,
        ),
        (
            "per@felles.example",
            &[],
            "Lungepost",
            "fra-kommune",
            "medisin",
            true,
        ),
        (
            "per@ukjent.example",
            &[],
            "Vi kan ikkje halde fristen",
            "ukjent",
            "",
            false,
        ),
        (
            "per@ukjent.example",
            &[],
            "Lungepost, gastropost og hoftepost",
            "ukjent",
            "samhandling",
            false,
        ),
    ] {
        let found = placed(from, to, words);
        assert_eq!(
            found,
            (direction.to_owned(), destination.to_owned(), certain),
            "{from} {to:?}: {words}"
        );
    }
}

#[test]
fn a_signature_alone_places_nothing() {
    let (_, destination, certain) = placed(
        "per@ukjent.example",
        &[],
        "Epikrisen er borte.\n\nMvh Per\nslagenhet",
    );
    assert_eq!((destination.as_str(), certain), ("medisin", false));
    let (_, destination, certain) = placed(
        "per@ukjent.example",
        &[],
        "Fra gastroposten.\n\nMvh Per\nslagenhet",
    );
    assert_eq!((destination.as_str(), certain), ("kirurgi", true));
}

#[test]
fn copies_of_several_clinics_and_of_invoices() {
    let faktura = rule(
        "faktura",
        "type = \"faktura\"",
        "strength = 9\nany = [\"faktura\"]",
    );
    let all = rule(
        "alle",
        "destination = \"samhandling\"",
        "strength = 12\nany = [\"flere klinikker\"]",
    );
    let set = compile(&format!("{}{faktura}{all}", avvik()));
    let verdict = text(&set, "Avvik ved lungepost, gastropost og hoftepost");
    assert_eq!(verdict.destination.as_str(), "samhandling");
    assert_eq!(verdict.copies, ["kirurgi", "medisin", "ortopedi"]);
    assert!(verdict.triage);
    let verdict = text(&set, "Avvik ved flere klinikker: lungepost, gastropost");
    assert_eq!(
        (verdict.destination.as_str(), verdict.triage),
        ("samhandling", false)
    );
    assert_eq!(verdict.copies, ["kirurgi", "medisin"]);
    let verdict = text(&set, "Faktura for lungepost");
    assert_eq!(
        (verdict.destination.as_str(), verdict.copies.as_slice()),
        ("medisin", &["samhandling".to_owned()][..])
    );
}

#[test]
fn facets_follow_the_type() {
    let rules = format!(
        "{}{}{}{}",
        rule(
            "s",
            "type = \"svar\"",
            "strength = 9\nwhen = { case_token = true }"
        ),
        rule(
            "i",
            "type = \"ikke-avvik\"",
            "strength = 9\nany = [\"nyhetsbrev\"]"
        ),
        rule(
            "f",
            "type = \"forbedring\"",
            "strength = 9\nany = [\"forslag\"]"
        ),
        rule(
            "c",
            "category = \"transport\"",
            "strength = 9\nany = [\"ambulanse\"]"
        ),
    );
    let set = compile(&rules);
    let classify = |subject: &str, words: &str| {
        set.classify(
            &message("kari@ukjent.example", subject, words),
            &ClassifyContext::default(),
        )
    };
    let verdict = classify("Sv: [SAK-2026-000131] Avvik", "ambulanse på lungepost");
    assert_eq!(
        (
            verdict.destination.as_str(),
            verdict.category.as_str(),
            verdict.triage
        ),
        ("sak", "", false)
    );
    assert_eq!(verdict.why_not, Some(WhyNot::Svar));
    let verdict = classify("Nyhetsbrev", "ambulanse på lungepost");
    assert_eq!(
        (
            verdict.destination.as_str(),
            verdict.category.as_str(),
            verdict.triage
        ),
        ("postmottak", "", false)
    );
    let verdict = classify("Forslag", "ambulanse på lungepost");
    assert_eq!(
        (verdict.destination.as_str(), verdict.category.as_str()),
        ("medisin", "annet")
    );
}

#[test]
fn the_sum_of_the_evidence_is_the_score() {
    let set = compile(&avvik());
    let verdict = set.classify(
        &message(
            "kari@moss.kommune.example",
            "Avvik lungepost",
            "KOLS, dialyse og hjertesvikt, gastropost i Moss",
        ),
        &ClassifyContext::default(),
    );
    for (facet, decision) in [
        (Facet::Type, &verdict.kind),
        (Facet::Direction, &verdict.direction),
        (Facet::Destination, &verdict.destination),
    ] {
        let of = |value: &str| -> i64 {
            let all = verdict
                .because
                .iter()
                .filter(|evidence| evidence.facet == facet && evidence.value == value);
            all.map(|evidence| evidence.strength).sum()
        };
        assert_eq!(of(decision.as_str()), decision.score, "{facet:?}");
        if let Some((value, score)) = &decision.runner_up {
            assert_eq!(of(value), *score, "{facet:?}");
        }
    }
    assert!(verdict.because.is_sorted_by_key(|evidence| (
        evidence.facet,
        evidence.rule.clone(),
        evidence.zone,
        evidence.offset
    )));
}

#[test]
fn reporters() {
    let set = compile(&avvik());
    let find = |message: &Message| {
        let reporter = set.classify(message, &ClassifyContext::default()).reporter;
        (
            reporter.source,
            reporter.address,
            reporter.party.unwrap_or_default(),
        )
    };
    let plain = |from: &str| message(from, "Avvik", "tekst");
    let portal = |words: &str| message("varsling@edialog.example", "Ny forsendelse", words);
    let forwarded = |from: &str, inner: &str| Message {
        forwarded: vec![Forwarded {
            from: address(inner),
            subject: String::new(),
        }],
        ..message(from, "VS: Avvik", "tekst")
    };
    let is = |source, address: &str, party: &str| (source, address.to_owned(), party.to_owned());
    for (mail, expected) in [
        (
            plain("Kari@Moss.kommune.example"),
            is(ReporterSource::From, "Kari@Moss.kommune.example", "moss"),
        ),
        (
            plain("noreply@moss.kommune.example"),
            is(ReporterSource::None, "", ""),
        ),
        (
            plain("AVVIK+sak@so-hf.example"),
            is(ReporterSource::None, "", ""),
        ),
        (
            plain("per@felles.example"),
            is(ReporterSource::From, "per@felles.example", ""),
        ),
        (
            portal("Fra: Åsen legekontor v/ lege Liv\n\nHei"),
            is(
                ReporterSource::Directory,
                "post@aasen-lege.example",
                "legene-aasen",
            ),
        ),
        (
            portal("Fra: Åsen legekontor\n\nE-post: liv@aasen.example"),
            is(
                ReporterSource::CoverPage,
                "liv@aasen.example",
                "legene-aasen",
            ),
        ),
        (
            portal("Fra: Ukjent kontor\n\nskriv til a@b.example eller c@d.example"),
            is(ReporterSource::None, "", ""),
        ),
        (
            forwarded("ola@so-hf.example", "per@felles.example"),
            is(ReporterSource::Forwarded, "per@felles.example", ""),
        ),
        (
            forwarded("ola@so-hf.example", "eva@so-hf.example"),
            is(ReporterSource::From, "ola@so-hf.example", ""),
        ),
        (
            forwarded("postmottak@so-hf.example", ""),
            is(ReporterSource::None, "", ""),
        ),
    ] {
        assert_eq!(find(&mail), expected);
    }
}

#[test]
fn reasons_against_an_answer() {
    let set = compile(&format!(
        "{}{}",
        avvik(),
        rule(
            "fravaer",
            "robot = \"fravaer\"",
            "strength = 9\nany = [\"fraværende fra kontoret\"]"
        ),
    ));
    let why = |mail: &Message| set.classify(mail, &ClassifyContext::default()).why_not;
    let marked = |marks: &[Mark]| Message {
        marks: marks.iter().copied().collect(),
        ..message("kari@ukjent.example", "Avvik", "")
    };
    for (marks, expected) in [
        (&[][..], None),
        (&[Mark::AutoGenerated], Some(WhyNot::AutoSubmitted)),
        (
            &[Mark::AutoReplied, Mark::Bounce, Mark::NullReturnPath],
            Some(WhyNot::Bounce),
        ),
        (
            &[Mark::AutoReplied, Mark::ReadReceipt],
            Some(WhyNot::Receipt),
        ),
        (&[Mark::Calendar], Some(WhyNot::Receipt)),
        (&[Mark::List, Mark::AutoGenerated], Some(WhyNot::List)),
        (&[Mark::Bulk], Some(WhyNot::List)),
        (&[Mark::PrecedenceAutoReply], Some(WhyNot::AutoSubmitted)),
        (&[Mark::NullReturnPath], Some(WhyNot::Bounce)),
        (&[Mark::SuppressAutoReply], Some(WhyNot::Suppressed)),
        (&[Mark::Spam], Some(WhyNot::Unauthenticated)),
        (&[Mark::OwnLoop, Mark::Bounce], Some(WhyNot::OwnAddress)),
    ] {
        assert_eq!(why(&marked(marks)), expected, "{marks:?}");
    }
    for (from, words, expected) in [
        ("avvik+x@SO-HF.example", "avvik", Some(WhyNot::OwnAddress)),
        (
            "no-reply@moss.kommune.example",
            "avvik",
            Some(WhyNot::NoReply),
        ),
        ("kari@ukjent.example", "hei", Some(WhyNot::UncertainType)),
        (
            "kari@ukjent.example",
            "avvik, jeg er fraværende fra kontoret",
            Some(WhyNot::AutoSubmitted),
        ),
        (
            "varsling@edialog.example",
            "Fra: Kontoret\n\navvik",
            Some(WhyNot::NoAddress),
        ),
        ("kari@so-hf.example", "avvik", None),
    ] {
        assert_eq!(why(&message(from, "", words)), expected, "{from}: {words}");
    }
    let mut looped = marked(&[]);
    looped
        .headers
        .push(("X-Loop".to_owned(), "<Avvik@so-hf.example>".to_owned()));
    assert_eq!(why(&looped), Some(WhyNot::OwnAddress));
    let nobody = Message {
        from: Vec::new(),
        marks: [Mark::NoFrom].into(),
        ..marked(&[])
    };
    assert_eq!(why(&nobody), Some(WhyNot::NoAddress));
}

/// The portal's own page is asked before what the sender enclosed; a PDF has label and address on two lines.
#[test]
fn the_address_of_a_forsendelse_stands_on_its_cover_page() {
    let set = compile(&avvik());
    let reporter = |pieces: &[(&str, &str)]| {
        let mut mail = message("varsling@edialog.example", "Avvik", "Fra: Kontoret");
        mail.texts
            .extend(pieces.iter().map(|(name, text)| ZoneText {
                zone: Zone::Attachment,
                label: (*name).to_owned(),
                text: (*text).to_owned(),
            }));
        let reporter = set.classify(&mail, &ClassifyContext::default()).reporter;
        (reporter.source, reporter.address)
    };
    let upload = ("epikrise.pdf", "Kontakt\nE-post: pasient@annet.example");
    let found = |address: &str| (ReporterSource::CoverPage, address.to_owned());
    for cover in [
        "Avsender\nLiv Lege\nE-post\n\nliv@aasen.example\nTelefon\n69 00 00 00",
        "E-postadresse: liv@aasen.example\nSvar til post@mottak.example",
        "Sendt av liv@aasen.example",
    ] {
        let cover = ("eDialog Framside.pdf", cover);
        assert_eq!(
            reporter(&[upload, cover]),
            found("liv@aasen.example"),
            "{cover:?}"
        );
    }
    let bare = ("edialog framside.pdf", "Avsender: Liv Lege");
    assert_eq!(reporter(&[bare, upload]), found("pasient@annet.example"));
    let two = ("notat.pdf", "a@annet.example b@annet.example");
    assert_eq!(
        reporter(&[bare, two]),
        (ReporterSource::None, String::new())
    );
}

#[test]
fn authentication_counts_only_from_the_trusted_server() {
    let set = compile(&avvik());
    let trusted = ClassifyContext {
        authserv_id: Some("mx.so-hf.example".to_owned()),
    };
    let mail = |server: &str, results: &[(&str, &str)]| Message {
        authentication: Some(AuthenticationResults {
            authserv_id: server.to_owned(),
            results: results
                .iter()
                .map(|(method, result)| AuthenticationResult {
                    method: (*method).to_owned(),
                    result: (*result).to_owned(),
                    properties: Vec::new(),
                })
                .collect(),
        }),
        ..message("kari@ukjent.example", "Avvik", "")
    };
    let refused = Some(WhyNot::Unauthenticated);
    for (server, results, expected) in [
        (
            "mx.so-hf.example",
            &[("dmarc", "pass"), ("spf", "fail")][..],
            None,
        ),
        (
            "mx.so-hf.example",
            &[("dmarc", "fail"), ("spf", "pass")],
            refused,
        ),
        (
            "mx.so-hf.example",
            &[("spf", "fail"), ("dkim", "none")],
            refused,
        ),
        (
            "mx.so-hf.example",
            &[("spf", "fail"), ("dkim", "pass")],
            None,
        ),
        (
            "mx.so-hf.example",
            &[("spf", "none"), ("dkim", "none")],
            None,
        ),
        ("mx.evil.example", &[("dmarc", "pass")], refused),
    ] {
        assert_eq!(
            set.classify(&mail(server, results), &trusted).why_not,
            expected,
            "{server} {results:?}"
        );
        assert_eq!(
            set.classify(&mail(server, results), &ClassifyContext::default())
                .why_not,
            None
        );
    }
    assert_eq!(
        set.classify(&message("kari@ukjent.example", "Avvik", ""), &trusted)
            .why_not,
        refused,
        "no header"
    );
}

#[test]
fn a_portal_notice_and_a_forwarded_report() {
    let set = compile(&avvik());
    let notice = "Fra: Åsen legekontor v/ lege Liv\nTil: Avvik\nTittel: Lungepost sendte ikke epikrise\n\nHei\nDette er et automatisk varsel om slagenhet\n";
    let verdict = set.classify(
        &message("varsling@edialog.example", "Avvik", notice),
        &ClassifyContext::default(),
    );
    assert_eq!(verdict.direction.as_str(), "fra-fastlege");
    assert_eq!(verdict.destination.as_str(), "medisin");
    assert!(
        !verdict
            .because
            .iter()
            .any(|evidence| evidence.term == "slagenhet"),
        "the footer says nothing"
    );
    let mut handed_on = message("ola@so-hf.example", "VS: Avvik", "Sendes videre");
    handed_on.forwarded.push(Forwarded {
        from: address("eva@moss.kommune.example"),
        subject: String::new(),
    });
    handed_on.texts.push(ZoneText {
        zone: Zone::Forwarded,
        label: String::new(),
        text: "Lungepost sendte ikke epikrise".to_owned(),
    });
    let verdict = set.classify(&handed_on, &ClassifyContext::default());
    assert_eq!(
        (verdict.direction.as_str(), verdict.destination.as_str()),
        ("fra-kommune", "medisin")
    );
    assert_eq!(verdict.reporter.party.as_deref(), Some("moss"));
}

#[test]
fn language_of_the_party_wins() {
    let set = compile(&avvik());
    let of = |from: &str, words: &str| {
        set.classify(&message(from, "Avvik", words), &ClassifyContext::default())
            .language
    };
    assert_eq!(
        of("x@ukjent.example", "Eg har ikkje fått epikrisa frå dykk"),
        Language::Nynorsk
    );
    assert_eq!(
        of("x@ukjent.example", "Jeg har ikke fått epikrisen fra dere"),
        Language::Bokmal
    );
    assert_eq!(
        of(
            "post@halden.kommune.example",
            "Jeg har ikke fått epikrisen fra dere"
        ),
        Language::Nynorsk
    );
}

#[test]
fn the_directory_tells_who_belongs() {
    let set = compile("");
    let directory = set.directory();
    assert!(directory.belongs("Ny.Person@Moss.kommune.example", "moss"));
    assert!(directory.belongs("post+a@halden.kommune.example", "halden"));
    assert!(
        !directory.belongs("per@felles.example", "halden"),
        "a shared domain shows nobody"
    );
    assert!(directory.party_of_address("x@so-hf.example").is_none());
    assert!(directory.is_own("Postmottak+q@SO-HF.example"));
    assert!(!directory.is_own("kari@so-hf.example"));
    assert_eq!(
        directory.party("medisin").unwrap().send_to,
        ["med@so-hf.example"]
    );
    assert_eq!(directory.samhandling().unwrap().id, "samhandling");
}

#[test]
fn all_faults_at_once() {
    let good = "strength = 4\nany = [\"epikrise\"]";
    for (rules, wanted) in [
        (rule("a", "type = \"avik\"", good), "ukjent verdi «avik» for type (mente du «avvik»?)"),
        (rule("a", "destination = \"medsin\"", good), "ukjent part «medsin» (mente du «medisin»?)"),
        (rule("a", "type = \"avvik\", direction = \"ukjent\"", good), "give må ha akkurat én avgjørelse"),
        (rule("a", "type = \"avvik\"", "strength = 4"), "regelen «a» har ingen vilkår"),
        (rule("a", "type = \"avvik\"", "strength = 4\nnone = [\"epikrise\"]"), "regelen «a» har ingen vilkår"),
        (rule("a", "type = \"avvik\"", "strength = 21\nany = [\"epikrise\"]"), "styrken er 21"),
        (rule("a", "type = \"avvik\"", "strength = 0\nany = [\"epikrise\"]"), "styrken er 0"),
        (rule("a", "type = \"avvik\"", "any = [\"epikrise\"]"), "regelen «a» har ingen styrke"),
        (rule("a", "type = \"avvik\"", "decisive = true\nstrength = 3\nany = [\"epikrise\"]"), "utelukker hverandre"),
        (rule("a", "type = \"avvik\"", "strength = 4\nany = [\"e\"]"), "ett tegn alene"),
        (rule("a", "type = \"avvik\"", "strength = 4\nany = []"), "any er tom"),
        (rule("a", "type = \"avvik\"", "strength = 4\nnear = [\"epikrise\"]"), "near trenger minst to"),
        (rule("a", "type = \"avvik\"", "strength = 4\nregex = ['(a']"), "ugyldig regulært uttrykk"),
        (rule("a", "type = \"avvik\"", "strength = 4\nregex = ['(\\w{1,300}){1,300}x']"), "for stort"),
        (rule("a", "type = \"avvik\"", "strength = 4\nregex = ['øye']"), "treffer aldri"),
        (rule("a", "type = \"avvik\"", "strength = 4\nregex = ['a*']"), "treffer tom tekst"),
        (rule("a", "type = \"avvik\"", &format!("{good}\nwhen = {{ category = [\"annet\"] }}")), "er ikke avgjort ennå"),
        (rule("a", "type = \"avvik\"", &format!("{good}\nstrenght = 4")), "strenght"),
        (rule("a", "type = \"avvik\"", &format!("{good}\nzones = [\"emne\"]")), "emne"),
        (format!("{}{}", rule("a", "type = \"avvik\"", good), rule("a", "type = \"ros\"", good)), "regelen «a» finnes to ganger"),
        ("[[parties]]\nid = \"moss\"\nname = \"Moss\"\nkind = \"kommune\"".to_owned(), "parten «moss» finnes to ganger"),
        ("[[parties]]\nid = \"x\"\nname = \"Ny part\"\nkind = \"kommune\"\naddresses = [\"med@so-hf.example\"]".to_owned(), "er brukt av to parter"),
        ("[[parties]]\nid = \"x\"\nname = \"Ny part\"\nkind = \"kommune\"\nsend_to = [\"avvik+a@so-hf.example\"]".to_owned(), "våre egne adresser"),
        ("[[parties]]\nid = \"x\"\nname = \"Ny part\"\nkind = \"kommune\"\ndomains = [\"gmail.com\"]".to_owned(), "åpent domene"),
        ("[[parties]]\nid = \"x\"\nname = \"Ny part\"\nkind = \"komune\"".to_owned(), "komune"),
        ("[cues]\nnegating = [\"nei\"]".to_owned(), "[cues] står to ganger"),
    ] {
        let found = faults(&rules);
        assert!(found.iter().any(|line| line.contains(wanted) && line.starts_with("b.toml:")), "{wanted}: {found:?}");
    }
    let several = format!(
        "{}{}",
        rule("a", "type = \"avik\"", "strength = 50"),
        rule("b", "severity = \"mye\"", "any = [\"e\"]")
    );
    assert!(faults(&several).len() >= 6, "{:?}", faults(&several));
}

#[test]
fn limits_are_faults() {
    let long = format!("x = \"{}\"", "a".repeat(FILE_BYTES_MAX));
    assert!(
        faults(&long)
            .iter()
            .any(|line| line.contains("fila er for stor"))
    );
    let terms: Vec<String> = (0..=TERMS_MAX)
        .map(|number| format!("\"w{number}\""))
        .collect();
    let many = rule(
        "a",
        "type = \"avvik\"",
        &format!("strength = 4\nany = [{}]", terms.join(",")),
    );
    assert!(
        faults(&many)
            .iter()
            .any(|line| line.contains("flere enn 200000 uttrykk"))
    );
}

#[test]
fn hash_covers_names_and_contents() {
    let hash = |name: &str, extra: &str| {
        let files = RuleFiles::from([(name.to_owned(), format!("{SETTINGS}{extra}"))]);
        RuleSet::compile(&files).unwrap().hash().to_owned()
    };
    assert_eq!(hash("a.toml", ""), hash("a.toml", ""));
    assert_ne!(hash("a.toml", ""), hash("b.toml", ""));
    assert_ne!(hash("a.toml", ""), hash("a.toml", "# x\n"));
    let crlf = RuleFiles::from([(
        "a.toml".to_owned(),
        format!("\u{feff}{}", SETTINGS.replace('\n', "\r\n")),
    )]);
    assert_eq!(RuleSet::compile(&crlf).unwrap().hash(), hash("a.toml", ""));
    assert!(hash("a.toml", "").starts_with("sha256:"));
    assert_eq!(hash("a.toml", "").len(), 71);
}

#[test]
fn long_text_is_cut_and_said_so() {
    let set = compile(&avvik());
    let long = "ord ".repeat(TEXT_BYTES_MAX / 4 + 10);
    let verdict = text(&set, &format!("{long} avvik"));
    assert!(verdict.truncated);
    assert_eq!(verdict.kind.value, None);
    assert!(!text(&set, "avvik").truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_verdict_is_repeatable(words in "(avvik|epikrise|lungepost|Moss|ikke|[a-zæøå\u{30a}\u{ad}]{1,6}|[ .,\n-]){0,40}") {
        let set = compile(&avvik());
        let again = compile(&avvik());
        let mail = message("kari@moss.kommune.example", "Avvik", &words);
        let verdict = set.classify(&mail, &ClassifyContext::default());
        prop_assert_eq!(&verdict, &set.classify(&mail, &ClassifyContext::default()));
        prop_assert_eq!(&verdict, &again.classify(&mail, &ClassifyContext::default()));
        for evidence in &verdict.because {
            let inside = mail.texts.iter().any(|text| text.zone == evidence.zone && text.text.is_char_boundary(evidence.offset));
            prop_assert!(inside || evidence.term.is_empty());
        }
    }

    #[test]
    fn a_rule_that_matches_nothing_changes_nothing(
        words in "(avvik|epikrise|lungepost|Moss|ikke|[a-zæøå]{1,6}|[ .,\n-]){0,40}",
        strength in 1_i64..=20,
        open in any::<bool>(),
    ) {
        let term = if open { "zzzqq*" } else { "zzzqq wwwxx" };
        let more = rule("aaa", "destination = \"kirurgi\"", &format!("strength = {strength}\nany = [\"{term}\"]"));
        let mail = message("kari@moss.kommune.example", "Avvik", &words);
        let plain = compile(&avvik()).classify(&mail, &ClassifyContext::default());
        let mut with = compile(&format!("{}{more}", avvik())).classify(&mail, &ClassifyContext::default());
        with.ruleset.clone_from(&plain.ruleset);
        prop_assert_eq!(plain, with);
    }

    #[test]
    fn letter_case_and_composition_do_not_matter(words in "(avvik|epikrisen|på lungeposten|Moss|Åsen legekontor|ikke|kom i tide|[ .,\n]){0,30}") {
        use unicode_normalization::UnicodeNormalization;
        let set = compile(&avvik());
        let decide = |words: &str| {
            let verdict = text(&set, words);
            (verdict.kind, verdict.direction, verdict.destination, verdict.category)
        };
        let plain = decide(&words);
        prop_assert_eq!(&plain, &decide(&words.to_uppercase()));
        prop_assert_eq!(&plain, &decide(&words.nfd().collect::<String>()));
    }

    #[test]
    fn any_text_is_classified(words in "\\PC{0,200}", from in "\\PC{0,30}") {
        let set = compile(&avvik());
        let verdict = set.classify(&message(&from, &words, &words), &ClassifyContext::default());
        prop_assert_eq!(verdict.ruleset.as_str(), set.hash());
    }
}
