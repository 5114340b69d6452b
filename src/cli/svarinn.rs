//! `linjevei svarinn`: what waits in KS SvarInn, and what only a person may say there.

use super::cases::Why;
use super::{ConfigPath, Failure, logging, setup, show};
use crate::case::CaseNumber;
use crate::case::person::Order;
use crate::config::{Config, SourceConfig, SvarInnConfig};
use crate::intake::SourceError;
use crate::intake::svarinn::{self, Answered, SvarInn, Waiting};
use crate::store::{MessageRow, SharedStore, SourceEvent};
use clap::Subcommand;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// Name of the [[svarinn]] section; needed only when there are several
    #[arg(long, global = true, value_name = "NAME")]
    source: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is not receipted: id, age, number of files, what became of it here; never content. Receipts nothing
    List,
    /// Receipt a forsendelse by hand: SvarInn shows it no more
    ///
    /// The worker receipts what became a case by itself. This is for what was left alone, or was fetched in another way.
    Receipt {
        /// Its id in the list
        id: String,
        /// It is not stored here: somebody has fetched it elsewhere
        #[arg(long)]
        fetched_elsewhere: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Tell SvarInn that a forsendelse cannot be received
    ///
    /// Without --permanent SvarInn keeps it and shows it again. With --permanent SvarInn gives up: the letter goes on to the
    /// receiver in Altinn, or is printed and sent by post, and cannot be fetched any more.
    Fail {
        /// Its id in the list
        id: String,
        /// What SvarInn is told; no names, nothing of the content
        #[arg(long, value_name = "TEXT")]
        message: String,
        /// Give up: the letter goes on to Altinn and print
        #[arg(long)]
        permanent: bool,
        /// Say that you know what --permanent does
        #[arg(long, requires = "permanent")]
        to_altinn_and_print: bool,
        #[command(flatten)]
        why: Why,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = setup::config(&args.config.config)?;
    let sources = chosen(&config, args.source.as_deref())?;
    setup::runtime()?.block_on(async {
        match &args.command {
            Command::List => list(&config, &sources, args.json).await,
            Command::Receipt {
                id,
                fetched_elsewhere,
                why,
            } => {
                let source = the_one(&sources)?;
                let by_hand = ByHand::new(&config, source, id, why).await?;
                if by_hand.message.is_none() && !fetched_elsewhere {
                    return Err(Failure::not_done(format!(
                        "forsendelse {id} is not stored here: after a receipt nobody could fetch it any more; if somebody has it, \
                         say so with --fetched-elsewhere"
                    )));
                }
                by_hand.begin("receipt-begun").await?;
                let answered = by_hand.service.receipt(id).await;
                by_hand.end("receipt-done", "SvarInn: kvittert ut for hånd", answered).await?;
                println!("Forsendelse {id} is receipted; SvarInn shows it no more.");
                Ok(ExitCode::SUCCESS)
            }
            Command::Fail {
                id,
                message,
                permanent,
                to_altinn_and_print,
                why,
            } => {
                if *permanent && !to_altinn_and_print {
                    return Err(Failure::not_done(
                        "--permanent makes SvarInn give up: the letter goes on to the receiver in Altinn, or is printed and sent by \
                         post, and cannot be fetched any more; if that is what you want, add --to-altinn-and-print",
                    ));
                }
                let source = the_one(&sources)?;
                let by_hand = ByHand::new(&config, source, id, why).await?;
                by_hand
                    .begin(if *permanent { "fail-permanent-begun" } else { "fail-begun" })
                    .await?;
                let answered = by_hand.service.fail(id, message, *permanent).await;
                let (kind, note) = if *permanent {
                    (
                        "fail-permanent-done",
                        "SvarInn: mottak feilet for godt, forsendelsen går til Altinn eller print",
                    )
                } else {
                    ("fail-done", "SvarInn: meldt at mottak feilet, forsendelsen blir liggende")
                };
                by_hand.end(kind, note, answered).await?;
                println!(
                    "SvarInn was told that forsendelse {id} cannot be received{}.",
                    if *permanent {
                        "; it goes on to Altinn and print"
                    } else {
                        ", and keeps it"
                    }
                );
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// The sections that are meant.
fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<Vec<&'c SvarInnConfig>, Failure> {
    let all = config.sources.iter().filter_map(|source| match source {
        SourceConfig::SvarInn(config) => Some(config.as_ref()),
        SourceConfig::Imap { .. } | SourceConfig::Maildir { .. } => None,
    });
    let found: Vec<&SvarInnConfig> = all
        .filter(|source| name.is_none_or(|name| name == source.name))
        .collect();
    if found.is_empty() {
        return Err(Failure::config(match name {
            Some(name) => {
                format!("there is no [[svarinn]] with name = \"{name}\" in the configuration")
            }
            None => "there is no [[svarinn]] in the configuration".to_owned(),
        }));
    }
    Ok(found)
}

fn the_one<'c>(sources: &[&'c SvarInnConfig]) -> Result<&'c SvarInnConfig, Failure> {
    match sources {
        [one] => Ok(one),
        several => {
            let names: Vec<&str> = several.iter().map(|source| source.name.as_str()).collect();
            Err(Failure::not_done(format!(
                "say which with --source: {}",
                names.join(", ")
            )))
        }
    }
}

/// Something that a person says in SvarInn.
struct ByHand<'a> {
    service: SvarInn,
    engine: crate::worker::Engine,
    source: &'a SvarInnConfig,
    id: &'a str,
    why: &'a Why,
    /// The forsendelse, where it is stored.
    message: Option<MessageRow>,
    /// The case of it, or of the notice that it cannot be read.
    case: Option<CaseNumber>,
}

impl<'a> ByHand<'a> {
    async fn new(
        config: &Config,
        source: &'a SvarInnConfig,
        id: &'a str,
        why: &'a Why,
    ) -> Result<Self, Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if id.is_empty() || !id.chars().all(plain) {
            return Err(Failure::not_done(format!(
                "«{id}» is no id of a forsendelse; see «linjevei svarinn list»"
            )));
        }
        let engine = setup::engine(config).await?;
        let (message, notice) = stored(&engine.store, source, id).await?;
        let case = [&message, &notice]
            .into_iter()
            .flatten()
            .find_map(|row| row.case.as_deref()?.parse().ok());
        Ok(Self {
            service: SvarInn::new(source),
            engine,
            source,
            id,
            why,
            message,
            case,
        })
    }

    async fn keep(&self, kind: &'static str) -> Result<(), Failure> {
        let event = SourceEvent {
            source: self.source.name.clone(),
            position_key: self.id.to_owned(),
            at_ms: jiff::Timestamp::now().as_millisecond(),
            kind,
            actor: self.why.actor(),
            reason: self.why.reason.clone(),
        };
        Ok(self.engine.store.keep_source_event(&event).await?)
    }

    /// Kept before it is said: who did it is known even when the answer is lost.
    async fn begin(&self, kind: &'static str) -> Result<(), Failure> {
        self.keep(kind).await
    }

    async fn end(
        &self,
        kind: &'static str,
        note: &str,
        answered: Result<Answered, SourceError>,
    ) -> Result<(), Failure> {
        match answered {
            Ok(Answered::Taken) => {}
            Ok(Answered::Unknown) => {
                self.keep("not-there").await?;
                return Err(Failure::not_done(format!(
                    "SvarInn does not have forsendelse {}; see «linjevei svarinn list»",
                    self.id
                )));
            }
            Err(error) => {
                self.keep("not-done").await?;
                return Err(Failure::not_done(error.to_string()));
            }
        }
        self.keep(kind).await?;
        if let Some(number) = self.case {
            let reason = format!("{note}. {}", self.why.reason);
            self.engine
                .carry_out(number, &Order::Note, &self.why.actor(), &reason)
                .await?;
        }
        Ok(())
    }
}

/// What is stored of a forsendelse: itself, and the notice that it cannot be read.
async fn stored(
    store: &SharedStore,
    source: &SvarInnConfig,
    id: &str,
) -> Result<(Option<MessageRow>, Option<MessageRow>), Failure> {
    let [itself, notice] = svarinn::positions(source, id);
    Ok((
        store.message_at(&source.name, &itself).await?,
        store.message_at(&source.name, &notice).await?,
    ))
}

async fn list(
    config: &Config,
    sources: &[&SvarInnConfig],
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let store = setup::store(config).await?;
    let unreadable = store.unreadable().await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let mut rows = Vec::new();
    for source in sources {
        let waiting = SvarInn::new(source).waiting().await;
        let waiting = waiting.map_err(|error| Failure::not_done(error.to_string()))?;
        for one in waiting {
            let (itself, notice) = stored(&store, source, &one.id).await?;
            let why = unreadable
                .iter()
                .find(|row| row.source == source.name && row.position.key == one.id)
                .map(|row| row.why.as_str());
            let row = itself.as_ref().or(notice.as_ref());
            let outcome = match (&itself, &notice) {
                (Some(row), _) => row.outcome.as_str(),
                (None, _) if why.is_some() => "unreadable",
                (None, Some(_)) => "unreadable",
                (None, None) => "not fetched",
            };
            let case = row
                .and_then(|row| row.case.clone())
                .unwrap_or_else(|| "–".to_owned());
            if as_json {
                let line = json!({
                    "source": source.name, "id": one.id, "date_ms": one.date_ms, "files": one.files, "size_bytes": one.size,
                    "outcome": outcome, "reason": row.map(|row| row.reason.as_str()), "case": row.and_then(|row| row.case.clone()),
                    "message": itself.as_ref().map(|row| row.id), "why": why,
                });
                println!("{line}");
                continue;
            }
            rows.push(vec![
                one.id.clone(),
                one.date_ms.map_or_else(|| "–".to_owned(), show::moment),
                age(&one, now_ms),
                one.files.to_string(),
                outcome.to_owned(),
                case,
                show::or_dash(why.unwrap_or_default()),
            ]);
        }
    }
    if as_json {
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        println!("Nothing waits in SvarInn.");
    } else {
        let heading = [
            "Forsendelse",
            "Sendt",
            "Alder",
            "Filer",
            "Utfall",
            "Sak",
            "Hvorfor",
        ];
        show::table(&heading, &rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// How long it has waited, in minutes up to two hours and hours after that.
fn age(waiting: &Waiting, now_ms: i64) -> String {
    let Some(date_ms) = waiting.date_ms else {
        return "–".to_owned();
    };
    let minutes = now_ms.saturating_sub(date_ms).max(0) / 60_000;
    if minutes < 120 {
        format!("{minutes} min")
    } else {
        format!("{} t", minutes / 60)
    }
}
