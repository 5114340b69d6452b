//! From a parsed message to its verdict, with 10, 100, 1 000 and 10 000 keyword rules; folding and tokenising included.
//!
//! `cargo bench --bench rules` measures; `benches/against_sieve.sh` compares with Dovecot Pigeonhole and prints one table.
//! `cargo bench --bench rules -- against-mail-parser` compares understanding a message with what `mail-parser` alone takes for
//! the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss
)]

#[path = "rules/sieve.rs"]
mod sieve;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use linjevei::message::{Limits, Message, parse};
use linjevei::rules::{ClassifyContext, RuleFiles, RuleSet};
use rustix::time::{ClockId, clock_gettime};

/// How many rules.
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

/// Words of the first ten rules, which stand in the sample messages; all further rules hit nothing, so that the same terms
/// hit at every size.
const HITTING: [&str; 10] = [
    "epikrise",
    "medisinliste",
    "hjemmesykepleie",
    "ambulanse",
    "henvisning",
    "utskriv*",
    "pasient",
    "avdeling",
    "kommunen",
    "fastlege",
];

/// Passes over all messages; the fastest one counts for each message.
const PASSES: usize = 25;

/// The samples as they lie on disk.
pub(crate) fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["tests/fixtures/dev", "tests/fixtures/messages"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    files.sort();
    files
}

static RAW: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| files().iter().map(|file| fs::read(file).unwrap()).collect());

static MESSAGES: LazyLock<Vec<Message>> =
    LazyLock::new(|| RAW.iter().map(|raw| read(raw)).collect());

fn read(raw: &[u8]) -> Message {
    parse(raw, &Limits::default()).unwrap()
}

/// The term of rule `number`: an invented compound beyond the first ten; one in ten is open-ended.
pub(crate) fn term(number: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "skjor", "vatn", "tram", "grøv", "plin", "huld", "kvas", "brekk", "fjøl", "mjuk", "strå",
        "dvel", "gnist", "svab", "trøs", "klamp",
    ];
    if let Some(word) = HITTING.get(number) {
        return (*word).to_owned();
    }
    let mut word = String::new();
    let mut rest = number;
    for _ in 0..4 {
        word.push_str(SYLLABLES[rest % 16]);
        rest /= 16;
    }
    if number.is_multiple_of(10) {
        word.push('*');
    }
    word
}

fn rules(count: usize) -> RuleSet {
    let mut text = String::from(
        "[[parties]]\nid = \"samhandling\"\nname = \"Samhandlingsavdelingen\"\nkind = \"samhandling\"\n",
    );
    for number in 0..count {
        writeln!(
            text,
            "[[rules]]\nid = \"r{number}\"\ngive = {{ type = \"avvik\" }}\nstrength = 1\nany = [\"{}\"]",
            term(number)
        )
        .unwrap();
    }
    RuleSet::compile(&BTreeMap::from([("regler.toml".to_owned(), text)])).unwrap()
}

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

/// Verdicts of all messages.
fn decide(set: &RuleSet) -> usize {
    let context = ClassifyContext::default();
    let verdicts = MESSAGES
        .iter()
        .map(|message| set.classify(black_box(message), &context));
    verdicts
        .map(|verdict| black_box(verdict).because.len())
        .sum()
}

#[divan::bench(args = SIZES)]
fn keyword_rules(bencher: Bencher<'_, '_>, count: usize) {
    let set = rules(count);
    bencher
        .counter(ItemsCount::new(MESSAGES.len()))
        .bench_local(|| decide(&set));
}

#[divan::bench]
fn rules_of_ostfold(bencher: Bencher<'_, '_>) {
    let set = shipped();
    bencher
        .counter(ItemsCount::new(MESSAGES.len()))
        .bench_local(|| decide(&set));
}

/// Processor time of this process, its threads included: what else the machine does falls out of it.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

/// What is measured, for the message of a number.
type Work<'a> = &'a dyn Fn(usize);

/// The mean over all messages of the fastest pass of each message, for each work. They take turns.
fn fastest(works: &[Work<'_>]) -> Vec<Duration> {
    let mut best = vec![vec![Duration::MAX; MESSAGES.len()]; works.len()];
    for _ in 0..PASSES {
        for (work, best) in works.iter().zip(&mut best) {
            for (number, best) in best.iter_mut().enumerate() {
                let start = now();
                work(number);
                *best = (*best).min(now().saturating_sub(start));
            }
        }
    }
    let count = u32::try_from(MESSAGES.len()).unwrap();
    best.into_iter()
        .map(|times| times.iter().sum::<Duration>() / count)
        .collect()
}

fn classify(set: &RuleSet, message: &Message) {
    black_box(set.classify(black_box(message), &ClassifyContext::default()));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn table(with_sieve: bool) {
    let mut sets: Vec<RuleSet> = SIZES.into_iter().map(rules).collect();
    let hits: Vec<usize> = sets.iter().map(decide).collect();
    assert!(
        hits[0] > MESSAGES.len() && hits.iter().all(|count| *count == hits[0]),
        "{hits:?}"
    );
    sets.push(shipped());
    let works: Vec<_> = sets
        .iter()
        .map(|set| move |number: usize| classify(set, &MESSAGES[number]))
        .collect();
    let works: Vec<Work<'_>> = works.iter().map(|work| work as Work<'_>).collect();
    let times = fastest(&works);
    println!(
        "{} meldinger, {} treff i alle sett\n",
        MESSAGES.len(),
        hits[0]
    );
    println!("| regler | µs per melding | mot 10 regler |");
    println!("| ---: | ---: | ---: |");
    for (size, time) in SIZES.iter().zip(&times) {
        let ratio = micros(*time) / micros(times[0]);
        println!("| {size} | {:.1} | {ratio:.2} |", micros(*time));
    }
    println!(
        "| rules/ostfold ({}) | {:.1} | |",
        sets[SIZES.len()].rule_count(),
        micros(times[SIZES.len()])
    );
    if with_sieve {
        let terms = |count: usize| (0..count).map(term).collect::<Vec<_>>();
        let one = sieve::fastest(&terms(1));
        let thousand = sieve::fastest(&terms(1_000));
        let count = u32::try_from(MESSAGES.len()).unwrap();
        let added = thousand.saturating_sub(one) / count;
        println!("\n| 1 000 nøkkelordregler | µs per melding | ganger linjevei |");
        println!("| --- | ---: | ---: |");
        println!(
            "| linjevei, alt fra lest melding til avgjørelse | {:.1} | 1 |",
            micros(times[2])
        );
        println!(
            "| sieve-filter, tillegget fra 1 til 1 000 regler | {:.1} | {:.0} |",
            micros(added),
            micros(added) / micros(times[2])
        );
    }
}

/// Understanding a message against `mail-parser` alone on the same bytes. Attachments that a child process reads are left out.
fn against_mail_parser() {
    let (words, shipped) = (rules(1_000), shipped());
    let parser = mail_parser::MessageParser::default();
    let raw = |number: usize| black_box(RAW[number].as_slice());
    let alone = |number: usize| {
        black_box(parser.parse(raw(number)));
    };
    let read_only = |number: usize| {
        black_box(read(raw(number)));
    };
    let by_words = |number: usize| classify(&words, &read(raw(number)));
    let by_shipped = |number: usize| classify(&shipped, &read(raw(number)));
    let only_shipped = |number: usize| classify(&shipped, &MESSAGES[number]);
    let times = fastest(&[&alone, &read_only, &by_words, &by_shipped, &only_shipped]);
    let kilobytes = RAW.iter().map(Vec::len).sum::<usize>() / RAW.len() / 1_024;
    println!("{} meldinger, {kilobytes} kB i snitt\n", RAW.len());
    println!("| arbeid | µs per melding | ganger mail-parser alene |");
    println!("| --- | ---: | ---: |");
    for (work, time) in [
        "mail-parser alene".to_owned(),
        "lese meldingen".to_owned(),
        "lese og avgjøre, 1 000 nøkkelordregler".to_owned(),
        format!(
            "lese og avgjøre, rules/ostfold ({} regler)",
            shipped.rule_count()
        ),
        "bare avgjøre, rules/ostfold".to_owned(),
    ]
    .iter()
    .zip(&times)
    {
        let ratio = micros(*time) / micros(times[0]);
        println!("| {work} | {:.1} | {ratio:.2} |", micros(*time));
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("table") => table(false),
        Some("against-sieve") => table(true),
        Some("against-mail-parser") => against_mail_parser(),
        _ => divan::main(),
    }
}
