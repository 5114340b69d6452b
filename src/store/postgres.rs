//! `PostgreSQL`: several workers share one database.
//!
//! Everything happens at «read committed»: rows that are read to be changed are locked, work is claimed past rows that another
//! worker is at, and what must happen once is guarded by an advisory lock or a unique index. Nothing waits for ever: the server
//! ends statements, locks and idle transactions, and a server that is silent is given up here.

/// Rows that are read to be changed: others wait until the transaction ends.
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}

/// Rows that another worker is at are left to it.
macro_rules! skip_locked {
    () => {
        " FOR UPDATE SKIP LOCKED"
    };
}

/// So many ids (`$1`) that no case has and nobody else gets.
macro_rules! free_case_ids {
    () => {
        "SELECT nextval(pg_get_serial_sequence('cases', 'id')) FROM generate_series(1, $1)"
    };
}

/// The function that makes a JSON array of values.
macro_rules! json_array {
    () => {
        "json_build_array"
    };
}

/// The function that makes a JSON array of rows.
macro_rules! json_rows {
    () => {
        "json_agg"
    };
}

/// The clock of the database, Unix milliseconds.
macro_rules! clock_ms {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

#[path = "sql/mod.rs"]
#[expect(
    clippy::duplicate_mod,
    reason = "the same statements, compiled for another database"
)]
mod sql;

use super::StoreError;
use super::fault::Judgement;
use super::turns::Turn;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool, Postgres, SqlSafeStr,
};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

type Connection = PgConnection;
type Transaction = sqlx::Transaction<'static, Postgres>;
type Database = PostgresStore;

/// The oldest server that is supported, as it tells its own version.
pub const POSTGRES_OLDEST: i32 = 130_000;

/// Connections of one process: the worker's loops are few, and each holds one at a time.
const CONNECTIONS: u32 = 8;
/// How long a connection is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one use case may take before the server is taken for lost: longer than the server's own limits below.
const PATIENCE: Duration = Duration::from_secs(150);
/// Said at the beginning of each connection. What a machine that lost its power held is free after 30 seconds. A commit lasts
/// when it is acknowledged, even where the server is set otherwise.
const SETTINGS: &str = "SELECT set_config('statement_timeout', '120s', false), set_config('lock_timeout', '30s', false), \
     set_config('idle_in_transaction_session_timeout', '30s', false), set_config('tcp_keepalives_idle', '15', false), \
     set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false), \
     set_config('default_transaction_isolation', 'read committed', false), set_config('jit', 'off', false), \
     set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
     ELSE current_setting('synchronous_commit') END, false)";
/// The advisory locks of [`Turn`] are pairs of numbers; this is the first.
const LOCKS: i32 = 0x6c69_6e6a;

/// The store on a `PostgreSQL` database.
#[derive(Debug)]
pub struct PostgresStore {
    options: PgConnectOptions,
    /// Replaced when no connection can be had: those that a silent server holds are of no use.
    pool: RwLock<PgPool>,
    node: String,
}

/// What `doctor` asks a server.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are answers to questions of their own"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// Version as the server names it.
    pub version: String,
    /// Version as a number, 150000 for 15.0.
    pub version_number: i32,
    /// Encoding of the database.
    pub encoding: String,
    /// It is a standby: nothing can be written.
    pub read_only: bool,
    /// Its clock, less ours, milliseconds.
    pub ahead_ms: i64,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// The tables are there.
    pub tables: bool,
    /// This user may create tables.
    pub may_create: bool,
}

/// What a code (SQLSTATE) means for what was to be stored, and what an operator can do about it.
pub(super) fn judge(code: &str) -> Judgement {
    match (code.get(..2).unwrap_or_default(), code) {
        // A value that cannot be, a constraint, something too large, the trigger that guards the history.
        ("22" | "23" | "54", _) | (_, "P0001") => Judgement::RowRefused,
        (_, "40001" | "40P01") => Judgement::Again,
        (_, "55P03") => Judgement::Later(": another session holds what is needed for too long"),
        (_, "57014") => Judgement::Later(": it took too long, or an administrator stopped it"),
        (_, "57P01" | "57P02" | "57P03") => {
            Judgement::Later(": the server is stopping or starting")
        }
        (_, "53100") => Judgement::Later(": the server's disk is full"),
        (_, "53200") => Judgement::Later(": the server is out of memory"),
        (_, "53300") => {
            Judgement::Later(": it has too many connections; raise max_connections or stop others")
        }
        (_, "25006") => Judgement::Later(": it is read-only, perhaps a standby; name the primary"),
        (_, "42501") => {
            Judgement::Later(": this user may not do that; see «PostgreSQL» in the README")
        }
        ("28", _) => Judgement::Later(": the server refuses this user or password"),
        (_, "3D000") => Judgement::Later(": there is no such database; create it"),
        (_, "42P01" | "42703") => {
            Judgement::Later(": tables are missing; run «linjevei doctor» or start the worker")
        }
        ("08", _) => Judgement::Later(": the connection was lost"),
        ("58", _) => Judgement::Later(": the server's disk does not read or write"),
        _ => Judgement::Later(""),
    }
}

/// A server that says nothing is given up.
async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::from(silent())))
}

/// The server keeps what refers to what in order by itself.
#[expect(clippy::unused_async, reason = "the other database is asked here")]
async fn own_check(_connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    Ok(Vec::new())
}

fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database server does not answer",
    ))
}

/// One worker at a time, until the transaction ends.
async fn take_turns(connection: &mut Connection, turn: Turn) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(LOCKS)
        .bind(turn as i32)
        .execute(connection)
        .await?;
    Ok(())
}

/// Nobody else stores the same content until the transaction ends, so that it has one original. The locks are taken in order:
/// two batches never wait for each other.
async fn alone_with_content(
    connection: &mut Connection,
    hashes: impl Iterator<Item = &str>,
) -> Result<(), StoreError> {
    let keys: BTreeSet<i64> = hashes
        .filter_map(|hash| u64::from_str_radix(hash.get(..16)?, 16).ok())
        .map(u64::cast_signed)
        .collect();
    let keys: Vec<i64> = keys.into_iter().collect();
    sqlx::query(
        "SELECT pg_advisory_xact_lock(k) FROM (SELECT k FROM unnest($1) AS k ORDER BY k OFFSET 0) AS sorted",
    )
    .bind(keys)
    .execute(connection)
    .await?;
    Ok(())
}

/// The steps that bring a database up to date, oldest first. A step that was released is never changed.
fn migrations() -> Migrator {
    let base = Migration::new(
        1,
        "base".into(),
        MigrationType::Simple,
        include_str!("migrations/postgres/0001_base.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![base])
}

/// The name of this process among those that share a database: the host, and a word that differs each time.
fn name() -> String {
    let mut bytes = [0_u8; 4];
    let word = match getrandom::fill(&mut bytes) {
        Ok(()) => u32::from_be_bytes(bytes),
        Err(_) => std::process::id(),
    };
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let host: String = host.chars().take(60).collect();
    format!("{host}/{word:08x}")
}

/// How to reach a database. Never shows a password.
fn options(url: &str, password: Option<&str>) -> Result<PgConnectOptions, sqlx::Error> {
    let mut options = PgConnectOptions::from_str(url)?.application_name("linjevei");
    if let Some(password) = password {
        options = options.password(password);
    }
    let is_local = options.get_socket().is_some()
        || matches!(
            options.get_host(),
            "localhost" | "127.0.0.1" | "::1" | "[::1]"
        )
        || options.get_host().starts_with('/');
    // Over a network the server has to prove who it is, unless the settings say otherwise.
    if !is_local && matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    Ok(options.disable_statement_logging())
}

/// Where it is, for people: no user, no password.
fn place(options: &PgConnectOptions) -> String {
    let at = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let name = options.get_database().unwrap_or(options.get_username());
    format!("{name} on {at}")
}

/// Why it cannot be opened, without what a server may quote.
fn why(error: sqlx::Error) -> String {
    match StoreError::from(error) {
        StoreError::Temporary {
            source: source @ (sqlx::Error::Io(_) | sqlx::Error::Tls(_)),
            ..
        } => source.to_string(),
        StoreError::Temporary { what, .. } => what,
        other => other.to_string(),
    }
}

fn lazy_pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SETTINGS).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

impl PostgresStore {
    /// Connects to a database and brings it up to date as needed.
    ///
    /// # Errors
    /// [`StoreError::Open`] when that is not possible.
    pub async fn open(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let options = Self::options(url, password)?;
        let failed = |what: String| StoreError::Open {
            path: place(&options),
            what,
        };
        let mut connection = connect(&options)
            .await
            .map_err(|error| failed(why(error)))?;
        let report = ask(&mut connection)
            .await
            .map_err(|error| failed(why(error)))?;
        if let Some(obstacle) = report.obstacle() {
            return Err(failed(obstacle));
        }
        migrations()
            .run(&mut connection)
            .await
            .map_err(|error| failed(migration_failed(error)))?;
        connection.close().await.ok();
        let pool = RwLock::new(lazy_pool(&options));
        Ok(Self {
            options,
            pool,
            node: name(),
        })
    }

    /// Asks the server about itself; changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be reached.
    pub async fn examine(url: &str, password: Option<&str>) -> Result<ServerReport, StoreError> {
        let options = Self::options(url, password)?;
        let failed = |error| StoreError::Open {
            path: place(&options),
            what: why(error),
        };
        let mut connection = connect(&options).await.map_err(failed)?;
        let report = ask(&mut connection).await.map_err(failed)?;
        connection.close().await.ok();
        Ok(report)
    }

    fn options(url: &str, password: Option<&str>) -> Result<PgConnectOptions, StoreError> {
        // The reason would quote the address, which may hold a password.
        options(url, password).map_err(|_| StoreError::Open {
            path: "postgres://…".to_owned(),
            what: "its address cannot be read".to_owned(),
        })
    }

    /// One connection apart from the others.
    pub(super) async fn one(&self) -> Result<PgConnection, StoreError> {
        let mut connection = connect(&self.options).await?;
        connection.execute(SETTINGS).await?;
        Ok(connection)
    }

    /// Where it is: database, host and port.
    pub fn place(&self) -> String {
        place(&self.options)
    }

    /// Other workers may share the database.
    #[expect(clippy::unnecessary_wraps, reason = "nobody shares the other database")]
    fn shared_as(&self) -> Option<&str> {
        Some(&self.node)
    }

    fn pool(&self) -> PgPool {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        pool.clone()
    }

    async fn reader(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let pool = self.pool();
        match pool.acquire().await {
            Err(error @ sqlx::Error::PoolTimedOut) => {
                let mut current = self.pool.write().unwrap_or_else(PoisonError::into_inner);
                *current = lazy_pool(&self.options);
                Err(error.into())
            }
            other => Ok(other?),
        }
    }

    async fn begin(&self) -> Result<Transaction, StoreError> {
        let connection = self.reader().await?;
        Ok(Transaction::begin(connection, None).await?)
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    tokio::time::timeout(CONNECT_TIMEOUT, async {
        let mut connection = options.connect().await?;
        connection.execute("SET lock_timeout = '60s'").await?;
        Ok(connection)
    })
    .await
    .unwrap_or_else(|_| Err(silent()))
}

/// Both sides of the difference are milliseconds; half the time of the question is counted as its way there.
async fn ask(connection: &mut PgConnection) -> Result<ServerReport, sqlx::Error> {
    let before = jiff::Timestamp::now().as_millisecond();
    let clock_ms: i64 = sqlx::query_scalar(concat!("SELECT ", clock_ms!()))
        .fetch_one(&mut *connection)
        .await?;
    let after = jiff::Timestamp::now().as_millisecond();
    let ours = before.midpoint(after);
    let (version, version_number, encoding, read_only): (String, i32, String, bool) =
        sqlx::query_as(
            "SELECT current_setting('server_version'), CAST(current_setting('server_version_num') AS INTEGER), \
             current_setting('server_encoding'), pg_is_in_recovery()",
        )
        .fetch_one(&mut *connection)
        .await?;
    let (encrypted, tables, may_create): (bool, bool, bool) = sqlx::query_as(
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), to_regclass('case_event') IS NOT NULL, \
         coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)",
    )
    .fetch_one(connection)
    .await?;
    Ok(ServerReport {
        version,
        version_number,
        encoding,
        read_only,
        ahead_ms: clock_ms.saturating_sub(ours),
        encrypted,
        tables,
        may_create,
    })
}

impl ServerReport {
    /// What keeps linjevei from working there, with what to do.
    pub fn obstacle(&self) -> Option<String> {
        if self.version_number < POSTGRES_OLDEST {
            return Some(format!(
                "the server is version {}; 13 or newer is needed",
                self.version
            ));
        }
        if self.encoding != "UTF8" {
            return Some(format!(
                "the database has the encoding {}; create one with ENCODING 'UTF8'",
                self.encoding
            ));
        }
        if self.read_only {
            return Some(
                "the server is a standby and cannot be written to; name the primary".to_owned(),
            );
        }
        if !self.tables && !self.may_create {
            return Some(
                "this user may not create tables; let it own the database, or GRANT CREATE ON SCHEMA public".to_owned(),
            );
        }
        None
    }
}

fn migration_failed(error: sqlx::migrate::MigrateError) -> String {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => why(error),
        sqlx::migrate::MigrateError::VersionMissing(version) => {
            format!("it was brought up to step {version} by a newer linjevei; use that one")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_cut_by_what_the_caller_does_next() {
        for code in ["22021", "23505", "54000", "P0001"] {
            assert_eq!(judge(code), Judgement::RowRefused, "{code}");
        }
        for code in ["40001", "40P01"] {
            assert_eq!(judge(code), Judgement::Again, "{code}");
        }
        for code in ["57P01", "53100", "08006", "28P01", "XX000", ""] {
            assert!(matches!(judge(code), Judgement::Later(_)), "{code}");
        }
    }

    #[test]
    fn a_server_over_a_network_has_to_prove_who_it_is() {
        let mode = |url: &str| options(url, None).unwrap().get_ssl_mode();
        assert!(matches!(
            mode("postgres://u@db.example/l"),
            PgSslMode::VerifyFull
        ));
        assert!(matches!(
            mode("postgres://u@db.example/l?sslmode=require"),
            PgSslMode::Require
        ));
        assert!(matches!(
            mode("postgres://u@127.0.0.1/l"),
            PgSslMode::Prefer
        ));
        assert!(matches!(
            mode("postgres://u@[::1]:5433/l"),
            PgSslMode::Prefer
        ));
    }

    #[test]
    fn neither_user_nor_password_is_shown() {
        let options = options("postgres://ola:hemmelig@db.example:5433/linjevei", None).unwrap();
        assert_eq!(place(&options), "linjevei on db.example:5433");
        let refused = PostgresStore::options("postgres://ola:hemmelig@db.example:port/x", None);
        assert!(!refused.unwrap_err().to_string().contains("hemmelig"));
    }
}
