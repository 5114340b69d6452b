//! `linjevei classify`: decides without storing anything.

use super::{Failure, rule_files, show};
use crate::extractor::Extractor;
use crate::message::{Limits, Zone};
use crate::rules::{
    ClassifyContext, DECISIVE, Decision, Directory, Evidence, Facet, ReporterSource, RuleSet,
    Verdict, WhyNot,
};
use serde::Serialize;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of a message that are read; the parser takes headers and leading text of what is larger.
const MESSAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What to classify, by which rules.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with the rule files; without it rules/ostfold here, else the rules that came with the program
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// One JSON object a line instead of text for people
    #[arg(long)]
    json: bool,
    /// Server whose Authentication-Results header is trusted; mail that it did not find authentic is not acknowledged
    #[arg(long, value_name = "SERVER")]
    authserv_id: Option<String>,
    /// Messages: .eml files, folders of them, or - for standard input. One that cannot be read has its line too, and is no
    /// failure of the command
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(args.rules.as_deref())?;
    let context = ClassifyContext {
        authserv_id: args.authserv_id.clone(),
    };
    let extractor = Extractor::this_program();
    let mut out = anstream::AutoStream::auto(std::io::stdout().lock());
    for item in items(&args.paths) {
        let verdict = item
            .read()
            .map_err(|error| error.to_string())
            .and_then(|bytes| decide(&rules, &context, &extractor, &bytes));
        let line = Line::new(&item.name, rules.hash(), verdict.as_ref().ok());
        let written = if args.json {
            let json = serde_json::to_string(&line).unwrap_or_default();
            writeln!(out, "{json}")
        } else {
            write!(
                out,
                "{}",
                for_people(&line, verdict.as_ref().ok(), rules.directory())
            )
        };
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            other => other?,
        }
        if let Err(reason) = verdict {
            anstream::eprintln!("linjevei: {}: {reason}", item.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A message to read.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Base name for files of a folder, else the argument.
    pub(super) name: String,
    path: PathBuf,
}

impl Item {
    /// The bytes.
    pub(super) fn read(&self) -> std::io::Result<Vec<u8>> {
        read(&self.path)
    }
}

/// The messages that the arguments name: a folder means its `*.eml` in the order of names.
pub(super) fn items(paths: &[PathBuf]) -> Vec<Item> {
    let mut items = Vec::new();
    for path in paths {
        let Ok(folder) = std::fs::read_dir(path) else {
            items.push(Item {
                name: path.display().to_string(),
                path: path.clone(),
            });
            continue;
        };
        let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("eml"))
                && !file.is_dir()
        });
        files.sort();
        items.extend(files.into_iter().map(|path| {
            Item {
                name: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                path,
            }
        }));
    }
    items
}

/// Parses and classifies a message; the error says why it could not.
fn decide(
    rules: &RuleSet,
    context: &ClassifyContext,
    extractor: &Extractor,
    bytes: &[u8],
) -> Result<Verdict, String> {
    let opened = extractor
        .open(bytes, &Limits::default())
        .map_err(|error| error.to_string())?;
    Ok(rules.classify(&opened.message, context))
}

/// The bytes of a file, or of standard input for `-`.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MESSAGE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(MESSAGE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// A line of `classify --json`; the order of the keys is part of what other programs rely on.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub(super) file: &'a str,
    pub(super) r#type: Option<&'a str>,
    pub(super) direction: Option<&'a str>,
    pub(super) destination: Option<&'a str>,
    pub(super) copies: &'a [String],
    pub(super) category: Option<&'a str>,
    pub(super) severity: Option<&'a str>,
    pub(super) triage: bool,
    acknowledge: bool,
    why_not: Option<WhyNot>,
    reporter: ReporterSource,
    because: Vec<Because<'a>>,
    ruleset: &'a str,
}

#[derive(Debug, Serialize)]
struct Because<'a> {
    facet: Facet,
    rule: &'a str,
    zone: Zone,
    term: &'a str,
}

impl<'a> Line<'a> {
    /// `None`: the message could not be read.
    pub(super) fn new(file: &'a str, ruleset: &'a str, verdict: Option<&'a Verdict>) -> Self {
        let Some(verdict) = verdict else {
            return Self {
                file,
                r#type: None,
                direction: None,
                destination: None,
                copies: &[],
                category: None,
                severity: None,
                triage: true,
                acknowledge: false,
                why_not: Some(WhyNot::Unreadable),
                reporter: ReporterSource::None,
                because: Vec::new(),
                ruleset,
            };
        };
        let kind = verdict.kind.value.as_deref();
        let or_unknown = |decision: &'a Decision| match &decision.value {
            Some(value) if decision.certain => Some(value.as_str()),
            _ => Some("ukjent"),
        };
        // Of ordinary mail the direction is not judged, of most types the severity (spec/LABELS.md).
        let direction = if kind == Some("ikke-avvik") {
            None
        } else {
            or_unknown(&verdict.direction)
        };
        let severity = if matches!(kind, Some("avvik" | "orientering")) {
            or_unknown(&verdict.severity)
        } else {
            None
        };
        Self {
            file,
            r#type: kind,
            direction,
            destination: verdict.destination.value.as_deref(),
            copies: &verdict.copies,
            category: verdict.category.value.as_deref(),
            severity,
            triage: verdict.triage,
            acknowledge: verdict.acknowledge(),
            why_not: verdict.why_not,
            reporter: verdict.reporter.source,
            because: verdict
                .because
                .iter()
                .map(|evidence| Because {
                    facet: evidence.facet,
                    rule: &evidence.rule,
                    zone: evidence.zone,
                    term: &evidence.term,
                })
                .collect(),
            ruleset,
        }
    }
}

/// The Norwegian name of a value (spec/LABELS.md).
pub(super) fn name<'a>(value: &'a str, directory: &'a Directory) -> &'a str {
    match value {
        "avvik" => "Samhandlingsavvik",
        "forbedring" => "Forbedringsforslag",
        "faktura" => "Fakturainnsigelse",
        "orientering" => "Til orientering",
        "ros" => "Positiv tilbakemelding",
        "svar" => "Svar i sak",
        "ikke-avvik" => "Annen post",
        "fra-fastlege" => "fra fastlege",
        "fra-kommune" => "fra kommune",
        "fra-sykehus" => "fra sykehus",
        "sak" => "saken det hører til",
        "postmottak" => "det vanlige postmottaket",
        "meldingsutveksling" => "1 Rutiner for meldingsutveksling",
        "informasjon" => "2 Informasjon ved utreise eller innleggelse",
        "utstyr-legemidler" => "3 Utstyr, medikamenter, resepter, hjelpemidler",
        "dialog-innleggelse" => "4 Dialog under innleggelse",
        "manglende-tilbud" => "5 Ikke etablert tilbud til utskrivningsklar pasient",
        "utskrivningsklar" => "6 Kriterier for utskrivningsklar ikke oppfylt",
        "transport" => "7 Pasienttransport",
        "feilsending" => "8 Feilsending av elektronisk melding",
        "annet" => "9 Annet / forbedringsforslag",
        "forelopig" => "foreløpig",
        "sporsmal" => "spørsmål",
        "fravaer" => "fraværsmelding",
        other => directory
            .party(other)
            .map_or(other, |party| party.name.as_str()),
    }
}

/// Why no acknowledgement goes out, for people.
const fn reason(why_not: WhyNot) -> &'static str {
    match why_not {
        WhyNot::AutoSubmitted => "skrevet av en maskin",
        WhyNot::List => "epostliste eller masseutsendelse",
        WhyNot::Bounce => "retur",
        WhyNot::Receipt => "kvittering eller kalenderpost",
        WhyNot::NoReply => "avsenderen tar ikke imot svar",
        WhyNot::OwnAddress => "fra vår egen adresse",
        WhyNot::Suppressed => "avsenderen ber om ikke å få automatisk svar",
        WhyNot::NoAddress => "ingen adresse å svare til",
        WhyNot::UncertainType => "et menneske må først avgjøre hva det er",
        WhyNot::Unauthenticated => "avsenderen er ikke bekreftet, eller søppelpost",
        WhyNot::IkkeAvvik => "ikke en melding om samhandling",
        WhyNot::Svar => "hører til en sak",
        WhyNot::Unreadable => "kan ikke leses",
        WhyNot::TooOld => "for gammel",
        WhyNot::Joined => "hører til en melding som alt er mottatt",
    }
}

/// A message's verdict as lines for people.
pub(super) fn for_people(
    line: &Line<'_>,
    verdict: Option<&Verdict>,
    directory: &Directory,
) -> String {
    let Some(verdict) = verdict else {
        return format!(
            "{}\n  kan ikke leses: et menneske må se på den\n\n",
            line.file
        );
    };
    let mut lines = vec![line.file.to_owned()];
    let decided = [
        ("type", line.r#type.or(Some("ukjent")), &verdict.kind),
        ("retning", line.direction, &verdict.direction),
        (
            "til",
            line.destination.or(Some("ukjent")),
            &verdict.destination,
        ),
        ("kategori", line.category, &verdict.category),
        ("alvor", line.severity, &verdict.severity),
    ];
    for (label, value, decision) in decided {
        let Some(value) = value else { continue };
        let doubt = if decision.certain { "" } else { "  (usikkert)" };
        lines.push(format!("  {label:<12}{}{doubt}", name(value, directory)));
    }
    let copies = line.copies.iter();
    lines.extend(copies.map(|copy| format!("  {:<12}{}", "kopi", name(copy, directory))));
    let person = if verdict.triage {
        "ja, til vurdering"
    } else {
        "nei"
    };
    lines.push(format!("  {:<12}{person}", "menneske"));
    let receipt = verdict.why_not.map_or_else(
        || "ja, straks".to_owned(),
        |why_not| format!("nei: {}", reason(why_not)),
    );
    lines.push(format!("  {:<12}{receipt}", "kvittering"));
    for (at, evidence) in verdict.because.iter().enumerate() {
        let label = if at == 0 { "fordi" } else { "" };
        lines.push(format!(
            "  {label:<12}{} {}",
            evidence.facet.id(),
            spoken(evidence)
        ));
    }
    lines.push("\n".to_owned());
    lines.join("\n")
}

/// One item of evidence: strength, value, rule, term and place.
pub(super) fn spoken(evidence: &Evidence) -> String {
    format!("{} {}", strength(evidence), said(evidence))
}

/// «+5», «-3», or that it decides.
pub(super) fn strength(evidence: &Evidence) -> String {
    if evidence.strength >= DECISIVE {
        "avgjør".to_owned()
    } else {
        format!("{:+}", evidence.strength)
    }
}

/// Value, rule, term and place of one item of evidence.
pub(super) fn said(evidence: &Evidence) -> String {
    let Evidence { value, rule, .. } = evidence;
    if evidence.term.is_empty() {
        // No word of the message, but what is known of it.
        return match evidence.zone {
            Zone::Header => format!("{value}: {rule} (bare vilkår)"),
            _ if rule.starts_with("bias:") => format!("{value}: {rule}"),
            _ => format!("{value}: {rule} i {}", place(evidence)),
        };
    }
    let term = show::term(&evidence.term);
    format!("{value}: {rule} «{term}» i {}", place(evidence))
}

/// Where a term stood: the zone, or the field of the form.
pub(super) fn place(evidence: &Evidence) -> String {
    if let Some(field) = evidence.field {
        return format!("feltet {}", field.id());
    }
    let zone = serde_json::to_value(evidence.zone).ok();
    let zone = zone.as_ref().and_then(serde_json::Value::as_str);
    zone.unwrap_or_default().to_owned()
}
