//! `SQLite`: one file, WAL, `synchronous = FULL` so that an acknowledged mail survives a power cut.
//!
//! Writing goes through one connection with `BEGIN IMMEDIATE`; reading through a small pool. Other processes (the commands
//! beside a running worker) may write to the same file.

mod cases;
mod intake;
mod likeness;
mod outbox;
mod reports;
mod returned;
mod trouble;
mod upkeep;

use super::{
    CaseFilter, Claimed, Compose, Correction, Counts, Incoming, LeftAlone, LooseEnd, MessageRow,
    NotDelivered, OutboxRow, Pending, Rearrangement, Reconciled, ReportDay, ReportMail,
    RetentionCounts, Retried, ReturnKeys, Settlement, SourceAccount, SourceEvent, Store,
    StoreError, Stored, ThreadKeys, Unreadable,
};
use crate::case::likeness::{Earlier, Sketch};
use crate::case::surroundings::Thread;
use crate::case::undeliverable::{DeadAddresses, RetryWord, SentMail};
use crate::case::{Case, CaseField, CaseNumber, Change, Event};
use crate::intake::{Cursor, Position};
use crate::message::extract::Extracted;
use crate::outbox::Delivery;
use crate::outbox::retry::Next;
use crate::rules::RuleFiles;
use jiff::civil::Date;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, Transaction,
};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long a write waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections for reading: the worker's loops are few.
const READERS: u32 = 3;
/// Raw bytes lie in chunks of this size.
const CHUNK_BYTES: usize = 1 << 20;

/// The store on one `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
    /// How the writer is connected, for when it has to be connected anew.
    options: SqliteConnectOptions,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if refuses_the_row(&code) {
                    return Self::Broken(format!("SQLite code {code}"));
                }
                Self::Temporary {
                    what: format!("SQLite code {code}{}", meaning(&code)),
                    source: error,
                }
            }
            sqlx::Error::ColumnDecode { index, .. } => Self::Broken(format!("column {index}")),
            _ => Self::Temporary {
                what: "connection".to_owned(),
                source: error,
            },
        }
    }
}

/// Whether a code says that this row alone cannot be stored, now or later: a constraint, something too large, a value of the
/// wrong type.
fn refuses_the_row(code: &str) -> bool {
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 18..=20))
}

/// What the codes mean that an operator can do something about (the low byte is the primary result code).
fn meaning(code: &str) -> &'static str {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => ": another process writes; it is locked",
        Ok(8) => ": this user may not write to it",
        Ok(10) => ": the disk does not read or write",
        Ok(13) => ": the disk is full",
        _ => "",
    }
}

/// The steps that bring a database up to date, oldest first. A step that was released is never changed.
fn migrations() -> Migrator {
    let base = Migration::new(
        1,
        "base".into(),
        MigrationType::Simple,
        include_str!("migrations/sqlite/0001_base.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![base])
}

impl SqliteStore {
    /// Opens the file, creating it and bringing it up to date as needed.
    ///
    /// # Errors
    /// [`StoreError::Open`] when that is not possible.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |what: String| StoreError::Open {
            path: path.display().to_string(),
            what,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            // What retention deletes is overwritten, not only unlinked.
            .pragma("secure_delete", "ON");
        let mut writer = options
            .connect()
            .await
            .map_err(|error| failed(error.to_string()))?;
        migrations()
            .run(&mut writer)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.clone().read_only(true))
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            writer: Mutex::new(writer),
            readers,
            options,
        })
    }

    /// The connection for writing. A full disk makes `SQLite` roll back by itself, after which sqlx believes for ever that the
    /// transaction is open: then it is connected anew.
    async fn writer(&self) -> Result<MutexGuard<'_, SqliteConnection>, StoreError> {
        let mut writer = self.writer.lock().await;
        if writer.is_in_transaction() {
            // A transaction that was only dropped is rolled back by now.
            writer.ping().await?;
            if writer.is_in_transaction() {
                *writer = self.options.connect().await?;
            }
        }
        Ok(writer)
    }
}

/// Begins a transaction that holds the write lock from the start: a deferred one fails when it first writes.
async fn begin(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, StoreError> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn cursor(&self, source: &str) -> Result<Cursor, StoreError> {
        intake::cursor(&self.readers, source).await
    }

    async fn unknown(&self, source: &str, positions: &[Position]) -> Result<Vec<bool>, StoreError> {
        intake::unknown(&self.readers, source, positions).await
    }

    async fn store_raw(
        &self,
        source: &str,
        batch: &[Incoming],
        now_ms: i64,
    ) -> Result<Vec<Stored>, StoreError> {
        intake::store_raw(&mut *self.writer().await?, source, batch, now_ms).await
    }

    async fn source_checked(
        &self,
        source: &str,
        cursor: &Cursor,
        gone: u32,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        intake::source_checked(&mut *self.writer().await?, source, cursor, gone, now_ms).await
    }

    async fn note_unreadable(
        &self,
        source: &str,
        found: &[(Position, String)],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        trouble::note(&mut *self.writer().await?, source, found, now_ms).await
    }

    async fn forget_unreadable(
        &self,
        source: &str,
        not_met_since_ms: i64,
    ) -> Result<(), StoreError> {
        if trouble::has_older(&self.readers, source, not_met_since_ms).await? {
            trouble::forget(&mut *self.writer().await?, source, not_met_since_ms).await?;
        }
        Ok(())
    }

    async fn unreadable(&self) -> Result<Vec<Unreadable>, StoreError> {
        trouble::all(&self.readers).await
    }

    async fn message_at(
        &self,
        source: &str,
        position: &Position,
    ) -> Result<Option<MessageRow>, StoreError> {
        intake::message_at(&self.readers, source, position).await
    }

    async fn mailbox(&self, message_id: i64) -> Result<String, StoreError> {
        intake::mailbox(&self.readers, message_id).await
    }

    async fn keep_source_event(&self, event: &SourceEvent) -> Result<(), StoreError> {
        trouble::keep_event(&mut *self.writer().await?, event).await
    }

    async fn undecided(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        intake::undecided(&self.readers, limit).await
    }

    async fn begin_attempt(&self, message_id: i64) -> Result<Option<Pending>, StoreError> {
        intake::begin_attempt(&mut *self.writer().await?, message_id).await
    }

    async fn taken_in(&self, message_id: i64) -> Result<Option<Pending>, StoreError> {
        intake::taken_in(&self.readers, message_id).await
    }

    async fn take_back_attempt(&self, message_id: i64) -> Result<(), StoreError> {
        intake::take_back_attempt(&mut *self.writer().await?, message_id).await
    }

    async fn raw(&self, message_id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        intake::raw(&self.readers, message_id).await
    }

    async fn attachment_texts(
        &self,
        message_id: i64,
    ) -> Result<Vec<(usize, Extracted)>, StoreError> {
        intake::texts(&self.readers, message_id).await
    }

    async fn find_thread(&self, keys: &ThreadKeys) -> Result<Option<Thread>, StoreError> {
        cases::find_thread(&self.readers, keys).await
    }

    async fn acknowledgements_since(
        &self,
        address: &str,
        since_ms: i64,
    ) -> Result<u32, StoreError> {
        outbox::acknowledgements_since(&self.readers, address, since_ms).await
    }

    async fn settle(
        &self,
        settlement: Settlement,
        composer: &dyn Compose,
    ) -> Result<Option<Case>, StoreError> {
        cases::settle(&mut *self.writer().await?, settlement, composer).await
    }

    async fn untreated(&self, source: &str, limit: u32) -> Result<Vec<Position>, StoreError> {
        intake::untreated(&self.readers, source, limit).await
    }

    async fn mark_treated(&self, source: &str, positions: &[Position]) -> Result<(), StoreError> {
        intake::mark_treated(&mut *self.writer().await?, source, positions).await
    }

    async fn messages(&self, left_alone: bool, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        intake::messages(&self.readers, left_alone, limit).await
    }

    async fn message(&self, id: i64) -> Result<Option<MessageRow>, StoreError> {
        intake::message(&self.readers, id).await
    }

    async fn verdict(&self, message_id: i64) -> Result<Option<String>, StoreError> {
        intake::verdict(&self.readers, message_id).await
    }

    async fn keep_ruleset(
        &self,
        hash: &str,
        engine_version: &str,
        files: &RuleFiles,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let files_json =
            serde_json::to_string(files).map_err(|error| StoreError::Broken(error.to_string()))?;
        sqlx::query("INSERT INTO ruleset (hash, engine_version, first_used_at_ms, files) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
            .bind(hash)
            .bind(engine_version)
            .bind(now_ms)
            .bind(files_json)
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn case(&self, number: CaseNumber) -> Result<Option<Case>, StoreError> {
        cases::by_number(&self.readers, number).await
    }

    async fn cases(&self, filter: &CaseFilter) -> Result<Vec<Case>, StoreError> {
        cases::list(&self.readers, filter).await
    }

    async fn history(&self, case_id: i64) -> Result<Vec<Event>, StoreError> {
        cases::history(&self.readers, case_id).await
    }

    async fn case_fields(&self, case_id: i64) -> Result<Vec<CaseField>, StoreError> {
        cases::fields(&self.readers, case_id).await
    }

    async fn corrections(&self) -> Result<Vec<Correction>, StoreError> {
        cases::corrections(&self.readers).await
    }

    async fn case_messages(&self, case_id: i64) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT id FROM message WHERE case_id = $1 AND case_id <> 0 AND outcome IN ('opened', 'joined') ORDER BY id")
            .bind(case_id)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn apply(&self, change: Change, composer: &dyn Compose) -> Result<Case, StoreError> {
        cases::apply(&mut *self.writer().await?, change, composer).await
    }

    async fn rearrange(
        &self,
        rearrangement: Rearrangement,
        composer: &dyn Compose,
        now_ms: i64,
    ) -> Result<(Case, Case), StoreError> {
        cases::rearrange(&mut *self.writer().await?, rearrangement, composer, now_ms).await
    }

    async fn earlier(
        &self,
        sketch: &Sketch,
        received_at_ms: i64,
    ) -> Result<Vec<Earlier>, StoreError> {
        likeness::earlier(&self.readers, sketch, received_at_ms).await
    }

    async fn report_done(&self, day: &ReportDay) -> Result<bool, StoreError> {
        reports::is_done(&self.readers, day).await
    }

    async fn report_done_before(&self, day: &ReportDay) -> Result<Option<i64>, StoreError> {
        reports::done_before(&self.readers, day.kind, &day.party, day.day).await
    }

    async fn queue_report(
        &self,
        days: &[ReportDay],
        mail: Option<&ReportMail>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        reports::queue(&mut *self.writer().await?, days, mail, now_ms).await
    }

    async fn unacknowledged(&self, since_ms: i64) -> Result<Vec<Case>, StoreError> {
        reports::unacknowledged(&self.readers, since_ms).await
    }

    async fn not_delivered(&self, since_ms: i64) -> Result<Vec<NotDelivered>, StoreError> {
        reports::not_delivered(&self.readers, since_ms).await
    }

    async fn left_alone(
        &self,
        since_ms: i64,
        limit: u32,
    ) -> Result<(u64, Vec<LeftAlone>), StoreError> {
        reports::left_alone(&self.readers, since_ms, limit).await
    }

    async fn chaseable(
        &self,
        today: Date,
        answered_before_ms: i64,
    ) -> Result<Vec<Case>, StoreError> {
        cases::chaseable(&self.readers, today, answered_before_ms).await
    }

    async fn claim(
        &self,
        limit: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<Claimed>, StoreError> {
        outbox::claim(&mut *self.writer().await?, limit, lease_ms, now_ms).await
    }

    async fn recover_sending(&self, all: bool, now_ms: i64) -> Result<u64, StoreError> {
        outbox::recover_sending(&mut *self.writer().await?, all, now_ms).await
    }

    async fn record_delivery(
        &self,
        claimed: &Claimed,
        delivery: &Delivery,
        next: Next,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        outbox::record_delivery(&mut *self.writer().await?, claimed, delivery, next, now_ms).await
    }

    async fn outbox(&self, all: bool, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        outbox::list(&self.readers, all, limit).await
    }

    async fn hold_mail(&self, id: i64) -> Result<bool, StoreError> {
        outbox::hold(&mut *self.writer().await?, id).await
    }

    async fn retry_mail(
        &self,
        id: i64,
        word: &RetryWord,
        now_ms: i64,
    ) -> Result<Retried, StoreError> {
        returned::retry(&mut *self.writer().await?, id, word, now_ms).await
    }

    async fn sent_mail(
        &self,
        keys: &ReturnKeys,
    ) -> Result<Option<(SentMail, Option<CaseNumber>)>, StoreError> {
        returned::sent_mail(&self.readers, keys).await
    }

    async fn dead_addresses(&self) -> Result<DeadAddresses, StoreError> {
        returned::dead_addresses(&self.readers).await
    }

    async fn content_deleted_ms(&self, message_id: i64) -> Result<Option<i64>, StoreError> {
        intake::content_deleted_ms(&self.readers, message_id).await
    }

    async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT min(next_attempt_at_ms) FROM outbox WHERE state = 'queued'")
                .fetch_one(&self.readers)
                .await?,
        )
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
                .bind(name)
                .fetch_optional(&self.readers)
                .await?,
        )
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn setting_once(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
        let stored = sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(stored)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts {
            messages: sqlx::query_as(
                "SELECT outcome, count(*) FROM message GROUP BY outcome ORDER BY outcome",
            )
            .fetch_all(&self.readers)
            .await?,
            cases: sqlx::query_as(
                "SELECT state, count(*) FROM cases GROUP BY state ORDER BY state",
            )
            .fetch_all(&self.readers)
            .await?,
            outbox: sqlx::query_as(
                "SELECT state, count(*) FROM outbox GROUP BY state ORDER BY state",
            )
            .fetch_all(&self.readers)
            .await?,
            oldest_unsent_ms: sqlx::query_scalar(
                "SELECT min(created_at_ms) FROM outbox WHERE state IN ('queued', 'sending')",
            )
            .fetch_one(&self.readers)
            .await?,
        })
    }

    async fn checked_at_ms(&self, source: &str) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT checked_at_ms FROM source_cursor WHERE source = $1 AND checked_at_ms <> 0",
        )
        .bind(source)
        .fetch_optional(&self.readers)
        .await?)
    }

    async fn accounts(&self) -> Result<Vec<SourceAccount>, StoreError> {
        upkeep::accounts(&self.readers).await
    }

    async fn loose_ends(&self, undecided_before_ms: i64) -> Result<Vec<LooseEnd>, StoreError> {
        upkeep::loose_ends(&self.readers, undecided_before_ms).await
    }

    async fn reconciliations(&self) -> Result<Vec<Reconciled>, StoreError> {
        upkeep::reconciliations(&self.readers).await
    }

    async fn keep_reconciliation(&self, reconciled: &Reconciled) -> Result<(), StoreError> {
        upkeep::keep_reconciliation(&mut *self.writer().await?, reconciled).await
    }

    async fn delete_left_alone_content(
        &self,
        settled_before_ms: i64,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        upkeep::delete_left_alone(&mut *self.writer().await?, settled_before_ms, now_ms).await
    }

    async fn delete_case_content(
        &self,
        after_case_id: i64,
        ended_before_ms: i64,
        now_ms: i64,
    ) -> Result<Option<(i64, CaseNumber)>, StoreError> {
        upkeep::delete_case(
            &mut *self.writer().await?,
            after_case_id,
            ended_before_ms,
            now_ms,
        )
        .await
    }

    async fn retention_counts(
        &self,
        settled_before_ms: i64,
        ended_before_ms: Option<i64>,
    ) -> Result<RetentionCounts, StoreError> {
        upkeep::retention_counts(&self.readers, settled_before_ms, ended_before_ms).await
    }
}
