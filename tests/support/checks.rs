//! What must be true after every run, as the program's own lists tell it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test program uses a part of it"
)]

use serde_json::Value;

/// How many messages have this outcome.
pub fn count(messages: &[Value], outcome: &str) -> usize {
    messages
        .iter()
        .filter(|row| row["outcome"] == outcome)
        .count()
}

/// Exactly one of: in a case, left alone with a reason, a copy of another.
pub fn each_message_has_one_outcome(messages: &[Value]) {
    for row in messages {
        let (case, reason, original) = (
            !row["case"].is_null(),
            row["reason"] != "",
            !row["duplicate_of"].is_null(),
        );
        let expected = match row["outcome"].as_str().unwrap() {
            "opened" | "joined" => (true, false, false),
            "left-alone" => (false, true, false),
            "duplicate" => (false, false, true),
            other => panic!("outcome {other}: {row}"),
        };
        assert_eq!((case, reason, original), expected, "{row}");
    }
}

/// Every case was opened by one message, and the numbers are 1, 2, … of one year.
pub fn numbers_have_no_gap(cases: &[Value], messages: &[Value]) {
    let year = jiff::Timestamp::now().in_tz("Europe/Oslo").unwrap().year();
    let numbers: Vec<&str> = cases
        .iter()
        .map(|case| case["case"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (1..=cases.len())
        .map(|number| format!("SAK-{year}-{number:06}"))
        .collect();
    assert_eq!(numbers, expected);
    let mut opened: Vec<&str> = messages
        .iter()
        .filter(|row| row["outcome"] == "opened")
        .map(|row| row["case"].as_str().unwrap())
        .collect();
    opened.sort_unstable();
    assert_eq!(opened, numbers);
}

/// One acknowledgement, or the reason why there is none.
pub fn each_case_has_one_acknowledgement_decision(cases: &[Value], outbox: &[Value]) {
    for case in cases {
        let rows = outbox
            .iter()
            .filter(|row| row["case"] == case["case"] && row["kind"] == "kvittering")
            .count();
        let why_not = case["acknowledgement"]["why_not"].as_str();
        match rows {
            1 => assert_eq!(case["acknowledgement"], "queued", "{case}"),
            0 => assert!(why_not.is_some_and(|why_not| !why_not.is_empty()), "{case}"),
            more => panic!("{more} acknowledgements: {case}"),
        }
    }
}
