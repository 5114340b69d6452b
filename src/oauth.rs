//! Tokens for XOAUTH2: the client credentials of OAuth 2 (RFC 6749 section 4.4), as Exchange Online asks for. [I/O]
//!
//! [`Tokens`] keeps one token until shortly before it expires. A server that refuses it makes [`Tokens::forget`] drop it, and
//! the next one is fetched. What the endpoint says beyond its error code reaches no error: it may name people.

use crate::clock::{SharedClock, SystemClock};
use crate::config::{OAuthConfig, Secret};
use crate::http::{self, HttpError, Request};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest time for one answer of the endpoint, from looking up its name.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer; tokens have a few thousand bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// A token is renewed this long before it expires, or at half its time when that is less.
const MARGIN: Duration = Duration::from_mins(5);
/// Lifetime of a token whose answer does not tell one (RFC 6749 section 5.1 leaves it out at will).
const LIFETIME_UNTOLD: Duration = Duration::from_mins(10);

/// No token could be had, cut by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// Network or endpoint: try again later.
    #[error("no token from [oauth.{name}]: {what}")]
    Temporary {
        /// Name in the settings.
        name: String,
        /// What happened.
        what: String,
    },
    /// The endpoint refuses us, or the settings cannot work.
    #[error("no token from [oauth.{name}]: {what}")]
    NeedsPerson {
        /// Name in the settings.
        name: String,
        /// What happened.
        what: String,
        /// What to do.
        advice: String,
    },
}

/// A token and until when it is used.
#[derive(Debug, Clone)]
struct Held {
    token: Secret,
    /// Unix milliseconds.
    until_ms: i64,
}

/// A source of tokens that remembers the last one.
pub struct Tokens {
    config: Arc<OAuthConfig>,
    clock: SharedClock,
    held: Mutex<Option<Held>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    /// A number; older endpoints of Microsoft write it as text.
    expires_in: Option<serde_json::Value>,
    error: Option<String>,
}

impl Tokens {
    /// One without a token yet.
    pub fn new(config: Arc<OAuthConfig>) -> Self {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// The same, by another clock.
    pub fn with_clock(config: Arc<OAuthConfig>, clock: SharedClock) -> Self {
        Self {
            config,
            clock,
            held: Mutex::new(None),
        }
    }

    /// A token that has not expired: the last one, or a new one.
    ///
    /// # Errors
    /// [`OAuthError`] when a new one was needed and could not be had.
    pub async fn token(&self) -> Result<Secret, OAuthError> {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(held) = held
            && self.clock.now_ms() < held.until_ms
        {
            return Ok(held.token);
        }
        let (token, lifetime) = self.fetch().await?;
        let margin = MARGIN.min(lifetime.checked_div(2).unwrap_or_default());
        let used = i64::try_from(lifetime.saturating_sub(margin).as_millis()).unwrap_or(i64::MAX);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held {
            token: token.clone(),
            until_ms: self.clock.now_ms().saturating_add(used),
        });
        Ok(token)
    }

    /// A server has refused this token: it is not used again.
    pub fn forget(&self, refused: &Secret) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| held.token == *refused) {
            *held = None;
        }
    }

    fn temporary(&self, what: impl Into<String>) -> OAuthError {
        OAuthError::Temporary {
            name: self.config.name.clone(),
            what: what.into(),
        }
    }

    fn needs_person(&self, what: impl Into<String>, advice: impl Into<String>) -> OAuthError {
        OAuthError::NeedsPerson {
            name: self.config.name.clone(),
            what: what.into(),
            advice: advice.into(),
        }
    }

    async fn fetch(&self) -> Result<(Secret, Duration), OAuthError> {
        let url = self
            .config
            .token_url
            .parse::<Uri>()
            .map_err(|_| self.needs_person("token_url is no address", "correct token_url"))?;
        let request = Request {
            method: Method::POST,
            url: &url,
            headers: vec![
                (
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                ),
                (ACCEPT, HeaderValue::from_static("application/json")),
            ],
            body: Bytes::from(self.form()),
            ca_file: self.config.ca_file.as_deref(),
            max_bytes: ANSWER_MAX_BYTES,
            silence: FETCH_TIMEOUT,
            total: FETCH_TIMEOUT,
        };
        let answer = http::send(request).await.map_err(|error| {
            let what = error.to_string();
            match error {
                HttpError::NotEncrypted => self.needs_person(what, "write https:// in token_url"),
                HttpError::Untrusted(_) => self.needs_person(
                    what,
                    "set ca_file to the issuer's certificate, if it is the right server",
                ),
                HttpError::NoCertificates(_) => self.needs_person(
                    format!("ca_file {what}"),
                    "name a readable PEM file with the issuer's certificate",
                ),
                HttpError::BadUrl => self.needs_person(what, "correct token_url"),
                _ => self.temporary(what),
            }
        })?;
        self.judge(answer.status, &answer.body)
    }

    fn form(&self) -> String {
        let config = &self.config;
        let mut form = String::from("grant_type=client_credentials");
        for (key, value) in [
            ("client_id", config.client_id.as_str()),
            ("client_secret", config.client_secret.reveal()),
            ("scope", config.scope.as_str()),
        ] {
            if !value.is_empty() {
                form.push('&');
                form.push_str(key);
                form.push('=');
                form.extend(form_encoded(value));
            }
        }
        form
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Result<(Secret, Duration), OAuthError> {
        let answer: Option<Answer> = serde_json::from_slice(body).ok();
        let code = answer
            .as_ref()
            .and_then(|answer| answer.error.as_deref())
            .filter(|code| is_code(code));
        if !status.is_success() {
            let what = format!(
                "the endpoint answered {}{}",
                status.as_u16(),
                code.map(|code| format!(" ({code})")).unwrap_or_default()
            );
            let later = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                )
                || matches!(code, Some("temporarily_unavailable" | "server_error"));
            return Err(if later {
                self.temporary(what)
            } else {
                self.needs_person(
                    what,
                    "check token_url, client_id, scope and the client's secret; secrets expire",
                )
            });
        }
        let token = answer.as_ref().and_then(|answer| {
            let token = answer.access_token.as_deref()?;
            let sound = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            sound.then(|| Secret::new(token.to_owned()))
        });
        let token = token.ok_or_else(|| {
            self.needs_person("the endpoint's answer holds no token", "check token_url")
        })?;
        let lifetime = answer
            .and_then(|answer| answer.expires_in)
            .and_then(|value| {
                value
                    .as_u64()
                    .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
            })
            .map_or(LIFETIME_UNTOLD, Duration::from_secs);
        Ok((token, lifetime))
    }
}

/// An error code (RFC 6749 section 5.2), not a sentence.
fn is_code(text: &str) -> bool {
    text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> impl Iterator<Item = String> {
    text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(Arc::new(OAuthConfig {
            name: "microsoft".to_owned(),
            token_url: "http://127.0.0.1:1/token".to_owned(),
            client_id: "id".to_owned(),
            client_secret: Secret::new("æ&=+ %".to_owned()),
            scope: "https://outlook.office365.com/.default".to_owned(),
            ca_file: None,
        }))
    }

    #[test]
    fn the_request_is_a_form_of_client_credentials() {
        assert_eq!(
            tokens().form(),
            "grant_type=client_credentials&client_id=id&client_secret=%C3%A6%26%3D%2B+%25\
             &scope=https%3A%2F%2Foutlook.office365.com%2F.default"
        );
    }

    #[test]
    fn answers_are_judged_without_repeating_their_text() {
        let tokens = tokens();
        let judge = |status: u16, body: &str| {
            tokens.judge(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        for (body, lifetime) in [
            (r#"{"access_token":"t","expires_in":3599}"#, 3599),
            (r#"{"access_token":"t","expires_in":"3599"}"#, 3599),
            (r#"{"access_token":"t"}"#, 600),
        ] {
            let (token, told) = judge(200, body).unwrap();
            assert_eq!((token.reveal(), told.as_secs()), ("t", lifetime));
        }
        for (status, body, temporary, said) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"AADSTS7000222 Kari"}"#,
                false,
                "401 (invalid_client)",
            ),
            (
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                true,
                "temporarily_unavailable",
            ),
            (400, r#"{"error":"Kari Nordmann"}"#, false, "400"),
            (503, "<html>Kari</html>", true, "503"),
            (429, "", true, "429"),
            (200, "{}", false, "no token"),
            (200, "{\"access_token\":\"a\\r\\nb\"}", false, "no token"),
        ] {
            let error = judge(status, body).unwrap_err();
            assert_eq!(
                matches!(error, OAuthError::Temporary { .. }),
                temporary,
                "{body}"
            );
            let whole = format!("{error} {error:?}");
            assert!(whole.contains(said) && !whole.contains("Kari"), "{whole}");
        }
    }
}
