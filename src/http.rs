//! A small HTTP client: one request on a connection of its own, encrypted unless it stays on this machine, bounded in time
//! and size, never following a redirect. [I/O]
//!
//! Each caller turns [`HttpError`] into its own error, since only it knows which setting to name. No error repeats a word of
//! an answer: it may name people.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Method.
    pub method: Method,
    /// `https`, or `http` on this machine.
    pub url: &'a Uri,
    /// Headers besides Host and User-Agent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body; empty for none.
    pub body: Bytes,
    /// PEM file with further trusted certificates.
    pub ca_file: Option<&'a Path>,
    /// Largest answer that is taken.
    pub max_bytes: usize,
    /// Longest time without anything from the server: for the connection, for the head of the answer, between two pieces.
    pub silence: Duration,
    /// Longest time for all of it.
    pub total: Duration,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

/// No whole answer was had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The address is none that can be asked.
    #[error("the address cannot be asked")]
    BadUrl,
    /// `http` to another machine.
    #[error("without encryption only this machine is asked")]
    NotEncrypted,
    /// The file with trusted certificates holds none.
    #[error("{} holds no certificate", .0.display())]
    NoCertificates(PathBuf),
    /// Name, network or server.
    #[error("{0} cannot be reached ({1})")]
    Unreachable(String, std::io::ErrorKind),
    /// TLS, because of the server's certificate.
    #[error("the certificate of {0} is not trusted")]
    Untrusted(String),
    /// TLS, for another reason.
    #[error("TLS with {0} failed")]
    Tls(String),
    /// The connection ended before the answer did.
    #[error("{0} broke off its answer")]
    BrokenOff(String),
    /// The server does not answer, or stopped in the middle.
    #[error("{0} does not answer in time")]
    TooSlow(String),
    /// The answer is larger than what is taken.
    #[error("the answer of {0} is larger than {1} bytes")]
    TooLarge(String, usize),
}

impl HttpError {
    /// Whether it may go away by itself.
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(..) | Self::Tls(_) | Self::BrokenOff(_) | Self::TooSlow(_)
        )
    }
}

/// Asks and waits for the whole answer.
///
/// # Errors
/// [`HttpError`]; an answer with any status is no error.
pub async fn send(request: Request<'_>) -> Result<Response, HttpError> {
    let host = request.url.host().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(HttpError::BadUrl);
    }
    let secure = request.url.scheme_str() == Some("https");
    let port = request
        .url
        .port_u16()
        .unwrap_or(if secure { 443 } else { 80 });
    let place = format!("{host}:{port}");
    let total = request.total;
    timeout(total, exchange(request, &host, port, secure, place.clone()))
        .await
        .unwrap_or(Err(HttpError::TooSlow(place)))
}

async fn exchange(
    request: Request<'_>,
    host: &str,
    port: u16,
    secure: bool,
    place: String,
) -> Result<Response, HttpError> {
    let too_slow = || HttpError::TooSlow(place.clone());
    let tcp = timeout(request.silence, TcpStream::connect((host, port)))
        .await
        .map_err(|_| too_slow())?
        .map_err(|error| HttpError::Unreachable(place.clone(), error.kind()))?;
    if !secure {
        let to_itself = tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if !to_itself {
            return Err(HttpError::NotEncrypted);
        }
        return ask(tcp, request, place).await;
    }
    let tls = tls(request.ca_file, &place)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpError::BadUrl)?;
    let stream = timeout(request.silence, TlsConnector::from(tls).connect(name, tcp))
        .await
        .map_err(|_| too_slow())?
        .map_err(|error| {
            let certificate = error.get_ref().is_some_and(|cause| {
                matches!(
                    cause.downcast_ref(),
                    Some(tokio_rustls::rustls::Error::InvalidCertificate(_))
                )
            });
            if certificate {
                HttpError::Untrusted(place.clone())
            } else {
                HttpError::Tls(place.clone())
            }
        })?;
    ask(stream, request, place).await
}

fn tls(ca_file: Option<&Path>, place: &str) -> Result<Arc<ClientConfig>, HttpError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = ca_file {
        let added = certificates(path).map(|found| roots.add_parsable_certificates(found).0);
        if added.unwrap_or_default() == 0 {
            return Err(HttpError::NoCertificates(path.to_owned()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| HttpError::Tls(place.to_owned()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .ok()
}

/// One request on this connection.
async fn ask<S>(stream: S, request: Request<'_>, place: String) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (silence, max_bytes) = (request.silence, request.max_bytes);
    let message = message(request)?;
    let broken_off = |_| HttpError::BrokenOff(place.clone());
    let too_slow = |_| HttpError::TooSlow(place.clone());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken_off)?;
    let exchange = async {
        let response = timeout(silence, sender.send_request(message)).await;
        let response = response.map_err(too_slow)?.map_err(broken_off)?;
        let (head, mut body) = response.into_parts();
        let too_large = || HttpError::TooLarge(place.clone(), max_bytes);
        let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if told > max_bytes {
            return Err(too_large());
        }
        let mut taken = Vec::with_capacity(told);
        while let Some(frame) = timeout(silence, body.frame()).await.map_err(too_slow)? {
            let frame = frame.map_err(broken_off)?;
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            if taken.len().saturating_add(piece.len()) > max_bytes {
                return Err(too_large());
            }
            taken.extend_from_slice(piece);
        }
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body: taken,
        })
    };
    tokio::pin!(exchange, connection);
    let mut closed = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut exchange => break answer,
            // What went wrong there, the exchange tells.
            _ = &mut connection, if !closed => closed = true,
        }
    }
}

fn message(request: Request<'_>) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
    let host = request
        .url
        .authority()
        .map(hyper::http::uri::Authority::as_str)
        .unwrap_or_default();
    // Who asks is told by a header, not in the address.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = request
        .url
        .path_and_query()
        .map_or("/", hyper::http::uri::PathAndQuery::as_str);
    let mut message = hyper::Request::builder()
        .method(request.method)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("linjevei/", env!("CARGO_PKG_VERSION")));
    for (name, value) in request.headers {
        message = message.header(name, value);
    }
    message
        .body(Full::new(request.body))
        .map_err(|_| HttpError::BadUrl)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(url: &str, max_bytes: usize) -> Result<Response, HttpError> {
        let url: Uri = url.parse().unwrap();
        send(Request {
            method: Method::GET,
            url: &url,
            headers: Vec::new(),
            body: Bytes::new(),
            ca_file: None,
            max_bytes,
            silence: Duration::from_millis(300),
            total: Duration::from_mins(1),
        })
        .await
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let answer = get(&format!("http://{place}/"), 10).await;
        assert_eq!(answer.unwrap_err(), HttpError::TooSlow(place));
    }

    #[tokio::test]
    async fn large_answers_and_odd_addresses() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            for head in ["Content-Length: 11", "Connection: close"] {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut request = [0; 16];
                tcp.read_exact(&mut request).await.unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nhello world");
                tcp.write_all(answer.as_bytes()).await.unwrap();
                // The rest of the request is taken, so that the answer is not lost in a reset.
                let mut rest = Vec::new();
                tcp.shutdown().await.unwrap();
                tcp.read_to_end(&mut rest).await.ok();
            }
        });
        for _ in 0..2 {
            let answer = get(&format!("http://{place}/"), 10).await;
            assert_eq!(answer.unwrap_err(), HttpError::TooLarge(place.clone(), 10));
        }
        server.await.unwrap();
        assert_eq!(get("/x", 10).await.unwrap_err(), HttpError::BadUrl);
    }
}
