//! Daily upkeep: does everything add up, deleting content whose time is over, and how it is said to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    reason = "a whole life of a case is one story"
)]

#[path = "support/house.rs"]
mod house;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use house::{FASTLEGE, House, MEDISIN, on_postgres, person};
use linjevei::case::person::Order;
use linjevei::case::{EventKind, State};
use linjevei::clock::Clock as _;
use linjevei::intake::maildir::MaildirSource;
use linjevei::intake::{Candidate, Cursor, Fetched, Listing, MailSource, Position, SourceError};
use linjevei::store::RetentionCounts;
use linjevei::worker::LiveSince;
use linjevei::worker::endpoint;
use linjevei::worker::health::{Examiner, HealthLimits};
use linjevei::worker::reconciling::Report;
use linjevei::worker::retention::{Deleted, Retention};
use linjevei::worker::vitals::Vitals;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const DAY: &str = "2026-03-02";
/// A word that stands in the content only.
const SECRET: &str = "Hemmelighetsfull";

/// Changes the database behind the program's back.
async fn tamper(house: &House, sql: &str) {
    house.tamper(sql).await;
}

fn maildir(house: &House) -> MaildirSource {
    MaildirSource::new("inn", house.dir.path().join("inn"))
}

async fn reconcile(house: &House) -> Report {
    house
        .engine
        .reconcile_source(&mut maildir(house), &|_| ())
        .await
        .unwrap()
}

fn kinds(report: &Report) -> Vec<(&str, i64)> {
    report
        .differences
        .iter()
        .map(|difference| (difference.kind.as_str(), difference.count))
        .collect()
}

/// A case, an answer to it, a copy, and two newsletters.
async fn some_of_each(house: &mut House) {
    let report = house.mail(FASTLEGE, "Melding", "", "avviksmelding medisinsak");
    house.receive(report.as_bytes()).await;
    house.receive(report.as_bytes()).await;
    house.send().await;
    let cited = house.message_id("sak").await;
    let answer = house.mail(
        MEDISIN,
        "Svar",
        &format!("In-Reply-To: <{cited}>\r\n"),
        "foreløpig svar",
    );
    assert_eq!(house.receive(answer.as_bytes()).await.outcome, "joined");
    for _ in 0..2 {
        let news = house.mail("salg@leverandoer.example", "Nytt", "", "nyhetsbrev");
        assert_eq!(house.receive(news.as_bytes()).await.outcome, "left-alone");
    }
}

#[tokio::test]
async fn what_was_seen_is_what_became_of_it() {
    let mut house = House::on(DAY).await;
    some_of_each(&mut house).await;
    let report = reconcile(&house).await;
    assert_eq!(kinds(&report), []);
    let account = &report.account;
    assert_eq!(report.at_source, Some(5));
    assert_eq!(
        (
            account.seen,
            account.opened,
            account.joined,
            account.duplicate,
            account.left_alone,
            account.pending
        ),
        (5, 1, 1, 1, 2, 0)
    );
    let whole = house.engine.reconcile_store(&["inn".to_owned()]).await;
    assert_eq!(kinds(&whole.unwrap()), []);
    let kept = house.engine.store.reconciliations().await.unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|last| last.differences == 0));
}

#[tokio::test]
async fn every_loose_end_is_found() {
    let minute = 60_000;
    for (sql, expected) in [
        (
            "UPDATE message SET outcome = 'pending' WHERE outcome = 'joined'",
            vec![],
        ),
        (
            "UPDATE message SET outcome = 'pending', first_seen_at_ms = first_seen_at_ms - 3700000 WHERE outcome = 'left-alone'",
            vec![("undecided", 2)],
        ),
        (
            "UPDATE message SET case_id = 77 WHERE outcome = 'joined'",
            vec![("without-case", 1)],
        ),
        (
            "UPDATE message SET duplicate_of = 77 WHERE outcome = 'duplicate'",
            vec![("without-original", 1)],
        ),
        (
            "UPDATE message SET reason = '' WHERE outcome = 'left-alone'",
            vec![("without-reason", 2)],
        ),
        (
            "DELETE FROM message_chunk WHERE message_id = (SELECT id FROM message WHERE outcome = 'opened')",
            vec![("without-content", 1)],
        ),
        (
            "UPDATE source_cursor SET seen = seen + 3",
            vec![("unaccounted", 3)],
        ),
    ] {
        let mut house = House::on(DAY).await;
        some_of_each(&mut house).await;
        tamper(&house, sql).await;
        house.clock.set(house.clock.now_ms() + minute);
        let report = reconcile(&house).await;
        assert_eq!(kinds(&report), expected, "{sql}");
        let kept = house.engine.store.reconciliations().await.unwrap();
        assert_eq!(kept[0].differences, report.difference());
    }
    for (sql, expected) in [
        (
            "DELETE FROM outbox WHERE kind = 'kvittering'",
            ("without-acknowledgement", 1),
        ),
        ("UPDATE cases SET message_id = 77", ("without-message", 1)),
    ] {
        let mut house = House::on(DAY).await;
        some_of_each(&mut house).await;
        tamper(&house, sql).await;
        let whole = house.engine.reconcile_store(&["inn".to_owned()]).await;
        assert_eq!(kinds(&whole.unwrap()), [expected], "{sql}");
    }
}

/// A Maildir in which something happens at the first look, and of which one message cannot be read.
struct Wayward {
    inner: MaildirSource,
    at_first_look: Option<Box<dyn FnOnce() + Send>>,
    unreadable: String,
}

#[async_trait::async_trait]
impl MailSource for Wayward {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn list(&mut self, cursor: &Cursor, limit: usize) -> Result<Listing, SourceError> {
        let listing = self.inner.list(cursor, limit).await;
        if let Some(happens) = self.at_first_look.take() {
            happens();
        }
        listing
    }

    async fn fetch(&mut self, candidates: &[Candidate]) -> Result<Vec<Fetched>, SourceError> {
        let fetched = self.inner.fetch(candidates).await?;
        let spoil = |fetched| match fetched {
            Fetched::Message(raw) if raw.position.key == self.unreadable => {
                Fetched::Unreadable(raw.position, "it cannot be read".to_owned())
            }
            other => other,
        };
        Ok(fetched.into_iter().map(spoil).collect())
    }

    async fn treat(&mut self, ours: &[Position]) -> Result<Vec<Position>, SourceError> {
        self.inner.treat(ours).await
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        self.inner.wait(at_most).await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_is_told_and_one_that_comes_or_goes_meanwhile_is_not() {
    let mut house = House::on(DAY).await;
    some_of_each(&mut house).await;
    let folder = house.dir.path().join("inn/new");
    let drop_mail = |name: &str, text: &str| {
        let mail = house.mail("ny@leverandoer.example", name, "", text);
        std::fs::write(folder.join(name), mail).unwrap();
    };
    drop_mail("bad.test", "nyhetsbrev 1");
    drop_mail("going.test", "nyhetsbrev 2");
    let newcomer = house.mail("ny@leverandoer.example", "ny", "", "nyhetsbrev 3");
    let at_first_look = {
        let folder = folder.clone();
        move || {
            std::fs::write(folder.join("coming.test"), newcomer).unwrap();
            std::fs::remove_file(folder.join("going.test")).unwrap();
        }
    };
    let mut source = Wayward {
        inner: maildir(&house),
        at_first_look: Some(Box::new(at_first_look)),
        unreadable: "bad.test".to_owned(),
    };
    let report = house.engine.reconcile_source(&mut source, &|_| ()).await;
    let report = report.unwrap();
    assert_eq!(kinds(&report), [("not-stored", 1)]);
    assert_eq!(report.differences[0].positions, ["bad.test"]);
    // Mended: an hour later it adds up.
    source.unreadable.clear();
    let report = house.engine.reconcile_source(&mut source, &|_| ()).await;
    assert_eq!(kinds(&report.unwrap()), []);
}

const RETENTION: Retention = Retention {
    left_alone_keep_days: 30,
    closed_cases_keep_days: Some(365),
};

async fn delete(house: &House) -> Deleted {
    let deleted = house.engine.delete_expired(&RETENTION, &|| false).await;
    deleted.unwrap()
}

/// Whether the word stands anywhere in the database: in the files of `SQLite`, in any row of `PostgreSQL`.
async fn in_database(house: &House, word: &str) -> bool {
    if on_postgres() {
        let (rows,): (String,) = house
            .row(
                "SELECT string_agg(query_to_xml(format('SELECT t::text AS row FROM %I t', tablename), true, true, '')::text, '') \
                 FROM pg_tables WHERE schemaname = 'public'",
            )
            .await;
        let mut bytes = String::new();
        for byte in word.bytes() {
            write!(bytes, "{byte:02x}").unwrap();
        }
        return rows.contains(word) || rows.contains(&bytes);
    }
    tamper(house, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    ["linjevei.db", "linjevei.db-wal"].iter().any(|name| {
        let bytes = std::fs::read(house.dir.path().join(name)).unwrap_or_default();
        bytes
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    })
}

#[tokio::test]
async fn content_of_mail_left_alone_goes_after_30_days_and_its_place_hash_and_reason_stay() {
    let mut house = House::on(DAY).await;
    let news = house.mail(
        "salg@leverandoer.example",
        "Nytt",
        "",
        &format!("nyhetsbrev {SECRET}"),
    );
    let row = house.receive(news.as_bytes()).await;
    assert_eq!(row.outcome, "left-alone");
    house.go_to("2026-03-31");
    assert_eq!(delete(&house).await, Deleted::default());
    assert!(in_database(&house, SECRET).await);
    house.go_to("2026-04-02");
    let due = house.engine.retention_counts(&RETENTION).await.unwrap();
    assert_eq!(due.left_alone_due, 1);
    assert_eq!(
        delete(&house).await,
        Deleted {
            messages: 1,
            cases: 0
        }
    );
    assert_eq!(delete(&house).await, Deleted::default());
    for word in [SECRET, "leverandoer.example"] {
        assert!(!in_database(&house, word).await, "{word} is still there");
    }
    let after = house.engine.store.message(row.id).await.unwrap().unwrap();
    assert_eq!(
        (after.outcome.as_str(), &after.reason, after.sender_domain),
        ("left-alone", &row.reason, String::new())
    );
    assert_eq!(house.engine.store.raw(row.id).await.unwrap(), None);
    // The rules' reasons stay, too.
    assert!(house.engine.store.verdict(row.id).await.unwrap().is_some());
    assert_eq!(kinds(&reconcile(&house).await), []);
    // Neither the position nor the hash is forgotten.
    house.check().await;
    let copy = house.receive(news.as_bytes()).await;
    assert_eq!(
        (copy.outcome.as_str(), copy.duplicate_of),
        ("duplicate", Some(row.id))
    );
    let counts = house.engine.retention_counts(&RETENTION).await.unwrap();
    assert_eq!(
        counts,
        RetentionCounts {
            messages_deleted: 1,
            ..RetentionCounts::default()
        }
    );
}

#[tokio::test]
async fn content_of_a_case_goes_a_set_time_after_its_end_and_the_history_stays() {
    let mut house = House::on(DAY).await;
    let words = format!("avviksmelding medisinsak {SECRET}, vår ref. 2026/188");
    let attached = format!(
        "{words}\r\n--d\r\nContent-Type: application/rtf; name=a.rtf\r\n\r\n{{\\rtf1 {SECRET} i vedlegget}}\r\n--d--"
    );
    let report = house.mail(
        FASTLEGE,
        "Melding",
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n--d\r\n",
        &attached,
    );
    let opened = house.receive(report.as_bytes()).await;
    let texts = house
        .engine
        .store
        .attachment_texts(opened.id)
        .await
        .unwrap();
    assert_eq!(texts.len(), 1, "the text of the attachment is kept");
    let copy = house.receive(report.as_bytes()).await;
    house.send().await;
    let cited = house.message_id("sak").await;
    let open = house
        .report("avviksmelding kirurgisak Forblirhemmelig")
        .await;
    let case = house.case(&opened.case.unwrap()).await;
    let number = case.number;
    let answer = house.mail(
        MEDISIN,
        "Svar",
        &format!("In-Reply-To: <{cited}>\r\n"),
        &format!("foreløpig svar {SECRET}"),
    );
    let joined = house.receive(answer.as_bytes()).await;
    house.send().await;
    let verdict = house.engine.store.verdict(opened.id).await.unwrap();
    assert!(verdict.unwrap().contains(FASTLEGE));
    house.go_to("2026-04-01");
    assert_eq!(house.order(number, Order::Close).await.state, State::Closed);
    let before = house.history(&case).await;
    // A year after the end, not after the beginning; looking at it changes nothing.
    house.go_to("2027-03-31");
    assert_eq!(delete(&house).await, Deleted::default());
    house
        .engine
        .note_shown(number, &person(), serde_json::json!({}))
        .await
        .unwrap();
    house.go_to("2027-04-02");
    let due = house.engine.retention_counts(&RETENTION).await.unwrap();
    assert_eq!(due.cases_due, 1);
    assert_eq!(
        delete(&house).await,
        Deleted {
            messages: 0,
            cases: 1
        }
    );
    assert_eq!(delete(&house).await, Deleted::default());

    for word in [SECRET, "2026/188"] {
        assert!(!in_database(&house, word).await, "{word} is still there");
    }
    let case = house.case(&number.to_string()).await;
    assert_eq!(
        (case.state, case.kind.as_str(), case.destination.as_str()),
        (State::Closed, "avvik", "medisin")
    );
    assert_eq!(
        (case.reporter_address, case.reference),
        (String::new(), String::new())
    );
    for id in [opened.id, copy.id, joined.id] {
        assert_eq!(house.engine.store.raw(id).await.unwrap(), None);
    }
    let verdict = house
        .engine
        .store
        .verdict(opened.id)
        .await
        .unwrap()
        .unwrap();
    assert!(!verdict.contains(FASTLEGE) && verdict.contains("til-medisin"));
    let history = house.history(&house.case(&number.to_string()).await).await;
    assert_eq!(&history[..before.len()], &before[..]);
    let last: Vec<EventKind> = history[before.len()..]
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(last, [EventKind::Shown, EventKind::ContentDeleted]);
    // A mail without bytes cannot be sent again.
    let outbox = house.engine.store.outbox(true, 100).await.unwrap();
    let mail = outbox
        .iter()
        .find(|row| row.case.as_deref() == Some(number.to_string().as_str()))
        .unwrap();
    assert!(!house.engine.store.hold_mail(mail.id).await.unwrap());

    // The other case is open: nothing of it goes, however old.
    assert!(in_database(&house, "Forblirhemmelig").await);
    assert!(
        house
            .engine
            .store
            .raw(open.message_id)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(kinds(&reconcile(&house).await), []);
    // A late answer to the closed case still finds it.
    let late = house.mail(
        MEDISIN,
        "Svar",
        &format!("In-Reply-To: <{cited}>\r\n"),
        "foreløpig svar",
    );
    assert_eq!(
        house.receive(late.as_bytes()).await.case,
        Some(number.to_string())
    );
}

#[tokio::test]
async fn without_a_time_for_cases_they_are_kept() {
    let mut house = House::on(DAY).await;
    let case = house.report("avviksmelding medisinsak").await;
    house.order(case.number, Order::Close).await;
    house.go_to("2066-03-02");
    let retention = Retention {
        closed_cases_keep_days: None,
        ..RETENTION
    };
    let deleted = house.engine.delete_expired(&retention, &|| false).await;
    assert_eq!(deleted.unwrap(), Deleted::default());
    assert!(
        house
            .engine
            .store
            .raw(case.message_id)
            .await
            .unwrap()
            .is_some()
    );
}

/// One request over a socket: status and body.
async fn ask(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn health_is_told_by_http_and_tells_no_personal_data() {
    let mut house = House::on(DAY).await;
    house.engine.live_since = LiveSince {
        at_ms: 0,
        sources: Arc::new(["inn".to_owned()].into()),
    };
    let vitals = Vitals::default();
    let pulse = vitals.pulse("decide", Duration::from_hours(1));
    let examiner = Examiner {
        engine: house.engine.clone(),
        vitals: vitals.clone(),
        fellows: linjevei::worker::fellows::Fellows::default(),
        limits: HealthLimits {
            check_age: BTreeMap::from([("inn".to_owned(), Duration::from_mins(15))]),
            unsent_age: Duration::from_hours(2),
        },
        started_at_ms: house.clock.now_ms(),
        counted: linjevei::worker::health::Counted::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(endpoint::serve(listener, examiner));
    let health = async || {
        let (status, body) = ask(port, "GET /healthz").await;
        let json: Value = serde_json::from_str(&body).unwrap();
        (status, json)
    };
    let later = |minutes: i64| house.clock.set(house::morning(DAY) + minutes * 60_000);

    // Never checked: well for as long as a check may take.
    assert_eq!(health().await.0, 200);
    later(16);
    let (status, json) = health().await;
    assert_eq!((status, json["status"].as_str()), (503, Some("failing")));
    assert!(json["problems"][0].as_str().unwrap().contains("source inn"));
    later(0);
    some_of_each(&mut house).await;
    house.send().await;
    reconcile(&house).await;
    let (status, json) = health().await;
    assert_eq!(status, 200, "{json}");
    assert_eq!(json["sources"][0]["age_secs"], 0);
    assert_eq!(json["reconciliation"][0]["differences"], 0);
    let later = |minutes: i64| house.clock.set(house::morning(DAY) + minutes * 60_000);
    later(14);
    assert_eq!(health().await.0, 200);
    later(16);
    assert_eq!(health().await.0, 503);

    // Mail that waits too long.
    let report = house.mail(FASTLEGE, SECRET, "", "avviksmelding kirurgisak");
    house.receive(report.as_bytes()).await;
    assert_eq!(health().await.0, 200);
    let later = |minutes: i64| house.clock.set(house::morning(DAY) + minutes * 60_000);
    later(16 + 119);
    house.check().await;
    assert_eq!(health().await.0, 200);
    later(16 + 121);
    house.check().await;
    let (status, json) = health().await;
    assert_eq!(status, 503);
    assert_eq!(json["oldest_unsent_age_secs"], 121 * 60);
    house.send().await;
    assert_eq!(health().await.0, 200);

    // What does not add up.
    tamper(&house, "UPDATE source_cursor SET seen = seen + 1").await;
    reconcile(&house).await;
    let (status, json) = health().await;
    assert_eq!(status, 503);
    assert!(
        json["problems"][0]
            .as_str()
            .unwrap()
            .contains("linjevei reconcile")
    );

    let (status, metrics) = ask(port, "GET /metrics").await;
    assert_eq!(status, 200);
    for line in [
        "linjevei_healthy 0",
        "linjevei_messages{source=\"inn\",outcome=\"opened\"} 2",
        "linjevei_messages{source=\"inn\",outcome=\"left-alone\"} 2",
        "linjevei_messages_seen{source=\"inn\"} 7",
        "linjevei_cases{state=\"sent\"} 2",
        "linjevei_oldest_unsent_age_seconds 0",
        "linjevei_reconciliation_differences{source=\"inn\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    // A busy machine may take its second.
    assert!(metrics.contains("\nlinjevei_loop_age_seconds{loop=\"decide\"} "));
    // Every line is a comment or a name, labels and a number.
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("linjevei_") && value.parse::<i64>().is_ok(),
            "{line}"
        );
    }
    let told = format!("{json}{metrics}");
    for word in ["@", SECRET, "example", "SAK-"] {
        assert!(!told.contains(word), "{word}: {told}");
    }
    assert_eq!(ask(port, "GET /").await.0, 404);
    assert_eq!(ask(port, "POST /metrics").await.0, 405);
    assert_eq!(ask(port, "HEAD /metrics").await, (200, String::new()));
    pulse.end();
    server.abort();
}
