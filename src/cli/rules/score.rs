//! `linjevei rules score`: the rules against labelled messages.

use super::super::classify::{self, Line, items};
use super::super::{Failure, rule_files};
use crate::rules::ClassifyContext;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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

pub(super) fn score(
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
