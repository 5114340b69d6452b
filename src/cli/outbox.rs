//! `linjevei outbox`: mail that waits, failed or is held.

use super::cases::user;
use super::{ConfigPath, Failure, logging, setup, show};
use crate::case::Actor;
use crate::case::undeliverable::RetryWord;
use crate::clock::{Clock as _, SystemClock};
use crate::store::{Retried, SharedStore};
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
    /// Send a failed, held, returned or waiting mail at once
    Retry {
        /// Number in the list
        id: i64,
        /// The address works again, although mail came back from it: this mail goes, and what was held for the address
        #[arg(long, requires = "reason")]
        address_works: bool,
        /// Why; kept in the history of the case
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Whom you act for
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        on_behalf_of: String,
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
        let store = setup::store(&config).await?;
        match &args.command {
            Command::List { all, limit } => {
                let rows = store.outbox(*all, *limit).await?;
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
            }
            Command::Retry {
                id,
                address_works,
                reason,
                on_behalf_of,
            } => {
                let word = RetryWord {
                    actor: Actor::Person {
                        user: user(),
                        on_behalf_of: on_behalf_of.clone(),
                    },
                    reason: reason.clone().unwrap_or_default(),
                    address_works: *address_works,
                };
                retry(&store, *id, &word).await?;
            }
            Command::Hold { id } => {
                if !store.hold_mail(*id).await? {
                    return Err(not_waiting(*id));
                }
                println!("Mail {id} is held.");
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn retry(store: &SharedStore, id: i64, word: &RetryWord) -> Result<(), Failure> {
    let now_ms = SystemClock.now_ms();
    match store.retry_mail(id, word, now_ms).await? {
        Retried::NotWaiting => Err(not_waiting(id)),
        Retried::DeadAddress { since_ms, status } => Err(Failure::not_done(format!(
            "mail came back from the address of mail {id} on {}{}; when it works again: «linjevei outbox retry {id} \
             --address-works --reason TEXT»",
            show::moment(since_ms),
            if status.is_empty() {
                String::new()
            } else {
                format!(" (status {status})")
            }
        ))),
        Retried::Queued { others } => {
            println!("Mail {id} is sent at the next round of the worker.");
            if others > 0 {
                println!("So are {others} others that were held for the same address.");
            }
            Ok(())
        }
    }
}

fn not_waiting(id: i64) -> Failure {
    Failure::not_done(format!(
        "mail {id} does not wait, or was sent already; see «linjevei outbox list --all»"
    ))
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
                if row.hold_reason.is_empty() {
                    row.state.clone()
                } else {
                    format!("{} ({})", row.state, row.hold_reason)
                },
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
