//! The worker on mailboxes that live for years: a real Dovecot behind a line that is cut, mute, slow or refused, a server that
//! dies and comes back, folders that are replaced, mail that goes away while it is read, a 60 MB mail, one sick mailbox among
//! several, and a mailbox full of old mail.
//!
//! `LINJEVEI_TEST_MAILBOX=100000` sets how many old messages lie in that last one (400 without it); the worker's peak
//! memory is printed (`--nocapture`) and has the same limit for every number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    reason = "each test is one story"
)]

#[path = "support/checks.rs"]
mod checks;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "support/worker.rs"]
mod worker;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use checks::{
    count, each_case_has_one_acknowledgement_decision, each_message_has_one_outcome,
    numbers_have_no_gap,
};
use linjevei::message::{self, Limits};
use proxy::{Cut, Proxy};
use smtp::{Script, SmtpServer};
use support::dovecot::{BareImap, Dovecot, Options, PASSWORD};
use support::net::{free_ports, wait_until};
use worker::{AT_MOST, Installation, Worker, settings};

/// Rules that leave no doubt and compile at once.
const RULES: &str = r#"
[own]
addresses = ["samhandlingsavvik@so-hf.example"]
domains = ["so-hf.example"]

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

/// One watched folder.
struct Watch {
    name: &'static str,
    user: &'static str,
    folder: &'static str,
    more: &'static str,
}

const INBOX: Watch = Watch {
    name: "post",
    user: "post",
    folder: "INBOX",
    more: "",
};

/// Dovecot, a line for each watched folder, a mail server, an installation.
struct Scene {
    dovecot: Dovecot,
    lines: BTreeMap<&'static str, Proxy>,
    smtp: SmtpServer,
    installation: Installation,
    health: u16,
    written: Cell<u32>,
}

impl Scene {
    /// `None`: there is no Dovecot, which has been said.
    fn new(watches: &[Watch], timeout_secs: u32) -> Option<Self> {
        let mut users: Vec<String> = watches.iter().map(|watch| watch.user.to_owned()).collect();
        users.dedup();
        let dovecot = Dovecot::with(&Options {
            users,
            ..Options::default()
        })?;
        let smtp = SmtpServer::start(Script::default());
        let [health] = free_ports();
        let rules = format!("{}/rules/ostfold", worker::repository().display());
        let mut text = settings().replace(&rules, "rules");
        let mut lines = BTreeMap::new();
        for watch in watches {
            let line = Proxy::start(dovecot.imap);
            write!(
                text,
                "\n[[imap]]\nname = \"{}\"\nhost = \"127.0.0.1\"\ntls = \"none\"\nport = {}\nuser = \"{}\"\n\
                 password_file = \"password\"\nfolder = \"{}\"\npoll_secs = 1\ntimeout_secs = {timeout_secs}\n{}\n",
                watch.name, line.port, watch.user, watch.folder, watch.more
            )
            .unwrap();
            lines.insert(watch.name, line);
        }
        write!(
            text,
            "\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\n\
             [health]\nlisten = \"127.0.0.1:{health}\"\nmax_check_age_secs = 5\n",
            smtp.addr.port()
        )
        .unwrap();
        let installation = Installation::new(&text);
        installation.secret("password", PASSWORD);
        fs::create_dir(installation.path().join("rules")).unwrap();
        fs::write(installation.path().join("rules/regler.toml"), RULES).unwrap();
        Some(Self {
            dovecot,
            lines,
            smtp,
            installation,
            health,
            written: Cell::new(0),
        })
    }

    fn line(&self) -> &Proxy {
        self.lines.values().next().unwrap()
    }

    /// Starts the worker and waits until every mailbox is watched. What comes then comes after the switch to live, also by
    /// INTERNALDATE, which knows whole seconds only.
    fn start(&self) -> Worker {
        let worker = self.installation.start_and_wait();
        self.until_idle();
        std::thread::sleep(Duration::from_secs(1));
        worker
    }

    fn until_idle(&self) {
        let idle = wait_until(AT_MOST, || self.lines.values().all(Proxy::idles));
        assert!(idle, "somebody does not wait for mail");
    }

    /// A report unlike all others.
    fn report(&self) -> Vec<u8> {
        let number = self.written.get() + 1;
        self.written.set(number);
        let words = [
            "epikrisen",
            "medisinlisten",
            "henvisningen",
            "prøvesvaret",
            "hjemreisen",
        ];
        let word = words[usize::try_from(number).unwrap() % words.len()];
        format!(
            "From: Lege Testesen <lege{number}@legesenter{number}.example>\r\nTo: samhandlingsavvik@so-hf.example\r\n\
             Subject: Avviksmelding {number}\r\nMessage-ID: <{number}.aar@legesenter{number}.example>\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\nMedisinsak nummer {number}: {word} kom ikke fram i uke {number}.\r\n"
        )
        .into_bytes()
    }

    fn deliver(&self, user: &str, how_many: usize) {
        for _ in 0..how_many {
            self.dovecot.deliver(&[user], &self.report());
        }
    }

    /// Waits until so many messages are stored and everything is sent.
    fn until_worked_off(&self, messages: i64) {
        self.installation.until("everything is worked off", |this| {
            this.number("SELECT count(*) FROM message WHERE outcome <> 'pending'") >= messages
                && this.number("SELECT count(*) FROM message WHERE outcome = 'pending'") == 0
                && this.number("SELECT count(*) FROM outbox WHERE state <> 'sent'") == 0
        });
    }

    fn ask(&self) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.health)).unwrap();
        stream.set_read_timeout(Some(AT_MOST)).unwrap();
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn until_health(&self, status: u16) -> String {
        let mut body = String::new();
        let right = wait_until(AT_MOST, || {
            let (now, said) = self.ask();
            body = said;
            now == status
        });
        assert!(right, "the health is not {status}: {body}");
        body
    }

    /// Waits until the work is done, then: every message has one outcome, every case one acknowledgement, sent once, and all
    /// mailboxes are well.
    fn all_is_well(&self, opened: usize, duplicates: usize) {
        let total = i64::try_from(opened + duplicates).unwrap();
        self.until_worked_off(total);
        let since = jiff::Timestamp::now().as_millisecond();
        self.installation
            .until("every mailbox is checked again", |this| {
                let checked: Vec<(i64,)> = this.rows("SELECT checked_at_ms FROM source_cursor");
                checked.len() == self.lines.len() && checked.iter().all(|(at_ms,)| *at_ms > since)
            });
        self.until_health(200);
        let (messages, cases, outbox) = (
            self.installation.messages(),
            self.installation.cases(),
            self.installation.outbox(),
        );
        each_message_has_one_outcome(&messages);
        numbers_have_no_gap(&cases, &messages);
        each_case_has_one_acknowledgement_decision(&cases, &outbox);
        assert_eq!(count(&messages, "opened"), opened);
        assert_eq!(count(&messages, "duplicate"), duplicates);
        assert_eq!(messages.len(), opened + duplicates);
        let acknowledgements = count_kind(&outbox, "kvittering");
        assert_eq!(acknowledgements, opened, "one acknowledgement a case");
        let mut sent: BTreeMap<String, usize> = BTreeMap::new();
        for mail in self.smtp.received() {
            let id = message::parse(&mail.bytes, &Limits::default())
                .unwrap()
                .message_id
                .unwrap();
            *sent.entry(id).or_default() += 1;
        }
        assert_eq!(sent.len(), outbox.len());
        assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    }

    /// Nothing is missing by the program's own count of what lies at the source.
    fn adds_up(&self) {
        self.installation.ok(["reconcile"]);
    }
}

fn count_kind(outbox: &[serde_json::Value], kind: &str) -> usize {
    outbox.iter().filter(|row| row["kind"] == kind).count()
}

fn stop(worker: Worker) -> Vec<String> {
    let (status, _, log) = worker.stop();
    assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
    log
}

#[test]
fn a_line_that_is_cut_in_the_middle_of_a_message() {
    let Some(scene) = Scene::new(&[INBOX], 3) else {
        return;
    };
    let worker = scene.start();
    let line = scene.line();
    // In the line before the text, after its first bytes, far into it; twice in a row in the same one, too.
    for (after, how) in [
        (2, Cut::Rst),
        (40, Cut::Fin),
        (150, Cut::Rst),
        (200_000, Cut::Fin),
        (60_000, Cut::Rst),
    ] {
        line.cut_in_text(after, how);
    }
    let mut large = scene.report();
    large.extend(
        "Dette er en linje i et langt vedlegg.\r\n"
            .repeat(9_000)
            .bytes(),
    );
    scene.dovecot.deliver(&[INBOX.user], &large);
    scene.deliver(INBOX.user, 9);
    scene
        .dovecot
        .deliver(&[INBOX.user], &[scene.report(), large].concat());
    scene.all_is_well(11, 0);
    assert_eq!(line.texts_cut(), 5);
    scene.adds_up();
    stop(worker);
}

#[test]
fn a_line_that_dies_while_nobody_speaks() {
    let Some(scene) = Scene::new(&[INBOX], 2) else {
        return;
    };
    let worker = scene.start();
    let line = scene.line();
    for how in [Cut::Fin, Cut::Rst] {
        let before = line.connections();
        line.cut(how);
        assert!(wait_until(AT_MOST, || line.connections() > before));
        scene.until_idle();
        scene.deliver(INBOX.user, 1);
    }
    scene.all_is_well(2, 0);

    // Half open: nobody says that the line is dead.
    scene.until_idle();
    line.mute();
    scene.deliver(INBOX.user, 1);
    scene.all_is_well(3, 0);

    // As long as the line is well nobody connects again, whatever is decided meanwhile.
    let before = line.connections();
    for messages in 4..9 {
        scene.until_idle();
        scene.deliver(INBOX.user, 1);
        scene.until_worked_off(messages);
    }
    assert_eq!(line.connections(), before);
    scene.all_is_well(8, 0);
    stop(worker);
}

#[test]
fn a_slow_line_is_not_a_dead_one() {
    let Some(scene) = Scene::new(&[INBOX], 2) else {
        return;
    };
    let worker = scene.start();
    let before = scene.line().connections();
    // Longer than the server may be silent: three times the setting while a text is read.
    scene.line().slow(16_000);
    let mut large = scene.report();
    large.extend(
        "Dette er en linje i et langt vedlegg.\r\n"
            .repeat(3_700)
            .bytes(),
    );
    assert!(large.len() > 8 * 16_000);
    scene.dovecot.deliver(&[INBOX.user], &large);
    scene.until_worked_off(1);
    assert_eq!(scene.line().connections(), before);
    scene.line().heal();
    scene.all_is_well(1, 0);
    stop(worker);
}

#[test]
fn a_server_that_takes_no_connections_and_comes_back() {
    let Some(scene) = Scene::new(&[INBOX], 3) else {
        return;
    };
    let worker = scene.start();
    scene.until_health(200);
    scene.line().refuse();
    scene.deliver(INBOX.user, 2);
    let body = scene.until_health(503);
    assert!(body.contains("post"), "{body}");
    worker.expect_line("refuses the connection", AT_MOST);
    scene.line().heal();
    scene.all_is_well(2, 0);
    stop(worker);
}

#[test]
fn a_server_that_is_restarted() {
    let Some(mut scene) = Scene::new(&[INBOX], 3) else {
        return;
    };
    let worker = scene.start();
    scene.deliver(INBOX.user, 1);
    scene.until_worked_off(1);
    scene.until_idle();
    scene.dovecot.restart();
    scene.deliver(INBOX.user, 1);
    scene.all_is_well(2, 0);

    // It dies at once while mail is asked for.
    scene.line().hold("BODY.PEEK[]");
    scene.deliver(INBOX.user, 20);
    assert!(wait_until(AT_MOST, || scene.line().holds()));
    scene.dovecot.kill();
    scene.line().release();
    scene.dovecot.restart();
    scene.deliver(INBOX.user, 1);
    scene.all_is_well(23, 0);
    scene.adds_up();
    stop(worker);
}

/// Dovecot says NO when the folder changes while it deletes it, because somebody else looks at it. Where it goes on saying so,
/// the folder is renamed out of the way, as programs do that move what is deleted to a folder of its own.
fn delete(client: &mut BareImap, folder: &str) {
    let mut is_gone = |command: &str| {
        client.command(command);
        client.ok(&format!("LIST \"\" {folder}")).len() == 1
    };
    let deleted = wait_until(Duration::from_secs(20), || {
        is_gone(&format!("DELETE {folder}"))
    });
    assert!(
        deleted || is_gone(&format!("RENAME {folder} Borte")),
        "{folder} cannot be deleted"
    );
}

#[test]
fn a_folder_that_is_deleted_and_made_anew_is_read_anew_and_nothing_happens_twice() {
    let watch = Watch {
        name: "avvik",
        folder: "Avvik",
        more: "flag = \"linjevei\"",
        ..INBOX
    };
    let Some(scene) = Scene::new(&[watch], 3) else {
        return;
    };
    let mut client = scene.dovecot.client(INBOX.user);
    client.ok("CREATE Avvik");
    let worker = scene.start();
    // Dovecot notices at its first use that the index of a folder made anew is another, and a connection that has noticed may
    // refuse for good: the next one reads the index afresh.
    let move_to_avvik = || {
        let moved = || {
            let mut client = scene.dovecot.client(INBOX.user);
            client.ok("SELECT INBOX");
            let said = client.command("UID MOVE 1:* Avvik");
            said.last().unwrap().contains(" OK")
        };
        assert!(wait_until(AT_MOST, moved));
    };
    scene.deliver(INBOX.user, 3);
    move_to_avvik();
    scene.until_worked_off(3);
    let flagged = |how_many: usize| {
        wait_until(AT_MOST, || {
            let flags = scene.dovecot.flags(INBOX.user, "Avvik");
            flags.len() == how_many && flags.values().all(|flags| flags == &["linjevei"])
        })
    };
    assert!(flagged(3));

    // The same mail in a new folder of the same name: copies, which are treated like the originals.
    scene.until_idle();
    client.ok("RENAME Avvik Gammel");
    client.ok("CREATE Avvik");
    client.ok("SELECT Gammel");
    client.ok("UID STORE 1:* -FLAGS (linjevei)");
    client.ok("UID COPY 1:* Avvik");
    client.ok("UNSELECT");
    delete(&mut client, "Gammel");
    scene.deliver(INBOX.user, 1);
    move_to_avvik();
    scene.until_worked_off(7);
    assert!(flagged(4));

    // An empty one, and new mail under old numbers.
    scene.until_idle();
    delete(&mut client, "Avvik");
    client.ok("CREATE Avvik");
    scene.deliver(INBOX.user, 2);
    move_to_avvik();
    scene.all_is_well(6, 3);
    assert!(flagged(2));
    let positions = scene
        .installation
        .number("SELECT count(DISTINCT uid_validity) FROM message");
    assert_eq!(positions, 3);
    scene.adds_up();
    stop(worker);
}

#[test]
fn mail_that_goes_away_or_moves_while_it_is_read() {
    let archive = Watch {
        name: "arkiv",
        folder: "Arkiv",
        ..INBOX
    };
    let Some(scene) = Scene::new(&[INBOX, archive], 3) else {
        return;
    };
    let mut client = scene.dovecot.client(INBOX.user);
    client.ok("CREATE Arkiv");
    let worker = scene.start();
    let inbox = &scene.lines["post"];
    inbox.hold("BODY.PEEK[]");
    scene.deliver(INBOX.user, 6);
    assert!(wait_until(AT_MOST, || inbox.holds()));
    // Listed are at least those that are being asked for now; the others are listed after they have gone, if at all.
    client.ok("SELECT INBOX");
    client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("UID EXPUNGE 1");
    client.ok("UID MOVE 2 Arkiv");
    inbox.release();
    scene.until_worked_off(5);
    let gone = scene
        .installation
        .number("SELECT sum(gone) FROM source_cursor");
    assert!((1..=2).contains(&gone), "{gone}");

    // What moves later is a copy of what is known.
    client.ok("UID MOVE 3:4 Arkiv");
    scene.all_is_well(5, 2);
    scene.adds_up();
    stop(worker);
}

#[test]
fn a_mail_of_60_mb_takes_bounded_memory() {
    let Some(scene) = Scene::new(&[INBOX], 10) else {
        return;
    };
    let worker = scene.start();
    scene.deliver(INBOX.user, 1);
    scene.until_worked_off(1);
    let before = worker.peak_kb();
    let small = String::from_utf8(scene.report()).unwrap();
    let (head, text) = small.split_once("\r\n\r\n").unwrap();
    let head = head.replace(
        "text/plain; charset=utf-8",
        "multipart/mixed; boundary=\"skille\"",
    );
    let mut large = format!(
        "{head}\r\n\r\n--skille\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--skille\r\n\
         Content-Type: application/pdf; name=\"bilder.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    let line = format!("{}\r\n", "QUJD".repeat(19));
    while large.len() < 60_000_000 {
        large.extend_from_slice(line.as_bytes());
    }
    large.extend_from_slice(b"--skille--\r\n");
    scene
        .dovecot
        .drop_message(INBOX.user, &large, SystemTime::now());
    scene.until_worked_off(2);
    let peak = worker.peak_kb();
    eprintln!(
        "a mail of 60 MB: peak memory {} MB, {} MB before it",
        peak / 1024,
        before / 1024
    );
    assert!(peak - before < LARGE_MAIL_KB, "{} MB", peak / 1024);
    let stored = scene.installation.number(
        "SELECT max(total) FROM (SELECT sum(length(bytes)) AS total FROM message_chunk GROUP BY message_id)",
    );
    assert_eq!(usize::try_from(stored).unwrap(), large.len());
    scene.all_is_well(2, 0);
    stop(worker);
}

/// What a mail of 60 MB may cost beyond what the worker takes anyway.
const LARGE_MAIL_KB: u64 = 180 * 1024;

#[test]
fn one_mailbox_that_hangs_does_not_hold_up_the_others() {
    let watches = [
        INBOX,
        Watch {
            name: "syk",
            user: "syk",
            ..INBOX
        },
        Watch {
            name: "frisk",
            user: "frisk",
            ..INBOX
        },
    ];
    let Some(scene) = Scene::new(&watches, 4) else {
        return;
    };
    let worker = scene.start();
    scene.lines["syk"].mute_all();
    scene.deliver("syk", 2);
    let body = scene.until_health(503);
    assert!(body.contains("source syk"), "{body}");
    // The others go on and are well, all the while.
    for round in 1..4 {
        scene.deliver("post", 1);
        scene.deliver("frisk", 1);
        scene.until_worked_off(round * 2);
    }
    let (status, body) = scene.ask();
    assert_eq!(status, 503);
    assert!(
        body.contains("source syk")
            && !body.contains("source post")
            && !body.contains("source frisk"),
        "{body}"
    );
    scene.lines["syk"].heal();
    scene.all_is_well(8, 0);
    stop(worker);
}

/// Memory of the worker on a mailbox of any size.
const PEAK_KB: u64 = 128 * 1024;

fn old_messages() -> usize {
    match std::env::var("LINJEVEI_TEST_MAILBOX") {
        Ok(number) => number.parse().expect("LINJEVEI_TEST_MAILBOX is a number"),
        Err(_) => 400,
    }
}

#[test]
fn a_mailbox_full_of_old_mail_is_taken_in_after_a_kill_without_a_double_and_with_little_memory() {
    let Some(scene) = Scene::new(&[INBOX], 60) else {
        return;
    };
    let total = old_messages();
    let text = "Takk for innkallingen. Vi kommer begge to, og tar med referatet fra sist.\r\n";
    let year = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    scene.dovecot.fill(INBOX.user, total, |number| {
        // Most are short, some have attachments.
        let lines = if number % 200 == 0 { 1_500 } else { 5 + number % 60 };
        let mail = format!(
            "From: Avsender <avsender{0}@kommune{1}.example>\r\nTo: postmottak@so-hf.example\r\nSubject: Referat {0}\r\n\
             Message-ID: <{0}.gammel@kommune{1}.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{2}",
            number,
            number % 17,
            text.repeat(lines)
        );
        (mail.into_bytes(), year + Duration::from_secs(60 * number as u64))
    });
    let total = i64::try_from(total).unwrap();
    let begun = std::time::Instant::now();
    // Seldom and cheap: looking must not cost what is to be measured.
    let at_most = AT_MOST + Duration::from_millis(50) * u32::try_from(total).unwrap();
    let until = |mut ready: Box<dyn FnMut() -> bool + '_>| {
        wait_until(at_most, || {
            std::thread::sleep(Duration::from_millis(200));
            ready()
        })
    };
    // Half of it is stored when it dies, in the middle of a conversation with the server.
    let half = total / 200 * 100;
    let next = format!("UID FETCH {}:{} (UID BODY", half + 1, half + 50);
    scene.line().hold(&next);
    let worker = scene.installation.start_and_wait();
    assert!(until(Box::new(|| scene.line().holds())));
    let first_peak = worker.peak_kb();
    worker.kill();
    scene.line().release();
    let stored = || scene.installation.number("SELECT count(*) FROM message");
    let at_kill = stored();
    assert_eq!(at_kill, half);

    let worker = scene.installation.start_and_wait();
    let begun_again = begun.elapsed();
    assert!(until(Box::new(|| scene.line().idles())));
    scene.deliver(INBOX.user, 1);
    let pending = "SELECT EXISTS (SELECT 1 FROM message WHERE outcome = 'pending')";
    let done = until(Box::new(|| {
        let last = "SELECT coalesce(max(id), 0) FROM message";
        scene.installation.number(last) > total && scene.installation.number(pending) == 0
    }));
    assert!(done, "{} stored", stored());
    let took = begun.elapsed();
    let second_peak = worker.peak_kb();
    eprintln!(
        "{total} old messages: killed at {at_kill} after {begun_again:.1?}, done after {took:.1?}; peak memory {} MB, after the kill {} MB",
        first_peak / 1024,
        second_peak / 1024
    );
    assert!(first_peak < PEAK_KB && second_peak < PEAK_KB);
    scene
        .installation
        .until("the acknowledgement is sent", |this| {
            this.number("SELECT count(*) FROM outbox WHERE state = 'sent' AND kind = 'kvittering'")
                == 1
        });
    let number = |sql| scene.installation.number(sql);
    assert_eq!(stored(), total + 1);
    assert_eq!(
        number("SELECT count(*) FROM (SELECT DISTINCT uid_validity, position_key FROM message)"),
        total + 1
    );
    assert_eq!(
        number(
            "SELECT count(*) FROM message WHERE outcome = 'left-alone' AND reason = 'before-live'"
        ),
        total
    );
    assert_eq!(
        number("SELECT count(*) FROM message WHERE outcome = 'opened'"),
        1
    );
    assert_eq!(
        number("SELECT count(*) FROM message WHERE outcome = 'duplicate'"),
        0
    );
    scene.adds_up();
    // Nobody's mail has changed.
    let flags = scene.dovecot.flags(INBOX.user, "INBOX");
    let seen = flags.values().filter(|flags| *flags == &["\\Seen"]).count();
    assert_eq!(i64::try_from(seen).unwrap(), total);
    stop(worker);
}
