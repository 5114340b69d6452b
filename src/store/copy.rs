//! From a `SQLite` file to a `PostgreSQL` database, table by table, with every row's number kept.
//!
//! Rows go over in batches; how far a table has come is written in the transaction of the batch, so a copy that was interrupted
//! goes on where it stood and nothing goes over twice. At the end the rows of both are counted.

use super::{PostgresStore, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection,
};
use std::path::Path;

/// All tables that are copied, in an order in which nothing refers to what is not there yet. Leases and workers are of the
/// moment.
const TABLES: [&str; 24] = [
    "setting",
    "message",
    "message_chunk",
    "message_text",
    "ruleset",
    "verdict",
    "earlier_verdict",
    "case_counter",
    "cases",
    "thread_id",
    "case_reference",
    "case_event",
    "case_field",
    "outbox",
    "outbox_recipient",
    "outbox_chunk",
    "dead_address",
    "case_likeness",
    "case_file",
    "report_day",
    "source_cursor",
    "unreadable",
    "source_event",
    "reconciliation",
];
/// Those whose rows are numbered by the database.
const NUMBERED: [&str; 7] = [
    "message",
    "earlier_verdict",
    "cases",
    "case_event",
    "case_field",
    "outbox",
    "source_event",
];
/// Rows a batch.
const ROWS: i64 = 500;
/// Rows a batch where a row has up to a megabyte.
const LARGE_ROWS: i64 = 16;
/// How far a table has come stands under this name and the table's in the settings of the target.
const PROGRESS: &str = "copy/";

/// A database has a setting of this name while a copy into it is not finished: the first table is that of the settings.
pub const UNFINISHED_COPY: &str = "copy/setting";

/// Rows of one table in both databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The table.
    pub table: &'static str,
    /// Rows there.
    pub from: i64,
    /// Rows here.
    pub to: i64,
}

/// A column and what it holds.
struct Column {
    name: String,
    kind: String,
}

/// Copies everything. The file must not be changed meanwhile. `progress` is told the rows that are done and all rows, and says
/// whether to go on.
///
/// # Errors
/// [`StoreError`]; what was copied stays, and the next copy goes on behind it. [`StoreError::Open`] when the target holds cases
/// or messages that do not come from an interrupted copy.
pub async fn copy(
    from: &Path,
    to: &PostgresStore,
    progress: &(dyn Fn(u64, u64) -> bool + Send + Sync),
) -> Result<Vec<Copied>, StoreError> {
    let mut source = SqliteConnectOptions::new()
        .filename(from)
        .read_only(true)
        .disable_statement_logging()
        .connect()
        .await?;
    let mut target = to.one().await?;
    let refused = |what: &str| StoreError::Open {
        path: to.place(),
        what: what.to_owned(),
    };
    let begun: i64 = count(&mut target, "setting WHERE name LIKE 'copy/%'").await?;
    let there = count(&mut target, "message")
        .await?
        .saturating_add(count(&mut target, "cases").await?);
    if begun == 0 && there > 0 {
        return Err(refused(
            "it holds messages or cases already; copy into an empty one",
        ));
    }
    let mut all = 0_u64;
    for table in TABLES {
        all = all.saturating_add(
            u64::try_from(count_here(&mut source, table).await?).unwrap_or_default(),
        );
    }
    let mut done = 0_u64;
    for table in TABLES {
        if !table_over(&mut source, &mut target, table, &mut done, all, progress).await? {
            return Err(refused(
                "the copy was interrupted; the same command goes on with it",
            ));
        }
    }
    for table in NUMBERED {
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest((SELECT coalesce(max(id), 0) FROM {table}), 1), \
             EXISTS (SELECT 1 FROM {table}))"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut target).await?;
    }
    let mut counted = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let here = match table {
            "setting" => "setting WHERE name NOT LIKE 'copy/%'",
            other => other,
        };
        counted.push(Copied {
            table,
            from: count_here(&mut source, table).await?,
            to: count(&mut target, here).await?,
        });
    }
    if counted.iter().all(|one| one.from == one.to) {
        sqlx::query("DELETE FROM setting WHERE name LIKE 'copy/%'")
            .execute(&mut target)
            .await?;
    }
    target.close().await.ok();
    source.close().await.ok();
    Ok(counted)
}

async fn count_here(source: &mut SqliteConnection, table: &str) -> Result<i64, StoreError> {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    Ok(sqlx::query_scalar(sql).fetch_one(source).await?)
}

async fn count(target: &mut PgConnection, rows: &str) -> Result<i64, StoreError> {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {rows}"));
    Ok(sqlx::query_scalar(sql).fetch_one(target).await?)
}

/// Copies the rest of one table; `false` when it was told to stop.
async fn table_over(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    table: &'static str,
    done: &mut u64,
    all: u64,
    progress: &(dyn Fn(u64, u64) -> bool + Send + Sync),
) -> Result<bool, StoreError> {
    let columns: Vec<(String, String)> =
        sqlx::query_as("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
            .bind(table)
            .fetch_all(&mut *source)
            .await?;
    let columns: Vec<Column> = columns
        .into_iter()
        .map(|(name, kind)| Column { name, kind })
        .collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let names = names.join(", ");
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    let again = if table == "setting" {
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    } else {
        ""
    };
    let insert = format!(
        "INSERT INTO {table} ({names}) VALUES ({}){again}",
        places.join(", ")
    );
    let rows = if table.ends_with("_chunk") {
        LARGE_ROWS
    } else {
        ROWS
    };
    let select = format!(
        "SELECT rowid AS copy_rowid, {names} FROM {table} WHERE rowid > $1 ORDER BY rowid LIMIT {rows}"
    );
    let name = format!("{PROGRESS}{table}");
    let stood: Option<String> = sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
        .bind(&name)
        .fetch_optional(&mut *target)
        .await?;
    let mut last: i64 = stood
        .and_then(|stood| stood.parse().ok())
        .unwrap_or(i64::MIN);
    let before: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {table} WHERE rowid <= $1"
    )))
    .bind(last)
    .fetch_one(&mut *source)
    .await?;
    *done = done.saturating_add(u64::try_from(before).unwrap_or_default());
    loop {
        if !progress(*done, all) {
            return Ok(false);
        }
        let batch: Vec<SqliteRow> = sqlx::query(AssertSqlSafe(select.clone()))
            .bind(last)
            .fetch_all(&mut *source)
            .await?;
        let Some(end) = batch.last() else {
            return Ok(true);
        };
        last = end.try_get("copy_rowid")?;
        let mut transaction = target.begin().await?;
        for row in &batch {
            let mut query = sqlx::query(AssertSqlSafe(insert.clone()));
            for column in &columns {
                let name = column.name.as_str();
                query = match column.kind.as_str() {
                    "INTEGER" => query.bind(row.try_get::<i64, _>(name)?),
                    "BLOB" => query.bind(row.try_get::<Vec<u8>, _>(name)?),
                    _ => query.bind(row.try_get::<String, _>(name)?.replace('\0', "")),
                };
            }
            query.execute(&mut *transaction).await?;
        }
        sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(&name)
            .bind(last.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        *done = done.saturating_add(u64::try_from(batch.len()).unwrap_or_default());
    }
}
