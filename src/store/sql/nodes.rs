//! Workers that share a database: who watches which source, who lives, and by which rules each decides. All by the clock of
//! the database, since those of the machines may differ.

use super::{Connection, text};
use crate::store::{LIVES_MS, Meeting, Node, StoreError, Watch};

/// Takes or renews the lease of a source.
pub(super) async fn watch(
    connection: &mut Connection,
    node: &str,
    source: &str,
    lease_ms: i64,
) -> Result<Watch, StoreError> {
    let granted: Option<i64> = sqlx::query_scalar(concat!(
        "INSERT INTO source_lease (source, node, until_ms) VALUES ($1, $2, ",
        clock_ms!(),
        " + $3) ON CONFLICT (source) DO UPDATE SET node = excluded.node, until_ms = excluded.until_ms \
         WHERE source_lease.node = excluded.node OR source_lease.until_ms <= ",
        clock_ms!(),
        " RETURNING until_ms"
    ))
    .bind(text(source))
    .bind(node)
    .bind(lease_ms)
    .fetch_optional(&mut *connection)
    .await?;
    if granted.is_some() {
        return Ok(Watch::Granted);
    }
    let by: Option<String> = sqlx::query_scalar("SELECT node FROM source_lease WHERE source = $1")
        .bind(text(source))
        .fetch_optional(connection)
        .await?;
    Ok(Watch::By(by.unwrap_or_default()))
}

pub(super) async fn leave(
    connection: &mut Connection,
    node: &str,
    source: &str,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM source_lease WHERE source = $1 AND node = $2")
        .bind(text(source))
        .bind(node)
        .execute(connection)
        .await?;
    Ok(())
}

/// Sources and who watches them now.
pub(super) async fn watchers(
    connection: &mut Connection,
) -> Result<Vec<(String, String)>, StoreError> {
    Ok(sqlx::query_as(concat!(
        "SELECT source, node FROM source_lease WHERE until_ms > ",
        clock_ms!(),
        " ORDER BY source"
    ))
    .fetch_all(connection)
    .await?)
}

/// Says that this worker lives and which rules it has in force, and tells who else lives.
pub(super) async fn meet(
    connection: &mut Connection,
    node: &str,
    ruleset: &str,
    since_ms: i64,
) -> Result<Meeting, StoreError> {
    sqlx::query(concat!(
        "INSERT INTO node (node, seen_ms, ruleset, ruleset_at_ms) VALUES ($1, ",
        clock_ms!(),
        ", $2, $3) ON CONFLICT (node) DO UPDATE SET seen_ms = excluded.seen_ms, ruleset = excluded.ruleset, \
         ruleset_at_ms = excluded.ruleset_at_ms"
    ))
    .bind(node)
    .bind(ruleset)
    .bind(since_ms)
    .execute(&mut *connection)
    .await?;
    let meeting = living(connection).await?;
    // One that has not been seen for an hour is gone; nobody is interested in its row.
    sqlx::query("DELETE FROM node WHERE seen_ms < $1")
        .bind(meeting.clock_ms.saturating_sub(3_600_000))
        .execute(connection)
        .await?;
    Ok(meeting)
}

pub(super) async fn living(connection: &mut Connection) -> Result<Meeting, StoreError> {
    let clock_ms: i64 = sqlx::query_scalar(concat!("SELECT ", clock_ms!()))
        .fetch_one(&mut *connection)
        .await?;
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT node, ruleset, ruleset_at_ms FROM node WHERE seen_ms > $1 ORDER BY ruleset_at_ms, node",
    )
    .bind(clock_ms.saturating_sub(LIVES_MS))
    .fetch_all(connection)
    .await?;
    let node = |(name, ruleset, ruleset_at_ms)| Node {
        name,
        ruleset,
        ruleset_at_ms,
    };
    Ok(Meeting {
        clock_ms,
        nodes: rows.into_iter().map(node).collect(),
    })
}

/// The worker stops: others may take over at once.
pub(super) async fn part(connection: &mut Connection, node: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM source_lease WHERE node = $1",
        "DELETE FROM node WHERE node = $1",
    ] {
        sqlx::query(sql)
            .bind(node)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
