//! Days in Norway: Europe/Oslo across summer time, public holidays, due days and the hour of the reminder. Pure.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Calendar days that a party has to answer, counted from the day of receipt.
pub const ANSWER_DAYS: i32 = 30;

/// Calendar days that a party has at least had the case before it is reminded.
pub const REMINDER_AFTER_SENT_DAYS: i32 = 14;

/// Days that are looked at for the next working day: more than any run of holidays and closed days.
const SEARCH_MAX: usize = 400;

/// Working days: Monday to Friday without public holidays and without the closed days of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calendar {
    yearly: BTreeSet<(i8, i8)>,
    once: BTreeSet<Date>,
}

/// A closed day that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Neither `MM-DD` nor `YYYY-MM-DD`, or no such day.
    #[error("«{0}» er ikke en dag; skriv MM-DD (hvert år) eller YYYY-MM-DD")]
    BadDay(String),
    /// Nothing is left to send a reminder on.
    #[error("alle dager i året er stengt")]
    AlwaysClosed,
}

impl Calendar {
    /// A calendar with further closed days, `MM-DD` every year or `YYYY-MM-DD` once.
    ///
    /// # Errors
    /// [`CalendarError::BadDay`] for the first text that is no day; `02-29` is one.
    pub fn new(closed_days: &[String]) -> Result<Self, CalendarError> {
        let mut calendar = Self::default();
        for text in closed_days {
            match closed_day(text) {
                Some(ClosedDay::Yearly(month, day)) => {
                    calendar.yearly.insert((month, day));
                }
                Some(ClosedDay::Once(date)) => {
                    calendar.once.insert(date);
                }
                None => return Err(CalendarError::BadDay(text.clone())),
            }
        }
        // A leap year has every day there is.
        let start = Date::constant(2028, 1, 1);
        let mut days = start.series(1.day()).take(366);
        if days.all(|day| calendar.yearly.contains(&(day.month(), day.day()))) {
            return Err(CalendarError::AlwaysClosed);
        }
        Ok(calendar)
    }

    /// Monday to Friday, no public holiday, not closed.
    pub fn is_working_day(&self, day: Date) -> bool {
        !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
            && !self.yearly.contains(&(day.month(), day.day()))
            && !self.once.contains(&day)
            && holiday_name(day).is_none()
    }

    /// The day itself if it is a working day, else the next one. Where 400 days in a row are closed, the day itself: a
    /// reminder on a closed day is better than none.
    pub fn first_working_day_at_or_after(&self, day: Date) -> Date {
        day.series(1.day())
            .take(SEARCH_MAX)
            .find(|candidate| self.is_working_day(*candidate))
            .unwrap_or(day)
    }

    /// When the one reminder goes out, in Unix milliseconds: the first working day at or after the due day and the day
    /// sent + 14, at `hour` in Europe/Oslo.
    pub fn reminder_at(&self, due: Date, sent: Date, hour: i8) -> i64 {
        let earliest = due.max(plus_days(sent, REMINDER_AFTER_SENT_DAYS));
        oslo_at(self.first_working_day_at_or_after(earliest), hour)
    }
}

/// The day in Europe/Oslo of a Unix time in milliseconds.
pub fn oslo_day(ms: i64) -> Date {
    let instant = Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    oslo().to_datetime(instant).date()
}

/// The time of day in Europe/Oslo of a Unix time in milliseconds, as people write it: «kl. 08.05».
pub fn oslo_clock(ms: i64) -> String {
    let instant = Timestamp::from_millisecond(ms).unwrap_or_default();
    let time = oslo().to_datetime(instant).time();
    format!("kl. {:02}.{:02}", time.hour(), time.minute())
}

/// The year in Europe/Oslo of a Unix time in milliseconds.
pub fn oslo_year(ms: i64) -> i16 {
    oslo_day(ms).year()
}

/// Unix milliseconds of a full hour (0 to 23, others are moved inside) in Europe/Oslo. An hour that summer time skips
/// becomes the one after it; of an hour that comes twice the first is taken.
pub fn oslo_at(day: Date, hour: i8) -> i64 {
    let time = Time::new(hour.clamp(0, 23), 0, 0, 0).unwrap_or(Time::midnight());
    oslo_ms(day.to_datetime(time))
}

/// Unix milliseconds of a time in Europe/Oslo, chosen in the same way.
pub fn oslo_ms(local: DateTime) -> i64 {
    oslo()
        .to_ambiguous_zoned(local)
        .compatible()
        .map_or_else(|_| Timestamp::MAX, |zoned| zoned.timestamp())
        .as_millisecond()
}

/// The day of receipt + 30 calendar days.
pub fn due_day(received: Date) -> Date {
    plus_days(received, ANSWER_DAYS)
}

/// Easter Sunday (Meeus, Jones and Butcher's rule for the Gregorian calendar).
#[expect(
    clippy::arithmetic_side_effects,
    reason = "no term comes near the limits of i32 for any i16 year, and no divisor is zero"
)]
pub fn easter(year: i16) -> Date {
    let in_year = i32::from(year);
    let golden = in_year.rem_euclid(19);
    let (century, rest) = (in_year.div_euclid(100), in_year.rem_euclid(100));
    let correction = (century + 8).div_euclid(25);
    let moon = (century - correction + 1).div_euclid(3);
    let epact = (19 * golden + century - century.div_euclid(4) - moon + 15).rem_euclid(30);
    let weekday =
        (32 + 2 * century.rem_euclid(4) + 2 * (rest / 4) - epact - rest % 4).rem_euclid(7);
    let late = (golden + 11 * epact + 22 * weekday) / 451;
    let days = epact + weekday - 7 * late + 114;
    let month = i8::try_from(days / 31).unwrap_or_default();
    let day = i8::try_from(days % 31 + 1).unwrap_or_default();
    let sunday = Date::new(year, month, day);
    debug_assert!(sunday.is_ok(), "Easter is a day of every year");
    sunday.unwrap_or(Date::ZERO)
}

/// The public holidays of a year, in order, with their Norwegian names. Two of them may fall on one day.
pub fn public_holidays(year: i16) -> Vec<(Date, &'static str)> {
    let sunday = easter(year);
    let fixed = [
        (1, 1, "1. nyttårsdag"),
        (5, 1, "1. mai"),
        (5, 17, "17. mai"),
        (12, 25, "1. juledag"),
        (12, 26, "2. juledag"),
    ];
    let moving = [
        (-3, "skjærtorsdag"),
        (-2, "langfredag"),
        (0, "1. påskedag"),
        (1, "2. påskedag"),
        (39, "Kristi himmelfartsdag"),
        (49, "1. pinsedag"),
        (50, "2. pinsedag"),
    ];
    let mut days: Vec<(Date, &'static str)> = fixed
        .into_iter()
        .filter_map(|(month, day, name)| Some((Date::new(year, month, day).ok()?, name)))
        .chain(
            moving
                .into_iter()
                .map(|(days, name)| (plus_days(sunday, days), name)),
        )
        .collect();
    days.sort_unstable();
    days
}

/// The Norwegian name of the public holiday that falls on a day.
pub fn holiday_name(day: Date) -> Option<&'static str> {
    public_holidays(day.year())
        .into_iter()
        .find(|(holiday, _)| *holiday == day)
        .map(|(_, name)| name)
}

/// A day as people read it: «3. mars 2026», in bokmål and nynorsk alike.
pub fn day_in_words(day: Date) -> String {
    let month = match day.month() {
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
    };
    format!("{}. {month} {}", day.day(), day.year())
}

/// Whole days from `from` to `to`; negative when `to` is earlier.
pub fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// A closed day as the settings write it.
enum ClosedDay {
    Yearly(i8, i8),
    Once(Date),
}

fn closed_day(text: &str) -> Option<ClosedDay> {
    let digits = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = text.trim().split('-').collect();
    match *parts.as_slice() {
        [month, day] if digits(month, 2) && digits(day, 2) => {
            let (month, day) = (month.parse().ok()?, day.parse().ok()?);
            // 2028 is a leap year: 29 February is a day that comes, if not every year.
            Date::new(2028, month, day).ok()?;
            Some(ClosedDay::Yearly(month, day))
        }
        [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => {
            let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
            Some(ClosedDay::Once(date.ok()?))
        }
        _ => None,
    }
}

/// Europe/Oslo from the bundled time zone database.
fn oslo() -> TimeZone {
    let zone = TimeZone::get("Europe/Oslo");
    debug_assert!(zone.is_ok(), "the time zone database is bundled");
    zone.unwrap_or(TimeZone::UTC)
}

fn plus_days(day: Date, days: i32) -> Date {
    day.checked_add(i64::from(days).days()).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn easter_2024_to_2038() {
        // Church calendar of the Church of Norway.
        for (year, month, day) in [
            (2024, 3, 31),
            (2025, 4, 20),
            (2026, 4, 5),
            (2027, 3, 28),
            (2028, 4, 16),
            (2029, 4, 1),
            (2030, 4, 21),
            (2031, 4, 13),
            (2032, 3, 28),
            (2033, 4, 17),
            (2034, 4, 9),
            (2035, 3, 25),
            (2036, 4, 13),
            (2037, 4, 5),
            (2038, 4, 25),
        ] {
            assert_eq!(easter(year), date(year, month, day), "{year}");
        }
    }

    #[test]
    fn holidays_of_2026() {
        assert_eq!(
            public_holidays(2026),
            [
                (date(2026, 1, 1), "1. nyttårsdag"),
                (date(2026, 4, 2), "skjærtorsdag"),
                (date(2026, 4, 3), "langfredag"),
                (date(2026, 4, 5), "1. påskedag"),
                (date(2026, 4, 6), "2. påskedag"),
                (date(2026, 5, 1), "1. mai"),
                (date(2026, 5, 14), "Kristi himmelfartsdag"),
                (date(2026, 5, 17), "17. mai"),
                (date(2026, 5, 24), "1. pinsedag"),
                (date(2026, 5, 25), "2. pinsedag"),
                (date(2026, 12, 25), "1. juledag"),
                (date(2026, 12, 26), "2. juledag"),
            ]
        );
    }

    #[test]
    fn reminders() {
        let calendar = Calendar::new(&["12-24".into(), "12-31".into(), "2026-04-01".into()]);
        let calendar = calendar.unwrap();
        let table = "
            2026-02-12 2026-01-13 2026-02-12T07:00:00Z an ordinary Thursday
            2026-02-14 2026-01-15 2026-02-16T07:00:00Z a Saturday
            2026-04-03 2026-03-04 2026-04-07T06:00:00Z Good Friday
            2026-04-01 2026-03-02 2026-04-07T06:00:00Z a closed day before Easter
            2026-05-01 2026-04-01 2026-05-04T06:00:00Z 1 May, a Friday
            2025-05-01 2025-04-01 2025-05-02T06:00:00Z 1 May, a Thursday
            2026-03-29 2026-02-27 2026-03-30T06:00:00Z the Sunday when summer time begins
            2026-03-27 2026-02-25 2026-03-27T07:00:00Z the Friday before it begins
            2026-10-25 2026-09-25 2026-10-26T07:00:00Z the Sunday when summer time ends
            2026-10-23 2026-09-23 2026-10-23T06:00:00Z the Friday before it ends
            2026-12-24 2026-11-24 2026-12-28T07:00:00Z Christmas Eve, closed, a Thursday
            2026-12-31 2026-12-01 2027-01-04T07:00:00Z New Year's Eve, closed
            2027-01-01 2026-12-02 2027-01-04T07:00:00Z New Year's Day
            2026-05-17 2026-04-17 2026-05-18T06:00:00Z 17 May, a Sunday
            2026-02-12 2026-02-11 2026-02-25T07:00:00Z approved on day 29
            2026-02-12 2026-03-20 2026-04-07T06:00:00Z sent long after the due day
            2026-02-12 2026-01-29 2026-02-12T07:00:00Z sent exactly 14 days before";
        for row in table.lines().skip(1) {
            let mut words = row.split_whitespace();
            let mut day = || words.next().unwrap().parse::<Date>().unwrap();
            let (due, sent) = (day(), day());
            let at = words.next().unwrap();
            assert_eq!(calendar.reminder_at(due, sent, 8), ms(at), "{row}");
        }
    }

    #[test]
    fn working_days() {
        let calendar = Calendar::new(&["12-24".into(), "2026-08-14".into(), "02-29".into()]);
        let calendar = calendar.unwrap();
        for (day, working) in [
            (date(2026, 3, 2), true),
            (date(2026, 3, 1), false),
            (date(2026, 8, 14), false),
            (date(2025, 8, 14), true),
            (date(2025, 12, 24), false),
            (date(2026, 12, 24), false),
            (date(2026, 12, 23), true),
            (date(2028, 2, 29), false),
            (date(2025, 6, 9), false),
        ] {
            assert_eq!(calendar.is_working_day(day), working, "{day}");
        }
    }

    #[test]
    fn bad_closed_days() {
        for bad in [
            "",
            "24.12",
            "13-01",
            "02-30",
            "2026-02-29",
            "1-1",
            "12-24-2026",
            "+1-02",
            "julaften",
        ] {
            let error = Calendar::new(&[bad.to_owned()]).unwrap_err();
            assert_eq!(error, CalendarError::BadDay(bad.to_owned()));
        }
        let all: Vec<String> = (1..=12)
            .flat_map(|month| (1..=31).map(move |day| (month, day)))
            .filter(|(month, day)| Date::new(2028, *month, *day).is_ok())
            .map(|(month, day)| format!("{month:02}-{day:02}"))
            .collect();
        assert_eq!(Calendar::new(&all), Err(CalendarError::AlwaysClosed));
        assert!(Calendar::new(&all[1..]).is_ok());
    }

    #[test]
    fn days_and_years_in_oslo() {
        for (at, day) in [
            ("2025-12-31T22:59:59Z", date(2025, 12, 31)),
            ("2025-12-31T23:00:00Z", date(2026, 1, 1)),
            ("2026-06-30T21:59:59Z", date(2026, 6, 30)),
            ("2026-06-30T22:00:00Z", date(2026, 7, 1)),
            ("2026-03-29T00:30:00Z", date(2026, 3, 29)),
            ("1969-12-31T23:30:00Z", date(1970, 1, 1)),
        ] {
            assert_eq!(oslo_day(ms(at)), day, "{at}");
            assert_eq!(oslo_year(ms(at)), day.year(), "{at}");
        }
    }

    #[test]
    fn hours_that_are_skipped_or_come_twice() {
        for (day, hour, at) in [
            (date(2026, 3, 29), 1, "2026-03-29T00:00:00Z"),
            (date(2026, 3, 29), 2, "2026-03-29T01:00:00Z"),
            (date(2026, 3, 29), 3, "2026-03-29T01:00:00Z"),
            (date(2026, 10, 25), 1, "2026-10-24T23:00:00Z"),
            (date(2026, 10, 25), 2, "2026-10-25T00:00:00Z"),
            (date(2026, 10, 25), 3, "2026-10-25T02:00:00Z"),
            (date(2026, 3, 2), 99, "2026-03-02T22:00:00Z"),
        ] {
            assert_eq!(oslo_at(day, hour), ms(at), "{day} {hour}");
        }
    }

    #[test]
    fn due_days() {
        assert_eq!(due_day(date(2026, 3, 2)), date(2026, 4, 1));
        assert_eq!(due_day(date(2026, 1, 30)), date(2026, 3, 1));
        assert_eq!(due_day(date(2027, 12, 15)), date(2028, 1, 14));
        assert_eq!(days_between(date(2026, 12, 20), date(2027, 2, 1)), 43);
        assert_eq!(days_between(date(2026, 3, 2), date(2026, 2, 28)), -2);
    }

    #[test]
    fn days_in_words() {
        assert_eq!(day_in_words(date(2026, 3, 3)), "3. mars 2026");
        assert_eq!(day_in_words(date(2026, 12, 31)), "31. desember 2026");
    }

    #[test]
    fn easter_is_a_sunday_between_22_march_and_25_april() {
        for year in -9998..=9999 {
            let day = easter(year);
            assert_eq!(day.weekday(), Weekday::Sunday, "{year}");
            assert!(
                day >= date(year, 3, 22) && day <= date(year, 4, 25),
                "{year}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_reminder_never_comes_before_the_due_day(due in 0i64..40_000, sent in 0i64..40_000, hour in 0i8..24) {
            let day = |days: i64| date(1970, 1, 1).checked_add(days.days()).unwrap();
            let (due, sent) = (day(due), day(sent));
            let at = oslo_day(Calendar::default().reminder_at(due, sent, hour));
            prop_assert!(at >= due && days_between(sent, at) >= 14);
            prop_assert!(Calendar::default().is_working_day(at));
            prop_assert!(days_between(due.max(plus_days(sent, 14)), at) <= 6);
        }

        #[test]
        fn any_time_has_a_day(at in any::<i64>()) {
            let _ = oslo_year(at);
        }
    }
}
