//! Two workers as two processes on one `PostgreSQL`: one watches the mailbox, both work; one is killed, the other takes over, and
//! nothing is lost or done twice. How a database gets there: from `SQLite`, by a copy that is cut off and goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/net.rs"]
#[allow(dead_code, unreachable_pub)]
mod net;
#[path = "support/packages.rs"]
#[allow(dead_code, unreachable_pub)]
mod packages;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/worker.rs"]
mod worker;

use postgres::Postgres;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use worker::{ADDRESS, AT_MOST, Installation, repository, runtime, said};

const RULES: &str = r#"
[own]
addresses = ["samhandlingsavvik@so-hf.example"]

[[parties]]
id = "medisin"
name = "Klinikk for medisin"
kind = "klinikk"
send_to = ["samhandling.medisin@so-hf.example"]
secure = true

[[parties]]
id = "samhandling"
name = "Samhandlingsavdelingen"
kind = "samhandling"

[[rules]]
id = "type-avvik"
give = { type = "avvik" }
decisive = true
any = ["avviksmelding"]

[[rules]]
id = "til-medisin"
give = { destination = "medisin" }
decisive = true
any = ["medisinsak"]

[[rules]]
id = "svar-endelig"
give = { reply = "endelig" }
decisive = true
any = ["vårt svar"]
"#;

/// One server's settings; the mailbox, the sent mail and the database are the same for all.
fn server(shared: &Path, url: Option<&str>) -> Installation {
    let installation = Installation::new("");
    fs::create_dir_all(installation.path().join("regler")).unwrap();
    rules(&installation, RULES);
    configure(&installation, shared, url);
    installation
}

fn rules(installation: &Installation, text: &str) {
    fs::write(installation.path().join("regler/regler.toml"), text).unwrap();
}

/// Without an address the database is a file.
fn configure(installation: &Installation, shared: &Path, url: Option<&str>) {
    let [health] = net::free_ports();
    let database = url.map_or_else(String::new, |url| format!("database = \"{url}\"\n"));
    installation.set(&format!(
        "mode = \"live\"\ndata = \"data\"\n{database}rules = \"regler\"\ntemplates = \"{}/templates\"\n\n\
         [identity]\naddress = \"{ADDRESS}\"\nname = \"Samhandlingsavdelingen\"\n\n[digest]\nsend = false\n\n\
         [limits]\nacknowledge_max_age_days = 365\n\n[health]\nlisten = \"127.0.0.1:{health}\"\n\n\
         [[maildir]]\nname = \"inn\"\npath = \"{1}/inn\"\npoll_secs = 1\n\n[send_maildir]\npath = \"{1}/ut\"\n",
        repository().display(),
        shared.display()
    ));
}

/// A folder for what all servers share, with an empty Maildir.
fn shared_folder() -> TempDir {
    let shared = tempfile::tempdir().unwrap();
    for folder in ["inn/new", "inn/cur", "inn/tmp"] {
        fs::create_dir_all(shared.path().join(folder)).unwrap();
    }
    shared
}

/// A server must know the key by which the first one signs.
fn same_key(first: &Installation, second: &Installation) {
    let key = "data/message-id.key";
    fs::create_dir_all(second.path().join("data")).unwrap();
    fs::copy(first.path().join(key), second.path().join(key)).unwrap();
}

fn report(number: u32) -> String {
    let from = format!("lege{number}@fjordgloett-legesenter.example");
    let text = format!("avviksmelding medisinsak nummer {number}");
    mail(number, &from, "", &text)
}

fn mail(number: u32, from: &str, headers: &str, text: &str) -> String {
    let now = jiff::Timestamp::now().in_tz("Europe/Oslo").unwrap();
    format!(
        "From: <{from}>\r\nTo: {ADDRESS}\r\nSubject: Melding\r\nDate: {}\r\n{headers}\
         Message-ID: <{number}@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n",
        jiff::fmt::rfc2822::to_string(&now).unwrap()
    )
}

fn deliver(shared: &Path, number: u32) {
    put(shared, number, &report(number));
}

fn put(shared: &Path, number: u32, mail: &str) {
    let (tmp, new) = (
        shared.join(format!("inn/tmp/{number}.x")),
        shared.join(format!("inn/new/{number}.x")),
    );
    fs::write(&tmp, mail).unwrap();
    fs::rename(tmp, new).unwrap();
}

/// What went out.
fn mails(shared: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(shared.join("ut/new")) else {
        return Vec::new();
    };
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

/// The Message-IDs of what went out.
fn sent(shared: &Path) -> Vec<String> {
    mails(shared).iter().map(|mail| message_id(mail)).collect()
}

fn message_id(mail: &str) -> String {
    let line = mail.lines().find(|line| line.starts_with("Message-ID:"));
    line.unwrap().to_owned()
}

fn outcomes(installation: &Installation) -> Vec<String> {
    let rows = installation.messages();
    rows.iter()
        .map(|row| row["outcome"].as_str().unwrap().to_owned())
        .collect()
}

fn number(count: u32) -> String {
    format!("SAK-{}-{count:06}", jiff::Zoned::now().year())
}

fn numbers(installation: &Installation) -> Vec<String> {
    let cases = installation.cases();
    cases
        .iter()
        .map(|case| case["case"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_worker_that_is_killed_is_replaced_within_a_minute_and_nothing_is_done_twice() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let url = runtime().block_on(postgres.database());
    let shared = shared_folder();
    let [first, second] = [(); 2].map(|()| server(shared.path(), Some(&url)));
    let one = first.start_and_wait();
    one.expect_line("this worker watches the source", AT_MOST);

    // A server with a key of its own would not know the answers to the other's mail: it does not start.
    let refused = second.refused(78, ["run"]);
    assert!(refused.contains("message-id.key"), "{refused}");
    same_key(&first, &second);
    let other = second.start_and_wait();
    other.expect_line("another worker watches the source", AT_MOST);

    for number in 1..=3 {
        deliver(shared.path(), number);
    }
    second.until_worked_off(3);
    let doctor = second.run(["doctor"]);
    assert!(doctor.status.success(), "{}", said(&doctor));
    let told = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        told.contains("watches inn") && told.contains("ready to take over"),
        "{told}"
    );

    one.kill();
    let killed_at = Instant::now();
    for number in 4..=6 {
        deliver(shared.path(), number);
    }
    other.expect_line("this worker watches the source", Duration::from_mins(1));
    assert!(killed_at.elapsed() < Duration::from_mins(1));
    second.until_worked_off(6);

    // The first comes back and waits; the second stops, and the first goes on at once: it asks every seven seconds.
    let one = first.start_and_wait();
    one.expect_line("another worker watches the source", AT_MOST);
    let (status, _, log) = other.stop();
    assert!(status.success(), "{}", log.join("\n"));
    let stopped_at = Instant::now();
    deliver(shared.path(), 7);
    one.expect_line("this worker watches the source", AT_MOST);
    assert!(
        stopped_at.elapsed() < Duration::from_secs(25),
        "{:?}",
        stopped_at.elapsed()
    );
    first.until_worked_off(7);
    let (status, _, log) = one.stop();
    assert!(status.success(), "{}", log.join("\n"));

    let expected: Vec<String> = (1..=7).map(number).collect();
    assert_eq!(numbers(&first), expected);
    let sent = sent(shared.path());
    let unique: BTreeSet<&String> = sent.iter().collect();
    assert_eq!(
        (sent.len(), unique.len()),
        (14, 14),
        "an acknowledgement and a mail to the party for each case"
    );
    assert_eq!(outcomes(&first), ["opened"; 7]);
    assert!(
        first
            .outbox()
            .iter()
            .all(|row| row["state"] == "sent" && row["attempts"] == 1)
    );
    let reconciled = first.run(["reconcile"]);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
}

#[test]
fn workers_that_decide_by_different_rules_are_told_of_and_decide_nothing_twice() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let url = runtime().block_on(postgres.database());
    let shared = shared_folder();
    let [first, second] = [(); 2].map(|()| server(shared.path(), Some(&url)));
    rules(
        &second,
        &RULES.replace("medisinsak", "medisinsak\", \"medisinske"),
    );
    let one = first.start_and_wait();
    same_key(&first, &second);
    let other = second.start_and_wait();
    let differ = "they decide by different rules: give all the same files";
    second.until("doctor tells of the rules", |second| {
        let doctor = second.run(["doctor"]);
        !doctor.status.success() && said(&doctor).contains(differ)
    });

    // The worker decides some by the first rules, and a command on the second server others by the second; one mail comes both
    // ways.
    for number in 1..=3 {
        deliver(shared.path(), number);
    }
    for number in 3..=5 {
        let file = shared.path().join(format!("{number}.eml"));
        fs::write(&file, report(number)).unwrap();
        second.ok(["ingest".as_ref(), file.as_os_str()]);
    }
    second.until_worked_off(6);
    let rulesets: Vec<(String, i64)> = runtime().block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query_as("SELECT ruleset, count(*) FROM verdict GROUP BY ruleset")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    });
    assert_eq!(rulesets.len(), 2, "{rulesets:?}");
    assert_eq!(rulesets.iter().map(|(_, count)| count).sum::<i64>(), 5);
    let mut ended = outcomes(&second);
    ended.sort();
    assert_eq!(
        ended,
        [
            "duplicate",
            "opened",
            "opened",
            "opened",
            "opened",
            "opened"
        ]
    );
    assert_eq!(numbers(&first), (1..=5).map(number).collect::<Vec<_>>());
    let sent = sent(shared.path());
    let unique: BTreeSet<&String> = sent.iter().collect();
    assert_eq!((sent.len(), unique.len()), (10, 10));

    // The same files, taken over while it runs.
    rules(&second, RULES);
    second.until("the rules are the same again", |second| {
        second.run(["doctor"]).status.success()
    });
    for worker in [one, other] {
        let (status, _, log) = worker.stop();
        assert!(status.success(), "{}", log.join("\n"));
    }
}

#[test]
fn a_copy_that_is_cut_off_goes_on_and_the_worker_goes_on_with_old_cases() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let runtime = runtime();
    let url = runtime.block_on(postgres.database());
    let shared = shared_folder();
    let installation = server(shared.path(), None);
    let from = format!("sqlite://{}", installation.database().display());
    let copy = ["db", "copy", "--from", &from, "--to", &url];
    let worker = installation.start_and_wait();
    for number in 1..=3 {
        deliver(shared.path(), number);
    }
    installation.until_worked_off(3);
    let refused = installation.refused(69, copy);
    assert!(refused.contains("another «linjevei run»"), "{refused}");
    assert!(worker.stop().0.success());
    let events = installation.number("SELECT count(*) FROM case_event");

    // Somebody holds the table of the histories, and the copy is killed while it waits for it.
    let mut holder = runtime.block_on(PgConnection::connect(&url)).unwrap();
    let mut ask = |sql: &'static str| runtime.block_on(holder.execute(sql)).unwrap();
    ask("BEGIN");
    ask("LOCK TABLE case_event IN ACCESS EXCLUSIVE MODE");
    let mut cut_off = installation
        .command(copy)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let there = |sql: &'static str| -> i64 {
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            sqlx::query_scalar(sql)
                .fetch_one(&mut connection)
                .await
                .unwrap()
        })
    };
    let waits =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'case_event'::regclass";
    installation.until("the copy waits for the table", |_| there(waits) > 0);
    cut_off.kill().unwrap();
    cut_off.wait().unwrap();
    let mut ask = |sql: &'static str| runtime.block_on(holder.execute(sql)).unwrap();
    ask("ROLLBACK");
    assert_eq!(there("SELECT count(*) FROM cases"), 3);
    assert_eq!(there("SELECT count(*) FROM outbox"), 0);
    // Nobody works on half of the cases.
    configure(&installation, shared.path(), Some(&url));
    let refused = installation.refused(78, ["run"]);
    assert!(refused.contains("linjevei db copy"), "{refused}");

    let told = installation.ok(copy);
    assert!(told.contains("copied; set database"), "{told}");
    assert!(!told.contains('✗'), "{told}");
    let counted = told.lines().find(|line| line.starts_with("case_event"));
    let counted: Vec<&str> = counted.unwrap().split_whitespace().collect();
    let events = events.to_string();
    assert_eq!(counted, ["case_event", &events, &events]);
    assert!(
        installation
            .ok(["db", "check"])
            .contains("everything hangs together")
    );

    // The party answers what was sent while the database was the other one; what was taken in then is not taken in again.
    let to_party = |mail: &&String| {
        mail.contains("samhandling.medisin@so-hf.example") && mail.contains(&number(2))
    };
    let asked = mails(shared.path()).iter().find(to_party).cloned();
    let headers =
        format!("{}\r\n", message_id(&asked.unwrap())).replace("Message-ID", "In-Reply-To");
    let worker = installation.start_and_wait();
    let party = "samhandling.medisin@so-hf.example";
    put(
        shared.path(),
        4,
        &mail(4, party, &headers, "Her er vårt svar."),
    );
    deliver(shared.path(), 5);
    installation.until_worked_off(5);
    assert_eq!(
        outcomes(&installation),
        ["opened", "opened", "opened", "joined", "opened"]
    );
    let cases = installation.cases();
    assert_eq!(
        numbers(&installation),
        (1..=4).map(number).collect::<Vec<_>>()
    );
    let stand: Vec<&str> = cases
        .iter()
        .map(|case| case["state"].as_str().unwrap())
        .collect();
    assert_eq!(stand, ["sent", "answered", "sent", "sent"]);
    let (status, _, log) = worker.stop();
    assert!(status.success(), "{}", log.join("\n"));
    let reconciled = installation.run(["reconcile"]);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
}
