//! `kill -9` again and again while 200 messages are taken in: nothing is lost and nothing happens twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    reason = "a whole run is one story"
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "support/worker.rs"]
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use checks::{
    count, each_case_has_one_acknowledgement_decision, each_message_has_one_outcome,
    numbers_have_no_gap,
};
use linjevei::message::{self, Limits};
use serde_json::Value;
use smtp::{Act, Script, SmtpServer};
use support::dovecot::{Dovecot, Options, PASSWORD};
use support::net::wait_until;
use worker::{AT_MOST, Installation, settings};

const USERS: [&str; 2] = ["kilde-en", "kilde-to"];
const KEYWORD: &str = "Linjevei";
/// Kills; each is preceded by the arrival of an equal part of the messages.
const KILLS: usize = 25;
/// Longest wait for the sign after which a kill comes; then it comes without.
const SIGN_AT_MOST: Duration = Duration::from_secs(5);

/// After which line of the log a kill comes, and how many milliseconds later at most: while starting, while taking in,
/// while deciding, between deciding and sending, while sending.
const MOMENTS: [(Option<&str>, u64); 5] = [
    (None, 700),
    (Some("linjevei is running"), 200),
    (Some("messages stored"), 60),
    (Some("opened a case"), 120),
    (Some("mail sent"), 400),
];

/// The same numbers at every run (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn settings_for(dovecot: &Dovecot, smtp: &SmtpServer) -> String {
    let imap = |name: &str, more: &str| {
        format!(
            "\n[[imap]]\nname = \"{name}\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nuser = \"{name}\"\n\
             password_file = \"password\"\n{more}\n",
            dovecot.imaps,
            dovecot.ca_file.display()
        )
    };
    format!(
        "{}{}{}\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
        settings(),
        imap(USERS[0], "idle = true"),
        imap(
            USERS[1],
            &format!("idle = false\npoll_secs = 1\nflag = \"{KEYWORD}\"")
        ),
        smtp.addr.port()
    )
}

/// What the kills found in the middle of being done.
#[derive(Debug, Default)]
struct Met {
    undecided: usize,
    unsent: usize,
    sending: usize,
}

#[test]
fn killed_again_and_again_every_message_has_one_outcome_and_every_case_one_acknowledgement() {
    let users = USERS.map(str::to_owned).to_vec();
    let Some(dovecot) = Dovecot::with(&Options {
        users,
        ..Options::default()
    }) else {
        return;
    };
    // Time passes between the end of a mail and the word that it is accepted: there a kill leaves an unknown outcome.
    let slow = Script {
        end: Act::Slow(Duration::from_millis(40)),
        ..Script::default()
    };
    let smtp = SmtpServer::start(slow);
    let installation = Installation::new(&settings_for(&dovecot, &smtp));
    installation.secret("password", PASSWORD);
    let samples = samples::two_hundred();
    let mut dice = Dice(2026);
    let mut met = Met::default();

    // The first start, before any mail: from here on everything counts.
    let (status, ..) = installation.start_and_wait().stop();
    assert_eq!(status.code(), Some(0));

    let mut log = Vec::new();
    for kill in 0..KILLS {
        for (number, sample) in samples
            .iter()
            .enumerate()
            .filter(|(number, _)| number % KILLS == kill)
        {
            let user = USERS[number % 2];
            if number % 4 < 2 {
                dovecot.deliver(&[user], &sample.bytes);
            } else {
                dovecot.drop_message(user, &sample.bytes, SystemTime::now());
            }
        }
        let (sign, at_most_ms) = MOMENTS[kill % MOMENTS.len()];
        let worker = installation.start();
        if let Some(sign) = sign {
            worker.wait_for_line(sign, SIGN_AT_MOST);
        }
        sleep(Duration::from_millis(dice.below(at_most_ms)));
        log.extend(worker.kill());
        let undecided =
            installation.number("SELECT count(*) FROM message WHERE outcome = 'pending'");
        let unsent = installation
            .number("SELECT count(*) FROM outbox WHERE state = 'queued' AND unknown_outcomes = 0");
        let sending = installation.number("SELECT count(*) FROM outbox WHERE state = 'sending'");
        met.undecided += usize::from(undecided > 0);
        met.unsent += usize::from(unsent > 0);
        met.sending += usize::from(sending > 0);
        assert!(sending <= 1, "one mail is in the air at a time");
    }

    // Then it may work to the end.
    smtp.set(Script::default());
    let worker = installation.start_and_wait();
    installation.until_worked_off(samples.len());
    let messages = installation.messages();
    let cases = installation.cases();
    let outbox = installation.outbox();
    let unknown: Vec<&Value> = outbox
        .iter()
        .filter(|row| row["unknown_outcomes"] != 0)
        .collect();
    eprintln!(
        "{KILLS} kills; {} messages: {} cases, {} joined, {} duplicates, {} left alone; {} mails, {} of unknown outcome; met {met:?}",
        messages.len(),
        cases.len(),
        count(&messages, "joined"),
        count(&messages, "duplicate"),
        count(&messages, "left-alone"),
        outbox.len(),
        unknown.len(),
    );
    assert!(
        met.undecided > 0 && met.unsent > 0 && met.sending > 0,
        "the kills missed a step: {met:?}"
    );

    assert_eq!(messages.len(), samples.len());
    each_message_has_one_outcome(&messages);
    numbers_have_no_gap(&cases, &messages);
    each_case_has_one_acknowledgement_decision(&cases, &outbox);
    assert!(cases.len() > 100);
    // A message whose decision is cut off ten times goes to a person unread, since it may be the one that kills.
    let given_up = log
        .iter()
        .filter(|line| line.contains("never finished"))
        .count();
    assert!(given_up <= KILLS / 10, "{given_up} messages were given up");

    // What was in the air at a kill is tried once more half an hour later; all else is sent.
    assert!(unknown.len() <= KILLS);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for row in &outbox {
        if row["unknown_outcomes"] == 0 {
            assert_eq!(row["state"], "sent", "{row}");
        } else {
            assert_eq!(
                (&row["state"], &row["unknown_outcomes"]),
                (&"queued".into(), &1.into()),
                "{row}"
            );
            let next = row["next_attempt_at_ms"].as_i64().unwrap();
            assert!((now_ms..now_ms + 30 * 60_000).contains(&next), "{row}");
        }
    }
    let got = received(&smtp);
    let ours: BTreeSet<&str> = outbox
        .iter()
        .map(|row| row["message_id"].as_str().unwrap())
        .collect();
    assert!(got.keys().all(|id| ours.contains(id.as_str())));
    for row in &outbox {
        let times = got
            .get(row["message_id"].as_str().unwrap())
            .map_or(0, Vec::len);
        let known = row["unknown_outcomes"] == 0;
        assert!(
            times == 1 || (!known && times == 0),
            "sent {times} times: {row}"
        );
    }

    // Ours are flagged in the second mailbox, and nobody's flags have changed.
    let ours: i64 = installation.number("SELECT count(*) FROM message WHERE source = 'kilde-to' AND outcome IN ('opened', 'joined')");
    let flagged = || {
        dovecot
            .flags(USERS[1], "INBOX")
            .values()
            .filter(|flags| **flags == [KEYWORD])
            .count()
    };
    assert!(
        wait_until(AT_MOST, || i64::try_from(flagged()) == Ok(ours)),
        "{} of {ours} have the keyword",
        flagged()
    );
    for user in USERS {
        let others = dovecot
            .flags(user, "INBOX")
            .into_values()
            .flatten()
            .filter(|flag| flag != KEYWORD)
            .count();
        assert_eq!(others, 0);
    }

    // A person need not wait half an hour; what goes out then is the same to the last byte.
    for row in &unknown {
        installation.ok(["outbox", "retry", &row["id"].to_string()]);
    }
    installation.until("all mail is sent", |this| {
        this.outbox().iter().all(|row| row["state"] == "sent")
    });
    let (status, ..) = worker.stop();
    assert_eq!(status.code(), Some(0));
    let got = received(&smtp);
    assert_eq!(got.len(), outbox.len());
    let again: BTreeSet<&str> = unknown
        .iter()
        .map(|row| row["message_id"].as_str().unwrap())
        .collect();
    for (id, mails) in &got {
        assert!(
            mails.len() == 1
                || (mails.len() == 2 && again.contains(id.as_str()) && mails[0] == mails[1]),
            "{} times",
            mails.len()
        );
    }
}

/// What the server got, by Message-ID.
fn received(smtp: &SmtpServer) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut got: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for mail in smtp.received() {
        let id = message::parse(&mail.bytes, &Limits::default())
            .unwrap()
            .message_id
            .unwrap();
        got.entry(id).or_default().push(mail.bytes);
    }
    got
}
