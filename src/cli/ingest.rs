//! `linjevei ingest`: messages from files or standard input.

use super::{ConfigPath, Failure, logging, setup};
use crate::intake::MailSource;
use crate::intake::files::{StreamSource, open_path};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// .eml files, folders of them, Maildirs, mboxes; - reads one message from standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        let mut engine = setup::engine(&config).await?;
        // A worker may have stored mail of its mailboxes a moment ago; what of it is too old for it is so here too.
        setup::live_since_as_remembered(&mut engine, &config).await?;
        let progress = bar();
        let (mut new, mut duplicates, mut unreadable) = (0_usize, 0_usize, Vec::new());
        for path in &args.paths {
            let mut source = open(path)?;
            let tick = {
                let progress = progress.clone();
                move |count: usize| progress.inc(u64::try_from(count).unwrap_or(0))
            };
            let taken = engine.take_in(source.as_mut(), &tick).await?;
            new = new.saturating_add(taken.new.len());
            duplicates = duplicates.saturating_add(taken.duplicates);
            unreadable.extend(taken.unreadable);
        }
        progress.set_message("decided");
        // What is stored is safe: if deciding fails now, the worker picks it up.
        engine.decide_pending().await?;
        progress.finish_and_clear();
        println!(
            "{new} new, {duplicates} copies of stored messages, {} unreadable",
            unreadable.len()
        );
        for why in &unreadable {
            anstream::eprintln!("linjevei: {why}");
        }
        Ok(if unreadable.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(75)
        })
    })
}

fn open(path: &Path) -> Result<Box<dyn MailSource>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(StreamSource::stdin()));
    }
    open_path(path).map_err(|error| Failure::io(error.to_string()))
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {pos} messages {msg} ({per_sec}, {elapsed})")
    {
        bar.set_style(style);
    }
    bar.set_message("taken in");
    bar
}
