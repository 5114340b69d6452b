//! Under load and at rest: a backlog in a mailbox and in a file, a start with many cases, a worker with nothing to do.
//!
//! ```text
//! cargo bench --bench load -- imap 10000      a mailbox, against mbsync fetching the same one
//! cargo bench --bench load -- mbox 100000     a file, against mail-parser alone on the same messages with all cores
//! cargo bench --bench load -- start 1000000   a database with so many cases, 10 000 of them open
//! cargo bench --bench load -- idle 600        seconds with five mailboxes in which nothing happens
//! ```
//!
//! Everything is real: Dovecot, the program with the rules of Østfold, a database that is written through to the disk. What is
//! compared runs in turns. Nothing is sent: the SMTP server is not there, so the mail stays queued.
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
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support/worker.rs"]
mod worker;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use reports::about;
use support::dovecot::{Dovecot, Options, PASSWORD};
use support::net::free_ports;
use support::packages;
use worker::{ADDRESS, Installation, Worker, settings};

/// How often each side of a comparison runs.
const TURNS: usize = 2;
/// How often a running worker is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// More than anything takes.
const AT_MOST: Duration = Duration::from_hours(1);
/// Cases that are open in the database with many.
const OPEN: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let number = |default: usize| {
        arguments
            .get(1)
            .map_or(default, |number| number.parse().expect("a number"))
    };
    match arguments.first().map(String::as_str) {
        Some("imap") => imap(number(10_000)),
        Some("mbox") => mbox(number(100_000)),
        Some("start") => start(number(1_000_000)),
        Some("idle") => idle(Duration::from_secs(number(600) as u64)),
        _ => {
            imap(10_000);
            mbox(100_000);
            start(1_000_000);
            idle(Duration::from_mins(10));
        }
    }
}

/// A report, each of its own sender and about something else; lines of its own, so that none is like another. With the headers
/// that servers add on the way and the HTML that a mail program writes beside the text, some 7 kB, as such mail comes.
fn report(number: usize) -> Vec<u8> {
    let (subject, text) = about(number);
    let (mut more, mut more_html) = (String::new(), String::new());
    for line in 0..number % 13 {
        let (week, call) = (1 + (number + line) % 52, number * 31 + line * 7);
        let said = format!("Vi ringte avdelingen i uke {week} (samtale {call}) uten å få svar.");
        writeln!(more, "{said}\r").unwrap();
        writeln!(
            more_html,
            "<p class=\"MsoNormal\"><span lang=\"NO-BOK\">{said}<o:p></o:p></span></p>\r"
        )
        .unwrap();
    }
    let domain = format!("kontor{number}.example");
    let mut way = String::new();
    for hop in 0..4 {
        write!(
            way,
            "Received: from mail{hop}.{domain} (192.0.2.{hop}) by mx{hop}.so-hf.example (198.51.100.{hop})\r\n \
             with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)\r\n \
             id 15.20.{number}.{hop}; Mon, 16 Nov 2026 10:00:0{hop} +0100\r\n"
        )
        .unwrap();
    }
    let signature = format!("{number:08x}").repeat(40);
    for (at, part) in ["ARC-Seal", "ARC-Message-Signature", "DKIM-Signature"]
        .iter()
        .enumerate()
    {
        let (first, rest) = signature.split_at(70 + at);
        write!(way, "{part}: i=1; a=rsa-sha256; d={domain}; s=selector1; c=relaxed/relaxed;\r\n b={first}\r\n {rest}\r\n").unwrap();
    }
    format!(
        "{way}Authentication-Results: mx.so-hf.example; spf=pass smtp.mailfrom={domain}; dkim=pass header.d={domain}\r\n\
         From: Lege Kari Testesen <lege@{domain}>\r\nTo: {ADDRESS}\r\nSubject: Avviksmelding: {subject}\r\n\
         Thread-Topic: Avviksmelding: {subject}\r\nThread-Index: Ad{number:020}==\r\n\
         Date: Mon, 16 Nov 2026 10:00:00 +0100\r\nMessage-ID: <{number}.last@{domain}>\r\n\
         Accept-Language: nb-NO, en-US\r\nContent-Language: nb-NO\r\nX-MS-Has-Attach:\r\nX-MS-TNEF-Correlator:\r\n\
         x-ms-publictraffictype: Email\r\nx-ms-office365-filtering-correlation-id: {number:08x}-0000-4000-8000-000000000000\r\n\
         x-originating-ip: [192.0.2.7]\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=\"_000_{number}_\"\r\n\r\n\
         --_000_{number}_\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. {text}\r\n{more}Vår sak {number}. Vi ber om svar.\r\n\r\n\
         Kari Testesen, fastlege\r\n\r\n\
         --_000_{number}_\r\nContent-Type: text/html; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         <html xmlns:o=\"urn:schemas-microsoft-com:office:office\" xmlns=\"http://www.w3.org/TR/REC-html40\">\r\n<head>\r\n\
         <meta name=\"Generator\" content=\"Microsoft Word 15 (filtered medium)\">\r\n<style><!--\r\n\
         @font-face {{font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;}}\r\n\
         p.MsoNormal, li.MsoNormal, div.MsoNormal {{margin:0cm; font-size:11.0pt; font-family:\"Calibri\",sans-serif;}}\r\n\
         span.E-poststil18 {{mso-style-type:personal-compose; color:windowtext;}}\r\n\
         @page WordSection1 {{size:612.0pt 792.0pt; margin:70.85pt 70.85pt 70.85pt 70.85pt;}}\r\n--></style>\r\n</head>\r\n\
         <body lang=\"NO-BOK\" link=\"#0563C1\" vlink=\"#954F72\"><div class=\"WordSection1\">\r\n\
         <p class=\"MsoNormal\">Hei,<o:p></o:p></p>\r\n\
         <p class=\"MsoNormal\">vi melder et samhandlingsavvik. {text}<o:p></o:p></p>\r\n{more_html}\
         <p class=\"MsoNormal\">Vår sak {number}. Vi ber om svar.<o:p></o:p></p>\r\n\
         <p class=\"MsoNormal\">Kari Testesen, fastlege<o:p></o:p></p>\r\n</div></body></html>\r\n--_000_{number}_--\r\n"
    )
    .into_bytes()
}

/// An installation whose mail stays queued.
fn installation(more: &str) -> Installation {
    let [nobody] = free_ports();
    let installation = Installation::new(&format!(
        "{}\n[smtp]\nhost = \"127.0.0.1\"\nport = {nobody}\ntls = \"none\"\n{more}",
        settings()
    ));
    installation.secret("password", PASSWORD);
    installation
}

fn mailbox(dovecot: &Dovecot, name: &str, user: &str) -> String {
    format!(
        "\n[[imap]]\nname = \"{name}\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nuser = \"{user}\"\n\
         password_file = \"password\"\n",
        dovecot.imaps,
        dovecot.ca_file.display()
    )
}

fn per_second(messages: usize, took: Duration) -> f64 {
    messages as f64 / took.as_secs_f64()
}

fn best(times: &[Duration]) -> Duration {
    *times.iter().min().unwrap()
}

/// Waits until every message of the installation has its outcome.
fn until_decided(installation: &Installation, messages: usize) {
    let begun = Instant::now();
    let decided = "SELECT count(*) FROM message WHERE outcome <> 'pending'";
    while installation.number(decided) < i64::try_from(messages).unwrap() {
        assert!(begun.elapsed() < AT_MOST, "not done after an hour");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Every message is a case with its acknowledgement queued; how many have a party that gets it.
fn account(installation: &Installation, messages: usize) -> i64 {
    let cases = installation.number("SELECT count(*) FROM cases");
    let acknowledged = installation.number("SELECT count(*) FROM outbox WHERE kind = 'kvittering'");
    assert_eq!(cases, i64::try_from(messages).unwrap());
    assert_eq!(acknowledged, cases);
    installation.number("SELECT count(DISTINCT case_id) FROM outbox WHERE party <> ''")
}

// --- a mailbox

fn imap(messages: usize) {
    let Some(dovecot) = Dovecot::with(&Options {
        users: vec!["post".to_owned()],
        ..Options::default()
    }) else {
        return;
    };
    if !packages::ensure(&["mbsync"], &["isync"]) {
        return;
    }
    let now = SystemTime::now() + Duration::from_mins(2);
    dovecot.fill("post", messages, |number| (report(number), now));
    // Dovecot's own index is made once, before either is measured.
    dovecot.client("post").ok("EXAMINE INBOX");
    let (mut theirs, mut ours, mut peak, mut routed) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..TURNS {
        theirs.push(mbsync(&dovecot, messages));
        let installation = installation(&mailbox(&dovecot, "post", "post"));
        let begun = Instant::now();
        let worker = installation.start_and_wait();
        until_decided(&installation, messages);
        ours.push(begun.elapsed());
        peak = peak.max(worker.peak_kb());
        routed = account(&installation, messages);
        worker.stop();
    }
    let (theirs, ours) = (
        per_second(messages, best(&theirs)),
        per_second(messages, best(&ours)),
    );
    println!(
        "{messages} reports in a mailbox, each a case with its acknowledgement queued, {routed} routed:"
    );
    println!("  mbsync (fetching, fsync on)     {theirs:9.0} a second");
    println!(
        "  linjevei (from start to decided){ours:9.0} a second, peak {} MB",
        peak / 1024
    );
    println!("  ratio (target: at least 1.5)    {:9.2}", ours / theirs);
}

/// Fetches the mailbox into a new Maildir.
fn mbsync(dovecot: &Dovecot, messages: usize) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mbsyncrc");
    let near = dir.path().join("near");
    let settings = format!(
        "FSync yes\nSyncState *\n\nIMAPAccount far\nHost localhost\nPort {}\nUser post\nPass \"{PASSWORD}\"\nSSLType IMAPS\n\
         CertificateFile {}\n\nIMAPStore far\nAccount far\n\nMaildirStore near\nPath {2}/\nInbox {2}/INBOX\n\n\
         Channel post\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\n",
        dovecot.imaps,
        dovecot.ca_file.display(),
        near.display()
    );
    fs::write(&config, settings).unwrap();
    fs::create_dir(&near).unwrap();
    let begun = Instant::now();
    let output = Command::new("mbsync")
        .arg("--config")
        .arg(&config)
        .arg("post")
        .output()
        .unwrap();
    let took = begun.elapsed();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let fetched = ["new", "cur"]
        .iter()
        .map(|folder| files(&near.join("INBOX").join(folder)))
        .sum::<usize>();
    assert_eq!(fetched, messages);
    took
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

// --- a file

fn mbox(messages: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("arkiv.mbox");
    let raw: Vec<Vec<u8>> = (0..messages).map(report).collect();
    let mut file = Vec::new();
    for message in &raw {
        file.extend_from_slice(b"From lege@kontor.example Mon Nov 16 09:00:00 2026\n");
        file.extend(message.iter().filter(|byte| **byte != b'\r'));
        file.push(b'\n');
    }
    fs::write(&path, &file).unwrap();
    let file_bytes = file.len();
    drop(file);
    let (mut theirs, mut ours, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..TURNS {
        theirs.push(parser_alone(&raw));
        let installation = installation("");
        let begun = Instant::now();
        let mut child = installation
            .command(["ingest".as_ref(), path.as_os_str()])
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_kb(child.id()));
            std::thread::sleep(Duration::from_millis(20));
        }
        ours.push(begun.elapsed());
        account(&installation, messages);
    }
    let (theirs, ours) = (
        per_second(messages, best(&theirs)),
        per_second(messages, best(&ours)),
    );
    println!(
        "{messages} reports of {} kB in an mbox, each a case with its acknowledgement queued:",
        file_bytes / messages / 1024
    );
    println!("  mail-parser alone, all cores    {theirs:9.0} a second");
    println!(
        "  linjevei ingest                 {ours:9.0} a second, peak {} MB (target: below 128)",
        peak / 1024
    );
    println!("  ratio (target: at least 0.4)    {:9.2}", ours / theirs);
}

fn parser_alone(raw: &[Vec<u8>]) -> Duration {
    let threads = std::thread::available_parallelism().unwrap().get();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for part in raw.chunks(raw.len().div_ceil(threads)) {
            scope.spawn(move || {
                for bytes in part {
                    let message = mail_parser::MessageParser::default().parse(bytes).unwrap();
                    assert!(std::hint::black_box(message).subject().is_some());
                }
            });
        }
    });
    begun.elapsed()
}

// --- of a process, from proc(5)

fn status_kb(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|value| value.trim().trim_end_matches(" kB").trim().parse().ok())
        .unwrap_or(0)
}

fn peak_kb(pid: u32) -> u64 {
    status_kb(pid, "VmHWM")
}

/// Processor time so far, in ticks of a hundredth of a second.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

// --- many cases

fn start(cases: usize) {
    let Some(dovecot) = Dovecot::with(&Options {
        users: vec!["post".to_owned()],
        ..Options::default()
    }) else {
        return;
    };
    let installation = installation(&mailbox(&dovecot, "post", "post"));
    // The database is made by the program itself, then filled.
    installation.start_and_wait().stop();
    fill(&installation, cases);
    let checked = "SELECT coalesce(max(checked_at_ms), 0) FROM source_cursor";
    let mut starts = Vec::new();
    let mut peak = 0;
    for _ in 0..=TURNS {
        let before = installation.number(checked);
        let begun = Instant::now();
        let worker = installation.start();
        while installation.number(checked) == before {
            assert!(begun.elapsed() < AT_MOST);
            std::thread::sleep(Duration::from_millis(5));
        }
        starts.push(begun.elapsed());
        peak = peak.max(worker.peak_kb());
        worker.stop();
    }
    println!("{cases} cases in the database, {OPEN} of them open:");
    println!(
        "  start to the first completed check {:6.0} ms (target: below 1000), peak {} MB (target: below 64)",
        best(&starts).as_secs_f64() * 1e3,
        peak / 1024
    );
    due(&installation);
}

/// Closed cases of ten years, and open ones of which one in twenty is due; each with the message that opened it and the
/// acknowledgement that went out. Contents are short, and the bytes of what was sent are left out.
fn fill(installation: &Installation, cases: usize) {
    let today = jiff::Zoned::now().date();
    let day = |back: i64| (today - jiff::Span::new().days(back)).to_string();
    let now = jiff::Timestamp::now().as_millisecond();
    let messages = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {cases}), \
         at(i, ms) AS (SELECT i, CASE WHEN i > {open_from} THEN {now} - 10 * {DAY_MS} \
         ELSE {now} - 60 * {DAY_MS} - ({cases} - i) * (3650 * {DAY_MS} / {cases}) END FROM n) \
         INSERT INTO message (source, mailbox, uid_validity, position_key, content_hash, size_bytes, internal_date_ms, \
         first_seen_at_ms, received_at_ms, sender_domain, attempts, outcome, case_id, settled_at_ms) \
         SELECT 'post', 'INBOX', 1, i, printf('%064x', i), 400, ms, ms, ms, 'kontor' || (i % 5000) || '.example', 1, 'opened', \
         i, ms FROM at",
        open_from = cases.saturating_sub(OPEN),
    );
    let cases = format!(
        "INSERT INTO cases (year, count, version, state, kind, direction, destination, copies, category, severity, \
         reporter_address, reporter_source, reporter_party, reporter_message_id, language, reference, received_at_ms, \
         received_day, due_day, created_at_ms, sent_at_ms, answered_at_ms, closed_at_ms, acknowledgement, told_party, reminder, \
         attention, message_id) \
         SELECT 2016 + (id - 1) % 10, 1 + (id - 1) / 10, 4, CASE WHEN id > {open_from} THEN 'sent' ELSE 'closed' END, 'avvik', \
         'fra-fastlege', 'medisin', '', 'informasjon', 'mindre', 'lege@' || sender_domain, 'from', '', id || '@' || sender_domain, \
         'nb', '', received_at_ms, date(received_at_ms / 1000, 'unixepoch'), \
         CASE WHEN id <= {open_from} THEN date(received_at_ms / 1000, 'unixepoch', '+30 days') \
         WHEN id % 20 = 0 THEN '{late}' ELSE '{later}' END, received_at_ms, received_at_ms, \
         CASE WHEN id > {open_from} THEN 0 ELSE received_at_ms + 10 * {DAY_MS} END, \
         CASE WHEN id > {open_from} THEN 0 ELSE received_at_ms + 40 * {DAY_MS} END, 'queued', 'medisin', \
         CASE WHEN id > {open_from} THEN 'allowed' ELSE 'queued' END, 0, id FROM message ORDER BY id",
        open_from = cases.saturating_sub(OPEN),
        late = day(1),
        later = day(-20),
    );
    installation.write(&[
        &messages,
        &cases,
        "INSERT INTO message_chunk (message_id, seq, bytes) SELECT id, 0, randomblob(400) FROM message",
        "INSERT INTO thread_id (rfc_message_id, case_id, message_id) SELECT id || '@' || sender_domain, id, id FROM message",
        "INSERT INTO verdict (message_id, ruleset, at_ms, verdict) SELECT id, 'sha256:' || printf('%064x', 1), settled_at_ms, \
         '{\"type\":\"avvik\",\"destination\":\"medisin\",\"category\":\"informasjon\",\"severity\":\"mindre\"}' FROM message",
        "INSERT INTO case_event (case_id, at_ms, kind, state, actor, on_behalf_of, reason, data) \
         SELECT id, created_at_ms, 'opened', 'received', 'worker', '', '', '{}' FROM cases",
        "INSERT INTO case_event (case_id, at_ms, kind, state, actor, on_behalf_of, reason, data) \
         SELECT id, sent_at_ms, 'mail-sent', state, 'worker', '', '', '{}' FROM cases",
        "INSERT INTO outbox (case_id, kind, party, seq, rfc_message_id, envelope_from, created_at_ms, state, attempts, \
         next_attempt_at_ms, sent_at_ms) SELECT id, 'kvittering', '', 1, 'sak-' || year || '-' || printf('%06d', count) || \
         '.kvittering.1.@so-hf.example', '', created_at_ms, 'sent', 1, 0, created_at_ms FROM cases",
        "INSERT INTO outbox_recipient (outbox_id, position, address, state, code, at_ms) \
         SELECT o.id, 0, c.reporter_address, 'accepted', 250, o.sent_at_ms FROM outbox o JOIN cases c ON c.id = o.case_id",
        "INSERT INTO case_likeness (case_id, office, received_at_ms, shingles, numbers) \
         SELECT id, 'kontor' || (id % 5000), received_at_ms, randomblob(400), x'' FROM cases WHERE state = 'sent'",
        "INSERT INTO case_counter (year, last) SELECT year, max(count) FROM cases GROUP BY year",
        "UPDATE source_cursor SET seen = (SELECT count(*) FROM message) WHERE source = 'post'",
    ]);
}

/// How long the quickest of some rounds takes, in milliseconds, and what it finds.
async fn timed<T>(mut work: impl AsyncFnMut() -> T) -> (f64, T) {
    let mut found = None;
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        found = Some(work().await);
        times.push(begun.elapsed());
    }
    (best(&times).as_secs_f64() * 1e3, found.unwrap())
}

/// Finding what is due, and everything else that the loops of the worker look for, as it asks.
fn due(installation: &Installation) {
    use linjevei::store::{SqliteStore, Store as _};
    worker::runtime().block_on(async {
        let store = SqliteStore::open(&installation.database()).await.unwrap();
        let today = jiff::Zoned::now().date();
        let now = jiff::Timestamp::now().as_millisecond();
        let closable = now - 30 * DAY_MS;
        let (took, found) = timed(async || store.chaseable(today, closable).await.unwrap()).await;
        let found = found.len();
        println!("  finding the {found} that are due       {took:6.1} ms (target: below 10)");
        let (took, ()) = timed(async || {
            store.claim_undecided(100, 60_000, now).await.unwrap();
            store.claim(10, 60_000, now).await.unwrap();
            store.recover_sending(false, now).await.unwrap();
            store.next_due_ms().await.unwrap();
            store.oldest_unsent_ms().await.unwrap();
        })
        .await;
        println!("  messages to decide, mail to send   {took:6.1} ms, there are none");
        let (took, ()) = timed(async || {
            store.unacknowledged(now - DAY_MS).await.unwrap();
            store.not_delivered(now - DAY_MS).await.unwrap();
            store.left_alone(now - 7 * DAY_MS, 100).await.unwrap();
        })
        .await;
        println!("  what the digest tells besides      {took:6.1} ms, there is nothing");
        let begun = Instant::now();
        let differences: i64 = store
            .accounts()
            .await
            .unwrap()
            .iter()
            .map(linjevei::store::SourceAccount::unaccounted)
            .sum();
        let loose_ends = store.loose_ends(now).await.unwrap();
        assert!(differences == 0 && loose_ends.is_empty(), "{loose_ends:?}");
        let took = begun.elapsed().as_secs_f64() * 1e3;
        println!("  whether all adds up, once a day    {took:6.0} ms");
    });
}

// --- nothing to do

fn idle(span: Duration) {
    let users: Vec<String> = (1..=5).map(|number| format!("post{number}")).collect();
    let Some(dovecot) = Dovecot::with(&Options {
        users: users.clone(),
        ..Options::default()
    }) else {
        return;
    };
    let mailboxes: String = users
        .iter()
        .map(|user| mailbox(&dovecot, user, user))
        .collect();
    let installation = installation(&mailboxes);
    let worker: Worker = installation.start_and_wait();
    // It warms up ten seconds after its start.
    std::thread::sleep(Duration::from_secs(30));
    let pid = worker.pid();
    let before = ticks(pid);
    std::thread::sleep(span);
    let used = ticks(pid) - before;
    println!(
        "five mailboxes, nothing happens for {} seconds:",
        span.as_secs()
    );
    println!(
        "  private memory (RssAnon)        {:9.1} MB (target: below 20)",
        status_kb(pid, "RssAnon") as f64 / 1024.0
    );
    println!(
        "  processor                       {:9.3} % (target: below 0.1)",
        used as f64 / span.as_secs_f64()
    );
    worker.stop();
}
