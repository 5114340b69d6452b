//! `linjevei rules`: what the people who write rules need.

mod archive;
mod diff;
mod examples;
mod explain;
mod score;

use super::{Failure, rule_files};
use crate::rules::RuleSet;
use clap::Subcommand;
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
        Command::Check { folder } => check(folder.rules.as_deref()),
        Command::Test { folder } => examples::test(folder.rules.as_deref()),
        Command::Explain {
            folder,
            json,
            message,
        } => explain::explain(folder.rules.as_deref(), *json, message),
        Command::Diff(args) => diff::diff(args),
        Command::Score(args) => score::score(args),
        Command::Schema => {
            let text = serde_json::to_string_pretty(&crate::rules::schema())
                .map_err(|error| Failure::software(error.to_string()))?;
            anstream::println!("{text}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(folder: Option<&Path>) -> Result<ExitCode, Failure> {
    let (files, place) = rule_files::sources(folder)?;
    match RuleSet::check(&files) {
        Ok(rules) => {
            let parties = rules.directory().parties().count();
            anstream::println!(
                "{place}: {} filer, {} regler, {parties} parter, {} prøver, ingen feil",
                files.len(),
                rules.rule_count(),
                rules.examples().len()
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
