//! Days as people write them.

use crate::rules::Language;

/// «3. mars 2026». The names of the months are the same in bokmål and nynorsk.
pub fn long_date(date: jiff::civil::Date, language: Language) -> String {
    let month = match language {
        Language::Bokmal | Language::Nynorsk => match date.month() {
            1 => "januar",
            2 => "februar",
            3 => "mars",
            4 => "april",
            5 => "mai",
            6 => "juni",
            7 => "juli",
            8 => "august",
            9 => "september",
            10 => "oktober",
            11 => "november",
            _ => "desember",
        },
    };
    format!("{}. {month} {}", date.day(), date.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_without_leading_zero() {
        assert_eq!(
            long_date(jiff::civil::date(2026, 3, 3), Language::Bokmal),
            "3. mars 2026"
        );
        assert_eq!(
            long_date(jiff::civil::date(2027, 12, 31), Language::Nynorsk),
            "31. desember 2027"
        );
        assert_eq!(
            long_date(jiff::civil::date(2026, 1, 1), Language::Nynorsk),
            "1. januar 2026"
        );
    }
}
