//! `linjevei.toml` and the environment → one checked [`Config`].
//!
//! [`Config::parse`] is pure: text, folder and [`Surroundings`] in, settings or all faults at once out. [`Config::load`]
//! reads the file first. Passwords stand in files, variables or systemd credentials, never in the settings.

mod check;
mod database;
mod file;
mod oauth;
mod server;
mod surroundings;
mod svarinn;
mod upkeep;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Fault, Faults, Sources};

pub use surroundings::{Guard, SecretProblem, Surroundings, System};

/// Variable that names the settings file when the command line does not.
pub const CONFIG_ENV: &str = "LINJEVEI_CONFIG";

/// The settings file when neither command line nor variable names one.
pub const CONFIG_DEFAULT: &str = "linjevei.toml";

/// A password or token: never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The secret itself, for handing to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Observe: store and classify, take no number, send and touch nothing. Live: do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The harmless first start.
    #[default]
    Observe,
    /// The real thing.
    Live,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// TLS from the first byte (RFC 8314).
    #[default]
    Implicit,
    /// STARTTLS, required.
    Starttls,
    /// No encryption; accepted only for loopback addresses.
    None,
}

/// A server, how to reach it and whom to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Encryption.
    pub tls: Tls,
    /// PEM file with further trusted certificates.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server certificate (DER) in lower-case hex, for self-signed servers; replaces the chain check.
    pub pin_sha256: Option<String>,
    /// Who logs in; `None` means no log-in (only for SMTP).
    pub login: Option<Login>,
}

/// A user and what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password, or where tokens come from.
    pub proof: Proof,
}

impl Login {
    /// A log-in with a password.
    pub const fn password(user: String, password: Secret) -> Self {
        Self {
            user,
            proof: Proof::Password(password),
        }
    }
}

/// What proves to a server that we are who we say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A password (PLAIN, LOGIN).
    Password(Secret),
    /// A token that is fetched (XOAUTH2).
    OAuth(Arc<OAuthConfig>),
}

/// Where tokens come from: the client credentials of OAuth 2 (RFC 6749 section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthConfig {
    /// Its name in the settings.
    pub name: String,
    /// The token endpoint: `https`, or `http` on this machine.
    pub token_url: String,
    /// Who we are there.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// What the token is for; empty for none.
    pub scope: String,
    /// PEM file with further trusted certificates.
    pub ca_file: Option<PathBuf>,
}

/// Where messages, cases and mail are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseConfig {
    /// A `SQLite` file.
    Sqlite(PathBuf),
    /// A `PostgreSQL` database, which several workers may share.
    Postgres {
        /// Its address, without a password.
        url: String,
        /// The password; `None` where the server needs none, or the surroundings have it (`PGPASSWORD`, `~/.pgpass`).
        password: Option<Secret>,
    },
}

impl DatabaseConfig {
    /// What somebody names on a command line: an address, or a file.
    pub fn named(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return Self::Sqlite(PathBuf::from(path));
        }
        if database::is_address(text) {
            return Self::Postgres {
                url: text.to_owned(),
                password: None,
            };
        }
        Self::Sqlite(PathBuf::from(text))
    }
}

/// Where and when somebody is told how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// A port of this machine.
    pub listen: SocketAddr,
    /// Longest time since the last completed check of a source that is checked more often than that.
    pub max_check_age: Duration,
    /// Longest time that a mail may wait to be sent.
    pub max_unsent_age: Duration,
}

/// How long content is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Mail that was left alone: days after that was decided.
    pub left_alone_keep_days: u32,
    /// Cases that are done: days after the last thing that happened in them; `None`: they are kept.
    pub closed_cases_keep_days: Option<u32>,
}

/// What happens at the source to messages that are ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ours {
    /// Nothing.
    #[default]
    Leave,
    /// Set this IMAP keyword.
    Flag(String),
    /// Move to this folder.
    Move(String),
}

/// A watched mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceConfig {
    /// A folder on an IMAP server.
    Imap {
        /// Unique name.
        name: String,
        /// The server.
        server: Server,
        /// Folder, in plain UTF-8.
        folder: String,
        /// What happens to ours.
        ours: Ours,
        /// Use IDLE (RFC 2177) where the server offers it.
        idle: bool,
        /// Time between two checks without IDLE, and the longest with it.
        poll: Duration,
        /// A server that is silent for so long while it is asked something is given up.
        timeout: Duration,
    },
    /// A Maildir that a mail server delivers to.
    Maildir {
        /// Unique name.
        name: String,
        /// Folder that holds `new` and `cur`.
        path: PathBuf,
        /// Time between two checks.
        poll: Duration,
    },
    /// The forsendelser of an organisation in KS SvarInn.
    SvarInn(Box<SvarInnConfig>),
}

/// Where and as whom forsendelser are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvarInnConfig {
    /// Unique name.
    pub name: String,
    /// Address of MottakService, without a slash at its end: `https`, or `http` on this machine.
    pub url: String,
    /// User.
    pub user: String,
    /// Its service password.
    pub password: Secret,
    /// Organisation number of the receiver, nine digits.
    pub organisation: String,
    /// PEM file with the private key, PKCS#8 or PKCS#1.
    pub private_key: PathBuf,
    /// The certificate that is registered at KS.
    pub certificate: PathBuf,
    /// Address under which the rules know the portal that forsendelser come from.
    pub sender: String,
    /// Servers besides that of `url` from which forsendelser may be downloaded.
    pub download_hosts: Vec<String>,
    /// PEM file with further trusted certificates.
    pub ca_file: Option<PathBuf>,
    /// Largest download.
    pub max_bytes: usize,
    /// Time between two looks.
    pub poll: Duration,
}

impl SourceConfig {
    /// Longest time between two checks.
    pub const fn poll(&self) -> Duration {
        match self {
            Self::Imap { poll, .. } | Self::Maildir { poll, .. } => *poll,
            Self::SvarInn(config) => config.poll,
        }
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Imap { name, .. } | Self::Maildir { name, .. } => name,
            Self::SvarInn(config) => &config.name,
        }
    }
}

/// How mail goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendConfig {
    /// To an SMTP server.
    Smtp(Server),
    /// Into a Maildir, for trying out.
    Maildir(PathBuf),
}

/// The digest to the samhandlingsavdeling, and the weekly status to parties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The digest is sent.
    pub send: bool,
    /// Where it goes; `None` means to the party `samhandling` of the rules.
    pub to: Option<String>,
    /// Hour of the day, Europe/Oslo, from which a day's mails go out.
    pub hour: i8,
    /// Day of the week from which the weekly parts are due.
    pub weekday: jiff::civil::Weekday,
    /// Parties get a weekly status.
    pub party_status: bool,
}

/// Who we are in mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// From address of our mail.
    pub address: String,
    /// From display name.
    pub name: String,
    /// Where bounces of mail to parties go: `local+token@domain` is derived from it.
    pub bounce_address: String,
    /// Right-hand side of our Message-IDs.
    pub message_id_domain: String,
}

/// All settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Observe or live.
    pub mode: Mode,
    /// Data folder: database, keys, lock.
    pub data: PathBuf,
    /// The database.
    pub database: DatabaseConfig,
    /// Folder with the rule files of the helsefellesskap.
    pub rules: PathBuf,
    /// Folder with the templates.
    pub templates: PathBuf,
    /// Who we are.
    pub identity: Identity,
    /// The watched mailboxes.
    pub sources: Vec<SourceConfig>,
    /// How mail goes out.
    pub send: SendConfig,
    /// Server whose `Authentication-Results` count; `None` when none is trusted.
    pub authserv_id: Option<String>,
    /// Messages older than this at intake are never acknowledged or reminded.
    pub acknowledge_max_age: Duration,
    /// Days closed besides the public holidays, `MM-DD` or `YYYY-MM-DD`.
    pub closed_days: Vec<String>,
    /// Hour of the day, Europe/Oslo, at which reminders go out.
    pub reminder_hour: i8,
    /// An answered case is closed after so many days of silence.
    pub close_after_days: u32,
    /// Reports with serious harm wait for approval.
    pub serious_needs_approval: bool,
    /// Told at once of a report of serious harm, by its number alone.
    pub duty_address: Option<String>,
    /// The digest and the weekly status.
    pub digest: Digest,
    /// Acknowledgements an address may get within an hour; more are held.
    pub acknowledgements_per_hour: u32,
    /// Bytes of a message that are parsed.
    pub parse_max_bytes: usize,
    /// Grace period at SIGTERM.
    pub grace: Duration,
    /// How long content is kept.
    pub retention: RetentionConfig,
    /// Where health is told; `None`: nowhere.
    pub health: Option<HealthConfig>,
}

impl Config {
    /// Reads the settings file and what it refers to.
    ///
    /// # Errors
    /// [`ConfigError`], with every fault that was found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let text = String::from_utf8(text).map_err(|error| {
            let line = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..line).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            let fault = Fault::whole(
                file.as_str(),
                format!("linje {line} har tegn som ikke er UTF-8"),
                "lagre filen som UTF-8",
            );
            ConfigError::Faults(Faults::new(vec![fault], Sources::new()))
        })?;
        let folder = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        Ok(Self::parse(&file, &text, folder, &System)?)
    }

    /// Checks the text of a settings file. `file` is its name in faults, `folder` the one that relative paths start from.
    ///
    /// # Errors
    /// Every fault that was found, with passwords that stand in the text made unreadable.
    pub fn parse(
        file: &str,
        text: &str,
        folder: &Path,
        surroundings: &dyn Surroundings,
    ) -> Result<Self, Faults> {
        check::config(file, text, folder, surroundings)
    }
}

/// The settings cannot be used. Nothing has been touched; the exit code is 78 (`EX_CONFIG`).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file, or it may not be read.
    #[error("kan ikke lese innstillingene i «{}»", path.display())]
    Unreadable {
        /// The settings file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
}
