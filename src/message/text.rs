//! Decoded text → text that rules can read: NFC, `\n`, no control letters; format=flowed (RFC 3676) is unfolded.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// NFC: macOS sends «å» as «a» and a ring.
pub(crate) fn compose(text: &str) -> String {
    composed(text.to_owned())
}

fn composed(text: String) -> String {
    if is_composed(&text) {
        text
    } else {
        text.nfc().collect()
    }
}

/// Almost all text is composed already, and seeing that costs a small part of composing it.
fn is_composed(text: &str) -> bool {
    // No letter before U+0300 decomposes or combines, and none of them has a byte from 0xcc on.
    let last = text.bytes().fold(0, u8::max);
    last < 0xcc || is_nfc_quick(text.chars().filter(|c| !is_sign(*c))) == IsNormalized::Yes
}

/// Dashes, quotation marks, bullets: they neither decompose nor combine, and part what stands around them.
const fn is_sign(c: char) -> bool {
    matches!(c, '\u{2010}'..='\u{2027}')
}

/// Line ends become `\n`; NUL and other control letters go; NFC.
pub(crate) fn clean(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, odd)) = find_odd(rest).and_then(|at| rest.split_at_checked(at)) {
        kept.push_str(before);
        let mut letters = odd.chars();
        match letters.next() {
            Some('\r') if letters.as_str().starts_with('\n') => {}
            Some('\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}') => kept.push('\n'),
            Some(plain) if !is_odd(plain) => kept.push(plain),
            _ => {}
        }
        rest = letters.as_str();
    }
    kept.push_str(rest);
    composed(kept)
}

/// What [`clean`] does not leave as it is.
fn is_odd(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
        other => other.is_control(),
    }
}

/// Where the first letter begins that may be odd, as its first byte tells.
fn find_odd(text: &str) -> Option<usize> {
    const FEW: usize = 32;
    let may_be_odd = |byte: &u8| match byte {
        b'\n' | b'\t' => false,
        0..=0x1f | 0x7f | 0xc2 | 0xe2 | 0xef => true,
        _ => false,
    };
    // Many bytes at a time first.
    let is_plain = |few: &&[u8]| !few.iter().fold(false, |odd, byte| odd | may_be_odd(byte));
    let bytes = text.as_bytes();
    let plain = bytes.chunks(FEW).take_while(is_plain).count();
    let from = plain.saturating_mul(FEW);
    let found = bytes.get(from..)?.iter().position(may_be_odd)?;
    Some(from.saturating_add(found))
}

/// A header value on one line.
pub(crate) fn one_line(text: &str) -> String {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.bytes().all(is_plain)
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
    {
        return text.to_owned();
    }
    composed(clean(text).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Cuts at a letter, never inside one. The flag tells whether something was cut.
pub(crate) fn truncate(text: &mut String, max_bytes: usize) -> bool {
    if text.len() <= max_bytes {
        return false;
    }
    text.truncate(text.floor_char_boundary(max_bytes));
    true
}

/// Joins the soft line breaks of `format=flowed` (RFC 3676 section 4); `delsp` drops the space that made them.
pub(crate) fn unflow(text: &str, delete_space: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let content = line.trim_start_matches('>');
        let depth = line.len().saturating_sub(content.len());
        let content = content.strip_prefix(' ').unwrap_or(content);
        if open != Some(depth) {
            if open.is_some() {
                result.push('\n');
            }
            result.push_str(&">".repeat(depth));
            if depth > 0 {
                result.push(' ');
            }
        }
        // «-- » is a signature line, never a soft break.
        let is_soft = content.ends_with(' ') && content != "-- ";
        if is_soft {
            result.push_str(if delete_space {
                content.strip_suffix(' ').unwrap_or(content)
            } else {
                content
            });
            open = Some(depth);
        } else {
            result.push_str(content);
            result.push('\n');
            open = None;
        }
    }
    result.pop();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowed_text_is_joined() {
        let cases = [
            ("en lang \nlinje\nny", false, "en lang linje\nny"),
            ("en lang \nlinje", true, "en langlinje"),
            (
                "> sitat som \n> går videre\nsvar",
                false,
                "> sitat som går videre\nsvar",
            ),
            ("> sitat \nsvar", false, "> sitat \nsvar"),
            ("tekst\n-- \nKari", false, "tekst\n-- \nKari"),
            (" >ikke sitat\n From her", false, ">ikke sitat\nFrom her"),
        ];
        for (raw, delete_space, expected) in cases {
            assert_eq!(unflow(raw, delete_space), expected, "{raw}");
        }
    }

    #[test]
    fn text_is_cleaned() {
        assert_eq!(clean("a\0b\r\nc\rd\u{1b}[0m a\u{30a}"), "ab\nc\nd[0m å");
        let mut text = "æøå".to_owned();
        assert!(truncate(&mut text, 3) && text == "æ");
    }
}
