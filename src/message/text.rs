//! Decoded text → text that rules can read: NFC, `\n`, no control letters; format=flowed (RFC 3676) is unfolded.

use unicode_normalization::UnicodeNormalization;

/// NFC: macOS sends «å» as «a» and a ring.
pub(crate) fn compose(text: &str) -> String {
    text.nfc().collect()
}

/// Line ends become `\n`; NUL and other control letters go; NFC.
pub(crate) fn clean(text: &str) -> String {
    let lines = text.replace("\r\n", "\n");
    lines
        .chars()
        .map(|c| {
            if matches!(
                c,
                '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
            ) {
                '\n'
            } else {
                c
            }
        })
        .filter(|c| matches!(c, '\n' | '\t') || (!c.is_control() && *c != '\u{feff}'))
        .nfc()
        .collect()
}

/// A header value on one line.
pub(crate) fn one_line(text: &str) -> String {
    compose(&clean(text).split_whitespace().collect::<Vec<_>>().join(" "))
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
