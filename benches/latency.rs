//! From a mail in the mailbox to its acknowledgement: how long it takes, next to how long a bare IDLE client needs only to see
//! and fetch the same mail.
//!
//! `cargo bench --bench latency` (300 messages, some five minutes) or `cargo bench --bench latency -- 50`. Everything is real:
//! Dovecot, delivery over LMTP, the program with the rules of Østfold, IMAP with TLS, SMTP with STARTTLS and log-in, a database
//! that is written through to the disk. Each mail comes when the one before is done and everybody waits again, so each is told
//! by IDLE on its own. Dovecot waits about half a second before it tells. `LINJEVEI_BENCH_LOG=FILE` keeps the worker's log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss
)]

#[path = "reports/about.rs"]
mod reports;
#[path = "../tests/support/serving.rs"]
mod serving;
#[path = "../tests/support/smtp.rs"]
mod smtp;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support/worker.rs"]
mod worker;

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use reports::about;
use smtp::{Encryption, Script, SmtpServer};
use support::dovecot::{Dovecot, Options, PASSWORD};
use support::net::wait_until;
use worker::{ADDRESS, AT_MOST, Installation, settings};

const USER: &str = "samhandlingsavvik";
const MESSAGES: u32 = 300;
/// Time for the worker to settle after its start.
const SETTLED: Duration = Duration::from_secs(20);
/// Rest between two mails.
const PAUSE: Duration = Duration::from_millis(300);

fn reporter(number: u32) -> String {
    format!("lege{number}@fjordgloett-legesenter.example")
}

/// Reports as they come, each about something else.
fn report(number: u32) -> Vec<u8> {
    let now = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).unwrap();
    let (subject, text) = about(number as usize);
    let more: String = (0..number % 7).fold(String::new(), |more, line| {
        format!(
            "{more}Vi ringte avdelingen i uke {} uten å få svar.\r\n",
            number + line
        )
    });
    format!(
        "From: Lege Kari Testesen <{}>\r\nTo: {ADDRESS}\r\nSubject: Avviksmelding: {subject}\r\nDate: {now}\r\n\
         Message-ID: <{number}.tid@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. {text}\r\n{more}Vår sak {number}. Vi ber om svar.\r\n\r\nKari Testesen, fastlege\r\n",
        reporter(number)
    )
    .into_bytes()
}

/// Watches as a client that does nothing else: when it had each mail.
fn bare_client(dovecot: &Dovecot) -> Receiver<Instant> {
    let mut client = dovecot.client(USER);
    client.ok("EXAMINE INBOX");
    let (say, said) = channel();
    std::thread::spawn(move || {
        let mut known = 0;
        loop {
            let Some(exists) = client.idle_until_more_than(known) else {
                return;
            };
            let fetched = client.ok(&format!("FETCH {exists} (BODY.PEEK[])"));
            assert!(fetched.len() > 10);
            known = exists;
            if say.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    said
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * percent).div_ceil(100);
    sorted[place.saturating_sub(1)]
}

fn main() {
    let mut given = std::env::args().filter_map(|argument| argument.parse().ok());
    let messages: u32 = given.next().unwrap_or(MESSAGES);
    let Some(dovecot) = Dovecot::with(&Options {
        users: vec![USER.to_owned()],
        ..Options::default()
    }) else {
        return;
    };
    let smtp = SmtpServer::start(Script {
        encryption: Encryption::Starttls,
        login: Some((USER.to_owned(), PASSWORD.to_owned())),
        ..Script::default()
    });
    let installation = Installation::new(&format!(
        "{}\n[[imap]]\nname = \"post\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nuser = \"{USER}\"\n\
         password_file = \"password\"\n\n[smtp]\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\npin_sha256 = \"{}\"\n\
         user = \"{USER}\"\npassword_file = \"password\"\n",
        settings(),
        dovecot.imaps,
        dovecot.ca_file.display(),
        smtp.addr.port(),
        smtp.certificate_sha256
    ));
    installation.secret("password", PASSWORD);
    let worker = installation.start_and_wait();
    let bare = bare_client(&dovecot);
    // INTERNALDATE knows whole seconds, and the switch to live has just been made; ten seconds after a start the worker warms up.
    std::thread::sleep(SETTLED);

    let (mut fetches, mut acknowledgements) = (Vec::new(), Vec::new());
    for number in 1..=messages {
        std::thread::sleep(PAUSE);
        dovecot.deliver(&[USER], &report(number));
        let delivered = Instant::now();
        let seen = bare.recv_timeout(AT_MOST).unwrap();
        let mut accepted = None;
        wait_until(AT_MOST, || {
            accepted = smtp.accepted(&reporter(number));
            accepted.is_some()
        });
        let accepted =
            accepted.unwrap_or_else(|| panic!("no acknowledgement for message {number}"));
        fetches.push(seen.saturating_duration_since(delivered));
        acknowledgements.push(accepted.saturating_duration_since(delivered));
        if number % 50 == 0 {
            eprintln!("{number} of {messages}");
        }
    }
    drop(bare);
    let (_, _, log) = worker.stop();
    if let Some(path) = std::env::var_os("LINJEVEI_BENCH_LOG") {
        std::fs::write(path, log.join("\n")).unwrap();
    }
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!("{messages} messages, from the end of the LMTP delivery, in milliseconds:");
    println!("{:32} {:>8} {:>8}", "", "p50", "p99");
    let mut rows = Vec::new();
    for (name, times) in [
        ("bare client has fetched it", &fetches),
        ("acknowledgement accepted", &acknowledgements),
    ] {
        let row = (ms(percentile(times, 50)), ms(percentile(times, 99)));
        println!("{name:32} {:8.1} {:8.1}", row.0, row.1);
        rows.push(row);
    }
    println!(
        "{:32} {:8.2} {:8.2}",
        "ratio (target at p99: 1.20)",
        rows[1].0 / rows[0].0,
        rows[1].1 / rows[0].1
    );
    let sent = log.iter().filter(|line| line.contains("mail sent")).count();
    println!("{sent} mails sent in all");
}
