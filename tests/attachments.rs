//! Text inside attachments: every format that is read, in process and in a child; hostile files; a report that stands in an
//! attachment from the mailbox to the case.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

#[path = "support/documents.rs"]
mod documents;
#[path = "support/house.rs"]
mod house;
#[path = "support/mutation.rs"]
mod mutation;

use documents::{docx, odt, paragraph, pdf_form, pdf_page, pdf_scan, pdf_subset, tnef};
use house::{FASTLEGE, House};
use linjevei::case::{Policy, State};
use linjevei::extractor::{Extractor, ExtractorError, MEMORY_BYTES_MAX, OpenError};
use linjevei::message::extract::{Extracted, Unread, extract};
use linjevei::message::{Address, Defect, Limits, Reading, Zone};
use mutation::Mutator;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

const DAY: &str = "2026-03-02";
/// A synthetic number with right check digits.
const NUMBER: &str = "30896222208";

fn text(name: &str, bytes: &[u8]) -> String {
    let extracted = extract(name, "application/octet-stream", bytes, false);
    assert_eq!(extracted.unread, [], "{name}");
    let texts: Vec<&str> = extracted
        .pieces
        .iter()
        .map(|piece| piece.text.as_str())
        .collect();
    texts.join("\n\n")
}

fn why(name: &str, media_type: &str, bytes: &[u8]) -> Vec<Unread> {
    let extracted = extract(name, media_type, bytes, false);
    assert_eq!(extracted.pieces, [], "{name} is never empty text");
    extracted.unread
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    lines.join("\r\n")
}

/// A mail with files: name, type, bytes.
fn mail(from: &str, subject: &str, body: &str, files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut text = format!(
        "From: <{from}>\r\nTo: samhandlingsavvik@so-hf.example\r\nSubject: {subject}\r\nDate: Mon, 02 Mar 2026 08:00:00 +0100\r\nMessage-ID: <{}.{}@avsender.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=grense\r\n\r\n--grense\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n",
        subject.len(),
        files
            .iter()
            .map(|file| file.0.len() + file.2.len())
            .sum::<usize>(),
    );
    for (name, media_type, bytes) in files {
        write!(text,
            "--grense\r\nContent-Type: {media_type}; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            base64(bytes)
        ).unwrap();
    }
    text.push_str("--grense--\r\n");
    text.into_bytes()
}

#[test]
fn pdf_pages_fonts_and_forms() {
    assert_eq!(
        text(
            "a.pdf",
            &pdf_page(&[
                "Avvik – ærlig og åpent",
                "Melder: Åse (vikar)",
                "Konsekvens: Øynene"
            ])
        ),
        "Avvik – ærlig og åpent\nMelder: Åse (vikar)\nKonsekvens: Øynene"
    );
    assert_eq!(text("b.pdf", &pdf_subset()), "Bes økt\nstoff ilå");
    assert_eq!(
        text("c.pdf", &pdf_form()),
        "Meldeskjema\nKonsekvens: Ny innleggelse\nAlvorlighetsgrad: ☒\n\nKom utepeå\n\nText17: Ny innleggelse\nHendelsesbeskrivelse: Kom utepeå"
    );
    assert_eq!(
        why("d.pdf", "application/pdf", &pdf_scan()),
        [Unread::Scanned]
    );
    assert_eq!(
        why(
            "e.pdf",
            "application/pdf",
            &documents::pdf_locked("passord")
        ),
        [Unread::Locked]
    );
    assert_eq!(
        text("f.pdf", &documents::pdf_locked("")),
        "Hemmelig avviksmelding"
    );
    // The first bytes count, not what the mail says.
    assert_eq!(
        text("skjema.docx", &pdf_page(&["Likevel PDF"])),
        "Likevel PDF"
    );
}

#[test]
fn word_processing_documents() {
    let table = format!(
        "<w:tbl><w:tr><w:tc>{}</w:tc><w:tc>{}{}</w:tc></w:tr></w:tbl>",
        paragraph("Konsekvens"),
        paragraph("Ny innleggelse"),
        paragraph("og smerter")
    );
    let text_box = format!(
        "<w:p><w:r><mc:AlternateContent><mc:Choice><wps:txbx><w:txbxContent>{0}</w:txbxContent></wps:txbx></mc:Choice><mc:Fallback><w:txbxContent>{0}</w:txbxContent></mc:Fallback></mc:AlternateContent></w:r><w:r><w:t>Rundt</w:t></w:r></w:p>",
        paragraph("I boksen")
    );
    let rest = "<w:p><w:pPr><w:tabs><w:tab w:val=\"left\" w:pos=\"9\"/></w:tabs></w:pPr><w:r><w:t>a</w:t><w:tab/><w:t xml:space=\"preserve\"> b &amp; c&#229;</w:t><w:br/></w:r><w:del><w:r><w:delText>slettet</w:delText></w:r></w:del><w:ins><w:r><w:t>satt inn</w:t></w:r></w:ins><w:fldSimple w:instr=\"PAGE\"><w:r><w:instrText>PAGE</w:instrText></w:r></w:fldSimple></w:p><w:p><w:r><w:fldChar><w:ffData><w:checkBox><w:default w:val=\"0\"/><w:checked/></w:checkBox></w:ffData></w:fldChar><w:t>Ja </w:t></w:r><w:r><w:fldChar><w:ffData><w:checkBox><w:default w:val=\"0\"/></w:checkBox></w:ffData></w:fldChar><w:t>Nei</w:t></w:r></w:p><w:p><w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent><w:r><w:t>Klikk her</w:t></w:r></w:sdtContent></w:sdt></w:p>";
    let document = docx(
        &format!("{}{table}{text_box}{rest}", paragraph("Melding")),
        &[
            (
                "word/header1.xml",
                &format!("<w:hdr>{}</w:hdr>", paragraph("Moss kommune")),
            ),
            (
                "word/footer1.xml",
                &format!("<w:ftr>{}</w:ftr>", paragraph("Side én")),
            ),
            (
                "word/footnotes.xml",
                &format!("<w:footnotes>{}</w:footnotes>", paragraph("Fotnote")),
            ),
            (
                "word/comments.xml",
                &format!("<w:comments>{}</w:comments>", paragraph("Kommentar")),
            ),
        ],
    );
    assert_eq!(
        text("a.docx", &document),
        "Moss kommune\n\nMelding\nKonsekvens: Ny innleggelse\nog smerter\nRundt\nI boksen\na\t b & cå\nsatt inn\nJa\n\nFotnote\n\nSide én"
    );
    let locked = [
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(),
        "EncryptedPackage"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect(),
    ]
    .concat();
    assert_eq!(why("b.docx", "", &locked), [Unread::Locked]);
    assert_eq!(
        why("c.doc", "", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 gammel Word"),
        [Unread::Unknown]
    );
}

#[test]
fn open_documents_rtf_text_and_pages() {
    let body = "<text:h>Melding</text:h><text:p>en<text:s text:c=\"2\"/>to<text:tab/>tre<text:line-break/>fire&amp;\n fem</text:p><table:table><table:table-row><table:table-cell><text:p>Tiltak</text:p></table:table-cell><table:table-cell><text:p>Ringte</text:p></table:table-cell></table:table-row></table:table><text:tracked-changes><text:p>slettet</text:p></text:tracked-changes><text:p><draw:text-box><text:p>Boks</text:p></draw:text-box></text:p>";
    assert_eq!(
        text("a.odt", &odt(body)),
        "Melding\nen to\ttre\nfire& fem\nTiltak: Ringte\nBoks\n\nBunntekst Østfold"
    );
    assert_eq!(
        text("a.rtf", b"{\\rtf1\\ansi Sp\\'f8rsm\\'e5l}"),
        "Spørsmål"
    );
    assert_eq!(text("a.txt", b"Sp\xf8rsm\xe5l"), "Spørsmål");
    assert_eq!(text("a.csv", "Melder;Åse\n".as_bytes()), "Melder;Åse");
    assert_eq!(text("a.htm", "<p>På <b>tide</b></p>".as_bytes()), "På tide");
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("Blåbær".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    assert_eq!(text("b.txt", &utf16), "Blåbær");
    assert_eq!(
        why("a.png", "image/png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0"),
        [Unread::Image]
    );
    assert_eq!(why("logo.svg", "image/svg+xml", b"<svg/>"), [Unread::Image]);
    assert_eq!(why("a.bin", "", &[0; 300]), [Unread::Unknown]);
    assert_eq!(why("a.pdf", "application/pdf", b""), [Unread::NoText]);
}

#[test]
fn winmail_and_attached_mail() {
    let pdf = pdf_page(&["Inni vedlegget"]);
    let winmail = tnef(
        "Avvik fra Outlook",
        br"{\rtf1\ansi Kj\'e6re dere}",
        ("Årsrapport.pdf", &pdf),
    );
    let extracted = extract("winmail.dat", "application/ms-tnef", &winmail, false);
    let pieces: Vec<(&str, &str)> = extracted
        .pieces
        .iter()
        .map(|piece| (piece.name.as_str(), piece.text.as_str()))
        .collect();
    assert_eq!(
        pieces,
        [
            ("", "Avvik fra Outlook\n\nKjære dere"),
            ("Årsrapport.pdf", "Inni vedlegget")
        ]
    );
    assert_eq!(extracted.unread, []);

    let inner = mail(
        "a@b.example",
        "Indre emne",
        "Indre tekst",
        &[("v.pdf", "application/pdf", &pdf)],
    );
    let extracted = extract("videre.eml", "application/octet-stream", &inner, false);
    let pieces: Vec<&str> = extracted
        .pieces
        .iter()
        .map(|piece| piece.text.as_str())
        .collect();
    assert_eq!(pieces, ["Indre emne\n\nIndre tekst", "Inni vedlegget"]);

    // As message/rfc822 its own text stands in the mail already; what is attached to it does not.
    let outer = format!(
        "From: <a@b.example>\r\nSubject: VS: noe\r\nContent-Type: multipart/mixed; boundary=ytre\r\n\r\n--ytre\r\nContent-Type: text/plain\r\n\r\nSe under.\r\n--ytre\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--ytre--\r\n",
        String::from_utf8(inner).unwrap()
    );
    let extractor = Extractor::of(env!("CARGO_BIN_EXE_linjevei").into());
    let opened = extractor
        .open(outer.as_bytes(), &Limits::default())
        .unwrap();
    let texts: Vec<&str> = opened
        .message
        .zone(Zone::Attachment)
        .map(|one| one.text.as_str())
        .collect();
    assert_eq!(texts, ["Inni vedlegget"]);
    let forwarded: Vec<&str> = opened
        .message
        .zone(Zone::Forwarded)
        .map(|one| one.text.as_str())
        .collect();
    assert!(forwarded.contains(&"Indre tekst"), "{forwarded:?}");
}

/// Each hostile file costs itself: a reason or a text, within the memory that a child may have, and the next one is read.
#[test]
fn hostile_files_cost_only_themselves() {
    let extractor = Extractor::of(env!("CARGO_BIN_EXE_linjevei").into());
    let harmless = pdf_page(&["Avviksmelding"]);
    for (name, bytes) in documents::hostile() {
        let start = Instant::now();
        let outcome = extractor
            .read_file(name, "application/octet-stream", &bytes)
            .unwrap();
        let Extracted { pieces, unread, .. } = &outcome.extracted;
        println!(
            "{name:<24} {:>9} bytes in  {:>8} KiB peak  {:>6} ms  {unread:?} {} pieces of text",
            bytes.len(),
            outcome
                .peak_kib
                .map_or_else(|| "killed".to_owned(), |peak| peak.to_string()),
            start.elapsed().as_millis(),
            pieces.len(),
        );
        assert!(
            !unread.is_empty() || pieces.iter().any(|piece| !piece.text.is_empty()),
            "{name}: neither text nor a reason"
        );
        assert!(
            outcome
                .peak_kib
                .is_none_or(|peak| peak < MEMORY_BYTES_MAX / 1024),
            "{name}"
        );
        let again = extractor
            .read_file("a.pdf", "application/pdf", &harmless)
            .unwrap();
        assert_eq!(again.extracted.pieces[0].text, "Avviksmelding");
    }
    for (name, expected) in [
        ("zipbombe.docx", Unread::TooMuch),
        ("dyp.zip", Unread::Unknown),
        ("pdfbombe.pdf", Unread::TooMuch),
        ("avkuttet.docx", Unread::Damaged),
        ("program.pdf", Unread::Damaged),
        ("tekst.docx", Unread::Damaged),
        ("dyp-xml.docx", Unread::TooMuch),
    ] {
        let bytes = documents::hostile()
            .into_iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1;
        let outcome = extractor.read_file(name, "", &bytes).unwrap();
        assert_eq!(outcome.extracted, Extracted::nothing(expected), "{name}");
    }
}

/// The same report as text of the mail, as PDF, as DOCX, as RTF and in a winmail.dat gives the same case.
#[tokio::test]
async fn a_report_in_an_attachment_is_a_case_like_any_other() {
    let words = [
        "Avviksmelding, medisinsak.",
        "Konsekvens: Ny innleggelse",
        &format!("Gjelder {NUMBER}."),
    ];
    let plain = words.join("\n");
    let document = docx(&words.map(paragraph).concat(), &[]);
    let rtf = format!("{{\\rtf1 {}}}", words.join("\\par "));
    let winmail = tnef("Melding", rtf.as_bytes(), ("tom.txt", b""));
    let ways: [(&str, &str, &[u8]); 4] = [
        (
            "melding.pdf",
            "application/pdf",
            &pdf_page(&[words[0], words[1], words[2]]),
        ),
        ("melding.docx", "application/octet-stream", &document),
        ("melding.rtf", "application/msword", rtf.as_bytes()),
        ("winmail.dat", "application/ms-tnef", &winmail),
    ];
    let mut house = House::with(DAY, Policy::default()).await;
    let row = house
        .receive(house.mail(FASTLEGE, "Se her", "", &plain).as_bytes())
        .await;
    let expected = house.case(&row.case.unwrap()).await;
    assert_eq!(
        (expected.state, expected.destination.as_str()),
        (State::Sent, "medisin")
    );
    for (index, (name, media_type, bytes)) in ways.iter().enumerate() {
        let subject = format!("Nummer {index}");
        let row = house
            .receive(&mail(
                "annen@legene.example",
                &subject,
                "Se vedlegg.",
                &[(name, media_type, bytes)],
            ))
            .await;
        let case = house.case(&row.case.unwrap()).await;
        assert_eq!(
            (&case.kind, &case.destination),
            (&expected.kind, &expected.destination),
            "{name}"
        );
        assert!(!case.attention, "{name}: everything was read");
        let fields = house.engine.store.case_fields(case.id).await.unwrap();
        let field = fields
            .iter()
            .find(|field| field.name == "konsekvens")
            .unwrap();
        assert_eq!(field.value.lines().next(), Some("Ny innleggelse"), "{name}");
        // The text is kept with the case, without the number.
        let texts = house.engine.store.attachment_texts(row.id).await.unwrap();
        let kept = serde_json::to_string(&texts).unwrap();
        assert!(
            kept.contains("medisinsak") && !kept.contains(NUMBER),
            "{name}: {kept}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_marks_the_case() {
    let mut house = House::on(DAY).await;
    for (index, (name, bytes, reason)) in [
        ("skann.pdf", pdf_scan(), "scanned"),
        ("låst.pdf", documents::pdf_locked("hemmelig"), "locked"),
        ("kutt.docx", documents::hostile()[13].1.clone(), "damaged"),
    ]
    .into_iter()
    .enumerate()
    {
        let subject = format!("Avviksmelding, medisinsak {index}");
        let row = house
            .receive(&mail(
                FASTLEGE,
                &subject,
                "Se vedlegg.",
                &[(name, "application/octet-stream", &bytes)],
            ))
            .await;
        let case = house.case(&row.case.unwrap()).await;
        assert!(case.attention, "{name}");
        let opened = &house.history(&case).await[0];
        assert_eq!(opened.data["unread"][0], reason, "{name}: {}", opened.data);
    }
    // An image beside the text is no reason to look.
    let logo = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0";
    let row = house
        .receive(&mail(
            FASTLEGE,
            "Avviksmelding, medisinsak",
            "Tekst",
            &[("logo.png", "image/png", logo)],
        ))
        .await;
    let case = house.case(&row.case.unwrap()).await;
    assert!(!case.attention);
    assert_eq!(house.history(&case).await[0].data["unread"][0], "image");
}

#[test]
fn limits_on_what_one_message_may_cost() {
    let extractor = Extractor::of(env!("CARGO_BIN_EXE_linjevei").into());
    let bomb = documents::zip_bomb();
    let good = pdf_page(&["God tekst"]);
    let mut files: Vec<(&str, &str, &[u8])> = vec![("god.pdf", "application/pdf", &good)];
    files.extend([("bombe.docx", "application/octet-stream", bomb.as_slice()); 4]);
    files.push(("sen.pdf", "application/pdf", &good));
    let opened = extractor
        .open(
            &mail(FASTLEGE, "Mange", "Se vedlegg.", &files),
            &Limits::default(),
        )
        .unwrap();
    let readings: Vec<Reading> = opened
        .message
        .attachments
        .iter()
        .map(|one| one.reading)
        .collect();
    let too_much = Reading::Unread(Unread::TooMuch);
    assert_eq!(
        readings,
        [
            Reading::Taken,
            too_much,
            too_much,
            too_much,
            too_much,
            too_much
        ],
        "after three that run into a limit the rest is left"
    );
    assert!(opened.message.defects.contains(&Defect::UnreadAttachment));
    // What is known already is not read again.
    let again = extractor
        .open_again(
            &mail(FASTLEGE, "Mange", "Se vedlegg.", &files),
            &Limits::default(),
            &opened.extracted,
        )
        .unwrap();
    assert_eq!(again, opened);
    let many: Vec<(&str, &str, &[u8])> = vec![("side.pdf", "application/pdf", &good); 42];
    let opened = extractor
        .open(
            &mail(FASTLEGE, "Mange", "Se vedlegg.", &many),
            &Limits::default(),
        )
        .unwrap();
    let read = opened
        .message
        .attachments
        .iter()
        .filter(|one| one.reading == Reading::Taken)
        .count();
    assert_eq!(read, 40);
}

/// Children that do what a fault in a library, or a limit, would make them do.
#[test]
fn a_child_that_fails_costs_its_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, script: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Extractor::of(path).read_file("a.pdf", "application/pdf", &vec![b'x'; 1 << 20])
    };
    for (name, script, expected) in [
        ("killed", "kill -9 $$", Unread::TooMuch),
        ("floods", "exec yes", Unread::TooMuch),
        ("panics", "exit 101", Unread::Damaged),
        ("nonsense", "cat >/dev/null; echo {", Unread::Damaged),
    ] {
        let outcome = read(name, script).unwrap();
        assert_eq!(outcome.extracted, Extracted::nothing(expected), "{name}");
    }
    // Not the file's fault: it is tried again later.
    assert!(matches!(
        read("unlimited", "exit 71"),
        Err(ExtractorError::Limits)
    ));
    let nowhere = Extractor::of(folder.path().join("nowhere"));
    assert!(matches!(
        nowhere.read_file("a.pdf", "", b"x"),
        Err(ExtractorError::Start(_))
    ));
    let opened = nowhere.open(
        &mail(
            FASTLEGE,
            "Melding",
            "Se vedlegg.",
            &[("a.pdf", "application/pdf", b"x")],
        ),
        &Limits::default(),
    );
    assert!(matches!(opened, Err(OpenError::Extractor(_))));
}

/// The command line reads attachments too, and says the same of a PDF as of the text; a forsendelse that the archive hands on
/// is one from the person behind it, and the notice of one without its content is for a person.
#[test]
#[allow(
    clippy::too_many_lines,
    reason = "one run of the program for eight messages"
)]
fn classify_reads_attachments() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, mail: Vec<u8>| std::fs::write(folder.path().join(name), mail).unwrap();
    let words = [
        "Avvik - feil i medikamentliste",
        "Avdeling: medisinsk avdeling, hjerte",
        "Pasienten ble utskrevet uten epikrise 3. mars.",
        "Konsekvens: Ny innleggelse",
    ];
    let from = "post@legene.example";
    let report = pdf_page(&words);
    put("1.eml", mail(from, "Melding", &words.join("\r\n"), &[]));
    put(
        "2.eml",
        mail(
            from,
            "Melding",
            "",
            &[("a.pdf", "application/pdf", &report)],
        ),
    );
    let cover = pdf_page(&[
        "eDialog - framside",
        "Avsender: Solli legekontor v/ lege Kari Eide",
        "Til: Sykehuset Østfold HF, postmottak@so-hf.example",
        "E-post: kari.eide@solli-legekontor.example",
        "Dato: 02.03.2026",
    ]);
    let parts: Vec<(&str, &str, &[u8])> = vec![
        ("edialog framside.pdf", "application/pdf", &cover),
        ("Kommentar.pdf", "application/pdf", &report),
    ];
    put(
        "3.eml",
        mail(
            "arkiv@so-hf.example",
            "Feil i medikamentliste",
            "Oversendes.",
            &parts,
        ),
    );
    let edialog = "varsling@edialog.example";
    let lines = "Du har mottatt en sikker forsendelse.\r\n\r\nAvsender: Solli legekontor, Kari Eide\r\nTittel: Avvik - manglende epikrise hjerteposten\r\nMottatt: 11.02.2026 19:48\r\nAntall vedlegg: 1\r\n\r\n";
    let link = "Logg inn: https://edialog.example/f/123\r\nÅpne forsendelsen i eDialog for å lese innholdet.\r\n";
    put(
        "4.eml",
        mail(
            edialog,
            "Ny forsendelse i eDialog",
            &format!("{lines}{link}"),
            &[],
        ),
    );
    let body = format!("{lines}{}", words.join("\r\n"));
    put(
        "5.eml",
        mail(edialog, "Ny forsendelse i eDialog", &body, &[]),
    );
    put(
        "6.eml",
        mail(
            edialog,
            "Ny forsendelse i eDialog",
            &format!("{lines}{link}"),
            &[("a.pdf", "application/pdf", &report)],
        ),
    );
    put(
        "7.eml",
        mail(
            edialog,
            "Ny forsendelse i eDialog",
            &format!("{lines}{link}"),
            &[("a.pdf", "application/pdf", &pdf_scan())],
        ),
    );
    // A fastlege's own attachment is no cover page of the archive.
    put(
        "8.eml",
        mail(
            from,
            "Avvik - feil i medikamentliste",
            &words.join("\r\n"),
            &parts[..1],
        ),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_linjevei"))
        .args(["classify", "--json"])
        .arg(folder.path())
        .output()
        .unwrap();
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |number: usize| &lines[number - 1];
    let keys = [
        "type",
        "direction",
        "destination",
        "category",
        "severity",
        "triage",
        "acknowledge",
    ];
    for (one, other) in [(1, 2), (5, 6)] {
        for key in keys {
            assert_eq!(of(one)[key], of(other)[key], "{key} of {one} and {other}");
        }
    }
    let because = of(2)["because"].as_array().unwrap();
    assert!(because.iter().any(|one| one["zone"] == "attachment"));
    for (key, expected) in [
        ("type", "avvik"),
        ("direction", "fra-fastlege"),
        ("destination", "medisin"),
        ("reporter", "cover-page"),
    ] {
        assert_eq!(of(3)[key], expected, "{}", of(3));
    }
    assert_eq!(of(3)["acknowledge"], true);
    for number in [4, 7] {
        assert_eq!(
            of(number)["triage"],
            true,
            "{number}: a title places nothing"
        );
        assert_eq!(of(number)["acknowledge"], false, "{number}");
        assert_eq!(of(number)["why_not"], "uncertain-type", "{number}");
    }
    assert_eq!(of(5)["triage"], false, "{}", of(5));
    assert_eq!(of(8)["reporter"], "from");
}

/// The acknowledgement goes to the person on the cover page, never to the archive or to an address that takes no answer.
#[tokio::test]
async fn a_forsendelse_handed_on_by_the_archive() {
    let cover = pdf_page(&[
        "eDialog",
        "Avsender: Lege Kari Eide",
        "E-post: kari@legene.example",
    ]);
    let parts: Vec<(&str, &str, &[u8])> = vec![
        ("edialog_framside.pdf", "application/pdf", &cover),
        (
            "1.rtf",
            "application/rtf",
            b"{\\rtf1 avviksmelding medisinsak, post@annet.example}",
        ),
    ];
    for from in ["arkiv@so-hf.example", "ikke-svar@arkivsystem.example"] {
        let mut house = House::on(DAY).await;
        let row = house
            .receive(&mail(from, "Tittel på forsendelsen", "", &parts))
            .await;
        let case = house.case(&row.case.unwrap()).await;
        assert_eq!(case.reporter_address, "kari@legene.example", "{from}");
        assert_eq!(
            (case.state, case.destination.as_str()),
            (State::Sent, "medisin"),
            "{from}"
        );
        house.send().await;
        let told: Vec<String> = house
            .sent()
            .iter()
            .flat_map(|mail| mail.to.iter().map(Address::key).collect::<Vec<_>>())
            .collect();
        assert!(told.contains(&"kari@legene.example".to_owned()), "{told:?}");
        assert!(!told.contains(&from.to_owned()), "{told:?}");
    }
}

/// What the fuzzers begin with: a file of each kind, hostile ones, and those of the sample mails; each with the number of the
/// name that `fuzz/` gives it.
fn seeds() -> Vec<(u8, Vec<u8>)> {
    let pdf = pdf_page(&["Avviksmelding", "Konsekvens: Ny innleggelse"]);
    let rtf = br"{\rtf1\ansi\uc1{\fonttbl{\f0\fcharset0 A;}}\f0 Sp\'f8r\u8211?\par\trowd\intbl a\cell b\cell\row}";
    let mut seeds: Vec<(u8, Vec<u8>)> = vec![
        (0, pdf.clone()),
        (0, pdf_subset()),
        (0, pdf_form()),
        (0, pdf_scan()),
        (0, documents::pdf_locked("")),
        (
            1,
            docx(&paragraph("Avvik"), &[("word/header1.xml", "<w:hdr/>")]),
        ),
        (2, odt("<text:p>Avvik<text:s text:c=\"2\"/></text:p>")),
        (3, rtf.to_vec()),
        (4, tnef("Emne", rtf, ("a.pdf", &pdf))),
        (
            5,
            mail(
                "a@b.example",
                "Emne",
                "tekst",
                &[("a.pdf", "application/pdf", &pdf)],
            ),
        ),
        (
            6,
            b"<html><table><tr><td>Melder</td><td>A</td></tr></table>".to_vec(),
        ),
        (7, format!("Melder\t{NUMBER}\n").into_bytes()),
    ];
    for (name, bytes) in documents::hostile() {
        let kind = match name.rsplit('.').next().unwrap() {
            "pdf" => 0,
            "docx" => 1,
            "odt" => 2,
            "rtf" => 3,
            "dat" => 4,
            "eml" => 5,
            "html" => 6,
            _ => 8,
        };
        // Large ones only make the fuzzer slow.
        if bytes.len() < 100_000 {
            seeds.push((kind, bytes));
        }
    }
    for file in std::fs::read_dir("tests/fixtures/dev").unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "eml") {
            let raw = std::fs::read(path).unwrap();
            for file in linjevei::message::files(&raw, &Limits::default()) {
                seeds.push((u8::from(file.name.ends_with("docx")), file.bytes));
            }
        }
    }
    seeds
}

/// Each seed is read without harm; with `LINJEVEI_WRITE_SEEDS` set to a folder they are written there.
#[test]
fn seeds_of_the_fuzzer_are_read() {
    let seeds = seeds();
    let folder = std::env::var_os("LINJEVEI_WRITE_SEEDS").map(std::path::PathBuf::from);
    for (index, (kind, bytes)) in seeds.iter().enumerate() {
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).unwrap();
            let seed = [&[*kind], bytes.as_slice()].concat();
            std::fs::write(folder.join(format!("{index:03}")), seed).unwrap();
        }
        let extracted = extract("a", "application/octet-stream", bytes, false);
        assert!(
            !extracted.pieces.is_empty() || !extracted.unread.is_empty(),
            "{index}"
        );
    }
}

/// Damaged files of every kind: always a text or a reason, never a panic, no identity number left. A few hundred here; with
/// `LINJEVEI_FUZZ_SECS` set for so long, each time from another beginning.
#[test]
fn damaged_files_are_read_without_harm() {
    // Small seeds: much of a large one is never reached.
    let mut seeds = seeds();
    seeds.retain(|(_, bytes)| bytes.len() < 40_000);
    let bodies: Vec<Vec<u8>> = seeds.iter().map(|(_, bytes)| bytes.clone()).collect();
    let endings = [
        "pdf", "docx", "odt", "rtf", "dat", "eml", "html", "txt", "bin",
    ];
    let mut mutator = Mutator::few(400);
    while mutator.goes_on() {
        let (kind, mut bytes) = mutator.one(&seeds).clone();
        mutator.damage(&mut bytes, &bodies, &[]);
        let name = format!("a.{}", endings[usize::from(kind) % endings.len()]);
        mutator.attempt(&name, &bytes, || {
            let extracted = extract(&name, "", &bytes, false);
            if extracted.pieces.is_empty() && extracted.unread.is_empty() {
                return Err("neither text nor a reason".to_owned());
            }
            let is_left = extracted
                .pieces
                .iter()
                .any(|piece| linjevei::message::identity_numbers::mask(&piece.text) != piece.text);
            if is_left {
                return Err("an identity number is left".to_owned());
            }
            Ok(())
        });
    }
}
