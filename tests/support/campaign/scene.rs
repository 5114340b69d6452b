//! Dovecot, an SMTP server and the nodes, and a clock that all of them share.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as IoWrite};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use linjevei::clock::OFFSET_VARIABLE;
use linjevei::failpoint::VARIABLE;

use super::database::{Database, Place};
use super::mail::{self, Delivered};
use crate::postgres::Postgres;
use crate::smtp::{Script, SmtpServer};
use crate::support::dovecot::{Dovecot, Options, PASSWORD};
use crate::worker::{self, Installation, Worker, runtime};

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
    /// Moved where the server cannot: copied, and the original expunged.
    Copied,
}

/// The watched mailboxes; the source has the name of the user.
pub const USERS: [(&str, Ours); 4] = [
    ("urort", Ours::Stay),
    ("merket", Ours::Flagged),
    ("flyttet", Ours::Moved),
    ("kopiert", Ours::Copied),
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
    /// One node with a database of its own, or two that share one on this server. `None`: there is no Dovecot, which has been said.
    pub fn new(server: Option<&Postgres>) -> Option<Self> {
        let users = USERS.map(|(user, _)| user.to_owned()).to_vec();
        let dovecot = Dovecot::with(&Options {
            users,
            ..Options::default()
        })?;
        for (user, ours) in USERS {
            if matches!(ours, Ours::Moved | Ours::Copied) {
                let mut client = dovecot.client(user);
                client.ok(&format!("CREATE {TARGET}"));
            }
        }
        let without_move = without_move(dovecot.imap);
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
                Ours::Moved | Ours::Copied => format!("poll_secs = 1\nmove_to = \"{TARGET}\""),
            };
            let port = if ours == Ours::Copied {
                without_move
            } else {
                dovecot.imap
            };
            write!(
                text,
                "\n[[imap]]\nname = \"{user}\"\nhost = \"127.0.0.1\"\ntls = \"none\"\nport = {port}\nuser = \"{user}\"\n\
                 password_file = \"password\"\n{more}\n"
            )
            .unwrap();
        }
        write!(
            text,
            "\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\n[retention]\nclosed_cases_keep_days = 150\n",
            smtp.addr.port()
        )
        .unwrap();
        let url = server.map(|server| runtime().block_on(server.database()));
        if let Some(url) = &url {
            text = format!("database = \"{url}\"\n{text}");
        }
        let nodes: Vec<Installation> = (0..if url.is_some() { 2 } else { 1 })
            .map(|_| {
                let node = Installation::new(&text);
                node.secret("password", PASSWORD);
                fs::create_dir(node.path().join("rules")).unwrap();
                fs::write(node.path().join("rules/regler.toml"), mail::rules()).unwrap();
                node
            })
            .collect();
        let place = url.map_or_else(|| Place::Sqlite(nodes[0].database()), Place::Postgres);
        Some(Self {
            dovecot,
            smtp,
            nodes,
            database: Database::new(place),
            offset_ms: 0,
        })
    }

    /// Whether the nodes share their database.
    pub fn is_shared(&self) -> bool {
        self.nodes.len() > 1
    }

    /// Gives all nodes the key of the first, which made it.
    pub fn share_the_key(&self) {
        let key = "data/message-id.key";
        for other in &self.nodes[1..] {
            fs::create_dir_all(other.path().join("data")).unwrap();
            fs::set_permissions(other.path().join("data"), Permissions::from_mode(0o700)).unwrap();
            fs::copy(self.nodes[0].path().join(key), other.path().join(key)).unwrap();
        }
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

    /// Puts a mail into a mailbox: over LMTP, or as a file that came when linjevei's clock says; its name.
    pub fn deliver(&self, mail: &Delivered, over_lmtp: bool) -> Option<String> {
        let user = USERS[mail.user].0;
        if over_lmtp {
            self.dovecot.deliver(&[user], &mail.bytes);
            None
        } else {
            let now = u64::try_from(self.now_ms()).unwrap();
            let arrived = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
            let path = self.dovecot.drop_message(user, &mail.bytes, arrived);
            Some(path.file_name().unwrap().to_string_lossy().into_owned())
        }
    }

    /// Takes the right to read a message from the server, or gives it back.
    pub fn let_read(&self, user: usize, name: &str, may: bool) {
        let mode = if may { 0o644 } else { 0o000 };
        self.with_file(user, name, |path| {
            fs::set_permissions(path, Permissions::from_mode(mode))
        });
    }

    /// Puts a mail into a mailbox, while no node runs, that the server is never allowed to read; its name.
    pub fn deliver_locked(&self, user: usize) -> String {
        let bytes = b"Subject: sperret\r\n\r\nDette leser ingen.\r\n";
        let path = self
            .dovecot
            .drop_message(USERS[user].0, bytes, SystemTime::now());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        self.let_read(user, &name, false);
        name
    }

    /// Somebody takes it away again.
    pub fn take_away(&self, user: usize, name: &str) {
        self.with_file(user, name, |path| fs::remove_file(path));
    }

    /// Does this to the file of a message, which the server may move from one folder to the other meanwhile.
    fn with_file(&self, user: usize, name: &str, work: impl Fn(&Path) -> std::io::Result<()>) {
        let maildir = self.dovecot.maildir(USERS[user].0);
        let done = (0..50).any(|_| {
            let found = ["new", "cur"]
                .iter()
                .flat_map(|folder| fs::read_dir(maildir.join(folder)).unwrap())
                .map(|entry| entry.unwrap().path())
                .find(|path| path.to_string_lossy().contains(name));
            found.is_some_and(|path| work(&path).is_ok())
        });
        assert!(done, "{name} is not there");
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
    pub fn moved(&self, user: usize) -> Vec<usize> {
        let folder = self
            .dovecot
            .maildir(USERS[user].0)
            .join(format!(".{TARGET}"));
        if !folder.is_dir() {
            return Vec::new();
        }
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

/// A line to an IMAP server that seems not to know MOVE; its port. Ends with the program.
fn without_move(imap: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", imap))) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(up, server, false));
            std::thread::spawn(move || pass(down, client, true));
        }
    });
    port
}

/// Passes on what comes, until it ends.
fn pass(mut from: TcpStream, mut to: TcpStream, from_server: bool) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let came = &mut buffer[..read];
        if from_server && came.windows(10).any(|part| part == b"CAPABILITY") {
            let word = b" MOVE";
            let mut at = 0;
            while let Some(found) = came[at..].windows(word.len()).position(|part| part == word) {
                at += found + 1;
                came[at..at + 4].copy_from_slice(b"XOVE");
            }
        }
        if to.write_all(came).is_err() {
            break;
        }
    }
    // Whoever still reads learns that it is over.
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
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
