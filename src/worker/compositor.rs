//! Writes the mail that a case change asks for: template + facts + files → bytes.

use super::{Engine, InForce};
use crate::case::{Case, MailKind, MailOrder, names};
use crate::config::Identity;
use crate::message::File;
use crate::outbox::compose::{AutoSubmitted, Composed, Draft, compose};
use crate::outbox::message_id::SigningKey;
use crate::rules::Language;
use crate::store::Compose;
use crate::template::{Facts, long_date};
use std::sync::Arc;

/// Name of the file that carries the report's text.
const REPORT_FILE: &str = "melding.txt";
/// Name of the file that carries an answer's text.
const ANSWER_FILE: &str = "svar.txt";

/// What may be handed on of a message: its text and its files.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub text: String,
    pub files: Vec<File>,
}

/// The composer for one change.
pub(super) struct Compositor {
    identity: Arc<Identity>,
    keys: Arc<Vec<SigningKey>>,
    /// Templates and names of the parties.
    in_force: InForce,
    /// Content of the message that the change's mail may carry; `None` when it carries none.
    content: Option<Content>,
    /// Now, Unix milliseconds: the Date of the mail.
    now_ms: i64,
}

impl Engine {
    pub(super) fn compositor(
        &self,
        in_force: &InForce,
        content: Option<Content>,
        now_ms: i64,
    ) -> Compositor {
        Compositor {
            identity: Arc::clone(&self.identity),
            keys: Arc::clone(&self.keys),
            in_force: in_force.clone(),
            content,
            now_ms,
        }
    }
}

impl Compose for Compositor {
    fn content_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, |content| {
            content
                .files
                .iter()
                .fold(content.text.len(), |bytes, file| {
                    bytes.saturating_add(file.bytes.len())
                })
        })
    }

    fn compose(
        &self,
        case: &Case,
        order: &MailOrder,
        previous: Option<&str>,
    ) -> Result<Composed, String> {
        let files = self.files(order.kind);
        let facts = self.facts(case, order, files.len());
        let rendered = self
            .in_force
            .templates
            .render(order.kind, order.language, &facts)
            .map_err(|error| error.to_string())?;
        // To the reporter we answer the report; a party sees Message-IDs of ours only.
        let to_reporter = order.party.is_empty();
        let in_reply_to = match previous {
            Some(previous) => Some(previous.to_owned()),
            None => {
                Some(case.reporter_message_id.clone()).filter(|id| to_reporter && !id.is_empty())
            }
        };
        let mut references: Vec<String> = Some(case.reporter_message_id.clone())
            .filter(|id| to_reporter && !id.is_empty())
            .into_iter()
            .collect();
        references.extend(previous.map(str::to_owned));
        let acknowledgement = order.kind == MailKind::Kvittering;
        let key = self.keys.first().ok_or("no key to sign Message-IDs with")?;
        let draft = Draft {
            number: case.number,
            kind: order.kind,
            seq: u32::try_from(order.seq).map_err(|_| "sequence number out of range")?,
            party: order.party.clone(),
            to: order.to.clone(),
            null_return_path: acknowledgement,
            rendered,
            files,
            in_reply_to,
            references,
            date_ms: self.now_ms,
            auto_submitted: if acknowledgement {
                AutoSubmitted::Replied
            } else {
                AutoSubmitted::Generated
            },
        };
        compose(&self.identity, key, &draft).map_err(|error| error.to_string())
    }
}

impl Compositor {
    fn files(&self, kind: MailKind) -> Vec<File> {
        let Some(content) = self.content.as_ref().filter(|_| kind.carries_content()) else {
            return Vec::new();
        };
        let name = if kind == MailKind::Svar {
            ANSWER_FILE
        } else {
            REPORT_FILE
        };
        let text = File {
            name: name.to_owned(),
            media_type: "text/plain".to_owned(),
            bytes: content.text.clone().into_bytes(),
        };
        std::iter::once(text)
            .chain(content.files.iter().cloned())
            .collect()
    }

    fn facts(&self, case: &Case, order: &MailOrder, attached: usize) -> Facts {
        let samhandling = match order.language {
            Language::Bokmal => "Samhandlingsavdelingen",
            Language::Nynorsk => "Samhandlingsavdelinga",
        };
        // The reporter is told who has it; a party reads its own name.
        let party = if order.party.is_empty() {
            &case.told_party
        } else {
            &order.party
        };
        let name = self
            .in_force
            .rules
            .directory()
            .party(party)
            .map_or(samhandling, |party| party.name.as_str());
        Facts {
            sak: case.number.to_string(),
            type_navn: names::type_name_in(&case.kind, order.language).to_owned(),
            part: name.to_owned(),
            mottatt: long_date(case.received_day, order.language),
            frist: case
                .due_day
                .map(|due| long_date(due, order.language))
                .unwrap_or_default(),
            referanse: if order.party.is_empty() && names::is_number_like(&case.reference) {
                case.reference.clone()
            } else {
                String::new()
            },
            avsender: self.identity.name.clone(),
            antall_vedlegg: attached,
        }
    }
}
