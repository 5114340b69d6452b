//! A real Dovecot 2.3 of its own for one test: private folders, free ports of 127.0.0.1, users with Maildirs.
//!
//! Works as root (Dovecot then drops to its own users, mail belongs to `nobody`) and as an ordinary user.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::net::{free_ports, listens, local, wait_until};
use super::packages;

/// Password of every user.
pub const PASSWORD: &str = "hemmelig passord";
/// How long the server may take to start or stop.
const READY: Duration = Duration::from_secs(20);
/// Limit for every read and write of the bare clients.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Which certificate the server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// Issued by an authority of its own, for `localhost` and 127.0.0.1.
    #[default]
    Issued,
    /// Self-signed and an authority itself, as `openssl req -x509` makes it.
    SelfSignedCa,
    /// Issued as the first, for another host.
    OtherHost,
}

/// How the server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Users; `postmottak` when empty.
    pub users: Vec<String>,
    /// The certificate.
    pub certificate: Certificate,
    /// Extensions told after the log-in, in place of all that Dovecot knows.
    pub capability: Option<String>,
    /// Refuse passwords without TLS.
    pub require_tls: bool,
    /// Take tokens (XOAUTH2), which are shown to this address for a judgement (RFC 7662).
    pub introspection_url: Option<String>,
}

/// A running Dovecot. Stops when dropped.
#[derive(Debug)]
pub struct Dovecot {
    dir: TempDir,
    child: Option<Child>,
    mail_owner: Option<(u32, u32)>,
    delivered: AtomicU32,
    /// Port for IMAP in the clear and STARTTLS.
    pub imap: u16,
    /// Port for IMAP with TLS.
    pub imaps: u16,
    /// Port for LMTP.
    pub lmtp: u16,
    /// PEM file with the issuer of the server's certificate (or the certificate itself when self-signed).
    pub ca_file: PathBuf,
    /// SHA-256 of the server's certificate.
    pub pin_sha256: String,
}

impl Dovecot {
    /// Starts one with user `postmottak`. `None`: the test must be skipped, and that has been said.
    pub fn start() -> Option<Self> {
        Self::with(&Options::default())
    }

    /// Starts one.
    ///
    /// # Panics
    /// When Dovecot is there and does not start.
    pub fn with(options: &Options) -> Option<Self> {
        let files = ["dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp"];
        if !packages::ensure(&files, &["dovecot-imapd", "dovecot-lmtpd"]) {
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("lv-dovecot-")
            .tempdir()
            .unwrap();
        // The server's own users must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = id("-u", None) == 0;
        let mail_owner = root.then(|| (id("-u", Some("nobody")), id("-g", Some("nobody"))));
        let [imap, imaps, lmtp] = free_ports();
        let (ca_file, pin_sha256) = write_certificate(dir.path(), options.certificate);
        let mut server = Self {
            dir,
            child: None,
            mail_owner,
            delivered: AtomicU32::new(0),
            imap,
            imaps,
            lmtp,
            ca_file,
            pin_sha256,
        };
        let default = ["postmottak".to_owned()];
        let users = if options.users.is_empty() {
            &default[..]
        } else {
            &options.users
        };
        server.write_config(users, options);
        for user in users {
            server.make_maildir(&server.maildir(user));
        }
        server.launch();
        Some(server)
    }

    fn write_config(&self, users: &[String], options: &Options) {
        let base = self.dir.path();
        let home = base.join("mail");
        fs::create_dir_all(&home).unwrap();
        self.own(&home);
        let passwords: Vec<String> = users
            .iter()
            .map(|user| format!("{user}:{{PLAIN}}{PASSWORD}\n"))
            .collect();
        fs::write(base.join("passwd"), passwords.concat()).unwrap();
        let (uid, gid) = self
            .mail_owner
            .unwrap_or_else(|| (id("-u", None), id("-g", None)));
        let unprivileged = if self.mail_owner.is_some() {
            String::new()
        } else {
            let (user, group) = (name("-un"), name("-gn"));
            format!(
                "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n\
                 service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
            )
        };
        let capability = options
            .capability
            .as_ref()
            .map_or_else(String::new, |told| format!("imap_capability = {told}\n"));
        let (mechanisms, tokens) = match &options.introspection_url {
            None => ("plain", String::new()),
            Some(url) => {
                let settings = format!(
                    "introspection_url = {url}\nintrospection_mode = post\nusername_attribute = username\n\
                     active_attribute = active\nactive_value = true\n"
                );
                fs::write(base.join("oauth2.conf"), settings).unwrap();
                let args = base.join("oauth2.conf");
                let passdb = format!(
                    "passdb {{\n driver = oauth2\n mechanisms = xoauth2\n args = {}\n}}\n",
                    args.display()
                );
                ("plain xoauth2", passdb)
            }
        };
        let plaintext = if options.require_tls { "yes" } else { "no" };
        let (imap, imaps, lmtp) = (self.imap, self.imaps, self.lmtp);
        let base = base.display();
        let config = format!(
            "base_dir = {base}/run\nstate_dir = {base}/run\nlog_path = {base}/log\nprotocols = imap lmtp\n\
             listen = 127.0.0.1\nssl = yes\nssl_cert = <{base}/cert.pem\nssl_key = <{base}/key.pem\n\
             disable_plaintext_auth = {plaintext}\nauth_mechanisms = {mechanisms}\nauth_failure_delay = 0 secs\n\
             auth_username_format = %Ln\nlogin_trusted_networks =\n\
             first_valid_uid = {uid}\nfirst_valid_gid = 0\nmail_location = maildir:{base}/mail/%n\n\
             mailbox_idle_check_interval = 1 secs\n{capability}{unprivileged}{tokens}\
             passdb {{\n driver = passwd-file\n args = {base}/passwd\n}}\n\
             userdb {{\n driver = static\n args = uid={uid} gid={gid} home={base}/mail/%n\n}}\n\
             namespace inbox {{\n inbox = yes\n separator = /\n}}\n\
             service imap-login {{\n chroot =\n process_min_avail = 0\n inet_listener imap {{\n port = {imap}\n }}\n\
             inet_listener imaps {{\n port = {imaps}\n ssl = yes\n }}\n}}\n\
             service lmtp {{\n inet_listener lmtp {{\n port = {lmtp}\n }}\n}}\n"
        );
        fs::write(self.dir.path().join("dovecot.conf"), config).unwrap();
    }

    fn launch(&mut self) {
        let dovecot = packages::find("dovecot").unwrap();
        let child = Command::new(dovecot)
            .arg("-F")
            .arg("-c")
            .arg(self.dir.path().join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let ports = [self.imap, self.imaps, self.lmtp];
        let ready = wait_until(READY, || ports.iter().all(|port| listens(*port)));
        assert!(ready, "Dovecot does not start:\n{}", self.log());
    }

    /// What the server has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let group = Pid::from_child(&child);
        kill_process_group(group, signal).ok();
        if !wait_until(READY, || matches!(child.try_wait(), Ok(Some(_)))) {
            kill_process_group(group, Signal::KILL).ok();
            child.wait().ok();
        }
        // Children that outlive the master would hold the ports.
        kill_process_group(group, Signal::KILL).ok();
    }

    /// Starts it again on the same ports with the same mail.
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// The Maildir of a user's INBOX.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user)
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.mail_owner {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn make_maildir(&self, path: &Path) {
        for folder in [
            path.to_owned(),
            path.join("new"),
            path.join("cur"),
            path.join("tmp"),
        ] {
            fs::create_dir_all(&folder).unwrap();
            self.own(&folder);
        }
    }

    /// Puts a message into a user's INBOX; INTERNALDATE is `arrived`.
    pub fn drop_message(&self, user: &str, bytes: &[u8], arrived: SystemTime) -> PathBuf {
        let seconds = arrived
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let number = self.delivered.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{seconds}.M{number}P{}.test", std::process::id());
        let maildir = self.maildir(user);
        let (tmp, new) = (
            maildir.join("tmp").join(&unique),
            maildir.join("new").join(&unique),
        );
        fs::write(&tmp, bytes).unwrap();
        self.own(&tmp);
        fs::File::options()
            .write(true)
            .open(&tmp)
            .unwrap()
            .set_modified(arrived)
            .unwrap();
        fs::rename(&tmp, &new).unwrap();
        new
    }

    /// Fills the INBOX of a user with so many messages that have been read; INTERNALDATE is what comes with them.
    pub fn fill(
        &self,
        user: &str,
        messages: usize,
        message: impl Fn(usize) -> (Vec<u8>, SystemTime),
    ) {
        let cur = self.maildir(user).join("cur");
        for number in 0..messages {
            let (bytes, arrived) = message(number);
            let seconds = arrived
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs();
            let path = cur.join(format!("{seconds}.M{number}P1.test:2,S"));
            let mut file = fs::File::create(&path).unwrap();
            file.write_all(&bytes).unwrap();
            file.set_modified(arrived).unwrap();
            self.own(&path);
        }
    }

    /// Delivers a message over LMTP to these users.
    pub fn deliver(&self, users: &[&str], bytes: &[u8]) {
        let mut wire = Wire::connect(self.lmtp);
        wire.expect("220");
        wire.send("LHLO test.example");
        wire.expect("250");
        wire.send("MAIL FROM:<avsender@legesenter.example>");
        wire.expect("250");
        for user in users {
            wire.send(&format!("RCPT TO:<{user}@sykehus.example>"));
            wire.expect("250");
        }
        wire.send("DATA");
        wire.expect("354");
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b".") {
                wire.stream.get_mut().write_all(b".").unwrap();
            }
            wire.stream.get_mut().write_all(line).unwrap();
            wire.stream.get_mut().write_all(b"\r\n").unwrap();
        }
        wire.send(".");
        for _ in users {
            wire.expect("250");
        }
        wire.send("QUIT");
    }

    /// A bare IMAP client, logged in as this user.
    pub fn client(&self, user: &str) -> BareImap {
        let mut wire = Wire::connect(self.imap);
        wire.expect("* OK");
        let mut client = BareImap { wire, tag: 0 };
        client.ok(&format!("LOGIN {user} \"{PASSWORD}\""));
        client
    }

    /// Flags of all messages of a folder by UID, sorted, without `\Recent`. The folder's name is in modified UTF-7.
    pub fn flags(&self, user: &str, folder: &str) -> BTreeMap<u32, Vec<String>> {
        let mut client = self.client(user);
        let opened = client.ok(&format!("EXAMINE \"{folder}\""));
        if opened.iter().any(|line| line == "* 0 EXISTS") {
            return BTreeMap::new();
        }
        let mut flags = BTreeMap::new();
        for line in client.ok("UID FETCH 1:* (FLAGS)") {
            let Some((_, rest)) = line.split_once("FETCH (UID ") else {
                continue;
            };
            let (uid, rest) = rest.split_once(" FLAGS (").unwrap();
            let mut of: Vec<String> = rest
                .trim_end_matches(')')
                .split_whitespace()
                .filter(|flag| *flag != "\\Recent")
                .map(str::to_owned)
                .collect();
            of.sort();
            flags.insert(uid.parse().unwrap(), of);
        }
        flags
    }

    /// Gives the INBOX of a user a new UIDVALIDITY and numbers its messages from 1, as after a restored backup.
    pub fn recreate_mailbox(&mut self, user: &str) {
        self.stop();
        let maildir = self.maildir(user);
        let list = maildir.join("dovecot-uidlist");
        let header = fs::read_to_string(&list).unwrap();
        let header = header.lines().next().unwrap();
        let old: u32 = header
            .split(' ')
            .find_map(|word| word.strip_prefix('V'))
            .unwrap()
            .parse()
            .unwrap();
        for entry in fs::read_dir(&maildir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("dovecot.index") || name.starts_with("dovecot.list.index") {
                fs::remove_file(path).unwrap();
            }
        }
        fs::write(&list, format!("3 V{} N1\n", old + 1000)).unwrap();
        self.own(&list);
        self.launch();
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- log of Dovecot ---\n{}", self.log());
        }
    }
}

/// Lines over TCP, each read and write under a time limit.
#[derive(Debug)]
struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect_timeout(&local(port), CLIENT_TIMEOUT).unwrap();
        stream.set_read_timeout(Some(CLIENT_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(CLIENT_TIMEOUT)).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    fn send(&mut self, line: &str) {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(!line.is_empty(), "the server hung up");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Reads an answer of one or more lines, which must begin so.
    fn expect(&mut self, start: &str) {
        loop {
            let line = self.line();
            assert!(line.starts_with(start), "expected {start}, got {line}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}

/// A few IMAP commands by hand, independent of the code under test.
#[derive(Debug)]
pub struct BareImap {
    wire: Wire,
    tag: u32,
}

impl BareImap {
    /// Sends a command; untagged lines and the last one.
    pub fn command(&mut self, command: &str) -> Vec<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.wire.send(&format!("{tag} {command}"));
        let mut lines = Vec::new();
        loop {
            let line = self.wire.line();
            let last = line.starts_with(&format!("{tag} "));
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// Waits (IDLE) until the server tells of more messages than `known`; how many there are. `None`: it tells nothing for
    /// so long as an answer may take, or hangs up.
    pub fn idle_until_more_than(&mut self, known: u32) -> Option<u32> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.wire.send(&format!("{tag} IDLE"));
        let mut exists = known;
        while exists <= known {
            let mut line = String::new();
            if !matches!(self.wire.stream.read_line(&mut line), Ok(1..)) {
                return None;
            }
            let number = line
                .strip_prefix("* ")
                .and_then(|line| line.trim_end().strip_suffix(" EXISTS"));
            exists = number.map_or(exists, |number| number.parse().unwrap());
        }
        self.wire.send("DONE");
        while !self.wire.line().starts_with(&format!("{tag} ")) {}
        Some(exists)
    }

    /// Sends a command that must succeed.
    pub fn ok(&mut self, command: &str) -> Vec<String> {
        let lines = self.command(command);
        let last = lines.last().unwrap();
        assert!(last.contains(" OK"), "{command}: {last}");
        lines
    }
}

fn name(of: &str) -> String {
    let output = Command::new("id").arg(of).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn id(of: &str, user: Option<&str>) -> u32 {
    let output = Command::new("id").arg(of).args(user).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Writes `cert.pem`, `key.pem` and `ca.pem`; path of the last and SHA-256 of the first.
fn write_certificate(dir: &Path, kind: Certificate) -> (PathBuf, String) {
    let named = |name: &str, hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let hosts: &[&str] = match kind {
        Certificate::OtherHost => &["annen.example"],
        _ => &["localhost", "127.0.0.1"],
    };
    let key = KeyPair::generate().unwrap();
    let mut server = named("Testtjener", hosts);
    let (certificate, authority) = if kind == Certificate::SelfSignedCa {
        server.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = server.self_signed(&key).unwrap();
        let pem = certificate.pem();
        (certificate, pem)
    } else {
        let mut authority = named("Testutsteder", &[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        (server.signed_by(&key, &issuer).unwrap(), issuer.pem())
    };
    fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let ca_file = dir.join("ca.pem");
    fs::write(&ca_file, authority).unwrap();
    let pin: Vec<String> = Sha256::digest(certificate.der().as_ref())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (ca_file, pin.concat())
}
