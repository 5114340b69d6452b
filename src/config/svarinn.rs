//! Forsendelser in KS SvarInn: the sections `[[svarinn]]`.

use std::time::Duration;

use toml::Spanned;

use super::check::Check;
use super::file;
use super::server::SecretKeys;
use super::{SourceConfig, SvarInnConfig};

/// KS asks not to be asked more often, and sends warnings two hours after a forsendelse came.
const POLL_SECS: u64 = 900;
const POLL_SECS_MAX: u64 = 3600;
/// Above what eDialog takes.
const MAX_BYTES: u64 = 50_000_000;

impl Check<'_> {
    pub(super) fn svarinn(&mut self, section: &Spanned<file::SvarInn>) -> Option<SourceConfig> {
        let (place, keys) = (section.span(), section.get_ref());
        let name = self.source_name(keys.name.as_ref(), &place);
        let url = self
            .needed(
                keys.url.as_ref(),
                &place,
                "url",
                "url = \"https://…\" med adressen til MottakService",
            )
            .and_then(|url| self.service_address(url));
        let user = self
            .needed(keys.user.as_ref(), &place, "user", "user = \"…\"")
            .and_then(|user| self.line(user));
        let password = self.secret(&SecretKeys {
            inline: &keys.password,
            file: &keys.password_file,
            env: &keys.password_env,
            credential: &keys.password_credential,
        });
        let names = ["password_file", "password_env", "password_credential"];
        let faulty = names.iter().any(|name| self.form.was_there(&place, name));
        if password == Ok(None) && !faulty {
            self.fault(
                place.clone(),
                "det står ikke hvor passordet finnes",
                "legg til password_file = \"…\", password_env = \"…\" eller password_credential = \"…\"",
            );
        }
        let organisation = self
            .needed(
                keys.organisation.as_ref(),
                &place,
                "organisation",
                "organisation = \"123456785\"",
            )
            .and_then(|number| self.organisation(number));
        let private_key = self
            .needed(
                keys.private_key_file.as_ref(),
                &place,
                "private_key_file",
                "private_key_file = \"…\"",
            )
            .and_then(|path| self.ca_file(Some(path)));
        let certificate = self
            .needed(
                keys.certificate_file.as_ref(),
                &place,
                "certificate_file",
                "certificate_file = \"…\"",
            )
            .and_then(|path| self.ca_file(Some(path)));
        let sender = self
            .needed(
                keys.sender.as_ref(),
                &place,
                "sender",
                "sender = \"…\", en adresse som en portal i reglene har",
            )
            .and_then(|sender| self.address(sender));
        let hosts: Vec<Option<String>> = keys
            .download_hosts
            .iter()
            .map(|host| self.host(host))
            .collect();
        let ca_file = self.ca_file(keys.ca_file.as_ref());
        let max_bytes = self.number(keys.max_bytes.as_ref(), MAX_BYTES, 65_536..=500_000_000);
        let poll = self.number(keys.poll_secs.as_ref(), POLL_SECS, 1..=POLL_SECS_MAX);
        Some(SourceConfig::SvarInn(Box::new(SvarInnConfig {
            name: name?,
            url: url?,
            user: user?,
            password: password.ok()??,
            organisation: organisation?,
            private_key: private_key?,
            certificate: certificate?,
            sender: sender?,
            download_hosts: hosts.into_iter().collect::<Option<_>>()?,
            ca_file,
            max_bytes: usize::try_from(max_bytes).ok()?,
            poll: Duration::from_secs(poll),
        })))
    }

    fn service_address(&mut self, given: &Spanned<String>) -> Option<String> {
        let url = self.web_address(given)?;
        let url = url.trim_end_matches('/');
        let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
        if bare.contains(['?', '#', '@']) {
            self.at(
                given,
                "adressen har mer enn tjener og sti",
                "skriv bare https://tjener/sti, uten bruker, ? og #",
            );
            return None;
        }
        Some(url.to_owned())
    }

    /// Nine digits, the last of which is the check digit (weights 3 2 7 6 5 4 3 2).
    fn organisation(&mut self, given: &Spanned<String>) -> Option<String> {
        let digits: String = given.get_ref().chars().filter(|c| *c != ' ').collect();
        let values: Option<Vec<u32>> = digits.chars().map(|c| c.to_digit(10)).collect();
        let sum = values.filter(|values| values.len() == 9).map(|values| {
            let weights = [3, 2, 7, 6, 5, 4, 3, 2, 1];
            values
                .iter()
                .zip(weights)
                .fold(0_u32, |sum, (value, weight)| {
                    sum.saturating_add(value.saturating_mul(weight))
                })
        });
        if sum.is_some_and(|sum| sum % 11 == 0) {
            return Some(digits);
        }
        self.at(
            given,
            format!("«{}» er ikke et organisasjonsnummer", given.get_ref()),
            "skriv de ni sifrene fra Enhetsregisteret",
        );
        None
    }
}
