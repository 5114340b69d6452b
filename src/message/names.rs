//! File names that come with mail → names that may be shown, written and sent on.

/// At most this many bytes of UTF-8: what file systems take, with room for a number in front.
const NAME_BYTES_MAX: usize = 150;

/// The last piece of the path, without control letters, bidi overrides and what Windows refuses; empty when nothing is left.
pub(crate) fn sanitise(name: &str) -> String {
    let last = name
        .rsplit(['/', '\\'])
        .find(|piece| !piece.trim().is_empty())
        .unwrap_or_default();
    let clean: String = last
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .map(|c| {
            if matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|') {
                '_'
            } else {
                c
            }
        })
        .collect();
    let clean = super::text::compose(
        clean
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .trim_matches(['.', ' ']),
    );
    shorten(&clean)
}

/// Bidi overrides and isolates, zero-width letters, tags: they make `fdp.exe` look like `exe.pdf`.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{61c}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts the stem, keeps the extension.
fn shorten(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension)
        .filter(|e| e.len() <= 10)
        .unwrap_or_default();
    let room = NAME_BYTES_MAX
        .saturating_sub(extension.len())
        .saturating_sub(1);
    let stem: String = name
        .char_indices()
        .take_while(|(index, c)| index.saturating_add(c.len_utf8()) <= room)
        .map(|(_, c)| c)
        .collect();
    if extension.is_empty() {
        stem
    } else {
        format!("{}.{extension}", stem.trim_end_matches(['.', ' ']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [
            ("C:\\Users\\ola\\epikrise.pdf", "epikrise.pdf"),
            ("../../etc/passwd", "passwd"),
            ("a\u{202e}fdp.exe", "afdp.exe"),
            ("a\r\nb\0.pdf", "ab.pdf"),
            ("...", ""),
            ("  skjema   avvik .docx ", "skjema avvik .docx"),
            ("a\u{30a}rsrapport.pdf", "årsrapport.pdf"),
            ("hva?.pdf", "hva_.pdf"),
            ("", ""),
        ];
        for (raw, expected) in cases {
            assert_eq!(sanitise(raw), expected);
        }
        let long = sanitise(&format!("{}.pdf", "ø".repeat(400)));
        assert!(long.len() <= 150 && long.ends_with("ø.pdf"), "{long}");
    }
}
