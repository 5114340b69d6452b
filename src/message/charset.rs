//! Bytes → text, whatever the charset label says.
//!
//! Mail lies about its charset in few ways: UTF-8 labelled as something Western (or not at all), Windows-1252 labelled
//! as UTF-8, old labels, and text in which a filter has appended its own bytes. All of them end as readable Norwegian.

use super::parser;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// Text and whether the declared charset had to be overruled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) repaired: bool,
}

/// Decodes `bytes` as the declared charset, or as what they evidently are.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: Option<&str>) -> Decoded<'a> {
    let label = declared.map(normalise_label).unwrap_or_default();
    if let Some((encoding, skip)) = Encoding::for_bom(bytes)
        && (encoding == UTF_8 || encoding == UTF_16LE || encoding == UTF_16BE)
    {
        let body = bytes.get(skip..).unwrap_or_default();
        let (text, broken) = encoding.decode_without_bom_handling(body);
        return Decoded {
            text,
            repaired: broken,
        };
    }
    if bytes.is_ascii()
        && !is_stateful(&label)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Decoded {
            text: Cow::Borrowed(text),
            repaired: false,
        };
    }
    match kind(&label) {
        Kind::Unicode => match std::str::from_utf8(bytes) {
            Ok(text) => Decoded {
                text: Cow::Borrowed(text),
                repaired: false,
            },
            Err(_) => Decoded {
                text: Cow::Owned(mixed(bytes)),
                repaired: true,
            },
        },
        Kind::Western | Kind::Unknown => {
            // Non-ASCII that happens to be valid UTF-8 is UTF-8: in Western text the odds of that are negligible.
            if let Ok(text) = std::str::from_utf8(bytes) {
                return Decoded {
                    text: Cow::Borrowed(text),
                    repaired: declared.is_some(),
                };
            }
            let (text, _) = western(&label).decode_without_bom_handling(bytes);
            Decoded {
                text,
                repaired: kind(&label) == Kind::Unknown,
            }
        }
        Kind::Dos => Decoded {
            text: Cow::Owned(dos(bytes, &label)),
            repaired: false,
        },
        Kind::Other(encoding) => {
            let (text, broken) = encoding.decode_without_bom_handling(bytes);
            if broken && let Ok(utf8) = std::str::from_utf8(bytes) {
                return Decoded {
                    text: Cow::Borrowed(utf8),
                    repaired: true,
                };
            }
            Decoded {
                text,
                repaired: broken,
            }
        }
        Kind::Rare => match parser::rare_charset(&label, bytes) {
            Some(text) => Decoded {
                text: Cow::Owned(text),
                repaired: false,
            },
            None => Decoded {
                text: Cow::Owned(mixed(bytes)),
                repaired: true,
            },
        },
    }
}

/// A header or file name with raw 8-bit bytes: UTF-8 where it is valid, else Windows-1252.
pub(crate) fn decode_unlabelled(bytes: &[u8]) -> Decoded<'_> {
    decode(bytes, None)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Unicode,
    Western,
    Unknown,
    Dos,
    Other(&'static Encoding),
    Rare,
}

fn normalise_label(label: &str) -> String {
    label
        .trim()
        .trim_matches(['"', '\''])
        .trim()
        .to_ascii_lowercase()
}

/// Charsets in which ASCII bytes may mean something else.
fn is_stateful(label: &str) -> bool {
    label.contains("2022")
        || label.contains("utf-7")
        || label.contains("utf7")
        || label.starts_with("utf-16")
        || label == "hz-gb-2312"
}

fn kind(label: &str) -> Kind {
    match label {
        "utf-8" | "utf8" | "unicode-1-1-utf-8" | "utf_8" | "utf-8n" | "cp65001" | "65001" => {
            Kind::Unicode
        }
        "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "unknown" | "unknown-8bit" | "x-unknown"
        | "8bit" | "binary" | "default" | "default_charset" | "x-user-defined" | "none"
        | "null" => Kind::Unknown,
        "iso-8859-1" | "iso8859-1" | "iso88591" | "iso_8859-1" | "latin1" | "latin-1" | "l1"
        | "windows-1252" | "windows1252" | "cp1252" | "cp-1252" | "x-cp1252" | "win-1252"
        | "1252" | "ansi" | "x-ansi" | "iso-8859-15" | "iso8859-15" | "latin9" | "latin-9" => {
            Kind::Western
        }
        "cp437" | "ibm437" | "437" | "cp850" | "ibm850" | "850" | "cp865" | "ibm865" | "865"
        | "cp858" | "ibm00858" => Kind::Dos,
        other => match Encoding::for_label_no_replacement(other.as_bytes()) {
            Some(encoding) => Kind::Other(encoding),
            None => Kind::Rare,
        },
    }
}

fn western(label: &str) -> &'static Encoding {
    if label.ends_with("-15") || label.ends_with('9') {
        encoding_rs::ISO_8859_15
    } else {
        WINDOWS_1252
    }
}

/// Valid UTF-8 sequences as they are, every other byte as Windows-1252: text to which somebody added a footer of his own.
fn mixed(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let (rest, _) = WINDOWS_1252.decode_without_bom_handling(chunk.invalid());
        text.push_str(&rest);
    }
    text
}

/// The upper half of code page 437.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
/// The upper half of code page 850.
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";

fn dos(bytes: &[u8], label: &str) -> String {
    let upper: Vec<char> = if label.contains("85") { CP850 } else { CP437 }
        .chars()
        .collect();
    let nordic = label.contains("865");
    bytes
        .iter()
        .map(|&byte| match byte {
            0x9b if nordic => 'ø',
            0x9d if nordic => 'Ø',
            0xaf if nordic => '¤',
            0..=0x7f => char::from(byte),
            _ => upper
                .get(usize::from(byte & 0x7f))
                .copied()
                .unwrap_or(char::REPLACEMENT_CHARACTER),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norwegian_survives_every_lie_about_the_charset() {
        let latin1 = b"Sp\xf8rsm\xe5l om \xe6rlig".as_slice();
        let utf8 = "Spørsmål om ærlig".as_bytes();
        let cases: [(&[u8], Option<&str>, bool); 14] = [
            (utf8, Some("utf-8"), false),
            (utf8, Some("us-ascii"), true),
            (utf8, Some("iso-8859-1"), true),
            (utf8, Some("windows-1252"), true),
            (utf8, None, false),
            (latin1, Some("iso-8859-1"), false),
            (latin1, Some("windows1252"), false),
            (latin1, Some("utf-8"), true),
            (latin1, Some("us-ascii"), true),
            (latin1, None, true),
            (latin1, Some("unknown-8bit"), true),
            (b"Sp\x9brsm\x86l om \x91rlig", Some("ibm865"), false),
            (b"Sp\x9brsm\x86l om \x91rlig", Some("CP850"), false),
            (
                b"Sp+APg-rsm+AOU-l om +AOY-rlig",
                Some("unicode-1-1-utf-7"),
                false,
            ),
        ];
        for (bytes, label, repaired) in cases {
            let decoded = decode(bytes, label);
            assert_eq!(
                (&*decoded.text, decoded.repaired),
                ("Spørsmål om ærlig", repaired),
                "{label:?}"
            );
        }
    }

    #[test]
    fn a_footer_in_another_charset_does_not_spoil_the_text() {
        assert_eq!(
            decode(
                "Påminnelse – "
                    .bytes()
                    .chain(*b"\xf8st")
                    .collect::<Vec<u8>>()
                    .as_slice(),
                Some("utf-8")
            )
            .text,
            "Påminnelse – øst"
        );
    }

    #[test]
    fn dos_tables_are_whole() {
        assert_eq!((CP437.chars().count(), CP850.chars().count()), (128, 128));
    }
}
