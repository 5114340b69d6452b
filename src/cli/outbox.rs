//! `linjevei outbox`: mail that waits, failed or is held.

use super::{ConfigPath, Failure, logging, setup, show};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List mail: kind, case, state, attempts, last reply codes; never addresses
    List {
        /// Also what was sent
        #[arg(long)]
        all: bool,
        /// At most so many of the newest
        #[arg(long, default_value_t = 500)]
        limit: u32,
    },
    /// Send a failed, held or waiting mail at once
    Retry {
        /// Number in the list
        id: i64,
    },
    /// Keep a waiting or failed mail until «retry»
    Hold {
        /// Number in the list
        id: i64,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        let store = setup::store(&config.data).await?;
        let (id, hold) = match args.command {
            Command::List { all, limit } => {
                let rows = store.outbox(all, limit).await?;
                if args.json {
                    for row in &rows {
                        println!(
                            "{}",
                            serde_json::to_string(row)
                                .map_err(|error| Failure::software(error.to_string()))?
                        );
                    }
                } else if rows.is_empty() {
                    println!("The outbox is empty.");
                } else {
                    print(&rows);
                }
                return Ok(ExitCode::SUCCESS);
            }
            Command::Retry { id } => (id, false),
            Command::Hold { id } => (id, true),
        };
        if store
            .set_outbox(id, hold, jiff::Timestamp::now().as_millisecond())
            .await?
        {
            println!(
                "Mail {id} {}.",
                if hold {
                    "is held"
                } else {
                    "is sent at the next round of the worker"
                }
            );
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::not_done(format!(
                "mail {id} does not wait, or was sent already; see «linjevei outbox list --all»"
            )))
        }
    })
}

fn print(rows: &[crate::store::OutboxRow]) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let when = match row.state.as_str() {
                "sent" => show::moment(row.sent_at_ms),
                "queued" => show::moment(row.next_attempt_at_ms),
                _ => "–".to_owned(),
            };
            let codes: Vec<String> = row
                .codes
                .iter()
                .filter(|code| **code != 0)
                .map(ToString::to_string)
                .collect();
            vec![
                row.id.to_string(),
                row.case.clone().unwrap_or_else(|| "–".to_owned()),
                row.kind.clone(),
                if row.party.is_empty() {
                    if row.case.is_some() {
                        "melder".to_owned()
                    } else {
                        "samhandling".to_owned()
                    }
                } else {
                    row.party.clone()
                },
                row.state.clone(),
                when,
                row.attempts.to_string(),
                show::or_dash(&codes.join(" ")),
            ]
        })
        .collect();
    show::table(
        &[
            "Nr", "Sak", "E-post", "Til", "Status", "Når", "Forsøk", "Svarkode",
        ],
        &rows,
    );
}
