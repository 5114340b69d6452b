//! Where tokens come from: the sections `[oauth.NAME]`.

use std::sync::Arc;

use toml::Spanned;

use super::OAuthConfig;
use super::check::Check;
use super::file::{self, File};
use super::server::SecretKeys;
use super::values::is_loopback;

impl Check<'_> {
    /// Checks all of them, so that servers can name them.
    pub(super) fn oauths(&mut self, written: &File) {
        for (name, section) in &written.oauth {
            let checked = self.oauth(name, section);
            self.oauths.insert(name.clone(), checked.map(Arc::new));
        }
    }

    fn oauth(&mut self, name: &str, section: &Spanned<file::OAuth>) -> Option<OAuthConfig> {
        let (place, keys) = (section.span(), section.get_ref());
        let token_url = self
            .needed(
                keys.token_url.as_ref(),
                &place,
                "token_url",
                "token_url = \"https://login.microsoftonline.com/…/oauth2/v2.0/token\"",
            )
            .and_then(|url| self.web_address(url));
        let client_id = self
            .needed(
                keys.client_id.as_ref(),
                &place,
                "client_id",
                "client_id = \"…\"",
            )
            .and_then(|id| self.line(id));
        let client_secret = self.secret(&SecretKeys {
            inline: &keys.client_secret,
            file: &keys.client_secret_file,
            env: &keys.client_secret_env,
            credential: &keys.client_secret_credential,
        });
        let names = [
            "client_secret_file",
            "client_secret_env",
            "client_secret_credential",
        ];
        let faulty = names.iter().any(|name| self.form.was_there(&place, name));
        if client_secret == Ok(None) && !faulty {
            self.fault(
                place,
                "det står ikke hvor klientens hemmelighet finnes",
                "legg til client_secret_file = \"…\", client_secret_env = \"…\" eller client_secret_credential = \"…\"",
            );
        }
        let scope = match &keys.scope {
            Some(scope) => self.line(scope),
            None => Some(String::new()),
        };
        Some(OAuthConfig {
            name: name.to_owned(),
            token_url: token_url?,
            client_id: client_id?,
            client_secret: client_secret.ok()??,
            scope: scope?,
            ca_file: self.ca_file(keys.ca_file.as_ref()),
        })
    }

    /// `https`, or `http` on this machine.
    pub(super) fn web_address(&mut self, given: &Spanned<String>) -> Option<String> {
        let text = given.get_ref().trim();
        let url = text.parse::<hyper::Uri>().ok();
        let host = url.as_ref().and_then(hyper::Uri::host).unwrap_or_default();
        let scheme = url.as_ref().and_then(hyper::Uri::scheme_str);
        match scheme {
            Some("https") if !host.is_empty() => return Some(text.to_owned()),
            Some("http") if is_loopback(host.trim_matches(['[', ']'])) => {
                return Some(text.to_owned());
            }
            Some("http") => self.at(
                given,
                "uten kryptering kan bare denne maskinen brukes (localhost)",
                "skriv https:// foran",
            ),
            _ => self.at(
                given,
                format!("«{text}» er ikke en nettadresse"),
                "skriv hele adressen, med https:// foran",
            ),
        }
        None
    }
}
