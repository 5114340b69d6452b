//! What every store promises, on `SQLite` and on a real `PostgreSQL`: the same tests for both, most of them with two handles on one
//! database as two processes would have it. What only a shared database promises (leases, several workers) is at the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::assigning_clones,
    missing_docs
)]

#[path = "support/net.rs"]
#[allow(dead_code, unreachable_pub)]
mod net;
#[path = "support/packages.rs"]
#[allow(dead_code, unreachable_pub)]
mod packages;
#[path = "store_contract/plans.rs"]
mod plans;
#[path = "support/postgres.rs"]
mod postgres;

use linjevei::case::likeness::Sketch;
use linjevei::case::undeliverable::{RetryWord, Returned};
use linjevei::case::{
    Acknowledgement, Actor, Case, CaseField, CaseNumber, Change, EventKind, MailKind, MailOrder,
    Reminder, State,
};
use linjevei::intake::{Cursor, Position, RawMessage};
use linjevei::message::{ContentHash, content_hash};
use linjevei::outbox::compose::Composed;
use linjevei::outbox::message_id::Verp;
use linjevei::outbox::retry::Next;
use linjevei::outbox::{Delivery, Envelope, RecipientOutcome, Reply};
use linjevei::rules::{Language, ReporterSource};
use linjevei::store::{
    Ahead, Attempt, CaseFilter, Compose, Group, Incoming, MessageMove, Outcome, OwnReference,
    PostgresStore, Rearrangement, Reconciled, ReportDay, ReportMail, Retried, ReturnKeys,
    Settlement, SharedStore, SqliteStore, StoreError, Stored, ThreadKeys, Watch,
};
use postgres::Postgres;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tempfile::TempDir;

/// 2 November 2026, 09:00 in Oslo.
const NOW: i64 = 1_793_606_400_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A database and how to open it again.
enum Kit {
    Sqlite(TempDir),
    Postgres(String),
}

impl Kit {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    async fn postgres() -> Option<Self> {
        Some(Self::Postgres(Postgres::shared().await?.database().await))
    }

    /// A handle, as another process would have it.
    async fn open(&self) -> SharedStore {
        match self {
            Self::Sqlite(dir) => Arc::new(
                SqliteStore::open(&dir.path().join("linjevei.db"))
                    .await
                    .unwrap(),
            ),
            Self::Postgres(url) => Arc::new(PostgresStore::open(url, None).await.unwrap()),
        }
    }

    /// Carries out a statement past the store; what the database says against it.
    async fn raw(&self, sql: &'static str) -> Result<u64, sqlx::Error> {
        use sqlx::{ConnectOptions as _, Connection as _};
        match self {
            Self::Sqlite(dir) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(dir.path().join("linjevei.db"));
                let mut connection = options.connect().await.unwrap();
                let done = sqlx::query(sql).execute(&mut connection).await;
                connection.close().await.unwrap();
                done.map(|done| done.rows_affected())
            }
            Self::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                let done = sqlx::query(sql).execute(&mut connection).await;
                connection.close().await.unwrap();
                done.map(|done| done.rows_affected())
            }
        }
    }
}

/// Each promise is tested on both databases.
macro_rules! promises {
    ($($(#[$meta:meta])* $name:ident)*) => {
        mod on_sqlite {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Kit::sqlite()).await;
            })*
        }
        mod on_postgres {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(kit) = super::Kit::postgres().await {
                    super::$name(kit).await;
                }
            })*
        }
    };
}

promises! {
    content_that_comes_twice_at_once_has_one_original
    raw_bytes_come_back_as_they_were
    what_a_database_cannot_hold_as_text_makes_nothing_undecidable
    numbers_have_no_gaps_whoever_takes_them
    a_group_is_stored_whole_or_not_at_all
    a_group_sees_what_it_has_settled
    the_mail_of_a_group_is_composed_together
    a_message_is_settled_once
    messages_are_claimed_once_and_come_back
    mail_is_claimed_once_in_its_order
    the_result_of_sending_is_never_lost_to_a_change_of_the_case
    a_change_of_an_old_version_is_refused
    the_history_is_append_only
    later_mail_finds_its_case
    a_bounce_finds_its_mail_and_its_address_gets_no_more
    a_report_is_done_once
    content_is_deleted_once_and_its_verdict_forgets_the_reporter
    what_people_corrected_is_told
    lists_are_filtered_and_ordered
    fields_stay_in_their_order_and_move_with_their_message
    the_account_of_a_source_adds_up
    loose_ends_are_found
    small_things_are_kept
    what_does_not_hang_together_is_told
    likeness_is_found_by_office_and_file
}

/// Writes a mail to the addresses of the order; its Message-ID names case, kind and number, as ours do.
struct Writer;

impl Compose for Writer {
    fn compose(
        &self,
        case: &Case,
        order: &MailOrder,
        previous: Option<&str>,
    ) -> Result<Composed, String> {
        let message_id = format!(
            "sak-{}-{:06}.{}.{}.{}@so-hf.example",
            case.number.year,
            case.number.count,
            order.kind.id(),
            order.seq,
            order.party
        );
        Ok(Composed {
            message_id,
            envelope: Envelope {
                from: None,
                to: order.to.clone(),
            },
            bytes: format!("[{}] {}\r\n", case.number, previous.unwrap_or("-")).into_bytes(),
        })
    }
}

fn case(received_at_ms: i64) -> Case {
    let day = linjevei::calendar::oslo_day(received_at_ms);
    Case {
        id: 0,
        number: CaseNumber {
            year: day.year(),
            count: 0,
        },
        version: 0,
        state: State::Sent,
        kind: "avvik".to_owned(),
        direction: "fra-fastlege".to_owned(),
        destination: "medisin".to_owned(),
        copies: vec!["kirurgi".to_owned(), "moss".to_owned()],
        category: "informasjon".to_owned(),
        severity: "mindre".to_owned(),
        reporter_address: "Lege@Fjordgloett.example".to_owned(),
        reporter_source: ReporterSource::From,
        reporter_party: String::new(),
        reporter_message_id: "melding@fjordgloett.example".to_owned(),
        language: Language::Bokmal,
        reference: String::new(),
        received_at_ms,
        received_day: day,
        due_day: Some(linjevei::calendar::due_day(day)),
        created_at_ms: received_at_ms,
        sent_at_ms: Some(received_at_ms),
        answered_at_ms: None,
        closed_at_ms: None,
        acknowledgement: Acknowledgement::Queued,
        told_party: "medisin".to_owned(),
        reminder: Reminder::Allowed,
        attention: false,
        message_id: 0,
        merged_into: None,
        duplicate_of: None,
    }
}

fn order(kind: MailKind, party: &str, to: &[&str]) -> MailOrder {
    MailOrder {
        kind,
        party: party.to_owned(),
        to: to.iter().map(|address| (*address).to_owned()).collect(),
        language: Language::Bokmal,
        seq: 1,
        held: false,
    }
}

/// Opens a case with an acknowledgement and a mail to the party.
fn opening(message_id: i64, at_ms: i64) -> Change {
    let mut change = Change::of(Case {
        message_id,
        ..case(at_ms)
    });
    change.record(EventKind::Opened, at_ms, json!({ "message": message_id }));
    change.mails = vec![
        order(MailKind::Kvittering, "", &["Lege@Fjordgloett.example"]),
        order(MailKind::Sak, "medisin", &["medisin@so-hf.example"]),
    ];
    change
}

fn settlement(message_id: i64, outcome: Outcome) -> Settlement {
    Settlement {
        message_id,
        received_at_ms: NOW,
        sender_domain: "fjordgloett.example".to_owned(),
        rfc_message_id: Some(format!("m{message_id}@fjordgloett.example")),
        own: None,
        verdict: Some((
            "sha256:regler".to_owned(),
            json!({ "reporter": { "address": "lege@fjordgloett.example" }, "reference": "24/1187", "type": "avvik" }).to_string(),
        )),
        outcome,
        sketch: None,
        returned: None,
        attachment_texts: Vec::new(),
        adopted: false,
        at_ms: NOW,
    }
}

fn incoming(key: &str, text: &str) -> Incoming {
    let bytes =
        format!("Message-ID: <{text}@a.example>\r\nSubject: {text}\r\n\r\n{text}\r\n").into_bytes();
    Incoming {
        hash: content_hash(&bytes),
        raw: RawMessage {
            position: Position {
                mailbox: "INBOX".to_owned(),
                uid_validity: 7,
                key: key.to_owned(),
            },
            internal_date_ms: Some(NOW),
            bytes,
        },
    }
}

/// Stores messages and gives their rows.
async fn stored(store: &SharedStore, source: &str, texts: &[&str]) -> Vec<i64> {
    let batch: Vec<Incoming> = texts.iter().map(|text| incoming(text, text)).collect();
    let outcomes = store.store_raw(source, &batch, NOW).await.unwrap();
    outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Stored::New(id) => id,
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn settle(store: &SharedStore, settlement: Settlement) -> Option<Case> {
    let mut group = store.group(&[settlement.message_id]).await.unwrap();
    let case = group.settle(settlement, Arc::new(Writer)).await.unwrap();
    group.commit().await.unwrap();
    case
}

/// A message that opened a case.
async fn opened(store: &SharedStore, text: &str) -> Case {
    let id = stored(store, "inn", &[text]).await[0];
    settle(
        store,
        settlement(id, Outcome::Opened(Box::new(opening(id, NOW)))),
    )
    .await
    .unwrap()
}

/// Changes a case as callers do: again when somebody else was faster.
async fn change_with(store: &SharedStore, number: CaseNumber, edit: impl Fn(&mut Change)) -> Case {
    loop {
        let mut change = Change::of(store.case(number).await.unwrap().unwrap());
        edit(&mut change);
        match store.apply(change, &Writer).await {
            Err(StoreError::Conflict) => {}
            other => return other.unwrap(),
        }
    }
}

const fn accepted() -> RecipientOutcome {
    RecipientOutcome::Accepted(Reply {
        code: 250,
        enhanced: (2, 0, 0),
    })
}

fn delivery(outcomes: Vec<RecipientOutcome>) -> Delivery {
    Delivery {
        recipients: outcomes,
        replaced_message_id: None,
        note: String::new(),
    }
}

fn person() -> Actor {
    Actor::Person {
        user: "kari".to_owned(),
        on_behalf_of: String::new(),
    }
}

async fn content_that_comes_twice_at_once_has_one_original(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    // Eight mailboxes show the same 40 mails at the same time, each in another order, in batches that overlap.
    let mut tasks = Vec::new();
    for mailbox in 0..8_usize {
        let store = Arc::clone(&stores[mailbox % 2]);
        tasks.push(tokio::spawn(async move {
            let source = format!("kasse-{mailbox}");
            let texts: Vec<String> = (0..40)
                .map(|at| format!("mail-{}", (at * 7 + mailbox * 13) % 40))
                .collect();
            let mut outcomes = Vec::new();
            for texts in texts.chunks(10) {
                let batch: Vec<Incoming> = texts.iter().map(|text| incoming(text, text)).collect();
                let stored = store.store_raw(&source, &batch, NOW).await.unwrap();
                outcomes.extend(batch.into_iter().map(|one| one.hash).zip(stored));
            }
            outcomes
        }));
    }
    let mut originals = std::collections::BTreeMap::new();
    let mut copies = Vec::new();
    for task in tasks {
        for (ContentHash(hash), outcome) in task.await.unwrap() {
            match outcome {
                Stored::New(id) => assert_eq!(originals.insert(hash, id), None, "two originals"),
                Stored::Duplicate(of) => copies.push((hash, of)),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((originals.len(), copies.len()), (40, 280));
    assert!(copies.iter().all(|(hash, of)| originals[hash] == *of));
    let accounts = stores[0].accounts().await.unwrap();
    let seen: i64 = accounts.iter().map(|account| account.seen).sum();
    let pending: i64 = accounts.iter().map(|account| account.pending).sum();
    assert_eq!((seen, pending), (320, 40));
    assert!(
        accounts
            .iter()
            .all(|account| account.seen == account.accounted())
    );
}

async fn raw_bytes_come_back_as_they_were(kit: Kit) {
    let store = kit.open().await;
    let mut large = incoming("1", "stor");
    large
        .raw
        .bytes
        .extend((0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()));
    large.raw.bytes.extend([0, 255, 0, 128]);
    let small = Incoming {
        raw: RawMessage {
            bytes: Vec::new(),
            ..incoming("2", "tom").raw
        },
        hash: ContentHash("00".repeat(32)),
    };
    let copy = Incoming {
        raw: RawMessage {
            position: incoming("3", "").raw.position,
            ..large.raw.clone()
        },
        hash: large.hash.clone(),
    };
    let outcomes = store
        .store_raw(
            "inn",
            &[large.clone(), small.clone(), copy, large.clone()],
            NOW,
        )
        .await
        .unwrap();
    let [
        Stored::New(first),
        Stored::New(second),
        Stored::Duplicate(of),
        Stored::Known,
    ] = outcomes[..]
    else {
        panic!("{outcomes:?}");
    };
    assert_eq!(of, first);
    assert_eq!(store.raw(first).await.unwrap().unwrap(), large.raw.bytes);
    assert_eq!(store.raw(second).await.unwrap().unwrap(), b"");
    let third = store
        .message_at("inn", &incoming("3", "").raw.position)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.raw(third.id).await.unwrap().unwrap(), large.raw.bytes);
    assert_eq!(store.raw(99).await.unwrap(), None);
    let positions: Vec<Position> = ["1", "9", "3"]
        .iter()
        .map(|key| incoming(key, "").raw.position)
        .collect();
    assert_eq!(
        store.unknown("inn", &positions).await.unwrap(),
        [false, true, false]
    );
    assert_eq!(store.unknown("annen", &positions).await.unwrap(), [true; 3]);
}

async fn what_a_database_cannot_hold_as_text_makes_nothing_undecidable(kit: Kit) {
    let store = kit.open().await;
    let long = "lang".repeat(5_000);
    let mut odd = incoming("a\0b", "nul");
    odd.raw.position.mailbox = "Inn\0boks".to_owned();
    let outcomes = store
        .store_raw("ki\0lde", &[odd.clone()], NOW)
        .await
        .unwrap();
    let [Stored::New(id)] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        store
            .unknown("ki\0lde", &[odd.raw.position.clone()])
            .await
            .unwrap(),
        [false]
    );
    let mut change = opening(id, NOW);
    change.case.reference = "vår\0ref".to_owned();
    change.case.reporter_message_id = long.clone();
    change.case.category = "\0".to_owned();
    change.fields = vec![
        CaseField {
            name: "ab\0c".to_owned(),
            value: "verdi\0 ".to_owned() + &long,
            message_id: id,
        },
        CaseField {
            name: long.clone(),
            value: "x".to_owned(),
            message_id: id,
        },
    ];
    let own = OwnReference {
        reference: format!("Ref\0 {long}"),
        address: "Lege\0@A.example".to_owned(),
        party: "par\0ti".to_owned(),
    };
    let cited = format!("{long}@fjordgloett.example");
    let settled = settle(
        &store,
        Settlement {
            sender_domain: "do\0mene".to_owned(),
            rfc_message_id: Some(cited.clone()),
            own: Some(own.clone()),
            verdict: Some(("h".to_owned(), json!({ "term": "a\0b" }).to_string())),
            sketch: Some(Sketch {
                office: long.clone(),
                shingles: vec![1, 2],
                numbers: vec![u64::MAX],
                files: vec!["ff".repeat(32)],
            }),
            ..settlement(id, Outcome::Opened(Box::new(change)))
        },
    )
    .await
    .unwrap();
    let mut group = store.group(&[]).await.unwrap();
    for keys in [
        ThreadKeys {
            cited: vec![format!("{long}{long}@x.example"), cited],
            ..ThreadKeys::default()
        },
        ThreadKeys {
            own: Some(own),
            ..ThreadKeys::default()
        },
    ] {
        let thread = group.find_thread(&keys).await.unwrap().unwrap();
        assert_eq!(thread.case.number, settled.number);
    }
    assert_eq!(
        group
            .find_thread(&ThreadKeys {
                cited: vec!["\0".to_owned()],
                ..ThreadKeys::default()
            })
            .await
            .unwrap(),
        None
    );
    group.commit().await.unwrap();
    assert_eq!(store.case_fields(settled.id).await.unwrap().len(), 2);
    assert_eq!(
        store
            .earlier(
                &Sketch {
                    office: long,
                    shingles: vec![1],
                    ..Sketch::default()
                },
                NOW
            )
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn numbers_have_no_gaps_whoever_takes_them(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let ids = {
        let texts: Vec<String> = (0..60).map(|at| format!("sak-{at}")).collect();
        stored(
            &stores[0],
            "inn",
            &texts.iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .await
    };
    // Twelve writers at once; every third group is given up after it took numbers, and done anew.
    let mut tasks = Vec::new();
    for (at, ids) in ids.chunks(5).map(<[i64]>::to_vec).enumerate() {
        let store = Arc::clone(&stores[at % 2]);
        tasks.push(tokio::spawn(async move {
            for round in 0..2 {
                let mut group = store.group(&ids).await.unwrap();
                for id in &ids {
                    let wanted = settlement(*id, Outcome::Opened(Box::new(opening(*id, NOW))));
                    group
                        .settle(wanted, Arc::new(Writer))
                        .await
                        .unwrap()
                        .unwrap();
                }
                if at % 3 != 0 || round == 1 {
                    group.commit().await.unwrap();
                    return;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let all = CaseFilter {
        all: true,
        ..CaseFilter::default()
    };
    let numbers: Vec<u64> = stores[1]
        .cases(&all)
        .await
        .unwrap()
        .iter()
        .map(|case| case.number.count)
        .collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<u64>>());
    // A new year begins at one.
    let mut next = Change::of(case(NOW));
    next.case.number.year = 2027;
    let next = stores[0].apply(next, &Writer).await.unwrap();
    assert_eq!(next.number.to_string(), "SAK-2027-000001");
    assert!(
        stores[0]
            .loose_ends(NOW + 1)
            .await
            .unwrap()
            .iter()
            .all(|end| end.kind == "without-acknowledgement" && end.count == 1)
    );
}

async fn a_group_is_stored_whole_or_not_at_all(kit: Kit) {
    let store = kit.open().await;
    let ids = stored(&store, "inn", &["en", "to", "tre"]).await;
    let wanted = |id: i64| {
        let mut change = opening(id, NOW);
        if id == ids[1] {
            // A row that refers to a message which is not there: both databases refuse it.
            change.fields = vec![CaseField {
                name: "felt".to_owned(),
                value: "x".to_owned(),
                message_id: 4_711,
            }];
        }
        settlement(id, Outcome::Opened(Box::new(change)))
    };
    let mut group = store.group(&ids).await.unwrap();
    for id in &ids {
        group
            .settle(wanted(*id), Arc::new(Writer))
            .await
            .unwrap()
            .unwrap();
    }
    let error = group.commit().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Broken(_)) && !error.is_temporary(),
        "{error:?}"
    );
    let outcomes = async || -> Vec<String> {
        let rows = store.messages(false, 9).await.unwrap();
        rows.into_iter().map(|row| row.outcome).collect()
    };
    assert_eq!(outcomes().await, ["pending", "pending", "pending"]);
    // Nothing of it is left, not even a number.
    let mut numbers = Vec::new();
    for id in [ids[0], ids[2]] {
        let case = settle(&store, wanted(id)).await.unwrap();
        numbers.push(case.number.to_string());
    }
    assert_eq!(numbers, ["SAK-2026-000001", "SAK-2026-000002"]);
    assert_eq!(outcomes().await, ["opened", "pending", "opened"]);
}

/// What one message of a group leaves is there for the next one, though it is written together.
async fn a_group_sees_what_it_has_settled(kit: Kit) {
    let store = kit.open().await;
    let ids = stored(&store, "inn", &["en", "to", "tre"]).await;
    let own = OwnReference {
        reference: "EGEN-7".to_owned(),
        address: "lege@kontor.example".to_owned(),
        party: String::new(),
    };
    let sketch = Sketch {
        office: "kontor".to_owned(),
        shingles: vec![1, 2, 3],
        numbers: vec![4],
        files: vec!["aa".repeat(32)],
    };
    let first = || Settlement {
        rfc_message_id: Some("en@kontor.example".to_owned()),
        own: Some(own.clone()),
        sketch: Some(sketch.clone()),
        ..settlement(ids[0], Outcome::Opened(Box::new(opening(ids[0], NOW))))
    };
    let reporter = opening(ids[0], NOW).case.reporter_address.to_uppercase();
    let threads = [
        ThreadKeys {
            cited: vec!["en@kontor.example".to_owned()],
            ..ThreadKeys::default()
        },
        ThreadKeys {
            own: Some(own.clone()),
            ..ThreadKeys::default()
        },
        ThreadKeys {
            tokens: vec!["SAK-2026-000001".parse().unwrap()],
            ..ThreadKeys::default()
        },
    ];
    let by_file = Sketch {
        files: sketch.files.clone(),
        ..Sketch::default()
    };
    let sketches = [by_file, sketch.clone()];
    let ahead = Ahead {
        threads: threads.iter().collect(),
        addresses: [reporter.as_str()].into(),
        sketches: sketches.iter().collect(),
        since_ms: NOW - HOUR,
    };
    // Each is asked for in a group of its own, since what waits is written when one is asked for; with and without a look ahead.
    let questions = threads.len() + sketches.len() + 1;
    for (question, looks) in (0..questions).flat_map(|at| [(at, false), (at, true)]) {
        let mut group = store.group(&ids[..2]).await.unwrap();
        if looks {
            group.look_ahead(&ahead).await.unwrap();
            assert_eq!(found(group.as_mut(), &ahead, question).await, 0);
        }
        let case = group.settle(first(), Arc::new(Writer)).await.unwrap();
        assert_eq!(case.unwrap().number.to_string(), "SAK-2026-000001");
        let count = found(group.as_mut(), &ahead, question).await;
        assert_eq!(count, 1, "question {question}, looked ahead: {looks}");
    }
    let mut group = store.group(&ids[..2]).await.unwrap();
    let case = group
        .settle(first(), Arc::new(Writer))
        .await
        .unwrap()
        .unwrap();
    // The second joins the case, and its mail answers the first one's.
    let mut change = Change::of(case.clone());
    change.mails = opening(ids[0], NOW).mails;
    for order in &mut change.mails {
        order.seq = 2;
    }
    let joined = settlement(ids[1], Outcome::Joined(Box::new(change)));
    assert!(
        group
            .settle(joined, Arc::new(Writer))
            .await
            .unwrap()
            .is_some()
    );
    // Nobody promised the third to this group, and the first is settled.
    for id in [ids[2], ids[0]] {
        let again = settlement(id, Outcome::LeftAlone("x".to_owned()));
        assert!(
            group
                .settle(again, Arc::new(Writer))
                .await
                .unwrap()
                .is_none()
        );
    }
    group.commit().await.unwrap();
    assert_eq!(store.case_messages(case.id).await.unwrap(), ids[..2]);
    let queued = store.outbox(true, 9).await.unwrap();
    assert_eq!(queued.len(), 2 * opening(ids[0], NOW).mails.len());
    // What was there before is found by looking ahead too.
    for question in 0..questions {
        let mut group = store.group(&ids[2..]).await.unwrap();
        group.look_ahead(&ahead).await.unwrap();
        let count = found(group.as_mut(), &ahead, question).await;
        assert!(count > 0, "question {question}");
    }
}

/// How much answers one of the questions that the group looked ahead for.
async fn found(group: &mut dyn Group, ahead: &Ahead<'_>, question: usize) -> usize {
    let sketch_at = question.wrapping_sub(ahead.threads.len());
    if let Some(keys) = ahead.threads.get(question) {
        usize::from(group.find_thread(keys).await.unwrap().is_some())
    } else if let Some(sketch) = ahead.sketches.get(sketch_at) {
        group.earlier(sketch, NOW).await.unwrap().len()
    } else {
        let address = ahead.addresses.first().unwrap();
        let count = group.acknowledgements_since(address, ahead.since_ms).await;
        count.unwrap() as usize
    }
}

/// A mail that cannot be written is told of in its case; the others of the group are as they would be.
async fn the_mail_of_a_group_is_composed_together(kit: Kit) {
    struct Refusing;
    impl Compose for Refusing {
        fn compose(&self, _: &Case, _: &MailOrder, _: Option<&str>) -> Result<Composed, String> {
            Err("the template fails".to_owned())
        }
    }
    let store = kit.open().await;
    let keys: Vec<String> = (0..40).map(|at| at.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let ids = stored(&store, "inn", &keys).await;
    let mut group = store.group(&ids).await.unwrap();
    for id in &ids {
        let composer: Arc<dyn Compose> = if *id == ids[17] {
            Arc::new(Refusing)
        } else {
            Arc::new(Writer)
        };
        let opened = settlement(*id, Outcome::Opened(Box::new(opening(*id, NOW))));
        group.settle(opened, composer).await.unwrap().unwrap();
    }
    group.commit().await.unwrap();
    let mails = opening(ids[0], NOW).mails.len();
    let queued = store.outbox(true, 1_000).await.unwrap();
    assert_eq!(queued.len(), (ids.len() - 1) * mails);
    for (at, id) in ids.iter().enumerate() {
        let number = format!("SAK-2026-{:06}", at + 1);
        let case = store.case(number.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(case.message_id, *id, "{number}");
        let refused = *id == ids[17];
        assert_eq!(
            matches!(case.acknowledgement, Acknowledgement::Not(_)),
            refused,
            "{number}"
        );
        let own = queued
            .iter()
            .filter(|row| row.case.as_ref() == Some(&number));
        assert_eq!(own.count(), if refused { 0 } else { mails }, "{number}");
        assert_eq!(
            store.history(case.id).await.unwrap().len(),
            1 + if refused { mails } else { 0 }
        );
    }
}

async fn a_message_is_settled_once(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let id = stored(&stores[0], "inn", &["en"]).await[0];
    let tasks = (0..6).map(|at| {
        let store = Arc::clone(&stores[at % 2]);
        tokio::spawn(async move {
            settle(
                &store,
                settlement(id, Outcome::Opened(Box::new(opening(id, NOW)))),
            )
            .await
        })
    });
    let mut cases = 0;
    for task in tasks.collect::<Vec<_>>() {
        cases += usize::from(task.await.unwrap().is_some());
    }
    assert_eq!(cases, 1);
    assert_eq!(stores[0].outbox(true, 9).await.unwrap().len(), 2);
    assert_eq!(
        stores[0].counts().await.unwrap().cases,
        [("sent".to_owned(), 1)]
    );
}

async fn messages_are_claimed_once_and_come_back(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let ids = stored(&stores[0], "inn", &["en", "to", "tre"]).await;
    let mut tasks = Vec::new();
    for at in 0..6 {
        let store = Arc::clone(&stores[at % 2]);
        tasks.push(tokio::spawn(async move {
            store.claim_undecided(2, MINUTE, NOW).await.unwrap()
        }));
    }
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap().into_iter().map(|pending| pending.id));
    }
    let unique: BTreeSet<i64> = claimed.iter().copied().collect();
    assert_eq!(unique.len(), claimed.len(), "claimed twice: {claimed:?}");
    assert!(claimed.len() >= 2);
    // What was begun and never ended comes alone, when the lease has run out.
    let later = stores[1]
        .claim_undecided(9, MINUTE, NOW + MINUTE)
        .await
        .unwrap();
    let fresh = later.iter().all(|pending| pending.attempts == 1);
    assert!(fresh || later.len() == 1, "{later:?}");
    let again = stores[1]
        .claim_undecided(9, MINUTE, NOW + 3 * MINUTE)
        .await
        .unwrap();
    assert_eq!((again.len(), again[0].attempts > 1), (1, true));
    stores[1]
        .give_back(&[again[0].id], Attempt::TakenBack)
        .await
        .unwrap();
    let once_more = stores[1]
        .claim_undecided(9, MINUTE, NOW + 3 * MINUTE)
        .await
        .unwrap();
    assert_eq!(once_more[0].id, again[0].id);
    assert_eq!(once_more[0].attempts, again[0].attempts);
    assert!(ids.contains(&again[0].id));
}

async fn mail_is_claimed_once_in_its_order(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    for at in 0..6 {
        opened(&stores[0], &format!("sak-{at}")).await;
    }
    let mut tasks = Vec::new();
    for at in 0..8 {
        let store = Arc::clone(&stores[at % 2]);
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim(1, HOUR, NOW).await.unwrap();
                let [mail] = &claimed[..] else { return mine };
                mine.push((mail.id, mail.kind));
                let outcome = delivery(vec![accepted()]);
                store
                    .record_delivery(mail, &outcome, Next::Person, NOW)
                    .await
                    .unwrap();
            }
        }));
    }
    let mut sent = Vec::new();
    for task in tasks {
        let mine = task.await.unwrap();
        // Acknowledgements go first.
        let first_other = mine
            .iter()
            .position(|(_, kind)| *kind != MailKind::Kvittering)
            .unwrap_or(mine.len());
        assert!(
            mine[first_other..]
                .iter()
                .all(|(_, kind)| *kind != MailKind::Kvittering),
            "{mine:?}"
        );
        sent.extend(mine);
    }
    let unique: BTreeSet<i64> = sent.iter().map(|(id, _)| *id).collect();
    assert_eq!((sent.len(), unique.len()), (12, 12));
    let rows = stores[1].outbox(true, 99).await.unwrap();
    assert!(
        rows.iter()
            .all(|row| row.state == "sent" && row.attempts == 1 && row.codes == [250])
    );
    assert_eq!(stores[1].next_due_ms().await.unwrap(), None);
    for case in stores[1].cases(&CaseFilter::default()).await.unwrap() {
        let history = stores[1].history(case.id).await.unwrap();
        assert_eq!(
            history
                .iter()
                .filter(|event| event.kind == EventKind::MailSent)
                .count(),
            2
        );
    }
}

async fn the_result_of_sending_is_never_lost_to_a_change_of_the_case(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let case = opened(&stores[0], "en").await;
    for seq in 2..=20 {
        change_with(&stores[0], case.number, |change| {
            change.mails = vec![MailOrder {
                seq,
                ..order(MailKind::Status, "", &["lege@fjordgloett.example"])
            }];
        })
        .await;
    }
    let person = {
        let store = Arc::clone(&stores[1]);
        tokio::spawn(async move {
            for round in 0..40 {
                change_with(&store, case.number, |change| {
                    change.record(EventKind::Note, NOW, json!({ "round": round }));
                })
                .await;
            }
        })
    };
    let mut recorded = 0;
    loop {
        let claimed = stores[0].claim(1, HOUR, NOW).await.unwrap();
        let [mail] = &claimed[..] else { break };
        stores[0]
            .record_delivery(mail, &delivery(vec![accepted()]), Next::Person, NOW)
            .await
            .unwrap();
        recorded += 1;
    }
    person.await.unwrap();
    assert_eq!(recorded, 21);
    let history = stores[0].history(case.id).await.unwrap();
    let count = |kind| history.iter().filter(|event| event.kind == kind).count();
    assert_eq!(
        (count(EventKind::MailSent), count(EventKind::Note)),
        (21, 40)
    );
    let version = stores[0].case(case.number).await.unwrap().unwrap().version;
    assert_eq!(version, 1 + 19 + 21 + 40);
}

async fn a_change_of_an_old_version_is_refused(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let case = opened(&stores[0], "en").await;
    let change = |state| {
        let mut change = Change::of(Case {
            state,
            ..case.clone()
        });
        change.mails = vec![order(
            MailKind::Purring,
            "medisin",
            &["medisin@so-hf.example"],
        )];
        change
    };
    let (one, other) = tokio::join!(
        stores[0].apply(change(State::Answered), &Writer),
        stores[1].apply(change(State::Dismissed), &Writer)
    );
    let refused = [one, other]
        .into_iter()
        .filter(|outcome| matches!(outcome, Err(StoreError::Conflict)))
        .count();
    assert_eq!(refused, 1);
    let mails = stores[0].outbox(true, 9).await.unwrap();
    assert_eq!(mails.iter().filter(|row| row.kind == "purring").count(), 1);
}

async fn the_history_is_append_only(kit: Kit) {
    let store = kit.open().await;
    let case = opened(&store, "en").await;
    for sql in [
        "UPDATE case_event SET reason = 'x'",
        "DELETE FROM case_event",
    ] {
        assert!(kit.raw(sql).await.is_err(), "{sql}");
    }
    assert_eq!(store.history(case.id).await.unwrap().len(), 1);
    // Nor are there two originals of one content, whoever writes.
    stored(&store, "inn", &["to"]).await;
    let twice = "INSERT INTO message (source, mailbox, uid_validity, position_key, content_hash, size_bytes, internal_date_ms, \
                 first_seen_at_ms, outcome) SELECT 'x', mailbox, uid_validity, position_key, content_hash, 0, 0, 0, 'pending' \
                 FROM message WHERE outcome = 'pending'";
    assert!(kit.raw(twice).await.is_err());
}

async fn later_mail_finds_its_case(kit: Kit) {
    let store = kit.open().await;
    let id = stored(&store, "inn", &["en"]).await[0];
    let own = |reference: &str, address: &str, party: &str| OwnReference {
        reference: reference.to_owned(),
        address: address.to_owned(),
        party: party.to_owned(),
    };
    let first = settle(
        &store,
        Settlement {
            own: Some(own("Sak 24/1187 A", "Lege@Fjordgloett.example", "")),
            ..settlement(id, Outcome::Opened(Box::new(opening(id, NOW))))
        },
    )
    .await
    .unwrap();
    let second = opened(&store, "to").await;
    let claimed = store.claim(1, HOUR, NOW).await.unwrap();
    let replaced = Delivery {
        replaced_message_id: Some("Exchange.42@prod.example".to_owned()),
        ..delivery(vec![accepted()])
    };
    store
        .record_delivery(&claimed[0], &replaced, Next::Person, NOW)
        .await
        .unwrap();
    let find = async |keys: ThreadKeys| {
        let mut group = store.group(&[]).await.unwrap();
        let found = group.find_thread(&keys).await.unwrap();
        found.map(|thread| (thread.case.number, format!("{:?}", thread.by)))
    };
    let none = ThreadKeys::default;
    let found = |case: &Case, by: &str| Some((case.number, by.to_owned()));
    assert_eq!(find(none()).await, None);
    assert_eq!(
        find(ThreadKeys {
            tokens: vec![second.number],
            ..none()
        })
        .await,
        found(&second, "Token")
    );
    let signed = ThreadKeys {
        signed: vec![first.number],
        tokens: vec![second.number],
        ..none()
    };
    assert_eq!(find(signed).await, found(&first, "SignedId"));
    let cited = |id: &str| ThreadKeys {
        cited: vec!["ukjent@x.example".to_owned(), id.to_owned()],
        ..none()
    };
    assert_eq!(
        find(cited("Exchange.42@prod.example")).await,
        found(&first, "SignedId")
    );
    assert_eq!(
        find(cited("exchange.42@prod.example")).await,
        None,
        "Message-IDs have letter case"
    );
    assert_eq!(
        find(cited(&format!(
            "m{}@fjordgloett.example",
            second.message_id
        )))
        .await,
        found(&second, "EarlierMessage")
    );
    let by_own = |own| ThreadKeys {
        own: Some(own),
        ..none()
    };
    assert_eq!(
        find(by_own(own("SAK 24/1187 a", "lege@fjordgloett.EXAMPLE", ""))).await,
        found(&first, "OwnReference")
    );
    assert_eq!(
        find(by_own(own(
            "SAK 24/1187 a",
            "annen@fjordgloett.example",
            ""
        )))
        .await,
        None
    );
    assert_eq!(find(by_own(own("sak 24/1187 a", "", ""))).await, None);
    // A merged case goes on under the other's number.
    change_with(&store, second.number, |change| {
        change.case.merged_into = Some(first.number);
    })
    .await;
    assert_eq!(
        find(ThreadKeys {
            tokens: vec![second.number],
            ..none()
        })
        .await,
        found(&first, "Token")
    );
}

async fn a_bounce_finds_its_mail_and_its_address_gets_no_more(kit: Kit) {
    let store = kit.open().await;
    let case = opened(&store, "en").await;
    while let [mail] = &store.claim(1, HOUR, NOW).await.unwrap()[..] {
        store
            .record_delivery(mail, &delivery(vec![accepted()]), Next::Person, NOW)
            .await
            .unwrap();
    }
    let mut group = store.group(&[]).await.unwrap();
    let begins = "sak-2026-000001.sak.1.";
    let message_id = format!("{begins}medisin@so-hf.example");
    let tag = Verp {
        begins: String::new(),
        tag: String::new(),
    };
    assert!(!tag.is_of(&message_id));
    let signed = ReturnKeys {
        signed: vec!["SAK-2026-000001.sak.1.medisin".to_owned()],
        ..ReturnKeys::default()
    };
    let (mail, number) = group.sent_mail(&signed).await.unwrap().unwrap();
    assert_eq!(
        (mail.kind, mail.party.as_str(), number),
        (MailKind::Sak, "medisin", Some(case.number))
    );
    assert_eq!(
        mail.recipients,
        [("medisin@so-hf.example".to_owned(), true)]
    );
    // Nothing that only begins alike.
    let other = ReturnKeys {
        signed: vec![
            "sak-2026-000001.sak".to_owned(),
            "sak-2026-00000".to_owned(),
        ],
        ..ReturnKeys::default()
    };
    assert_eq!(group.sent_mail(&other).await.unwrap(), None);
    drop(group);
    // The acknowledgement comes back: its address takes no mail.
    let id = stored(&store, "inn", &["retur"]).await[0];
    let acknowledgement = store.outbox(true, 9).await.unwrap()[0].id;
    let mut joined = Change::of(store.case(case.number).await.unwrap().unwrap());
    joined.case.attention = true;
    settle(
        &store,
        Settlement {
            returned: Some(Returned {
                mail: acknowledgement,
                addresses: vec!["LEGE@fjordgloett.example".to_owned()],
                dead: true,
                status: "5.1.1".to_owned(),
            }),
            ..settlement(id, Outcome::Joined(Box::new(joined)))
        },
    )
    .await
    .unwrap();
    assert!(
        !store
            .dead_addresses()
            .await
            .unwrap()
            .works("lege@Fjordgloett.example")
    );
    assert_eq!(
        store
            .acknowledgements_since("lege@FJORDGLOETT.example", NOW - HOUR)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .acknowledgements_since("lege@fjordgloett.example", NOW)
            .await
            .unwrap(),
        0
    );
    // Later mail to it is held, also where it waits already.
    change_with(&store, case.number, |change| {
        change.mails = vec![order(MailKind::Status, "", &["lege@fjordgloett.example"])];
    })
    .await;
    assert_eq!(store.claim(9, HOUR, NOW).await.unwrap(), []);
    let rows = store.outbox(true, 9).await.unwrap();
    let states: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|row| {
            (
                row.kind.as_str(),
                row.state.as_str(),
                row.hold_reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            ("kvittering", "bounced", ""),
            ("sak", "sent", ""),
            ("status", "held", "dead-address")
        ]
    );
    let told = store.not_delivered(0).await.unwrap();
    assert_eq!(
        told.iter()
            .map(|mail| (mail.kind, mail.held))
            .collect::<Vec<_>>(),
        [(MailKind::Kvittering, false), (MailKind::Status, true)]
    );
    let mut word = RetryWord {
        actor: person(),
        reason: "ringt".to_owned(),
        address_works: false,
    };
    assert_eq!(
        store.retry_mail(rows[0].id, &word, NOW).await.unwrap(),
        Retried::DeadAddress {
            since_ms: NOW,
            status: "5.1.1".to_owned()
        }
    );
    word.address_works = true;
    assert_eq!(
        store.retry_mail(rows[0].id, &word, NOW).await.unwrap(),
        Retried::Queued { others: 1 }
    );
    assert_eq!(store.claim(9, HOUR, NOW).await.unwrap().len(), 2);
    assert_eq!(
        store.retry_mail(999, &word, NOW).await.unwrap(),
        Retried::NotWaiting
    );
}

async fn a_report_is_done_once(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let day = ReportDay {
        kind: "oversikt",
        party: String::new(),
        day: "2026-11-02".parse().unwrap(),
    };
    let order = order(MailKind::Oversikt, "", &["samhandling@so-hf.example"]);
    let tasks = (0..6).map(|at| {
        let (store, day) = (Arc::clone(&stores[at % 2]), day.clone());
        let mail = ReportMail {
            order: MailOrder {
                seq: 20_261_102,
                ..order.clone()
            },
            mail: Composed {
                message_id: format!("oversikt.{at}@so-hf.example"),
                envelope: Envelope {
                    from: None,
                    to: order.to.clone(),
                },
                bytes: b"x".to_vec(),
            },
        };
        tokio::spawn(async move { store.queue_report(&[day], Some(&mail), NOW).await.unwrap() })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += usize::from(task.await.unwrap());
    }
    assert_eq!(done, 1);
    assert_eq!(stores[0].outbox(true, 9).await.unwrap().len(), 1);
    assert!(stores[1].report_done(&day).await.unwrap());
    assert_eq!(stores[1].report_done_before(&day).await.unwrap(), None);
    let next = ReportDay {
        day: "2026-11-10".parse().unwrap(),
        ..day.clone()
    };
    assert_eq!(
        stores[1].report_done_before(&next).await.unwrap(),
        Some(NOW)
    );
    assert!(!stores[1].report_done(&next).await.unwrap());
}

async fn content_is_deleted_once_and_its_verdict_forgets_the_reporter(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let texts: Vec<String> = (0..30).map(|at| format!("annet-{at}")).collect();
    let ids = stored(
        &stores[0],
        "inn",
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    for id in &ids {
        settle(
            &stores[0],
            settlement(*id, Outcome::LeftAlone("ikke-avvik".to_owned())),
        )
        .await;
    }
    let tasks = (0..4).map(|at| {
        let store = Arc::clone(&stores[at % 2]);
        tokio::spawn(async move {
            store
                .delete_left_alone_content(NOW, NOW + DAY)
                .await
                .unwrap()
        })
    });
    let mut deleted = 0;
    for task in tasks.collect::<Vec<_>>() {
        deleted += task.await.unwrap();
    }
    assert_eq!(deleted, 30);
    assert_eq!(stores[0].raw(ids[0]).await.unwrap(), None);
    assert_eq!(
        stores[0].content_deleted_ms(ids[0]).await.unwrap(),
        Some(NOW + DAY)
    );
    let verdict: serde_json::Value =
        serde_json::from_str(&stores[0].verdict(ids[0]).await.unwrap().unwrap()).unwrap();
    assert_eq!(
        verdict,
        json!({ "reporter": { "address": "" }, "reference": null, "type": "avvik" })
    );

    let case = opened(&stores[0], "ferdig").await;
    while let [mail] = &stores[0].claim(1, HOUR, NOW).await.unwrap()[..] {
        stores[0]
            .record_delivery(mail, &delivery(vec![accepted()]), Next::Person, NOW)
            .await
            .unwrap();
    }
    change_with(&stores[0], case.number, |change| {
        change.case.state = State::Closed;
        change.record(EventKind::Closed, NOW, json!({}));
    })
    .await;
    assert_eq!(
        stores[0]
            .delete_case_content(0, NOW - 1, NOW)
            .await
            .unwrap(),
        None,
        "not yet"
    );
    let (one, other) = tokio::join!(
        stores[0].delete_case_content(0, NOW + DAY, NOW + 2 * DAY),
        stores[1].delete_case_content(0, NOW + DAY, NOW + 2 * DAY)
    );
    let both = [one.unwrap(), other.unwrap()];
    assert_eq!(both.iter().flatten().count(), 1, "{both:?}");
    let history = stores[0].history(case.id).await.unwrap();
    assert_eq!(
        history
            .iter()
            .filter(|event| event.kind == EventKind::ContentDeleted)
            .count(),
        1
    );
    assert_eq!(
        stores[0]
            .case(case.number)
            .await
            .unwrap()
            .unwrap()
            .reporter_address,
        ""
    );
    assert_eq!(stores[0].raw(case.message_id).await.unwrap(), None);
    let counts = stores[0]
        .retention_counts(NOW, Some(NOW + DAY))
        .await
        .unwrap();
    assert_eq!(
        (
            counts.messages_deleted,
            counts.left_alone_due,
            counts.cases_deleted,
            counts.cases_due
        ),
        (31, 0, 1, 0)
    );
}

async fn what_people_corrected_is_told(kit: Kit) {
    let store = kit.open().await;
    let (first, second, third) = (
        opened(&store, "en").await,
        opened(&store, "to").await,
        opened(&store, "tre").await,
    );
    for (case, value) in [
        (&first, "kirurgi"),
        (&second, "moss"),
        (&third, "psykisk"),
        (&first, "medisin"),
    ] {
        change_with(&store, case.number, |change| {
            change.record_by(
                EventKind::Corrected,
                NOW,
                &person(),
                json!({ "to": { "destination": value } }),
            );
        })
        .await;
    }
    // The second goes into the first with its message; it still says what its own message was.
    let rearranged = Rearrangement {
        first: Change::of(store.case(first.number).await.unwrap().unwrap()),
        then: {
            let mut merged = Change::of(store.case(second.number).await.unwrap().unwrap());
            Box::new(move |first: &Case| {
                merged.case.merged_into = Some(first.number);
                merged
            })
        },
        moves: vec![MessageMove {
            message_id: second.message_id,
            to_first: true,
            opened: false,
        }],
        verdict: Some((second.message_id, "sha256:ny".to_owned(), "{}".to_owned())),
        sketch: None,
    };
    let (_, merged) = store.rearrange(rearranged, &Writer, NOW).await.unwrap();
    assert_eq!(merged.merged_into, Some(first.number));
    let told: Vec<(i64, String, String)> = store
        .corrections()
        .await
        .unwrap()
        .into_iter()
        .map(|correction| {
            (
                correction.message_id,
                correction.case,
                correction.facets["destination"].clone(),
            )
        })
        .collect();
    let expected = [(&first, "medisin"), (&second, "moss"), (&third, "psykisk")];
    assert_eq!(
        told,
        expected.map(|(case, value)| (case.message_id, case.number.to_string(), value.to_owned()))
    );
    assert_eq!(
        store.case_messages(first.id).await.unwrap(),
        [first.message_id, second.message_id]
    );
    assert_eq!(
        store.verdict(second.message_id).await.unwrap().unwrap(),
        "{}"
    );
}

async fn lists_are_filtered_and_ordered(kit: Kit) {
    let store = kit.open().await;
    let mut numbers = Vec::new();
    for (state, party, attention) in [
        (State::Sent, "medisin", false),
        (State::Triage, "", true),
        (State::Closed, "medisin", false),
        (State::Answered, "kirurgi", false),
        (State::Sent, "Åsen", false),
    ] {
        let mut change = Change::of(case(NOW));
        change.case.state = state;
        change.case.destination = party.to_owned();
        change.case.attention = attention;
        change.case.acknowledgement = Acknowledgement::Not(linjevei::rules::WhyNot::NoAddress);
        change.case.answered_at_ms = (state == State::Answered).then_some(NOW);
        numbers.push(store.apply(change, &Writer).await.unwrap().number);
    }
    change_with(&store, numbers[0], |change| {
        change.record_by(EventKind::Note, NOW, &person(), json!({}));
    })
    .await;
    let list = async |filter: CaseFilter| -> Vec<u64> {
        store
            .cases(&filter)
            .await
            .unwrap()
            .iter()
            .map(|case| case.number.count)
            .collect()
    };
    let filter = CaseFilter::default;
    assert_eq!(list(filter()).await, [1, 2, 4, 5]);
    assert_eq!(
        list(CaseFilter {
            all: true,
            ..filter()
        })
        .await,
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        list(CaseFilter {
            all: true,
            limit: 2,
            ..filter()
        })
        .await,
        [1, 2]
    );
    assert_eq!(
        list(CaseFilter {
            state: Some(State::Closed),
            ..filter()
        })
        .await,
        [3]
    );
    assert_eq!(
        list(CaseFilter {
            party: Some("medisin".to_owned()),
            ..filter()
        })
        .await,
        [1]
    );
    assert_eq!(
        list(CaseFilter {
            concerns: Some("Åsen".to_owned()),
            ..filter()
        })
        .await,
        [5]
    );
    assert_eq!(
        list(CaseFilter {
            attention: true,
            ..filter()
        })
        .await,
        [2]
    );
    assert_eq!(
        list(CaseFilter {
            handled_by: Some("kari".to_owned()),
            ..filter()
        })
        .await,
        [1]
    );
    assert_eq!(
        list(CaseFilter {
            overdue_on: Some("2026-12-02".parse().unwrap()),
            ..filter()
        })
        .await,
        [0_u64; 0]
    );
    assert_eq!(
        list(CaseFilter {
            overdue_on: Some("2026-12-03".parse().unwrap()),
            ..filter()
        })
        .await,
        [1, 2, 5]
    );
    let due: Vec<u64> = store
        .chaseable("2026-12-02".parse().unwrap(), NOW)
        .await
        .unwrap()
        .iter()
        .map(|case| case.number.count)
        .collect();
    assert_eq!(due, [1, 5, 4]);
    assert_eq!(
        store
            .chaseable("2026-12-01".parse().unwrap(), NOW - 1)
            .await
            .unwrap(),
        []
    );
    // Of paper and telephone nothing is told.
    assert_eq!(store.unacknowledged(0).await.unwrap(), []);
    let opened = opened(&store, "en").await;
    change_with(&store, opened.number, |change| {
        change.case.acknowledgement = Acknowledgement::Not(linjevei::rules::WhyNot::NoAddress);
    })
    .await;
    assert_eq!(store.unacknowledged(NOW).await.unwrap().len(), 1);
    assert_eq!(store.unacknowledged(NOW + 1).await.unwrap(), []);
    assert_eq!(
        store
            .case("SAK-2026-000099".parse().unwrap())
            .await
            .unwrap(),
        None
    );
    for (at, reason) in [(1, "ikke-avvik"), (2, "list"), (3, "svar")] {
        let id = stored(&store, "inn", &[&format!("annet-{at}")]).await[0];
        settle(
            &store,
            settlement(id, Outcome::LeftAlone(reason.to_owned())),
        )
        .await;
    }
    let (count, told) = store.left_alone(NOW, 1).await.unwrap();
    assert_eq!(
        (count, told.len(), told[0].reason.as_str()),
        (2, 1, "ikke-avvik")
    );
    assert_eq!(
        store
            .messages(true, 2)
            .await
            .unwrap()
            .iter()
            .map(|row| row.reason.clone())
            .collect::<Vec<_>>(),
        ["list", "svar"]
    );
    assert_eq!(
        store.messages(false, 9).await.unwrap()[0].case,
        Some(opened.number.to_string())
    );
    let counts = store.counts().await.unwrap();
    assert_eq!(
        counts.messages,
        [("left-alone".to_owned(), 3), ("opened".to_owned(), 1)]
    );
    assert_eq!(counts.oldest_unsent_ms, Some(NOW));
}

async fn fields_stay_in_their_order_and_move_with_their_message(kit: Kit) {
    let store = kit.open().await;
    let (first, second) = (opened(&store, "en").await, opened(&store, "to").await);
    let field = |name: &str, value: &str, message_id| CaseField {
        name: name.to_owned(),
        value: value.to_owned(),
        message_id,
    };
    let (one, two) = (first.message_id, second.message_id);
    change_with(&store, first.number, |change| {
        change.fields = vec![
            field("sted", "A", one),
            field("dag", "B", one),
            field("avdeling", "C", one),
        ];
    })
    .await;
    change_with(&store, second.number, |change| {
        change.fields = vec![field("dag", "X", two), field("Åsted", "Y", two)];
    })
    .await;
    change_with(&store, first.number, |change| {
        change.fields = vec![field("sted", "ny", one)];
    })
    .await;
    let fields = async |case: &Case| -> Vec<(String, String)> {
        let fields = store.case_fields(case.id).await.unwrap();
        fields
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        fields(&first).await,
        [pair("sted", "A"), pair("dag", "B"), pair("avdeling", "C")]
    );
    let rearranged = async |opened: bool, to_first: bool| {
        let (a, b) = (
            store.case(first.number).await.unwrap().unwrap(),
            store.case(second.number).await.unwrap().unwrap(),
        );
        let wanted = Rearrangement {
            first: Change::of(a),
            then: Box::new(move |_: &Case| Change::of(b)),
            moves: vec![MessageMove {
                message_id: two,
                to_first,
                opened,
            }],
            verdict: None,
            sketch: None,
        };
        store.rearrange(wanted, &Writer, NOW).await.unwrap();
    };
    rearranged(false, true).await;
    assert_eq!(
        fields(&first).await,
        [
            pair("sted", "A"),
            pair("dag", "B"),
            pair("avdeling", "C"),
            pair("Åsted", "Y")
        ]
    );
    assert_eq!(fields(&second).await, [pair("dag", "X")]);
    rearranged(true, false).await;
    assert_eq!(
        fields(&second).await,
        [pair("dag", "X"), pair("Åsted", "Y")]
    );
    assert_eq!(fields(&first).await.len(), 3);
}

async fn the_account_of_a_source_adds_up(kit: Kit) {
    let store = kit.open().await;
    assert_eq!(store.cursor("inn").await.unwrap(), Cursor::default());
    opened(&store, "en").await;
    let id = stored(&store, "inn", &["to"]).await[0];
    settle(
        &store,
        settlement(id, Outcome::LeftAlone("ikke-avvik".to_owned())),
    )
    .await;
    store
        .store_raw("inn", &[incoming("kopi", "en")], NOW)
        .await
        .unwrap();
    stored(&store, "inn", &["tre"]).await;
    let cursor = Cursor {
        uid_validity: u32::MAX,
        last_uid: 17,
    };
    store.source_checked("inn", &cursor, 2, NOW).await.unwrap();
    store
        .source_checked("inn", &cursor, 1, NOW + 1)
        .await
        .unwrap();
    assert_eq!(store.cursor("inn").await.unwrap(), cursor);
    assert_eq!(store.checked_at_ms("inn").await.unwrap(), Some(NOW + 1));
    assert_eq!(store.checked_at_ms("annen").await.unwrap(), None);
    let accounts = store.accounts().await.unwrap();
    let account = &accounts[0];
    assert_eq!(accounts.len(), 1);
    assert_eq!(
        (
            account.seen,
            account.opened,
            account.duplicate,
            account.left_alone,
            account.pending,
            account.gone
        ),
        (4, 1, 1, 1, 1, 3)
    );
    assert_eq!(
        (account.joined, account.accounted(), account.checked_at_ms),
        (0, 4, NOW + 1)
    );
    // What is ours is treated at its source, the copy like the first.
    let untreated = store.untreated("inn", 9).await.unwrap();
    assert_eq!(
        untreated
            .iter()
            .map(|position| position.key.as_str())
            .collect::<Vec<_>>(),
        ["en", "kopi"]
    );
    store.mark_treated("inn", &untreated[..1]).await.unwrap();
    assert_eq!(store.untreated("inn", 9).await.unwrap().len(), 1);
    let position = incoming("ulest", "").raw.position;
    store
        .note_unreadable("inn", &[(position.clone(), "I/O".to_owned())], NOW)
        .await
        .unwrap();
    store
        .note_unreadable("inn", &[(position.clone(), "igjen".to_owned())], NOW + 5)
        .await
        .unwrap();
    let unreadable = store.unreadable().await.unwrap();
    assert_eq!(
        (
            unreadable.len(),
            unreadable[0].first_at_ms,
            unreadable[0].last_at_ms,
            unreadable[0].why.as_str()
        ),
        (1, NOW, NOW + 5, "igjen")
    );
    store.forget_unreadable("inn", NOW + 5).await.unwrap();
    assert_eq!(store.unreadable().await.unwrap().len(), 1);
    stored(&store, "inn", &["ulest"]).await;
    assert_eq!(store.unreadable().await.unwrap(), []);
}

async fn loose_ends_are_found(kit: Kit) {
    let store = kit.open().await;
    opened(&store, "en").await;
    stored(&store, "inn", &["to"]).await;
    assert_eq!(store.loose_ends(NOW).await.unwrap(), []);
    for sql in [
        "UPDATE message SET case_id = 99 WHERE outcome = 'opened'",
        "UPDATE cases SET message_id = 98",
        "DELETE FROM outbox_chunk",
        "DELETE FROM outbox_recipient",
        "DELETE FROM outbox",
    ] {
        kit.raw(sql).await.unwrap();
    }
    let found: Vec<(String, String, i64)> = store
        .loose_ends(NOW + 1)
        .await
        .unwrap()
        .into_iter()
        .map(|end| (end.source, end.kind, end.count))
        .collect();
    let expected = [
        ("", "without-acknowledgement"),
        ("", "without-message"),
        ("inn", "undecided"),
        ("inn", "without-case"),
    ];
    assert_eq!(
        found,
        expected.map(|(source, kind)| (source.to_owned(), kind.to_owned(), 1))
    );
}

async fn what_does_not_hang_together_is_told(kit: Kit) {
    let store = kit.open().await;
    for at in 0..3 {
        opened(&store, &format!("sak-{at}")).await;
    }
    assert_eq!(store.integrity().await.unwrap(), [""; 0]);
    for sql in [
        "UPDATE cases SET count = 9 WHERE count = 2",
        "UPDATE cases SET state = 'closed' WHERE count = 1",
        "UPDATE outbox SET case_id = 77 WHERE id = 1",
        "DELETE FROM outbox_recipient WHERE outbox_id = 2",
    ] {
        kit.raw(sql).await.unwrap();
    }
    let expected = [
        "1 cases numbered beyond the counter",
        "1 cases whose history ends in another state",
        "1 mails of cases that are not there",
        "1 mails without a recipient",
        "1 years whose case numbers have gaps",
    ];
    assert_eq!(store.integrity().await.unwrap(), expected);
}

async fn small_things_are_kept(kit: Kit) {
    let stores = [kit.open().await, kit.open().await];
    let store = &stores[0];
    assert_eq!(store.setting("en").await.unwrap(), None);
    store.set_setting("en", "a").await.unwrap();
    store.set_setting("en", "b").await.unwrap();
    assert_eq!(stores[1].setting("en").await.unwrap().as_deref(), Some("b"));
    let tasks = (0..6).map(|at| {
        let store = Arc::clone(&stores[at % 2]);
        tokio::spawn(async move { store.setting_once("to", &at.to_string()).await.unwrap() })
    });
    let mut answers = BTreeSet::new();
    for task in tasks.collect::<Vec<_>>() {
        answers.insert(task.await.unwrap());
    }
    assert_eq!(answers.len(), 1, "everybody is told the same");
    let files = [("a.toml".to_owned(), "æøå".to_owned())].into();
    for at in [NOW, NOW + 1] {
        store
            .keep_ruleset("sha256:a", "0.1.0", &files, at)
            .await
            .unwrap();
    }
    let kept = async |hash| store.ruleset_files(hash).await.unwrap();
    assert_eq!(kept("sha256:a").await, Some(files));
    assert_eq!(kept("sha256:b").await, None);
    let reconciled = |source: &str, differences| Reconciled {
        source: source.to_owned(),
        at_ms: NOW,
        differences,
        report: "{}".to_owned(),
    };
    for one in [
        reconciled("inn", 3),
        reconciled("", 0),
        reconciled("inn", 0),
    ] {
        store.keep_reconciliation(&one).await.unwrap();
    }
    assert_eq!(
        store.reconciliations().await.unwrap(),
        [reconciled("", 0), reconciled("inn", 0)]
    );
}

async fn likeness_is_found_by_office_and_file(kit: Kit) {
    let store = kit.open().await;
    let id = stored(&store, "inn", &["en"]).await[0];
    let sketch = Sketch {
        office: "fjordgloett.example".to_owned(),
        shingles: vec![3, 1, u64::MAX],
        numbers: vec![7],
        files: vec!["ab".repeat(32)],
    };
    let case = settle(
        &store,
        Settlement {
            sketch: Some(sketch.clone()),
            ..settlement(id, Outcome::Opened(Box::new(opening(id, NOW))))
        },
    )
    .await
    .unwrap();
    let earlier = store.earlier(&sketch, NOW + DAY).await.unwrap();
    assert_eq!(earlier.len(), 1);
    assert_eq!(
        (earlier[0].number, &earlier[0].sketch),
        (case.number, &sketch)
    );
    let other = Sketch {
        office: "annet.example".to_owned(),
        files: Vec::new(),
        ..sketch.clone()
    };
    assert_eq!(store.earlier(&other, NOW).await.unwrap().len(), 0);
    assert_eq!(
        store
            .earlier(
                &Sketch {
                    files: Vec::new(),
                    ..sketch
                },
                NOW + 30 * DAY
            )
            .await
            .unwrap()
            .len(),
        0
    );
}

/// What only a shared database has.
mod shared {
    use super::*;

    #[tokio::test]
    async fn a_file_is_never_shared() {
        let kit = Kit::sqlite();
        let stores = [kit.open().await, kit.open().await];
        assert_eq!(stores[0].node(), None);
        for store in &stores {
            assert_eq!(
                store.watch_source("inn", MINUTE).await.unwrap(),
                Watch::Granted
            );
        }
        assert_eq!(stores[0].meet("sha256:a", NOW).await.unwrap(), None);
        assert_eq!(stores[0].nodes().await.unwrap().nodes, []);
        assert_eq!(stores[0].watchers().await.unwrap(), []);
        // What an earlier worker had in hand is free at once.
        stored(&stores[0], "inn", &["en"]).await;
        assert_eq!(
            stores[0]
                .claim_undecided(9, MINUTE, NOW)
                .await
                .unwrap()
                .len(),
            1
        );
        stores[1].release_claims().await.unwrap();
        assert_eq!(
            stores[1]
                .claim_undecided(9, MINUTE, NOW)
                .await
                .unwrap()
                .len(),
            1
        );
        let clock_ms = stores[0].nodes().await.unwrap().clock_ms;
        assert!((clock_ms - jiff::Timestamp::now().as_millisecond()).abs() < MINUTE);
    }

    #[tokio::test]
    async fn a_source_is_watched_by_one_worker_at_a_time() {
        let Some(kit) = Kit::postgres().await else {
            return;
        };
        let stores = [kit.open().await, kit.open().await];
        let first = stores[0].node().unwrap().to_owned();
        let watch = async |at: usize, lease| stores[at].watch_source("inn", lease).await.unwrap();
        assert_eq!(watch(0, MINUTE).await, Watch::Granted);
        assert_eq!(watch(1, MINUTE).await, Watch::By(first.clone()));
        assert_eq!(watch(0, MINUTE).await, Watch::Granted, "renewed");
        assert_eq!(
            stores[1].watch_source("annen", MINUTE).await.unwrap(),
            Watch::Granted
        );
        assert_eq!(
            stores[1].watchers().await.unwrap()[1],
            ("inn".to_owned(), first)
        );
        // Given up at a stop: free at once.
        stores[0].leave_source("inn").await.unwrap();
        assert_eq!(watch(1, 1).await, Watch::Granted);
        // Run out: the other takes it over.
        while watch(0, MINUTE).await != Watch::Granted {}
        stores[1].leave_source("inn").await.unwrap();
        assert!(
            matches!(watch(1, MINUTE).await, Watch::By(_)),
            "nobody gives up what is not theirs"
        );
        stores[0].part().await.unwrap();
        assert_eq!(watch(1, MINUTE).await, Watch::Granted);
        // Many ask at once: one gets it.
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let store = kit.open().await;
            tasks.push(tokio::spawn(async move {
                store.watch_source("ny", MINUTE).await.unwrap()
            }));
        }
        let mut granted = 0;
        for task in tasks {
            granted += usize::from(task.await.unwrap() == Watch::Granted);
        }
        assert_eq!(granted, 1);
    }

    #[tokio::test]
    async fn workers_know_of_each_other() {
        let Some(kit) = Kit::postgres().await else {
            return;
        };
        let stores = [kit.open().await, kit.open().await];
        assert_ne!(stores[0].node(), stores[1].node());
        let met = stores[0].meet("sha256:ny", NOW + 1).await.unwrap().unwrap();
        assert_eq!(met.nodes.len(), 1);
        let met = stores[1].meet("sha256:gammel", NOW).await.unwrap().unwrap();
        let rules: Vec<&str> = met.nodes.iter().map(|node| node.ruleset.as_str()).collect();
        assert_eq!(rules, ["sha256:gammel", "sha256:ny"], "the newest last");
        assert!((met.clock_ms - jiff::Timestamp::now().as_millisecond()).abs() < MINUTE);
        stores[0].part().await.unwrap();
        assert_eq!(stores[1].nodes().await.unwrap().nodes.len(), 1);
    }

    #[tokio::test]
    async fn another_workers_mail_and_messages_are_left_alone_until_their_lease_ends() {
        let Some(kit) = Kit::postgres().await else {
            return;
        };
        let stores = [kit.open().await, kit.open().await];
        opened(&stores[0], "en").await;
        assert_eq!(stores[0].claim(1, HOUR, NOW).await.unwrap().len(), 1);
        // The other starts: what the first is sending is not of unknown outcome.
        assert_eq!(stores[1].recover_sending(true, NOW).await.unwrap(), 0);
        assert_eq!(
            stores[1].recover_sending(false, NOW + HOUR).await.unwrap(),
            1
        );
        stored(&stores[0], "inn", &["to", "tre"]).await;
        stored(&stores[0], "annen", &["fire"]).await;
        assert_eq!(
            stores[0]
                .claim_undecided(1, MINUTE, NOW)
                .await
                .unwrap()
                .len(),
            1
        );
        stores[1].release_claims().await.unwrap();
        // Mail of the same source waits, so that nothing is decided before what it answers; another source's does not.
        let claimed = stores[1].claim_undecided(9, MINUTE, NOW).await.unwrap();
        assert_eq!(
            claimed
                .iter()
                .map(|pending| pending.source.as_str())
                .collect::<Vec<_>>(),
            ["annen"]
        );
        assert_eq!(
            stores[0]
                .claim_undecided(9, MINUTE, NOW)
                .await
                .unwrap()
                .len(),
            1,
            "the first goes on with its own"
        );
        assert_eq!(
            stores[1]
                .claim_undecided(9, MINUTE, NOW + 2 * MINUTE)
                .await
                .unwrap()
                .len(),
            1
        );
    }

    #[tokio::test]
    async fn everything_is_copied_from_a_file_to_a_server_though_it_is_interrupted() {
        let Some(kit) = Kit::postgres().await else {
            return;
        };
        let Kit::Postgres(url) = &kit else { return };
        let file = Kit::sqlite();
        let from = file.open().await;
        for at in 0..700 {
            opened(&from, &format!("sak-{at}")).await;
        }
        let left_alone = stored(&from, "inn", &["annet"]).await[0];
        settle(
            &from,
            settlement(left_alone, Outcome::LeftAlone("ikke-avvik".to_owned())),
        )
        .await;
        from.set_setting("live-since-ms", "1").await.unwrap();
        let Kit::Sqlite(dir) = &file else { return };
        let path = dir.path().join("linjevei.db");
        let target = PostgresStore::open(url, None).await.unwrap();
        let looks = std::sync::atomic::AtomicU64::new(0);
        let mut runs = 0;
        let copied = loop {
            // Each run gets a few batches further.
            runs += 1;
            looks.store(0, std::sync::atomic::Ordering::Relaxed);
            let go_on =
                |_: u64, _: u64| looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 40;
            match linjevei::store::copy(&path, &target, &go_on).await {
                Ok(copied) => break copied,
                Err(error) => assert!(error.to_string().contains("goes on"), "{error}"),
            }
        };
        assert!(runs > 2, "{runs}");
        assert!(copied.iter().all(|one| one.from == one.to), "{copied:?}");
        let rows = |table| copied.iter().find(|one| one.table == table).unwrap().to;
        assert_eq!(
            (
                rows("cases"),
                rows("message"),
                rows("outbox"),
                rows("setting")
            ),
            (700, 701, 1400, 1)
        );
        let to = kit.open().await;
        let all = CaseFilter {
            all: true,
            ..CaseFilter::default()
        };
        assert_eq!(
            to.cases(&all).await.unwrap(),
            from.cases(&all).await.unwrap()
        );
        assert_eq!(
            to.messages(false, 9_999).await.unwrap(),
            from.messages(false, 9_999).await.unwrap()
        );
        assert_eq!(
            to.raw(left_alone).await.unwrap(),
            from.raw(left_alone).await.unwrap()
        );
        assert_eq!(to.integrity().await.unwrap(), [""; 0]);
        // Numbers go on where they were.
        assert_eq!(opened(&to, "ny").await.number.count, 701);
        let again = linjevei::store::copy(&path, &target, &|_, _| true).await;
        assert!(
            again
                .unwrap_err()
                .to_string()
                .contains("copy into an empty one")
        );
    }

    #[tokio::test]
    async fn a_server_that_restarts_is_found_again() {
        let Some(mut server) = tokio::task::spawn_blocking(Postgres::start).await.unwrap() else {
            return;
        };
        let url = server.database().await;
        let store: SharedStore = Arc::new(PostgresStore::open(&url, None).await.unwrap());
        stored(&store, "inn", &["en"]).await;
        let mut group = store.group(&[1]).await.unwrap();
        server.stop();
        // What was under way is lost as a whole, and nothing waits for ever.
        group
            .settle(
                settlement(1, Outcome::LeftAlone("x".to_owned())),
                Arc::new(Writer),
            )
            .await
            .unwrap();
        assert!(group.commit().await.unwrap_err().is_temporary());
        let error = store.counts().await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        server.start_again();
        let mut counts = store.counts().await;
        for _ in 0..100 {
            if counts.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            counts = store.counts().await;
        }
        assert_eq!(counts.unwrap().messages, [("pending".to_owned(), 1)]);
        stored(&store, "inn", &["to"]).await;
    }

    #[tokio::test]
    async fn a_session_that_holds_a_row_holds_nobody_for_ever() {
        use sqlx::Connection as _;
        let Some(kit) = Kit::postgres().await else {
            return;
        };
        let Kit::Postgres(url) = &kit else { return };
        let store = kit.open().await;
        let case = opened(&store, "en").await;
        let mut other = sqlx::PgConnection::connect(url).await.unwrap();
        let mut held = other.begin().await.unwrap();
        sqlx::query("SELECT id FROM outbox FOR UPDATE")
            .execute(&mut *held)
            .await
            .unwrap();
        // Claimed rows are left to whoever holds them, at once.
        assert_eq!(store.claim(9, HOUR, NOW).await.unwrap(), []);
        assert_eq!(store.case(case.number).await.unwrap().unwrap().version, 1);
        held.rollback().await.unwrap();
        assert_eq!(store.claim(9, HOUR, NOW).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_server_is_told_without_its_password() {
        let Some(server) = Postgres::shared().await else {
            return;
        };
        let name = server.empty_database().await;
        let password = postgres::PASSWORD;
        server
            .execute(
                "postgres",
                &format!(
                    "CREATE USER {} PASSWORD '{password}'",
                    postgres::WITH_PASSWORD
                ),
            )
            .await;
        let url = |user: &str, database: &str| {
            format!("postgres://{user}@127.0.0.1:{}/{database}", server.port)
        };
        let told = async |url: String, password: Option<&str>| {
            let error = PostgresStore::open(&url, password)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("hemmelig") && !error.contains("feil ord"),
                "{error}"
            );
            error
        };
        let refused = told(url(postgres::WITH_PASSWORD, &name), Some("feil ord")).await;
        assert!(
            refused.contains("refuses this user or password"),
            "{refused}"
        );
        let refused = told(url("ola:feil%20ord", &name), None).await;
        assert!(
            refused.contains("refuses this user or password"),
            "{refused}"
        );
        let refused = told(url("linjevei", "ingen"), None).await;
        assert!(
            refused.contains("there is no such database; create it"),
            "{refused}"
        );
        let refused = told(url(postgres::WITH_PASSWORD, &name), Some(password)).await;
        assert!(refused.contains("may not create tables"), "{refused}");
        let closed = "postgres://linjevei:hemmelig@127.0.0.1:1/x".to_owned();
        let refused = told(closed, None).await;
        assert!(refused.contains("x on 127.0.0.1:1"), "{refused}");
        server.execute("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0").await;
        let refused = told(url("linjevei", "latin"), None).await;
        assert!(refused.contains("ENCODING 'UTF8'"), "{refused}");
        // With the right to create, all is well; the server proves who it is by its certificate.
        server
            .execute(
                &name,
                &format!(
                    "GRANT CREATE ON SCHEMA public TO {}",
                    postgres::WITH_PASSWORD
                ),
            )
            .await;
        let proven = format!(
            "postgres://{}@localhost:{}/{name}?sslmode=verify-full&sslrootcert={}",
            postgres::WITH_PASSWORD,
            server.port,
            server.ca_file.display()
        );
        let report = PostgresStore::examine(&proven, Some(password))
            .await
            .unwrap();
        assert!(
            report.encrypted && !report.tables && report.obstacle().is_none(),
            "{report:?}"
        );
        assert!(report.ahead_ms.abs() < MINUTE);
        PostgresStore::open(&proven, Some(password)).await.unwrap();
        assert!(
            PostgresStore::examine(&proven, Some(password))
                .await
                .unwrap()
                .tables
        );
        let unknown = format!(
            "postgres://linjevei@localhost:{}/{name}?sslmode=verify-full",
            server.port
        );
        let refused = told(unknown, None).await;
        assert!(refused.contains("certificate"), "{refused}");
    }
}
