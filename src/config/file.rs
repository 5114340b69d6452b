//! The settings file as it is written: everything optional, with the place of each value, so that all faults can be shown.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A value and its place, if it stands there.
pub(super) type Given<T> = Option<Spanned<T>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) mode: Option<Mode>,
    pub(super) data: Given<String>,
    pub(super) database: Given<String>,
    pub(super) database_password: Given<toml::Value>,
    pub(super) database_password_file: Given<String>,
    pub(super) database_password_env: Given<String>,
    pub(super) database_password_credential: Given<String>,
    pub(super) rules: Given<String>,
    pub(super) templates: Given<String>,
    pub(super) serious_needs_approval: Option<bool>,
    pub(super) duty_address: Given<String>,
    pub(super) identity: Given<Identity>,
    #[serde(default)]
    pub(super) imap: Vec<Spanned<Imap>>,
    #[serde(default)]
    pub(super) maildir: Vec<Spanned<Maildir>>,
    #[serde(default)]
    pub(super) svarinn: Vec<Spanned<SvarInn>>,
    pub(super) smtp: Given<Smtp>,
    pub(super) send_maildir: Given<SendMaildir>,
    pub(super) trust: Option<Trust>,
    pub(super) calendar: Option<CalendarSection>,
    pub(super) limits: Option<Limits>,
    pub(super) digest: Option<Digest>,
    pub(super) retention: Option<Retention>,
    pub(super) health: Given<Health>,
    #[serde(default)]
    pub(super) oauth: BTreeMap<String, Spanned<OAuth>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Digest {
    pub(super) send: Option<bool>,
    pub(super) to: Given<String>,
    pub(super) hour: Given<i64>,
    pub(super) weekday: Option<Weekday>,
    pub(super) party_status: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Weekday {
    Mandag,
    Tirsdag,
    Onsdag,
    Torsdag,
    Fredag,
    #[serde(rename = "lørdag")]
    Lordag,
    #[serde(rename = "søndag")]
    Sondag,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    Observe,
    Live,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) address: Given<String>,
    pub(super) name: Given<String>,
    pub(super) bounce_address: Given<String>,
    pub(super) message_id_domain: Given<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encryption {
    Implicit,
    Starttls,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Imap {
    pub(super) name: Given<String>,
    pub(super) host: Given<String>,
    pub(super) port: Given<u16>,
    pub(super) tls: Given<Encryption>,
    pub(super) ca_file: Given<String>,
    pub(super) pin_sha256: Given<String>,
    pub(super) user: Given<String>,
    pub(super) password: Given<toml::Value>,
    pub(super) password_file: Given<String>,
    pub(super) password_env: Given<String>,
    pub(super) password_credential: Given<String>,
    pub(super) oauth: Given<String>,
    pub(super) folder: Given<String>,
    pub(super) flag: Given<String>,
    pub(super) move_to: Given<String>,
    pub(super) idle: Option<bool>,
    pub(super) poll_secs: Given<u64>,
    pub(super) timeout_secs: Given<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Maildir {
    pub(super) name: Given<String>,
    pub(super) path: Given<String>,
    pub(super) poll_secs: Given<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SvarInn {
    pub(super) name: Given<String>,
    pub(super) url: Given<String>,
    pub(super) user: Given<String>,
    pub(super) password: Given<toml::Value>,
    pub(super) password_file: Given<String>,
    pub(super) password_env: Given<String>,
    pub(super) password_credential: Given<String>,
    pub(super) organisation: Given<String>,
    pub(super) private_key_file: Given<String>,
    pub(super) certificate_file: Given<String>,
    pub(super) sender: Given<String>,
    #[serde(default)]
    pub(super) download_hosts: Vec<Spanned<String>>,
    pub(super) ca_file: Given<String>,
    pub(super) max_bytes: Given<u64>,
    pub(super) poll_secs: Given<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Smtp {
    pub(super) host: Given<String>,
    pub(super) port: Given<u16>,
    pub(super) tls: Given<Encryption>,
    pub(super) ca_file: Given<String>,
    pub(super) pin_sha256: Given<String>,
    pub(super) user: Given<String>,
    pub(super) password: Given<toml::Value>,
    pub(super) password_file: Given<String>,
    pub(super) password_env: Given<String>,
    pub(super) password_credential: Given<String>,
    pub(super) oauth: Given<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendMaildir {
    pub(super) path: Given<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trust {
    pub(super) authserv_id: Given<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CalendarSection {
    #[serde(default)]
    pub(super) closed_days: Vec<Spanned<String>>,
    pub(super) reminder_hour: Given<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) acknowledge_max_age_days: Given<u64>,
    pub(super) acknowledgements_per_hour: Given<u64>,
    pub(super) close_after_days: Given<u64>,
    pub(super) parse_max_bytes: Given<u64>,
    pub(super) grace_secs: Given<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    pub(super) left_alone_keep_days: Given<u64>,
    pub(super) closed_cases_keep_days: Given<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    pub(super) listen: Given<String>,
    pub(super) max_check_age_secs: Given<u64>,
    pub(super) max_unsent_age_secs: Given<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OAuth {
    pub(super) token_url: Given<String>,
    pub(super) client_id: Given<String>,
    pub(super) client_secret: Given<toml::Value>,
    pub(super) client_secret_file: Given<String>,
    pub(super) client_secret_env: Given<String>,
    pub(super) client_secret_credential: Given<String>,
    pub(super) scope: Given<String>,
    pub(super) ca_file: Given<String>,
}
