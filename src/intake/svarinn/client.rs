//! MottakService v1 of KS SvarInn: REST with a user and a service password (HTTP Basic).

use super::forsendelse::Forsendelse;
use super::package::Told;
use crate::config::SvarInnConfig;
use crate::http::{self, HttpError, Request, Response};
use crate::intake::SourceError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use hyper::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Longest time without a word from the server.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest time for a list or a receipt.
const ANSWER_MAX: Duration = Duration::from_mins(2);
/// Longest time for one download.
const DOWNLOAD_MAX: Duration = Duration::from_mins(15);
/// Largest list; one entry has about two thousand bytes.
const LIST_MAX_BYTES: usize = 32 << 20;
/// Largest answer to a receipt.
const RECEIPT_MAX_BYTES: usize = 1 << 20;

/// The service as one user sees it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    config: Arc<SvarInnConfig>,
}

/// A downloaded body, still encrypted, and what its headers say.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) body: Vec<u8>,
    pub(super) told: Told,
}

/// One forsendelse could not be downloaded; the others can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotDownloaded {
    /// What happened, for the log.
    pub(super) what: String,
    /// The same for people.
    pub(super) grunn: &'static str,
    /// Trying again will not help by itself.
    pub(super) lasting: bool,
}

/// What receipting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// SvarInn took it.
    Taken,
    /// SvarInn does not have that forsendelse (any more).
    Unknown,
}

impl Client {
    pub(super) const fn new(config: Arc<SvarInnConfig>) -> Self {
        Self { config }
    }

    /// Everything that is not receipted. Changes nothing there.
    pub(super) async fn waiting(&self) -> Result<Vec<Forsendelse>, SourceError> {
        let answer = self
            .call(
                Method::GET,
                "/mottaker/hentNyeForsendelser",
                None,
                LIST_MAX_BYTES,
            )
            .await?;
        self.success(&answer, "the list of forsendelser")?;
        let list: Option<Vec<Value>> = serde_json::from_slice(&answer.body).ok();
        let list = list.ok_or_else(|| {
            SourceError::temporary(
                format!(
                    "SvarInn at {} answered something that is no list of forsendelser; if it goes on, see whether url is the \
                     address of MottakService",
                    self.config.url
                ),
                None,
            )
        })?;
        Ok(list.iter().map(Forsendelse::of).collect())
    }

    /// The encrypted body.
    pub(super) async fn download(&self, letter: &Forsendelse) -> Result<Download, NotDownloaded> {
        let lasting = |what: String, grunn| NotDownloaded {
            what,
            grunn,
            lasting: true,
        };
        let url: Option<Uri> = letter.download_url.parse().ok();
        let url = url.filter(|url| url.scheme().is_some() && url.host().is_some());
        let url = url.ok_or_else(|| {
            lasting(
                "SvarInn tells no address to download it from".to_owned(),
                "SvarInn oppga ingen adresse å hente den fra",
            )
        })?;
        if !self.may_ask(&url) {
            let host = url.host().unwrap_or_default();
            return Err(lasting(
                format!(
                    "SvarInn wants it downloaded from {host}, another server than url; if that is right, add it to download_hosts"
                ),
                "SvarInn viser til en annen tjener enn den som står i innstillingene",
            ));
        }
        let max_bytes = self.config.max_bytes;
        let answer = self
            .send(Method::GET, &url, None, max_bytes, DOWNLOAD_MAX)
            .await;
        let answer = answer.map_err(|error| match error {
            HttpError::TooLarge(..) => lasting(
                format!("it is larger than max_bytes ({max_bytes})"),
                "forsendelsen er større enn innstillingen max_bytes tillater",
            ),
            error => NotDownloaded {
                what: error.to_string(),
                grunn: "nedlastingen fra SvarInn ble avbrutt",
                lasting: false,
            },
        })?;
        match answer.status {
            StatusCode::OK => Ok(Download {
                told: told(&answer.headers),
                body: answer.body,
            }),
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Err(lasting(
                format!("SvarInn does not have its content ({})", status.as_u16()),
                "SvarInn har ikke innholdet i forsendelsen",
            )),
            status => Err(NotDownloaded {
                what: format!("SvarInn answered {} to the download", status.as_u16()),
                grunn: "SvarInn ga ikke fra seg forsendelsen",
                lasting: false,
            }),
        }
    }

    /// Receipts: the forsendelse is ours, and SvarInn shows it no more.
    pub(super) async fn receipt(&self, id: &str) -> Result<Answered, SourceError> {
        let path = format!("/kvitterMottak/forsendelse/{id}");
        self.tell(&path, None, "a receipt").await
    }

    /// Says that it cannot be received. `permanent` sends it on to Altinn and print.
    pub(super) async fn fail(
        &self,
        id: &str,
        text: &str,
        permanent: bool,
    ) -> Result<Answered, SourceError> {
        let path = format!("/mottakFeilet/forsendelse/{id}");
        let body = json!({ "feilmelding": text, "permanent": permanent });
        self.tell(&path, Some(body), "«mottakFeilet»").await
    }

    async fn tell(
        &self,
        path: &str,
        body: Option<Value>,
        what: &str,
    ) -> Result<Answered, SourceError> {
        let answer = self
            .call(Method::POST, path, body, RECEIPT_MAX_BYTES)
            .await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(Answered::Unknown);
        }
        self.success(&answer, what)?;
        Ok(Answered::Taken)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        max_bytes: usize,
    ) -> Result<Response, SourceError> {
        let url = format!("{}{path}", self.config.url);
        let url: Uri = url.parse().map_err(|_| {
            SourceError::needs_person(format!("{} is no address", self.config.url), "correct url")
        })?;
        self.send(method, &url, body, max_bytes, ANSWER_MAX)
            .await
            .map_err(|error| self.unreached(&error))
    }

    async fn send(
        &self,
        method: Method,
        url: &Uri,
        body: Option<Value>,
        max_bytes: usize,
        total: Duration,
    ) -> Result<Response, HttpError> {
        let login = format!("{}:{}", self.config.user, self.config.password.reveal());
        let login = format!("Basic {}", STANDARD.encode(login));
        let mut login = HeaderValue::from_str(&login).map_err(|_| HttpError::BadUrl)?;
        login.set_sensitive(true);
        let mut headers = vec![
            (AUTHORIZATION, login),
            (ACCEPT, HeaderValue::from_static("*/*")),
        ];
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        if !body.is_empty() {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            headers.push((CONTENT_TYPE, json));
        }
        http::send(Request {
            method,
            url,
            headers,
            body: Bytes::from(body),
            ca_file: self.config.ca_file.as_deref(),
            max_bytes,
            silence: SILENCE,
            total,
        })
        .await
    }

    /// Whether the user's password may go there: the server of `url`, or one that the settings name; never less encrypted.
    fn may_ask(&self, url: &Uri) -> bool {
        let base: Option<Uri> = self.config.url.parse().ok();
        let Some(base) = base else { return false };
        let origin = |url: &Uri| {
            let secure = url.scheme_str() == Some("https");
            let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
            (secure, url.host().map(str::to_ascii_lowercase), port)
        };
        if url
            .authority()
            .is_some_and(|told| told.as_str().contains('@'))
        {
            return false;
        }
        let named = || {
            let host = url.host().unwrap_or_default();
            url.scheme_str() == Some("https")
                && self
                    .config
                    .download_hosts
                    .iter()
                    .any(|named| named.eq_ignore_ascii_case(host))
        };
        origin(&base) == origin(url) || named()
    }

    fn unreached(&self, error: &HttpError) -> SourceError {
        let what = format!("SvarInn at {}: {error}", self.config.url);
        match error {
            HttpError::BadUrl => SourceError::needs_person(what, "correct url"),
            HttpError::NotEncrypted => SourceError::needs_person(what, "write https:// in url"),
            HttpError::Untrusted(_) => SourceError::needs_person(
                what,
                "set ca_file to the issuer's certificate, if it is the right server",
            ),
            HttpError::NoCertificates(_) => SourceError::needs_person(
                what,
                "name a readable PEM file with the issuer's certificate in ca_file",
            ),
            _ => SourceError::temporary(what, None),
        }
    }

    /// Sorts an answer that is no success.
    fn success(&self, answer: &Response, what: &str) -> Result<(), SourceError> {
        let status = answer.status;
        if status.is_success() {
            return Ok(());
        }
        let url = &self.config.url;
        let said = format!("SvarInn at {url} answered {} to {what}", status.as_u16());
        Err(match status {
            StatusCode::UNAUTHORIZED => SourceError::needs_person(
                format!(
                    "SvarInn at {url} refuses the user «{}» (401)",
                    self.config.user
                ),
                "check user and password; the service password is made and renewed at KS",
            ),
            StatusCode::FORBIDDEN => SourceError::needs_person(
                format!(
                    "SvarInn at {url} lets the user «{}» in but not fetch (403)",
                    self.config.user
                ),
                "let the administrator at KS give this user the mottakersystem of the organisation",
            ),
            StatusCode::NOT_FOUND => SourceError::needs_person(
                format!("there is no MottakService at {url} (404)"),
                "correct url: it ends before /mottaker/hentNyeForsendelser",
            ),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                SourceError::temporary(said, None)
            }
            status if status.is_server_error() => SourceError::temporary(said, None),
            status if status.is_redirection() => SourceError::needs_person(
                said,
                "redirects are not followed; set url to where the service is",
            ),
            _ => SourceError::needs_person(said, "check url, and ask KS what it means"),
        })
    }
}

fn told(headers: &HeaderMap) -> Told {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let disposition = text(CONTENT_DISPOSITION);
    let file_name = disposition
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("filename"))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .unwrap_or_default();
    Told {
        media_type: text(CONTENT_TYPE).to_ascii_lowercase(),
        file_name,
    }
}
