//! Logs: for people on a terminal, JSON lines otherwise. Level by `LINJEVEI_LOG` (default `info`).

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging to standard error; a second call changes nothing.
pub(super) fn start(quiet: bool) {
    let default = if quiet { LevelFilter::WARN } else { LevelFilter::INFO };
    // Only our own lines: libraries may log addresses and protocol lines, which hold personal data.
    let level = std::env::var("LINJEVEI_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok()).unwrap_or(default);
    let filter = EnvFilter::new(format!("off,linjevei={level}"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Fails only when logging was started before.
    let started = if terminal { builder.compact().try_init() } else { builder.json().flatten_event(true).try_init() };
    drop(started);
}
