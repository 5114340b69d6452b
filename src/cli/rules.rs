//! `linjevei rules`: what the people who write rules need.

mod archive;
mod diff;
mod examples;
mod explain;
mod score;

use super::{Failure, rule_files};
use crate::diagnostic::{Faults, Placed};
use crate::rules::RuleSet;
use clap::Subcommand;
use serde::Serialize;
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
        /// One JSON object: counts, hash, and each fault with its file, line and column
        #[arg(long)]
        json: bool,
    },
    /// Run the [[tests]] of the rule files: messages beside the rules with the decisions they must get
    Test {
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
    /// Show which messages two rule sets decide differently, and which corrections by people would break
    Diff(diff::Args),
    /// Compare the rules with labelled messages, or with what people corrected
    Score(score::Args),
    /// Print the JSON Schema of rule files, for editors that complete and check
    Schema,
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
        Command::Check { folder, json } => check(folder.rules.as_deref(), *json),
        Command::Test { folder } => examples::test(folder.rules.as_deref()),
        Command::Explain {
            folder,
            json,
            message,
        } => explain::explain(folder.rules.as_deref(), *json, message),
        Command::Diff(args) => diff::diff(args),
        Command::Score(args) => score::score(args),
        Command::Schema => {
            print_json(&crate::rules::schema())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `rules check --json`.
#[derive(Debug, Serialize)]
struct Checked<'a> {
    place: &'a str,
    ok: bool,
    files: usize,
    /// Of a set without faults.
    ruleset: Option<&'a str>,
    rules: Option<usize>,
    parties: Option<usize>,
    /// `[[tests]]`, which a check does not run.
    tests: Option<usize>,
    faults: Vec<Placed<'a>>,
}

fn check(folder: Option<&Path>, json: bool) -> Result<ExitCode, Failure> {
    let (files, place, unreadable) = rule_files::sources_with_faults(folder)?;
    let result = match RuleSet::check(&files) {
        Ok(rules) if unreadable.is_empty() => Ok(rules),
        Ok(_) => Err(Faults::new(unreadable, files.clone())),
        Err(faults) => {
            let all = faults.list.into_iter().chain(unreadable).collect();
            Err(Faults::new(all, faults.sources))
        }
    };
    if json {
        let rules = result.as_ref().ok();
        let checked = Checked {
            place: &place,
            ok: rules.is_some(),
            files: files.len(),
            ruleset: rules.map(RuleSet::hash),
            rules: rules.map(RuleSet::rule_count),
            parties: rules.map(|rules| rules.directory().parties().count()),
            tests: rules.map(|rules| rules.examples().len()),
            faults: result
                .as_ref()
                .err()
                .map(Faults::placed)
                .unwrap_or_default(),
        };
        print_json(&checked)?;
    }
    match result {
        Ok(rules) => {
            if !json {
                print_sound(&rules, files.len(), &place, folder);
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            if !json {
                anstream::println!("{}\n", faults.coloured());
            }
            Err(Failure::data(format!(
                "{place}: {} feil",
                faults.list.len()
            )))
        }
    }
}

fn print_sound(rules: &RuleSet, files: usize, place: &str, folder: Option<&Path>) {
    let parties = rules.directory().parties().count();
    let tests = rules.examples().len();
    anstream::println!(
        "{place}: {files} filer, {} regler, {parties} parter, {tests} prøver, ingen feil",
        rules.rule_count(),
    );
    anstream::println!("{}", rules.hash());
    let command = match folder {
        Some(folder) => format!("linjevei rules test --rules {}", folder.display()),
        None => "linjevei rules test".to_owned(),
    };
    match tests {
        0 => anstream::println!(
            "ingen prøver ([[tests]]) står i reglene; docs/regler.md viser hvordan de skrives"
        ),
        _ => anstream::println!("prøvene er ikke kjørt; det gjør du med: {command}"),
    }
}

/// Prints a document for other programs.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::software(error.to_string()))?;
    anstream::println!("{text}");
    Ok(())
}
