//! `linjevei messages`: what was taken in and what became of it.

use super::cases::{Why, print_changed};
use super::{ConfigPath, Failure, classify, logging, setup, show};
use crate::config::Config;
use crate::rules::Verdict;
use crate::store::SharedStore;
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
    /// List messages, newest last: time, source, outcome, sender's domain; never content
    List {
        /// Only what was left alone, with the reason
        #[arg(long)]
        left_alone: bool,
        /// At most so many of the newest
        #[arg(long, default_value_t = 200)]
        limit: u32,
    },
    /// What the rules said about one message and why, also in observe mode; never content
    Show {
        /// Number in the list
        id: i64,
    },
    /// Make a case of a message that was left alone, with its original day of receipt
    Adopt {
        /// Number in the list
        id: i64,
        #[command(flatten)]
        why: Why,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    setup::runtime()?.block_on(async {
        if let Command::Adopt { id, why } = &args.command {
            let engine = setup::engine(&config).await?;
            let case = engine.adopt(*id, &why.actor(), &why.reason).await?;
            print_changed(&case, args.json);
            return Ok(ExitCode::SUCCESS);
        }
        let store = setup::store(&config).await?;
        let (left_alone, limit) = match args.command {
            Command::List { left_alone, limit } => (left_alone, limit),
            Command::Show { id } => return self::show(&config, &store, id, args.json).await,
            Command::Adopt { .. } => (true, 0),
        };
        let messages = store.messages(left_alone, limit).await?;
        if args.json {
            for message in &messages {
                println!(
                    "{}",
                    serde_json::to_string(message)
                        .map_err(|error| Failure::software(error.to_string()))?
                );
            }
        } else {
            let mut rows: Vec<Vec<String>> = Vec::with_capacity(messages.len());
            for message in &messages {
                let received = if message.received_at_ms == 0 {
                    "–".to_owned()
                } else {
                    show::moment(message.received_at_ms)
                };
                let verdict = verdict(&store, message.id).await?;
                let best = |pick: fn(&Verdict) -> &Option<String>| {
                    verdict
                        .as_ref()
                        .and_then(|verdict| pick(verdict).clone())
                        .unwrap_or_else(|| "–".to_owned())
                };
                rows.push(vec![
                    message.id.to_string(),
                    received,
                    message.source.clone(),
                    message.outcome.clone(),
                    message
                        .case
                        .clone()
                        .unwrap_or_else(|| show::or_dash(&message.reason)),
                    best(|verdict| &verdict.kind.value),
                    best(|verdict| &verdict.destination.value),
                    show::or_dash(&message.sender_domain),
                ]);
            }
            show::table(
                &[
                    "Nr",
                    "Mottatt",
                    "Kilde",
                    "Utfall",
                    "Sak eller grunn",
                    "Type",
                    "Part",
                    "Fra domene",
                ],
                &rows,
            );
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What the rules said when the message was taken in; `None` when they were not asked (a copy, or mail that cannot be parsed).
async fn verdict(store: &SharedStore, id: i64) -> Result<Option<Verdict>, Failure> {
    let json = store.verdict(id).await?;
    json.map(|json| {
        serde_json::from_str(&json)
            .map_err(|error| Failure::software(format!("the verdict on message {id}: {error}")))
    })
    .transpose()
}

async fn show(
    config: &Config,
    store: &SharedStore,
    id: i64,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let verdict = verdict(store, id).await?.ok_or_else(|| {
        Failure::not_done(format!("the rules said nothing about message {id}: there is none, or it is a copy, not decided yet, or cannot be parsed"))
    })?;
    if as_json {
        println!(
            "{}",
            serde_json::to_string(&verdict)
                .map_err(|error| Failure::software(error.to_string()))?
        );
    } else {
        let (rules, _) = setup::rules(&config.rules)?;
        let name = format!("melding {id}");
        let line = classify::Line::new(&name, &verdict.ruleset, Some(&verdict));
        anstream::print!(
            "{}",
            classify::for_people(&line, Some(&verdict), rules.directory())
        );
    }
    Ok(ExitCode::SUCCESS)
}
