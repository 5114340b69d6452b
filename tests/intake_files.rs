//! Maildir, mbox, `.eml` files and folders as sources of messages, on real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use linjevei::config::Ours;
use linjevei::intake::{
    Candidate, Cursor, Fetched, MailSource, MaildirSource, Position, Shape, SourceError, detect,
    open_path,
};
use tempfile::TempDir;

fn maildir(at: &Path) -> PathBuf {
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(at.join(folder)).unwrap();
    }
    at.to_owned()
}

fn mail(text: &str) -> Vec<u8> {
    format!("From: Kari <kari@legesenter.example>\r\nSubject: {text}\r\n\r\n{text}\r\n")
        .into_bytes()
}

/// Every file below a folder with its bytes, for «nothing else was touched».
fn everything(below: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}

/// Walks through a source in pages.
async fn walk(source: &mut dyn MailSource, page: usize) -> Vec<Candidate> {
    let mut all = Vec::new();
    loop {
        let listing = source.list(&Cursor::default(), page).await.unwrap();
        assert!(listing.candidates.len() <= page);
        all.extend(listing.candidates);
        if !listing.more {
            return all;
        }
    }
}

async fn read(source: &mut dyn MailSource, candidates: &[Candidate]) -> Vec<Vec<u8>> {
    let fetched = source.fetch(candidates).await.unwrap();
    let bytes = |fetched| match fetched {
        Fetched::Message(message) => message.bytes,
        other => panic!("not read: {other:?}"),
    };
    fetched.into_iter().map(bytes).collect()
}

fn keys(candidates: &[Candidate]) -> Vec<&str> {
    candidates.iter().map(|c| c.position.key.as_str()).collect()
}

fn needs_person(error: &SourceError) -> String {
    assert!(!error.is_temporary(), "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

#[tokio::test]
async fn a_maildir_is_read_oldest_first_and_left_as_it_was() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    fs::write(path.join("new/1700000300.M1.host"), mail("tre")).unwrap();
    fs::write(path.join("cur/1700000200.M1.host:2,S"), mail("to")).unwrap();
    fs::write(path.join("cur/900000100.M1.host:2,"), mail("en")).unwrap();
    fs::write(path.join("new/.hidden"), "x").unwrap();
    fs::write(path.join("tmp/1700000000.half"), "half").unwrap();
    fs::create_dir(path.join("cur/folder")).unwrap();
    let before = everything(&path);

    let mut source = MaildirSource::new("post", &path);
    let found = walk(&mut source, 2).await;
    assert_eq!(
        keys(&found),
        [
            "900000100.M1.host",
            "1700000200.M1.host",
            "1700000300.M1.host"
        ]
    );
    assert_eq!(found[0].size, mail("en").len() as u64);
    assert_eq!(
        read(&mut source, &found).await,
        [mail("en"), mail("to"), mail("tre")]
    );

    let positions: Vec<Position> = found.iter().map(|c| c.position.clone()).collect();
    assert_eq!(
        source.treat(&positions).await.unwrap(),
        positions,
        "leaving them is done at once"
    );
    assert_eq!(everything(&path), before);
    assert_eq!(
        keys(&walk(&mut source, 10).await),
        keys(&found),
        "the next walk begins anew"
    );
}

#[tokio::test]
async fn a_message_stays_the_same_when_a_mail_program_moves_or_flags_it() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    fs::write(path.join("new/1700000300.M1.host"), mail("tre")).unwrap();
    let mut source = MaildirSource::new("post", &path);
    let found = walk(&mut source, 10).await;
    fs::rename(
        path.join("new/1700000300.M1.host"),
        path.join("cur/1700000300.M1.host:2,RS"),
    )
    .unwrap();
    assert_eq!(read(&mut source, &found).await, [mail("tre")]);
    assert_eq!(keys(&walk(&mut source, 10).await), ["1700000300.M1.host"]);
}

#[tokio::test]
async fn what_vanishes_is_gone_and_what_cannot_be_read_does_not_stop_the_others() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    for (name, text) in [("1.a", "en"), ("2.b", "to"), ("3.c", "tre")] {
        fs::write(path.join("new").join(name), mail(text)).unwrap();
    }
    let mut source = MaildirSource::new("post", &path);
    let found = walk(&mut source, 10).await;
    fs::remove_file(path.join("new/1.a")).unwrap();
    // Root may read everything, so a folder takes the place of a file without permission.
    fs::remove_file(path.join("new/2.b")).unwrap();
    fs::create_dir(path.join("new/2.b")).unwrap();
    let fetched = source.fetch(&found).await.unwrap();
    assert!(matches!(&fetched[0], Fetched::Gone(p) if p.key == "1.a"));
    assert!(
        matches!(&fetched[1], Fetched::Unreadable(p, why) if p.key == "2.b" && !why.contains("2.b"))
    );
    assert!(matches!(&fetched[2], Fetched::Message(m) if m.bytes == mail("tre")));
}

#[tokio::test]
async fn a_pipe_among_the_messages_does_not_block() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    let made = std::process::Command::new("mkfifo")
        .arg(path.join("new/1.pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    fs::write(path.join("new/2.b"), mail("to")).unwrap();
    let mut source = MaildirSource::new("post", &path);
    assert_eq!(keys(&walk(&mut source, 10).await), ["2.b"]);
}

#[tokio::test]
async fn ours_are_moved_without_replacing_anything_and_others_stay() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    let target = maildir(&path.join(".Behandlet"));
    fs::write(path.join("new/1.a"), mail("en")).unwrap();
    fs::write(path.join("cur/2.b:2,S"), mail("to")).unwrap();
    fs::write(path.join("new/3.c"), mail("ikke vår")).unwrap();
    fs::write(path.join("new/4.d"), mail("fire")).unwrap();
    fs::write(target.join("cur/4.d:2,"), mail("en annen")).unwrap();
    let mut source =
        MaildirSource::new("post", &path).with_ours(Ours::Move("Behandlet".to_owned()));
    let found = walk(&mut source, 10).await;
    let ours: Vec<Position> = [0, 1, 3].map(|i| found[i].position.clone()).to_vec();

    // The name of the fourth is taken: neither file may be lost.
    assert_eq!(source.treat(&ours).await.unwrap(), ours[..2]);
    assert_eq!(fs::read(target.join("cur/1.a:2,")).unwrap(), mail("en"));
    assert_eq!(fs::read(target.join("cur/2.b:2,S")).unwrap(), mail("to"));
    assert_eq!(fs::read(path.join("new/3.c")).unwrap(), mail("ikke vår"));
    assert_eq!(fs::read(path.join("new/4.d")).unwrap(), mail("fire"));
    assert_eq!(
        fs::read(target.join("cur/4.d:2,")).unwrap(),
        mail("en annen")
    );

    let after = everything(&path);
    assert_eq!(
        source.treat(&ours[..2]).await.unwrap(),
        ours[..2],
        "repeating it is no error"
    );
    assert_eq!(everything(&path), after);
    assert_eq!(keys(&walk(&mut source, 10).await), ["3.c", "4.d"]);
}

#[tokio::test]
async fn ours_are_flagged_and_never_marked_as_read() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    fs::write(path.join("new/1.a"), mail("en")).unwrap();
    fs::write(path.join("cur/2.b:2,RS"), mail("to")).unwrap();
    fs::write(path.join("new/3.c"), mail("ikke vår")).unwrap();
    let mut source = MaildirSource::new("post", &path).with_ours(Ours::Flag("Flagged".to_owned()));
    let found = walk(&mut source, 10).await;
    let ours: Vec<Position> = found[..2].iter().map(|c| c.position.clone()).collect();
    for _ in 0..2 {
        assert_eq!(source.treat(&ours).await.unwrap(), ours);
        let names: Vec<String> = everything(&path)
            .iter()
            .map(|(p, _)| p.strip_prefix(&path).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["cur/1.a:2,F", "cur/2.b:2,FRS", "new/3.c"]);
    }
    let mut source = MaildirSource::new("post", &path).with_ours(Ours::Flag("Linjevei".to_owned()));
    assert!(needs_person(&source.treat(&ours).await.unwrap_err()).contains("keyword"));
    let mut source = MaildirSource::new("post", &path).with_ours(Ours::Move("Mangler".to_owned()));
    assert!(needs_person(&source.treat(&ours).await.unwrap_err()).contains("Mangler"));
}

#[tokio::test]
async fn waiting_ends_when_a_message_is_delivered() {
    let dir = TempDir::new().unwrap();
    let path = maildir(dir.path());
    let mut source = MaildirSource::new("post", &path);
    walk(&mut source, 10).await;
    let (tmp, new) = (path.join("tmp/1.a"), path.join("new/1.a"));
    let started = Instant::now();
    let (waited, ()) = tokio::join!(source.wait(Duration::from_mins(1)), async {
        fs::write(&tmp, mail("en")).unwrap();
        fs::rename(&tmp, &new).unwrap();
    });
    waited.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "woke after {:?}",
        started.elapsed()
    );
    assert_eq!(keys(&walk(&mut source, 10).await), ["1.a"]);
}

#[tokio::test]
async fn a_maildir_that_is_not_there_is_one_clear_line() {
    let mut source = MaildirSource::new("post", "/nonexistent/post");
    let text = needs_person(&source.list(&Cursor::default(), 10).await.unwrap_err());
    assert!(text.contains("/nonexistent/post"), "{text}");
}

#[tokio::test]
async fn an_mbox_is_cut_at_its_from_lines_and_unquoted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("post.mbox");
    let text = "From a@lege.example Mon Jan  5 09:14:02 2026\nSubject: en\n\nLinje\n\nFrom here on, as of 2026, all is well\n>From quoted\n\n\
                From b@lege.example Tue Jan  6 10:00:00 2026\nSubject: to\n\nSiste uten linjeskift";
    fs::write(&path, text).unwrap();
    let expected = [
        "Subject: en\n\nLinje\n\nFrom here on, as of 2026, all is well\nFrom quoted\n",
        "Subject: to\n\nSiste uten linjeskift",
    ];
    for page in [1, 10] {
        let mut source = open_path(&path).unwrap();
        let found = walk(source.as_mut(), page).await;
        let bytes = read(source.as_mut(), &found).await;
        assert_eq!(bytes, expected.map(|text| text.as_bytes().to_vec()));
    }
    // The same with CRLF.
    fs::write(&path, text.replace('\n', "\r\n")).unwrap();
    let mut source = open_path(&path).unwrap();
    let found = walk(source.as_mut(), 10).await;
    let bytes = read(source.as_mut(), &found).await;
    assert_eq!(
        bytes,
        expected.map(|text| text.replace('\n', "\r\n").into_bytes())
    );
}

#[tokio::test]
async fn positions_in_an_mbox_survive_appending_and_notice_other_changes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("post.mbox");
    fs::write(
        &path,
        "From a Mon Jan  5 09:14:02 2026\nSubject: en\n\nLinje\n",
    )
    .unwrap();
    let mut source = open_path(&path).unwrap();
    let first = walk(source.as_mut(), 10).await;
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\nFrom b Mon Jan  5 09:15:02 2026\nSubject: to\n\n")
        .unwrap();
    let second = walk(source.as_mut(), 10).await;
    assert_eq!(second.len(), 2);
    assert_eq!(second[0], first[0]);
    fs::write(
        &path,
        "From a Mon Jan  5 09:14:02 2026\nSubject: en\n\nAnnen\n",
    )
    .unwrap();
    assert!(
        matches!(&source.fetch(&first).await.unwrap()[0], Fetched::Gone(p) if *p == first[0].position)
    );
}

#[tokio::test]
async fn an_mbox_with_a_line_of_many_megabytes_is_read_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("post.mbox");
    let long = "x".repeat(5_000_000);
    fs::write(&path, format!("From a Mon Jan  5 09:14:02 2026\nSubject: en\n\n\n{long}\n\nslutt\n\nFrom b Mon Jan  5 09:14:02 2026\nSubject: to\n\n{long}")).unwrap();
    let mut source = open_path(&path).unwrap();
    let found = walk(source.as_mut(), 10).await;
    let bytes = read(source.as_mut(), &found).await;
    assert_eq!(bytes.len(), 2);
    assert!(bytes[0] == format!("Subject: en\n\n\n{long}\n\nslutt\n").into_bytes());
    assert!(bytes[1] == format!("Subject: to\n\n{long}").into_bytes());
}

#[tokio::test]
async fn something_that_is_no_mbox_is_one_clear_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("post.mbox");
    fs::write(&path, "Subject: en\n\nLinje\n").unwrap();
    let mut source = open_path(&path).unwrap();
    assert!(
        needs_person(&source.list(&Cursor::default(), 10).await.unwrap_err())
            .contains("not an mbox")
    );
    fs::write(&path, "").unwrap();
    let mut source = open_path(&path).unwrap();
    assert!(
        walk(source.as_mut(), 10).await.is_empty(),
        "an empty mbox is an mbox"
    );
}

#[tokio::test]
async fn a_folder_gives_its_eml_files_in_the_order_of_their_names() {
    let dir = TempDir::new().unwrap();
    for (name, text) in [("b.eml", "to"), ("a.EML", "en"), ("note.txt", "nei")] {
        fs::write(dir.path().join(name), mail(text)).unwrap();
    }
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/c.eml"), mail("ikke denne")).unwrap();
    let mut source = open_path(dir.path()).unwrap();
    let found = walk(source.as_mut(), 1).await;
    assert_eq!(
        read(source.as_mut(), &found).await,
        [mail("en"), mail("to")]
    );

    let mut one = open_path(&dir.path().join("b.eml")).unwrap();
    assert_eq!(
        walk(one.as_mut(), 10).await,
        found[1..],
        "the same position by either way in"
    );

    fs::write(dir.path().join("b.eml"), mail("ny tekst")).unwrap();
    assert!(matches!(
        &source.fetch(&found[1..]).await.unwrap()[0],
        Fetched::Gone(_)
    ));
    let again = walk(source.as_mut(), 10).await;
    assert_eq!(again[0], found[0]);
    assert_ne!(
        again[1].position, found[1].position,
        "another text is another message"
    );
}

#[test]
fn the_kind_of_mailbox_is_seen_by_its_shape() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    maildir(&at("post"));
    fs::create_dir(at("tom")).unwrap();
    fs::write(at("uten-endelse"), mail("en")).unwrap();
    fs::write(at("innboks"), "From a Mon Jan  5 09:14:02 2026\n\n").unwrap();
    fs::write(at("en.eml"), "From a Mon Jan  5 09:14:02 2026\n\n").unwrap();
    fs::write(at("gammel.mbox"), "").unwrap();
    for (name, shape) in [
        ("post", Shape::Maildir),
        ("", Shape::Folder),
        ("uten-endelse", Shape::Message),
        ("innboks", Shape::Mbox),
        ("en.eml", Shape::Message),
        ("gammel.mbox", Shape::Mbox),
    ] {
        assert_eq!(detect(&at(name)).unwrap(), shape, "{name}");
    }
    assert_eq!(detect(Path::new("-")).unwrap(), Shape::Stream);
    assert!(needs_person(&detect(&at("tom")).unwrap_err()).contains("holds no messages"));
    assert!(needs_person(&detect(&at("mangler")).unwrap_err()).contains("does not exist"));
}
