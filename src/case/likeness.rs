//! «Mulig dublett»: by what two reports are known as possibly the same, without keeping a word of either. Pure.
//!
//! Of a report's text stay keyed hashes of every three words in a row, at most [`SHINGLES_MAX`] of them (the smallest ones,
//! which are a fair sample: two texts that share most of their shingles share most of the smallest), and of its numbers.
//! Numbers count by themselves: two reports written on one form are alike in their words and tell of two patients by their
//! dates. Of files stays the SHA-256.

use super::surroundings::Surroundings;
use super::{Case, CaseNumber};
use crate::message::{Attachment, Message, Zone};
use crate::rules::Verdict;
use std::collections::BTreeSet;

/// Days, before and after, within which reports of one office with similar text are compared.
pub const WINDOW_DAYS: i64 = 14;
/// Hashes kept of a text.
const SHINGLES_MAX: usize = 128;
/// Hashes kept of its numbers.
const NUMBERS_MAX: usize = 64;
/// Words in a row that make a shingle.
const SHINGLE_WORDS: usize = 3;
/// A shorter text says too little: «Epikrise mangler, kan dere sende den?» is written every day.
const WORDS_MIN: usize = 12;
/// Words that are looked at.
const WORDS_MAX: usize = 5_000;
/// Share of common shingles from which texts are similar, in percent.
const SIMILAR_PERCENT: usize = 60;
/// Share of common numbers from which they tell of the same matter, in percent.
const NUMBERS_PERCENT: usize = 75;
/// Smaller pictures are logos and signatures.
const PICTURE_BYTES_MIN: usize = 20_000;
/// Smaller texts are «se vedlegg».
const TEXT_BYTES_MIN: usize = 100;
/// A file that this many earlier cases had is a form or a brochure that always comes along.
pub const COMMON_FILE: usize = 4;

/// What the comparison needs of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Keyed hash of the reporting office; empty when it is not known.
    pub office: String,
    /// Keyed hashes of shingles, ascending; empty for a text that is too short.
    pub shingles: Vec<u64>,
    /// Keyed hashes of numbers, ascending.
    pub numbers: Vec<u64>,
    /// SHA-256 of the files, in hex.
    pub files: Vec<String>,
}

/// By what a report seems to repeat an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// The same file came with both.
    File,
    /// The same office wrote a similar text.
    Text,
}

impl Alike {
    /// Stable id, as in the history.
    pub const fn id(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Text => "text",
        }
    }
}

/// An earlier case as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its number.
    pub number: CaseNumber,
    /// Its hashes.
    pub sketch: Sketch,
}

impl Sketch {
    /// The sketch of a report. `hash` is keyed, so that nobody without the key can try words against what is stored.
    pub fn of(message: &Message, verdict: &Verdict, hash: &dyn Fn(&str) -> u64) -> Self {
        let words = words(message);
        let mut shingles = Vec::new();
        if words.len() >= WORDS_MIN {
            let mut joined = String::new();
            for shingle in words.windows(SHINGLE_WORDS) {
                joined.clear();
                for (at, word) in shingle.iter().enumerate() {
                    if at > 0 {
                        joined.push(' ');
                    }
                    joined.push_str(word);
                }
                shingles.push(hash(&joined));
            }
        }
        let numbers = words
            .iter()
            .flat_map(|word| word.split(|c: char| !c.is_ascii_digit()))
            .filter(|digits| !digits.is_empty())
            .map(|digits| hash(digits.trim_start_matches('0')))
            .collect();
        let office = office(verdict);
        let files: BTreeSet<&str> = message
            .attachments
            .iter()
            .filter(|file| tells(file))
            .map(|file| file.sha256.as_str())
            .collect();
        Self {
            office: if office.is_empty() {
                String::new()
            } else {
                format!("{:016x}", hash(&office))
            },
            shingles: smallest(shingles, SHINGLES_MAX),
            numbers: smallest(numbers, NUMBERS_MAX),
            files: files.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Whether there is anything to compare.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && (self.office.is_empty() || self.shingles.is_empty())
    }

    /// Whether the same office wrote a similar text, numbers included.
    pub fn similar(&self, other: &Self) -> bool {
        !self.office.is_empty()
            && self.office == other.office
            && share(&self.shingles, &other.shingles, SHINGLES_MAX)
                .is_some_and(|percent| percent >= SIMILAR_PERCENT)
            && same_numbers(&self.numbers, &other.numbers)
    }
}

/// The smallest hashes, ascending, each once.
fn smallest(mut hashes: Vec<u64>, most: usize) -> Vec<u64> {
    hashes.sort_unstable();
    hashes.dedup();
    hashes.truncate(most);
    hashes
}

/// The first of the earlier cases that the report seems to repeat: by a file, else by its text. A file that many of them
/// had tells nothing.
pub fn repeated(sketch: &Sketch, earlier: &[Earlier]) -> Option<(CaseNumber, Alike)> {
    let telling: Vec<&String> = sketch
        .files
        .iter()
        .filter(|file| {
            let had = earlier
                .iter()
                .filter(|case| case.sketch.files.contains(file));
            had.count() < COMMON_FILE
        })
        .collect();
    let by_file = earlier
        .iter()
        .find(|case| telling.iter().any(|file| case.sketch.files.contains(*file)))
        .map(|case| (case.number, Alike::File));
    by_file.or_else(|| {
        earlier
            .iter()
            .find(|case| sketch.similar(&case.sketch))
            .map(|case| (case.number, Alike::Text))
    })
}

/// Marks the case as a possible duplicate; its routing then waits for a person.
pub(super) fn mark(case: &mut Case, around: &Surroundings<'_>) {
    case.duplicate_of = around.repeats.map(|(number, _)| number);
}

/// The words of a report as they are compared: in lower case, without punctuation, quoted mail left out.
fn words(message: &Message) -> Vec<String> {
    message
        .texts
        .iter()
        .filter(|text| matches!(text.zone, Zone::New | Zone::Forwarded | Zone::Attachment))
        .flat_map(|text| text.text.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(str::to_lowercase)
        .collect()
}

/// The party, else the domain when it is no public one, else the address: who reports.
fn office(verdict: &Verdict) -> String {
    if let Some(party) = &verdict.reporter.party {
        return format!("party:{party}");
    }
    let address = verdict.reporter.address.to_lowercase();
    match address.rsplit_once('@') {
        Some((_, domain)) if !crate::rules::is_public_domain(domain) => format!("domain:{domain}"),
        Some(_) => format!("address:{address}"),
        None => String::new(),
    }
}

fn tells(file: &Attachment) -> bool {
    let kind = file.media_type.as_str();
    if kind.starts_with("image/") {
        return file.size >= PICTURE_BYTES_MIN;
    }
    if kind.starts_with("text/") {
        return file.size >= TEXT_BYTES_MIN && !matches!(kind, "text/calendar" | "text/vcard");
    }
    file.size > 0 && !kind.contains("signature")
}

/// Common hashes in percent of all, from the smallest `at_most` of both together; `None` when either has none.
fn share(ours: &[u64], theirs: &[u64], at_most: usize) -> Option<usize> {
    if ours.is_empty() || theirs.is_empty() {
        return None;
    }
    let all: BTreeSet<u64> = ours.iter().chain(theirs).copied().collect();
    let sample: Vec<u64> = all.into_iter().take(at_most).collect();
    let common = sample
        .iter()
        .filter(|hash| ours.binary_search(hash).is_ok() && theirs.binary_search(hash).is_ok())
        .count();
    common.saturating_mul(100).checked_div(sample.len())
}

/// The numbers of one are among those of the other, or nearly all are common: a second letter may carry its own date.
fn same_numbers(ours: &[u64], theirs: &[u64]) -> bool {
    let within =
        |some: &[u64], all: &[u64]| some.iter().all(|hash| all.binary_search(hash).is_ok());
    within(ours, theirs)
        || within(theirs, ours)
        || share(ours, theirs, usize::MAX).is_some_and(|percent| percent >= NUMBERS_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Limits, parse};
    use crate::rules::Reporter;
    use std::hash::{DefaultHasher, Hash, Hasher};

    fn hash(text: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    }

    fn sketch(from: &str, text: &str) -> Sketch {
        let mail = format!(
            "From: <{from}>\r\nMessage-ID: <1@x.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        );
        let message = parse(mail.as_bytes(), &Limits::default()).unwrap();
        let verdict = Verdict {
            reporter: Reporter {
                address: from.to_owned(),
                ..Reporter::default()
            },
            ..Verdict::default()
        };
        Sketch::of(&message, &verdict, &hash)
    }

    const REPORT: &str = "Pasient født 1950 ble skrevet ut 3.3.2026 uten epikrise og uten oppdatert medisinliste. Hjemmetjenesten \
        ringte posten tre ganger og fikk ikke svar. Vi ber om at rutinen gjennomgås og at epikrisen sendes i dag.";

    #[test]
    fn the_same_office_and_a_similar_text_are_alike() {
        let first = sketch("a@legesenter.example", REPORT);
        for (from, text, alike) in [
            ("a@legesenter.example", REPORT.to_owned(), true),
            ("b@Legesenter.example", REPORT.to_uppercase(), true),
            (
                "a@legesenter.example",
                format!("Vi sender denne på nytt.\r\n{REPORT}"),
                true,
            ),
            (
                "a@legesenter.example",
                REPORT.replace("tre ganger", "flere ganger"),
                true,
            ),
            // Another office.
            ("a@annet-legesenter.example", REPORT.to_owned(), false),
            // Another patient on the same form.
            (
                "a@legesenter.example",
                REPORT.replace("1950", "1961").replace("3.3.2026", "9.2.2026"),
                false,
            ),
            (
                "a@legesenter.example",
                "Pasienten kom hjem uten resept på smertestillende, og pårørende måtte kjøre til apoteket i Moss samme kveld."
                    .to_owned(),
                false,
            ),
            // Too short to tell.
            ("a@legesenter.example", "Epikrise mangler.".to_owned(), false),
        ] {
            assert_eq!(sketch(from, &text).similar(&first), alike, "{from}: {text}");
        }
        let short = sketch("a@legesenter.example", "Epikrise mangler.");
        assert!(!short.similar(&short) && short.is_empty());
    }

    #[test]
    fn two_people_at_a_public_provider_are_no_office() {
        let first = sketch("a@gmail.com", REPORT);
        assert!(!sketch("b@gmail.com", REPORT).similar(&first));
        assert!(sketch("a@gmail.com", REPORT).similar(&first));
    }

    #[test]
    fn a_file_tells_until_it_comes_with_everything() {
        let with = |number: u64, files: &[&str]| Earlier {
            number: CaseNumber {
                year: 2026,
                count: number,
            },
            sketch: Sketch {
                files: files.iter().map(|file| (*file).to_owned()).collect(),
                ..Sketch::default()
            },
        };
        let new = with(9, &["brosjyre", "melding"]).sketch;
        let mut earlier = vec![with(1, &["annet"]), with(2, &["melding"])];
        let found = repeated(&new, &earlier).unwrap();
        assert_eq!((found.0.count, found.1), (2, Alike::File));
        earlier = (1..=4).map(|number| with(number, &["brosjyre"])).collect();
        assert_eq!(repeated(&new, &earlier), None);
    }

    #[test]
    fn no_word_stays() {
        let sketch = sketch("kari@legesenter.example", REPORT);
        let stored = format!("{sketch:?}").to_lowercase();
        for word in ["epikrise", "1950", "legesenter", "kari"] {
            assert!(!stored.contains(word), "{word}");
        }
    }
}
