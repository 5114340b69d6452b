//! Mail that arrives: reports, other mail, answers, returned mail, and the same again.

use std::fmt::Write as _;

use linjevei::message::content_hash;

use super::Dice;

/// Clinics of the rules here.
pub const CLINICS: usize = 20;
/// Every so many clinics, from the first on, one has an address that gives mail back.
pub const RETURNING: usize = 10;

/// What a mail is, and with that what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opens a case.
    Report,
    /// Is left alone.
    Other,
    /// Joins the case of the mail of ours that it answers.
    Answer,
    /// Joins the case of the mail of ours that came back.
    Returned,
    /// Joins the case of the report that it adds to.
    Addition,
}

impl Kind {
    /// The outcome of one that is no copy of another.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Report => "opened",
            Self::Other => "left-alone",
            Self::Answer | Self::Returned | Self::Addition => "joined",
        }
    }
}

/// A mail that was delivered once.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Stands in its header.
    pub serial: usize,
    /// Whose mailbox.
    pub user: usize,
    pub kind: Kind,
    /// Identity by content.
    pub hash: String,
    /// As handed over.
    pub bytes: Vec<u8>,
}

/// A mail that another one answers: one of ours, or a report.
#[derive(Debug, Clone)]
pub struct Got {
    pub message_id: String,
    pub by: String,
}

/// The address of a clinic.
pub fn clinic(number: usize) -> String {
    format!("mottak@klinikk-{number:02}.so-hf.example")
}

/// Whether this address gives mail back.
pub fn returns(address: &str) -> bool {
    (0..CLINICS)
        .step_by(RETURNING)
        .any(|number| address == clinic(number))
}

/// The rules: words that leave no doubt.
pub fn rules() -> String {
    let mut rules = String::from(
        "[own]\naddresses = [\"samhandlingsavvik@so-hf.example\", \"retur@so-hf.example\", \"avdelingen@so-hf.example\"]\n\
         domains = [\"so-hf.example\"]\n",
    );
    let rule = |id: &str, give: &str, word: &str| {
        format!(
            "\n[[rules]]\nid = \"{id}\"\ngive = {{ {give} }}\ndecisive = true\nany = [\"{word}\"]\n"
        )
    };
    for number in 0..CLINICS {
        let more = if number % 3 == 2 {
            // A second address.
            format!(", \"leder@klinikk-{number:02}.so-hf.example\"")
        } else {
            String::new()
        };
        let secure = number % 4 != 3;
        write!(
            rules,
            "\n[[parties]]\nid = \"klinikk-{number:02}\"\nname = \"Klinikk {number}\"\nkind = \"klinikk\"\n\
             send_to = [\"{}\"{more}]\nsecure = {secure}\n",
            clinic(number)
        )
        .unwrap();
        rules += &rule(
            &format!("til-{number:02}"),
            &format!("destination = \"klinikk-{number:02}\""),
            &format!("klinikksak{number:02}"),
        );
    }
    rules += "\n[[parties]]\nid = \"samhandling\"\nname = \"Samhandlingsavdelingen\"\nkind = \"samhandling\"\n";
    for (id, give, word) in [
        ("type-avvik", "type = \"avvik\"", "avviksmelding"),
        ("type-ros", "type = \"orientering\"", "orienteringsmelding"),
        ("type-annet", "type = \"ikke-avvik\"", "nyhetsbrev"),
        ("svar-endelig", "reply = \"endelig\"", "endelig svar"),
        ("svar-forelopig", "reply = \"forelopig\"", "foreløpig svar"),
        ("svar-feil", "reply = \"feil-adressat\"", "feil adressat"),
        ("svar-takk", "reply = \"takk\"", "tusen takk"),
    ] {
        rules += &rule(id, give, word);
    }
    rules
}

/// Writes mail.
#[derive(Debug, Default)]
pub struct Writer {
    /// How many mails so far; the last one has this number.
    pub written: usize,
}

impl Writer {
    /// The last mail, as one that can be added to.
    pub fn last(&self) -> Got {
        let number = self.written;
        Got {
            message_id: format!("{number}.kampanje@avsender.example"),
            by: format!("lege{number}@legesenter{number}.example"),
        }
    }
}

const WORDS: [&str; 12] = [
    "epikrisen",
    "medisinlisten",
    "henvisningen",
    "prøvesvaret",
    "hjemreisen",
    "hjelpemiddelet",
    "innleggelsen",
    "samtalen",
    "timeavtalen",
    "oppfølgingen",
    "utskrivingen",
    "journalnotatet",
];

impl Writer {
    /// A mail like no other, without the line that tells copies apart; `date` as RFC 5322 has it.
    pub fn write(&mut self, kind: Kind, to: Option<&Got>, date: &str, dice: &mut Dice) -> String {
        self.written += 1;
        let number = self.written;
        let head = |from: &str, subject: &str, more: &str| {
            format!(
                "From: {from}\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: {subject}\r\nDate: {date}\r\n\
                 Message-ID: <{number}.kampanje@avsender.example>\r\n{more}MIME-Version: 1.0\r\n"
            )
        };
        let text = "Content-Type: text/plain; charset=utf-8\r\n\r\n";
        let any: Vec<&str> = (0..4).map(|_| *dice.one(&WORDS)).collect();
        let any = any.join(" ");
        match (kind, to) {
            (Kind::Report, _) => {
                let word = if dice.percent(85) {
                    "avviksmelding"
                } else {
                    "orienteringsmelding"
                };
                let clinic = dice.below(CLINICS + 1);
                // One in so many names no clinic: a person places it.
                let clinic = if clinic < CLINICS {
                    format!("klinikksak{clinic:02}")
                } else {
                    "uten sted".to_owned()
                };
                let long = if dice.percent(3) {
                    "Vi har ringt flere ganger uten å få svar.\r\n".repeat(2_000)
                } else {
                    String::new()
                };
                format!(
                    "{}{text}{word} {clinic}: {any} kom ikke fram i uke {number}.\r\n{long}",
                    head(
                        &format!("Lege Testesen <lege{number}@legesenter{number}.example>"),
                        &format!("Melding {number}"),
                        ""
                    )
                )
            }
            (Kind::Answer, Some(got)) => {
                let words = dice.one(&[
                    "endelig svar",
                    "foreløpig svar",
                    "feil adressat",
                    "tusen takk",
                    "hm",
                ]);
                format!(
                    "{}{text}{words}: {any}, {number}.\r\n",
                    head(
                        &format!("<{}>", got.by),
                        "Sv: melding",
                        &format!("In-Reply-To: <{}>\r\n", got.message_id)
                    )
                )
            }
            (Kind::Returned, Some(got)) => format!(
                "Return-Path: <>\r\n{}Content-Type: multipart/report; report-type=delivery-status; boundary=\"dsn\"\r\n\r\n\
                 --dsn\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nYour message could not be delivered. {number}\r\n\r\n\
                 --dsn\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.annet.example\r\n\r\n\
                 Final-Recipient: rfc822; {}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
                 --dsn\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{}>\r\nSubject: noe\r\n\r\n--dsn--\r\n",
                head(
                    "MAILER-DAEMON@mx.annet.example (Mail Delivery System)",
                    "Undelivered Mail Returned to Sender",
                    "Auto-Submitted: auto-replied\r\n"
                ),
                got.by,
                got.message_id
            ),
            (Kind::Addition, Some(report)) => format!(
                "{}{text}Dette kommer i tillegg: {any}, {number}.\r\n",
                head(
                    &format!("<{}>", report.by),
                    "Sv: Melding",
                    &format!("References: <{}>\r\n", report.message_id)
                )
            ),
            _ => format!(
                "{}{text}nyhetsbrev {number}: {any}.\r\n",
                head("<nyheter@blad.example>", &format!("Nytt {number}"), "")
            ),
        }
    }
}

/// The mail as it is delivered this time.
pub fn copy(mail: &str, serial: usize, user: usize, kind: Kind) -> Delivered {
    let bytes = format!("X-Runde: {serial}\r\n{mail}").into_bytes();
    let hash = content_hash(&bytes).0;
    assert_eq!(
        hash,
        content_hash(mail.as_bytes()).0,
        "copies are the same mail"
    );
    Delivered {
        serial,
        user,
        kind,
        hash,
        bytes,
    }
}
