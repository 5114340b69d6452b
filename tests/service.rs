//! Run as a service: what systemd is told, the health end point, the count of what is at a real mailbox, what a first run
//! would do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod support;
#[path = "support/worker.rs"]
mod worker;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use support::dovecot::{Dovecot, PASSWORD};
use support::net::free_ports;
use worker::{ADDRESS, AT_MOST, Installation, repository, runtime, said, settings};

const USER: &str = "postmottak";

fn report(number: u32, date: &str) -> Vec<u8> {
    format!(
        "From: Lege Kari Testesen <kari.testesen@fjordgloett-legesenter.example>\r\nTo: {ADDRESS}\r\n\
         Subject: Avviksmelding: manglende epikrise\r\nDate: {date}\r\n\
         Message-ID: <{number}.prove@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. Pasienten ble utskrevet fra lungeposten uten epikrise.\r\n\
         Vi ber om svar.\r\n\r\nKari Testesen, fastlege\r\n"
    )
    .into_bytes()
}

/// Now, as it stands in a mail.
fn now() -> String {
    let now = jiff::Timestamp::now().in_tz("Europe/Oslo").unwrap();
    jiff::fmt::rfc2822::to_string(&now).unwrap()
}

/// A Maildir for input and one for output.
fn with_maildir(more: &str) -> Installation {
    let installation = Installation::new(&format!(
        "{}\n[[maildir]]\nname = \"inn\"\npath = \"inn\"\npoll_secs = 1\n\n[send_maildir]\npath = \"ut\"\n{more}",
        settings()
    ));
    for folder in ["inn/new", "inn/cur", "inn/tmp"] {
        fs::create_dir_all(installation.path().join(folder)).unwrap();
    }
    installation
}

fn ask(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// Changes the database while nobody works on it.
fn tamper(installation: &Installation, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(installation.database());
    runtime().block_on(async {
        let mut connection = options.foreign_keys(false).connect().await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// The next message to the service manager that is none of these.
fn next_state(socket: &UnixDatagram, but: &[&str]) -> String {
    let mut bytes = [0; 4096];
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < AT_MOST, "nothing but {but:?}");
        let length = socket.recv(&mut bytes).unwrap();
        let state = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if !but.iter().any(|but| state.starts_with(but)) {
            return state;
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn systemd_is_told_of_start_reload_life_and_stop() {
    let installation = with_maildir("");
    let rules = installation.path().join("regler");
    copy_folder(&repository().join("rules/ostfold"), &rules);
    let text = fs::read_to_string(installation.path().join("linjevei.toml")).unwrap();
    let own = format!("rules = \"{}/rules/ostfold\"", repository().display());
    installation.set(&text.replace(&own, "rules = \"regler\""));
    let path = installation.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(AT_MOST)).unwrap();
    let worker = installation.start_as_service(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "300000"),
    ]);
    assert_eq!(next_state(&socket, &["WATCHDOG"]), "READY=1\n");
    // The watchdog is fed again and again while the loops get on.
    for _ in 0..3 {
        assert_eq!(next_state(&socket, &["READY", "RELOADING"]), "WATCHDOG=1\n");
    }
    let file = rules.join("innstillinger.toml");
    let edited = fs::read_to_string(&file).unwrap() + "\n# endret\n";
    let loads = || {
        let reloading = next_state(&socket, &["WATCHDOG"]);
        let (state, time) = reloading.split_once('\n').unwrap();
        assert_eq!(state, "RELOADING=1");
        let time = time.trim_end().strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
        assert_eq!(next_state(&socket, &["WATCHDOG"]), "READY=1\n");
    };
    // What the folders held at start is in force: the first reload is that of the edit.
    fs::write(&file, edited).unwrap();
    loads();
    // A refused edit is a reload that is over, too.
    fs::write(&file, "dette er ikke TOML").unwrap();
    loads();
    worker.expect_line("are refused", AT_MOST);
    let (status, _, _) = worker.stop();
    assert!(status.success());
    assert_eq!(next_state(&socket, &["WATCHDOG"]), "STOPPING=1\n");
}

#[test]
fn health_is_told_on_this_machine_only() {
    for (listen, said_of_it) in [
        ("0.0.0.0:9187", "bare denne maskinen"),
        ("192.0.2.7:9187", "bare denne maskinen"),
        ("localhost", "ikke en adresse med port"),
    ] {
        let installation = with_maildir(&format!("\n[health]\nlisten = \"{listen}\"\n"));
        let told = installation.refused(78, ["run"]);
        assert!(told.contains(said_of_it), "{told}");
    }
    let [port] = free_ports();
    let installation = with_maildir(&format!("\n[health]\nlisten = \"127.0.0.1:{port}\"\n"));
    let worker = installation.start_and_wait();
    fs::write(
        installation.path().join("inn/new/1.test"),
        report(1, &now()),
    )
    .unwrap();
    installation.until_worked_off(1);
    let (status, body) = ask(port, "/healthz");
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(json["sources"][0]["name"], "inn");
    assert!(
        json["rules"]["hash"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    assert_eq!(json["rules"]["newer_set_refused"], false);
    let (status, metrics) = ask(port, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("linjevei_messages{source=\"inn\",outcome=\"opened\"} 1\n"));
    for word in ["Kari", "epikrise", "@", "example"] {
        assert!(!metrics.contains(word) && !body.contains(word), "{word}");
    }
    // A client that says nothing holds nobody else up.
    let silent: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    assert_eq!(ask(port, "/healthz").0, 200);
    drop(silent);
    let second = with_maildir(&format!("\n[health]\nlisten = \"127.0.0.1:{port}\"\n"));
    let told = second.refused(69, ["run"]);
    assert!(told.contains("cannot listen"), "{told}");
    let (status, _, _) = worker.stop();
    assert!(status.success());
}

fn with_dovecot(dovecot: &Dovecot, port: u16) -> Installation {
    let installation = Installation::new(&format!(
        "{}\n[[imap]]\nname = \"post\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nuser = \"{USER}\"\n\
         password_file = \"passord\"\npoll_secs = 1\n\n[send_maildir]\npath = \"ut\"\n\n[health]\nlisten = \"127.0.0.1:{port}\"\n",
        settings(),
        dovecot.imaps,
        dovecot.ca_file.display()
    ));
    installation.secret("passord", PASSWORD);
    installation
}

#[test]
fn a_hole_in_what_was_taken_in_is_found_daily_and_on_demand() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let [port] = free_ports();
    let installation = with_dovecot(&dovecot, port);
    let date = "Mon, 2 Nov 2026 09:00:00 +0100";
    let worker = installation.start_and_wait();
    for number in 0..3 {
        dovecot.deliver(&[USER], &report(number, date));
    }
    installation.until_worked_off(3);
    // Beside the running worker.
    let rows = installation.json(["reconcile", "--json"]);
    assert_eq!(rows[0]["source"], "post");
    assert_eq!(rows[0]["report"]["at_source"], 3);
    assert_eq!(rows[0]["report"]["account"]["seen"], 3);
    assert_eq!(rows[0]["report"]["account"]["opened"], 3);
    assert!(rows.iter().all(|row| row["ok"] == true), "{rows:?}");
    let text = installation.ok(["reconcile"]);
    assert!(text.contains("it adds up"), "{text}");
    worker.stop();

    // The second message was never stored, and the cursor stands behind it: no check would ever see it again.
    tamper(
        &installation,
        "DELETE FROM message_chunk WHERE message_id = (SELECT id FROM message WHERE position_key = '2')",
    );
    tamper(
        &installation,
        "DELETE FROM verdict WHERE message_id = (SELECT id FROM message WHERE position_key = '2')",
    );
    tamper(
        &installation,
        "DELETE FROM thread_id WHERE message_id = (SELECT id FROM message WHERE position_key = '2')",
    );
    tamper(
        &installation,
        "DELETE FROM message WHERE position_key = '2'",
    );
    let output = installation.run(["reconcile"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("INBOX UIDVALIDITY"), "{told}");
    assert!(told.contains("UID 2"), "{told}");
    assert!(told.contains("counted when they were stored"), "{told}");
    let doctor = installation.run(["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(said(&doctor).contains("«linjevei reconcile» lists them"));

    // A day later the worker finds it by itself.
    tamper(
        &installation,
        "UPDATE reconciliation SET at_ms = at_ms - 86400000",
    );
    let worker = installation.start_and_wait();
    worker.expect_line("it does not add up: at the source and not stored", AT_MOST);
    let errors: Vec<String> = worker
        .log()
        .into_iter()
        .filter(|line| line.contains("does not add up"))
        .collect();
    assert!(
        errors
            .iter()
            .all(|line| line.contains("\"level\":\"ERROR\"")),
        "{errors:?}"
    );
    let (status, body) = ask(port, "/healthz");
    assert_eq!(status, 503, "{body}");
    worker.stop();
}

#[test]
fn doctor_says_what_a_first_run_would_do() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let [port] = free_ports();
    let installation = with_dovecot(&dovecot, port);
    let text = fs::read_to_string(installation.path().join("linjevei.toml")).unwrap();
    let live = text.replace(
        "acknowledge_max_age_days = 365",
        "acknowledge_max_age_days = 14",
    );
    let observe = live.replace("mode = \"live\"", "mode = \"observe\"");
    let now = SystemTime::now();
    for (number, days) in [(1, 0), (2, 13), (3, 15), (4, 400), (5, 4000)] {
        let arrived = now - Duration::from_hours(24 * days);
        let mail = report(number, "Mon, 2 Nov 2026 09:00:00 +0100");
        dovecot.drop_message(USER, &mail, arrived);
    }
    installation.set(&observe);
    let told = installation.ok(["doctor"]);
    assert!(
        told.contains("5 messages, 1 MB: would be stored and classified"),
        "{told}"
    );
    assert!(told.contains("3 are older than 14 days"), "{told}");
    assert!(
        !installation.database().exists(),
        "doctor has changed something"
    );
    installation.set(&live);
    let told = installation.ok(["doctor"]);
    assert!(
        told.contains("left alone, since they came before the first live start"),
        "{told}"
    );
    let worker = installation.start_and_wait();
    installation.until_worked_off(5);
    worker.stop();
    let told = installation.ok(["doctor"]);
    assert!(!told.contains("first run"), "{told}");
    assert!(
        told.contains("content of mail left alone is kept 30 days"),
        "{told}"
    );
    assert!(told.contains("counted since"), "{told}");
    // A mailbox without dates of arrival is read for them.
    let maildir = with_maildir("");
    maildir.set(
        &fs::read_to_string(maildir.path().join("linjevei.toml"))
            .unwrap()
            .replace(
                "acknowledge_max_age_days = 365",
                "acknowledge_max_age_days = 14",
            ),
    );
    for (number, date) in [
        (1, "Thu, 2 Nov 2023 09:00:00 +0100"),
        (2, "Fri, 3 Nov 2023 09:00:00 +0100"),
        (3, "Sat, 1 Jan 2124 09:00:00 +0100"),
    ] {
        let path = maildir.path().join(format!("inn/new/{number}.test"));
        fs::write(path, report(number, date)).unwrap();
    }
    let told = maildir.ok(["doctor"]);
    assert!(told.contains("3 messages, 1 MB"), "{told}");
    assert!(told.contains("2 are older than 14 days"), "{told}");
}
