//! `linjevei messages`: what was taken in and what became of it.

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
    /// List messages, newest last: time, source, outcome, sender's domain; never content
    List {
        /// Only what was left alone, with the reason
        #[arg(long)]
        left_alone: bool,
        /// At most so many of the newest
        #[arg(long, default_value_t = 200)]
        limit: u32,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    let Command::List { left_alone, limit } = args.command;
    setup::runtime()?.block_on(async {
        let store = setup::store(&config.data).await?;
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
            let rows: Vec<Vec<String>> = messages
                .iter()
                .map(|message| {
                    let received = if message.received_at_ms == 0 {
                        "–".to_owned()
                    } else {
                        show::moment(message.received_at_ms)
                    };
                    vec![
                        message.id.to_string(),
                        received,
                        message.source.clone(),
                        message.outcome.clone(),
                        message
                            .case
                            .clone()
                            .unwrap_or_else(|| show::or_dash(&message.reason)),
                        show::or_dash(&message.sender_domain),
                    ]
                })
                .collect();
            show::table(
                &[
                    "Nr",
                    "Mottatt",
                    "Kilde",
                    "Utfall",
                    "Sak eller grunn",
                    "Fra domene",
                ],
                &rows,
            );
        }
        Ok(ExitCode::SUCCESS)
    })
}
