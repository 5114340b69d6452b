//! `linjevei doctor`: one screen that says whether everything is ready, and what to do where it is not.

mod first_run;
mod svarinn;

use super::{ConfigPath, Failure, logging, setup, show};
use crate::config::{Config, DatabaseConfig, Mode, Secret, SendConfig, SourceConfig};
use crate::extractor::Extractor;
use crate::intake::imap::ImapSource;
use crate::intake::maildir::MaildirSource;
use crate::intake::{Cursor, MailSource};
use crate::rules::Directory;
use crate::store::{self, PostgresStore, SharedStore, StoreError};
use crate::worker::{digest_address, reloading};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// Print JSON, one line a check
    #[arg(long)]
    json: bool,
}

/// What was found out about one part.
struct Finding {
    part: String,
    result: Result<String, String>,
}

/// Whether a child process can be started that reads attachments within its limits.
fn attachments() -> Result<String, String> {
    let outcome = Extractor::this_program()
        .read_file("a.rtf", "application/rtf", b"{\\rtf1 Avvik}")
        .map_err(|error| error.to_string())?;
    if outcome.extracted.pieces.len() == 1 {
        Ok("are read in processes of their own, with limits".to_owned())
    } else {
        Err("the process that reads attachments does not answer; under systemd it needs the system calls that the shipped unit allows".to_owned())
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, part: impl Into<String>, result: Result<String, String>) {
        self.0.push(Finding {
            part: part.into(),
            result,
        });
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    logging::start(logging::Noise::Warnings);
    let mut findings = Findings::default();
    let config = match Config::load(&args.config.config) {
        Ok(config) => config,
        Err(error) => {
            findings.add("configuration", Err(error.to_string()));
            print(&findings, args.json);
            return Ok(ExitCode::from(78));
        }
    };
    let mode = match config.mode {
        Mode::Observe => {
            "observe: stores and classifies, takes no case number, sends and touches nothing; set mode = \"live\" for the real work"
        }
        Mode::Live => "live",
    };
    findings.add(
        "configuration",
        Ok(format!("{} ({mode})", args.config.config.display())),
    );
    findings.add(
        "rules",
        setup::rules(&config.rules)
            .map(|(rules, _)| {
                format!(
                    "{} ({} parties, {})",
                    config.rules.display(),
                    rules.directory().parties().count(),
                    rules.hash()
                )
            })
            .map_err(|failure| failure.text().to_owned()),
    );
    if let Ok((rules, _)) = setup::rules(&config.rules) {
        findings.add("own addresses", own_addresses(&config, rules.directory()));
        findings.add("digest", digest(&config, rules.directory()));
        for source in &config.sources {
            if let SourceConfig::SvarInn(source) = source {
                let part = format!("portal of {}", source.name);
                findings.add(part, svarinn::portal(source, rules.directory()));
            }
        }
    }
    findings.add(
        "templates",
        setup::templates(&config.templates)
            .map(|_| config.templates.display().to_string())
            .map_err(|failure| failure.text().to_owned()),
    );
    setup::runtime()?.block_on(async {
        let store = database(&config, &mut findings).await;
        for source in &config.sources {
            let checked = check_source(source).await;
            let reachable = checked.is_ok();
            findings.add(format!("source {}", source.name()), checked);
            if reachable {
                let first = first_run::preview(&config, source, store.as_ref()).await;
                if let Some(result) = first.transpose() {
                    findings.add(format!("first run, {}", source.name()), result);
                }
            }
        }
        if let Some(store) = &store {
            let result = retention(&config, store).await;
            findings.add("retention", result.map_err(|error| error.to_string()));
            findings.add("adds up", reconciled(store).await);
        }
        let sending = match &config.send {
            SendConfig::Smtp(server) => format!("sending by {}:{}", server.host, server.port),
            SendConfig::Maildir(path) => format!("sending into {}", path.display()),
        };
        findings.add(sending, setup::transport(&config).check().await);
    });
    findings.add("attachments", attachments());
    findings.add("clock", clock());
    print(&findings, args.json);
    let well = findings.0.iter().all(|finding| finding.result.is_ok());
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// What comes from our own addresses is never answered: the rules have to know those that the settings name.
fn own_addresses(config: &Config, directory: &Directory) -> Result<String, String> {
    let watched = config.sources.iter().filter_map(|source| match source {
        SourceConfig::Imap { server, .. } => server
            .login
            .as_ref()
            .map(|login| login.user.as_str())
            .filter(|user| user.contains('@')),
        SourceConfig::Maildir { .. } | SourceConfig::SvarInn(_) => None,
    });
    let unknown: BTreeSet<&str> = watched
        .chain([config.identity.address.as_str()])
        .filter(|address| !directory.is_own(address))
        .collect();
    if unknown.is_empty() {
        return Ok("the rules know them".to_owned());
    }
    let unknown: Vec<&str> = unknown.into_iter().collect();
    Err(format!(
        "{} is not among addresses of [own] in the rules; add it, or linjevei may answer its own mail",
        unknown.join(", ")
    ))
}

/// The digest must reach people, and nothing that is watched.
fn digest(config: &Config, directory: &Directory) -> Result<String, String> {
    let settings = &config.digest;
    if !settings.send {
        return Ok("off".to_owned());
    }
    digest_address(settings.to.as_deref(), directory)
        .map(|address| format!("to {address}, from {:02}:00", settings.hour))
        .ok_or_else(|| {
            "nobody gets it: set [digest] to, an address that is not watched, or give the party «samhandling» one in the rules; \
             send = false turns it off"
                .to_owned()
        })
}

/// Looks at the database without creating it: a check changes nothing. `None` when there is none yet, or it cannot be opened.
async fn database(config: &Config, findings: &mut Findings) -> Option<SharedStore> {
    let (place, there) = match &config.database {
        DatabaseConfig::Sqlite(path) => (
            path.display().to_string(),
            sqlite_file(config, path, findings),
        ),
        DatabaseConfig::Postgres { url, password } => {
            let password = password.as_ref().map(Secret::reveal);
            (
                "PostgreSQL".to_owned(),
                postgres_server(url, password, findings).await,
            )
        }
    };
    if !there {
        return None;
    }
    let found = contents(config, &place, findings).await;
    match found {
        Ok((line, store)) => {
            findings.add("database", Ok(line));
            if store.node().is_some() {
                let workers = workers(&store).await;
                findings.add("workers", workers);
            }
            Some(store)
        }
        Err(error) => {
            findings.add("database", Err(error.to_string()));
            None
        }
    }
}

/// A clock that is off by so much makes workers take each other for dead, or mail go out twice.
const CLOCK_OFF_MS: u64 = 30_000;

/// Whether the server can be worked with and the tables are there.
async fn postgres_server(url: &str, password: Option<&str>, findings: &mut Findings) -> bool {
    let report = match PostgresStore::examine(url, password).await {
        Ok(report) => report,
        Err(error) => {
            findings.add("database", Err(error.to_string()));
            return false;
        }
    };
    if let Some(obstacle) = report.obstacle() {
        findings.add("database", Err(obstacle));
        return false;
    }
    let encrypted = if report.encrypted {
        "encrypted"
    } else {
        "not encrypted"
    };
    findings.add(
        "database server",
        Ok(format!(
            "PostgreSQL {}, connection {encrypted}",
            report.version
        )),
    );
    let seconds = report.ahead_ms.unsigned_abs() / 1000;
    findings.add(
        "clock of the server",
        if report.ahead_ms.unsigned_abs() > CLOCK_OFF_MS {
            Err(format!(
                "{seconds} s from the clock here; set both by NTP (timedatectl)"
            ))
        } else {
            Ok(format!("{seconds} s from the clock here"))
        },
    );
    if !report.tables {
        findings.add(
            "database",
            Ok("its tables are created at first start".to_owned()),
        );
    }
    report.tables
}

/// The workers that live, by which rules they decide and what they watch.
async fn workers(store: &SharedStore) -> Result<String, String> {
    let told = async { Ok::<_, StoreError>((store.nodes().await?.nodes, store.watchers().await?)) };
    let (nodes, watchers) = told.await.map_err(|error| error.to_string())?;
    let lines: Vec<String> = nodes
        .iter()
        .map(|node| {
            let watched: Vec<&str> = watchers
                .iter()
                .filter(|(_, by)| *by == node.name)
                .map(|(source, _)| source.as_str())
                .collect();
            let watched = if watched.is_empty() {
                "nothing; ready to take over".to_owned()
            } else {
                watched.join(", ")
            };
            format!("{}: rules {}, watches {watched}", node.name, node.ruleset)
        })
        .collect();
    let text = if lines.is_empty() {
        "none runs".to_owned()
    } else {
        lines.join("\n")
    };
    let rules: BTreeSet<&str> = nodes.iter().map(|node| node.ruleset.as_str()).collect();
    if rules.len() > 1 {
        return Err(format!(
            "{text}\nthey decide by different rules: give all the same files"
        ));
    }
    Ok(text)
}

/// Whether the file is there and may be written to.
fn sqlite_file(config: &Config, path: &std::path::Path, findings: &mut Findings) -> bool {
    // SQLite and the worker make files beside the database; the nearest folder that exists has to let them.
    let nearest = config
        .data
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(std::path::Path::new("."));
    if let Err(error) = rustix::fs::access(
        nearest,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    ) {
        let problem = std::io::Error::from(error);
        findings.add(
            "database",
            Err(format!(
                "user {} cannot write in {}: {problem}",
                super::cases::user(),
                nearest.display()
            )),
        );
        return false;
    }
    if !path.exists() {
        let parent_exists =
            config.data.parent().is_none_or(std::path::Path::exists) || config.data.exists();
        findings.add(
            "database",
            if parent_exists {
                Ok(format!("{} is created at first start", path.display()))
            } else {
                Err(format!("neither {} nor the folder above it exists; create it for the user that runs linjevei", config.data.display()))
            },
        );
        return false;
    }
    true
}

/// What is in the database, and the rules in force.
async fn contents(
    config: &Config,
    place: &str,
    findings: &mut Findings,
) -> Result<(String, SharedStore), StoreError> {
    let store = store::open(&config.database).await?;
    let counts = store.counts().await?;
    let sum = |rows: &[(String, i64)]| rows.iter().map(|(_, count)| count).sum::<i64>();
    let waiting = counts.oldest_unsent_ms.map_or_else(
        || "nothing waits to be sent".to_owned(),
        |ms| format!("oldest unsent mail from {}", show::moment(ms)),
    );
    let mut line = format!(
        "{place}: {} messages, {} cases, {waiting}",
        sum(&counts.messages),
        sum(&counts.cases)
    );
    for source in &config.sources {
        if let Some(at) = store.checked_at_ms(source.name()).await? {
            let checked = [source.name(), &show::moment(at)].join(" checked ");
            line = [line, checked].join("; ");
        }
    }
    if let Some(rules) = reloading::in_force(&store).await? {
        let since = format!("{} since {}", rules.hash, show::moment(rules.since_ms));
        findings.add(
            "rules in force",
            match rules.refused {
                None => Ok(since),
                Some((at, why)) => Err(format!(
                    "{since}; a newer set was refused {}:\n{why}",
                    show::moment(at)
                )),
            },
        );
    }
    Ok((line, store))
}

/// How long content is kept, what has been deleted and what is due.
async fn retention(config: &Config, store: &SharedStore) -> Result<String, StoreError> {
    let retention = setup::retention(config);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let counts = store
        .retention_counts(
            retention.left_alone_before_ms(now_ms),
            retention.ended_before_ms(now_ms),
        )
        .await?;
    let cases = match retention.closed_cases_keep_days {
        Some(days) => format!("cases {days} days after they are done"),
        None => "cases for good (closed_cases_keep_days says otherwise)".to_owned(),
    };
    Ok(format!(
        "content of mail left alone is kept {} days, {cases}; deleted so far: {} messages, {} cases; due: {} messages, {} cases",
        retention.left_alone_keep_days,
        counts.messages_deleted,
        counts.cases_deleted,
        counts.left_alone_due,
        counts.cases_due
    ))
}

/// What the last reconciliations found.
async fn reconciled(store: &SharedStore) -> Result<String, String> {
    let all = store
        .reconciliations()
        .await
        .map_err(|error| error.to_string())?;
    let wrong: Vec<String> = all
        .iter()
        .filter(|last| last.differences > 0)
        .map(|last| {
            let of = if last.source.is_empty() {
                "the store"
            } else {
                &last.source
            };
            format!("{of}: {} differences", last.differences)
        })
        .collect();
    if !wrong.is_empty() {
        return Err(format!(
            "{}; «linjevei reconcile» lists them",
            wrong.join(", ")
        ));
    }
    Ok(all.iter().map(|last| last.at_ms).min().map_or_else(
        || "not counted yet; the worker does so every day".to_owned(),
        |oldest| format!("counted since {}", show::moment(oldest)),
    ))
}

async fn check_source(config: &SourceConfig) -> Result<String, String> {
    match config {
        SourceConfig::Imap { .. } => {
            let mut source = ImapSource::new(config).map_err(|error| error.to_string())?;
            let report = source.check().await;
            source.close().await;
            let report = report.map_err(|error| with_causes(&error))?;
            let line = format!(
                "{}, folder {}: {} messages, new mail is told by {}",
                report.server,
                report.folder,
                report.messages,
                if report.idle { "IDLE" } else { "polling" }
            );
            report
                .obstacle()
                .map_or(Ok(line), |obstacle| Err(obstacle.to_owned()))
        }
        SourceConfig::SvarInn(config) => svarinn::check(config).await,
        SourceConfig::Maildir { name, path, .. } => {
            let mut source = MaildirSource::new(name, path);
            let listing = source
                .list(&Cursor::default(), 1000)
                .await
                .map_err(|error| with_causes(&error))?;
            let more = if listing.more { " or more" } else { "" };
            Ok(format!(
                "{}: {}{more} messages",
                path.display(),
                listing.candidates.len()
            ))
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// A clock that is off by years would acknowledge nothing or remind everybody.
fn clock() -> Result<String, String> {
    let now = jiff::Timestamp::now().as_millisecond();
    let built = i64::from(BUILT_YEAR);
    if i64::from(crate::calendar::oslo_day(now).year()) < built {
        return Err(format!(
            "the clock says {}, before linjevei was made; set it (timedatectl)",
            show::moment(now)
        ));
    }
    Ok(format!("{} Europe/Oslo", show::moment(now)))
}

/// The year before which no clock can be right.
const BUILT_YEAR: i16 = 2026;

fn print(findings: &Findings, as_json: bool) {
    for Finding { part, result } in &findings.0 {
        let (ok, text) = match result {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        if as_json {
            println!("{}", json!({ "part": part, "ok": ok, "text": text }));
        } else {
            let (mark, style) = if ok {
                ("✓", show::FINE)
            } else {
                ("✗", show::ALERT)
            };
            anstream::println!(
                "{style}{mark}{style:#} {part:<28} {}",
                text.replace('\n', "\n  ")
            );
        }
    }
}
