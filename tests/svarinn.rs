//! Forsendelser from KS SvarInn: a server that speaks MottakService over real HTTP, letters that `openssl cms` encrypts, the
//! source, the worker's steps and the program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::duplicate_mod,
    reason = "the house and the installation bring the same small parts"
)]

#[path = "support/documents.rs"]
mod documents;
#[path = "support/house.rs"]
mod house;
#[path = "support/mutation.rs"]
mod mutation;
#[path = "support/serving.rs"]
mod serving;
mod support;
#[path = "support/svarinn.rs"]
mod svarinn;
#[path = "support/worker.rs"]
mod worker;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use house::{House, morning, person};
use linjevei::case::{Acknowledgement, EventKind, Policy, State};
use linjevei::config::SvarInnConfig;
use linjevei::failpoint;
use linjevei::intake::svarinn::Identity;
use linjevei::intake::{Cursor, Fetched, MailSource as _, SourceError, SvarInnSource};
use linjevei::message::{self, Limits, Message};
use linjevei::rules::WhyNot;
use linjevei::worker::health::{Examiner, HealthLimits};
use linjevei::worker::vitals::Vitals;
use mutation::Mutator;
use serde_json::{Value, json};
use svarinn::{
    FNR, File, Keys, ORGANISATION, PASSWORD, PORTAL, Server, Trick, USER, USUAL, metadata, zipped,
};
use worker::{Installation, said};

const DAY: &str = "2026-03-02";
const COVER: &str = "eDialog framside\nAvsender: Fjordgløtt legesenter\nDato: 2. mars 2026\nE-post: lege@fjordgloett-legesenter.example\n";
const REPORT: &str = "Avviksmelding. Det gjelder en medisinsak: pasienten kom hjem uten epikrise.";

/// Keys are dear to make: once for all tests here. `None` without openssl.
fn keys() -> Option<&'static Keys> {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    KEYS.get_or_init(Keys::make).as_ref()
}

fn report_files() -> Vec<File> {
    vec![
        File::text("edialog framside.txt", COVER),
        File::text("kommentar.txt", REPORT),
    ]
}

/// The same as the portal makes it: pages of PDF.
fn report_pdfs() -> Vec<File> {
    let pdf = |name: &'static str, text: &str| File {
        name,
        media_type: "application/pdf",
        bytes: documents::pdf_page(&text.lines().collect::<Vec<_>>()),
    };
    vec![
        pdf("edialog framside.pdf", COVER),
        pdf("kommentar.pdf", REPORT),
    ]
}

/// One look at the server: what each letter became.
async fn look(config: &SvarInnConfig) -> Result<Vec<Fetched>, SourceError> {
    let mut source = SvarInnSource::new(config).unwrap();
    let listing = source.list(&Cursor::default(), 100).await?;
    source.fetch(&listing.candidates).await
}

fn parsed(fetched: &Fetched) -> Message {
    match fetched {
        Fetched::Message(raw) => message::parse(&raw.bytes, &Limits::default()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Files of the only letter, with the text that SvarInn was told of them.
async fn only_files(config: &SvarInnConfig) -> Vec<message::File> {
    let fetched = look(config).await.unwrap();
    match &fetched[..] {
        [Fetched::Message(raw)] => message::files(&raw.bytes, &Limits::default()),
        other => panic!("{other:?}"),
    }
}

/// Why the only letter could not be read, and whether a notice of that came.
async fn only_trouble(config: &SvarInnConfig) -> (String, bool) {
    let fetched = look(config).await.unwrap();
    match &fetched[..] {
        [Fetched::Unreadable(_, why)] => (why.clone(), false),
        [Fetched::Message(_), Fetched::Unreadable(_, why)] => (why.clone(), true),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn letters_in_every_form_of_cms() {
    let Some(keys) = keys() else { return };
    let oaep = |hash: &'static str, mask: &'static str| {
        vec![
            "-aes256",
            "-keyopt",
            "rsa_padding_mode:oaep",
            "-keyopt",
            hash,
            "-keyopt",
            mask,
        ]
    };
    let streamed = |mut options: Vec<&'static str>| {
        options.splice(0..0, ["-stream", "-indef"]);
        options
    };
    let (sha1, sha256, sha512) = (
        "rsa_oaep_md:sha1",
        "rsa_oaep_md:sha256",
        "rsa_oaep_md:sha512",
    );
    let forms: Vec<Vec<&str>> = vec![
        USUAL.to_vec(),
        oaep(sha256, "rsa_mgf1_md:sha256"),
        streamed(oaep(sha1, "rsa_mgf1_md:sha1")),
        streamed(oaep(sha256, "rsa_mgf1_md:sha1")),
        streamed(oaep(sha512, "rsa_mgf1_md:sha384")),
        streamed(vec!["-aes256"]),
        vec!["-aes192"],
        vec!["-aes128", "-keyid"],
        streamed(vec!["-aes256", "-keyid"]),
    ];
    // Large enough for many pieces, and not a multiple of a block.
    let clear: Vec<u8> = (0..300_001_u32)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    for form in forms {
        for recipients in [&["vaar"][..], &["annen", "vaar"]] {
            let server = Server::start();
            let body = keys.encrypt_for(recipients, &form, &clear);
            server.put(
                metadata("a-1", "Avvik", morning(DAY), &[]),
                body,
                "application/octet-stream",
            );
            let files = only_files(&server.config(keys)).await;
            assert_eq!(files.len(), 1, "{form:?}");
            assert!(files[0].bytes == clear, "{form:?} {recipients:?}");
        }
    }
    assert_eq!(
        keys.encrypt(b"x")[..2],
        [0x30, 0x80],
        "the usual form has indefinite lengths"
    );
}

#[tokio::test]
async fn letters_that_cannot_be_decrypted() {
    let Some(keys) = keys() else { return };
    let good = keys.encrypt(REPORT.as_bytes());
    let mut damaged = good.clone();
    let at = damaged.len() - 20;
    damaged[at] ^= 1;
    let cases: [(Vec<u8>, &str, bool); 7] = [
        (
            keys.encrypt_for(&["annen"], USUAL, b"hei"),
            "another key: none of its 1 recipients",
            true,
        ),
        (
            keys.encrypt_for(&["annen"], &["-aes256"], b"hei"),
            "another key",
            true,
        ),
        (
            keys.encrypt_for(&["vaar"], &["-des3"], b"hei"),
            "not supported (content encryption)",
            true,
        ),
        (
            keys.encrypt_for(&["vaar"], &["-aes-256-gcm"], b"hei"),
            "AuthEnvelopedData",
            true,
        ),
        (
            b"<html>Kari Testesen</html>".to_vec(),
            "no encrypted letter",
            true,
        ),
        (damaged, "damaged", true),
        (good[..good.len() / 2].to_vec(), "ends too early", false),
    ];
    for (body, expected, told) in cases {
        let server = Server::start();
        server.put(
            metadata("a-1", "Avvik", morning(DAY), &[]),
            body,
            "application/pdf",
        );
        let (why, notice) = only_trouble(&server.config(keys)).await;
        assert!(
            why.contains(expected) && why.contains("a-1"),
            "{expected}: {why}"
        );
        assert!(!why.contains("Testesen") && !why.contains("Avvik"), "{why}");
        assert_eq!(notice, told, "{expected}");
        assert!(server.requests("POST").is_empty());
    }
}

#[tokio::test]
async fn keys_and_certificates() {
    let Some(keys) = keys() else { return };
    let load = |key: &std::path::Path, certificate: &str| {
        Identity::load(key, &keys.certificate(certificate))
            .map_err(|error| format!("{}: {}", error.what, error.advice))
    };
    assert_eq!(load(&keys.key("vaar"), "vaar").unwrap().bits(), 3072);
    let pkcs1 = keys.key_as("vaar", "pkcs1", &["rsa", "-traditional"]);
    assert!(
        fs::read_to_string(&pkcs1)
            .unwrap()
            .starts_with("-----BEGIN RSA PRIVATE KEY-----")
    );
    load(&pkcs1, "vaar").unwrap();
    let locked = keys.key_as("vaar", "laast", &["pkcs8", "-topk8", "-passout", "pass:x"]);
    assert!(
        load(&locked, "vaar")
            .unwrap_err()
            .contains("locked with a password")
    );
    assert!(
        load(&keys.key("vaar"), "annen")
            .unwrap_err()
            .contains("does not belong")
    );
    assert!(
        load(&keys.certificate("vaar"), "vaar")
            .unwrap_err()
            .contains("use the private key")
    );
    let open = keys.key_as("vaar", "aapen", &["pkey"]);
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(load(&open, "vaar").unwrap_err().contains("chmod o="));
    assert!(
        load(&keys.key("borte"), "vaar")
            .unwrap_err()
            .contains("cannot be read")
    );
}

#[tokio::test]
async fn one_file_several_files_and_what_does_not_fit() {
    let Some(keys) = keys() else { return };
    let files = vec![
        File::text("../../etc/kommentar.txt", "hei"),
        File {
            name: "C:\\skjema\u{202e}fdp.pdf",
            media_type: "application/octet-stream",
            bytes: b"%PDF-1.7 x".to_vec(),
        },
    ];
    let server = Server::start();
    server.put_files(keys, metadata("a-1", "Avvik", morning(DAY), &files), &files);
    let config = server.config(keys);
    let got = only_files(&config).await;
    let names: Vec<(&str, &str)> = got
        .iter()
        .map(|file| (file.name.as_str(), file.media_type.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("kommentar.txt", "text/plain"),
            ("skjemafdp.pdf", "application/pdf")
        ]
    );

    // Another file than the metadata says.
    let server = Server::start();
    let mut told = metadata("a-1", "Avvik", morning(DAY), &files);
    told["filmetadata"][1]["sha256hash"] = json!("00".repeat(32));
    server.put_files(keys, told, &files);
    let message = parsed(&look(&server.config(keys)).await.unwrap()[0]);
    assert_eq!(message.header("X-Linjevei-Forsendelse-Skadet"), Some("1"));

    // Too much, or broken.
    let bomb = zipped(&[
        File {
            name: "a",
            media_type: "",
            bytes: vec![0; 40_000_000],
        },
        File::text("b", "b"),
    ]);
    let cut = zipped(&files);
    for (clear, expected) in [
        (bomb, "unpacks to much more"),
        (cut[..cut.len() - 30].to_vec(), "(zip) is damaged"),
    ] {
        let server = Server::start();
        server.put(
            metadata("a-1", "Avvik", morning(DAY), &files),
            keys.encrypt(&clear),
            "application/zip",
        );
        let (why, notice) = only_trouble(&server.config(keys)).await;
        assert!(why.contains(expected) && notice, "{why}");
    }
    let server = Server::start();
    server.put(
        metadata("a-1", "Avvik", morning(DAY), &[]),
        keys.encrypt(&vec![7; 200_000]),
        "application/pdf",
    );
    let config = SvarInnConfig {
        max_bytes: 100_000,
        ..server.config(keys)
    };
    let (why, notice) = only_trouble(&config).await;
    assert!(why.contains("max_bytes") && notice, "{why}");
}

#[tokio::test]
async fn what_the_service_answers() {
    let Some(keys) = keys() else { return };
    let server = Server::start();
    let config = server.config(keys);
    let failed = |trick: Trick| {
        server.list_trick(Some(trick));
        let config = config.clone();
        async move {
            let error = look(&config).await.unwrap_err();
            (error.is_temporary(), error.to_string())
        }
    };
    for (trick, temporary, expected) in [
        (
            Trick::Status(401),
            false,
            "refuses the user «tjenestebruker» (401)",
        ),
        (Trick::Status(403), false, "administrator at KS"),
        (Trick::Status(404), false, "correct url"),
        (Trick::Status(503), true, "answered 503"),
        (Trick::Status(429), true, "answered 429"),
        (Trick::Status(418), false, "answered 418"),
        (
            Trick::Redirect("http://annen.example/".to_owned()),
            false,
            "redirects are not followed",
        ),
        (
            Trick::Body(b"<html>Kari".to_vec()),
            true,
            "no list of forsendelser",
        ),
        (
            Trick::Body(b"{\"feil\": \"Kari\"}".to_vec()),
            true,
            "no list of forsendelser",
        ),
        (Trick::Half, true, "broke off"),
    ] {
        let (is_temporary, text) = failed(trick.clone()).await;
        assert_eq!(is_temporary, temporary, "{trick:?}: {text}");
        assert!(
            text.contains(expected) && !text.contains("Kari"),
            "{trick:?}: {text}"
        );
        assert!(text.contains("127.0.0.1"), "{text}");
    }
    server.list_trick(Some(Trick::Body(b"[]".to_vec())));
    assert_eq!(look(&config).await.unwrap(), []);
    server.list_trick(None);
    let wrong = SvarInnConfig {
        user: "en annen".to_owned(),
        ..config.clone()
    };
    assert!(look(&wrong).await.unwrap_err().to_string().contains("401"));
    let nowhere = SvarInnConfig {
        url: "http://127.0.0.1:1/x".to_owned(),
        ..config.clone()
    };
    assert!(look(&nowhere).await.unwrap_err().is_temporary());
}

/// One letter's trouble is not the other's.
#[tokio::test]
async fn what_downloads_come_to() {
    let Some(keys) = keys() else { return };
    let server = Server::start();
    let config = server.config(keys);
    let files = report_files();
    server.put_files(keys, metadata("a-1", "Avvik", morning(DAY), &files), &files);
    for (trick, expected, told) in [
        (Trick::Status(503), "answered 503", false),
        (Trick::Status(404), "does not have its content", true),
        (Trick::Half, "broke off", false),
    ] {
        server.download_trick(Some(trick));
        let (why, notice) = only_trouble(&config).await;
        assert!(why.contains(expected), "{why}");
        assert_eq!(notice, told, "{why}");
    }
    server.download_trick(Some(Trick::Slow));
    assert_eq!(only_files(&config).await.len(), 2);
    server.download_trick(None);

    // The password goes to no other server.
    let elsewhere = Server::start();
    let mut told = metadata("b-2", "Avvik", morning(DAY), &files);
    told["downloadUrl"] = json!(format!("{}/forsendelse/b-2", elsewhere.url()));
    server.put(told, Vec::new(), "application/zip");
    server.put(json!({ "id": "c-3", "downloadUrl": 5 }), Vec::new(), "");
    let mut nameless = metadata("x", "Avvik", morning(DAY), &files);
    nameless["id"] = json!("../../kvitterMottak");
    server.put(nameless, Vec::new(), "");
    let fetched = look(&config).await.unwrap();
    let troubles: Vec<&str> = fetched
        .iter()
        .filter_map(|one| match one {
            Fetched::Unreadable(_, why) => Some(why.as_str()),
            _ => None,
        })
        .collect();
    for expected in [
        "another server than url",
        "no address to download",
        "without an id",
    ] {
        assert!(
            troubles.iter().any(|why| why.contains(expected)),
            "{expected}: {troubles:?}"
        );
    }
    assert_eq!(troubles.len(), 3);
    assert!(elsewhere.requests("").is_empty());
    assert!(
        server.requests("POST").is_empty(),
        "nothing is receipted by looking"
    );
}

/// A house whose mailbox is SvarInn.
struct Desk {
    house: House,
    server: Server,
    source: SvarInnSource,
}

impl Desk {
    async fn open(keys: &Keys, policy: Policy) -> Self {
        let server = Server::start();
        let source = SvarInnSource::new(&server.config(keys)).unwrap();
        Self {
            house: House::with(DAY, policy).await,
            server,
            source,
        }
    }

    /// One round of the worker; the states of all cases.
    async fn round(&mut self) -> Vec<State> {
        let engine = &self.house.engine;
        engine.take_in(&mut self.source, &|_| ()).await.unwrap();
        engine.decide_pending().await.unwrap();
        engine.treat(&mut self.source).await.unwrap();
        self.house.send().await;
        self.house
            .cases()
            .await
            .iter()
            .map(|case| case.state)
            .collect()
    }

    async fn problems(&self) -> Vec<String> {
        let examiner = Examiner {
            engine: self.house.engine.clone(),
            vitals: Vitals::default(),
            fellows: linjevei::worker::fellows::Fellows::default(),
            limits: HealthLimits {
                check_age: [("svarinn".to_owned(), std::time::Duration::from_hours(1))].into(),
                unsent_age: std::time::Duration::from_hours(100),
            },
            started_at_ms: morning(DAY),
            counted: linjevei::worker::health::Counted::default(),
        };
        examiner.examine().await.unwrap().problems
    }
}

#[tokio::test]
async fn a_report_is_routed_acknowledged_and_receipted() {
    let Some(keys) = keys() else { return };
    // A trusted mail server says nothing of what never was mail.
    let mut desk = Desk::open(
        keys,
        Policy {
            authserv_id: Some("mx.so-hf.example".to_owned()),
            ..Policy::default()
        },
    )
    .await;
    let files = report_files();
    let sent = morning("2026-03-01");
    let told = metadata("a-1", "Manglende epikrise", sent, &files);
    desk.server.put_files(keys, told.clone(), &files);
    // Twice in the list: at least once means that too.
    desk.server.put_files(keys, told.clone(), &files);
    desk.server.receipt_trick(Some(Trick::Status(503)));
    let engine = desk.house.engine.clone();
    engine.take_in(&mut desk.source, &|_| ()).await.unwrap();
    assert!(
        desk.server.requests("POST").is_empty(),
        "no receipt before it is committed and decided"
    );
    engine.decide_pending().await.unwrap();
    assert!(
        engine
            .treat(&mut desk.source)
            .await
            .unwrap_err()
            .is_temporary()
    );
    desk.server.receipt_trick(None);
    assert_eq!(desk.round().await, [State::Sent]);
    assert_eq!(
        desk.server.requests("POST").len(),
        2,
        "asked again after the 503"
    );
    assert!(desk.server.waiting().is_empty());

    let case = &desk.house.cases().await[0];
    assert_eq!(case.received_at_ms, sent);
    assert_eq!(case.received_day.to_string(), "2026-03-01");
    assert_eq!(case.reporter_address, "lege@fjordgloett-legesenter.example");
    assert_eq!(case.acknowledgement, Acknowledgement::Queued);
    let outbox = desk.house.outbox().await;
    assert_eq!(outbox, ["sak→medisin sent", "kvittering→melder sent"]);
    for raw in desk.house.sent_raw() {
        assert!(!String::from_utf8_lossy(&raw).contains(FNR));
    }
    let mail = desk
        .house
        .sent()
        .into_iter()
        .find(|mail| !mail.attachments.is_empty())
        .unwrap();
    let names: Vec<String> = mail
        .attachments
        .iter()
        .map(|file| file.name.clone())
        .collect();
    assert!(names.contains(&"kommentar.txt".to_owned()), "{names:?}");

    // Delivered again after the receipt: the same message, receipted again, no second case.
    desk.server.put_files(keys, told, &files);
    assert_eq!(desk.round().await.len(), 1);
    let report = engine
        .reconcile_source(&mut desk.source, &|_| ())
        .await
        .unwrap();
    assert_eq!(report.difference(), 0, "{report:?}");
    assert_eq!(report.account.seen, 1);
}

#[tokio::test]
async fn a_forsendelse_and_a_mail_with_the_same_files_get_the_same_verdict() {
    let Some(keys) = keys() else { return };
    for files in [report_files(), report_pdfs()] {
        let mut desk = Desk::open(keys, Policy::default()).await;
        desk.server.put_files(
            keys,
            metadata("a-1", "Manglende epikrise", morning(DAY), &files),
            &files,
        );
        desk.round().await;
        let mut mail = format!(
            "From: eDialog <{PORTAL}>\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: Manglende epikrise\r\n\
             Message-ID: <1@edialog.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nFra: Kari Testesen\r\n"
        );
        for file in &files {
            write!(
                mail,
                "--b\r\nContent-Type: {}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Disposition: attachment; filename=\"{}\"\r\n\r\n{}\r\n",
                file.media_type,
                file.name,
                BASE64_STANDARD.encode(&file.bytes)
            )
            .unwrap();
        }
        mail.push_str("--b--\r\n");
        desk.house.receive(mail.as_bytes()).await;
        let mut verdicts = Vec::new();
        for id in [1, 2] {
            let json = desk.house.engine.store.verdict(id).await.unwrap().unwrap();
            verdicts.push(serde_json::from_str::<Value>(&json).unwrap());
        }
        assert_eq!(verdicts[0], verdicts[1]);
        assert_eq!(verdicts[0]["destination"]["value"], "medisin");
        let cases = desk.house.cases().await;
        assert_eq!(
            cases[0].reporter_address,
            "lege@fjordgloett-legesenter.example"
        );
        assert_eq!(
            cases[1].duplicate_of,
            Some(cases[0].number),
            "and is known as the same"
        );
    }
}

#[tokio::test]
async fn an_unreadable_forsendelse_is_a_case_that_goes_on_when_it_can_be_read() {
    let Some(keys) = keys() else { return };
    let mut desk = Desk::open(keys, Policy::default()).await;
    let files = report_files();
    let packed = zipped(&files);
    desk.server.put(
        metadata("a-1", "Manglende epikrise", morning(DAY), &files),
        keys.encrypt_for(&["annen"], USUAL, &packed),
        "application/zip",
    );
    assert_eq!(desk.round().await, [State::Triage]);
    assert_eq!(desk.round().await, [State::Triage], "the notice comes once");
    let notice = desk.house.cases().await.remove(0);
    assert_eq!(
        notice.acknowledgement,
        Acknowledgement::Not(WhyNot::Unreadable)
    );
    assert!(notice.attention && notice.kind.is_empty() && notice.reporter_address.is_empty());
    assert!(desk.house.outbox().await.is_empty());
    assert!(desk.server.requests("POST").is_empty(), "not receipted");
    assert_eq!(desk.problems().await, [""; 0], "not at once");
    desk.house.clock.set(morning(DAY) + 31 * 60_000);
    desk.round().await;
    let problems = desk.problems().await;
    assert!(
        problems[0].contains("1 cannot be read at the source")
            && problems[0].contains("another key"),
        "{problems:?}"
    );
    let digest = desk
        .house
        .engine
        .digest_at(morning(DAY))
        .await
        .unwrap()
        .unwrap();
    assert!(digest.text.contains("kunne ikke leses"), "{}", digest.text);

    desk.server.set_body("a-1", &keys.encrypt(&packed));
    assert_eq!(desk.round().await, [State::Sent]);
    let case = desk.house.cases().await.remove(0);
    assert_eq!(case.number, notice.number);
    assert_eq!(case.acknowledgement, Acknowledgement::Queued);
    assert_eq!(case.reporter_address, "lege@fjordgloett-legesenter.example");
    assert_eq!(case.due_day, notice.due_day);
    let kinds: Vec<EventKind> = desk
        .house
        .history(&case)
        .await
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds[..5],
        [
            EventKind::Opened,
            EventKind::Acknowledgement,
            EventKind::Joined,
            EventKind::Placed,
            EventKind::Acknowledgement
        ]
    );
    assert_eq!(
        desk.server.requests("POST").len(),
        1,
        "the forsendelse is receipted, not the notice"
    );
    assert!(desk.server.waiting().is_empty());
    assert_eq!(desk.problems().await, [""; 0]);
}

#[tokio::test]
async fn a_person_who_was_faster_keeps_the_word() {
    let Some(keys) = keys() else { return };
    let mut desk = Desk::open(keys, Policy::default()).await;
    let files = report_files();
    let packed = zipped(&files);
    desk.server.put(
        metadata("a-1", "Avvik", morning(DAY), &files),
        keys.encrypt_for(&["annen"], USUAL, &packed),
        "application/zip",
    );
    desk.round().await;
    let number = desk.house.cases().await[0].number;
    let order = linjevei::case::person::Order::Dismiss {
        because: "annet-sted".to_owned(),
    };
    desk.house
        .engine
        .carry_out(number, &order, &person(), "hentet i arkivet")
        .await
        .unwrap();
    desk.server.set_body("a-1", &keys.encrypt(&packed));
    assert_eq!(desk.round().await, [State::Dismissed]);
    let case = &desk.house.cases().await[0];
    assert!(case.attention);
    assert_eq!(case.message_id, 2, "the case holds what can be read");
    assert!(desk.house.outbox().await.is_empty());
    assert!(desk.server.waiting().is_empty());
}

#[tokio::test]
async fn half_downloads_are_patient_and_then_told() {
    let Some(keys) = keys() else { return };
    let mut desk = Desk::open(keys, Policy::default()).await;
    let files = report_files();
    desk.server
        .put_files(keys, metadata("a-1", "Avvik", morning(DAY), &files), &files);
    desk.server.download_trick(Some(Trick::Half));
    assert_eq!(desk.round().await, []);
    assert_eq!(desk.round().await, []);
    assert_eq!(
        desk.round().await,
        [State::Triage],
        "the third time it is old and told"
    );
    desk.server.download_trick(None);
    assert_eq!(desk.round().await, [State::Sent]);
}

#[tokio::test]
async fn threads_damage_and_what_is_no_report() {
    let Some(keys) = keys() else { return };
    let mut desk = Desk::open(keys, Policy::default()).await;
    let files = report_files();
    desk.server
        .put_files(keys, metadata("a-1", "Avvik", morning(DAY), &files), &files);
    desk.round().await;
    // An answer joins the case of the forsendelse that it answers.
    let reply = [File::text(
        "kommentar.txt",
        "Her er opplysningene dere ba om.",
    )];
    let mut told = metadata("a-2", "Svar", morning(DAY), &reply);
    told["svarPaForsendelse"] = json!("a-1");
    desk.server.put_files(keys, told, &reply);
    assert_eq!(desk.round().await.len(), 1);
    let case = desk.house.cases().await.remove(0);
    assert_eq!(
        desk.house
            .engine
            .store
            .case_messages(case.id)
            .await
            .unwrap()
            .len(),
        2
    );
    // Files that are not what they should be: a person looks, nobody is told anything.
    let mut told = metadata("a-3", "Avvik", morning(DAY), &files);
    told["filmetadata"][1]["sha256hash"] = json!("00".repeat(32));
    desk.server.put_files(keys, told, &files);
    // What only we have fetched is never left alone.
    let news = [File::text("brev.txt", "Nyhetsbrev for mars")];
    desk.server
        .put_files(keys, metadata("a-4", "Brev", morning(DAY), &news), &news);
    desk.round().await;
    let cases = desk.house.cases().await;
    let states: Vec<State> = cases.iter().map(|case| case.state).collect();
    assert_eq!(states, [State::Sent, State::Triage, State::Triage]);
    assert!(cases[1].attention);
    assert_eq!(
        cases[1].acknowledgement,
        Acknowledgement::Not(WhyNot::Unreadable)
    );
    assert_eq!(
        cases[2].acknowledgement,
        Acknowledgement::Not(WhyNot::IkkeAvvik)
    );
    assert!(
        desk.server.waiting().is_empty(),
        "all of them are ours, and receipted"
    );
}

#[tokio::test]
async fn headers_of_a_mail_are_not_believed() {
    let mut house = House::on(DAY).await;
    let headers = "X-Linjevei-Forsendelse: a-1\r\nX-Linjevei-Forsendelse-Ulest: 1\r\n";
    let mail = house.mail("spam@annet.example", "Hei", headers, "nyhetsbrev");
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(row.outcome, "left-alone");
}

/// An installation whose only source is this server, with rules that leave no doubt.
fn installation(keys: &Keys, server: &Server, mode: &str) -> Installation {
    let installation = Installation::new("");
    let folder = installation.path();
    fs::create_dir(folder.join("regler")).unwrap();
    fs::write(
        folder.join("regler/regler.toml"),
        format!(
            "[own]\naddresses = [\"{}\"]\ndomains = [\"so-hf.example\"]\n\n[[portals]]\nid = \"edialog\"\nname = \"eDialog\"\n\
             addresses = [\"{PORTAL}\"]\n\n[[parties]]\nid = \"medisin\"\nname = \"Medisin\"\nkind = \"klinikk\"\n\
             send_to = [\"medisin@so-hf.example\"]\nsecure = true\n\n[[parties]]\nid = \"samhandling\"\nname = \"Avdelingen\"\n\
             kind = \"samhandling\"\nsend_to = [\"avdelingen@so-hf.example\"]\n\n[[rules]]\nid = \"avvik\"\n\
             give = {{ type = \"avvik\" }}\ndecisive = true\nany = [\"avviksmelding\"]\n\n[[rules]]\nid = \"medisin\"\n\
             give = {{ destination = \"medisin\" }}\ndecisive = true\nany = [\"medisinsak\"]\n",
            worker::ADDRESS
        ),
    )
    .unwrap();
    installation.secret("passord", PASSWORD);
    let settings = worker::settings()
        .replace("mode = \"live\"", &format!("mode = \"{mode}\""))
        .replace(
            &format!("{}/rules/ostfold", worker::repository().display()),
            "regler",
        );
    installation.set(&format!(
        "{settings}\n[send_maildir]\npath = \"ut\"\n\n[[svarinn]]\nname = \"svarinn\"\nurl = \"{}\"\nuser = \"{USER}\"\n\
         password_file = \"passord\"\norganisation = \"{ORGANISATION}\"\nprivate_key_file = \"{}\"\ncertificate_file = \"{}\"\n\
         sender = \"{PORTAL}\"\npoll_secs = 1\n",
        server.url(),
        keys.key("vaar").display(),
        keys.certificate("vaar").display(),
    ));
    installation
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[test]
fn the_program_takes_in_and_receipts() {
    let Some(keys) = keys() else { return };
    let server = Server::start();
    let files = report_files();
    // The first live start draws the line; what came later is handled.
    let installation = installation(keys, &server, "live");
    let worker = installation.start_and_wait();
    server.put_files(
        keys,
        metadata("a-1", "Hemmelig tittel", now_ms() + 5, &files),
        &files,
    );
    installation.until("the forsendelse is receipted", |_| {
        server.waiting().is_empty()
    });
    let cases = installation.cases();
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0]["state"], "sent");
    let (status, _, log) = worker.stop();
    assert!(status.success());
    let log = log.join("\n");
    for secret in [
        "Hemmelig tittel",
        "Testesen",
        FNR,
        PASSWORD,
        "kommentar.txt",
        "fjordgloett",
    ] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
    // Outside the raw message nothing of the sender's number, in any column of text.
    let database = fs::read(installation.database()).unwrap();
    assert!(!String::from_utf8_lossy(&database).contains(FNR));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one letter's way through the commands, in order"
)]
fn what_only_a_person_says() {
    let Some(keys) = keys() else { return };
    let server = Server::start();
    let installation = installation(keys, &server, "observe");
    let files = report_files();
    server.put_files(
        keys,
        metadata("a-1", "Tittel", now_ms() - 7_200_000, &files),
        &files,
    );
    server.put(
        metadata("a-2", "Tittel", now_ms(), &files),
        keys.encrypt_for(&["annen"], USUAL, &zipped(&files)),
        "application/zip",
    );
    let by_hand = |args: &[&str]| {
        let args: Vec<&str> = ["svarinn"]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        installation.run(args)
    };
    let not_stored = by_hand(&["receipt", "a-1", "--reason", "prøve"]);
    assert!(said(&not_stored).contains("--fetched-elsewhere") && !not_stored.status.success());
    let worker = installation.start_and_wait();
    installation.until("both are stored", |this| this.messages().len() == 2);
    worker.stop();
    assert!(
        server.requests("POST").is_empty(),
        "observe mode touches nothing"
    );
    let list = installation.json(["svarinn", "list", "--json"]);
    let outcome = |id: &str| list.iter().find(|row| row["id"] == id).unwrap()["outcome"].clone();
    assert_eq!(
        (outcome("a-1"), outcome("a-2")),
        (json!("left-alone"), json!("unreadable"))
    );
    let shown = installation.ok(["svarinn", "list"]);
    assert!(
        shown.contains("a-1") && shown.contains("another key") && !shown.contains("Tittel"),
        "{shown}"
    );

    let refused = by_hand(&[
        "fail",
        "a-2",
        "--message",
        "kan ikke leses",
        "--permanent",
        "--reason",
        "x",
    ]);
    assert!(
        said(&refused).contains("Altinn") && refused.status.code() == Some(1),
        "{}",
        said(&refused)
    );
    assert!(server.requests("POST").is_empty());
    let done = by_hand(&[
        "fail",
        "a-2",
        "--message",
        "kan ikke leses",
        "--reason",
        "nøkkel byttet",
    ]);
    assert!(done.status.success(), "{}", said(&done));
    let done = by_hand(&[
        "fail",
        "a-2",
        "--message",
        "kan ikke leses",
        "--permanent",
        "--to-altinn-and-print",
        "--reason",
        "x",
    ]);
    assert!(done.status.success(), "{}", said(&done));
    let posts = server.requests("POST");
    assert!(
        posts[0].contains("mottakFeilet/forsendelse/a-2")
            && posts[0].contains("\"permanent\":false"),
        "{posts:?}"
    );
    assert!(
        posts[1].contains("\"permanent\":true") && posts[1].contains("kan ikke leses"),
        "{posts:?}"
    );
    let done = by_hand(&[
        "receipt",
        "a-1",
        "--reason",
        "hentet i arkivet",
        "--on-behalf-of",
        "Ola",
    ]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(server.waiting(), ["a-2"]);
    let again = by_hand(&["receipt", "a-1", "--reason", "en gang til"]);
    assert!(
        said(&again).contains("does not have forsendelse a-1"),
        "{}",
        said(&again)
    );
    let events: Vec<(String, String, String)> =
        installation.rows("SELECT kind, on_behalf_of, reason FROM source_event ORDER BY id");
    let kinds: Vec<&str> = events.iter().map(|event| event.0.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "fail-begun",
            "fail-done",
            "fail-permanent-begun",
            "fail-permanent-done",
            "receipt-begun",
            "receipt-done",
            "receipt-begun",
            "not-there"
        ]
    );
    assert_eq!(events[5].1, "Ola");
}

/// Cut off before or after each of the two times at which a command writes down what it does: what SvarInn was told is always
/// known before it is told, and the command can be given again.
#[test]
fn who_said_it_is_known_even_when_the_command_is_killed() {
    let Some(keys) = keys() else { return };
    let server = Server::start();
    let installation = installation(keys, &server, "observe");
    let files = report_files();
    let receipt = |id: &str, order: &str| {
        let words = [
            "svarinn",
            "receipt",
            id,
            "--fetched-elsewhere",
            "--reason",
            "x",
        ];
        let mut command = installation.command(words);
        command.env(failpoint::VARIABLE, order).output().unwrap()
    };
    let begun: &[&str] = &["receipt-begun"];
    for (id, order, events, told) in [
        ("a-1", "before=kill@1", &[][..], false),
        ("a-2", "after=kill@1", begun, false),
        ("a-3", "before=kill@2", begun, true),
        (
            "a-4",
            "after=kill@2",
            &["receipt-begun", "receipt-done"],
            true,
        ),
    ] {
        server.put_files(keys, metadata(id, "Tittel", now_ms(), &files), &files);
        let killed = receipt(id, &format!("commit.keep-source-event.{order}"));
        assert_eq!(
            killed.status.signal(),
            Some(9),
            "{order}: {}",
            said(&killed)
        );
        assert_eq!(server.waiting().is_empty(), told, "{order}");
        let kinds = || {
            let all: Vec<(String, String)> =
                installation.rows("SELECT position_key, kind FROM source_event ORDER BY id");
            let of_this = all.into_iter().filter(|(key, _)| key == id);
            of_this.map(|(_, kind)| kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(), events, "{order}");

        let again = receipt(id, "");
        assert_eq!(again.status.success(), !told, "{order}: {}", said(&again));
        assert!(server.waiting().is_empty(), "{order}");
        let last = if told { "not-there" } else { "receipt-done" };
        assert_eq!(kinds().last().map(String::as_str), Some(last), "{order}");
    }
}

#[test]
fn doctor_looks_at_login_key_and_certificate() {
    let Some(keys) = keys() else { return };
    let server = Server::start();
    let installation = installation(keys, &server, "observe");
    let doctor = installation.run(["doctor"]);
    let out = said(&doctor);
    assert!(
        out.contains("0 forsendelser wait") && out.contains("from the portal «eDialog»"),
        "{out}"
    );
    assert!(doctor.status.success(), "{out}");
    keys.pair("snart", "2048", "5");
    let text = fs::read_to_string(installation.path().join("linjevei.toml")).unwrap();
    let ours = |name: &str| {
        text.replace(
            keys.key("vaar").to_str().unwrap(),
            keys.key(name).to_str().unwrap(),
        )
        .replace(
            keys.certificate("vaar").to_str().unwrap(),
            keys.certificate(name).to_str().unwrap(),
        )
    };
    installation.set(&ours("snart"));
    let doctor = said(&installation.run(["doctor"]));
    assert!(doctor.contains("expires in 4 days"), "{doctor}");
    installation.set(&text.replace(
        keys.key("vaar").to_str().unwrap(),
        keys.key("snart").to_str().unwrap(),
    ));
    let doctor = said(&installation.run(["doctor"]));
    assert!(
        doctor.contains("does not belong to the certificate"),
        "{doctor}"
    );
    installation.set(&text.replace(PORTAL, "ukjent@annet.example"));
    let doctor = said(&installation.run(["doctor"]));
    assert!(doctor.contains("no portal of the rules"), "{doctor}");
    server.list_trick(Some(Trick::Status(401)));
    installation.set(&text);
    let doctor = said(&installation.run(["doctor"]));
    assert!(doctor.contains("refuses the user"), "{doctor}");
    assert!(
        server.requests("POST").is_empty(),
        "doctor receipts nothing"
    );
}

/// A list, a body and a package that are damaged at random: each look gives letters or a reason, and a letter that it gives is
/// a message. With `LINJEVEI_FUZZ_SECS` for so long.
#[test]
fn damaged_lists_bodies_and_packages_are_read_or_refused() {
    const JSON: &[&str] = &[
        "null",
        "[]",
        "{",
        "\"id\":",
        "1e999",
        "-1",
        "\\ud800",
        "\"\"",
        "[[[[",
        "\"date\":\"x\"",
        "\"date\":1e300",
    ];
    let Some(keys) = keys() else { return };
    let runtime = worker::runtime();
    let server = Server::start();
    let config = server.config(keys);
    let files = report_files();
    let clear = zipped(&files);
    let body = keys.encrypt(&clear);
    let mut letter = metadata("f-1", "Samhandlingsavvik", morning(DAY), &files);
    letter["downloadUrl"] = json!(format!("{}/forsendelse/f-1", server.url()));
    server.put(letter.clone(), body.clone(), "application/zip");
    let list = json!([letter]).to_string().into_bytes();
    let mut mutator = Mutator::few(150);
    while mutator.goes_on() {
        let mut input;
        match mutator.below(3) {
            0 => {
                input = list.clone();
                mutator.damage(&mut input, std::slice::from_ref(&list), JSON);
                server.list_trick(Some(Trick::Body(input.clone())));
            }
            1 => {
                input = body.clone();
                mutator.damage(&mut input, &[body.clone(), clear.clone()], &[]);
                server.set_body("f-1", &input);
            }
            _ => {
                input = clear.clone();
                mutator.damage(&mut input, std::slice::from_ref(&clear), &[]);
                server.set_body("f-1", &keys.encrypt(&input));
            }
        }
        mutator.attempt("svarinn", &input, || {
            for fetched in runtime.block_on(look(&config)).unwrap_or_default() {
                if let Fetched::Message(raw) = fetched {
                    message::parse(&raw.bytes, &Limits::default())
                        .map_err(|error| format!("a letter that is no message: {error}"))?;
                }
            }
            Ok(())
        });
        server.list_trick(None);
        server.set_body("f-1", &body);
    }
}
