//! Faults in rules, templates and settings: where, what, and what to write instead. All faults of a set are shown at once.
//!
//! The texts are Norwegian bokmål: advisers and administrators read them. [`parse_toml`] reads a file that a person
//! edits and turns everything that `toml` and `serde` say into faults; [`Faults`] draws them.

mod parse;
mod translate;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

pub use parse::{Partial, parse_toml, parse_toml_partial};

/// One fault in a text file that a person edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as the person knows it (relative path).
    pub file: String,
    /// Byte range in the file's text; empty range at 0 when the fault concerns the file as a whole.
    pub span: Range<usize>,
    /// What is wrong, a lowercase fragment without full stop.
    pub message: String,
    /// What to write instead, a sentence fragment; empty when there is nothing to suggest.
    pub help: String,
}

impl Fault {
    /// A fault at a place.
    pub fn at(
        file: impl Into<String>,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            span,
            message: message.into(),
            help: help.into(),
        }
    }

    /// A fault of the file as a whole: missing, unreadable, or incomplete.
    pub fn whole(
        file: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::at(file, 0..0, message, help)
    }
}

/// A fault with its place in numbers, for other programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed<'a> {
    /// File.
    pub file: &'a str,
    /// From 1; absent for a fault of the whole file.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: &'a str,
    /// What to write instead; empty when there is nothing to suggest.
    pub help: &'a str,
}

/// The texts that faults point into, by file name.
pub type Sources = BTreeMap<String, String>;

/// Faults found in one set of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// In the order of file and place.
    pub list: Vec<Fault>,
    /// The texts, for drawing the place.
    pub sources: Sources,
}

impl Faults {
    /// Puts the faults in order of file and place and keeps each only once.
    pub fn new(mut list: Vec<Fault>, sources: Sources) -> Self {
        list.sort_by(|a, b| {
            (&a.file, a.span.start, a.span.end, &a.message).cmp(&(
                &b.file,
                b.span.start,
                b.span.end,
                &b.message,
            ))
        });
        list.dedup();
        Self { list, sources }
    }

    /// No fault at all.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Drawn with colours, for `anstream`, which takes them out again where the output is no terminal.
    pub fn coloured(&self) -> String {
        self.draw(&Renderer::styled().decor_style(DecorStyle::Unicode))
    }

    /// One line a fault: `file:line:column: what (what to write)`, for logs and editors.
    pub fn lines(&self) -> Vec<String> {
        self.list.iter().map(|fault| self.line(fault)).collect()
    }

    /// The faults with their places in numbers.
    pub fn placed(&self) -> Vec<Placed<'_>> {
        let placed = self.list.iter().map(|fault| {
            let place = self.place_of(fault);
            Placed {
                file: &fault.file,
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                message: &fault.message,
                help: &fault.help,
            }
        });
        placed.collect()
    }

    fn place_of(&self, fault: &Fault) -> Option<(usize, usize)> {
        self.text_of(fault)
            .map(|text| line_column(text, fault.span.start))
    }

    fn line(&self, fault: &Fault) -> String {
        let place = match self.place_of(fault) {
            Some((line, column)) => format!("{}:{line}:{column}", fault.file),
            None => fault.file.clone(),
        };
        if fault.help.is_empty() {
            format!("{place}: {}", fault.message)
        } else {
            format!("{place}: {} ({})", fault.message, fault.help)
        }
    }

    /// The text that the fault points into; `None` for a fault of the whole file.
    fn text_of(&self, fault: &Fault) -> Option<&str> {
        if fault.span == (0..0) {
            return None;
        }
        self.sources.get(&fault.file).map(String::as_str)
    }

    fn draw(&self, renderer: &Renderer) -> String {
        let drawn: Vec<String> = self
            .list
            .iter()
            .map(|fault| renderer.render(&[self.group(fault)]))
            .collect();
        drawn.join("\n\n")
    }

    fn group<'a>(&'a self, fault: &'a Fault) -> Group<'a> {
        let title = Level::ERROR
            .with_name("feil")
            .primary_title(fault.message.as_str());
        let group = match self.text_of(fault) {
            Some(text) => title.element(
                Snippet::source(text)
                    .path(fault.file.as_str())
                    .annotation(AnnotationKind::Primary.span(within(text, &fault.span))),
            ),
            None => title.element(Origin::path(fault.file.as_str())),
        };
        if fault.help.is_empty() {
            group
        } else {
            group.element(Level::HELP.with_name("hjelp").message(fault.help.as_str()))
        }
    }
}

/// Plain, without colours.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(&Renderer::plain()))
    }
}

impl std::error::Error for Faults {}

/// Line and column of a byte offset, both from 1, the column counted in characters.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..boundary(text, offset)).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let column = before.get(start..).unwrap_or_default().chars().count();
    (line, column.saturating_add(1))
}

/// The candidate that a person most likely meant: Damerau-Levenshtein distance at most a third of the longer word,
/// letter case not counted. Of equally near ones the first.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let longest = word.chars().count().max(candidate.chars().count());
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance <= longest / 3).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` → «a», «b».
pub fn quoted<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("«{}»", word.as_ref()))
        .collect();
    words.join(", ")
}

/// The largest character boundary that is not after `offset`.
fn boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

/// The range moved inside the text and onto character boundaries.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = boundary(text, span.start);
    start..boundary(text, span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, place: &str) -> Faults {
        let start = text.find(place).unwrap();
        let fault = Fault::at(
            "regler/type.toml",
            start..start + place.len(),
            "ukjent nøkkel «prioritet»",
            "mente du «priority»?",
        );
        let sources = Sources::from([("regler/type.toml".to_owned(), text.to_owned())]);
        Faults::new(vec![fault], sources)
    }

    #[test]
    fn place_is_counted_in_characters() {
        let text = "# æøå\nnavn = \"blåbær på Ørje\" ; prioritet = 3\n";
        let faults = drawn(text, "prioritet");
        let shown = faults.to_string();
        assert!(shown.contains("regler/type.toml:2:27"), "{shown}");
        assert!(shown.starts_with("feil: ukjent nøkkel «prioritet»"));
        assert!(shown.contains("hjelp: mente du «priority»?"), "{shown}");
        assert!(shown.contains("^^^^^^^^^"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        assert!(faults.coloured().contains('\u{1b}'));
        assert_eq!(
            faults.lines(),
            ["regler/type.toml:2:27: ukjent nøkkel «prioritet» (mente du «priority»?)"]
        );
    }

    #[test]
    fn whole_file_and_wild_spans_are_drawn() {
        let sources = Sources::from([("a.toml".to_owned(), "æ\n".to_owned())]);
        let list = vec![
            Fault::whole("b.toml", "filen finnes ikke", ""),
            Fault::at("a.toml", 1..900, "rart", "skriv noe annet"),
            Fault::at("a.toml", 700..900, "rart", ""),
            Fault::at("a.toml", 700..900, "rart", ""),
        ];
        let faults = Faults::new(list, sources);
        assert_eq!(faults.list.len(), 3, "equal faults are shown once");
        let shown = faults.to_string();
        assert!(shown.contains("--> b.toml"), "{shown}");
        assert!(shown.contains("--> a.toml:1:1"), "{shown}");
        assert_eq!(faults.lines()[2], "b.toml: filen finnes ikke");
        let placed = faults.placed();
        assert_eq!(
            placed
                .iter()
                .map(|one| (one.file, one.line, one.column))
                .collect::<Vec<_>>(),
            [
                ("a.toml", Some(1), Some(1)),
                ("a.toml", Some(2), Some(1)),
                ("b.toml", None, None)
            ]
        );
    }

    #[test]
    fn line_and_column() {
        for (offset, place) in [
            (0, (1, 1)),
            (1, (1, 1)),
            (2, (1, 2)),
            (3, (2, 1)),
            (99, (3, 1)),
        ] {
            assert_eq!(line_column("æ\nb\n", offset), place, "{offset}");
        }
    }

    #[test]
    fn suggestions() {
        let known = ["priority", "name", "send_to", "medisin"];
        for (word, meant) in [
            ("prioritet", Some("priority")),
            ("sendto", Some("send_to")),
            ("Medsin", Some("medisin")),
            ("nmae", Some("name")),
            ("xyz", None),
            ("kirurgi", None),
        ] {
            assert_eq!(suggest(word, known), meant, "{word}");
        }
    }
}
