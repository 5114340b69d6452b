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

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use linjevei::config::{Ours, Secret, Server, SourceConfig, Tls};
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
        login: Some((USER.to_owned(), Secret::new(PASSWORD.to_owned()))),
    }
}

fn settings(server: Server, folder: &str, ours: Ours) -> SourceConfig {
    SourceConfig::Imap {
        name: "post".to_owned(),
        server,
        folder: folder.to_owned(),
        ours,
        idle: true,
        poll: Duration::from_secs(60),
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

#[tokio::test]
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

#[tokio::test]
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

#[tokio::test]
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

#[tokio::test]
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
