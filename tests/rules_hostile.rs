//! Hostile or silly rules are refused with a reason or bounded; a hostile message costs time in proportion to its size, and
//! what was left out is said.
//!
//! No test depends on how fast the machine is: work is compared at two sizes, by what the engine reports and by the processor
//! time of the thread, where eight times the text may cost at most 24 times as much (a quadratic cost would be 64 times).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use linjevei::message::{Defect, Limits, Message, Zone, ZoneText, parse};
use linjevei::rules::{
    ClassifyContext, FILE_BYTES_MAX, RuleFiles, RuleSet, TERMS_MAX, TEXT_BYTES_MAX,
};
use rustix::time::{ClockId, clock_gettime};

const PARTY: &str = "[[parties]]\nid = \"samhandling\"\nname = \"Samhandlingsavdelingen\"\nkind = \"samhandling\"\n";

fn rule(condition: &str) -> String {
    format!(
        "{PARTY}[[rules]]\nid = \"en\"\ngive = {{ type = \"avvik\" }}\nstrength = 5\n{condition}\n"
    )
}

fn compile(text: &str) -> Result<RuleSet, String> {
    let files = RuleFiles::from([("regler.toml".to_owned(), text.to_owned())]);
    RuleSet::compile(&files).map_err(|faults| faults.to_string())
}

/// The reason of the refusal.
fn refused(text: &str, reason: &str) {
    let faults = compile(text).expect_err(reason);
    assert!(
        faults.contains(reason),
        "«{reason}» is missing in\n{faults:.2000}"
    );
}

#[test]
fn silly_terms_are_refused_with_a_reason() {
    for (condition, reason) in [
        ("any = [\"x\"]", "ett tegn alene treffer for mye"),
        ("any = [\"\"]", "ingen bokstaver eller tall"),
        ("any = [\"*\"]", "ingen bokstaver eller tall"),
        ("any = [\"* * *\"]", "ingen bokstaver eller tall"),
        ("any = [\"e*\"]", "minst to tegn"),
        ("any = [\"*en*\"]", "minst tre tegn"),
        ("any = []", "any er tom"),
    ] {
        refused(&rule(condition), reason);
    }
    refused(
        &rule(&format!("any = [\"{}\"]", "a".repeat(100_000))),
        "lengre enn",
    );
    refused(
        &rule(&format!("any = [\"{}\"]", "ab ".repeat(60))),
        "flere enn",
    );
}

#[test]
fn regular_expressions_that_could_explode_are_refused_or_bounded() {
    for (pattern, reason) in [
        ("((a{1,100}){1,100}){1,100}", "for stort"),
        ("(a{1000}){1000}", "for stort"),
        ("(x*)*", "tom tekst"),
        ("a{2", "mangler"),
        (r"(a)\\1", "tilbakevisninger"),
    ] {
        refused(&rule(&format!("regex = [\"{pattern}\"]")), reason);
    }
    refused(
        &rule(&format!(
            "regex = ['{}a{}']",
            "(".repeat(5_000),
            ")".repeat(5_000)
        )),
        "for mange parenteser",
    );
    // Accepted, for here it costs no more than any other.
    let set = compile(&rule("regex = ['(a+)+b']")).unwrap();
    linear("nested quantifiers", &set, |size| "a".repeat(size));
}

#[test]
fn a_million_terms_are_refused_at_the_limit() {
    // Ten files, each within the limit of a file.
    let limit = usize::try_from(TERMS_MAX).unwrap();
    let mut files = RuleFiles::from([("a.toml".to_owned(), PARTY.to_owned())]);
    let mut number = 0;
    for file in 0..10 {
        let mut text = format!(
            "[[rules]]\nid = \"r{file}\"\ngive = {{ type = \"avvik\" }}\nstrength = 1\nany = ["
        );
        for _ in 0..100_000 {
            write!(text, "\"w{number}\",").unwrap();
            number += 1;
        }
        text.push_str("]\n");
        assert!(text.len() < FILE_BYTES_MAX);
        files.insert(format!("r{file}.toml"), text);
    }
    assert!(number > limit);
    let faults = RuleSet::compile(&files).unwrap_err().to_string();
    assert!(
        faults.contains(&format!("flere enn {TERMS_MAX} uttrykk")),
        "{faults:.2000}"
    );
    // One fault, not 800 000.
    assert!(faults.len() < 100_000, "{} bytes of faults", faults.len());
}

#[test]
fn oversized_files_are_refused_unread() {
    refused(&"#".repeat(FILE_BYTES_MAX + 1), "fila er for stor");
    let many: BTreeMap<String, String> = (0..8)
        .map(|number| (format!("{number}.toml"), "#".repeat(FILE_BYTES_MAX - 1)))
        .collect();
    let faults = RuleSet::compile(&many).unwrap_err().to_string();
    assert!(faults.contains("fila er for stor"), "{faults:.2000}");
}

/// What `linjevei classify` says of a rule folder with this file in it.
fn classify_with(write: impl Fn(&Path)) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("regler.toml"));
    let message =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/messages/melding-001.eml");
    let output = Command::new(env!("CARGO_BIN_EXE_linjevei"))
        .args(["classify", "--rules"])
        .arg(folder.path())
        .arg(message)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty());
    (output.status.code(), said)
}

#[test]
fn files_that_are_no_rules_are_refused_at_the_command_line() {
    let (code, said) = classify_with(|file| {
        // 100 MB that take no room on disk.
        fs::File::create(file).unwrap().set_len(100 << 20).unwrap();
    });
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("større enn 4 MB"), "{said}");
    let (code, said) = classify_with(|file| {
        fs::write(file, b"# en\n# to\nid = \"\xe6\xf8\xe5\"\n").unwrap();
    });
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("regler.toml:3: ikke UTF-8"), "{said}");
    let (code, said) = classify_with(|file| fs::write(file, b"\0\0\0\0").unwrap());
    assert_eq!(code, Some(65), "{said}");
    let (code, said) = classify_with(|file| fs::write(file, "a=".repeat(1 << 20)).unwrap());
    assert_eq!(code, Some(65), "{said}");
    assert!(said.len() < 100_000, "{} bytes of faults", said.len());
    let (code, said) =
        classify_with(|file| fs::write(file, format!("a = {}", "[".repeat(1 << 20))).unwrap());
    assert_eq!(code, Some(65), "{said:.2000}");
}

/// The rules of Østfold.
fn shipped() -> RuleSet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/ostfold");
    let files: RuleFiles = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    RuleSet::compile(&files).unwrap()
}

fn message(zone: Zone, text: String) -> Message {
    let piece = |zone, text| ZoneText {
        zone,
        label: String::new(),
        text,
    };
    Message {
        subject: "Avvik".to_owned(),
        texts: vec![piece(Zone::Subject, "Avvik".to_owned()), piece(zone, text)],
        ..Message::default()
    }
}

/// Processor time of this thread for a verdict, and how many pieces of evidence it has. The fastest of three counts.
fn work(set: &RuleSet, message: &Message) -> (Duration, usize) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            time.tv_sec.try_into().unwrap(),
            time.tv_nsec.try_into().unwrap(),
        )
    };
    let mut best = Duration::MAX;
    let mut evidence = 0;
    for _ in 0..3 {
        let start = now();
        evidence = set
            .classify(message, &ClassifyContext::default())
            .because
            .len();
        best = best.min(now().saturating_sub(start));
    }
    (best, evidence)
}

/// The smaller of the two sizes that are compared, in bytes of text.
const SMALL: usize = 4 << 10;

/// Asserts that a text eight times as long costs about eight times as much, and says as little.
fn linear(what: &str, set: &RuleSet, text: impl Fn(usize) -> String) {
    for zone in [Zone::New, Zone::Quoted] {
        let (small, few) = work(set, &message(zone, text(SMALL)));
        let (large, many) = work(set, &message(zone, text(SMALL * 8)));
        println!("{what}, {zone:?}: {small:?} ({few}) → {large:?} ({many})");
        assert!(
            large < small * 24,
            "{what}, {zone:?}: {small:?} → {large:?}"
        );
        // Evidence is bounded by the number of rules, not by the text.
        assert!(
            many <= few + 20,
            "{what}, {zone:?}: {few} → {many} pieces of evidence"
        );
    }
}

fn repeated(pattern: &'static str) -> impl Fn(usize) -> String {
    move |size| pattern.repeat(size / pattern.len() + 1)
}

#[test]
fn a_hostile_message_costs_time_in_proportion_to_its_size() {
    let set = shipped();
    for (what, pattern) in [
        (
            "trigger words",
            "epikrise mangler medisinliste feil Halden kommune akuttmottaket faktura. ",
        ),
        (
            "trigger words in one sentence",
            "epikrise mangler medisinliste feil Halden kommune ikke mottatt ",
        ),
        ("one word without spaces", "epikrise"),
        ("cue words", "ikke uten ingen aldri "),
        ("cues and clauses", "epikrisen kom ikke i tide, men "),
        ("line breaks", "\n"),
        ("white space", " \t \n"),
        ("closings", "Mvh\n"),
        ("hyphens", "epi-krise-"),
        ("soft hyphens", "epi\u{ad}\nkrise "),
        ("combining marks", "a\u{30a}\u{308}"),
        ("signs", ".,;:-!? "),
        ("figures", "31.12.2026 "),
        (
            "names inside names",
            "Sykehuset Østfold Moss Moss kommune i Moss ",
        ),
        ("invisible letters", "\u{200b}"),
    ] {
        linear(what, &set, repeated(pattern));
    }
}

#[test]
fn rules_made_to_be_slow_cost_time_in_proportion_to_the_text() {
    let words = |count: usize| {
        (0..count)
            .map(|number| format!("\"ab{number}*\""))
            .collect::<Vec<_>>()
    };
    for (what, condition) in [
        (
            "any word after any word",
            "any = [\"* * * * * * * * * * * ikke\"]".to_owned(),
        ),
        (
            "near itself",
            "near = [\"ab*\", \"*ba\", \"*bab*\"]\nwithin = 50".to_owned(),
        ),
        (
            "all of the same",
            "all = [\"ab*\", \"aba*\", \"abab*\", \"*aba*\"]".to_owned(),
        ),
        (
            "many open ends",
            format!("any = [{}, \"*bab*\"]", words(1_000).join(", ")),
        ),
        (
            "hyphenated terms",
            "any = [\"ab-ab-ab-ab\", \"ab ab ab ab ab\", \"abab*\"]".to_owned(),
        ),
        (
            "expressions that nearly match",
            "regex = ['ab.*ab[^c]*c', '[^c]{0,900}(ab|ba)b?[^c]{0,900}c', '(ab )+c', 'ab[^c]*c', 'abab.{0,50}c']".to_owned(),
        ),
    ] {
        let set = compile(&rule(&condition)).unwrap();
        for pattern in ["ab ", "ab-", "ab-ab ", "abab ", "ab"] {
            linear(&format!("{what} on «{pattern}»"), &set, repeated(pattern));
        }
    }
}

#[test]
fn text_beyond_the_limit_is_said_to_be_left_out() {
    let set = shipped();
    let context = ClassifyContext::default();
    let whole = message(Zone::New, "epikrise ".repeat(100));
    assert!(!set.classify(&whole, &context).truncated);
    let long = message(Zone::New, "epikrise ".repeat(TEXT_BYTES_MAX / 9 + 1));
    assert!(set.classify(&long, &context).truncated);
    // The text is cut when the mail is read: the verdict says so too.
    let header = "From: a@b.example\nTo: c@d.example\nSubject: Avvik\nContent-Type: text/plain; charset=utf-8\n\n";
    for pattern in [
        "epikrise mangler ",
        "epikrise",
        "ikke uten ",
        "epikrise\n",
        "> epikrise\n",
    ] {
        let raw = format!(
            "{header}{}",
            pattern.repeat(TEXT_BYTES_MAX / pattern.len() + 100)
        );
        let read = parse(raw.as_bytes(), &Limits::default()).unwrap();
        assert!(read.defects.contains(&Defect::TextTruncated), "{pattern:?}");
        assert!(set.classify(&read, &context).truncated, "{pattern:?}");
    }
}
