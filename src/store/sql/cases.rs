//! Cases, their history, and settling messages.

use super::later::{Later, Said, Told};
use super::opened::{Opened, Written, compose};
use super::statement::{Statement, insert};
use super::{Connection, folded, intake, key, outbox, returned, text};
use crate::case::surroundings::{Thread, ThreadBy};
use crate::case::{Case, CaseField, CaseNumber, Change, Event};
use crate::store::rows::{self, CASE_COLUMNS, CaseRow, EventRow};
use crate::store::{
    CaseFilter, Compose, Correction, Outcome, Rearrangement, Settlement, StoreError, ThreadKeys,
};
use jiff::civil::Date;
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// Merges that a number is followed through.
const MERGES_MAX: usize = 20;

/// `SELECT` of all case columns with a constant tail.
macro_rules! select_cases {
    ($tail:expr) => {
        AssertSqlSafe(format!("SELECT {CASE_COLUMNS} FROM cases {}", $tail))
    };
}

/// All cases that a constant condition holds for, in a constant order, as one JSON text for [`all_in`]. Rows come one at a time
/// from the thread that asks the database, each of their 31 values copied: for hundreds of cases that takes most of the time.
macro_rules! select_all_cases {
    ($condition:literal, $order:literal) => {
        AssertSqlSafe(format!(
            concat!(
                "SELECT coalesce(CAST(",
                json_rows!(),
                "(",
                json_array!(),
                "({}) ORDER BY ",
                $order,
                ") AS TEXT), '[]') FROM cases WHERE ",
                $condition
            ),
            CASE_COLUMNS
        ))
    };
}

/// What is not done. The second half says nothing new: it is the condition of the index, which the databases do not infer.
macro_rules! open {
    () => {
        "state IN ('received', 'triage', 'approval', 'secure-handover', 'sent', 'answered') \
         AND state NOT IN ('closed', 'registered', 'dismissed')"
    };
}

pub(super) async fn by_number(
    connection: &mut Connection,
    number: CaseNumber,
) -> Result<Option<Case>, StoreError> {
    let row: Option<CaseRow> = sqlx::query_as(select_cases!("WHERE year = $1 AND count = $2"))
        .bind(i64::from(number.year))
        .bind(i64::try_from(number.count).unwrap_or(i64::MAX))
        .fetch_optional(&mut *connection)
        .await?;
    row.map(CaseRow::into_case).transpose()
}

async fn by_id(connection: &mut Connection, id: i64) -> Result<Option<Case>, StoreError> {
    let row: Option<CaseRow> = sqlx::query_as(select_cases!("WHERE id = $1"))
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.map(CaseRow::into_case).transpose()
}

/// The same, so that nobody else changes it before the transaction ends.
async fn by_id_to_change(connection: &mut Connection, id: i64) -> Result<Option<Case>, StoreError> {
    let row: Option<CaseRow> =
        sqlx::query_as(select_cases!(concat!("WHERE id = $1", for_update!())))
            .bind(id)
            .fetch_optional(connection)
            .await?;
    row.map(CaseRow::into_case).transpose()
}

pub(super) async fn list(
    connection: &mut Connection,
    filter: &CaseFilter,
) -> Result<Vec<Case>, StoreError> {
    // The first words name an index of what is looked for where there is one, and keep the database from going through all
    // cases in the order of their numbers.
    let (few, order) = if filter.attention {
        ("attention = 1 AND ", "+year, +count")
    } else {
        match filter.state {
            Some(state) if !state.is_open() => ("", "year, count"),
            Some(_) => (concat!(open!(), " AND state = $1 AND "), "+year, +count"),
            None if filter.all => ("", "year, count"),
            None => (concat!(open!(), " AND "), "+year, +count"),
        }
    };
    let rows: Vec<CaseRow> = sqlx::query_as(select_cases!(format!(
        "WHERE {few}($1 = '' OR state = $1) AND ($2 = '' OR destination = $2) AND ($3 = 0 OR attention = 1) \
         AND ($4 = '' OR (due_day <> '' AND due_day < $4 AND state IN ('received', 'triage', 'approval', 'secure-handover', 'sent'))) \
         AND ($5 = 1 OR $1 <> '' OR state NOT IN ('closed', 'registered', 'dismissed')) \
         AND ($7 = '' OR destination = $7 OR reporter_party = $7) \
         AND ($8 = '' OR (SELECT e.actor FROM case_event e WHERE e.case_id = cases.id AND e.actor LIKE 'user:%' AND e.kind <> 'shown' \
         ORDER BY e.id DESC LIMIT 1) = $8) \
         ORDER BY {order} LIMIT $6"
    )))
    .bind(filter.state.map(crate::case::State::id).unwrap_or_default())
    .bind(filter.party.clone().unwrap_or_default())
    .bind(i64::from(filter.attention))
    .bind(filter.overdue_on.map(|day| day.to_string()).unwrap_or_default())
    .bind(i64::from(filter.all))
    .bind(i64::from(if filter.limit == 0 { u32::MAX } else { filter.limit }))
    .bind(filter.concerns.clone().unwrap_or_default())
    .bind(filter.handled_by.as_ref().map(|user| format!("user:{user}")).unwrap_or_default())
    .fetch_all(&mut *connection)
    .await?;
    rows.into_iter().map(CaseRow::into_case).collect()
}

/// Rows of the messages in a case.
pub(super) async fn messages(
    connection: &mut Connection,
    case_id: i64,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar("SELECT id FROM message WHERE case_id = $1 AND case_id <> 0 AND outcome IN ('opened', 'joined') ORDER BY id")
        .bind(case_id)
        .fetch_all(connection)
        .await?)
}

pub(super) async fn history(
    connection: &mut Connection,
    case_id: i64,
) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<EventRow> =
        sqlx::query_as("SELECT at_ms, kind, state, actor, on_behalf_of, reason, data FROM case_event WHERE case_id = $1 ORDER BY id")
            .bind(case_id)
            .fetch_all(&mut *connection)
            .await?;
    rows.into_iter().map(EventRow::into_event).collect()
}

pub(super) async fn fields(
    connection: &mut Connection,
    case_id: i64,
) -> Result<Vec<CaseField>, StoreError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT name, value, message_id FROM case_field WHERE case_id = $1 ORDER BY id",
    )
    .bind(case_id)
    .fetch_all(&mut *connection)
    .await?;
    let field = |(name, value, message_id)| CaseField {
        name,
        value,
        message_id,
    };
    Ok(rows.into_iter().map(field).collect())
}

rows::row! {
    struct CorrectedRow {
        message_id: i64,
        id: i64,
        year: i64,
        count: i64,
        merged_into: String,
        now_in: i64,
        now_year: i64,
        now_count: i64,
        data: String,
    }
}

/// A second case that a person split off for the same report says nothing of the report as a whole; a case that was merged
/// into another still says what its own message was.
pub(super) async fn corrections(
    connection: &mut Connection,
) -> Result<Vec<Correction>, StoreError> {
    let rows: Vec<CorrectedRow> = sqlx::query_as(
        "SELECT c.message_id, c.id, c.year, c.count, c.merged_into, m.case_id AS now_in, coalesce(k.year, 0) AS now_year, \
         coalesce(k.count, 0) AS now_count, e.data FROM case_event e JOIN cases c ON c.id = e.case_id \
         JOIN message m ON m.id = c.message_id LEFT JOIN cases k ON k.id = m.case_id \
         WHERE e.kind = 'corrected' AND (m.case_id = c.id OR c.merged_into <> '') ORDER BY c.year, c.count, e.id",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut corrections: Vec<Correction> = Vec::new();
    for row in rows {
        let is_there = row.now_in == row.id
            || row.now_count != 0
                && rows::number(row.now_year, row.now_count)?.to_string() == row.merged_into;
        if !is_there {
            continue;
        }
        let CorrectedRow {
            message_id,
            year,
            count,
            data,
            ..
        } = row;
        let data: serde_json::Value =
            serde_json::from_str(&data).map_err(|_| StoreError::Broken("event data".to_owned()))?;
        let case = rows::number(year, count)?.to_string();
        if corrections.last().is_none_or(|last| last.case != case) {
            corrections.push(Correction {
                message_id,
                case,
                ..Correction::default()
            });
        }
        let wanted = data.get("to").and_then(serde_json::Value::as_object);
        if let Some(last) = corrections.last_mut() {
            for (facet, value) in wanted.into_iter().flatten() {
                if let Some(value) = value.as_str() {
                    last.facets.insert(facet.clone(), value.to_owned());
                }
            }
        }
    }
    Ok(corrections)
}

pub(super) async fn chaseable(
    connection: &mut Connection,
    today: Date,
    answered_before_ms: i64,
) -> Result<Vec<Case>, StoreError> {
    let due: String = sqlx::query_scalar(select_all_cases!(
        "state = 'sent' AND reminder = 'allowed' AND due_day <= $1 AND due_day <> ''",
        "due_day, id"
    ))
    .bind(today.to_string())
    .fetch_one(&mut *connection)
    .await?;
    let answered: String = sqlx::query_scalar(select_all_cases!(
        "state = 'answered' AND answered_at_ms <= $1",
        "answered_at_ms, id"
    ))
    .bind(answered_before_ms)
    .fetch_one(&mut *connection)
    .await?;
    let mut cases = all_in(&due)?;
    cases.extend(all_in(&answered)?);
    Ok(cases)
}

/// The cases that [`select_all_cases`] found.
fn all_in(json: &str) -> Result<Vec<Case>, StoreError> {
    // What does not fit is not told: it may be of a report.
    let rows: Vec<CaseRow> =
        serde_json::from_str(json).map_err(|_| rows::broken("cases", json.len()))?;
    rows.into_iter().map(CaseRow::into_case).collect()
}

/// The case that a message refers to: by our signed Message-ID, by a token, by the sender's own reference, by an earlier
/// message; nearest first in each.
pub(super) async fn find_thread(
    connection: &mut Connection,
    keys: &ThreadKeys,
) -> Result<Option<Thread>, StoreError> {
    let Some(mut thread) = find_named(connection, keys).await? else {
        return Ok(None);
    };
    // A merged case goes on under the other's number. No merge leads back, since a merged case takes in no other.
    for _ in 0..MERGES_MAX {
        let Some(into) = thread.case.merged_into else {
            break;
        };
        let Some(case) = by_number(connection, into).await? else {
            break;
        };
        thread.case = case;
    }
    Ok(Some(thread))
}

async fn find_named(
    connection: &mut Connection,
    keys: &ThreadKeys,
) -> Result<Option<Thread>, StoreError> {
    for number in &keys.signed {
        if let Some(case) = by_number(connection, *number).await? {
            let by = ThreadBy::SignedId;
            return Ok(Some(Thread { case, by }));
        }
    }
    for cited in &keys.cited {
        // A server that replaced our Message-ID told us its own: as good as ours, since nobody else could know it.
        let found =
            sqlx::query_scalar("SELECT case_id FROM outbox WHERE replaced_message_id = $1 AND replaced_message_id <> '' LIMIT 1")
                .bind(key(cited))
                .fetch_optional(&mut *connection)
                .await?;
        if let Some(thread) = thread_of(connection, found, ThreadBy::SignedId).await? {
            return Ok(Some(thread));
        }
    }
    for number in &keys.tokens {
        if let Some(case) = by_number(connection, *number).await? {
            let by = ThreadBy::Token;
            return Ok(Some(Thread { case, by }));
        }
    }
    if let Some(own) = &keys.own {
        let found = sqlx::query_scalar(
            "SELECT case_id FROM case_reference WHERE reference = $1 AND ((address = $2 AND address <> '') OR (party = $3 AND party <> '')) \
             ORDER BY message_id DESC LIMIT 1",
        )
        .bind(folded(&own.reference))
        .bind(folded(&own.address))
        .bind(text(&own.party))
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(thread) = thread_of(connection, found, ThreadBy::OwnReference).await? {
            return Ok(Some(thread));
        }
    }
    for cited in &keys.cited {
        let found = sqlx::query_scalar(
            "SELECT case_id FROM thread_id WHERE rfc_message_id = $1 ORDER BY message_id LIMIT 1",
        )
        .bind(key(cited))
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(thread) = thread_of(connection, found, ThreadBy::EarlierMessage).await? {
            return Ok(Some(thread));
        }
    }
    Ok(None)
}

/// The case with this row, if one was found.
async fn thread_of(
    connection: &mut Connection,
    found: Option<i64>,
    by: ThreadBy,
) -> Result<Option<Thread>, StoreError> {
    let Some(id) = found else { return Ok(None) };
    let case = by_id(connection, id).await?;
    Ok(case.map(|case| Thread { case, by }))
}

pub(super) async fn settle(
    connection: &mut Connection,
    later: &mut Later,
    settlement: Settlement,
    composer: Arc<dyn Compose>,
) -> Result<Option<Case>, StoreError> {
    let Settlement {
        message_id, at_ms, ..
    } = settlement;
    let (outcome, reason, case) = match settlement.outcome {
        Outcome::Opened(change) => (
            "opened",
            String::new(),
            Some(open(connection, later, *change, composer, at_ms).await?),
        ),
        Outcome::Joined(change) => (
            "joined",
            String::new(),
            Some(store_change(connection, later, *change, &*composer, at_ms).await?),
        ),
        Outcome::LeftAlone(reason) => ("left-alone", reason, None),
    };
    later.told(Told {
        message_id,
        outcome,
        reason,
        case_id: case.as_ref().map_or(0, |case| case.id),
        at_ms,
        received_at_ms: settlement.received_at_ms,
        sender_domain: settlement.sender_domain,
    });
    if let Some((ruleset, verdict)) = settlement.verdict {
        if settlement.adopted {
            set_verdict_aside(connection, message_id, &verdict).await?;
        }
        later.said(Said {
            message_id,
            ruleset,
            at_ms,
            verdict,
        });
    }
    if let Some(case) = &case {
        intake::keep_texts(connection, message_id, &settlement.attachment_texts).await?;
        if let Some(sketch) = settlement.sketch {
            later.alike(case.id, settlement.received_at_ms, sketch);
        }
        if let Some(rfc_message_id) = &settlement.rfc_message_id {
            later.thread(rfc_message_id, case.id, message_id);
        }
        if let Some(own) = settlement.own {
            later.reference(own, case.id, message_id);
        }
    }
    if let Some(came_back) = &settlement.returned {
        later.write(connection).await?;
        returned::keep(connection, came_back, at_ms).await?;
    }
    Ok(case)
}

/// Keeps what the rules had said of a message beside what they say now.
async fn set_verdict_aside(
    connection: &mut Connection,
    message_id: i64,
    verdict: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO earlier_verdict (message_id, ruleset, at_ms, verdict) \
         SELECT message_id, ruleset, at_ms, verdict FROM verdict WHERE message_id = $1 AND verdict <> $2",
    )
    .bind(message_id)
    .bind(verdict)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the changes of two cases and moves messages between them, with the Message-IDs by which later mail finds them.
pub(super) async fn rearrange(
    connection: &mut Connection,
    rearrangement: Rearrangement,
    composer: &dyn Compose,
    now_ms: i64,
) -> Result<(Case, Case), StoreError> {
    let mut later = Later::default();
    let first = store_change(
        connection,
        &mut later,
        rearrangement.first,
        composer,
        now_ms,
    )
    .await?;
    let then = (rearrangement.then)(&first);
    let other = store_change(connection, &mut later, then, composer, now_ms).await?;
    // Fields move below with the messages that they came with.
    later.write(connection).await?;
    for moved in &rearrangement.moves {
        let to = if moved.to_first { first.id } else { other.id };
        sqlx::query("UPDATE message SET case_id = $1, outcome = $2 WHERE id = $3")
            .bind(to)
            .bind(if moved.opened { "opened" } else { "joined" })
            .bind(moved.message_id)
            .execute(&mut *connection)
            .await?;
        for sql in [
            "UPDATE thread_id SET case_id = $1 WHERE message_id = $2",
            "UPDATE case_reference SET case_id = $1 WHERE message_id = $2",
        ] {
            sqlx::query(sql)
                .bind(to)
                .bind(moved.message_id)
                .execute(&mut *connection)
                .await?;
        }
        move_fields(connection, moved.message_id, to, moved.opened).await?;
    }
    if let Some((message_id, ruleset, verdict)) = rearrangement.verdict {
        set_verdict_aside(connection, message_id, &verdict).await?;
        later.said(Said {
            message_id,
            ruleset,
            at_ms: now_ms,
            verdict,
        });
    }
    if let Some(sketch) = rearrangement.sketch {
        later.alike(first.id, first.received_at_ms, sketch);
    }
    later.write(connection).await?;
    Ok((first, other))
}

/// What the form in a message says goes where the message goes. What the case there has said already stays; what found no
/// place stays behind, so that it is there when the message comes back. A message with a case of its own takes all with it.
async fn move_fields(
    connection: &mut Connection,
    message_id: i64,
    to: i64,
    opened: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE case_field SET case_id = $1 WHERE message_id = $2 \
         AND NOT EXISTS (SELECT 1 FROM case_field f WHERE f.case_id = $1 AND f.name = case_field.name) \
         AND id = (SELECT min(f.id) FROM case_field f WHERE f.message_id = $2 AND f.name = case_field.name)",
    )
    .bind(to)
    .bind(message_id)
    .execute(&mut *connection)
    .await?;
    if opened {
        sqlx::query("DELETE FROM case_field WHERE message_id = $1 AND case_id <> $2")
            .bind(message_id)
            .bind(to)
            .execute(connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn apply(
    connection: &mut Connection,
    change: Change,
    composer: &dyn Compose,
) -> Result<Case, StoreError> {
    let at_ms = change
        .events
        .last()
        .map_or(change.case.created_at_ms, |event| event.at_ms);
    let mut later = Later::default();
    let case = store_change(connection, &mut later, change, composer, at_ms).await?;
    later.write(connection).await?;
    Ok(case)
}

/// A new case gets its numbers, which its mail carries; all of it waits.
async fn open(
    connection: &mut Connection,
    later: &mut Later,
    mut change: Change,
    composer: Arc<dyn Compose>,
    now_ms: i64,
) -> Result<Case, StoreError> {
    later.number(connection, &mut change.case).await?;
    change.case.version = change.case.version.saturating_add(1);
    let case = change.case.clone();
    later.open(Opened {
        change,
        composer,
        now_ms,
    });
    Ok(case)
}

/// Writes the case; its events and its mail wait.
async fn store_change(
    connection: &mut Connection,
    later: &mut Later,
    mut change: Change,
    composer: &dyn Compose,
    now_ms: i64,
) -> Result<Case, StoreError> {
    let is_new = change.case.id == 0;
    if is_new {
        later.number(connection, &mut change.case).await?;
    } else if later.has_case(change.case.id) {
        later.write(connection).await?;
    }
    let mut previous = Vec::new();
    if !is_new {
        for order in &change.mails {
            previous.push(outbox::last_message_id(connection, change.case.id, &order.party).await?);
        }
    }
    let mails = compose(&mut change, composer, &previous, now_ms);
    let expected = change.case.version;
    change.case.version = expected.saturating_add(1);
    if is_new {
        let mut statements = Vec::new();
        insert_cases(&mut statements, &[&change.case]);
        for statement in statements {
            statement.execute(connection).await?;
        }
    } else if !update_case(connection, &change.case, expected).await? {
        return Err(StoreError::Conflict);
    }
    let case = change.case.clone();
    later.written(Written {
        change,
        mails,
        now_ms,
    });
    Ok(case)
}

/// The rows of new cases.
pub(super) fn insert_cases(statements: &mut Vec<Statement>, cases: &[&Case]) {
    let rows: Vec<CaseRow> = cases.iter().map(|case| CaseRow::from_case(case)).collect();
    let head = format!("INSERT INTO cases ({CASE_COLUMNS}) ");
    insert(statements, &head, &rows, "", |values, row| {
        values
            .push_bind(row.id)
            .push_bind(row.year)
            .push_bind(row.count)
            .push_bind(row.version)
            .push_bind(&row.state)
            .push_bind(text(&row.kind))
            .push_bind(text(&row.direction))
            .push_bind(text(&row.destination))
            .push_bind(text(&row.copies))
            .push_bind(text(&row.category))
            .push_bind(text(&row.severity))
            .push_bind(text(&row.reporter_address))
            .push_bind(&row.reporter_source)
            .push_bind(text(&row.reporter_party))
            .push_bind(text(&row.reporter_message_id))
            .push_bind(&row.language)
            .push_bind(text(&row.reference))
            .push_bind(row.received_at_ms)
            .push_bind(&row.received_day)
            .push_bind(&row.due_day)
            .push_bind(row.created_at_ms)
            .push_bind(row.sent_at_ms)
            .push_bind(row.answered_at_ms)
            .push_bind(row.closed_at_ms)
            .push_bind(&row.acknowledgement)
            .push_bind(text(&row.told_party))
            .push_bind(&row.reminder)
            .push_bind(row.attention)
            .push_bind(row.message_id)
            .push_bind(&row.merged_into)
            .push_bind(&row.duplicate_of);
    });
}

/// Updates what may change; `false` when the case is no longer at the expected version.
async fn update_case(
    connection: &mut Connection,
    case: &Case,
    expected_version: i64,
) -> Result<bool, StoreError> {
    let row = CaseRow::from_case(case);
    let done = sqlx::query(
        "UPDATE cases SET version = $1, state = $2, kind = $3, direction = $4, destination = $5, copies = $6, category = $7, \
         severity = $8, due_day = $9, sent_at_ms = $10, answered_at_ms = $11, closed_at_ms = $12, acknowledgement = $13, \
         told_party = $14, reminder = $15, attention = $16, merged_into = $19, duplicate_of = $20, \
         reporter_address = $21, reporter_source = $22, reporter_party = $23, reporter_message_id = $24, language = $25, \
         reference = $26, message_id = $27 WHERE id = $17 AND version = $18",
    )
    .bind(row.version)
    .bind(row.state)
    .bind(text(&row.kind))
    .bind(text(&row.direction))
    .bind(text(&row.destination))
    .bind(text(&row.copies))
    .bind(text(&row.category))
    .bind(text(&row.severity))
    .bind(row.due_day)
    .bind(row.sent_at_ms)
    .bind(row.answered_at_ms)
    .bind(row.closed_at_ms)
    .bind(row.acknowledgement)
    .bind(text(&row.told_party))
    .bind(row.reminder)
    .bind(row.attention)
    .bind(row.id)
    .bind(expected_version)
    .bind(row.merged_into)
    .bind(row.duplicate_of)
    .bind(text(&row.reporter_address))
    .bind(row.reporter_source)
    .bind(text(&row.reporter_party))
    .bind(text(&row.reporter_message_id))
    .bind(row.language)
    .bind(text(&row.reference))
    .bind(row.message_id)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Changes a case inside a running transaction, from its present state; for results of sending.
pub(super) async fn amend(
    connection: &mut Connection,
    case_id: i64,
    amend: impl FnOnce(&mut Change) + Send,
) -> Result<(), StoreError> {
    let case = by_id_to_change(connection, case_id)
        .await?
        .ok_or_else(|| rows::broken("case id", case_id))?;
    let mut change = Change::of(case);
    amend(&mut change);
    let expected = change.case.version;
    change.case.version = expected.saturating_add(1);
    if !update_case(connection, &change.case, expected).await? {
        return Err(StoreError::Conflict);
    }
    let mut later = Later::default();
    later.history(case_id, change.events);
    later.write(connection).await
}
