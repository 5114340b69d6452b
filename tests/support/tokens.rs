//! A token endpoint (RFC 6749 section 4.4) that also judges its tokens (RFC 7662), over real HTTP or HTTPS on a free port of
//! 127.0.0.1. It ends when it is dropped.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::serving::Serving;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The secret of the only client.
pub const CLIENT_SECRET: &str = "klientens hemmelighet &=æ";
/// Its id.
pub const CLIENT_ID: &str = "0a1b-linjevei";

#[derive(Debug, Default)]
struct State {
    /// Tokens that are good.
    good: Vec<String>,
    issued: u32,
    judged: u32,
    expires_in: u64,
    /// Whose mailbox the tokens open.
    user: String,
}

/// The endpoint.
#[derive(Debug)]
pub struct TokenServer {
    /// Its port.
    pub port: u16,
    /// Its certificate, where it speaks HTTPS.
    pub certificate_pem: String,
    state: Arc<Mutex<State>>,
    _serving: Serving,
}

impl TokenServer {
    /// Over HTTP; tokens open the mailbox of `user` and are good for so many seconds.
    pub fn start(user: &str, expires_in: u64) -> Self {
        Self::with(user, expires_in, false)
    }

    /// Over HTTPS.
    pub fn start_tls(user: &str, expires_in: u64) -> Self {
        Self::with(user, expires_in, true)
    }

    fn with(user: &str, expires_in: u64, tls: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let state = Arc::new(Mutex::new(State {
            expires_in,
            user: user.to_owned(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let serving = Serving::start(move |listener| async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (state, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    // A client that hangs up ends its own connection only.
                    if tls {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            answer(stream, &state).await.ok();
                        }
                    } else {
                        answer(tcp, &state).await.ok();
                    }
                });
            }
        });
        Self {
            port: serving.port,
            certificate_pem: made.cert.pem(),
            state,
            _serving: serving,
        }
    }

    /// Where tokens are asked for.
    pub fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// Where they are judged.
    pub fn introspection_url(&self) -> String {
        format!("http://127.0.0.1:{}/introspect", self.port)
    }

    /// Tokens given so far.
    pub fn issued(&self) -> u32 {
        self.state.lock().unwrap().issued
    }

    /// Tokens judged so far.
    pub fn judged(&self) -> u32 {
        self.state.lock().unwrap().judged
    }

    /// All tokens given so far are good no more.
    pub fn revoke(&self) {
        self.state.lock().unwrap().good.clear();
    }

    /// From now on tokens open this mailbox.
    pub fn set_user(&self, user: &str) {
        user.clone_into(&mut self.state.lock().unwrap().user);
    }
}

/// One request.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut length = 0_usize;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length.min(65_536)];
    stream.read_exact(&mut body).await?;
    let form = form(&String::from_utf8_lossy(&body));
    let (status, json) = match first.split(' ').nth(1).unwrap_or_default() {
        "/token" => issue(&form, &mut state.lock().unwrap()),
        "/introspect" => judge(&form, &mut state.lock().unwrap()),
        _ => ("404 Not Found", serde_json::json!({})),
    };
    let json = json.to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
        json.len()
    );
    stream.get_mut().write_all(answer.as_bytes()).await?;
    stream.get_mut().shutdown().await
}

fn issue(form: &BTreeMap<String, String>, state: &mut State) -> (&'static str, serde_json::Value) {
    let is = |key: &str, value: &str| form.get(key).is_some_and(|given| given == value);
    if !is("grant_type", "client_credentials") || !is("scope", "https://outlook.example/.default") {
        return (
            "400 Bad Request",
            serde_json::json!({ "error": "invalid_request" }),
        );
    }
    if !is("client_id", CLIENT_ID) || !is("client_secret", CLIENT_SECRET) {
        return (
            "401 Unauthorized",
            serde_json::json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Kari" }),
        );
    }
    state.issued += 1;
    let token = format!("token-{}", state.issued);
    state.good.push(token.clone());
    (
        "200 OK",
        serde_json::json!({ "token_type": "Bearer", "expires_in": state.expires_in, "access_token": token }),
    )
}

fn judge(form: &BTreeMap<String, String>, state: &mut State) -> (&'static str, serde_json::Value) {
    state.judged += 1;
    let good = form
        .get("token")
        .is_some_and(|token| state.good.contains(token));
    let json = if good {
        serde_json::json!({ "active": true, "username": state.user })
    } else {
        serde_json::json!({ "active": false })
    };
    ("200 OK", json)
}

/// A form, decoded.
fn form(body: &str) -> BTreeMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                let digits = String::from_utf8(digits.to_vec()).unwrap();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}
