//! Regular expressions of rules: read and bounded when the rules load, compiled one by one only when [`Traces`] have found
//! that they may stand in a text.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::Input;
use regex_syntax::hir::{Hir, HirKind};
use toml::Spanned;

use super::Compiler;
use super::traces::{Collector, Traces};
use crate::expression::Expression;
use crate::rules::model::Zones;
use crate::rules::raw::Text;

/// Characters and classes that one regular expression may have with its repetitions written out.
const WEIGHT_MAX: usize = 10_000;
/// The same for all of them together; compiled, they take some 50 bytes each.
const WEIGHTS_MAX: usize = 1_000_000;

/// A regular expression with the rules that use it.
#[derive(Debug)]
pub(in crate::rules) struct Pattern {
    /// As the rule has it.
    pub(in crate::rules) raw: String,
    pub(in crate::rules) rules: Vec<usize>,
    /// The zones in which one of the rules looks for it.
    pub(in crate::rules) zones: Zones,
    compiled: OnceLock<Option<Expression>>,
}

impl Pattern {
    fn new(raw: &str) -> Self {
        Self {
            raw: raw.to_owned(),
            rules: Vec::new(),
            zones: Zones::default(),
            compiled: OnceLock::new(),
        }
    }

    /// Where it stands first in a folded text, if one of its matches lies in the range (which has a byte more at its end);
    /// it is known that none begins before it.
    pub(in crate::rules) fn find(&self, folded: &str, range: &Range<usize>) -> Option<usize> {
        let compiled = self
            .compiled
            .get_or_init(|| Expression::of_bytes(&source(&self.raw)))
            .as_ref()?;
        let text = folded.as_bytes();
        let from = |text| Input::new(text).range(range.start..);
        let within = text.get(..range.end).filter(|_| range.end < text.len());
        if within.is_some_and(|within| !compiled.is_match(from(within))) {
            return None;
        }
        // The cut may have made the match, or have shortened what begins earlier.
        compiled.find(from(text)).map(|found| found.start)
    }
}

/// All patterns so far, and what they leave in a text that they match.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    list: Vec<Pattern>,
    numbers: BTreeMap<String, usize>,
    traces: Collector,
    weight: usize,
}

impl Patterns {
    /// The number of the pattern, the same for the same text; or what is wrong with it and what to do.
    fn add(&mut self, raw: &str) -> Result<usize, (&'static str, String)> {
        if let Some(number) = self.numbers.get(raw) {
            return Ok(*number);
        }
        let hir = read(raw)?;
        let number = self.list.len();
        self.weight = self.weight.saturating_add(weight(&hir));
        // Of a set that will be refused nothing more is collected.
        if !self.too_large() {
            self.traces.add(&hir);
        }
        self.list.push(Pattern::new(raw));
        self.numbers.insert(raw.to_owned(), number);
        Ok(number)
    }

    /// Whether they would be too large together.
    pub(super) const fn too_large(&self) -> bool {
        self.weight > WEIGHTS_MAX
    }

    pub(super) fn finish(self) -> (Vec<Pattern>, Traces) {
        (self.list, self.traces.finish())
    }
}

/// The pattern as the engine gets it. Folded text has small letters only, so only a pattern with capitals needs to be told
/// that they are the same: each letter that may be either makes it several times as costly.
fn source(raw: &str) -> String {
    let spaced = across_lines(raw);
    if has_capital(raw) {
        format!("(?i){spaced}")
    } else {
        spaced
    }
}

/// Whether a letter that stands for itself is a capital; `\W` is not such a letter.
fn has_capital(pattern: &str) -> bool {
    let mut escaped = false;
    pattern.chars().any(|c| {
        let plain = !escaped;
        escaped = plain && c == '\\';
        plain && c.is_ascii_uppercase()
    })
}

/// How many characters and classes the pattern has with its repetitions written out.
fn weight(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 2,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            weight(&repetition.sub).saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
        }
        HirKind::Capture(capture) => weight(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .fold(0, |sum, part| sum.saturating_add(weight(part))),
    }
}

impl Compiler {
    /// The numbers of the patterns of a rule; faults for those that cannot be used.
    pub(super) fn regexes(
        &mut self,
        file: &str,
        list: Option<&Spanned<Vec<Text>>>,
        rule: usize,
    ) -> Vec<usize> {
        let mut numbers = Vec::new();
        for text in list.into_iter().flat_map(Spanned::get_ref) {
            let raw = text.get_ref();
            let number = match self.patterns.add(raw) {
                Ok(number) => number,
                Err((message, help)) => {
                    self.fault(file, text.span(), message, help);
                    continue;
                }
            };
            if let Some(pattern) = self.patterns.list.get_mut(number)
                && pattern.rules.last() != Some(&rule)
            {
                pattern.rules.push(rule);
            }
            numbers.push(number);
        }
        numbers
    }
}

/// What the pattern means; or what is wrong with it and what to do.
fn read(raw: &str) -> Result<Hir, (&'static str, String)> {
    if raw
        .chars()
        .any(|c| matches!(c, 'æ' | 'ø' | 'å' | 'Æ' | 'Ø' | 'Å'))
    {
        let help = "regulære uttrykk leser foldet tekst: skriv ae, oe og aa";
        return Err(("æ, ø og å treffer aldri her", help.to_owned()));
    }
    let parsed = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(&source(raw));
    let hir = parsed.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default();
        let advice = regex_advice(reason.trim_start_matches("error: "));
        ("ugyldig regulært uttrykk", advice)
    })?;
    if hir.properties().minimum_len() == Some(0) {
        let help = "da treffer det alltid; krev minst ett tegn";
        return Err(("uttrykket treffer tom tekst", help.to_owned()));
    }
    if weight(&hir) > WEIGHT_MAX {
        let help = "bruk færre eller mindre gjentakelser";
        return Err(("det regulære uttrykket er for stort", help.to_owned()));
    }
    Ok(hir)
}

/// The pattern with each space of it standing for a line feed too, so that a line break does not break what it looks for.
/// (Folded text has one space or one line feed between words.) With `(?x)` a space means nothing, and stays.
fn across_lines(pattern: &str) -> String {
    if pattern.contains("(?x") {
        return pattern.to_owned();
    }
    let mut out = String::with_capacity(pattern.len());
    let mut classes = 0_usize;
    let mut escaped = false;
    for c in pattern.chars() {
        let plain = !escaped;
        escaped = plain && c == '\\';
        match c {
            ' ' if plain && classes == 0 => out.push_str("[ \\n]"),
            // In front, so that a range that begins with the space keeps its end.
            ' ' if plain => out.push_str("\\n "),
            _ => out.push(c),
        }
        match c {
            '[' if plain => classes = classes.saturating_add(1),
            ']' if plain => classes = classes.saturating_sub(1),
            _ => {}
        }
    }
    out
}

/// What to write instead, for the faults that people make; the words of the regex engine for the others.
fn regex_advice(reason: &str) -> String {
    let advice = match reason {
        "unclosed group" => "det mangler en «)»; skriv \\( for et vanlig parentestegn",
        "unopened group" => "det står en «)» for mye; skriv \\) for et vanlig parentestegn",
        "unclosed character class" => "det mangler en «]»; skriv \\[ for et vanlig klammetegn",
        "repetition operator missing expression" => {
            "«*», «+», «?» og «{» må stå etter noe; skriv \\ foran for tegnet selv"
        }
        "unclosed counted repetition" => "det mangler en «}»; skriv \\{ for et vanlig krølltegn",
        "unrecognized escape sequence" => {
            "«\\» må stå foran et tegn som har en egen mening, for eksempel \\. eller \\("
        }
        "incomplete escape sequence, reached end of pattern prematurely" => {
            "det mangler et tegn etter «\\» på slutten"
        }
        "look-around, including look-ahead and look-behind, is not supported" => {
            "«(?=», «(?!» og «(?<» finnes ikke her; bruk «none» i regelen"
        }
        "backreferences are not supported" => "tilbakevisninger som \\1 finnes ikke her",
        deep if deep.starts_with("exceed the maximum number of nested parentheses") => {
            "for mange parenteser inni hverandre"
        }
        other => return other.to_owned(),
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;
    use crate::rules::compile::Room;

    /// One of each form that rules have, and some that only try the reading of traces.
    const EXPRESSIONS: [&str; 24] = [
        r"\b(jeg|eg) (ble|vart|blei) (innlagt|operert)\b",
        r"\bsak-20\d\d-\d{6}\b",
        r"\b(avvik[a-z]*|sak[a-z]*)\b( [a-z0-9.]+){0,3} (sendt|sende|meldt)\b",
        r"\b(sendt|meldt) (inn |jeg |eg )*(avvik[a-z]*)\b",
        r"\b(ikke|ikkje)\b[^.!?]{0,12}\b(sendt|meldt)\b",
        r"\bkid(-?nr)?\b\W{0,3}\d{3,}",
        r"\bmva\b",
        r"(^|[.!?] )(far|mor) (laa|ble)\b",
        r"\b(over|gaatt) (30|\d{2}) dager\b",
        "^(sv|re) ?: ?\\[?sak",
        "meldt$",
        r"\b(jeg|eg|sak)\b",
        "a",
        "[a-z]+ [a-z]+",
        r"(avvik|\d\d?)+x",
        r"(?x) jeg \s ble",
        "ICD-10|Sak",
        r"\Bvik\b",
        "(inn|ut)?(sendt|meldt)( avvik)?",
        r"meldt\b.*\bsendt",
        r"(mor( far)?){2,3} ble",
        r"\b(30 dager|sendt inn[a-z]*|ikke .{0,5}eg)\b",
        "(?i-u:Eg) (?u:ble)",
        r"ble\b innlagt|\b sendt",
    ];

    proptest! {
        /// What a trace lets through, and where, is what the expression alone finds.
        #[test]
        fn traces_change_nothing(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "jeg", "eg", "ble", "blei", "innlagt", "operert", "sak", "-20", "26", "-", "000123", "avvik",
                "avviket", "sendt", "meldt", "ikke", "inn", "kid", "nr", ":", "mva", "mor", "far", ".", "30", "dager",
                "over", "sv", "a", "x", "icd", "10", "\n", "\u{4e00}", "_", " ", " ", " ", " ", " ", " ", " ", " ", " ",
            ]), 0..40),
        ) {
            let text = words.concat();
            let mut patterns = Patterns::default();
            for raw in EXPRESSIONS {
                patterns.add(raw).unwrap();
            }
            let (patterns, traces) = patterns.finish();
            let mut found: BTreeMap<usize, usize> = BTreeMap::new();
            traces.find(&text, &mut Room::default(), |number, range| {
                if !found.contains_key(&number) && let Some(at) = patterns[number].find(&text, &range) {
                    found.insert(number, at);
                }
            });
            let found: Vec<(usize, usize)> = found.into_iter().collect();
            let alone: Vec<(usize, usize)> = patterns
                .iter()
                .enumerate()
                .filter_map(|(number, pattern)| Some((number, pattern.find(&text, &(0..text.len()))?)))
                .collect();
            prop_assert_eq!(found, alone, "{:?}", text);
        }
    }

    #[test]
    fn a_space_of_a_regular_expression_is_any_white_space() {
        for (pattern, text, matches) in [
            ("ikke mottatt", "ikke\nmottatt", true),
            ("kl ?16", "kl\n16", true),
            ("a[a-z ]{0,5}d", "ab\ncd", true),
            ("a[^ ]c", "a\nc", false),
            (r"a\[ b\]", "a[\nb]", true),
            ("[ -~]x", "\nx", true),
            ("(?x) a b", "ab", true),
            (r"a\\ b", "a\\\nb", true),
            ("ab", "a\nb", false),
        ] {
            let regex = RegexBuilder::new(&across_lines(pattern)).build().unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), matches, "{pattern}");
        }
    }

    #[test]
    fn faults_of_regular_expressions_are_explained_in_norwegian() {
        for pattern in [
            "faktura(nr",
            "nr)",
            "[a-z",
            "*nr",
            "a{2",
            r"\q",
            "nr\\",
            "(?=nr)",
            r"(a)\1",
        ] {
            let error = RegexBuilder::new(pattern).build().unwrap_err().to_string();
            let reason = error
                .lines()
                .last()
                .unwrap()
                .trim_start_matches("error: ")
                .to_owned();
            assert_ne!(regex_advice(&reason), reason, "{pattern}");
            let (message, help) = read(pattern).unwrap_err();
            assert_eq!(message, "ugyldig regulært uttrykk");
            assert_eq!(help, regex_advice(&reason), "{pattern}");
        }
    }

    #[test]
    fn capitals_of_a_pattern_are_found_and_classes_keep_their_meaning() {
        for (pattern, folded, at) in [
            ("ICD-10", "kode icd-10", Some(5)),
            (r"\Bplan\W", "omplan.", Some(2)),
            (r"[A-C]\d", "b2", Some(0)),
            (r"x\\A", r"x\a", Some(0)),
            (r"\Aplan", "plan", Some(0)),
            ("plan", "ingen", None),
        ] {
            read(pattern).unwrap();
            let pattern = Pattern::new(pattern);
            assert_eq!(
                pattern.find(folded, &(0..folded.len())),
                at,
                "{}",
                pattern.raw
            );
        }
    }

    #[test]
    fn what_is_too_large_or_empty_is_refused_without_compiling_it() {
        for (pattern, fault) in [
            (
                "((a{1,100}){1,100}){1,100}",
                "det regulære uttrykket er for stort",
            ),
            ("(a{1000}){1000}", "det regulære uttrykket er for stort"),
            (r"\b", "uttrykket treffer tom tekst"),
            ("a*|b", "uttrykket treffer tom tekst"),
        ] {
            assert_eq!(read(pattern).unwrap_err().0, fault, "{pattern}");
        }
        assert!(read(r"\w{1,300}x").is_ok());
    }
}
