//! `linjevei rules score`: the rules against labelled messages, or against what people corrected.
//!
//! Messages whose report is only in an attachment that is not read are counted apart: the rules cannot know what they say.

use super::super::classify::{Line, items};
use super::super::{Failure, rule_files};
use super::archive::Archive;
use crate::extractor::Extractor;
use crate::message::{Limits, Message, Zone};
use crate::rules::{ClassifyContext, RuleSet};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Words that the mail around an attached report has at most.
const COVERING_WORDS_MAX: usize = 30;
/// Endings of files that hold a report.
const DOCUMENTS: [&str; 5] = [".pdf", ".docx", ".doc", ".odt", ".rtf"];
/// Facets that are scored, in the order of the table.
const FACETS: [&str; 5] = ["type", "direction", "destination", "category", "severity"];

/// What to score, against what.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with the rule files; without it rules/ostfold here, else the rules that came with the program
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// One JSON object a line: file, type, direction, destination, category, severity
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "archive",
        requires = "paths"
    )]
    labels: Option<PathBuf>,
    /// Score the stored messages of this database against people's corrections there
    #[arg(long, value_name = "FILE.db|postgres://…", conflicts_with_all = ["labels", "paths"])]
    archive: Option<PathBuf>,
    /// Show no single misses
    #[arg(long)]
    brief: bool,
    /// Messages: .eml files or folders of them
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// A line of the labels; further keys are passed over.
#[derive(Debug, Default, Deserialize)]
struct Label {
    file: String,
    r#type: Option<String>,
    direction: Option<String>,
    destination: Option<String>,
    category: Option<String>,
    severity: Option<String>,
}

/// Right of judged.
#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    right: u32,
    all: u32,
}

impl Rate {
    fn count(&mut self, right: bool) {
        self.all = self.all.saturating_add(1);
        self.right = self.right.saturating_add(u32::from(right));
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.all == 0 {
            return f.write_str("–");
        }
        write!(
            f,
            "{:.3}  {}/{}",
            f64::from(self.right) / f64::from(self.all),
            self.right,
            self.all
        )
    }
}

/// How often a party got what was meant for it, and who got the rest.
#[derive(Debug, Default)]
struct Party {
    rate: Rate,
    instead: BTreeMap<String, u32>,
}

#[derive(Debug, Default)]
struct Score {
    facets: BTreeMap<&'static str, Rate>,
    parties: BTreeMap<String, Party>,
    /// Placed without a person, of the types that go to a party.
    coverage: Rate,
    /// Right on type and destination, of what is placed without a person.
    precision: Rate,
    misses: Vec<String>,
    lost: Vec<String>,
    mistaken: Vec<String>,
    messages: usize,
}

pub(super) fn score(args: &Args) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(args.rules.as_deref())?;
    let mut score = Score::default();
    let mut attached = Score::default();
    let extractor = Extractor::this_program();
    let mut unlabelled = 0_u32;
    if let Some(path) = &args.archive {
        let archive = Archive::open(path)?;
        let corrections = archive.corrections()?;
        if corrections.is_empty() {
            anstream::println!(
                "ingen har rettet noe ennå, så det er ingen fasit; rett en sak med «linjevei cases reroute»"
            );
            return Ok(ExitCode::SUCCESS);
        }
        anstream::println!(
            "fasit: rettelser gjort av mennesker i {} saker\n",
            corrections.len()
        );
        for mut correction in corrections {
            let mut take = |facet: &str| correction.facets.remove(facet);
            let label = Label {
                r#type: take("type"),
                direction: None,
                destination: take("destination"),
                category: take("category"),
                severity: take("severity"),
                file: correction.case,
            };
            let bytes = archive.raw(correction.message_id)?;
            judge(
                &rules,
                &extractor,
                &bytes,
                &label,
                &mut score,
                &mut attached,
            );
        }
    } else if let Some(labels) = &args.labels {
        let known = read_labels(labels)?;
        for item in items(&args.paths) {
            let base = Path::new(&item.name)
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let Some(label) = known.get(&base) else {
                unlabelled = unlabelled.saturating_add(1);
                continue;
            };
            let bytes = item
                .read()
                .map_err(|error| rule_files::unreadable(Path::new(&item.name), &error))?;
            judge(&rules, &extractor, &bytes, label, &mut score, &mut attached);
        }
    }
    score.print(args.brief);
    if unlabelled > 0 {
        anstream::println!("{:<12} {unlabelled}", "uten fasit");
    }
    if attached.messages > 0 {
        anstream::println!(
            "\nbare i vedlegg: {} der selve meldingen står i en PDF eller et dokument som ikke kunne leses\n",
            super::diff::counted(attached.messages)
        );
        attached.print(args.brief);
    }
    Ok(ExitCode::SUCCESS)
}

fn read_labels(labels: &Path) -> Result<BTreeMap<String, Label>, Failure> {
    let text =
        std::fs::read_to_string(labels).map_err(|error| rule_files::unreadable(labels, &error))?;
    let mut known: BTreeMap<String, Label> = BTreeMap::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let label: Label = serde_json::from_str(line).map_err(|error| {
            Failure::data(format!(
                "{}:{}: linjen er ikke et JSON-objekt med «file» og svarene ({error})",
                labels.display(),
                number.saturating_add(1)
            ))
        })?;
        known.insert(label.file.clone(), label);
    }
    Ok(known)
}

fn judge(
    rules: &RuleSet,
    extractor: &Extractor,
    bytes: &[u8],
    label: &Label,
    score: &mut Score,
    attached: &mut Score,
) {
    let opened = extractor.open(bytes, &Limits::default()).ok();
    let message = opened.map(|opened| opened.message);
    let verdict = message
        .as_ref()
        .map(|message| rules.classify(message, &ClassifyContext::default()));
    let line = Line::new(&label.file, rules.hash(), verdict.as_ref());
    if message.is_some_and(|message| only_attached(rules, &message)) {
        attached.add(label, &line);
    } else {
        score.add(label, &line);
    }
}

/// Whether the mail only covers a document whose text is not there.
fn only_attached(rules: &RuleSet, message: &Message) -> bool {
    let document = message.attachments.iter().any(|attachment| {
        let name = attachment.name.to_lowercase();
        DOCUMENTS.iter().any(|ending| name.ends_with(ending))
    });
    let words = |zones: &[Zone]| -> usize {
        rules
            .texts(message)
            .iter()
            .filter(|text| zones.contains(&text.zone))
            .map(|text| {
                let body = text.text.get(..text.signature).unwrap_or(&text.text);
                body.split_whitespace().count()
            })
            .sum()
    };
    document
        && words(&[Zone::Attachment]) == 0
        && words(&[Zone::New, Zone::Forwarded]) <= COVERING_WORDS_MAX
}

impl Score {
    fn add(&mut self, label: &Label, line: &Line<'_>) {
        self.messages = self.messages.saturating_add(1);
        let mut wrong: Vec<String> = Vec::new();
        let ordinary = label.r#type.as_deref() == Some("ikke-avvik");
        let judged = [
            ("type", label.r#type.as_deref(), line.r#type),
            // Of ordinary mail the direction is not judged.
            (
                "direction",
                label.direction.as_deref().filter(|_| !ordinary),
                line.direction,
            ),
            (
                "destination",
                label.destination.as_deref(),
                line.destination,
            ),
            ("category", label.category.as_deref(), line.category),
            ("severity", label.severity.as_deref(), line.severity),
        ];
        let mut placed_right = true;
        for (facet, wanted, given) in judged {
            let Some(wanted) = wanted else { continue };
            let right = given == Some(wanted);
            self.facets.entry(facet).or_default().count(right);
            if facet == "destination" {
                let party = self.parties.entry(wanted.to_owned()).or_default();
                party.rate.count(right);
                if !right {
                    let instead = party
                        .instead
                        .entry(given.unwrap_or("–").to_owned())
                        .or_default();
                    *instead = instead.saturating_add(1);
                }
            }
            if !right {
                placed_right &= !matches!(facet, "type" | "destination");
                wrong.push(format!("{facet} {} → {wanted}", given.unwrap_or("–")));
            }
        }
        let goes = matches!(
            label.r#type.as_deref(),
            Some("avvik" | "forbedring" | "faktura" | "orientering" | "ros")
        );
        if goes {
            self.coverage.count(!line.triage);
        }
        if !line.triage && (label.r#type.is_some() || label.destination.is_some()) {
            self.precision.count(placed_right);
            if goes && line.r#type == Some("ikke-avvik") {
                self.lost.push(label.file.clone());
            }
            if ordinary && line.r#type != Some("ikke-avvik") {
                self.mistaken.push(label.file.clone());
            }
        }
        if !wrong.is_empty() || line.triage {
            let place = match (line.triage, placed_right) {
                (true, _) => "til vurdering",
                (false, true) => "",
                (false, false) => "FEILPLASSERT",
            };
            self.misses.push(format!(
                "{:<14} {place:<14} {}",
                label.file,
                wrong.join(" · ")
            ));
        }
    }

    fn print(&self, brief: bool) {
        if !brief {
            for miss in &self.misses {
                anstream::println!("{}", miss.trim_end());
            }
            anstream::println!();
        }
        for facet in FACETS {
            let rate = self.facets.get(facet).copied().unwrap_or_default();
            anstream::println!("{facet:<12} {rate}");
        }
        anstream::println!(
            "{:<12} {}  plassert uten menneske, av meldinger som skal til en part",
            "dekning",
            self.coverage
        );
        anstream::println!(
            "{:<12} {}  rett type og mottaker, av det som er plassert uten menneske",
            "treffsikkert",
            self.precision
        );
        anstream::println!("{:<12} {}", "tapt melding", listed(&self.lost));
        anstream::println!("{:<12} {}", "feil melding", listed(&self.mistaken));
        if brief {
            return;
        }
        anstream::println!("\nmottakere: rett av alle, og hvor resten gikk");
        for (id, party) in &self.parties {
            let instead: Vec<String> = party
                .instead
                .iter()
                .map(|(other, count)| format!("{other} {count}"))
                .collect();
            let line = format!(
                "  {id:<22} {:>3}/{:<3} {}",
                party.rate.right,
                party.rate.all,
                instead.join(", ")
            );
            anstream::println!("{}", line.trim_end());
        }
    }
}

fn listed(files: &[String]) -> String {
    if files.is_empty() {
        "ingen".to_owned()
    } else {
        files.join(" ")
    }
}
