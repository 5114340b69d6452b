//! RTF 1.9: text with its code pages, tables, and HTML that Outlook wrapped in it. Nothing here recurses: groups are a stack
//! of small states.

use super::super::{Limits, charset, html};
use super::{Found, TEXT_BYTES_MAX, Unread, table};
use std::collections::HashMap;

/// Groups that may be open at once; what is opened beyond is read without a state of its own.
const DEPTH_MAX: usize = 20_000;
/// Fonts that are remembered.
const FONTS_MAX: usize = 5_000;
/// How much longer the text may be while it is put together than what is kept of it.
const ROOM: usize = 4;

pub(super) fn read(bytes: &[u8]) -> Result<Found, Unread> {
    let mut reader = Reader::new(bytes);
    reader.run();
    if !reader.is_whole && reader.out.trim().is_empty() && reader.html.is_empty() {
        return Err(Unread::Damaged);
    }
    if reader.is_html {
        let (text, _) = html::to_text(&reader.html, Limits::default().max_html);
        return Ok(Found::whole(text));
    }
    let but = (!reader.is_whole).then_some(Unread::Damaged);
    reader.end_table();
    Ok(Found {
        text: reader.out,
        but,
    })
}

/// What the text of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// Fonts, colours, pictures, objects: no text.
    Skipped,
    /// The table of fonts, which tells their code pages.
    Fonts,
    /// A tag of HTML that Outlook wrapped.
    Tag,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    place: Place,
    font: i32,
    /// Letters after `\u` that stand for it in older programs.
    fallback: usize,
    /// Inside `\htmlrtf`: only for programs without HTML.
    rtf_only: bool,
    hidden: bool,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the place that is read"
)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    group: Group,
    stack: Vec<Group>,
    /// Groups that were opened beyond the limit.
    unstacked: usize,
    /// `\*` stood before.
    optional: bool,
    /// Fallback letters still to be passed over.
    skip: usize,
    /// A high surrogate that waits for its other half.
    surrogate: Option<u16>,
    /// Bytes of the code page that are not decoded yet.
    pending: Vec<u8>,
    ansi: u16,
    fonts: HashMap<i32, u16>,
    defined_font: i32,
    out: String,
    html: String,
    is_html: bool,
    is_whole: bool,
    rows: Vec<Vec<String>>,
    row: Vec<String>,
    cell: String,
    in_table: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            group: Group {
                place: Place::Text,
                font: -1,
                fallback: 1,
                rtf_only: false,
                hidden: false,
            },
            stack: Vec::new(),
            unstacked: 0,
            optional: false,
            skip: 0,
            surrogate: None,
            pending: Vec::new(),
            ansi: 1252,
            fonts: HashMap::new(),
            defined_font: -1,
            out: String::new(),
            html: String::new(),
            is_html: false,
            is_whole: false,
            rows: Vec::new(),
            row: Vec::new(),
            cell: String::new(),
            in_table: false,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at = self.at.saturating_add(1);
        byte
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn run(&mut self) {
        let mut opened = false;
        while let Some(byte) = self.next() {
            if self.out.len().saturating_add(self.html.len()) > TEXT_BYTES_MAX.saturating_mul(ROOM)
            {
                self.is_whole = true;
                break;
            }
            match byte {
                b'{' => {
                    opened = true;
                    self.flush();
                    self.skip = 0;
                    if self.stack.len() < DEPTH_MAX {
                        self.stack.push(self.group);
                    } else {
                        self.unstacked = self.unstacked.saturating_add(1);
                    }
                    self.optional = false;
                }
                b'}' => {
                    self.flush();
                    self.skip = 0;
                    if self.unstacked > 0 {
                        self.unstacked = self.unstacked.saturating_sub(1);
                    } else if let Some(group) = self.stack.pop() {
                        self.group = group;
                    }
                    if opened && self.stack.is_empty() {
                        self.is_whole = true;
                        break;
                    }
                }
                b'\\' => self.control(),
                b'\r' | b'\n' => {}
                b'\t' => self.letter("\t"),
                other => self.byte(other),
            }
        }
        self.flush();
        if !self.cell.trim().is_empty() {
            let cell = std::mem::take(&mut self.cell);
            self.row.push(cell.trim().to_owned());
        }
        if !self.row.is_empty() {
            let row = std::mem::take(&mut self.row);
            self.rows.push(row);
        }
    }

    /// A byte of text in the code page of the font.
    fn byte(&mut self, byte: u8) {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return;
        }
        match self.group.place {
            Place::Skipped | Place::Fonts => {}
            Place::Text | Place::Tag => self.pending.push(byte),
        }
    }

    fn code_page(&self) -> u16 {
        self.fonts
            .get(&self.group.font)
            .copied()
            .filter(|page| *page != 0)
            .unwrap_or(self.ansi)
    }

    fn flush(&mut self) {
        self.surrogate = None;
        if self.pending.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        let label = match self.code_page() {
            437 | 850 | 865 => format!("cp{}", self.code_page()),
            10000 => "macintosh".to_owned(),
            932 => "shift_jis".to_owned(),
            936 => "gbk".to_owned(),
            949 => "euc-kr".to_owned(),
            950 => "big5".to_owned(),
            65001 => "utf-8".to_owned(),
            page => format!("windows-{page}"),
        };
        let text = match encoding_rs::Encoding::for_label(label.as_bytes()) {
            // A code page that the file names is right, even where the bytes could be UTF-8.
            Some(encoding) => encoding.decode_without_bom_handling(&bytes).0,
            None => charset::decode(&bytes, Some(&label)).text,
        };
        self.emit(&text);
    }

    /// Text that is decoded already.
    fn letter(&mut self, text: &str) {
        self.flush();
        self.emit(text);
    }

    fn emit(&mut self, text: &str) {
        if self.group.hidden {
            return;
        }
        match self.group.place {
            Place::Skipped | Place::Fonts => {}
            Place::Tag => self.html.push_str(text),
            Place::Text if self.is_html => {
                if !self.group.rtf_only {
                    push_escaped(&mut self.html, text);
                }
            }
            Place::Text => {
                if self.in_table {
                    self.cell.push_str(text);
                } else {
                    self.end_table();
                    self.out.push_str(text);
                }
            }
        }
    }

    fn end_table(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut self.rows);
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out.push_str(&table::text(&rows));
        self.out.push('\n');
    }

    fn control(&mut self) {
        let Some(first) = self.next() else { return };
        if !first.is_ascii_alphabetic() {
            return self.symbol(first);
        }
        let mut word = String::from(char::from(first));
        while let Some(byte) = self.peek()
            && byte.is_ascii_alphabetic()
            && word.len() < 40
        {
            word.push(char::from(byte));
            self.at = self.at.saturating_add(1);
        }
        let mut number = String::new();
        if self.peek() == Some(b'-') {
            number.push('-');
            self.at = self.at.saturating_add(1);
        }
        while let Some(byte) = self.peek()
            && byte.is_ascii_digit()
        {
            if number.len() < 11 {
                number.push(char::from(byte));
            }
            self.at = self.at.saturating_add(1);
        }
        if self.peek() == Some(b' ') {
            self.at = self.at.saturating_add(1);
        }
        let number: Option<i64> = number.parse().ok();
        self.word(&word, number);
        self.optional = false;
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'\'' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(self.next()), digit(self.next()));
                if let (Some(high), Some(low)) = (high, low)
                    && let Ok(byte) = u8::try_from(high.saturating_mul(16).saturating_add(low))
                {
                    self.byte(byte);
                }
            }
            b'*' => {
                self.optional = true;
                return;
            }
            b'~' => self.letter("\u{a0}"),
            b'_' => self.letter("-"),
            b'\\' | b'{' | b'}' => self.byte(symbol),
            b'\r' | b'\n' => self.letter("\n"),
            _ => {}
        }
        self.optional = false;
    }

    #[expect(clippy::too_many_lines, reason = "one arm a control word")]
    fn word(&mut self, word: &str, number: Option<i64>) {
        let on = number != Some(0);
        match word {
            "u" => {
                if self.skip > 0 {
                    self.skip = self.skip.saturating_sub(1);
                } else {
                    self.unicode(number.unwrap_or_default());
                    self.skip = self.group.fallback;
                }
            }
            "uc" => {
                self.group.fallback = number
                    .and_then(|count| usize::try_from(count).ok())
                    .unwrap_or(1)
                    .min(100);
            }
            "bin" => {
                let count = number
                    .and_then(|count| usize::try_from(count).ok())
                    .unwrap_or_default();
                self.at = self.at.saturating_add(count);
            }
            "ansicpg" => {
                self.ansi = number
                    .and_then(|page| u16::try_from(page).ok())
                    .filter(|page| *page != 0)
                    .unwrap_or(1252);
            }
            "mac" => self.ansi = 10000,
            "pc" => self.ansi = 437,
            "pca" => self.ansi = 850,
            "fromhtml" => self.is_html = on,
            "htmlrtf" => {
                self.flush();
                self.group.rtf_only = on;
            }
            "htmltag" => self.group.place = Place::Tag,
            "f" => {
                self.flush();
                let font = number
                    .and_then(|font| i32::try_from(font).ok())
                    .unwrap_or(-1);
                if self.group.place == Place::Fonts {
                    self.defined_font = font;
                } else {
                    self.group.font = font;
                }
            }
            "fcharset" | "cpg" if self.group.place == Place::Fonts => {
                let page = if word == "cpg" {
                    number.and_then(|page| u16::try_from(page).ok())
                } else {
                    number.map(of_charset)
                };
                if let Some(page) = page
                    && self.fonts.len() < FONTS_MAX
                {
                    self.fonts.insert(self.defined_font, page);
                }
            }
            "plain" => {
                self.flush();
                self.group.font = -1;
                self.group.hidden = false;
            }
            "v" => {
                self.flush();
                self.group.hidden = on;
            }
            "fonttbl" => self.group.place = Place::Fonts,
            "colortbl" | "stylesheet" | "info" | "pict" | "object" | "objdata" | "themedata"
            | "colorschememapping" | "datastore" | "latentstyles" | "listtable" | "fldinst"
            | "listoverridetable" | "rsidtbl" | "xmlnstbl" | "generator" | "filetbl" | "revtbl"
            | "private" | "xe" | "tc" | "bkmkstart" | "bkmkend" | "nonshppict" | "mmathPr"
            | "deleted" => self.group.place = Place::Skipped,
            "shppict" | "shpinst" | "shptxt" | "footnote" | "annotation" | "header" | "footer"
            | "headerl" | "headerr" | "headerf" | "footerl" | "footerr" | "footerf" | "result"
            | "fldrslt" => {
                if matches!(word, "header" | "footer" | "footnote" | "shptxt") {
                    self.letter("\n");
                }
            }
            "trowd" => self.in_table = true,
            "intbl" => {
                self.flush();
                self.in_table = true;
            }
            "pard" => {
                self.flush();
                if self.cell.trim().is_empty() && self.row.is_empty() {
                    self.in_table = false;
                }
            }
            "cell" | "nestcell" if !self.is_html => {
                self.flush();
                let cell = std::mem::take(&mut self.cell);
                self.row.push(cell.trim().to_owned());
            }
            "row" | "nestrow" if !self.is_html => {
                self.flush();
                let row = std::mem::take(&mut self.row);
                self.rows.push(row);
                self.in_table = false;
            }
            _ if self.optional && !is_known(word) => self.group.place = Place::Skipped,
            "par" | "line" | "sect" | "page" | "softline" => self.letter("\n"),
            "tab" => self.letter("\t"),
            "emdash" => self.letter("—"),
            "endash" => self.letter("–"),
            "lquote" => self.letter("‘"),
            "rquote" => self.letter("’"),
            "ldblquote" => self.letter("“"),
            "rdblquote" => self.letter("”"),
            "bullet" => self.letter("•"),
            "emspace" | "enspace" | "qmspace" => self.letter(" "),
            _ => {}
        }
    }

    fn unicode(&mut self, number: i64) {
        let waiting = self.surrogate;
        self.flush();
        // Signed 16 bits: what is above 32767 is written as negative.
        let unit = number.rem_euclid(65_536);
        let Ok(unit) = u16::try_from(unit) else {
            return;
        };
        match (waiting, unit) {
            (_, 0xd800..=0xdbff) => self.surrogate = Some(unit),
            (Some(high), 0xdc00..=0xdfff) => {
                let decoded: String = char::decode_utf16([high, unit]).flatten().collect();
                self.emit(&decoded);
            }
            _ => {
                if let Some(c) = char::from_u32(u32::from(unit)) {
                    self.emit(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
    }
}

/// Destinations after `\*` whose text counts.
fn is_known(word: &str) -> bool {
    matches!(
        word,
        "htmltag" | "shpinst" | "shptxt" | "nesttableprops" | "ud" | "upr" | "footnote"
    )
}

fn push_escaped(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            other => html.push(other),
        }
    }
}

/// The code page of a font's charset; 0 for that of the document.
fn of_charset(charset: i64) -> u16 {
    match charset {
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        254 => 437,
        255 => 850,
        0 => 1252,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rtf: &[u8]) -> String {
        read(rtf).map(|found| found.text).unwrap_or_default()
    }

    #[test]
    fn letters_of_every_kind() {
        let cases: [(&[u8], &str); 9] = [
            (br"{\rtf1\ansi\ansicpg1252 Sp\'f8rsm\'e5l\par \'e6rlig}", "Spørsmål\nærlig"),
            (br"{\rtf1\ansi\uc1 K\u248?ken \u8211- \u-3913?}", "Køken – \u{f0b7}"),
            (br"{\rtf1\uc2 a\u248\'c3\'b8b{\uc0\u229 c}}", "aøbåc"),
            (br"{\rtf1{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset238 Arial CE;}}\f1\'b3\f0\'f8}", "łø"),
            (br"{\rtf1{\*\generator Msftedit;}{\info{\author Kari}}synlig{\v skjult}}", "synlig"),
            (br"{\rtf1 a\{b\}\\c\~d\_e\
f}", "a{b}\\c\u{a0}d-e\nf"),
            (b"{\\rtf1 a\\bin4 }}{{b}", "ab"),
            (br"{\rtf1 \u-10179?\u-8704?}", "😀"),
            (br"{\rtf1\mac \'be}", "æ"),
        ];
        for (rtf, expected) in cases {
            assert_eq!(text(rtf), expected, "{}", String::from_utf8_lossy(rtf));
        }
    }

    #[test]
    fn tables_read_like_forms() {
        let rtf = br"{\rtf1 Skjema\par\trowd\cellx1\cellx2\pard\intbl Melder\cell \'c5se\cell\row\trowd\pard\intbl Konsekvens\cell Fall\par og sm\'e5ting\cell\row\pard Hilsen}";
        assert_eq!(
            text(rtf),
            "Skjema\nMelder: Åse\nKonsekvens: Fall\nog småting\nHilsen"
        );
    }

    #[test]
    fn html_that_outlook_wrapped() {
        let rtf = br"{\rtf1\ansi\ansicpg1252\fromhtml1 {\*\htmltag <html><body><p>}\htmlrtf {\htmlrtf0 Hei p\'e5 \{deg\}{\*\htmltag </p>}\htmlrtf \par}\htmlrtf0 {\*\htmltag <p>}1 < 2{\*\htmltag </p></body></html>}}";
        assert_eq!(text(rtf).trim(), "Hei på {deg}\n\n1 < 2");
    }

    #[test]
    fn broken_and_deep_rtf_ends() {
        assert!(matches!(read(br"{\rtf1 "), Err(Unread::Damaged)));
        let found = read(br"{\rtf1 halv tekst").unwrap();
        assert_eq!(
            (found.text.as_str(), found.but),
            ("halv tekst", Some(Unread::Damaged))
        );
        let deep = [
            b"{\\rtf1 ".as_slice(),
            &b"{".repeat(100_000),
            b"dypt",
            &b"}".repeat(100_001),
        ]
        .concat();
        assert_eq!(text(&deep), "dypt");
    }
}
