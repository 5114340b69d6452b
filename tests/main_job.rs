//! The main job, end to end: the program as a child process between a real Dovecot and a real SMTP socket, with the rules
//! and templates of the repository.
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
use std::fs;
use std::time::{Duration, SystemTime};

use checks::{
    count, each_case_has_one_acknowledgement_decision, each_message_has_one_outcome,
    numbers_have_no_gap,
};
use linjevei::case::names;
use linjevei::message::{self, Limits, Message, content_hash};
use linjevei::rules::Language;
use serde_json::Value;
use smtp::{Act, Encryption, Received, Script, SmtpServer};
use support::dovecot::{Dovecot, Options, PASSWORD};
use support::net::wait_until;
use worker::{ADDRESS, AT_MOST, Installation, Worker, repository, said, settings};

/// Ours stay as they are; the server tells of new mail (IDLE).
const LEFT: &str = "kilde-en";
/// Ours get a keyword; the server is asked for new mail.
const FLAGGED: &str = "kilde-to";
const KEYWORD: &str = "Linjevei";
const SMTP_USER: &str = "linjevei";
const SMTP_PASSWORD: &str = "et annet passord";

fn dovecot() -> Option<Dovecot> {
    Dovecot::with(&Options {
        users: vec![LEFT.to_owned(), FLAGGED.to_owned()],
        ..Options::default()
    })
}

fn smtp_server() -> SmtpServer {
    SmtpServer::start(script())
}

fn script() -> Script {
    Script {
        encryption: Encryption::Starttls,
        login: Some((SMTP_USER.to_owned(), SMTP_PASSWORD.to_owned())),
        ..Script::default()
    }
}

/// Two watched mailboxes: one tells of new mail by itself and ours stay as they are, one is asked and ours get a keyword.
fn settings_for(dovecot: &Dovecot, smtp: &SmtpServer) -> String {
    let imap = |name: &str, more: &str| {
        format!(
            "\n[[imap]]\nname = \"{name}\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nuser = \"{name}\"\n\
             password_file = \"{name}.password\"\n{more}\n",
            dovecot.imaps,
            dovecot.ca_file.display()
        )
    };
    format!(
        "{}{}{}\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"starttls\"\nca_file = \"smtp.pem\"\nuser = \"{SMTP_USER}\"\n\
         password_file = \"smtp.password\"\n",
        settings(),
        imap(LEFT, "idle = true\npoll_secs = 120"),
        imap(
            FLAGGED,
            &format!("idle = false\npoll_secs = 1\nflag = \"{KEYWORD}\"")
        ),
        smtp.addr.port()
    )
}

fn installation(dovecot: &Dovecot, smtp: &SmtpServer) -> Installation {
    let installation = Installation::new(&settings_for(dovecot, smtp));
    installation.secret("kilde-en.password", PASSWORD);
    installation.secret("kilde-to.password", PASSWORD);
    installation.secret("smtp.password", SMTP_PASSWORD);
    fs::write(installation.path().join("smtp.pem"), &smtp.certificate_pem).unwrap();
    installation
}

/// A report that the rules place without a person.
fn report(number: u32, words: &str) -> Vec<u8> {
    format!(
        "From: Lege Kari Testesen <kari.testesen@fjordgloett-legesenter.example>\r\nTo: {ADDRESS}\r\n\
         Subject: Avviksmelding: manglende epikrise\r\nDate: Mon, 2 Nov 2026 09:00:00 +0100\r\n\
         Message-ID: <{number}.prove@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. Pasienten ble utskrevet fra lungeposten uten epikrise. {words}\r\n\
         Vi ber om svar.\r\n\r\nKari Testesen, fastlege\r\n"
    )
    .into_bytes()
}

fn stops_cleanly(worker: Worker) -> Vec<String> {
    let (status, took, log) = worker.stop();
    assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
    assert!(took < Duration::from_secs(20), "stopping took {took:?}");
    log
}

fn sorted(flags: &[&str]) -> Vec<String> {
    let mut flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
    flags.sort();
    flags
}

/// A row of the table of messages, with what the lists do not show.
struct Stored {
    source: String,
    position_key: String,
    content_hash: String,
    outcome: String,
    original: String,
}

fn stored(installation: &Installation) -> Vec<Stored> {
    let rows: Vec<(String, String, String, String, String)> = installation.rows(
        "SELECT m.source, m.position_key, m.content_hash, m.outcome, coalesce(o.outcome, '') \
         FROM message m LEFT JOIN message o ON o.id = m.duplicate_of ORDER BY m.id",
    );
    rows.into_iter()
        .map(
            |(source, position_key, content_hash, outcome, original)| Stored {
                source,
                position_key,
                content_hash,
                outcome,
                original,
            },
        )
        .collect()
}

impl Stored {
    /// Whether it, or what it is a copy of, is in a case.
    fn is_ours(&self) -> bool {
        let ours = |outcome: &str| matches!(outcome, "opened" | "joined");
        ours(&self.outcome) || (self.outcome == "duplicate" && ours(&self.original))
    }
}

#[test]
fn two_hundred_messages_become_cases_and_the_mailboxes_stay_as_they_were() {
    let Some(dovecot) = dovecot() else { return };
    let smtp = smtp_server();
    let installation = installation(&dovecot, &smtp);
    let samples = samples::two_hundred();

    // What people have in their mailboxes before linjevei comes.
    let long_ago = SystemTime::now() - Duration::from_hours(72);
    let mut expected: BTreeMap<&str, BTreeMap<u32, Vec<String>>> = BTreeMap::new();
    let old_flags: [&[&str]; 5] = [
        &[],
        &["\\Seen"],
        &["\\Flagged"],
        &["\\Seen", "\\Answered"],
        &["\\Seen", "Privat"],
    ];
    for (user, of) in [(LEFT, 0..5), (FLAGGED, 5..10)] {
        for number in of.clone() {
            dovecot.drop_message(user, &report(number, "Gammelt."), long_ago);
        }
        let mut client = dovecot.client(user);
        client.ok("SELECT INBOX");
        for (uid, flags) in (1..).zip(old_flags) {
            if !flags.is_empty() {
                client.ok(&format!("UID STORE {uid} +FLAGS ({})", flags.join(" ")));
            }
        }
        expected.insert(
            user,
            (1..)
                .zip(old_flags.iter().map(|flags| sorted(flags)))
                .collect(),
        );
        assert_eq!(dovecot.flags(user, "INBOX"), expected[user]);
    }

    let doctor = installation.run(["doctor"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));

    let worker = installation.start_and_wait();
    installation.until("the old mail is seen", |this| this.messages().len() == 10);
    installation.until_worked_off(10);
    assert!(
        installation
            .messages()
            .iter()
            .all(|row| row["outcome"] == "left-alone" && row["reason"] == "before-live")
    );

    // 200 messages by two ways into two mailboxes, while people read some of them.
    let mut uids: BTreeMap<&str, u32> = BTreeMap::from([(LEFT, 5), (FLAGGED, 5)]);
    let mut delivered: Vec<(&str, &str)> = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let user = if number % 4 < 2 { LEFT } else { FLAGGED };
        if number % 2 == 0 {
            dovecot.deliver(&[user], &sample.bytes);
        } else {
            dovecot.drop_message(user, &sample.bytes, SystemTime::now());
        }
        delivered.push((user, &sample.hash));
        *uids.get_mut(user).unwrap() += 1;
        if number % 20 == 19 {
            let flags: &[&str] =
                [&["\\Seen"][..], &["\\Flagged", "\\Seen"], &["\\Answered"]][number / 20 % 3];
            let mut client = dovecot.client(user);
            client.ok("SELECT INBOX");
            client.ok("NOOP");
            let uid = uids[user];
            client.ok(&format!("UID STORE {uid} +FLAGS ({})", flags.join(" ")));
            expected.get_mut(user).unwrap().insert(uid, sorted(flags));
        }
    }
    for (user, last) in &uids {
        for uid in 6..=*last {
            expected.get_mut(user).unwrap().entry(uid).or_default();
        }
    }
    installation.until_worked_off(210);

    // Each delivered message is stored once, whole, and has one outcome.
    let rows = stored(&installation);
    assert_eq!(rows.len(), 210);
    let name_of: BTreeMap<&str, &str> = samples
        .iter()
        .map(|sample| (sample.hash.as_str(), sample.name.as_str()))
        .collect();
    // A mail server may replace NUL, which has no place in mail, so one broken sample comes changed.
    let broken: Vec<&str> = samples
        .iter()
        .filter(|sample| sample.bytes.contains(&0))
        .map(|sample| sample.name.as_str())
        .collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
    let named =
        |source: &str, hash: &str| format!("{source} {}", name_of.get(hash).unwrap_or(&broken[0]));
    let mut taken_in: Vec<String> = rows[10..]
        .iter()
        .map(|row| named(&row.source, &row.content_hash))
        .collect();
    let mut delivered: Vec<String> = delivered
        .iter()
        .map(|(user, hash)| named(user, hash))
        .collect();
    taken_in.sort_unstable();
    delivered.sort_unstable();
    let differing = |a: &[String], b: &[String]| {
        a.iter()
            .filter(|name| !b.contains(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        differing(&delivered, &taken_in),
        Vec::<String>::new(),
        "not taken in as delivered"
    );
    assert_eq!(taken_in, delivered);
    let messages = installation.messages();
    each_message_has_one_outcome(&messages);
    let cases = installation.cases();
    let outbox = installation.outbox();
    numbers_have_no_gap(&cases, &messages);
    each_case_has_one_acknowledgement_decision(&cases, &outbox);
    assert!(
        outbox.iter().all(|row| row["state"] == "sent"),
        "all mail is sent"
    );
    let of_kind = |kinds: &[&str]| {
        outbox
            .iter()
            .filter(|row| kinds.contains(&row["kind"].as_str().unwrap()))
            .count()
    };
    let (acknowledged, routed) = (
        of_kind(&["kvittering"]),
        of_kind(&["sak", "varsel", "kort", "orientering", "orienteringsvarsel"]),
    );
    eprintln!(
        "{} messages: {} cases, {} joined, {} duplicates, {} left alone; {acknowledged} acknowledged, {routed} mails to parties",
        messages.len(),
        cases.len(),
        count(&messages, "joined"),
        count(&messages, "duplicate"),
        count(&messages, "left-alone"),
    );
    assert!(cases.len() > 100 && acknowledged > 50 && routed > 50);
    let placed = cases
        .iter()
        .filter(|case| {
            matches!(
                case["state"].as_str(),
                Some("sent" | "secure-handover" | "registered")
            )
        })
        .count();
    assert!(placed > 50, "{placed} cases were given to a party");

    // The server got each of our mails once, and nothing else.
    let received = smtp.received();
    assert!(
        received
            .iter()
            .all(|mail| mail.encrypted && mail.user.as_deref() == Some(SMTP_USER))
    );
    let got: Vec<String> = received
        .iter()
        .map(|mail| parsed(mail).message_id.unwrap())
        .collect();
    let ours: BTreeSet<&str> = outbox
        .iter()
        .map(|row| row["message_id"].as_str().unwrap())
        .collect();
    assert_eq!(got.len(), outbox.len());
    assert_eq!(
        got.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        ours
    );
    acknowledgements_say_nothing_of_the_reports(&installation, &received);

    // Only the keyword, only on ours, only where it is configured.
    for row in rows
        .iter()
        .filter(|row| row.source == FLAGGED && row.is_ours())
    {
        let flags = expected
            .get_mut(FLAGGED)
            .unwrap()
            .get_mut(&row.position_key.parse().unwrap())
            .unwrap();
        flags.push(KEYWORD.to_owned());
        flags.sort();
    }
    let as_expected = |user: &str| dovecot.flags(user, "INBOX") == expected[user];
    assert!(
        wait_until(AT_MOST, || as_expected(FLAGGED)),
        "{:?}\n{:?}",
        dovecot.flags(FLAGGED, "INBOX"),
        expected[FLAGGED]
    );
    assert_eq!(dovecot.flags(LEFT, "INBOX"), expected[LEFT]);

    let mut log = stops_cleanly(worker);

    // A second run finds nothing to do.
    let before = (
        installation.cases(),
        installation.messages(),
        installation.outbox(),
    );
    let began = jiff::Timestamp::now().as_millisecond();
    let worker = installation.start_and_wait();
    let checked = "SELECT min(checked_at_ms) FROM source_cursor";
    installation.until("both mailboxes are looked through again", |this| {
        this.number(checked) > began
    });
    // A new message shows that everything before it has been looked at.
    dovecot.deliver(&[LEFT], &report(1000, "Nytt."));
    installation.until_worked_off(211);
    log.extend(stops_cleanly(worker));
    let mut after = (
        installation.cases(),
        installation.messages(),
        installation.outbox(),
    );
    assert_eq!(after.0.len(), before.0.len() + 1);
    let new = after.0.pop().unwrap()["case"].clone();
    after.1.pop();
    after.2.retain(|row| row["case"] != new);
    assert_eq!(after, before);
    let new_mail = installation.outbox().len() - before.2.len();
    assert_eq!(smtp.received().len(), received.len() + new_mail);
    expected
        .get_mut(LEFT)
        .unwrap()
        .insert(uids[LEFT] + 1, Vec::new());
    for user in [LEFT, FLAGGED] {
        assert_eq!(dovecot.flags(user, "INBOX"), expected[user]);
    }

    log_holds_nothing_of(&log, &samples);
}

fn parsed(mail: &Received) -> Message {
    message::parse(&mail.bytes, &Limits::default()).unwrap()
}

/// Words of three letters or more, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 2 && word.chars().any(char::is_alphabetic))
        .map(str::to_lowercase)
        .collect()
}

/// Acknowledgements: null return path, marked as automatic, to the reporter alone, and every word of theirs comes from our
/// templates, the directory of parties or the calendar.
fn acknowledgements_say_nothing_of_the_reports(installation: &Installation, received: &[Received]) {
    let templates = linjevei::template::shipped();
    let mut known: BTreeSet<String> = templates
        .iter()
        .filter(|(name, _)| {
            name.contains("kvittering") || name.contains("_hilsen") || name.contains("_ramme")
        })
        .flat_map(|(_, text)| words(text))
        .collect();
    assert!(known.len() > 50, "the templates are there");
    for id in names::TYPES.map(|(id, ..)| id) {
        for language in [Language::Bokmal, Language::Nynorsk] {
            known.extend(words(names::type_name_in(id, language)));
        }
    }
    let months =
        "januar februar mars april mai juni juli august september oktober november desember";
    known.extend(words(months));
    known.extend(words("SAK Samhandlingsavdelingen Samhandlingsavdelinga"));
    for file in fs::read_dir(repository().join("rules/ostfold")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let file: toml::Table = text.parse().unwrap();
        for party in file
            .get("parties")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
        {
            known.extend(words(party["name"].as_str().unwrap()));
        }
    }
    let rows: Vec<(String, String, String, String)> = installation.rows(
        "SELECT o.rfc_message_id, c.reporter_address, c.reporter_message_id, c.reference FROM outbox o \
         JOIN cases c ON c.id = o.case_id WHERE o.kind = 'kvittering'",
    );
    let reporters: BTreeMap<&str, &(String, String, String, String)> =
        rows.iter().map(|row| (row.0.as_str(), row)).collect();
    let mut looked_at = 0;
    for mail in received {
        let message = parsed(mail);
        let Some((_, address, report_id, reference)) =
            reporters.get(message.message_id.as_deref().unwrap())
        else {
            // Mail to a party may bounce, and says that a machine wrote it too.
            assert!(!mail.from.is_empty());
            assert_eq!(message.header("Auto-Submitted"), Some("auto-generated"));
            continue;
        };
        looked_at += 1;
        assert_eq!(mail.from, "");
        assert_eq!(mail.to, std::slice::from_ref(address));
        assert_eq!(message.header("Auto-Submitted"), Some("auto-replied"));
        assert_eq!(message.header("X-Loop"), Some(ADDRESS));
        assert_eq!((message.to.len(), message.cc.len()), (1, 0));
        assert_eq!(
            (message.to[0].name.as_str(), message.to[0].address.as_str()),
            ("", address.as_str())
        );
        if !report_id.is_empty() {
            assert_eq!(message.in_reply_to, std::slice::from_ref(report_id));
        }
        assert!(message.attachments.is_empty());
        let known_here: BTreeSet<String> = known.union(&words(reference)).cloned().collect();
        let raw = mail_parser::MessageParser::default()
            .parse(&mail.bytes)
            .unwrap();
        let (text, html) = (
            raw.body_text(0).unwrap(),
            raw.body_html(0).unwrap().replace("&#x2f;", "/"),
        );
        assert!(raw.body_text(1).is_none() && html.contains("<html"));
        for text in [raw.subject().unwrap(), &text, &html] {
            let said = words(text);
            let of_the_report: Vec<&String> = said.difference(&known_here).collect();
            assert!(of_the_report.is_empty(), "{of_the_report:?}");
        }
    }
    assert_eq!(looked_at, rows.len());
}

/// Nothing that tells who wrote or about what stands in the log.
fn log_holds_nothing_of(log: &[String], samples: &[samples::Sample]) {
    assert!(log.len() > 200, "a line a message");
    let log = log.join("\n").to_lowercase();
    assert!(!log.contains('@'), "no address of anybody");
    let mut looked_for = 0;
    for sample in samples {
        let Ok(message) = message::parse(&sample.bytes, &Limits::default()) else {
            continue;
        };
        let mut personal = vec![message.subject.clone()];
        for address in message
            .from
            .iter()
            .chain(&message.reply_to)
            .chain(&message.to)
            .chain(&message.cc)
        {
            personal.extend([address.name.clone(), address.address.clone()]);
        }
        personal.extend(
            message
                .attachments
                .iter()
                .map(|attachment| attachment.name.clone()),
        );
        for text in personal.iter().filter(|text| text.chars().count() > 4) {
            looked_for += 1;
            assert!(
                !log.contains(&text.to_lowercase()),
                "something of {} is in the log",
                sample.name
            );
        }
    }
    assert!(looked_for > 500);
}

#[test]
fn the_same_mail_in_both_mailboxes_is_one_case_and_a_shared_message_id_is_two() {
    let Some(dovecot) = dovecot() else { return };
    let smtp = smtp_server();
    let installation = installation(&dovecot, &smtp);
    let worker = installation.start_and_wait();

    // Once to both, and the same text once more in other line ends and with the trace of another way.
    let mail = report(1, "Én melding til to adresser.");
    dovecot.deliver(&[LEFT, FLAGGED], &mail);
    let unix: Vec<u8> = mail.iter().copied().filter(|byte| *byte != b'\r').collect();
    let again = [
        b"Received: from a.example by b.example; Mon, 2 Nov 2026 09:00:01 +0100\nX-Spam-Score: 0\n",
        &unix[..],
    ]
    .concat();
    dovecot.drop_message(FLAGGED, &again, SystemTime::now());
    installation.until_worked_off(3);
    let messages = installation.messages();
    assert_eq!(
        (count(&messages, "opened"), count(&messages, "duplicate")),
        (1, 2),
        "{messages:?}"
    );
    assert_eq!(installation.cases().len(), 1);
    assert_eq!(
        installation
            .outbox()
            .iter()
            .filter(|row| row["kind"] == "kvittering")
            .count(),
        1
    );
    // The copies are treated like the first.
    let keyword = || {
        dovecot
            .flags(FLAGGED, "INBOX")
            .values()
            .all(|flags| *flags == [KEYWORD])
    };
    assert!(
        wait_until(AT_MOST, keyword),
        "{:?}",
        dovecot.flags(FLAGGED, "INBOX")
    );
    assert!(dovecot.flags(LEFT, "INBOX").values().all(Vec::is_empty));

    // A program that gives every mail the same Message-ID.
    dovecot.deliver(&[LEFT], &report(7, "Den første."));
    dovecot.deliver(&[LEFT], &report(7, "Den andre, om en annen pasient."));
    installation.until_worked_off(5);
    let messages = installation.messages();
    assert_eq!(
        (count(&messages, "opened"), count(&messages, "duplicate")),
        (3, 2),
        "{messages:?}"
    );
    let cases = installation.cases();
    assert_eq!(cases.len(), 3);
    assert_eq!(count(&messages, "joined"), 0);
    stops_cleanly(worker);
    assert_eq!(smtp.received().len(), installation.outbox().len());
}

#[test]
fn a_wrong_password_on_one_mailbox_does_not_stop_the_other() {
    let Some(dovecot) = dovecot() else { return };
    let smtp = smtp_server();
    let installation = installation(&dovecot, &smtp);
    installation.secret("kilde-to.password", "et helt annet ord");
    let doctor = installation.run(["doctor", "--json"]);
    assert_eq!(doctor.status.code(), Some(1), "{}", said(&doctor));
    let bad: Vec<Value> = worker::json_lines(&String::from_utf8(doctor.stdout).unwrap());
    let bad: Vec<&Value> = bad.iter().filter(|line| line["ok"] == false).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0]["part"], "source kilde-to");

    let worker = installation.start_and_wait();
    dovecot.deliver(&[LEFT, FLAGGED], &report(1, "Bare én av dem kan leses."));
    installation.until_worked_off(1);
    assert_eq!(installation.cases().len(), 1);
    worker.expect_line("the source needs a person", AT_MOST);
    let complaint = worker
        .log()
        .into_iter()
        .find(|line| line.contains("the source needs a person"))
        .unwrap();
    assert!(
        complaint.contains(FLAGGED) && !complaint.contains("helt annet"),
        "{complaint}"
    );

    // Once the password is right, the other one is read too.
    stops_cleanly(worker);
    installation.secret("kilde-to.password", PASSWORD);
    let worker = installation.start_and_wait();
    installation.until_worked_off(2);
    assert_eq!(count(&installation.messages(), "duplicate"), 1);
    stops_cleanly(worker);
}

#[test]
fn mail_goes_out_when_the_smtp_server_is_there_again() {
    let Some(dovecot) = dovecot() else { return };
    let smtp = smtp_server();
    smtp.set(Script {
        greeting: Act::Close,
        ..script()
    });
    let installation = installation(&dovecot, &smtp);
    let worker = installation.start_and_wait();
    dovecot.deliver(&[LEFT], &report(1, "Ingen tar imot posten vår."));
    installation.until("an attempt has failed", |this| {
        this.outbox()
            .iter()
            .any(|row| row["attempts"].as_i64() > Some(0) && row["state"] == "queued")
    });
    // The case is there and nothing is lost; the mail waits for a later attempt.
    let waiting = installation.outbox();
    assert_eq!(installation.cases().len(), 1);
    assert!(
        waiting
            .iter()
            .all(|row| row["state"] == "queued" && row["unknown_outcomes"] == 0),
        "{waiting:?}"
    );
    let now_ms = jiff::Timestamp::now().as_millisecond();
    assert!(
        waiting
            .iter()
            .any(|row| row["next_attempt_at_ms"].as_i64().unwrap() > now_ms + 30_000)
    );
    assert!(smtp.received().is_empty());

    smtp.set(script());
    for row in &waiting {
        installation.ok(["outbox", "retry", &row["id"].to_string()]);
    }
    installation.until("all mail is sent", |this| {
        this.outbox().iter().all(|row| row["state"] == "sent")
    });
    stops_cleanly(worker);
    let got: BTreeSet<String> = smtp
        .received()
        .iter()
        .map(|mail| parsed(mail).message_id.unwrap())
        .collect();
    assert_eq!(
        (got.len(), smtp.received().len()),
        (waiting.len(), waiting.len())
    );
}

#[test]
fn a_mail_that_arrives_in_the_second_of_the_first_start_is_not_left_alone() {
    let Some(dovecot) = dovecot() else { return };
    let smtp = smtp_server();
    let installation = installation(&dovecot, &smtp);
    // The worker remembers the moment of its first start to the millisecond; INTERNALDATE knows seconds.
    let worker = installation.start_and_wait();
    let live_since: i64 = installation
        .rows::<(String,)>("SELECT value FROM setting WHERE name = 'live-since-ms'")[0]
        .0
        .parse()
        .unwrap();
    let same_second =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(live_since / 1000).unwrap());
    dovecot.drop_message(LEFT, &report(1, "Samme sekund."), same_second);
    dovecot.drop_message(
        LEFT,
        &report(2, "Sekundet før."),
        same_second - Duration::from_secs(1),
    );
    installation.until_worked_off(2);
    let outcome = |number| {
        let hash = content_hash(&report(
            number,
            if number == 1 {
                "Samme sekund."
            } else {
                "Sekundet før."
            },
        ))
        .0;
        stored(&installation)
            .into_iter()
            .find(|row| row.content_hash == hash)
            .unwrap()
            .outcome
    };
    assert_eq!(
        (outcome(1).as_str(), outcome(2).as_str()),
        ("opened", "left-alone")
    );
    stops_cleanly(worker);
}
