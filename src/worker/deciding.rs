//! From a stored message to its outcome: parse, classify, find the case it refers to, admit, store.

use super::compositor::Content;
use super::{Engine, InForce, WorkError};
use crate::calendar;
use crate::case::admit::{self, Admission, Arrival};
use crate::case::likeness::{self, Alike, Sketch};
use crate::case::surroundings::Surroundings;
use crate::case::undeliverable::{self, DeadAddresses, Returned, SentMail};
use crate::case::{self, Case, MailOrder};
use crate::config::Mode;
use crate::extractor::{ExtractorError, OpenError, Opened};
use crate::failpoint;
use crate::intake::svarinn;
use crate::message::extract::Extracted;
use crate::message::{self, Message};
use crate::outbox::message_id::{self, SigningKey};
use crate::rules::{ClassifyContext, RuleSet, Verdict, WhyNot};
use crate::store::{
    Ahead, Attempt, Group, Outcome, OwnReference, Pending, ReturnKeys, Settlement, StoreError,
    ThreadKeys,
};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{info, warn};

/// A message whose decision was begun this often and never finished kills the process: it is kept raw for a person. Not
/// fewer, since somebody who kills the process again and again hits some message more than once.
const ATTEMPTS_MAX: i64 = 10;
/// Messages that are claimed together, at most.
const CLAIM_MAX: u32 = 64;
/// Messages that are claimed and have no outcome yet, at most: more would not be decided before their claims run out.
const UNDER_WAY_MAX: usize = 192;
/// Messages that are stored together, at most.
const GROUP_MAX: usize = 64;
/// For how long a message is claimed: if the worker dies, another takes it over after that.
const CLAIM_MS: i64 = 60_000;
/// What the messages that are read at the same time may take together; one that is larger is read alone.
const READ_KIB: usize = 16 << 10;
/// How often a decision is made anew because somebody changed the case in between.
pub(super) const CONFLICTS_MAX: usize = 10;
/// The window of the acknowledgement brake.
const HOUR_MS: i64 = 3_600_000;

/// Headers in which servers write the address that a mail was delivered to, besides To and Cc.
const DELIVERED_TO: [&str; 4] = [
    "Delivered-To",
    "X-Original-To",
    "Envelope-To",
    "X-Envelope-To",
];

/// Outcome of a message left alone because the worker only observes.
const OBSERVED: &str = "observed";
/// Outcome of a message that arrived before the switch to live.
const BEFORE_LIVE: &str = "before-live";

/// A parsed and classified message; both are absent when it could not be parsed.
pub(super) struct Read {
    pub message: Option<Message>,
    pub verdict: Option<Verdict>,
    pub files: Vec<message::File>,
    /// What reading the attachments gave, by their place.
    pub extracted: Vec<(usize, Extracted)>,
}

impl Read {
    const NOTHING: Self = Self {
        message: None,
        verdict: None,
        files: Vec::new(),
        extracted: Vec::new(),
    };

    /// It only says that a forsendelse could not be read.
    fn is_notice(&self) -> bool {
        self.message
            .as_ref()
            .and_then(|message| message.forsendelse.as_ref())
            .is_some_and(|forsendelse| forsendelse.unread)
    }

    /// What of it may be handed on.
    pub(super) fn content(&self) -> Content {
        Content {
            text: self
                .message
                .as_ref()
                .map(message::report_text)
                .unwrap_or_default(),
            files: self.files.clone(),
        }
    }

    /// Rule set hash and verdict as JSON.
    pub(super) fn verdict_json(&self) -> Option<(String, String)> {
        let verdict = self.verdict.as_ref()?;
        let json = serde_json::to_string(verdict).ok()?;
        Some((verdict.ruleset.clone(), json))
    }

    pub(super) fn sender_domain(&self) -> String {
        self.message
            .as_ref()
            .and_then(Message::author)
            .map(message::Address::domain)
            .unwrap_or_default()
    }

    /// The sender's own reference, if somebody can be known by it.
    pub(super) fn own_reference(&self) -> Option<OwnReference> {
        let verdict = self.verdict.as_ref()?;
        let own = OwnReference {
            reference: verdict.reference.clone()?,
            address: verdict.reporter.address.clone(),
            party: verdict.reporter.party.clone().unwrap_or_default(),
        };
        (!own.address.is_empty() || !own.party.is_empty()).then_some(own)
    }

    pub(super) fn rfc_message_id(&self) -> Option<String> {
        self.message
            .as_ref()
            .and_then(|message| message.message_id.clone())
    }
}

/// A claimed message, until it is decided or given back.
struct Claimed {
    pending: Pending,
    in_force: InForce,
    /// One of those that may be under way.
    _one: OwnedSemaphorePermit,
}

/// A claimed message and what was read of it.
struct Item {
    claimed: Claimed,
    read: Read,
    prepared: Prepared,
    /// Its share of the memory that messages under way may take.
    _room: OwnedSemaphorePermit,
}

/// What costs time and asks nobody: made on all cores, before the message's turn to be stored.
#[derive(Default)]
struct Prepared {
    /// Rule set hash and verdict as JSON.
    verdict: Option<(String, String)>,
    /// By what it may refer to a case.
    threads: ThreadKeys,
    /// Of what may be a report.
    sketch: Option<Sketch>,
}

impl Prepared {
    fn of(keys: &[SigningKey], read: &Read) -> Self {
        let is_other = is_other_mail(read.verdict.as_ref());
        Self {
            verdict: read.verdict_json(),
            threads: thread_keys(keys, read),
            sketch: if is_other { None } else { sketch(keys, read) },
        }
    }
}

/// What was stored of a message, told once it is there to stay.
struct Settled {
    message_id: i64,
    queues: bool,
    what: &'static str,
    reason: String,
    case: Option<Case>,
    returned: Option<Returned>,
}

impl Settled {
    fn tell(&self) {
        let (row, what) = (self.message_id, self.what);
        if let Some(returned) = &self.returned {
            warn!(
                outbox.id = returned.mail,
                status = returned.status,
                "a mail came back; see «linjevei outbox list»"
            );
        }
        if let Some(case) = &self.case {
            info!(message.row = row, case.id = %case.number, case.state = case.state.id(), "message {what} a case");
        } else {
            info!(message.row = row, reason = self.reason, "message {what}");
        }
    }
}

/// What a round did not decide: tried again in the next one.
#[derive(Default)]
struct Undecided {
    /// Claimed, and not begun to be stored, for reasons that are not the message's.
    claimed: BTreeSet<i64>,
    /// The message is to blame.
    failed: Vec<i64>,
}

fn lock(undecided: &Mutex<Undecided>) -> MutexGuard<'_, Undecided> {
    undecided.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Undecided {
    /// This message waits for the next round, and holds back no other.
    ///
    /// # Errors
    /// The error itself, when the store can take nothing now: then it is not the message's.
    fn set_aside(&mut self, id: i64, error: WorkError) -> Result<(), WorkError> {
        if let WorkError::Store(store) = &error
            && store.is_temporary()
        {
            return Err(error);
        }
        warn!(message.row = id, %error, "this message could not be decided now; the others go on");
        // The machine is to blame where attachments cannot be read.
        if !matches!(error, WorkError::Extractor(_)) {
            self.claimed.remove(&id);
            self.failed.push(id);
        }
        Ok(())
    }
}

impl Engine {
    /// Decides all stored messages that have no outcome yet. Returns how many it decided. A message that cannot be decided
    /// holds back no other; it is tried again in the next round.
    ///
    /// # Errors
    /// [`WorkError`] when the store cannot take anything now; the rest stays undecided and is picked up later.
    pub async fn decide_pending(&self) -> Result<usize, WorkError> {
        self.decide_pending_with(&|_| ()).await
    }

    /// The same; calls `tick` after each message, with whether mail was queued for it.
    ///
    /// # Errors
    /// As [`Self::decide_pending`].
    pub async fn decide_pending_with(
        &self,
        tick: &(dyn Fn(bool) + Send + Sync),
    ) -> Result<usize, WorkError> {
        let undecided = Mutex::new(Undecided::default());
        let decided = self.decide_claimed(&undecided, tick).await;
        let undecided = undecided
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let innocent: Vec<i64> = undecided.claimed.into_iter().collect();
        for (ids, attempt) in [
            (innocent, Attempt::TakenBack),
            (undecided.failed, Attempt::Counts),
        ] {
            // Where not even this can be written, the claim runs out by itself.
            if !ids.is_empty()
                && let Err(error) = self.store.give_back(&ids, attempt).await
            {
                warn!(%error, "messages that were not decided stay claimed for a minute");
            }
        }
        decided
    }

    /// Three things at the same time: messages are claimed, those that are claimed are read, those that are read are stored, all
    /// in the order in which they came, so that an answer is never stored before what it answers. Where one of the three ends
    /// early the others end too, since nobody takes or gives them anything any more.
    async fn decide_claimed(
        &self,
        undecided: &Mutex<Undecided>,
        tick: &(dyn Fn(bool) + Send + Sync),
    ) -> Result<usize, WorkError> {
        let (claimed, to_read) = mpsc::channel(1);
        let (read, to_store) = mpsc::channel(GROUP_MAX);
        let (claiming, (), storing) = tokio::join!(
            self.claim_all(claimed, undecided),
            self.read_all(to_read, read),
            self.store_all(to_store, undecided, tick),
        );
        let decided = storing?;
        claiming?;
        Ok(decided)
    }

    /// Claims messages until there are none.
    async fn claim_all(
        &self,
        to_read: mpsc::Sender<Vec<Claimed>>,
        undecided: &Mutex<Undecided>,
    ) -> Result<(), WorkError> {
        let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        loop {
            let Ok(mut room) = Arc::clone(&under_way).acquire_many_owned(CLAIM_MAX).await else {
                return Ok(());
            };
            if to_read.is_closed() {
                return Ok(());
            }
            let found = self
                .store
                .claim_undecided(CLAIM_MAX, CLAIM_MS, self.clock.now_ms())
                .await?;
            if found.is_empty() {
                return Ok(());
            }
            failpoint::pass("decide.claimed");
            lock(undecided)
                .claimed
                .extend(found.iter().map(|pending| pending.id));
            let is_suspect = found.iter().any(|pending| pending.attempts > 1);
            let in_force = self.rulebook.current();
            let claimed = found.into_iter().filter_map(|pending| {
                Some(Claimed {
                    pending,
                    in_force: in_force.clone(),
                    _one: room.split(1)?,
                })
            });
            let claimed: Vec<Claimed> = claimed.collect();
            drop(room);
            // One whose attempt never ended comes alone: if it kills the process, it shall kill nobody else's attempt.
            let alone = if is_suspect {
                let others = UNDER_WAY_MAX.saturating_sub(claimed.len());
                under_way
                    .acquire_many(u32::try_from(others).unwrap_or(u32::MAX))
                    .await
                    .ok()
            } else {
                None
            };
            if to_read.send(claimed).await.is_err() {
                return Ok(());
            }
            if alone.is_some() {
                let _decided = under_way.acquire().await;
            }
        }
    }

    /// Reads on all cores what is claimed.
    async fn read_all(
        &self,
        claimed: mpsc::Receiver<Vec<Claimed>>,
        to_store: mpsc::Sender<(i64, Result<Item, WorkError>)>,
    ) {
        let at_once = std::thread::available_parallelism()
            .map_or(1, NonZeroUsize::get)
            .saturating_mul(2);
        let room = Arc::new(Semaphore::new(READ_KIB));
        let claimed = stream::unfold(claimed, async |mut claimed| {
            Some((stream::iter(claimed.recv().await?), claimed))
        });
        let mut messages = pin!(
            claimed
                .flatten()
                .map(|claimed| self.read_claimed(claimed, &room))
                .buffered(at_once)
        );
        while let Some(message) = messages.next().await {
            if to_store.send(message).await.is_err() {
                return;
            }
        }
    }

    /// Stores what is read, in groups. Returns how many messages were decided.
    async fn store_all(
        &self,
        mut read: mpsc::Receiver<(i64, Result<Item, WorkError>)>,
        undecided: &Mutex<Undecided>,
        tick: &(dyn Fn(bool) + Send + Sync),
    ) -> Result<usize, WorkError> {
        let mut decided = 0_usize;
        let mut group = Vec::with_capacity(GROUP_MAX);
        while read.recv_many(&mut group, GROUP_MAX).await > 0 {
            let mut items = Vec::with_capacity(group.len());
            for (id, read) in group.drain(..) {
                match read {
                    Ok(item) => items.push(item),
                    Err(error) => lock(undecided).set_aside(id, error)?,
                }
            }
            for settled in self.settle_all(items, undecided).await? {
                settled.tell();
                tick(settled.queues);
                decided = decided.saturating_add(1);
            }
        }
        Ok(decided)
    }

    async fn read_claimed(
        &self,
        claimed: Claimed,
        room: &Arc<Semaphore>,
    ) -> (i64, Result<Item, WorkError>) {
        let pending = &claimed.pending;
        let id = pending.id;
        let kib = u32::try_from(pending.size_bytes / 1024).unwrap_or(u32::MAX);
        let kib = kib.clamp(1, u32::try_from(READ_KIB).unwrap_or(u32::MAX));
        let Ok(room) = Arc::clone(room).acquire_many_owned(kib).await else {
            return (id, Err(WorkError::TaskLost));
        };
        let read = if pending.attempts > ATTEMPTS_MAX {
            warn!(
                message.row = id,
                attempts = pending.attempts,
                "deciding this message never finished; a person gets it unread"
            );
            Ok((Read::NOTHING, Prepared::default()))
        } else {
            let keys = Arc::clone(&self.keys);
            let prepare = move |read: Read| {
                let prepared = Prepared::of(&keys, &read);
                (read, prepared)
            };
            let rules = &claimed.in_force.rules;
            self.read_from(id, &pending.mailbox, Vec::new(), rules, prepare)
                .await
        };
        failpoint::pass("decide.read");
        let item = read.map(|(read, prepared)| Item {
            claimed,
            read,
            prepared,
            _room: room,
        });
        (id, item)
    }

    /// Stores what becomes of the messages, together. Where that fails each is stored alone, so that one that cannot be stored
    /// holds back no other.
    async fn settle_all(
        &self,
        items: Vec<Item>,
        undecided: &Mutex<Undecided>,
    ) -> Result<Vec<Settled>, WorkError> {
        if items.len() > 1 {
            match self.settle_group(&items).await {
                Err(WorkError::Store(error @ StoreError::Temporary { .. })) => {
                    return Err(WorkError::Store(error));
                }
                Err(_) => {}
                Ok(settled) => {
                    let mut undecided = lock(undecided);
                    for item in &items {
                        undecided.claimed.remove(&item.claimed.pending.id);
                    }
                    return Ok(settled);
                }
            }
        }
        let mut done = Vec::with_capacity(items.len());
        for item in &items {
            let id = item.claimed.pending.id;
            let item = std::slice::from_ref(item);
            let mut outcome = Err(WorkError::Store(StoreError::Conflict));
            for _ in 0..CONFLICTS_MAX {
                outcome = self.settle_group(item).await;
                if !matches!(outcome, Err(WorkError::Store(StoreError::Conflict))) {
                    break;
                }
            }
            match outcome {
                Ok(settled) => {
                    done.extend(settled);
                    lock(undecided).claimed.remove(&id);
                }
                Err(error) => lock(undecided).set_aside(id, error)?,
            }
        }
        Ok(done)
    }

    /// Stores what becomes of the messages, all or none.
    async fn settle_group(&self, items: &[Item]) -> Result<Vec<Settled>, WorkError> {
        let ids: Vec<i64> = items.iter().map(|item| item.claimed.pending.id).collect();
        let mut group = self.store.group(&ids).await?;
        if items.len() > 1 {
            group.look_ahead(&self.ahead(items)).await?;
        }
        let mut settled = Vec::with_capacity(items.len());
        for item in items {
            settled.push(self.settle(group.as_mut(), item).await?);
        }
        group.commit().await?;
        Ok(settled)
    }

    /// What the messages will be compared with.
    fn ahead<'a>(&self, items: &'a [Item]) -> Ahead<'a> {
        let verdicts = items.iter().filter_map(|item| item.read.verdict.as_ref());
        Ahead {
            threads: items.iter().map(|item| &item.prepared.threads).collect(),
            addresses: verdicts
                .map(|verdict| verdict.reporter.address.as_str())
                .filter(|address| !address.is_empty())
                .collect(),
            sketches: items
                .iter()
                .filter_map(|item| item.prepared.sketch.as_ref())
                .collect(),
            since_ms: self.clock.now_ms().saturating_sub(HOUR_MS),
        }
    }

    /// Reads and classifies a stored message.
    pub(super) async fn read(
        &self,
        message_id: i64,
        rules: &Arc<RuleSet>,
    ) -> Result<Read, WorkError> {
        let mailbox = self.store.mailbox(message_id).await?;
        let known = self.store.attachment_texts(message_id).await?;
        self.read_from(message_id, &mailbox, known, rules, |read| read)
            .await
    }

    /// The same; `mailbox` is where it lay at its source, `known` is what reading its attachments gave before. `then` goes on
    /// where it was read, beside what else is read.
    async fn read_from<T: Send + 'static>(
        &self,
        message_id: i64,
        mailbox: &str,
        known: Vec<(usize, Extracted)>,
        rules: &Arc<RuleSet>,
        then: impl FnOnce(Read) -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let raw = self.store.raw(message_id).await?.unwrap_or_default();
        let (rules, limits, authserv_id, extractor) = (
            Arc::clone(rules),
            self.limits.clone(),
            self.policy.authserv_id.clone(),
            Arc::clone(&self.extractor),
        );
        let from_svarinn = svarinn::is_svarinn(mailbox);
        let read = tokio::task::spawn_blocking(move || {
            let opened = extractor.open_again(&raw, &limits, &known);
            let read = if from_svarinn {
                // Its headers are intake's own, and it needs no mail server to say who sent it.
                let opened = opened.map(|mut opened| {
                    message::forsendelse::vouch(&mut opened.message);
                    opened
                });
                read(opened, &rules, None)
            } else {
                read(opened, &rules, authserv_id)
            };
            read.map(then)
        });
        let read = read.await.map_err(|_| WorkError::TaskLost)?;
        Ok(read?)
    }

    async fn settle(&self, group: &mut dyn Group, item: &Item) -> Result<Settled, WorkError> {
        let Item {
            claimed: Claimed {
                pending, in_force, ..
            },
            read,
            prepared,
            ..
        } = item;
        let now_ms = self.clock.now_ms();
        let received_at_ms = admit::received_at_ms(
            pending.internal_date_ms,
            read.message.as_ref(),
            pending.first_seen_at_ms,
        );
        let (outcome, sketch, returned) = if self.mode == Mode::Observe {
            (Outcome::LeftAlone(OBSERVED.to_owned()), None, None)
        } else if received_at_ms < self.live_since.at_ms
            && self.live_since.sources.contains(&pending.source)
        {
            (Outcome::LeftAlone(BEFORE_LIVE.to_owned()), None, None)
        } else if self.is_own_report(read) {
            // A digest that found its way into a watched mailbox would be told of by the next one, for ever.
            let reason = WhyNot::OwnAddress.id().to_owned();
            (Outcome::LeftAlone(reason), None, None)
        } else {
            self.admit(
                group,
                pending,
                read,
                prepared,
                in_force,
                received_at_ms,
                now_ms,
            )
            .await?
        };
        let mails: &[MailOrder] = match &outcome {
            Outcome::Opened(change) | Outcome::Joined(change) => &change.mails,
            Outcome::LeftAlone(_) => &[],
        };
        let queues = !mails.is_empty();
        let content = mails
            .iter()
            .any(|order| order.kind.carries_content())
            .then(|| read.content());
        let settlement = Settlement {
            message_id: pending.id,
            received_at_ms,
            sender_domain: read.sender_domain(),
            rfc_message_id: read.rfc_message_id(),
            own: read.own_reference(),
            verdict: prepared.verdict.clone(),
            sketch,
            attachment_texts: read.extracted.clone(),
            adopted: false,
            returned,
            outcome,
            at_ms: now_ms,
        };
        let what = match &settlement.outcome {
            Outcome::Opened(_) => "opened",
            Outcome::Joined(_) => "joined",
            Outcome::LeftAlone(_) => "left alone",
        };
        let reason = match &settlement.outcome {
            Outcome::LeftAlone(reason) => reason.clone(),
            Outcome::Opened(_) | Outcome::Joined(_) => String::new(),
        };
        let returned = settlement.returned.clone();
        let composer = Arc::new(self.compositor(in_force, content, now_ms));
        let case = group.settle(settlement, composer).await?;
        failpoint::pass("decide.settled");
        Ok(Settled {
            message_id: pending.id,
            queues,
            what,
            reason,
            case,
            returned,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what is known of a message comes from as many places"
    )]
    async fn admit(
        &self,
        group: &mut dyn Group,
        pending: &Pending,
        read: &Read,
        prepared: &Prepared,
        in_force: &InForce,
        received_at_ms: i64,
        now_ms: i64,
    ) -> Result<(Outcome, Option<Sketch>, Option<Returned>), WorkError> {
        let unread = unread_before(group, read).await?;
        let came_back = match &read.message {
            Some(message) => self.came_back(group, message).await?,
            None => None,
        };
        let thread = if unread.is_none() && read.message.is_some() {
            let mut keys = prepared.threads.clone();
            // What is known by its return path alone has its case by that.
            let of_mail = came_back.as_ref().filter(|_| keys.signed.is_empty());
            if let Some(number) = of_mail.and_then(|came_back| came_back.case) {
                keys.signed.push(number);
            }
            group.find_thread(&keys).await?
        } else {
            None
        };
        let sent = came_back.as_ref().map(|came_back| &came_back.mail);
        let returned = read
            .message
            .as_ref()
            .and_then(|message| message.bounce.as_ref())
            .zip(sent)
            .and_then(|(report, mail)| undeliverable::returned(report, mail));
        // A report about the digest belongs to no case, whatever the rules say of it.
        if sent.is_some_and(|mail| !mail.of_case) {
            let reason = WhyNot::Bounce.id().to_owned();
            return Ok((Outcome::LeftAlone(reason), None, returned));
        }
        let dead = group.dead_addresses().await?;
        let address = read
            .verdict
            .as_ref()
            .map(|verdict| verdict.reporter.address.as_str())
            .unwrap_or_default();
        let recent_acknowledgements = if address.is_empty() {
            0
        } else {
            group
                .acknowledgements_since(address, now_ms.saturating_sub(HOUR_MS))
                .await?
        };
        // Most mail is none of ours: it is compared with nothing.
        let is_other = thread.is_none() && is_other_mail(read.verdict.as_ref());
        let sketch = if is_other || read.is_notice() {
            None
        } else {
            prepared.sketch.clone().or_else(|| self.sketch(read))
        };
        let repeats = match &sketch {
            Some(sketch) => {
                likeness::repeated(sketch, &group.earlier(sketch, received_at_ms).await?)
            }
            None => None,
        };
        let arrival = Arrival {
            message_id: pending.id,
            received_at_ms,
            first_seen_at_ms: pending.first_seen_at_ms,
            message: read.message.as_ref(),
            verdict: read.verdict.as_ref(),
        };
        let around = Surroundings {
            repeats,
            returned: sent,
            ..self.surroundings(in_force, &dead, now_ms, recent_acknowledgements)
        };
        if let Some(case) = unread {
            let change = admit::complete(&arrival, case, &around);
            return Ok((Outcome::Joined(Box::new(change)), sketch, returned));
        }
        let outcome = match admit::admit(&arrival, thread, &around) {
            Admission::Opened(change) => Outcome::Opened(change),
            Admission::Joined(change) => Outcome::Joined(change),
            Admission::LeftAlone(reason) => Outcome::LeftAlone(reason),
        };
        let sketch = sketch.filter(|_| matches!(outcome, Outcome::Opened(_)));
        Ok((outcome, sketch, returned))
    }

    /// The mail of ours that a delivery report proves to be about: by our signed Message-ID or `X-Linjevei-Id` in what came
    /// back, by the Message-ID that a server put in place of ours, or by the return path that it came to.
    async fn came_back(
        &self,
        group: &mut dyn Group,
        message: &Message,
    ) -> Result<Option<CameBack>, StoreError> {
        let Some(report) = &message.bounce else {
            return Ok(None);
        };
        let signed: Vec<String> = report
            .linjevei_id
            .iter()
            .chain(&report.original_message_id)
            .chain(&message.in_reply_to)
            .filter(|id| message_id::is_ours(&self.keys, id))
            .map(|id| message_id::local_part(id).to_owned())
            .collect();
        let delivered_to = DELIVERED_TO
            .iter()
            .filter_map(|name| message.header(name))
            .map(|value| value.trim_matches(['<', '>', ' ']).to_owned());
        let verps = message
            .to
            .iter()
            .chain(&message.cc)
            .map(|address| address.address.clone())
            .chain(delivered_to)
            .filter_map(|address| message_id::verp(&self.identity.bounce_address, &address))
            .collect();
        let keys = ReturnKeys {
            signed,
            cited: report
                .original_message_id
                .iter()
                .chain(&message.in_reply_to)
                .chain(&message.references)
                .cloned()
                .collect(),
            verps,
        };
        let mail = group.sent_mail(&keys).await?;
        Ok(mail.map(|(mail, case)| CameBack { mail, case }))
    }

    fn is_own_report(&self, read: &Read) -> bool {
        read.rfc_message_id()
            .is_some_and(|id| message_id::is_report(&self.keys, &id))
    }

    /// By what a later report is known as possibly the same.
    pub(super) fn sketch(&self, read: &Read) -> Option<Sketch> {
        sketch(&self.keys, read)
    }

    /// The earlier case that a report seems to repeat.
    pub(super) async fn repeats(
        &self,
        sketch: Option<&Sketch>,
        received_at_ms: i64,
    ) -> Result<Option<(case::CaseNumber, Alike)>, StoreError> {
        let Some(sketch) = sketch else {
            return Ok(None);
        };
        let earlier = self.store.earlier(sketch, received_at_ms).await?;
        Ok(likeness::repeated(sketch, &earlier))
    }

    pub(super) fn surroundings<'a>(
        &'a self,
        in_force: &'a InForce,
        dead: &'a DeadAddresses,
        now_ms: i64,
        recent_acknowledgements: u32,
    ) -> Surroundings<'a> {
        Surroundings {
            directory: in_force.rules.directory(),
            policy: &self.policy,
            now_ms,
            recent_acknowledgements,
            dead,
            returned: None,
            repeats: None,
        }
    }

    pub(super) async fn recent_acknowledgements(
        &self,
        address: &str,
        now_ms: i64,
    ) -> Result<u32, StoreError> {
        if address.is_empty() {
            return Ok(0);
        }
        self.store
            .acknowledgements_since(address, now_ms.saturating_sub(HOUR_MS))
            .await
    }

    /// A person's order on a case: decided on its present state, stored with the mail it asks for.
    ///
    /// # Errors
    /// [`PersonError`] when the order does not fit, or the store fails; nothing is changed then.
    pub async fn carry_out(
        &self,
        number: case::CaseNumber,
        order: &case::person::Order,
        actor: &case::Actor,
        reason: &str,
    ) -> Result<Case, PersonError> {
        let in_force = self.rulebook.current();
        for _ in 0..CONFLICTS_MAX {
            let case = self
                .store
                .case(number)
                .await?
                .ok_or(PersonError::NoSuchCase(number))?;
            if *order == case::person::Order::Reopen && case.merged_into.is_some() {
                match self.take_out(&case, actor, reason).await {
                    Err(PersonError::Work(WorkError::Store(StoreError::Conflict))) => continue,
                    other => return other,
                }
            }
            let read = if case.message_id == 0 {
                Read::NOTHING
            } else {
                self.read(case.message_id, &in_force.rules).await?
            };
            let addressed: Vec<String> = read
                .message
                .iter()
                .flat_map(|message| message.to.iter().chain(&message.cc))
                .map(message::Address::key)
                .collect();
            let now_ms = self.clock.now_ms();
            let recent = self
                .recent_acknowledgements(&case.reporter_address, now_ms)
                .await?;
            let dead = self.store.dead_addresses().await?;
            let change = case::person::carry_out(
                &case,
                order,
                actor,
                reason,
                &addressed,
                &self.surroundings(&in_force, &dead, now_ms, recent),
            )?;
            self.refuse_without_content(&change).await?;
            let content = read.content();
            match self
                .store
                .apply(change, &self.compositor(&in_force, Some(content), now_ms))
                .await
            {
                Err(StoreError::Conflict) => {}
                other => return Ok(other?),
            }
        }
        Err(PersonError::Work(WorkError::Store(StoreError::Conflict)))
    }

    /// A party is not sent a case whose text and files retention has deleted: it would get an empty one.
    async fn refuse_without_content(&self, change: &case::Change) -> Result<(), PersonError> {
        let hands_on = change
            .mails
            .iter()
            .any(|order| order.kind.carries_content() || order.kind == case::MailKind::Varsel);
        if !hands_on {
            return Ok(());
        }
        self.refuse_deleted(change.case.message_id, &change.case.number.to_string())
            .await
    }

    /// What retention has deleted cannot be handed on or read anew.
    pub(super) async fn refuse_deleted(
        &self,
        message_id: i64,
        what: &str,
    ) -> Result<(), PersonError> {
        let Some(deleted_ms) = self.store.content_deleted_ms(message_id).await? else {
            return Ok(());
        };
        let day = calendar::oslo_day(deleted_ms);
        Err(PersonError::Refused(format!(
            "the content of {what} was deleted on {day}, when its time was over, so there is nothing to hand on; get the report \
             from the reporter again, or register it with «cases new»"
        )))
    }

    /// Says in the history of a case that a person sees content of it.
    ///
    /// # Errors
    /// [`PersonError`]; nothing is changed then.
    pub async fn note_shown(
        &self,
        number: case::CaseNumber,
        actor: &case::Actor,
        data: serde_json::Value,
    ) -> Result<(), PersonError> {
        let in_force = self.rulebook.current();
        for _ in 0..CONFLICTS_MAX {
            let found = self.store.case(number).await?;
            let mut change = case::Change::of(found.ok_or(PersonError::NoSuchCase(number))?);
            let now_ms = self.clock.now_ms();
            change.record_by(case::EventKind::Shown, now_ms, actor, data.clone());
            let composer = self.compositor(&in_force, None, now_ms);
            match self.store.apply(change, &composer).await {
                Err(StoreError::Conflict) => {}
                other => return other.map(|_| ()).map_err(Into::into),
            }
        }
        Err(PersonError::Work(WorkError::Store(StoreError::Conflict)))
    }

    /// A case that came by paper or telephone.
    ///
    /// # Errors
    /// [`PersonError`] when type or party do not exist, or the store fails.
    pub async fn new_case(
        &self,
        kind: &str,
        party: &str,
        actor: &case::Actor,
        reason: &str,
        received_at_ms: i64,
    ) -> Result<Case, PersonError> {
        let now_ms = self.clock.now_ms();
        let in_force = self.rulebook.current();
        let dead = self.store.dead_addresses().await?;
        let change = case::person::new_case(
            kind,
            party,
            actor,
            reason,
            received_at_ms,
            &self.surroundings(&in_force, &dead, now_ms, 0),
        )?;
        Ok(self
            .store
            .apply(change, &self.compositor(&in_force, None, now_ms))
            .await?)
    }
}

/// By what the message may refer to a case: the nearest reference stands last in `References`, so it is looked at first.
fn thread_keys(keys: &[SigningKey], read: &Read) -> ThreadKeys {
    let Some(message) = &read.message else {
        return ThreadKeys::default();
    };
    let cited: Vec<String> = message
        .in_reply_to
        .iter()
        .chain(message.references.iter().rev())
        .cloned()
        .collect();
    let returned = message
        .bounce
        .iter()
        .flat_map(|bounce| bounce.linjevei_id.iter().chain(&bounce.original_message_id));
    let signed = cited
        .iter()
        .chain(returned)
        .filter_map(|id| message_id::verify(keys, id))
        .collect();
    ThreadKeys {
        signed,
        tokens: case::number::tokens(&message.subject),
        cited,
        own: read.own_reference(),
    }
}

fn sketch(keys: &[SigningKey], read: &Read) -> Option<Sketch> {
    let (message, verdict, key) = (
        read.message.as_ref()?,
        read.verdict.as_ref()?,
        keys.first()?,
    );
    let sketch = Sketch::of(message, verdict, &key.likeness());
    (!sketch.is_empty()).then_some(sketch)
}

fn read(
    opened: Result<Opened, OpenError>,
    rules: &RuleSet,
    authserv_id: Option<String>,
) -> Result<Read, ExtractorError> {
    match opened {
        Ok(opened) => {
            let verdict = rules.classify(&opened.message, &ClassifyContext { authserv_id });
            Ok(Read {
                verdict: Some(verdict),
                message: Some(opened.message),
                files: opened.files,
                extracted: opened.extracted,
            })
        }
        Err(OpenError::Parse(error)) => {
            warn!(error = %error, "a message could not be parsed; a person gets it unread");
            Ok(Read::NOTHING)
        }
        Err(OpenError::Extractor(error)) => Err(error),
    }
}

/// The case of the notice that this forsendelse could not be read.
async fn unread_before(group: &mut dyn Group, read: &Read) -> Result<Option<Case>, StoreError> {
    let forsendelse = read
        .message
        .as_ref()
        .and_then(|message| message.forsendelse.as_ref());
    let Some(forsendelse) = forsendelse.filter(|forsendelse| !forsendelse.unread) else {
        return Ok(None);
    };
    let keys = ThreadKeys {
        cited: vec![svarinn::notice_id(&forsendelse.id)],
        ..ThreadKeys::default()
    };
    let thread = group.find_thread(&keys).await?;
    Ok(thread.map(|thread| thread.case))
}

/// A mail of ours that came back, and its case, if it belongs to one.
struct CameBack {
    mail: SentMail,
    case: Option<case::CaseNumber>,
}

/// Certainly no report.
fn is_other_mail(verdict: Option<&Verdict>) -> bool {
    verdict.is_some_and(|verdict| {
        verdict.kind.certain && verdict.kind.value.as_deref() == Some("ikke-avvik")
    })
}

/// A person's order could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// There is no such case.
    #[error("there is no case {0}")]
    NoSuchCase(case::CaseNumber),
    /// There is no such message.
    #[error("there is no message {0}; see «linjevei messages list»")]
    NoSuchMessage(i64),
    /// It cannot be done with that message; the text says why and what to do instead.
    #[error("{0}")]
    Refused(String),
    /// The order does not fit the case.
    #[error(transparent)]
    Order(#[from] case::person::OrderError),
    /// Store or reading failed.
    #[error(transparent)]
    Work(#[from] WorkError),
}

impl From<StoreError> for PersonError {
    fn from(error: StoreError) -> Self {
        Self::Work(error.into())
    }
}
