//! Templates that ship with the program, and mails composed from them, read back by a mail parser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::case_sensitive_file_extension_comparisons
)]

use std::collections::BTreeMap;

use linjevei::case::{CaseNumber, MailKind};
use linjevei::config::Identity;
use linjevei::message::File;
use linjevei::outbox::message_id::{SigningKey, verify};
use linjevei::outbox::{AutoSubmitted, ComposeError, Draft, compose};
use linjevei::rules::Language;
use linjevei::template::{Facts, Rendered, Templates, shipped};
use mail_parser::{HeaderValue, MessageParser, MimeHeaders};

const NUMBER: CaseNumber = CaseNumber {
    year: 2026,
    count: 123,
};
const LANGUAGES: [Language; 2] = [Language::Bokmal, Language::Nynorsk];

fn templates() -> Templates {
    Templates::compile(&shipped()).unwrap_or_else(|faults| panic!("{:#?}", faults.list))
}

fn facts() -> Facts {
    Facts {
        sak: NUMBER.to_string(),
        type_navn: "Samhandlingsavvik".into(),
        part: "Klinikk for kvinne- & barnehelse".into(),
        mottatt: "3. mars 2026".into(),
        frist: "2. april 2026".into(),
        referanse: "24/1187".into(),
        avsender: "Samhandlingsavdelingen, Sykehuset Østfold".into(),
        antall_vedlegg: 2,
    }
}

fn identity() -> Identity {
    Identity {
        address: "samhandling@so-hf.example".into(),
        name: "Samhandling, Sykehuset Østfold".into(),
        bounce_address: "bounce@so-hf.example".into(),
        message_id_domain: "linjevei.so-hf.example".into(),
    }
}

fn key() -> SigningKey {
    SigningKey::new([7; 32])
}

fn draft(kind: MailKind, rendered: Rendered) -> Draft {
    Draft {
        number: NUMBER,
        kind,
        seq: 1,
        party: "medisin".into(),
        to: vec!["post.medisin@so-hf.example".into()],
        null_return_path: kind == MailKind::Kvittering,
        rendered,
        files: Vec::new(),
        in_reply_to: Some("dev-003.c7a8b58eb4@edialog.example".into()),
        references: vec!["first@edialog.example".into()],
        date_ms: 1_772_530_200_000,
        auto_submitted: if kind == MailKind::Kvittering {
            AutoSubmitted::Replied
        } else {
            AutoSubmitted::Generated
        },
    }
}

#[test]
fn every_mail_in_both_languages_reads_back() {
    let templates = templates();
    for language in LANGUAGES {
        for kind in MailKind::ALL {
            let rendered = templates.render(kind, language, &facts()).unwrap();
            let composed = compose(&identity(), &key(), &draft(kind, rendered.clone())).unwrap();
            let what = format!("{language:?} {kind:?}");
            assert!(composed.bytes.is_ascii(), "{what}");
            assert_eq!(
                composed,
                compose(&identity(), &key(), &draft(kind, rendered.clone())).unwrap(),
                "{what}: same draft, same bytes"
            );
            let lines: Vec<&str> = std::str::from_utf8(&composed.bytes)
                .unwrap()
                .split("\r\n")
                .collect();
            assert!(
                lines
                    .iter()
                    .all(|line| line.len() <= 200 && !line.contains(['\r', '\n'])),
                "{what}: long line or bare line end"
            );

            let mail = MessageParser::new().parse(&composed.bytes).unwrap();
            assert_eq!(
                mail.subject().unwrap(),
                format!("[SAK-2026-000123] {}", rendered.subject),
                "{what}"
            );
            assert_eq!(mail.message_id().unwrap(), composed.message_id);
            assert_eq!(verify(&[key()], mail.message_id().unwrap()), Some(NUMBER));
            assert_eq!(
                verify(&[key()], mail.header_raw("X-Linjevei-Id").unwrap().trim()),
                Some(NUMBER)
            );
            let from = mail.from().unwrap().first().unwrap();
            assert_eq!(
                (from.name().unwrap(), from.address().unwrap()),
                (
                    "Samhandling, Sykehuset Østfold",
                    "samhandling@so-hf.example"
                )
            );
            assert_eq!(
                mail.to().unwrap().first().unwrap().address().unwrap(),
                "post.medisin@so-hf.example"
            );
            assert_eq!(
                mail.header_raw("Date").unwrap().trim(),
                "Tue, 3 Mar 2026 10:30:00 +0100"
            );
            assert_eq!(
                mail.header_raw("X-Loop").unwrap().trim(),
                "samhandling@so-hf.example"
            );
            assert_eq!(mail.header_raw("MIME-Version").unwrap().trim(), "1.0");
            assert!(mail.header_raw("Precedence").is_none());
            let answered = mail.in_reply_to().as_text().unwrap();
            assert_eq!(answered, "dev-003.c7a8b58eb4@edialog.example");
            let HeaderValue::TextList(references) = mail.references() else {
                panic!("{what}: references")
            };
            assert_eq!(
                references.as_slice(),
                [
                    "first@edialog.example",
                    "dev-003.c7a8b58eb4@edialog.example"
                ]
            );
            let acknowledges = kind == MailKind::Kvittering;
            let auto = mail.header_raw("Auto-Submitted").unwrap().trim();
            assert_eq!(
                auto,
                if acknowledges {
                    "auto-replied"
                } else {
                    "auto-generated"
                }
            );
            assert_eq!(
                mail.header_raw("X-Auto-Response-Suppress").is_some(),
                acknowledges
            );
            let local = composed.message_id.split('@').next().unwrap();
            let mac = local.rsplit('.').next().unwrap();
            let bounce = format!(
                "bounce+sak-2026-000123.{}.1.{}@so-hf.example",
                kind.id(),
                &mac[..10]
            );
            assert_eq!(composed.envelope.from, (!acknowledges).then_some(bounce));
            assert_eq!(composed.envelope.to, ["post.medisin@so-hf.example"]);

            let text = mail.body_text(0).unwrap().replace("\r\n", "\n");
            assert_eq!(text.trim_end(), rendered.text.trim_end(), "{what}");
            let html = mail.body_html(0).unwrap().replace("\r\n", "\n");
            assert_eq!(html.trim_end(), rendered.html.trim_end(), "{what}");
            assert_eq!(
                (
                    mail.text_body_count(),
                    mail.html_body_count(),
                    mail.attachment_count()
                ),
                (1, 1, 0),
                "{what}"
            );
            for body in [&text, &html] {
                assert!(body.contains("SAK-2026-000123"), "{what}");
                assert!(
                    !body.contains("{{")
                        && !body.contains("}}")
                        && !body.contains("{%")
                        && !body.contains("Emne:"),
                    "{what}: {body}"
                );
                assert!(
                    body.contains("pasientoppl") && body.contains("Samhandlingsavdelingen"),
                    "{what}"
                );
            }
            assert!(
                !html.contains(" & ")
                    && (!html.contains("barnehelse") || html.contains("&amp; barnehelse")),
                "{what}: escaped"
            );
            let lang = if language == Language::Bokmal {
                "<html lang=\"nb\">"
            } else {
                "<html lang=\"nn\">"
            };
            assert!(html.contains(lang), "{what}");
        }
    }
}

#[test]
fn languages_do_not_mix() {
    let templates = templates();
    for kind in MailKind::ALL {
        let bokmal = templates.render(kind, Language::Bokmal, &facts()).unwrap();
        let nynorsk = templates.render(kind, Language::Nynorsk, &facts()).unwrap();
        for word in [" ikkje ", " frå ", " saka ", " ein ", "Venleg"] {
            assert!(
                !bokmal.text.contains(word) && !bokmal.html.contains(word),
                "{kind:?}: {word}"
            );
        }
        for word in [
            " ikke ", " fra ", " saken ", " en ", "Vennlig", " dere ", " noe ",
        ] {
            assert!(
                !nynorsk.text.contains(word) && !nynorsk.html.contains(word),
                "{kind:?}: {word}"
            );
        }
    }
}

#[test]
fn notices_say_no_more_than_they_may() {
    // To a party that is not secure: number, type and due date; for information: number and type.
    let templates = templates();
    for language in LANGUAGES {
        for kind in [MailKind::Varsel, MailKind::Orienteringsvarsel] {
            let rendered = templates.render(kind, language, &facts()).unwrap();
            for body in [&rendered.text, &rendered.html] {
                assert!(
                    !body.contains("24/1187") && !body.contains("3. mars 2026"),
                    "{kind:?} {body}"
                );
                assert_eq!(
                    body.contains("2. april 2026"),
                    kind == MailKind::Varsel,
                    "{kind:?}"
                );
            }
        }
    }
}

#[test]
fn acknowledgement_without_due_date_is_a_registration() {
    let templates = templates();
    for (language, registered) in [
        (Language::Bokmal, "Meldingen er registrert"),
        (Language::Nynorsk, "Meldinga er registrert"),
    ] {
        let with = templates
            .render(MailKind::Kvittering, language, &facts())
            .unwrap();
        let without = templates
            .render(
                MailKind::Kvittering,
                language,
                &Facts {
                    frist: String::new(),
                    ..facts()
                },
            )
            .unwrap();
        assert!(
            !with.text.contains(registered)
                && with.text.contains("2. april 2026")
                && with.text.contains("barnehelse har sak")
        );
        assert!(without.text.contains(registered) && without.html.contains(registered));
        assert!(!without.text.contains("april") && !without.text.contains("vente svar"));
    }
}

/// A reminder can wait in the queue for days while the server is down: it may say no day but the due date.
#[test]
fn reminder_is_true_on_whatever_day_it_is_sent() {
    let templates = templates();
    for (language, due, day_words) in [
        (
            Language::Bokmal,
            "Vi ba dere svare innen 2. april 2026.",
            ["i dag", "i går", "siden"],
        ),
        (
            Language::Nynorsk,
            "Vi bad dykk svare innan 2. april 2026.",
            ["i dag", "i går", "sidan"],
        ),
    ] {
        let reminder = templates
            .render(MailKind::Purring, language, &facts())
            .unwrap();
        for text in [&reminder.text, &reminder.html] {
            assert!(text.contains(due));
            assert!(day_words.iter().all(|word| !text.contains(word)));
        }
    }
}

#[test]
fn files_arrive_with_their_names_and_bytes() {
    let rendered = templates()
        .render(MailKind::Sak, Language::Bokmal, &facts())
        .unwrap();
    let long = format!(
        "Søknad om nødvendig pårørendestøtte ærlig {}.docx",
        "åæø".repeat(40)
    );
    let sent = [
        (
            "Epikrise Åse Ærlig – «kopi».pdf",
            "application/pdf",
            vec![0_u8, 255, 13, 10, 46, 13, 10],
        ),
        (
            long.as_str(),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            b"PK".to_vec(),
        ),
        (
            "melding.txt",
            "text/plain",
            "Blåbær\n.\nFrom her\n".as_bytes().to_vec(),
        ),
        ("latin.txt", "text/plain", b"Bl\xe5b\xe6r".to_vec()),
        (
            "original.eml",
            "message/rfc822",
            b"Subject: x\r\n\r\ny".to_vec(),
        ),
        (
            "../../etc/pass\u{202e}wd\r\nBcc: x",
            "text/html; name=\"x\r\nBcc: y\"",
            b"<p>".to_vec(),
        ),
        ("", "", Vec::new()),
    ];
    let files = sent
        .iter()
        .map(|(name, kind, bytes)| File {
            name: (*name).into(),
            media_type: (*kind).into(),
            bytes: bytes.clone(),
        })
        .collect();
    let composed = compose(
        &identity(),
        &key(),
        &Draft {
            files,
            ..draft(MailKind::Sak, rendered)
        },
    )
    .unwrap();
    assert!(composed.bytes.is_ascii());
    let mail = MessageParser::new().parse(&composed.bytes).unwrap();
    assert!(mail.header_raw("Bcc").is_none());
    let parts: Vec<_> = mail.attachments().collect();
    assert_eq!(parts.len(), sent.len());
    let names: Vec<&str> = parts
        .iter()
        .map(|part| part.attachment_name().unwrap())
        .collect();
    assert_eq!(names[0], sent[0].0);
    assert!(
        names[1].starts_with("Søknad om nødvendig pårørendestøtte ærlig åæø")
            && names[1].ends_with(".docx"),
        "{}",
        names[1]
    );
    assert!(!names[1].contains('\u{fffd}') && names[1].chars().count() == 120);
    assert_eq!(&names[2..5], ["melding.txt", "latin.txt", "original.eml"]);
    assert_eq!(names[5], "_.._etc_passwdBcc_ x");
    assert_eq!(names[6], "vedlegg-7");
    let kinds: Vec<String> = parts
        .iter()
        .map(|p| {
            p.content_type()
                .map(|c| format!("{}/{}", c.ctype(), c.subtype().unwrap()))
                .unwrap()
        })
        .collect();
    assert_eq!(kinds[0], "application/pdf");
    assert_eq!(
        kinds[4], "application/octet-stream",
        "a mail is never sent as such"
    );
    assert_eq!(kinds[5], "application/octet-stream");
    for (part, (name, _, bytes)) in parts.iter().zip(&sent) {
        if *name != "latin.txt" {
            assert_eq!(part.contents(), bytes.as_slice(), "{name}");
        }
    }
    assert_eq!(mail.text_body_count(), 1);
}

#[test]
fn hostile_drafts_add_no_header() {
    let rendered = Rendered {
        subject: "Svar\r\nBcc: a@ond.example".into(),
        text: "x\r\n.\r\ny".into(),
        html: "<p>x</p>".into(),
    };
    let hostile = Draft {
        in_reply_to: Some("a@b>\r\nBcc: a@ond.example".into()),
        references: vec![
            "x@y.example\r\nBcc: z".into(),
            "<æ@x.example>".into(),
            "god@x.example".into(),
            "y".repeat(2000),
        ],
        ..draft(MailKind::Svar, rendered)
    };
    let own = Identity {
        name: "Vi\r\nBcc: a@ond.example".into(),
        ..identity()
    };
    let composed = compose(&own, &key(), &hostile).unwrap();
    let mail = MessageParser::new().parse(&composed.bytes).unwrap();
    assert!(mail.header_raw("Bcc").is_none());
    assert!(mail.header_raw("In-Reply-To").is_none());
    assert_eq!(
        mail.header_raw("References").unwrap().trim(),
        "<god@x.example>"
    );
    assert_eq!(
        mail.subject().unwrap(),
        "[SAK-2026-000123] Svar Bcc: a@ond.example"
    );

    let plain = draft(
        MailKind::Svar,
        Rendered {
            subject: "S".into(),
            text: "t".into(),
            html: "h".into(),
        },
    );
    for bad in [
        "",
        "ola",
        "ola@",
        "@x.example",
        "a@x.example\r\nBcc: b@x.example",
        "a@x.example, b@x.example",
        "ola nordmann@x.example",
        "<a@x.example>",
        "åse@x.example",
        "a@blåbær.example",
        "a@x..example",
        "a\"b@x.example",
    ] {
        let result = compose(
            &identity(),
            &key(),
            &Draft {
                to: vec!["god@x.example".into(), bad.into()],
                ..plain.clone()
            },
        );
        assert_eq!(result, Err(ComposeError::BadRecipient(2)), "{bad}");
        if bad.len() > 3 {
            assert!(!ComposeError::BadRecipient(2).to_string().contains(bad));
        }
    }
    assert_eq!(
        compose(
            &identity(),
            &key(),
            &Draft {
                to: Vec::new(),
                ..plain.clone()
            }
        ),
        Err(ComposeError::NoRecipient)
    );
    let many = (0..51).map(|at| format!("a{at}@x.example")).collect();
    assert_eq!(
        compose(
            &identity(),
            &key(),
            &Draft {
                to: many,
                ..plain.clone()
            }
        ),
        Err(ComposeError::TooManyRecipients)
    );
    assert_eq!(
        compose(
            &identity(),
            &key(),
            &Draft {
                date_ms: i64::MAX,
                ..plain.clone()
            }
        ),
        Err(ComposeError::BadDate)
    );
    let own = Identity {
        bounce_address: "bounce".into(),
        ..identity()
    };
    assert_eq!(
        compose(&own, &key(), &plain),
        Err(ComposeError::BadIdentity("bounce_address"))
    );
    let twice = compose(
        &identity(),
        &key(),
        &Draft {
            to: vec!["A@x.example".into(), "a@X.example".into()],
            ..plain
        },
    )
    .unwrap();
    assert_eq!(twice.envelope.to, ["A@x.example"], "the same address once");
}

#[test]
fn long_threads_keep_their_root_and_the_newest() {
    let references: Vec<String> = (0..100).map(|at| format!("id{at}@x.example")).collect();
    let draft = Draft {
        references,
        ..draft(
            MailKind::Svar,
            Rendered {
                subject: "S".into(),
                text: "t".into(),
                html: "h".into(),
            },
        )
    };
    let composed = compose(&identity(), &key(), &draft).unwrap();
    let mail = MessageParser::new().parse(&composed.bytes).unwrap();
    let HeaderValue::TextList(ids) = mail.references() else {
        panic!()
    };
    assert_eq!(ids.len(), 30);
    assert_eq!(
        (ids[0].as_ref(), ids[28].as_ref(), ids[29].as_ref()),
        (
            "id0@x.example",
            "id99@x.example",
            "dev-003.c7a8b58eb4@edialog.example"
        )
    );
}

fn faults_of(
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Vec<(String, String, String, String)> {
    let mut files = shipped();
    change(&mut files);
    let faults = Templates::compile(&files)
        .map(|_| ())
        .expect_err("there are faults");
    faults
        .list
        .iter()
        .map(|fault| {
            let place = faults
                .sources
                .get(&fault.file)
                .map_or("", |text| &text[fault.span.clone()]);
            (
                fault.file.clone(),
                place.to_owned(),
                fault.message.clone(),
                fault.help.clone(),
            )
        })
        .collect()
}

#[test]
fn all_faults_at_once_with_place_and_advice() {
    let found = faults_of(|files| {
        let edit = |files: &mut BTreeMap<String, String>, name: &str, from: &str, to: &str| {
            let text = files.get_mut(name).unwrap();
            assert!(text.contains(from), "{name}: {from}");
            *text = text.replacen(from, to, 1);
        };
        edit(files, "nb/kvittering.txt", "{{ mottatt }}", "{{ motatt }}");
        edit(files, "nb/purring.html", "{% endif %}", "");
        edit(files, "nn/sak.txt", "Emne: ", "Subject: ");
        edit(files, "nb/svar.txt", "Emne: ", "Emne: {{ part }} ");
        edit(
            files,
            "nn/svar.html",
            "<p style",
            "<img src=\"https://spor.example/x.png\"><p style",
        );
        edit(files, "nb/status.txt", "{{ sak }}", "{sak}");
        edit(files, "nb/varsel.txt", "nb/_hilsen.txt", "nb/_hilsn.txt");
        files.insert(
            "nn/kort.txt".into(),
            "Emne: Kort\n\n{% for x in range(3) %}{{ x }}{% endfor %}{{ sak }}\n".into(),
        );
        files.insert("nb/sak.txt".into(), "Emne: Sak\n\nHei!\n".into());
        files.insert("nb/kvitering.txt".into(), "Emne: x\n\n{{ sak }}\n".into());
        files.insert("README.md".into(), "{{ ikke en mal }}".into());
        files.remove("nn/status.html");
    });
    let has = |file: &str, place: &str, message: &str, help: &str| {
        assert!(
            found.iter().any(|(f, p, m, h)| f == file
                && p == place
                && m.contains(message)
                && h.contains(help)),
            "{file} «{place}» {message} / {help}\n{found:#?}"
        );
    };
    has(
        "nb/kvittering.txt",
        "motatt",
        "«motatt» er ikke en opplysning",
        "mente du «mottatt»?",
    );
    assert!(
        found
            .iter()
            .any(|(f, _, m, _)| f == "nb/purring.html" && m.contains("skrivefeil i malen")),
        "{found:#?}"
    );
    has(
        "nn/sak.txt",
        "Subject: Ny sak til dykk",
        "emnet mangler",
        "Emne:",
    );
    has(
        "nb/svar.txt",
        "Emne: {{ part }} Svar i saken din",
        "emnet må være fast tekst",
        "krøllparentes",
    );
    has("nn/svar.html", "<img", "hører ikke hjemme", "utenfra");
    has("nb/status.txt", "{sak}", "blir stående", "skriv {{ sak }}");
    assert!(
        found
            .iter()
            .any(|(f, _, m, _)| f == "nb/varsel.txt" && m.contains("fil som ikke finnes")),
        "{found:#?}"
    );
    has("nn/kort.txt", "range", "«range»", "maler kan bruke sak");
    has(
        "nb/sak.txt",
        "Emne: Sak",
        "saksnummeret står ikke i teksten",
        "{{ sak }}",
    );
    has(
        "nb/kvitering.txt",
        "",
        "ingen e-post bruker",
        "mente du «nb/kvittering.txt»?",
    );
    has("nn/status.html", "", "malen mangler", "nn/status.html");
    assert!(found.iter().all(|(file, ..)| file != "README.md"));
    let files: std::collections::BTreeSet<&String> = found.iter().map(|(file, ..)| file).collect();
    assert_eq!(
        files.len(),
        11,
        "no fault where nothing is wrong\n{found:#?}"
    );
}

#[test]
fn endless_and_half_hidden_faults_are_found() {
    let found = faults_of(|files| {
        files.insert("nb/_a.txt".into(), "{% include \"nb/_a.txt\" %}".into());
        files.insert(
            "nb/kort.txt".into(),
            "Emne: Kort\n\n{{ sak }}{% include \"nb/_a.txt\" %}\n".into(),
        );
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    // Wrong only when there is no due date.
    let found = faults_of(|files| {
        files.insert(
            "nb/kort.txt".into(),
            "Emne: Kort\n\n{{ sak }}{% if not frist %}{{ part.navn }}{% endif %}\n".into(),
        );
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = faults_of(|files| {
        files.insert(
            "nb/kort.txt".into(),
            "Emne: Kort\n\n{{ sak | hurra }}\n".into(),
        );
    });
    assert!(
        found.len() == 1 && found[0].2.contains("ukjent filter"),
        "{found:#?}"
    );
}

#[test]
fn windows_line_ends_are_fine() {
    let files = shipped()
        .into_iter()
        .map(|(name, text)| (name, format!("\u{feff}{}", text.replace('\n', "\r\n"))))
        .collect();
    let crlf = Templates::compile(&files).unwrap_or_else(|faults| panic!("{:#?}", faults.list));
    for kind in MailKind::ALL {
        assert_eq!(
            crlf.render(kind, Language::Bokmal, &facts()).unwrap(),
            templates()
                .render(kind, Language::Bokmal, &facts())
                .unwrap()
        );
    }
}
