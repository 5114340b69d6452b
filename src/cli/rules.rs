//! `linjevei rules`: what the people who write rules need.

use super::classify::{self, Line, items};
use super::{Failure, rule_files};
use crate::message::{Limits, parse};
use crate::rules::{ClassifyContext, Decision, Facet, RuleSet, Verdict};
use clap::Subcommand;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Which work on the rules.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read and check the rule files; all faults at once, each at its line
    Check {
        #[command(flatten)]
        folder: Folder,
    },
    /// Show for one message, facet by facet, which rules spoke and where
    Explain {
        #[command(flatten)]
        folder: Folder,
        /// The whole verdict as JSON
        #[arg(long)]
        json: bool,
        /// The message, or - for standard input
        #[arg(value_name = "MESSAGE")]
        message: PathBuf,
    },
    /// Compare the rules with labelled messages
    Score {
        #[command(flatten)]
        folder: Folder,
        /// One JSON object a line: file, type, direction, destination, category, severity
        #[arg(long, value_name = "FILE")]
        labels: PathBuf,
        /// Show no single misses
        #[arg(long)]
        brief: bool,
        /// Messages: .eml files or folders of them
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// Folder with the rule files; without it rules/ostfold here, else the rules that came with the program
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Check { folder } => check(folder.rules.as_deref()),
        Command::Explain {
            folder,
            json,
            message,
        } => explain(folder.rules.as_deref(), *json, message),
        Command::Score {
            folder,
            labels,
            brief,
            paths,
        } => score(folder.rules.as_deref(), labels, *brief, paths),
    }
}

fn check(folder: Option<&Path>) -> Result<ExitCode, Failure> {
    let (files, place) = rule_files::sources(folder)?;
    match RuleSet::compile(&files) {
        Ok(rules) => {
            let parties = rules.directory().parties().count();
            anstream::println!(
                "{place}: {} filer, {} regler, {parties} parter, ingen feil",
                files.len(),
                rules.rule_count()
            );
            anstream::println!("{}", rules.hash());
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            anstream::println!("{}\n", faults.coloured());
            Err(Failure::data(format!(
                "{place}: {} feil",
                faults.list.len()
            )))
        }
    }
}

fn explain(folder: Option<&Path>, json: bool, path: &Path) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(folder)?;
    let bytes = classify::read(path)
        .map_err(|error| Failure::io(format!("{}: {error}", path.display())))?;
    let message = parse(&bytes, &Limits::default())
        .map_err(|error| Failure::data(format!("{}: {error}", path.display())))?;
    let verdict = rules.classify(&message, &ClassifyContext::default());
    if json {
        let text = serde_json::to_string_pretty(&verdict)
            .map_err(|error| Failure::data(error.to_string()))?;
        anstream::println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    for facet in Facet::ORDER {
        explain_facet(&rules, &verdict, facet);
    }
    let person = if verdict.triage { "ja" } else { "nei" };
    anstream::println!("til vurdering: {person}");
    if verdict.truncated {
        anstream::println!("meldingen har mer tekst enn det som leses; resten er ikke vurdert");
    }
    Ok(ExitCode::SUCCESS)
}

fn explain_facet(rules: &RuleSet, verdict: &Verdict, facet: Facet) {
    let decision = decision(verdict, facet);
    let evidence: Vec<_> = verdict
        .because
        .iter()
        .filter(|evidence| evidence.facet == facet)
        .collect();
    if decision.value.is_none() && evidence.is_empty() {
        return;
    }
    let value = decision
        .value
        .as_deref()
        .map_or("–", |value| classify::name(value, rules.directory()));
    let certain = if decision.certain {
        "sikkert"
    } else {
        "usikkert"
    };
    let second = decision
        .runner_up
        .as_ref()
        .map(|(value, sum)| format!(", nummer to {value} {sum}"))
        .unwrap_or_default();
    anstream::println!(
        "{}: {value} ({certain}, sum {}{second})",
        facet.id(),
        decision.score
    );
    for evidence in evidence {
        anstream::println!(
            "  {} (tegn {})",
            classify::spoken(evidence),
            evidence.offset
        );
    }
}

const fn decision(verdict: &Verdict, facet: Facet) -> &Decision {
    match facet {
        Facet::Type => &verdict.kind,
        Facet::Direction => &verdict.direction,
        Facet::Destination => &verdict.destination,
        Facet::Category => &verdict.category,
        Facet::Severity => &verdict.severity,
        Facet::Reply => &verdict.reply,
        Facet::Robot => &verdict.robot,
    }
}

/// A line of the labels; further keys are passed over.
#[derive(Debug, Deserialize)]
struct Label {
    file: String,
    r#type: String,
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

#[derive(Debug, Default)]
struct Score {
    facets: BTreeMap<&'static str, Rate>,
    /// Placed without a person, of the types that go to a party.
    coverage: Rate,
    /// Right on type and destination, of what is placed without a person.
    precision: Rate,
    misses: Vec<String>,
    lost: Vec<String>,
    mistaken: Vec<String>,
    unlabelled: u32,
}

fn score(
    folder: Option<&Path>,
    labels: &Path,
    brief: bool,
    paths: &[PathBuf],
) -> Result<ExitCode, Failure> {
    let rules = rule_files::compile(folder)?;
    let text = std::fs::read_to_string(labels)
        .map_err(|error| Failure::io(format!("{}: {error}", labels.display())))?;
    let mut known: BTreeMap<String, Label> = BTreeMap::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let label: Label = serde_json::from_str(line).map_err(|error| {
            Failure::data(format!(
                "{}:{}: {error}",
                labels.display(),
                number.saturating_add(1)
            ))
        })?;
        known.insert(label.file.clone(), label);
    }
    let mut score = Score::default();
    for item in items(paths) {
        let base = Path::new(&item.name)
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let Some(label) = known.get(&base) else {
            score.unlabelled = score.unlabelled.saturating_add(1);
            continue;
        };
        let verdict = classify::decide(&rules, &ClassifyContext::default(), &item).ok();
        score.add(label, &Line::new(&base, rules.hash(), verdict.as_ref()));
    }
    score.print(brief);
    Ok(ExitCode::SUCCESS)
}

impl Score {
    fn add(&mut self, label: &Label, line: &Line<'_>) {
        let mut wrong: Vec<String> = Vec::new();
        let judged = [
            ("type", Some(label.r#type.as_str()), line.r#type),
            // Of ordinary mail the direction is not judged.
            (
                "direction",
                label
                    .direction
                    .as_deref()
                    .filter(|_| label.r#type != "ikke-avvik"),
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
        for (facet, wanted, given) in judged {
            let Some(wanted) = wanted else { continue };
            let right = given == Some(wanted);
            self.facets.entry(facet).or_default().count(right);
            if !right {
                wrong.push(format!("{facet} {} → {wanted}", given.unwrap_or("–")));
            }
        }
        let goes = |kind: &str| {
            matches!(
                kind,
                "avvik" | "forbedring" | "faktura" | "orientering" | "ros"
            )
        };
        if goes(&label.r#type) {
            self.coverage.count(!line.triage);
        }
        let right = line.r#type == Some(label.r#type.as_str())
            && line.destination == label.destination.as_deref();
        if !line.triage {
            self.precision.count(right);
            if goes(&label.r#type) && line.r#type == Some("ikke-avvik") {
                self.lost.push(label.file.clone());
            }
            if label.r#type == "ikke-avvik" && line.r#type != Some("ikke-avvik") {
                self.mistaken.push(label.file.clone());
            }
        }
        if !wrong.is_empty() || line.triage {
            let place = match (line.triage, right) {
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
        for facet in ["type", "direction", "destination", "category", "severity"] {
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
        if self.unlabelled > 0 {
            anstream::println!("{:<12} {}", "uten fasit", self.unlabelled);
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
