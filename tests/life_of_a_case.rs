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
use linjevei::message::report_text;
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
    use sqlx::Connection;
    let mut house = House::on(DAY).await;
    house.report("avviksmelding medisinsak").await;
    let url = format!(
        "sqlite://{}",
        house.dir.path().join("linjevei.db").display()
    );
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for sql in [
        "UPDATE case_event SET reason = 'x'",
        "DELETE FROM case_event",
    ] {
        assert!(
            sqlx::query(sql).execute(&mut connection).await.is_err(),
            "{sql}"
        );
    }
}
