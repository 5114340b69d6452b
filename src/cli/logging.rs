//! Logs: for people on a terminal, JSON lines otherwise. Level by `LINJEVEI_LOG` (default `info`).

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How much is said when `LINJEVEI_LOG` says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noise {
    /// The worker: a line for each message and case change.
    Work,
    /// Commands: what went wrong.
    Warnings,
    /// The demo, which tells everything itself.
    Errors,
}

/// Starts logging to standard error; a second call changes nothing.
pub(super) fn start(noise: Noise) {
    let default = match noise {
        Noise::Work => LevelFilter::INFO,
        Noise::Warnings => LevelFilter::WARN,
        Noise::Errors => LevelFilter::ERROR,
    };
    // Only our own lines: libraries may log addresses and protocol lines, which hold personal data.
    let level = std::env::var("LINJEVEI_LOG")
        .ok()
        .and_then(|level| level.parse::<LevelFilter>().ok())
        .unwrap_or(default);
    let filter = EnvFilter::new(format!("off,linjevei={level}"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Fails only when logging was started before.
    let started = if terminal {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    drop(started);
}
