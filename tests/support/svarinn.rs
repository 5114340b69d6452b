//! KS SvarInn as far as MottakService v1 goes, over real HTTP on a free port of 127.0.0.1, with letters that `openssl cms`
//! encrypts. It misbehaves when told to. It ends when it is dropped.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test program uses a part of it"
)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::serving::Serving;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linjevei::config::{Secret, SvarInnConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// The only user.
pub const USER: &str = "tjenestebruker";
/// Its service password.
pub const PASSWORD: &str = "tjenestepassørd: æ";
/// The receiver.
pub const ORGANISATION: &str = "987654325";
/// The portal's address in the rules.
pub const PORTAL: &str = "varsling@edialog.example";

/// How letters are encrypted: streamed (BER, indefinite lengths), RSAES-OAEP with SHA-256 throughout, AES-256-CBC.
pub const USUAL: &[&str] = &[
    "-stream",
    "-indef",
    "-aes256",
    "-keyopt",
    "rsa_padding_mode:oaep",
    "-keyopt",
    "rsa_oaep_md:sha256",
    "-keyopt",
    "rsa_mgf1_md:sha256",
];

/// Key pairs with certificates, made by openssl.
#[derive(Debug)]
pub struct Keys {
    dir: TempDir,
}

impl Keys {
    /// `None` without openssl, which has been said.
    pub fn make() -> Option<Self> {
        if !crate::support::packages::ensure(&["openssl"], &["openssl"]) {
            return None;
        }
        let keys = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        keys.pair("vaar", "3072", "400");
        keys.pair("annen", "2048", "400");
        Some(keys)
    }

    /// Makes one that is good for so many days.
    pub fn pair(&self, name: &str, bits: &str, days: &str) {
        let key = self.key(name);
        let done = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey"])
            .arg(format!("rsa:{bits}"))
            .args([
                "-subj",
                &format!("/C=NO/O=Sykehuset/CN={name}"),
                "-days",
                days,
            ])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(self.certificate(name))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
        private(&key);
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.key"))
    }

    pub fn certificate(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    /// Rewrites a key in another form and gives its path.
    pub fn key_as(&self, name: &str, form: &str, args: &[&str]) -> PathBuf {
        let path = self.dir.path().join(format!("{name}.{form}"));
        let done = Command::new("openssl")
            .args(args)
            .arg("-in")
            .arg(self.key(name))
            .arg("-out")
            .arg(&path)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
        private(&path);
        path
    }

    /// Encrypts for these certificates; options for each recipient stand before the certificates.
    pub fn encrypt_for(&self, names: &[&str], options: &[&str], clear: &[u8]) -> Vec<u8> {
        let (general, of_recipient): (Vec<&str>, Vec<&str>) = {
            let at = options.iter().position(|option| *option == "-keyopt");
            let (general, of_recipient) = options.split_at(at.unwrap_or(options.len()));
            (general.to_vec(), of_recipient.to_vec())
        };
        let mut command = Command::new("openssl");
        command.args(["cms", "-encrypt", "-binary", "-outform", "DER"]);
        command.args(general);
        for name in names {
            command
                .arg("-recip")
                .arg(self.certificate(name))
                .args(&of_recipient);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = clear.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Encrypts as SvarInn does, for our certificate.
    pub fn encrypt(&self, clear: &[u8]) -> Vec<u8> {
        self.encrypt_for(&["vaar"], USUAL, clear)
    }
}

fn private(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A file of a letter.
#[derive(Debug, Clone)]
pub struct File {
    pub name: &'static str,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl File {
    pub fn text(name: &'static str, text: &str) -> Self {
        Self {
            name,
            media_type: "text/plain",
            bytes: text.as_bytes().to_vec(),
        }
    }
}

/// A zip of files, under the names as they are given.
pub fn zipped(files: &[File]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for file in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(file.name, options).unwrap();
        writer.write_all(&file.bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The metadata that SvarInn tells of an eDialog forsendelse.
pub fn metadata(id: &str, title: &str, date_ms: i64, files: &[File]) -> Value {
    let files: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({ "filnavn": file.name, "mimetype": file.media_type, "sha256hash": sha256(&file.bytes),
                    "dokumentType": null, "size": file.bytes.len() })
        })
        .collect();
    json!({
        "id": id, "tittel": title, "date": date_ms, "status": "Mottatt", "niva": "4",
        "avsender": { "navn": "Kari Testesen", "adresselinje1": "Storgata 1", "adresselinje2": "", "adresselinje3": null,
                      "postnr": "1600", "poststed": "Fredrikstad" },
        "mottaker": { "navn": "Sykehuset Østfold HF", "orgnr": ORGANISATION, "fnr": null },
        "svarSendesTil": { "navn": "Kari Testesen", "orgnr": null, "fnr": FNR },
        "svarPaForsendelse": null, "forsendelseType": "edialog", "eksternRef": null, "lenker": [],
        "metadataFraAvleverendeSystem": { "ekstraMetadata": [] }, "metadataForImport": { "sakssekvensnummer": 0 },
        "filmetadata": files, "enda et felt": { "som": "ingen kjenner" },
    })
}

/// The sender's, synthetic.
pub const FNR: &str = "13097248022";

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = <rsa::sha2::Sha256 as rsa::sha2::Digest>::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What the server does to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trick {
    /// Answers with this status.
    Status(u16),
    /// Answers with this body instead.
    Body(Vec<u8>),
    /// Promises all and breaks off in the middle.
    Half,
    /// Sends the body in small pieces with pauses.
    Slow,
    /// Sends the browser elsewhere.
    Redirect(String),
}

#[derive(Debug, Clone)]
struct Letter {
    metadata: Value,
    body: Vec<u8>,
    media_type: String,
}

#[derive(Debug, Default)]
struct State {
    letters: Vec<Letter>,
    list_trick: Option<Trick>,
    download_trick: Option<Trick>,
    receipt_trick: Option<Trick>,
    /// Lines of requests, with the body behind.
    requests: Vec<String>,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    /// Its port.
    pub port: u16,
    state: Arc<Mutex<State>>,
    _serving: Serving,
}

impl Server {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let serving = Serving::start(move |listener| async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that hangs up ends its own connection only.
                    answer(tcp, &state).await.ok();
                });
            }
        });
        Self {
            port: serving.port,
            state,
            _serving: serving,
        }
    }

    /// Where MottakService is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/tjenester/svarinn", self.port)
    }

    /// How this server is reached; two looks never share an answer.
    pub fn config(&self, keys: &Keys) -> SvarInnConfig {
        SvarInnConfig {
            name: "svarinn".to_owned(),
            url: self.url(),
            user: USER.to_owned(),
            password: Secret::new(PASSWORD.to_owned()),
            organisation: ORGANISATION.to_owned(),
            private_key: keys.key("vaar"),
            certificate: keys.certificate("vaar"),
            sender: PORTAL.to_owned(),
            download_hosts: Vec::new(),
            ca_file: None,
            max_bytes: 5_000_000,
            poll: Duration::ZERO,
        }
    }

    /// Puts a letter there, with its address.
    pub fn put(&self, metadata: Value, body: Vec<u8>, media_type: &str) {
        let mut metadata = metadata;
        if metadata.get("downloadUrl").is_none() {
            let id = metadata["id"].as_str().unwrap_or_default();
            let url = format!("{}/forsendelse/{id}", self.url());
            metadata["downloadUrl"] = json!(url);
        }
        self.state.lock().unwrap().letters.push(Letter {
            metadata,
            body,
            media_type: media_type.to_owned(),
        });
    }

    /// Puts a letter of these files there, as SvarInn packs it.
    pub fn put_files(&self, keys: &Keys, metadata: Value, files: &[File]) {
        let (clear, media_type) = match files {
            [one] => (one.bytes.clone(), one.media_type),
            several => (zipped(several), "application/zip"),
        };
        self.put(metadata, keys.encrypt(&clear), media_type);
    }

    /// Changes the body of a letter.
    pub fn set_body(&self, id: &str, body: &[u8]) {
        let mut state = self.state.lock().unwrap();
        for letter in &mut state.letters {
            if letter.metadata["id"] == id {
                letter.body = body.to_vec();
            }
        }
    }

    pub fn list_trick(&self, trick: Option<Trick>) {
        self.state.lock().unwrap().list_trick = trick;
    }

    pub fn download_trick(&self, trick: Option<Trick>) {
        self.state.lock().unwrap().download_trick = trick;
    }

    pub fn receipt_trick(&self, trick: Option<Trick>) {
        self.state.lock().unwrap().receipt_trick = trick;
    }

    /// Requests so far that begin like this.
    pub fn requests(&self, begins: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let requests = state.requests.iter();
        requests
            .filter(|request| request.starts_with(begins))
            .cloned()
            .collect()
    }

    /// Ids of what is not receipted.
    pub fn waiting(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let letters = state.letters.iter();
        letters
            .map(|letter| {
                letter.metadata["id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}

/// One request.
async fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let (mut length, mut login) = (0_usize, String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => value.trim().clone_into(&mut login),
            _ => {}
        }
    }
    let mut body = vec![0; length.min(65_536)];
    stream.read_exact(&mut body).await?;
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let request = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let (status, media_type, bytes, trick) = {
        let mut state = state.lock().unwrap();
        state.requests.push(
            format!("{request} {}", String::from_utf8_lossy(&body))
                .trim_end()
                .to_owned(),
        );
        let (status, media_type, bytes) = if login == expected {
            respond(&request, &mut state)
        } else {
            (
                401,
                "text/html".to_owned(),
                b"<html>Kari Testesen</html>".to_vec(),
            )
        };
        let trick = if status == 200 {
            trick_for(&request, &state)
        } else {
            None
        };
        (status, media_type, bytes, trick)
    };
    let tcp = stream.get_mut();
    let head = |status: u16, more: &str, length: usize| {
        format!(
            "HTTP/1.1 {status} Svar\r\nContent-Type: {media_type}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    match trick {
        Some(Trick::Status(status)) => {
            let text = "Kari Testesen fikk feil";
            tcp.write_all(head(status, "", text.len()).as_bytes())
                .await?;
            tcp.write_all(text.as_bytes()).await?;
        }
        Some(Trick::Redirect(to)) => {
            tcp.write_all(head(302, &format!("Location: {to}\r\n"), 0).as_bytes())
                .await?;
        }
        Some(Trick::Body(bytes)) => {
            tcp.write_all(head(200, "", bytes.len()).as_bytes()).await?;
            tcp.write_all(&bytes).await?;
        }
        Some(Trick::Half) => {
            tcp.write_all(head(200, "", bytes.len()).as_bytes()).await?;
            tcp.write_all(&bytes[..bytes.len() / 2]).await?;
        }
        Some(Trick::Slow) => {
            tcp.write_all(head(200, "", bytes.len()).as_bytes()).await?;
            for piece in bytes.chunks(bytes.len() / 5 + 1) {
                tcp.write_all(piece).await?;
                tcp.flush().await?;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
        None => {
            tcp.write_all(head(status, "", bytes.len()).as_bytes())
                .await?;
            tcp.write_all(&bytes).await?;
        }
    }
    tcp.shutdown().await
}

fn trick_for(request: &str, state: &State) -> Option<Trick> {
    if request.contains("/mottaker/hentNyeForsendelser") {
        state.list_trick.clone()
    } else if request.starts_with("GET ") {
        state.download_trick.clone()
    } else {
        state.receipt_trick.clone()
    }
}

fn respond(request: &str, state: &mut State) -> (u16, String, Vec<u8>) {
    let json = "application/json;charset=UTF-8".to_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let Some(path) = path.strip_prefix("/tjenester/svarinn") else {
        return (404, json, Vec::new());
    };
    let position = |state: &State, prefix: &str| {
        let id = path.strip_prefix(prefix)?;
        let mut letters = state.letters.iter();
        letters.position(|letter| letter.metadata["id"] == id)
    };
    if request.starts_with("GET /") && path == "/mottaker/hentNyeForsendelser" {
        let list: Vec<&Value> = state
            .letters
            .iter()
            .map(|letter| &letter.metadata)
            .collect();
        return (200, json, serde_json::to_vec(&list).unwrap());
    }
    if request.starts_with("GET ")
        && let Some(at) = position(state, "/forsendelse/")
    {
        let letter = &state.letters[at];
        return (200, letter.media_type.clone(), letter.body.clone());
    }
    if request.starts_with("POST ")
        && let Some(at) = position(state, "/kvitterMottak/forsendelse/")
    {
        if state.receipt_trick.is_none() {
            let id = state.letters[at].metadata["id"].clone();
            state.letters.retain(|letter| letter.metadata["id"] != id);
        }
        return (200, json, Vec::new());
    }
    if request.starts_with("POST ") && position(state, "/mottakFeilet/forsendelse/").is_some() {
        return (200, json, Vec::new());
    }
    (404, json, Vec::new())
}
