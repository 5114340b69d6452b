//! Checks of single values. A fault is noted and gives `None`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use toml::Spanned;

use super::check::Check;
use crate::diagnostic::Fault;

impl Check<'_> {
    pub(super) fn address(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        if is_address(text) {
            return Some(text.to_owned());
        }
        let help = "skriv bare adressen: navn@sykehus.example";
        self.at(given, format!("«{text}» er ikke en e-postadresse"), help);
        None
    }

    pub(super) fn domain(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        if is_domain(text) {
            return Some(text.to_owned());
        }
        let help = "skriv det slik: sykehus.example";
        self.at(given, format!("«{text}» er ikke et domene"), help);
        None
    }

    pub(super) fn host(&mut self, given: &Spanned<String>) -> Option<String> {
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
    pub(super) fn line(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        if !text.is_empty() && !text.contains(char::is_control) {
            return Some(text.to_owned());
        }
        self.at(given, "her skal det stå tekst på én linje", "");
        None
    }

    /// An IMAP keyword: an atom (RFC 3501 section 9) without backslash.
    pub(super) fn keyword(&mut self, given: &Spanned<String>) -> Option<String> {
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

    pub(super) fn pin(&mut self, given: &Spanned<String>) -> Option<String> {
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

    pub(super) fn source_name(
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

    pub(super) fn once(&mut self, name: &Spanned<String>, names: &mut BTreeSet<String>) {
        if !names.insert(name.get_ref().to_lowercase()) {
            self.at(
                name,
                format!("to postkasser heter «{}»", name.get_ref()),
                "gi hver postkasse sitt eget navn",
            );
        }
    }

    pub(super) fn watched_once(
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

    pub(super) fn number(
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

    pub(super) fn folder_or(
        &mut self,
        given: Option<&Spanned<String>>,
        default: &str,
        key: &str,
    ) -> PathBuf {
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

    pub(super) fn needed_path(
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

    pub(super) fn needed<'g, T>(
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

    pub(super) fn missing_section(&mut self, key: &str, message: &str, help: &str) {
        if !self.form.was_there(&self.form.root, key) {
            self.fault(0..0, message, help);
        }
    }

    pub(super) fn at<T>(
        &mut self,
        place: &Spanned<T>,
        message: impl Display,
        help: impl Into<String>,
    ) {
        self.fault(place.span(), message, help);
    }

    pub(super) fn fault(
        &mut self,
        span: Range<usize>,
        message: impl Display,
        help: impl Into<String>,
    ) {
        self.faults
            .push(Fault::at(self.file, span, message.to_string(), help));
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// An address that mail of ours can have: ASCII, no quoting, a domain of at least two labels.
pub(super) fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let atoms = local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(atext));
    atoms && local.len() <= 64 && is_domain(domain)
}

pub(super) fn is_domain(text: &str) -> bool {
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
