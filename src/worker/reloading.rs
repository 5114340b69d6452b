//! Edited rules and templates: loaded as a whole or not at all. A set with a fault is refused, the last good one stays in
//! force, and log and `doctor` say why.
//!
//! The folders are looked at, not watched: that works on every file system, with editors that save by renaming, and with a
//! folder that a checkout replaces. A change is loaded once two looks in a row see the same files.

use super::vitals::Pulse;
use super::{Engine, service};
use crate::rules::{RuleFiles, RuleSet};
use crate::store::{SharedStore, StoreError};
use crate::template::Templates;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Under this name the store keeps what is in force, for `doctor`.
const SETTING: &str = "rules-in-force";

/// A set that was read from disk and holds no fault.
#[derive(Debug)]
pub struct Loaded {
    /// The rules.
    pub rules: RuleSet,
    /// Their files, to be kept with the decisions.
    pub rule_files: RuleFiles,
    /// The templates.
    pub templates: Templates,
}

/// Access to the folders.
pub trait RuleFolders: Send + Sync + 'static {
    /// Something that differs when any file has changed; does not read the files.
    fn fingerprint(&self) -> u64;

    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults, as text for the people who edit the files.
    fn load(&self) -> Result<Loaded, String>;
}

/// What `doctor` says of the rules that the worker uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesInForce {
    /// `sha256:…`.
    pub hash: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// When and why a newer set was refused; `None` when what lies in the folder is in force.
    pub refused: Option<(i64, String)>,
}

/// What the store knows of the rules in force; `None` before the first start.
///
/// # Errors
/// [`StoreError`].
pub async fn in_force(store: &SharedStore) -> Result<Option<RulesInForce>, StoreError> {
    Ok(store
        .setting(SETTING)
        .await?
        .and_then(|json| serde_json::from_str(&json).ok()))
}

/// The loop that reloads.
pub(super) struct Reloader {
    engine: Engine,
    folders: Arc<dyn RuleFolders>,
    /// Fingerprint of what was loaded or refused last.
    handled: u64,
    /// Fingerprint of the last look.
    seen: u64,
    state: RulesInForce,
}

impl Reloader {
    /// Starts from the set that the engine has in force; with the fingerprint from before that was read, an edit made while
    /// starting is loaded too.
    pub(super) async fn start(
        engine: Engine,
        folders: Arc<dyn RuleFolders>,
        fingerprint: u64,
    ) -> Self {
        let hash = engine.rulebook.current().rules.hash().to_owned();
        let state = RulesInForce {
            hash,
            since_ms: engine.clock.now_ms(),
            refused: None,
        };
        let mut reloader = Self {
            engine,
            folders,
            handled: fingerprint,
            seen: fingerprint,
            state,
        };
        reloader.remember().await;
        reloader
    }

    pub(super) async fn run(mut self, soft: CancellationToken, pulse: Arc<Pulse>) -> String {
        while !soft.is_cancelled() {
            self.look().await;
            pulse.beat();
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = soft.cancelled() => {}
            }
        }
        pulse.end();
        "reload".to_owned()
    }

    /// One look at the folders; loads what has changed and come to rest.
    async fn look(&mut self) {
        let folders = Arc::clone(&self.folders);
        let Ok(fingerprint) = tokio::task::spawn_blocking(move || folders.fingerprint()).await
        else {
            return;
        };
        let at_rest = fingerprint == self.seen;
        self.seen = fingerprint;
        if !at_rest || fingerprint == self.handled {
            return;
        }
        self.handled = fingerprint;
        service::reloading();
        self.load().await;
        service::ready();
    }

    async fn load(&mut self) {
        let folders = Arc::clone(&self.folders);
        let Ok(loaded) = tokio::task::spawn_blocking(move || folders.load()).await else {
            return;
        };
        let now_ms = self.engine.clock.now_ms();
        match loaded {
            Err(faults) => {
                error!(
                    error = faults,
                    "the edited rules or templates are refused; the last good ones stay in force"
                );
                self.state.refused = Some((now_ms, faults));
            }
            Ok(loaded) => {
                let hash = loaded.rules.hash().to_owned();
                if let Err(error) = self
                    .engine
                    .store
                    .keep_ruleset(&hash, env!("CARGO_PKG_VERSION"), &loaded.rule_files, now_ms)
                    .await
                {
                    // A set that could not be kept must not decide anything; it is tried again at the next look.
                    warn!(error = %error, "the edited rules could not be kept; trying again");
                    self.handled = 0;
                    return;
                }
                if hash != self.state.hash {
                    let changes = self.changes(&loaded.rule_files).await;
                    info!(ruleset = hash, changes, "new rules are in force");
                    self.state.since_ms = now_ms;
                } else if self.state.refused.is_some() {
                    info!(
                        ruleset = hash,
                        "the rules in the folder are those in force again"
                    );
                }
                self.engine.rulebook.replace(loaded.rules, loaded.templates);
                self.state.hash = hash;
                self.state.refused = None;
            }
        }
        self.remember().await;
    }

    /// What is different from the set in force, whose files the store keeps: in memory they would be held for nothing else.
    async fn changes(&self, after: &RuleFiles) -> String {
        match self.engine.store.ruleset_files(&self.state.hash).await {
            Ok(before) => changes(&before.unwrap_or_default(), after),
            Err(error) => format!("not known: {error}"),
        }
    }

    async fn remember(&mut self) {
        let Ok(json) = serde_json::to_string(&self.state) else {
            return;
        };
        if let Err(error) = self.engine.store.set_setting(SETTING, &json).await {
            warn!(error = %error, "«doctor» cannot be told which rules are in force");
        }
    }
}

/// Which rules and parties are new, changed or gone, by id.
fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let (before, after) = (entries(before), entries(after));
    let list = |ids: Vec<&String>| {
        ids.into_iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let new = after
        .keys()
        .filter(|id| !before.contains_key(*id))
        .collect();
    let changed = after
        .iter()
        .filter(|(id, entry)| before.get(*id).is_some_and(|old| old != *entry))
        .map(|(id, _)| id)
        .collect();
    let gone = before
        .keys()
        .filter(|id| !after.contains_key(*id))
        .collect();
    format!(
        "new: {}; changed: {}; gone: {}",
        list(new),
        list(changed),
        list(gone)
    )
}

/// Rules and parties of a set of files: id → everything that stands in its table. Settings go by the name of their table.
fn entries(files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for table in files
        .values()
        .filter_map(|text| text.parse::<toml::Table>().ok())
    {
        for (name, value) in table {
            match value {
                toml::Value::Array(entries) => {
                    for entry in entries {
                        let id = entry
                            .get("id")
                            .and_then(toml::Value::as_str)
                            .unwrap_or(&name)
                            .to_owned();
                        found.insert(id, entry.to_string());
                    }
                }
                other => {
                    found.insert(name, other.to_string());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_id() {
        let files = |text: &str| BTreeMap::from([("a.toml".to_owned(), text.to_owned())]);
        let before = files(
            "[own]\naddresses = []\n[[rules]]\nid = \"en\"\nstrength = 1\n[[rules]]\nid = \"to\"\n",
        );
        let after = files(
            "[own]\naddresses = [\"a@b.example\"]\n[[rules]]\nid = \"en\"\nstrength = 2\n[[parties]]\nid = \"tre\"\n",
        );
        assert_eq!(
            changes(&before, &after),
            "new: tre; changed: en own; gone: to"
        );
        assert_eq!(changes(&before, &before), "new: ; changed: ; gone: ");
    }
}
