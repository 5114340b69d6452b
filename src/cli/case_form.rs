//! What `cases show` tells of the form of a report: the day of the event always, the rest only together with the content.

use super::Failure;
use crate::case::form::{EVENT_DAY, EVENT_PLACE};
use crate::message::{FieldName, identity_numbers};
use crate::worker::Engine;
use serde_json::{Map, Value, json};

/// The form as far as it may be shown.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Day of the event; alone it says nothing of anybody.
    pub(super) day: Option<String>,
    /// What is content like the report itself; `None` when that is not shown.
    content: Option<Written>,
}

/// Place of the event, and the fields as they were filled in, identity numbers masked.
#[derive(Debug, Default)]
struct Written {
    place: Option<String>,
    fields: Vec<(FieldName, String)>,
}

impl Form {
    /// The form of a case; that its content is shown has been noted before.
    pub(super) async fn of(
        engine: &Engine,
        case_id: i64,
        with_content: bool,
    ) -> Result<Self, Failure> {
        let mut form = Self {
            day: None,
            content: with_content.then(Written::default),
        };
        for field in engine.store.case_fields(case_id).await? {
            let value = identity_numbers::mask(&field.value);
            match (&mut form.content, field.name.as_str()) {
                (_, EVENT_DAY) => form.day = Some(value),
                (Some(written), EVENT_PLACE) => written.place = Some(value),
                (Some(written), name) => {
                    let name = FieldName::from_id(name);
                    written.fields.extend(name.map(|name| (name, value)));
                }
                (None, _) => {}
            }
        }
        Ok(form)
    }

    /// The place of the event, when content is shown.
    pub(super) fn place(&self) -> Option<&str> {
        let written = self.content.as_ref()?;
        Some(written.place.as_deref().unwrap_or_default())
    }

    /// Adds `event_day`, `event_place` and `fields` to `cases show --json`.
    pub(super) fn add_to(&self, object: &mut Map<String, Value>) {
        let written = self.content.as_ref();
        let fields: Option<Vec<Value>> = written.map(|written| {
            let fields = written.fields.iter();
            fields
                .map(|(name, value)| json!({ "field": name.id(), "value": value }))
                .collect()
        });
        let place = written.and_then(|written| written.place.as_deref());
        object.insert("event_day".to_owned(), json!(self.day));
        object.insert("event_place".to_owned(), json!(place));
        object.insert("fields".to_owned(), json!(fields));
    }

    /// The fields, one below the other; nothing when there are none to show.
    pub(super) fn print(&self) {
        let fields = self.content.as_ref().map(|written| &written.fields);
        let Some(fields) = fields.filter(|fields| !fields.is_empty()) else {
            return;
        };
        println!("\nSkjema");
        for (name, value) in fields {
            let value = value.replace('\n', &format!("\n{:<17}", ""));
            println!("  {:<14} {value}", name.navn());
        }
    }
}
