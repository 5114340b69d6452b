//! TOML that a person edits → a value, or all faults at once.
//!
//! `serde` stops at its first error. To find the others too, the entry that the error points at is taken out and the rest
//! is read again; what is then reported missing only because it was taken out is not shown.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::{Fault, line_column, suggest, translate};

/// Faults of one file that are shown; beyond that, they are repetitions of one mistake.
const FAULTS_MAX: usize = 50;

/// Reads the text of `file` into a `T`.
///
/// # Errors
/// All faults found, in the order of their places: unknown keys and values with «mente du …?», missing keys, wrong types,
/// keys that stand twice, and syntax. After a syntax error the meaning of the rest is not judged.
pub fn parse_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Vec<Fault>> {
    let partial = parse_toml_partial(file, text);
    match partial.value {
        Some(value) if partial.faults.is_empty() => Ok(value),
        _ => Err(partial.faults),
    }
}

/// What could be read of a file, so that its meaning can be checked together with its form.
#[derive(Debug, Clone)]
pub struct Partial<T> {
    /// What could be read; `None` after a syntax error or when something needed is missing.
    pub value: Option<T>,
    /// The faults of form.
    pub faults: Vec<Fault>,
    /// Span of the file's outermost table.
    pub root: Range<usize>,
    /// Faulty keys that `value` was read without, with the span of the table that they stood in.
    pub without: Vec<(Range<usize>, String)>,
}

impl<T> Partial<T> {
    /// Whether `key` in the table with this span is missing only because it was faulty or misspelt.
    pub fn was_there(&self, table: &Range<usize>, key: &str) -> bool {
        self.without
            .iter()
            .any(|(from, name)| from == table && suggest(name, [key]).is_some())
    }
}

/// Like [`parse_toml`], but hands out what could be read without the faulty entries.
pub fn parse_toml_partial<T: DeserializeOwned>(file: &str, text: &str) -> Partial<T> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let root = document.span();
    let mut partial = Partial {
        value: None,
        faults: syntax_faults(file, text, &syntax),
        root: root.clone(),
        without: Vec::new(),
    };
    if !partial.faults.is_empty() {
        return partial;
    }
    let mut table = document.into_inner();
    loop {
        let whole = Spanned::new(root.clone(), table.clone());
        let error = match T::deserialize(Deserializer::from(whole)) {
            Ok(value) => {
                partial.value = Some(value);
                break;
            }
            Err(error) => error,
        };
        let span = error.span();
        let follows = translate::missing_field(error.message()).is_some_and(|name| {
            let table = span.clone().unwrap_or_else(|| root.clone());
            partial.was_there(&table, name)
        });
        let fault = fault(file, text, &error);
        if !follows && !partial.faults.contains(&fault) {
            partial.faults.push(fault);
        }
        let Some(span) = span else { break };
        if partial.faults.len() >= FAULTS_MAX
            || !take_out(&mut table, &root, &span, &mut partial.without)
        {
            break;
        }
    }
    partial.faults.sort_by_key(|fault| fault.span.start);
    debug_assert!(
        partial.value.is_some() || !partial.faults.is_empty(),
        "what cannot be read has a fault"
    );
    partial
}

/// One fault a line: what the parser says about the rest of a broken line follows from its beginning.
fn syntax_faults(file: &str, text: &str, errors: &[Error]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| fault(file, text, error))
        .collect();
    faults.sort_by_key(|fault| fault.span.start);
    faults.dedup_by_key(|fault| line_column(text, fault.span.start).0);
    faults.truncate(FAULTS_MAX);
    faults
}

fn fault(file: &str, text: &str, error: &Error) -> Fault {
    let span = error.span().unwrap_or(0..0);
    let place = text.get(span.clone()).unwrap_or_default();
    let (message, help) = translate::message(error.message(), place);
    Fault::at(file, visible(text, span), message, help)
}

/// An empty span is widened to one character, so that there is something to point at and `0..0` keeps its meaning.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    if span.start < span.end {
        return span;
    }
    let rest = text.get(span.start..).unwrap_or_default();
    let width = rest.chars().next().map_or(1, char::len_utf8);
    span.start..span.start.saturating_add(width)
}

/// Keys that were taken out, with the span of the table that they stood in.
type Removed = Vec<(Range<usize>, String)>;

/// Takes out the entry whose key or value has this span, the innermost one: the first `[[table]]` has the same span as the
/// list of all of them. False if there is none.
fn take_out(
    table: &mut DeTable<'_>,
    table_span: &Range<usize>,
    span: &Range<usize>,
    removed: &mut Removed,
) -> bool {
    if table
        .iter_mut()
        .any(|(_, value)| take_out_of_value(value, span, removed))
    {
        return true;
    }
    let hit = table
        .iter()
        .find(|(key, value)| key.span() == *span || value.span() == *span)
        .map(|(key, _)| key.clone());
    let Some(key) = hit else { return false };
    table.remove(&key);
    removed.push((table_span.clone(), key.into_inner().into_owned()));
    true
}

fn take_out_of_value(
    value: &mut Spanned<DeValue<'_>>,
    span: &Range<usize>,
    removed: &mut Removed,
) -> bool {
    let value_span = value.span();
    match value.get_mut() {
        DeValue::Table(table) => take_out(table, &value_span, span, removed),
        DeValue::Array(items) => {
            if items
                .iter_mut()
                .any(|item| take_out_of_value(item, span, removed))
            {
                return true;
            }
            let before = items.len();
            *items = items
                .iter()
                .filter(|item| item.span() != *span)
                .cloned()
                .collect();
            items.len() < before
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::diagnostic::{Faults, Sources};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct File {
        title: Option<String>,
        strength: Option<i8>,
        mode: Option<Mode>,
        words: Option<Vec<String>>,
        #[serde(default)]
        parties: Vec<Party>,
        #[serde(default)]
        thresholds: BTreeMap<String, Threshold>,
        limits: Option<Limits>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Observe,
        Live,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Party {
        id: String,
        priority: Option<u32>,
        secure: Option<bool>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Threshold {
        min: u32,
        lead: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {}

    fn lines(text: &str) -> Vec<String> {
        let list = parse_toml::<File>("f.toml", text).unwrap_err();
        let sources = Sources::from([("f.toml".to_owned(), text.to_owned())]);
        Faults::new(list, sources).lines()
    }

    #[test]
    fn each_kind_of_mistake() {
        let table = [
            (
                "[[parties]]\nid = \"x\"\nprioritet = 3",
                "f.toml:3:1: ukjent nøkkel «prioritet» (mente du «priority»?)",
            ),
            (
                "zzzz = 1",
                "f.toml:1:1: ukjent nøkkel «zzzz» (her kan stå: «title», «strength», «mode», «words», «parties», «thresholds», «limits»)",
            ),
            (
                "[limits]\na = 1",
                "f.toml:2:1: ukjent nøkkel «a» (her skal det ikke stå noe)",
            ),
            (
                "mode = \"obsrve\"",
                "f.toml:1:8: ukjent verdi «obsrve» (mente du «observe»? her kan stå: «observe», «live»)",
            ),
            (
                "[[parties]]\npriority = 2",
                "f.toml:1:1: nøkkelen «id» mangler (legg til en linje som begynner med «id = »)",
            ),
            (
                "title = 24",
                "f.toml:1:9: her skal det stå en tekst, ikke tallet 24 (sett rette anførselstegn rundt: \"24\")",
            ),
            (
                "[[parties]]\nid = \"a\"\npriority = \"7\"",
                "f.toml:3:12: her skal det stå et heltall fra 0, ikke en tekst (skriv tallet uten anførselstegn)",
            ),
            (
                "[[parties]]\nid = \"a\"\nsecure = \"ja\"",
                "f.toml:3:10: her skal det stå true eller false, ikke en tekst (skriv true for ja eller false for nei, uten anførselstegn)",
            ),
            (
                "words = \"a\"",
                "f.toml:1:9: her skal det stå en liste, ikke en tekst (sett hakeparenteser rundt: [\"…\", \"…\"])",
            ),
            (
                "strength = 300",
                "f.toml:1:12: her skal det stå et heltall fra -128 til 127, ikke tallet 300",
            ),
            (
                "[[parties]]\nid = \"a\"\npriority = -1",
                "f.toml:3:12: her skal det stå et heltall fra 0, ikke tallet -1",
            ),
            (
                "title = \"a\"\ntitle = \"b\"",
                "f.toml:2:1: nøkkelen «title» står to ganger (behold bare én av dem)",
            ),
            (
                "title = abc",
                "f.toml:1:9: tekst må stå i anførselstegn (skriv \"abc\")",
            ),
            (
                "title = “abc”",
                "f.toml:1:9: tekst må stå i anførselstegn (bruk rette anførselstegn: \"…\", ikke “…”)",
            ),
            (
                "title = \"abc\nmode = \"live\"",
                "f.toml:1:13: teksten er ikke avsluttet (det mangler et anførselstegn (\") på slutten)",
            ),
            (
                "words = [\"a\" \"b\"]",
                "f.toml:1:14: det mangler komma i listen (sett et komma foran, eller se om et anførselstegn mangler tidligere i listen)",
            ),
            ("title", "f.toml:1:6: det mangler en verdi (skriv «=» her)"),
        ];
        for (text, expected) in table {
            assert_eq!(lines(text), [expected], "{text}");
        }
    }

    #[test]
    fn all_faults_at_once() {
        let text = "titel = \"a\"\nstrength = \"b\"\n\n[[parties]]\nid = 5\nname = \"x\"\n\n[[parties]]\nsecure = 1\n\n[thresholds]\ntype = { min = 1 }\n[limits]\nstorst = 3\n";
        let found = lines(text);
        let places: Vec<&str> = found
            .iter()
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        assert_eq!(
            places,
            [
                "f.toml:1:1",
                "f.toml:2:12",
                "f.toml:5:6",
                "f.toml:6:1",
                "f.toml:8:1",
                "f.toml:9:10",
                "f.toml:12:8",
                "f.toml:14:1"
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn a_good_file_is_read() {
        let file: File = parse_toml("f.toml", "title = \"a\"\n[[parties]]\nid = \"m\"\n").unwrap();
        assert_eq!(file.parties[0].id, "m");
    }

    #[test]
    fn an_empty_place_is_pointed_at() {
        assert_eq!(visible("æb", 0..0), 0..2);
        assert_eq!(visible("a", 1..1), 1..2);
    }

    proptest! {
        #[test]
        fn never_fails_to_answer(text in "[a-z=\\[\\]{}\"'#.,0-9 \næø“]{0,80}") {
            if let Err(list) = parse_toml::<File>("f.toml", &text) {
                prop_assert!(!list.is_empty());
                let sources = Sources::from([("f.toml".to_owned(), text)]);
                prop_assert!(!Faults::new(list, sources).to_string().is_empty());
            }
        }
    }
}
