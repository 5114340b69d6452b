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

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support/worker.rs"]
mod worker;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use support::dovecot::{Dovecot, Options, PASSWORD};
use support::net::free_ports;
use support::packages;
use worker::{ADDRESS, Installation, Worker, settings};

/// How often each side of a comparison runs.
const TURNS: usize = 2;
/// How often a running worker is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
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

/// A report, each of its own sender and about something else; lines of its own, so that none is like another.
fn report(number: usize) -> Vec<u8> {
    const ABOUT: [(&str, &str); 4] = [
        (
            "manglende epikrise",
            "Pasienten ble utskrevet fra lungeposten uten epikrise.",
        ),
        (
            "feil i medisinlisten",
            "Medisinlisten fra medisinsk avdeling stemmer ikke med det pasienten fikk.",
        ),
        (
            "henvisning avvist",
            "Henvisningen til nevrologisk poliklinikk ble avvist uten begrunnelse.",
        ),
        (
            "sen melding",
            "Melding om utskrivningsklar pasient kom først etter hjemreisen.",
        ),
    ];
    let (subject, text) = ABOUT[number % ABOUT.len()];
    let mut more = String::new();
    for line in 0..number % 13 {
        let (week, call) = (1 + (number + line) % 52, number * 31 + line * 7);
        writeln!(
            more,
            "Vi ringte avdelingen i uke {week} (samtale {call}) uten å få svar.\r"
        )
        .unwrap();
    }
    format!(
        "From: Lege Kari Testesen <lege@kontor{number}.example>\r\nTo: {ADDRESS}\r\nSubject: Avviksmelding: {subject}\r\n\
         Date: Mon, 16 Nov 2026 10:00:00 +0100\r\nMessage-ID: <{number}.last@kontor{number}.example>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHei,\r\nvi melder et samhandlingsavvik. {text}\r\n{more}\
         Vår sak {number}. Vi ber om svar.\r\n\r\nKari Testesen, fastlege\r\n"
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
        let worker = installation.start();
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
    println!("{messages} reports in an mbox, each a case with its acknowledgement queued:");
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

/// Closed cases of ten years, and open ones of which one in twenty is due.
fn fill(installation: &Installation, cases: usize) {
    let today = jiff::Zoned::now().date();
    let day = |back: i64| (today - jiff::Span::new().days(back)).to_string();
    let now = jiff::Timestamp::now().as_millisecond();
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {cases}) \
         INSERT INTO cases (year, count, version, state, kind, direction, destination, copies, category, severity, \
         reporter_address, reporter_source, reporter_party, reporter_message_id, language, reference, received_at_ms, \
         received_day, due_day, created_at_ms, sent_at_ms, answered_at_ms, closed_at_ms, acknowledgement, told_party, reminder, \
         attention, message_id) \
         SELECT 2016 + i % 10, 1 + i / 10, 4, CASE WHEN i > {open_from} THEN 'sent' ELSE 'closed' END, 'avvik', 'fra-fastlege', \
         'medisin', '', 'informasjon', 'mindre', 'lege' || (i % 5000) || '@kontor.example', 'from', '', '<' || i || '@kontor.example>', \
         'nb', '', {now} - 10 * {DAY_MS}, '{received}', CASE WHEN i > {open_from} AND i % 20 = 0 THEN '{late}' ELSE '{later}' END, \
         {now} - 10 * {DAY_MS}, {now} - 10 * {DAY_MS}, 0, 0, 'queued', 'medisin', \
         CASE WHEN i > {open_from} THEN 'allowed' ELSE 'queued' END, 0, 0 FROM n",
        open_from = cases.saturating_sub(OPEN),
        received = day(10),
        late = day(1),
        later = day(-20),
    );
    let events = "INSERT INTO case_event (case_id, at_ms, kind, state, actor, on_behalf_of, reason, data) \
         SELECT id, created_at_ms, 'opened', 'received', 'worker', '', '', '{}' FROM cases \
         UNION ALL SELECT id, sent_at_ms, 'mail-sent', state, 'worker', '', '', '{}' FROM cases";
    installation.write(&[&sql, events]);
}

/// Finding what is due, as the worker asks.
fn due(installation: &Installation) {
    use linjevei::store::{SqliteStore, Store as _};
    worker::runtime().block_on(async {
        let store = SqliteStore::open(&installation.database()).await.unwrap();
        let today = jiff::Zoned::now().date();
        let closable = jiff::Timestamp::now().as_millisecond() - 30 * DAY_MS;
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..5 {
            let begun = Instant::now();
            found = store.chaseable(today, closable).await.unwrap().len();
            times.push(begun.elapsed());
        }
        println!(
            "  finding the {found} that are due       {:6.1} ms (target: below 10)",
            best(&times).as_secs_f64() * 1e3
        );
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
