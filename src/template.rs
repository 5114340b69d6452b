//! Texts of outgoing mail: `templates/` (minijinja, strict) + facts of a case → subject, text and HTML. Pure.
//!
//! The facts hold no word of any report: number, names of types and parties, dates. Administrators edit the templates;
//! [`Templates::compile`] takes a set as a whole or says, in Norwegian, everything that is wrong with it.

mod check;
mod dates;
mod report;

pub use dates::long_date;
pub use report::{DIGEST_PARTS, LINES_MAX, Line, Part, ReportFacts, STATUS_PART};

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};
use serde::Serialize;

use crate::case::MailKind;
use crate::diagnostic::Faults;
use crate::rules::Language;

/// Steps that one text may take to render; ours take some hundreds, a full digest some ten thousands.
const FUEL: u64 = 200_000;

/// Levels of `include` and `extends`.
const RECURSION_MAX: usize = 20;

/// Characters that one fact may have; longer ones are cut.
const FACT_MAX_CHARS: usize = 200;

/// The templates that the program ships with.
static SHIPPED: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/templates");

/// What a template may say. Every field is always there; texts may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Facts {
    /// `SAK-2026-000123`.
    pub sak: String,
    /// Norwegian name of the type, for example «Samhandlingsavvik».
    pub type_navn: String,
    /// Name of the party that has the case; «Samhandlingsavdelingen» when a person places it.
    pub part: String,
    /// Day of receipt, «3. mars 2026».
    pub mottatt: String,
    /// Day when an answer is due, «2. april 2026»; empty when none is expected.
    pub frist: String,
    /// The recipient's own reference; empty when unknown.
    pub referanse: String,
    /// Who we are.
    pub avsender: String,
    /// Number of files attached.
    pub antall_vedlegg: usize,
}

/// Names of the fields of [`Facts`], as templates write them.
const FACT_NAMES: [&str; 8] = [
    "sak",
    "type_navn",
    "part",
    "mottatt",
    "frist",
    "referanse",
    "avsender",
    "antall_vedlegg",
];

impl Facts {
    /// The same facts with every text on one line, without control characters, and not longer than [`FACT_MAX_CHARS`].
    fn tidy(&self) -> Self {
        Self {
            sak: tidy(&self.sak),
            type_navn: tidy(&self.type_navn),
            part: tidy(&self.part),
            mottatt: tidy(&self.mottatt),
            frist: tidy(&self.frist),
            referanse: tidy(&self.referanse),
            avsender: tidy(&self.avsender),
            antall_vedlegg: self.antall_vedlegg,
        }
    }

    fn value(&self) -> Value {
        let text = |text: &String| Value::from(text.as_str());
        Value::from_pairs([
            ("sak", text(&self.sak)),
            ("type_navn", text(&self.type_navn)),
            ("part", text(&self.part)),
            ("mottatt", text(&self.mottatt)),
            ("frist", text(&self.frist)),
            ("referanse", text(&self.referanse)),
            ("avsender", text(&self.avsender)),
            ("antall_vedlegg", Value::from(self.antall_vedlegg)),
        ])
    }
}

fn tidy(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(FACT_MAX_CHARS).collect()
}

/// A rendered mail text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// Subject without the `[SAK-…]` token.
    pub subject: String,
    /// text/plain.
    pub text: String,
    /// text/html.
    pub html: String,
}

/// A text could not be rendered. The compile step tries every template, so this is a broken invariant, not a daily event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template} cannot be rendered: {reason}")]
pub struct TemplateError {
    /// File of the template, relative to the template folder.
    pub template: String,
    /// What the engine says, without values.
    pub reason: String,
}

/// A whole, checked set of templates: every [`MailKind`] in both languages, as text and as HTML.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

/// The templates that the program ships with, by relative path, ready for [`Templates::compile`].
pub fn shipped() -> BTreeMap<String, String> {
    fn walk(dir: &include_dir::Dir<'_>, files: &mut BTreeMap<String, String>) {
        for file in dir.files() {
            if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
                files.insert(path.replace('\\', "/"), text.to_owned());
            }
        }
        for child in dir.dirs() {
            walk(child, files);
        }
    }
    let mut files = BTreeMap::new();
    walk(&SHIPPED, &mut files);
    files
}

impl Templates {
    /// Compiles a set of templates: relative path (`nb/kvittering.txt`) → text. Files that end in neither `.txt` nor
    /// `.html` are ignored, those whose name begins with `_` are shared pieces for `include` and `extends`.
    ///
    /// # Errors
    /// Every fault of the set, in bokmål: templates that are missing or unknown, unknown facts, broken syntax, a subject
    /// that is not a fixed phrase, a template that cannot be rendered or does not name the case.
    pub fn compile(files: &BTreeMap<String, String>) -> Result<Self, Faults> {
        check::compile(files).map(|environment| Self { environment })
    }

    /// Renders one mail.
    ///
    /// # Errors
    /// [`TemplateError`] when the engine refuses, which the compile step should have found.
    pub fn render(
        &self,
        kind: MailKind,
        language: Language,
        facts: &Facts,
    ) -> Result<Rendered, TemplateError> {
        self.both(kind, language, &facts.tidy().value())
    }

    /// Renders a mail about many cases ([`MailKind::REPORTS`]).
    ///
    /// # Errors
    /// [`TemplateError`] when the engine refuses, which the compile step should have found.
    pub fn render_report(
        &self,
        kind: MailKind,
        language: Language,
        facts: &ReportFacts,
    ) -> Result<Rendered, TemplateError> {
        self.both(kind, language, &facts.value())
    }

    fn both(
        &self,
        kind: MailKind,
        language: Language,
        facts: &Value,
    ) -> Result<Rendered, TemplateError> {
        let text = self.file(&file_name(kind, language, Form::Text), facts)?;
        let html = self.file(&file_name(kind, language, Form::Html), facts)?;
        let (subject, text) = split_subject(&text).ok_or_else(|| TemplateError {
            template: file_name(kind, language, Form::Text),
            reason: "no subject line".to_owned(),
        })?;
        Ok(Rendered {
            subject,
            text: tidy_lines(text),
            html: tidy_lines(&html),
        })
    }

    fn file(&self, name: &str, facts: &Value) -> Result<String, TemplateError> {
        let rendered = self
            .environment
            .get_template(name)
            .and_then(|template| template.render(facts));
        rendered.map_err(|error| TemplateError {
            template: name.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// The two forms of a mail text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Html,
}

impl Form {
    const ALL: [Self; 2] = [Self::Text, Self::Html];

    /// The form that a file name stands for.
    fn of(file: &str) -> Option<Self> {
        let (_, extension) = file.rsplit_once('.')?;
        Self::ALL
            .into_iter()
            .find(|form| form.extension() == extension)
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Html => "html",
        }
    }
}

const fn folder(language: Language) -> &'static str {
    match language {
        Language::Bokmal => "nb",
        Language::Nynorsk => "nn",
    }
}

/// The kind of report that a file is the text of.
fn report_of(file: &str) -> Option<MailKind> {
    let (_, name) = file.split_once('/')?;
    let (stem, _) = name.split_once('.')?;
    MailKind::REPORTS.into_iter().find(|kind| kind.id() == stem)
}

fn file_name(kind: MailKind, language: Language, form: Form) -> String {
    format!("{}/{}.{}", folder(language), kind.id(), form.extension())
}

/// An environment that knows the facts, filters and tests, and no functions.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| {
        if Form::of(name) == Some(Form::Html) {
            AutoEscape::Html
        } else {
            AutoEscape::None
        }
    });
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_debug(true);
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    let functions: Vec<String> = environment
        .globals()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in functions {
        environment.remove_global(&name);
    }
    environment
}

/// The phrase behind `Emne:` on the first line, and what follows it; `None` unless the first line is such a line.
fn split_subject(text: &str) -> Option<(String, &str)> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let phrase = first.strip_prefix("Emne:")?.trim();
    (!phrase.is_empty()).then(|| (phrase.to_owned(), rest))
}

/// Without blanks at the ends of lines, never more than one empty line in a row, one line end at the end.
fn tidy_lines(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut gap = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            gap = true;
            continue;
        }
        if gap && !tidied.is_empty() {
            tidied.push('\n');
        }
        gap = false;
        tidied.push_str(line);
        tidied.push('\n');
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fact_names_are_the_fields() {
        let value = serde_json::to_value(Facts::default()).unwrap();
        let fields: std::collections::BTreeSet<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields, FACT_NAMES.into_iter().collect());
        for name in FACT_NAMES {
            assert!(
                !Facts::default()
                    .value()
                    .get_attr(name)
                    .unwrap()
                    .is_undefined(),
                "{name}"
            );
        }
    }

    #[test]
    fn facts_stay_on_one_line() {
        let facts = Facts {
            part: "Klinikk\r\nBcc: x@ond.example\u{0}".into(),
            ..Facts::default()
        }
        .tidy();
        assert_eq!(facts.part, "Klinikk Bcc: x@ond.example");
    }

    #[test]
    fn lines_are_tidied() {
        assert_eq!(tidy_lines("\n\nHei! \n\n\n \nSak.\n\n"), "Hei!\n\nSak.\n");
        assert_eq!(tidy_lines(""), "");
    }
}
