//! Faults on purpose: each call of the store fails once, each answer of the database is lost once, the disk is full at each
//! write, another process holds the database, the clock jumps, names cannot be found. Each ends in what is promised.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::duplicate_mod,
    reason = "each test is one story; its helpers bring the same small parts"
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/house.rs"]
mod house;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/worker.rs"]
mod worker;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::process::Command;
use std::time::Duration;

use checks::{
    count, each_case_has_one_acknowledgement_decision, each_message_has_one_outcome,
    numbers_have_no_gap,
};
use house::{House, MEDISIN, morning};
use linjevei::calendar::{days_between, oslo_at, oslo_day};
use linjevei::case::{Policy, Reports};
use linjevei::clock::{Clock as _, OFFSET_VARIABLE};
use linjevei::failpoint;
use linjevei::intake::maildir::MaildirSource;
use linjevei::message::{self, Limits};
use linjevei::worker::fellows::Fellows;
use linjevei::worker::health::{Examiner, HealthLimits};
use linjevei::worker::vitals::Vitals;
use smtp::{Act, Script, SmtpServer};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;
use worker::{AT_MOST, Installation, runtime, said, settings};

/// Failpoints are those of the whole program: one story at a time.
static ALONE: Mutex<()> = Mutex::const_new(());
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Does a step until it succeeds; it fails at most once.
macro_rules! persist {
    ($step:expr) => {{
        let mut done = $step.await;
        if let Err(error) = &done {
            temporary(error);
            done = $step.await;
        }
        done.unwrap()
    }};
}

fn temporary(error: &impl Display) {
    let text = error.to_string();
    assert!(
        text.contains("cannot take it now"),
        "not a fault that passes: {text}"
    );
}

/// What a life of a few cases has come to.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    messages: Vec<(String, String)>,
    cases: Vec<(String, String, String)>,
    /// In no order: that differs with the fault.
    outbox: Vec<String>,
    /// How often each mail went out.
    sent: BTreeMap<String, usize>,
}

struct Life {
    house: House,
    arrived: usize,
}

impl Life {
    async fn new() -> Self {
        let policy = Policy {
            reports: Reports {
                to: Some("avdelingen@so-hf.example".to_owned()),
                ..Reports::default()
            },
            ..Policy::default()
        };
        Self {
            house: House::alike("2026-03-02", policy).await,
            arrived: 0,
        }
    }

    fn arrives(&mut self, mail: &str) {
        self.arrived += 1;
        let name = format!("inn/new/{:06}.test", self.arrived);
        fs::write(self.house.dir.path().join(name), mail).unwrap();
    }

    fn report(&self, number: usize, words: &str) -> String {
        let from = format!("lege{number}@legesenter{number}.example");
        let mail = self.house.mail(&from, "Melding", "", words);
        mail.replace("<0.test@", &format!("<{number}.test@"))
    }

    fn later(&self, ms: i64) {
        self.house.clock.set(self.house.clock.now_ms() + ms);
    }

    /// The worker's loops, once each; each is done again when it fails.
    async fn work(&self) {
        let engine = &self.house.engine;
        let mut source = MaildirSource::new("inn", self.house.dir.path().join("inn"));
        persist!(engine.take_in(&mut source, &|_| ()));
        persist!(engine.decide_pending());
        persist!(engine.treat(&mut source));
        persist!(engine.chase());
        persist!(engine.report());
        persist!(engine.send_due(&|| false));
        persist!(engine.reconcile_source(&mut source, &|_| ()));
    }

    /// What hangs in the air after a fault is picked up: claims run out, doubtful mail is tried once more.
    async fn work_on(&self) {
        for _ in 0..2 {
            self.work().await;
            self.later(31 * MINUTE_MS);
        }
    }

    async fn live(&mut self) {
        let mails = [
            self.report(1, "avviksmelding medisinsak, epikrisen mangler"),
            self.report(2, "avviksmelding kirurgisak, timen ble borte"),
            self.report(3, "nyhetsbrev"),
        ];
        for mail in &mails {
            self.arrives(mail);
        }
        self.arrives(&mails[0]);
        self.work_on().await;
        // The clinic answers the first; the other is reminded of the second.
        let to_medisin = self
            .house
            .sent()
            .into_iter()
            .find(|mail| mail.to.iter().any(|to| to.address == MEDISIN));
        let id = to_medisin.unwrap().message_id.unwrap();
        let answer = self.house.mail(
            MEDISIN,
            "Sv: sak",
            &format!("In-Reply-To: <{id}>\r\n"),
            "Her er vårt endelig svar.",
        );
        self.arrives(&answer.replace("<0.test@", "<svar.test@"));
        self.work_on().await;
        self.house.go_to("2026-04-07");
        self.work_on().await;
        self.work().await;
    }

    async fn ending(&self) -> Ending {
        let store = &self.house.engine.store;
        let messages = store.messages(false, u32::MAX).await.unwrap();
        let messages = messages
            .into_iter()
            .map(|row| (row.outcome, row.case.unwrap_or_default()));
        let cases = self.house.cases().await.into_iter();
        let cases = cases.map(|case| {
            (
                case.number.to_string(),
                case.state.id().to_owned(),
                case.reminder.id().to_owned(),
            )
        });
        let mut outbox = self.house.outbox().await;
        // A digest of a day on which something was late may have less to say, or nothing.
        outbox.retain(|mail| !mail.starts_with("oversikt"));
        outbox.sort();
        let mut sent: BTreeMap<String, usize> = BTreeMap::new();
        for mail in self.house.sent() {
            let id = mail.message_id.unwrap();
            *sent.entry(id).or_default() += 1;
        }
        assert!(sent.values().all(|times| *times == 1), "{sent:#?}");
        sent.retain(|id, _| !id.starts_with("oversikt"));
        let mut messages: Vec<_> = messages.collect();
        messages.sort();
        Ending {
            messages,
            cases: cases.collect(),
            outbox,
            sent,
        }
    }
}

/// Lives once for every call, which then fails, until there is no further call; how many there were.
async fn with_each_failing(point: &'static str) -> u64 {
    failpoint::arm("").unwrap();
    let mut life = Life::new().await;
    life.live().await;
    let expected = life.ending().await;
    assert_eq!(expected.cases.len(), 2, "{expected:#?}");
    assert_eq!(
        expected
            .outbox
            .iter()
            .filter(|mail| mail.starts_with("purring"))
            .count(),
        1
    );
    for call in 1.. {
        failpoint::arm("").unwrap();
        let mut life = Life::new().await;
        failpoint::arm(&format!("{point}=error@{call}")).unwrap();
        life.live().await;
        let reached = failpoint::passes(point) >= call;
        failpoint::arm("").unwrap();
        if !reached {
            return call - 1;
        }
        assert_eq!(life.ending().await, expected, "{point} {call}");
    }
    unreachable!("there is an end to every life")
}

#[tokio::test]
async fn whichever_call_of_the_store_fails_the_end_is_the_same() {
    let _alone = ALONE.lock().await;
    let begun = std::time::Instant::now();
    let calls = with_each_failing("store.call").await;
    eprintln!(
        "{calls} calls failed, one at a time, in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(calls > 50, "{calls}");
}

#[tokio::test]
async fn whichever_answer_of_the_database_is_lost_the_end_is_the_same() {
    let _alone = ALONE.lock().await;
    let begun = std::time::Instant::now();
    let answers = with_each_failing("store.answer").await;
    eprintln!(
        "{answers} answers were lost, one at a time, in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(answers > 20, "{answers}");
}

/// Rules that compile at once.
/// What cannot be stored of one message must not hold back those that are stored together with it.
#[tokio::test]
async fn a_message_that_the_database_refuses_holds_back_no_other() {
    let _alone = ALONE.lock().await;
    failpoint::arm("").unwrap();
    let mut life = Life::new().await;
    life.house
        .raw("CREATE UNIQUE INDEX once ON cases (reporter_address)")
        .await
        .unwrap();
    for (number, words) in [
        (1, "Vi melder et avvik: epikrisen mangler."),
        (2, "Vi melder et avvik: henvisningen ble borte."),
        (
            2,
            "Vi melder et avvik: feil i medisinlisten ved utskrivning.",
        ),
        (3, "Vi melder et avvik: ingen svar på prøven."),
    ] {
        let report = life.report(number, words);
        let own = format!("<{}.{number}.test@", life.arrived);
        life.arrives(&report.replace(&format!("<{number}.test@"), &own));
    }
    let engine = &life.house.engine;
    let mut source = MaildirSource::new("inn", life.house.dir.path().join("inn"));
    engine.take_in(&mut source, &|_| ()).await.unwrap();
    let outcomes = async || -> Vec<String> {
        let rows = engine.store.messages(false, 9).await.unwrap();
        let mut outcomes: Vec<String> = rows.into_iter().map(|row| row.outcome).collect();
        outcomes.sort();
        outcomes
    };
    assert_eq!(engine.decide_pending().await.unwrap(), 3);
    assert_eq!(
        outcomes().await,
        ["opened", "opened", "opened", "pending"],
        "one of the same reporter is refused"
    );
    // It is tried again, alone, and is decided once the database takes it.
    assert_eq!(engine.decide_pending().await.unwrap(), 0);
    life.house.raw("DROP INDEX once").await.unwrap();
    assert_eq!(engine.decide_pending().await.unwrap(), 1);
    assert_eq!(outcomes().await, ["opened"; 4]);
    let numbers: Vec<u64> = life
        .house
        .cases()
        .await
        .iter()
        .map(|case| case.number.count)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4], "without a gap");
}

fn with_small_rules(more: &str) -> Installation {
    let rules = format!("{}/rules/ostfold", worker::repository().display());
    let installation = Installation::new(&format!("{}{more}", settings().replace(&rules, "rules")));
    fs::create_dir(installation.path().join("rules")).unwrap();
    fs::write(installation.path().join("rules/regler.toml"), house::RULES).unwrap();
    installation
}

fn letter(number: usize) -> String {
    let now = jiff::Zoned::now() + jiff::SignedDuration::from_mins(1);
    let date = jiff::fmt::rfc2822::to_string(&now).unwrap();
    format!(
        "From: <lege{number}@legesenter{number}.example>\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: Melding\r\nDate: {date}\r\n\
         Message-ID: <{number}.feil@legesenter{number}.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         avviksmelding medisinsak nummer {number}\r\n"
    )
}

fn all_is_well(installation: &Installation, cases: usize) {
    let (messages, all, outbox) = (
        installation.messages(),
        installation.cases(),
        installation.outbox(),
    );
    each_message_has_one_outcome(&messages);
    numbers_have_no_gap(&all, &messages);
    each_case_has_one_acknowledgement_decision(&all, &outbox);
    assert_eq!((all.len(), count(&messages, "opened")), (cases, cases));
}

#[test]
fn another_process_that_holds_the_database_makes_nothing_happen_twice() {
    let smtp = SmtpServer::start(Script::default());
    let installation = with_small_rules(&format!(
        "\n[[maildir]]\nname = \"inn\"\npath = \"inn\"\npoll_secs = 1\n\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
        smtp.addr.port()
    ));
    for name in ["inn/new", "inn/cur", "inn/tmp"] {
        fs::create_dir_all(installation.path().join(name)).unwrap();
    }
    let worker = installation.start_and_wait();
    // The mail is taken, and before the server says so, somebody takes the database for longer than anybody waits for it.
    smtp.set(Script {
        end: Act::Slow(Duration::from_secs(2)),
        ..Script::default()
    });
    fs::write(installation.path().join("inn/new/1.test"), letter(1)).unwrap();
    installation.until("the mail server has the mail", |_| {
        !smtp.received().is_empty()
    });
    let runtime = runtime();
    let mut holder = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(installation.database());
        let mut holder = options
            .busy_timeout(Duration::from_secs(10))
            .connect()
            .await
            .unwrap();
        sqlx::query("BEGIN EXCLUSIVE")
            .execute(&mut holder)
            .await
            .unwrap();
        holder
    });
    fs::write(installation.path().join("inn/new/2.test"), letter(2)).unwrap();
    fs::write(installation.path().join("3.eml"), letter(3)).unwrap();
    let told = installation.refused(75, ["ingest", "3.eml"]);
    assert!(
        told.contains("locked") && told.contains("try again"),
        "{told}"
    );
    assert!(
        worker.wait_for_line("could not be stored; trying again", AT_MOST),
        "{:#?}",
        worker.log()
    );
    runtime.block_on(async {
        sqlx::query("ROLLBACK").execute(&mut holder).await.unwrap();
        holder.close().await.unwrap();
    });
    installation.ok(["ingest", "3.eml"]);
    smtp.set(Script::default());
    installation.until_worked_off(3);
    installation.until("all is sent", |this| {
        this.outbox().iter().all(|row| row["state"] == "sent")
    });
    worker.stop();
    all_is_well(&installation, 3);
    let outbox = installation.outbox();
    assert!(
        outbox
            .iter()
            .all(|row| row["unknown_outcomes"] == 0 && row["attempts"] == 1),
        "{outbox:#?}"
    );
    let mut ids: Vec<String> = smtp
        .received()
        .iter()
        .map(|mail| {
            message::parse(&mail.bytes, &Limits::default())
                .unwrap()
                .message_id
                .unwrap()
        })
        .collect();
    ids.sort();
    let mails = ids.len();
    ids.dedup();
    assert_eq!((ids.len(), mails), (outbox.len(), outbox.len()));
}

#[test]
fn a_disk_that_is_full_at_any_write_leaves_nothing_half_done() {
    let installation = with_small_rules("\n[send_maildir]\npath = \"sendt\"\n");
    installation.ok(["cases", "list"]);
    fs::write(installation.path().join("en.eml"), letter(1)).unwrap();
    // Somebody who reads keeps the write-ahead log from being emptied: it only grows, up to the limit on the size of files.
    let runtime = runtime();
    let reader = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(installation.database());
        let mut reader = options.connect().await.unwrap();
        sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
        sqlx::query("SELECT count(*) FROM message")
            .fetch_all(&mut reader)
            .await
            .unwrap();
        reader
    });
    let mut refused = 0;
    for run in 0.. {
        let log = installation.database().with_extension("db-wal");
        let used = fs::metadata(log).map_or(0, |file| file.len().div_ceil(512));
        // A page more than there is, then two: every write is the first one for which there is no room.
        let room = used + 9 * (run % 40) + 1;
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            r#"trap "" XFSZ; ulimit -f "$1"; exec "$2" ingest en.eml"#,
            "sh",
        ]);
        shell.args([&room.to_string(), env!("CARGO_BIN_EXE_linjevei")]);
        shell.env("LINJEVEI_CONFIG", installation.path().join("linjevei.toml"));
        // What a run has claimed is free a minute later.
        shell.env(
            OFFSET_VARIABLE,
            (i64::try_from(run).unwrap() * 2 * MINUTE_MS).to_string(),
        );
        let output = shell.current_dir(installation.path()).output().unwrap();
        match output.status.code() {
            Some(0) => break,
            Some(75) => refused += 1,
            _ => panic!("{}", said(&output)),
        }
        let cases: i64 = installation.number("SELECT count(*) FROM cases");
        let mails: i64 = installation.number("SELECT count(*) FROM outbox");
        let opened: i64 =
            installation.number("SELECT count(*) FROM message WHERE outcome = 'opened'");
        assert!(
            cases == opened && mails == 2 * cases,
            "{cases} cases, {mails} mails, {opened} messages opened"
        );
        assert!(run < 200, "it never succeeds: {}", said(&output));
    }
    runtime.block_on(reader.close()).unwrap();
    eprintln!("{refused} writes failed before there was room");
    assert!(refused > 5, "{refused}");
    all_is_well(&installation, 1);
    assert_eq!(installation.number("SELECT count(*) FROM message"), 1);
}

#[test]
fn a_clock_that_was_a_year_ahead_at_the_first_start_does_not_leave_a_year_of_mail_alone() {
    let installation = with_small_rules(
        "\n[[maildir]]\nname = \"inn\"\npath = \"inn\"\npoll_secs = 1\n\n[send_maildir]\npath = \"sendt\"\n",
    );
    for name in ["inn/new", "inn/cur", "inn/tmp"] {
        fs::create_dir_all(installation.path().join(name)).unwrap();
    }
    let worker = installation.start_with(&[(OFFSET_VARIABLE, (365 * DAY_MS).to_string())]);
    worker.expect_line("linjevei is running", AT_MOST);
    worker.stop();
    let worker = installation.start_and_wait();
    fs::write(installation.path().join("inn/new/1.test"), letter(1)).unwrap();
    installation.until_worked_off(1);
    worker.stop();
    all_is_well(&installation, 1);
}

#[test]
fn names_that_cannot_be_found_lose_nothing() {
    let good = SmtpServer::start(Script::default());
    let smtp = |host: &str, tls: &str, port: u16| {
        format!("\n[smtp]\nhost = \"{host}\"\nport = {port}\ntls = \"{tls}\"\n")
    };
    let imap = "\n[[imap]]\nname = \"post\"\nhost = \"does-not-exist.invalid\"\nuser = \"post\"\npassword_file = \"password\"\npoll_secs = 1\n";
    let installation = with_small_rules(&format!(
        "{imap}{}",
        smtp("does-not-exist.invalid", "starttls", 587)
    ));
    installation.secret("password", "hemmelig");
    fs::write(installation.path().join("en.eml"), letter(1)).unwrap();
    installation.ok(["ingest", "en.eml"]);
    let worker = installation.start_and_wait();
    for line in ["the source could not be checked", "mail not sent yet"] {
        worker.expect_line(line, AT_MOST);
    }
    let (status, _, log) = worker.stop();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert!(
        log.iter().any(|line| line.contains("cannot be found")),
        "{log:#?}"
    );
    for row in installation.outbox() {
        assert_eq!(
            (&row["state"], &row["unknown_outcomes"]),
            (&"queued".into(), &0.into()),
            "{row}"
        );
    }
    // The names are known again.
    let rules = format!("{}/rules/ostfold", worker::repository().display());
    installation.set(&format!(
        "{}{}",
        settings().replace(&rules, "rules"),
        smtp("127.0.0.1", "none", good.addr.port())
    ));
    for row in installation.outbox() {
        installation.ok(["outbox", "retry", &row["id"].to_string()]);
    }
    let worker = installation.start_and_wait();
    installation.until("all is sent", |this| {
        this.outbox().iter().all(|row| row["state"] == "sent")
    });
    worker.stop();
    all_is_well(&installation, 1);
    assert_eq!(good.received().len(), installation.outbox().len());
}

/// Everything that the loops do, at this moment; nothing fails.
async fn look(life: &Life) {
    life.work().await;
    life.house
        .engine
        .reconcile_store(&["inn".to_owned()])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_a_year_and_over_summer_time_loses_no_due_date() {
    let _alone = ALONE.lock().await;
    // Due on 29 March, a Sunday on which summer time begins.
    let mut life = Life::new().await;
    life.house.go_to("2026-02-27");
    let mut due = Vec::new();
    for number in 1..=4 {
        let mail = life.report(
            number,
            &format!("avviksmelding medisinsak, nummer {number} av fire"),
        );
        life.arrives(&mail);
        life.later(-MINUTE_MS);
        life.work_on().await;
    }
    for case in life.house.cases().await {
        assert_eq!(days_between(case.received_day, case.due_day.unwrap()), 30);
        due.push(case.due_day);
    }
    let true_time = life.house.clock.now_ms();
    let spring = oslo_at("2026-03-29".parse().unwrap(), 1);
    for away in [-DAY_MS, -365 * DAY_MS, DAY_MS, -DAY_MS, -366 * DAY_MS] {
        life.house.clock.set(true_time + away);
        look(&life).await;
    }
    for minutes in [59, 61, 119, 121, 60, 180, 58] {
        life.house.clock.set(spring + minutes * MINUTE_MS);
        look(&life).await;
    }
    assert_eq!(
        life.house.count("purring").await,
        0,
        "on a Sunday nobody is reminded"
    );
    let cases = life.house.cases().await;
    assert!(
        cases.iter().map(|case| case.due_day).eq(due),
        "the promised day never moves"
    );
    life.house
        .clock
        .set(oslo_at("2026-03-30".parse().unwrap(), 8));
    look(&life).await;
    assert_eq!(life.house.count("purring").await, 4);
    // A year back and forth, a day back and forth, and the hour that autumn has twice.
    let now = life.house.clock.now_ms();
    let autumn = oslo_at("2026-10-25".parse().unwrap(), 1);
    for at in [
        now - 365 * DAY_MS,
        now,
        now + DAY_MS,
        now - DAY_MS,
        now,
        now + 365 * DAY_MS,
        now,
    ]
    .into_iter()
    .chain([90, 150, 119, 200].map(|minutes| autumn + minutes * MINUTE_MS))
    {
        life.house.clock.set(at);
        look(&life).await;
    }
    assert_eq!(life.house.count("purring").await, 4, "no second reminder");
    assert!(life.ending().await.sent.values().all(|times| *times == 1));
    let outbox = life.house.outbox().await;
    assert!(
        outbox.iter().all(|mail| mail.ends_with(" sent")),
        "{outbox:?}"
    );
}

#[tokio::test]
async fn what_was_put_off_under_a_wrong_clock_is_done_soon_after_it_is_right_again() {
    let _alone = ALONE.lock().await;
    let mut life = Life::new().await;
    let now = life.house.clock.now_ms();
    // A year ahead a report comes, and the mail server is away: here a file lies where the folder for mail should be.
    life.house.clock.set(now + 365 * DAY_MS);
    let way_out = life.house.dir.path().join("ut");
    fs::write(&way_out, "").unwrap();
    let mail = life.report(1, "avviksmelding medisinsak");
    life.arrives(&mail);
    look(&life).await;
    let examiner = Examiner {
        engine: life.house.engine.clone(),
        vitals: Vitals::default(),
        fellows: Fellows::default(),
        limits: HealthLimits {
            check_age: [("inn".to_owned(), Duration::from_hours(1))].into(),
            unsent_age: Duration::from_hours(100),
        },
        started_at_ms: now,
        counted: linjevei::worker::health::Counted::default(),
    };
    assert_eq!(
        examiner.examine().await.unwrap().problems,
        Vec::<String>::new()
    );
    fs::remove_file(&way_out).unwrap();

    // The clock is right again. A check in the future proves nothing.
    life.house.clock.set(now);
    let problems = examiner.examine().await.unwrap().problems;
    assert_eq!(
        problems,
        ["source inn: no check was completed since the clock was set back"]
    );
    look(&life).await;
    assert_eq!(
        examiner.examine().await.unwrap().problems,
        Vec::<String>::new()
    );
    life.later(31 * MINUTE_MS);
    look(&life).await;
    let outbox = life.house.outbox().await;
    assert!(
        outbox.len() == 2 && outbox.iter().all(|mail| mail.ends_with(" sent")),
        "{outbox:?}"
    );
    // Acknowledgements of the future do not hold back those of today.
    let today = oslo_day(now);
    let hour = 60 * MINUTE_MS;
    let ahead = life
        .house
        .engine
        .store
        .acknowledgements_since("lege1@legesenter1.example", now - hour);
    assert_eq!(ahead.await.unwrap(), 0, "{today}");
    assert!(morning("2026-03-02") <= life.house.clock.now_ms());
}
