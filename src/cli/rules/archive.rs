//! Stored messages and people's corrections as material to try rules on.

use super::super::{Failure, cases, setup};
use crate::case::{Actor, Case, CaseNumber, Change, EventKind, MailOrder};
use crate::clock::{Clock as _, SystemClock};
use crate::config::DatabaseConfig;
use crate::outbox::compose::Composed;
use crate::store::{self, Compose, Correction, MessageRow, SharedStore, StoreError};
use serde_json::json;
use std::path::Path;
use tokio::runtime::Runtime;

/// A database that is read beside a running worker.
pub(super) struct Archive {
    runtime: Runtime,
    store: SharedStore,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let database = DatabaseConfig::named(&path.to_string_lossy());
        if let DatabaseConfig::Sqlite(path) = &database
            && !path.is_file()
        {
            return Err(Failure::io(format!(
                "{}: databasen finnes ikke; den heter linjevei.db og ligger i mappen som «data» i linjevei.toml nevner, eller er det adressen som «database» nevner",
                path.display()
            )));
        }
        let runtime = setup::runtime()?;
        let store = runtime.block_on(store::open(&database))?;
        Ok(Self { runtime, store })
    }

    /// The stored messages, each once, oldest first.
    pub(super) fn messages(&self) -> Result<Vec<MessageRow>, Failure> {
        let mut rows = self
            .runtime
            .block_on(self.store.messages(false, u32::MAX))?;
        rows.retain(|row| row.outcome != "duplicate");
        Ok(rows)
    }

    pub(super) fn raw(&self, id: i64) -> Result<Vec<u8>, Failure> {
        let raw = self.runtime.block_on(self.store.raw(id))?;
        Ok(raw.unwrap_or_default())
    }

    pub(super) fn corrections(&self) -> Result<Vec<Correction>, Failure> {
        Ok(self.runtime.block_on(self.store.corrections())?)
    }

    /// Notes in the history of a case that a person sees the content of a message in it.
    pub(super) fn note_shown(&self, number: &str, message_id: i64) -> Result<(), Failure> {
        let number: CaseNumber = number
            .parse()
            .map_err(|_| Failure::software("a stored case number cannot be read"))?;
        self.runtime.block_on(async {
            let actor = Actor::Person {
                user: cases::user(),
                on_behalf_of: String::new(),
            };
            loop {
                let Some(case) = self.store.case(number).await? else {
                    return Err(Failure::software(
                        "a message names a case that is not there",
                    ));
                };
                let mut change = Change::of(case);
                change.record_by(
                    EventKind::Shown,
                    SystemClock.now_ms(),
                    &actor,
                    json!({ "message": message_id, "by": "rules diff" }),
                );
                match self.store.apply(change, &NoMail).await {
                    // Somebody else changed the case in between.
                    Err(StoreError::Conflict) => {}
                    other => return other.map(|_| ()).map_err(Into::into),
                }
            }
        })
    }
}

/// A line in the history asks for no mail.
struct NoMail;

impl Compose for NoMail {
    fn compose(
        &self,
        _case: &Case,
        _order: &MailOrder,
        _previous: Option<&str>,
    ) -> Result<Composed, String> {
        Err("looking at a message sends no mail".to_owned())
    }
}
