//! Small things that are kept: settings, rule sets, and numbers for whoever looks.

use super::{Connection, outbox, text};
use crate::rules::RuleFiles;
use crate::store::{Counts, StoreError};

/// Keeps a rule set whole.
pub(super) async fn ruleset(
    connection: &mut Connection,
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
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn ruleset_files(
    connection: &mut Connection,
    hash: &str,
) -> Result<Option<RuleFiles>, StoreError> {
    let files: Option<String> = sqlx::query_scalar("SELECT files FROM ruleset WHERE hash = $1")
        .bind(hash)
        .fetch_optional(connection)
        .await?;
    files
        .map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|error| StoreError::Broken(format!("files of a rule set: {error}")))
}

pub(super) async fn setting(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<String>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
            .bind(name)
            .fetch_optional(connection)
            .await?,
    )
}

pub(super) async fn set_setting(
    connection: &mut Connection,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(name)
        .bind(text(value))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn setting_once(
    connection: &mut Connection,
    name: &str,
    value: &str,
) -> Result<String, StoreError> {
    sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(text(value))
        .execute(&mut *connection)
        .await?;
    Ok(
        sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
            .bind(name)
            .fetch_one(connection)
            .await?,
    )
}

pub(super) async fn counts(connection: &mut Connection) -> Result<Counts, StoreError> {
    Ok(Counts {
        messages: sqlx::query_as(
            "SELECT outcome, count(*) FROM message GROUP BY outcome ORDER BY outcome",
        )
        .fetch_all(&mut *connection)
        .await?,
        cases: sqlx::query_as("SELECT state, count(*) FROM cases GROUP BY state ORDER BY state")
            .fetch_all(&mut *connection)
            .await?,
        outbox: sqlx::query_as("SELECT state, count(*) FROM outbox GROUP BY state ORDER BY state")
            .fetch_all(&mut *connection)
            .await?,
        oldest_unsent_ms: outbox::oldest_unsent_ms(connection).await?,
    })
}
