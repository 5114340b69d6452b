//! Dovecot, an SMTP server and the nodes, and a clock that all of them share.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use linjevei::clock::OFFSET_VARIABLE;
use linjevei::failpoint::VARIABLE;

use super::database::{Database, Place};
use super::mail::{self, Delivered};
use crate::smtp::{Script, SmtpServer};
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::worker::{self, Installation, Worker};

/// Where ours go in the mailbox from which they are moved.
pub const TARGET: &str = "Behandlet";
/// The keyword that ours get in the mailbox where they are flagged.
pub const KEYWORD: &str = "Linjevei";

/// What happens to ours in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    Stay,
    Flagged,
    Moved,
}

/// The watched mailboxes; the source has the name of the user.
pub const USERS: [(&str, Ours); 3] = [
    ("urort", Ours::Stay),
    ("merket", Ours::Flagged),
    ("flyttet", Ours::Moved),
];

/// Everything that lives through all rounds.
#[derive(Debug)]
pub struct Scene {
    pub dovecot: Dovecot,
    pub smtp: SmtpServer,
    pub nodes: Vec<Installation>,
    pub database: Database,
    /// How far the clock of linjevei is from that of the machine.
    pub offset_ms: i64,
}

/// What a mailbox holds of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lies {
    pub uid: u32,
    /// Sorted, without `\Recent`.
    pub flags: Vec<String>,
}

impl Scene {
    /// `None`: there is no Dovecot, which has been said.
    pub fn new() -> Option<Self> {
        let users = USERS.map(|(user, _)| user.to_owned()).to_vec();
        let dovecot = Dovecot::with(&Options {
            users,
            ..Options::default()
        })?;
        let mut client = dovecot.client(USERS[2].0);
        client.ok(&format!("CREATE {TARGET}"));
        let smtp = SmtpServer::start(Script::default());
        let rules = format!("{}/rules/ostfold", worker::repository().display());
        let mut text = worker::settings().replace(&rules, "rules").replace(
            "send = false",
            "to = \"avdelingen@so-hf.example\"\nparty_status = true",
        );
        for (user, ours) in USERS {
            let more = match ours {
                Ours::Stay => "idle = true".to_owned(),
                Ours::Flagged => format!("idle = false\npoll_secs = 1\nflag = \"{KEYWORD}\""),
                Ours::Moved => format!("poll_secs = 1\nmove_to = \"{TARGET}\""),
            };
            text += &format!(
                "\n[[imap]]\nname = \"{user}\"\nhost = \"127.0.0.1\"\ntls = \"none\"\nport = {}\nuser = \"{user}\"\n\
                 password_file = \"password\"\n{more}\n",
                dovecot.imap
            );
        }
        text += &format!(
            "\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\n[retention]\nclosed_cases_keep_days = 60\n",
            smtp.addr.port()
        );
        let node = Installation::new(&text);
        node.secret("password", PASSWORD);
        fs::create_dir(node.path().join("rules")).unwrap();
        fs::write(node.path().join("rules/regler.toml"), mail::rules()).unwrap();
        let database = Database::new(Place::Sqlite(node.database()));
        Some(Self {
            dovecot,
            smtp,
            nodes: vec![node],
            database,
            offset_ms: 0,
        })
    }

    /// What time it is for linjevei, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.offset_ms
    }

    /// The variables with which every process of linjevei is started.
    pub fn variables(&self, failpoint: &str) -> Vec<(&'static str, String)> {
        vec![
            (OFFSET_VARIABLE, self.offset_ms.to_string()),
            (VARIABLE, failpoint.to_owned()),
        ]
    }

    /// Starts a node.
    pub fn start(&self, node: usize, failpoint: &str) -> Worker {
        self.nodes[node].start_with(&self.variables(failpoint))
    }

    /// The date of a mail that is written now.
    pub fn date(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.now_ms()).unwrap();
        jiff::fmt::rfc2822::to_string(&now.in_tz("Europe/Oslo").unwrap()).unwrap()
    }

    /// Puts a mail into a mailbox: over LMTP, or as a file that came when linjevei's clock says.
    pub fn deliver(&self, mail: &Delivered, over_lmtp: bool) {
        let user = USERS[mail.user].0;
        if over_lmtp {
            self.dovecot.deliver(&[user], &mail.bytes);
        } else {
            let now = u64::try_from(self.now_ms()).unwrap();
            let arrived = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
            self.dovecot.drop_message(user, &mail.bytes, arrived);
        }
    }

    /// What lies in a folder, by the number in its header; a number that is there twice has two entries.
    pub fn lies(&self, user: usize, folder: &str) -> BTreeMap<usize, Vec<Lies>> {
        let mut client = self.dovecot.client(USERS[user].0);
        let opened = client.ok(&format!("EXAMINE \"{folder}\""));
        let mut lies: BTreeMap<usize, Vec<Lies>> = BTreeMap::new();
        if opened.iter().any(|line| line == "* 0 EXISTS") {
            return lies;
        }
        let mut last = None;
        for line in client.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (X-RUNDE)])") {
            if let Some((_, rest)) = line.split_once("FETCH (UID ") {
                let (uid, rest) = rest.split_once(" FLAGS (").unwrap();
                let flags = rest.split_once(')').unwrap().0;
                let mut flags: Vec<String> = flags
                    .split_whitespace()
                    .filter(|flag| *flag != "\\Recent")
                    .map(str::to_owned)
                    .collect();
                flags.sort();
                last = Some(Lies {
                    uid: uid.parse().unwrap(),
                    flags,
                });
            } else if let Some(serial) = line.strip_prefix("X-Runde: ") {
                let entry = lies.entry(serial.parse().unwrap()).or_default();
                entry.push(last.take().unwrap());
            }
        }
        lies
    }

    /// The bytes of every message of a user as they lie on the server's disk, by the number in the header, with the line ends of
    /// the disk.
    pub fn bytes(&self, user: usize) -> BTreeMap<usize, Vec<Vec<u8>>> {
        let maildir = self.dovecot.maildir(USERS[user].0);
        let mut found: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for folder in [maildir.clone(), maildir.join(format!(".{TARGET}"))] {
            for part in ["new", "cur"] {
                let Ok(entries) = fs::read_dir(folder.join(part)) else {
                    continue;
                };
                for entry in entries {
                    let bytes = fs::read(entry.unwrap().path()).unwrap();
                    found.entry(serial(&bytes)).or_default().push(bytes);
                }
            }
        }
        found
    }

    /// The numbers of what lies in the folder for ours, read from the disk.
    pub fn moved(&self) -> Vec<usize> {
        let folder = self.dovecot.maildir(USERS[2].0).join(format!(".{TARGET}"));
        let mut moved = Vec::new();
        for part in ["new", "cur"] {
            for entry in fs::read_dir(folder.join(part)).unwrap() {
                // Renamed meanwhile: it is found under its other name the next time.
                if let Ok(bytes) = fs::read(entry.unwrap().path()) {
                    moved.push(serial(&bytes));
                }
            }
        }
        moved
    }
}

/// The number in the header.
fn serial(bytes: &[u8]) -> usize {
    let name = b"X-Runde: ";
    let at = bytes
        .windows(name.len())
        .position(|part| part == name)
        .expect("every mail has a number");
    let rest = &bytes[at + name.len()..];
    let digits: String = rest
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .map(|byte| char::from(*byte))
        .collect();
    digits.parse().unwrap()
}
