//! Rows ↔ the plain types of the other modules; shared by the backends.

use super::StoreError;
use crate::case::{
    Acknowledgement, Actor, Case, CaseNumber, Event, EventKind, MailKind, Reminder, State,
};
use crate::rules::{Language, ReporterSource, WhyNot};
use jiff::civil::Date;
use std::ops::RangeFrom;

/// Columns of `cases`, in the order in which [`CaseRow`] lists them.
pub(super) const CASE_COLUMNS: &str = "id, year, count, version, state, kind, direction, destination, copies, category, severity, \
     reporter_address, reporter_source, reporter_party, reporter_message_id, language, reference, received_at_ms, received_day, \
     due_day, created_at_ms, sent_at_ms, answered_at_ms, closed_at_ms, acknowledgement, told_party, reminder, attention, message_id, merged_into, duplicate_of";

/// The next column of a row, which must have the name. To look one up by its name takes as long as to read it; to see that it
/// is the one that is expected takes nothing.
pub(super) fn next_column<'r, R, T>(
    row: &'r R,
    places: &mut RangeFrom<usize>,
    name: &str,
) -> sqlx::Result<T>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    T: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let place = places.next().unwrap_or(usize::MAX);
    let column = row.columns().get(place);
    if column.is_none_or(|column| sqlx::Column::name(column) != name) {
        return Err(sqlx::Error::ColumnNotFound(name.to_owned()));
    }
    row.try_get(place)
}

/// A row whose columns are read in their order into the fields, which have the same names.
macro_rules! row {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($field_visibility:vis $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        $visibility struct $name { $($field_visibility $field: $type,)* }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            usize: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
        {
            fn from_row(row: &'r R) -> sqlx::Result<Self> {
                let mut places = 0..;
                Ok(Self { $($field: $crate::store::rows::next_column(row, &mut places, stringify!($field))?,)* })
            }
        }
    };
}
pub(super) use row;

row! {
    /// A row of `cases` as the database holds it.
    #[derive(serde::Deserialize)]
    pub(super) struct CaseRow {
        pub id: i64,
        pub year: i64,
        pub count: i64,
        pub version: i64,
        pub state: String,
        pub kind: String,
        pub direction: String,
        pub destination: String,
        pub copies: String,
        pub category: String,
        pub severity: String,
        pub reporter_address: String,
        pub reporter_source: String,
        pub reporter_party: String,
        pub reporter_message_id: String,
        pub language: String,
        pub reference: String,
        pub received_at_ms: i64,
        pub received_day: String,
        pub due_day: String,
        pub created_at_ms: i64,
        pub sent_at_ms: i64,
        pub answered_at_ms: i64,
        pub closed_at_ms: i64,
        pub acknowledgement: String,
        pub told_party: String,
        pub reminder: String,
        pub attention: i64,
        pub message_id: i64,
        pub merged_into: String,
        pub duplicate_of: String,
    }
}

pub(super) fn broken(what: &str, value: impl std::fmt::Debug) -> StoreError {
    StoreError::Broken(format!("{what} = {value:?}"))
}

/// `some-id` of a serde kebab-case enum.
fn enum_id<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(id)) => id,
        _ => String::new(),
    }
}

fn enum_of<T: serde::de::DeserializeOwned>(what: &str, id: &str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(id.to_owned())).map_err(|_| broken(what, id))
}

/// The number of another case; none when there is no text.
fn other_case(text: &str) -> Result<Option<CaseNumber>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| broken("case number", text))
}

fn none_if_zero(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

impl CaseRow {
    pub(super) fn from_case(case: &Case) -> Self {
        Self {
            id: case.id,
            year: i64::from(case.number.year),
            count: i64::try_from(case.number.count).unwrap_or(i64::MAX),
            version: case.version,
            state: case.state.id().to_owned(),
            kind: case.kind.clone(),
            direction: case.direction.clone(),
            destination: case.destination.clone(),
            copies: case.copies.join(" "),
            category: case.category.clone(),
            severity: case.severity.clone(),
            reporter_address: case.reporter_address.clone(),
            reporter_source: enum_id(case.reporter_source),
            reporter_party: case.reporter_party.clone(),
            reporter_message_id: case.reporter_message_id.clone(),
            language: enum_id(case.language),
            reference: case.reference.clone(),
            received_at_ms: case.received_at_ms,
            received_day: case.received_day.to_string(),
            due_day: case.due_day.map(|day| day.to_string()).unwrap_or_default(),
            created_at_ms: case.created_at_ms,
            sent_at_ms: case.sent_at_ms.unwrap_or_default(),
            answered_at_ms: case.answered_at_ms.unwrap_or_default(),
            closed_at_ms: case.closed_at_ms.unwrap_or_default(),
            acknowledgement: match case.acknowledgement {
                Acknowledgement::Queued => "queued".to_owned(),
                Acknowledgement::Not(why_not) => why_not.id().to_owned(),
            },
            told_party: case.told_party.clone(),
            reminder: case.reminder.id().to_owned(),
            attention: i64::from(case.attention),
            message_id: case.message_id,
            merged_into: case
                .merged_into
                .map(|number| number.to_string())
                .unwrap_or_default(),
            duplicate_of: case
                .duplicate_of
                .map(|number| number.to_string())
                .unwrap_or_default(),
        }
    }

    pub(super) fn into_case(self) -> Result<Case, StoreError> {
        let day = |what: &str, text: &str| text.parse::<Date>().map_err(|_| broken(what, text));
        Ok(Case {
            id: self.id,
            number: CaseNumber {
                year: i16::try_from(self.year).map_err(|_| broken("year", self.year))?,
                count: u64::try_from(self.count).map_err(|_| broken("count", self.count))?,
            },
            version: self.version,
            state: State::from_id(&self.state).ok_or_else(|| broken("state", &self.state))?,
            kind: self.kind,
            direction: self.direction,
            destination: self.destination,
            copies: self.copies.split_whitespace().map(str::to_owned).collect(),
            category: self.category,
            severity: self.severity,
            reporter_address: self.reporter_address,
            reporter_source: enum_of::<ReporterSource>("reporter_source", &self.reporter_source)?,
            reporter_party: self.reporter_party,
            reporter_message_id: self.reporter_message_id,
            language: enum_of::<Language>("language", &self.language)?,
            reference: self.reference,
            received_at_ms: self.received_at_ms,
            received_day: day("received_day", &self.received_day)?,
            due_day: if self.due_day.is_empty() {
                None
            } else {
                Some(day("due_day", &self.due_day)?)
            },
            created_at_ms: self.created_at_ms,
            sent_at_ms: none_if_zero(self.sent_at_ms),
            answered_at_ms: none_if_zero(self.answered_at_ms),
            closed_at_ms: none_if_zero(self.closed_at_ms),
            acknowledgement: if self.acknowledgement == "queued" {
                Acknowledgement::Queued
            } else {
                let why_not = WhyNot::from_id(&self.acknowledgement);
                Acknowledgement::Not(
                    why_not.ok_or_else(|| broken("acknowledgement", &self.acknowledgement))?,
                )
            },
            told_party: self.told_party,
            reminder: Reminder::from_id(&self.reminder)
                .ok_or_else(|| broken("reminder", &self.reminder))?,
            attention: self.attention != 0,
            message_id: self.message_id,
            merged_into: other_case(&self.merged_into)?,
            duplicate_of: other_case(&self.duplicate_of)?,
        })
    }
}

row! {
    /// A row of `case_event`.
    pub(super) struct EventRow {
        pub at_ms: i64,
        pub kind: String,
        pub state: String,
        pub actor: String,
        pub on_behalf_of: String,
        pub reason: String,
        pub data: String,
    }
}

/// The actor's columns; the worker is `linjevei` with no user of that name possible beside it, since a person's is prefixed.
pub(super) fn actor_columns(actor: &Actor) -> (String, String) {
    match actor {
        Actor::Worker => ("worker".to_owned(), String::new()),
        Actor::Person { user, on_behalf_of } => (format!("user:{user}"), on_behalf_of.clone()),
    }
}

impl EventRow {
    pub(super) fn into_event(self) -> Result<Event, StoreError> {
        Ok(Event {
            kind: EventKind::from_id(&self.kind).ok_or_else(|| broken("event kind", &self.kind))?,
            at_ms: self.at_ms,
            actor: match self.actor.strip_prefix("user:") {
                Some(user) => Actor::Person {
                    user: user.to_owned(),
                    on_behalf_of: self.on_behalf_of,
                },
                None => Actor::Worker,
            },
            reason: self.reason,
            state: State::from_id(&self.state).ok_or_else(|| broken("state", &self.state))?,
            data: serde_json::from_str(&self.data).map_err(|_| broken("event data", "not JSON"))?,
        })
    }
}

pub(super) fn mail_kind(id: &str) -> Result<MailKind, StoreError> {
    MailKind::from_id(id).ok_or_else(|| broken("mail kind", id))
}

pub(super) fn number(year: i64, count: i64) -> Result<CaseNumber, StoreError> {
    Ok(CaseNumber {
        year: i16::try_from(year).map_err(|_| broken("year", year))?,
        count: u64::try_from(count).map_err(|_| broken("count", count))?,
    })
}
