//! From a parsed message to its verdict, with 10, 100, 1 000 and 10 000 keyword rules; folding and tokenising included.
//!
//! `cargo bench --bench rules` measures; `benches/against_sieve.sh` compares with Dovecot Pigeonhole and prints one table.
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

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    files()
        .iter()
        .map(|file| parse(&fs::read(file).unwrap(), &Limits::default()).unwrap())
        .collect()
});

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

/// Processor time of this thread: what else the machine does falls out of it.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

/// The mean over all messages of the fastest pass of each message, for each set. The sets take turns.
fn fastest(sets: &[RuleSet]) -> Vec<Duration> {
    let context = ClassifyContext::default();
    let mut best = vec![vec![Duration::MAX; MESSAGES.len()]; sets.len()];
    for _ in 0..PASSES {
        for (set, best) in sets.iter().zip(&mut best) {
            for (message, best) in MESSAGES.iter().zip(best) {
                let start = now();
                black_box(set.classify(black_box(message), &context));
                *best = (*best).min(now().saturating_sub(start));
            }
        }
    }
    let count = u32::try_from(MESSAGES.len()).unwrap();
    best.into_iter()
        .map(|times| times.iter().sum::<Duration>() / count)
        .collect()
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
    let times = fastest(&sets);
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

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("table") => table(false),
        Some("against-sieve") => table(true),
        _ => divan::main(),
    }
}
