//! The mails about many cases: the digest to the samhandlingsavdeling, once a day however the worker is stopped and started,
//! the weekly status to a party, and the number that goes to the duty address at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/house.rs"]
mod house;

use house::{FASTLEGE, House, MEDISIN, morning};
use linjevei::calendar::oslo_at;
use linjevei::case::person::Order;
use linjevei::case::{Acknowledgement, EventKind, Policy, Reports, State};
use linjevei::message::{Message, report_text};
use linjevei::outbox::message_id;
use linjevei::rules::WhyNot;
use std::sync::Arc;

/// A Monday.
const DAY: &str = "2026-03-02";
const DEPARTMENT: &str = "avdelingen@so-hf.example";
const DUTY: &str = "vakt@so-hf.example";

fn policy() -> Policy {
    Policy {
        duty_address: Some(DUTY.to_owned()),
        reports: Reports {
            to: Some(DEPARTMENT.to_owned()),
            ..Reports::default()
        },
        ..Policy::default()
    }
}

/// The reports that are due, queued and sent; how many.
async fn report(house: &House) -> usize {
    let queued = house.engine.report().await.unwrap().len();
    house.send().await;
    queued
}

/// What went to an address, oldest first.
fn to(house: &House, address: &str) -> Vec<Message> {
    let mut mails = house.sent();
    mails.retain(|mail| mail.to.iter().any(|to| to.address == address));
    mails
}

fn newest(house: &House) -> String {
    report_text(to(house, DEPARTMENT).last().unwrap())
}

/// Sends a mail whose answer from the server is «never».
async fn refuse_mail_to_the_reporter(house: &House) {
    // An address that the transport cannot put into a file name or an envelope does not exist; the outcome that a server
    // gives is written as the store writes it.
    for sql in [
        "UPDATE outbox SET state = 'failed' WHERE kind = 'kvittering'",
        "UPDATE cases SET attention = 1, version = version + 1",
    ] {
        house.raw(sql).await.unwrap();
    }
}

#[tokio::test]
async fn nothing_to_say_means_no_mail_and_the_day_is_done() {
    let mut house = House::with(DAY, policy()).await;
    assert_eq!(report(&house).await, 0);
    // What comes later the same day is for tomorrow.
    house.report("noe helt annet medisinsak").await;
    assert_eq!(report(&house).await, 0);
    assert!(to(&house, DEPARTMENT).is_empty());
    house.go_to("2026-03-03");
    assert_eq!(report(&house).await, 1);
    assert_eq!(to(&house, DEPARTMENT).len(), 1);
}

#[tokio::test]
async fn one_mail_a_day_from_the_configured_hour_however_often_the_worker_starts() {
    let mut house = House::with(DAY, policy()).await;
    house.report("avviksmelding").await;
    let mut sent = Vec::new();
    let mut now = oslo_at("2026-03-03".parse().unwrap(), 0);
    let end = oslo_at("2026-03-05".parse().unwrap(), 23);
    while now <= end {
        house.clock.set(now);
        // A worker that starts anew knows nothing but the store.
        house.engine.store = house.open_again().await;
        for _ in 0..2 {
            if house.engine.report().await.unwrap().len() == 1 {
                let moment = jiff::Timestamp::from_millisecond(now).unwrap();
                let moment = moment.in_tz("Europe/Oslo").unwrap();
                sent.push(moment.strftime("%d %H").to_string());
            }
        }
        now += 3_600_000;
    }
    assert_eq!(sent, ["03 07", "04 07", "05 07"]);
    house.send().await;
    let mails = to(&house, DEPARTMENT);
    assert_eq!(mails.len(), 3);
    assert_eq!(house.count("oversikt").await, 3);
    // No token, no case in the Message-ID, and marked as ours, so that it never becomes a case.
    for mail in &mails {
        assert!(!mail.subject.contains("SAK-"), "{}", mail.subject);
        assert_eq!(mail.header("Auto-Submitted"), Some("auto-generated"));
        let id = mail.message_id.as_ref().unwrap();
        assert_eq!(message_id::verify(&house.engine.keys, id), None, "{id}");
    }
    let ids: std::collections::BTreeSet<_> =
        mails.iter().map(|mail| mail.message_id.clone()).collect();
    assert_eq!(ids.len(), 3);
    let raw = house.sent_raw().pop().unwrap();
    let row = house.receive(&raw).await;
    assert_eq!(row.outcome, "left-alone");
}

#[tokio::test]
async fn two_workers_at_the_same_moment_send_one_digest() {
    let mut house = House::with(DAY, policy()).await;
    house.report("avviksmelding").await;
    house.go_to("2026-03-03");
    let other = linjevei::worker::Engine {
        store: house.open_again().await,
        ..house.engine.clone()
    };
    let (first, second) = tokio::join!(house.engine.report(), other.report());
    assert_eq!(first.unwrap().len() + second.unwrap().len(), 1);
    assert_eq!(house.count("oversikt").await, 1);
}

#[tokio::test]
async fn a_worker_that_was_off_for_ten_weeks_sends_one_digest() {
    let mut house = House::with(DAY, policy()).await;
    house.report("avviksmelding medisinsak").await;
    house.go_to("2026-05-11");
    house.chase().await;
    assert_eq!(report(&house).await, 1);
    assert_eq!(report(&house).await, 0);
    let text = newest(&house);
    assert!(text.contains("Over fristen (1)"), "{text}");
    assert!(text.contains("purret"), "{text}");
}

#[tokio::test]
async fn the_digest_tells_of_everything_that_waits_and_says_no_word_of_any_report() {
    let mut house = House::with(DAY, policy()).await;
    let secret = "Sigrid Hemmelig 01017012345";
    let triage = house.report(&format!("avviksmelding {secret}")).await;
    let approval = house
        .report(&format!("avviksmelding fjernsak {secret}"))
        .await;
    let handover = house
        .report(&format!("avviksmelding mossesak {secret}"))
        .await;
    let overdue = house
        .report(&format!("avviksmelding medisinsak {secret}"))
        .await;
    // Nobody to answer: eDialog without an address.
    let mail = house.mail(
        "varsling@edialog.example",
        "Hemmelig emne",
        "",
        &format!("avviksmelding medisinsak {secret}"),
    );
    let row = house.receive(mail.as_bytes()).await;
    let no_address = row.case.unwrap();
    refuse_mail_to_the_reporter(&house).await;
    house.go_to("2026-03-03");
    report(&house).await;
    let text = newest(&house);
    for (part, number) in [
        ("Til vurdering", triage.number),
        ("Til godkjenning", approval.number),
        ("Må sendes sikkert", handover.number),
        ("E-post som ikke kom fram", overdue.number),
    ] {
        let (_, after) = text.split_once(part).expect(&text);
        let section = after.split("\n\n").next().unwrap();
        assert!(section.contains(&number.to_string()), "{part}: {text}");
    }
    assert!(text.contains(&no_address), "{text}");
    assert!(
        !text.contains("Over fristen"),
        "nothing is overdue yet: {text}"
    );

    house.go_to("2026-04-20");
    house.chase().await;
    report(&house).await;
    let text = newest(&house);
    let (_, after) = text.split_once("Over fristen").expect(&text);
    let section = after.split("\n\n").next().unwrap();
    for number in [
        triage.number,
        approval.number,
        handover.number,
        overdue.number,
    ] {
        assert!(section.contains(&number.to_string()), "{number}: {text}");
    }
    assert!(section.contains("Klinikk for medisin"), "{text}");
    for raw in house.sent_raw() {
        let raw = String::from_utf8_lossy(&raw).into_owned();
        if raw.contains(DEPARTMENT) {
            for part in ["Hemmelig", "01017012345", FASTLEGE, "legesenter"] {
                assert!(!raw.contains(part), "{part} leaks:\n{raw}");
            }
        }
    }
}

#[tokio::test]
async fn a_reporter_without_an_address_is_told_in_edialog_once_for_the_receipt_and_once_for_the_answer()
 {
    let mut house = House::with(DAY, policy()).await;
    let mail = house.mail(
        "varsling@edialog.example",
        "Melding",
        "",
        "avviksmelding medisinsak",
    );
    let row = house.receive(mail.as_bytes()).await;
    let case = house.case(&row.case.unwrap()).await;
    assert_eq!(
        case.acknowledgement,
        Acknowledgement::Not(WhyNot::NoAddress)
    );
    house.send().await;
    let advice = format!("{} · Samhandlingsavvik", case.number);
    let told = |house: &House| {
        let text = newest(house);
        text.lines().any(|line| {
            line.contains(&advice) && line.contains("Kvittering og svar må gis i eDialog")
        })
    };
    house.go_to("2026-03-03");
    assert_eq!(report(&house).await, 1);
    assert!(told(&house), "{}", newest(&house));
    house.go_to("2026-03-04");
    assert_eq!(report(&house).await, 0, "told once");
    // Its answer has come, and has to be brought home.
    house.order(case.number, Order::Answer).await;
    house.go_to("2026-03-05");
    assert_eq!(report(&house).await, 1);
    assert!(told(&house), "{}", newest(&house));
    house.go_to("2026-03-06");
    assert_eq!(report(&house).await, 0);
}

#[tokio::test]
async fn once_a_week_what_was_left_alone_and_was_not_a_robots() {
    let mut house = House::with(DAY, policy()).await;
    house.report("avviksmelding").await;
    let letter = house.mail(
        "salg@leverandoer.example",
        "Hemmelig tilbud",
        "",
        "nyhetsbrev",
    );
    house.receive(letter.as_bytes()).await;
    let list = house.mail(
        "liste@robot.example",
        "Utsending",
        "List-Id: <x.robot.example>\r\n",
        "nyhetsbrev",
    );
    assert_eq!(house.receive(list.as_bytes()).await.reason, "list");
    let mut weeks = Vec::new();
    for day in 3..=17 {
        let day = format!("2026-03-{day:02}");
        house.go_to(&day);
        report(&house).await;
        let text = newest(&house);
        if text.contains("liggende i postkassen") {
            assert!(text.contains("leverandoer.example"), "{text}");
            assert!(text.contains("2. mars 2026 kl. 09.00"), "{text}");
            assert!(text.contains("annen post"), "{text}");
            assert!(!text.contains("robot.example"), "{text}");
            assert!(!text.contains("Hemmelig"), "{text}");
            weeks.push(day);
        }
    }
    assert_eq!(weeks, ["2026-03-03"], "told once");
    // The next week's letter, told on the next Monday.
    let letter = house.mail("salg@annen.example", "Tilbud", "", "nyhetsbrev");
    house.receive(letter.as_bytes()).await;
    for (day, told) in [
        ("2026-03-18", false),
        ("2026-03-22", false),
        ("2026-03-23", true),
        ("2026-03-24", false),
    ] {
        house.go_to(day);
        report(&house).await;
        assert_eq!(newest(&house).contains("annen.example"), told, "{day}");
    }
}

#[tokio::test]
async fn held_mail_and_possible_duplicates_stand_in_the_digest() {
    let mut house = House::with(
        DAY,
        Policy {
            acknowledgements_per_hour: 1,
            ..policy()
        },
    )
    .await;
    let words = "avviksmelding medisinsak: pasienten ble sendt hjem uten epikrise, medisinliste og resept, og ingen svarte på \
                 telefon da hjemmetjenesten ringte";
    let first = house.report(words).await;
    let second = house.report(&format!("{words} hele kvelden")).await;
    assert_eq!(second.duplicate_of, Some(first.number));
    house.go_to("2026-03-03");
    report(&house).await;
    let text = newest(&house);
    assert!(
        text.contains(&format!("mulig dublett av {}", first.number)),
        "{text}"
    );
    assert!(text.contains("E-post som er holdt tilbake (1)"), "{text}");
}

#[tokio::test]
async fn the_digest_never_goes_into_a_mailbox_that_is_watched() {
    for to in [None, Some("samhandlingsavvik+x@so-hf.example".to_owned())] {
        let mut house = House::with(
            DAY,
            Policy {
                reports: Reports {
                    to,
                    ..Reports::default()
                },
                ..Policy::default()
            },
        )
        .await;
        house.report("avviksmelding").await;
        house.go_to("2026-03-03");
        assert_eq!(report(&house).await, 0);
        assert_eq!(house.count("oversikt").await, 0);
    }
}

#[tokio::test]
async fn observing_and_a_digest_that_is_turned_off_send_nothing() {
    let mut house = House::with(DAY, policy()).await;
    house.report("avviksmelding").await;
    house.go_to("2026-03-03");
    let mut off = policy();
    off.reports.digest = false;
    house.engine.policy = Arc::new(off);
    assert_eq!(report(&house).await, 0);
    house.engine.policy = Arc::new(policy());
    house.engine.mode = linjevei::config::Mode::Observe;
    assert_eq!(report(&house).await, 0);
}

#[tokio::test]
async fn a_digest_that_is_refused_is_told_by_the_next() {
    let mut house = House::with(DAY, policy()).await;
    house.report("avviksmelding").await;
    house.go_to("2026-03-03");
    house.engine.report().await.unwrap();
    let claimed = house
        .engine
        .store
        .claim(1, 60_000, morning("2026-03-03"))
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].number, None);
    let from = claimed[0].envelope.from.as_deref().unwrap();
    assert!(
        from.starts_with("retur+alle.oversikt.20260303.") && from.ends_with("@so-hf.example"),
        "{from}"
    );
    let refused = linjevei::outbox::Delivery {
        recipients: vec![linjevei::outbox::RecipientOutcome::Permanent(
            linjevei::outbox::Reply {
                code: 550,
                enhanced: (5, 1, 1),
            },
        )],
        replaced_message_id: None,
        note: String::new(),
    };
    house
        .engine
        .store
        .record_delivery(
            &claimed[0],
            &refused,
            linjevei::outbox::retry::Next::Person,
            morning("2026-03-03"),
        )
        .await
        .unwrap();
    house.go_to("2026-03-04");
    report(&house).await;
    let text = newest(&house);
    assert!(text.contains("E-post som ikke kom fram (1)"), "{text}");
    assert!(
        text.contains("oversikt til samhandlingsavdelingen"),
        "{text}"
    );
}

#[tokio::test]
async fn a_party_gets_numbers_and_due_dates_once_a_week_on_a_working_day() {
    let mut policy = policy();
    policy.reports.digest = false;
    policy.reports.party_status = true;
    // 30 March 2026 is the Monday before Easter, 6 April Easter Monday.
    let mut house = House::with("2026-03-24", policy).await;
    let case = house.report("avviksmelding medisinsak Hemmelig").await;
    house.report("avviksmelding mossesak").await;
    let mut days = Vec::new();
    for day in [
        "2026-03-25",
        "2026-03-29",
        "2026-03-30",
        "2026-03-31",
        "2026-04-05",
        "2026-04-06",
        "2026-04-07",
        "2026-04-08",
    ] {
        house.go_to(day);
        if report(&house).await > 0 {
            days.push(day);
        }
    }
    // At the first look, and then on the first working day of each week.
    assert_eq!(days, ["2026-03-25", "2026-03-30", "2026-04-07"]);
    let mails: Vec<Message> = to(&house, MEDISIN)
        .into_iter()
        .filter(|mail| mail.subject == "Saker som venter på svar fra dere")
        .collect();
    assert_eq!(mails.len(), 3);
    let text = report_text(&mails[0]);
    assert!(text.contains(&case.number.to_string()), "{text}");
    assert!(text.contains("23. april 2026"), "{text}");
    for part in ["Hemmelig", "Samhandlingsavvik", "24. mars"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    // Moss has not got its case yet, kirurgi has none.
    assert_eq!(house.count("partstatus").await, 3);
}

#[tokio::test]
async fn serious_harm_is_told_to_the_duty_address_at_once_by_the_number_alone_and_waits_for_approval()
 {
    let mut house = House::with(DAY, policy()).await;
    let serious = house
        .report("avviksmelding medisinsak alvorlig skade Hemmelig")
        .await;
    assert_eq!(serious.state, State::Approval);
    // Also where a person must place it, and where no answer is expected.
    let unplaced = house.report("avviksmelding alvorlig skade").await;
    assert_eq!(unplaced.state, State::Triage);
    let known = house
        .report("orienteringsmelding medisinsak alvorlig skade")
        .await;
    assert_eq!(known.state, State::Approval);
    house.report("avviksmelding kirurgisak").await;
    let mails = to(&house, DUTY);
    assert_eq!(mails.len(), 3);
    for (mail, case) in mails.iter().zip([&serious, &unplaced, &known]) {
        let text = report_text(mail);
        assert!(text.contains(&case.number.to_string()), "{text}");
        assert!(mail.subject.starts_with(&format!("[{}]", case.number)));
        for part in ["Hemmelig", "medisin", "Klinikk", FASTLEGE] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        let alerted = house
            .history(case)
            .await
            .into_iter()
            .filter(|event| event.kind == EventKind::Alerted)
            .count();
        assert_eq!(alerted, 1);
    }
    assert_eq!(
        house.order(serious.number, Order::Approve).await.state,
        State::Sent
    );
    assert_eq!(
        house.order(known.number, Order::Approve).await.state,
        State::Registered
    );
    assert_eq!(house.count("vakt").await, 3);
}

#[tokio::test]
async fn without_the_need_for_approval_a_serious_report_goes_on_and_the_duty_address_is_told() {
    let mut house = House::with(
        DAY,
        Policy {
            serious_needs_approval: false,
            ..policy()
        },
    )
    .await;
    let case = house
        .report("avviksmelding medisinsak alvorlig skade")
        .await;
    assert_eq!(case.state, State::Sent);
    assert_eq!(to(&house, DUTY).len(), 1);
    // A report that was too old when it was taken in alarms nobody.
    let old = house
        .mail(
            FASTLEGE,
            "Melding",
            "",
            "avviksmelding medisinsak alvorlig skade",
        )
        .replace("2 Mar 2026", "2 Jan 2025");
    let row = house.receive(old.as_bytes()).await;
    house.send().await;
    assert!(row.case.is_some());
    assert_eq!(to(&house, DUTY).len(), 1);
}
