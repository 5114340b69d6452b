//! What the first run on a mailbox would do, said before it is done.

use super::{setup, with_causes};
use crate::case::admit;
use crate::config::{Config, Mode, SourceConfig};
use crate::intake::{self, Candidate, Cursor, Fetched, MailSource};
use crate::message::{self, Limits};
use crate::store::SharedStore;

/// Messages listed at a time.
const LIST_LIMIT: usize = 1000;
/// Messages without a date of arrival that are read for their age, at most.
const READ_MAX: u64 = 2000;
/// Messages read at a time; one mailbox has few that are large.
const READ_AT_ONCE: usize = 20;

/// What lies in a mailbox.
#[derive(Debug, Default)]
struct Found {
    messages: u64,
    bytes: u64,
    /// Their age is not known: there were too many to read, or they cannot be read.
    unread: u64,
    /// Older than the limit for acknowledgements.
    old: u64,
    /// Arrived before the first live start.
    before_live: u64,
}

/// `None` when this source has been checked before: then there is no first run.
pub(super) async fn preview(
    config: &Config,
    source: &SourceConfig,
    store: Option<&SharedStore>,
) -> Result<Option<String>, String> {
    let mut live_since = None;
    if let Some(store) = store {
        let failed = |error: crate::store::StoreError| error.to_string();
        let checked = store.checked_at_ms(source.name()).await.map_err(failed)?;
        if checked.is_some() {
            return Ok(None);
        }
        let since = store.setting(setup::LIVE_SINCE).await.map_err(failed)?;
        live_since = since.and_then(|since| since.parse::<i64>().ok());
    }
    let mut opened = intake::open(source).map_err(|error| with_causes(&error))?;
    let found = look(config, opened.as_mut(), live_since).await;
    opened.close().await;
    let found = found.map_err(|error| with_causes(&error))?;
    Ok(Some(tell(config, &found, live_since.is_some())))
}

fn tell(config: &Config, found: &Found, was_live: bool) -> String {
    let Found {
        messages,
        bytes,
        unread,
        old,
        before_live,
    } = found;
    let megabytes = bytes.div_ceil(1_000_000);
    let days = config.acknowledge_max_age.as_secs() / 86_400;
    let unread = if *unread == 0 {
        String::new()
    } else {
        format!(" (the age of {unread} is not known)")
    };
    let there = format!("{messages} messages, {megabytes} MB: ");
    let old = format!("{old} are older than {days} days");
    there
        + &match (config.mode, was_live) {
            (Mode::Observe, _) => format!(
                "would be stored and classified; nothing is sent or touched. {old}{unread} and would not be acknowledged or reminded of in live mode either"
            ),
            (Mode::Live, false) => format!(
                "would be stored and left alone, since they came before the first live start; {old}{unread}"
            ),
            (Mode::Live, true) => format!(
                "{before_live} came before the first live start and would be left alone, the others handled; {old}{unread} and would not be acknowledged or reminded of"
            ),
        }
}

async fn look(
    config: &Config,
    source: &mut dyn MailSource,
    live_since: Option<i64>,
) -> Result<Found, intake::SourceError> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let max_age_ms = i64::try_from(config.acknowledge_max_age.as_millis()).unwrap_or(i64::MAX);
    let mut found = Found::default();
    let count = |found: &mut Found, received_at_ms: i64| {
        if now_ms.saturating_sub(received_at_ms) > max_age_ms {
            found.old = found.old.saturating_add(1);
        }
        if live_since.is_some_and(|since| received_at_ms < since) {
            found.before_live = found.before_live.saturating_add(1);
        }
    };
    let mut read = 0_u64;
    let mut cursor = Cursor::default();
    loop {
        let listing = source.list(&cursor, LIST_LIMIT).await?;
        let mut undated: Vec<Candidate> = Vec::new();
        for candidate in listing.candidates {
            found.messages = found.messages.saturating_add(1);
            found.bytes = found.bytes.saturating_add(candidate.size);
            match candidate.internal_date_ms {
                Some(at_ms) => count(&mut found, at_ms),
                None if read < READ_MAX => {
                    read = read.saturating_add(1);
                    undated.push(candidate);
                }
                None => found.unread = found.unread.saturating_add(1),
            }
        }
        for some in undated.chunks(READ_AT_ONCE) {
            for fetched in source.fetch(some).await? {
                match fetched {
                    Fetched::Message(raw) => {
                        let message = message::parse(&raw.bytes, &Limits::default()).ok();
                        let at_ms = admit::received_at_ms(None, message.as_ref(), now_ms);
                        count(&mut found, at_ms);
                    }
                    Fetched::Gone(_) => {}
                    Fetched::Unreadable(..) => found.unread = found.unread.saturating_add(1),
                }
            }
        }
        if !listing.more {
            return Ok(found);
        }
        cursor = listing.cursor;
    }
}
