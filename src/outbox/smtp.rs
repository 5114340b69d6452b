//! Sends through an SMTP server (RFC 5321), one connection a mail, command by command.
//!
//! lettre writes the commands and reads the replies; which command comes next, how long each may take and what an answer
//! means for each recipient is decided here. After a time limit or a broken connection nothing more is read from that
//! connection: it is dropped.
//!
//! What is certain and what is not: until the dot that ends the body has been handed to the connection, the server cannot
//! have taken the mail, so every failure before it is temporary. From then on until the final reply, the outcome is
//! [`RecipientOutcome::Unknown`].
//!
//! Cancelling: each mail is sent by a task of its own. Dropping the future of [`MailTransport::send`] stops that task only
//! before the body begins; after that it goes on to its end, and [`SmtpTransport::finished`] waits for it.

mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::message_id::hex;
use super::{Delivery, Envelope, MailTransport, RecipientOutcome, Reply};
use crate::config::{Proof, Secret, Server, Tls};
use crate::failpoint;
use crate::oauth::{OAuthError, Tokens};

/// Bytes of a mail that are written at a time; each block has [`Timeouts::block`].
const BLOCK_BYTES: usize = 64 * 1024;

/// How long each step may take. The defaults are those of RFC 5321 section 4.5.3.2, or shorter where no server needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name look-up and TCP.
    pub connect: Duration,
    /// Greeting and EHLO; with TLS from the first byte the handshake too.
    pub greeting: Duration,
    /// STARTTLS, the handshake and the second EHLO.
    pub starttls: Duration,
    /// The whole exchange of AUTH.
    pub auth: Duration,
    /// MAIL FROM.
    pub mail: Duration,
    /// Each RCPT TO.
    pub rcpt: Duration,
    /// DATA, until the server says go on.
    pub data: Duration,
    /// Each block of the body.
    pub block: Duration,
    /// The reply to the final dot: the server may be scanning or handing on.
    pub final_reply: Duration,
    /// QUIT; the mail's fate is known by then.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            starttls: minutes(1),
            auth: minutes(1),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            final_reply: minutes(10),
            quit: Duration::from_secs(5),
        }
    }
}

/// Sends mail through one SMTP server.
#[derive(Debug)]
pub struct SmtpTransport {
    link: Arc<Link>,
    tasks: TaskTracker,
}

/// How to reach the server.
#[derive(Debug)]
struct Link {
    server: Server,
    /// Where tokens come from, if the server wants them.
    tokens: Option<Arc<Tokens>>,
    hello_name: ClientId,
    timeouts: Timeouts,
}

impl SmtpTransport {
    /// A transport to `server`, to which we call ourselves `hello_name` (a host name; RFC 5321 section 4.1.1.1).
    pub fn new(server: Server, hello_name: &str) -> Self {
        let sound = !hello_name.is_empty()
            && hello_name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
        let hello_name = if sound {
            ClientId::Domain(hello_name.to_owned())
        } else {
            ClientId::default()
        };
        let tokens = server.login.as_ref().and_then(|login| match &login.proof {
            Proof::OAuth(oauth) => Some(Arc::new(Tokens::new(Arc::clone(oauth)))),
            Proof::Password(_) => None,
        });
        let link = Link {
            server,
            tokens,
            hello_name,
            timeouts: Timeouts::default(),
        };
        Self {
            link: Arc::new(link),
            tasks: TaskTracker::new(),
        }
    }

    /// The same transport with other time limits.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        let link = Link {
            server: self.link.server.clone(),
            tokens: self.link.tokens.clone(),
            hello_name: self.link.hello_name.clone(),
            timeouts,
        };
        Self {
            link: Arc::new(link),
            tasks: self.tasks,
        }
    }

    /// Waits until every mail that has been begun has come to its end, also those whose caller has gone.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

#[async_trait::async_trait]
impl MailTransport for SmtpTransport {
    async fn send(&self, envelope: &Envelope, bytes: &[u8]) -> Delivery {
        let recipients = envelope.to.len();
        let cancelled = CancellationToken::new();
        let task = self.tasks.spawn(attempt(
            Arc::clone(&self.link),
            envelope.clone(),
            bytes.to_vec(),
            cancelled.clone(),
        ));
        // Dropped with this future: the task then stops, unless the body has begun.
        let _guard = cancelled.drop_guard();
        task.await.unwrap_or_else(|_| Delivery {
            recipients: vec![RecipientOutcome::Unknown; recipients],
            replaced_message_id: None,
            note: "sending ended by an error of the program; the mail may have been delivered"
                .to_owned(),
        })
    }

    async fn check(&self) -> Result<String, String> {
        let server = &self.link.server;
        let mut connection = self.link.open().await.map_err(|trouble| trouble.note)?;
        let tls = match server.tls {
            Tls::Implicit => "TLS",
            Tls::Starttls => "STARTTLS",
            Tls::None => "not encrypted",
        };
        let login = if server.login.is_some() {
            "logged in"
        } else {
            "no log-in"
        };
        self.link.quit(&mut connection).await;
        Ok(format!(
            "SMTP server {}:{} answers ({tls}, {login})",
            server.host, server.port
        ))
    }
}

/// Why a step did not succeed.
#[derive(Debug)]
enum Failure {
    /// The server said no, 4xx or 5xx.
    Refused(Reply),
    /// The connection broke.
    Lost(String),
    /// The time limit passed.
    TimedOut,
    /// An answer that means nothing here.
    Nonsense,
}

impl Failure {
    fn reply(&self) -> Reply {
        match self {
            Self::Refused(reply) => *reply,
            Self::Lost(_) | Self::TimedOut | Self::Nonsense => Reply::default(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Refused(reply) => format!("the server answered {}", show(*reply)),
            Self::Lost(_) => "the connection was lost".to_owned(),
            Self::TimedOut => "the server did not answer in time".to_owned(),
            Self::Nonsense => "the server answered something else than SMTP".to_owned(),
        }
    }
}

/// A failure before any mail was spoken of: nothing is wrong with the mail.
#[derive(Debug)]
struct Trouble {
    reply: Reply,
    note: String,
}

/// Runs one step under its time limit and sorts what can go wrong.
async fn step<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, future).await {
        Err(_) => Err(Failure::TimedOut),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(sort(&error)),
    }
}

fn sort(error: &lettre::transport::smtp::Error) -> Failure {
    let source = std::error::Error::source(error);
    if let Some(code) = error.status() {
        let text = source.map(ToString::to_string).unwrap_or_default();
        return Failure::Refused(Reply {
            code: code.into(),
            enhanced: enhanced(&text),
        });
    }
    // lettre reports a connection that ends in the middle of a reply as a reply that is incomplete.
    if error.is_response() {
        let ended = source.is_some_and(|source| source.to_string() == "incomplete response");
        return if ended {
            Failure::Lost(String::new())
        } else {
            Failure::Nonsense
        };
    }
    if error.is_client() {
        return Failure::Nonsense;
    }
    Failure::Lost(certificate_problem(error).unwrap_or_default())
}

/// What the TLS library has against the server's certificate, if that is the cause.
fn certificate_problem(error: &lettre::transport::smtp::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let inner = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let found = current
            .downcast_ref::<rustls::Error>()
            .or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(tls) = found {
            return Some(match tls {
                rustls::Error::InvalidCertificate(reason) => {
                    format!("its certificate is not trusted: {}", fault(reason))
                }
                _ => "TLS could not be set up".to_owned(),
            });
        }
        cause = current.source();
    }
    None
}

/// What is wrong with a certificate, and what helps.
fn fault(reason: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Fault;
    let right = "set ca_file or pin_sha256 if it is the right server";
    match reason {
        Fault::Expired | Fault::ExpiredContext { .. } => {
            "it has expired; have it renewed".to_owned()
        }
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => {
            "it is not valid yet; look at the clock of this machine".to_owned()
        }
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            "it is for another host name; correct host, or set pin_sha256".to_owned()
        }
        Fault::UnknownIssuer => format!("its issuer is not known; {right}"),
        other => format!("{other}; {right}"),
    }
}

/// Enhanced status code (RFC 3463) at the beginning of a reply's text; zeros without one.
fn enhanced(text: &str) -> (u8, u16, u16) {
    let parse = || {
        let mut numbers = text.split_whitespace().next()?.split('.');
        let class: u8 = numbers.next()?.parse().ok()?;
        let subject: u16 = numbers.next()?.parse().ok()?;
        let detail: u16 = numbers.next()?.parse().ok()?;
        (matches!(class, 2 | 4 | 5) && numbers.next().is_none()).then_some((class, subject, detail))
    };
    parse().unwrap_or_default()
}

fn reply(response: &Response) -> Reply {
    Reply {
        code: response.code().into(),
        enhanced: enhanced(response.message().next().unwrap_or_default()),
    }
}

fn show(reply: Reply) -> String {
    match reply.enhanced {
        (0, 0, 0) => reply.code.to_string(),
        (class, subject, detail) => format!("{} {class}.{subject}.{detail}", reply.code),
    }
}

impl Link {
    fn place(&self) -> String {
        format!("SMTP server {}:{}", self.server.host, self.server.port)
    }

    fn trouble(&self, what: &str, failure: &Failure, advice: &str) -> Trouble {
        let mut note = format!("{}: {what}: {}", self.place(), failure.describe());
        if let Failure::Lost(problem) = failure
            && !problem.is_empty()
        {
            note = format!("{}: {what}: {problem}", self.place());
        } else if !advice.is_empty() {
            note.push_str("; ");
            note.push_str(advice);
        }
        Trouble {
            reply: failure.reply(),
            note,
        }
    }

    fn mistake(&self, what: &str) -> Trouble {
        Trouble {
            reply: Reply::default(),
            note: format!("{}: {what}", self.place()),
        }
    }

    /// Connects, encrypts and logs in.
    async fn open(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let Some(login) = &self.server.login else {
            return self.connect().await;
        };
        if let Proof::Password(password) = &login.proof {
            let mut connection = self.connect().await?;
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let wanted = "user name and password (AUTH PLAIN or LOGIN)";
            let proof = (login.user.as_str(), password);
            let exchange = self.log_in(&mut connection, &mechanisms, wanted, proof);
            exchange.await?.map_err(|failure| {
                self.trouble("log-in", &failure, "check user name and password")
            })?;
            return Ok(connection);
        }
        let Some(tokens) = &self.tokens else {
            return Err(self.mistake("no source of tokens is at hand"));
        };
        let refused = match self.open_with_token(&login.user, tokens).await? {
            Ok(connection) => return Ok(connection),
            Err(refused) => refused,
        };
        // The token may have been withdrawn: a new one is tried, once.
        tracing::debug!(reply = ?refused.reply(), "the token was refused; trying a new one");
        self.open_with_token(&login.user, tokens)
            .await?
            .map_err(|failure| Trouble {
                reply: failure.reply(),
                note: format!(
                    "{}: log-in with a token: the server refuses the token; give the application the right to send for this \
                     user, and check user and scope",
                    self.place()
                ),
            })
    }

    /// The inner error: the server refused the token, which is forgotten. The connection is of no more use then.
    async fn open_with_token(
        &self,
        user: &str,
        tokens: &Tokens,
    ) -> Result<Result<AsyncSmtpConnection, Failure>, Trouble> {
        let token = tokens.token().await.map_err(|error| match &error {
            OAuthError::Temporary { .. } => self.mistake(&error.to_string()),
            OAuthError::NeedsPerson { advice, .. } => self.mistake(&format!("{error}; {advice}")),
        })?;
        let mut connection = self.connect().await?;
        let wanted = "a token (AUTH XOAUTH2)";
        let exchange = self.log_in(
            &mut connection,
            &[Mechanism::Xoauth2],
            wanted,
            (user, &token),
        );
        match exchange.await? {
            Ok(()) => Ok(Ok(connection)),
            // A refusal comes as a challenge, which lettre does not expect of this mechanism, or as 535.
            Err(failure @ (Failure::Nonsense | Failure::Refused(Reply { code: 535, .. }))) => {
                tokens.forget(&token);
                Ok(Err(failure))
            }
            Err(failure) => Err(self.trouble("log-in with a token", &failure, "")),
        }
    }

    /// The inner result is that of AUTH.
    async fn log_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        mechanisms: &[Mechanism],
        wanted: &str,
        (user, secret): (&str, &Secret),
    ) -> Result<Result<(), Failure>, Trouble> {
        if connection
            .server_info()
            .get_auth_mechanism(mechanisms)
            .is_none()
        {
            self.quit(connection).await;
            return Err(self.mistake(&format!("the server offers no log-in with {wanted}")));
        }
        let credentials = Credentials::new(user.to_owned(), secret.reveal().to_owned());
        let exchange = step(
            self.timeouts.auth,
            connection.auth(mechanisms, &credentials),
        );
        Ok(exchange.await.map(drop))
    }

    /// Connects and encrypts.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Trouble> {
        match self.server.tls {
            Tls::Implicit => self.open_tls().await,
            Tls::Starttls => self.open_starttls().await,
            Tls::None => self.open_plain().await,
        }
    }

    /// TLS from the first byte.
    async fn open_tls(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let parameters = self.tls_parameters().await?;
        let limits = &self.timeouts;
        let host = (self.server.host.as_str(), self.server.port);
        let opening = AsyncSmtpConnection::connect_tokio1(
            host,
            Some(limits.connect),
            &self.hello_name,
            Some(parameters),
            None,
        );
        let opened = step(limits.connect.saturating_add(limits.greeting), opening).await;
        let connection = opened.map_err(|failure| {
            self.trouble("connecting with TLS", &failure, "check host, port and tls")
        })?;
        self.check_pin(connection)
    }

    async fn open_plain(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let host = (self.server.host.as_str(), self.server.port);
        let tcp = match timeout(self.timeouts.connect, tokio::net::TcpStream::connect(host)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => {
                return Err(self.mistake(&format!("cannot connect: {}", connect_problem(&error))));
            }
            Err(_) => return Err(self.mistake("cannot connect: no answer")),
        };
        // The end of a mail is written apart from its text; held back, it would cost 40 ms a mail. Slow is no failure.
        tcp.set_nodelay(true).ok();
        let opening = AsyncSmtpConnection::connect_with_transport(
            Box::new(stream::LineByLine::new(tcp)),
            &self.hello_name,
        );
        step(self.timeouts.greeting, opening)
            .await
            .map_err(|failure| self.trouble("greeting", &failure, "check host, port and tls"))
    }

    async fn open_starttls(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let parameters = self.tls_parameters().await?;
        let mut connection = self.open_plain().await?;
        if !connection.can_starttls() {
            self.quit(&mut connection).await;
            return Err(self.mistake(
                "the server does not offer STARTTLS; nothing is sent without encryption",
            ));
        }
        let upgraded = step(
            self.timeouts.starttls,
            connection.starttls(parameters, &self.hello_name),
        )
        .await;
        upgraded.map_err(|failure| self.trouble("STARTTLS", &failure, ""))?;
        self.check_pin(connection)
    }

    /// With a pin, the handshake proves that the server holds the key of the certificate that it shows, and
    /// [`Self::check_pin`] that it is the pinned one; chain and name do not matter then.
    async fn tls_parameters(&self) -> Result<TlsParameters, Trouble> {
        let pinned = self.server.pin_sha256.is_some();
        let mut builder = TlsParameters::builder(self.server.host.clone())
            .dangerous_accept_invalid_certs(pinned)
            .dangerous_accept_invalid_hostnames(pinned);
        if let Some(path) = &self.server.ca_file {
            builder = builder.add_root_certificate(self.ca_file(path).await?);
        }
        builder
            .build_rustls()
            .map_err(|_| self.mistake("the certificates in ca_file cannot be used"))
    }

    async fn ca_file(&self, path: &Path) -> Result<Certificate, Trouble> {
        let unusable = |why: &str| self.mistake(&format!("ca_file {}: {why}", path.display()));
        let pem = tokio::fs::read(path)
            .await
            .map_err(|error| unusable(&format!("cannot be read: {}", error.kind())))?;
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(unusable("holds no certificate in PEM form"));
        }
        Certificate::from_pem(&pem).map_err(|_| unusable("holds a damaged certificate"))
    }

    /// Nothing but EHLO has been said to the server before this.
    fn check_pin(&self, connection: AsyncSmtpConnection) -> Result<AsyncSmtpConnection, Trouble> {
        let Some(pin) = &self.server.pin_sha256 else {
            return Ok(connection);
        };
        let certificate = connection
            .peer_certificate()
            .map_err(|_| self.mistake("the server shows no certificate"))?;
        let shown = hex(&Sha256::digest(&certificate));
        let pin: String = pin.chars().filter(char::is_ascii_hexdigit).collect();
        if shown.eq_ignore_ascii_case(&pin) {
            Ok(connection)
        } else {
            Err(self.mistake(&format!(
                "its certificate is not the one in pin_sha256; the server shows {shown}"
            )))
        }
    }

    /// Takes leave; whatever happens to that is of no consequence.
    async fn quit(&self, connection: &mut AsyncSmtpConnection) {
        drop(step(self.timeouts.quit, connection.quit()).await);
    }
}

/// What one attempt knows so far: an outcome for each recipient that has one.
struct Ledger {
    outcomes: Vec<Option<RecipientOutcome>>,
    notes: Vec<String>,
}

impl Ledger {
    fn new(recipients: usize) -> Self {
        Self {
            outcomes: vec![None; recipients],
            notes: Vec::new(),
        }
    }

    fn set(&mut self, recipient: usize, outcome: RecipientOutcome) {
        if let Some(place) = self.outcomes.get_mut(recipient) {
            *place = Some(outcome);
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// All recipients without an outcome get this one.
    fn close(
        mut self,
        outcome: &RecipientOutcome,
        note: String,
        replaced_message_id: Option<String>,
    ) -> Delivery {
        if !note.is_empty() {
            self.note(note);
        }
        let recipients = self
            .outcomes
            .into_iter()
            .map(|known| known.unwrap_or_else(|| outcome.clone()))
            .collect();
        Delivery {
            recipients,
            replaced_message_id,
            note: self.notes.join("; "),
        }
    }
}

/// What a refusal means for a mail.
fn refusal(reply: Reply) -> RecipientOutcome {
    // The server wants a (better) log-in or encryption: a fault of the settings, not of the mail (RFC 4954 section 6).
    let log_in = matches!(reply.code, 530 | 534 | 535 | 538);
    if (500..600).contains(&reply.code) && !log_in {
        RecipientOutcome::Permanent(reply)
    } else {
        RecipientOutcome::Temporary(reply)
    }
}

/// RFC 5321 section 4.5.3.1.10: 552 to RCPT means too many recipients, or a full mailbox; both pass.
fn recipient_refusal(reply: Reply) -> RecipientOutcome {
    if reply.code == 552 {
        RecipientOutcome::Temporary(reply)
    } else {
        refusal(reply)
    }
}

/// One attempt to send one mail, from connecting to QUIT.
async fn attempt(
    link: Arc<Link>,
    envelope: Envelope,
    bytes: Vec<u8>,
    cancelled: CancellationToken,
) -> Delivery {
    let prepared = tokio::select! {
        biased;
        () = cancelled.cancelled() => {
            let note = "stopped before the mail was sent".to_owned();
            return Ledger::new(envelope.to.len()).close(&RecipientOutcome::Temporary(Reply::default()), note, None);
        }
        prepared = prepare(&link, &envelope, &bytes) => prepared,
    };
    match prepared {
        Ok((connection, ledger)) => transfer(&link, connection, ledger, &bytes).await,
        Err(delivery) => delivery,
    }
}

/// An address that this server cannot be told.
const NO_UTF8: &str = "has letters beyond ASCII, which the server does not take (SMTPUTF8)";

/// Everything up to the server's 354; after it the server waits for the body.
async fn prepare(
    link: &Link,
    envelope: &Envelope,
    bytes: &[u8],
) -> Result<(AsyncSmtpConnection, Ledger), Delivery> {
    let mut ledger = Ledger::new(envelope.to.len());
    let temporary = |reply| RecipientOutcome::Temporary(reply);
    if !wire_safe(bytes) {
        let note = "the mail has bare line ends and was not sent".to_owned();
        return Err(ledger.close(&RecipientOutcome::Permanent(Reply::default()), note, None));
    }
    let Ok(from) = envelope
        .from
        .as_deref()
        .map(str::parse::<Address>)
        .transpose()
    else {
        let note = "the return path is not a mail address".to_owned();
        return Err(ledger.close(&RecipientOutcome::Permanent(Reply::default()), note, None));
    };
    failpoint::pass("smtp.connect.before");
    let mut connection = match link.open().await {
        Ok(connection) => connection,
        Err(trouble) => return Err(ledger.close(&temporary(trouble.reply), trouble.note, None)),
    };
    failpoint::pass("smtp.connect.after");
    let info = connection.server_info();
    if !bytes.is_ascii() && !info.supports_feature(Extension::EightBitMime) {
        let note = "the mail has 8-bit text, which the server does not take (8BITMIME)".to_owned();
        link.quit(&mut connection).await;
        return Err(ledger.close(&RecipientOutcome::Permanent(Reply::default()), note, None));
    }
    let utf8 = info.supports_feature(Extension::SmtpUtfEight);
    let is_ascii = |address: &Option<String>| address.as_ref().is_none_or(|a| a.is_ascii());
    if !utf8 && !is_ascii(&envelope.from) {
        let note = format!("the return path {NO_UTF8}");
        link.quit(&mut connection).await;
        return Err(ledger.close(&RecipientOutcome::Permanent(Reply::default()), note, None));
    }
    let mail = Mail::new(from, mail_parameters(&connection, envelope, bytes));
    if let Err(failure) = step(link.timeouts.mail, connection.command(mail)).await {
        let note = format!("MAIL: {}", failure.describe());
        if let Failure::Refused(reply) = failure {
            link.quit(&mut connection).await;
            return Err(ledger.close(&refusal(reply), note, None));
        }
        return Err(ledger.close(&temporary(Reply::default()), note, None));
    }
    for (at, recipient) in envelope.to.iter().enumerate() {
        let Ok(address) = recipient.parse::<Address>() else {
            ledger.set(at, RecipientOutcome::Permanent(Reply::default()));
            ledger.note("a recipient is not a mail address".to_owned());
            continue;
        };
        if !utf8 && !recipient.is_ascii() {
            ledger.set(at, RecipientOutcome::Permanent(Reply::default()));
            ledger.note(format!("a recipient {NO_UTF8}"));
            continue;
        }
        match step(
            link.timeouts.rcpt,
            connection.command(Rcpt::new(address, Vec::new())),
        )
        .await
        {
            Ok(_) => {}
            // 421: the server closes the connection; no recipient is accepted then.
            Err(Failure::Refused(reply)) if reply.code != 421 => {
                ledger.set(at, recipient_refusal(reply));
                ledger.note(format!("RCPT: the server answered {}", show(reply)));
            }
            Err(failure) => {
                let note = format!("RCPT: {}", failure.describe());
                return Err(ledger.close(&temporary(failure.reply()), note, None));
            }
        }
    }
    if ledger.outcomes.iter().all(Option::is_some) {
        link.quit(&mut connection).await;
        return Err(ledger.close(&temporary(Reply::default()), String::new(), None));
    }
    failpoint::pass("smtp.data.before");
    match step(link.timeouts.data, connection.command(Data)).await {
        Ok(response) if response.has_code(354) => Ok((connection, ledger)),
        Ok(_) => Err(ledger.close(
            &temporary(Reply::default()),
            format!("DATA: {}", Failure::Nonsense.describe()),
            None,
        )),
        Err(failure) => {
            let note = format!("DATA: {}", failure.describe());
            if let Failure::Refused(reply) = failure {
                link.quit(&mut connection).await;
                return Err(ledger.close(&refusal(reply), note, None));
            }
            Err(ledger.close(&temporary(Reply::default()), note, None))
        }
    }
}

/// Sends the body and waits for the final reply. Not to be cancelled.
async fn transfer(
    link: &Link,
    mut connection: AsyncSmtpConnection,
    ledger: Ledger,
    bytes: &[u8],
) -> Delivery {
    let (progress, mut seen) = watch::channel(Progress::default());
    // The final dot brings its own line end (RFC 5321 section 4.1.1.4).
    let body = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    let blocks = Blocks {
        blocks: body.chunks(BLOCK_BYTES),
        progress: &progress,
    };
    let result = {
        let mut sending = Box::pin(connection.message_iter(blocks));
        loop {
            let complete = seen.borrow_and_update().complete;
            let limit = if complete {
                failpoint::pass("smtp.data.sent");
                link.timeouts.final_reply
            } else {
                link.timeouts.block
            };
            tokio::select! {
                biased;
                result = &mut sending => break result.map_err(|error| sort(&error)),
                // One more block is written: the next step has its own time.
                Ok(()) = seen.changed() => {}
                () = tokio::time::sleep(limit) => break Err(Failure::TimedOut),
            }
        }
    };
    failpoint::pass("smtp.reply.read");
    let complete = progress.borrow().complete;
    match result {
        Ok(response) if (200..300).contains(&u16::from(response.code())) => {
            let text: Vec<&str> = response.message().collect();
            let replaced = replaced_message_id(&text.join(" "), bytes);
            let outcome = RecipientOutcome::Accepted(reply(&response));
            link.quit(&mut connection).await;
            ledger.close(&outcome, String::new(), replaced)
        }
        Err(Failure::Refused(reply)) => {
            link.quit(&mut connection).await;
            ledger.close(
                &refusal(reply),
                format!("the mail: the server answered {}", show(reply)),
                None,
            )
        }
        Err(failure) if !complete => {
            let note = format!("the mail was not sent to its end: {}", failure.describe());
            ledger.close(&RecipientOutcome::Temporary(Reply::default()), note, None)
        }
        other => {
            let failure = other.err().unwrap_or(Failure::Nonsense);
            let note = format!(
                "the final reply is missing ({}); the mail may have been delivered",
                failure.describe()
            );
            ledger.close(&RecipientOutcome::Unknown, note, None)
        }
    }
}

/// How far the body has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Blocks that lettre has asked for.
    blocks: usize,
    /// All blocks are written; what follows is the final dot.
    complete: bool,
}

/// The body in blocks. lettre asks for the next block when the one before is written, and writes the final dot when there
/// is no more.
struct Blocks<'a> {
    blocks: std::slice::Chunks<'a, u8>,
    progress: &'a watch::Sender<Progress>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let block = self.blocks.next();
        self.progress.send_modify(|progress| {
            progress.blocks = progress.blocks.saturating_add(1);
            progress.complete = block.is_none();
        });
        block
    }
}

fn mail_parameters(
    connection: &AsyncSmtpConnection,
    envelope: &Envelope,
    bytes: &[u8],
) -> Vec<MailParameter> {
    let mut parameters = Vec::new();
    let info = connection.server_info();
    if !bytes.is_ascii() && info.supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let ascii = envelope
        .from
        .iter()
        .chain(&envelope.to)
        .all(|address| address.is_ascii());
    if !ascii && info.supports_feature(Extension::SmtpUtfEight) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    parameters
}

/// Whether every line end is CRLF. Servers differ in what they make of others, and some see an end of the mail in them.
fn wire_safe(bytes: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in bytes {
        if (byte == b'\n') != (previous == b'\r') {
            return false;
        }
        previous = byte;
    }
    previous != b'\r'
}

/// Exchange replaces Message-IDs and says so: `250 2.6.0 <ID> [InternalId=…, Hostname=…] … Queued mail for delivery`.
fn replaced_message_id(reply: &str, mail: &[u8]) -> Option<String> {
    if !reply.contains("[InternalId=") {
        return None;
    }
    let (_, rest) = reply.split_once('<')?;
    let (id, _) = rest.split_once('>')?;
    let sound =
        id.contains('@') && id.len() <= 250 && id.bytes().all(|byte| byte.is_ascii_graphic());
    (sound && own_message_id(mail).as_deref() != Some(id)).then(|| id.to_owned())
}

/// The Message-ID that stands in the mail.
fn own_message_id(mail: &[u8]) -> Option<String> {
    let head = mail
        .split(|&byte| byte == b'\n')
        .map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
    let mut lines = head
        .take_while(|line| !line.is_empty())
        .skip_while(|line| !line.to_ascii_lowercase().starts_with("message-id:"));
    let first = lines.next()?;
    let folded: String = lines
        .take_while(|line| line.starts_with([' ', '\t']))
        .collect();
    let value = format!("{first}{folded}");
    let (_, rest) = value.split_once('<')?;
    rest.split_once('>').map(|(id, _)| id.to_owned())
}

/// Why there is no connection. A name that the resolver does not know has no kind of its own («uncategorized error»).
fn connect_problem(error: &std::io::Error) -> String {
    if error.raw_os_error().is_none() && error.kind().to_string() == "uncategorized error" {
        "its name or address cannot be found".to_owned()
    } else {
        error.kind().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes() {
        assert_eq!(enhanced("5.1.1 no such user"), (5, 1, 1));
        assert_eq!(
            enhanced("4.7.650 The mail server has been temporarily rate limited"),
            (4, 7, 650)
        );
        for text in [
            "",
            "no such user",
            "5.1",
            "5.1.1.1 x",
            "10.0.0.1 is blocked",
            "9.1.1",
        ] {
            assert_eq!(enhanced(text), (0, 0, 0), "{text}");
        }
    }

    #[test]
    fn what_a_refusal_means() {
        let reply = |code| Reply {
            code,
            enhanced: (0, 0, 0),
        };
        assert_eq!(refusal(reply(550)), RecipientOutcome::Permanent(reply(550)));
        for code in [421, 451, 452, 530, 535] {
            assert_eq!(
                refusal(reply(code)),
                RecipientOutcome::Temporary(reply(code)),
                "{code}"
            );
        }
        assert_eq!(
            refusal(reply(552)),
            RecipientOutcome::Permanent(reply(552)),
            "the mail is too large"
        );
        assert_eq!(
            recipient_refusal(reply(552)),
            RecipientOutcome::Temporary(reply(552))
        );
    }

    #[test]
    fn line_ends() {
        for good in ["", "a\r\nb\r\n", "a", "\r\n\r\n"] {
            assert!(wire_safe(good.as_bytes()), "{good:?}");
        }
        for bad in ["a\nb", "a\rb", "a\r", "\n", "a\r\r\n", "a\n.\r\n"] {
            assert!(!wire_safe(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn exchange_says_the_new_id() {
        let mail = b"Subject: x\r\nMessage-Id:\r\n <ours@linjevei.example>\r\n\r\nMessage-ID: <not@this>\r\n";
        let reply = |id: &str| {
            format!(
                "2.6.0 <{id}> [InternalId=123, Hostname=X.example] 1 bytes in 0.1, 1 KB/sec Queued mail for delivery"
            )
        };
        assert_eq!(
            replaced_message_id(&reply("new@exch.example"), mail),
            Some("new@exch.example".into())
        );
        assert_eq!(
            replaced_message_id(&reply("ours@linjevei.example"), mail),
            None,
            "kept ours"
        );
        assert_eq!(
            replaced_message_id("2.0.0 <x@y.example> queued", mail),
            None,
            "not Exchange"
        );
        assert_eq!(replaced_message_id(&reply("a b@exch.example"), mail), None);
    }
}
