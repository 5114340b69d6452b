//! `linjevei chase`: what time asks for.

use super::{ConfigPath, Failure, logging, setup, show};
use crate::case::Reminder;
use crate::clock::ManualClock;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// As if it were this day (YYYY-MM-DD, at the end of the day in Europe/Oslo); only with --dry-run beside a real mailbox
    #[arg(long, value_name = "DATE")]
    now: Option<jiff::civil::Date>,
    /// Only say what would be done, and what the digest to the samhandlingsavdeling would say
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: a line a case, then one for the digest (with --dry-run) or for each mail that was queued
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        let mut engine = setup::engine(&config).await?;
        if let Some(day) = args.now {
            engine.clock = Arc::new(ManualClock::new(crate::calendar::oslo_at(day, 23)));
        }
        let now_ms = engine.clock.now_ms();
        let cases = if args.dry_run {
            engine
                .due_changes(now_ms)
                .await?
                .into_iter()
                .map(|change| change.case)
                .collect()
        } else {
            engine.chase().await?
        };
        let today = crate::calendar::oslo_day(now_ms);
        if args.json {
            for case in &cases {
                println!("{}", show::case_json(case, today));
            }
        } else if cases.is_empty() {
            println!("Nothing is due.");
        } else {
            let rows: Vec<Vec<String>> = cases
                .iter()
                .map(|case| {
                    let what = if case.state.is_open() && case.reminder == Reminder::Queued {
                        "purring"
                    } else {
                        case.state.navn()
                    };
                    std::iter::once(what.to_owned())
                        .chain(show::case_row(case, today))
                        .collect()
                })
                .collect();
            let heading: Vec<&str> = std::iter::once("Hva").chain(show::CASE_HEADING).collect();
            show::table(&heading, &rows);
            if args.dry_run {
                println!("Nothing was changed (--dry-run).");
            }
        }
        if args.dry_run {
            if let Some(digest) = engine.digest_at(now_ms).await? {
                if args.json {
                    let digest = json!({ "subject": digest.subject, "lines": digest.lines, "text": digest.text });
                    println!("{}", json!({ "digest": digest }));
                } else {
                    println!("\n{}\n\n{}", digest.subject, digest.text.trim_end());
                }
            }
        } else {
            for report in engine.report().await? {
                if args.json {
                    let queued = json!({ "mail": report.kind.id(), "party": report.party, "lines": report.lines });
                    println!("{}", json!({ "queued": queued }));
                } else {
                    println!("Queued: {} ({} lines).", report.kind.navn(), report.lines);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
