//! Message-IDs that prove they are ours: `sak-2026-000123.purring.1.<tag of the party>.<mac>@domain`.
//!
//! The MAC (HMAC-SHA256, RFC 2104, cut to 128 bits) covers everything before it and not the domain, so that the local
//! part alone, as in `X-Linjevei-Id`, can be checked too. All of it is lower case: some mail systems change the case.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::case::{CaseNumber, MailKind};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Bytes of the MAC that stand in a Message-ID.
const MAC_BYTES: usize = 16;

/// Bytes of the party's tag.
const TAG_BYTES: usize = 5;

/// Longest Message-ID that is looked at; ours have fewer than 150 bytes.
const ID_MAX_BYTES: usize = 512;

/// Separates the uses of the key from each other.
const ID_CONTEXT: &[u8] = b"linjevei message-id 1\0";
const TAG_CONTEXT: &[u8] = b"linjevei party-tag 1\0";
const FINGERPRINT_CONTEXT: &[u8] = b"linjevei key fingerprint v1\0";
const LIKENESS_CONTEXT: &[u8] = b"linjevei likeness 1\0";

/// The key behind our Message-IDs. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey([u8; KEY_BYTES]);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// The content of a key file is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key file holds {} hexadecimal digits on one line", KEY_BYTES * 2)]
pub struct BadKey;

impl SigningKey {
    /// A key of random bytes.
    pub const fn new(random: [u8; KEY_BYTES]) -> Self {
        Self(random)
    }

    /// Reads the content of a key file.
    ///
    /// # Errors
    /// [`BadKey`] unless it is 64 hexadecimal digits, white space around them aside.
    pub fn parse(content: &str) -> Result<Self, BadKey> {
        unhex::<KEY_BYTES>(content.trim()).map(Self).ok_or(BadKey)
    }

    /// The content of a key file.
    pub fn to_file_content(&self) -> String {
        format!("{}\n", hex(&self.0))
    }

    /// Keyed hashes of words, for comparing reports without keeping their words.
    pub fn likeness(&self) -> impl Fn(&str) -> u64 {
        // What is the same for every hash is worked out once.
        let begun = self.mac(LIKENESS_CONTEXT, "");
        move |text| {
            let digest = begun.clone().map(|mut mac| {
                mac.update(text.as_bytes());
                mac.finalize().into_bytes()
            });
            let first = digest.as_ref().and_then(|digest| digest.first_chunk::<8>());
            first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
        }
    }

    /// By what workers know that they have the same key; nothing can be signed with it.
    pub fn fingerprint(&self) -> String {
        self.digest(FINGERPRINT_CONTEXT, "", 16)
    }

    fn mac(&self, context: &[u8], text: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length; this never fails.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        mac.update(context);
        mac.update(text.as_bytes());
        Some(mac)
    }

    fn digest(&self, context: &[u8], text: &str, bytes: usize) -> String {
        let digest = self
            .mac(context, text)
            .map(|mac| mac.finalize().into_bytes());
        digest
            .as_ref()
            .and_then(|digest| digest.get(..bytes))
            .map(hex)
            .unwrap_or_default()
    }
}

/// Makes the Message-ID of one mail, without angle brackets: the same arguments give the same id, and mails that differ in
/// one of them differ in the id. `seq` counts mails of one kind to one party in one case.
pub fn make(
    key: &SigningKey,
    number: CaseNumber,
    kind: MailKind,
    seq: u32,
    party: &str,
    domain: &str,
) -> String {
    let tag = key.digest(TAG_CONTEXT, party, TAG_BYTES);
    let signed = format!(
        "{}.{}.{seq}.{tag}",
        number.to_string().to_ascii_lowercase(),
        kind.id()
    );
    let mac = key.digest(ID_CONTEXT, &signed, MAC_BYTES);
    format!("{signed}.{mac}@{}", domain.to_ascii_lowercase())
}

/// Makes the Message-ID of a mail about many cases: `oversikt.20260302.<tag>.<mac>@domain`. It names no case, so nothing that
/// answers it joins one.
pub fn make_report(
    key: &SigningKey,
    kind: MailKind,
    day: i64,
    party: &str,
    domain: &str,
) -> String {
    let tag = key.digest(TAG_CONTEXT, party, TAG_BYTES);
    let signed = format!("{}.{day}.{tag}", kind.id());
    let mac = key.digest(ID_CONTEXT, &signed, MAC_BYTES);
    format!("{signed}.{mac}@{}", domain.to_ascii_lowercase())
}

/// The case that a Message-ID of ours belongs to; `None` when none of the keys signed it. Takes the id with or without
/// angle brackets, in any letter case, with or without the domain (`X-Linjevei-Id`).
pub fn verify(keys: &[SigningKey], id: &str) -> Option<CaseNumber> {
    signed_by_us(keys, id)?.split('.').next()?.parse().ok()
}

/// Whether one of the keys signed the Message-ID.
pub fn is_ours(keys: &[SigningKey], id: &str) -> bool {
    signed_by_us(keys, id).is_some()
}

/// Whether the Message-ID is that of a mail of ours about many cases.
pub fn is_report(keys: &[SigningKey], id: &str) -> bool {
    signed_by_us(keys, id).is_some_and(|signed| {
        MailKind::REPORTS
            .iter()
            .any(|kind| signed.split('.').next() == Some(kind.id()))
    })
}

/// What stands before the MAC, when one of the keys made it.
fn signed_by_us(keys: &[SigningKey], id: &str) -> Option<String> {
    if id.len() > ID_MAX_BYTES {
        return None;
    }
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let local = id.split('@').next()?.to_ascii_lowercase();
    let (signed, mac) = local.rsplit_once('.')?;
    let mac = unhex::<MAC_BYTES>(mac)?;
    let known = |key: &SigningKey| {
        key.mac(ID_CONTEXT, signed)
            .is_some_and(|hmac| hmac.verify_truncated_left(&mac).is_ok())
    };
    if !keys.iter().any(known) {
        return None;
    }
    Some(signed.to_owned())
}

/// Hexadecimal digits of the MAC that stand in a return path.
const VERP_DIGITS: usize = 10;

/// What a return path says of the mail that it belongs to; to be compared with the stored Message-ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verp {
    /// What the mail's Message-ID begins with: `sak-2026-000123.purring.1.`.
    pub begins: String,
    /// What its MAC begins with.
    pub tag: String,
}

impl Verp {
    /// Whether this is the return path of the mail with that Message-ID.
    pub fn is_of(&self, message_id: &str) -> bool {
        self.tag.len() == VERP_DIGITS
            && message_id.starts_with(&self.begins)
            && verp_tag(message_id) == self.tag
    }
}

/// The beginning of a Message-ID's MAC, for the return path.
pub(super) fn verp_tag(message_id: &str) -> String {
    let mac = local_part(message_id)
        .rsplit('.')
        .next()
        .unwrap_or_default();
    mac.chars().take(VERP_DIGITS).collect()
}

/// Reads an address to which a bounce came, if it is one of our return paths with a tag.
pub fn verp(bounce_address: &str, address: &str) -> Option<Verp> {
    let (local, domain) = bounce_address.trim().rsplit_once('@')?;
    let address = address.trim().to_ascii_lowercase();
    let (about, at) = address.rsplit_once('@')?;
    if at != domain.to_ascii_lowercase() {
        return None;
    }
    let about = about
        .strip_prefix(&local.to_ascii_lowercase())?
        .strip_prefix('+')?;
    let (mail, tag) = about.rsplit_once('.')?;
    let sound = tag.len() == VERP_DIGITS && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (sound && mail.split('.').count() == 3).then(|| Verp {
        // Mail about many cases names none.
        begins: format!("{}.", mail.strip_prefix("alle.").unwrap_or(mail)),
        tag: tag.to_owned(),
    })
}

/// The part before `@`.
pub(crate) fn local_part(id: &str) -> &str {
    id.split('@').next().unwrap_or(id)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.checked_mul(2)? || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at.checked_add(2)?)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: CaseNumber = CaseNumber {
        year: 2026,
        count: 123,
    };

    fn key(byte: u8) -> SigningKey {
        SigningKey::new([byte; KEY_BYTES])
    }

    #[test]
    fn made_and_verified() {
        let id = make(
            &key(1),
            NUMBER,
            MailKind::Purring,
            1,
            "medisin",
            "Linjevei.Example",
        );
        assert!(
            id.starts_with("sak-2026-000123.purring.1.") && id.ends_with("@linjevei.example"),
            "{id}"
        );
        assert_eq!(id, id.to_lowercase());
        assert!(local_part(&id).len() <= 100);
        for form in [
            id.clone(),
            format!("<{id}>"),
            id.to_uppercase(),
            local_part(&id).to_owned(),
            format!(" <{id}> "),
        ] {
            assert_eq!(verify(&[key(9), key(1)], &form), Some(NUMBER), "{form}");
        }
        assert_eq!(verify(&[key(2)], &id), None, "another key");
        assert_eq!(verify(&[], &id), None, "no key");
    }

    #[test]
    fn every_changed_letter_is_noticed() {
        let id = make(
            &key(1),
            NUMBER,
            MailKind::Kvittering,
            1,
            "fastlege",
            "linjevei.example",
        );
        let local = local_part(&id).len();
        for at in 0..local {
            let mut bytes = id.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(
                verify(&[key(1)], std::str::from_utf8(&bytes).unwrap()),
                None,
                "byte {at}"
            );
        }
        for bad in [
            "",
            "@",
            "<>",
            ".",
            "sak-2026-000123",
            "æøå.æøæøæøæøæøæøæøæø@x",
            "sak-2026-000123.purring.1.x.00",
        ] {
            assert_eq!(verify(&[key(1)], bad), None, "{bad}");
        }
        assert_eq!(verify(&[key(1)], &"a".repeat(100_000)), None);
    }

    #[test]
    fn all_arguments_count() {
        let ids = [
            make(
                &key(1),
                NUMBER,
                MailKind::Purring,
                1,
                "medisin",
                "a.example",
            ),
            make(
                &key(1),
                NUMBER,
                MailKind::Purring,
                2,
                "medisin",
                "a.example",
            ),
            make(&key(1), NUMBER, MailKind::Sak, 1, "medisin", "a.example"),
            make(
                &key(1),
                NUMBER,
                MailKind::Purring,
                1,
                "kirurgi",
                "a.example",
            ),
            make(
                &key(1),
                CaseNumber {
                    year: 2026,
                    count: 124,
                },
                MailKind::Purring,
                1,
                "medisin",
                "a.example",
            ),
            make(
                &key(2),
                NUMBER,
                MailKind::Purring,
                1,
                "medisin",
                "a.example",
            ),
        ];
        let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(
            !ids[0].contains("medisin"),
            "the party's name stays with us"
        );
        assert_eq!(
            ids[0],
            make(
                &key(1),
                NUMBER,
                MailKind::Purring,
                1,
                "medisin",
                "a.example"
            )
        );
    }

    #[test]
    fn return_paths_name_one_mail_and_cannot_be_made_up() {
        let id = make(
            &key(1),
            NUMBER,
            MailKind::Sak,
            1,
            "medisin",
            "so-hf.example",
        );
        let other = make(
            &key(1),
            NUMBER,
            MailKind::Sak,
            1,
            "kirurgi",
            "so-hf.example",
        );
        let path = format!(
            "retur+sak-2026-000123.sak.1.{}@so-hf.example",
            verp_tag(&id)
        );
        let read = verp("Retur@so-hf.example", &path.to_uppercase()).unwrap();
        assert!(read.is_of(&id));
        assert!(!read.is_of(&other), "another party's mail");
        for bad in [
            "retur@so-hf.example",
            "retur+sak-2026-000123.sak.1@so-hf.example",
            "retur+sak-2026-000123.sak.1.@so-hf.example",
            "retur+sak-2026-000123.sak.1.0@so-hf.example",
            "retur+sak-2026-000123.sak.1.0123456789@ond.example",
            "annen+sak-2026-000123.sak.1.0123456789@so-hf.example",
            "retur+sak-2026-000123.1.0123456789@so-hf.example",
        ] {
            assert_eq!(verp("retur@so-hf.example", bad), None, "{bad}");
        }
        let guessed = verp(
            "retur@so-hf.example",
            "retur+sak-2026-000123.sak.1.0123456789@so-hf.example",
        );
        assert!(!guessed.unwrap().is_of(&id));
    }

    #[test]
    fn key_files() {
        let written = key(0xab).to_file_content();
        assert_eq!(written.trim().len(), 64);
        assert_eq!(SigningKey::parse(&written), Ok(key(0xab)));
        assert_eq!(
            SigningKey::parse(&format!("  {}\r\n", written.trim().to_uppercase())),
            Ok(key(0xab))
        );
        for bad in ["", "ab", &"x".repeat(64), &"a".repeat(65), &"æ".repeat(32)] {
            assert_eq!(SigningKey::parse(bad), Err(BadKey), "{bad}");
        }
        assert_eq!(format!("{:?}", key(1)), "SigningKey(***)");
    }
}
