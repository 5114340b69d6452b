//! What a database holds, read beside everything else and without linjevei's own code.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

/// Where the nodes keep what they know.
#[derive(Debug)]
pub enum Place {
    /// A file, in use by one node.
    Sqlite(PathBuf),
    /// The address of a database that several nodes share.
    Postgres(String),
}

/// Does the same with a connection to either.
macro_rules! with {
    ($database:expr, |$connection:ident| $work:expr) => {
        $database.runtime.block_on(async {
            match &$database.place {
                Place::Sqlite(path) => {
                    let options = SqliteConnectOptions::new()
                        .filename(path)
                        .read_only(true)
                        .busy_timeout(Duration::from_secs(10));
                    let mut $connection = options.connect().await.unwrap();
                    let done = $work;
                    $connection.close().await.unwrap();
                    done
                }
                Place::Postgres(url) => {
                    let options: PgConnectOptions = url.parse().unwrap();
                    let mut $connection = options.connect().await.unwrap();
                    let done = $work;
                    $connection.close().await.unwrap();
                    done
                }
            }
        })
    };
}

/// A database under test.
#[derive(Debug)]
pub struct Database {
    place: Place,
    runtime: Runtime,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub source: String,
    pub key: String,
    pub hash: String,
    pub attempts: i64,
    pub outcome: String,
    pub reason: String,
    pub case_id: i64,
    pub duplicate_of: i64,
    pub treated: i64,
}

impl Message {
    /// What never changes once it is decided.
    pub fn decision(&self) -> (&str, &str, i64, i64) {
        (&self.outcome, &self.reason, self.case_id, self.duplicate_of)
    }
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub year: i64,
    pub count: i64,
    pub state: String,
    pub acknowledgement: String,
    pub reminder: String,
    pub destination: String,
    pub due_day: String,
    pub sent_at_ms: i64,
    pub message_id: i64,
}

/// A mail of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub case_id: i64,
    pub kind: String,
    pub party: String,
    pub message_id: String,
    pub state: String,
    pub attempts: i64,
    pub unknown: i64,
    pub next_attempt_at_ms: i64,
    pub created_at_ms: i64,
    /// Address and state of each recipient.
    pub recipients: Vec<(String, String)>,
}

/// Everything that matters here at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By row.
    pub messages: BTreeMap<i64, Message>,
    /// By row.
    pub cases: BTreeMap<i64, Case>,
    /// By row.
    pub mails: BTreeMap<i64, Mail>,
    /// The last number of each year.
    pub counters: BTreeMap<i64, i64>,
    /// When each source was checked last, Unix milliseconds.
    pub checked: BTreeMap<String, i64>,
    /// What the last reconciliation of each source found.
    pub differences: BTreeMap<String, i64>,
}

/// What is still to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Messages without an outcome, and those not treated at their source.
    pub messages: i64,
    /// Mail that is being sent, or is due.
    pub mails: i64,
    /// Until when the last of it is claimed, Unix milliseconds.
    pub claimed_until_ms: i64,
    /// When each source was checked last, Unix milliseconds.
    pub checked: BTreeMap<String, i64>,
    /// Due day and time of sending (Unix milliseconds) of the cases whose reminder is still to come.
    pub to_remind: Vec<(String, i64)>,
}

type MessageColumns = (
    i64,
    String,
    String,
    String,
    i64,
    String,
    String,
    i64,
    i64,
    i64,
);
type CaseColumns = (
    i64,
    i64,
    i64,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
);
type MailColumns = (i64, i64, String, String, String, String, i64, i64, i64, i64);

impl Database {
    /// The database at a place.
    pub fn new(place: Place) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self { place, runtime }
    }

    /// Whether there is anything to read yet.
    pub fn exists(&self) -> bool {
        if matches!(&self.place, Place::Sqlite(path) if !path.is_file()) {
            return false;
        }
        with!(self, |connection| {
            let table: Result<(i64,), _> = sqlx::query_as("SELECT count(*) FROM reconciliation")
                .fetch_one(&mut connection)
                .await;
            table.is_ok()
        })
    }

    /// What dead nodes watched may be watched by others, as after half a minute of the database's own time.
    pub fn let_leases_run_out(&self) {
        if matches!(self.place, Place::Postgres(_)) {
            with!(self, |connection| {
                let deleted = sqlx::query("DELETE FROM source_lease").execute(&mut connection);
                deleted.await.map(drop).unwrap();
            });
        }
    }

    /// What it holds at this moment: of messages, cases and mail only the rows behind these, and mail that is not sent, or was
    /// sent after the last one (Unix milliseconds).
    pub fn snapshot(&self, behind: [i64; 4]) -> Snapshot {
        with!(self, |connection| {
            let mut transaction = connection.begin().await.unwrap();
            let mut snapshot = Snapshot::default();
            let rows: Vec<MessageColumns> = sqlx::query_as(
                "SELECT id, source, position_key, content_hash, attempts, outcome, reason, case_id, duplicate_of, treated \
                 FROM message WHERE id > $1",
            )
            .bind(behind[0])
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
            for (
                id,
                source,
                key,
                hash,
                attempts,
                outcome,
                reason,
                case_id,
                duplicate_of,
                treated,
            ) in rows
            {
                let message = Message {
                    source,
                    key,
                    hash,
                    attempts,
                    outcome,
                    reason,
                    case_id,
                    duplicate_of,
                    treated,
                };
                snapshot.messages.insert(id, message);
            }
            let rows: Vec<CaseColumns> = sqlx::query_as(
                "SELECT id, year, count, state, acknowledgement, reminder, destination, due_day, sent_at_ms, message_id \
                 FROM cases WHERE id > $1",
            )
            .bind(behind[1])
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
            for (
                id,
                year,
                count,
                state,
                acknowledgement,
                reminder,
                destination,
                due_day,
                sent_at_ms,
                message_id,
            ) in rows
            {
                let case = Case {
                    year,
                    count,
                    state,
                    acknowledgement,
                    reminder,
                    destination,
                    due_day,
                    sent_at_ms,
                    message_id,
                };
                snapshot.cases.insert(id, case);
            }
            let rows: Vec<MailColumns> = sqlx::query_as(
                "SELECT id, case_id, kind, party, rfc_message_id, state, attempts, unknown_outcomes, next_attempt_at_ms, \
                 created_at_ms FROM outbox WHERE id > $1 OR state <> 'sent' OR sent_at_ms > $2",
            )
            .bind(behind[2])
            .bind(behind[3])
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
            for (
                id,
                case_id,
                kind,
                party,
                message_id,
                state,
                attempts,
                unknown,
                next_attempt_at_ms,
                created_at_ms,
            ) in rows
            {
                let mail = Mail {
                    case_id,
                    kind,
                    party,
                    message_id,
                    state,
                    attempts,
                    unknown,
                    next_attempt_at_ms,
                    created_at_ms,
                    recipients: Vec::new(),
                };
                snapshot.mails.insert(id, mail);
            }
            let rows: Vec<(i64, String, String)> = sqlx::query_as(
                "SELECT r.outbox_id, r.address, r.state FROM outbox_recipient r JOIN outbox o ON o.id = r.outbox_id \
                 WHERE o.id > $1 OR o.state <> 'sent' OR o.sent_at_ms > $2 ORDER BY r.outbox_id, r.position",
            )
            .bind(behind[2])
            .bind(behind[3])
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
            for (id, address, state) in rows {
                snapshot
                    .mails
                    .get_mut(&id)
                    .unwrap()
                    .recipients
                    .push((address, state));
            }
            let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT year, last FROM case_counter")
                .fetch_all(&mut *transaction)
                .await
                .unwrap();
            snapshot.counters = rows.into_iter().collect();
            let rows: Vec<(String, i64)> =
                sqlx::query_as("SELECT source, checked_at_ms FROM source_cursor")
                    .fetch_all(&mut *transaction)
                    .await
                    .unwrap();
            snapshot.checked = rows.into_iter().collect();
            let rows: Vec<(String, i64)> =
                sqlx::query_as("SELECT source, differences FROM reconciliation")
                    .fetch_all(&mut *transaction)
                    .await
                    .unwrap();
            snapshot.differences = rows.into_iter().collect();
            transaction.commit().await.unwrap();
            snapshot
        })
    }

    /// The numbers of all cases, by year, in order.
    pub fn numbers(&self) -> BTreeMap<i64, Vec<i64>> {
        with!(self, |connection| {
            let rows: Vec<(i64, i64)> =
                sqlx::query_as("SELECT year, count FROM cases ORDER BY year, count")
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            let mut numbers: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for (year, count) in rows {
                numbers.entry(year).or_default().push(count);
            }
            numbers
        })
    }

    /// What is still to be done at a moment (Unix milliseconds).
    pub fn left(&self, now_ms: i64) -> Left {
        with!(self, |connection| {
            let (messages,): (i64,) = sqlx::query_as(
                "SELECT count(*) FROM message m LEFT JOIN message o ON o.id = m.duplicate_of WHERE m.outcome = 'pending' \
                 OR m.treated = 0 AND (m.outcome IN ('opened', 'joined') \
                 OR m.outcome = 'duplicate' AND o.outcome IN ('opened', 'joined'))",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            let (mails,): (i64,) = sqlx::query_as(
                "SELECT count(*) FROM outbox WHERE state = 'sending' OR state = 'queued' AND next_attempt_at_ms <= $1",
            )
            .bind(now_ms)
            .fetch_one(&mut connection)
            .await
            .unwrap();
            let (claimed_until_ms,): (i64,) = sqlx::query_as(
                "SELECT coalesce(max(until_ms), 0) FROM (SELECT lease_until_ms AS until_ms FROM outbox WHERE state = 'sending' \
                 UNION ALL SELECT claimed_until_ms FROM message WHERE outcome = 'pending') AS claims",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            let checked: Vec<(String, i64)> =
                sqlx::query_as("SELECT source, checked_at_ms FROM source_cursor")
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            let to_remind: Vec<(String, i64)> = sqlx::query_as(
                "SELECT due_day, sent_at_ms FROM cases WHERE state = 'sent' AND reminder = 'allowed' \
                 AND destination <> 'samhandling' AND due_day <> ''",
            )
            .fetch_all(&mut connection)
            .await
            .unwrap();
            Left {
                messages,
                mails,
                claimed_until_ms,
                checked: checked.into_iter().collect(),
                to_remind,
            }
        })
    }
}
