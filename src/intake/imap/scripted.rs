//! A server that follows a script, for tests of what a real one cannot be made to say.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, duplex};
use tokio::task::JoinHandle;

use super::super::SourceError;
use super::connection::{Connection, Proof, Timeouts, greeted};
use crate::config::Secret;

/// What the server does after its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    HangUp,
    Stall,
}

/// The usual beginning.
pub(super) const LOGIN: [(&str, &str); 3] = [
    ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n"),
    ("LOGIN \"post\" \"pass\"", "{tag} OK\r\n"),
    ("CAPABILITY", "* CAPABILITY IMAP4rev1 IDLE\r\n{tag} OK\r\n"),
];

/// A log-in at a server that expects these commands and gives these answers. The task ends with the script; it fails
/// when another command comes.
pub(super) async fn log_in(
    password: &str,
    script: &[(&'static str, &'static str)],
    then: Then,
) -> (Result<Connection, SourceError>, JoinHandle<()>) {
    let (here, there) = duplex(64 * 1024);
    let script = script.to_vec();
    let server = tokio::spawn(async move {
        let mut there = BufReader::new(there);
        there.write_all(b"* OK ready\r\n").await.unwrap();
        for (expected, answer) in script {
            let mut line = String::new();
            there.read_line(&mut line).await.unwrap();
            let (tag, command) = line
                .trim_end()
                .split_once(' ')
                .unwrap_or(("", line.trim_end()));
            assert_eq!(command, expected);
            there
                .write_all(answer.replace("{tag}", tag).as_bytes())
                .await
                .unwrap();
        }
        let mut line = String::new();
        if then == Then::Stall {
            while there.read_line(&mut line).await.is_ok_and(|read| read > 0) {}
        }
    });
    let timeouts = Timeouts::default();
    let client = greeted(Box::new(here), "imap.example:993", &timeouts)
        .await
        .unwrap();
    let password = Secret::new(password.to_owned());
    let proof = Proof::Password(&password);
    let place = "imap.example:993".to_owned();
    let connection = Connection::log_in(client, "post", proof, place, timeouts).await;
    (connection, server)
}

/// Logged in, with this conversation to follow.
pub(super) async fn conversation(
    script: &[(&'static str, &'static str)],
    then: Then,
) -> (Connection, JoinHandle<()>) {
    let (connection, server) = log_in("pass", &[&LOGIN, script].concat(), then).await;
    (connection.unwrap(), server)
}
