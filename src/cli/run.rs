//! `linjevei run`: the worker.

use super::{ConfigPath, Failure, logging, setup};
use crate::config::{Config, SourceConfig};
use crate::intake;
use crate::worker::supervisor::{self, Watched};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
}

/// The watched mailboxes of the configuration; settings that cannot work are told before anything is touched.
fn sources(config: &Config) -> Result<Vec<Watched>, Failure> {
    let mut watched = Vec::with_capacity(config.sources.len());
    for source in &config.sources {
        let (SourceConfig::Imap { poll, .. } | SourceConfig::Maildir { poll, .. }) = source;
        let opened = intake::open(source)
            .map_err(|error| Failure::config(format!("source {}: {error}", source.name())))?;
        watched.push(Watched {
            source: opened,
            poll: *poll,
        });
    }
    Ok(watched)
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Work);
    let config = setup::config(&args.config.config)?;
    let sources = sources(&config)?;
    setup::runtime()?.block_on(async {
        setup::data_folder(&config.data)?;
        let _lock = setup::worker_lock(&config.data)?;
        let mut engine = setup::engine(&config).await?;
        setup::live_since(&mut engine, &config).await?;
        tracing::info!(
            mode = ?engine.mode,
            ruleset = engine.rulebook.current().rules.hash(),
            version = env!("CARGO_PKG_VERSION"),
            "starting"
        );
        let folders = Arc::new(setup::Folders {
            rules: config.rules.clone(),
            templates: config.templates.clone(),
        });
        let soft = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopper = soft.clone();
        let running = supervisor::run(engine, sources, folders, soft, config.grace);
        tokio::pin!(running);
        let ended = tokio::select! {
            ended = &mut running => ended,
            _ = terminate.recv() => { stopper.cancel(); running.await }
            _ = interrupt.recv() => { stopper.cancel(); running.await }
        };
        ended
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::software(error.to_string()))
    })
}
