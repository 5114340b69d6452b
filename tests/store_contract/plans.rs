//! What the worker asks again and again is found by an index, however many cases there are. The statements are those that are
//! carried out: each is heard from the log of the driver and explained by `SQLite`. What `PostgreSQL` makes of a statement depends
//! on what it has counted in the tables; there the same indexes have to be.

use super::{
    Ahead, Case, CaseFilter, Change, Cursor, HOUR, Incoming, Kit, MINUTE, MailKind, NOW, Next,
    Outcome, OwnReference, ReportDay, ReturnKeys, Returned, Settlement, SharedStore, Sketch, State,
    ThreadKeys, Verp, Writer, accepted, case, change_with, delivery, incoming, opening, order,
    settle, settlement, stored,
};
use linjevei::store::Attempt;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Instrument as _, Subscriber, info_span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The span around what is listened to: other tests use databases of their own meanwhile.
const LISTENING: &str = "listening";

/// Indexes of what is open: they may be gone through from one end to the other.
const OF_OPEN: [&str; 9] = [
    "message_pending",
    "message_untreated",
    "cases_to_remind",
    "cases_to_close",
    "cases_open",
    "cases_attention",
    "outbox_due",
    "outbox_sending",
    "outbox_undelivered",
];
/// Tables that do not grow with the number of cases, and names of what a statement has found itself.
const SMALL: [&str; 12] = [
    "asked",
    "wanted",
    "sqlite_sequence",
    "setting",
    "node",
    "source_lease",
    "source_cursor",
    "unreadable",
    "reconciliation",
    "dead_address",
    "due",
    "told",
];

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the statements that are carried out within [`LISTENING`].
struct Ear;

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut scope = context.event_scope(event).into_iter().flatten();
        if event.metadata().target() != "sqlx::query" || !scope.any(|span| span.name() == LISTENING)
        {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let sql = if said.statement.trim().is_empty() {
            said.summary
        } else {
            said.statement.trim().to_owned()
        };
        HEARD
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sql);
    }
}

/// A statement of few words stands in the summary alone.
#[derive(Default)]
struct Said {
    summary: String,
    statement: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// What was asked, and the statements that it took.
#[derive(Default)]
struct Heard(BTreeMap<&'static str, BTreeSet<String>>);

impl Heard {
    /// Carries out one use case and hears its statements.
    async fn of<T>(&mut self, what: &'static str, work: impl Future<Output = T>) -> T {
        let done = work
            .instrument(info_span!(target: "sqlx::query", LISTENING))
            .await;
        let statements = std::mem::take(&mut *HEARD.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(!statements.is_empty(), "{what}: no statement was heard");
        // A row that is inserted is looked for nowhere. The plan of its statement tells of the tables that refer to it, which
        // are only gone through when something is missing that they refer to.
        let looking = statements.into_iter().filter(|sql| {
            let first = sql.split_whitespace().next().unwrap_or_default();
            matches!(first, "SELECT" | "UPDATE" | "DELETE" | "WITH")
        });
        self.0.entry(what).or_default().extend(looking);
        done
    }
}

/// What is wrong with the plan of a statement.
async fn faults(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
        .fetch_all(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let steps = plan.into_iter().map(|(.., step)| step);
    steps.filter(|step| is_slow(step)).collect()
}

/// Whether a step of a plan takes longer the more cases there are.
fn is_slow(step: &str) -> bool {
    let words: Vec<&str> = step.split_whitespace().collect();
    let index = words
        .iter()
        .position(|word| *word == "INDEX")
        .and_then(|at| words.get(at + 1))
        .copied()
        .unwrap_or_default();
    match words[..] {
        // What a subquery has found, and rows that stand in the statement.
        ["SCAN", name, ..] if name.starts_with('(') => false,
        ["SCAN", .., "VALUES", "CLAUSE"] | ["SCAN", .., "CONSTANT", "ROW" | "ROWS"] => false,
        ["SCAN", name, ..] => !SMALL.contains(&name) && !OF_OPEN.contains(&index),
        // All mail of a source, or all rows behind one.
        ["SEARCH", ..] if matches!(index, "message_account" | "sqlite_autoindex_message_1") => {
            !step.contains("position_key=?")
        }
        ["SEARCH", .., "KEY", condition] => condition != "(rowid=?)",
        _ => false,
    }
}

#[test]
fn a_slow_step_is_known_from_a_quick_one() {
    for slow in [
        "SCAN cases",
        "SCAN c USING INDEX sqlite_autoindex_cases_1",
        "SCAN message USING COVERING INDEX message_account",
        "SEARCH m USING INDEX message_account (source=?)",
        "SEARCH cases USING INTEGER PRIMARY KEY (rowid>?)",
    ] {
        assert!(is_slow(slow), "{slow}");
    }
    for quick in [
        "SEARCH cases USING INTEGER PRIMARY KEY (rowid=?)",
        "SCAN outbox USING INDEX outbox_due",
        "SCAN due",
        "SCAN (subquery-2)",
        "SCAN 3-ROW VALUES CLAUSE",
        "SCAN 2 CONSTANT ROWS",
        "USE TEMP B-TREE FOR ORDER BY",
        "SEARCH message USING INDEX sqlite_autoindex_message_1 (source=? AND mailbox=? AND uid_validity=? AND position_key=?)",
    ] {
        assert!(!is_slow(quick), "{quick}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_worker_looks_for_is_found_by_an_index() {
    let ear = Ear.with_filter(filter_fn(|metadata| metadata.target() == "sqlx::query"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ear)).unwrap();
    let kit = Kit::sqlite();
    let store = kit.open().await;
    let mut heard = Heard::default();
    taking_in(&store, &mut heard).await;
    deciding(&store, &mut heard).await;
    coming_back(&store, &mut heard).await;
    sending(&store, &mut heard).await;
    passing_of_time(&store, &mut heard).await;
    looking_after(&store, &mut heard).await;

    let Kit::Sqlite(dir) = &kit else {
        unreachable!()
    };
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("linjevei.db"));
    let mut connection = options.connect().await.unwrap();
    let mut wrong = Vec::new();
    for (what, statements) in &heard.0 {
        for sql in statements {
            for step in faults(&mut connection, sql).await {
                wrong.push(format!("{what}: {step}\n    {sql}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Counting goes through everything, and this test would see it.
    let mut counting = Heard::default();
    counting.of("counts", store.counts()).await.unwrap();
    let mut seen = 0;
    for sql in &counting.0["counts"] {
        seen += faults(&mut connection, sql).await.len();
    }
    assert!(seen >= 3, "{:?}", counting.0);
    connection.close().await.unwrap();
}

async fn taking_in(store: &SharedStore, heard: &mut Heard) {
    let first = incoming("1", "første");
    let copy = Incoming {
        raw: incoming("2", "andre").raw,
        hash: first.hash.clone(),
    };
    let batch = [first, copy, incoming("3", "tredje")];
    let positions: Vec<_> = batch.iter().map(|one| one.raw.position.clone()).collect();
    heard
        .of("unknown", store.unknown("post", &positions))
        .await
        .unwrap();
    heard
        .of("unknown", store.unknown("post", &positions[..1]))
        .await
        .unwrap();
    heard
        .of("store_raw", store.store_raw("post", &batch, NOW))
        .await
        .unwrap();
    heard.of("cursor", store.cursor("post")).await.unwrap();
    let cursor = Cursor::default();
    heard
        .of(
            "source_checked",
            store.source_checked("post", &cursor, 0, NOW),
        )
        .await
        .unwrap();
    let unreadable = [(positions[0].clone(), "kan ikke leses".to_owned())];
    heard
        .of(
            "note_unreadable",
            store.note_unreadable("post", &unreadable, NOW),
        )
        .await
        .unwrap();
    heard
        .of(
            "forget_unreadable",
            store.forget_unreadable("post", NOW + 1),
        )
        .await
        .unwrap();
    heard
        .of("checked_at_ms", store.checked_at_ms("post"))
        .await
        .unwrap();
    let claimed = heard
        .of("claim_undecided", store.claim_undecided(10, MINUTE, NOW))
        .await
        .unwrap();
    assert_eq!(claimed.len(), 2);
    let ids: Vec<i64> = claimed.iter().map(|pending| pending.id).collect();
    heard
        .of("give_back", store.give_back(&ids, Attempt::TakenBack))
        .await
        .unwrap();
    heard.of("claimed", store.claimed(NOW)).await.unwrap();
    heard
        .of("release_claims", store.release_claims())
        .await
        .unwrap();
    let none = store.claim_undecided(10, MINUTE, NOW).await.unwrap();
    assert_eq!(none.len(), 2);
    heard
        .of("claim_undecided", store.claim_undecided(10, MINUTE, NOW))
        .await
        .unwrap();
    for id in ids {
        settle(
            store,
            settlement(id, Outcome::Opened(Box::new(opening(id, NOW)))),
        )
        .await
        .unwrap();
    }
    let waiting = heard
        .of("untreated", store.untreated("post", 10))
        .await
        .unwrap();
    assert_eq!(waiting.len(), 3);
    heard
        .of("mark_treated", store.mark_treated("post", &waiting))
        .await
        .unwrap();
    heard
        .of("message_at", store.message_at("post", &waiting[0]))
        .await
        .unwrap();
}

async fn deciding(store: &SharedStore, heard: &mut Heard) {
    let own = OwnReference {
        reference: "24/1187".to_owned(),
        address: "lege@fjordgloett.example".to_owned(),
        party: "medisin".to_owned(),
    };
    let sketch = Sketch {
        office: "kontor".to_owned(),
        shingles: vec![1, 2],
        numbers: vec![3],
        files: vec!["aa".repeat(32)],
    };
    let ids = stored(store, "inn", &["a", "b", "c"]).await;
    let found = settle(
        store,
        Settlement {
            own: Some(own.clone()),
            sketch: Some(sketch.clone()),
            ..settlement(ids[0], Outcome::Opened(Box::new(opening(ids[0], NOW))))
        },
    )
    .await
    .unwrap();
    let mut group = heard.of("group", store.group(&ids[1..])).await.unwrap();
    let nobody = vec!["ingen@kontor.example".to_owned()];
    for keys in [
        ThreadKeys {
            signed: vec![found.number],
            ..ThreadKeys::default()
        },
        ThreadKeys {
            cited: nobody.clone(),
            tokens: vec![linjevei::case::CaseNumber {
                count: 9_999,
                ..found.number
            }],
            own: Some(own.clone()),
            ..ThreadKeys::default()
        },
        ThreadKeys {
            cited: vec![format!("m{}@fjordgloett.example", ids[0])],
            ..ThreadKeys::default()
        },
    ] {
        let thread = heard.of("find_thread", group.find_thread(&keys)).await;
        assert!(thread.unwrap().is_some(), "{keys:?}");
    }
    for keys in [
        ReturnKeys {
            signed: vec!["sak-2026-000001.sak.1.medisin".to_owned()],
            ..ReturnKeys::default()
        },
        ReturnKeys {
            cited: nobody.clone(),
            verps: vec![Verp {
                begins: "sak-2026-000001.sak.1.".to_owned(),
                tag: String::new(),
            }],
            ..ReturnKeys::default()
        },
    ] {
        heard.of("sent_mail", group.sent_mail(&keys)).await.unwrap();
    }
    heard
        .of("dead_addresses", group.dead_addresses())
        .await
        .unwrap();
    heard
        .of(
            "acknowledgements_since",
            group.acknowledgements_since("lege@fjordgloett.example", NOW - HOUR),
        )
        .await
        .unwrap();
    let earlier = heard.of("earlier", group.earlier(&sketch, NOW)).await;
    assert_eq!(earlier.unwrap().len(), 1);
    let threads = [ThreadKeys {
        cited: nobody.clone(),
        own: Some(own.clone()),
        ..ThreadKeys::default()
    }];
    let ahead = Ahead {
        threads: threads.iter().collect(),
        addresses: ["lege@fjordgloett.example"].into(),
        sketches: vec![&sketch],
        since_ms: NOW - HOUR,
    };
    heard
        .of("look_ahead", group.look_ahead(&ahead))
        .await
        .unwrap();
    let opened = Settlement {
        own: Some(own),
        sketch: Some(sketch),
        ..settlement(ids[1], Outcome::Opened(Box::new(opening(ids[1], NOW))))
    };
    heard
        .of("settle", group.settle(opened, Arc::new(Writer)))
        .await
        .unwrap();
    let mut joined = Change::of(found);
    joined.mails = vec![order(
        MailKind::Status,
        "medisin",
        &["medisin@so-hf.example"],
    )];
    let joined = settlement(ids[2], Outcome::Joined(Box::new(joined)));
    heard
        .of("settle", group.settle(joined, Arc::new(Writer)))
        .await
        .unwrap();
    heard.of("commit", group.commit()).await.unwrap();
    heard.of("raw", store.raw(ids[0])).await.unwrap();
    heard.of("mailbox", store.mailbox(ids[0])).await.unwrap();
    heard
        .of("attachment_texts", store.attachment_texts(ids[0]))
        .await
        .unwrap();
    heard
        .of("content_deleted_ms", store.content_deleted_ms(ids[0]))
        .await
        .unwrap();
}

async fn coming_back(store: &SharedStore, heard: &mut Heard) {
    let id = stored(store, "inn", &["retur"]).await[0];
    let mail = store.outbox(true, 100).await.unwrap().remove(0);
    let number = mail.case.unwrap().parse().unwrap();
    let case: Case = heard.of("case", store.case(number)).await.unwrap().unwrap();
    let mut group = store.group(&[id]).await.unwrap();
    let returned = Settlement {
        returned: Some(Returned {
            mail: mail.id,
            addresses: vec!["lege@fjordgloett.example".to_owned()],
            dead: true,
            status: "5.1.1".to_owned(),
        }),
        ..settlement(id, Outcome::Joined(Box::new(Change::of(case))))
    };
    heard
        .of("settle a return", group.settle(returned, Arc::new(Writer)))
        .await
        .unwrap();
    group.commit().await.unwrap();
}

async fn sending(store: &SharedStore, heard: &mut Heard) {
    heard.of("next_due_ms", store.next_due_ms()).await.unwrap();
    heard
        .of("oldest_unsent_ms", store.oldest_unsent_ms())
        .await
        .unwrap();
    let claimed = heard
        .of("claim", store.claim(10, MINUTE, NOW))
        .await
        .unwrap();
    assert!(claimed.len() > 1);
    heard
        .of(
            "record_delivery",
            store.record_delivery(&claimed[0], &delivery(vec![accepted()]), Next::Person, NOW),
        )
        .await
        .unwrap();
    for (all, at_ms) in [(false, NOW + HOUR), (true, NOW + HOUR)] {
        heard
            .of("recover_sending", store.recover_sending(all, at_ms))
            .await
            .unwrap();
    }
}

async fn passing_of_time(store: &SharedStore, heard: &mut Heard) {
    let today = linjevei::calendar::oslo_day(NOW + 40 * 24 * HOUR);
    let due = heard.of("chaseable", store.chaseable(today, NOW)).await;
    let due = due.unwrap();
    assert!(!due.is_empty());
    let reminded = heard
        .of(
            "apply",
            change_with(store, due[0].number, |change| {
                change.mails = vec![order(
                    MailKind::Purring,
                    "medisin",
                    &["medisin@so-hf.example"],
                )];
            }),
        )
        .await;
    // Answered before the reminder has gone: it is held.
    change_with(store, reminded.number, |change| {
        change.case.state = State::Answered;
        change.case.answered_at_ms = Some(NOW);
    })
    .await;
    heard
        .of("claim", store.claim(10, MINUTE, NOW))
        .await
        .unwrap();
    assert!(
        store
            .outbox(true, 100)
            .await
            .unwrap()
            .iter()
            .any(|row| row.kind == "purring" && row.state == "held")
    );
    let due = heard.of("chaseable", store.chaseable(today, NOW)).await;
    assert!(
        due.unwrap()
            .iter()
            .any(|case| case.state == State::Answered)
    );

    let day = ReportDay {
        kind: "oversikt",
        party: String::new(),
        day: case(NOW).received_day,
    };
    heard
        .of("report_done", store.report_done(&day))
        .await
        .unwrap();
    heard
        .of("report_done_before", store.report_done_before(&day))
        .await
        .unwrap();
    heard
        .of("queue_report", store.queue_report(&[day], None, NOW))
        .await
        .unwrap();
    for filter in [
        CaseFilter::default(),
        CaseFilter {
            attention: true,
            all: true,
            ..CaseFilter::default()
        },
        CaseFilter {
            state: Some(State::Sent),
            party: Some("medisin".to_owned()),
            ..CaseFilter::default()
        },
    ] {
        heard.of("cases", store.cases(&filter)).await.unwrap();
    }
    heard
        .of("unacknowledged", store.unacknowledged(NOW - HOUR))
        .await
        .unwrap();
    heard
        .of("not_delivered", store.not_delivered(NOW - HOUR))
        .await
        .unwrap();
    heard
        .of("left_alone", store.left_alone(NOW - HOUR, 10))
        .await
        .unwrap();
}

async fn looking_after(store: &SharedStore, heard: &mut Heard) {
    let id = stored(store, "inn", &["reklame"]).await[0];
    settle(
        store,
        settlement(id, Outcome::LeftAlone("ikke-avvik".to_owned())),
    )
    .await;
    let deleted = heard
        .of(
            "delete_left_alone_content",
            store.delete_left_alone_content(NOW, NOW),
        )
        .await;
    assert_eq!(deleted.unwrap(), 1);
    heard.of("setting", store.setting("live")).await.unwrap();
    heard
        .of("setting_once", store.setting_once("live", "1"))
        .await
        .unwrap();
    heard
        .of("reconciliations", store.reconciliations())
        .await
        .unwrap();
    heard.of("watchers", store.watchers()).await.unwrap();
    heard.of("unreadable", store.unreadable()).await.unwrap();
}

/// The indexes of a schema, each with all that is said of it.
fn indexes(database: &str) -> BTreeSet<String> {
    let file = format!(
        "{}/src/store/migrations/{database}/0001_base.sql",
        env!("CARGO_MANIFEST_DIR")
    );
    let schema = std::fs::read_to_string(file).unwrap();
    let lines = schema
        .lines()
        .filter(|line| line.starts_with("CREATE INDEX") || line.starts_with("CREATE UNIQUE INDEX"));
    lines.map(str::to_owned).collect()
}

#[test]
fn both_databases_have_the_same_indexes() {
    let (here, there) = (indexes("sqlite"), indexes("postgres"));
    assert!(here.len() > 20);
    let missing: Vec<_> = here.difference(&there).collect();
    assert_eq!(missing, [""; 0]);
    // What claims are made from, where several workers make them.
    let more: Vec<_> = there.difference(&here).collect();
    assert_eq!(
        more,
        ["CREATE INDEX message_claimed ON message (claimed_until_ms) WHERE outcome = 'pending';"]
    );
}
