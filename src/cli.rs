//! Commands on the rules.
mod classify;
mod exit;
mod rule_files;
mod rules;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

pub use exit::Failure;

/// Fordeler, kvitterer for og følger opp samhandlingsavvik mellom sykehus, kommuner og fastleger.
#[derive(Debug, Parser)]
#[command(name = "linjevei", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what messages are and where they belong, without storing anything
    Classify(classify::Args),
    /// Check and explain the rules
    Rules(rules::Args),
}

/// Runs.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Classify(args) => classify::run(&args),
        Command::Rules(args) => rules::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
