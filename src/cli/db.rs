//! `linjevei db`: the database itself.

use super::{ConfigPath, Failure, logging, setup, show};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{DatabaseConfig, Secret};
use crate::store::{self, PostgresStore, SqliteStore};
use crate::worker::reconciling::UNDECIDED_MS;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    config: ConfigPath,
}

#[derive(Debug, clap::Subcommand)]
#[expect(clippy::doc_markdown, reason = "people read it in a terminal")]
enum Command {
    /// What is in it, and which workers share it
    Status {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Create its tables, or bring them up to date; the worker does so too
    Migrate,
    /// Does everything in it hang together: messages and their cases, mail, histories, numbers
    Check,
    /// Write a whole copy beside a running worker (SQLite)
    Backup {
        /// The file to write; it must not be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Copy everything from SQLite to an empty PostgreSQL; goes on where it was interrupted
    Copy {
        /// The file, with no worker on it
        #[arg(long, value_name = "sqlite://FILE")]
        from: String,
        /// The database; the password from PGPASSWORD, ~/.pgpass, or the configuration when it names the same database
        #[arg(long, value_name = "postgres://…")]
        to: String,
    },
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let config = &args.config.config;
    setup::runtime()?.block_on(async {
        match &args.command {
            Command::Status { json } => status(&setup::config(config)?.database, *json).await,
            Command::Migrate => {
                store::open(&setup::config(config)?.database).await?;
                println!("the tables are up to date");
                Ok(ExitCode::SUCCESS)
            }
            Command::Check => check(&setup::config(config)?.database).await,
            Command::Backup { file } => backup(&setup::config(config)?.database, file).await,
            Command::Copy { from, to } => {
                let configured = setup::config(config).ok().map(|config| config.database);
                copy(from, to, configured).await
            }
        }
    })
}

async fn status(database: &DatabaseConfig, as_json: bool) -> Result<ExitCode, Failure> {
    let store = store::open(database).await?;
    let counts = store.counts().await?;
    let nodes = store.nodes().await?.nodes;
    let watchers = store.watchers().await?;
    if as_json {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|node| json!({ "name": node.name, "ruleset": node.ruleset }))
            .collect();
        let watchers: Vec<_> = watchers
            .iter()
            .map(|(source, node)| json!({ "source": source, "worker": node }))
            .collect();
        println!(
            "{}",
            json!({ "contents": counts, "workers": nodes, "watchers": watchers })
        );
        return Ok(ExitCode::SUCCESS);
    }
    for (what, rows) in [
        ("messages", &counts.messages),
        ("cases", &counts.cases),
        ("mail", &counts.outbox),
    ] {
        let rows: Vec<String> = rows
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let rows = if rows.is_empty() {
            "none".to_owned()
        } else {
            rows.join(", ")
        };
        println!("{what:<9} {rows}");
    }
    for node in nodes {
        println!("worker    {} (rules {})", node.name, node.ruleset);
    }
    for (source, node) in watchers {
        println!("source    {source} is watched by {node}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(database: &DatabaseConfig) -> Result<ExitCode, Failure> {
    let store = store::open(database).await?;
    let mut found = store.integrity().await?;
    let now_ms = SystemClock.now_ms();
    for end in store
        .loose_ends(now_ms.saturating_sub(UNDECIDED_MS))
        .await?
    {
        let of = if end.source.is_empty() {
            String::new()
        } else {
            format!(" of {}", end.source)
        };
        found.push(format!("{} {}{of}", end.count, end.kind));
    }
    for account in store.accounts().await? {
        let difference = account.unaccounted();
        if difference != 0 {
            found.push(format!(
                "{difference} messages of {} without an outcome",
                account.source
            ));
        }
    }
    if found.is_empty() {
        println!("everything hangs together");
        return Ok(ExitCode::SUCCESS);
    }
    for line in &found {
        anstream::println!("{style}✗{style:#} {line}", style = show::ALERT);
    }
    Ok(ExitCode::from(1))
}

async fn backup(database: &DatabaseConfig, file: &Path) -> Result<ExitCode, Failure> {
    match database {
        DatabaseConfig::Sqlite(path) => {
            if file.exists() {
                return Err(Failure::io(format!("{} is there already", file.display())));
            }
            if !path.exists() {
                return Err(Failure::io(format!("{} is not there", path.display())));
            }
            SqliteStore::open(path).await?.backup(file).await?;
            println!(
                "{} (keep message-id.key from the data folder with it)",
                file.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        DatabaseConfig::Postgres { .. } => Err(Failure::not_done(format!(
            "PostgreSQL has its own backup: pg_dump --format=custom --file={} with the address of «database», as that user; \
             keep message-id.key from the data folder with it",
            file.display()
        ))),
    }
}

async fn copy(
    from: &str,
    to: &str,
    configured: Option<DatabaseConfig>,
) -> Result<ExitCode, Failure> {
    let DatabaseConfig::Sqlite(file) = DatabaseConfig::named(from) else {
        return Err(Failure::not_done("--from must be a SQLite file"));
    };
    let target = match (DatabaseConfig::named(to), configured) {
        (
            DatabaseConfig::Postgres { url, .. },
            Some(DatabaseConfig::Postgres {
                url: same,
                password,
            }),
        ) if url == same => {
            PostgresStore::open(&url, password.as_ref().map(Secret::reveal)).await?
        }
        (DatabaseConfig::Postgres { url, .. }, _) => PostgresStore::open(&url, None).await?,
        (DatabaseConfig::Sqlite(_), _) => {
            return Err(Failure::not_done(
                "--to must be the address of a PostgreSQL database",
            ));
        }
    };
    if !file.is_file() {
        return Err(Failure::io(format!("{} is not there", file.display())));
    }
    // A worker would go on writing to what was copied.
    let _lock = setup::worker_lock(file.parent().unwrap_or(Path::new(".")))?;
    // Brings the file up to date first: both have the same tables then.
    drop(SqliteStore::open(&file).await?);
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left") {
        bar.set_style(style);
    }
    let copied = store::copy(&file, &target, &|done, all| {
        bar.set_length(all);
        bar.set_position(done);
        true
    })
    .await;
    bar.finish_and_clear();
    let copied = copied?;
    for one in &copied {
        let same = if one.from == one.to {
            ""
        } else {
            "  ✗ not the same"
        };
        println!("{:<17} {:>10} {:>10}{same}", one.table, one.from, one.to);
    }
    if copied.iter().any(|one| one.from != one.to) {
        return Err(Failure::not_done(
            "the rows are not the same; was the file changed meanwhile?",
        ));
    }
    println!(
        "copied; set database = \"{to}\" in linjevei.toml, and keep message-id.key in the data folder"
    );
    Ok(ExitCode::SUCCESS)
}
