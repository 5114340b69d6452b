//! The one reminder: when it goes out, and that there is never a second one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "support/house.rs"]
mod house;

use house::{FASTLEGE, House, MEDISIN, morning};
use linjevei::calendar::oslo_at;
use linjevei::case::person::Order;
use linjevei::case::{Reminder, State};

/// Chases every hour from the first day to the last and gives the days (and hours) on which a reminder was queued.
async fn reminders_between(house: &House, first: &str, last: &str) -> Vec<String> {
    let mut queued = Vec::new();
    let mut now = oslo_at(first.parse().unwrap(), 0);
    let end = oslo_at(last.parse().unwrap(), 23);
    while now <= end {
        house.clock.set(now);
        let before = house.count("purring").await;
        house.chase().await;
        if house.count("purring").await > before {
            let moment = jiff::Timestamp::from_millisecond(now)
                .unwrap()
                .in_tz("Europe/Oslo")
                .unwrap();
            queued.push(moment.strftime("%Y-%m-%d %H").to_string());
        }
        now += 3_600_000;
    }
    queued
}

async fn sent_on(day: &str) -> House {
    let mut house = House::on(day).await;
    let case = house.report("avviksmelding medisinsak").await;
    assert_eq!(case.state, State::Sent);
    house
}

#[tokio::test]
async fn due_on_good_friday_goes_out_after_easter() {
    // 4 March + 30 days = Good Friday 3 April 2026; Monday is a holiday too.
    let house = sent_on("2026-03-04").await;
    assert_eq!(
        reminders_between(&house, "2026-03-30", "2026-05-20").await,
        ["2026-04-07 08"]
    );
}

#[tokio::test]
async fn due_on_the_first_of_may_goes_out_on_the_next_working_day() {
    // 1 April + 30 days = Friday 1 May 2026.
    let house = sent_on("2026-04-01").await;
    assert_eq!(
        reminders_between(&house, "2026-04-28", "2026-06-10").await,
        ["2026-05-04 08"]
    );
}

#[tokio::test]
async fn due_on_the_sunday_of_the_summer_time_change_goes_out_at_eight_by_the_wall_clock() {
    // 27 February + 30 days = Sunday 29 March 2026, on which summer time begins.
    let house = sent_on("2026-02-27").await;
    assert_eq!(
        reminders_between(&house, "2026-03-27", "2026-04-20").await,
        ["2026-03-30 08"]
    );
    // 25 September + 30 days = Sunday 25 October 2026, on which it ends.
    let house = sent_on("2026-09-25").await;
    assert_eq!(
        reminders_between(&house, "2026-10-23", "2026-11-20").await,
        ["2026-10-26 08"]
    );
}

#[tokio::test]
async fn a_worker_that_was_off_for_ten_weeks_catches_up_with_one_reminder_each() {
    let mut house = House::on("2026-03-02").await;
    for _ in 0..5 {
        house.report("avviksmelding medisinsak").await;
    }
    house.go_to("2026-05-11");
    assert_eq!(house.chase().await.len(), 5);
    assert_eq!(house.count("purring").await, 5);
    house.go_to("2026-07-20");
    assert_eq!(house.chase().await.len(), 0);
    assert_eq!(house.count("purring").await, 5);
    // What it says is true on the day it goes out.
    let reminder = house
        .sent()
        .into_iter()
        .rev()
        .find(|mail| mail.subject.contains("Påminnelse"))
        .unwrap();
    let text = linjevei::message::report_text(&reminder);
    assert!(text.contains("1. april 2026"), "{text}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_and_forth_makes_no_second_reminder() {
    let house = sent_on("2026-03-02").await;
    house.go_to("2026-04-07");
    house.chase().await;
    assert_eq!(house.count("purring").await, 1);
    for day in [
        "2026-03-01",
        "2026-04-07",
        "2025-01-01",
        "2027-01-01",
        "2026-04-07",
    ] {
        house.go_to(day);
        house.chase().await;
    }
    assert_eq!(house.count("purring").await, 1);
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_at_the_wrong_moment_does_not_remind_early() {
    let house = sent_on("2026-03-02").await;
    house.go_to("2025-03-02");
    assert!(house.chase().await.is_empty());
    house.go_to("2026-03-31");
    assert!(
        house.chase().await.is_empty(),
        "one day before the due date"
    );
}

#[tokio::test]
async fn answered_one_minute_before_there_is_no_reminder() {
    let mut house = sent_on("2026-03-02").await;
    house
        .clock
        .set(oslo_at("2026-04-01".parse().unwrap(), 8) - 60_000);
    let id = house.message_id("sak").await;
    let answer = house.mail(
        MEDISIN,
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\n"),
        "Her er vårt endelig svar.",
    );
    house.receive(answer.as_bytes()).await;
    house.go_to("2026-04-01");
    assert!(house.chase().await.is_empty());
    let case = house.cases().await.remove(0);
    assert_eq!(
        (case.state, house.count("purring").await),
        (State::Answered, 0)
    );
}

#[tokio::test]
async fn answered_while_the_reminder_waits_to_be_sent_it_is_held() {
    let mut house = sent_on("2026-03-02").await;
    let id = house.message_id("sak").await;
    house.go_to("2026-04-01");
    // Queued, and the mail server is down.
    assert_eq!(house.engine.chase().await.unwrap().len(), 1);
    let answer = house.mail(
        MEDISIN,
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\n"),
        "Her er vårt endelig svar.",
    );
    house.receive(answer.as_bytes()).await;
    house.send().await;
    let reminders: Vec<String> = house
        .outbox()
        .await
        .into_iter()
        .filter(|line| line.contains("purring"))
        .collect();
    assert!(
        reminders.len() == 1 && reminders[0].contains("held"),
        "{reminders:?}"
    );
    assert_eq!(house.cases().await.remove(0).state, State::Answered);
}

#[tokio::test]
async fn approved_on_day_29_the_party_has_fourteen_days_before_it_is_reminded() {
    let mut house = House::on("2026-03-02").await;
    let case = house.report("avviksmelding fjernsak").await;
    assert_eq!(case.state, State::Approval);
    // In approval at the due date nobody is reminded.
    house.go_to("2026-03-31");
    house.order(case.number, Order::Approve).await;
    // 31 March + 14 days = Tuesday 14 April.
    assert_eq!(
        reminders_between(&house, "2026-04-01", "2026-05-31").await,
        ["2026-04-14 08"]
    );
}

#[tokio::test]
async fn rerouted_after_the_reminder_there_is_no_second_one() {
    let house = sent_on("2026-03-02").await;
    house.go_to("2026-04-07");
    house.chase().await;
    let case = house.cases().await.remove(0);
    let order = Order::Reroute {
        destination: Some("kirurgi".to_owned()),
        kind: None,
        category: None,
        severity: None,
    };
    let case = house.order(case.number, order).await;
    assert_eq!(
        (case.state, case.destination.as_str(), case.reminder),
        (State::Sent, "kirurgi", Reminder::Queued)
    );
    assert_eq!(
        reminders_between(&house, "2026-04-08", "2026-06-30").await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_case_in_triage_or_handover_is_not_reminded_but_overdue() {
    let mut house = House::on("2026-03-02").await;
    house.report("avviksmelding").await;
    house.report("avviksmelding mossesak").await;
    house.go_to("2026-06-01");
    assert!(house.chase().await.is_empty());
    let states: Vec<State> = house.cases().await.iter().map(|case| case.state).collect();
    assert_eq!(states, [State::Triage, State::SecureHandover]);
    let today = "2026-06-01".parse().unwrap();
    assert!(
        house
            .cases()
            .await
            .iter()
            .all(|case| linjevei::case::chase::is_overdue(case, today))
    );
}

#[tokio::test]
async fn a_report_that_was_too_old_is_neither_acknowledged_nor_reminded() {
    let mut house = House::on("2026-03-02").await;
    let mail = house.mail(FASTLEGE, "Melding", "", "avviksmelding medisinsak");
    house.go_to("2026-03-20");
    house.receive(mail.as_bytes()).await;
    house.send().await;
    assert_eq!(house.outbox().await, ["sak→medisin sent"]);
    house.go_to("2026-06-20");
    house.chase().await;
    assert_eq!(house.count("purring").await, 0);
}

#[tokio::test]
async fn an_answered_case_is_closed_after_thirty_days_of_silence() {
    let mut house = sent_on("2026-03-02").await;
    house.go_to("2026-03-10");
    let id = house.message_id("sak").await;
    let answer = house.mail(
        MEDISIN,
        "Sv: sak",
        &format!("In-Reply-To: <{id}>\r\n"),
        "Her er vårt endelig svar.",
    );
    house.receive(answer.as_bytes()).await;
    house.go_to("2026-04-08");
    assert!(house.chase().await.is_empty());
    house.go_to("2026-04-09");
    house.chase().await;
    assert_eq!(house.cases().await[0].state, State::Closed);
    assert!(house.cases().await[0].closed_at_ms.unwrap() >= morning("2026-04-09"));
}
