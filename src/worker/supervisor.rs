//! All loops under one roof: one for each source, one that decides, one that sends, one that
//! chases, one that reloads edited rules, one for daily upkeep; beside them the health end point and the watchdog's feeder.
//!
//! Two tokens: `soft` means take no new work and finish what is in hand; `hard` comes when the grace period is over. A loop
//! that ends by surprise stops the process with a failing exit code; a service manager starts it again, and what was in hand
//! is picked up from the store.

use super::fellows::{self, Fellows, Keeper, Turn};
use super::health::{Counted, Examiner, HealthLimits};
use super::reloading::{Reloader, RuleFolders};
use super::retention::Retention;
use super::vitals::{Pulse, Vitals};
use super::{Engine, WorkError, endpoint, reconciling, service, warming};
use crate::intake::MailSource;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// Undecided messages that nobody announced (a store that was locked) are looked for this often.
const DECIDE_EVERY: Duration = Duration::from_mins(1);
/// Time is looked at this often.
const CHASE_EVERY: Duration = Duration::from_mins(1);
/// The outbox is looked at least this often: other processes queue mail too.
const SEND_EVERY: Duration = Duration::from_secs(15);
/// Least time between two rounds of sending when the last one could not send.
const SEND_PAUSE: Duration = Duration::from_secs(5);

/// Longest time for telling other workers that this one stops.
const PART_MAX: Duration = Duration::from_secs(5);

/// Daily upkeep is looked at this often.
const UPKEEP_EVERY: Duration = Duration::from_mins(10);
/// Time between two runs of daily upkeep.
const DAY_MS: i64 = 86_400_000;
/// Longest time for one step of a loop: longer than everything that has a time limit of its own, such as sending one mail
/// (25 minutes).
const STEP_MAX: Duration = Duration::from_mins(30);

/// Everything that the worker is made of.
pub struct Service {
    /// Store, rules, transport.
    pub engine: Engine,
    /// The watched mailboxes.
    pub sources: Vec<Watched>,
    /// Rules and templates, to be reloaded.
    pub folders: Arc<dyn RuleFolders>,
    /// Their fingerprint, taken before what the engine has in force was read from them.
    pub fingerprint: u64,
    /// How long content is kept.
    pub retention: Retention,
    /// Where somebody may ask how it is, and when something is too old; `None`: nowhere.
    pub health: Option<(TcpListener, HealthLimits)>,
    /// How long what is in hand may take after a stop.
    pub grace: Duration,
}

/// A watched mailbox.
pub struct Watched {
    /// The source.
    pub source: Box<dyn MailSource>,
    /// Longest time between two checks.
    pub poll: Duration,
}

/// A loop ended by surprise.
#[derive(Debug, thiserror::Error)]
#[error("the loop «{0}» ended by surprise")]
pub struct LoopLost(String);

/// What the loops tell each other.
#[derive(Debug)]
struct Bell {
    /// Messages are stored.
    stored: Notify,
    /// Mail is queued.
    queued: Notify,
    /// Counts rounds of deciding, so that sources treat what is ours at once.
    decided: watch::Sender<u64>,
    /// What lay undecided at the start was gone through once: only what is left then does not add up.
    gone_through: watch::Sender<bool>,
}

/// Runs until `soft` is cancelled and everything in hand is done, at most the grace period longer.
///
/// # Errors
/// [`LoopLost`] when a loop ended by surprise.
pub async fn run(worker: Service, soft: CancellationToken) -> Result<(), LoopLost> {
    let Service {
        engine,
        sources,
        folders,
        fingerprint,
        retention,
        health,
        grace,
    } = worker;
    let bell = Arc::new(Bell {
        stored: Notify::new(),
        queued: Notify::new(),
        decided: watch::Sender::new(0),
        gone_through: watch::Sender::new(false),
    });
    if let Err(error) = engine.store.release_claims().await {
        warn!(error = %error, "messages that an earlier worker was deciding stay claimed for a minute");
    }
    match engine
        .store
        .recover_sending(true, engine.clock.now_ms())
        .await
    {
        Ok(0) => {}
        Ok(count) => warn!(
            count,
            "mail whose sending was cut off; each is tried once more half an hour after it began"
        ),
        Err(error) => warn!(error = %error, "the outbox could not be looked through at start"),
    }
    let vitals = Vitals::default();
    let fellows = Fellows::default();
    let mut keeper = Keeper::new(engine.clone(), fellows.clone());
    let store = Arc::clone(&engine.store);
    // They have nothing in hand when the loops have ended, and end with this function.
    let mut helpers: JoinSet<()> = JoinSet::new();
    if let Some((listener, limits)) = health {
        let examiner = Examiner {
            engine: engine.clone(),
            vitals: vitals.clone(),
            fellows,
            limits,
            started_at_ms: engine.clock.now_ms(),
            counted: Counted::default(),
        };
        helpers.spawn(endpoint::serve(listener, examiner));
    }
    helpers.spawn(service::feed_watchdog(vitals.clone()));
    helpers.spawn(warming::keep_warm(engine.clone()));
    let mut loops: JoinSet<String> = JoinSet::new();
    let watched = sources.len();
    let names = sources
        .iter()
        .map(|watched| watched.source.name().to_owned());
    let upkeep = Upkeep {
        engine: engine.clone(),
        retention,
        watched: names.collect(),
    };
    let pulse = |name: &str, pause: Duration| vitals.pulse(name, pause.saturating_add(STEP_MAX));
    for Watched { source, poll } in sources {
        let beat = pulse(source.name(), poll);
        let turn = keeper.source(source.name());
        loops.spawn(watch_source(
            engine.clone(),
            source,
            poll,
            Arc::clone(&bell),
            turn,
            beat,
            soft.clone(),
        ));
    }
    helpers.spawn(keeper.run());
    let beat = pulse("decide", DECIDE_EVERY);
    loops.spawn(decide(
        engine.clone(),
        Arc::clone(&bell),
        beat,
        soft.clone(),
    ));
    let beat = pulse("send", SEND_EVERY);
    loops.spawn(send(engine.clone(), Arc::clone(&bell), beat, soft.clone()));
    let beat = pulse("chase", CHASE_EVERY);
    loops.spawn(chase(engine.clone(), Arc::clone(&bell), beat, soft.clone()));
    let beat = pulse("upkeep", UPKEEP_EVERY);
    loops.spawn(upkeep.run(bell.gone_through.subscribe(), beat, soft.clone()));
    let beat = pulse("reload", Duration::ZERO);
    let reloader = Reloader::start(engine, folders, fingerprint).await;
    loops.spawn(reloader.run(soft.clone(), beat));
    service::ready();
    info!(sources = watched, "linjevei is running");

    let lost = until_ended(&mut loops, &soft, grace).await;
    helpers.shutdown().await;
    // Else others wait for the leases to run out.
    if let Ok(Err(error)) = tokio::time::timeout(PART_MAX, store.part()).await {
        warn!(%error, "other workers could not be told of the stop");
    }
    info!("linjevei has stopped");
    lost.map_or(Ok(()), Err)
}

/// Waits for all loops, after a stop at most the grace period.
async fn until_ended(
    loops: &mut JoinSet<String>,
    soft: &CancellationToken,
    grace: Duration,
) -> Option<LoopLost> {
    let mut lost = None;
    let mut hard: Option<Instant> = None;
    loop {
        let out_of_grace = async {
            match hard {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = soft.cancelled(), if hard.is_none() => {
                info!(grace_secs = grace.as_secs(), "stopping: taking no new work, finishing what is in hand");
                service::stopping();
                hard = Instant::now().checked_add(grace);
            }
            () = out_of_grace => {
                warn!("the grace period is over; what is in hand is picked up at the next start");
                loops.abort_all();
                break;
            }
            ended = loops.join_next() => match ended {
                None => break,
                Some(result) if soft.is_cancelled() => {
                    if let Err(error) = result {
                        error!(error = %error, "a loop failed while stopping");
                    }
                }
                Some(result) => {
                    let name = result.unwrap_or_else(|error| error.to_string());
                    error!(name, "a loop ended by surprise; stopping");
                    lost = Some(LoopLost(name));
                    soft.cancel();
                }
            },
        }
    }
    lost
}

/// Pauses after failures: doubling, with jitter, capped.
#[derive(Debug)]
struct Pause(Duration);

impl Pause {
    const fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    fn reset(&mut self) {
        self.0 = PAUSE_FIRST;
    }

    async fn wait(&mut self, soft: &CancellationToken) {
        let spread = u32::from(super::sending::random_byte());
        // Between 75 % and 125 % of the pause.
        let jittered = self.0.mul_f64(0.75 + f64::from(spread) / 510.0);
        pause(jittered, soft).await;
        self.0 = self.0.saturating_mul(2).min(PAUSE_MAX);
    }
}

async fn pause(duration: Duration, soft: &CancellationToken) {
    tokio::select! {
        () = sleep(duration) => {}
        () = soft.cancelled() => {}
    }
}

async fn watch_source(
    engine: Engine,
    mut source: Box<dyn MailSource>,
    poll: Duration,
    bell: Arc<Bell>,
    mut turn: Turn,
    pulse: Arc<Pulse>,
    soft: CancellationToken,
) -> String {
    let name = source.name().to_owned();
    let mut reconcile_at_ms = None;
    let mut pause_after = Pause::new();
    let mut decided = bell.decided.subscribe();
    let mut failing = false;
    while !soft.is_cancelled() {
        if !*turn.borrow() {
            source.close().await;
            // The other may have reconciled it meanwhile.
            reconcile_at_ms = None;
            if !fellows::wait_for_turn(&mut turn, &pulse, &soft).await {
                break;
            }
        }
        pulse.beat();
        let mut outcome = check(&engine, source.as_mut(), &bell, &pulse).await;
        if outcome.is_ok() {
            outcome = reconcile(
                &engine,
                source.as_mut(),
                &bell,
                &pulse,
                &mut reconcile_at_ms,
            )
            .await;
        }
        pulse.beat();
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    info!(mailbox.name = name, "the source answers again");
                }
                pause_after.reset();
            }
            Err(error) => {
                if error.is_temporary() {
                    warn!(mailbox.name = name, error = %chain(&error), "the source could not be checked; trying again");
                } else {
                    error!(mailbox.name = name, error = %chain(&error), "the source needs a person; trying again slowly");
                }
                failing = true;
                pause_after.wait(&soft).await;
                continue;
            }
        }
        let waited = wait(
            &engine,
            source.as_mut(),
            poll,
            &mut decided,
            &mut turn,
            &soft,
        );
        if let Err(error) = waited.await {
            if error.is_temporary() {
                warn!(mailbox.name = name, error = %chain(&error), "waiting for mail was cut off");
            } else {
                error!(mailbox.name = name, error = %chain(&error), "the source needs a person; trying again slowly");
            }
            failing = true;
            pause_after.wait(&soft).await;
        }
    }
    pulse.end();
    source.close().await;
    // The lease is renewed no more.
    drop(turn);
    if let Err(error) = engine.store.leave_source(&name).await {
        warn!(mailbox.name = name, %error, "the lease of the source runs out by itself");
    }
    name
}

/// Waits until there may be new mail. What is decided meanwhile is treated at the source at once.
async fn wait(
    engine: &Engine,
    source: &mut dyn MailSource,
    poll: Duration,
    decided: &mut watch::Receiver<u64>,
    turn: &mut Turn,
    soft: &CancellationToken,
) -> Result<(), WorkError> {
    let end = Instant::now().checked_add(poll);
    loop {
        let left = end.map_or(poll, |end| end.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = fellows::turn_lost(turn) => return Ok(()),
            // This never fails: the sender lives as long as the loops.
            _ = decided.changed() => {}
            waited = source.wait(left) => return Ok(waited?),
        }
        engine.treat(source).await?;
    }
}

/// Once a day everything at the source is counted.
async fn reconcile(
    engine: &Engine,
    source: &mut dyn MailSource,
    bell: &Bell,
    pulse: &Pulse,
    next_ms: &mut Option<i64>,
) -> Result<(), WorkError> {
    let at_ms = match *next_ms {
        Some(at_ms) => at_ms,
        None => engine.next_reconciliation_ms(source.name()).await?,
    };
    *next_ms = Some(at_ms);
    if !reconciling::is_due(at_ms, engine.clock.now_ms()) || !*bell.gone_through.borrow() {
        return Ok(());
    }
    let progress = |stored: usize| {
        pulse.beat();
        if stored > 0 {
            bell.stored.notify_one();
        }
    };
    let report = engine.reconcile_source(source, &progress).await?;
    *next_ms = Some(reconciling::next(report.at_ms, report.difference()));
    Ok(())
}

async fn check(
    engine: &Engine,
    source: &mut dyn MailSource,
    bell: &Bell,
    pulse: &Pulse,
) -> Result<(), WorkError> {
    let name = source.name().to_owned();
    let ring = |_: usize| {
        pulse.beat();
        bell.stored.notify_one();
    };
    let taken = engine.take_in(source, &ring).await?;
    for why in &taken.unreadable {
        warn!(
            mailbox.name = name,
            error = why,
            "a message could not be read at the source; trying again at the next check"
        );
    }
    if !taken.new.is_empty() || taken.duplicates > 0 {
        info!(
            mailbox.name = name,
            new = taken.new.len(),
            duplicates = taken.duplicates,
            gone = taken.gone,
            "messages stored"
        );
    }
    engine.treat(source).await?;
    Ok(())
}

async fn decide(
    engine: Engine,
    bell: Arc<Bell>,
    pulse: Arc<Pulse>,
    soft: CancellationToken,
) -> String {
    let mut pause_after = Pause::new();
    while !soft.is_cancelled() {
        pulse.beat();
        let tick = |queued: bool| {
            pulse.beat();
            if queued {
                bell.queued.notify_one();
            }
        };
        match engine.decide_pending_with(&tick).await {
            Ok(0) => pause_after.reset(),
            Ok(_) => {
                pause_after.reset();
                bell.decided
                    .send_modify(|round| *round = round.wrapping_add(1));
            }
            Err(error) => {
                warn!(error = %chain(&error), "messages could not be decided; trying again");
                pause_after.wait(&soft).await;
                continue;
            }
        }
        bell.gone_through.send_replace(true);
        tokio::select! {
            () = bell.stored.notified() => {}
            () = sleep(DECIDE_EVERY) => {}
            () = soft.cancelled() => {}
        }
    }
    pulse.end();
    "decide".to_owned()
}

async fn send(
    engine: Engine,
    bell: Arc<Bell>,
    pulse: Arc<Pulse>,
    soft: CancellationToken,
) -> String {
    let mut pause_after = Pause::new();
    let stop = || {
        pulse.beat();
        soft.is_cancelled()
    };
    while !soft.is_cancelled() {
        match engine.send_due(&stop).await {
            Ok(report) => {
                pause_after.reset();
                if report.not_sent > 0 {
                    pause(SEND_PAUSE, &soft).await;
                }
            }
            Err(error) => {
                warn!(error = %chain(&error), "the outbox could not be worked off; trying again");
                pause_after.wait(&soft).await;
                continue;
            }
        }
        tokio::select! {
            () = bell.queued.notified() => {}
            () = sleep(SEND_EVERY) => {}
            () = soft.cancelled() => {}
        }
    }
    pulse.end();
    "send".to_owned()
}

async fn chase(
    engine: Engine,
    bell: Arc<Bell>,
    pulse: Arc<Pulse>,
    soft: CancellationToken,
) -> String {
    while !soft.is_cancelled() {
        pulse.beat();
        match engine.chase().await {
            Ok(changed) if changed.is_empty() => {}
            Ok(_) => bell.queued.notify_one(),
            Err(error) => {
                warn!(error = %chain(&error), "due dates could not be looked through; trying again");
            }
        }
        match engine.report().await {
            Ok(queued) if queued.is_empty() => {}
            Ok(_) => bell.queued.notify_one(),
            Err(error) => {
                warn!(error = %with_causes(&error), "the digest could not be made; trying again");
            }
        }
        pause(CHASE_EVERY, &soft).await;
    }
    pulse.end();
    "chase".to_owned()
}

/// What is done once a day: deleting content whose time is over, and looking whether the store adds up.
struct Upkeep {
    engine: Engine,
    retention: Retention,
    watched: Vec<String>,
}

impl Upkeep {
    async fn run(
        self,
        mut gone_through: watch::Receiver<bool>,
        pulse: Arc<Pulse>,
        soft: CancellationToken,
    ) -> String {
        let mut delete_at_ms = 0;
        let mut count_at_ms = 0;
        let shared = self.engine.store.node().is_some();
        while !soft.is_cancelled() {
            pulse.beat();
            let now_ms = self.engine.clock.now_ms();
            if reconciling::is_due(delete_at_ms, now_ms) {
                let stop = || {
                    pulse.beat();
                    soft.is_cancelled()
                };
                match self.engine.delete_expired(&self.retention, &stop).await {
                    Ok(_) => delete_at_ms = now_ms.saturating_add(DAY_MS),
                    Err(error) => {
                        warn!(error = %chain(&error), "content whose time is over could not be deleted; trying again");
                    }
                }
            }
            // A worker before this one, or another one, may have counted.
            if shared || count_at_ms == 0 {
                match self.engine.next_reconciliation_ms("").await {
                    Ok(next) => count_at_ms = next,
                    Err(error) => {
                        warn!(error = %error, "the last reconciliation could not be looked up");
                    }
                }
            }
            if reconciling::is_due(count_at_ms, now_ms) {
                tokio::select! {
                    // This never fails before the loops have ended.
                    _ = gone_through.wait_for(|done| *done) => {}
                    () = soft.cancelled() => continue,
                }
                match self.engine.reconcile_store(&self.watched).await {
                    Ok(report) => {
                        count_at_ms = reconciling::next(report.at_ms, report.difference());
                    }
                    Err(error) => {
                        warn!(error = %error, "the store could not be reconciled; trying again");
                    }
                }
            }
            pause(UPKEEP_EVERY, &soft).await;
        }
        pulse.end();
        "upkeep".to_owned()
    }
}

/// An error with its causes on one line.
pub fn chain(error: &WorkError) -> String {
    with_causes(error)
}

/// The same for any error.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
