//! The settings file as written → [`Config`], with every fault that can be found in one reading.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::file::{self, Encryption, File, Given};
use super::surroundings::{Guard, SecretProblem, Surroundings};
use super::{Config, Identity, Mode, Ours, Secret, SendConfig, Server, SourceConfig, Tls};
use crate::calendar::{Calendar, CalendarError};
use crate::diagnostic::{Fault, Faults, Partial, Sources, parse_toml_partial};

/// Messages older than this are not acknowledged unless the settings say otherwise: after a fortnight nobody waits for a
/// receipt, and an old archive that is taken in must not answer.
const ACKNOWLEDGE_MAX_AGE_DAYS: u64 = 14;
const ACKNOWLEDGEMENTS_PER_HOUR: u64 = 20;
const CLOSE_AFTER_DAYS: u64 = 30;
/// Above the largest mail that servers usually take (50 MB with its encoding).
const PARSE_MAX_BYTES: u64 = 50_000_000;
/// Below the 30 seconds that container platforms give.
const GRACE_SECS: u64 = 25;
const IMAP_POLL_SECS: u64 = 60;
const MAILDIR_POLL_SECS: u64 = 10;
const REMINDER_HOUR: i64 = 8;
const SECONDS_A_DAY: u64 = 86_400;

pub(super) fn config(
    file: &str,
    text: &str,
    folder: &Path,
    surroundings: &dyn Surroundings,
) -> Result<Config, Faults> {
    let partial = parse_toml_partial::<File>(file, text);
    let mut check = Check {
        file,
        folder,
        surroundings,
        faults: partial.faults.clone(),
        hidden: Vec::new(),
        form: &partial,
    };
    let config = partial
        .value
        .as_ref()
        .and_then(|written| check.all(written));
    match config {
        Some(config) if check.faults.is_empty() => Ok(config),
        _ => {
            let shown = without_passwords(text, &check.hidden);
            let sources = Sources::from([(file.to_owned(), shown)]);
            Err(Faults::new(check.faults, sources))
        }
    }
}

/// The text with `hidden` and all that stands behind `password =` made unreadable, every byte in its place: faults are drawn
/// from it. The second part is for files that could not be parsed.
fn without_passwords(text: &str, hidden: &[Range<usize>]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut line_start = 0_usize;
    for line in text.split_inclusive('\n') {
        let value = password_value(line).unwrap_or(line.len());
        for (at, c) in line.char_indices() {
            let place = line_start.saturating_add(at);
            let secret = at >= value || hidden.iter().any(|range| range.contains(&place));
            if secret && !c.is_whitespace() {
                shown.extend(std::iter::repeat_n('*', c.len_utf8()));
            } else {
                shown.push(c);
            }
        }
        line_start = line_start.saturating_add(line.len());
    }
    shown
}

/// Where the value of the key `password` begins in a line.
fn password_value(line: &str) -> Option<usize> {
    line.match_indices("password").find_map(|(at, word)| {
        let rest = line.get(at.checked_add(word.len())?..)?;
        let rest = rest.trim_start_matches([' ', '\t', '"', '\'']);
        line.len().checked_sub(rest.strip_prefix('=')?.len())
    })
}

/// The parts of a server that IMAP and SMTP have in common.
struct ServerKeys<'a> {
    section: Range<usize>,
    host: &'a Given<String>,
    port: &'a Given<u16>,
    tls: &'a Given<Encryption>,
    ca_file: &'a Given<String>,
    pin_sha256: &'a Given<String>,
    user: &'a Given<String>,
    password: &'a Given<toml::Value>,
    password_file: &'a Given<String>,
    password_env: &'a Given<String>,
    password_credential: &'a Given<String>,
}

/// IMAP or SMTP: default ports in the order implicit TLS, STARTTLS, none; whether a log-in is needed.
struct Protocol {
    ports: [u16; 3],
    login: Login,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Login {
    Needed,
    Optional,
}

const IMAP: Protocol = Protocol {
    ports: [993, 143, 143],
    login: Login::Needed,
};

const SMTP: Protocol = Protocol {
    ports: [465, 587, 25],
    login: Login::Optional,
};

/// A fault was found and noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noted;

struct Check<'a> {
    file: &'a str,
    folder: &'a Path,
    surroundings: &'a dyn Surroundings,
    faults: Vec<Fault>,
    /// Places of passwords.
    hidden: Vec<Range<usize>>,
    form: &'a Partial<File>,
}

impl Check<'_> {
    fn all(&mut self, written: &File) -> Option<Config> {
        let root = self.form.root.clone();
        let data = self.needed_path(
            written.data.as_ref(),
            &root,
            "data",
            "data = \"/var/lib/linjevei\"",
        );
        let rules = self.folder_or(written.rules.as_ref(), "rules/ostfold", "rules");
        let templates = self.folder_or(written.templates.as_ref(), "templates", "templates");
        let identity = self.identity(written);
        let sources = self.sources(written);
        let send = self.send(written, &sources);
        let authserv_id = written
            .trust
            .as_ref()
            .and_then(|trust| trust.authserv_id.as_ref())
            .and_then(|id| self.domain(id));
        let (closed_days, reminder_hour) = self.calendar(written.calendar.as_ref());
        let limits = written.limits.as_ref();
        let limit = |pick: fn(&file::Limits) -> &Given<u64>| limits.and_then(|l| pick(l).as_ref());
        let days = self.number(
            limit(|limits| &limits.acknowledge_max_age_days),
            ACKNOWLEDGE_MAX_AGE_DAYS,
            1..=365,
        );
        let per_hour = self.number(
            limit(|limits| &limits.acknowledgements_per_hour),
            ACKNOWLEDGEMENTS_PER_HOUR,
            1..=10_000,
        );
        let close = self.number(
            limit(|limits| &limits.close_after_days),
            CLOSE_AFTER_DAYS,
            1..=3650,
        );
        let parse_max = self.number(
            limit(|limits| &limits.parse_max_bytes),
            PARSE_MAX_BYTES,
            65_536..=1_000_000_000,
        );
        let grace = self.number(limit(|limits| &limits.grace_secs), GRACE_SECS, 1..=600);
        Some(Config {
            mode: match written.mode {
                Some(file::Mode::Live) => Mode::Live,
                Some(file::Mode::Observe) | None => Mode::Observe,
            },
            data: data?,
            rules,
            templates,
            identity: identity?,
            sources,
            send: send?,
            authserv_id,
            acknowledge_max_age: Duration::from_secs(days.saturating_mul(SECONDS_A_DAY)),
            closed_days,
            reminder_hour,
            close_after_days: u32::try_from(close).ok()?,
            serious_needs_approval: written.serious_needs_approval.unwrap_or(true),
            acknowledgements_per_hour: u32::try_from(per_hour).ok()?,
            parse_max_bytes: usize::try_from(parse_max).ok()?,
            grace: Duration::from_secs(grace),
        })
    }

    fn identity(&mut self, written: &File) -> Option<Identity> {
        let Some(section) = &written.identity else {
            self.missing_section(
                "identity",
                "seksjonen [identity] mangler",
                "legg til [identity] med address = \"samhandlingsavvik@…\" og name = \"…\"",
            );
            return None;
        };
        let (place, keys) = (section.span(), section.get_ref());
        let address = self
            .needed(
                keys.address.as_ref(),
                &place,
                "address",
                "address = \"samhandlingsavvik@…\"",
            )
            .and_then(|address| self.address(address));
        let name = self
            .needed(
                keys.name.as_ref(),
                &place,
                "name",
                "name = \"Samhandlingsavdelingen\"",
            )
            .and_then(|name| self.line(name));
        let bounce_address = match &keys.bounce_address {
            Some(given) => self.address(given),
            None => address.clone(),
        };
        let message_id_domain = match &keys.message_id_domain {
            Some(given) => self.domain(given),
            None => address
                .as_deref()
                .and_then(|address| address.rsplit_once('@'))
                .map(|(_, domain)| domain.to_owned()),
        };
        Some(Identity {
            address: address?,
            name: name?,
            bounce_address: bounce_address?,
            message_id_domain: message_id_domain?,
        })
    }

    fn sources(&mut self, written: &File) -> Vec<SourceConfig> {
        let mut names = BTreeSet::new();
        let mut places = BTreeSet::new();
        let mut sources = Vec::new();
        for section in &written.imap {
            let source = self.imap(section);
            if let Some(name) = &section.get_ref().name {
                self.once(name, &mut names);
            }
            if let Some(SourceConfig::Imap { server, folder, .. }) = &source {
                let user = server.login.as_ref().map(|(user, _)| user.to_lowercase());
                let place = format!("{} {user:?} {folder}", server.host.to_lowercase());
                self.watched_once(&section.span(), place, &mut places);
            }
            sources.extend(source);
        }
        for section in &written.maildir {
            let source = self.maildir(section);
            if let Some(name) = &section.get_ref().name {
                self.once(name, &mut names);
            }
            if let Some(SourceConfig::Maildir { path, .. }) = &source {
                self.watched_once(&section.span(), path.display().to_string(), &mut places);
            }
            sources.extend(source);
        }
        sources
    }

    fn imap(&mut self, section: &Spanned<file::Imap>) -> Option<SourceConfig> {
        let (place, keys) = (section.span(), section.get_ref());
        let name = self.source_name(keys.name.as_ref(), &place);
        let server = self.server(
            &ServerKeys {
                section: place,
                host: &keys.host,
                port: &keys.port,
                tls: &keys.tls,
                ca_file: &keys.ca_file,
                pin_sha256: &keys.pin_sha256,
                user: &keys.user,
                password: &keys.password,
                password_file: &keys.password_file,
                password_env: &keys.password_env,
                password_credential: &keys.password_credential,
            },
            &IMAP,
        );
        let folder = match &keys.folder {
            Some(folder) => self.line(folder),
            None => Some("INBOX".to_owned()),
        };
        let ours = match (&keys.flag, &keys.move_to) {
            (Some(_), Some(second)) => {
                self.at(
                    second,
                    "flag og move_to kan ikke stå sammen",
                    "behold flag for å merke, eller move_to for å flytte",
                );
                None
            }
            (Some(flag), None) => self.keyword(flag).map(Ours::Flag),
            (None, Some(target)) => {
                let moved = self.line(target);
                if moved.is_some() && moved == folder {
                    self.at(
                        target,
                        "meldingene ligger alt i denne mappen",
                        "velg en annen mappe",
                    );
                }
                moved.map(Ours::Move)
            }
            (None, None) => Some(Ours::Leave),
        };
        let poll = self.number(keys.poll_secs.as_ref(), IMAP_POLL_SECS, 1..=SECONDS_A_DAY);
        Some(SourceConfig::Imap {
            name: name?,
            server: server?,
            folder: folder?,
            ours: ours?,
            idle: keys.idle.unwrap_or(true),
            poll: Duration::from_secs(poll),
        })
    }

    fn maildir(&mut self, section: &Spanned<file::Maildir>) -> Option<SourceConfig> {
        let (place, keys) = (section.span(), section.get_ref());
        let name = self.source_name(keys.name.as_ref(), &place);
        let path = self.needed_path(keys.path.as_ref(), &place, "path", "path = \"/var/mail/…\"");
        let poll = self.number(
            keys.poll_secs.as_ref(),
            MAILDIR_POLL_SECS,
            1..=SECONDS_A_DAY,
        );
        Some(SourceConfig::Maildir {
            name: name?,
            path: path?,
            poll: Duration::from_secs(poll),
        })
    }

    fn send(&mut self, written: &File, sources: &[SourceConfig]) -> Option<SendConfig> {
        let smtp = written
            .smtp
            .as_ref()
            .map(|section| (section, self.smtp(section)));
        let maildir = written.send_maildir.as_ref().map(|section| {
            let keys = section.get_ref();
            let path = self.needed_path(
                keys.path.as_ref(),
                &section.span(),
                "path",
                "path = \"/var/lib/linjevei/sendt\"",
            );
            (section, path)
        });
        match (smtp, maildir) {
            (Some(_), Some((section, _))) => {
                self.fault(
                    section.span(),
                    "[smtp] og [send_maildir] kan ikke stå sammen",
                    "behold [smtp] for å sende, eller [send_maildir] for å prøve uten å sende",
                );
                None
            }
            (Some((_, server)), None) => server.map(SendConfig::Smtp),
            (None, Some((section, path))) => {
                let path = path?;
                let watched = |source: &SourceConfig| matches!(source, SourceConfig::Maildir { path: from, .. } if *from == path);
                if sources.iter().any(watched) {
                    self.fault(
                        section.span(),
                        "det som sendes, legges i en postkasse som overvåkes",
                        "velg en annen mappe i path",
                    );
                }
                Some(SendConfig::Maildir(path))
            }
            (None, None) => {
                self.missing_section(
                    "smtp",
                    "det står ikke hvordan post skal sendes",
                    "legg til [smtp], eller [send_maildir] for å prøve uten å sende",
                );
                None
            }
        }
    }

    fn smtp(&mut self, section: &Spanned<file::Smtp>) -> Option<Server> {
        let keys = section.get_ref();
        self.server(
            &ServerKeys {
                section: section.span(),
                host: &keys.host,
                port: &keys.port,
                tls: &keys.tls,
                ca_file: &keys.ca_file,
                pin_sha256: &keys.pin_sha256,
                user: &keys.user,
                password: &keys.password,
                password_file: &keys.password_file,
                password_env: &keys.password_env,
                password_credential: &keys.password_credential,
            },
            &SMTP,
        )
    }

    fn server(&mut self, keys: &ServerKeys<'_>, protocol: &Protocol) -> Option<Server> {
        let host = self
            .needed(
                keys.host.as_ref(),
                &keys.section,
                "host",
                "host = \"post.…\"",
            )
            .and_then(|host| self.host(host));
        let tls = match keys.tls.as_ref().map(Spanned::get_ref) {
            Some(Encryption::Implicit) | None => Tls::Implicit,
            Some(Encryption::Starttls) => Tls::Starttls,
            Some(Encryption::None) => Tls::None,
        };
        if let (Tls::None, Some(place), Some(host)) = (tls, keys.tls, &host)
            && !is_loopback(host)
        {
            self.at(
                place,
                "uten kryptering kan bare denne maskinen brukes (localhost)",
                "skriv tls = \"implicit\" eller tls = \"starttls\"",
            );
        }
        let [implicit, starttls, none] = protocol.ports;
        let port = match keys.port {
            Some(port) if *port.get_ref() == 0 => {
                self.at(
                    port,
                    "0 er ikke en port",
                    format!("vanlig port her er {implicit}"),
                );
                None
            }
            Some(port) => Some(*port.get_ref()),
            None => Some(match tls {
                Tls::Implicit => implicit,
                Tls::Starttls => starttls,
                Tls::None => none,
            }),
        };
        let ca_file = keys.ca_file.as_ref().and_then(|given| {
            let path = self.folder.join(given.get_ref());
            if self.surroundings.is_file(&path) {
                Some(path)
            } else {
                self.at(
                    given,
                    format!("finner ikke filen {}", path.display()),
                    "rett stien",
                );
                None
            }
        });
        let pin_sha256 = keys.pin_sha256.as_ref().and_then(|pin| self.pin(pin));
        let login = self.login(keys, protocol);
        Some(Server {
            host: host?,
            port: port?,
            tls,
            ca_file,
            pin_sha256,
            login: login.ok()?,
        })
    }

    /// `None` is no log-in.
    fn login(
        &mut self,
        keys: &ServerKeys<'_>,
        protocol: &Protocol,
    ) -> Result<Option<(String, Secret)>, Noted> {
        let user = keys.user.as_ref().map(|user| self.line(user));
        let password = self.password(keys);
        match (user, password) {
            (Some(user), Ok(Some(password))) => Ok(Some((user.ok_or(Noted)?, password))),
            (None, Ok(None)) if protocol.login == Login::Optional => Ok(None),
            (user, password) => {
                if user.is_none() && !self.form.was_there(&keys.section, "user") {
                    let help = "legg til user = \"…\"";
                    self.fault(keys.section.clone(), "nøkkelen «user» mangler", help);
                }
                let names = ["password_file", "password_env", "password_credential"];
                let faulty = names
                    .iter()
                    .any(|name| self.form.was_there(&keys.section, name));
                if password == Ok(None) && !faulty {
                    self.fault(
                        keys.section.clone(),
                        "det står ikke hvor passordet finnes",
                        "legg til password_file = \"…\", password_env = \"…\" eller password_credential = \"…\"",
                    );
                }
                Err(Noted)
            }
        }
    }

    /// `None` when no password is given.
    fn password(&mut self, keys: &ServerKeys<'_>) -> Result<Option<Secret>, Noted> {
        if let Some(inline) = keys.password {
            self.hidden.push(inline.span());
            self.at(
                inline,
                "passordet kan ikke stå i innstillingene",
                "legg det i en fil som bare linjevei kan lese, og skriv password_file = \"…\"",
            );
            return Err(Noted);
        }
        match (
            keys.password_file,
            keys.password_env,
            keys.password_credential,
        ) {
            (None, None, None) => Ok(None),
            (Some(file), None, None) => {
                let path = self.folder.join(file.get_ref());
                self.password_in(file, &path, Guard::Mode)
            }
            (None, Some(variable), None) => self.password_variable(variable),
            (None, None, Some(name)) => self.credential(name),
            (_, Some(second), _) | (_, None, Some(second)) => {
                let help = "behold bare én av dem";
                self.at(second, "passordet er oppgitt på flere måter", help);
                Err(Noted)
            }
        }
    }

    fn password_variable(&mut self, name: &Spanned<String>) -> Result<Option<Secret>, Noted> {
        let value = self.surroundings.variable(name.get_ref());
        let value = value.filter(|value| !value.is_empty());
        if value.is_none() {
            self.at(
                name,
                "miljøvariabelen er ikke satt",
                "sett den der tjenesten startes, eller bruk password_file",
            );
        }
        value.map(|value| Some(Secret::new(value))).ok_or(Noted)
    }

    fn credential(&mut self, name: &Spanned<String>) -> Result<Option<Secret>, Noted> {
        let Some(folder) = self.surroundings.variable("CREDENTIALS_DIRECTORY") else {
            self.at(
                name,
                "systemd har ikke gitt noen hemmeligheter (CREDENTIALS_DIRECTORY er ikke satt)",
                format!("legg LoadCredential={}:/… i tjenestefilen", name.get_ref()),
            );
            return Err(Noted);
        };
        if name.get_ref().contains('/') || name.get_ref().is_empty() {
            self.at(
                name,
                "dette er ikke navnet på en hemmelighet",
                "skriv navnet uten sti",
            );
            return Err(Noted);
        }
        let path = Path::new(&folder).join(name.get_ref());
        self.password_in(name, &path, Guard::Systemd)
    }

    fn password_in(
        &mut self,
        given: &Spanned<String>,
        path: &Path,
        guard: Guard,
    ) -> Result<Option<Secret>, Noted> {
        match self.surroundings.secret(path, guard) {
            Ok(secret) => Ok(Some(secret)),
            Err(problem) => {
                let shown = path.display();
                let help = match problem {
                    SecretProblem::Missing => {
                        format!("lag filen {shown} med passordet på én linje")
                    }
                    SecretProblem::Unreadable => {
                        format!("gi brukeren som kjører linjevei, lov til å lese {shown}")
                    }
                    SecretProblem::WorldReadable => format!("kjør: chmod o= {shown}"),
                    SecretProblem::Empty | SecretProblem::NoPassword => {
                        format!("{shown} skal ha passordet på én linje og ikke noe annet")
                    }
                };
                self.at(given, format!("passord: {problem}"), help);
                Err(Noted)
            }
        }
    }

    fn calendar(&mut self, section: Option<&file::CalendarSection>) -> (Vec<String>, i8) {
        let Some(section) = section else {
            return (Vec::new(), i8::try_from(REMINDER_HOUR).unwrap_or_default());
        };
        for day in &section.closed_days {
            if let Err(error) = Calendar::new(std::slice::from_ref(day.get_ref())) {
                self.at(day, error, "for eksempel \"12-24\" eller \"2026-05-15\"");
            }
        }
        let days: Vec<String> = section
            .closed_days
            .iter()
            .map(|day| day.get_ref().clone())
            .collect();
        if let (Err(error @ CalendarError::AlwaysClosed), Some(first)) =
            (Calendar::new(&days), section.closed_days.first())
        {
            self.at(first, error, "la det være igjen dager til å purre på");
        }
        let hour = match &section.reminder_hour {
            Some(hour) if !(0..=23).contains(hour.get_ref()) => {
                self.at(
                    hour,
                    format!("{} er ikke en time på døgnet", hour.get_ref()),
                    "skriv et heltall fra 0 til 23",
                );
                REMINDER_HOUR
            }
            Some(hour) => *hour.get_ref(),
            None => REMINDER_HOUR,
        };
        (days, i8::try_from(hour).unwrap_or_default())
    }

    // Small checks of one value; a fault gives `None`.

    fn address(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        if is_address(text) {
            return Some(text.to_owned());
        }
        let help = "skriv bare adressen: navn@sykehus.example";
        self.at(given, format!("«{text}» er ikke en e-postadresse"), help);
        None
    }

    fn domain(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        if is_domain(text) {
            return Some(text.to_owned());
        }
        let help = "skriv det slik: sykehus.example";
        self.at(given, format!("«{text}» er ikke et domene"), help);
        None
    }

    fn host(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if is_domain(bare) || is_loopback(bare) || bare.parse::<IpAddr>().is_ok() {
            return Some(bare.to_owned());
        }
        self.at(
            given,
            format!("«{text}» er ikke et tjenernavn"),
            "skriv bare navnet, uten «imaps://» foran og uten port bak",
        );
        None
    }

    /// A text that goes into one line of a mail or a log.
    fn line(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        if !text.is_empty() && !text.contains(char::is_control) {
            return Some(text.to_owned());
        }
        self.at(given, "her skal det stå tekst på én linje", "");
        None
    }

    /// An IMAP keyword: an atom (RFC 3501 section 9) without backslash.
    fn keyword(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref();
        let atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        if !text.is_empty() && text.bytes().all(atom) {
            return Some(text.clone());
        }
        self.at(
            given,
            format!("«{text}» kan ikke være et merke i IMAP"),
            "bruk bokstavene a–z, tall og bindestrek, for eksempel flag = \"linjevei\"",
        );
        None
    }

    fn pin(&mut self, given: &Spanned<String>) -> Option<String> {
        let pin: String = given
            .get_ref()
            .chars()
            .filter(|c| !matches!(c, ':' | ' '))
            .collect();
        if pin.len() == 64 && pin.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(pin.to_ascii_lowercase());
        }
        self.at(
            given,
            "dette er ikke et SHA-256-avtrykk",
            "skriv de 64 heksadesimale sifrene som «openssl x509 -fingerprint -sha256» viser",
        );
        None
    }

    fn source_name(
        &mut self,
        given: Option<&Spanned<String>>,
        section: &Range<usize>,
    ) -> Option<String> {
        let name = self.needed(given, section, "name", "name = \"samhandlingsavvik\"")?;
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
            return Some(text.clone());
        }
        self.at(
            name,
            format!("«{text}» kan ikke være navn på en postkasse"),
            "bruk bokstavene a–z, tall, bindestrek og understrek",
        );
        None
    }

    fn once(&mut self, name: &Spanned<String>, names: &mut BTreeSet<String>) {
        if !names.insert(name.get_ref().to_lowercase()) {
            self.at(
                name,
                format!("to postkasser heter «{}»", name.get_ref()),
                "gi hver postkasse sitt eget navn",
            );
        }
    }

    fn watched_once(
        &mut self,
        section: &Range<usize>,
        place: String,
        places: &mut BTreeSet<String>,
    ) {
        if !places.insert(place) {
            let help = "ta bort den ene";
            self.fault(
                section.clone(),
                "den samme postkassen overvåkes to ganger",
                help,
            );
        }
    }

    fn number(
        &mut self,
        given: Option<&Spanned<u64>>,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> u64 {
        let Some(given) = given else {
            return default;
        };
        let number = *given.get_ref();
        if !allowed.contains(&number) {
            self.at(
                given,
                format!("{number} er utenfor det som går an"),
                format!(
                    "skriv et heltall fra {} til {}",
                    allowed.start(),
                    allowed.end()
                ),
            );
        }
        number
    }

    fn folder_or(&mut self, given: Option<&Spanned<String>>, default: &str, key: &str) -> PathBuf {
        let name = given.map_or(default, |given| given.get_ref().as_str());
        let path = self.folder.join(name);
        if !self.surroundings.is_folder(&path) && !self.form.was_there(&self.form.root, key) {
            let place = given.map_or(0..0, Spanned::span);
            self.fault(
                place,
                format!("finner ikke mappen {}", path.display()),
                format!("skriv {key} = \"…\" med stien til mappen"),
            );
        }
        path
    }

    fn needed_path(
        &mut self,
        given: Option<&Spanned<String>>,
        section: &Range<usize>,
        key: &str,
        example: &str,
    ) -> Option<PathBuf> {
        let given = self.needed(given, section, key, example)?;
        if given.get_ref().trim().is_empty() {
            self.at(given, "stien er tom", format!("for eksempel {example}"));
            return None;
        }
        Some(self.folder.join(given.get_ref()))
    }

    fn needed<'g, T>(
        &mut self,
        given: Option<&'g Spanned<T>>,
        section: &Range<usize>,
        key: &str,
        example: &str,
    ) -> Option<&'g Spanned<T>> {
        if given.is_none() && !self.form.was_there(section, key) {
            let place = if *section == self.form.root {
                0..0
            } else {
                section.clone()
            };
            self.fault(
                place,
                format!("nøkkelen «{key}» mangler"),
                format!("legg til {example}"),
            );
        }
        given
    }

    fn missing_section(&mut self, key: &str, message: &str, help: &str) {
        if !self.form.was_there(&self.form.root, key) {
            self.fault(0..0, message, help);
        }
    }

    fn at<T>(&mut self, place: &Spanned<T>, message: impl Display, help: impl Into<String>) {
        self.fault(place.span(), message, help);
    }

    fn fault(&mut self, span: Range<usize>, message: impl Display, help: impl Into<String>) {
        self.faults
            .push(Fault::at(self.file, span, message.to_string(), help));
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// An address that mail of ours can have: ASCII, no quoting, a domain of at least two labels.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let atoms = local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(atext));
    atoms && local.len() <= 64 && is_domain(domain)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.')
        && text.len() <= 253
        && text.split('.').all(label)
        && !text
            .split('.')
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
