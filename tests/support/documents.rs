//! Attachments made on the spot: ordinary ones of each kind, and hostile ones.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use flate2::{Compress, Compression, FlushCompress, write::ZlibEncoder};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A PDF of numbered objects, the first of which is the catalogue; more is added to the trailer.
pub fn pdf(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend(format!("{} 0 obj\n", index + 1).into_bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let table = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).into_bytes());
    for place in places {
        out.extend(format!("{place:010} 00000 n \n").into_bytes());
    }
    out.extend(
        format!(
            "trailer\n<< /Size {} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n",
            objects.len() + 1
        )
        .into_bytes(),
    );
    out
}

pub fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut out = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    out.extend(content);
    out.extend(b"\nendstream");
    out
}

pub fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

const PAGE: &str = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>";
const HELVETICA: &str =
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";

/// Bytes of Windows-1252; every letter of it that Norwegian needs is in Latin-1.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| match c {
            '–' => 0x96,
            other => u8::try_from(u32::from(other)).unwrap(),
        })
        .collect()
}

/// A page with one text object a line, as small programs write them.
pub fn pdf_page(lines: &[&str]) -> Vec<u8> {
    let mut content = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let y = 780.0 - 14.0 * f64::from(u32::try_from(index).unwrap());
        content.extend(format!("BT /F1 11 Tf 1 0 0 1 60 {y} Tm (").into_bytes());
        content.extend(latin1(
            &line
                .replace('\\', "\\\\")
                .replace('(', "\\(")
                .replace(')', "\\)"),
        ));
        content.extend(b") Tj ET\n");
    }
    pdf_content(&content)
}

/// A page with that content.
pub fn pdf_content(content: &[u8]) -> Vec<u8> {
    pdf(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            PAGE.as_bytes().to_vec(),
            stream("/Filter /FlateDecode", &deflated(content)),
            HELVETICA.as_bytes().to_vec(),
        ],
        "",
    )
}

/// A page with a subset font: two bytes a glyph, letters and a ligature known by `ToUnicode` alone.
pub fn pdf_subset() -> Vec<u8> {
    let map = "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /X def\n/CMapType 2 def\n\
        1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n\
        3 beginbfrange\n<0003> <0003> <0020>\n<0024> <003D> <0041>\n<0044> <005D> <0061>\nendbfrange\n\
        4 beginbfchar\n<0070> <00E6>\n<0071> <00F8>\n<0072> <00E5>\n<0073> <00660066>\nendbfchar\n\
        endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend";
    // «Bes» «økt» with a gap between them, and «stoff» with one glyph for «ff».
    let content = "BT /F1 12 Tf 60 700 Td [<002500480056> -300 <0071004E0057>] TJ 0 -14 Td <00560057005200730003004C004F0072> Tj ET";
    pdf(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            PAGE.as_bytes().to_vec(),
            stream("", content.as_bytes()),
            b"<< /Type /Font /Subtype /Type0 /BaseFont /ABCDEF+Calibri /Encoding /Identity-H /DescendantFonts [6 0 R] /ToUnicode 7 0 R >>".to_vec(),
            b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /ABCDEF+Calibri /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /DW 500 /W [3 [226] 36 72 520] >>".to_vec(),
            stream("", map.as_bytes()),
        ],
        "",
    )
}

/// A form with filled-in fields whose labels stand on the page, one with a name that says nothing.
pub fn pdf_form() -> Vec<u8> {
    let content = latin1(
        "BT /F1 11 Tf 60 700 Td (Meldeskjema) Tj ET BT /F1 11 Tf 60 660 Td (Konsekvens:) Tj ET BT /F1 11 Tf 60 630 Td (Alvorlighetsgrad) Tj ET",
    );
    let mut name = b"<< /FT /Tx /T (Hendelsesbeskrivelse) /V ".to_vec();
    name.extend(b"<FEFF004B006F006D00200075007400650070006500E5>");
    name.extend(b" /Type /Annot /Subtype /Widget /Rect [60 500 500 560] /P 3 0 R >>");
    pdf(
        &[
            b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R 7 0 R 8 0 R 9 0 R] >> >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            PAGE.replace(" >>\n", "").replace("/Contents", "/Annots [6 0 R 7 0 R 8 0 R 9 0 R] /Contents").into_bytes(),
            stream("", &content),
            HELVETICA.as_bytes().to_vec(),
            b"<< /FT /Tx /T (Text17) /V (Ny innleggelse) /Type /Annot /Subtype /Widget /Rect [140 655 400 673] /P 3 0 R >>".to_vec(),
            name,
            b"<< /FT /Btn /T (Group) /V /mod /AS /mod /Type /Annot /Subtype /Widget /Rect [160 626 172 638] /P 3 0 R >>".to_vec(),
            b"<< /FT /Tx /T (Tomt) /V () /Type /Annot /Subtype /Widget /Rect [60 400 500 420] /P 3 0 R >>".to_vec(),
        ],
        "",
    )
}

/// A page that is an image, and nothing more.
pub fn pdf_scan() -> Vec<u8> {
    pdf(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /XObject << /Im0 5 0 R >> >> >>".to_vec(),
            stream("", b"q 595 0 0 842 0 0 cm /Im0 Do Q"),
            stream("/Type /XObject /Subtype /Image /Width 2 /Height 2 /ColorSpace /DeviceGray /BitsPerComponent 8", &[0, 255, 255, 0]),
        ],
        "",
    )
}

/// The page with a password.
pub fn pdf_locked(user_password: &str) -> Vec<u8> {
    use lopdf::{Document, EncryptionState, EncryptionVersion, Object, Permissions, StringFormat};
    let mut document = Document::load_mem(&pdf_page(&["Hemmelig avviksmelding"])).unwrap();
    let id = Object::String(vec![7; 16], StringFormat::Literal);
    document
        .trailer
        .set("ID", Object::Array(vec![id.clone(), id]));
    let version = EncryptionVersion::V2 {
        document: &document,
        owner_password: "eier",
        user_password,
        key_length: 128,
        permissions: Permissions::all(),
    };
    let state = EncryptionState::try_from(version).unwrap();
    document.encrypt(&state).unwrap();
    let mut out = Vec::new();
    document.save_to(&mut out).unwrap();
    out
}

/// A zip of these entries.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const CONTENT_TYPES: &[u8] = br#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;

/// A DOCX with that body and further parts.
pub fn docx(body: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let document = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="w" xmlns:mc="mc" xmlns:wps="wps"><w:body>{body}</w:body></w:document>"#
    );
    let mut entries: Vec<(&str, &[u8])> = vec![
        ("[Content_Types].xml", CONTENT_TYPES),
        ("word/document.xml", document.as_bytes()),
    ];
    entries.extend(more.iter().map(|(name, xml)| (*name, xml.as_bytes())));
    zip(&entries)
}

/// A paragraph of a DOCX.
pub fn paragraph(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

/// An ODT with that text body.
pub fn odt(body: &str) -> Vec<u8> {
    let content = format!(
        r#"<?xml version="1.0"?><office:document-content><office:automatic-styles><style:style/></office:automatic-styles><office:body><office:text>{body}</office:text></office:body></office:document-content>"#
    );
    let styles = "<office:document-styles><office:styles><text:p>ikke dette</text:p></office:styles><office:master-styles><style:master-page><style:footer><text:p>Bunntekst Østfold</text:p></style:footer></style:master-page></office:master-styles></office:document-styles>";
    zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("content.xml", content.as_bytes()),
        ("styles.xml", styles.as_bytes()),
    ])
}

/// An attribute of a TNEF stream.
fn attribute(out: &mut Vec<u8>, level: u8, id: u32, data: &[u8]) {
    out.push(level);
    out.extend(id.to_le_bytes());
    out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    out.extend(data);
    let sum = data
        .iter()
        .fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    out.extend(sum.to_le_bytes());
}

/// A property whose value has a length.
fn property(out: &mut Vec<u8>, kind: u16, id: u16, data: &[u8]) {
    out.extend(kind.to_le_bytes());
    out.extend(id.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    out.extend(data);
    out.extend(vec![0; data.len().next_multiple_of(4) - data.len()]);
}

/// A winmail.dat with a body as RTF and a file.
pub fn tnef(subject: &str, rtf: &[u8], file: (&str, &[u8])) -> Vec<u8> {
    let mut out = vec![0x78, 0x9f, 0x3e, 0x22, 1, 0];
    attribute(&mut out, 1, 0x0006_9007, &1252_u64.to_le_bytes());
    let mut title = latin1(subject);
    title.push(0);
    attribute(&mut out, 1, 0x0001_8004, &title);
    let mut packed = Vec::new();
    let length = u32::try_from(rtf.len()).unwrap();
    packed.extend((length + 12).to_le_bytes());
    packed.extend(length.to_le_bytes());
    packed.extend(b"MELA\0\0\0\0");
    packed.extend(rtf);
    let mut properties = 3_u32.to_le_bytes().to_vec();
    // A number, a named property, the body.
    properties.extend([0x03, 0x00, 0x17, 0x00, 1, 0, 0, 0]);
    properties.extend([0x1f, 0x00, 0x05, 0x80]);
    properties.extend([9; 16]);
    properties.extend([1, 0, 0, 0, 6, 0, 0, 0, b'a', 0, b'b', 0, 0, 0, 0, 0]);
    properties.extend([1, 0, 0, 0, 4, 0, 0, 0, b'x', 0, 0, 0]);
    property(&mut properties, 0x102, 0x1009, &packed);
    attribute(&mut out, 1, 0x0006_9003, &properties);
    attribute(&mut out, 2, 0x0006_9002, &[0; 14]);
    let mut short = b"KORT~1.PDF".to_vec();
    short.push(0);
    attribute(&mut out, 2, 0x0001_8010, &short);
    attribute(&mut out, 2, 0x0006_800f, file.1);
    let mut properties = 1_u32.to_le_bytes().to_vec();
    let long: Vec<u8> = file
        .0
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    property(&mut properties, 0x1f, 0x3707, &long);
    attribute(&mut out, 2, 0x0006_9005, &properties);
    out
}

/// Deflate that unpacks to `mib` MiB of blanks, without ever holding them: one block again and again.
fn deflate_bomb(mib: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let blanks = vec![b' '; 1024 * 1024];
    let mut block = Vec::with_capacity(8 * 1024);
    compress
        .compress_vec(&blanks, &mut block, FlushCompress::Full)
        .unwrap();
    let mut out = block.repeat(mib);
    // A last, empty block.
    out.extend([0x03, 0x00]);
    out
}

/// A DOCX whose body unpacks to gigabytes.
pub fn zip_bomb() -> Vec<u8> {
    let packed = deflate_bomb(3000);
    let name = b"word/document.xml";
    let claimed = 3000_u32 * 1024 * 1024;
    let mut out = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    out.extend(claimed.to_le_bytes());
    out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    out.extend([0, 0]);
    out.extend(name);
    out.extend(&packed);
    let directory = out.len();
    out.extend(b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0");
    out.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    out.extend(claimed.to_le_bytes());
    out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    out.extend([0; 12]);
    out.extend([0; 4]);
    out.extend(name);
    let length = out.len() - directory;
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(u32::try_from(length).unwrap().to_le_bytes());
    out.extend(u32::try_from(directory).unwrap().to_le_bytes());
    out.extend([0, 0]);
    out
}

/// A PDF whose page unpacks to gigabytes.
pub fn pdf_bomb() -> Vec<u8> {
    let mut packed = vec![0x78, 0xda];
    packed.extend(deflate_bomb(3000));
    pdf(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            PAGE.as_bytes().to_vec(),
            stream("/Filter /FlateDecode", &packed),
            HELVETICA.as_bytes().to_vec(),
        ],
        "",
    )
}

/// Files that mean harm, by name.
#[allow(clippy::too_many_lines, reason = "a list")]
pub fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let page = |contents: &[u8], more: &[&[u8]], resources: &str| {
        let mut objects = vec![
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            format!("<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << {resources} >> >>")
                .into_bytes(),
            contents.to_vec(),
        ];
        objects.extend(more.iter().map(|one| one.to_vec()));
        pdf(&objects, "")
    };
    let mut deep = zip(&[("innerst.txt", b"tekst".as_slice())]);
    for _ in 0..200 {
        deep = zip(&[("dypere.zip", deep.as_slice())]);
    }
    let whole = docx(&paragraph("Avviksmelding").repeat(2000), &[]);
    let laughs: Vec<String> = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let laughs = laughs.concat();
    let bomb = format!(
        "<!DOCTYPE d [<!ENTITY l0 \"ha\">{laughs}]><w:document><w:body><w:p><w:r><w:t>&l9;&l9;</w:t></w:r></w:p></w:body></w:document>"
    );
    let nested_xml = format!(
        "{}{}",
        "<w:tbl><w:tr><w:tc>".repeat(100_000),
        "</w:tc>".repeat(100_000)
    );
    let mut lying = tnef("Emne", b"{\\rtf1 tekst}", ("a.txt", b"innhold"));
    // The length of the list of properties.
    let at = lying
        .windows(4)
        .position(|four| four == 0x0006_9003_u32.to_le_bytes())
        .unwrap()
        + 4;
    lying[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut inner_lies = tnef("Emne", b"{\\rtf1 tekst}", ("a.txt", b"innhold"));
    let at = inner_lies
        .windows(4)
        .position(|four| four == [0x02, 0x01, 0x09, 0x10])
        .unwrap()
        + 4;
    inner_lies[at..at + 8].copy_from_slice(&[0xff; 8]);
    let many_filters = format!("/Filter [{}]", "/FlateDecode ".repeat(200));
    let mut mail = b"From: a@b.example\r\nSubject: innerst\r\n\r\ntekst\r\n".to_vec();
    for level in 0..30 {
        let mut outer = format!(
            "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\nContent-Type: application/octet-stream; name=m.eml\r\n\r\n"
        )
        .into_bytes();
        outer.extend(&mail);
        outer.extend(format!("\r\n--b{level}--\r\n").into_bytes());
        mail = outer;
    }
    vec![
        ("zipbombe.docx", zip_bomb()),
        ("dyp.zip", deep),
        ("pdfbombe.pdf", pdf_bomb()),
        (
            "sideløkke.pdf",
            pdf(
                &[
                    b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
                    b"<< /Type /Pages /Kids [2 0 R 3 0 R 2 0 R] /Count 9 /Parent 3 0 R >>".to_vec(),
                    b"<< /Type /Pages /Kids [2 0 R 3 0 R] /Parent 2 0 R /Count 9 >>".to_vec(),
                ],
                "",
            ),
        ),
        (
            "objektløkke.pdf",
            page(b"4 0 R", &[b"6 0 R", b"5 0 R"], "/Font 5 0 R /XObject 6 0 R"),
        ),
        (
            "tegneløkke.pdf",
            page(
                &stream("", b"/X Do /X Do"),
                &[&stream(
                    "/Type /XObject /Subtype /Form /Resources << /XObject << /X 5 0 R >> >>",
                    &b"/X Do ".repeat(50),
                )],
                "/XObject << /X 5 0 R >>",
            ),
        ),
        (
            "fontløkke.pdf",
            page(
                &stream("", b"BT /F1 10 Tf (hei) Tj ET"),
                &[
                    b"<< /Type /Font /Subtype /Type0 /Encoding 6 0 R /ToUnicode 5 0 R /DescendantFonts [5 0 R] /W [0 4294967295 5] >>",
                    b"7 0 R",
                    b"6 0 R",
                ],
                "/Font << /F1 5 0 R >>",
            ),
        ),
        (
            "skjemaløkke.pdf",
            pdf(
                &[
                    b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R 4 0 R] >> >>".to_vec(),
                    b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
                    b"<< /Type /Page /Parent 2 0 R >>".to_vec(),
                    b"<< /T (a) /Kids [4 0 R 5 0 R << /T (b) /Kids [4 0 R] >>] >>".to_vec(),
                    b"<< /T (c) /V 5 0 R /Kids [4 0 R] >>".to_vec(),
                ],
                "",
            ),
        ),
        (
            "to-gigabyte.pdf",
            page(
                b"<< /Length 2147483648 >>\nstream\nBT (kort) Tj ET\nendstream",
                &[],
                "",
            ),
        ),
        (
            "egen-lengde.pdf",
            page(b"<< /Length 4 0 R >>\nstream\nq\nendstream", &[], ""),
        ),
        (
            "mange-filtre.pdf",
            page(&stream(&many_filters, &deflated(&deflated(b"q Q"))), &[], ""),
        ),
        (
            "mange-operasjoner.pdf",
            page(
                &stream("/Filter /FlateDecode", &deflated(&b"q 1 0 0 1 0 0 cm Q\n".repeat(400_000))),
                &[],
                "",
            ),
        ),
        (
            "dype-lister.pdf",
            page(
                &stream("", &[b"[".repeat(300_000), b"] TJ".to_vec()].concat()),
                &[&[b"<< /A ".repeat(100_000), b">>".to_vec()].concat()],
                "",
            ),
        ),
        ("avkuttet.docx", whole[..whole.len() / 2].to_vec()),
        ("avkuttet.pdf", { let page = pdf_page(&["Avviksmelding"]); page[..page.len() / 2].to_vec() }),
        ("program.pdf", [b"MZ\x90\0\x03\0\0\0".to_vec(), vec![0xcc; 50_000]].concat()),
        ("tekst.docx", b"dette er ikke et dokument".to_vec()),
        ("bilde.pdf", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("latter.docx", zip(&[("[Content_Types].xml", CONTENT_TYPES), ("word/document.xml", bomb.as_bytes())])),
        ("dyp-xml.docx", docx(&nested_xml, &[])),
        ("dyp-xml.odt", odt(&"<table:table-cell>".repeat(100_000))),
        ("dyp.rtf", [b"{\\rtf1 ".to_vec(), b"{".repeat(100_000), b"dypt".to_vec(), b"}".repeat(100_001)].concat()),
        ("binær.rtf", b"{\\rtf1 a\\bin99999999999 b}".to_vec()),
        ("løgn.dat", lying),
        ("løgn-inni.dat", inner_lies),
        ("kutt.dat", tnef("Emne", b"{\\rtf1 tekst}", ("a.txt", b"innhold"))[..60].to_vec()),
        ("dyp.html", format!("<html>{}", "<div><table><tr><td>".repeat(100_000)).into_bytes()),
        ("dyp.eml", mail),
        ("støy.pdf", [b"%PDF-1.4\n".to_vec(), (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()].concat()),
        ("tom.pdf", b"%PDF-1.4\n%%EOF".to_vec()),
        ("tom.docx", zip(&[("[Content_Types].xml", CONTENT_TYPES)])),
    ]
}
