//! Two workers as two processes on one `PostgreSQL`: one watches the mailbox, both work; one is killed, the other takes over, and
//! nothing is lost or done twice.
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
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
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
"#;

/// One server's settings; the mailbox, the sent mail and the database are the same for all.
fn server(shared: &Path, url: &str) -> Installation {
    let installation = Installation::new("");
    fs::create_dir_all(installation.path().join("regler")).unwrap();
    fs::write(installation.path().join("regler/regler.toml"), RULES).unwrap();
    let [health] = net::free_ports();
    installation.set(&format!(
        "mode = \"live\"\ndata = \"data\"\ndatabase = \"{url}\"\nrules = \"regler\"\ntemplates = \"{}/templates\"\n\n\
         [identity]\naddress = \"{ADDRESS}\"\nname = \"Samhandlingsavdelingen\"\n\n[digest]\nsend = false\n\n\
         [limits]\nacknowledge_max_age_days = 365\n\n[health]\nlisten = \"127.0.0.1:{health}\"\n\n\
         [[maildir]]\nname = \"inn\"\npath = \"{1}/inn\"\npoll_secs = 1\n\n[send_maildir]\npath = \"{1}/ut\"\n",
        repository().display(),
        shared.display()
    ));
    installation
}

fn deliver(shared: &Path, number: u32) {
    let now = jiff::Timestamp::now().in_tz("Europe/Oslo").unwrap();
    let mail = format!(
        "From: <lege{number}@fjordgloett-legesenter.example>\r\nTo: {ADDRESS}\r\nSubject: Melding\r\nDate: {}\r\n\
         Message-ID: <{number}@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         avviksmelding medisinsak nummer {number}\r\n",
        jiff::fmt::rfc2822::to_string(&now).unwrap()
    );
    let (tmp, new) = (
        shared.join(format!("inn/tmp/{number}.x")),
        shared.join(format!("inn/new/{number}.x")),
    );
    fs::write(&tmp, mail).unwrap();
    fs::rename(tmp, new).unwrap();
}

/// The Message-IDs of what went out.
fn sent(shared: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(shared.join("ut/new")) else {
        return Vec::new();
    };
    files
        .map(|file| {
            let mail = fs::read_to_string(file.unwrap().path()).unwrap();
            let line = mail.lines().find(|line| line.starts_with("Message-ID:"));
            line.unwrap().to_owned()
        })
        .collect()
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
    let shared = tempfile::tempdir().unwrap();
    for folder in ["inn/new", "inn/cur", "inn/tmp"] {
        fs::create_dir_all(shared.path().join(folder)).unwrap();
    }
    let (first, second) = (server(shared.path(), &url), server(shared.path(), &url));
    let one = first.start_and_wait();
    one.expect_line("this worker watches the source", AT_MOST);

    // A server with a key of its own would not know the answers to the other's mail: it does not start.
    let refused = second.refused(78, ["run"]);
    assert!(refused.contains("message-id.key"), "{refused}");
    fs::copy(
        first.path().join("data/message-id.key"),
        second.path().join("data/message-id.key"),
    )
    .unwrap();
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

    let expected: Vec<String> = (1..=7)
        .map(|count| format!("SAK-{}-{count:06}", jiff::Zoned::now().year()))
        .collect();
    assert_eq!(numbers(&first), expected);
    let sent = sent(shared.path());
    let unique: BTreeSet<&String> = sent.iter().collect();
    assert_eq!(
        (sent.len(), unique.len()),
        (14, 14),
        "an acknowledgement and a mail to the party for each case"
    );
    let outcomes: Vec<String> = first
        .messages()
        .iter()
        .map(|row| row["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes, ["opened"; 7]);
    assert!(
        first
            .outbox()
            .iter()
            .all(|row| row["state"] == "sent" && row["attempts"] == 1)
    );
    let reconciled = first.run(["reconcile"]);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
}
