//! Damaged input of every kind that people and strangers send or write: mail with its zones and thread headers, rule files,
//! templates, settings. Always an answer or a reason, never a panic. A few hundred of each here; for longer:
//!
//! ```text
//! LINJEVEI_FUZZ_SECS=1800 cargo test --release --test mutations -- --nocapture
//! ```
//!
//! Attachments (`tests/attachments.rs`, `fuzz/`) and what SvarInn sends (`tests/svarinn.rs`) have theirs beside their tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/mutation.rs"]
mod mutation;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use linjevei::case::number::tokens;
use linjevei::config::Config;
use linjevei::message::{self, Limits};
use linjevei::outbox::message_id::{self, SigningKey};
use linjevei::rules::{ClassifyContext, RuleFiles, RuleSet};
use linjevei::template::{Templates, shipped};
use mutation::Mutator;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of a folder and those below it, by name, small enough that much of them is reached.
fn files(folder: &Path, ending: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            let bytes = fs::read(&path).unwrap();
            if bytes.len() < 60_000 {
                found.insert(path.display().to_string(), bytes);
            }
        }
    }
}

fn samples(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let mut found = BTreeMap::new();
    files(&repository().join(folder), ending, &mut found);
    assert!(!found.is_empty(), "{folder} has no .{ending}");
    found.into_values().collect()
}

/// What is refused is refused with words.
fn explained<E: std::fmt::Display>(outcome: Result<(), E>) -> Result<(), String> {
    match outcome {
        Err(faults) if faults.to_string().is_empty() => Err("a fault without a word".to_owned()),
        _ => Ok(()),
    }
}

/// A small rule set that uses every part of the language.
const RULES: &str = r#"
[own]
addresses = ["samhandlingsavvik@so-hf.example"]
domains = ["so-hf.example"]

[[parties]]
id = "medisin"
name = "Klinikk for medisin"
kind = "klinikk"
aliases = ["medisinsk avdeling", "med.avd"]
send_to = ["samhandling.medisin@so-hf.example"]
secure = true

[[parties]]
id = "halden"
name = "Halden kommune"
kind = "kommune"
domains = ["halden.kommune.example"]
places = ["Halden"]
send_to = ["post@halden.kommune.example"]

[[parties]]
id = "samhandling"
name = "Samhandlingsavdelingen"
kind = "samhandling"

[cues]
negating = ["ikke", "uten"]
soothing = ["helt greit"]

[[rules]]
id = "avvik-ord"
give = { type = "avvik" }
strength = 6
any = ["avvik*", "epikrise"]
none = ["nyhetsbrev"]
zones = ["new", "subject"]

[[rules]]
id = "medisin-naer"
give = { destination = "medisin" }
strength = 5
near = ["epikrise", "avdeling"]
within = 4

[[rules]]
id = "tall"
give = { category = "informasjon" }
strength = 3
regex = ['\b\d{1,3}\s?(mg|ml)\b']
"#;

const HEADERS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n\n",
    "References: <a@b.example>,<c@d.example>\r\n",
    "In-Reply-To: <<x@y.example>\r\n",
    "Subject: [SAK-2026-000123] =?utf-8?Q?=C3?=\r\n =?utf-8?Q?=A6?=\r\n",
    "Content-Type: multipart/mixed; boundary=\"x\"\r\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: text/html; charset=windows-1252\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "--x\r\n",
    "--x--\r\n",
    "Fra: Kari <k@k.example>\r\nSendt: 1. mars 2026\r\n",
    "-----Opprinnelig melding-----\r\n",
    "Authentication-Results: mx.example; dkim=pass header.d=so-hf.example\r\n",
    "<table><tr><td>",
    "&#xD800;&nbsp;",
    "\u{feff}",
    "13097248022",
];

const TOML: &[&str] = &[
    "[[rules]]\n",
    "[own]\n",
    "id = \"",
    "\"\"\"",
    "'''",
    "regex = ['(a|b)*{1,999}']\n",
    "regex = ['(?i)æ[ø-å]']\n",
    "any = [\"*\"]\n",
    "strength = -9223372036854775808\n",
    "within = 99999999\n",
    "zones = []\n",
    "æ",
    "\u{0}",
    "1979-05-27T07:32:00Z",
    "{ a = { b = 1 } }",
];

const TEMPLATE: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{% for x in range(100000) %}",
    "{% endfor %}",
    "{% include \"nb/kvittering.txt\" %}",
    "{% extends \"_ramme.html\" %}",
    "{% if nummer %}",
    "{{ nummer | upper }}",
    "{{ x.y.z }}",
    "{{ \"a\" * 100000 }}",
    "Emne: ",
    "{#",
];

/// Any mail has a verdict, the same each time; its text to hand on holds no identity number once it is masked.
#[test]
fn damaged_mail_is_understood_or_refused() {
    let mut seeds = samples("tests/fixtures/dev", "eml");
    seeds.extend(samples("tests/fixtures/messages", "eml"));
    let files = RuleFiles::from([("r.toml".to_owned(), RULES.to_owned())]);
    let rules = RuleSet::compile(&files).unwrap();
    let key = SigningKey::new([7; 32]);
    let mut mutator = Mutator::few(600);
    while mutator.goes_on() {
        let mut bytes = mutator.one(&seeds).clone();
        mutator.damage(&mut bytes, &seeds, HEADERS);
        mutator.attempt("a.eml", &bytes, || {
            let hash = message::content_hash(&bytes);
            if hash != message::content_hash(&bytes) {
                return Err("the content hash is not stable".to_owned());
            }
            let Ok(parsed) = message::parse(&bytes, &Limits::default()) else {
                return Ok(());
            };
            let context = ClassifyContext { authserv_id: None };
            let verdict =
                |parsed| serde_json::to_string(&rules.classify(parsed, &context)).unwrap();
            if verdict(&parsed) != verdict(&parsed) {
                return Err("two verdicts on one message".to_owned());
            }
            let cited = parsed.in_reply_to.iter().chain(&parsed.references);
            if cited
                .clone()
                .any(|id| message_id::verify(std::slice::from_ref(&key), id).is_some())
            {
                return Err("a forged Message-ID counts as ours".to_owned());
            }
            tokens(&parsed.subject);
            let masked = message::identity_numbers::mask(&message::report_text(&parsed));
            if message::identity_numbers::mask(&masked) != masked {
                return Err("an identity number is left".to_owned());
            }
            Ok(())
        });
    }
}

/// A rule file is taken or refused with faults that can be shown at their place.
#[test]
fn damaged_rule_files_are_taken_or_explained() {
    let seeds = vec![RULES.as_bytes().to_vec()];
    let mut mutator = Mutator::few(600);
    while mutator.goes_on() {
        let mut bytes = seeds[0].clone();
        mutator.damage(&mut bytes, &seeds, TOML);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        mutator.attempt("r.toml", &bytes, || {
            let files = RuleFiles::from([("r.toml".to_owned(), text)]);
            explained(RuleSet::check(&files).map(|_| ()))
        });
    }
}

/// A template set is taken or refused; what is taken was rendered on the way.
#[test]
fn damaged_templates_are_taken_or_explained() {
    let whole = shipped();
    let names: Vec<&String> = whole.keys().collect();
    let seeds: Vec<Vec<u8>> = whole
        .values()
        .map(|text| text.clone().into_bytes())
        .collect();
    let mut mutator = Mutator::few(60);
    while mutator.goes_on() {
        let at = mutator.below(names.len());
        let mut bytes = seeds[at].clone();
        mutator.damage(&mut bytes, &seeds, TEMPLATE);
        let mut files = whole.clone();
        files.insert(
            names[at].clone(),
            String::from_utf8_lossy(&bytes).into_owned(),
        );
        mutator.attempt("mal.txt", &bytes, || {
            explained(Templates::compile(&files).map(|_| ()))
        });
    }
}

/// Settings are taken or refused with a reason; a password in them is in no reason.
#[test]
fn damaged_settings_are_taken_or_explained() {
    let seed = fs::read_to_string(repository().join("docs/linjevei.toml")).unwrap();
    let seed: String = seed
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = "))
                .unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let seeds = vec![seed.into_bytes()];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("linjevei.toml");
    let mut mutator = Mutator::few(300);
    while mutator.goes_on() {
        let mut bytes = seeds[0].clone();
        mutator.damage(&mut bytes, &seeds, TOML);
        fs::write(&path, &bytes).unwrap();
        mutator.attempt("linjevei.toml", &bytes, || {
            explained(Config::load(&path).map(|_| ()))
        });
    }
}
