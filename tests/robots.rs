//! Never talks to robots: every brake has its own test, mail that machines really write is known as such, alone and in a
//! thread, and two systems that acknowledge each other stop after one mail of ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/smtp.rs"]
mod smtp;

use std::sync::Arc;

use house::{FASTLEGE, House};
use linjevei::case::{Acknowledgement, EventKind, Policy, State};
use linjevei::config::{Server, Tls};
use linjevei::message::{Limits, parse};
use linjevei::outbox::SmtpTransport;
use linjevei::rules::WhyNot;
use smtp::{Script, SmtpServer};

/// A Monday.
const DAY: &str = "2026-03-02";

/// A genuine report with these headers more, which stand in place of From if they hold one.
fn report(headers: &str, text: &str) -> String {
    let from = if headers.to_lowercase().contains("from:") {
        ""
    } else {
        "From: <lege@fjordgloett-legesenter.example>\r\n"
    };
    format!(
        "{from}{headers}To: samhandlingsavvik@so-hf.example\r\nSubject: Melding\r\nDate: Mon, 2 Mar 2026 08:59:00 +0100\r\n\
         Message-ID: <{}.test@avsender.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n",
        headers.len() + text.len()
    )
}

/// A genuine report with this sign of a machine is a case, its party gets it, its sender gets nothing automatic, and the
/// digest says why.
async fn brakes(headers: &str, why_not: WhyNot, policy: Policy) {
    let policy = Policy {
        reports: linjevei::case::Reports {
            to: Some("avdelingen@so-hf.example".to_owned()),
            ..linjevei::case::Reports::default()
        },
        ..policy
    };
    let mut house = House::with(DAY, policy).await;
    let row = house
        .receive(report(headers, "avviksmelding medisinsak").as_bytes())
        .await;
    house.send().await;
    let case = house.case(&row.case.expect("a case")).await;
    assert_eq!(
        (case.state, case.acknowledgement),
        (State::Sent, Acknowledgement::Not(why_not))
    );
    assert_eq!(house.outbox().await, ["sak→medisin sent"]);
    house.go_to("2026-03-03");
    house.engine.report().await.unwrap();
    house.send().await;
    let digest = linjevei::message::report_text(house.sent().last().unwrap());
    assert!(
        digest.contains("Melderen har ikke fått kvittering eller svar på e-post (1)"),
        "{digest}"
    );
}

macro_rules! brakes {
    ($($name:ident: $headers:expr => $why_not:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                brakes($headers, WhyNot::$why_not, Policy::default()).await;
            }
        )*
    };
}

brakes! {
    auto_submitted_generated: "Auto-Submitted: auto-generated\r\n" => AutoSubmitted;
    auto_submitted_replied: "Auto-Submitted: auto-replied; owner-email=\"a@x.example\"\r\n" => AutoSubmitted;
    auto_submitted_other: "Auto-Submitted: auto-notified\r\n" => AutoSubmitted;
    precedence_bulk: "Precedence: bulk\r\n" => List;
    precedence_list: "Precedence: List\r\n" => List;
    precedence_junk: "Precedence: junk\r\n" => List;
    precedence_auto_reply: "Precedence: auto_reply\r\n" => AutoSubmitted;
    list_id: "List-Id: Leger <leger.fjordgloett.example>\r\n" => List;
    list_unsubscribe: "List-Unsubscribe: <mailto:av@fjordgloett.example>\r\n" => List;
    null_return_path: "Return-Path: <>\r\n" => Bounce;
    from_missing: "X-From: ingen\r\n" => NoAddress;
    from_empty: "From: \r\n" => NoAddress;
    from_undisclosed: "From: <>\r\n" => NoAddress;
    from_twice: "From: <a@x.example>\r\nFrom: <b@x.example>\r\n" => NoAddress;
    mailer_daemon: "From: MAILER-DAEMON@x.example\r\n" => NoReply;
    postmaster: "From: Postmaster <postmaster@x.example>\r\n" => NoReply;
    no_reply: "From: Varsling <no-reply@x.example>\r\n" => NoReply;
    ikke_svar: "From: Varsling <ikke-svar@x.example>\r\n" => NoReply;
    read_receipt: "Content-Class: urn:content-classes:mdn\r\n" => Receipt;
    calendar_mail: "Content-Class: urn:content-classes:calendarmessage\r\n" => Receipt;
    spam_flag: "X-Spam-Flag: YES\r\n" => Unauthenticated;
    spam_confidence_of_exchange: "X-MS-Exchange-Organization-SCL: 6\r\n" => Unauthenticated;
    our_id: "X-Linjevei-Id: noe\r\n" => OwnAddress;
    our_address_in_x_loop: "X-Loop: Samhandlingsavvik@so-hf.example\r\n" => OwnAddress;
    our_address: "From: <samhandlingsavvik@so-hf.example>\r\n" => OwnAddress;
    our_address_with_a_tag_and_in_capitals: "From: <Samhandlingsavvik+svar@SO-HF.example>\r\n" => OwnAddress;
    x_auto_response_suppress_all: "X-Auto-Response-Suppress: All\r\n" => Suppressed;
    x_auto_response_suppress_auto_reply: "X-Auto-Response-Suppress: OOF, AutoReply\r\n" => Suppressed;
    x_autoreply: "X-Autoreply: yes\r\n" => AutoSubmitted;
    x_autorespond: "X-Autorespond: Fravær\r\n" => AutoSubmitted;
}

#[tokio::test]
async fn feedback_report() {
    let mut house = House::on(DAY).await;
    let mail = report("", "").replace(
        "Content-Type: text/plain; charset=utf-8\r\n\r\n",
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: \
         text/plain\r\n\r\navviksmelding medisinsak\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\
         User-Agent: x/1\r\nVersion: 1\r\n--b--\r\n",
    );
    let row = house.receive(mail.as_bytes()).await;
    let case = house.case(&row.case.unwrap()).await;
    assert_eq!(case.acknowledgement, Acknowledgement::Not(WhyNot::Receipt));
    assert_eq!(house.count("kvittering").await, 0);
}

#[tokio::test]
async fn failed_authentication() {
    let policy = || Policy {
        authserv_id: Some("mx.so-hf.example".to_owned()),
        ..Policy::default()
    };
    for results in [
        "Authentication-Results: mx.so-hf.example; dmarc=fail header.from=fjordgloett-legesenter.example\r\n",
        "Authentication-Results: mx.so-hf.example; spf=fail smtp.mailfrom=fjordgloett-legesenter.example; dkim=none\r\n",
        // The server that is trusted says nothing.
        "Authentication-Results: mx.ond.example; dmarc=pass header.from=fjordgloett-legesenter.example\r\n",
        "",
    ] {
        brakes(results, WhyNot::Unauthenticated, policy()).await;
    }
}

/// What stops no acknowledgement: a colleague in our own domain, other wishes about automatic answers.
#[tokio::test]
async fn people_are_answered() {
    for headers in [
        "From: <overlege@so-hf.example>\r\n",
        "X-Auto-Response-Suppress: OOF, RN, NRN, DR\r\n",
        "Auto-Submitted: no\r\n",
        "X-Loop: annen@fjordgloett-legesenter.example\r\n",
        "Return-Path: <lege@fjordgloett-legesenter.example>\r\n",
        "Precedence: first-class\r\n",
        "X-Spam-Status: No, score=-1\r\n",
        "X-Autoreply: no\r\n",
    ] {
        let mut house = House::on(DAY).await;
        house
            .receive(report(headers, "avviksmelding medisinsak").as_bytes())
            .await;
        assert_eq!(house.count("kvittering").await, 1, "{headers}");
    }
}

#[tokio::test]
async fn twenty_an_hour_whatever_the_letter_case_of_the_address() {
    let mut house = House::on(DAY).await;
    for serial in 0..21 {
        let from = if serial % 2 == 0 {
            FASTLEGE.to_owned()
        } else {
            FASTLEGE.to_uppercase()
        };
        let mail = house.mail(
            &from,
            "Melding",
            "",
            &format!("avviksmelding medisinsak {serial}"),
        );
        house.receive(mail.as_bytes()).await;
    }
    house.send().await;
    let outbox = house.outbox().await;
    let count = |line: &str| outbox.iter().filter(|row| *row == line).count();
    assert_eq!(
        (
            count("kvittering→melder sent"),
            count("kvittering→melder held")
        ),
        (20, 1)
    );
    // An hour later the next one goes at once.
    house.clock.set(house::morning(DAY) + 3_600_001);
    let mail = house.mail(FASTLEGE, "Melding", "", "avviksmelding medisinsak senere");
    house.receive(mail.as_bytes()).await;
    house.send().await;
    assert_eq!(
        house.outbox().await.last().unwrap(),
        "kvittering→melder sent"
    );
}

/// Mail as machines write it: which system, and the mail. `{SUBJECT}` is the subject of what it answers, with our token when
/// it answers us; `{THREAD}` are the headers that say so, if the system writes any.
const MACHINES: [(&str, &str); 34] = [
    (
        "Exchange, fravær, bokmål",
        "From: Ola Nordmann <ola.nordmann@halden.kommune.example>\nSubject: Automatisk svar: {SUBJECT}\n{THREAD}Auto-Submitted: auto-generated\n\
         X-Auto-Response-Suppress: All\nX-MS-Exchange-Inbox-Rules-Loop: ola.nordmann@halden.kommune.example\nReturn-Path: <>\n\
         Content-Type: text/plain; charset=\"iso-8859-1\"\nContent-Transfer-Encoding: quoted-printable\n\n\
         Hei. Jeg har ferie til og med uke 32. Haster det, ring vakttelefonen p=E5 69 00 00 00.\n",
    ),
    (
        "Exchange, fravær, uten Auto-Submitted",
        "From: Ola Nordmann <ola.nordmann@halden.kommune.example>\nSubject: Automatisk svar: {SUBJECT}\n{THREAD}\
         X-Auto-Response-Suppress: All\nX-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent\nContent-Type: text/plain\n\n\
         Takk for e-posten. Jeg er tilbake mandag.\n",
    ),
    (
        "Exchange, fravær, bare emnet røper det",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: Automatisk svar: {SUBJECT}\n{THREAD}Content-Type: text/html; \
         charset=utf-8\n\n<html><body><p>Jeg er bortreist.</p></body></html>\n",
    ),
    (
        "Exchange, fravær, engelsk",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: Automatic reply: {SUBJECT}\n{THREAD}\
         X-Auto-Response-Suppress: All\n\nI am out of the office and will return on Monday.\n",
    ),
    (
        "Outlook, regel med mal, nynorsk",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: Fråværsmelding\n{THREAD}\nEg er ikkje på kontoret før 12. august. \
         Hastar det, ring servicetorget.\n",
    ),
    (
        "Outlook, regel med mal, bokmål",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: Fraværsmelding\n{THREAD}\nJeg er ikke på kontoret før 12. august. \
         E-posten blir ikke videresendt.\n",
    ),
    (
        "Ikke til stede i emnet",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: Ikke til stede: {SUBJECT}\n{THREAD}\nJeg har fri og er tilbake \
         onsdag 4. mars. Ta kontakt med postmottaket hvis det haster.\n",
    ),
    (
        "Gmail, fravær",
        "From: Lege Testesen <testesen@gmail.example>\nSubject: Out of office Re: {SUBJECT}\n{THREAD}Auto-Submitted: auto-replied\n\
         Precedence: bulk\nX-Autoreply: yes\n\nJeg er på ferie.\n",
    ),
    (
        "Domino, fravær, gammel, uten merker",
        "From: Kari Testesen/Helse/Moss <kari.testesen@moss.kommune.example>\nSubject: AUTO: Kari Testesen er ute av kontoret (tilbake \
         10.08.2026)\n{THREAD}X-Mailer: Lotus Domino Server Release 8.5.3\nContent-Type: text/plain; charset=ISO-8859-1\n\n\
         Jeg er ute av kontoret til 10.08.2026.\n\nMerk: Dette er et automatisk svar på meldingen \"{SUBJECT}\".\n",
    ),
    (
        "HCL Domino, fravær, ny",
        "From: Kari Testesen/Helse/Moss <kari.testesen@moss.kommune.example>\nSubject: AUTO: Kari Testesen is out of the office (returning \
         10.08.2026)\n{THREAD}Auto-Submitted: auto-generated\nX-Mailer: HCL Domino Release 12.0.2\n\nI am out of the office until \
         10.08.2026.\n",
    ),
    (
        "Zimbra, fravær",
        "From: Kari Testesen <kari.testesen@legekontor.example>\nSubject: Re: {SUBJECT}\n{THREAD}Auto-Submitted: auto-replied (zimbra; \
         vacation)\nPrecedence: bulk\nX-Mailer: Zimbra 8.8.15\n\nJeg svarer når jeg er tilbake.\n",
    ),
    (
        "Dovecot, Sieve vacation",
        "From: Kari Testesen <kari.testesen@legekontor.example>\nSubject: Auto: {SUBJECT}\n{THREAD}Auto-Submitted: auto-replied (vacation)\n\
         Precedence: bulk\nX-Auto-Response-Suppress: All\nX-Sieve: Pigeonhole Sieve 0.5\n\nVi har stengt i påsken.\n",
    ),
    (
        "cPanel, autoresponder",
        "From: Legekontoret <post@legekontor.example>\nSubject: Takk for e-posten\n{THREAD}X-Autorespond: {SUBJECT}\nPrecedence: auto_reply\n\n\
         Vi svarer så snart vi kan.\n",
    ),
    (
        "Legekontor, stengt, uten merker",
        "From: Legekontoret <post@legekontor.example>\nSubject: Autosvar\n{THREAD}\nLegekontoret er stengt i uke 29. Ved akutt sykdom, ring \
         116117.\n",
    ),
    (
        "Sluttet",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: SV: {SUBJECT}\n{THREAD}\nJeg har sluttet i Moss kommune. Kontakt \
         postmottaket.\n",
    ),
    (
        "Permisjon",
        "From: Kari Testesen <kari.testesen@moss.kommune.example>\nSubject: {SUBJECT}\n{THREAD}\nJeg er i permisjon til 1. september og leser \
         ikke e-post. Ta kontakt med Ola Nordmann.\n",
    ),
    (
        "Lesekvittering, Outlook, bokmål",
        "From: Ola Nordmann <ola.nordmann@halden.kommune.example>\nSubject: Lest: {SUBJECT}\n{THREAD}MIME-Version: 1.0\nContent-Type: \
         multipart/report; report-type=disposition-notification; boundary=r\n\n--r\nContent-Type: text/plain\n\nMeldingen din ble lest.\n\
         --r\nContent-Type: message/disposition-notification\n\nFinal-recipient: RFC822; ola.nordmann@halden.kommune.example\nDisposition: \
         automatic-action/MDN-sent-automatically; displayed\n--r--\n",
    ),
    (
        "Lesekvittering, Exchange, bare klassen røper det",
        "From: Ola Nordmann <ola.nordmann@halden.kommune.example>\nSubject: Ikke lest: {SUBJECT}\n{THREAD}X-MS-Exchange-MessageClass: \
         x\nX-Message-Class: REPORT.IPM.Note.IPNNRN\n\nMeldingen ble slettet uten å bli lest.\n",
    ),
    (
        "Møte godtatt, Outlook",
        "From: Ola Nordmann <ola.nordmann@halden.kommune.example>\nSubject: Godtatt: {SUBJECT}\n{THREAD}MIME-Version: 1.0\nContent-Type: \
         multipart/alternative; boundary=k\n\n--k\nContent-Type: text/plain\n\n\n--k\nContent-Type: text/calendar; method=REPLY\n\n\
         BEGIN:VCALENDAR\nMETHOD:REPLY\nEND:VCALENDAR\n--k--\n",
    ),
    (
        "Møteinnkalling, Gmail",
        "From: Ola Nordmann <ola.nordmann@gmail.example>\nSubject: Invitasjon: samarbeidsmøte\n{THREAD}MIME-Version: 1.0\nContent-Type: \
         text/calendar; charset=UTF-8; method=REQUEST\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n",
    ),
    (
        "Request Tracker",
        "From: Servicedesk via RT <servicedesk@moss.kommune.example>\nSubject: [rt.moss.example #4711] AutoReply: {SUBJECT}\n{THREAD}\
         Precedence: bulk\nX-RT-Loop-Prevention: rt.moss.example\nRT-Ticket: rt.moss.example #4711\nManaged-by: RT 5.0\nAuto-Submitted: \
         auto-replied\n\nThis message has been automatically generated.\n",
    ),
    (
        "OTRS",
        "From: Servicetorget <servicetorget@moss.kommune.example>\nSubject: [Sak#2026030210000012] RE: {SUBJECT}\n{THREAD}\
         Auto-Submitted: auto-generated\nPrecedence: bulk\nX-OTRS-Loop: servicetorget@moss.kommune.example\nX-Powered-By: OTRS 6\n\n\
         Takk for henvendelsen. Den har fått nummer 2026030210000012.\n",
    ),
    (
        "Zendesk",
        "From: Støtte <support@leverandoer.example>\nSubject: [Forespørsel mottatt] {SUBJECT}\n{THREAD}Auto-Submitted: auto-generated\n\
         X-Auto-Response-Suppress: All\nX-Mailer: Zendesk Mailer\nX-Zendesk-From-Account-Id: abc\n\n##- Skriv svaret ditt over denne linjen \
         -##\n\nForespørselen din (4711) er mottatt og behandles av vårt støtteteam.\n",
    ),
    (
        "Jira Service Management",
        "From: Servicedesk <jira@leverandoer.example>\nSubject: HELP-4711 {SUBJECT}\n{THREAD}Auto-Submitted: auto-generated\nPrecedence: bulk\n\
         X-JIRA-FingerPrint: abc\nX-Auto-Response-Suppress: DR, OOF, AutoReply\n\nJust confirming that we got your request.\n",
    ),
    (
        "Pureservice, uten merker",
        "From: Servicedesk <servicedesk@fredrikstad.kommune.example>\nSubject: Vi har mottatt din henvendelse - Sak 4711 - {SUBJECT}\n{THREAD}\n\
         Hei!\n\nVi har mottatt din henvendelse og den er registrert med saksnummer 4711.\nDu vil få svar så snart saken er behandlet.\n",
    ),
    (
        "Public 360, kvittering fra arkivet, uten merker",
        "From: Postmottak <post@fredrikstad.kommune.example>\nSubject: Kvittering på mottatt henvendelse\n{THREAD}\nDin henvendelse er mottatt i \
         Fredrikstad kommune og registrert i vårt arkiv med saksnummer 26/1187.\nSaksbehandlingstiden er normalt inntil tre uker.\n",
    ),
    (
        "Elements, foreløpig svar fra arkivet, nynorsk, uten merker",
        "From: Postmottak <post@hvaler.kommune.example>\nSubject: Stadfesting på motteken e-post\n{THREAD}\nVi har motteke e-posten din, og \
         han er registrert med saksnummer 26/88.\n",
    ),
    (
        "Postmottak, fordeles, uten merker",
        "From: Postmottak <postmottak@sarpsborg.kommune.example>\nSubject: SV: {SUBJECT}\n{THREAD}\nTakk for din henvendelse. E-posten er \
         mottatt og vil bli fordelt til rett saksbehandler. Denne e-posten kan ikke besvares.\n",
    ),
    (
        "Freshdesk, engelsk, uten merker",
        "From: Support <support@leverandoer.example>\nSubject: Ticket Received - {SUBJECT}\n{THREAD}\nDear customer,\n\nWe have received your \
         request and a ticket has been created with ID 4711.\n",
    ),
    (
        "ServiceNow",
        "From: IT Service Desk <it@leverandoer.example>\nSubject: Incident INC0004711 has been opened on your behalf\n{THREAD}\
         Auto-Submitted: auto-generated\nX-ServiceNow-Generated: true\nPrecedence: bulk\n\nIncident INC0004711 has been opened on your behalf.\nShort description: {SUBJECT}\n",
    ),
    (
        "Bounce, Exchange, bokmål",
        "From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@moss.kommune.example>\nReturn-Path: <>\nSubject: Kan ikke \
         leveres: {SUBJECT}\nContent-Type: text/html; charset=utf-8\n\n<p>Levering til disse mottakerne eller gruppene \
         mislyktes:</p><p>noen@moss.kommune.example</p><p>Diagnoseinformasjon for administratorer:</p>\n",
    ),
    (
        "Bounce, Gmail",
        "From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\nSubject: Delivery Status Notification (Failure)\n\
         Auto-Submitted: auto-replied\nX-Failed-Recipients: noen@gmail.example\n\nAddress not found\n",
    ),
    (
        "Klage på søppelpost (ARF)",
        "From: Feedback <fbl@leverandoer.example>\nSubject: FW: {SUBJECT}\n{THREAD}MIME-Version: 1.0\nContent-Type: multipart/report; \
         report-type=feedback-report; boundary=f\n\n--f\nContent-Type: text/plain\n\nThis is an abuse report.\n--f\nContent-Type: \
         message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n--f--\n",
    ),
    (
        "Utsatt av en annen linjevei",
        "From: Samhandling <samhandling@annet-sykehus.example>\nSubject: Vi har mottatt meldingen din\n{THREAD}Auto-Submitted: auto-replied\n\
         X-Linjevei-Id: sak-2026-000009.kvittering.1.x.y\nX-Loop: samhandling@annet-sykehus.example\nReturn-Path: <>\n\nTakk for meldingen. \
         Den har fått saksnummer SAK-2026-000009.\n",
    ),
];

const REPORT: &str = "Hei,\r\nvi melder et samhandlingsavvik. Pasienten ble utskrevet fra lungeposten uten epikrise.\r\nVi ber om svar.\r\n\r\n\
    Kari Testesen, fastlege\r\n";

#[tokio::test]
async fn what_machines_write_is_never_answered_alone_or_in_a_thread() {
    let mut house = House::of_ostfold(DAY).await;
    let mail = house.mail(FASTLEGE, "Avviksmelding: manglende epikrise", "", REPORT);
    let row = house.receive(mail.as_bytes()).await;
    house.send().await;
    let case = house.case(&row.case.unwrap()).await;
    assert_eq!(case.state, State::Sent);
    let id = house.message_id("sak").await;
    let before = house.outbox().await;
    let thread = format!("In-Reply-To: <{id}>\nReferences: <{id}>\n");
    let mut wrong = Vec::new();
    for (serial, (system, mail)) in MACHINES.iter().enumerate() {
        // With a subject that says nothing it is left alone; with one that speaks of a report a person may have to look, and
        // nothing goes out all the same.
        for (subject, left_alone) in [
            ("Samarbeidsmøte torsdag", true),
            ("Samhandlingsavvik, manglende epikrise", false),
        ] {
            let alone = mail.replace("{THREAD}", "").replace("{SUBJECT}", subject);
            let alone = format!(
                "To: samhandlingsavvik@so-hf.example\nMessage-ID: <alene.{serial}.{left_alone}@x.example>\n{alone}"
            );
            let row = house.receive(alone.as_bytes()).await;
            if left_alone && row.outcome != "left-alone" {
                wrong.push(format!(
                    "{system}: alone it is {} {:?}",
                    row.outcome, row.case
                ));
            }
            house.send().await;
            let after = house.outbox().await;
            if after.len() != before.len() {
                wrong.push(format!(
                    "{system}: alone it is answered with {:?}",
                    after.last()
                ));
                break;
            }
        }
        if !mail.contains("{THREAD}") {
            continue;
        }
        let subject = format!("[{}] Samhandlingsavvik", case.number);
        let answer = mail
            .replace("{THREAD}", &thread)
            .replace("{SUBJECT}", &subject);
        let answer = format!(
            "To: samhandlingsavvik@so-hf.example\nMessage-ID: <svar.{serial}@x.example>\n{answer}"
        );
        let row = house.receive(answer.as_bytes()).await;
        if row.case != Some(case.number.to_string()) {
            wrong.push(format!(
                "{system}: in the thread it is {} {:?}",
                row.outcome, row.case
            ));
        }
        let now = house.case(&case.number.to_string()).await;
        let joined = house.history(&now).await;
        let joined = joined
            .iter()
            .rev()
            .find(|event| event.kind == EventKind::Joined)
            .unwrap();
        // An invitation in a case's thread is for a person to read.
        let known = if mail.contains("BEGIN:VCALENDAR") {
            "other"
        } else {
            "machine"
        };
        if joined.data["role"] != known && row.case == Some(case.number.to_string()) {
            wrong.push(format!(
                "{system}: in the thread it is taken for {}",
                joined.data["role"]
            ));
        }
        // Bounces of other addresses than ours were shown to a person, nothing else changes anything.
        if now.state != State::Sent {
            wrong.push(format!("{system}: it made the case {}", now.state.id()));
            break;
        }
        house.send().await;
        let after = house.outbox().await;
        if after.len() != before.len() {
            wrong.push(format!("{system}: answered with {:?}", after.last()));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// People who write about machines, or like them, are no machines.
#[tokio::test]
async fn people_who_write_about_holidays_and_receipts_are_no_machines() {
    let house = House::of_ostfold(DAY).await;
    let rules = house.engine.rulebook.current().rules;
    for (subject, text) in [
        (
            "Samhandlingsavvik: pasienten fikk ikke kvittering",
            "Pasienten ble utskrevet uten epikrise. Vi ringte, men avdelingen var ikke til stede på telefon. Vi melder avvik.",
        ),
        (
            "Avvik: ikke svart på e-post i ferien",
            "Vi sendte henvisning i juli og fikk bare fraværsmelding tilbake fra poliklinikken. Pasienten fikk ikke time. Vi melder avvik og \
             ber om svar.",
        ),
        (
            "Samhandlingsavvik",
            "Avdelingen sendte automatisk svar om at henvendelsen var mottatt, men epikrisen for pasienten kom aldri. Vi ber om svar.",
        ),
    ] {
        let mail = house.mail(FASTLEGE, subject, "", text);
        let message = parse(mail.as_bytes(), &Limits::default()).unwrap();
        let verdict = rules.classify(&message, &linjevei::rules::ClassifyContext::default());
        assert!(!verdict.robot.certain, "{subject}: {:?}", verdict.robot);
        assert_ne!(
            verdict.kind.value.as_deref(),
            Some("ikke-avvik"),
            "{subject}"
        );
    }
}

/// An answer in a thread that is older than linjevei fits no case: a person places it, nothing goes out.
#[tokio::test]
async fn an_answer_in_a_thread_that_is_older_than_linjevei_waits_for_a_person() {
    let mut house = House::of_ostfold(DAY).await;
    let mail = house.mail(
        "post@moss.kommune.example",
        "SV: Avvik fra mars i fjor",
        "In-Reply-To: <gammel@so-hf.example>\r\nReferences: <eldre@so-hf.example> <gammel@so-hf.example>\r\n",
        "Vi viser til deres avviksmelding. Vi beklager hendelsen. Vi har gått gjennom saken og innført ny rutine. Saken anses som \
         avsluttet.",
    );
    let row = house.receive(mail.as_bytes()).await;
    assert_eq!(row.outcome, "opened");
    let case = house.case(&row.case.unwrap()).await;
    assert_eq!(
        (case.state, case.kind.as_str(), case.acknowledgement),
        (State::Triage, "svar", Acknowledgement::Not(WhyNot::Svar))
    );
    assert!(house.outbox().await.is_empty());
}

/// A server that takes the whole mail and then says nothing: it may have arrived or not.
#[tokio::test]
async fn an_unknown_outcome_is_tried_once_more_with_the_same_bytes_and_then_a_person_looks() {
    let server = SmtpServer::start(Script {
        end: smtp::Act::Close,
        ..Script::default()
    });
    let mut house = House::on(DAY).await;
    let config = Server {
        host: "127.0.0.1".into(),
        port: server.addr.port(),
        tls: Tls::None,
        ca_file: None,
        pin_sha256: None,
        login: None,
    };
    house.engine.transport = Arc::new(SmtpTransport::new(config, "so-hf.example"));
    let row = house
        .receive(report("", "avviksmelding medisinsak").as_bytes())
        .await;
    let number = row.case.unwrap();
    house.send().await;
    assert_eq!(server.received().len(), 2);
    // Before half an hour has passed nothing goes; then each goes once more; never a third time.
    let start = house::morning(DAY);
    for (minutes, mails) in [(29, 2), (31, 4), (62, 4), (600, 4)] {
        house.clock.set(start + minutes * 60_000);
        house.send().await;
        assert_eq!(server.received().len(), mails, "after {minutes} minutes");
    }
    let got = server.received();
    for first in got.iter().take(2) {
        let same = got.iter().filter(|mail| mail.bytes == first.bytes).count();
        assert_eq!(same, 2, "the second attempt has the same bytes");
    }
    assert!(
        house
            .outbox()
            .await
            .iter()
            .all(|row| row.ends_with(" failed"))
    );
    let case = house.case(&number).await;
    assert_eq!((case.state, case.attention), (State::Triage, true));
}

/// How the other system writes its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As RFC 3834 says.
    Marked,
    /// Without any header that gives it away, and without reference to what it answers.
    Unmarked,
    /// The same, in words that say little, with our mail below.
    Terse,
}

/// Another ticket system: answers every mail that comes to it with a new ticket number.
struct Tickets {
    address: &'static str,
    style: Style,
    last: u32,
}

impl Tickets {
    fn answer(&mut self, got: &linjevei::message::Message) -> String {
        self.last += 1;
        let (ticket, address) = (self.last, self.address);
        let (subject, id) = (&got.subject, got.message_id.as_deref().unwrap());
        let (headers, subject, text) = match self.style {
            Style::Marked => (
                format!(
                    "Auto-Submitted: auto-replied\r\nPrecedence: bulk\r\nIn-Reply-To: <{id}>\r\n"
                ),
                format!("[#{ticket}] {subject}"),
                "Saken er registrert.".to_owned(),
            ),
            Style::Unmarked => (
                String::new(),
                format!("Sak {ticket}: Vi har mottatt henvendelsen din"),
                format!(
                    "Hei!\r\n\r\nTakk for din henvendelse. Den er registrert med saksnummer {ticket}. Du vil få svar så snart vi kan."
                ),
            ),
            Style::Terse => (
                String::new(),
                format!("#{ticket} {subject}"),
                format!(
                    "Sak {ticket} opprettet.\r\n\r\n{}",
                    linjevei::message::report_text(got).replace('\n', "\r\n")
                ),
            ),
        };
        format!(
            "From: Servicedesk <{address}>\r\nTo: samhandlingsavvik@so-hf.example\r\n{headers}Subject: {subject}\r\n\
             Date: Mon, 2 Mar 2026 09:00:00 +0100\r\nMessage-ID: <{ticket}.{address}>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             {text}\r\n"
        )
    }
}

#[tokio::test]
async fn a_war_of_acknowledgements_ends_after_one_mail_of_ours() {
    const REPORTER: &str = "servicedesk@sarpsborg.kommune.example";
    const PARTY: &str = "avvik@moss.kommune.example";
    let server = SmtpServer::start(Script::default());
    for style in [Style::Marked, Style::Unmarked, Style::Terse] {
        let mut house = House::of_ostfold(DAY).await;
        let config = Server {
            host: "127.0.0.1".into(),
            port: server.addr.port(),
            tls: Tls::None,
            ca_file: None,
            pin_sha256: None,
            login: None,
        };
        house.engine.transport = Arc::new(SmtpTransport::new(config, "so-hf.example"));
        let seen = server.received().len();
        // Two reports: one from a system that answers our acknowledgement, one about a kommune whose system answers our notice.
        let mail = house.mail(
            REPORTER,
            "Samhandlingsavvik: manglende epikrise",
            "",
            REPORT,
        );
        house.receive(mail.as_bytes()).await;
        let mail = house.mail(
            "sengepost@so-hf.example",
            "Avvik til Moss kommune",
            "",
            "Avviksmelding til Moss kommune. Hjemmetjenesten i Moss tok ikke imot pasienten, som var meldt utskrivningsklar. Vi ber om svar.",
        );
        let row = house.receive(mail.as_bytes()).await;
        let about_moss = row.case.unwrap();
        let mut systems = [REPORTER, PARTY].map(|address| Tickets {
            address,
            style,
            last: 1000,
        });
        let mut answered = seen;
        let mut rounds = 0;
        loop {
            house.send().await;
            let mails = server.received();
            if mails.len() == answered {
                break;
            }
            for mail in mails.into_iter().skip(answered) {
                answered += 1;
                let got = parse(&mail.bytes, &Limits::default()).unwrap();
                for system in systems
                    .iter_mut()
                    .filter(|system| mail.to[0] == system.address)
                {
                    let answer = system.answer(&got);
                    house.receive(answer.as_bytes()).await;
                }
            }
            rounds += 1;
            assert!(rounds < 10, "{style:?}: the war goes on");
        }
        for address in [REPORTER, PARTY] {
            let got = server
                .received()
                .iter()
                .skip(seen)
                .filter(|mail| mail.to[0] == address)
                .count();
            assert_eq!(got, 1, "{style:?} {address}");
        }
        // Nor did their receipt answer the case, or go on to the one who reported.
        let case = house.case(&about_moss).await;
        assert_eq!(case.state, State::SecureHandover, "{style:?}");
        assert_eq!(house.count("svarvarsel").await, 0, "{style:?}");
    }
}
