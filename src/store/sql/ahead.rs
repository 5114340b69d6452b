//! What a group of messages may ask for, looked up once for all of them. Most of it is not there, and then nobody asks again.

use super::statement::{ROWS_MAX, asking};
use super::{Connection, folded, key, outbox};
use crate::case::likeness::Sketch;
use crate::store::{Ahead, StoreError, ThreadKeys};
use std::collections::{BTreeMap, BTreeSet};

/// What was asked for, and whether the database has it.
type Asked = BTreeMap<String, bool>;

/// What the database held when the group was begun.
pub(super) struct Known {
    cited: Asked,
    references: Asked,
    offices: Asked,
    files: Asked,
    acknowledgements: BTreeMap<String, u32>,
}

impl Known {
    pub(super) async fn new(
        connection: &mut Connection,
        ahead: &Ahead<'_>,
    ) -> Result<Self, StoreError> {
        let (threads, sketches) = (&ahead.threads, &ahead.sketches);
        let cited = threads.iter().flat_map(|keys| &keys.cited);
        let references = threads.iter().filter_map(|keys| keys.own.as_ref());
        Ok(Self {
            cited: ask(
                connection,
                "EXISTS (SELECT 1 FROM thread_id WHERE rfc_message_id = asked.name) OR EXISTS \
                 (SELECT 1 FROM outbox WHERE replaced_message_id = asked.name AND replaced_message_id <> '')",
                cited.map(|id| key(id).into_owned()).collect(),
            )
            .await?,
            references: ask(
                connection,
                "EXISTS (SELECT 1 FROM case_reference WHERE reference = asked.name)",
                references.map(|own| folded(&own.reference)).collect(),
            )
            .await?,
            offices: ask(
                connection,
                "EXISTS (SELECT 1 FROM case_likeness WHERE office = asked.name)",
                sketches
                    .iter()
                    .map(|sketch| key(&sketch.office).into_owned())
                    .collect(),
            )
            .await?,
            files: ask(
                connection,
                "EXISTS (SELECT 1 FROM case_file WHERE sha256 = asked.name)",
                sketches
                    .iter()
                    .flat_map(|sketch| sketch.files.iter().cloned())
                    .collect(),
            )
            .await?,
            acknowledgements: outbox::acknowledgements(
                connection,
                ahead.addresses.iter().map(|address| folded(address)).collect(),
                ahead.since_ms,
            )
            .await?,
        })
    }

    /// Nothing is known by these.
    pub(super) fn lacks_thread(&self, keys: &ThreadKeys) -> bool {
        keys.signed.is_empty()
            && keys.tokens.is_empty()
            && keys.cited.iter().all(|id| lacks(&self.cited, &key(id)))
            && keys
                .own
                .as_ref()
                .is_none_or(|own| lacks(&self.references, &folded(&own.reference)))
    }

    /// No report is like it.
    pub(super) fn lacks_alike(&self, sketch: &Sketch) -> bool {
        lacks(&self.offices, &key(&sketch.office))
            && sketch.files.iter().all(|file| lacks(&self.files, file))
    }

    /// Acknowledgements that this address got, if it was asked for.
    pub(super) fn acknowledgements_to(&self, address: &str) -> Option<u32> {
        self.acknowledgements.get(&folded(address)).copied()
    }
}

fn lacks(asked: &Asked, name: &str) -> bool {
    asked.get(name) == Some(&false)
}

/// Which of the names meet the condition.
async fn ask(
    connection: &mut Connection,
    condition: &str,
    names: BTreeSet<String>,
) -> Result<Asked, StoreError> {
    let mut asked: Asked = names.into_iter().map(|name| (name, false)).collect();
    let names: Vec<String> = asked.keys().cloned().collect();
    for names in names.chunks(ROWS_MAX) {
        let mut statement = asking(names);
        statement
            .push("SELECT name FROM asked WHERE ")
            .push(condition);
        let found: Vec<String> = statement
            .build_query_scalar()
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        asked.extend(found.into_iter().map(|name| (name, true)));
    }
    Ok(asked)
}
