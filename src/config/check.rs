//! The settings file as written → [`Config`], with every fault that can be found in one reading.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Weekday;
use toml::Spanned;

use super::file::{self, File, Given};
use super::server::{IMAP, SMTP, ServerKeys};
use super::surroundings::Surroundings;
use super::{Config, Digest, Identity, Mode, OAuthConfig, Ours, SendConfig, Server, SourceConfig};
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
const IMAP_TIMEOUT_SECS: u64 = 60;
const MAILDIR_POLL_SECS: u64 = 10;
const REMINDER_HOUR: i64 = 8;
/// Before people come to work.
const DIGEST_HOUR: i64 = 7;
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
        oauths: BTreeMap::new(),
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

/// The text with `hidden` and all that stands behind `password =` or `client_secret =` made unreadable, every byte in its place: faults are drawn
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

/// Where the value of the key `password` or `client_secret` begins in a line.
fn password_value(line: &str) -> Option<usize> {
    let words = ["password", "client_secret"];
    let mut found = words.iter().flat_map(|word| line.match_indices(word));
    found.find_map(|(at, word)| {
        let rest = line.get(at.checked_add(word.len())?..)?;
        let rest = rest.trim_start_matches([' ', '\t', '"', '\'']);
        line.len().checked_sub(rest.strip_prefix('=')?.len())
    })
}

/// A fault was found and noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted;

pub(super) struct Check<'a> {
    pub(super) file: &'a str,
    pub(super) folder: &'a Path,
    pub(super) surroundings: &'a dyn Surroundings,
    pub(super) faults: Vec<Fault>,
    /// Places of passwords.
    pub(super) hidden: Vec<Range<usize>>,
    /// Where tokens come from, by name; `None` where something is wrong with it.
    pub(super) oauths: BTreeMap<String, Option<Arc<OAuthConfig>>>,
    pub(super) form: &'a Partial<File>,
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
        let database = self.database(written, data.as_deref());
        let rules = self.folder_or(written.rules.as_ref(), "rules/ostfold", "rules");
        let templates = self.folder_or(written.templates.as_ref(), "templates", "templates");
        let identity = self.identity(written);
        self.oauths(written);
        let sources = self.sources(written);
        let send = self.send(written, &sources);
        let authserv_id = written
            .trust
            .as_ref()
            .and_then(|trust| trust.authserv_id.as_ref())
            .and_then(|id| self.domain(id));
        let duty_address = written
            .duty_address
            .as_ref()
            .and_then(|address| self.address(address));
        let digest = self.digest(written.digest.as_ref(), identity.as_ref());
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
        let retention = self.retention(written.retention.as_ref());
        let health = self.health(written.health.as_ref());
        let grace = self.number(limit(|limits| &limits.grace_secs), GRACE_SECS, 1..=600);
        Some(Config {
            mode: match written.mode {
                Some(file::Mode::Live) => Mode::Live,
                Some(file::Mode::Observe) | None => Mode::Observe,
            },
            data: data?,
            database: database?,
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
            duty_address,
            digest,
            acknowledgements_per_hour: u32::try_from(per_hour).ok()?,
            parse_max_bytes: usize::try_from(parse_max).ok()?,
            grace: Duration::from_secs(grace),
            retention,
            health: health.ok()?,
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
                let user = server.login.as_ref().map(|login| login.user.to_lowercase());
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
        for section in &written.svarinn {
            let source = self.svarinn(section);
            if let Some(name) = &section.get_ref().name {
                self.once(name, &mut names);
            }
            if let Some(SourceConfig::SvarInn(config)) = &source {
                let place = format!("{} {}", config.url, config.user.to_lowercase());
                self.watched_once(&section.span(), place, &mut places);
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
                oauth: &keys.oauth,
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
        let timeout = self.number(keys.timeout_secs.as_ref(), IMAP_TIMEOUT_SECS, 1..=600);
        Some(SourceConfig::Imap {
            name: name?,
            server: server?,
            folder: folder?,
            ours: ours?,
            idle: keys.idle.unwrap_or(true),
            poll: Duration::from_secs(poll),
            timeout: Duration::from_secs(timeout),
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
                oauth: &keys.oauth,
            },
            &SMTP,
        )
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
        let hour = self.hour(section.reminder_hour.as_ref(), REMINDER_HOUR);
        (days, hour)
    }

    fn hour(&mut self, given: Option<&Spanned<i64>>, default: i64) -> i8 {
        let hour = match given {
            Some(hour) if !(0..=23).contains(hour.get_ref()) => {
                self.at(
                    hour,
                    format!("{} er ikke en time på døgnet", hour.get_ref()),
                    "skriv et heltall fra 0 til 23",
                );
                default
            }
            Some(hour) => *hour.get_ref(),
            None => default,
        };
        i8::try_from(hour).unwrap_or_default()
    }

    fn digest(&mut self, section: Option<&file::Digest>, identity: Option<&Identity>) -> Digest {
        let given = section.and_then(|section| section.to.as_ref());
        let to = given.and_then(|to| self.address(to));
        if let (Some(given), Some(to), Some(identity)) = (given, &to, identity)
            && to.eq_ignore_ascii_case(&identity.address)
        {
            self.at(
                given,
                "oversikten ville komme inn igjen i postkassen som overvåkes",
                "skriv en adresse som bare mennesker leser",
            );
        }
        let weekday = match section.and_then(|section| section.weekday) {
            None | Some(file::Weekday::Mandag) => Weekday::Monday,
            Some(file::Weekday::Tirsdag) => Weekday::Tuesday,
            Some(file::Weekday::Onsdag) => Weekday::Wednesday,
            Some(file::Weekday::Torsdag) => Weekday::Thursday,
            Some(file::Weekday::Fredag) => Weekday::Friday,
            Some(file::Weekday::Lordag) => Weekday::Saturday,
            Some(file::Weekday::Sondag) => Weekday::Sunday,
        };
        Digest {
            send: section.and_then(|section| section.send).unwrap_or(true),
            to,
            hour: self.hour(
                section.and_then(|section| section.hour.as_ref()),
                DIGEST_HOUR,
            ),
            weekday,
            party_status: section
                .and_then(|section| section.party_status)
                .unwrap_or(false),
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
