//! Case numbers: `SAK-2026-000123`.

use std::fmt;
use std::str::FromStr;

/// A case number: the year in Europe/Oslo in which the case was created, and a count from 1 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseNumber {
    /// Year in Europe/Oslo.
    pub year: i16,
    /// Count within the year, from 1.
    pub count: u64,
}

impl fmt::Display for CaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SAK-{:04}-{:06}", self.year, self.count)
    }
}

/// The text is no case number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("«{0}» is not a case number; write it as SAK-2026-000123")]
pub struct BadNumber(pub String);

impl FromStr for CaseNumber {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, BadNumber> {
        parse(text).ok_or_else(|| BadNumber(text.chars().take(40).collect()))
    }
}

fn parse(text: &str) -> Option<CaseNumber> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let (word, rest) = text.split_once('-')?;
    let (year, count) = rest.split_once('-')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !word.eq_ignore_ascii_case("sak")
        || year.len() != 4
        || !digits(year)
        || count.len() < 6
        || count.len() > 12
        || !digits(count)
    {
        return None;
    }
    let number = CaseNumber {
        year: year.parse().ok()?,
        count: count.parse().ok()?,
    };
    (number.count > 0).then_some(number)
}

/// All case numbers that stand in `text` as tokens (`[SAK-2026-000123]`, brackets and letter case optional), in order.
pub fn tokens(text: &str) -> Vec<CaseNumber> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.split(|c| !word(c)).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        let number = CaseNumber {
            year: 2026,
            count: 123,
        };
        assert_eq!(number.to_string(), "SAK-2026-000123");
        assert_eq!("sak-2026-000123".parse(), Ok(number));
        assert_eq!(
            "SAK-2026-1000000".parse(),
            Ok(CaseNumber {
                year: 2026,
                count: 1_000_000
            })
        );
        for bad in [
            "SAK-2026-123",
            "SAK-26-000123",
            "SAK-2026-000000",
            "SAK-2026-00012x",
            "",
            "SAK",
        ] {
            assert!(bad.parse::<CaseNumber>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_in_a_subject() {
        let found =
            tokens("Sv: [SAK-2026-000098] Samhandlingsavvik (jf. sak-2025-000007), sak 24/1187");
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["SAK-2026-000098", "SAK-2025-000007"]
        );
    }
}
