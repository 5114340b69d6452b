//! Mail of ours that comes back: delivery reports and bounces as mail systems write them, marks on the mail, the case and the
//! address, what is held then, and a person's word that an address works again.
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

use house::{FASTLEGE, House, MEDISIN, person};
use linjevei::case::undeliverable::RetryWord;
use linjevei::case::{Case, EventKind, Policy, Reports, State};
use linjevei::message::{Message, report_text};
use linjevei::store::{CaseFilter, MessageRow, Retried};

/// A Monday.
const DAY: &str = "2026-03-02";
const DEPARTMENT: &str = "avdelingen@so-hf.example";

async fn house() -> House {
    let policy = Policy {
        reports: Reports {
            to: Some(DEPARTMENT.to_owned()),
            ..Reports::default()
        },
        ..Policy::default()
    };
    House::with(DAY, policy).await
}

/// What a server sends back: RFC 3464, with the headers of what it could not deliver.
struct Dsn<'a> {
    recipient: &'a str,
    action: &'a str,
    status: &'a str,
    /// The address that it comes to.
    to: &'a str,
    /// The headers that came back.
    returned: String,
}

impl Dsn<'_> {
    fn failed<'a>(recipient: &'a str, returned: &str) -> Dsn<'a> {
        Dsn {
            recipient,
            action: "failed",
            status: "5.1.1",
            to: "samhandlingsavvik@so-hf.example",
            returned: returned.to_owned(),
        }
    }

    fn bytes(&self) -> String {
        let Dsn {
            recipient,
            action,
            status,
            to,
            returned,
        } = self;
        format!(
            "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.annet.example (Mail Delivery System)\r\nTo: {to}\r\n\
             Subject: Undelivered Mail Returned to Sender\r\nDate: Mon, 2 Mar 2026 09:01:00 +0100\r\n\
             Message-ID: <dsn.{action}.{recipient}.mx>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"dsn\"\r\n\r\n\
             --dsn\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is the mail system at host mx.annet.example.\r\n\r\nI'm sorry to have to inform you that your message could not\r\n\
             be delivered to one or more recipients.\r\n\r\n\
             --dsn\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.annet.example\r\n\r\n\
             Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n\r\n\
             --dsn\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--dsn--\r\n"
        )
    }
}

/// Headers of a mail of ours as they come back.
fn returned(message_id: &str) -> String {
    format!("Message-ID: <{message_id}>\r\nSubject: noe\r\n")
}

async fn take(house: &mut House, mail: &str) -> MessageRow {
    house.receive(mail.as_bytes()).await
}

async fn dead(house: &House, address: &str) -> bool {
    !house
        .engine
        .store
        .dead_addresses()
        .await
        .unwrap()
        .works(address)
}

async fn row_of(house: &House, kind: &str) -> i64 {
    let rows = house.engine.store.outbox(true, u32::MAX).await.unwrap();
    rows.iter().rev().find(|row| row.kind == kind).unwrap().id
}

async fn retry(house: &House, id: i64, address_works: bool) -> Retried {
    let word = RetryWord {
        actor: person(),
        reason: "postkassen er åpnet igjen".to_owned(),
        address_works,
    };
    let now_ms = linjevei::clock::Clock::now_ms(&*house.clock);
    house
        .engine
        .store
        .retry_mail(id, &word, now_ms)
        .await
        .unwrap()
}

async fn count_events(house: &House, case: &Case, kind: EventKind) -> usize {
    let history = house.history(case).await;
    history.iter().filter(|event| event.kind == kind).count()
}

/// The digest of a day.
async fn digest(house: &House, day: &str) -> String {
    house.go_to(day);
    house.engine.report().await.unwrap();
    house.send().await;
    let mails: Vec<Message> = house.sent();
    let digest = mails
        .iter()
        .rev()
        .find(|mail| mail.to[0].address == DEPARTMENT);
    digest.map(report_text).unwrap_or_default()
}

#[tokio::test]
async fn a_delivery_report_marks_the_mail_the_case_and_the_address_and_a_person_hears_of_it() {
    let mut house = house().await;
    let case = house.report("avviksmelding medisinsak Hemmelig").await;
    let id = house.message_id("sak").await;
    let row = take(&mut house, &Dsn::failed(MEDISIN, &returned(&id)).bytes()).await;
    assert_eq!(row.outcome, "joined");
    assert_eq!(row.case, Some(case.number.to_string()));

    // The mail and the case are marked, the history says so, the case waits for a person.
    assert_eq!(house.outbox().await[0], "sak→medisin bounced");
    let now = house.case(&case.number.to_string()).await;
    assert_eq!((now.state, now.attention), (State::Triage, true));
    let history = house.history(&now).await;
    let failed = history
        .iter()
        .find(|event| event.kind == EventKind::MailFailed)
        .unwrap();
    assert_eq!(
        (&failed.data["party"], &failed.data["why"]),
        (
            &serde_json::json!("medisin"),
            &serde_json::json!("came back 5.1.1")
        )
    );
    let filter = CaseFilter {
        attention: true,
        ..CaseFilter::default()
    };
    assert_eq!(house.engine.store.cases(&filter).await.unwrap().len(), 1);
    assert!(dead(&house, &MEDISIN.to_uppercase()).await);
    assert!(!dead(&house, FASTLEGE).await);
    let text = digest(&house, "2026-03-03").await;
    assert!(text.contains("E-post som ikke kom fram (1)"), "{text}");
    assert!(text.contains("saken med vedlegg, kom i retur"), "{text}");
    for secret in ["@", "Hemmelig"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }

    // The next report for that party waits for a person at once, and the reporter is told that the department has it.
    let next = house.report("avviksmelding medisinsak, en til").await;
    assert_eq!(next.state, State::Triage);
    assert_eq!(house.count("sak").await, 1);
    let acknowledgement = house
        .sent()
        .into_iter()
        .rev()
        .find(|mail| mail.to[0].address == FASTLEGE)
        .unwrap();
    assert!(report_text(&acknowledgement).contains("Samhandlingsavdelingen"));

    // A person may give it to the party all the same, and then takes it there in another way.
    let order = linjevei::case::person::Order::Reroute {
        destination: Some("medisin".to_owned()),
        kind: None,
        category: None,
        severity: None,
    };
    let placed = house.order(next.number, order).await;
    assert_eq!(placed.state, State::SecureHandover);
    assert_eq!(house.count("sak").await, 1);
}

#[tokio::test]
async fn what_waits_for_a_dead_address_is_held_with_a_reason_until_a_person_says_that_it_works() {
    let mut house = house().await;
    let first = house.report("avviksmelding medisinsak").await;
    let id = house.message_id("sak").await;
    // A second one is queued and not sent yet when the first comes back.
    let mail = house.mail(
        FASTLEGE,
        "Melding",
        "",
        "avviksmelding medisinsak nummer to",
    );
    let second = take(&mut house, &mail).await.case.unwrap();
    take(&mut house, &Dsn::failed(MEDISIN, &returned(&id)).bytes()).await;
    house.send().await;
    let rows = house.engine.store.outbox(true, u32::MAX).await.unwrap();
    let told: Vec<_> = rows
        .iter()
        .filter(|row| row.kind == "sak")
        .map(|row| (row.state.as_str(), row.hold_reason.as_str()))
        .collect();
    assert_eq!(told, [("bounced", ""), ("held", "dead-address")]);
    assert_eq!(house.case(&second).await.state, State::Triage);
    let to_medisin = |house: &House| {
        let mails = house.sent();
        mails
            .iter()
            .filter(|mail| mail.to[0].address == MEDISIN)
            .count()
    };
    assert_eq!(to_medisin(&house), 1);
    let text = digest(&house, "2026-03-03").await;
    assert!(
        text.contains("saken med vedlegg, adressen tar ikke imot e-post"),
        "{text}"
    );

    // Without the word that the address works nothing goes.
    let row = rows.iter().find(|row| row.state == "bounced").unwrap().id;
    let refused = retry(&house, row, false).await;
    assert!(
        matches!(&refused, Retried::DeadAddress { status, .. } if status == "5.1.1"),
        "{refused:?}"
    );
    house.send().await;
    assert_eq!(to_medisin(&house), 1);

    // With it the mail goes, and what was held for the address too; the cases are with the party again.
    assert_eq!(
        retry(&house, row, true).await,
        Retried::Queued { others: 1 }
    );
    assert!(!dead(&house, MEDISIN).await);
    house.send().await;
    assert_eq!(to_medisin(&house), 3);
    for number in [first.number.to_string(), second] {
        let case = house.case(&number).await;
        assert_eq!((case.state, case.attention), (State::Sent, false));
        let history = house.history(&case).await;
        let retried = history
            .iter()
            .find(|event| event.kind == EventKind::Retried)
            .unwrap();
        assert_eq!(
            (retried.actor.clone(), retried.reason.as_str()),
            (person(), "postkassen er åpnet igjen")
        );
    }
    assert_eq!(retry(&house, row, true).await, Retried::NotWaiting);
    assert_eq!(
        house.report("avviksmelding medisinsak tre").await.state,
        State::Sent
    );
}

/// Bounces without a machine-readable part, as systems write them. `{ID}` is our Message-ID.
const IN_WORDS: [(&str, &str); 12] = [
    (
        "Exchange, bokmål",
        "Return-Path: <>\nFrom: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@so-hf.example>\n\
         Subject: Kan ikke leveres: [SAK-2026-000001] Samhandlingsavvik\nIn-Reply-To: <{ID}>\nReferences: <{ID}>\n\
         Content-Type: text/html; charset=utf-8\n\n<p><b>Levering til disse mottakerne eller gruppene mislyktes:</b></p>\
         <p><a href=\"mailto:samhandling.medisin@so-hf.example\">samhandling.medisin@so-hf.example</a><br>E-postadressen du skrev inn, \
         ble ikke funnet.</p><p>Diagnoseinformasjon for administratorer:</p><p>#550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found ##</p>\n",
    ),
    (
        "Exchange, English",
        "Return-Path: <>\nFrom: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@so-hf.example>\n\
         Subject: Undeliverable: [SAK-2026-000001] Samhandlingsavvik\nIn-Reply-To: <{ID}>\nContent-Type: text/plain\n\n\
         Delivery has failed to these recipients or groups:\n\nsamhandling.medisin@so-hf.example\nThe email address you entered couldn't \
         be found.\n\nDiagnostic information for administrators:\n\nGenerating server: mx.so-hf.example\n\n\
         samhandling.medisin@so-hf.example\nRemote Server returned '550 5.1.1 RESOLVER.ADR.RecipNotFound; not found'\n\n\
         Original message headers:\n\nMessage-ID: <{ID}>\n",
    ),
    (
        "Exchange Online, bokmål, with its own Message-ID on the mail",
        "Return-Path: <>\nFrom: postmaster@so-hf.example\nSubject: Kan ikke leveres: [SAK-2026-000001] Samhandlingsavvik\n\
         Content-Type: text/plain; charset=utf-8\n\nMeldingen til samhandling.medisin@so-hf.example kunne ikke leveres.\n\n\
         Diagnoseinformasjon for administratorer:\n550 5.1.1 User unknown\n\nOpprinnelige meldingshoder:\n\n\
         Message-ID: <AM0PR01MB0001@AM0PR01MB0001.eurprd01.prod.example>\nX-Linjevei-Id: {LOCAL}\n",
    ),
    (
        "Postfix",
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.so-hf.example (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\n\
         Auto-Submitted: auto-replied\nContent-Type: text/plain\n\nThis is the mail system at host mx.so-hf.example.\n\n\
         <samhandling.medisin@so-hf.example>: host mx2.so-hf.example[10.0.0.2] said: 550 5.1.1\n    User unknown in virtual mailbox table \
         (in reply to RCPT TO command)\n\nReturn-Path: <retur@so-hf.example>\nMessage-ID: <{ID}>\n",
    ),
    (
        "Zimbra (Postfix with its own words)",
        "Return-Path: <>\nFrom: MAILER-DAEMON@zimbra.annet.example (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\n\
         Auto-Submitted: auto-replied\nX-Mailer: Zimbra 8.8.15\nContent-Type: text/plain\n\nThis is the mail system at host \
         zimbra.annet.example.\n\nI'm sorry to have to inform you that your message could not be delivered to one or more recipients.\n\n\
         <samhandling.medisin@so-hf.example>: Recipient address rejected: so-hf.example\n\nMessage-ID: <{ID}>\n",
    ),
    (
        "qmail",
        "Return-Path: <>\nFrom: MAILER-DAEMON@qmail.annet.example\nSubject: failure notice\n\nHi. This is the qmail-send program at \
         qmail.annet.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; \
         I've given up. Sorry it didn't work out.\n\n<samhandling.medisin@so-hf.example>:\nSorry, no mailbox here by that name. \
         (#5.1.1)\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <retur@so-hf.example>\nMessage-ID: <{ID}>\n",
    ),
    (
        "Domino, English",
        "Return-Path: <>\nFrom: \"Mail Router\" <Postmaster@domino.annet.example>\nSubject: DELIVERY FAILURE: User samhandling.medisin \
         (samhandling.medisin@so-hf.example) not listed in Domino Directory\nContent-Type: text/plain\n\nYour message\n\n  Subject: \
         [SAK-2026-000001]\n\nwas not delivered to:\n\n  samhandling.medisin@so-hf.example\n\nbecause:\n\n  User samhandling.medisin \
         (samhandling.medisin@so-hf.example) not listed in Domino Directory\n\nMessage-ID: <{ID}>\n",
    ),
    (
        "Domino, bokmål",
        "Return-Path: <>\nFrom: \"Mail Router\" <Postmaster@domino.annet.example>\nSubject: LEVERINGSFEIL: Bruker samhandling.medisin er \
         ikke oppført i Domino-katalogen\nContent-Type: text/plain; charset=utf-8\n\nMeldingen\n\n  Emne: [SAK-2026-000001]\n\nble ikke \
         levert til:\n\n  samhandling.medisin@so-hf.example\n\nårsak:\n\n  Bruker er ikke oppført i Domino-katalogen\n\n\
         Message-ID: <{ID}>\n",
    ),
    (
        "Gmail, English",
        "Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\nAuto-Submitted: auto-replied\n\
         Subject: Delivery Status Notification (Failure)\nIn-Reply-To: <{ID}>\nReferences: <{ID}>\n\
         X-Failed-Recipients: samhandling.medisin@so-hf.example\nContent-Type: text/plain\n\n** Address not found **\n\n\
         Your message wasn't delivered to samhandling.medisin@so-hf.example because the address couldn't be found, or is unable to \
         receive mail.\n",
    ),
    (
        "Gmail, bokmål",
        "Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\nAuto-Submitted: auto-replied\n\
         Subject: Delivery Status Notification (Failure)\nIn-Reply-To: <{ID}>\n\
         X-Failed-Recipients: samhandling.medisin@so-hf.example\nContent-Type: text/plain; charset=utf-8\n\n** Fant ikke adressen **\n\n\
         Meldingen din ble ikke levert til samhandling.medisin@so-hf.example fordi adressen ikke ble funnet, eller ikke kan ta imot \
         e-post.\n",
    ),
    (
        "Exim",
        "Return-Path: <>\nFrom: Mail Delivery System <Mailer-Daemon@exim.annet.example>\nSubject: Mail delivery failed: returning message \
         to sender\nAuto-Submitted: auto-replied\nX-Failed-Recipients: samhandling.medisin@so-hf.example\nContent-Type: text/plain\n\n\
         A message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following \
         address(es) failed:\n\n  samhandling.medisin@so-hf.example\n    No Such User Here\n\n------ This is a copy of the message, \
         including all the headers. ------\n\nMessage-ID: <{ID}>\n",
    ),
    (
        "Sendmail, with the headers quoted",
        "Return-Path: <>\nFrom: Mail Delivery Subsystem <MAILER-DAEMON@sendmail.annet.example>\nSubject: Returned mail: see transcript for \
         details\nAuto-Submitted: auto-generated (failure)\nContent-Type: text/plain\n\n   ----- The following addresses had permanent \
         fatal errors -----\n<samhandling.medisin@so-hf.example>\n    (reason: 550 5.1.1 User unknown)\n\n> Message-ID: <{ID}>\n",
    ),
];

#[tokio::test]
async fn bounces_in_words_of_all_common_systems_do_the_same() {
    for (system, words) in IN_WORDS {
        let mut house = house().await;
        let case = house.report("avviksmelding medisinsak").await;
        let id = house.message_id("sak").await;
        let local = id.split('@').next().unwrap();
        let mail = words.replace("{ID}", &id).replace("{LOCAL}", local);
        let mail = format!("To: samhandlingsavvik@so-hf.example\n{mail}");
        let row = take(&mut house, &mail).await;
        assert_eq!(row.case, Some(case.number.to_string()), "{system}");
        assert_eq!(house.outbox().await[0], "sak→medisin bounced", "{system}");
        let now = house.case(&case.number.to_string()).await;
        assert_eq!(
            (now.state, now.attention),
            (State::Triage, true),
            "{system}"
        );
        assert!(dead(&house, MEDISIN).await, "{system}");
        house.send().await;
        assert_eq!(house.outbox().await.len(), 2, "{system}: nothing is sent");
    }
}

#[tokio::test]
async fn a_delay_is_an_event_and_nothing_more() {
    let in_words = [
        "From: MAILER-DAEMON@mx.annet.example\nSubject: Warning: could not send message for past 4 hours\n\nThe following address had \
         delayed delivery\n<samhandling.medisin@so-hf.example>\nMessage-ID: <{ID}>\n",
        "Return-Path: <>\nFrom: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@so-hf.example>\n\
         Subject: Levering forsinket: [SAK-2026-000001] Samhandlingsavvik\nIn-Reply-To: <{ID}>\nContent-Type: text/plain; charset=utf-8\n\n\
         Leveringen er forsinket. Meldingen er ennå ikke levert til:\n\nsamhandling.medisin@so-hf.example\n\nServeren vil fortsette å \
         prøve. Diagnoseinformasjon for administratorer: #400 4.4.7\n",
        "Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\nSubject: Delivery Status Notification \
         (Delay)\nIn-Reply-To: <{ID}>\n\n** Delivery incomplete **\n\nThere was a temporary problem delivering your message to \
         samhandling.medisin@so-hf.example. Gmail will retry for 45 more hours.\n",
    ];
    let mut house = house().await;
    let case = house.report("avviksmelding medisinsak").await;
    let id = house.message_id("sak").await;
    let before = house.outbox().await;
    let mut mails: Vec<String> = in_words
        .iter()
        .map(|mail| mail.replace("{ID}", &id))
        .collect();
    for (action, status) in [
        ("delayed", "4.4.7"),
        ("relayed", "2.0.0"),
        ("delivered", "2.1.5"),
    ] {
        let dsn = Dsn {
            action,
            status,
            ..Dsn::failed(MEDISIN, &returned(&id))
        };
        mails.push(dsn.bytes());
    }
    for (at, mail) in mails.iter().enumerate() {
        let row = take(&mut house, mail).await;
        assert_eq!(row.case, Some(case.number.to_string()), "{mail}");
        let now = house.case(&case.number.to_string()).await;
        assert_eq!((now.state, now.attention), (State::Sent, false), "{mail}");
        assert_eq!(
            count_events(&house, &now, EventKind::Joined).await,
            at + 1,
            "{mail}"
        );
        assert_eq!(count_events(&house, &now, EventKind::MailFailed).await, 0);
    }
    assert_eq!(house.outbox().await, before);
    assert!(!dead(&house, MEDISIN).await);
}

#[tokio::test]
async fn a_forged_report_marks_nothing() {
    let mut house = house().await;
    let case = house.report("avviksmelding medisinsak").await;
    let other = house.report("avviksmelding kirurgisak").await;
    let id = house.message_id("sak").await;
    assert!(id.starts_with(&other.number.to_string().to_lowercase()));
    let before = house.outbox().await;
    // An id of ours with another case's number, or another letter, is signed by nobody.
    let moved = id.replacen("000002", "000001", 1);
    let last = id.find('@').unwrap() - 1;
    let mut changed = id.clone().into_bytes();
    changed[last] = if changed[last] == b'0' { b'1' } else { b'0' };
    let changed = String::from_utf8(changed).unwrap();
    let token = format!("Subject: [{}] Samhandlingsavvik\r\n", case.number);
    let to = |local: &str| format!("retur+{local}@so-hf.example");
    let forgeries = [
        (returned(&moved), String::new()),
        (returned(&changed), String::new()),
        (
            format!("X-Linjevei-Id: {}\r\n", moved.split('@').next().unwrap()),
            String::new(),
        ),
        (token, String::new()),
        // The report's own Message-ID proves nothing of our mail.
        (returned("0.test@avsender.example"), String::new()),
        (String::new(), to("sak-2026-000001.sak.1")),
        (String::new(), to("sak-2026-000001.sak.1.0123456789")),
        (
            String::new(),
            to(&format!(
                "sak-2026-000001.sak.1.{}",
                &changed[last - 31..last - 21]
            )),
        ),
    ];
    for (headers, to) in &forgeries {
        let mut dsn = Dsn::failed(MEDISIN, headers);
        if !to.is_empty() {
            dsn.to = to;
        }
        take(
            &mut house,
            &dsn.bytes()
                .replace("dsn.failed", &format!("dsn{}", headers.len() + to.len())),
        )
        .await;
        assert_eq!(house.outbox().await, before, "{headers} {to}");
        assert!(!dead(&house, MEDISIN).await, "{headers} {to}");
        let now = house.case(&case.number.to_string()).await;
        assert_eq!(now.state, State::Sent, "{headers} {to}");
    }
    // An id that is ours says which mail of ours it is about, and of no other address: the reporter, who knows the id of the
    // acknowledgement, cannot cut off the clinic with it.
    let acknowledgement = house.message_id("kvittering").await;
    take(
        &mut house,
        &Dsn::failed(MEDISIN, &returned(&acknowledgement)).bytes(),
    )
    .await;
    assert!(!dead(&house, MEDISIN).await);
    assert!(
        house
            .outbox()
            .await
            .iter()
            .all(|row| row != "sak→medisin bounced")
    );
}

#[tokio::test]
async fn what_proves_the_mail_besides_the_message_id() {
    for by in [
        "x-linjevei-id",
        "return-path",
        "delivered-to",
        "replaced-id",
    ] {
        let mut house = house().await;
        let case = house.report("avviksmelding medisinsak").await;
        let id = house.message_id("sak").await;
        let (local, _) = id.split_once('@').unwrap();
        let (about, mac) = local.rsplit_once('.').unwrap();
        let (mail, _party) = about.rsplit_once('.').unwrap();
        let verp = format!("Retur+{mail}.{}@so-hf.example", &mac[..10]);
        let mut dsn = Dsn::failed(MEDISIN, "Subject: noe\r\n");
        let mut more = String::new();
        match by {
            "x-linjevei-id" => dsn.returned = format!("X-Linjevei-Id: {local}\r\n"),
            "return-path" => dsn.to = &verp,
            "delivered-to" => more = format!("Delivered-To: {verp}\r\n"),
            _ => {
                // What Exchange told us in its 250 reply; tests/outbox_smtp.rs shows that it is understood.
                house
                    .raw("UPDATE outbox SET replaced_message_id = 'AM0@eurprd.example' WHERE kind = 'sak'")
                    .await
                    .unwrap();
                dsn.returned = returned("AM0@eurprd.example");
            }
        }
        let row = take(&mut house, &format!("{more}{}", dsn.bytes())).await;
        assert_eq!(row.case, Some(case.number.to_string()), "{by}");
        assert_eq!(house.outbox().await[0], "sak→medisin bounced", "{by}");
        assert!(dead(&house, MEDISIN).await, "{by}");
    }
}

#[tokio::test]
async fn a_party_with_another_address_keeps_its_case_and_gets_the_next_one_there() {
    let mut house = house().await;
    let case = house.report("avviksmelding psykisksak").await;
    let id = house.message_id("sak").await;
    let leader = "leder.psykisk@so-hf.example";
    take(&mut house, &Dsn::failed(leader, &returned(&id)).bytes()).await;
    let now = house.case(&case.number.to_string()).await;
    assert_eq!((now.state, now.attention), (State::Sent, true));
    assert_eq!(house.outbox().await[0], "sak→psykisk bounced");
    assert_eq!(
        house.report("avviksmelding psykisksak to").await.state,
        State::Sent
    );
    let mails = house.sent();
    let newest = mails
        .iter()
        .rev()
        .find(|mail| mail.to.iter().any(|to| to.address.contains("psykisk")))
        .unwrap();
    let to: Vec<&str> = newest.to.iter().map(|to| to.address.as_str()).collect();
    assert_eq!(to, ["samhandling.psykisk@so-hf.example"]);
    // The other one fails as well: nobody is left.
    let first = Dsn::failed("samhandling.psykisk@so-hf.example", &returned(&id));
    take(&mut house, &first.bytes()).await;
    assert_eq!(
        house.case(&case.number.to_string()).await.state,
        State::Triage
    );
    assert_eq!(
        house.report("avviksmelding psykisksak tre").await.state,
        State::Triage
    );
}

#[tokio::test]
async fn a_mail_that_is_too_large_says_nothing_of_the_address() {
    let mut house = house().await;
    let case = house.report("avviksmelding medisinsak").await;
    let id = house.message_id("sak").await;
    for (status, number) in [("5.3.4", 1), ("4.4.7", 2)] {
        let dsn = Dsn {
            status,
            ..Dsn::failed(MEDISIN, &returned(&id))
        };
        take(
            &mut house,
            &dsn.bytes().replace("dsn.failed", &format!("dsn.{number}")),
        )
        .await;
        let now = house.case(&case.number.to_string()).await;
        assert_eq!(now.state, State::Triage, "{status}");
        assert_eq!(house.outbox().await[0], "sak→medisin bounced");
        assert!(!dead(&house, MEDISIN).await, "{status}");
        let row = row_of(&house, "sak").await;
        assert_eq!(
            retry(&house, row, false).await,
            Retried::Queued { others: 0 }
        );
        house.send().await;
        let now = house.case(&case.number.to_string()).await;
        assert_eq!(now.state, State::Sent, "a person sent it again");
    }
}

#[tokio::test]
async fn a_reporter_whose_address_is_dead_is_acknowledged_when_it_works_again() {
    let mut house = house().await;
    house.report("avviksmelding").await;
    let case = house.cases().await.remove(0);
    let order = linjevei::case::person::Order::Reroute {
        destination: Some("medisin".to_owned()),
        kind: None,
        category: None,
        severity: None,
    };
    house.order(case.number, order).await;
    house.send().await;
    let id = house.message_id("status").await;
    take(&mut house, &Dsn::failed(FASTLEGE, &returned(&id)).bytes()).await;
    // The party has the case: it goes on, and a person looks.
    let now = house.case(&case.number.to_string()).await;
    assert_eq!((now.state, now.attention), (State::Sent, true));
    let next = house.report("avviksmelding kirurgisak").await;
    assert_eq!(next.state, State::Sent);
    assert_eq!(
        house.outbox().await.last().unwrap(),
        "kvittering→melder held"
    );
    let text = digest(&house, "2026-03-03").await;
    assert!(
        text.contains("kvittering, adressen tar ikke imot e-post"),
        "{text}"
    );
    let row = row_of(&house, "kvittering").await;
    assert_eq!(
        retry(&house, row, true).await,
        Retried::Queued { others: 0 }
    );
    house.send().await;
    assert_eq!(
        house
            .outbox()
            .await
            .iter()
            .filter(|row| *row == "kvittering→melder sent")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_reminder_to_a_dead_address_becomes_a_persons_task() {
    let mut house = house().await;
    let case = house.report("avviksmelding medisinsak").await;
    house.report("avviksmelding medisinsak nummer to").await;
    let id = house.message_id("sak").await;
    take(&mut house, &Dsn::failed(MEDISIN, &returned(&id)).bytes()).await;
    house.go_to("2026-04-07");
    house.chase().await;
    assert_eq!(house.count("purring").await, 0);
    let now = house.case(&case.number.to_string()).await;
    assert_eq!((now.state, now.attention), (State::Triage, true));
    // The one reminder is still to come.
    assert_eq!(now.reminder, linjevei::case::Reminder::Allowed);
}

#[tokio::test]
async fn a_digest_that_came_back_is_told_by_the_next_and_never_held() {
    let mut house = house().await;
    house.report("avviksmelding").await;
    digest(&house, "2026-03-03").await;
    let id = house.message_id("oversikt").await;
    let row = take(&mut house, &Dsn::failed(DEPARTMENT, &returned(&id)).bytes()).await;
    assert_eq!(
        (row.outcome.as_str(), row.reason.as_str()),
        ("left-alone", "bounce")
    );
    assert_eq!(
        house.outbox().await.last().unwrap(),
        "oversikt→samhandling bounced"
    );
    assert!(!dead(&house, DEPARTMENT).await);
    let text = digest(&house, "2026-03-04").await;
    assert!(
        text.contains("oversikt til samhandlingsavdelingen, kom i retur"),
        "{text}"
    );
}

#[tokio::test]
async fn a_reporters_dead_address_is_forgotten_with_the_case() {
    let mut house = house().await;
    let case = house.report("avviksmelding").await;
    let order = linjevei::case::person::Order::Reroute {
        destination: Some("medisin".to_owned()),
        kind: None,
        category: None,
        severity: None,
    };
    house.order(case.number, order).await;
    house.send().await;
    let (status, sak) = (
        house.message_id("status").await,
        house.message_id("sak").await,
    );
    take(
        &mut house,
        &Dsn::failed(FASTLEGE, &returned(&status)).bytes(),
    )
    .await;
    take(&mut house, &Dsn::failed(MEDISIN, &returned(&sak)).bytes()).await;
    house
        .order(case.number, linjevei::case::person::Order::Close)
        .await;
    house.go_to("2027-03-02");
    let retention = linjevei::worker::retention::Retention {
        left_alone_keep_days: 30,
        closed_cases_keep_days: Some(30),
    };
    let deleted = house
        .engine
        .delete_expired(&retention, &|| false)
        .await
        .unwrap();
    assert_eq!(deleted.cases, 1);
    assert!(!dead(&house, FASTLEGE).await);
    assert!(
        dead(&house, MEDISIN).await,
        "a clinic's address is no person's"
    );
}
