//! `linjevei rules diff`: which messages two rule sets decide differently, and which corrections by people would break.

use super::super::classify::{Line, items};
use super::super::{Failure, rule_files};
use super::archive::Archive;
use crate::extractor::{Extractor, Opened};
use crate::message::{self, Limits};
use crate::rules::{ClassifyContext, RuleFiles, RuleSet, Verdict};
use crate::store::Correction;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What to compare, on which messages.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with the new rule files; without it rules/ostfold here, else the rules that came with the program
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The old rules: a folder, or a revision of the git repository in which the new ones lie (HEAD, main, v1.2)
    #[arg(long, value_name = "DIR|GIT-REV")]
    against: String,
    /// Compare on the stored messages of this database, and on people's corrections there
    #[arg(long, value_name = "FILE.db|postgres://…", conflicts_with = "paths")]
    archive: Option<PathBuf>,
    /// Also show the text of the messages that change, identity numbers masked; the history of the case notes who looked
    #[arg(long)]
    show_content: bool,
    /// One JSON object instead of text for people
    #[arg(long)]
    json: bool,
    /// Messages: .eml files or folders of them; without them and without --archive the [[tests]] of the rule files
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// A message to decide twice.
struct Sample {
    name: String,
    bytes: Vec<u8>,
    /// Row and case number, for a stored message.
    stored: Option<(i64, Option<String>)>,
}

/// What a rule set says of a message, in the words of `classify --json`.
type Answers = BTreeMap<&'static str, String>;

/// What differs; as it is for `--json`.
#[derive(Debug, Default, Serialize)]
struct Report {
    from: Side,
    to: Side,
    messages: usize,
    unreadable: usize,
    changed: usize,
    /// How many messages change in each facet.
    facets: BTreeMap<&'static str, usize>,
    more_triage: usize,
    less_triage: usize,
    corrections: Corrections,
    changes: Vec<Changed>,
}

#[derive(Debug, Default, Serialize)]
struct Side {
    name: String,
    ruleset: String,
}

/// People's corrections, facet by facet.
#[derive(Debug, Default, Serialize)]
struct Corrections {
    /// Those that the old rules hit and the new ones do not.
    broken: Vec<Broken>,
    /// Those that only the new rules hit.
    mended: usize,
    /// Those that neither hits.
    kept_wrong: usize,
}

#[derive(Debug, Serialize)]
struct Broken {
    message: String,
    facet: String,
    wanted: String,
    to: String,
}

/// A message that is decided differently.
#[derive(Debug, Serialize)]
struct Changed {
    message: String,
    facets: BTreeMap<&'static str, FacetChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
}

#[derive(Debug, Serialize)]
struct FacetChange {
    from: String,
    to: String,
    /// Rules that speak only now, and only before, with their strength.
    rules_now: Vec<String>,
    rules_before: Vec<String>,
}

/// What `--show-content` gives.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Content {
    /// The text, identity numbers masked.
    Text(String),
    /// Why it is not shown.
    Withheld(&'static str),
}

pub(super) fn diff(args: &Args) -> Result<ExitCode, Failure> {
    let (files, place) = rule_files::sources(args.rules.as_deref())?;
    let new = RuleSet::compile(&files).map_err(|faults| rule_files::faulty(&place, &faults))?;
    let old_files = against(&args.against, Path::new(&place))?;
    let old = RuleSet::compile(&old_files)
        .map_err(|faults| rule_files::faulty(&args.against, &faults))?;
    let mut report = Report {
        from: Side {
            name: args.against.clone(),
            ruleset: old.hash().to_owned(),
        },
        to: Side {
            name: place,
            ruleset: new.hash().to_owned(),
        },
        ..Report::default()
    };
    if let Some(path) = &args.archive {
        let archive = Archive::open(path)?;
        let corrections: BTreeMap<i64, Correction> = archive
            .corrections()?
            .into_iter()
            .map(|correction| (correction.message_id, correction))
            .collect();
        for row in archive.messages()? {
            let name = match &row.case {
                Some(case) => format!("melding {} ({case})", row.id),
                None => format!("melding {}", row.id),
            };
            let sample = Sample {
                name,
                bytes: archive.raw(row.id)?,
                stored: Some((row.id, row.case)),
            };
            let truth = corrections.get(&row.id);
            report.add(&old, &new, &sample, truth, args, Some(&archive))?;
        }
    } else if args.paths.is_empty() {
        for example in new.examples() {
            let bytes = match (example.bytes(new.directory()), &example.mail) {
                (Some(bytes), _) => bytes,
                (None, crate::rules::ExampleMail::File(path)) => {
                    rule_files::message(args.rules.as_deref(), path)
                        .map_err(|error| rule_files::unreadable(Path::new(path), &error))?
                }
                (None, crate::rules::ExampleMail::Text { .. }) => Vec::new(),
            };
            let sample = Sample {
                name: format!("{}:{} {}", example.file, example.line, example.name),
                bytes,
                stored: None,
            };
            report.add(&old, &new, &sample, None, args, None)?;
        }
    } else {
        for item in items(&args.paths) {
            let bytes = item
                .read()
                .map_err(|error| rule_files::unreadable(Path::new(&item.name), &error))?;
            let sample = Sample {
                name: item.name,
                bytes,
                stored: None,
            };
            report.add(&old, &new, &sample, None, args, None)?;
        }
    }
    if args.json {
        super::print_json(&report)?;
    } else {
        report.print();
    }
    Ok(ExitCode::SUCCESS)
}

fn short(hash: &str) -> &str {
    hash.get(..19).unwrap_or(hash)
}

impl Report {
    fn add(
        &mut self,
        old: &RuleSet,
        new: &RuleSet,
        sample: &Sample,
        truth: Option<&Correction>,
        args: &Args,
        archive: Option<&Archive>,
    ) -> Result<(), Failure> {
        self.messages = self.messages.saturating_add(1);
        let extractor = Extractor::this_program();
        let Ok(Opened { message, .. }) = extractor.open(&sample.bytes, &Limits::default()) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return Ok(());
        };
        let before = old.classify(&message, &ClassifyContext::default());
        let after = new.classify(&message, &ClassifyContext::default());
        let (was, is) = (answers(old, &before), answers(new, &after));
        if let Some(truth) = truth {
            self.judge(sample, truth, &was, &is);
        }
        let changed: Vec<&'static str> = was
            .keys()
            .copied()
            .filter(|facet| was.get(facet) != is.get(facet))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.changed = self.changed.saturating_add(1);
        match (before.triage, after.triage) {
            (false, true) => self.more_triage = self.more_triage.saturating_add(1),
            (true, false) => self.less_triage = self.less_triage.saturating_add(1),
            _ => {}
        }
        let mut facets = BTreeMap::new();
        for facet in changed {
            let count = self.facets.entry(facet).or_default();
            *count = count.saturating_add(1);
            let value = |answers: &Answers| answers.get(facet).cloned().unwrap_or_default();
            let (was_spoken, is_spoken) = (spoken(&before, facet), spoken(&after, facet));
            let change = FacetChange {
                from: value(&was),
                to: value(&is),
                rules_now: is_spoken.difference(&was_spoken).cloned().collect(),
                rules_before: was_spoken.difference(&is_spoken).cloned().collect(),
            };
            facets.insert(facet, change);
        }
        let content = args
            .show_content
            .then(|| content(sample, &message, archive))
            .transpose()?;
        self.changes.push(Changed {
            message: sample.name.clone(),
            facets,
            content,
        });
        Ok(())
    }

    fn judge(&mut self, sample: &Sample, truth: &Correction, was: &Answers, is: &Answers) {
        for (facet, wanted) in &truth.facets {
            let right = |answers: &Answers| answers.get(facet.as_str()) == Some(wanted);
            match (right(was), right(is)) {
                (true, false) => self.corrections.broken.push(Broken {
                    message: sample.name.clone(),
                    facet: facet.clone(),
                    wanted: wanted.clone(),
                    to: is.get(facet.as_str()).cloned().unwrap_or_default(),
                }),
                (false, true) => {
                    self.corrections.mended = self.corrections.mended.saturating_add(1);
                }
                (false, false) => {
                    self.corrections.kept_wrong = self.corrections.kept_wrong.saturating_add(1);
                }
                (true, true) => {}
            }
        }
    }

    fn print(&self) {
        anstream::println!("fra {} ({})", self.from.name, short(&self.from.ruleset));
        anstream::println!("til {} ({})\n", self.to.name, short(&self.to.ruleset));
        let corrections = &self.corrections;
        if !corrections.broken.is_empty() {
            anstream::println!(
                "RETTELSER GJORT AV MENNESKER SOM DET NYE BRYTER: {}",
                corrections.broken.len()
            );
            for broken in &corrections.broken {
                let Broken {
                    message,
                    facet,
                    wanted,
                    to,
                } = broken;
                anstream::println!("  {message}  {facet} {wanted} → {to}");
            }
            anstream::println!();
        }
        if corrections.mended > 0 || corrections.kept_wrong > 0 {
            anstream::println!(
                "rettelser som det nye treffer og det gamle ikke: {}; som ingen av dem treffer: {}\n",
                corrections.mended,
                corrections.kept_wrong
            );
        }
        anstream::println!(
            "{}, {} avgjøres annerledes",
            counted(self.messages),
            self.changed
        );
        for (facet, count) in &self.facets {
            anstream::println!("  {facet:<14} {count}");
        }
        if self.more_triage > 0 || self.less_triage > 0 {
            anstream::println!(
                "  til menneske   {} flere, {} færre",
                self.more_triage,
                self.less_triage
            );
        }
        if self.unreadable > 0 {
            anstream::println!("  kan ikke leses {}", self.unreadable);
        }
        for changed in &self.changes {
            anstream::println!("\n{}", changed.message);
            for (facet, change) in &changed.facets {
                anstream::println!("{}", change.line(facet));
            }
            match &changed.content {
                Some(Content::Text(text)) => {
                    for line in text.lines() {
                        anstream::println!("{}", format!("  │ {line}").trim_end());
                    }
                }
                Some(Content::Withheld(why)) => {
                    anstream::println!("  (innholdet vises ikke: {why})");
                }
                None => {}
            }
        }
    }
}

impl FacetChange {
    fn line(&self, facet: &str) -> String {
        let now = self.rules_now.iter().map(|rule| format!("nå: {rule}"));
        let before = self.rules_before.iter().map(|rule| format!("før: {rule}"));
        let rules: Vec<String> = now.chain(before).collect();
        format!(
            "  {facet:<14} {} → {}   {}",
            self.from,
            self.to,
            rules.join(", ")
        )
        .trim_end()
        .to_owned()
    }
}

/// The text of a message that changes; for a stored one the history of its case notes who looked.
fn content(
    sample: &Sample,
    message: &message::Message,
    archive: Option<&Archive>,
) -> Result<Content, Failure> {
    match (&sample.stored, archive) {
        (Some((id, Some(case))), Some(archive)) => archive.note_shown(case, *id)?,
        (Some((_, None)), _) => {
            return Ok(Content::Withheld(
                "meldingen er ikke i en sak der det kan noteres hvem som så den",
            ));
        }
        _ => {}
    }
    let text = format!("{}\n\n{}", message.subject, message::report_text(message));
    Ok(Content::Text(message::identity_numbers::mask(&text)))
}

/// «1 melding», «2 meldinger».
pub(super) fn counted(messages: usize) -> String {
    let word = if messages == 1 {
        "melding"
    } else {
        "meldinger"
    };
    format!("{messages} {word}")
}

fn answers(rules: &RuleSet, verdict: &Verdict) -> Answers {
    let line = Line::new("", rules.hash(), Some(verdict));
    let or_none = |value: Option<&str>| value.unwrap_or("–").to_owned();
    let copies = if line.copies.is_empty() {
        "–".to_owned()
    } else {
        line.copies.join(" ")
    };
    Answers::from([
        ("type", or_none(line.r#type)),
        ("direction", or_none(line.direction)),
        ("destination", or_none(line.destination)),
        ("copies", copies),
        ("category", or_none(line.category)),
        ("severity", or_none(line.severity)),
        ("triage", if line.triage { "ja" } else { "nei" }.to_owned()),
    ])
}

/// The rules that speak for the facet, with their strength.
fn spoken(verdict: &Verdict, facet: &str) -> BTreeSet<String> {
    verdict
        .because
        .iter()
        .filter(|evidence| {
            let id = evidence.facet.id();
            id == facet || facet == "triage" && matches!(id, "type" | "destination")
        })
        .map(|evidence| format!("{} {:+}", evidence.rule, evidence.strength))
        .collect()
}

/// The old rule files: those of a folder, or of a revision.
fn against(name: &str, folder: &Path) -> Result<RuleFiles, Failure> {
    if Path::new(name).is_dir() {
        return rule_files::read(Path::new(name));
    }
    if !folder.is_dir() {
        return Err(Failure::data(format!(
            "{name}: finner ingen slik mappe, og reglene som følger med, ligger ikke i git; skriv --rules MAPPE"
        )));
    }
    let commit = git(
        folder,
        &[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ],
    )
    .map_err(|_| {
        Failure::data(format!(
            "{name}: verken en mappe eller en versjon i git der {} ligger",
            folder.display()
        ))
    })?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let names = git(folder, &["ls-tree", "-r", "-z", "--name-only", &commit])?;
    let mut files = RuleFiles::new();
    for path in names.split(|byte| *byte == 0) {
        let path = String::from_utf8_lossy(path).into_owned();
        if !rule_files::is_rule_file(Path::new(&path)) {
            continue;
        }
        let text = git(folder, &["cat-file", "blob", &format!("{commit}:./{path}")])?;
        let text = String::from_utf8(text)
            .map_err(|_| Failure::data(format!("{name}: {path} er ikke UTF-8")))?;
        files.insert(path, text);
    }
    if files.is_empty() {
        return Err(Failure::data(format!(
            "{name}: i den versjonen er det ingen regelfiler i {}",
            folder.display()
        )));
    }
    Ok(files)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .map_err(|error| Failure::io(format!("git kan ikke kjøres: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::data(format!("git: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_gives_the_files_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("regler/vest");
        std::fs::create_dir_all(rules.join("flere")).unwrap();
        std::fs::write(folder.path().join("utenfor.toml"), "x = 1\n").unwrap();
        std::fs::write(rules.join("a.toml"), "gammel = 1\n").unwrap();
        std::fs::write(rules.join("flere/å b.toml"), "b = 1\n").unwrap();
        std::fs::write(rules.join("les.txt"), "nei").unwrap();
        for arguments in [
            &["init", "-q"][..],
            &["add", "."][..],
            &[
                "-c",
                "user.name=Kari",
                "-c",
                "user.email=kari@so-hf.example",
                "commit",
                "-q",
                "-m",
                "en",
            ][..],
        ] {
            git(folder.path(), arguments).unwrap();
        }
        std::fs::write(rules.join("a.toml"), "ny = 1\n").unwrap();
        let files = against("HEAD", &rules).unwrap();
        assert_eq!(
            files,
            RuleFiles::from([
                ("a.toml".to_owned(), "gammel = 1\n".to_owned()),
                ("flere/å b.toml".to_owned(), "b = 1\n".to_owned()),
            ])
        );
        for unknown in ["v9", "--help", ""] {
            let failure = against(unknown, &rules).unwrap_err();
            assert!(
                failure.text().contains("verken en mappe eller"),
                "{unknown}: {}",
                failure.text()
            );
        }
        let files = against(rules.to_str().unwrap(), &rules).unwrap();
        assert_eq!(files.get("a.toml").map(String::as_str), Some("ny = 1\n"));
    }
}
