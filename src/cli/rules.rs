//! `linjevei rules`: what the people who write rules need.

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
        Command::Test { folder } => examples::test(folder.rules.as_deref()),
        Command::Explain {
            folder,
            json,
            message,
        } => explain::explain(folder.rules.as_deref(), *json, message),
        Command::Score {
            folder,
            labels,
            brief,
            paths,
        } => score::score(folder.rules.as_deref(), labels, *brief, paths),
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
