//! Content-Transfer-Encoding (RFC 2045 section 6) → bytes, also where the encoding is damaged.

use super::parser;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr, memchr_iter};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferEncoding {
    /// 7bit, 8bit, binary or nothing stated.
    Identity,
    /// Base64.
    Base64,
    /// Quoted-printable.
    QuotedPrintable,
    /// Anything else, such as `x-uuencode`: not decoded.
    Unknown,
}

impl TransferEncoding {
    /// From the header value.
    pub(crate) fn from_header(value: &str) -> Self {
        let token = value
            .split([';', '(', ' ', '\t', ','])
            .next()
            .unwrap_or_default()
            .trim_matches('"');
        match token.to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" | "7-bit" | "8-bit" | "none" => Self::Identity,
            "base64" | "base-64" => Self::Base64,
            "quoted-printable" | "quotedprintable" | "quoted-printible" => Self::QuotedPrintable,
            _ => Self::Unknown,
        }
    }
}

/// Decoded bytes and whether something in them was broken.
pub(crate) fn decode(bytes: &[u8], encoding: TransferEncoding) -> (Vec<u8>, bool) {
    match encoding {
        TransferEncoding::Identity | TransferEncoding::Unknown => (bytes.to_vec(), false),
        TransferEncoding::Base64 => match parser::base64(bytes) {
            Some(decoded) if is_clean_base64(bytes) => (decoded, false),
            _ => (lenient_base64(bytes), true),
        },
        TransferEncoding::QuotedPrintable => match parser::quoted_printable(bytes) {
            Some(decoded) => (decoded, false),
            None => (lenient_quoted_printable(bytes), true),
        },
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// How many of the bytes are such. Of so few at a time that a byte holds their number: the compiler then looks at many at
/// once.
fn count(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> usize {
    let in_few = |few: &[u8]| {
        let count = few.iter().map(|byte| u8::from(is_such(*byte)));
        usize::from(count.fold(0, u8::wrapping_add))
    };
    bytes.chunks(usize::from(u8::MAX)).map(in_few).sum()
}

/// Only alphabet and white space, whole groups, padding at the end alone.
fn is_clean_base64(bytes: &[u8]) -> bool {
    let (body, end) = bytes.split_at(memchr(b'=', bytes).unwrap_or(bytes.len()));
    let letters = count(body, is_base64);
    let padding = memchr_iter(b'=', end).count();
    letters.saturating_add(count(body, is_space)) == body.len()
        && padding.saturating_add(count(end, is_space)) == end.len()
        && letters.saturating_add(padding).is_multiple_of(4)
        && padding <= 2
}

/// Base64 in pieces: other letters are skipped, padding ends a piece, a missing end is no reason to lose the rest.
pub(crate) fn lenient_base64(bytes: &[u8]) -> Vec<u8> {
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let mut decoded = Vec::with_capacity(bytes.len());
    for piece in bytes.split(|&byte| byte == b'=') {
        let mut letters: Vec<u8> = piece
            .iter()
            .copied()
            .filter(|&byte| is_base64(byte))
            .collect();
        if letters.len() % 4 == 1 {
            letters.pop();
        }
        decoded.extend(engine.decode(&letters).unwrap_or_default());
    }
    decoded
}

/// Quoted-printable in which a stray `=` stands for itself.
pub(crate) fn lenient_quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let hex = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'=' {
            decoded.push(first);
            continue;
        }
        match tail {
            [b'\r', b'\n', after @ ..] | [b'\n', after @ ..] => rest = after,
            [high, low, after @ ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'='),
            },
            [] => {}
            _ => decoded.push(b'='),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_encodings_give_what_they_can() {
        let cases: [(&[u8], TransferEncoding, &[u8], bool); 8] = [
            (b"SGVp\r\n", TransferEncoding::Base64, b"Hei", false),
            (b"SGVp!\nSGVp", TransferEncoding::Base64, b"HeiHei", true),
            (
                b"SGVpIQ==\nSGVp",
                TransferEncoding::Base64,
                b"Hei!Hei",
                true,
            ),
            (b"SGVpIQ", TransferEncoding::Base64, b"Hei!", true),
            (
                b"S=C3=B8k",
                TransferEncoding::QuotedPrintable,
                "Søk".as_bytes(),
                false,
            ),
            (
                b"lang=\nlinje",
                TransferEncoding::QuotedPrintable,
                b"langlinje",
                false,
            ),
            (
                b"a=b og =C3=A5",
                TransferEncoding::QuotedPrintable,
                "a=b og å".as_bytes(),
                true,
            ),
            (b"", TransferEncoding::Base64, b"", false),
        ];
        for (input, encoding, expected, broken) in cases {
            assert_eq!(
                decode(input, encoding),
                (expected.to_vec(), broken),
                "{}",
                String::from_utf8_lossy(input)
            );
        }
    }
}
