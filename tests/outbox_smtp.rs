//! [`SmtpTransport`] against a scripted server over a real socket: every way in which sending can end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;

use std::time::Duration;

use linjevei::clock::Clock as _;
use linjevei::config::{Login, Secret, Server, Tls};
use linjevei::outbox::smtp::Timeouts;
use linjevei::outbox::{Delivery, Envelope, MailTransport, RecipientOutcome, Reply, SmtpTransport};
use smtp::{Act, Encryption, Script, SmtpServer};

const MAIL: &[u8] =
    b"Message-ID: <ours@linjevei.example>\r\nSubject: x\r\n\r\n.dot\r\n..\r\n.\r\nend\r\n";

/// Short, for the one step that a test lets time out.
const SHORT: Duration = Duration::from_millis(150);

fn server_config(server: &SmtpServer, tls: Tls) -> Server {
    Server {
        host: "127.0.0.1".into(),
        port: server.addr.port(),
        tls,
        ca_file: None,
        pin_sha256: None,
        login: None,
    }
}

fn plain(server: &SmtpServer) -> SmtpTransport {
    SmtpTransport::new(server_config(server, Tls::None), "linjevei.example")
}

fn envelope(to: &[&str]) -> Envelope {
    Envelope {
        from: Some("bounce+sak@so-hf.example".into()),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
    }
}

fn accepted() -> RecipientOutcome {
    RecipientOutcome::Accepted(Reply {
        code: 250,
        enhanced: (2, 0, 0),
    })
}

fn temporary(code: u16, enhanced: (u8, u16, u16)) -> RecipientOutcome {
    RecipientOutcome::Temporary(Reply { code, enhanced })
}

fn permanent(code: u16, enhanced: (u8, u16, u16)) -> RecipientOutcome {
    RecipientOutcome::Permanent(Reply { code, enhanced })
}

fn no_answer() -> RecipientOutcome {
    temporary(0, (0, 0, 0))
}

/// No note may hold an address.
fn seen(delivery: &Delivery) -> &[RecipientOutcome] {
    assert!(!delivery.note.contains('@'), "{}", delivery.note);
    let all_well = delivery
        .recipients
        .iter()
        .all(|outcome| matches!(outcome, RecipientOutcome::Accepted(_)));
    assert_eq!(delivery.note.is_empty(), all_well, "{delivery:?}");
    &delivery.recipients
}

async fn send_one(transport: &SmtpTransport) -> Delivery {
    transport.send(&envelope(&["a@x.example"]), MAIL).await
}

#[tokio::test]
async fn the_bytes_and_the_envelope_arrive_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mail.jsonl");
    let server = SmtpServer::start(Script {
        log: Some(log.clone()),
        ..Script::default()
    });
    let transport = plain(&server);
    let delivery = transport
        .send(&envelope(&["a@x.example", "b@y.example"]), MAIL)
        .await;
    assert_eq!(seen(&delivery), [accepted(), accepted()]);
    assert_eq!(delivery.replaced_message_id, None);
    let null = transport
        .send(
            &Envelope {
                from: None,
                to: vec!["a@x.example".into()],
            },
            MAIL,
        )
        .await;
    assert_eq!(seen(&null), [accepted()]);
    let received = server.received();
    assert_eq!(
        (received[0].from.as_str(), received[1].from.as_str()),
        ("bounce+sak@so-hf.example", "")
    );
    assert_eq!(received[0].to, ["a@x.example", "b@y.example"]);
    assert_eq!(
        (received[0].bytes.as_slice(), received[1].bytes.as_slice()),
        (MAIL, MAIL)
    );
    assert!(!received[0].encrypted);
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2);
    assert_eq!(
        server.commands()[..5],
        ["EHLO", "MAIL", "RCPT", "RCPT", "DATA"]
    );
}

#[tokio::test]
async fn a_large_mail_goes_through_in_blocks() {
    let server = SmtpServer::start(Script::default());
    let mail = [MAIL, "0123456789".repeat(7).as_bytes(), b"\r\n"].concat();
    let mail = [b"Subject: large\r\n\r\n".as_slice(), &mail.repeat(40_000)].concat();
    let delivery = plain(&server)
        .send(&envelope(&["a@x.example"]), &mail)
        .await;
    assert_eq!(seen(&delivery), [accepted()]);
    assert!(server.received()[0].bytes == mail, "bytes differ");
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let rcpt = vec![
        (
            "unknown".into(),
            Act::say("550 5.1.1 no such user: unknown@x.example"),
        ),
        ("later".into(), Act::say("451 4.7.1 greylisted")),
        ("full".into(), Act::say("552 5.2.2 mailbox full")),
        ("old".into(), Act::say("553 not here")),
    ];
    let server = SmtpServer::start(Script {
        rcpt,
        ..Script::default()
    });
    let to = [
        "unknown@x.example",
        "good@x.example",
        "later@x.example",
        "full@x.example",
        "old@x.example",
        "ikke en adresse",
    ];
    let delivery = plain(&server).send(&envelope(&to), MAIL).await;
    let expected = [
        permanent(550, (5, 1, 1)),
        accepted(),
        temporary(451, (4, 7, 1)),
        temporary(552, (5, 2, 2)),
        permanent(553, (0, 0, 0)),
        permanent(0, (0, 0, 0)),
    ];
    assert_eq!(seen(&delivery), expected);
    assert_eq!(server.received()[0].to, ["good@x.example"]);
}

#[tokio::test]
async fn nobody_left_means_no_data() {
    let rcpt = vec![
        ("a@".into(), Act::say("550 5.1.1 no")),
        ("b@".into(), Act::say("450 4.2.1 no")),
    ];
    let server = SmtpServer::start(Script {
        rcpt,
        ..Script::default()
    });
    let delivery = plain(&server)
        .send(&envelope(&["a@x.example", "b@x.example"]), MAIL)
        .await;
    assert_eq!(
        seen(&delivery),
        [permanent(550, (5, 1, 1)), temporary(450, (4, 2, 1))]
    );
    assert_eq!(server.commands(), ["EHLO", "MAIL", "RCPT", "RCPT", "QUIT"]);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_421_ends_the_attempt_for_all_that_were_not_refused() {
    let rcpt = vec![
        ("bad".into(), Act::say("550 5.1.1 no")),
        ("closing".into(), Act::say("421 4.3.2 shutting down")),
    ];
    let server = SmtpServer::start(Script {
        rcpt,
        ..Script::default()
    });
    let delivery = plain(&server)
        .send(
            &envelope(&[
                "good@x.example",
                "bad@x.example",
                "closing@x.example",
                "next@x.example",
            ]),
            MAIL,
        )
        .await;
    let closing = temporary(421, (4, 3, 2));
    assert_eq!(
        seen(&delivery),
        [
            closing.clone(),
            permanent(550, (5, 1, 1)),
            closing.clone(),
            closing
        ]
    );
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn refused_return_path_is_for_all() {
    let server = SmtpServer::start(Script {
        mail: Act::say("550 5.7.1 sender refused"),
        ..Script::default()
    });
    let delivery = plain(&server)
        .send(&envelope(&["a@x.example", "b@x.example"]), MAIL)
        .await;
    assert_eq!(
        seen(&delivery),
        [permanent(550, (5, 7, 1)), permanent(550, (5, 7, 1))]
    );
    server.set(Script {
        mail: Act::say("451 4.3.0 not now"),
        ..Script::default()
    });
    assert_eq!(
        seen(&send_one(&plain(&server)).await),
        [temporary(451, (4, 3, 0))]
    );
}

#[tokio::test]
async fn answers_to_data_and_to_the_mail() {
    let server = SmtpServer::start(Script::default());
    let transport = plain(&server);
    let cases = [
        (
            Script {
                data: Act::say("554 5.5.1 no"),
                ..Script::default()
            },
            permanent(554, (5, 5, 1)),
        ),
        (
            Script {
                data: Act::say("451 4.3.0 no"),
                ..Script::default()
            },
            temporary(451, (4, 3, 0)),
        ),
        (
            Script {
                data: Act::say("250 2.0.0 what"),
                ..Script::default()
            },
            no_answer(),
        ),
        (
            Script {
                end: Act::say("552 5.3.4 too large"),
                ..Script::default()
            },
            permanent(552, (5, 3, 4)),
        ),
        (
            Script {
                end: Act::say("451 4.7.1 scanner busy"),
                ..Script::default()
            },
            temporary(451, (4, 7, 1)),
        ),
        (
            Script {
                end: Act::say("421 4.3.2 shutting down"),
                ..Script::default()
            },
            temporary(421, (4, 3, 2)),
        ),
        (
            Script {
                end: Act::say("354 what"),
                ..Script::default()
            },
            RecipientOutcome::Unknown,
        ),
        (
            Script {
                end: Act::say("hello"),
                ..Script::default()
            },
            RecipientOutcome::Unknown,
        ),
    ];
    for (script, expected) in cases {
        server.set(script.clone());
        assert_eq!(seen(&send_one(&transport).await), [expected], "{script:?}");
    }
}

#[tokio::test]
async fn a_lost_final_reply_is_unknown() {
    let server = SmtpServer::start(Script {
        end: Act::Close,
        ..Script::default()
    });
    let delivery = plain(&server)
        .send(&envelope(&["a@x.example", "b@x.example"]), MAIL)
        .await;
    assert_eq!(
        seen(&delivery),
        [RecipientOutcome::Unknown, RecipientOutcome::Unknown]
    );
    assert_eq!(server.received().len(), 1, "the server has it");

    server.set(Script {
        end: Act::Stall,
        ..Script::default()
    });
    let transport = plain(&server).with_timeouts(Timeouts {
        final_reply: SHORT,
        ..Timeouts::default()
    });
    let delivery = send_one(&transport).await;
    assert_eq!(seen(&delivery), [RecipientOutcome::Unknown]);
    assert!(
        delivery.note.contains("may have been delivered"),
        "{}",
        delivery.note
    );

    // A refused recipient stays refused.
    server.set(Script {
        end: Act::Close,
        rcpt: vec![("bad".into(), Act::say("550 5.1.1 no"))],
        ..Script::default()
    });
    let delivery = plain(&server)
        .send(&envelope(&["bad@x.example", "a@x.example"]), MAIL)
        .await;
    assert_eq!(
        seen(&delivery),
        [permanent(550, (5, 1, 1)), RecipientOutcome::Unknown]
    );
}

#[tokio::test]
async fn a_body_that_did_not_get_through_is_temporary() {
    // More than the buffers of the sockets hold, so that writing blocks.
    let mail = [
        b"Subject: x\r\n\r\n".as_slice(),
        &b"0123456789012345678901234567890123456789\r\n".repeat(800_000),
    ]
    .concat();
    let server = SmtpServer::start(Script {
        stall_in_body: true,
        ..Script::default()
    });
    let transport = plain(&server).with_timeouts(Timeouts {
        block: SHORT,
        ..Timeouts::default()
    });
    let delivery = transport.send(&envelope(&["a@x.example"]), &mail).await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(
        delivery.note.contains("not sent to its end"),
        "{}",
        delivery.note
    );

    server.set(Script {
        close_in_body: Some(1000),
        ..Script::default()
    });
    let delivery = plain(&server)
        .send(&envelope(&["a@x.example"]), &mail)
        .await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn every_step_has_its_time_limit() {
    let all = Timeouts::default();
    let server = SmtpServer::start(Script::default());
    let slow = || vec![("a@".to_owned(), Act::Stall)];
    let cases = [
        (
            "greeting",
            Script {
                greeting: Act::Stall,
                ..Script::default()
            },
            Timeouts {
                greeting: SHORT,
                ..all
            },
        ),
        (
            "MAIL",
            Script {
                mail: Act::Stall,
                ..Script::default()
            },
            Timeouts { mail: SHORT, ..all },
        ),
        (
            "RCPT",
            Script {
                rcpt: slow(),
                ..Script::default()
            },
            Timeouts { rcpt: SHORT, ..all },
        ),
        (
            "DATA",
            Script {
                data: Act::Stall,
                ..Script::default()
            },
            Timeouts { data: SHORT, ..all },
        ),
    ];
    for (step, script, timeouts) in cases {
        server.set(script);
        let delivery = send_one(&plain(&server).with_timeouts(timeouts)).await;
        assert_eq!(seen(&delivery), [no_answer()], "{step}");
        assert!(
            delivery.note.contains(step) && delivery.note.contains("in time"),
            "{step}: {}",
            delivery.note
        );
    }
    // The same through TLS, where connecting, handshake and greeting are one step.
    let silent = Script {
        encryption: Encryption::Implicit,
        greeting: Act::Stall,
        ..Script::default()
    };
    let behind_tls = SmtpServer::start(silent);
    let config = Server {
        pin_sha256: Some(behind_tls.certificate_sha256.clone()),
        ..server_config(&behind_tls, Tls::Implicit)
    };
    let timeouts = Timeouts {
        connect: SHORT,
        greeting: SHORT,
        ..all
    };
    let transport = SmtpTransport::new(config, "linjevei.example").with_timeouts(timeouts);
    let delivery = send_one(&transport).await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(delivery.note.contains("in time"), "{}", delivery.note);
    // Slow is not too slow.
    server.set(Script {
        rcpt: vec![("a@".into(), Act::Slow(SHORT))],
        end: Act::Slow(SHORT),
        ..Script::default()
    });
    assert_eq!(seen(&send_one(&plain(&server)).await), [accepted()]);
    // What happened on one connection does not reach the next.
    server.set(Script::default());
    assert_eq!(seen(&send_one(&plain(&server)).await), [accepted()]);
}

#[tokio::test]
async fn cut_connections_before_the_body_are_temporary() {
    let server = SmtpServer::start(Script::default());
    let cases = [
        Script {
            greeting: Act::Close,
            ..Script::default()
        },
        Script {
            mail: Act::Close,
            ..Script::default()
        },
        Script {
            rcpt: vec![("a@".into(), Act::Close)],
            ..Script::default()
        },
        Script {
            data: Act::Close,
            ..Script::default()
        },
    ];
    for script in cases {
        server.set(script.clone());
        assert_eq!(
            seen(&send_one(&plain(&server)).await),
            [no_answer()],
            "{script:?}"
        );
    }
    server.set(Script {
        greeting: Act::say("554 5.3.2 no service"),
        ..Script::default()
    });
    let delivery = send_one(&plain(&server)).await;
    assert_eq!(
        seen(&delivery),
        [temporary(554, (5, 3, 2))],
        "the server, not the mail"
    );
    let gone = server_config(&server, Tls::None);
    drop(server);
    let delivery = send_one(&SmtpTransport::new(gone, "linjevei.example")).await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(
        delivery.note.contains("cannot connect"),
        "{}",
        delivery.note
    );
}

fn login(server: &SmtpServer, password: &str) -> Server {
    Server {
        login: Some(Login::password(
            "linjevei".into(),
            Secret::new(password.into()),
        )),
        ..server_config(server, Tls::None)
    }
}

#[tokio::test]
async fn log_in_by_plain_and_by_login() {
    let asks = |mechanisms: &str| Script {
        login: Some(("linjevei".into(), "hemmelig-ord".into())),
        mechanisms: mechanisms.into(),
        ..Script::default()
    };
    let server = SmtpServer::start(asks("PLAIN LOGIN"));
    for mechanisms in ["PLAIN LOGIN", "LOGIN"] {
        server.set(asks(mechanisms));
        let transport = SmtpTransport::new(login(&server, "hemmelig-ord"), "linjevei.example");
        assert_eq!(
            seen(&send_one(&transport).await),
            [accepted()],
            "{mechanisms}"
        );
        assert_eq!(
            server.received().last().unwrap().user.as_deref(),
            Some("linjevei")
        );
        assert!(transport.check().await.unwrap().contains("logged in"));

        let wrong = SmtpTransport::new(login(&server, "feil-ord"), "linjevei.example");
        let delivery = send_one(&wrong).await;
        assert_eq!(
            seen(&delivery),
            [temporary(535, (5, 7, 8))],
            "the mail waits for a right password"
        );
        assert!(
            delivery.note.contains("log-in")
                && delivery.note.contains("check user name and password"),
            "{}",
            delivery.note
        );
        assert!(
            !delivery.note.contains("feil-ord")
                && !wrong.check().await.unwrap_err().contains("feil-ord")
        );
    }
    let delivery = send_one(&plain(&server)).await;
    assert_eq!(
        seen(&delivery),
        [temporary(530, (5, 7, 0))],
        "a fault of the settings, not of the mail"
    );
    server.set(asks("GSSAPI"));
    let delivery = send_one(&SmtpTransport::new(
        login(&server, "hemmelig-ord"),
        "linjevei.example",
    ))
    .await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(
        delivery.note.contains("offers no log-in"),
        "{}",
        delivery.note
    );
}

#[tokio::test]
async fn encrypted_with_a_certificate_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    for (encryption, tls) in [
        (Encryption::Implicit, Tls::Implicit),
        (Encryption::Starttls, Tls::Starttls),
    ] {
        let script = Script {
            encryption,
            login: Some(("linjevei".into(), "ord".into())),
            ..Script::default()
        };
        let server = SmtpServer::start(script);
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, &server.certificate_pem).unwrap();
        let untrusting = Server {
            tls,
            ..login(&server, "ord")
        };
        let refused = send_one(&SmtpTransport::new(untrusting.clone(), "linjevei.example")).await;
        assert_eq!(seen(&refused), [no_answer()]);
        assert!(
            refused.note.contains("certificate is not trusted") && refused.note.contains("ca_file"),
            "{}",
            refused.note
        );
        assert!(
            !server.commands().contains(&"AUTH".to_owned()),
            "no password for a server that is not trusted"
        );

        let good = [
            Server {
                ca_file: Some(ca_file.clone()),
                ..untrusting.clone()
            },
            Server {
                pin_sha256: Some(server.certificate_sha256.clone()),
                ..untrusting.clone()
            },
        ];
        for config in good {
            let transport = SmtpTransport::new(config, "linjevei.example");
            let checked = transport.check().await.unwrap();
            assert!(
                checked.contains("TLS") && checked.contains("logged in"),
                "{checked}"
            );
            assert_eq!(seen(&send_one(&transport).await), [accepted()]);
            assert!(server.received().last().unwrap().encrypted);
        }

        let before = server
            .commands()
            .iter()
            .filter(|command| *command == "AUTH")
            .count();
        let pinned = Server {
            pin_sha256: Some("ab".repeat(32)),
            ..untrusting.clone()
        };
        let delivery = send_one(&SmtpTransport::new(pinned, "linjevei.example")).await;
        assert_eq!(seen(&delivery), [no_answer()]);
        assert!(
            delivery.note.contains(&server.certificate_sha256),
            "says which certificate was shown: {}",
            delivery.note
        );
        assert_eq!(
            server
                .commands()
                .iter()
                .filter(|command| *command == "AUTH")
                .count(),
            before,
            "no password"
        );

        for (content, complaint) in [(None, "cannot be read"), (Some("hei"), "no certificate")] {
            let path = folder.path().join("bad.pem");
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let transport = SmtpTransport::new(
                Server {
                    ca_file: Some(path),
                    ..untrusting.clone()
                },
                "linjevei.example",
            );
            let problem = transport.check().await.unwrap_err();
            assert!(problem.contains(complaint), "{problem}");
        }
        std::fs::remove_file(folder.path().join("bad.pem")).unwrap();
    }
}

#[tokio::test]
async fn starttls_is_not_optional() {
    let server = SmtpServer::start(Script::default());
    let delivery = send_one(&SmtpTransport::new(
        server_config(&server, Tls::Starttls),
        "linjevei.example",
    ))
    .await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(delivery.note.contains("STARTTLS"), "{}", delivery.note);
    assert_eq!(server.commands(), ["EHLO", "QUIT"]);
}

#[tokio::test]
async fn answers_slipped_in_before_tls_are_not_believed() {
    let script = Script {
        encryption: Encryption::Starttls,
        inject_behind_starttls: true,
        ..Script::default()
    };
    let server = SmtpServer::start(script);
    let config = Server {
        pin_sha256: Some(server.certificate_sha256.clone()),
        ..server_config(&server, Tls::Starttls)
    };
    let delivery = send_one(&SmtpTransport::new(config, "linjevei.example")).await;
    assert_eq!(seen(&delivery), [no_answer()]);
    assert!(delivery.note.contains("STARTTLS"), "{}", delivery.note);
    assert!(server.received().is_empty());
    assert_eq!(server.commands(), ["EHLO", "STARTTLS"]);
}

#[tokio::test]
async fn exchange_gives_another_message_id() {
    let server = SmtpServer::start(Script {
        exchange_id: Some("AM0PR@exchange.example".into()),
        ..Script::default()
    });
    let delivery = send_one(&plain(&server)).await;
    assert_eq!(
        seen(&delivery),
        [RecipientOutcome::Accepted(Reply {
            code: 250,
            enhanced: (2, 6, 0)
        })]
    );
    assert_eq!(
        delivery.replaced_message_id.as_deref(),
        Some("AM0PR@exchange.example")
    );
    server.set(Script {
        exchange_id: Some("ours@linjevei.example".into()),
        ..Script::default()
    });
    assert_eq!(send_one(&plain(&server)).await.replaced_message_id, None);
}

#[tokio::test]
async fn a_mail_with_bare_line_ends_is_not_sent() {
    let server = SmtpServer::start(Script::default());
    let delivery = plain(&server)
        .send(
            &envelope(&["a@x.example"]),
            b"Subject: x\r\n\r\nhei\n.\r\nMAIL FROM:<>\r\n",
        )
        .await;
    assert_eq!(seen(&delivery), [permanent(0, (0, 0, 0))]);
    assert!(server.commands().is_empty());
}

/// Waits until the server has seen `command`, by looking again, not by guessing a time.
async fn until(server: &SmtpServer, command: &str) {
    while !server.commands().contains(&command.to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_dropped_future_stops_before_the_body_and_not_after() {
    // Before: the caller goes while the server thinks about MAIL.
    let server = SmtpServer::start(Script {
        mail: Act::Stall,
        ..Script::default()
    });
    let transport = plain(&server);
    tokio::select! {
        _ = send_one(&transport) => panic!("the server does not answer"),
        () = until(&server, "MAIL") => {}
    }
    // Would wait for five minutes if the task went on.
    transport.finished().await;
    assert_eq!(server.commands(), ["EHLO", "MAIL"]);

    // After: the caller goes while the server thinks about the whole mail; the mail is finished in good order.
    let server = SmtpServer::start(Script {
        end: Act::Slow(SHORT),
        ..Script::default()
    });
    let transport = plain(&server);
    let arrived = async {
        while server.received().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        biased;
        () = arrived => {}
        delivery = send_one(&transport) => assert_eq!(seen(&delivery), [accepted()], "a very slow machine"),
    }
    transport.finished().await;
    assert_eq!(server.received().len(), 1);
    assert_eq!(
        server.commands().last().map(String::as_str),
        Some("QUIT"),
        "the final reply was waited for"
    );
}

#[tokio::test]
async fn many_at_once_do_not_mix() {
    let server = SmtpServer::start(Script {
        rcpt: vec![("bad".into(), Act::say("550 5.1.1 no"))],
        ..Script::default()
    });
    let transport = plain(&server);
    let all = (0..40).map(|at| {
        let to = if at % 4 == 0 {
            format!("bad{at}@x.example")
        } else {
            format!("good{at}@x.example")
        };
        let transport = &transport;
        async move {
            let mail = format!("Subject: {at}\r\n\r\n{at}\r\n");
            (at, transport.send(&envelope(&[&to]), mail.as_bytes()).await)
        }
    });
    for (at, delivery) in futures_util::future::join_all(all).await {
        let expected = if at % 4 == 0 {
            permanent(550, (5, 1, 1))
        } else {
            accepted()
        };
        assert_eq!(seen(&delivery), [expected], "{at}");
    }
    let received = server.received();
    assert_eq!(received.len(), 30);
    for mail in received {
        let at: String = mail.to[0].chars().filter(char::is_ascii_digit).collect();
        assert_eq!(
            mail.bytes,
            format!("Subject: {at}\r\n\r\n{at}\r\n").as_bytes()
        );
    }
}

#[tokio::test]
async fn a_421_at_any_step_is_for_later() {
    let busy = || Act::say("421 4.3.2 too busy");
    let server = SmtpServer::start(Script::default());
    let cases = [
        Script {
            greeting: busy(),
            ..Script::default()
        },
        Script {
            mail: busy(),
            ..Script::default()
        },
        Script {
            rcpt: vec![("a@".into(), busy())],
            ..Script::default()
        },
        Script {
            data: busy(),
            ..Script::default()
        },
    ];
    for script in cases {
        server.set(script.clone());
        let delivery = send_one(&plain(&server)).await;
        assert_eq!(seen(&delivery), [temporary(421, (4, 3, 2))], "{script:?}");
    }
    assert!(server.received().is_empty());
    server.set(Script::default());
    assert_eq!(seen(&send_one(&plain(&server)).await), [accepted()]);
}

#[tokio::test]
async fn a_starttls_that_is_refused_ends_the_attempt() {
    let refusing = |starttls| Script {
        encryption: Encryption::Starttls,
        starttls,
        ..Script::default()
    };
    let server = SmtpServer::start(Script::default());
    let transport = SmtpTransport::new(server_config(&server, Tls::Starttls), "linjevei.example");
    for (answer, expected) in [
        (
            Act::say("454 4.7.0 TLS not available"),
            temporary(454, (4, 7, 0)),
        ),
        // Wrong settings of the server, not of the mail.
        (
            Act::say("501 5.5.4 no parameters"),
            temporary(501, (5, 5, 4)),
        ),
        (Act::Close, no_answer()),
    ] {
        server.set(refusing(answer));
        let delivery = send_one(&transport).await;
        assert_eq!(seen(&delivery), [expected]);
        assert!(delivery.note.contains("STARTTLS"), "{}", delivery.note);
    }
    let said = server.commands();
    assert!(
        said.iter()
            .all(|word| ["EHLO", "STARTTLS", "QUIT"].contains(&word.as_str())),
        "nothing in the clear: {said:?}"
    );
}

#[tokio::test]
async fn what_the_server_cannot_take_is_not_forced_on_it() {
    let eight_bit = "Subject: x\r\n\r\nblåbær\r\n".as_bytes();
    let server = SmtpServer::start(Script {
        seven_bit: true,
        ..Script::default()
    });
    let transport = plain(&server);
    let to_a = envelope(&["a@x.example"]);
    let delivery = transport.send(&to_a, eight_bit).await;
    assert_eq!(seen(&delivery), [permanent(0, (0, 0, 0))]);
    assert!(delivery.note.contains("8BITMIME"), "{}", delivery.note);
    assert_eq!(server.commands(), ["EHLO", "QUIT"]);
    assert_eq!(seen(&send_one(&transport).await), [accepted()]);
    server.set(Script::default());
    let delivery = transport.send(&to_a, eight_bit).await;
    assert_eq!(seen(&delivery), [accepted()]);
    assert_eq!(server.received().last().unwrap().bytes, eight_bit);

    let to = envelope(&["åse@x.example", "a@x.example"]);
    let delivery = transport.send(&to, MAIL).await;
    assert_eq!(seen(&delivery), [permanent(0, (0, 0, 0)), accepted()]);
    assert!(delivery.note.contains("SMTPUTF8"), "{}", delivery.note);
    assert_eq!(server.received().last().unwrap().to, ["a@x.example"]);
    server.set(Script {
        utf8: true,
        ..Script::default()
    });
    let delivery = transport.send(&to, MAIL).await;
    assert_eq!(seen(&delivery), [accepted(), accepted()]);
    assert_eq!(server.received().last().unwrap().to[0], "åse@x.example");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    for (encryption, tls) in [
        (Encryption::Implicit, Tls::Implicit),
        (Encryption::Starttls, Tls::Starttls),
    ] {
        let usual = Script {
            encryption,
            login: Some(("linjevei".into(), "ord".into())),
            ..Script::default()
        };
        let expired = Script {
            expired: true,
            ..usual.clone()
        };
        let other = Script {
            certificate_for: Some("annen.example".into()),
            ..usual.clone()
        };
        for (script, trusted, complaint) in [
            (expired, true, "it has expired"),
            (other, true, "it is for another host name"),
            (usual, false, "its issuer is not known"),
        ] {
            let server = SmtpServer::start(script);
            std::fs::write(&ca_file, &server.certificate_pem).unwrap();
            let config = Server {
                tls,
                host: "localhost".into(),
                ca_file: trusted.then(|| ca_file.clone()),
                ..login(&server, "ord")
            };
            let transport = SmtpTransport::new(config, "linjevei.example");
            let delivery = send_one(&transport).await;
            assert_eq!(seen(&delivery), [no_answer()], "the mail waits");
            assert!(delivery.note.contains(complaint), "{}", delivery.note);
            assert!(transport.check().await.unwrap_err().contains(complaint));
            let said = server.commands();
            assert!(!said.contains(&"AUTH".to_owned()) && !said.contains(&"MAIL".to_owned()));
        }
    }
}

#[tokio::test]
async fn after_a_lost_final_reply_the_same_bytes_go_once_more_and_then_a_person_is_told() {
    const MINUTE_MS: i64 = 60_000;
    // Lost twice; and lost once, then accepted.
    for accepted_at_last in [false, true] {
        let server = SmtpServer::start(Script {
            end: Act::Close,
            ..Script::default()
        });
        let mut house = house::House::on("2026-03-02").await;
        house.engine.transport = std::sync::Arc::new(plain(&server));
        let begun = house.clock.now_ms();
        let case = house.report("Avviksmelding. Medisinsak.").await;
        // The acknowledgement and the case itself.
        assert_eq!(server.received().len(), 2);
        assert_eq!(
            server.received()[0].from,
            "",
            "the acknowledgement goes first"
        );
        let states = |rows: Vec<String>| -> Vec<String> {
            let state = |row: String| row.rsplit_once(' ').unwrap().1.to_owned();
            rows.into_iter().map(state).collect()
        };
        assert_eq!(states(house.outbox().await), ["queued", "queued"]);

        house.clock.set(begun + 29 * MINUTE_MS);
        house.send().await;
        assert_eq!(server.received().len(), 2, "not before half an hour");

        if accepted_at_last {
            server.set(Script::default());
        }
        house.clock.set(begun + 30 * MINUTE_MS);
        house.send().await;
        let received = server.received();
        assert_eq!(received.len(), 4);
        assert_ne!(received[0].bytes, received[1].bytes);
        for at in 0..2 {
            assert!(received[at].bytes == received[at + 2].bytes, "other bytes");
            assert_eq!(
                (&received[at].from, &received[at].to),
                (&received[at + 2].from, &received[at + 2].to)
            );
        }
        let expected = if accepted_at_last { "sent" } else { "failed" };
        assert_eq!(states(house.outbox().await), [expected, expected]);

        house.clock.set(begun + 3 * 24 * 60 * MINUTE_MS);
        house.send().await;
        assert_eq!(server.received().len(), 4, "never a third time");
        let told = house.engine.store.not_delivered(0).await.unwrap();
        assert_eq!(told.len(), if accepted_at_last { 0 } else { 2 });
        let noted = house.history(&case).await;
        let noted = noted
            .iter()
            .filter(|event| event.data.to_string().contains("unknown outcome"))
            .count();
        assert_eq!(noted, if accepted_at_last { 0 } else { 2 });
    }
}
