//! All loops under one roof: one for each source, one that decides, one that sends, one that
//! chases, one that reloads edited rules.
//!
//! Two tokens: `soft` means take no new work and finish what is in hand; `hard` comes when the grace period is over. A loop
//! that ends by surprise stops the process with a failing exit code; a service manager starts it again, and what was in hand
//! is picked up from the store.

use super::reloading::{Reloader, RuleFolders};
use super::{Engine, WorkError};
use crate::intake::MailSource;
use std::sync::Arc;
use std::time::Duration;
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
}

/// Runs until `soft` is cancelled and everything in hand is done, at most `grace` longer.
///
/// # Errors
/// [`LoopLost`] when a loop ended by surprise.
pub async fn run(
    engine: Engine,
    sources: Vec<Watched>,
    folders: Arc<dyn RuleFolders>,
    soft: CancellationToken,
    grace: Duration,
) -> Result<(), LoopLost> {
    let bell = Arc::new(Bell {
        stored: Notify::new(),
        queued: Notify::new(),
        decided: watch::Sender::new(0),
    });
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
    let mut loops: JoinSet<String> = JoinSet::new();
    let watched = sources.len();
    for Watched { source, poll } in sources {
        loops.spawn(watch_source(
            engine.clone(),
            source,
            poll,
            Arc::clone(&bell),
            soft.clone(),
        ));
    }
    loops.spawn(decide(engine.clone(), Arc::clone(&bell), soft.clone()));
    loops.spawn(send(engine.clone(), Arc::clone(&bell), soft.clone()));
    loops.spawn(chase(engine.clone(), bell, soft.clone()));
    loops.spawn(Reloader::start(engine, folders).await.run(soft.clone()));
    info!(sources = watched, "linjevei is running");

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
    info!("linjevei has stopped");
    lost.map_or(Ok(()), Err)
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
    soft: CancellationToken,
) -> String {
    let name = source.name().to_owned();
    let mut pause_after = Pause::new();
    let mut decided = bell.decided.subscribe();
    let mut failing = false;
    while !soft.is_cancelled() {
        let outcome = check(&engine, source.as_mut(), &bell).await;
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
        tokio::select! {
            () = soft.cancelled() => {}
            // What was decided meanwhile is treated at the source at once.
            _ = decided.changed() => {}
            waited = source.wait(poll) => if let Err(error) = waited {
                warn!(mailbox.name = name, error = %chain(&error.into()), "waiting for mail was cut off");
                pause_after.wait(&soft).await;
            },
        }
    }
    source.close().await;
    name
}

async fn check(engine: &Engine, source: &mut dyn MailSource, bell: &Bell) -> Result<(), WorkError> {
    let name = source.name().to_owned();
    let ring = |_: usize| bell.stored.notify_one();
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

async fn decide(engine: Engine, bell: Arc<Bell>, soft: CancellationToken) -> String {
    let mut pause_after = Pause::new();
    while !soft.is_cancelled() {
        match engine.decide_pending().await {
            Ok(0) => pause_after.reset(),
            Ok(_) => {
                pause_after.reset();
                bell.queued.notify_one();
                bell.decided
                    .send_modify(|round| *round = round.wrapping_add(1));
            }
            Err(error) => {
                warn!(error = %chain(&error), "messages could not be decided; trying again");
                pause_after.wait(&soft).await;
                continue;
            }
        }
        tokio::select! {
            () = bell.stored.notified() => {}
            () = sleep(DECIDE_EVERY) => {}
            () = soft.cancelled() => {}
        }
    }
    "decide".to_owned()
}

async fn send(engine: Engine, bell: Arc<Bell>, soft: CancellationToken) -> String {
    let mut pause_after = Pause::new();
    let stop = {
        let soft = soft.clone();
        move || soft.is_cancelled()
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
    "send".to_owned()
}

async fn chase(engine: Engine, bell: Arc<Bell>, soft: CancellationToken) -> String {
    while !soft.is_cancelled() {
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
    "chase".to_owned()
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
