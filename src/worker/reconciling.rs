//! Does it add up? What is at the source must be stored, and what was ever taken in must have exactly one outcome.
//!
//! A message that arrives while we count is no difference: what was not stored at the first look is taken in first, and only
//! what is still there and still not stored at the second look counts.

use super::{Engine, WorkError};
use crate::intake::{Cursor, MailSource, Position};
use crate::store::{LooseEnd, Reconciled, SourceAccount, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use tracing::{error, info};

/// Messages listed at a time.
const LIST_LIMIT: usize = 1000;
/// Positions that a report names for each difference; the count is of all.
const POSITIONS_MAX: usize = 20;
/// A message is decided within seconds; one that is not after this time is a difference.
pub(crate) const UNDECIDED_MS: i64 = 3_600_000;
/// Time between two reconciliations of a source.
const EVERY_MS: i64 = 86_400_000;
/// Time until the next one where something did not add up.
const AGAIN_MS: i64 = 3_600_000;

/// One way in which it does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Stable id: `not-stored`, `unaccounted`, or that of a loose end in the store.
    pub kind: String,
    /// The source that it was found in; empty for what belongs to none.
    pub source: String,
    /// How many messages or cases.
    pub count: i64,
    /// Where they are, at most 20: folder, UIDVALIDITY and UID, or file name.
    pub positions: Vec<String>,
}

impl Difference {
    /// What it means.
    pub fn meaning(&self) -> &'static str {
        match self.kind.as_str() {
            "not-stored" => {
                "at the source and not stored, though it was checked; the log says why it could not be read or stored"
            }
            "unaccounted" => "counted when they were stored, and not in the database now",
            "undecided" => "stored for more than an hour and without an outcome",
            "without-case" => "opened or joined a case that is not there",
            "without-original" => "a copy of a message that is not there",
            "without-reason" => "left alone without a reason",
            "without-content" => "without content that nobody was to delete",
            "without-acknowledgement" => {
                "cases said to be acknowledged, without a mail in the outbox"
            }
            "without-message" => "cases whose message is not there",
            _ => "does not add up",
        }
    }
}

/// A finished reconciliation of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the source; empty for what belongs to no watched source.
    pub source: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Messages that are at the source now; `None` where that was not looked at.
    pub at_source: Option<u64>,
    /// What is stored of it.
    pub account: SourceAccount,
    /// What does not add up; empty when everything does.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Messages or cases that do not add up.
    pub fn difference(&self) -> i64 {
        let counts = self.differences.iter().map(|difference| difference.count);
        counts.fold(0, i64::saturating_add)
    }
}

/// What a look at a source found.
#[derive(Debug, Default)]
pub struct Look {
    /// Messages that are there.
    pub at_source: u64,
    /// Those that are not stored.
    pub not_stored: HashSet<Position>,
}

impl Engine {
    /// Lists everything at the source and keeps what is not stored. Changes nothing. Calls `tick` after each page.
    ///
    /// # Errors
    /// [`WorkError`] when source or store fail.
    pub async fn look_for_not_stored(
        &self,
        source: &mut dyn MailSource,
        tick: &(dyn Fn() + Send + Sync),
    ) -> Result<Look, WorkError> {
        let name = source.name().to_owned();
        let mut look = Look::default();
        let mut cursor = Cursor::default();
        loop {
            let listing = source.list(&cursor, LIST_LIMIT).await?;
            let positions: Vec<Position> = listing
                .candidates
                .into_iter()
                .map(|candidate| candidate.position)
                .collect();
            look.at_source = look
                .at_source
                .saturating_add(u64::try_from(positions.len()).unwrap_or(u64::MAX));
            let unknown = self.store.unknown(&name, &positions).await?;
            let not_stored = positions.into_iter().zip(unknown);
            look.not_stored
                .extend(not_stored.filter_map(|(position, unknown)| unknown.then_some(position)));
            tick();
            if !listing.more {
                return Ok(look);
            }
            cursor = listing.cursor;
        }
    }

    /// Reconciles a source that this process watches, and remembers and reports the result.
    ///
    /// # Errors
    /// [`WorkError`] when source or store fail; nothing is remembered then.
    pub async fn reconcile_source(
        &self,
        source: &mut dyn MailSource,
        progress: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Report, WorkError> {
        let tick = || progress(0);
        let mut look = self.look_for_not_stored(source, &tick).await?;
        if !look.not_stored.is_empty() {
            let before = look.not_stored;
            self.take_in(source, progress).await?;
            look = self.look_for_not_stored(source, &tick).await?;
            look.not_stored.retain(|position| before.contains(position));
        }
        let report = self.account_for(source.name(), Some(look)).await?;
        self.remember(&report).await?;
        Ok(report)
    }

    /// What the store has of a source, with what a look at the source found.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account_for(
        &self,
        source: &str,
        look: Option<Look>,
    ) -> Result<Report, StoreError> {
        let counted = self.count().await?;
        Ok(counted.report(source, look))
    }

    /// Counts everything in the store: what takes long where there is much.
    async fn count(&self) -> Result<Counted, StoreError> {
        let at_ms = self.clock.now_ms();
        let undecided_before_ms = at_ms.saturating_sub(UNDECIDED_MS);
        Ok(Counted {
            at_ms,
            accounts: self.store.accounts().await?,
            loose_ends: self.store.loose_ends(undecided_before_ms).await?,
        })
    }

    /// What belongs to no watched source: cases, and messages that were taken in by hand or from mailboxes that are watched no
    /// more. Remembers and reports the result.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reconcile_store(&self, watched: &[String]) -> Result<Report, StoreError> {
        let counted = self.count().await?;
        let mut whole = counted.report("", None);
        for account in &counted.accounts {
            if account.source.is_empty() || watched.contains(&account.source) {
                continue;
            }
            let one = counted.report(&account.source, None);
            whole.differences.extend(one.differences);
            let sum = &mut whole.account;
            sum.seen = sum.seen.saturating_add(account.seen);
            sum.opened = sum.opened.saturating_add(account.opened);
            sum.joined = sum.joined.saturating_add(account.joined);
            sum.duplicate = sum.duplicate.saturating_add(account.duplicate);
            sum.left_alone = sum.left_alone.saturating_add(account.left_alone);
            sum.pending = sum.pending.saturating_add(account.pending);
            sum.gone = sum.gone.saturating_add(account.gone);
        }
        self.remember(&whole).await?;
        Ok(whole)
    }

    /// Stores a report for health, and says in the log what does not add up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember(&self, report: &Report) -> Result<(), StoreError> {
        let json =
            serde_json::to_string(report).map_err(|error| StoreError::Broken(error.to_string()))?;
        self.store
            .keep_reconciliation(&Reconciled {
                source: report.source.clone(),
                at_ms: report.at_ms,
                differences: report.difference(),
                report: json,
            })
            .await?;
        for difference in &report.differences {
            error!(
                mailbox.name = difference.source,
                difference = difference.kind,
                count = difference.count,
                "it does not add up: {}; see «linjevei reconcile»",
                difference.meaning()
            );
        }
        if report.differences.is_empty() && !report.source.is_empty() {
            info!(
                mailbox.name = report.source,
                seen = report.account.seen,
                opened = report.account.opened,
                joined = report.account.joined,
                duplicate = report.account.duplicate,
                left_alone = report.account.left_alone,
                gone = report.account.gone,
                "reconciled: it adds up"
            );
        }
        Ok(())
    }

    /// When the source is to be reconciled next, Unix milliseconds.
    pub(super) async fn next_reconciliation_ms(&self, source: &str) -> Result<i64, StoreError> {
        let all = self.store.reconciliations().await?;
        Ok(all
            .into_iter()
            .find(|last| last.source == source)
            .map_or(0, |last| next(last.at_ms, last.differences)))
    }
}

/// Everything in the store, counted once.
struct Counted {
    at_ms: i64,
    accounts: Vec<SourceAccount>,
    loose_ends: Vec<LooseEnd>,
}

impl Counted {
    fn report(&self, source: &str, look: Option<Look>) -> Report {
        let account = self
            .accounts
            .iter()
            .find(|account| account.source == source);
        let account = account.cloned().unwrap_or_else(|| SourceAccount {
            source: source.to_owned(),
            ..SourceAccount::default()
        });
        let mut differences = Vec::new();
        if let Some(look) = &look
            && !look.not_stored.is_empty()
        {
            let mut positions: Vec<&Position> = look.not_stored.iter().collect();
            positions.sort();
            differences.push(Difference {
                kind: "not-stored".to_owned(),
                source: source.to_owned(),
                count: i64::try_from(positions.len()).unwrap_or(i64::MAX),
                positions: positions
                    .into_iter()
                    .take(POSITIONS_MAX)
                    .map(place)
                    .collect(),
            });
        }
        differences.extend(unaccounted(&account));
        let of_source = self.loose_ends.iter().filter(|end| end.source == source);
        differences.extend(of_source.map(|end| Difference {
            kind: end.kind.clone(),
            source: end.source.clone(),
            count: end.count,
            positions: Vec::new(),
        }));
        Report {
            source: source.to_owned(),
            at_ms: self.at_ms,
            at_source: look.map(|look| look.at_source),
            account,
            differences,
        }
    }
}

/// A day later; sooner where something has to be mended.
pub(super) const fn next(at_ms: i64, differences: i64) -> i64 {
    at_ms.saturating_add(if differences == 0 { EVERY_MS } else { AGAIN_MS })
}

/// Whether the moment has come. One that lies further ahead than [`EVERY_MS`] was fixed before the clock was set back.
pub(super) const fn is_due(at_ms: i64, now_ms: i64) -> bool {
    let ahead = at_ms.saturating_sub(now_ms);
    ahead <= 0 || ahead > EVERY_MS
}

fn unaccounted(account: &SourceAccount) -> Option<Difference> {
    let count = account.unaccounted();
    (count != 0).then(|| Difference {
        kind: "unaccounted".to_owned(),
        source: account.source.clone(),
        count: count.saturating_abs(),
        positions: Vec::new(),
    })
}

/// A position for people: folder and UID, or file name.
fn place(position: &Position) -> String {
    if position.uid_validity == 0 {
        position.key.clone()
    } else {
        format!(
            "{} UIDVALIDITY {} UID {}",
            position.mailbox, position.uid_validity, position.key
        )
    }
}
