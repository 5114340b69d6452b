//! Whether forsendelser can be fetched: key, certificate and log-in. Receipts nothing.

use super::{show, with_causes};
use crate::config::SvarInnConfig;
use crate::intake::svarinn::{Identity, SvarInn};
use crate::rules::Directory;

const DAY_MS: i64 = 86_400_000;
/// A certificate that expires sooner is to be renewed now: KS has to know the new one before.
const RENEW_DAYS: i64 = 30;

pub(super) async fn check(config: &SvarInnConfig) -> Result<String, String> {
    let identity = Identity::load(&config.private_key, &config.certificate)
        .map_err(|error| format!("{}: {}", error.what, error.advice))?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let certificate = identity.certificate();
    let until = show::moment(certificate.not_after_ms);
    let shown = config.certificate.display();
    if now_ms > certificate.not_after_ms {
        return Err(format!(
            "the certificate {shown} expired {until}: register a new one at KS, and set certificate_file and private_key_file"
        ));
    }
    if now_ms < certificate.not_before_ms {
        return Err(format!(
            "the certificate {shown} is not good before {}: look at the clock, or at the certificate",
            show::moment(certificate.not_before_ms)
        ));
    }
    let waiting = SvarInn::new(config)
        .waiting()
        .await
        .map_err(|error| with_causes(&error))?;
    let line = format!(
        "{} for {}: {} forsendelser wait; key of {} bits belongs to certificate {}, good until {until}",
        config.url,
        config.organisation,
        waiting.len(),
        identity.bits(),
        certificate.serial(),
    );
    let days = certificate.not_after_ms.saturating_sub(now_ms) / DAY_MS;
    if days < RENEW_DAYS {
        return Err(format!(
            "{line}; it expires in {days} days: register a new one at KS now"
        ));
    }
    Ok(line)
}

/// Forsendelser are read as notices of a portal: the rules have to know the address that stands for it.
pub(super) fn portal(config: &SvarInnConfig, directory: &Directory) -> Result<String, String> {
    match directory.portal_of(&config.sender) {
        Some(portal) => Ok(format!(
            "forsendelser are read as from the portal «{}»",
            portal.name
        )),
        None => Err(format!(
            "no portal of the rules sends from {}: set sender to the address of one, or add the address to [[portals]]",
            config.sender
        )),
    }
}
