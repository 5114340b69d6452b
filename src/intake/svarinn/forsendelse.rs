//! What MottakService v1 says of a forsendelse. Fields that are missing, null, unknown or of another type cost nothing but
//! themselves.

use crate::calendar;
use serde_json::Value;

/// Longest id that is taken; they are UUIDs.
const ID_MAX: usize = 100;
/// Letters that are kept of a title or a name.
const LINE_MAX: usize = 500;
/// Files that are described, at most.
const FILES_MAX: usize = 1000;
/// Fields that change from one look to the next, or open the letter: not kept.
const VOLATILE: [&str; 2] = ["status", "downloadUrl"];

/// A forsendelse that waits to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forsendelse {
    /// Its id, fit to stand in an address; `None` when it has none that can be used.
    pub(super) id: Option<String>,
    pub(super) title: String,
    /// When it was sent, Unix milliseconds.
    pub(super) date_ms: Option<i64>,
    /// Name of the true sender, as far as it is told.
    pub(super) sender: String,
    /// Organisation number that it is for; empty when not told.
    pub(super) receiver: String,
    /// The forsendelse that this one answers.
    pub(super) answers: Option<String>,
    pub(super) download_url: String,
    pub(super) files: Vec<FileInfo>,
    /// All that was said of it and does not change, as JSON.
    pub(super) kept: String,
}

/// What is said of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FileInfo {
    pub(super) name: String,
    pub(super) media_type: String,
    /// As it stands there: hex or base64; empty when not told.
    pub(super) sha256: String,
    pub(super) size: Option<u64>,
}

impl Forsendelse {
    /// Reads one entry of the list.
    pub(super) fn of(entry: &Value) -> Self {
        let sender = name_in(entry, "svarSendesTil")
            .or_else(|| name_in(entry, "avsender"))
            .unwrap_or_default();
        let files = entry.get("filmetadata").and_then(Value::as_array);
        let mut kept = entry.clone();
        if let Some(fields) = kept.as_object_mut() {
            for name in VOLATILE {
                fields.remove(name);
            }
        }
        Self {
            id: id(&text(entry, "id")),
            title: line(&text(entry, "tittel")),
            date_ms: entry.get("date").and_then(moment_ms),
            sender,
            receiver: entry
                .get("mottaker")
                .map(|to| text(to, "orgnr"))
                .unwrap_or_default()
                .chars()
                .filter(char::is_ascii_digit)
                .collect(),
            answers: id(&text(entry, "svarPaForsendelse")),
            download_url: text(entry, "downloadUrl"),
            files: files
                .into_iter()
                .flatten()
                .take(FILES_MAX)
                .map(|file| FileInfo {
                    name: text(file, "filnavn"),
                    media_type: text(file, "mimetype"),
                    sha256: text(file, "sha256hash"),
                    size: file.get("size").and_then(Value::as_u64),
                })
                .collect(),
            kept: kept.to_string(),
        }
    }

    /// Bytes of its files, where all are told.
    pub(super) fn size(&self) -> Option<u64> {
        if self.files.is_empty() {
            return None;
        }
        self.files
            .iter()
            .try_fold(0_u64, |sum, file| sum.checked_add(file.size?))
    }
}

/// An id that can stand in an address and in a Message-ID as it is.
fn id(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (!text.is_empty() && text.len() <= ID_MAX && text.chars().all(plain)).then(|| text.to_owned())
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn name_in(entry: &Value, key: &str) -> Option<String> {
    let name = line(&text(entry.get(key)?, "navn"));
    (!name.is_empty()).then_some(name)
}

/// One line without control characters.
fn line(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LINE_MAX)
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Milliseconds since 1970, or ISO 8601; without a zone it is the time in Norway.
fn moment_ms(value: &Value) -> Option<i64> {
    let text = match value {
        Value::Number(number) => return number.as_i64().filter(|ms| *ms > 0),
        Value::String(text) => text.trim(),
        _ => return None,
    };
    if let Ok(ms) = text.parse::<i64>() {
        return (ms > 0).then_some(ms);
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    Some(calendar::oslo_ms(local))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_fields_and_none() {
        let full = Forsendelse::of(&json!({
            "id": "a1b2-c3", "tittel": " Avvik\r\n om  epikrise ", "date": 1_772_435_520_000_i64, "status": "Klar",
            "avsender": { "navn": "Kari Lege", "poststed": "Moss" }, "mottaker": { "orgnr": "987 654 321" },
            "svarSendesTil": { "navn": "Fjordgløtt legesenter", "fnr": "13097248022" }, "svarPaForsendelse": "d4",
            "downloadUrl": "https://svarinn.example/f/1", "ukjent": [1, null],
            "filmetadata": [{ "filnavn": "a.pdf", "mimetype": "application/pdf", "sha256hash": "ab", "size": 5 }, { "size": 7 }],
        }));
        assert_eq!(full.id.as_deref(), Some("a1b2-c3"));
        assert_eq!(full.title, "Avvik om epikrise");
        assert_eq!(full.sender, "Fjordgløtt legesenter");
        assert_eq!(full.receiver, "987654321");
        assert_eq!(full.answers.as_deref(), Some("d4"));
        assert_eq!(full.size(), Some(12));
        assert!(full.kept.contains("ukjent") && !full.kept.contains("downloadUrl"));
        for empty in [
            json!({}),
            json!(null),
            json!([1]),
            json!({ "id": null, "filmetadata": "x", "svarSendesTil": 5, "date": {} }),
        ] {
            let empty = Forsendelse::of(&empty);
            assert_eq!(empty.size(), None);
            assert_eq!((empty.id, empty.date_ms), (None, None));
        }
        assert_eq!(Forsendelse::of(&json!({ "id": "../x" })).id, None);
        let behind = Forsendelse::of(
            &json!({ "svarSendesTil": { "navn": null }, "avsender": { "navn": "Kari Lege" } }),
        );
        assert_eq!(behind.sender, "Kari Lege");
    }

    #[test]
    fn both_forms_of_dates() {
        let expected = Some(1_772_435_520_000);
        for date in [
            json!(1_772_435_520_000_i64),
            json!("1772435520000"),
            json!("2026-03-02T07:12:00Z"),
            json!("2026-03-02T08:12:00+01:00"),
            json!("2026-03-02T08:12:00.000+0100"),
            json!("2026-03-02T08:12:00"),
        ] {
            assert_eq!(moment_ms(&date), expected, "{date}");
        }
        for date in [json!("i går"), json!(0), json!(-5), json!(true)] {
            assert_eq!(moment_ms(&date), None, "{date}");
        }
    }
}
