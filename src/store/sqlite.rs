//! `SQLite`: one file, WAL, `synchronous = FULL` so that an acknowledged mail survives a power cut.
//!
//! Writing goes through one connection with `BEGIN IMMEDIATE`; reading through a small pool. Other processes (the commands
//! beside a running worker) may write to the same file.

/// Rows that are read to be changed: nobody else writes meanwhile.
macro_rules! for_update {
    () => {
        ""
    };
}

/// Rows that another worker is at are left to it: there is none.
macro_rules! skip_locked {
    () => {
        ""
    };
}

/// So many ids (`$1`) that no case has: nobody else writes before the transaction ends.
macro_rules! free_case_ids {
    () => {
        "WITH RECURSIVE wanted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM wanted WHERE number < $1) \
         SELECT number + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'cases'), 0) FROM wanted"
    };
}

/// The function that makes a JSON array of values.
macro_rules! json_array {
    () => {
        "json_array"
    };
}

/// The function that makes a JSON array of rows.
macro_rules! json_rows {
    () => {
        "json_group_array"
    };
}

/// The clock of the database, Unix milliseconds.
macro_rules! clock_ms {
    () => {
        "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    };
}

#[path = "sql/mod.rs"]
mod sql;

use super::StoreError;
use super::fault::Judgement;
use super::turns::Turn;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool};
use std::path::Path;
use std::time::Duration;

type Connection = SqliteConnection;
type Transaction = sqlx::Transaction<'static, Sqlite>;
type Database = SqliteStore;

/// How long a write waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections for reading: the worker's loops are few.
const READERS: u32 = 3;
/// Memory for pages where writing goes on, in KiB (negative, as `SQLite` wants it): what a group of messages touches in the
/// indexes is met again by the next one. Taken as it is needed.
const WRITER_CACHE_KIB: &str = "-8000";
/// How long a write waits for another write of this process.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(1);

/// The store on one `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    /// One connection: two that write would only wait for each other.
    writer: SqlitePool,
    readers: SqlitePool,
}

/// What a code of `SQLite` means for what was to be stored, and what an operator can do about it (the low byte is the primary
/// result code).
pub(super) fn judge(code: &str) -> Judgement {
    match code.parse::<u32>().map(|code| code & 0xff) {
        // Too large, a constraint, a value of the wrong type.
        Ok(18..=20) => Judgement::RowRefused,
        Ok(5 | 6) => Judgement::Later(": another process writes; it is locked"),
        Ok(8) => Judgement::Later(": this user may not write to it"),
        Ok(10) => Judgement::Later(": the disk does not read or write"),
        Ok(13) => Judgement::Later(": the disk is full"),
        _ => Judgement::Later(""),
    }
}

/// What the file says of itself.
async fn own_check(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let said: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
        .fetch_all(&mut *connection)
        .await?;
    let mut found: Vec<String> = said.into_iter().filter(|line| line != "ok").collect();
    let lost: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT \"table\" FROM pragma_foreign_key_check")
            .fetch_all(connection)
            .await?;
    found.extend(
        lost.iter()
            .map(|table| format!("rows in {table} that refer to what is not there")),
    );
    Ok(found)
}

/// `SQLite` has limits of its own on waiting.
async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    work.await
}

/// Nobody else writes while a transaction is open.
#[expect(clippy::unused_async, reason = "the other database waits here")]
async fn take_turns(_connection: &mut Connection, _turn: Turn) -> Result<(), StoreError> {
    Ok(())
}

/// Nobody else writes while a transaction is open.
#[expect(clippy::unused_async, reason = "the other database waits here")]
async fn alone_with_content(
    _connection: &mut Connection,
    _hashes: impl Iterator<Item = &str>,
) -> Result<(), StoreError> {
    Ok(())
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
        let writing = options.clone().pragma("cache_size", WRITER_CACHE_KIB);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(QUEUE_TIMEOUT)
            .connect_with(writing)
            .await
            .map_err(|error| failed(error.to_string()))?;
        migrations()
            .run(&writer)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { writer, readers })
    }

    /// Writes a whole copy beside everything that goes on; the file must not be there yet.
    ///
    /// # Errors
    /// [`StoreError`]; what was written of the copy is of no use.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let mut reader = self.readers.acquire().await?;
        sqlx::query("VACUUM INTO $1")
            .bind(to.to_string_lossy().into_owned())
            .execute(&mut *reader)
            .await?;
        Ok(())
    }

    /// One worker alone has the file.
    #[expect(clippy::unused_self, reason = "the other database has a name there")]
    const fn shared_as(&self) -> Option<&str> {
        None
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Begins a transaction that holds the write lock from the start: a deferred one fails when it first writes.
    async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut writer = self.writer.acquire().await?;
        if writer.is_in_transaction() {
            // A full disk makes SQLite roll back by itself, after which sqlx believes for ever that the transaction is open.
            writer.close().await?;
            writer = self.writer.acquire().await?;
        }
        Ok(Transaction::begin(writer, Some("BEGIN IMMEDIATE".into_sql_str())).await?)
    }
}
