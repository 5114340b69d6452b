//! The command line: one file a command; [`main`] turns the outcome into a message and an exit code.

mod arenas;
mod case_form;
mod cases;
mod chase;
mod classify;
mod db;
mod demo;
mod doctor;
mod exit;
mod ingest;
mod logging;
mod messages;
mod outbox;
mod reconcile;
mod rule_files;
mod rules;
mod run;
mod setup;
mod show;
mod svarinn;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

pub use exit::Failure;

/// Fordeler, kvitterer for og følger opp samhandlingsavvik mellom sykehus, kommuner og fastleger.
#[derive(Debug, Parser)]
#[command(
    name = "linjevei",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(about = "Routes, acknowledges and follows up samhandlingsavvik", long_about = LONG_ABOUT, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "linjevei watches the mailbox to which fastleger, kommuner and hospital wards report samhandlingsavvik. \
It decides by the rules in a folder of text files which clinic or kommune must answer, acknowledges at once, brings the answer home \
and reminds exactly once after 30 days.\n\nTry it without any set-up: linjevei demo";

const AFTER_HELP: &str = "Exit codes: 0 done · 1 not done, the text says why · 2 the command line is wrong · 65 rules, templates or \
input are faulty · 69 another linjevei runs on the same database · 70 an error in linjevei itself · 74 a file cannot be read or \
written · 75 not now, try again · 78 the configuration is faulty";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole job on a sample mailbox, with a simulated clock; needs no set-up and no network
    Demo(demo::Args),
    /// Watch the configured mailboxes, send and chase, until SIGTERM
    Run(run::Args),
    /// Take in .eml files, folders of them, Maildirs, mboxes, or one message on standard input (-)
    Ingest(ingest::Args),
    /// Say what messages are and where they belong, without storing anything
    Classify(classify::Args),
    /// Check and explain the rules
    Rules(rules::Args),
    /// The samhandlingsavdeling's work: list, show and decide cases
    Cases(cases::Args),
    /// What was taken in and what became of it
    Messages(messages::Args),
    /// Queue the reminders that are due and close silent cases
    Chase(chase::Args),
    /// Mail that waits, failed or is held
    Outbox(outbox::Args),
    /// Count whether everything adds up: what is at the sources, what is stored, what became of it
    Reconcile(reconcile::Args),
    /// The database: what is in it, whether it hangs together, backup, moving it to a server
    Db(db::Args),
    /// What waits in KS SvarInn, and what only a person may say there
    Svarinn(svarinn::Args),
    /// The child's side of reading one attachment
    #[command(name = crate::extractor::SUBCOMMAND, hide = true)]
    ReadAttachment,
    /// Check configuration, rules, templates, database, mailboxes, sending and clock, on one screen
    Doctor(doctor::Args),
}

/// Where the configuration file is.
#[derive(Debug, clap::Args)]
struct ConfigPath {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        env = "LINJEVEI_CONFIG",
        default_value = "linjevei.toml",
        global = true
    )]
    config: PathBuf,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    keep_panics_silent();
    let arguments = Arguments::parse();
    forbid_core_dumps();
    keep_files_private();
    let outcome = match arguments.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Ingest(args) => ingest::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Cases(args) => cases::run(args),
        Command::Messages(args) => messages::run(&args),
        Command::Chase(args) => chase::run(&args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Db(args) => db::run(&args),
        Command::Svarinn(args) => svarinn::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::ReadAttachment => Ok(crate::extractor::serve()),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// A core dump would hold what patients' reports say. Where the limit cannot be set, the process goes on: systemd sets it too.
fn forbid_core_dumps() {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _unchanged = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}

/// What linjevei writes holds what patients' reports say: nobody but its user reads it, whatever the umask was.
fn keep_files_private() {
    let others = rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO;
    let _before = rustix::process::umask(others);
}

/// A panic's own text may hold words of a report; only its place in our code is printed. `linjevei cases list | head`
/// closes our standard output; that is no error to speak of.
fn keep_panics_silent() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(141);
        }
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        anstream::eprintln!(
            "linjevei: an error in linjevei itself at {place}; please report this line"
        );
    }));
}
