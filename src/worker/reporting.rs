//! The mails about many cases: the digest to the samhandlingsavdeling, at most one a day, and the weekly status to a party.
//!
//! A day is done once for all, whether there was something to say or not, in the transaction that queues the mail: however
//! the worker is stopped and started, there is no second one. A worker that was off on the day does it at its next start;
//! days that it slept through are not made up for.

use super::{Engine, InForce, WorkError};
use crate::calendar;
use crate::case::chase::is_overdue;
use crate::case::{
    Acknowledgement, Case, MailKind, MailOrder, Reminder, SAMHANDLING, State, names,
};
use crate::config::Mode;
use crate::outbox::compose::{ReportDraft, compose_report};
use crate::rules::{Directory, Language, Party, PartyKind, WhyNot};
use crate::store::{CaseFilter, NotDelivered, ReportDay, ReportMail, StoreError};
use crate::template::{Line, Part, ReportFacts, STATUS_PART, long_date};
use jiff::Span;
use jiff::civil::Date;
use tracing::{info, warn};

const DAY_MS: i64 = 86_400_000;
/// How far the first digest looks back.
const FIRST_LOOK_BACK_MS: i64 = 7 * DAY_MS;
/// The weekly part of the digest, as the days that are done know it.
const LEFT_ALONE: &str = "urort";
/// Lines of it that are read.
const LEFT_ALONE_MAX: u32 = 100;

/// A mail about many cases as it would be, or was, queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub kind: MailKind,
    /// Party that it is for; `samhandling` for the digest.
    pub party: String,
    /// Subject.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// Lines in it.
    pub lines: usize,
}

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store failed.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// It could not be written.
    #[error("{0} cannot be written: {1}")]
    Unwritten(&'static str, String),
}

impl From<StoreError> for ReportError {
    fn from(error: StoreError) -> Self {
        Self::Work(error.into())
    }
}

/// What a report is made from, once it is known that it is due.
struct Due {
    kind: MailKind,
    party: String,
    to: Vec<String>,
    language: Language,
    days: Vec<ReportDay>,
    facts: ReportFacts,
}

impl Engine {
    /// Queues the reports that are due now. Returns those that had something to say.
    ///
    /// # Errors
    /// [`ReportError`] when the store fails or a report cannot be written; what was queued stays queued.
    pub async fn report(&self) -> Result<Vec<Report>, ReportError> {
        let now_ms = self.clock.now_ms();
        let in_force = self.rulebook.current();
        let mut queued = Vec::new();
        for due in self.due_reports(now_ms, &in_force).await? {
            if due.facts.antall == 0 {
                self.store.queue_report(&due.days, None, now_ms).await?;
                continue;
            }
            let mail = if due.to.is_empty() {
                warn!(
                    lines = due.facts.antall,
                    "the digest has no address: set [digest] to, or give the party «samhandling» one that is not watched"
                );
                None
            } else {
                Some(self.report_mail(&due, &in_force, now_ms)?)
            };
            let done = self
                .store
                .queue_report(&due.days, mail.as_ref(), now_ms)
                .await?;
            if done && mail.is_some() {
                info!(
                    mail.kind = due.kind.id(),
                    lines = due.facts.antall,
                    "report queued"
                );
                queued.push(rendered(&due, &in_force)?);
            }
        }
        Ok(queued)
    }

    /// The digest as it stands at `now_ms`, whatever was sent today, without queueing it; `None` when it has nothing to say.
    ///
    /// # Errors
    /// [`ReportError`] when the store fails or it cannot be written.
    pub async fn digest_at(&self, now_ms: i64) -> Result<Option<Report>, ReportError> {
        let in_force = self.rulebook.current();
        let today = calendar::oslo_day(now_ms);
        let due = self.digest(today, now_ms, &in_force).await?;
        if due.facts.antall == 0 {
            return Ok(None);
        }
        rendered(&due, &in_force).map(Some)
    }

    async fn due_reports(&self, now_ms: i64, in_force: &InForce) -> Result<Vec<Due>, ReportError> {
        let settings = &self.policy.reports;
        let today = calendar::oslo_day(now_ms);
        let mut due = Vec::new();
        if self.mode == Mode::Observe {
            return Ok(due);
        }
        let digest_day = day_of(MailKind::Oversikt.id(), "", today);
        if settings.digest
            && calendar::oslo_at(today, settings.hour) <= now_ms
            && !self.store.report_done(&digest_day).await?
        {
            due.push(self.digest(today, now_ms, in_force).await?);
        }
        let week = self.week_of(today);
        let first = self.calendar.first_working_day_at_or_after(week);
        if settings.party_status && calendar::oslo_at(first, settings.hour) <= now_ms {
            for party in in_force.rules.directory().parties() {
                let week = day_of(MailKind::Partstatus.id(), &party.id, week);
                if !self.store.report_done(&week).await? {
                    due.push(
                        self.status_of(party, week, in_force.rules.directory(), today)
                            .await?,
                    );
                }
            }
        }
        Ok(due)
    }

    /// The last day of the configured weekday up to `today`.
    fn week_of(&self, today: Date) -> Date {
        let back = self.policy.reports.weekday.until(today.weekday());
        today
            .checked_sub(Span::new().days(i64::from(back)))
            .unwrap_or(today)
    }

    async fn digest(
        &self,
        today: Date,
        now_ms: i64,
        in_force: &InForce,
    ) -> Result<Due, ReportError> {
        let directory = in_force.rules.directory();
        let language = directory
            .party(SAMHANDLING)
            .and_then(|party| party.language)
            .unwrap_or(Language::Bokmal);
        let words = Words {
            directory,
            language,
            today,
        };
        let day = day_of(MailKind::Oversikt.id(), "", today);
        let long_ago = now_ms.saturating_sub(FIRST_LOOK_BACK_MS);
        let since_ms = self.store.report_done_before(&day).await?;
        let since_ms = since_ms.unwrap_or(long_ago);
        let mut days = vec![day];
        let mut parts = self.cases_that_wait(&words).await?;
        let (held, failed): (Vec<NotDelivered>, Vec<NotDelivered>) = self
            .store
            .not_delivered(since_ms)
            .await?
            .into_iter()
            .partition(|mail| mail.held);
        let mails = |mails: &[NotDelivered]| mails.iter().map(|mail| words.mail(mail)).collect();
        parts.extend(Part::of("ikke-levert", mails(&failed)));
        parts.extend(Part::of("holdt", mails(&held)));
        let unacknowledged = self.store.unacknowledged(since_ms).await?;
        let lines = unacknowledged
            .iter()
            .filter_map(|case| words.unacknowledged(case))
            .collect();
        parts.extend(Part::of("uten-kvittering", lines));
        let week = day_of(LEFT_ALONE, "", self.week_of(today));
        if !self.store.report_done(&week).await? {
            let since_ms = self.store.report_done_before(&week).await?;
            let (count, list) = self
                .store
                .left_alone(since_ms.unwrap_or(long_ago), LEFT_ALONE_MAX)
                .await?;
            let lines = list
                .iter()
                .map(|message| Line {
                    domene: domain(&message.sender_domain),
                    mottatt: words.moment(message.received_at_ms),
                    merknad: names::reason_name(&message.reason).to_owned(),
                    ..Line::default()
                })
                .collect();
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            parts.extend(Part::counted("urort", lines, count));
            days.push(week);
        }
        Ok(Due {
            kind: MailKind::Oversikt,
            party: SAMHANDLING.to_owned(),
            to: self.digest_address(directory).into_iter().collect(),
            language,
            days,
            facts: self.facts(&words, String::new(), parts),
        })
    }

    /// The parts of the digest that are about cases, each complete: a case in triage that is overdue stands in both lists.
    async fn cases_that_wait(&self, words: &Words<'_>) -> Result<Vec<Part>, StoreError> {
        let open = self.store.cases(&CaseFilter::default()).await?;
        let looked_at = CaseFilter {
            attention: true,
            all: true,
            ..CaseFilter::default()
        };
        let attention = self.store.cases(&looked_at).await?;
        let waits = |states: &'static [State]| {
            open.iter()
                .filter(move |case| states.contains(&case.state))
                .map(|case| {
                    let unread = case.state == State::Triage
                        && case.acknowledgement == Acknowledgement::Not(WhyNot::Unreadable);
                    words.case(case, if unread { "kunne ikke leses" } else { "" })
                })
                .collect::<Vec<_>>()
        };
        let overdue = open
            .iter()
            .filter(|case| is_overdue(case, words.today))
            .map(|case| {
                let note = match (case.state, case.reminder) {
                    (State::Sent, Reminder::Queued) => "purret",
                    (State::Sent, _) => "ikke besvart",
                    (state, _) => state.navn(),
                };
                words.case(case, note)
            });
        // Those in the first three lists are looked at already.
        let looked_at = attention
            .iter()
            .filter(|case| {
                matches!(
                    case.state,
                    State::Sent | State::Answered | State::Closed | State::Registered
                )
            })
            .map(|case| words.case(case, case.state.navn()));
        let parts = [
            Part::of("vurdering", waits(&[State::Received, State::Triage])),
            Part::of("godkjenning", waits(&[State::Approval])),
            Part::of("sikkert", waits(&[State::SecureHandover])),
            Part::of("over-frist", overdue.collect()),
            Part::of("se-paa", looked_at.collect()),
        ];
        Ok(parts.into_iter().flatten().collect())
    }

    /// The weekly status of a party: its cases that wait for an answer.
    async fn status_of(
        &self,
        party: &Party,
        week: ReportDay,
        directory: &Directory,
        today: Date,
    ) -> Result<Due, StoreError> {
        let language = party.language.unwrap_or(Language::Bokmal);
        let words = Words {
            directory,
            language,
            today,
        };
        let to: Vec<String> = party
            .send_to
            .iter()
            .filter(|address| !directory.is_own(address))
            .cloned()
            .collect();
        let cases = if to.is_empty() || party.kind == PartyKind::Samhandling {
            Vec::new()
        } else {
            let filter = CaseFilter {
                state: Some(State::Sent),
                party: Some(party.id.clone()),
                ..CaseFilter::default()
            };
            self.store.cases(&filter).await?
        };
        // Number and due date, and nothing else.
        let lines = cases
            .iter()
            .map(|case| Line {
                sak: case.number.to_string(),
                frist: words.day(case.due_day),
                ..Line::default()
            })
            .collect();
        Ok(Due {
            kind: MailKind::Partstatus,
            party: party.id.clone(),
            to,
            language,
            days: vec![week],
            facts: self.facts(
                &words,
                party.name.clone(),
                Part::of(STATUS_PART, lines).into_iter().collect(),
            ),
        })
    }

    fn facts(&self, words: &Words<'_>, part: String, parts: Vec<Part>) -> ReportFacts {
        ReportFacts {
            dag: long_date(words.today, words.language),
            avsender: self.identity.name.clone(),
            part,
            antall: parts
                .iter()
                .fold(0, |sum, part| part.antall.saturating_add(sum)),
            avsnitt: parts,
        }
    }

    /// Where the digest goes: never into a mailbox that is watched.
    fn digest_address(&self, directory: &Directory) -> Option<String> {
        digest_address(self.policy.reports.to.as_deref(), directory)
    }

    fn report_mail(
        &self,
        due: &Due,
        in_force: &InForce,
        now_ms: i64,
    ) -> Result<ReportMail, ReportError> {
        let unwritten = |why: String| ReportError::Unwritten(due.kind.id(), why);
        let rendered = in_force
            .templates
            .render_report(due.kind, due.language, &due.facts)
            .map_err(|error| unwritten(error.to_string()))?;
        let key = self
            .keys
            .first()
            .ok_or_else(|| unwritten("no key to sign Message-IDs with".to_owned()))?;
        let seq = due.days.first().map_or(0, |day| compact(day.day));
        let draft = ReportDraft {
            kind: due.kind,
            party: due.party.clone(),
            day: seq,
            to: due.to.clone(),
            rendered,
            date_ms: now_ms,
        };
        let mail = compose_report(&self.identity, key, &draft)
            .map_err(|error| unwritten(error.to_string()))?;
        Ok(ReportMail {
            order: MailOrder {
                kind: due.kind,
                party: due.party.clone(),
                to: due.to.clone(),
                language: due.language,
                seq,
                held: false,
            },
            mail,
        })
    }
}

/// Where the digest goes: the configured address, else that of the party `samhandling`; none that is watched or sent from.
pub fn digest_address(configured: Option<&str>, directory: &Directory) -> Option<String> {
    let party = directory.party(SAMHANDLING);
    let of_party = party
        .into_iter()
        .flat_map(|party| party.send_to.iter().chain(&party.addresses))
        .map(String::as_str)
        .filter(|_| configured.is_none());
    configured
        .into_iter()
        .chain(of_party)
        .find(|address| !directory.is_own(address))
        .map(str::to_owned)
}

fn rendered(due: &Due, in_force: &InForce) -> Result<Report, ReportError> {
    let rendered = in_force
        .templates
        .render_report(due.kind, due.language, &due.facts)
        .map_err(|error| ReportError::Unwritten(due.kind.id(), error.to_string()))?;
    Ok(Report {
        kind: due.kind,
        party: due.party.clone(),
        subject: rendered.subject,
        text: rendered.text,
        lines: due.facts.antall,
    })
}

fn day_of(kind: &'static str, party: &str, day: Date) -> ReportDay {
    ReportDay {
        kind,
        party: party.to_owned(),
        day,
    }
}

/// A day as a number, 20260302.
fn compact(day: Date) -> i64 {
    i64::from(day.year())
        .saturating_mul(10_000)
        .saturating_add(i64::from(day.month()).saturating_mul(100))
        .saturating_add(i64::from(day.day()))
}

/// A sender's domain, as far as it looks like one.
fn domain(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if text.is_empty() {
        return "(ingen avsender)".to_owned();
    }
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        "(uvanlig domene)".to_owned()
    }
}

/// What turns cases and mails into lines.
struct Words<'a> {
    directory: &'a Directory,
    language: Language,
    today: Date,
}

impl Words<'_> {
    fn day(&self, day: Option<Date>) -> String {
        day.map(|day| long_date(day, self.language))
            .unwrap_or_default()
    }

    fn moment(&self, ms: i64) -> String {
        let day = long_date(calendar::oslo_day(ms), self.language);
        format!("{day} {}", calendar::oslo_clock(ms))
    }

    fn party(&self, id: &str) -> String {
        self.directory
            .party(id)
            .map_or_else(|| id.to_owned(), |party| party.name.clone())
    }

    fn case(&self, case: &Case, note: &str) -> Line {
        let note = match case.duplicate_of {
            Some(original) if note.is_empty() => format!("mulig dublett av {original}"),
            Some(original) => format!("{note}, mulig dublett av {original}"),
            None => note.to_owned(),
        };
        Line {
            sak: case.number.to_string(),
            type_navn: names::type_name(&case.kind).to_owned(),
            part: self.party(&case.destination),
            mottatt: self.day(Some(case.received_day)),
            frist: self.day(case.due_day),
            merknad: note,
            ..Line::default()
        }
    }

    fn mail(&self, mail: &NotDelivered) -> Line {
        let to = match (mail.party.as_str(), mail.kind) {
            ("", _) => "melderen".to_owned(),
            (_, MailKind::Vakt) => "vakten".to_owned(),
            (party, _) => self.party(party),
        };
        Line {
            sak: mail.case.map_or_else(
                || format!("e-post {}", mail.id),
                |number| number.to_string(),
            ),
            part: to,
            merknad: match (mail.address, mail.held) {
                (true, true) => format!("{}, adressen tar ikke imot e-post", mail.kind.navn()),
                (true, false) => format!("{}, kom i retur", mail.kind.navn()),
                (false, _) => mail.kind.navn().to_owned(),
            },
            ..Line::default()
        }
    }

    /// `None` for what stands on a list of its own until a person has placed it.
    fn unacknowledged(&self, case: &Case) -> Option<Line> {
        let Acknowledgement::Not(why_not) = case.acknowledgement else {
            return None;
        };
        let note = match why_not {
            WhyNot::UncertainType | WhyNot::Svar | WhyNot::IkkeAvvik | WhyNot::Joined => {
                return None;
            }
            WhyNot::NoAddress => "Kvittering og svar må gis i eDialog",
            other => names::reason_name(other.id()),
        };
        let mut line = self.case(case, note);
        line.frist = String::new();
        Some(line)
    }
}
