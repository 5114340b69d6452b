//! A scripted SMTP server on a free port of 127.0.0.1, for tests: it behaves well or badly as told, and keeps what it got.
//!
//! It runs on a thread of its own with its own runtime, so that tests of any kind can use it; it is bounded in connections,
//! mails and bytes, and ends when it is dropped.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::struct_excessive_bools,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::let_underscore_must_use
)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::serving::Serving;
use base64::Engine as _;
use sha2::Digest as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Connections at once.
const CONNECTIONS_MAX: usize = 32;
/// Mails that are kept.
const MAILS_MAX: usize = 100_000;
/// Bytes of one mail.
const MAIL_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of one line.
const LINE_MAX_BYTES: u64 = 8192;

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// STARTTLS is offered; AUTH only behind it.
    Starttls,
    /// From the first byte.
    Implicit,
}

/// What the server does at one point of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Act {
    /// What a good server does.
    #[default]
    Normal,
    /// Answers this line (without line end); a code of 421 also closes the connection.
    Say(String),
    /// Answers nothing more and keeps the connection open.
    Stall,
    /// Closes the connection without a word.
    Close,
    /// Waits, then goes on normally.
    Slow(Duration),
}

impl Act {
    pub fn say(line: &str) -> Self {
        Self::Say(line.to_owned())
    }
}

/// How the server behaves; the default is a good server without log-in.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub encryption: Encryption,
    /// User and password that are asked for; with `XOAUTH2` among the mechanisms, user and token.
    pub login: Option<(String, String)>,
    /// How a wrong token is refused: by a challenge (as Exchange Online does), or else at once.
    pub refuse_by_challenge: bool,
    /// Mechanisms that are offered; empty: `PLAIN LOGIN`.
    pub mechanisms: String,
    pub greeting: Act,
    pub mail: Act,
    /// The first entry whose text stands in the address counts.
    pub rcpt: Vec<(String, Act)>,
    /// Instead of 354.
    pub data: Act,
    /// After 354 nothing more is read.
    pub stall_in_body: bool,
    /// The connection is closed after so many bytes of the body.
    pub close_in_body: Option<usize>,
    /// Instead of the final 250, when the whole mail has come.
    pub end: Act,
    /// The final reply is Exchange's, with this Message-ID.
    pub exchange_id: Option<String>,
    /// Instead of the answer to STARTTLS.
    pub starttls: Act,
    /// STARTTLS is answered together with more lines, in plain text.
    pub inject_behind_starttls: bool,
    /// 8BITMIME is not offered.
    pub seven_bit: bool,
    /// SMTPUTF8 is offered.
    pub utf8: bool,
    /// The certificate is for this host name; counts at the start only.
    pub certificate_for: Option<String>,
    /// The certificate is of the last century; counts at the start only.
    pub expired: bool,
    /// Every mail is appended to this file as one line of JSON.
    pub log: Option<PathBuf>,
}

/// A mail that came in whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// MAIL FROM; empty for the null return path.
    pub from: String,
    /// Accepted RCPT TO.
    pub to: Vec<String>,
    /// The mail, dots removed.
    pub bytes: Vec<u8>,
    /// Who logged in.
    pub user: Option<String>,
    /// Whether it came through TLS.
    pub encrypted: bool,
    /// When it was accepted.
    pub accepted: Option<Instant>,
    /// Code of the final reply; none was given, or the client was gone, without.
    pub answered: Option<u16>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    received: Mutex<Vec<Received>>,
    /// First word of each command, in order, over all connections.
    commands: Mutex<Vec<String>>,
}

/// The server; ends when dropped.
#[derive(Debug)]
pub struct SmtpServer {
    pub addr: SocketAddr,
    /// Its certificate as PEM, to be trusted by clients.
    pub certificate_pem: String,
    /// SHA-256 of its certificate in hex.
    pub certificate_sha256: String,
    shared: Arc<Shared>,
    _serving: Serving,
}

impl SmtpServer {
    /// Starts a server that follows `script`.
    pub fn start(script: Script) -> Self {
        let hosts = match &script.certificate_for {
            Some(host) => vec![host.clone()],
            None => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let mut params = rcgen::CertificateParams::new(hosts).unwrap();
        if script.expired {
            params.not_before = rcgen::date_time_ymd(1998, 1, 1);
            params.not_after = rcgen::date_time_ymd(1999, 1, 1);
        }
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&signing_key).unwrap();
        let certificate = CertificateDer::from(made.der().to_vec());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            ..Shared::default()
        });
        let for_thread = Arc::clone(&shared);
        let serving = Serving::start(move |listener| serve(listener, for_thread, acceptor));
        let certificate_sha256 = sha2::Sha256::digest(&certificate)
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        Self {
            addr: (std::net::Ipv4Addr::LOCALHOST, serving.port).into(),
            certificate_pem: made.pem(),
            certificate_sha256,
            shared,
            _serving: serving,
        }
    }

    /// From the next command on the server follows this script.
    pub fn set(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// The mails that came in whole, also those whose final reply was withheld or negative.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Those of them that came after the first so many.
    pub fn received_after(&self, first: usize) -> Vec<Received> {
        self.shared.received.lock().unwrap()[first..].to_vec()
    }

    /// When the first mail to this address was accepted.
    pub fn accepted(&self, address: &str) -> Option<Instant> {
        let received = self.shared.received.lock().unwrap();
        let mut to = received
            .iter()
            .filter(|mail| mail.to.iter().any(|to| to == address));
        to.find_map(|mail| mail.accepted)
    }

    /// First word of every command so far.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, acceptor: TlsAcceptor) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let Ok((tcp, _)) = listener.accept().await else {
            continue;
        };
        tcp.set_nodelay(true).unwrap();
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tokio::spawn(async move {
            connection(tcp, &shared, &acceptor).await;
            drop(place);
        });
    }
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

/// One connection; any error of the network ends it.
async fn connection(tcp: TcpStream, shared: &Shared, acceptor: &TlsAcceptor) {
    let script = || shared.script.lock().unwrap().clone();
    if script().encryption == Encryption::Implicit {
        let Ok(tls) = acceptor.accept(tcp).await else {
            return;
        };
        let mut session = Session::new(Box::new(tls), shared, true);
        session.greet().await;
        return;
    }
    let mut session = Session::new(Box::new(tcp), shared, false);
    if session.greet().await == Some(Upgrade) {
        let inner = session.stream.into_inner();
        let Ok(tls) = acceptor.accept(inner).await else {
            return;
        };
        let mut session = Session::new(Box::new(tls), shared, true);
        session.commands().await;
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Upgrade;

struct Session<'a> {
    stream: BufReader<Box<dyn Stream>>,
    shared: &'a Shared,
    encrypted: bool,
    user: Option<String>,
    from: Option<String>,
    to: Vec<String>,
}

/// Whether the connection goes on.
type Goes = Result<(), ()>;

impl<'a> Session<'a> {
    fn new(stream: Box<dyn Stream>, shared: &'a Shared, encrypted: bool) -> Self {
        Self {
            stream: BufReader::new(stream),
            shared,
            encrypted,
            user: None,
            from: None,
            to: Vec::new(),
        }
    }

    fn script(&self) -> Script {
        self.shared.script.lock().unwrap().clone()
    }

    async fn say(&mut self, line: &str) -> Goes {
        let line = format!("{line}\r\n");
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .await
            .map_err(drop)?;
        self.stream.get_mut().flush().await.map_err(drop)
    }

    /// Does what the script says here; `Ok(true)` means that the normal answer is to follow.
    async fn act(&mut self, act: &Act) -> Result<bool, ()> {
        match act {
            Act::Normal => Ok(true),
            Act::Say(line) => {
                self.say(line).await?;
                if line.starts_with("421") {
                    Err(())
                } else {
                    Ok(false)
                }
            }
            Act::Stall => std::future::pending().await,
            Act::Close => Err(()),
            Act::Slow(time) => {
                tokio::time::sleep(*time).await;
                Ok(true)
            }
        }
    }

    async fn line(&mut self) -> Result<String, ()> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_MAX_BYTES);
        let read = limited.read_until(b'\n', &mut line).await.map_err(drop)?;
        if read == 0 || !line.ends_with(b"\r\n") {
            return Err(());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn greet(&mut self) -> Option<Upgrade> {
        let greeting = self.script().greeting;
        match self.act(&greeting).await {
            Ok(true) => self.say("220 test.example ESMTP").await.ok()?,
            Ok(false) => {}
            Err(()) => return None,
        }
        self.commands().await
    }

    async fn commands(&mut self) -> Option<Upgrade> {
        loop {
            let line = self.line().await.ok()?;
            let word = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            self.shared.commands.lock().unwrap().push(word.clone());
            let script = self.script();
            let goes = match word.as_str() {
                "EHLO" => self.ehlo(&script).await,
                "STARTTLS" if script.starttls != Act::Normal => {
                    self.act(&script.starttls).await.map(drop)
                }
                "STARTTLS" if script.encryption == Encryption::Starttls && !self.encrypted => {
                    let more = if script.inject_behind_starttls {
                        "\r\n250-test.example\r\n250 AUTH PLAIN\r\n235 ok"
                    } else {
                        ""
                    };
                    self.say(&format!("220 go ahead{more}")).await.ok()?;
                    return Some(Upgrade);
                }
                "AUTH" => self.auth(&script, &line).await,
                "MAIL" => self.mail(&script, &line).await,
                "RCPT" => self.rcpt(&script, &line).await,
                "DATA" => self.data(&script).await,
                "RSET" => {
                    self.from = None;
                    self.to.clear();
                    self.say("250 2.0.0 ok").await
                }
                "NOOP" => self.say("250 2.0.0 ok").await,
                "QUIT" => {
                    let _ = self.say("221 2.0.0 bye").await;
                    return None;
                }
                _ => self.say("502 5.5.1 unknown command").await,
            };
            goes.ok()?;
        }
    }

    async fn ehlo(&mut self, script: &Script) -> Goes {
        self.say("250-test.example").await?;
        if script.encryption == Encryption::Starttls && !self.encrypted {
            self.say("250-STARTTLS").await?;
        }
        let auth_here = script.encryption == Encryption::None || self.encrypted;
        if script.login.is_some() && auth_here {
            let mechanisms = if script.mechanisms.is_empty() {
                "PLAIN LOGIN"
            } else {
                &script.mechanisms
            };
            self.say(&format!("250-AUTH {mechanisms}")).await?;
        }
        if !script.seven_bit {
            self.say("250-8BITMIME").await?;
        }
        if script.utf8 {
            self.say("250-SMTPUTF8").await?;
        }
        self.say("250 ENHANCEDSTATUSCODES").await
    }

    async fn auth(&mut self, script: &Script, line: &str) -> Goes {
        let decode = |text: &str| {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut words = line.split_whitespace().skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let given = match mechanism.as_str() {
            "PLAIN" => {
                let response = decode(words.next().unwrap_or_default());
                let mut parts = response.split('\0').skip(1).map(str::to_owned);
                (
                    parts.next().unwrap_or_default(),
                    parts.next().unwrap_or_default(),
                )
            }
            "LOGIN" => {
                self.say("334 VXNlcm5hbWU6").await?;
                let user = decode(&self.line().await?);
                self.say("334 UGFzc3dvcmQ6").await?;
                (user, decode(&self.line().await?))
            }
            "XOAUTH2" => {
                let response = decode(words.next().unwrap_or_default());
                let part = |name: &str| {
                    let mut parts = response.split('\x01');
                    let found = parts.find_map(|part| part.strip_prefix(name));
                    found.unwrap_or_default().to_owned()
                };
                let given = (part("user="), part("auth=Bearer "));
                if script.refuse_by_challenge && script.login.as_ref() != Some(&given) {
                    // {"status":"401"}
                    self.say("334 eyJzdGF0dXMiOiI0MDEifQ==").await?;
                    self.line().await?;
                }
                given
            }
            _ => return self.say("504 5.5.4 unknown mechanism").await,
        };
        if script.login.as_ref() == Some(&given) {
            self.user = Some(given.0);
            self.say("235 2.7.0 welcome").await
        } else {
            self.say("535 5.7.8 wrong user name or password").await
        }
    }

    fn path(line: &str) -> String {
        line.split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(path, _)| path.to_owned())
            .unwrap_or_default()
    }

    async fn mail(&mut self, script: &Script, line: &str) -> Goes {
        if script.login.is_some() && self.user.is_none() {
            return self.say("530 5.7.0 authentication required").await;
        }
        if self.from.is_some() {
            return self.say("503 5.5.1 nested MAIL").await;
        }
        if self.act(&script.mail).await? {
            self.from = Some(Self::path(line));
            self.say("250 2.1.0 ok").await?;
        }
        Ok(())
    }

    async fn rcpt(&mut self, script: &Script, line: &str) -> Goes {
        if self.from.is_none() {
            return self.say("503 5.5.1 MAIL first").await;
        }
        let address = Self::path(line);
        let act = script
            .rcpt
            .iter()
            .find(|(part, _)| address.contains(part))
            .map(|(_, act)| act.clone())
            .unwrap_or_default();
        if self.act(&act).await? {
            self.to.push(address);
            self.say("250 2.1.5 ok").await?;
        }
        Ok(())
    }

    async fn data(&mut self, script: &Script) -> Goes {
        if self.to.is_empty() {
            return self.say("503 5.5.1 RCPT first").await;
        }
        if !self.act(&script.data).await? {
            return Ok(());
        }
        self.say("354 go ahead").await?;
        if script.stall_in_body {
            std::future::pending::<()>().await;
        }
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let start = bytes.len();
            if self
                .stream
                .read_until(b'\n', &mut bytes)
                .await
                .map_err(drop)?
                == 0
                || bytes.len() > MAIL_MAX_BYTES
            {
                return Err(());
            }
            if script
                .close_in_body
                .is_some_and(|limit| bytes.len() >= limit)
            {
                return Err(());
            }
            if &bytes[start..] == b".\r\n" {
                bytes.truncate(start);
                break;
            }
            if bytes[start] == b'.' {
                bytes.remove(start);
            }
        }
        let mail = Received {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            bytes,
            user: self.user.clone(),
            encrypted: self.encrypted,
            accepted: None,
            answered: None,
        };
        let kept = self.keep(script, mail);
        if !self.act(&script.end).await? {
            if let Act::Say(line) = &script.end {
                self.note_answer(kept, line);
            }
            return Ok(());
        }
        // Noted before it is said: whoever reads it may look here at once.
        self.note_answer(kept, "250");
        let said = match &script.exchange_id {
            Some(id) => {
                let line = format!(
                    "250 2.6.0 <{id}> [InternalId=4711, Hostname=MX1.exchange.example] 5219 bytes in 0.136, 37 KB/sec Queued mail for delivery"
                );
                self.say(&line).await
            }
            None => self.say("250 2.0.0 queued").await,
        };
        if said.is_err() {
            self.note_answer(kept, "");
        }
        if let Some(mail) = self.shared.received.lock().unwrap().get_mut(kept) {
            mail.accepted = Some(Instant::now());
        }
        said
    }

    fn note_answer(&self, kept: usize, line: &str) {
        if let Some(mail) = self.shared.received.lock().unwrap().get_mut(kept) {
            mail.answered = line.split(' ').next().unwrap().parse().ok();
        }
    }

    /// Its place among those that are kept.
    fn keep(&self, script: &Script, mail: Received) -> usize {
        if let Some(path) = &script.log {
            let line = serde_json::json!({ "from": mail.from, "to": mail.to, "mail": String::from_utf8_lossy(&mail.bytes) });
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap();
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let mut received = self.shared.received.lock().unwrap();
        let place = received.len();
        if place < MAILS_MAX {
            received.push(mail);
        }
        place
    }
}
