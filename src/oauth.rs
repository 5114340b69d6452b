//! Tokens for XOAUTH2: the client credentials of OAuth 2 (RFC 6749 section 4.4), as Exchange Online asks for. [I/O]
//!
//! [`Tokens`] keeps one token until shortly before it expires. A server that refuses it makes [`Tokens::forget`] drop it, and
//! the next one is fetched. What the endpoint says beyond its error code reaches no error: it may name people.

use crate::clock::{SharedClock, SystemClock};
use crate::config::{OAuthConfig, Secret};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

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
        let (token, lifetime) = timeout(FETCH_TIMEOUT, self.fetch())
            .await
            .unwrap_or_else(|_| Err(self.temporary("the endpoint does not answer in time")))?;
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
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| {
            self.temporary(format!(
                "{host}:{port} cannot be reached ({})",
                error.kind()
            ))
        })?;
        if !secure {
            let to_itself = tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            if !to_itself {
                return Err(self.needs_person(
                    "without encryption only this machine is asked",
                    "write https:// in token_url",
                ));
            }
            return self.ask(tcp, &url).await;
        }
        let tls = self.tls()?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| self.needs_person("token_url has no host name", "correct token_url"))?;
        let stream = TlsConnector::from(tls).connect(name, tcp).await;
        let stream = stream.map_err(|error| {
            let certificate = error.get_ref().is_some_and(|cause| {
                matches!(
                    cause.downcast_ref(),
                    Some(tokio_rustls::rustls::Error::InvalidCertificate(_))
                )
            });
            if certificate {
                self.needs_person(
                    format!("the certificate of {host}:{port} is not trusted"),
                    "set ca_file to the issuer's certificate, if it is the right server",
                )
            } else {
                self.temporary(format!("TLS with {host}:{port} failed"))
            }
        })?;
        self.ask(stream, &url).await
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, OAuthError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = &self.config.ca_file {
            let added = certificates(path).map(|found| roots.add_parsable_certificates(found).0);
            if added.unwrap_or_default() == 0 {
                return Err(self.needs_person(
                    format!("ca_file {} holds no certificate", path.display()),
                    "name a readable PEM file with the issuer's certificate",
                ));
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| self.temporary("TLS cannot be set up"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// One request on a connection of its own.
    async fn ask<S>(&self, stream: S, url: &Uri) -> Result<(Secret, Duration), OAuthError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let cut_off = |_| self.temporary("the endpoint broke off the connection");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(cut_off)?;
        let request = self
            .request(url)
            .map_err(|_| self.needs_person("token_url cannot be asked for", "correct token_url"))?;
        let exchange = async move {
            let response = sender.send_request(request).await.map_err(cut_off)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES);
            let body = body
                .collect()
                .await
                .map_err(|_| self.temporary("the endpoint broke off its answer"))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(exchange, connection);
        let mut closed = false;
        let (status, body) = loop {
            tokio::select! {
                biased;
                answer = &mut exchange => break answer?,
                // What went wrong there, the exchange tells.
                _ = &mut connection, if !closed => closed = true,
            }
        };
        self.judge(status, &body)
    }

    fn request(&self, url: &Uri) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
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
        let host = url
            .authority()
            .map(hyper::http::uri::Authority::as_str)
            .unwrap_or_default();
        let path = url
            .path_and_query()
            .map_or("/", hyper::http::uri::PathAndQuery::as_str);
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("linjevei/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(form)))
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

fn certificates(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .ok()
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

    #[tokio::test]
    async fn the_request_is_a_form_of_client_credentials() {
        let tokens = tokens();
        let url = tokens.config.token_url.parse().unwrap();
        let request = tokens.request(&url).unwrap();
        assert_eq!(request.headers()[HOST], "127.0.0.1:1");
        assert_eq!(request.uri(), "/token");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
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
