//! Folder names: UTF-8 as people write them, modified UTF-7 on the wire (RFC 3501 section 5.1.3).

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Base64 with `,` in place of `/` and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);

/// A folder name as the server wants it; the result is printable ASCII.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            BASE64.encode_string(&*shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for letter in name.chars() {
        if matches!(letter, ' '..='~') {
            flush(&mut shifted, &mut out);
            out.push(letter);
            if letter == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(
                letter
                    .encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// A folder name as people write it; `None` when the server's name is not modified UTF-7.
pub fn decode(wire: &str) -> Option<String> {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (coded, after) = shifted.split_once('-')?;
        if coded.is_empty() {
            out.push('&');
        } else {
            let bytes = BASE64.decode(coded).ok()?;
            let (pairs, odd) = bytes.as_chunks::<2>();
            if !odd.is_empty() {
                return None;
            }
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    out.chars()
        .all(|letter| !letter.is_control())
        .then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("Søknader", "S&APg-knader"),
            ("æøå", "&AOYA+ADl-"),
            ("Avvik & ros", "Avvik &- ros"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Post 📬/å", "Post &2D3c7A-/&AOU-"),
            ("", ""),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_not_modified_utf7_is_refused() {
        for wire in ["&APg", "&A-", "&====-", "&2D0-", "S&AAo-x"] {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }

    #[test]
    fn control_characters_never_reach_the_wire() {
        assert!(
            encode("a\r\nA1 DELETE INBOX\u{7f}")
                .chars()
                .all(|letter| matches!(letter, ' '..='~'))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_name_comes_back(name in "[^\\p{Cc}]{0,40}") {
            proptest::prop_assert_eq!(decode(&encode(&name)), Some(name));
        }
    }
}
