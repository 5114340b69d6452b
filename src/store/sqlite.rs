//! `SQLite`: one file, WAL, `synchronous = FULL` so that an acknowledged mail survives a power cut.
//!
//! Writing goes through one connection with `BEGIN IMMEDIATE`; reading through a small pool. Other processes (the commands
//! beside a running worker) may write to the same file.

#[path = "sql/mod.rs"]
mod sql;

use super::StoreError;
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
/// How long a write waits for another write of this process.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(1);

/// The store on one `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    /// One connection: two that write would only wait for each other.
    writer: SqlitePool,
    readers: SqlitePool,
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
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(QUEUE_TIMEOUT)
            .connect_with(options.clone())
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
