//! When to try again, and when a person has to look. Pure: time and randomness are arguments.

/// Milliseconds.
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Pause after the first, second, … attempt that failed for the time being; the last one repeats.
const PAUSES_MS: [i64; 7] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    4 * HOUR_MS,
];

/// A mail that could not be sent for so long is shown to a person.
pub const GIVE_UP_AFTER_MS: i64 = 3 * 24 * HOUR_MS;

/// Pause before the one further attempt after an unknown outcome.
pub const UNKNOWN_PAUSE_MS: i64 = 30 * MINUTE_MS;

/// No pause is longer. What is to be tried later than that was planned when the clock was wrong.
pub const FURTHEST_MS: i64 = 5 * HOUR_MS;

/// A pause is lengthened by up to this part of itself, so that mails that failed together do not come back together.
const JITTER_PARTS: i64 = 4;

/// What happens next to a mail whose attempt did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again at this time, in Unix milliseconds.
    At(i64),
    /// Do not try again by itself; show it to a person.
    Person,
}

/// After an attempt that failed for the time being. `attempts` counts those made so far, `first_ms` is the time of the
/// first one, `random` any random number.
pub fn after_temporary(attempts: u32, first_ms: i64, now_ms: i64, random: u64) -> Next {
    let elapsed = now_ms.saturating_sub(first_ms);
    if elapsed >= GIVE_UP_AFTER_MS {
        return Next::Person;
    }
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = PAUSES_MS
        .get(step)
        .or(PAUSES_MS.last())
        .copied()
        .unwrap_or(HOUR_MS);
    // The last attempt falls on the limit, not after it.
    let pause = pause
        .saturating_add(jitter(pause, random))
        .min(GIVE_UP_AFTER_MS.saturating_sub(elapsed.max(0)));
    Next::At(now_ms.saturating_add(pause.max(MINUTE_MS)))
}

/// After an attempt whose outcome is unknown: one more with the same bytes, then a person. `unknown_attempts` counts the
/// attempts of unknown outcome so far, this one included.
pub const fn after_unknown(unknown_attempts: u32, now_ms: i64) -> Next {
    if unknown_attempts <= 1 {
        Next::At(now_ms.saturating_add(UNKNOWN_PAUSE_MS))
    } else {
        Next::Person
    }
}

fn jitter(pause_ms: i64, random: u64) -> i64 {
    let range =
        u64::try_from(pause_ms.checked_div(JITTER_PARTS).unwrap_or_default()).unwrap_or_default();
    random
        .checked_rem(range.max(1))
        .and_then(|part| i64::try_from(part).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_grow_to_four_hours() {
        let pauses: Vec<i64> = (1..=9)
            .map(|attempts| match after_temporary(attempts, 0, 0, 0) {
                Next::At(at) => at / MINUTE_MS,
                Next::Person => panic!("too early"),
            })
            .collect();
        assert_eq!(pauses, [1, 5, 15, 30, 60, 120, 240, 240, 240]);
    }

    #[test]
    fn three_days_and_then_a_person() {
        let (mut now, mut attempts) = (1_000_000, 1);
        let first = now;
        while let Next::At(at) = after_temporary(attempts, first, now, u64::MAX) {
            assert!(at > now);
            now = at;
            attempts += 1;
            assert!(attempts < 100, "it must end");
        }
        assert!(
            (GIVE_UP_AFTER_MS..GIVE_UP_AFTER_MS + HOUR_MS).contains(&(now - first)),
            "{}",
            now - first
        );
    }

    #[test]
    fn unknown_outcome_once_more() {
        assert_eq!(after_unknown(1, 5), Next::At(5 + 30 * MINUTE_MS));
        assert_eq!(after_unknown(2, 5), Next::Person);
    }

    proptest! {
        #[test]
        fn never_in_the_past_nor_beyond_five_hours(attempts: u32, first: i64, now in 0..i64::MAX / 2, random: u64) {
            if let Next::At(at) = after_temporary(attempts, first, now, random) {
                prop_assert!(at >= now + MINUTE_MS && at <= now + FURTHEST_MS);
            }
        }
    }
}
