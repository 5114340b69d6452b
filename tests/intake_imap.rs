//! The IMAP source against a real Dovecot.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use linjevei::config::{Login, Ours, Secret, Server, SourceConfig, Tls};
use linjevei::intake::{
    Candidate, Cursor, Fetched, ImapSource, Listing, MailSource, Position, SourceError,
};
use support::dovecot::{Certificate, Dovecot, Options, PASSWORD};

const USER: &str = "postmottak";
const KEYWORD: &str = "Linjevei";

fn server(dovecot: &Dovecot) -> Server {
    Server {
        host: "localhost".to_owned(),
        port: dovecot.imaps,
        tls: Tls::Implicit,
        ca_file: Some(dovecot.ca_file.clone()),
        pin_sha256: None,
        login: Some(Login::password(
            USER.to_owned(),
            Secret::new(PASSWORD.to_owned()),
        )),
    }
}

fn settings(server: Server, folder: &str, ours: Ours) -> SourceConfig {
    SourceConfig::Imap {
        name: "post".to_owned(),
        server,
        folder: folder.to_owned(),
        ours,
        idle: true,
        poll: Duration::from_mins(1),
        timeout: Duration::from_mins(1),
    }
}

fn source(server: Server) -> ImapSource {
    ImapSource::new(&settings(server, "INBOX", Ours::Leave)).unwrap()
}

fn source_with(dovecot: &Dovecot, ours: Ours) -> ImapSource {
    ImapSource::new(&settings(server(dovecot), "INBOX", ours)).unwrap()
}

fn mail(text: &str) -> Vec<u8> {
    format!("From: Kari <kari@legesenter.example>\r\nSubject: {text}\r\nMessage-ID: <{text}@legesenter.example>\r\n\r\n{text}\r\n")
        .into_bytes()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_600_000 + seconds)
}

async fn list(source: &mut ImapSource, cursor: &Cursor) -> Listing {
    source.list(cursor, 100).await.unwrap()
}

async fn read(source: &mut ImapSource, candidates: &[Candidate]) -> Vec<Vec<u8>> {
    let bytes = |fetched| match fetched {
        Fetched::Message(message) => message.bytes,
        other => panic!("not read: {other:?}"),
    };
    source
        .fetch(candidates)
        .await
        .unwrap()
        .into_iter()
        .map(bytes)
        .collect()
}

fn keys(listing: &Listing) -> Vec<&str> {
    listing
        .candidates
        .iter()
        .map(|c| c.position.key.as_str())
        .collect()
}

fn positions(candidates: &[Candidate]) -> Vec<Position> {
    candidates.iter().map(|c| c.position.clone()).collect()
}

/// The one line that a person gets to read.
async fn complaint(mut source: ImapSource) -> String {
    let error = source.list(&Cursor::default(), 10).await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    one_line(&error)
}

fn one_line(error: &SourceError) -> String {
    let text = error.to_string();
    assert!(
        !text.contains('\n') && !text.contains(PASSWORD) && !text.contains(USER),
        "{text}"
    );
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_listed_and_read_and_no_flag_changes() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    for (i, text) in ["en", "to", "tre"].iter().enumerate() {
        dovecot.drop_message(USER, &mail(text), at(i as u64 * 60));
    }
    dovecot.client(USER).ok("SELECT INBOX");
    let mut client = dovecot.client(USER);
    client.ok("SELECT INBOX");
    client.ok("UID STORE 2 +FLAGS (\\Seen \\Answered Merket)");
    let before = dovecot.flags(USER, "INBOX");
    assert_eq!(before[&1], Vec::<String>::new());

    let mut source = source_with(&dovecot, Ours::Leave);
    let first = source.list(&Cursor::default(), 2).await.unwrap();
    assert_eq!(keys(&first), ["1", "2"]);
    assert!(first.more);
    assert_eq!(
        first.candidates[0].internal_date_ms,
        Some(1_767_600_000_000)
    );
    assert_eq!(
        first.candidates[1].internal_date_ms,
        Some(1_767_600_060_000)
    );
    assert_eq!(first.candidates[0].size, mail("en").len() as u64);
    assert_eq!(first.candidates[0].position.mailbox, "INBOX");
    let second = source.list(&first.cursor, 2).await.unwrap();
    assert_eq!((keys(&second), second.more), (vec!["3"], false));
    let all = [first.candidates, second.candidates].concat();
    assert_eq!(
        read(&mut source, &all).await,
        [mail("en"), mail("to"), mail("tre")]
    );

    // `4:*` names the last message; it must not come again.
    let none = list(&mut source, &second.cursor).await;
    assert_eq!(none.candidates, []);
    assert_eq!(none.cursor, second.cursor);
    assert_eq!(source.treat(&positions(&all)).await.unwrap().len(), 3);
    source.close().await;
    assert_eq!(dovecot.flags(USER, "INBOX"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_folder_is_no_error() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let mut source = source_with(&dovecot, Ours::Leave);
    let listing = list(&mut source, &Cursor::default()).await;
    assert_eq!(listing.candidates, []);
    assert_ne!(listing.cursor.uid_validity, 0);
    assert_eq!(listing.cursor.last_uid, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_uid_validity_lists_everything_under_new_positions() {
    let Some(mut dovecot) = Dovecot::start() else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    dovecot.drop_message(USER, &mail("to"), at(60));
    let mut source = source_with(&dovecot, Ours::Leave);
    let old = list(&mut source, &Cursor::default()).await;
    dovecot.recreate_mailbox(USER);
    dovecot.drop_message(USER, &mail("tre"), at(120));

    // The server went away meanwhile: the old connection is replaced without an error.
    let new = list(&mut source, &old.cursor).await;
    assert_ne!(new.cursor.uid_validity, old.cursor.uid_validity);
    assert_eq!(new.candidates.len(), 3);
    assert!(
        new.candidates
            .iter()
            .all(|c| c.position.uid_validity == new.cursor.uid_validity)
    );
    assert_eq!(read(&mut source, &new.candidates).await.len(), 3);
    let gone = source.fetch(&old.candidates).await.unwrap();
    assert!(
        gone.iter()
            .all(|fetched| matches!(fetched, Fetched::Gone(_))),
        "{gone:?}"
    );
    assert_eq!(
        source
            .treat(&positions(&old.candidates))
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_31_mb_comes_whole_in_slices_with_its_neighbours() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let line = "Dette er en linje i et stort vedlegg, nummer ";
    let mut big = mail("stor");
    for number in 0..600_000 {
        big.extend_from_slice(format!("{line}{number:06}\r\n").as_bytes());
    }
    assert!(big.len() > 31_000_000, "{}", big.len());
    // A size that is a whole number of slices is the edge where one slice too few would show.
    let mut even = mail("hel");
    while even.len() < 3 * 1024 * 1024 - 2 {
        even.push(b'x');
    }
    even.extend_from_slice(b"\r\n");
    dovecot.drop_message(USER, &mail("en"), at(0));
    dovecot.drop_message(USER, &big, at(60));
    dovecot.drop_message(USER, &even, at(120));
    dovecot.drop_message(USER, &mail("sist"), at(180));
    let mut source = source_with(&dovecot, Ours::Leave);
    let listing = list(&mut source, &Cursor::default()).await;
    assert_eq!(listing.candidates[1].size, big.len() as u64);
    let bytes = read(&mut source, &listing.candidates).await;
    assert!(
        bytes == [mail("en"), big, even, mail("sist")],
        "{:?}",
        bytes.iter().map(Vec::len).collect::<Vec<_>>()
    );
    assert!(dovecot.flags(USER, "INBOX").values().all(Vec::is_empty));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_ends_when_mail_is_delivered() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let mut source = source_with(&dovecot, Ours::Leave);
    let mut cursor = list(&mut source, &Cursor::default()).await.cursor;
    for text in ["en", "to"] {
        let started = Instant::now();
        let delivering = async {
            tokio::task::block_in_place(|| dovecot.deliver(&[USER], &mail(text)));
        };
        let (waited, ()) = tokio::join!(source.wait(Duration::from_mins(5)), delivering);
        waited.unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "woke after {:?}",
            started.elapsed()
        );
        let listing = list(&mut source, &cursor).await;
        assert_eq!(listing.candidates.len(), 1);
        let bytes = read(&mut source, &listing.candidates).await.concat();
        assert!(
            String::from_utf8(bytes)
                .unwrap()
                .ends_with(&format!("\r\n\r\n{text}\r\n"))
        );
        cursor = listing.cursor;
    }
    assert!(dovecot.flags(USER, "INBOX").values().all(Vec::is_empty));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_arrives_while_others_are_read_does_not_wait_for_the_next_poll() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    let mut source = source_with(&dovecot, Ours::Leave);
    let listing = list(&mut source, &Cursor::default()).await;
    dovecot.deliver(&[USER], &mail("to"));
    read(&mut source, &listing.candidates).await;
    let started = Instant::now();
    source.wait(Duration::from_mins(5)).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "woke after {:?}",
        started.elapsed()
    );
    assert_eq!(keys(&list(&mut source, &listing.cursor).await), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_wait_leaves_a_source_that_works() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let mut source = source_with(&dovecot, Ours::Leave);
    let cursor = list(&mut source, &Cursor::default()).await.cursor;
    for limit in [0, 1, 5, 50] {
        let wait = source.wait(Duration::from_mins(5));
        assert!(
            tokio::time::timeout(Duration::from_millis(limit), wait)
                .await
                .is_err()
        );
    }
    dovecot.deliver(&[USER], &mail("en"));
    assert_eq!(keys(&list(&mut source, &cursor).await), ["1"]);
    // With nothing new the wait ends in time, on a server with IDLE and on one without.
    let waiting = source.wait(Duration::from_millis(50));
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap()
        .unwrap();
    source.close().await;

    let options = Options {
        capability: Some("IMAP4rev1".to_owned()),
        ..Options::default()
    };
    let Some(dovecot) = Dovecot::with(&options) else {
        return;
    };
    let mut source = source_with(&dovecot, Ours::Leave);
    list(&mut source, &Cursor::default()).await;
    let waiting = source.wait(Duration::from_millis(50));
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_must_mend_is_said_in_one_line() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let good = server(&dovecot);

    let mut wrong = good.clone();
    wrong.login = Some(Login::password(
        USER.to_owned(),
        Secret::new("feil".to_owned()),
    ));
    let text = complaint(source(wrong)).await;
    assert!(
        text.contains("rejects the user name or the password"),
        "{text}"
    );

    let absent = ImapSource::new(&settings(good.clone(), "Søknader", Ours::Leave)).unwrap();
    let text = complaint(absent).await;
    assert!(text.contains("«Søknader» does not exist"), "{text}");

    let mut untrusted = good.clone();
    untrusted.ca_file = None;
    let text = complaint(source(untrusted)).await;
    assert!(
        text.contains("issuer that is not known") && text.contains(&dovecot.pin_sha256),
        "{text}"
    );

    let mut pinned = good.clone();
    pinned.pin_sha256 = Some("00".repeat(32));
    let text = complaint(source(pinned)).await;
    assert!(
        text.contains("not the pinned one") && text.contains(&dovecot.pin_sha256),
        "{text}"
    );

    let mut no_file = good.clone();
    no_file.ca_file = Some("/nonexistent/ca.pem".into());
    assert!(complaint(source(no_file)).await.contains("cannot be read"));
    let mut no_certificate = good.clone();
    no_certificate.ca_file = Some("/etc/passwd".into());
    assert!(
        complaint(source(no_certificate))
            .await
            .contains("holds no certificate")
    );

    let mut far = good.clone();
    (far.host, far.tls) = ("192.0.2.1".to_owned(), Tls::None);
    assert!(complaint(source(far)).await.contains("without encryption"));

    let mut nobody = good.clone();
    nobody.login = None;
    assert!(complaint(source(nobody)).await.contains("no log-in"));

    let options = Options {
        certificate: Certificate::OtherHost,
        ..Options::default()
    };
    let other = Dovecot::with(&options).unwrap();
    let text = complaint(source(server(&other))).await;
    assert!(text.contains("for another host name"), "{text}");

    let options = Options {
        certificate: Certificate::SelfSignedCa,
        ..Options::default()
    };
    let own = Dovecot::with(&options).unwrap();
    let text = complaint(source(server(&own))).await;
    assert!(
        text.contains("CA:TRUE") && text.contains(&own.pin_sha256),
        "{text}"
    );
    // …and the advice helps.
    let mut pinned = server(&own);
    (pinned.ca_file, pinned.pin_sha256) = (None, Some(own.pin_sha256.to_ascii_uppercase()));
    list(&mut source(pinned), &Cursor::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_by_itself_is_temporary() {
    let [nobody] = support::net::free_ports();
    let silent = Server {
        host: "127.0.0.1".to_owned(),
        port: nobody,
        tls: Tls::Implicit,
        ca_file: None,
        pin_sha256: None,
        login: Some(Login::password(
            USER.to_owned(),
            Secret::new(PASSWORD.to_owned()),
        )),
    };
    let error = source(silent.clone())
        .list(&Cursor::default(), 1)
        .await
        .unwrap_err();
    assert!(error.is_temporary());
    assert!(
        one_line(&error).contains("refuses the connection"),
        "{error}"
    );

    let mut unknown = silent;
    unknown.host = "imap.finnes-ikke.invalid".to_owned();
    let error = source(unknown)
        .list(&Cursor::default(), 1)
        .await
        .unwrap_err();
    assert!(error.is_temporary());
    assert!(one_line(&error).contains("DNS"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_encrypting_works() {
    let Some(dovecot) = Dovecot::with(&Options {
        require_tls: true,
        ..Options::default()
    }) else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    let implicit = server(&dovecot);
    let mut pinned = implicit.clone();
    // The pin replaces the check of the name too.
    (pinned.ca_file, pinned.pin_sha256) = (None, Some(dovecot.pin_sha256.clone()));
    pinned.host = "127.0.0.1".to_owned();
    let mut starttls = implicit.clone();
    (starttls.tls, starttls.port) = (Tls::Starttls, dovecot.imap);
    let mut starttls_pinned = pinned.clone();
    (starttls_pinned.tls, starttls_pinned.port) = (Tls::Starttls, dovecot.imap);
    for server in [implicit.clone(), pinned, starttls.clone(), starttls_pinned] {
        let mut source = source(server);
        let listing = list(&mut source, &Cursor::default()).await;
        assert_eq!(read(&mut source, &listing.candidates).await, [mail("en")]);
        source.close().await;
    }
    // STARTTLS is checked as strictly, and TLS on the port for STARTTLS is explained.
    starttls.ca_file = None;
    assert!(
        complaint(source(starttls))
            .await
            .contains("issuer that is not known")
    );
    let mut wrong_port = implicit;
    wrong_port.port = dovecot.imap;
    assert!(
        complaint(source(wrong_port))
            .await
            .contains("does not speak TLS")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_connection_works_on_this_machine_and_passwords_may_have_any_letter() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let mut clear = server(&dovecot);
    (clear.tls, clear.port) = (Tls::None, dovecot.imap);
    list(&mut source(clear.clone()), &Cursor::default()).await;
    // Sent by AUTHENTICATE PLAIN; the server understands and rejects it.
    clear.login = Some(Login::password(
        USER.to_owned(),
        Secret::new("blåbærsyltetøy \"\\".to_owned()),
    ));
    assert!(
        complaint(source(clear))
            .await
            .contains("rejects the user name or the password")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_get_the_keyword_and_nothing_else_changes() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    for (i, text) in ["en", "to", "tre", "fire"].iter().enumerate() {
        dovecot.drop_message(USER, &mail(text), at(i as u64));
    }
    let mut client = dovecot.client(USER);
    client.ok("SELECT INBOX");
    client.ok("UID STORE 2 +FLAGS (\\Seen Merket)");
    client.ok("UID STORE 3 +FLAGS (\\Flagged)");
    let mut expected = dovecot.flags(USER, "INBOX");
    let mut source = source_with(&dovecot, Ours::Flag(KEYWORD.to_owned()));
    let listing = list(&mut source, &Cursor::default()).await;
    let ours = positions(&listing.candidates[..2]);
    for uid in [1, 2] {
        let flags = expected.get_mut(&uid).unwrap();
        flags.push(KEYWORD.to_owned());
        flags.sort();
    }
    for _ in 0..2 {
        assert_eq!(source.treat(&ours).await.unwrap(), ours);
        assert_eq!(dovecot.flags(USER, "INBOX"), expected);
    }
    // A message that has gone is no error, and the folder is open for reading again afterwards.
    client.ok("UID STORE 1 +FLAGS (\\Deleted)");
    client.ok("UID EXPUNGE 1");
    assert_eq!(source.treat(&ours).await.unwrap(), ours);
    read(&mut source, &listing.candidates[3..]).await;
    expected.remove(&1);
    assert_eq!(dovecot.flags(USER, "INBOX"), expected);

    let mut waiting = source_with(&dovecot, Ours::Flag(KEYWORD.to_owned()));
    let cursor = list(&mut waiting, &Cursor::default()).await.cursor;
    waiting.treat(&ours).await.unwrap();
    dovecot.deliver(&[USER], &mail("fem"));
    let started = Instant::now();
    waiting.wait(Duration::from_mins(5)).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "arrived between treating and waiting"
    );
    assert_eq!(keys(&list(&mut waiting, &cursor).await), ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_are_moved_and_what_others_deleted_stays() {
    // With MOVE; without it by COPY and the removal of single messages.
    for capability in [None, Some("IMAP4rev1 UIDPLUS IDLE")] {
        let options = Options {
            capability: capability.map(str::to_owned),
            ..Options::default()
        };
        let Some(dovecot) = Dovecot::with(&options) else {
            return;
        };
        for (i, text) in ["en", "to", "tre", "fire"].iter().enumerate() {
            dovecot.drop_message(USER, &mail(text), at(i as u64));
        }
        let mut client = dovecot.client(USER);
        client.ok("CREATE \"Saker &AOYA+ADl-\"");
        client.ok("SELECT INBOX");
        client.ok("UID STORE 2 +FLAGS (\\Seen)");
        client.ok("UID STORE 3 +FLAGS (\\Deleted)");
        let mut expected = dovecot.flags(USER, "INBOX");
        let mut source = source_with(&dovecot, Ours::Move("Saker æøå".to_owned()));
        let listing = list(&mut source, &Cursor::default()).await;
        let ours = positions(&listing.candidates[..2]);
        for _ in 0..2 {
            assert_eq!(source.treat(&ours).await.unwrap(), ours);
            expected.remove(&1);
            expected.remove(&2);
            assert_eq!(dovecot.flags(USER, "INBOX"), expected, "{capability:?}");
            let moved: Vec<_> = dovecot
                .flags(USER, "Saker &AOYA+ADl-")
                .into_values()
                .collect();
            assert_eq!(moved, [vec![], vec!["\\Seen".to_owned()]], "{capability:?}");
        }
        let fetched = source.fetch(&listing.candidates).await.unwrap();
        assert!(matches!(fetched[..2], [Fetched::Gone(_), Fetched::Gone(_)]));
        assert!(matches!(
            fetched[2..],
            [Fetched::Message(_), Fetched::Message(_)]
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn treatment_that_cannot_work_is_told_once_and_touches_nothing() {
    let options = Options {
        capability: Some("IMAP4rev1".to_owned()),
        ..Options::default()
    };
    let Some(dovecot) = Dovecot::with(&options) else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    let before = dovecot.flags(USER, "INBOX");
    dovecot.client(USER).ok("CREATE Saker");
    let mut source = source_with(&dovecot, Ours::Move("Saker".to_owned()));
    let ours = positions(&list(&mut source, &Cursor::default()).await.candidates);
    let error = source.treat(&ours).await.unwrap_err();
    assert!(
        !error.is_temporary() && one_line(&error).contains("UIDPLUS"),
        "{error}"
    );
    assert_eq!(
        source.treat(&ours).await.unwrap(),
        [],
        "not done, and not said again"
    );
    assert_eq!(dovecot.flags(USER, "INBOX"), before);
    assert!(dovecot.flags(USER, "Saker").is_empty());

    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    let mut source = source_with(&dovecot, Ours::Move("Mangler".to_owned()));
    let ours = positions(&list(&mut source, &Cursor::default()).await.candidates);
    let error = source.treat(&ours).await.unwrap_err();
    assert!(
        !error.is_temporary() && one_line(&error).contains("«Mangler»"),
        "{error}"
    );
    assert_eq!(dovecot.flags(USER, "INBOX").len(), 1);

    let inbox = settings(server(&dovecot), "INBOX", Ours::Move("inbox".to_owned()));
    assert!(one_line(&ImapSource::new(&inbox).unwrap_err()).contains("is watched"));
    let seen = settings(server(&dovecot), "INBOX", Ours::Flag("\\Seen".to_owned()));
    assert!(one_line(&ImapSource::new(&seen).unwrap_err()).contains("no keyword"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_norwegian_letters_is_watched() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    let mut client = dovecot.client(USER);
    client.ok("CREATE \"S&APg-knader\"");
    dovecot.drop_message(USER, &mail("en"), at(0));
    client.ok("SELECT INBOX");
    client.ok("UID MOVE 1 \"S&APg-knader\"");
    let mut source = ImapSource::new(&settings(server(&dovecot), "Søknader", Ours::Leave)).unwrap();
    let listing = list(&mut source, &Cursor::default()).await;
    assert_eq!(listing.candidates[0].position.mailbox, "Søknader");
    assert_eq!(read(&mut source, &listing.candidates).await, [mail("en")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_expunged_after_it_was_listed_is_gone() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    for (i, text) in ["en", "to", "tre"].iter().enumerate() {
        dovecot.drop_message(USER, &mail(text), at(i as u64));
    }
    let mut source = source_with(&dovecot, Ours::Leave);
    let listing = list(&mut source, &Cursor::default()).await;
    let mut client = dovecot.client(USER);
    client.ok("SELECT INBOX");
    client.ok("UID STORE 2 +FLAGS (\\Deleted)");
    client.ok("UID EXPUNGE 2");
    // Once more with a server that has already told the session, and once with a new session.
    for _ in 0..2 {
        let fetched = source.fetch(&listing.candidates).await.unwrap();
        assert!(matches!(&fetched[0], Fetched::Message(m) if m.bytes == mail("en")));
        assert!(
            matches!(&fetched[1], Fetched::Gone(p) if p.key == "2"),
            "{:?}",
            fetched[1]
        );
        assert!(matches!(&fetched[2], Fetched::Message(m) if m.bytes == mail("tre")));
        source.close().await;
    }
    assert_eq!(
        keys(&list(&mut source, &Cursor::default()).await),
        ["1", "3"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_server_cannot_read_does_not_stop_the_others() {
    // Broken before it was ever listed, or between listing and fetching.
    for broken_at_first in [true, false] {
        let Some(dovecot) = Dovecot::start() else {
            return;
        };
        dovecot.drop_message(USER, &mail("en"), at(0));
        let file = dovecot.drop_message(USER, &mail("to"), at(1));
        dovecot.drop_message(USER, &mail("tre"), at(2));
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let make_unreadable = || {
            // The server may have moved it to `cur` meanwhile.
            let place = ["new", "cur"]
                .iter()
                .flat_map(|folder| std::fs::read_dir(dovecot.maildir(USER).join(folder)).unwrap())
                .map(|entry| entry.unwrap().path())
                .find(|path| path.to_string_lossy().contains(&name))
                .unwrap();
            std::fs::set_permissions(&place, PermissionsExt::from_mode(0o000)).unwrap();
        };
        if broken_at_first {
            make_unreadable();
        }
        let mut source = source_with(&dovecot, Ours::Leave);
        let listing = list(&mut source, &Cursor::default()).await;
        assert_eq!(keys(&listing), ["1", "2", "3"]);
        if !broken_at_first {
            make_unreadable();
        }
        let fetched = source.fetch(&listing.candidates).await.unwrap();
        assert!(matches!(&fetched[0], Fetched::Message(m) if m.bytes == mail("en")));
        assert!(
            matches!(&fetched[1], Fetched::Unreadable(p, _) if p.key == "2"),
            "{:?}",
            fetched[1]
        );
        assert!(matches!(&fetched[2], Fetched::Message(m) if m.bytes == mail("tre")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_a_temporary_error_and_the_next_call_reconnects() {
    let Some(mut dovecot) = Dovecot::start() else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    dovecot.drop_message(USER, &mail("to"), at(1));
    let mut source = source_with(&dovecot, Ours::Leave);
    let listing = list(&mut source, &Cursor::default()).await;

    dovecot.kill();
    for _ in 0..2 {
        let error = source.fetch(&listing.candidates).await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        one_line(&error);
        assert!(
            source
                .list(&listing.cursor, 10)
                .await
                .unwrap_err()
                .is_temporary()
        );
        assert!(
            source
                .wait(Duration::from_secs(1))
                .await
                .unwrap_err()
                .is_temporary()
        );
    }
    dovecot.restart();
    assert_eq!(
        read(&mut source, &listing.candidates).await,
        [mail("en"), mail("to")]
    );

    // In the middle of the wait.
    let dying = async {
        tokio::task::block_in_place(|| dovecot.kill());
    };
    let (waited, ()) = tokio::join!(source.wait(Duration::from_mins(5)), dying);
    assert!(waited.unwrap_err().is_temporary());
    dovecot.restart();
    assert_eq!(list(&mut source, &listing.cursor).await.candidates, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_sees_what_the_server_can_do() {
    let Some(dovecot) = Dovecot::start() else {
        return;
    };
    dovecot.drop_message(USER, &mail("en"), at(0));
    let report = source_with(&dovecot, Ours::Leave).check().await.unwrap();
    assert_eq!(report.server, format!("localhost:{}", dovecot.imaps));
    assert_eq!((report.folder.as_str(), report.messages), ("INBOX", 1));
    assert!(report.idle && report.can_move && report.uidplus);
    assert_eq!(
        (report.keywords, report.target_exists, report.obstacle()),
        (None, None, None)
    );
    let report = source_with(&dovecot, Ours::Flag(KEYWORD.to_owned()))
        .check()
        .await
        .unwrap();
    assert_eq!((report.keywords, report.obstacle()), (Some(true), None));
    let report = source_with(&dovecot, Ours::Move("Saker".to_owned()))
        .check()
        .await
        .unwrap();
    assert_eq!(report.target_exists, Some(false));
    assert!(report.obstacle().unwrap().contains("create the folder"));

    let options = Options {
        capability: Some("IMAP4rev1".to_owned()),
        ..Options::default()
    };
    let Some(dovecot) = Dovecot::with(&options) else {
        return;
    };
    dovecot.client(USER).ok("CREATE Saker");
    let report = source_with(&dovecot, Ours::Move("Saker".to_owned()))
        .check()
        .await
        .unwrap();
    assert!(!report.idle && !report.can_move && !report.uidplus);
    assert!(report.obstacle().unwrap().contains("UIDPLUS"));
}
