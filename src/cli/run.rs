//! `linjevei run`: the worker.

use super::{ConfigPath, Failure, arenas, logging, setup};
use crate::config::{Config, SourceConfig};
use crate::failpoint;
use crate::intake;
use crate::worker::health::HealthLimits;
use crate::worker::reloading::RuleFolders as _;
use crate::worker::supervisor::{self, Service, Watched};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
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
        let opened = intake::open(source)
            .map_err(|error| Failure::config(format!("source {}: {error}", source.name())))?;
        watched.push(Watched {
            source: opened,
            poll: source.poll(),
        });
    }
    Ok(watched)
}

/// The port where health is told, and when something counts as too old.
async fn health(config: &Config) -> Result<Option<(TcpListener, HealthLimits)>, Failure> {
    let Some(health) = &config.health else {
        return Ok(None);
    };
    let listener = TcpListener::bind(health.listen).await.map_err(|error| {
        Failure::unavailable(format!(
            "the health end point cannot listen at {}: {error}; choose another port in [health]",
            health.listen
        ))
    })?;
    let limit = |source: &SourceConfig| {
        // A source that is looked at seldom may be twice as late as it should.
        let slow = source.poll().saturating_mul(2);
        (source.name().to_owned(), health.max_check_age.max(slow))
    };
    let limits = HealthLimits {
        check_age: config.sources.iter().map(limit).collect(),
        unsent_age: health.max_unsent_age,
    };
    Ok(Some((listener, limits)))
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    arenas::keep_few();
    logging::start(logging::Noise::Work);
    let config = setup::config(&args.config.config)?;
    let sources = sources(&config)?;
    setup::runtime()?.block_on(async {
        setup::data_folder(&config.data)?;
        let _lock = setup::worker_lock(&config.data)?;
        let folders = Arc::new(setup::Folders {
            rules: config.rules.clone(),
            templates: config.templates.clone(),
        });
        let fingerprint = folders.fingerprint();
        let mut engine = setup::engine(&config).await?;
        failpoint::pass("start.opened");
        setup::live_since(&mut engine, &config).await?;
        tracing::info!(
            mode = ?engine.mode,
            ruleset = engine.rulebook.current().rules.hash(),
            version = env!("CARGO_PKG_VERSION"),
            "starting"
        );
        let soft = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopper = soft.clone();
        let worker = Service {
            engine,
            sources,
            folders,
            fingerprint,
            retention: setup::retention(&config),
            health: health(&config).await?,
            grace: config.grace,
        };
        let running = supervisor::run(worker, soft);
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
