//! `linjevei reconcile`: does everything add up.

use super::{ConfigPath, Failure, logging, setup, show};
use crate::config::{Config, SourceConfig};
use crate::intake;
use crate::worker::reconciling::{Look, Report};
use crate::worker::{Engine, WorkError};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A worker checks each source this much later than its longest pause, at the latest.
const CHECK_MARGIN: Duration = Duration::from_secs(30);
/// Longest wait for a check.
const CHECK_MAX: Duration = Duration::from_mins(10);
/// Pause between two looks whether the worker has checked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// Print JSON, one line a source
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Errors);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        let engine = setup::engine(&config).await?;
        let worker_runs = setup::worker_lock(&config.data).is_err();
        let mut results = Vec::new();
        for source in &config.sources {
            let name = source.name().to_owned();
            let report = reconcile(&engine, source, worker_runs).await;
            if let Ok(report) = &report {
                engine.remember(report).await?;
            }
            results.push((name, report));
        }
        let watched: Vec<String> = names(&config);
        results.push((String::new(), Ok(engine.reconcile_store(&watched).await?)));
        print(&results, worker_runs, args.json);
        let well = results
            .iter()
            .all(|(_, report)| matches!(report, Ok(report) if report.differences.is_empty()));
        Ok(if well {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    })
}

fn names(config: &Config) -> Vec<String> {
    let names = config.sources.iter().map(|source| source.name().to_owned());
    names.collect()
}

/// Looks at the source beside the worker. What is not stored yet may have come a moment ago: then the worker's next check has
/// to take it in before it counts.
async fn reconcile(
    engine: &Engine,
    config: &SourceConfig,
    worker_runs: bool,
) -> Result<Report, WorkError> {
    let mut source = intake::open(config)?;
    let mut look = engine.look_for_not_stored(source.as_mut(), &|| ()).await?;
    if worker_runs && !look.not_stored.is_empty() {
        let at_most = config.poll().saturating_add(CHECK_MARGIN).min(CHECK_MAX);
        if next_check(engine, config.name(), at_most).await? {
            let again = engine.look_for_not_stored(source.as_mut(), &|| ()).await?;
            look = Look {
                at_source: again.at_source,
                not_stored: again
                    .not_stored
                    .into_iter()
                    .filter(|position| look.not_stored.contains(position))
                    .collect(),
            };
        }
    }
    source.close().await;
    Ok(engine.account_for(config.name(), Some(look)).await?)
}

/// Waits until a check has been completed that began after now; `false` when none was in time.
async fn next_check(engine: &Engine, source: &str, at_most: Duration) -> Result<bool, WorkError> {
    let end = Instant::now().checked_add(at_most);
    let mut last = engine.store.checked_at_ms(source).await?;
    // The check that ends first may have begun before now, the one after it did not.
    let mut ended = 0_u8;
    while end.is_none_or(|end| Instant::now() < end) {
        sleep(LOOK_EVERY).await;
        let checked = engine.store.checked_at_ms(source).await?;
        if checked != last {
            last = checked;
            ended = ended.saturating_add(1);
            if ended >= 2 {
                return Ok(true);
            }
        }
    }
    Ok(ended > 0)
}

fn print(results: &[(String, Result<Report, WorkError>)], worker_runs: bool, as_json: bool) {
    if as_json {
        for (name, report) in results {
            match report {
                Ok(report) => println!(
                    "{}",
                    json!({ "source": name, "ok": report.differences.is_empty(), "report": report })
                ),
                Err(error) => println!(
                    "{}",
                    json!({ "source": name, "ok": false, "error": crate::worker::supervisor::chain(error) })
                ),
            }
        }
        return;
    }
    let rows: Vec<Vec<String>> = results
        .iter()
        .filter_map(|(name, report)| Some((name, report.as_ref().ok()?)))
        .map(|(name, report)| {
            let account = &report.account;
            let name = if name.is_empty() { "(by hand)" } else { name };
            let mut row = vec![name.to_owned()];
            row.push(
                report
                    .at_source
                    .map_or_else(|| "–".to_owned(), |count| count.to_string()),
            );
            let counts = [
                account.seen,
                account.opened,
                account.joined,
                account.duplicate,
                account.left_alone,
                account.pending,
                account.gone,
            ];
            row.extend(counts.iter().map(ToString::to_string));
            row
        })
        .collect();
    show::table(
        &[
            "Source",
            "There now",
            "Seen =",
            "opened +",
            "joined +",
            "duplicate +",
            "left alone +",
            "undecided",
            "Gone before fetch",
        ],
        &rows,
    );
    let (fine, alert) = (show::FINE, show::ALERT);
    let mut well = true;
    for (name, report) in results {
        match report {
            Err(error) => {
                well = false;
                anstream::println!(
                    "{alert}✗{alert:#} {name}: {}",
                    crate::worker::supervisor::chain(error)
                );
            }
            Ok(report) => {
                for difference in &report.differences {
                    well = false;
                    let of = if difference.source.is_empty() {
                        String::new()
                    } else {
                        format!("{}: ", difference.source)
                    };
                    anstream::println!(
                        "{alert}✗{alert:#} {of}{} {}",
                        difference.count,
                        difference.meaning()
                    );
                    for position in &difference.positions {
                        println!("    {position}");
                    }
                    if difference.kind == "not-stored" && !worker_runs {
                        println!("  no worker runs: «linjevei run» takes them in");
                    }
                }
            }
        }
    }
    if well {
        anstream::println!("{fine}✓{fine:#} it adds up");
    }
}
