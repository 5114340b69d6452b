//! One connection to an IMAP server: open, log in, one command at a time, each under a time limit.
//!
//! async-imap does the protocol. Its ready-made commands are not used beyond the log-in: they end a FETCH or SEARCH without
//! looking at its OK, NO or BAD, and they lose the response codes of RFC 5530, by which failures are told apart here.
//! Texts of the server never reach an error, since they may quote mail.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_imap::error::Error as ImapError;
use async_imap::imap_proto::{
    Capability, MailboxDatum, Outcome, RequestId, Response, ResponseCode, Status,
};
use async_imap::{Authenticator, Client, Session};
use futures_util::FutureExt as _;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::super::SourceError;
use super::counted::Counted;
use super::tls::Tls;
use crate::config::{self, Secret, Server};
use crate::oauth::{OAuthError, Tokens};

/// LOGOUT, all of it.
pub const LOGOUT_TIMEOUT: Duration = Duration::from_secs(3);
/// One command for text of messages, a few megabytes at most, however steadily it comes.
const BODY_WHOLE: Duration = Duration::from_mins(6);

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up the host name.
    pub dns: Duration,
    /// Connecting to one address.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// The server's greeting.
    pub greeting: Duration,
    /// Logging in; servers make wrong passwords wait.
    pub login: Duration,
    /// A command that answers little.
    pub command: Duration,
    /// A command that walks through the folder: SEARCH, sizes and dates, COPY, MOVE.
    pub folder: Duration,
    /// Text of messages: the longest silence in it. A slow line is no reason to give up, a dead one is.
    pub body: Duration,
    /// The end of IDLE after DONE.
    pub done: Duration,
}

impl Timeouts {
    /// For a server that may be silent for so long after a simple command.
    pub fn with(silence: Duration) -> Self {
        let at_most = |seconds: u64| silence.min(Duration::from_secs(seconds));
        Self {
            dns: at_most(15),
            connect: at_most(15),
            tls: at_most(20),
            greeting: at_most(30),
            login: silence,
            command: silence,
            folder: silence.saturating_mul(3),
            body: silence.saturating_mul(3),
            done: at_most(30),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::with(Duration::from_mins(1))
    }
}

/// How long one step may take: without a byte from the server, and as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    silence: Duration,
    whole: Duration,
}

impl Limit {
    /// For a command that brings much.
    pub(super) fn silence(silence: Duration) -> Self {
        Self {
            silence,
            whole: BODY_WHOLE.max(silence),
        }
    }
}

impl From<Duration> for Limit {
    fn from(whole: Duration) -> Self {
        Self {
            silence: whole,
            whole,
        }
    }
}

/// What async-imap reads from and writes to.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Wire for T {}
pub(super) type Stream = Box<dyn Wire>;

/// The server's last word on a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) ok: bool,
    /// BAD: it did not understand.
    pub(super) bad: bool,
    /// Response code in capitals, without arguments.
    pub(super) code: Option<String>,
}

impl Answer {
    fn new(status: &Status, outcome: &Outcome<'_>) -> Self {
        Self {
            ok: matches!(status, Status::Ok),
            bad: matches!(status, Status::Bad),
            code: code(outcome),
        }
    }

    /// Whether the code is one of these.
    pub(super) fn is(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }
}

/// The response code. imap-proto leaves those of RFC 5530 at the beginning of the text.
fn code(outcome: &Outcome<'_>) -> Option<String> {
    match &outcome.code {
        Some(ResponseCode::TryCreate) => Some("TRYCREATE".to_owned()),
        Some(ResponseCode::Alert) => Some("ALERT".to_owned()),
        Some(_) => None,
        None => leading_code(outcome.information.as_deref()?),
    }
}

fn leading_code(text: &str) -> Option<String> {
    let (inside, _) = text.strip_prefix('[')?.split_once(']')?;
    let code = inside.split(' ').next()?;
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_code.then(|| code.to_ascii_uppercase())
}

/// Codes by which a refusal needs a person (RFC 5530); others may pass.
const NEEDS_PERSON: [&str; 9] = [
    "AUTHENTICATIONFAILED",
    "AUTHORIZATIONFAILED",
    "CONTACTADMIN",
    "EXPIRED",
    "NONEXISTENT",
    "NOPERM",
    "OVERQUOTA",
    "PRIVACYREQUIRED",
    "TRYCREATE",
];
/// Codes by which a refused log-in may succeed later.
const LOGIN_LATER: [&str; 5] = ["ALERT", "INUSE", "LIMIT", "SERVERBUG", "UNAVAILABLE"];

/// IDLE as it has been asked for.
#[derive(Debug)]
struct Idle {
    tag: RequestId,
    /// The server has said that it idles.
    agreed: bool,
}

/// What we log in with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof<'a> {
    Password(&'a Secret),
    Tokens(&'a Tokens),
}

/// An open, logged-in connection.
#[derive(Debug)]
pub(super) struct Connection {
    session: Session<Stream>,
    /// Host and port, for errors.
    place: String,
    capabilities: HashSet<String>,
    /// A command was begun and not finished: nothing more can be asked here.
    broken: bool,
    /// It broke because the server hung up, not for lack of an answer.
    hung_up: bool,
    idle: Option<Idle>,
    timeouts: Timeouts,
    /// Bytes that have come from the server.
    received: Arc<AtomicU64>,
    /// There may be new messages: the server spoke of some since this was last set.
    news: bool,
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(
        server: &Server,
        tokens: Option<&Tokens>,
        timeouts: Timeouts,
    ) -> Result<Self, SourceError> {
        let place = format!("{}:{}", server.host, server.port);
        let Some(login) = &server.login else {
            return Err(SourceError::needs_person(
                format!("no log-in is configured for {place}"),
                "set user and password",
            ));
        };
        let received = Arc::new(AtomicU64::new(0));
        let tcp = connect(server, &place, &timeouts).await?;
        let tcp = Box::new(Counted::new(tcp, Arc::clone(&received)));
        let client = match server.tls {
            config::Tls::None => greeted(tcp, &place, &timeouts).await?,
            config::Tls::Implicit => {
                let tls = handshake(tcp, server, &place, &timeouts).await?;
                greeted(tls, &place, &timeouts).await?
            }
            config::Tls::Starttls => {
                let greeted = greeted(tcp, &place, &timeouts).await?;
                let plain = starttls(greeted, &place, &timeouts).await?;
                Client::new(handshake(plain, server, &place, &timeouts).await?)
            }
        };
        let proof = match (&login.proof, tokens) {
            (config::Proof::Password(password), _) => Proof::Password(password),
            (config::Proof::OAuth(_), Some(tokens)) => Proof::Tokens(tokens),
            (config::Proof::OAuth(_), None) => {
                return Err(SourceError::temporary(
                    format!("no source of tokens is at hand for {place}"),
                    None,
                ));
            }
        };
        let mut connection = Self::log_in(client, &login.user, proof, place, timeouts).await?;
        connection.received = received;
        Ok(connection)
    }

    /// The part that is the same on every kind of stream.
    pub(super) async fn log_in(
        mut client: Client<Stream>,
        user: &str,
        proof: Proof<'_>,
        place: String,
        timeouts: Timeouts,
    ) -> Result<Self, SourceError> {
        let offered = limited(
            timeouts.command,
            "asking what the server can do",
            &place,
            ask_capabilities(&mut client),
        )
        .await?
        .map_err(|error| lost("asking what the server can do", &place, &error))?;
        let session = match proof {
            Proof::Password(password) => {
                let limit = timeouts.login;
                login(client, &offered, (user, password), &place, limit).await?
            }
            Proof::Tokens(tokens) => {
                let limit = timeouts.login;
                login_with_token(client, &offered, (user, tokens), &place, limit).await?
            }
        };
        let mut connection = Self {
            session,
            place,
            capabilities: HashSet::new(),
            broken: false,
            hung_up: false,
            idle: None,
            timeouts,
            received: Arc::default(),
            news: false,
        };
        let mut capabilities = HashSet::new();
        let doing = "asking what the server can do";
        let answer = connection
            .exchange(doing, "CAPABILITY", timeouts.command, |response| {
                note_capabilities(response, &mut capabilities);
            })
            .await?;
        if !answer.ok {
            return Err(connection.refused(
                doing,
                &answer,
                "ask the administrator of the mail server",
            ));
        }
        connection.capabilities = capabilities;
        Ok(connection)
    }

    /// Whether the server offers this extension.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) const fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    pub(super) const fn has_news(&self) -> bool {
        self.news
    }

    pub(super) const fn set_news(&mut self, news: bool) {
        self.news = news;
    }

    /// A refusal as an error: the code decides whether a person is needed.
    pub(super) fn refused(&self, doing: &str, answer: &Answer, advice: &str) -> SourceError {
        let code = answer
            .code
            .as_deref()
            .map_or_else(String::new, |code| format!(" ({code})"));
        let what = format!("{} refused while {doing}{code}", self.place);
        if answer.is(&NEEDS_PERSON) {
            SourceError::needs_person(what, advice)
        } else {
            SourceError::temporary(what, None)
        }
    }

    /// Sends a command, shows every answer to `see`, and returns the last word. A connection on which this failed or was
    /// cancelled is broken.
    pub(super) async fn exchange(
        &mut self,
        doing: &str,
        command: &str,
        limit: impl Into<Limit>,
        mut see: impl FnMut(&Response<'_>) + Send,
    ) -> Result<Answer, SourceError> {
        self.end_idle().await?;
        self.broken = true;
        let place = self.place.clone();
        let session = &mut self.session;
        let news = &mut self.news;
        let received = Arc::clone(&self.received);
        let answer = limited_silence(limit.into(), doing, &place, &received, async {
            let tag = session.run_command(command).await?;
            loop {
                let last_word = next(session, |response| match response {
                    Response::Done {
                        tag: of,
                        status,
                        outcome,
                    } if *of == tag => Some(Answer::new(status, outcome)),
                    other => {
                        *news |= is_news(other);
                        see(other);
                        None
                    }
                })
                .await?;
                if let Some(answer) = last_word {
                    return Ok(answer);
                }
            }
        })
        .await?;
        match answer {
            Ok(answer) => {
                self.broken = false;
                Ok(answer)
            }
            Err(error) => {
                self.hung_up = true;
                Err(lost(doing, &place, &error))
            }
        }
    }

    /// Begins IDLE; `false` when the server refuses. Cancelled while the server has not answered, the connection stays good:
    /// the answer is read when IDLE is ended.
    pub(super) async fn begin_idle(&mut self) -> Result<bool, SourceError> {
        let doing = "beginning to wait for mail";
        self.end_idle().await?;
        self.broken = true;
        let (limit, place) = (self.timeouts.command, self.place.clone());
        let tag = limited(limit, doing, &place, self.session.run_command("IDLE"))
            .await?
            .map_err(|error| lost(doing, &place, &error))?;
        self.idle = Some(Idle { tag, agreed: false });
        self.broken = false;
        match limited(limit, doing, &place, self.idle_answer()).await {
            Ok(Ok(agreed)) => Ok(agreed),
            Ok(Err(error)) => {
                self.broken = true;
                Err(lost(doing, &place, &error))
            }
            Err(error) => {
                self.broken = true;
                Err(error)
            }
        }
    }

    /// Reads the answer to IDLE; `false` when the server refuses. Cancel-safe.
    async fn idle_answer(&mut self) -> Result<bool, ImapError> {
        while let Some(idle) = &mut self.idle {
            if idle.agreed {
                return Ok(true);
            }
            let (tag, news) = (&idle.tag, &mut self.news);
            let answer = next(&mut self.session, |response| match response {
                Response::Continue(_) => Some(true),
                Response::Done { tag: of, .. } if of == tag => Some(false),
                other => {
                    *news |= is_news(other);
                    None
                }
            })
            .await?;
            match answer {
                Some(true) => idle.agreed = true,
                Some(false) => self.idle = None,
                None => {}
            }
        }
        Ok(false)
    }

    /// While idle: until the server speaks of messages, at most `at_most`. Cancel-safe.
    pub(super) async fn idle(&mut self, at_most: Duration) -> Result<(), SourceError> {
        let session = &mut self.session;
        let news = &mut self.news;
        let waited = timeout(at_most, async {
            while !*news {
                *news |= next(session, is_news).await?;
            }
            Ok(())
        })
        .await;
        match waited {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(error)) => {
                self.broken = true;
                Err(lost("waiting for mail", &self.place, &error))
            }
        }
    }

    /// Ends IDLE where it is on.
    pub(super) async fn end_idle(&mut self) -> Result<(), SourceError> {
        if self.idle.is_none() {
            return Ok(());
        }
        let doing = "ending the wait for mail";
        self.broken = true;
        let (limit, place) = (self.timeouts.done, self.place.clone());
        limited(limit, doing, &place, async {
            if !self.idle_answer().await? {
                return Ok(());
            }
            self.session.run_command_untagged("DONE").await?;
            let Some(Idle { tag, .. }) = self.idle.take() else {
                return Ok(());
            };
            let news = &mut self.news;
            let mut is_end = |response: &Response<'_>| {
                *news |= is_news(response);
                matches!(response, Response::Done { tag: of, .. } if *of == tag)
            };
            while !next(&mut self.session, &mut is_end).await? {}
            Ok(())
        })
        .await?
        .map_err(|error| lost(doing, &place, &error))?;
        self.broken = false;
        Ok(())
    }

    /// Says goodbye and hangs up.
    pub(super) async fn close(mut self) {
        if self.broken {
            return;
        }
        let goodbye = async {
            if self.end_idle().await.is_ok() {
                // The connection ends either way.
                self.session.logout().await.ok();
            }
        };
        timeout(LOGOUT_TIMEOUT, goodbye).await.ok();
    }
}

/// The number of messages was told: some may be new.
const fn is_news(response: &Response<'_>) -> bool {
    matches!(response, Response::MailboxData(MailboxDatum::Exists(_)))
}

/// Shows the next response to `see`; a goodbye and the end of the stream are errors. imap-proto panics on some malformed
/// answers, which must cost the connection only.
async fn next<T>(
    session: &mut Session<Stream>,
    see: impl FnOnce(&Response<'_>) -> T,
) -> Result<T, ImapError> {
    let read = AssertUnwindSafe(session.read_response())
        .catch_unwind()
        .await;
    let response = read.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))??;
    let response = response.ok_or(ImapError::ConnectionLost)?;
    match response.parsed() {
        Response::Data {
            status: Status::Bye,
            ..
        } => Err(ImapError::ConnectionLost),
        parsed => Ok(see(parsed)),
    }
}

fn note_capabilities(response: &Response<'_>, into: &mut HashSet<String>) {
    let found = match response {
        Response::Capabilities(found) => found,
        Response::Done { outcome, .. } | Response::Data { outcome, .. } => match &outcome.code {
            Some(ResponseCode::Capabilities(found)) => found,
            _ => return,
        },
        _ => return,
    };
    into.extend(found.iter().map(|capability| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={}", mechanism.to_ascii_uppercase()),
        Capability::Atom(atom) => atom.to_ascii_uppercase(),
    }));
}

/// CAPABILITY before the log-in. async-imap has no public call for it on a [`Client`], so the line is written directly,
/// under a tag that it does not use itself.
async fn ask_capabilities(client: &mut Client<Stream>) -> Result<HashSet<String>, ImapError> {
    const TAG: &str = "L1";
    let stream = client.get_mut();
    stream
        .write_all(format!("{TAG} CAPABILITY\r\n").as_bytes())
        .await?;
    stream.flush().await?;
    let mut capabilities = HashSet::new();
    loop {
        let response = client
            .read_response()
            .await?
            .ok_or(ImapError::ConnectionLost)?;
        note_capabilities(response.parsed(), &mut capabilities);
        if matches!(response.parsed(), Response::Done { tag, .. } if tag.0 == TAG) {
            return Ok(capabilities);
        }
    }
}

async fn connect(
    server: &Server,
    place: &str,
    timeouts: &Timeouts,
) -> Result<TcpStream, SourceError> {
    let looking = lookup_host((server.host.as_str(), server.port));
    let found = limited(timeouts.dns, "looking up the host name", place, looking).await?;
    let mut addresses: Vec<SocketAddr> = found
        .map_err(|error| {
            SourceError::temporary(
                format!("the name of {place} cannot be found (DNS)"),
                Some(error.into()),
            )
        })?
        .collect();
    if server.tls == config::Tls::None {
        addresses.retain(|address| address.ip().is_loopback());
        if addresses.is_empty() {
            return Err(SourceError::needs_person(
                format!(
                    "a connection to {place} without encryption is allowed on this machine only"
                ),
                "set tls to implicit or starttls",
            ));
        }
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(timeouts.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small commands should not wait for each other; without it they only get slower.
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    let what = match last.kind() {
        io::ErrorKind::ConnectionRefused => format!("{place} refuses the connection"),
        io::ErrorKind::TimedOut => format!("{place} does not answer"),
        _ => format!("{place} cannot be reached"),
    };
    Err(SourceError::temporary(what, Some(last.into())))
}

async fn handshake(
    stream: Stream,
    server: &Server,
    place: &str,
    timeouts: &Timeouts,
) -> Result<Stream, SourceError> {
    let tls = Tls::new(server)?;
    let name = ServerName::try_from(server.host.clone()).map_err(|_| {
        SourceError::needs_person(
            format!("{place} is no host name or address"),
            "correct host",
        )
    })?;
    let connecting = TlsConnector::from(std::sync::Arc::clone(&tls.config)).connect(name, stream);
    match limited(timeouts.tls, "agreeing on TLS", place, connecting).await? {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(tls.explain(place, &error)),
    }
}

/// Reads the greeting.
pub(super) async fn greeted(
    stream: Stream,
    place: &str,
    timeouts: &Timeouts,
) -> Result<Client<Stream>, SourceError> {
    let doing = "waiting for the greeting";
    let mut client = Client::new(stream);
    let response = limited(timeouts.greeting, doing, place, client.read_response())
        .await?
        .map_err(|error| lost(doing, place, &error.into()))?;
    match response.as_ref().map(|response| response.parsed()) {
        Some(Response::Data {
            status: Status::Ok, ..
        }) => Ok(client),
        // Logged in before any password: with STARTTLS somebody between may have written it.
        Some(Response::Data {
            status: Status::PreAuth,
            ..
        }) => Err(SourceError::needs_person(
            format!("{place} logs everybody in by itself"),
            "use a server that asks for user and password",
        )),
        Some(Response::Data {
            status: Status::Bye,
            ..
        }) => Err(SourceError::temporary(
            format!("{place} takes no connections now"),
            None,
        )),
        Some(_) => Err(SourceError::needs_person(
            format!("{place} is no IMAP server"),
            "correct host and port",
        )),
        None => Err(SourceError::temporary(
            format!("{place} hung up without a greeting"),
            None,
        )),
    }
}

/// Asks for TLS. What the server sent after its OK is thrown away with the client: it was not encrypted.
async fn starttls(
    mut client: Client<Stream>,
    place: &str,
    timeouts: &Timeouts,
) -> Result<Stream, SourceError> {
    let doing = "asking for TLS";
    let asking = client.run_command_and_check_ok("STARTTLS", None);
    match limited(timeouts.command, doing, place, asking).await? {
        Ok(()) => Ok(client.into_inner()),
        Err(ImapError::No(_) | ImapError::Bad(_)) => Err(SourceError::needs_person(
            format!("{place} does not offer STARTTLS"),
            "use implicit TLS (port 993); without encryption no password is sent",
        )),
        Err(error) => Err(lost(doing, place, &error)),
    }
}

/// SASL PLAIN (RFC 4616).
struct Plain<'a> {
    user: &'a str,
    password: &'a Secret,
}

impl Authenticator for Plain<'_> {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        format!("\0{}\0{}", self.user, self.password.reveal())
    }
}

async fn login(
    client: Client<Stream>,
    offered: &HashSet<String>,
    (user, password): (&str, &Secret),
    place: &str,
    limit: Duration,
) -> Result<Session<Stream>, SourceError> {
    let doing = "logging in";
    let plain = offered.contains("AUTH=PLAIN");
    let disabled = offered.contains("LOGINDISABLED");
    if disabled && !plain {
        return Err(SourceError::needs_person(
            format!("{place} takes no passwords on this connection"),
            "use TLS, or another way to log in",
        ));
    }
    // LOGIN has no way to write letters beyond ASCII (RFC 3501 section 6.2.3).
    let ascii = user.is_ascii() && password.reveal().is_ascii();
    let attempt = if disabled || (plain && !ascii) {
        limited(
            limit,
            doing,
            place,
            client.authenticate("PLAIN", Plain { user, password }),
        )
        .await?
    } else {
        limited(limit, doing, place, client.login(user, password.reveal())).await?
    };
    match attempt {
        Ok(session) => Ok(session),
        // RFC 3501: NO to a log-in means that user name or password were rejected, unless the code says otherwise.
        Err((ImapError::No(told), _)) => match code_told(&told) {
            Some(code) if LOGIN_LATER.contains(&code.as_str()) => Err(SourceError::temporary(
                format!("{place} cannot log anybody in now ({code})"),
                None,
            )),
            _ => Err(SourceError::needs_person(
                format!("{place} rejects the user name or the password"),
                "correct user and password in the configuration",
            )),
        },
        Err((ImapError::Validate(_), _)) => Err(SourceError::needs_person(
            "the user name or the password holds a line break".to_owned(),
            "correct user and password in the configuration",
        )),
        Err((error, _)) => Err(lost(doing, place, &error)),
    }
}

/// SASL XOAUTH2. A server that refuses the token tells why in a second challenge, which wants an empty answer.
struct Xoauth2<'a> {
    user: &'a str,
    token: &'a Secret,
    told: bool,
}

impl Authenticator for Xoauth2<'_> {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        if std::mem::replace(&mut self.told, true) {
            return String::new();
        }
        format!(
            "user={}\x01auth=Bearer {}\x01\x01",
            self.user,
            self.token.reveal()
        )
    }
}

/// Logs in with a token. One that the server refuses may have been withdrawn: a new one is tried, once.
async fn login_with_token(
    mut client: Client<Stream>,
    offered: &HashSet<String>,
    (user, tokens): (&str, &Tokens),
    place: &str,
    limit: Duration,
) -> Result<Session<Stream>, SourceError> {
    let doing = "logging in with a token";
    if !offered.contains("AUTH=XOAUTH2") {
        return Err(SourceError::needs_person(
            format!("{place} takes no tokens (AUTH=XOAUTH2)"),
            "use a password, or another server",
        ));
    }
    for _ in 0..2 {
        let token = tokens.token().await?;
        let proof = Xoauth2 {
            user,
            token: &token,
            told: false,
        };
        let attempt = limited(limit, doing, place, client.authenticate("XOAUTH2", proof)).await?;
        match attempt {
            Ok(session) => return Ok(session),
            Err((ImapError::No(told), again)) => {
                if let Some(code) = code_told(&told)
                    && LOGIN_LATER.contains(&code.as_str())
                {
                    return Err(SourceError::temporary(
                        format!("{place} cannot log anybody in now ({code})"),
                        None,
                    ));
                }
                tokens.forget(&token);
                client = again;
            }
            Err((error, _)) => {
                // Some servers hang up on a token that they do not like.
                tokens.forget(&token);
                return Err(lost(doing, place, &error));
            }
        }
    }
    Err(SourceError::needs_person(
        format!("{place} rejects the token for this user"),
        "give the application access to the mailbox, and check user and scope",
    ))
}

impl From<OAuthError> for SourceError {
    fn from(error: OAuthError) -> Self {
        let what = error.to_string();
        match error {
            OAuthError::Temporary { .. } => Self::temporary(what, None),
            OAuthError::NeedsPerson { advice, .. } => Self::needs_person(what, advice),
        }
    }
}

/// The response code in async-imap's rendering of a refused log-in: `code: …, info: Some("[CODE] text")`.
fn code_told(told: &str) -> Option<String> {
    if told.starts_with("code: Some(Alert)") {
        return Some("ALERT".to_owned());
    }
    leading_code(told.strip_prefix("code: None, info: Some(\"")?)
}

/// Puts a time limit on one step.
async fn limited<T>(
    limit: Duration,
    doing: &str,
    place: &str,
    step: impl Future<Output = T>,
) -> Result<T, SourceError> {
    timeout(limit, step).await.map_err(|_| {
        SourceError::temporary(
            format!(
                "{place} did not answer within {} s while {doing}",
                limit.as_secs()
            ),
            None,
        )
    })
}

/// The same for a step in which much may come: it goes on as long as something does.
async fn limited_silence<T>(
    limit: Limit,
    doing: &str,
    place: &str,
    received: &AtomicU64,
    step: impl Future<Output = T>,
) -> Result<T, SourceError> {
    let begun = Instant::now();
    let mut step = pin!(step);
    loop {
        let before = received.load(Ordering::Relaxed);
        let left = limit.whole.saturating_sub(begun.elapsed());
        match limited(limit.silence.min(left), doing, place, &mut step).await {
            Err(_)
                if received.load(Ordering::Relaxed) != before && begun.elapsed() < limit.whole => {}
            other => return other,
        }
    }
}

/// A connection that is of no more use. Errors of async-imap may hold what the server sent, so only their kind is kept.
fn lost(doing: &str, place: &str, error: &ImapError) -> SourceError {
    let (what, source) = match error {
        ImapError::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Other | io::ErrorKind::InvalidData
            ) =>
        {
            ("sent something that cannot be understood", None)
        }
        ImapError::Io(error) => (
            "broke the connection",
            Some(io::Error::from(error.kind()).into()),
        ),
        ImapError::ConnectionLost => ("closed the connection", None),
        ImapError::No(_) | ImapError::Bad(_) => ("refused", None),
        _ => ("sent something that cannot be understood", None),
    };
    SourceError::temporary(format!("{place} {what} while {doing}"), source)
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{LOGIN, Then, conversation, log_in};
    use super::*;

    #[test]
    fn codes_are_read_from_the_beginning_only() {
        for (text, code) in [
            ("[NONEXISTENT] Mailbox doesn't exist", Some("NONEXISTENT")),
            ("[nonexistent] x", Some("NONEXISTENT")),
            ("[BADURL \"x\"] y", Some("BADURL")),
            ("no [AUTHENTICATIONFAILED]", None),
            ("[]", None),
            ("[not a closed one", None),
        ] {
            assert_eq!(leading_code(text).as_deref(), code, "{text}");
        }
        assert_eq!(
            code_told("code: None, info: Some(\"[UNAVAILABLE] later\")").as_deref(),
            Some("UNAVAILABLE")
        );
        assert_eq!(code_told("code: None, info: Some(\"wrong [ALERT]\")"), None);
    }

    #[test]
    fn an_error_says_nothing_that_the_server_said() {
        let error = ImapError::Io(io::Error::other("parsing of Subject: Kari Nordmann"));
        let error = lost("reading", "imap.example:993", &error);
        let whole = format!("{error:?} {error}");
        assert!(!whole.contains("Kari"), "{whole}");
    }

    async fn ask(connection: &mut Connection) -> Result<Answer, SourceError> {
        let limit = Duration::from_secs(20);
        connection.exchange("asking", "NOOP", limit, |_| ()).await
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_given_up_in_time() {
        let (mut connection, _server) =
            conversation(&[("NOOP", "* 3 EXISTS\r\n")], Then::Stall).await;
        let limit = Duration::from_millis(20);
        let error = connection
            .exchange("asking", "NOOP", limit, |_| ())
            .await
            .unwrap_err();
        assert!(error.is_temporary());
        assert!(connection.is_broken() && !connection.has_hung_up());
    }

    #[tokio::test]
    async fn every_way_of_breaking_off_costs_the_connection_only() {
        for broken in [
            "* BYE Internal error of Kari\r\n",
            "* 1 FETCH (UID 1 BODY[] {100}\r\nSubject: Kari",
            "",
            "what is this, Kari\r\n",
            // imap-proto panics on this one.
            "* 1 FETCH (INTERNALDATE NIL)\r\n",
        ] {
            let (mut connection, _server) = conversation(&[("NOOP", broken)], Then::HangUp).await;
            let error = ask(&mut connection).await.unwrap_err();
            assert!(error.is_temporary(), "{broken}");
            assert!(
                connection.is_broken() && connection.has_hung_up(),
                "{broken}"
            );
            assert!(!format!("{error:?}").contains("Kari"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn the_last_word_and_its_code_are_seen() {
        for (answer, ok, bad, code) in [
            ("{tag} OK done\r\n", true, false, None),
            (
                "{tag} NO [NONEXISTENT] no such thing\r\n",
                false,
                false,
                Some("NONEXISTENT"),
            ),
            (
                "{tag} NO [TRYCREATE] no such thing\r\n",
                false,
                false,
                Some("TRYCREATE"),
            ),
            (
                "* NO [NONEXISTENT] a warning\r\n{tag} BAD what\r\n",
                false,
                true,
                None,
            ),
        ] {
            let (mut connection, _server) = conversation(&[("NOOP", answer)], Then::HangUp).await;
            let code = code.map(str::to_owned);
            assert_eq!(
                ask(&mut connection).await.unwrap(),
                Answer { ok, bad, code }
            );
            assert!(!connection.is_broken());
        }
    }

    #[tokio::test]
    async fn a_refused_login_is_judged_by_its_code() {
        for (answer, temporary) in [
            ("{tag} NO [AUTHENTICATIONFAILED] no\r\n", false),
            ("{tag} NO LOGIN failed.\r\n", false),
            ("{tag} NO text with [UNAVAILABLE] inside\r\n", false),
            ("{tag} NO [UNAVAILABLE] later\r\n", true),
            ("{tag} NO [inuse] later\r\n", true),
            ("{tag} NO [ALERT] maintenance\r\n", true),
            ("{tag} BAD what\r\n", true),
        ] {
            let script = [LOGIN[0], (LOGIN[1].0, answer)];
            let (result, _server) = log_in("pass", &script, Then::HangUp).await;
            assert_eq!(result.unwrap_err().is_temporary(), temporary, "{answer}");
        }
    }

    #[tokio::test]
    async fn where_login_is_disabled_or_cannot_say_the_password_plain_is_used() {
        let both = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK\r\n";
        let disabled = "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN\r\n{tag} OK\r\n";
        for (password, offered, sent) in [
            ("pass", disabled, "AHBvc3QAcGFzcw=="),
            ("på", both, "AHBvc3QAcMOl"),
        ] {
            let script = [
                ("CAPABILITY", offered),
                ("AUTHENTICATE PLAIN", "+ \r\n"),
                // The line has no tag; async-imap's next tag is the one of AUTHENTICATE.
                (sent, "A0001 OK\r\n"),
                LOGIN[2],
            ];
            let (result, server) = log_in(password, &script, Then::HangUp).await;
            assert!(result.unwrap().has("IDLE"));
            server.await.unwrap();
        }
        let neither = "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n{tag} OK\r\n";
        let (result, _server) = log_in("pass", &[("CAPABILITY", neither)], Then::HangUp).await;
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("takes no passwords")
        );
    }

    #[tokio::test]
    async fn only_a_server_that_asks_for_the_password_is_greeted() {
        for greeting in [
            "* PREAUTH hello\r\n",
            "* BYE busy\r\n",
            "220 smtp.example\r\n",
            "",
        ] {
            let (here, mut there) = tokio::io::duplex(1024);
            there.write_all(greeting.as_bytes()).await.unwrap();
            drop(there);
            assert!(
                greeted(Box::new(here), "imap.example:993", &Timeouts::default())
                    .await
                    .is_err(),
                "{greeting}"
            );
        }
    }
}
