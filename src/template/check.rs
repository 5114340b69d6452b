//! A set of template files → an environment in which each of them renders, or all faults at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::{Environment, Error, ErrorKind, Value};

use super::report::{self, DIGEST_PARTS, REPORT_NAMES, STATUS_PART};
use super::{FACT_NAMES, Facts, Form, environment, file_name, report_of, split_subject};
use crate::case::MailKind;
use crate::diagnostic::{Fault, Faults};
use crate::rules::Language;

/// Bytes that one template may have.
const FILE_MAX_BYTES: usize = 64 * 1024;

/// Characters that a subject may have, without the case number.
const SUBJECT_MAX_CHARS: usize = 80;

/// Names that the engine itself gives a meaning inside a template.
const ENGINE_NAMES: [&str; 4] = ["loop", "super", "self", "caller"];

/// What would make a mail program fetch something from elsewhere, or refuse to show the mail.
const NOT_IN_HTML: [&str; 6] = ["<script", "<link", "<img", "<iframe", "src=", "url("];

pub(super) fn compile(files: &BTreeMap<String, String>) -> Result<Environment<'static>, Faults> {
    let mut faults = Faults::default();
    for (file, text) in files.iter().filter(|(file, _)| is_template(file)) {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        faults.sources.insert(file.clone(), text);
    }
    let sources = faults.sources.clone();
    let mut list = names(&sources);
    let mut environment = environment();
    let mut sound: BTreeSet<&str> = BTreeSet::new();
    for (file, text) in &sources {
        let mut own = Vec::new();
        if text.len() > FILE_MAX_BYTES {
            own.push(whole(
                file,
                "malen er for stor",
                format!("hold den under {} kB", FILE_MAX_BYTES / 1024),
            ));
        } else if let Err(error) = environment.add_template_owned(file.clone(), text.clone()) {
            own.push(engine_fault(file, text, &error));
        } else {
            own.extend(unknown_facts(&environment, file, text));
            own.extend(single_braces(file, text));
        }
        own.extend(form_faults(file, text));
        if own.is_empty() {
            sound.insert(file);
        }
        list.append(&mut own);
    }
    // A template that leans on a broken piece would only repeat that piece's fault.
    let pieces_sound = sources
        .keys()
        .all(|file| !is_piece(file) || sound.contains(file.as_str()));
    if pieces_sound {
        for file in sound.iter().filter(|file| !is_piece(file)) {
            list.extend(trial(&environment, file, &sources));
        }
    }
    if list.is_empty() {
        return Ok(on_demand(sources));
    }
    list.sort_by(|a, b| {
        (&a.file, a.span.start, &a.message).cmp(&(&b.file, b.span.start, &b.message))
    });
    list.dedup();
    faults.list = list;
    Err(faults)
}

/// Each of the checked templates is compiled again when it is first rendered: most are not for a long time, and compiled they
/// take ten times the memory.
fn on_demand(sources: BTreeMap<String, String>) -> Environment<'static> {
    let mut environment = environment();
    environment.set_loader(move |name| Ok(sources.get(name).cloned()));
    environment
}

fn is_template(file: &str) -> bool {
    let name = base_name(file);
    !name.starts_with('.') && Form::of(name).is_some()
}

fn is_piece(file: &str) -> bool {
    base_name(file).starts_with('_')
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn whole(file: &str, message: &str, help: String) -> Fault {
    Fault {
        file: file.to_owned(),
        span: 0..0,
        message: message.to_owned(),
        help,
    }
}

/// Templates that are missing, and files that no mail uses.
fn names(sources: &BTreeMap<String, String>) -> Vec<Fault> {
    let mut wanted = Vec::new();
    for language in [Language::Bokmal, Language::Nynorsk] {
        for kind in MailKind::ALL.into_iter().chain(MailKind::REPORTS) {
            wanted.extend(Form::ALL.map(|form| file_name(kind, language, form)));
        }
    }
    let missing = wanted.iter().filter(|name| !sources.contains_key(*name));
    let mut faults: Vec<Fault> = missing
        .map(|name| {
            whole(
                name,
                "malen mangler",
                format!("lag filen «{name}», eller hent den fra malene som følger med"),
            )
        })
        .collect();
    for file in sources
        .keys()
        .filter(|file| !is_piece(file) && !wanted.contains(file))
    {
        let help = match nearest(file, wanted.iter().map(String::as_str)) {
            Some(near) => format!(
                "mente du «{near}»? Filer som bare er biter av andre maler, har navn som begynner med «_»"
            ),
            None => {
                "filer som bare er biter av andre maler, har navn som begynner med «_»".to_owned()
            }
        };
        faults.push(whole(
            file,
            "ingen e-post bruker en mal med dette navnet",
            help,
        ));
    }
    faults
}

/// What a template may name: one case's facts, those of a report, and in a piece both.
fn known_names(file: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    if is_piece(file) || report_of(file).is_none() {
        names.extend(FACT_NAMES);
    }
    if is_piece(file) || report_of(file).is_some() {
        names.extend(REPORT_NAMES);
    }
    names
}

fn unknown_facts(environment: &Environment<'static>, file: &str, text: &str) -> Vec<Fault> {
    let Ok(template) = environment.get_template(file) else {
        return Vec::new();
    };
    let unknown = template.undeclared_variables(false);
    let known = known_names(file);
    let unknown: BTreeSet<String> = unknown
        .into_iter()
        .filter(|name| !known.contains(&name.as_str()) && !ENGINE_NAMES.contains(&name.as_str()))
        .collect();
    unknown
        .iter()
        .map(|name| {
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("mente du «{near}»?"),
                None => format!("maler kan bruke {}", known.join(", ")),
            };
            let message = format!("«{name}» er ikke en opplysning som malen kan bruke");
            Fault {
                file: file.to_owned(),
                span: find_name(text, name),
                message,
                help,
            }
        })
        .collect()
}

/// `{sak}` where `{{ sak }}` was meant.
fn single_braces(file: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for name in known_names(file) {
        let written = format!("{{{name}}}");
        for (at, _) in text.match_indices(&written) {
            let end = at.saturating_add(written.len());
            let before = at
                .checked_sub(1)
                .and_then(|before| text.as_bytes().get(before));
            if before != Some(&b'{') {
                let message = format!("«{written}» blir stående som det er");
                faults.push(Fault {
                    file: file.to_owned(),
                    span: at..end,
                    message,
                    help: format!("skriv {{{{ {name} }}}}"),
                });
            }
        }
    }
    faults
}

/// What the form asks for: a fixed subject on the first line of a text, nothing from elsewhere in HTML.
fn form_faults(file: &str, text: &str) -> Vec<Fault> {
    let lower = text.to_ascii_lowercase();
    if Form::of(file) == Some(Form::Html) {
        let found = NOT_IN_HTML
            .into_iter()
            .filter_map(|word| lower.find(word).map(|at| (word, at)));
        return found
            .map(|(word, at)| Fault {
                file: file.to_owned(),
                span: at..at.saturating_add(word.len()),
                message: format!("«{word}» hører ikke hjemme i en e-post herfra"),
                help: "bruk bare tekst og «style» på hvert element, ingenting som hentes utenfra"
                    .to_owned(),
            })
            .collect();
    }
    if is_piece(file) {
        return Vec::new();
    }
    let first = text.lines().next().unwrap_or_default();
    let at = |message: &str, help: &str| {
        vec![Fault {
            file: file.to_owned(),
            span: 0..first.len(),
            message: message.to_owned(),
            help: help.to_owned(),
        }]
    };
    let Some((phrase, _)) = split_subject(text) else {
        return at(
            "emnet mangler",
            "skriv «Emne: …» på første linje og la den neste være tom",
        );
    };
    if phrase.contains("{{") || phrase.contains("{%") || phrase.contains("{#") {
        return at(
            "emnet må være fast tekst",
            "ta bort det som står i krøllparentes; saksnummeret kommer foran emnet av seg selv",
        );
    }
    if phrase.chars().count() > SUBJECT_MAX_CHARS || phrase.chars().any(char::is_control) {
        return at(
            "emnet er for langt eller har tegn som ikke vises",
            "skriv det kortere, høyst 80 tegn",
        );
    }
    if text
        .lines()
        .nth(1)
        .is_some_and(|line| !line.trim().is_empty())
    {
        return at(
            "det mangler en tom linje etter emnet",
            "la linje 2 være tom",
        );
    }
    Vec::new()
}

/// Renders the template with facts of several shapes; the first thing that goes wrong is the fault.
fn trial(
    environment: &Environment<'static>,
    file: &str,
    sources: &BTreeMap<String, String>,
) -> Option<Fault> {
    let text = sources.get(file)?;
    for (facts, needed) in shapes(file) {
        let rendered = environment
            .get_template(file)
            .and_then(|template| template.render(facts));
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(error) => return Some(engine_fault_in(file, sources, &error)),
        };
        let body = if Form::of(file) == Some(Form::Text) {
            split_subject(&rendered).map_or("", |(_, body)| body)
        } else {
            rendered.as_str()
        };
        if body.trim().is_empty() {
            return Some(whole(
                file,
                "malen gir ingen tekst",
                "skriv det som mottakeren skal lese".to_owned(),
            ));
        }
        if body.contains("{{") || body.contains("{%") {
            return Some(whole(
                file,
                "krøllparenteser blir stående i teksten",
                "skriv opplysninger som {{ sak }}".to_owned(),
            ));
        }
        if !needed.iter().all(|number| body.contains(number)) {
            let span = 0..text.lines().next().unwrap_or_default().len();
            let message = "saksnummeret står ikke i teksten".to_owned();
            return Some(Fault {
                file: file.to_owned(),
                span,
                message,
                help: if report_of(file).is_some() {
                    "ta med sak i hver linje av hvert avsnitt"
                } else {
                    "ta med {{ sak }}"
                }
                .to_owned(),
            });
        }
    }
    None
}

/// What a template is tried with, and what its text must then hold.
fn shapes(file: &str) -> Vec<(Value, Vec<String>)> {
    let of_report = |ids: &[&str]| {
        report::samples(ids)
            .into_iter()
            .map(|(facts, needed)| (facts.value(), needed))
            .collect()
    };
    match report_of(file) {
        Some(MailKind::Partstatus) => of_report(&[STATUS_PART]),
        Some(_) => of_report(&DIGEST_PARTS),
        None => samples()
            .iter()
            .map(|facts| (facts.value(), vec![facts.sak.clone()]))
            .collect(),
    }
}

/// Facts of every shape that a template can meet: with and without due date, reference and files.
fn samples() -> Vec<Facts> {
    let mut samples = Vec::new();
    for frist in ["", "2. april 2026"] {
        for referanse in ["", "24/1187"] {
            for antall_vedlegg in [0, 1, 3] {
                samples.push(Facts {
                    sak: "SAK-2026-000123".to_owned(),
                    type_navn: "Samhandlingsavvik".to_owned(),
                    part: "Klinikk for medisin".to_owned(),
                    mottatt: "3. mars 2026".to_owned(),
                    frist: frist.to_owned(),
                    referanse: referanse.to_owned(),
                    avsender: "Samhandlingsavdelingen".to_owned(),
                    antall_vedlegg,
                });
            }
        }
    }
    samples
}

/// The engine may name another file than the one that was asked for: the piece that it includes or extends.
fn engine_fault_in(file: &str, sources: &BTreeMap<String, String>, error: &Error) -> Fault {
    let mut innermost = error;
    while let Some(source) =
        std::error::Error::source(innermost).and_then(|source| source.downcast_ref::<Error>())
    {
        innermost = source;
    }
    let named = innermost
        .name()
        .filter(|name| sources.contains_key(*name))
        .unwrap_or(file);
    engine_fault(
        named,
        sources.get(named).map_or("", String::as_str),
        innermost,
    )
}

fn engine_fault(file: &str, text: &str, error: &Error) -> Fault {
    let message = match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => "skrivefeil i malen",
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            "malen viser til en fil som ikke finnes"
        }
        ErrorKind::UnknownFilter => "ukjent filter",
        ErrorKind::UnknownTest => "ukjent test",
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => "ukjent funksjon",
        ErrorKind::UndefinedError => "malen bruker en opplysning som ikke finnes",
        ErrorKind::OutOfFuel => "malen blir aldri ferdig",
        _ => "malen kan ikke brukes",
    };
    let detail = error.detail().unwrap_or_default();
    let message = if detail.is_empty() {
        message.to_owned()
    } else {
        format!("{message} (motoren sier: {detail})")
    };
    let help = match error.kind() {
        ErrorKind::SyntaxError => "se etter {{ uten }}, {% uten %} og {% if … %} uten {% endif %}",
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            "skriv filnavnet med mappe, som \"nb/_hilsen.txt\""
        }
        ErrorKind::OutOfFuel => "ta bort løkken",
        _ => "",
    };
    let span = error
        .range()
        .filter(|range| text.get(range.clone()).is_some() && !range.is_empty())
        .unwrap_or_else(|| line_span(text, error.line().unwrap_or(1)));
    Fault {
        file: file.to_owned(),
        span,
        message,
        help: help.to_owned(),
    }
}

/// Byte range of a line, counted from 1.
fn line_span(text: &str, line: usize) -> Range<usize> {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let length = text.lines().nth(line.saturating_sub(1)).map_or(0, str::len);
    start..start.saturating_add(length)
}

/// Where a name first stands inside `{{ … }}` or `{% … %}`.
fn find_name(text: &str, name: &str) -> Range<usize> {
    let word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(name)
        .map(|(at, found)| at..at.saturating_add(found.len()))
        .find(|range| {
            let before = range
                .start
                .checked_sub(1)
                .and_then(|at| text.as_bytes().get(at));
            let inside = text.get(..range.start).is_some_and(|head| {
                let open = head.rfind("{{").max(head.rfind("{%"));
                open > head.rfind("}}").max(head.rfind("%}"))
            });
            inside && !word(before) && !word(text.as_bytes().get(range.end))
        })
        .unwrap_or(0..0)
}

/// The candidate that a person probably meant.
fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}
