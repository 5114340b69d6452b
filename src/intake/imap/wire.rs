//! What goes over the wire and what comes back, as plain values: names, sets, keywords, dates, attributes.

use std::fmt::Write as _;

use async_imap::imap_proto::{AttributeValue, MailboxDatum, Response, ResponseCode};

use super::utf7;

/// What the server tells when a folder is opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) exists: u32,
    pub(super) uid_validity: u32,
    pub(super) uid_next: Option<u32>,
    pub(super) permanent_flags: Vec<String>,
}

/// Whether two names mean the same folder; INBOX is known in any letter case.
pub(super) fn same_folder(a: &str, b: &str) -> bool {
    a == b || (a.eq_ignore_ascii_case("INBOX") && b.eq_ignore_ascii_case("INBOX"))
}

/// A keyword is an atom; of the server's own flags only `\Flagged` may be used, never `\Seen`.
pub(super) fn is_keyword(flag: &str) -> bool {
    let is_atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    flag.eq_ignore_ascii_case("\\Flagged") || (!flag.is_empty() && flag.bytes().all(is_atom))
}

/// Whether PERMANENTFLAGS lets this flag be set: it stands there, or new keywords may be made (`\*`).
pub(super) fn can_set(folder: &Folder, flag: &str) -> bool {
    let is_new_keyword_allowed =
        !flag.starts_with('\\') && folder.permanent_flags.iter().any(|f| f == "\\*");
    is_new_keyword_allowed
        || folder
            .permanent_flags
            .iter()
            .any(|f| f.eq_ignore_ascii_case(flag))
}

/// A folder name as a quoted string in modified UTF-7.
pub(super) fn quoted(folder: &str) -> String {
    let wire = utf7::encode(folder)
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{wire}\"")
}

/// A UID set: `3,5:7`. A range stands only for UIDs that are all in it.
pub(super) fn uid_set(uids: &[u32]) -> String {
    let mut set = String::new();
    let mut rest = uids.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| last.checked_add(1) == Some(*next)) {
            last = next;
        }
        let comma = if set.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let written = if first == last {
            write!(set, "{comma}{first}")
        } else {
            write!(set, "{comma}{first}:{last}")
        };
        debug_assert!(written.is_ok());
    }
    set
}

pub(super) fn note_folder(response: &Response<'_>, folder: &mut Folder) {
    match response {
        Response::MailboxData(MailboxDatum::Exists(exists)) => folder.exists = *exists,
        Response::Data { outcome, .. } => match &outcome.code {
            Some(ResponseCode::UidValidity(value)) => folder.uid_validity = *value,
            Some(ResponseCode::UidNext(value)) => folder.uid_next = Some(*value),
            Some(ResponseCode::PermanentFlags(flags)) => {
                folder.permanent_flags = flags.iter().map(ToString::to_string).collect();
            }
            _ => {}
        },
        _ => {}
    }
}

/// UID and text in a FETCH response; `None` for the text where the server says NIL.
pub(super) fn body_of<'a>(response: &'a Response<'_>) -> Option<(u32, Option<&'a [u8]>)> {
    let Response::Fetch(_, attributes) = response else {
        return None;
    };
    let uid = attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })?;
    let body = attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::BodySection {
            section: None,
            data,
            ..
        } => Some(data.as_deref()),
        _ => None,
    })?;
    Some((uid, body))
}

/// INTERNALDATE (`17-Jul-1996 02:44:25 -0700`, day padded with a space) in Unix milliseconds.
pub(super) fn internal_date_ms(text: &str) -> Option<i64> {
    let date = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()?;
    date.to_timestamp()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uid_sets_hold_no_foreign_uid() {
        for (uids, set) in [
            (&[1][..], "1"),
            (&[1, 2, 3, 5, 9, 10], "1:3,5,9:10"),
            (&[7, 3, 4], "7,3:4"),
            (&[u32::MAX - 1, u32::MAX], "4294967294:4294967295"),
            (&[], ""),
        ] {
            assert_eq!(uid_set(uids), set);
        }
    }

    #[test]
    fn internal_dates_of_all_spellings() {
        for (text, expected) in [
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665_000)),
            (" 5-Jan-2026 09:00:00 +0100", Some(1_767_600_000_000)),
            ("05-Jan-2026 08:00:00 +0000", Some(1_767_600_000_000)),
            ("", None),
            ("5 Jan 2026", None),
        ] {
            assert_eq!(internal_date_ms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_keywords_may_be_set() {
        for flag in ["Linjevei", "$Linjevei", "linjevei-sak_1", "\\Flagged"] {
            assert!(is_keyword(flag), "{flag}");
        }
        for flag in ["", "\\Seen", "\\Deleted", "to ord", "a)b", "æ", "a\r\nb"] {
            assert!(!is_keyword(flag), "{flag}");
        }
        let folder = |flags: &[&str]| Folder {
            permanent_flags: flags.iter().map(ToString::to_string).collect(),
            ..Folder::default()
        };
        assert!(can_set(&folder(&["\\Seen", "\\*"]), "Linjevei"));
        assert!(can_set(&folder(&["linjevei"]), "Linjevei"));
        assert!(can_set(&folder(&["\\Flagged"]), "\\Flagged"));
        assert!(!can_set(&folder(&["\\*"]), "\\Flagged"));
        assert!(!can_set(&folder(&["\\Seen", "\\Deleted"]), "Linjevei"));
    }

    #[test]
    fn folder_names_are_quoted() {
        assert_eq!(
            quoted("Avvik \"2026\" \\ Søk"),
            "\"Avvik \\\"2026\\\" \\\\ S&APg-k\""
        );
    }
}
