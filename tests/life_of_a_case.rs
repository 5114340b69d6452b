//! What messages and people do to a case: opening, acknowledging, placing, answering, forging, undoing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/house.rs"]
mod house;

use house::{FASTLEGE, House, MEDISIN, person};
use linjevei::case::person::Order;
use linjevei::case::{Acknowledgement, Case, EventKind, Policy, State};
use linjevei::message::{Message, report_text};
use linjevei::rules::WhyNot;

const DAY: &str = "2026-03-02";

fn reroute(to: &str) -> Order {
    Order::Reroute {
        destination: Some(to.to_owned()),
        kind: None,
        category: None,
        severity: None,
    }
}

fn not(why_not: WhyNot) -> Acknowledgement {
    Acknowledgement::Not(why_not)
}

/// A case at `medisin` and the Message-ID of the mail that took it there.
async fn at_medisin(house: &mut House) -> (Case, String) {
    let case = house.report("avviksmelding medisinsak").await;
    let id = house.message_id("sak").await;
    (case, id)
}

async fn reply(house: &mut House, from: &str, subject: &str, headers: &str, text: &str) -> Case {
    let mail = house.mail(from, subject, headers, text);
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(row.outcome, "joined");
    house.send().await;
    house.case(&row.case.unwrap()).await
}

#[tokio::test]
async fn a_report_is_acknowledged_and_handed_on_without_a_word_of_it_in_the_acknowledgement() {
    let mut house = House::on(DAY).await;
    let words = "avviksmelding medisinsak om Sigrid Hemmelig 01017012345";
    let mail = house.mail(FASTLEGE, "Hemmelig emne", "", words);
    house.receive(mail.as_bytes()).await;
    house.send().await;
    assert_eq!(
        house.outbox().await,
        ["sak→medisin sent", "kvittering→melder sent"]
    );
    let sent = house.sent();
    let case_mail = sent
        .iter()
        .find(|mail| mail.to[0].address == MEDISIN)
        .unwrap();
    let acknowledgement = sent
        .iter()
        .find(|mail| mail.to[0].address == FASTLEGE)
        .unwrap();
    assert!(
        acknowledgement.subject.starts_with("[SAK-2026-000001] "),
        "{}",
        acknowledgement.subject
    );
    let text = report_text(acknowledgement);
    for part in ["SAK-2026-000001", "Klinikk for medisin", "1. april 2026"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(
        acknowledgement.header("Auto-Submitted"),
        Some("auto-replied")
    );
    assert_eq!(acknowledgement.in_reply_to, ["0.test@avsender.example"]);
    // The party gets the text as a file and no header of the report.
    assert_eq!(
        case_mail
            .attachments
            .iter()
            .map(|file| file.name.as_str())
            .collect::<Vec<_>>(),
        ["melding.txt"]
    );
    assert!(case_mail.in_reply_to.is_empty() && case_mail.references.is_empty());
    for (mail, parts) in [
        (
            acknowledgement,
            vec!["Hemmelig", "01017012345", "medisinsak"],
        ),
        (case_mail, vec![]),
    ] {
        let raw = house.sent_raw();
        let raw = raw
            .iter()
            .find(|raw| String::from_utf8_lossy(raw).contains(mail.message_id.as_ref().unwrap()))
            .unwrap();
        for part in parts {
            assert!(!String::from_utf8_lossy(raw).contains(part), "{part} leaks");
        }
    }
    let body = report_text(case_mail);
    assert!(
        !body.contains("Hemmelig"),
        "the covering text holds words of the report"
    );
}

#[tokio::test]
async fn a_party_that_is_not_secure_gets_a_notice_and_a_person_hands_the_case_over() {
    let mut house = House::on(DAY).await;
    let case = house.report("avviksmelding mossesak om Hemmelig").await;
    assert_eq!(case.state, State::SecureHandover);
    assert_eq!(
        house.outbox().await,
        ["varsel→moss sent", "kvittering→melder sent"]
    );
    assert!(
        house
            .sent_raw()
            .iter()
            .all(|raw| !String::from_utf8_lossy(raw).contains("Hemmelig"))
    );
    let case = house
        .order(
            case.number,
            Order::HandedOver {
                by: "svarut".to_owned(),
            },
        )
        .await;
    assert_eq!(case.state, State::Sent);
}

#[tokio::test]
async fn a_party_that_stands_in_to_gets_a_short_note() {
    let mut house = House::on(DAY).await;
    let mail = house
        .mail(
            "post@so-hf.example",
            "Melding",
            "Cc: <avvik@moss.kommune.example>\r\n",
            "avviksmelding mossesak",
        )
        .replace("avvik@moss", "Avvik@Moss");
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(house.outbox().await[0], "kort→moss queued");
    assert_eq!(house.case(&row.case.unwrap()).await.state, State::Sent);
}

#[tokio::test]
async fn orientering_is_registered_confirmed_and_forwarded_once_and_never_chased() {
    let mut house = House::on(DAY).await;
    let case = house.report("orienteringsmelding medisinsak").await;
    assert_eq!((case.state, case.due_day), (State::Registered, None));
    assert_eq!(
        house.outbox().await,
        ["orientering→medisin sent", "kvittering→melder sent"]
    );
    house.go_to("2026-12-01");
    assert!(house.chase().await.is_empty());
}

#[tokio::test]
async fn ikke_avvik_is_left_alone_with_a_reason() {
    let mut house = House::on(DAY).await;
    let mail = house.mail("salg@leverandoer.example", "Nyhetsbrev", "", "nyhetsbrev");
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(
        (row.outcome.as_str(), row.reason.as_str(), row.case),
        ("left-alone", "ikke-avvik", None)
    );
    assert!(house.outbox().await.is_empty());
}

#[tokio::test]
async fn the_type_uncertain_there_is_no_acknowledgement_until_a_person_has_placed_it() {
    let mut house = House::on(DAY).await;
    let case = house.report("noe helt annet medisinsak").await;
    assert_eq!(
        (case.state, case.acknowledgement),
        (State::Triage, not(WhyNot::UncertainType))
    );
    assert!(house.outbox().await.is_empty());
    let order = Order::Reroute {
        destination: Some("medisin".to_owned()),
        kind: Some("avvik".to_owned()),
        category: None,
        severity: None,
    };
    let case = house.order(case.number, order).await;
    assert_eq!(
        (case.state, case.acknowledgement),
        (State::Sent, Acknowledgement::Queued)
    );
    assert_eq!(
        house.outbox().await,
        ["sak→medisin queued", "kvittering→melder queued"]
    );
}

#[tokio::test]
async fn only_the_destination_uncertain_samhandling_has_it_and_the_reporter_hears_when_it_is_placed()
 {
    let mut house = House::on(DAY).await;
    let case = house.report("avviksmelding").await;
    assert_eq!(case.state, State::Triage);
    assert!(report_text(&house.sent()[0]).contains("Samhandlingsavdelingen"));
    house.order(case.number, reroute("medisin")).await;
    assert_eq!(
        house.outbox().await,
        [
            "kvittering→melder sent",
            "sak→medisin queued",
            "status→melder queued"
        ]
    );
    // Placed where it is already: nobody hears of it again.
    let order = Order::Reroute {
        destination: None,
        kind: None,
        category: Some("informasjon".to_owned()),
        severity: None,
    };
    house.order(case.number, order).await;
    assert_eq!(house.outbox().await.len(), 3);
}

#[tokio::test]
async fn a_mail_that_cannot_be_parsed_becomes_a_case_for_a_person() {
    let mut house = House::on(DAY).await;
    let row = house.receive(&[0; 300]).await;
    let case = house.case(&row.case.unwrap()).await;
    assert_eq!(
        (case.state, case.acknowledgement, case.attention),
        (State::Triage, not(WhyNot::Unreadable), true)
    );
    assert_eq!(
        house
            .engine
            .store
            .raw(case.message_id)
            .await
            .unwrap()
            .unwrap(),
        [0; 300]
    );
}

#[tokio::test]
async fn the_same_mail_again_is_a_duplicate_and_the_same_message_id_alone_is_not() {
    let mut house = House::on(DAY).await;
    let mail = house.mail(FASTLEGE, "Melding", "", "avviksmelding medisinsak");
    let first = house.receive(mail.as_bytes()).await;
    let traced = format!(
        "Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0100\r\nReturn-Path: <x@y.example>\r\n{mail}"
    );
    let copy = house.receive(traced.as_bytes()).await;
    assert_eq!(
        (copy.outcome.as_str(), copy.duplicate_of),
        ("duplicate", Some(first.id))
    );
    let unix = house.receive(mail.replace("\r\n", "\n").as_bytes()).await;
    assert_eq!(unix.outcome, "duplicate");
    // Another report under the same Message-ID.
    let other = house
        .receive(
            mail.replace("avviksmelding medisinsak", "avviksmelding kirurgisak")
                .as_bytes(),
        )
        .await;
    assert_eq!(other.outcome, "opened");
    assert_eq!(house.cases().await.len(), 2);
    assert_eq!(house.count("kvittering").await, 2);
}

#[tokio::test]
async fn a_final_answer_from_the_party_answers_the_case_and_is_brought_home() {
    let mut house = House::on(DAY).await;
    let (_, id) = at_medisin(&mut house).await;
    let case = reply(
        &mut house,
        MEDISIN,
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\n"),
        "Her er vårt endelig svar.",
    )
    .await;
    assert_eq!(case.state, State::Answered);
    // A fastlege's address is not secure: a notice, and a task for a person.
    assert_eq!(
        house.outbox().await.last().unwrap(),
        "svarvarsel→melder sent"
    );
    assert!(case.attention);
}

#[tokio::test]
async fn a_preliminary_answer_keeps_the_clock_running_and_a_wrong_address_goes_to_triage() {
    let mut house = House::on(DAY).await;
    let (_, id) = at_medisin(&mut house).await;
    let header = format!("References: <x@y.example>, <{id}>\r\n");
    let case = reply(
        &mut house,
        MEDISIN,
        "Sv: sak",
        &header,
        "Et foreløpig svar.",
    )
    .await;
    assert_eq!(case.state, State::Sent);
    assert_eq!(house.count("svarvarsel").await, 1);
    let case = reply(
        &mut house,
        MEDISIN,
        "Sv: sak",
        &header,
        "Dette er feil adressat.",
    )
    .await;
    assert_eq!((case.state, case.attention), (State::Triage, true));
}

#[tokio::test]
async fn forged_answers_never_change_the_state() {
    let mut house = House::on(DAY).await;
    let (case, id) = at_medisin(&mut house).await;
    let (token, other) = (
        format!("Sv: [{}] sak", case.number),
        house.message_id("kvittering").await,
    );
    let tampered = id.replacen(|c: char| c.is_ascii_digit(), "9", 40);
    let forgeries = [
        // The token alone, from the party's address.
        (MEDISIN, token.as_str(), String::new()),
        // Our Message-ID, from somebody else.
        (
            "angriper@ond.example",
            "Sv: sak",
            format!("In-Reply-To: <{id}>\r\n"),
        ),
        // An address in the own organisation that is not the party's.
        (
            "noen@so-hf.example",
            "Sv: sak",
            format!("In-Reply-To: <{id}>\r\n"),
        ),
        // The party's address as display name.
        (
            "\"samhandling.medisin@so-hf.example\" <angriper@ond.example>",
            token.as_str(),
            String::new(),
        ),
        // A Message-ID whose signature does not hold, with the token.
        (
            MEDISIN,
            token.as_str(),
            format!("In-Reply-To: <{tampered}>\r\n"),
        ),
    ];
    for (from, subject, header) in forgeries {
        let mail = house
            .mail("FROM", subject, &header, "Her er vårt endelig svar.")
            .replace("<FROM>", from);
        let mail = if from.contains('<') {
            mail
        } else {
            mail.replace(&format!("From: {from}"), &format!("From: <{from}>"))
        };
        house.receive(mail.as_bytes()).await;
        let now = house.case(&case.number.to_string()).await;
        assert_eq!(now.state, State::Sent, "{from} {subject} {header}");
        assert!(now.attention);
    }
    assert_eq!(house.count("svarvarsel").await, 0);
    assert_ne!(other, id);
}

#[tokio::test]
async fn two_from_headers_are_trusted_by_nobody() {
    let mut house = House::on(DAY).await;
    let (case, id) = at_medisin(&mut house).await;
    let mail = house.mail(
        "angriper@ond.example",
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\nFrom: <{MEDISIN}>\r\n"),
        "endelig svar",
    );
    house.receive(mail.as_bytes()).await;
    assert_eq!(
        house.case(&case.number.to_string()).await.state,
        State::Sent
    );
}

#[tokio::test]
async fn with_a_trusted_mail_server_the_token_needs_an_aligned_pass() {
    let policy = Policy {
        authserv_id: Some("mx.so-hf.example".to_owned()),
        ..Policy::default()
    };
    let results = |value: &str| format!("Authentication-Results: {value}\r\n");
    let cases = [
        (
            "mx.so-hf.example; dmarc=pass header.from=so-hf.example",
            true,
        ),
        ("mx.so-hf.example; dkim=pass header.d=so-hf.example", true),
        ("mx.so-hf.example; dkim=fail header.d=so-hf.example", false),
        ("mx.so-hf.example; dkim=pass header.d=ond.example", false),
        (
            "mx.ond.example; dmarc=pass header.from=so-hf.example",
            false,
        ),
        (
            "mx.so-hf.example; spf=pass smtp.mailfrom=so-hf.example",
            false,
        ),
        ("mx.so-hf.example; dkim=pass header.d=example", false),
    ];
    for (value, trusted) in cases {
        let mut house = House::with(DAY, policy.clone()).await;
        let mail = house.mail(
            FASTLEGE,
            "Melding",
            &results("mx.so-hf.example; dmarc=pass header.from=fjordgloett-legesenter.example"),
            "avviksmelding medisinsak",
        );
        house.receive(mail.as_bytes()).await;
        house.send().await;
        let case = house.cases().await.remove(0);
        let subject = format!("Sv: [{}] sak", case.number);
        let mail = house.mail(
            MEDISIN,
            &subject,
            &results(value),
            "Her er vårt endelig svar.",
        );
        house.receive(mail.as_bytes()).await;
        let state = house.case(&case.number.to_string()).await.state;
        assert_eq!(
            state,
            if trusted {
                State::Answered
            } else {
                State::Sent
            },
            "{value}"
        );
    }
}

/// The header with which a mail server says what it found.
fn results(value: &str) -> String {
    format!("Authentication-Results: {value}\r\n")
}

/// Whether an answer with the token and these headers is trusted where the topmost header of one server counts.
async fn trusted_with(cases: &[(String, bool)]) {
    let policy = Policy {
        authserv_id: Some("mx.so-hf.example".to_owned()),
        ..Policy::default()
    };
    let mut house = House::with(DAY, policy).await;
    let reporter =
        results("mx.so-hf.example; dmarc=pass header.from=fjordgloett-legesenter.example");
    for (headers, trusted) in cases {
        let mail = house.mail(FASTLEGE, "Melding", &reporter, "avviksmelding medisinsak");
        let case = house.receive(mail.as_bytes()).await.case.unwrap();
        let mail = house.mail(
            MEDISIN,
            &format!("Sv: [{case}] sak"),
            headers,
            "Her er vårt endelig svar.",
        );
        house.receive(mail.as_bytes()).await;
        let expected = if *trusted {
            State::Answered
        } else {
            State::Sent
        };
        assert_eq!(house.case(&case).await.state, expected, "{headers}");
    }
}

#[tokio::test]
async fn only_the_topmost_result_of_the_named_server_counts() {
    let pass = results("mx.so-hf.example; dmarc=pass header.from=so-hf.example");
    let fail = results("mx.so-hf.example; dmarc=fail header.from=so-hf.example");
    let foreign = results("mx.ond.example; dmarc=pass header.from=so-hf.example");
    trusted_with(&[
        (pass.clone(), true),
        (format!("{pass}{fail}{foreign}"), true),
        // A header that came along from outside stands below that of our server.
        (format!("{fail}{pass}"), false),
        (format!("{foreign}{pass}"), false),
        (format!("{}{pass}", results("mx.ond.example; none")), false),
        (format!("{}{pass}", results("ikke til å lese;;")), false),
        (foreign, false),
        (format!("X-{pass}"), false),
        (format!("ARC-{}", pass.replace(": ", ": i=1; ")), false),
        (String::new(), false),
    ])
    .await;
}

#[tokio::test]
async fn results_are_read_as_the_standard_says_and_nothing_else_vouches() {
    let cases = [
        // Comments, folding, version, several methods, quoted values, letter case.
        (
            "MX.so-hf.example (vår) 1;\r\n\tspf=fail (nei (ikke)) smtp.mailfrom=ond.example;\r\n dkim=pass (2048-bit; dkim=fail)\r\n  \
             header.d=\"so-hf.example\" header.s=s1",
            true,
        ),
        (
            "mx.so-hf.example; dkim=fail header.d=so-hf.example; DMARC=Pass header.from=SO-HF.example",
            true,
        ),
        (
            "mx.so-hf.example 2; dmarc=pass header.from=so-hf.example",
            false,
        ),
        (
            "mx.so-hf.example; dmarc/2=pass header.from=so-hf.example",
            false,
        ),
        // What stands in comments, reasons and other properties vouches for nobody.
        (
            "mx.so-hf.example; dmarc=pass (header.from=so-hf.example)",
            false,
        ),
        (
            "mx.so-hf.example; dkim=fail (dkim=pass header.d=so-hf.example) header.d=so-hf.example",
            false,
        ),
        (
            "mx.so-hf.example; dkim=fail reason=\"; dkim=pass header.d=so-hf.example\" header.d=so-hf.example",
            false,
        ),
        ("mx.so-hf.example; dkim=pass header.i=@so-hf.example", false),
        (
            "mx.so-hf.example; dkim=pass header.d=so-hf.example.ond.example",
            false,
        ),
        (
            "mx.so-hf.example; dkim=pass header.d=ond-so-hf.example",
            false,
        ),
        (
            "mx.so-hf.example; dmarc=pass header.from=ond.example; dkim=none header.d=so-hf.example",
            false,
        ),
        // What is malformed counts for nothing, though the beginning could be read.
        (
            "mx.so-hf.example; dmarc=pass header.from=so-hf.example; dkim",
            false,
        ),
        (
            "mx.so-hf.example dmarc=pass header.from=so-hf.example",
            false,
        ),
    ];
    let cases: Vec<(String, bool)> = cases
        .iter()
        .map(|(value, trusted)| (results(value), *trusted))
        .collect();
    trusted_with(&cases).await;
}

#[tokio::test]
async fn answers_from_other_cases_shared_domains_and_public_ones_are_not_trusted() {
    let mut house = House::on(DAY).await;
    let moss = house.report("avviksmelding mossesak").await;
    house
        .order(
            moss.number,
            Order::HandedOver {
                by: "svarut".to_owned(),
            },
        )
        .await;
    let notice = house.message_id("varsel").await;
    let (_, at_medisin) = at_medisin(&mut house).await;
    let cites = |id: &str| format!("In-Reply-To: <{id}>\r\n");
    // The Message-ID of another case: the answer belongs there, and its sender does not.
    let token = format!("Sv: [{}] sak", moss.number);
    for (from, headers) in [
        ("avvik@moss.kommune.example", cites(&at_medisin)),
        (MEDISIN, cites(&notice)),
        // A domain that two parties list, and a public one where anybody can have an address.
        ("noen@felles.example", cites(&notice)),
        ("noen@gmail.com", cites(&notice)),
        ("moss.avvik@gmail.com.ond.example", cites(&notice)),
        // A quoted id in the text is no reference.
        ("avvik@moss.kommune.example", String::new()),
    ] {
        let text = format!("Her er vårt endelig svar.\r\n\r\n> Message-ID: <{notice}>");
        let mail = house.mail(from, &token, &headers, &text);
        house.receive(mail.as_bytes()).await;
        for case in house.cases().await {
            assert_eq!(case.state, State::Sent, "{from} {headers} {}", case.number);
        }
    }
    assert_eq!(house.count("svarvarsel").await, 0);
    // The listed address of the public domain, and a colleague in the kommune's own domain, are the kommune.
    let again = house.report("avviksmelding mossesak to").await;
    house
        .order(
            again.number,
            Order::HandedOver {
                by: "svarut".to_owned(),
            },
        )
        .await;
    let id = house.message_id("varsel").await;
    let answered = reply(
        &mut house,
        "moss.avvik+sak@gmail.com",
        "Sv: sak",
        &cites(&id),
        "endelig svar",
    )
    .await;
    assert_eq!(
        (answered.number, answered.state),
        (again.number, State::Answered)
    );
    let answered = reply(
        &mut house,
        "kollega@moss.kommune.example",
        "Sv: sak",
        &cites(&notice),
        "endelig svar",
    )
    .await;
    assert_eq!(
        (answered.number, answered.state),
        (moss.number, State::Answered)
    );
}

#[tokio::test]
async fn references_however_they_are_written_find_the_case() {
    let forms: [fn(&str) -> String; 8] = [
        |id| format!("References: <a@x.example>,<{id}>,<b@x.example>\r\n"),
        |id| format!("References: <a@x.example>\r\n\t<{id}>\r\n <b@x.example>\r\n"),
        |id| format!("References: {id}\r\n"),
        |id| format!("References: a@x.example {id}\r\n"),
        |id| format!("In-Reply-To: <{id}\r\n"),
        |id| format!("In-Reply-To: Din melding av i går <{id}>\r\n"),
        |id| format!("In-Reply-To: <<{}>>\r\n", id.to_uppercase()),
        |id| format!("In-Reply-To: <annet@x.example>\r\nReferences: <{id}> <annet@x.example>\r\n"),
    ];
    for form in forms {
        let mut house = House::on(DAY).await;
        let (_, id) = at_medisin(&mut house).await;
        let header = form(&id);
        let case = reply(&mut house, MEDISIN, "Sv: sak", &header, "endelig svar").await;
        assert_eq!(case.state, State::Answered, "{header}");
    }
}

#[tokio::test]
async fn the_message_id_that_a_server_put_in_place_of_ours_is_as_good_as_ours() {
    use linjevei::outbox::{Delivery, RecipientOutcome, Reply, retry::Next};
    let mut house = House::on(DAY).await;
    let mail = house.mail(FASTLEGE, "Melding", "", "avviksmelding medisinsak");
    house.receive(mail.as_bytes()).await;
    let now_ms = house::morning(DAY);
    for mail in house.engine.store.claim(10, 60_000, now_ms).await.unwrap() {
        let accepted = RecipientOutcome::Accepted(Reply {
            code: 250,
            enhanced: (2, 6, 0),
        });
        let delivery = Delivery {
            recipients: vec![accepted; mail.envelope.to.len()],
            replaced_message_id: Some(format!("{}@eurprd01.prod.example", mail.id)),
            note: String::new(),
        };
        house
            .engine
            .store
            .record_delivery(&mail, &delivery, Next::Person, now_ms)
            .await
            .unwrap();
    }
    let rows = house.engine.store.outbox(true, 10).await.unwrap();
    let row = rows.iter().find(|row| row.kind == "sak").unwrap().id;
    let header = format!("In-Reply-To: <{row}@eurprd01.prod.example>\r\n");
    let case = reply(&mut house, MEDISIN, "Sv: sak", &header, "endelig svar").await;
    assert_eq!(case.state, State::Answered);
}

#[tokio::test]
async fn the_reporters_own_reference_is_stored_quoted_back_and_finds_the_case_again() {
    let mut house = House::on(DAY).await;
    let text = "avviksmelding medisinsak. Vår sak 24/1187.";
    let mail = house.mail("post@moss.kommune.example", "Melding", "", text);
    let row = house.receive(mail.as_bytes()).await;
    house.send().await;
    let case = house.case(&row.case.unwrap()).await;
    assert_eq!(case.reference, "24/1187");
    let to_reporter = |mail: &Message| mail.to[0].address == "post@moss.kommune.example";
    let acknowledgement = house.sent().into_iter().find(to_reporter).unwrap();
    let text = report_text(&acknowledgement);
    assert!(text.contains("Din referanse: 24/1187"), "{text}");
    // The same office, another person, no thread and no number of ours: it belongs to the case.
    let mail = house.mail(
        "annen@moss.kommune.example",
        "Tillegg",
        "",
        "Gjelder vår sak 24/1187: her er mer.",
    );
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(row.case, Some(case.number.to_string()));
    let history = house.history(&case).await;
    assert_eq!(history.last().unwrap().data["by"], "own-reference");
    // Another office that counts alike has a case of its own, and so has a new report with the same reference.
    let mail = house.mail(
        FASTLEGE,
        "Melding",
        "",
        "Gjelder vår sak 24/1187: her er mer.",
    );
    assert_eq!(house.receive(mail.as_bytes()).await.outcome, "opened");
    let mail = house.mail(
        "post@moss.kommune.example",
        "Melding",
        "",
        "Ny avviksmelding kirurgisak, vår sak 24/1187",
    );
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(row.outcome, "opened");
    assert_ne!(row.case, Some(case.number.to_string()));
    // What is no number is never written back: it could be a name.
    let mail = house.mail(
        FASTLEGE,
        "Melding",
        "",
        "avviksmelding medisinsak, vår ref: kari.hemmelig1",
    );
    house.receive(mail.as_bytes()).await;
    house.send().await;
    for raw in house.sent_raw().iter().rev().take(2) {
        let mail = linjevei::message::parse(raw, &linjevei::message::Limits::default()).unwrap();
        assert!(!report_text(&mail).contains("hemmelig1"));
    }
}

#[tokio::test]
async fn an_answer_goes_home_with_its_text_to_a_secure_address_only() {
    for (reporter, kind, tells) in [
        ("samhandling.kirurgi@so-hf.example", "svar", true),
        (FASTLEGE, "svarvarsel", false),
    ] {
        let mut house = House::on(DAY).await;
        let mail = house.mail(reporter, "Melding", "", "avviksmelding medisinsak");
        house.receive(mail.as_bytes()).await;
        house.send().await;
        let id = house.message_id("sak").await;
        let case = reply(
            &mut house,
            MEDISIN,
            "Sv: sak",
            &format!("In-Reply-To: <{id}>\r\n"),
            "endelig svar: Nyrutine er innført",
        )
        .await;
        assert_eq!(case.state, State::Answered);
        assert_eq!(
            house.outbox().await.last().unwrap(),
            &format!("{kind}→melder sent")
        );
        let sent = house.sent().pop().unwrap();
        assert!(
            !report_text(&sent).contains("Nyrutine"),
            "the covering text says nothing of it"
        );
        assert_eq!(sent.attachments.len(), usize::from(tells));
        assert_eq!(
            case.attention, !tells,
            "where it does not tell, a person has the task"
        );
    }
}

#[tokio::test]
async fn a_case_whose_content_was_deleted_is_not_sent_empty() {
    let mut house = House::on(DAY).await;
    let (case, _) = at_medisin(&mut house).await;
    house.order(case.number, Order::Close).await;
    let mail = house.mail("salg@leverandoer.example", "Nyhetsbrev", "", "nyhetsbrev");
    let left_alone = house.receive(mail.as_bytes()).await;
    house.go_to("2027-03-02");
    let retention = linjevei::worker::retention::Retention {
        left_alone_keep_days: 30,
        closed_cases_keep_days: Some(30),
    };
    house
        .engine
        .delete_expired(&retention, &|| false)
        .await
        .unwrap();
    let before = house.outbox().await.len();
    let reopened = house.order(case.number, Order::Reopen).await;
    assert_eq!(reopened.state, State::Triage);
    for to in ["kirurgi", "moss"] {
        let refused = house
            .engine
            .carry_out(case.number, &reroute(to), &person(), "x")
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("was deleted on 2027-03-02"), "{refused}");
        assert!(refused.contains(&case.number.to_string()), "{refused}");
    }
    // The same of a message that was left alone.
    let refused = house
        .engine
        .adopt(left_alone.id, &person(), "x")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("was deleted"), "{refused}");
    assert_eq!(house.outbox().await.len(), before);
    assert_eq!(
        house.case(&case.number.to_string()).await.state,
        State::Triage
    );
    assert_eq!(house.cases().await.len(), 1);
}

#[tokio::test]
async fn a_merge_takes_what_the_form_says_along_and_back() {
    let mut house = House::on(DAY).await;
    let first = house
        .report("avviksmelding medisinsak\r\n\r\nKonsekvens: Ny innleggelse\r\n")
        .await;
    let second = house
        .report(
            "avviksmelding medisinsak igjen\r\n\r\nKonsekvens: Ingen\r\nTiltak: Ringte posten\r\n",
        )
        .await;
    let said = async |house: &House, case: &Case| -> Vec<(String, String)> {
        let fields = house.engine.store.case_fields(case.id).await.unwrap();
        let mut fields: Vec<_> = fields
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect();
        fields.sort();
        fields
    };
    let (before, others) = (said(&house, &first).await, said(&house, &second).await);
    assert_eq!(others.len(), 2, "{others:?}");
    house
        .engine
        .merge(second.number, first.number, &person(), "samme")
        .await
        .unwrap();
    let mut merged = before.clone();
    merged.extend(
        others
            .iter()
            .filter(|(name, _)| name != "konsekvens")
            .cloned(),
    );
    merged.sort();
    assert_eq!(
        said(&house, &first).await,
        merged,
        "what was said first stays"
    );
    house.order(second.number, Order::Reopen).await;
    assert_eq!(said(&house, &first).await, before);
    assert_eq!(said(&house, &second).await, others);
}

#[tokio::test]
async fn machines_join_a_case_and_change_nothing() {
    let mut house = House::on(DAY).await;
    let (case, id) = at_medisin(&mut house).await;
    let before = house.outbox().await.len();
    let mails = [
        (
            MEDISIN,
            format!("In-Reply-To: <{id}>\r\nAuto-Submitted: auto-replied\r\n"),
        ),
        (
            "mailer-daemon@mx.example",
            format!("In-Reply-To: <{id}>\r\nAuto-Submitted: auto-replied\r\nReturn-Path: <>\r\n"),
        ),
    ];
    for (from, headers) in mails {
        let after = reply(
            &mut house,
            from,
            "Automatisk svar",
            &headers,
            "Jeg er på ferie. Her er vårt endelig svar.",
        )
        .await;
        assert_eq!((after.number, after.state), (case.number, State::Sent));
    }
    assert_eq!(house.outbox().await.len(), before);
}

#[tokio::test]
async fn the_reporter_says_thanks_or_objects_or_reports_anew_in_the_old_thread() {
    let mut house = House::on(DAY).await;
    let (case, id) = at_medisin(&mut house).await;
    reply(
        &mut house,
        MEDISIN,
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\n"),
        "endelig svar",
    )
    .await;
    let ours = format!(
        "In-Reply-To: <{}>\r\n",
        house.message_id("svarvarsel").await
    );
    let thanked = reply(&mut house, FASTLEGE, "Sv: svar", &ours, "Tusen takk!").await;
    assert_eq!(thanked.state, State::Answered);
    let objected = reply(&mut house, FASTLEGE, "Sv: svar", &ours, "Det stemmer ikke.").await;
    assert_eq!((objected.state, objected.attention), (State::Triage, true));
    let anew = house.mail(
        FASTLEGE,
        "Sv: svar",
        &ours,
        "Enda en avviksmelding kirurgisak",
    );
    let row = house.receive(anew.as_bytes()).await;
    assert_eq!(row.outcome, "opened");
    let new = house.case(&row.case.unwrap()).await;
    assert_ne!(new.number, case.number);
    let opened = &house.history(&new).await[0];
    assert_eq!(opened.data["linked"], case.number.to_string());
}

#[tokio::test]
async fn what_the_form_says_is_kept_and_a_supplement_fills_gaps_only() {
    let mut house = House::on(DAY).await;
    let form = "avviksmelding medisinsak\r\n\r\nDato for hendelsen: 27.2\r\nKonsekvens: Ny innleggelse\r\n\
                Tiltak: ikke fylt ut\r\n";
    let case = house.report(form).await;
    let said = async |house: &House| -> Vec<(String, String, i64)> {
        let fields = house.engine.store.case_fields(case.id).await.unwrap();
        fields
            .into_iter()
            .map(|field| (field.name, field.value, field.message_id))
            .collect()
    };
    let first = case.message_id;
    let field = |name: &str, value: &str, message| (name.to_owned(), value.to_owned(), message);
    let opened = vec![
        field("dato", "27.2", first),
        field("konsekvens", "Ny innleggelse", first),
        field("hendelsesdag", "2026-02-27", first),
    ];
    assert_eq!(said(&house).await, opened);

    // What the party answers is not what was reported.
    let ours = format!("In-Reply-To: <{}>\r\n", house.message_id("sak").await);
    reply(
        &mut house,
        MEDISIN,
        "Sv: sak",
        &ours,
        "foreløpig svar\r\n\r\nSted: Poliklinikken\r\nTiltak: Ny rutine\r\n",
    )
    .await;
    assert_eq!(said(&house).await, opened);

    // The reporter adds the place, and does not change the day.
    let ours = format!(
        "In-Reply-To: <{}>\r\n",
        house.message_id("kvittering").await
    );
    reply(
        &mut house,
        FASTLEGE,
        "Sv: kvittering",
        &ours,
        "Her er mer.\r\n\r\nSted: Slagenheten,\r\nKalnes\r\nDato for hendelsen: 26.2\r\n",
    )
    .await;
    let mut more = opened.clone();
    more.push(field("sted", "Slagenheten,\nKalnes", 3));
    more.push(field("hendelsessted", "Slagenheten, Kalnes", 3));
    assert_eq!(said(&house).await, more);
}

#[tokio::test]
async fn approval_waits_for_a_person_and_the_history_says_who() {
    let mut house = House::on(DAY).await;
    let other_hospital = house.report("avviksmelding fjernsak").await;
    let serious = house
        .report("avviksmelding medisinsak alvorlig skade")
        .await;
    assert_eq!(
        (other_hospital.state, serious.state),
        (State::Approval, State::Approval)
    );
    assert_eq!(
        house.outbox().await,
        ["kvittering→melder sent", "kvittering→melder sent"]
    );
    let approved = house.order(serious.number, Order::Approve).await;
    assert_eq!(approved.state, State::Sent);
    let history = house.history(&approved).await;
    let event = history
        .iter()
        .find(|event| event.kind == EventKind::Approved)
        .unwrap();
    assert_eq!(
        (event.actor.clone(), event.reason.as_str()),
        (person(), "fordi")
    );
    assert!(
        house
            .engine
            .carry_out(serious.number, &Order::Approve, &person(), "igjen")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn dismissed_and_closed_cases_keep_their_number_and_can_be_opened_again() {
    let mut house = House::on(DAY).await;
    let (case, _) = at_medisin(&mut house).await;
    for order in [
        Order::Dismiss {
            because: "dublett".to_owned(),
        },
        Order::Close,
    ] {
        let done = house.order(case.number, order).await;
        assert!(!done.state.is_open());
        assert!(
            house
                .engine
                .carry_out(case.number, &reroute("kirurgi"), &person(), "nei")
                .await
                .is_err()
        );
        assert_eq!(
            house.order(case.number, Order::Reopen).await.state,
            State::Triage
        );
    }
    let again = house.order(case.number, reroute("kirurgi")).await;
    assert_eq!((again.state, again.number), (State::Sent, case.number));
    let next = house.report("avviksmelding medisinsak").await;
    assert_eq!(next.number.count, case.number.count + 1);
}

#[tokio::test]
async fn twenty_acknowledgements_an_hour_and_the_rest_is_held_not_dropped() {
    let mut house = House::on(DAY).await;
    for serial in 0..22 {
        house
            .report(&format!("avviksmelding medisinsak {serial}"))
            .await;
    }
    let outbox = house.outbox().await;
    assert_eq!(
        outbox
            .iter()
            .filter(|line| *line == "kvittering→melder sent")
            .count(),
        20
    );
    assert_eq!(
        outbox
            .iter()
            .filter(|line| *line == "kvittering→melder held")
            .count(),
        2
    );
}

#[tokio::test]
async fn the_case_number_takes_its_year_from_oslo() {
    let mut house = House::on("2026-12-31").await;
    house.clock.set(
        jiff::Timestamp::from_second(1_798_758_000)
            .unwrap()
            .as_millisecond(),
    );
    // 2026-12-31T23:00:00Z is midnight in Oslo.
    let case = house.report("avviksmelding medisinsak").await;
    assert_eq!(case.number.to_string(), "SAK-2027-000001");
}

#[tokio::test]
async fn the_history_is_append_only_in_the_database_itself() {
    let mut house = House::on(DAY).await;
    house.report("avviksmelding medisinsak").await;
    for sql in [
        "UPDATE case_event SET reason = 'x'",
        "DELETE FROM case_event",
    ] {
        assert!(house.raw(sql).await.is_err(), "{sql}");
    }
}

/// More words than a short text has, and numbers that tell one patient from another.
const LONG: &str = "avviksmelding medisinsak: pasient født 1950 ble skrevet ut 3.3.2026 uten epikrise og uten oppdatert \
    medisinliste. Hjemmetjenesten ringte posten flere ganger og fikk ikke svar.";

async fn opened(house: &mut House, from: &str, text: &str) -> Case {
    let mail = house.mail(from, "Melding", "", text);
    let row = house.receive(mail.as_bytes()).await;
    house.send().await;
    house.case(&row.case.unwrap()).await
}

/// A report with one file.
async fn with_file(house: &mut House, from: &str, text: &str, name: &str, bytes: &[u8]) -> Case {
    use base64::Engine as _;
    let file = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mail = house.mail(from, "Melding", "", "").replace(
        "Content-Type: text/plain; charset=utf-8\r\n",
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n",
    );
    let mail = format!(
        "{mail}--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--x\r\nContent-Type: application/pdf\r\n\
         Content-Disposition: attachment; filename={name}\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}\r\n--x--\r\n"
    );
    let row = house.receive(mail.as_bytes()).await;
    house.send().await;
    house.case(&row.case.unwrap()).await
}

#[tokio::test]
async fn a_similar_report_of_the_same_office_is_acknowledged_and_waits_for_a_person() {
    let mut house = House::on(DAY).await;
    let first = opened(&mut house, FASTLEGE, LONG).await;
    assert_eq!((first.state, first.duplicate_of), (State::Sent, None));
    house.go_to("2026-03-10");
    let colleague = "annen.lege@fjordgloett-legesenter.example";
    let again = opened(&mut house, colleague, &format!("Sendes på nytt.\r\n{LONG}")).await;
    assert_eq!(
        (again.state, again.duplicate_of, again.acknowledgement),
        (State::Approval, Some(first.number), Acknowledgement::Queued)
    );
    assert_eq!(house.count("sak").await, 1, "its routing is held");
    assert_eq!(house.count("kvittering").await, 2);
    let history = house.history(&again).await;
    assert_eq!(
        history[0].data["possible_duplicate_of"],
        first.number.to_string()
    );
    // A person has looked: it goes on, and is a possible duplicate no more.
    let approved = house.order(again.number, Order::Approve).await;
    assert_eq!((approved.state, approved.duplicate_of), (State::Sent, None));
    assert_eq!(house.count("sak").await, 2);
}

#[tokio::test]
async fn other_patients_other_offices_and_other_weeks_are_no_duplicates() {
    let mut house = House::on(DAY).await;
    opened(&mut house, FASTLEGE, LONG).await;
    for (day, from, text) in [
        (
            DAY,
            FASTLEGE,
            LONG.replace("1950", "1961").replace("3.3.2026", "9.2.2026"),
        ),
        (DAY, "lege@annet-kontor.example", LONG.to_owned()),
        (DAY, FASTLEGE, "avviksmelding medisinsak".to_owned()),
        (DAY, FASTLEGE, "avviksmelding medisinsak igjen".to_owned()),
        ("2026-03-17", FASTLEGE, LONG.to_owned()),
    ] {
        house.go_to(day);
        let case = opened(&mut house, from, &text).await;
        assert_eq!(
            (case.state, case.duplicate_of),
            (State::Sent, None),
            "{day} {from} {text}"
        );
    }
}

#[tokio::test]
async fn the_same_file_from_somebody_else_marks_a_possible_duplicate_until_it_comes_with_everything()
 {
    let mut house = House::on(DAY).await;
    let pdf = b"%PDF-1.4 melding om avvik";
    let first = with_file(
        &mut house,
        FASTLEGE,
        "avviksmelding medisinsak",
        "a.pdf",
        pdf,
    )
    .await;
    house.go_to("2026-07-01");
    let second = with_file(
        &mut house,
        "post@moss.kommune.example",
        "avviksmelding kirurgisak",
        "b.pdf",
        pdf,
    )
    .await;
    assert_eq!(
        (second.state, second.duplicate_of),
        (State::Approval, Some(first.number))
    );
    let other = with_file(
        &mut house,
        FASTLEGE,
        "avviksmelding medisinsak",
        "a.pdf",
        b"%PDF-1.4 noe annet",
    )
    .await;
    assert_eq!(other.duplicate_of, None);
    // A brochure that comes along with every mail tells nothing in the end.
    for _ in 0..2 {
        with_file(
            &mut house,
            FASTLEGE,
            "avviksmelding medisinsak",
            "a.pdf",
            pdf,
        )
        .await;
    }
    let fifth = with_file(
        &mut house,
        FASTLEGE,
        "avviksmelding medisinsak",
        "a.pdf",
        pdf,
    )
    .await;
    assert_eq!(fifth.duplicate_of, None);
}

#[tokio::test]
async fn what_is_kept_for_the_comparison_holds_no_word() {
    let mut house = House::on(DAY).await;
    opened(&mut house, FASTLEGE, LONG).await;
    let (office, shingles, numbers): (String, Vec<u8>, Vec<u8>) = house
        .row("SELECT office, shingles, numbers FROM case_likeness")
        .await;
    assert!(shingles.len() > 100 && numbers.len() >= 16);
    assert_eq!(office.len(), 16);
    let stored = [office.into_bytes(), shingles, numbers].concat();
    for word in ["epikrise", "1950", "legesenter", "post"] {
        assert!(
            !stored
                .windows(word.len())
                .any(|part| part == word.as_bytes()),
            "{word}"
        );
    }
}

#[tokio::test]
async fn a_message_that_was_left_alone_is_adopted_with_its_day_of_receipt() {
    let mut house = House::on(DAY).await;
    let mail = house.mail(FASTLEGE, "Melding", "", "nyhetsbrev, men egentlig et avvik");
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(row.outcome, "left-alone");
    house.go_to("2026-03-27");
    let actor = linjevei::case::Actor::Person {
        user: "kari".to_owned(),
        on_behalf_of: "Ola".to_owned(),
    };
    let case = house
        .engine
        .adopt(row.id, &actor, "er et avvik")
        .await
        .unwrap();
    assert_eq!(
        (case.state, case.received_day.to_string(), case.message_id),
        (State::Triage, DAY.to_owned(), row.id)
    );
    assert_eq!(case.due_day.unwrap().to_string(), "2026-04-01");
    let history = house.history(&case).await;
    assert_eq!(history[0].kind, EventKind::Opened);
    assert_eq!(
        (history[0].actor.clone(), history[0].reason.as_str()),
        (actor.clone(), "er et avvik")
    );
    assert_eq!(history[0].data["adopted"], "ikke-avvik");
    let message = house.engine.store.message(row.id).await.unwrap().unwrap();
    assert_eq!(
        (message.outcome.as_str(), message.case),
        ("opened", Some(case.number.to_string()))
    );
    assert!(house.outbox().await.is_empty(), "a person places it first");
    // Placed: acknowledged though 25 days have passed, since it was not old when it was taken in.
    let order = Order::Reroute {
        destination: Some("medisin".to_owned()),
        kind: Some("avvik".to_owned()),
        category: None,
        severity: None,
    };
    let placed = house.order(case.number, order).await;
    assert_eq!(
        (placed.state, placed.acknowledgement, placed.due_day),
        (State::Sent, Acknowledgement::Queued, case.due_day)
    );
    assert_eq!(
        house.outbox().await,
        ["sak→medisin queued", "kvittering→melder queued"]
    );
    // It is ground truth for the rules now, and found by later mail of its thread.
    let corrections = house.engine.store.corrections().await.unwrap();
    assert_eq!(corrections.len(), 1);
    assert_eq!(
        (
            corrections[0].message_id,
            corrections[0].facets["type"].as_str()
        ),
        (row.id, "avvik")
    );
    // Once only, and only what was left alone.
    for (id, why) in [(row.id, "is in SAK-2026-000001"), (99, "no message 99")] {
        let refused = house.engine.adopt(id, &actor, "igjen").await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn observing_nothing_is_adopted_and_what_was_too_old_stays_unacknowledged() {
    let mut house = House::on("2026-06-01").await;
    let mail = house
        .mail(FASTLEGE, "Melding", "", "nyhetsbrev")
        .replace("1 Jun 2026", "2 Mar 2026");
    let row = house.receive(mail.as_bytes()).await;
    house.engine.mode = linjevei::config::Mode::Observe;
    let refused = house
        .engine
        .adopt(row.id, &person(), "x")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("observes"), "{refused}");
    house.engine.mode = linjevei::config::Mode::Live;
    let case = house.engine.adopt(row.id, &person(), "x").await.unwrap();
    let order = Order::Reroute {
        destination: Some("medisin".to_owned()),
        kind: Some("avvik".to_owned()),
        category: None,
        severity: None,
    };
    let placed = house.order(case.number, order).await;
    assert_eq!(placed.received_day.to_string(), DAY);
    assert_ne!(placed.acknowledgement, Acknowledgement::Queued);
    assert_eq!(house.count("kvittering").await, 0);
}

#[tokio::test]
async fn a_message_that_joined_by_mistake_becomes_a_case_of_its_own() {
    let mut house = House::on(DAY).await;
    let (case, id) = at_medisin(&mut house).await;
    let answered = reply(
        &mut house,
        MEDISIN,
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\n"),
        "endelig svar",
    )
    .await;
    assert_eq!(answered.state, State::Answered);
    let message = house
        .engine
        .store
        .messages(false, 1)
        .await
        .unwrap()
        .remove(0);
    let new = house
        .engine
        .split(
            case.number,
            Some(message.id),
            &person(),
            "gjelder noe annet",
        )
        .await
        .unwrap();
    assert_ne!(new.number, case.number);
    assert_eq!((new.state, new.message_id), (State::Triage, message.id));
    // The machine's decision is undone: the case waits for its answer again.
    let old = house.case(&case.number.to_string()).await;
    assert_eq!((old.state, old.answered_at_ms), (State::Sent, None));
    let last = house.history(&old).await.pop().unwrap();
    assert_eq!(
        (last.kind, last.actor, last.reason.as_str()),
        (EventKind::Split, person(), "gjelder noe annet")
    );
    assert_eq!(last.data["case"], new.number.to_string());
    assert_eq!(
        house.history(&new).await[0].data["split_from"],
        case.number.to_string()
    );
    assert_eq!(
        house.engine.store.case_messages(new.id).await.unwrap(),
        [message.id]
    );
    // Mail that cites the message finds the new case.
    let later = house.mail(
        "noen@annet.example",
        "Sv: sak",
        &format!("In-Reply-To: <{}.test@avsender.example>\r\n", 1),
        "hei",
    );
    let row = house.receive(later.as_bytes()).await;
    assert_eq!(row.case, Some(new.number.to_string()));
    for (message_id, why) in [(case.message_id, "opened"), (9_999, "is not in")] {
        let refused = house
            .engine
            .split(case.number, Some(message_id), &person(), "x")
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn a_report_about_two_matters_gets_a_second_number_and_stays_one_truth_for_the_rules() {
    let mut house = House::on(DAY).await;
    let case = house.report("avviksmelding medisinsak, og mer").await;
    house.go_to("2026-03-05");
    let second = house
        .engine
        .split(case.number, None, &person(), "to forhold")
        .await
        .unwrap();
    assert_eq!(
        (second.state, second.received_day, second.due_day),
        (State::Triage, case.received_day, case.due_day)
    );
    let placed = house.order(second.number, reroute("kirurgi")).await;
    assert_eq!(placed.state, State::Sent);
    house.send().await;
    // The second party gets the report, the reporter the second number.
    assert_eq!(
        house.outbox().await,
        [
            "sak→medisin sent",
            "kvittering→melder sent",
            "sak→kirurgi sent",
            "kvittering→melder sent"
        ]
    );
    // That the second case went to kirurgi says nothing of the report as a whole.
    assert!(house.engine.store.corrections().await.unwrap().is_empty());
    let related = linjevei::case::undo::related(&house.history(&case).await);
    assert_eq!(related, [second.number.to_string()]);
    // Each is reminded of once.
    house.go_to("2026-04-07");
    assert_eq!(house.chase().await.len(), 2);
    assert_eq!(house.count("purring").await, 2);
}

#[tokio::test]
async fn linked_cases_name_each_other() {
    let mut house = House::on(DAY).await;
    let first = house.report("avviksmelding medisinsak").await;
    let second = house.report("avviksmelding kirurgisak").await;
    house
        .engine
        .link(first.number, second.number, &person(), "samme pasient")
        .await
        .unwrap();
    for (case, other) in [(&first, &second), (&second, &first)] {
        let history = house.history(case).await;
        let event = history.last().unwrap();
        assert_eq!(
            (event.kind, event.reason.as_str()),
            (EventKind::Linked, "samme pasient")
        );
        assert_eq!(event.data["case"], other.number.to_string());
        assert_eq!(
            house.case(&case.number.to_string()).await.state,
            State::Sent
        );
    }
    assert!(
        house
            .engine
            .link(first.number, first.number, &person(), "x")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_merged_case_leads_to_the_other_and_can_be_taken_out_again() {
    let mut house = House::on(DAY).await;
    let kept = opened(&mut house, FASTLEGE, LONG).await;
    let double = opened(&mut house, FASTLEGE, LONG).await;
    assert_eq!(double.duplicate_of, Some(kept.number));
    let order = Order::Reroute {
        destination: None,
        kind: None,
        category: Some("informasjon".to_owned()),
        severity: None,
    };
    house.order(double.number, order).await;
    let merged = house
        .engine
        .merge(double.number, kept.number, &person(), "samme melding")
        .await
        .unwrap();
    assert_eq!(
        (merged.state, merged.merged_into, merged.duplicate_of),
        (State::Dismissed, Some(kept.number), None)
    );
    let last = house.history(&merged).await.pop().unwrap();
    assert_eq!(
        (last.kind, last.data["because"].as_str()),
        (EventKind::Dismissed, Some("dublett"))
    );
    assert_eq!(
        house.engine.store.case_messages(kept.id).await.unwrap(),
        [kept.message_id, double.message_id]
    );
    // What a person said of the double's message stays true.
    let corrections = house.engine.store.corrections().await.unwrap();
    assert_eq!(corrections.len(), 1);
    assert_eq!(
        (
            corrections[0].message_id,
            corrections[0].facets["category"].as_str()
        ),
        (double.message_id, "informasjon")
    );
    // Mail that names the double's number, or answers its acknowledgement, comes to the case that stays.
    let acknowledgement = house.message_id("kvittering").await;
    for headers in [
        String::new(),
        format!("In-Reply-To: <{acknowledgement}>\r\n"),
    ] {
        let subject = format!("Sv: [{}] sak", double.number);
        let joined = reply(
            &mut house,
            FASTLEGE,
            &subject,
            &headers,
            "Kommer svaret snart?",
        )
        .await;
        assert_eq!(joined.number, kept.number);
    }
    // Nobody is reminded of a double.
    house.go_to("2026-04-07");
    assert_eq!(house.chase().await.len(), 1);
    for order in [Order::Close, reroute("kirurgi"), Order::Approve] {
        assert!(
            house
                .engine
                .carry_out(double.number, &order, &person(), "x")
                .await
                .is_err()
        );
    }
    let again = house.order(double.number, Order::Reopen).await;
    assert_eq!((again.state, again.merged_into), (State::Triage, None));
    assert_eq!(
        house.engine.store.case_messages(double.id).await.unwrap(),
        [double.message_id]
    );
    let message = house
        .engine
        .store
        .message(double.message_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(message.outcome, "opened");
}

#[tokio::test]
async fn a_merge_that_would_keep_a_reporter_from_the_answer_is_refused() {
    let mut house = House::on(DAY).await;
    let first = house.report("avviksmelding medisinsak").await;
    let other = opened(
        &mut house,
        "post@annet-kontor.example",
        "avviksmelding medisinsak",
    )
    .await;
    let refused = house
        .engine
        .merge(other.number, first.number, &person(), "x")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("cases link"), "{refused}");
    assert_eq!(
        house.case(&other.number.to_string()).await.state,
        State::Sent
    );
    // An answer that fitted no case was promised nothing: a person puts it where it belongs.
    let answer = opened(
        &mut house,
        MEDISIN,
        "Viser til deres brev. Her er vårt endelig svar.",
    )
    .await;
    assert_eq!(answer.state, State::Triage);
    let merged = house
        .engine
        .merge(answer.number, first.number, &person(), "svaret på saken")
        .await
        .unwrap();
    assert_eq!(merged.merged_into, Some(first.number));
    for (from, into) in [
        (first.number, first.number),
        (answer.number, other.number),
        (other.number, answer.number),
    ] {
        assert!(
            house
                .engine
                .merge(from, into, &person(), "x")
                .await
                .is_err(),
            "{from} {into}"
        );
    }
}
