//! `linjevei ingest`: messages from files or standard input.

use super::{ConfigPath, Failure, arenas, logging, setup};
use crate::intake::MailSource;
use crate::intake::files::{StreamSource, open_path};
use crate::worker::{Engine, TakenIn, WorkError};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// .eml files, folders of them, Maildirs, mboxes; - reads one message from standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    arenas::keep_few();
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        let mut engine = setup::engine(&config).await?;
        // A worker may have stored mail of its mailboxes a moment ago; what of it is too old for it is so here too.
        setup::live_since_as_remembered(&mut engine, &config).await?;
        let progress = bar();
        let (stored, all_stored) = (Notify::new(), AtomicBool::new(false));
        let taking_in = async {
            let taken = take_in(&engine, &args.paths, &progress, &stored).await;
            all_stored.store(true, Ordering::Release);
            stored.notify_one();
            taken
        };
        // What is stored is safe: if deciding fails now, the worker picks it up.
        let deciding = async {
            loop {
                let last = all_stored.load(Ordering::Acquire);
                engine.decide_pending().await?;
                if last {
                    return Ok::<(), WorkError>(());
                }
                stored.notified().await;
            }
        };
        let (taken, decided) = tokio::join!(taking_in, deciding);
        let TakenIn {
            new,
            duplicates,
            unreadable,
            ..
        } = taken?;
        decided?;
        progress.finish_and_clear();
        println!(
            "{} new, {duplicates} copies of stored messages, {} unreadable",
            new.len(),
            unreadable.len()
        );
        // Not ours: all that this process claimed is decided.
        let elsewhere = engine.store.claimed(engine.clock.now_ms()).await;
        if let Some(count) = elsewhere.ok().filter(|count| *count > 0) {
            anstream::eprintln!(
                "linjevei: messages that were stored before and are with another process: {count}; what it leaves undecided because \
                 it was killed, the worker or the next «linjevei ingest» decides, from a minute after"
            );
        }
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

/// Takes in all of it; rings when something was stored.
async fn take_in(
    engine: &Engine,
    paths: &[PathBuf],
    progress: &ProgressBar,
    stored: &Notify,
) -> Result<TakenIn, Failure> {
    let mut all = TakenIn::default();
    for path in paths {
        let mut source = open(path)?;
        let tick = |count: usize| {
            progress.inc(u64::try_from(count).unwrap_or(0));
            stored.notify_one();
        };
        let taken = engine.take_in(source.as_mut(), &tick).await?;
        all.new.extend(taken.new);
        all.duplicates = all.duplicates.saturating_add(taken.duplicates);
        all.unreadable.extend(taken.unreadable);
    }
    Ok(all)
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
