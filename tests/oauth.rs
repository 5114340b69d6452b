//! Logging in with tokens (XOAUTH2): a token endpoint over real HTTP and HTTPS, Dovecot that has each token judged, and the
//! scripted SMTP server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "support/worker.rs"]
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use linjevei::clock::ManualClock;
use linjevei::config::{Login, OAuthConfig, Ours, Proof, Secret, Server, SourceConfig, Tls};
use linjevei::intake::{Cursor, ImapSource, MailSource as _};
use linjevei::oauth::{OAuthError, Tokens};
use linjevei::outbox::{Envelope, MailTransport as _, RecipientOutcome, SmtpTransport};
use smtp::{Script, SmtpServer};
use support::dovecot::{Dovecot, Options};
use tokens::{CLIENT_ID, CLIENT_SECRET, TokenServer};
use worker::{ADDRESS, Installation, settings};

const USER: &str = "postmottak";

fn oauth(token_url: String, ca_file: Option<PathBuf>) -> Arc<OAuthConfig> {
    Arc::new(OAuthConfig {
        name: "microsoft".to_owned(),
        token_url,
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(CLIENT_SECRET.to_owned()),
        scope: "https://outlook.example/.default".to_owned(),
        ca_file,
    })
}

fn login(endpoint: &TokenServer) -> Login {
    Login {
        user: USER.to_owned(),
        proof: Proof::OAuth(oauth(endpoint.token_url(), None)),
    }
}

fn dovecot(endpoint: &TokenServer) -> Option<Dovecot> {
    Dovecot::with(&Options {
        introspection_url: Some(endpoint.introspection_url()),
        ..Options::default()
    })
}

fn source(dovecot: &Dovecot, endpoint: &TokenServer) -> ImapSource {
    ImapSource::new(&SourceConfig::Imap {
        name: "post".to_owned(),
        server: Server {
            host: "localhost".to_owned(),
            port: dovecot.imaps,
            tls: Tls::Implicit,
            ca_file: Some(dovecot.ca_file.clone()),
            pin_sha256: None,
            login: Some(login(endpoint)),
        },
        folder: "INBOX".to_owned(),
        ours: Ours::Leave,
        idle: true,
        poll: Duration::from_mins(1),
        timeout: Duration::from_mins(1),
    })
    .unwrap()
}

const MAIL: &[u8] = b"From: <a@b.example>\r\nSubject: x\r\n\r\nx\r\n";

#[tokio::test]
async fn imap_takes_a_token_keeps_it_and_gets_a_new_one_when_it_is_withdrawn() {
    let endpoint = TokenServer::start(USER, 3600);
    let Some(dovecot) = dovecot(&endpoint) else {
        return;
    };
    dovecot.drop_message(USER, MAIL, SystemTime::now());
    let mut source = source(&dovecot, &endpoint);
    let cursor = Cursor::default();
    let listing = source.list(&cursor, 10).await.unwrap();
    assert_eq!(listing.candidates.len(), 1);
    assert_eq!((endpoint.issued(), endpoint.judged()), (1, 1));
    // A new connection, the same token.
    source.close().await;
    source.list(&cursor, 10).await.unwrap();
    assert_eq!((endpoint.issued(), endpoint.judged()), (1, 2));
    // Withdrawn before its time: refused once, and a new one is fetched in the same log-in.
    source.close().await;
    endpoint.revoke();
    source.list(&cursor, 10).await.unwrap();
    assert_eq!((endpoint.issued(), endpoint.judged()), (2, 4));
    // The token is good, for another mailbox: tried with one new token, then a person has to look.
    source.close().await;
    endpoint.set_user("en-annen");
    let error = source.list(&cursor, 10).await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    assert!(error.to_string().contains("rejects the token"), "{error}");
    assert_eq!(endpoint.issued(), 3);
    // Mended on the server: it works again by itself.
    endpoint.set_user(USER);
    source.list(&cursor, 10).await.unwrap();
    assert_eq!(endpoint.issued(), 4);
}

#[tokio::test]
async fn a_server_without_tokens_and_an_endpoint_that_refuses_are_told_apart() {
    let endpoint = TokenServer::start(USER, 3600);
    let Some(plain) = Dovecot::start() else {
        return;
    };
    let error = source(&plain, &endpoint)
        .list(&Cursor::default(), 10)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("takes no tokens"), "{error}");
    assert_eq!(endpoint.issued(), 0);

    let refused = |change: fn(&mut OAuthConfig)| {
        let mut config = OAuthConfig::clone(&oauth(endpoint.token_url(), None));
        change(&mut config);
        async move { Tokens::new(Arc::new(config)).token().await.unwrap_err() }
    };
    let error = refused(|config| config.client_secret = Secret::new("feil".to_owned())).await;
    assert!(matches!(error, OAuthError::NeedsPerson { .. }));
    let said = format!("{error} {error:?}");
    assert!(said.contains("401 (invalid_client)"), "{said}");
    assert!(!said.contains("Kari") && !said.contains("feil"), "{said}");
    let error = refused(|config| config.token_url.push_str("-borte")).await;
    assert!(error.to_string().contains("404"), "{error}");
    let gone = endpoint.token_url();
    drop(endpoint);
    let error = Tokens::new(oauth(gone, None)).token().await.unwrap_err();
    assert!(matches!(error, OAuthError::Temporary { .. }), "{error}");
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_it_expires() {
    // Half of a short life, five minutes of a long one.
    for (expires_in, kept_secs) in [(600, 300), (3600, 3300)] {
        let endpoint = TokenServer::start(USER, expires_in);
        let clock = Arc::new(ManualClock::new(0));
        let config = oauth(endpoint.token_url(), None);
        let tokens = Tokens::with_clock(config, Arc::<ManualClock>::clone(&clock));
        let first = tokens.token().await.unwrap();
        clock.set(kept_secs * 1000 - 1);
        assert_eq!(tokens.token().await.unwrap(), first);
        clock.set(kept_secs * 1000);
        assert_ne!(tokens.token().await.unwrap(), first);
        assert_eq!(endpoint.issued(), 2);
    }
}

#[tokio::test]
async fn an_endpoint_over_tls_must_show_a_certificate_that_is_trusted() {
    let endpoint = TokenServer::start_tls(USER, 3600);
    let url = format!("https://localhost:{}/token", endpoint.port);
    let error = Tokens::new(oauth(url.clone(), None)).token().await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(endpoint.issued(), 0);
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &endpoint.certificate_pem).unwrap();
    let tokens = Tokens::new(oauth(url, Some(ca_file)));
    assert_eq!(tokens.token().await.unwrap().reveal(), "token-1");
}

fn smtp_wants(token: &str, refuse_by_challenge: bool) -> Script {
    Script {
        login: Some((USER.to_owned(), token.to_owned())),
        mechanisms: "XOAUTH2".to_owned(),
        refuse_by_challenge,
        ..Script::default()
    }
}

#[tokio::test]
async fn smtp_takes_a_token_and_gets_a_new_one_when_it_is_refused() {
    for by_challenge in [true, false] {
        let endpoint = TokenServer::start(USER, 3600);
        let server = SmtpServer::start(smtp_wants("token-1", by_challenge));
        let transport = SmtpTransport::new(
            Server {
                host: "127.0.0.1".to_owned(),
                port: server.addr.port(),
                tls: Tls::None,
                ca_file: None,
                pin_sha256: None,
                login: Some(login(&endpoint)),
            },
            "linjevei.example",
        );
        let envelope = Envelope {
            from: None,
            to: vec!["lege@legesenter.example".to_owned()],
        };
        let accepted = async |transport: &SmtpTransport| {
            let delivery = transport.send(&envelope, MAIL).await;
            let all = delivery.recipients.iter();
            let accepted = all
                .filter(|outcome| matches!(outcome, RecipientOutcome::Accepted(_)))
                .count();
            (accepted == 1, delivery)
        };
        assert!(accepted(&transport).await.0);
        assert!(accepted(&transport).await.0);
        assert_eq!(endpoint.issued(), 1);
        assert_eq!(server.received()[0].user.as_deref(), Some(USER));
        server.set(smtp_wants("token-2", by_challenge));
        assert!(accepted(&transport).await.0, "by challenge: {by_challenge}");
        assert_eq!(endpoint.issued(), 2);
        // Two refused tokens: the mail waits, the note says what to do and no secret.
        server.set(smtp_wants("ingen", by_challenge));
        let (sent, delivery) = accepted(&transport).await;
        assert!(!sent);
        assert!(matches!(
            delivery.recipients[0],
            RecipientOutcome::Temporary(_)
        ));
        assert!(
            delivery.note.contains("log-in with a token"),
            "{}",
            delivery.note
        );
        assert!(!delivery.note.contains("token-"), "{}", delivery.note);
        assert_eq!((endpoint.issued(), server.received().len()), (3, 3));
        server.set(smtp_wants("token-4", by_challenge));
        assert!(accepted(&transport).await.0);
    }
}

#[test]
fn the_program_reads_and_sends_with_tokens() {
    let endpoint = TokenServer::start(USER, 3600);
    let Some(dovecot) = dovecot(&endpoint) else {
        return;
    };
    // The mailbox is asked first, and twice: how it is, and what a first run would do.
    let smtp = SmtpServer::start(smtp_wants("token-3", true));
    let installation = Installation::new(&format!(
        "{}\n[oauth.microsoft]\ntoken_url = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret_file = \"klient\"\n\
         scope = \"https://outlook.example/.default\"\n\n[[imap]]\nname = \"post\"\nhost = \"localhost\"\nport = {}\n\
         ca_file = \"{}\"\nuser = \"{USER}\"\noauth = \"microsoft\"\n\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         user = \"{USER}\"\noauth = \"microsoft\"\n",
        settings(),
        endpoint.token_url(),
        dovecot.imaps,
        dovecot.ca_file.display(),
        smtp.addr.port()
    ));
    installation.secret("klient", CLIENT_SECRET);
    let doctor = installation.ok(["doctor"]);
    assert!(doctor.contains("logged in"), "{doctor}");
    assert_eq!(endpoint.issued(), 3);
    // The worker's mailbox takes the fourth.
    smtp.set(smtp_wants("token-5", true));
    let worker = installation.start_and_wait();
    let report = format!(
        "From: Lege Kari Testesen <kari.testesen@fjordgloett-legesenter.example>\r\nTo: {ADDRESS}\r\n\
         Subject: Avviksmelding: manglende epikrise\r\nDate: Mon, 2 Nov 2026 09:00:00 +0100\r\n\
         Message-ID: <1.prove@fjordgloett-legesenter.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hei,\r\nvi melder et samhandlingsavvik. Pasienten ble utskrevet fra lungeposten uten epikrise.\r\n\
         Vi ber om svar.\r\n\r\nKari Testesen, fastlege\r\n"
    );
    dovecot.deliver(&[USER], report.as_bytes());
    installation.until_worked_off(1);
    assert_eq!(smtp.received().len(), 2, "the case and the acknowledgement");
    let (status, _, log) = worker.stop();
    assert!(status.success());
    assert!(
        !log.iter().any(|line| line.contains("token-")),
        "a token in the log"
    );
}
