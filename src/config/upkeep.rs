//! Settings for running it for years: how long content is kept, and where health is told.

use std::net::SocketAddr;
use std::time::Duration;

use toml::Spanned;

use super::check::{Check, Noted};
use super::file;
use super::{HealthConfig, RetentionConfig};

const LEFT_ALONE_KEEP_DAYS: u64 = 30;
/// A hundred years.
const KEEP_DAYS_MAX: u64 = 36_525;
/// Three times the longest pause between two attempts to reach a source.
const MAX_CHECK_AGE_SECS: u64 = 900;
/// Longer than the first four attempts to send a mail.
const MAX_UNSENT_AGE_SECS: u64 = 7200;
const SECONDS_A_MONTH: u64 = 30 * 86_400;

impl Check<'_> {
    pub(super) fn retention(&mut self, section: Option<&file::Retention>) -> RetentionConfig {
        let given = section.and_then(|keys| keys.left_alone_keep_days.as_ref());
        let left_alone = self.number(given, LEFT_ALONE_KEEP_DAYS, 1..=KEEP_DAYS_MAX);
        let given = section.and_then(|keys| keys.closed_cases_keep_days.as_ref());
        let closed = given.map(|days| self.number(Some(days), 0, 1..=KEEP_DAYS_MAX));
        let days = |days: u64| u32::try_from(days).unwrap_or(u32::MAX);
        RetentionConfig {
            left_alone_keep_days: days(left_alone),
            closed_cases_keep_days: closed.map(days),
        }
    }

    pub(super) fn health(
        &mut self,
        section: Option<&Spanned<file::Health>>,
    ) -> Result<Option<HealthConfig>, Noted> {
        let Some(section) = section else {
            return Ok(None);
        };
        let (place, keys) = (section.span(), section.get_ref());
        let listen = self
            .needed(
                keys.listen.as_ref(),
                &place,
                "listen",
                "listen = \"127.0.0.1:9187\"",
            )
            .and_then(|listen| self.listen(listen));
        let check = self.number(
            keys.max_check_age_secs.as_ref(),
            MAX_CHECK_AGE_SECS,
            5..=SECONDS_A_MONTH,
        );
        let unsent = self.number(
            keys.max_unsent_age_secs.as_ref(),
            MAX_UNSENT_AGE_SECS,
            60..=SECONDS_A_MONTH,
        );
        Ok(Some(HealthConfig {
            listen: listen.ok_or(Noted)?,
            max_check_age: Duration::from_secs(check),
            max_unsent_age: Duration::from_secs(unsent),
        }))
    }

    /// Only this machine: the end point asks nobody who they are.
    fn listen(&mut self, given: &Spanned<String>) -> Option<SocketAddr> {
        let text = given.get_ref().trim();
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => return Some(address),
            Ok(_) => self.at(
                given,
                "hit kan bare denne maskinen komme",
                "skriv listen = \"127.0.0.1:9187\"; la overvåkingen hente derfra, eller sett en tjener foran",
            ),
            Err(_) => self.at(
                given,
                format!("«{text}» er ikke en adresse med port"),
                "skriv det slik: 127.0.0.1:9187",
            ),
        }
        None
    }
}
