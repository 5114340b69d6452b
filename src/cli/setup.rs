//! From a configuration file to a working [`Engine`]: what all commands on a database share.

use super::Failure;
use super::rule_files::{self, RULE_FILES, TEMPLATE_FILES};
use crate::calendar::Calendar;
use crate::case::{Policy, Reports};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError, Mode, SendConfig};
use crate::extractor::Extractor;
use crate::message::Limits;
use crate::outbox::MailTransport;
use crate::outbox::maildir::MaildirTransport;
use crate::outbox::message_id::SigningKey;
use crate::outbox::smtp::SmtpTransport;
use crate::rules::{RuleFiles, RuleSet};
use crate::store::{self, SharedStore, UNFINISHED_COPY};
use crate::template::Templates;
use crate::worker::reloading::{Loaded, RuleFolders};
use crate::worker::retention::Retention;
use crate::worker::{Engine, LiveSince, Rulebook};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The key that signs our Message-IDs, with older ones below it.
const KEY_FILE: &str = "message-id.key";
/// Under this name the database keeps the fingerprint of the key that all workers have.
const KEY_OF_ALL: &str = "message-id-key";
/// Held by the worker.
const LOCK_FILE: &str = "worker.lock";
/// The moment of the first start in live mode.
pub(super) const LIVE_SINCE: &str = "live-since-ms";

/// Reads the configuration; all its faults at once (exit code 78).
pub(super) fn config(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| match &error {
        ConfigError::Unreadable { source, .. } => Failure::config(format!(
            "{error}: {source}\nskriv --config FIL, eller sett LINJEVEI_CONFIG"
        )),
        ConfigError::Faults(_) => Failure::config(error.to_string()),
    })
}

/// Compiles the rules of a folder (exit code 65 when faulty).
pub(super) fn rules(folder: &Path) -> Result<(RuleSet, RuleFiles), Failure> {
    let files = rule_files::read(folder)?;
    let rules = RuleSet::compile(&files)
        .map_err(|faults| rule_files::faulty(&folder.display().to_string(), &faults))?;
    Ok((rules, files))
}

/// Compiles the templates of a folder (exit code 65 when faulty).
pub(super) fn templates(folder: &Path) -> Result<Templates, Failure> {
    let files = rule_files::read_tree(folder, TEMPLATE_FILES)?;
    Templates::compile(&files).map_err(|faults| {
        Failure::data(format!(
            "the templates in {} are faulty:\n{faults}",
            folder.display()
        ))
    })
}

/// The case logic's part of the configuration.
pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        acknowledge_max_age_ms: i64::try_from(config.acknowledge_max_age.as_millis())
            .unwrap_or(i64::MAX),
        serious_needs_approval: config.serious_needs_approval,
        acknowledgements_per_hour: config.acknowledgements_per_hour,
        close_after_days: config.close_after_days,
        reminder_hour: config.reminder_hour,
        authserv_id: config.authserv_id.clone(),
        duty_address: config.duty_address.clone(),
        reports: Reports {
            digest: config.digest.send,
            to: config.digest.to.clone(),
            hour: config.digest.hour,
            weekday: config.digest.weekday,
            party_status: config.digest.party_status,
        },
    }
}

/// How long content is kept.
pub(super) const fn retention(config: &Config) -> Retention {
    Retention {
        left_alone_keep_days: config.retention.left_alone_keep_days,
        closed_cases_keep_days: config.retention.closed_cases_keep_days,
    }
}

/// How mail goes out.
pub(super) fn transport(config: &Config) -> Arc<dyn MailTransport> {
    match &config.send {
        SendConfig::Smtp(server) => Arc::new(SmtpTransport::new(
            server.clone(),
            &config.identity.message_id_domain,
        )),
        SendConfig::Maildir(path) => Arc::new(MaildirTransport::new(path.clone())),
    }
}

/// Creates the data folder, readable by its owner only.
pub(super) fn data_folder(path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::temporary(format!(
            "the data folder {} cannot be used: {error}",
            path.display()
        ))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    // Only ever closed further: an operator who took away the right to write meant it.
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode()
        & 0o777;
    if mode & !0o700 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700)).map_err(failed)
}

/// Opens the database.
pub(super) async fn store(config: &Config) -> Result<SharedStore, Failure> {
    Ok(store::open(&config.database).await?)
}

/// Workers that share a database must know each other's Message-IDs: the key of one that comes later is among those of the
/// first, or nothing is touched.
async fn same_keys(store: &SharedStore, keys: &[SigningKey], data: &Path) -> Result<(), Failure> {
    let Some(first) = keys.first().filter(|_| store.node().is_some()) else {
        return Ok(());
    };
    let known = store.setting_once(KEY_OF_ALL, &first.fingerprint()).await?;
    if keys.iter().any(|key| key.fingerprint() == known) {
        return Ok(());
    }
    Err(Failure::config(format!(
        "{} is another key than that of the linjevei that used this database first: replies to its mail would not be known; \
         copy its {KEY_FILE} here",
        data.join(KEY_FILE).display()
    )))
}

/// Reads the keys of our Message-IDs; makes one at first start. One hex key a line, the one that signs first.
pub(super) fn keys(data: &Path) -> Result<Vec<SigningKey>, Failure> {
    let path = data.join(KEY_FILE);
    let failed = |error: std::io::Error| {
        Failure::temporary(format!(
            "the key file {} cannot be used: {error}",
            path.display()
        ))
    };
    let mut text = String::new();
    match File::open(&path) {
        Ok(mut file) => {
            file.read_to_string(&mut text).map_err(failed)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0_u8; 32];
            getrandom::fill(&mut bytes)
                .map_err(|error| Failure::software(format!("no randomness for a key: {error}")))?;
            text = SigningKey::new(bytes).to_file_content();
            // Written whole under another name first: a key that is half written would disown every mail of ours.
            let temporary = data.join(format!("{KEY_FILE}.new"));
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)
                .map_err(failed)?;
            file.write_all(text.as_bytes()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            std::fs::rename(&temporary, &path).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let keys: Option<Vec<SigningKey>> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| SigningKey::parse(line).ok())
        .collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        Failure::config(format!(
            "{}: every line must be a key of 64 hex digits; restore it from the backup",
            path.display()
        ))
    })
}

/// Opens everything that the configuration names.
pub(super) async fn engine(config: &Config) -> Result<Engine, Failure> {
    let (rules, files) = rules(&config.rules)?;
    let templates = templates(&config.templates)?;
    let calendar =
        Calendar::new(&config.closed_days).map_err(|error| Failure::config(error.to_string()))?;
    data_folder(&config.data)?;
    let keys = keys(&config.data)?;
    let store = store(config).await?;
    if store.setting(UNFINISHED_COPY).await?.is_some() {
        return Err(Failure::config(
            "a copy into this database was cut off, and cases are missing: the same «linjevei db copy» goes on with it",
        ));
    }
    same_keys(&store, &keys, &config.data).await?;
    let clock = Arc::new(SystemClock);
    let now_ms = clock.now_ms();
    store
        .keep_ruleset(rules.hash(), env!("CARGO_PKG_VERSION"), &files, now_ms)
        .await?;
    Ok(Engine {
        store,
        clock,
        rulebook: Rulebook::new(rules, templates),
        identity: Arc::new(config.identity.clone()),
        keys: Arc::new(keys),
        policy: Arc::new(policy(config)),
        calendar: Arc::new(calendar),
        transport: transport(config),
        mode: config.mode,
        live_since: LiveSince::default(),
        limits: Limits {
            max_bytes: config.parse_max_bytes,
            ..Limits::default()
        },
        extractor: Arc::new(Extractor::this_program()),
    })
}

/// In live mode, what arrived before the first live start is left alone: remembers that moment and puts it in force.
pub(super) async fn live_since(engine: &mut Engine, config: &Config) -> Result<(), Failure> {
    if engine.mode == Mode::Live {
        let now_ms = engine.clock.now_ms();
        let now = now_ms.to_string();
        let since = engine.store.setting_once(LIVE_SINCE, &now).await?;
        // A clock that was ahead at the first start would have everything left alone until that moment comes.
        if since.parse().is_ok_and(|since_ms: i64| since_ms > now_ms) {
            tracing::warn!(
                "the clock was ahead when this went live first; what arrives from now on counts"
            );
            engine.store.set_setting(LIVE_SINCE, &now).await?;
        }
    }
    live_since_as_remembered(engine, config).await
}

/// For commands that decide beside the worker: puts the remembered moment in force. Where no worker has been live yet, all
/// mail of the watched mailboxes arrived before it.
pub(super) async fn live_since_as_remembered(
    engine: &mut Engine,
    config: &Config,
) -> Result<(), Failure> {
    let at_ms = match engine.store.setting(LIVE_SINCE).await? {
        Some(stored) => {
            let at_ms: i64 = stored.parse().map_err(|_| {
                Failure::software(format!("the database says «{stored}» for {LIVE_SINCE}"))
            })?;
            // IMAP tells the time of arrival in whole seconds: what arrived in the same second counts as later.
            at_ms.saturating_sub(at_ms.rem_euclid(1000))
        }
        None => i64::MAX,
    };
    let names = config.sources.iter().map(|source| source.name().to_owned());
    engine.live_since = LiveSince {
        at_ms,
        sources: Arc::new(names.collect()),
    };
    Ok(())
}

/// Only one worker on a data folder: held until the process ends.
pub(super) fn worker_lock(data: &Path) -> Result<File, Failure> {
    let path = data.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = file.map_err(|error| {
        Failure::temporary(format!(
            "the file {} cannot be used: {error}",
            path.display()
        ))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure::unavailable(format!(
            "another «linjevei run» works on {}; one is enough. The other commands may be used beside it.",
            data.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// A runtime for one command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// The folders that the worker looks at for edits.
#[derive(Debug)]
pub(super) struct Folders {
    /// Rules.
    pub rules: PathBuf,
    /// Templates.
    pub templates: PathBuf,
}

impl RuleFolders for Folders {
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (folder, extensions) in [(&self.rules, RULE_FILES), (&self.templates, TEMPLATE_FILES)] {
            rule_files::look(folder, extensions).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn load(&self) -> Result<Loaded, String> {
        let (rules, rule_files) =
            rules(&self.rules).map_err(|failure| failure.text().to_owned())?;
        let templates = templates(&self.templates).map_err(|failure| failure.text().to_owned())?;
        Ok(Loaded {
            rules,
            rule_files,
            templates,
        })
    }
}
