//! What the form of a report says, as it is kept with its case: the fields that were filled in, and the day and place of
//! the event. They are content, like the report itself; only the day may be shown without saying who looks.

use super::event_day::event_day;
use crate::message::{FieldName, Message};
use jiff::civil::Date;

/// Characters of the place of the event.
const PLACE_CHARS_MAX: usize = 200;

/// A field that is kept with a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseField {
    /// Id of a [`FieldName`], [`EVENT_DAY`] or [`EVENT_PLACE`].
    pub name: String,
    /// What the sender wrote, identity numbers masked; for [`EVENT_DAY`] an ISO day.
    pub value: String,
    /// Row of the message that said so.
    pub message_id: i64,
}

/// The day of the event, where the form names one and only one.
pub const EVENT_DAY: &str = "hendelsesdag";
/// The place of the event, on one line.
pub const EVENT_PLACE: &str = "hendelsessted";

/// What a message that was received on that day says in its form, in the order of [`FieldName::ALL`], day and place of the
/// event last.
pub(super) fn fields(message: &Message, message_id: i64, received: Date) -> Vec<CaseField> {
    let form = message.form();
    let said = |name: FieldName| {
        form.iter()
            .find(|field| field.name == name)
            .map(|field| field.value.as_str())
    };
    let day = said(FieldName::Dato)
        .and_then(|text| event_day(text, received))
        .map(|day| (EVENT_DAY, day.to_string()));
    let place = said(FieldName::Sted).map(|text| (EVENT_PLACE, one_line(text)));
    let read: Vec<(&str, String)> = day.into_iter().chain(place).collect();
    form.iter()
        .map(|field| (field.name.id(), field.value.clone()))
        .chain(read)
        .map(|(name, value)| CaseField {
            name: name.to_owned(),
            value,
            message_id,
        })
        .collect()
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(PLACE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Limits, parse};
    use jiff::civil::date;

    #[test]
    fn day_and_place_stand_beside_what_was_written() {
        let raw = "From: a@moss.kommune.example\nSubject: Avvik\n\nDato for hendelsen: mandag 13. april\nSted: Slagenheten,\n  Kalnes\nKonsekvens: ikke fylt ut\n\nHendelsesforløp: Kom uten epikrise.\n";
        let message = parse(raw.as_bytes(), &Limits::default()).unwrap();
        let fields = fields(&message, 7, date(2026, 4, 15));
        let pairs: Vec<(&str, &str)> = fields
            .iter()
            .map(|field| (field.name.as_str(), field.value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("sted", "Slagenheten,\nKalnes"),
                ("dato", "mandag 13. april"),
                ("hendelse", "Kom uten epikrise."),
                (EVENT_DAY, "2026-04-13"),
                (EVENT_PLACE, "Slagenheten, Kalnes"),
            ]
        );
        assert!(fields.iter().all(|field| field.message_id == 7));
    }
}
