//! The day of an event as people write it in a form → a day, where it can be only one. Pure.

use crate::expression::with_groups;
use jiff::ToSpan;
use jiff::civil::Date;
use regex::Regex;
use std::sync::LazyLock;

/// A day without a year is the last such day before the report, unless that is longer ago.
const WITHOUT_YEAR_DAYS: i64 = 183;
/// An event longer ago is more likely a slip of the pen, or a date of birth.
const YEARS_MAX: i32 = 5;

/// The day that the text names, for a report that was received on `received`: «13.4.26», «mandag 13. april», «13/4»,
/// «2026-04-13 kl. 14.50». `None` when it names none, more than one, a span of days, one after the report or one that is
/// long past.
pub(super) fn event_day(text: &str, received: Date) -> Option<Date> {
    let text = TIME.replace_all(text, " ").to_lowercase();
    let mut found: Option<Date> = None;
    let mut with_year = false;
    for spot in DAY.captures_iter(&text) {
        let part = |name: &str| spot.name(name).map(|part| part.as_str());
        let written = year(part("y").or_else(|| part("ny")).or_else(|| part("iy")));
        // «13.4.2026 08.10»: what looks like a time behind a whole date is one.
        if with_year && written.is_none() && part("month").is_none() {
            continue;
        }
        // «12.–13.4.», «2-3.4.2026»
        let end = spot.get(0).map_or(text.len(), |spot| spot.end());
        let goes_on = text.get(end..).is_some_and(|rest| {
            rest.strip_prefix(['.', '/', '-'])
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        if goes_on || part("upto").is_some() {
            return None;
        }
        let day = part("d").or_else(|| part("nd")).or_else(|| part("id"))?;
        let month = match part("month") {
            Some(name) => month(name)?,
            None => part("m").or_else(|| part("im"))?.parse().ok()?,
        };
        let date = dated(written, month, day.parse().ok()?, received)?;
        if found.is_some_and(|known| known != date) {
            return None;
        }
        found = Some(date);
        with_year |= written.is_some();
    }
    let earliest = received.checked_sub(YEARS_MAX.years()).ok()?;
    found.filter(|day| (earliest..=received).contains(day))
}

/// Four digits, or two of this century.
fn year(text: Option<&str>) -> Option<i16> {
    let text = text?;
    let number: i16 = text.parse().ok()?;
    if text.len() == 2 {
        number.checked_add(2000)
    } else {
        Some(number)
    }
}

fn dated(year: Option<i16>, month: i8, day: i8, received: Date) -> Option<Date> {
    if let Some(year) = year {
        return Date::new(year, month, day).ok();
    }
    let this_year = Date::new(received.year(), month, day)
        .ok()
        .filter(|date| *date <= received);
    let date = match this_year {
        Some(date) => date,
        None => Date::new(received.year().checked_sub(1)?, month, day).ok()?,
    };
    let earliest = received.checked_sub(WITHOUT_YEAR_DAYS.days()).ok()?;
    (date >= earliest).then_some(date)
}

fn month(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "mai", "jun", "jul", "aug", "sep", "okt", "nov", "des",
    ];
    MONTHS
        .iter()
        .zip(1..)
        .find(|(beginning, _)| name.starts_with(**beginning))
        .map(|(_, number)| number)
}

/// Times of day, which look like days and months.
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    with_groups(
        r"(?ix) \b(?:kl(?:okken|okka|okkeslett)?\b\.?|ca\.?\ kl\.?)\s*\d{1,2}(?:[.:]?\d{2})?\b | \b\d{1,2}:\d{2}(?::\d{2})?\b",
    )
});

/// `upto`: the first day of a span stands before it.
static DAY: LazyLock<Regex> = LazyLock::new(|| {
    with_groups(
        r"(?x)
        \b(?P<iy>\d{4})-(?P<im>\d{1,2})-(?P<id>\d{1,2})\b
        | (?P<upto>\b\d{1,2}(?:(?:\.\s*|\s+)-|\.?\s*(?:–|til\b|og\b))\s*)?
          (?:
            \b(?P<nd>\d{1,2})\.?\s*(?P<month>(?:januar|februar|mars|april|mai|juni|juli|august|september|oktober|november|desember)\b|(?:jan|feb|mar|apr|jun|jul|aug|sept?|okt|nov|des)\b\.?)(?:\s*,?\s*(?P<ny>\d{4})\b)?
            | \b(?P<d>\d{1,2})[./-]\s?(?P<m>\d{1,2})\b(?:[./\x20-]{1,2}(?P<y>\d{4}|\d{2})\b)?
          )",
    )
});

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn days_as_people_write_them() {
        for (text, expected) in [
            ("13.4.26", "2026-04-13"),
            ("13.04.2026", "2026-04-13"),
            ("13/4-26", "2026-04-13"),
            ("13/4 2026", "2026-04-13"),
            ("13-04-2026", "2026-04-13"),
            ("13-04-26", "2026-04-13"),
            ("2026-04-13", "2026-04-13"),
            ("13. 4. 2026", "2026-04-13"),
            ("13.4", "2026-04-13"),
            ("13/4", "2026-04-13"),
            ("mandag 13. april", "2026-04-13"),
            ("Mandag 13. April 2026", "2026-04-13"),
            ("måndag 13 apr. 2026, om natta", "2026-04-13"),
            ("tir. 24. feb. 2026 kl. 22:17", "2026-02-24"),
            ("13.04.2026 kl. 10.05", "2026-04-13"),
            ("13.04.2026 08.10", "2026-04-13"),
            ("kl 0210, 13.4.26", "2026-04-13"),
            ("13.4.26 (natt til 13.4)", "2026-04-13"),
            ("28. desember", "2025-12-28"),
            ("29.2.2024", "2024-02-29"),
            ("1. mai 2025", "2025-05-01"),
        ] {
            let found = event_day(text, date(2026, 4, 15)).map(|day| day.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_can_be_more_than_one_day_is_none() {
        for text in [
            "",
            "i går",
            "uke 15",
            "april 2026",
            "12.-13.4.2026",
            "12.–13. april",
            "2-3.4.2026",
            "12-13.4.2026",
            "12.4.2026-13.4.2026",
            "12. og 13. april 2026",
            "10.4.26 og 12.4.26",
            "10.04 og 12.04.2026",
            "fra 10. april til 12. april",
            "4/13/2026",
            "31.2.2026",
            "16.4.2026",
            "20. april",
            "13.4.58",
            "3.5.1958",
            "30. februar",
            "kl. 10.05",
            "0.0.0",
            "99999999999999999999.4",
        ] {
            assert_eq!(event_day(text, date(2026, 4, 15)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_day_of_the_last_months_is_read_back(back in 0_i64..180, form in 0_usize..5) {
            let received = date(2026, 4, 15);
            let day = received.checked_sub(back.days()).unwrap();
            let (y, m, d) = (day.year(), day.month(), day.day());
            let text = match form {
                0 => format!("{d}.{m}.{y}"),
                1 => format!("{d:02}.{m:02}.{:02}", y % 100),
                2 => format!("{y}-{m:02}-{d:02}"),
                3 => format!("{d}/{m}"),
                _ => format!("{d}/{m}-{y} kl. 11.12"),
            };
            prop_assert_eq!(event_day(&text, received), Some(day), "{}", text);
        }

        #[test]
        fn any_text_is_looked_at(text in "[0-9 ./:-]{0,30}|\\PC{0,30}") {
            if let Some(day) = event_day(&text, date(2026, 4, 15)) {
                prop_assert!(day <= date(2026, 4, 15));
            }
        }
    }
}
