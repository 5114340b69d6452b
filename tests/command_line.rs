//! The commands as people and other programs use them: what they print, what they leave behind, how they end.
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
#[path = "support/worker.rs"]
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use checks::{
    count, each_case_has_one_acknowledgement_decision, each_message_has_one_outcome,
    numbers_have_no_gap,
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use worker::{
    AT_MOST, Installation, json_lines, program, repository, runtime, said, settings, with_input,
};

/// Settings without a network: a Maildir that is watched, a Maildir that mail goes into.
fn offline() -> Installation {
    let installation = Installation::new(&format!(
        "{}\n[[maildir]]\nname = \"inn\"\npath = \"inn\"\npoll_secs = 1\n\n[send_maildir]\npath = \"sendt\"\n",
        settings()
    ));
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(installation.path().join("inn").join(folder)).unwrap();
    }
    installation
}

/// A report that the rules give to a party without a person.
fn report(number: u32) -> Vec<u8> {
    format!(
        "From: Lege Kari Testesen <kari.testesen@fjordgloett-legesenter.example>\r\nTo: samhandlingsavvik@so-hf.example\r\n\
         Subject: Avviksmelding: manglende epikrise\r\nDate: Mon, 2 Nov 2026 09:00:00 +0100\r\n\
         Message-ID: <{number}.linje@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. Pasienten ble utskrevet fra lungeposten uten epikrise, nummer {number}.\r\n\
         Vi ber om svar.\r\n\r\nKari Testesen, fastlege\r\n"
    )
    .into_bytes()
}

/// A second program at the database.
async fn open(database: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap()
}

fn execute(installation: &Installation, sql: &'static str) {
    runtime().block_on(async {
        let mut connection = open(&installation.database()).await;
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn faulty_settings_are_all_told_at_once_and_nothing_is_touched() {
    let installation = Installation::new(
        "mode = \"livee\"\ndata = \"data\"\n\n[identity]\naddress = \"ingen adresse\"\nnavn = \"x\"\n\n[[imap]]\nname = \"a\"\n\
         host = \"post.sykehus.example\"\ntls = \"none\"\nuser = \"x\"\npassword = \"svaert-hemmelig\"\n\n[[imap]]\nname = \"a\"\n\
         port = 0\n\n[calendar]\nreminder_hour = 25\n",
    );
    let places = [
        "linjevei.toml:1:8",
        "linjevei.toml:4:1",
        "linjevei.toml:5:11",
        "linjevei.toml:6:1",
        "linjevei.toml:11:7",
        "linjevei.toml:13:12",
        "linjevei.toml:16:8",
        "linjevei.toml:17:8",
        "linjevei.toml:20:17",
        "mente du «live»",
        "[smtp]",
        "finner ikke mappen",
    ];
    let commands: [&[&str]; 8] = [
        &["run"],
        &["ingest", "x.eml"],
        &["cases", "list"],
        &["messages", "list"],
        &["outbox", "list"],
        &["chase", "--dry-run"],
        &["doctor"],
        &["doctor", "--json"],
    ];
    for command in commands {
        let output = installation.run(command);
        assert_eq!(
            output.status.code(),
            Some(78),
            "{command:?}: {}",
            said(&output)
        );
        let text = said(&output);
        for place in places {
            assert!(
                text.contains(place),
                "{command:?} does not say {place}:\n{text}"
            );
        }
        assert!(
            !text.contains("hemmelig"),
            "{command:?} shows a password:\n{text}"
        );
    }
    let left: Vec<_> = fs::read_dir(installation.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["linjevei.toml"]);

    fs::remove_file(installation.path().join("linjevei.toml")).unwrap();
    let said = installation.refused(78, ["run"]);
    assert!(said.contains("linjevei.toml"), "{said}");
    let output = installation.run(["run", "--konfig", "x"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn ingest_takes_files_folders_mboxes_maildirs_and_standard_input_and_each_message_once() {
    let installation = offline();
    let at = |name: &str| installation.path().join(name);
    fs::write(at("en.eml"), report(1)).unwrap();
    fs::create_dir_all(at("mappe")).unwrap();
    fs::write(at("mappe/to.eml"), report(2)).unwrap();
    fs::write(at("mappe/tre.eml"), report(3)).unwrap();
    fs::write(at("mappe/notat.txt"), "ikke en melding").unwrap();
    let mut mbox = Vec::new();
    for number in [4, 5, 1] {
        mbox.extend_from_slice(b"From avsender@x.example Mon Nov  2 09:00:00 2026\n");
        mbox.extend(report(number).into_iter().filter(|byte| *byte != b'\r'));
        mbox.push(b'\n');
    }
    fs::write(at("post.mbox"), mbox).unwrap();
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(at("maildir").join(folder)).unwrap();
    }
    fs::write(at("maildir/new/1.a"), report(6)).unwrap();
    fs::write(at("maildir/cur/2.b:2,S"), report(7)).unwrap();

    let told = installation.ok(["ingest", "en.eml", "mappe", "post.mbox", "maildir"]);
    assert_eq!(told, "7 new, 1 copies of stored messages, 0 unreadable\n");
    let told = with_input(&mut installation.command(["ingest", "-"]), &report(8));
    assert_eq!(
        (told.status.code(), told.stdout),
        (
            Some(0),
            b"1 new, 0 copies of stored messages, 0 unreadable\n".to_vec()
        )
    );
    assert!(told.stderr.is_empty());
    let messages = installation.messages();
    assert_eq!(
        (
            messages.len(),
            count(&messages, "opened"),
            count(&messages, "duplicate")
        ),
        (9, 8, 1)
    );
    each_message_has_one_outcome(&messages);
    numbers_have_no_gap(&installation.cases(), &messages);
    each_case_has_one_acknowledgement_decision(&installation.cases(), &installation.outbox());

    // Again: nothing is new, and a mail server that repeats itself is told that all is well.
    let told = installation.ok(["ingest", "en.eml", "mappe", "post.mbox", "maildir"]);
    assert!(told.starts_with("0 new, "), "{told}");
    let told = with_input(&mut installation.command(["ingest", "-"]), &report(8));
    assert_eq!(
        (told.status.code(), &told.stdout[..6]),
        (Some(0), &b"0 new,"[..])
    );
    assert_eq!(installation.cases().len(), 8);
    // What was taken in is left as it was.
    assert_eq!(fs::read(at("maildir/new/1.a")).unwrap(), report(6));
    assert!(at("maildir/cur/2.b:2,S").exists() && at("en.eml").exists());

    // Paths that hold nothing.
    fs::create_dir_all(at("tom")).unwrap();
    for path in ["finnes-ikke.eml", "tom"] {
        let said = installation.refused(74, ["ingest", path]);
        assert!(said.contains(path), "{said}");
    }
    assert_eq!(installation.run(["ingest"]).status.code(), Some(2));
}

#[test]
fn ingest_that_cannot_store_says_so_with_75_and_loses_nothing() {
    let installation = offline();
    fs::write(
        installation.path().join("data"),
        "en fil der mappen skulle vært",
    )
    .unwrap();
    let refused = installation.refused(75, ["ingest", "-"]);
    assert!(refused.contains("data"), "{refused}");
    fs::remove_file(installation.path().join("data")).unwrap();
    installation.ok(["cases", "list"]);

    // Somebody else holds the database longer than we wait.
    let output = runtime().block_on(async {
        let mut other = open(&installation.database()).await;
        sqlx::query("BEGIN EXCLUSIVE")
            .execute(&mut other)
            .await
            .unwrap();
        let output = with_input(&mut installation.command(["ingest", "-"]), &report(1));
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        output
    });
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert_eq!(installation.messages().len(), 0);
    let output = with_input(&mut installation.command(["ingest", "-"]), &report(1));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(count(&installation.messages(), "opened"), 1);
}

#[test]
fn a_store_that_fails_for_a_while_does_not_count_against_the_message() {
    let installation = offline();
    fs::write(installation.path().join("en.eml"), report(1)).unwrap();
    installation.ok(["cases", "list"]);
    // As a disk does it that has little room left: a small change fits, the case does not. The limit on the size of files is the
    // operating system's. Somebody who reads keeps the write-ahead log from being emptied: it only grows.
    let runtime = runtime();
    let mut reader = runtime.block_on(open(&installation.database()));
    for sql in ["BEGIN", "SELECT count(*) FROM message"] {
        let query = sqlx::query(sql);
        runtime.block_on(query.fetch_all(&mut reader)).unwrap();
    }
    let with_room = |blocks: u64| {
        let log = installation.database().with_extension("db-wal");
        let used = fs::metadata(log).map_or(0, |file| file.len().div_ceil(512));
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            r#"trap "" XFSZ; ulimit -f "$1"; exec "$2" ingest en.eml"#,
            "sh",
        ]);
        shell.arg((used + blocks).to_string());
        shell.arg(env!("CARGO_BIN_EXE_linjevei"));
        shell.env("LINJEVEI_CONFIG", installation.path().join("linjevei.toml"));
        let output = shell.current_dir(installation.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{}", said(&output));
        assert!(said(&output).contains("try again"), "{}", said(&output));
    };
    let attempts = || -> Vec<i64> {
        runtime.block_on(async {
            let mut connection = open(&installation.database()).await;
            let attempts =
                sqlx::query_scalar("SELECT attempts FROM message WHERE outcome = 'pending'")
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            connection.close().await.unwrap();
            attempts
        })
    };
    let message_fits = (32..512).step_by(32).any(|blocks| {
        with_room(blocks);
        !attempts().is_empty()
    });
    assert!(message_fits);
    let before = attempts();
    for _ in 0..3 {
        with_room(64);
        assert_eq!(attempts(), before);
    }
    runtime.block_on(reader.close()).unwrap();
    installation.ok(["ingest", "en.eml"]);
    let case = &installation.cases()[0];
    assert_eq!(
        case["acknowledgement"], "queued",
        "decided as if nothing had been: {case}"
    );
    assert_eq!(case["state"], "sent");
}

#[test]
fn a_decision_is_replayed_from_what_is_stored() {
    use linjevei::message::{Limits, parse};
    use linjevei::rules::{ClassifyContext, RuleFiles, RuleSet};
    let installation = offline();
    fs::write(installation.path().join("en.eml"), report(1)).unwrap();
    installation.ok(["ingest", "en.eml"]);
    let (verdict, hash, version, files, raw) = runtime().block_on(async {
        let mut connection = open(&installation.database()).await;
        let (hash, verdict): (String, String) =
            sqlx::query_as("SELECT ruleset, verdict FROM verdict WHERE message_id = 1")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        let (version, files): (String, String) =
            sqlx::query_as("SELECT engine_version, files FROM ruleset WHERE hash = $1")
                .bind(&hash)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        let raw: Vec<u8> =
            sqlx::query_scalar("SELECT bytes FROM message_chunk WHERE message_id = 1 AND seq = 0")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        connection.close().await.unwrap();
        (verdict, hash, version, files, raw)
    });
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let files: RuleFiles = serde_json::from_str(&files).unwrap();
    let rules = RuleSet::compile(&files).unwrap();
    assert_eq!(rules.hash(), hash);
    let message = parse(&raw, &Limits::default()).unwrap();
    let again = rules.classify(&message, &ClassifyContext::default());
    let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), verdict);
    // Each piece of evidence names its rule, the term as the rule has it, and the place.
    let because = verdict["because"].as_array().unwrap();
    assert!(because.len() > 2, "{verdict}");
    for piece in because {
        for key in ["facet", "rule", "zone", "offset", "term"] {
            assert!(!piece[key].is_null(), "{key}: {piece}");
        }
    }
    let named = |piece: &&serde_json::Value| piece["term"] == "lungepost*";
    assert!(because.iter().any(|piece| named(&piece)), "{verdict}");
}

#[test]
fn what_is_stored_is_for_its_owner_alone_and_no_core_is_dumped() {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Stdio;
    let installation = offline();
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        r#"ulimit -c unlimited 2>/dev/null; exec "$1" ingest -"#,
        "sh",
    ]);
    shell.arg(env!("CARGO_BIN_EXE_linjevei"));
    shell.env("LINJEVEI_CONFIG", installation.path().join("linjevei.toml"));
    shell.current_dir(installation.path());
    let mut child = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than a pipe holds, so that the program has begun to read when this returns; it ends when the input does.
    let mut mail = report(1);
    mail.extend(vec![b'\n'; 200_000]);
    input.write_all(&mail).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mode = fs::metadata(installation.path().join("data"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn mail_that_came_back_is_sent_again_by_a_persons_word_only() {
    let installation = offline();
    fs::write(installation.path().join("en.eml"), report(1)).unwrap();
    installation.ok(["ingest", "en.eml"]);
    let row = installation
        .outbox()
        .into_iter()
        .find(|row| row["kind"] == "sak")
        .unwrap();
    let (id, message_id) = (row["id"].to_string(), row["message_id"].as_str().unwrap());
    let dsn = format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.annet.example\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: Undelivered Mail \
         Returned to Sender\r\nDate: Mon, 2 Nov 2026 09:05:00 +0100\r\nMessage-ID: <dsn@mx.annet.example>\r\n\r\nThis is the mail \
         system.\r\n\r\n550 5.1.1 User unknown\r\n\r\nMessage-ID: <{message_id}>\r\n"
    );
    fs::write(installation.path().join("dsn.eml"), dsn).unwrap();
    installation.ok(["ingest", "dsn.eml"]);
    let state = || {
        let rows = installation.outbox();
        let row = rows.iter().find(|row| row["kind"] == "sak").unwrap();
        (
            row["state"].clone(),
            installation.cases()[0]["state"].clone(),
        )
    };
    assert_eq!(state(), ("bounced".into(), "triage".into()));
    assert!(installation.ok(["cases", "list"]).contains("se på"));
    let refused = installation.refused(1, ["outbox", "retry", &id]);
    for part in ["5.1.1", "--address-works --reason"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!refused.contains('@'), "{refused}");
    installation.refused(2, ["outbox", "retry", &id, "--address-works"]);
    let reason = "postkassen er åpnet igjen";
    installation.ok([
        "outbox",
        "retry",
        &id,
        "--address-works",
        "--reason",
        reason,
    ]);
    assert_eq!(state(), ("queued".into(), "sent".into()));
    let number = installation.cases()[0]["case"].as_str().unwrap().to_owned();
    let history = installation.ok(["cases", "history", &number]);
    assert!(history.contains(reason), "{history}");
}

#[test]
fn ingest_beside_the_worker_leaves_alone_what_the_worker_would() {
    let installation = offline();
    let old = SystemTime::now() - Duration::from_hours(72);
    let file = installation.path().join("inn/new/1.gammel");
    fs::write(&file, report(1)).unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let worker = installation.start_and_wait();
    installation.until_worked_off(1);
    assert_eq!(installation.messages()[0]["reason"], "before-live");
    let (status, ..) = worker.stop();
    assert_eq!(status.code(), Some(0));

    // The worker was ended between storing and deciding; the next program that decides is `ingest`.
    execute(
        &installation,
        "UPDATE message SET outcome = 'pending', reason = '', settled_at_ms = 0, attempts = 0, claimed_until_ms = 0",
    );
    execute(&installation, "DELETE FROM verdict");
    fs::write(installation.path().join("to.eml"), report(2)).unwrap();
    installation.ok(["ingest", "to.eml"]);
    let messages = installation.messages();
    assert_eq!(
        (&messages[0]["outcome"], &messages[0]["reason"]),
        (&"left-alone".into(), &"before-live".into())
    );
    // What is handed over by a person is meant, however old it is.
    assert_eq!(messages[1]["outcome"], "opened");
}

#[test]
fn ingest_says_what_another_process_has_claimed() {
    let installation = offline();
    fs::write(installation.path().join("en.eml"), report(1)).unwrap();
    let told = installation.run(["ingest", "en.eml"]);
    assert_eq!(String::from_utf8_lossy(&told.stderr), "");
    // As a process leaves it that is killed while it decides.
    execute(
        &installation,
        "UPDATE message SET outcome = 'pending', attempts = 1, claimed_until_ms = 40000 + 1000 * strftime('%s', 'now')",
    );
    fs::write(installation.path().join("to.eml"), report(2)).unwrap();
    let told = installation.run(["ingest", "to.eml"]);
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(
        said.contains("messages that were stored before and are with another process: 1;"),
        "{said}"
    );
    assert_eq!(installation.messages()[0]["outcome"], "pending");
}

/// The keys of a JSON object in the order in which they stand.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Keys;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

const KEYS: [&str; 13] = [
    "file",
    "type",
    "direction",
    "destination",
    "copies",
    "category",
    "severity",
    "triage",
    "acknowledge",
    "why_not",
    "reporter",
    "because",
    "ruleset",
];

#[test]
fn classify_prints_one_line_a_message_that_other_programs_can_rely_on() {
    let folder = repository().join("tests/fixtures/dev");
    let classify = |args: &[&str]| {
        program()
            .arg("classify")
            .arg("--json")
            .args(args)
            .current_dir(repository())
            .output()
            .unwrap()
    };
    let output = classify(&[folder.to_str().unwrap()]);
    assert!(output.status.success());
    assert_eq!(
        classify(&[folder.to_str().unwrap()]).stdout,
        output.stdout,
        "the same answer twice"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = json_lines(&text);
    let names: Vec<String> = (1..=120)
        .map(|number| format!("dev-{number:03}.eml"))
        .collect();
    assert_eq!(
        lines
            .iter()
            .map(|line| line["file"].as_str().unwrap())
            .collect::<Vec<_>>(),
        names
    );
    let allowed: BTreeMap<&str, &str> = BTreeMap::from([
        (
            "type",
            "avvik forbedring faktura orientering ros svar ikke-avvik ukjent",
        ),
        ("direction", "fra-fastlege fra-kommune fra-sykehus ukjent"),
        (
            "category",
            "meldingsutveksling informasjon utstyr-legemidler dialog-innleggelse manglende-tilbud utskrivningsklar transport \
             feilsending annet ukjent",
        ),
        ("severity", "betydelig moderat mindre ukjent"),
        (
            "reporter",
            "from reply-to cover-page directory forwarded none",
        ),
        (
            "why_not",
            "auto-submitted list bounce receipt no-reply own-address suppressed no-address uncertain-type unauthenticated \
             ikke-avvik svar unreadable",
        ),
        (
            "zone",
            "subject new quoted forwarded attachment attachment-name field sender recipient header",
        ),
    ]);
    let is_one_of = |value: &Value, key: &str| {
        let value = value.as_str().unwrap();
        assert!(
            allowed[key].split_whitespace().any(|word| word == value),
            "{key} = {value}"
        );
    };
    for (line, written) in lines.iter().zip(text.lines()) {
        assert_eq!(serde_json::from_str::<Keys>(written).unwrap().0, KEYS);
        for key in ["type", "direction", "category", "severity", "why_not"] {
            if !line[key].is_null() {
                is_one_of(&line[key], key);
            }
        }
        is_one_of(&line["reporter"], "reporter");
        assert_eq!(
            line["acknowledge"] == true,
            line["why_not"].is_null(),
            "{written}"
        );
        assert!(line["triage"].is_boolean() && line["copies"].is_array());
        assert!(line["ruleset"].as_str().unwrap().starts_with("sha256:"));
        let because = line["because"].as_array().unwrap();
        for evidence in because {
            let keys: BTreeSet<&str> = evidence
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(keys, BTreeSet::from(["facet", "rule", "zone", "term"]));
            is_one_of(&evidence["zone"], "zone");
        }
        // Who is not sure says so, and a person places it.
        if line["destination"].is_null() || line["type"].is_null() {
            assert_eq!(line["triage"], true, "{written}");
        }
    }
    let rulesets: BTreeSet<&str> = lines
        .iter()
        .map(|line| line["ruleset"].as_str().unwrap())
        .collect();
    assert_eq!(rulesets.len(), 1);

    // Files by their argument, in the order of the arguments; what cannot be read has its line too.
    let output = classify(&[
        "tests/fixtures/dev/dev-002.eml",
        "tests/finnes-ikke.eml",
        "tests/fixtures/dev/dev-001.eml",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let three = json_lines(&text);
    let files: Vec<&str> = three
        .iter()
        .map(|line| line["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "tests/fixtures/dev/dev-002.eml",
            "tests/finnes-ikke.eml",
            "tests/fixtures/dev/dev-001.eml"
        ]
    );
    let unreadable = &three[1];
    assert_eq!(
        serde_json::from_str::<Keys>(text.lines().nth(1).unwrap())
            .unwrap()
            .0,
        KEYS
    );
    assert!(
        unreadable["type"].is_null()
            && unreadable["triage"] == true
            && unreadable["why_not"] == "unreadable"
    );
    assert_eq!(
        (&unreadable["acknowledge"], &unreadable["reporter"]),
        (&false.into(), &"none".into())
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("finnes-ikke.eml"));
    for (alone, among) in [(0, 1), (2, 0)] {
        let mut line = three[alone].clone();
        line["file"] = lines[among]["file"].clone();
        assert_eq!(line, lines[among], "the company makes no difference");
    }
    // One message on standard input, and rules that are not there.
    let bytes = fs::read(folder.join("dev-001.eml")).unwrap();
    let output = with_input(
        program()
            .args(["classify", "--json", "-"])
            .current_dir(repository()),
        &bytes,
    );
    let mut line = json_lines(&String::from_utf8(output.stdout).unwrap()).remove(0);
    assert_eq!(line["file"], "-");
    line["file"] = "dev-001.eml".into();
    assert_eq!(line, lines[0]);
    let output = classify(&[
        "--rules",
        "tests/fixtures",
        "tests/fixtures/dev/dev-001.eml",
    ]);
    assert!(
        matches!(output.status.code(), Some(65 | 74)),
        "{}",
        said(&output)
    );
}

#[test]
fn doctor_says_for_each_part_whether_it_is_ready_and_what_to_do() {
    let installation = offline();
    let told = installation.ok(["doctor"]);
    assert!(told.lines().all(|line| line.starts_with('✓')), "{told}");
    let parts = |installation: &Installation, code: i32| -> Vec<(String, bool, String)> {
        let output = installation.run(["doctor", "--json"]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        json_lines(&String::from_utf8(output.stdout).unwrap())
            .iter()
            .map(|line| (text(line, "part"), line["ok"] == true, text(line, "text")))
            .collect()
    };
    let found = parts(&installation, 0);
    let names: Vec<&str> = found.iter().map(|(part, ..)| part.as_str()).collect();
    let sending = format!(
        "sending into {}",
        installation.path().join("sendt").display()
    );
    assert_eq!(
        names,
        [
            "configuration",
            "rules",
            "own addresses",
            "digest",
            "templates",
            "database",
            "source inn",
            "first run, inn",
            sending.as_str(),
            "attachments",
            "clock"
        ]
    );
    assert!(
        !installation.path().join("data").exists(),
        "a check creates nothing"
    );

    // An address that the rules do not know as our own.
    let well = fs::read_to_string(installation.path().join("linjevei.toml")).unwrap();
    installation.set(&well.replace("samhandlingsavvik@", "ukjent@"));
    let bad: Vec<String> = parts(&installation, 1)
        .into_iter()
        .filter(|(_, ok, _)| !ok)
        .map(|(part, ..)| part)
        .collect();
    assert_eq!(bad, ["own addresses"]);

    // A word of the rules that is none, a template that names what there is not, a mailbox and a server that are gone.
    let copy = |from: &str, to: &str| {
        let target = installation.path().join(to);
        copy_folder(&repository().join(from), &target);
        target
    };
    let rules = copy("rules/ostfold", "regler");
    let templates = copy("templates", "maler");
    fs::write(
        rules.join("feil.toml"),
        "[[rules]]\nid = \"x\"\ngive = { typ = \"avvik\" }\n",
    )
    .unwrap();
    fs::write(
        templates.join("nb/kvittering.txt"),
        "Emne: Hei\n\n{{ pasientnavn }}\n",
    )
    .unwrap();
    fs::remove_dir_all(installation.path().join("inn")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    installation.set(&format!(
        "{}\n[[maildir]]\nname = \"inn\"\npath = \"inn\"\n\n[smtp]\nhost = \"127.0.0.1\"\nport = {free}\ntls = \"none\"\n",
        settings()
            .replace(&format!("{}/rules/ostfold", repository().display()), "regler")
            .replace(&format!("{}/templates", repository().display()), "maler")
    ));
    let found = parts(&installation, 1);
    let bad: BTreeMap<&str, &str> = found
        .iter()
        .filter(|(_, ok, _)| !ok)
        .map(|(part, _, text)| (part.as_str(), text.as_str()))
        .collect();
    let sending = format!("sending by 127.0.0.1:{free}");
    assert_eq!(
        bad.keys().copied().collect::<Vec<_>>(),
        ["rules", sending.as_str(), "source inn", "templates"]
    );
    assert!(bad["rules"].contains("feil.toml:3"), "{}", bad["rules"]);
    assert!(
        bad["templates"].contains("pasientnavn"),
        "{}",
        bad["templates"]
    );
    let told = String::from_utf8(installation.run(["doctor"]).stdout).unwrap();
    assert_eq!(
        told.lines().filter(|line| line.starts_with('✗')).count(),
        4,
        "{told}"
    );
    // The worker does not begin with such rules.
    installation.refused(65, ["run"]);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn the_work_of_the_samhandlingsavdeling_from_a_terminal() {
    let installation = offline();
    installation.ok([
        "ingest",
        repository()
            .join("tests/fixtures/messages")
            .to_str()
            .unwrap(),
    ]);
    let messages = installation.messages();
    each_message_has_one_outcome(&messages);
    let cases = installation.cases();
    numbers_have_no_gap(&cases, &messages);
    let with_state = |state: &str| {
        let of_state = installation.json(["cases", "list", "--json", "--state", state]);
        assert!(of_state.iter().all(|case| case["state"] == state));
        of_state
            .first()
            .unwrap_or_else(|| panic!("no case is in {state}"))["case"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let state_of = |number: &str| {
        installation.json(["cases", "show", "--json", number])[0]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let events_of = |number: &str| -> Vec<String> {
        installation
            .json(["cases", "history", "--json", number])
            .iter()
            .map(|event| event["event"].as_str().unwrap().to_owned())
            .collect()
    };
    let because = ["--reason", "sett på i morgenmøtet"];
    let order = |command: &str, number: &str, more: &[&str]| {
        let changed =
            installation.json([&["cases", "--json", command, number], more, &because].concat());
        assert_eq!(changed[0]["case"], number);
        changed[0]["state"].as_str().unwrap().to_owned()
    };

    // A case that a person has to place.
    let number = with_state("triage");
    let output = installation.run(["cases", "reroute", &number, "--to", "kirurgi"]);
    assert_eq!(output.status.code(), Some(2), "who changes a case says why");
    let said = installation.refused(
        1,
        [
            &["cases", "reroute", &number, "--to", "kirugi"],
            &because[..],
        ]
        .concat(),
    );
    assert!(said.contains("kirurgi"), "the choices are told: {said}");
    assert_eq!(
        order(
            "reroute",
            &number,
            &[
                "--to",
                "kirurgi",
                "--type",
                "avvik",
                "--category",
                "informasjon",
                "--severity",
                "mindre"
            ]
        ),
        "sent"
    );
    let shown = &installation.json(["cases", "show", "--json", &number])[0];
    let facets =
        ["destination", "type", "category", "severity"].map(|facet| shown[facet].as_str().unwrap());
    assert_eq!(facets, ["kirurgi", "avvik", "informasjon", "mindre"]);
    let queued = installation.outbox();
    assert!(
        queued
            .iter()
            .any(|row| row["case"] == *number && row["party"] == "kirurgi" && row["kind"] == "sak")
    );
    assert_eq!(order("answer", &number, &[]), "answered");
    assert_eq!(order("close", &number, &[]), "closed");
    let refused = installation.refused(1, [&["cases", "close", &number], &because[..]].concat());
    assert!(refused.contains(&number), "{refused}");
    assert!(
        installation
            .json(["cases", "list", "--json"])
            .iter()
            .all(|case| case["case"] != *number),
        "closed cases are not open"
    );
    assert_eq!(
        order("reopen", &number, &["--on-behalf-of", "Overlege Prøvesen"]),
        "triage"
    );
    assert_eq!(order("note", &number, &[]), "triage");
    assert_eq!(
        order("dismiss", &number, &["--because", "annen-post"]),
        "dismissed"
    );
    let events = events_of(&number);
    let tail = &events[events.len() - 3..];
    assert_eq!(tail, ["reopened", "note", "dismissed"]);
    for event in ["opened", "corrected", "placed", "answered", "closed"] {
        assert!(
            events.iter().any(|found| found == event),
            "{event} in {events:?}"
        );
    }
    let history = installation.json(["cases", "history", "--json", &number]);
    let reopened = history
        .iter()
        .find(|event| event["event"] == "reopened")
        .unwrap();
    assert!(
        reopened["who"]
            .as_str()
            .unwrap()
            .ends_with("(for Overlege Prøvesen)")
    );
    assert_eq!(reopened["reason"], because[1]);
    assert!(
        history
            .iter()
            .filter(|event| event["event"] == "opened")
            .all(|event| event["who"] == "linjevei")
    );

    // Approval, and handing over what may not go by mail.
    let number = with_state("approval");
    let approved = order("approve", &number, &[]);
    assert!(
        matches!(approved.as_str(), "sent" | "secure-handover"),
        "{approved}"
    );
    installation.refused(1, [&["cases", "approve", &number], &because[..]].concat());
    let number = with_state("secure-handover");
    assert_eq!(order("handed-over", &number, &["--by", "edialog"]), "sent");
    assert_eq!(
        installation
            .run(
                [
                    &["cases", "handed-over", &number, "--by", "due"],
                    &because[..]
                ]
                .concat()
            )
            .status
            .code(),
        Some(2)
    );

    // Looking at what a patient's report says is an event, and the list never shows it.
    let opened = messages
        .iter()
        .find(|row| row["outcome"] == "opened" && row["case"] == *number)
        .unwrap();
    assert!(
        opened["sender_domain"]
            .as_str()
            .is_some_and(|domain| !domain.contains('@'))
    );
    assert!(installation.json(["cases", "show", "--json", &number])[0]["content"].is_null());
    let before = events_of(&number).len();
    let content =
        installation.json(["cases", "show", "--json", "--show-content", &number])[0]["content"]
            .clone();
    assert!(content.as_str().is_some_and(|content| content.len() > 50));
    let events = events_of(&number);
    assert_eq!(
        (events.len(), events.last().map(String::as_str)),
        (before + 1, Some("shown"))
    );

    // A report on paper.
    let new = installation.json(
        [
            &[
                "cases",
                "--json",
                "new",
                "--party",
                "medisin",
                "--received",
                "2026-11-02",
            ],
            &because[..],
        ]
        .concat(),
    );
    let number = new[0]["case"].as_str().unwrap().to_owned();
    assert_eq!(
        (&new[0]["received"], &new[0]["due"]),
        (&"2026-11-02".into(), &"2026-12-02".into())
    );
    assert_eq!(new[0]["acknowledgement"]["why_not"], "no-address");
    assert_eq!(state_of(&number), "secure-handover");
    assert_eq!(installation.cases().len(), cases.len() + 1);
    installation.refused(
        1,
        [&["cases", "new", "--party", "ingen"], &because[..]].concat(),
    );
    installation.refused(1, ["cases", "show", "SAK-2026-999999"]);
    assert_eq!(
        installation.run(["cases", "show", "1234"]).status.code(),
        Some(2)
    );

    // For people: tables with the same cases.
    let table = installation.ok(["cases", "list"]);
    let open = installation.json(["cases", "list", "--json"]);
    assert_eq!(table.lines().count(), open.len() + 1);
    assert!(
        open.iter()
            .all(|case| table.contains(case["case"].as_str().unwrap()))
    );
    assert!(
        installation
            .ok(["cases", "show", &number])
            .contains("Må sendes sikkert")
    );
    assert!(
        installation
            .ok(["cases", "history", &number])
            .lines()
            .count()
            > 2
    );
    for list in [
        &["messages", "list"][..],
        &["messages", "list", "--left-alone"],
        &["outbox", "list"],
        &["chase", "--dry-run"],
    ] {
        assert!(
            !installation.ok(list).contains('@'),
            "{list:?} shows addresses"
        );
    }
    let left_alone = installation.json(["messages", "list", "--left-alone", "--json"]);
    assert_eq!(left_alone.len(), count(&messages, "left-alone"));

    // Mail is held and sent again by a person's word.
    let row = installation.outbox()[0]["id"].to_string();
    installation.ok(["outbox", "hold", &row]);
    assert_eq!(installation.outbox()[0]["state"], "held");
    installation.ok(["outbox", "retry", &row]);
    assert_eq!(installation.outbox()[0]["state"], "queued");
    installation.refused(1, ["outbox", "hold", "999999"]);

    // All numbers stay without a gap, and everything said goes out once.
    let waiting = installation.outbox().len();
    let worker = installation.start_and_wait();
    installation.until("all mail is sent", |this| {
        this.outbox().iter().all(|row| row["state"] == "sent")
    });
    assert_eq!(worker.stop().0.code(), Some(0));
    assert_eq!(
        fs::read_dir(installation.path().join("sendt/new"))
            .unwrap()
            .count(),
        waiting
    );
    each_case_has_one_acknowledgement_decision(&installation.cases(), &installation.outbox());
}

/// A mail from this address that the rules leave alone.
fn other_mail(number: u32) -> Vec<u8> {
    format!(
        "From: Salg <salg@leverandoer.example>\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: Nyhetsbrev\r\n\
         Date: Mon, 2 Nov 2026 09:00:00 +0100\r\nMessage-ID: <{number}.brev@leverandoer.example>\r\nList-Id: <x.example>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nTilbud på kontorstoler i hele november.\r\n"
    )
    .into_bytes()
}

#[test]
fn cases_are_listed_filtered_sorted_and_as_csv() {
    let installation = offline();
    installation.ok([
        "ingest",
        repository()
            .join("tests/fixtures/messages")
            .to_str()
            .unwrap(),
    ]);
    let all = installation.cases();
    let list = |more: &[&str]| installation.json([&["cases", "list", "--json"], more].concat());
    let numbers = |cases: &[Value]| -> Vec<String> {
        cases
            .iter()
            .map(|case| case["case"].as_str().unwrap().to_owned())
            .collect()
    };
    // A kommune sees what it reported and what it must answer.
    let kommune = all
        .iter()
        .find_map(|case| {
            let party = case["destination"].as_str()?;
            [
                "moss",
                "fredrikstad",
                "sarpsborg",
                "halden",
                "indre-ostfold",
            ]
            .into_iter()
            .find(|kommune| *kommune == party)
        })
        .expect("a fixture is for a kommune");
    let to_it = numbers(&list(&["--all", "--party", kommune]));
    let concerning = numbers(&list(&["--all", "--kommune", kommune]));
    assert!(!to_it.is_empty() && to_it.iter().all(|number| concerning.contains(number)));
    assert!(concerning.len() < all.len());
    let said = installation.refused(1, ["cases", "list", "--kommune", "mos"]);
    assert!(said.contains("moss"), "the choices are told: {said}");

    let by_due = list(&["--sort", "due"]);
    let dues: Vec<&str> = by_due
        .iter()
        .filter_map(|case| case["due"].as_str())
        .collect();
    assert!(dues.is_sorted() && dues.len() > 1);
    assert!(
        by_due[..dues.len()]
            .iter()
            .all(|case| !case["due"].is_null())
    );
    let mut reversed = numbers(&list(&["--sort", "due", "--reverse"]));
    reversed.reverse();
    assert_eq!(reversed, numbers(&by_due));

    // Mine: those that I was the last to decide on.
    let mine = |user: &str| {
        let output = installation
            .command(["cases", "list", "--mine", "--json"])
            .env("SUDO_USER", user)
            .output()
            .unwrap();
        numbers(&json_lines(&String::from_utf8(output.stdout).unwrap()))
    };
    let first = numbers(&list(&[]))[0].clone();
    for user in ["kari", "ola"] {
        let note = [
            "cases",
            "note",
            &first,
            "--reason",
            "ringt",
            "--on-behalf-of",
            "Nils",
        ];
        assert!(
            installation
                .command(note)
                .env("SUDO_USER", user)
                .status()
                .unwrap()
                .success()
        );
    }
    assert_eq!(mine("ola"), [first.as_str()]);
    assert!(mine("kari").is_empty());

    let csv = installation.ok(["cases", "list", "--all", "--csv"]);
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("case,state,type,"));
    assert_eq!(lines.len(), all.len() + 1);
    let columns = lines[0].split(',').count();
    for (line, case) in lines[1..].iter().zip(&all) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), columns, "{line}");
        assert_eq!(cells[0], case["case"]);
        assert_eq!(cells[1], case["state"]);
    }
    // Piped it is plain, and nothing is cut.
    let plain = installation.ok(["cases", "list", "--all"]);
    assert!(!plain.contains('\u{1b}') && !plain.contains('…'), "{plain}");
}

#[test]
fn decisions_about_messages_are_undone_from_a_terminal() {
    let installation = offline();
    for number in 1..=3 {
        fs::write(
            installation.path().join(format!("{number}.eml")),
            report(number),
        )
        .unwrap();
    }
    fs::write(installation.path().join("brev.eml"), other_mail(1)).unwrap();
    installation.ok(["ingest", "1.eml", "2.eml", "3.eml", "brev.eml"]);
    let left = installation.json(["messages", "list", "--left-alone", "--json"]);
    assert_eq!(left.len(), 1);
    let id = left[0]["id"].to_string();
    let why = [
        "--reason",
        "sett på i morgenmøtet",
        "--on-behalf-of",
        "Nils",
    ];
    let output = installation.run(["messages", "adopt", &id]);
    assert_eq!(output.status.code(), Some(2), "who decides says why");
    let adopted = &installation.json([&["messages", "adopt", &id, "--json"], &why[..]].concat())[0];
    assert_eq!(
        (&adopted["state"], adopted["received"].as_str()),
        (&Value::from("triage"), Some("2026-11-02"))
    );
    let number = adopted["case"].as_str().unwrap().to_owned();
    let history = installation.json(["cases", "history", "--json", &number]);
    assert_eq!(history[0]["reason"], "sett på i morgenmøtet");
    assert!(
        history[0]["who"].as_str().unwrap().ends_with("(for Nils)"),
        "{}",
        history[0]
    );
    installation.refused(1, [&["messages", "adopt", &id], &why[..]].concat());

    let cases: Vec<String> = installation
        .cases()
        .iter()
        .map(|case| case["case"].as_str().unwrap().to_owned())
        .collect();
    let (first, second) = (cases[0].as_str(), cases[1].as_str());
    installation.json([&["cases", "link", "--json", first, second], &why[..]].concat());
    let shown = installation.ok(["cases", "show", second]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("Se også") && line.contains(first)),
        "{shown}"
    );
    let merged = &installation.json(
        [
            &["cases", "merge", "--json", second, "--into", first],
            &why[..],
        ]
        .concat(),
    )[0];
    assert_eq!(
        (merged["state"].as_str(), merged["merged_into"].as_str()),
        (Some("dismissed"), Some(first))
    );
    let joined = installation.json(["cases", "show", "--json", first])[0]["messages"].clone();
    assert_eq!(joined.as_array().unwrap().len(), 2);
    let moved = joined[1].to_string();
    let split = &installation.json(
        [
            &["cases", "split", "--json", first, "--message", &moved],
            &why[..],
        ]
        .concat(),
    )[0];
    assert_eq!(split["message"].to_string(), moved);
    let twin = &installation.json([&["cases", "split", "--json", first], &why[..]].concat())[0];
    assert_eq!(twin["state"], "triage");
    let all = installation.cases();
    assert_eq!(all.len(), 6, "no number is lost");
    each_message_has_one_outcome(&installation.messages());
    each_case_has_one_acknowledgement_decision(&all, &installation.outbox());
}

#[test]
fn chase_tells_what_is_due_and_does_it_once() {
    let installation = offline();
    fs::write(installation.path().join("en.eml"), report(1)).unwrap();
    installation.ok(["ingest", "en.eml"]);
    let lines = |args: &[&str]| installation.json([&["chase", "--json"], args].concat());
    let due = |args: &[&str]| {
        lines(args)
            .iter()
            .filter(|line| line["case"].is_string())
            .count()
    };
    assert_eq!(due(&["--dry-run"]), 0);
    assert_eq!(due(&["--dry-run", "--now", "2027-06-01"]), 1);
    assert_eq!(
        due(&["--dry-run", "--now", "2027-06-01"]),
        1,
        "a dry run changes nothing"
    );
    assert_eq!(
        installation
            .outbox()
            .iter()
            .filter(|row| row["kind"] == "purring")
            .count(),
        0
    );
    // It also shows what the digest would say.
    let digest = lines(&["--dry-run", "--now", "2027-06-01"]).pop().unwrap();
    assert!(digest["digest"]["lines"].as_u64().unwrap() > 0, "{digest}");
    assert!(
        digest["digest"]["text"]
            .as_str()
            .unwrap()
            .contains("Over fristen (1)"),
        "{digest}"
    );
    let told = installation.ok(["chase", "--dry-run", "--now", "2027-06-01"]);
    assert!(told.contains("Over fristen (1)"), "{told}");
    assert_eq!(
        installation
            .run(["chase", "--now", "i morgen"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_second_worker_on_the_same_data_refuses_and_the_commands_work_beside_the_first() {
    let installation = offline();
    let mut worker = installation.start_and_wait();
    let refused = installation.refused(69, ["run"]);
    assert!(refused.contains("another"), "{refused}");
    assert!(!worker.has_ended());
    let told = with_input(&mut installation.command(["ingest", "-"]), &report(1));
    assert_eq!(told.status.code(), Some(0), "{}", said(&told));
    // A Maildir does not say when a message arrived; the mail server's trace does.
    let now = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).unwrap();
    let received = format!("Received: from a.example by b.example; {now}\r\n");
    let arrived = [received.as_bytes(), &report(2)].concat();
    fs::write(installation.path().join("inn/new/1.ny"), arrived).unwrap();
    installation.until("both are cases", |this| this.cases().len() == 2);
    installation.until("the worker sends what others queued", |this| {
        this.outbox().iter().all(|row| row["state"] == "sent")
    });
    let number = installation.cases()[0]["case"].as_str().unwrap().to_owned();
    installation.ok(["cases", "note", &number, "--reason", "ved siden av"]);
    let (status, took, _) = worker.stop();
    assert_eq!(status.code(), Some(0));
    assert!(took < AT_MOST);
    // The lock went with its holder.
    let worker = installation.start_and_wait();
    assert_eq!(worker.stop().0.code(), Some(0));
}

#[test]
fn observe_is_harmless() {
    let installation = offline();
    installation.set(
        &fs::read_to_string(installation.path().join("linjevei.toml"))
            .unwrap()
            .replace("mode = \"live\"", "mode = \"observe\""),
    );
    fs::write(installation.path().join("inn/new/1.ny"), report(1)).unwrap();
    let worker = installation.start_and_wait();
    installation.until_worked_off(1);
    assert_eq!(worker.stop().0.code(), Some(0));
    let messages = installation.messages();
    assert_eq!(
        (&messages[0]["outcome"], &messages[0]["reason"]),
        (&"left-alone".into(), &"observed".into())
    );
    assert!(installation.cases().is_empty() && installation.outbox().is_empty());
    assert!(installation.path().join("inn/new/1.ny").exists());
    assert_eq!(
        installation.number("SELECT count(*) FROM verdict"),
        1,
        "it was classified"
    );
}

#[test]
fn the_demo_leaves_database_sent_mail_and_summary() {
    let dir = tempfile::tempdir().unwrap();
    let demo = |target: &str| {
        program()
            .args(["demo", "--dir", target])
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let output = demo("prove");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    for text in [
        "Dag 0",
        "Dag 3",
        "Dag 12",
        "Dag 31",
        "Dag 46",
        "SAK-2026-000001",
        "fordi:",
        "purres",
        "oppsummering.md",
        "står i dagens oversikt",
        "│ Til vurdering: en person må plassere saken",
    ] {
        assert!(told.contains(text), "{text} is not in\n{told}");
    }
    let at = |name: &str| dir.path().join("prove").join(name);
    assert!(at("data/linjevei.db").is_file());
    let sent = fs::read_dir(at("sendt/new")).unwrap().count();
    assert!(sent > 25, "{sent}");
    assert!(
        fs::read_to_string(at("oppsummering.md"))
            .unwrap()
            .contains("SAK-2026-000001")
    );
    let inbox = fs::read_dir(at("innboks/new")).unwrap().count();
    assert!(inbox >= 25, "{inbox}");

    // Again the same; but never over anything else.
    let again = demo("prove");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), told);
    assert_eq!(fs::read_dir(at("sendt/new")).unwrap().count(), sent);
    fs::create_dir(dir.path().join("annet")).unwrap();
    fs::write(dir.path().join("annet/viktig"), "x").unwrap();
    assert_eq!(demo("annet").status.code(), Some(1));
    assert!(dir.path().join("annet/viktig").exists());
}

#[test]
fn help_says_of_every_command_what_it_does() {
    let help = |path: &[String]| {
        let output = program().args(path).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{path:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let top = help(&[]);
    assert!(top.contains("Exit codes") && top.contains("linjevei demo"));
    let mut open = vec![Vec::<String>::new()];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        let text = help(&path);
        let about = text.lines().next().unwrap();
        assert!(
            about.len() > 10 && !about.starts_with("Usage"),
            "{path:?} does not say what it does:\n{text}"
        );
        let commands = text
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty());
        for line in commands.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
            let name = line.split_whitespace().next().unwrap();
            if name != "help" {
                open.push([&path[..], &[name.to_owned()]].concat());
            }
        }
        seen.insert(path.join(" "));
    }
    let wanted = "demo,run,ingest,classify,rules check,rules explain,rules score,cases list,cases show,cases history,cases new,\
                  cases reroute,cases approve,cases handed-over,cases answer,cases close,cases dismiss,cases reopen,cases note,\
                  cases split,cases link,cases merge,messages list,messages adopt,chase,outbox list,outbox retry,outbox hold,doctor";
    for command in wanted.split(',') {
        assert!(seen.contains(command), "there is no {command}");
    }
    let version = program().arg("--version").output().unwrap();
    assert_eq!(
        version.stdout,
        format!("linjevei {}\n", env!("CARGO_PKG_VERSION")).into_bytes()
    );
    assert_eq!(program().output().unwrap().status.code(), Some(2));
}
