//! What cannot be read at the sources, and what people did there by hand.

use super::{Connection, key, text};
use crate::case::Actor;
use crate::intake::Position;
use crate::store::rows;
use crate::store::{SourceEvent, StoreError, Unreadable};

pub(super) async fn note(
    connection: &mut Connection,
    source: &str,
    found: &[(Position, String)],
    now_ms: i64,
) -> Result<(), StoreError> {
    for (position, why) in found {
        sqlx::query(
            "INSERT INTO unreadable (source, mailbox, uid_validity, position_key, first_at_ms, last_at_ms, why) \
             VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (source, mailbox, uid_validity, position_key) \
             DO UPDATE SET last_at_ms = excluded.last_at_ms, why = excluded.why",
        )
        .bind(text(source))
        .bind(text(&position.mailbox))
        .bind(i64::from(position.uid_validity))
        .bind(key(&position.key))
        .bind(now_ms)
        .bind(text(why))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn has_older(
    connection: &mut Connection,
    source: &str,
    not_met_since_ms: i64,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT last_at_ms FROM unreadable WHERE source = $1 AND last_at_ms < $2 LIMIT 1",
    )
    .bind(text(source))
    .bind(not_met_since_ms)
    .fetch_optional(&mut *connection)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn forget(
    connection: &mut Connection,
    source: &str,
    not_met_since_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM unreadable WHERE source = $1 AND last_at_ms < $2")
        .bind(text(source))
        .bind(not_met_since_ms)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// It has been stored.
/// Whether messages of a source could not be read.
pub(super) async fn has_any(connection: &mut Connection, source: &str) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT first_at_ms FROM unreadable WHERE source = $1 LIMIT 1")
            .bind(text(source))
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

pub(super) async fn mended(
    connection: &mut Connection,
    source: &str,
    position: &Position,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM unreadable WHERE source = $1 AND mailbox = $2 AND uid_validity = $3 AND position_key = $4",
    )
    .bind(text(source))
    .bind(text(&position.mailbox))
    .bind(i64::from(position.uid_validity))
    .bind(key(&position.key))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn all(connection: &mut Connection) -> Result<Vec<Unreadable>, StoreError> {
    let rows: Vec<(String, String, i64, String, i64, i64, String)> = sqlx::query_as(
        "SELECT source, mailbox, uid_validity, position_key, first_at_ms, last_at_ms, why FROM unreadable \
         ORDER BY first_at_ms, source, position_key",
    )
    .fetch_all(&mut *connection)
    .await?;
    rows.into_iter()
        .map(
            |(source, mailbox, uid_validity, key, first_at_ms, last_at_ms, why)| {
                let uid_validity = u32::try_from(uid_validity)
                    .map_err(|_| rows::broken("uid_validity", uid_validity))?;
                Ok(Unreadable {
                    source,
                    position: Position {
                        mailbox,
                        uid_validity,
                        key,
                    },
                    first_at_ms,
                    last_at_ms,
                    why,
                })
            },
        )
        .collect()
}

pub(super) async fn keep_event(
    connection: &mut Connection,
    event: &SourceEvent,
) -> Result<(), StoreError> {
    let (actor, on_behalf_of) = match &event.actor {
        Actor::Worker => ("", ""),
        Actor::Person { user, on_behalf_of } => (user.as_str(), on_behalf_of.as_str()),
    };
    sqlx::query(
        "INSERT INTO source_event (source, position_key, at_ms, kind, actor, on_behalf_of, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(text(&event.source))
    .bind(text(&event.position_key))
    .bind(event.at_ms)
    .bind(event.kind)
    .bind(text(actor))
    .bind(text(on_behalf_of))
    .bind(text(&event.reason))
    .execute(&mut *connection)
    .await?;
    Ok(())
}
