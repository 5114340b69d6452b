//! Fonts of a PDF: bytes shown → letters and their width.

use lopdf::{Dictionary, Document, Encoding, Object};
use std::collections::HashMap;

/// Bytes that a font's tables may unpack to.
pub(super) const TABLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Widths that a font may list.
const WIDTHS_MAX: usize = 70_000;

/// Widths of Helvetica from blank to tilde, in thousandths: for the fonts that every reader has, files give none.
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// A font as far as its text is concerned.
pub(super) struct Font<'a> {
    /// What `ToUnicode` says, if there is one: it knows letters that the encoding has no name for.
    unicode: Option<Encoding<'a>>,
    encoding: Option<Encoding<'a>>,
    widths: HashMap<u32, f32>,
    default_width: f32,
    is_standard: bool,
    /// Codes of two bytes.
    is_wide: bool,
}

impl<'a> Font<'a> {
    /// `bare` is the same font without its encoding.
    pub(super) fn of(font: &'a Dictionary, bare: &'a Dictionary, document: &'a Document) -> Self {
        let subtype = font.get(b"Subtype").and_then(Object::as_name);
        let is_wide = matches!(subtype, Ok(b"Type0"));
        let unicode = font
            .has(b"ToUnicode")
            .then(|| bare.get_font_encoding_with_limit(document, TABLE_BYTES_MAX))
            .and_then(Result::ok)
            .filter(|encoding| matches!(encoding, Encoding::UnicodeMapEncoding(_)));
        let mut made = Self {
            unicode,
            encoding: font
                .get_font_encoding_with_limit(document, TABLE_BYTES_MAX)
                .ok(),
            widths: HashMap::new(),
            default_width: if is_wide { 1.0 } else { 0.5 },
            is_standard: false,
            is_wide,
        };
        if is_wide {
            made.wide_widths(font, document);
        } else {
            made.plain_widths(font, document);
        }
        made
    }

    fn plain_widths(&mut self, font: &Dictionary, document: &Document) {
        let first = font
            .get_deref(b"FirstChar", document)
            .and_then(Object::as_i64)
            .ok()
            .and_then(|first| u32::try_from(first).ok())
            .unwrap_or(0);
        let widths = font
            .get_deref(b"Widths", document)
            .and_then(Object::as_array);
        let Ok(widths) = widths else {
            self.is_standard = true;
            return;
        };
        // Fonts drawn by hand have a scale of their own.
        let scale = font
            .get_deref(b"FontMatrix", document)
            .and_then(Object::as_array)
            .ok()
            .and_then(|matrix| matrix.first())
            .and_then(|first| first.as_float().ok())
            .map_or(0.001, f32::abs);
        for (code, width) in (first..).zip(widths.iter().take(256)) {
            if let Some(width) = number(width, document) {
                self.widths.insert(code, width * scale);
            }
        }
    }

    fn wide_widths(&mut self, font: &Dictionary, document: &Document) {
        let inner = font
            .get_deref(b"DescendantFonts", document)
            .and_then(Object::as_array)
            .ok()
            .and_then(|fonts| fonts.first())
            .and_then(|first| document.dereference(first).ok())
            .and_then(|(_, inner)| inner.as_dict().ok());
        let Some(inner) = inner else { return };
        if let Ok(width) = inner.get_deref(b"DW", document)
            && let Some(width) = number(width, document)
        {
            self.default_width = width / 1000.0;
        }
        let Ok(list) = inner.get_deref(b"W", document).and_then(Object::as_array) else {
            return;
        };
        let mut rest = list.iter();
        while let (Some(first), Some(second)) = (rest.next(), rest.next()) {
            let Some(start) = code(first, document) else {
                return;
            };
            let second = document
                .dereference(second)
                .map_or(second, |(_, object)| object);
            if let Ok(widths) = second.as_array() {
                for (code, width) in (start..).zip(widths.iter().take(WIDTHS_MAX)) {
                    if let Some(width) = number(width, document) {
                        self.widths.insert(code, width / 1000.0);
                    }
                }
            } else {
                let (Some(end), Some(width)) = (
                    code(second, document),
                    rest.next().and_then(|width| number(width, document)),
                ) else {
                    return;
                };
                let limit = end.min(start.saturating_add(0xffff));
                for code in start..=limit {
                    self.widths.insert(code, width / 1000.0);
                }
            }
            if self.widths.len() > WIDTHS_MAX {
                return;
            }
        }
    }

    /// The letters of a string that is shown.
    pub(super) fn decode(&self, bytes: &[u8]) -> String {
        let by_unicode = self
            .unicode
            .as_ref()
            .and_then(|encoding| encoding.bytes_to_string(bytes).ok())
            .map(|text| text.replace('\0', ""));
        if let Some(text) = &by_unicode
            && !text.is_empty()
            && text.chars().any(|c| c != '\u{fffd}')
        {
            return text.clone();
        }
        if self.is_wide && self.unicode.is_some() {
            return by_unicode.unwrap_or_default();
        }
        self.encoding
            .as_ref()
            .and_then(|encoding| encoding.bytes_to_string(bytes).ok())
            .unwrap_or_default()
    }

    /// Width of the string and how many letters and word blanks are in it, in ems at size 1.
    pub(super) fn width(&self, bytes: &[u8]) -> (f32, f32, f32) {
        let (mut width, mut count, mut blanks) = (0.0, 0.0, 0.0);
        if self.is_wide {
            for pair in bytes.chunks(2) {
                let code = pair
                    .iter()
                    .fold(0_u32, |code, byte| (code << 8) | u32::from(*byte));
                width += self
                    .widths
                    .get(&code)
                    .copied()
                    .unwrap_or(self.default_width);
                count += 1.0;
            }
            return (width, count, blanks);
        }
        for byte in bytes {
            let standard = || {
                byte.checked_sub(b' ')
                    .and_then(|index| HELVETICA.get(usize::from(index)))
                    .map(|width| f32::from(*width) / 1000.0)
            };
            let listed = self.widths.get(&u32::from(*byte)).copied();
            width += if self.is_standard {
                standard().unwrap_or(0.6)
            } else {
                listed.unwrap_or(self.default_width)
            };
            count += 1.0;
            if *byte == b' ' {
                blanks += 1.0;
            }
        }
        (width, count, blanks)
    }
}

pub(super) fn number(object: &Object, document: &Document) -> Option<f32> {
    let (_, object) = document.dereference(object).ok()?;
    object.as_float().ok().filter(|number| number.is_finite())
}

fn code(object: &Object, document: &Document) -> Option<u32> {
    let (_, object) = document.dereference(object).ok()?;
    object
        .as_i64()
        .ok()
        .and_then(|code| u32::try_from(code).ok())
        .filter(|code| *code <= 0x10_ffff)
}
