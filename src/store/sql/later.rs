//! Rows that nobody reads before a group of messages is stored, written together: one statement a table, not one a row.
//!
//! Whoever may be looking for one of them after all asks first ([`Later::has_thread`] and its like) and has them written.

use super::cases::insert_cases;
use super::opened::{Opened, Written, compose_all};
use super::statement::{ROWS_MAX, Sql, Statement, insert, insert_chunks};
use super::{Connection, folded, key, likeness, text};
use crate::case::likeness::Sketch;
use crate::case::{Case, CaseField, CaseNumber, Event, MailKind, MailOrder};
use crate::outbox::compose::Composed;
use crate::store::{OwnReference, StoreError, ThreadKeys, rows};
use sqlx::QueryBuilder;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of mail that wait, about: more is written at once.
const MAIL_BYTES_MAX: usize = 2 << 20;

/// What became of a message.
pub(super) struct Told {
    pub message_id: i64,
    pub outcome: &'static str,
    pub reason: String,
    pub case_id: i64,
    pub at_ms: i64,
    pub received_at_ms: i64,
    pub sender_domain: String,
}

/// What the rules say of a message.
pub(super) struct Said {
    pub message_id: i64,
    pub ruleset: String,
    pub at_ms: i64,
    pub verdict: String,
}

struct Mail {
    case_id: i64,
    order: MailOrder,
    composed: Composed,
    now_ms: i64,
}

struct Alike {
    case_id: i64,
    received_at_ms: i64,
    sketch: Sketch,
}

struct Reference {
    own: OwnReference,
    case_id: i64,
    message_id: i64,
}

/// Rows that wait to be written. What is dropped is not written.
#[derive(Default)]
pub(super) struct Later {
    /// New cases that may still come.
    to_come: usize,
    /// Row ids for new cases.
    ids: VecDeque<i64>,
    opened: Vec<Opened>,
    /// Something was written.
    is_written: bool,
    /// The last number taken of each year; its row in the database is locked since the first.
    numbers: BTreeMap<i64, i64>,
    events: Vec<(i64, Event)>,
    fields: Vec<(i64, CaseField)>,
    mails: Vec<Mail>,
    mail_bytes: usize,
    told: Vec<Told>,
    said: Vec<Said>,
    threads: Vec<(String, i64, i64)>,
    references: Vec<Reference>,
    alike: Vec<Alike>,
}

impl Later {
    /// For a group that opens so many cases at most.
    pub(super) fn of_cases(to_come: usize) -> Self {
        Self {
            to_come,
            ..Self::default()
        }
    }

    /// Gives a new case its row id and its number.
    pub(super) async fn number(
        &mut self,
        connection: &mut Connection,
        case: &mut Case,
    ) -> Result<(), StoreError> {
        let count = self
            .next_number(connection, i64::from(case.number.year))
            .await?;
        case.number.count =
            u64::try_from(count).map_err(|_| rows::broken("case_counter", count))?;
        case.id = self.next_id(connection).await?;
        Ok(())
    }

    /// A row id that no case has. Ids are taken for all cases that may come, in one go.
    async fn next_id(&mut self, connection: &mut Connection) -> Result<i64, StoreError> {
        if self.ids.is_empty() {
            // An id that waits would be counted as free.
            if !self.opened.is_empty() {
                self.write(connection).await?;
            }
            let wanted = i64::try_from(self.to_come.max(1)).unwrap_or(i64::MAX);
            let ids: Vec<i64> = sqlx::query_scalar(free_case_ids!())
                .bind(wanted)
                .fetch_all(connection)
                .await?;
            self.ids = ids.into();
        }
        self.to_come = self.to_come.saturating_sub(1);
        self.ids
            .pop_front()
            .ok_or_else(|| StoreError::Broken("no id for a case".to_owned()))
    }

    /// The next case number of a year, without a gap.
    async fn next_number(
        &mut self,
        connection: &mut Connection,
        year: i64,
    ) -> Result<i64, StoreError> {
        let next = match self.numbers.get(&year) {
            Some(last) => last.saturating_add(1),
            None => {
                sqlx::query_scalar(
                    "INSERT INTO case_counter (year, last) VALUES ($1, 1) \
                     ON CONFLICT (year) DO UPDATE SET last = case_counter.last + 1 RETURNING last",
                )
                .bind(year)
                .fetch_one(connection)
                .await?
            }
        };
        self.numbers.insert(year, next);
        Ok(next)
    }

    /// A new case, with the numbers that [`Self::number`] gave it.
    pub(super) fn open(&mut self, opened: Opened) {
        self.mail_bytes = self.mail_bytes.saturating_add(opened.mail_bytes());
        self.opened.push(opened);
    }

    pub(super) fn history(&mut self, case_id: i64, events: Vec<Event>) {
        self.events
            .extend(events.into_iter().map(|event| (case_id, event)));
    }

    /// What was said first stays; a later message only fills gaps.
    pub(super) fn fields(&mut self, case_id: i64, fields: Vec<CaseField>) {
        self.fields
            .extend(fields.into_iter().map(|field| (case_id, field)));
    }

    pub(super) fn mail(&mut self, case_id: i64, order: MailOrder, mail: Composed, now_ms: i64) {
        self.mail_bytes = self.mail_bytes.saturating_add(mail.bytes.len());
        self.mails.push(Mail {
            case_id,
            order,
            composed: mail,
            now_ms,
        });
    }

    pub(super) fn told(&mut self, told: Told) {
        self.told.push(told);
    }

    pub(super) fn said(&mut self, said: Said) {
        self.said.push(said);
    }

    /// A Message-ID by which later mail finds the case.
    pub(super) fn thread(&mut self, rfc_message_id: &str, case_id: i64, message_id: i64) {
        self.threads
            .push((key(rfc_message_id).into_owned(), case_id, message_id));
    }

    /// The sender's own reference, by which later mail finds the case.
    pub(super) fn reference(&mut self, own: OwnReference, case_id: i64, message_id: i64) {
        self.references.push(Reference {
            own,
            case_id,
            message_id,
        });
    }

    pub(super) fn alike(&mut self, case_id: i64, received_at_ms: i64, sketch: Sketch) {
        self.alike.push(Alike {
            case_id,
            received_at_ms,
            sketch,
        });
    }

    /// Whether one of these may be found by what waits.
    pub(super) fn has_thread(&self, keys: &ThreadKeys) -> bool {
        let cited = |id: &String| {
            let id = key(id);
            self.threads.iter().any(|(known, ..)| *known == id)
        };
        let own = |own: &OwnReference| {
            let reference = folded(&own.reference);
            self.references
                .iter()
                .any(|waits| folded(&waits.own.reference) == reference)
        };
        let number = |number: &CaseNumber| {
            let opened = &mut self.opened.iter();
            opened.any(|waits| waits.change.case.number == *number)
        };
        keys.cited.iter().any(cited)
            || keys.own.as_ref().is_some_and(own)
            || keys.signed.iter().chain(&keys.tokens).any(number)
    }

    /// Whether a report of the same office, or with one of the files, waits.
    pub(super) fn has_alike(&self, sketch: &Sketch) -> bool {
        self.alike.iter().any(|Alike { sketch: waits, .. }| {
            !sketch.office.is_empty() && sketch.office == waits.office
                || sketch.files.iter().any(|file| waits.files.contains(file))
        })
    }

    pub(super) fn has_acknowledgement_to(&self, address: &str) -> bool {
        let address = folded(address);
        let ordered = self.opened.iter().flat_map(|waits| &waits.change.mails);
        let composed = self.mails.iter().map(|waits| &waits.order);
        ordered
            .chain(composed)
            .filter(|order| order.kind == MailKind::Kvittering)
            .any(|order| order.to.iter().any(|to| folded(to) == address))
    }

    /// Whether the case itself waits, or mail of it.
    pub(super) fn has_case(&self, case_id: i64) -> bool {
        let mut opened = self.opened.iter();
        opened.any(|waits| waits.change.case.id == case_id)
            || self.mails.iter().any(|waits| waits.case_id == case_id)
    }

    pub(super) const fn is_much(&self) -> bool {
        self.mail_bytes > MAIL_BYTES_MAX
    }

    /// Whether anything was written, so that the database holds more than before the group.
    pub(super) const fn is_written(&self) -> bool {
        self.is_written
    }

    /// Writes all that waits.
    pub(super) async fn write(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        self.is_written |= self.waits();
        let opened = compose_all(std::mem::take(&mut self.opened)).await?;
        for (year, last) in &self.numbers {
            sqlx::query("UPDATE case_counter SET last = $1 WHERE year = $2 AND last < $1")
                .bind(last)
                .bind(year)
                .execute(&mut *connection)
                .await?;
        }
        let cases: Vec<&Case> = opened.iter().map(|written| &written.change.case).collect();
        let mut statements = Vec::new();
        insert_cases(&mut statements, &cases);
        for written in opened {
            self.written(written);
        }
        self.of_changes(&mut statements);
        self.of_messages(&mut statements);
        for statement in statements {
            statement.execute(&mut *connection).await?;
        }
        let mails = std::mem::take(&mut self.mails);
        self.mail_bytes = 0;
        for mails in mails.chunks(ROWS_MAX) {
            write_mails(connection, mails).await?;
        }
        Ok(())
    }

    /// Every row belongs to what became of a message or to the history of a case.
    const fn waits(&self) -> bool {
        !(self.opened.is_empty() && self.events.is_empty() && self.told.is_empty())
    }

    /// What belongs to a change of which the case itself is written.
    pub(super) fn written(&mut self, written: Written) {
        let Written {
            change,
            mails,
            now_ms,
        } = written;
        let case_id = change.case.id;
        self.history(case_id, change.events);
        self.fields(case_id, change.fields);
        for (order, mail) in mails {
            self.mail(case_id, order, mail, now_ms);
        }
    }

    fn of_changes(&mut self, statements: &mut Vec<Statement>) {
        insert(
            statements,
            "INSERT INTO case_event (case_id, at_ms, kind, state, actor, on_behalf_of, reason, data) ",
            &std::mem::take(&mut self.events),
            "",
            |row, (case_id, event)| {
                let (actor, on_behalf_of) = rows::actor_columns(&event.actor);
                row.push_bind(*case_id)
                    .push_bind(event.at_ms)
                    .push_bind(event.kind.id())
                    .push_bind(event.state.id())
                    .push_bind(actor)
                    .push_bind(text(&on_behalf_of))
                    .push_bind(text(&event.reason))
                    .push_bind(event.data.to_string());
            },
        );
        insert(
            statements,
            "INSERT INTO case_field (case_id, name, value, message_id) ",
            &std::mem::take(&mut self.fields),
            " ON CONFLICT (case_id, name) DO NOTHING",
            |row, (case_id, field)| {
                row.push_bind(*case_id)
                    .push_bind(key(&field.name))
                    .push_bind(text(&field.value))
                    .push_bind(field.message_id);
            },
        );
        let alike = std::mem::take(&mut self.alike);
        let texts: Vec<&Alike> = alike
            .iter()
            .filter(|Alike { sketch, .. }| !sketch.office.is_empty() && !sketch.shingles.is_empty())
            .collect();
        insert(
            statements,
            "INSERT INTO case_likeness (case_id, office, received_at_ms, shingles, numbers) ",
            &texts,
            " ON CONFLICT (case_id) DO NOTHING",
            |row, alike| {
                row.push_bind(alike.case_id)
                    .push_bind(key(&alike.sketch.office))
                    .push_bind(alike.received_at_ms)
                    .push_bind(likeness::to_bytes(&alike.sketch.shingles))
                    .push_bind(likeness::to_bytes(&alike.sketch.numbers));
            },
        );
        let files: Vec<(&String, i64)> = alike
            .iter()
            .flat_map(|alike| {
                alike
                    .sketch
                    .files
                    .iter()
                    .map(|sha256| (sha256, alike.case_id))
            })
            .collect();
        insert(
            statements,
            "INSERT INTO case_file (sha256, case_id) ",
            &files,
            " ON CONFLICT DO NOTHING",
            |row, (sha256, case_id)| {
                row.push_bind(*sha256).push_bind(*case_id);
            },
        );
    }

    fn of_messages(&mut self, statements: &mut Vec<Statement>) {
        insert(
            statements,
            "WITH told (id, outcome, reason, case_id, settled_at_ms, received_at_ms, sender_domain) AS (",
            &std::mem::take(&mut self.told),
            ") UPDATE message SET outcome = told.outcome, reason = told.reason, case_id = told.case_id, \
             settled_at_ms = told.settled_at_ms, received_at_ms = told.received_at_ms, sender_domain = told.sender_domain \
             FROM told WHERE message.id = told.id",
            |row, told| {
                row.push_bind(told.message_id)
                    .push_bind(told.outcome)
                    .push_bind(text(&told.reason))
                    .push_bind(told.case_id)
                    .push_bind(told.at_ms)
                    .push_bind(told.received_at_ms)
                    .push_bind(text(&told.sender_domain));
            },
        );
        insert(
            statements,
            "INSERT INTO verdict (message_id, ruleset, at_ms, verdict) ",
            &std::mem::take(&mut self.said),
            " ON CONFLICT (message_id) DO UPDATE SET ruleset = excluded.ruleset, at_ms = excluded.at_ms, verdict = excluded.verdict",
            |row, said| {
                row.push_bind(said.message_id)
                    .push_bind(&said.ruleset)
                    .push_bind(said.at_ms)
                    .push_bind(&said.verdict);
            },
        );
        insert(
            statements,
            "INSERT INTO thread_id (rfc_message_id, case_id, message_id) ",
            &std::mem::take(&mut self.threads),
            " ON CONFLICT DO NOTHING",
            |row, (rfc_message_id, case_id, message_id)| {
                row.push_bind(rfc_message_id)
                    .push_bind(*case_id)
                    .push_bind(*message_id);
            },
        );
        insert(
            statements,
            "INSERT INTO case_reference (reference, address, party, case_id, message_id) ",
            &std::mem::take(&mut self.references),
            " ON CONFLICT DO NOTHING",
            |row,
             Reference {
                 own,
                 case_id,
                 message_id,
             }| {
                row.push_bind(folded(&own.reference))
                    .push_bind(folded(&own.address))
                    .push_bind(text(&own.party))
                    .push_bind(*case_id)
                    .push_bind(*message_id);
            },
        );
    }
}

/// Queues mails; one that is queued already stays as it is.
async fn write_mails(connection: &mut Connection, mails: &[Mail]) -> Result<(), StoreError> {
    let mut statement = queueing(mails);
    let queued: Vec<(i64, String)> = statement
        .build_query_as()
        .persistent(mails.len() == 1)
        .fetch_all(&mut *connection)
        .await?;
    let mut of_id: Vec<(i64, &Composed)> = Vec::with_capacity(queued.len());
    for waits in mails {
        let found = queued
            .iter()
            .find(|(_, message_id)| *message_id == waits.composed.message_id);
        if let Some((id, _)) = found {
            of_id.push((*id, &waits.composed));
        }
    }
    for statement in to_recipients(&of_id) {
        statement.execute(&mut *connection).await?;
    }
    let contents: Vec<(i64, &[u8])> = of_id
        .iter()
        .map(|&(id, mail)| (id, mail.bytes.as_slice()))
        .collect();
    let head = "INSERT INTO outbox_chunk (outbox_id, seq, bytes) ";
    insert_chunks(connection, head, &contents).await
}

fn queueing(mails: &[Mail]) -> QueryBuilder<Sql> {
    let mut statement = QueryBuilder::new(
        "INSERT INTO outbox (case_id, kind, party, seq, rfc_message_id, envelope_from, created_at_ms, state, next_attempt_at_ms) ",
    );
    statement.push_values(mails, |mut row, waits| {
        let (order, mail) = (&waits.order, &waits.composed);
        row.push_bind(waits.case_id)
            .push_bind(order.kind.id())
            .push_bind(text(&order.party))
            .push_bind(order.seq)
            .push_bind(&mail.message_id)
            .push_bind(text(mail.envelope.from.as_deref().unwrap_or_default()))
            .push_bind(waits.now_ms)
            .push_bind(if order.held { "held" } else { "queued" })
            .push_bind(waits.now_ms);
    });
    statement
        .push(" ON CONFLICT (case_id, party, kind, seq) DO NOTHING RETURNING id, rfc_message_id");
    statement
}

fn to_recipients(queued: &[(i64, &Composed)]) -> Vec<Statement> {
    let recipients: Vec<(i64, usize, &String)> = queued
        .iter()
        .flat_map(|(id, mail)| {
            let numbered = mail.envelope.to.iter().enumerate();
            numbered.map(|(position, address)| (*id, position, address))
        })
        .collect();
    let mut statements = Vec::new();
    insert(
        &mut statements,
        "INSERT INTO outbox_recipient (outbox_id, position, address, state) ",
        &recipients,
        "",
        |row, (id, position, address)| {
            row.push_bind(*id)
                .push_bind(i64::try_from(*position).unwrap_or(i64::MAX))
                .push_bind(text(address))
                .push_bind("waiting");
        },
    );
    statements
}
