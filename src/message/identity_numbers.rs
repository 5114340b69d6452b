//! Norwegian identity numbers in text → asterisks.
//!
//! Fødselsnummer, D-nummer (day + 40), H-nummer (month + 40), FH-nummer (first digit 8 or 9, no date) and the test series
//! (month + 65 and + 80), contiguous, spaced, dotted or hyphenated, also broken over two lines. A number is masked when length, date (where the series
//! has one) and both check digits fit; other numbers are left as they are.

use super::names::is_invisible;

/// What stands in place of a number.
pub const MASK: &str = "***********";

/// Separators between two digits: «010190 - 12345».
const GAP_MAX: u32 = 3;

/// Replaces every identity number in the text by [`MASK`].
pub fn mask(text: &str) -> String {
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    let mut index = 0;
    while let Some(&(start, c)) = letters.get(index) {
        let after_digit = index
            .checked_sub(1)
            .and_then(|before| letters.get(before))
            .is_some_and(|(_, before)| before.is_ascii_digit());
        if c.is_ascii_digit()
            && !after_digit
            && let Some(length) = number_at(letters.get(index..).unwrap_or_default())
        {
            let next = index.saturating_add(length);
            let end = letters.get(next).map_or(text.len(), |(end, _)| *end);
            result.push_str(text.get(copied..start).unwrap_or_default());
            result.push_str(MASK);
            copied = end;
            index = next;
        } else {
            index = index.saturating_add(1);
        }
    }
    result.push_str(text.get(copied..).unwrap_or_default());
    result
}

/// The length in letters of the identity number at the start, separators included.
fn number_at(letters: &[(usize, char)]) -> Option<usize> {
    let mut digits = Vec::with_capacity(11);
    let mut gap = 0_u32;
    let mut lines = 0_u32;
    for (index, (_, c)) in letters.iter().enumerate() {
        if let Some(digit) = c.to_digit(10) {
            digits.push(digit);
            gap = 0;
            if digits.len() == 11 {
                let next = index.saturating_add(1);
                let goes_on = letters
                    .iter()
                    .skip(next)
                    .find(|(_, c)| !is_invisible(*c))
                    .is_some_and(|(_, c)| c.is_ascii_digit());
                return (!goes_on && is_identity_number(&digits)).then_some(next);
            }
        } else if is_invisible(*c) || *c == '\u{ad}' {
            // Seen by nobody, and so no end of the number.
        } else if gap < GAP_MAX && !digits.is_empty() && is_separator(*c) {
            gap = gap.saturating_add(1);
            lines = lines.saturating_add(u32::from(*c == '\n'));
            // A column of figures is no number.
            if lines > 1 {
                return None;
            }
        } else {
            return None;
        }
    }
    None
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t'
            | '\n'
            | '\r'
            | '.'
            | '-'
            | '\u{2010}'
            | '\u{a0}'
            | '\u{2009}'
            | '\u{202f}'
            | '\u{2011}'
            | '\u{2013}'
    )
}

fn is_identity_number(digits: &[u32]) -> bool {
    let &[d1, d2, m1, m2, y1, y2, ..] = digits else {
        return false;
    };
    let pair = |a: u32, b: u32| a.saturating_mul(10).saturating_add(b);
    let has_date = is_date(pair(d1, d2), pair(m1, m2), pair(y1, y2));
    let is_help_number = matches!(d1, 8 | 9);
    (has_date || is_help_number) && has_check_digits(digits)
}

fn is_date(day: u32, month: u32, year: u32) -> bool {
    let day = if day > 40 {
        day.saturating_sub(40)
    } else {
        day
    };
    let month = match month {
        81..=92 => month.saturating_sub(80),
        66..=77 => month.saturating_sub(65),
        41..=52 => month.saturating_sub(40),
        other => other,
    };
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        // 1900 was no leap year, 2000 was: the century is not told by the year alone.
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => 0,
    };
    (1..=last).contains(&day)
}

/// Skatteetaten's weights. Numbers given from 2032 may leave 0 to 3 in the first control; they are accepted already.
fn has_check_digits(digits: &[u32]) -> bool {
    const FIRST: [u32; 10] = [3, 7, 6, 1, 8, 9, 4, 5, 2, 1];
    const SECOND: [u32; 11] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1];
    let rest = |weights: &[u32]| {
        weights
            .iter()
            .zip(digits)
            .map(|(weight, digit)| weight.saturating_mul(*digit))
            .sum::<u32>()
            % 11
    };
    digits.len() == 11 && rest(&FIRST) <= 3 && rest(&SECOND) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes nine digits by the rules before 2032; none when no check digit fits.
    fn complete(nine: &str) -> Option<String> {
        (0..100).map(|k| format!("{nine}{k:02}")).find(|number| {
            let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
            let first: u32 = [3, 7, 6, 1, 8, 9, 4, 5, 2, 1]
                .iter()
                .zip(&digits)
                .map(|(w, d)| w * d)
                .sum();
            let second: u32 = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]
                .iter()
                .zip(&digits)
                .map(|(w, d)| w * d)
                .sum();
            first.is_multiple_of(11) && second.is_multiple_of(11)
        })
    }

    fn number(six: &str) -> String {
        (100..999)
            .find_map(|individual| complete(&format!("{six}{individual}")))
            .unwrap()
    }

    #[test]
    fn every_series_in_every_spelling_is_masked() {
        // Ordinary, D, H, test + 80, test + 65, D and test, leap day, FH without a date.
        for six in [
            "010190", "410190", "014190", "018190", "016690", "418190", "290204", "899999",
            "950000",
        ] {
            let number = number(six);
            let (date, rest) = number.split_at(6);
            let (day, month, year) = (&date[..2], &date[2..4], &date[4..]);
            let spellings = [
                number.clone(),
                format!("{date} {rest}"),
                format!("{date}-{rest}"),
                format!("{day}.{month}.{year} {rest}"),
                format!("{day} {month} {year} {} {}", &rest[..3], &rest[3..]),
                format!("{date}\u{a0}{rest}"),
                format!("{date} - {rest}"),
                format!("{date}\n{rest}"),
                format!("{date}\u{200b}{rest}"),
                format!("{day}. {month}. {year}  {rest}"),
            ];
            for spelling in spellings {
                assert_eq!(
                    mask(&format!("fnr {spelling}, født")),
                    format!("fnr {MASK}, født"),
                    "{six}"
                );
                assert_eq!(mask(&format!("fnr{spelling}.")), format!("fnr{MASK}."));
            }
        }
    }

    proptest::proptest! {
        /// Whatever the series, the spelling and what stands around it: the number goes, the rest stays.
        #[test]
        fn every_number_in_any_text_is_masked(
            (day, month, year) in (1_u32..=28, 1_u32..=12, 0_u32..100),
            (d_number, series) in (proptest::bool::ANY, proptest::sample::select(vec![0_u32, 40, 65, 80])),
            individual in 0_u32..1000,
            gaps in proptest::collection::vec(proptest::sample::select(vec!["", "", "", " ", ".", "-", "\u{a0}", " - "]), 10),
            before in "[^0-9]{0,20}",
            after in "[^0-9]{0,20}",
        ) {
            let day = day + if d_number { 40 } else { 0 };
            let nine = format!("{day:02}{:02}{year:02}{individual:03}", month + series);
            // About one in six has no pair of check digits by the older rules.
            if let Some(number) = complete(&nine) {
                let mut spelled = String::new();
                for (digit, gap) in number.chars().zip(gaps.iter().chain([&""])) {
                    spelled.push(digit);
                    spelled.push_str(gap);
                }
                let masked = mask(&format!("{before}{spelled}{after}"));
                proptest::prop_assert_eq!(&masked, &format!("{before}{MASK}{after}"));
                proptest::prop_assert_eq!(mask(&masked), masked);
            }
        }

        /// Figures that fail a check are left, and masking twice is masking once.
        #[test]
        fn other_figures_stay(text in "[0-9 .\n-]{0,60}") {
            let masked = mask(&text);
            proptest::prop_assert_eq!(mask(&masked), masked.clone());
            let figures = |text: &str| text.chars().filter(char::is_ascii_digit).count();
            let stars = masked.matches(MASK).count();
            proptest::prop_assert_eq!(figures(&text), figures(&masked) + 11 * stars);
        }
    }

    #[test]
    fn numbers_of_2032_may_leave_up_to_three_in_the_first_control() {
        let rest = |number: &str| {
            let weights = [3, 7, 6, 1, 8, 9, 4, 5, 2, 1];
            weights
                .iter()
                .zip(number.chars().filter_map(|c| c.to_digit(10)))
                .map(|(w, d)| w * d)
                .sum::<u32>()
                % 11
        };
        let valid = |number: &str| {
            has_check_digits(
                &number
                    .chars()
                    .filter_map(|c| c.to_digit(10))
                    .collect::<Vec<_>>(),
            )
        };
        let mut seen = [false; 11];
        for last in 0..100_000_u32 {
            let number = format!("010132{last:05}");
            if valid(&number) {
                seen[rest(&number) as usize] = true;
            }
        }
        assert_eq!(
            seen,
            [
                true, true, true, true, false, false, false, false, false, false, false
            ]
        );
    }

    #[test]
    fn other_numbers_are_left() {
        let valid = number("010190");
        let mut wrong = valid.clone();
        let last = wrong.pop().unwrap();
        wrong.push(if last == '9' { '0' } else { '9' });
        for text in [
            wrong.as_str(),
            "KID 0088214000417",
            "tlf 69 86 00 00",
            "faktura 40117522",
            "01.02.2026 12:30",
            &format!("{valid}5"),
            &format!("5{valid}"),
            "SAK-2026-000123",
            "",
            "æøå",
        ] {
            assert_eq!(mask(text), text);
        }
        assert_eq!(
            mask(&format!("{valid} og {valid}")),
            format!("{MASK} og {MASK}")
        );
    }

    #[test]
    fn a_number_behind_another_number_is_found() {
        let valid = number("010190");
        assert_eq!(
            mask(&format!("tlf 91 23 45 67 {valid}")),
            format!("tlf 91 23 45 67 {MASK}")
        );
    }
}
