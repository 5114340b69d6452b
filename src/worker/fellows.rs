//! Workers that share a database: each source is watched by one of them, and all should decide by the same rules and the same
//! time. Where one worker alone has the database, nothing of this happens.
//!
//! A worker renews the leases of what it watches; when it dies they run out, and another takes over within a minute. Losing a
//! lease while a check is under way does no harm: what is stored twice is known, and the cursor only says where to look first.

use super::vitals::Pulse;
use super::{Engine, supervisor};
use crate::store::{Meeting, StoreError, Watch};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(30);
/// How often it is renewed, and others' are asked for.
const RENEW_EVERY: Duration = Duration::from_secs(7);
/// Fellows that have decided by other rules for so long are told of: they look at their folders every few seconds.
const DIFFERS_MAX: Duration = Duration::from_mins(1);
/// A clock that is further than this from the database's is told of.
const CLOCK_OFF_MS: i64 = 30_000;

/// Whether a source is this worker's to watch now.
pub(super) type Turn = watch::Receiver<bool>;

/// What is known of the other workers, for health.
#[derive(Debug, Clone, Default)]
pub struct Fellows(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Names of fellows whose rules differ, and since when they do.
    differing: BTreeMap<String, Instant>,
    /// Milliseconds by which the database's clock is ahead of ours.
    ahead_ms: i64,
}

impl Fellows {
    /// What is wrong between the workers, for people.
    pub fn problems(&self) -> Vec<String> {
        self.problems_at(Instant::now())
    }

    fn problems_at(&self, now: Instant) -> Vec<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut problems: Vec<String> = known
            .differing
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) > DIFFERS_MAX)
            .map(|(name, since)| {
                format!(
                    "the worker {name} has decided by other rules for {} s; give both the same files",
                    now.saturating_duration_since(*since).as_secs()
                )
            })
            .collect();
        if known.ahead_ms.saturating_abs() > CLOCK_OFF_MS {
            problems.push(format!(
                "the clock here is {} s from that of the database; set both by NTP",
                known.ahead_ms.saturating_abs() / 1000
            ));
        }
        problems
    }

    fn met(&self, meeting: &Meeting, me: &str, ruleset: &str, now_ms: i64) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<&str> = meeting
            .nodes
            .iter()
            .filter(|node| node.name != me && node.ruleset != ruleset)
            .map(|node| node.name.as_str())
            .collect();
        known
            .differing
            .retain(|name, _| others.contains(&name.as_str()));
        for name in others {
            known
                .differing
                .entry(name.to_owned())
                .or_insert_with(Instant::now);
        }
        known.ahead_ms = meeting.clock_ms.saturating_sub(now_ms);
    }
}

/// One watched source and its lease.
struct Lease {
    source: String,
    turn: watch::Sender<bool>,
    granted_at: Option<Instant>,
    /// Who else watches it, as far as was told.
    told: String,
}

/// Renews what this worker watches, and takes over what nobody does.
pub(super) struct Keeper {
    engine: Engine,
    fellows: Fellows,
    leases: Vec<Lease>,
    ruleset: String,
    since_ms: i64,
    problems: Vec<String>,
}

impl Keeper {
    pub(super) const fn new(engine: Engine, fellows: Fellows) -> Self {
        Self {
            engine,
            fellows,
            leases: Vec::new(),
            ruleset: String::new(),
            since_ms: 0,
            problems: Vec::new(),
        }
    }

    /// A source that is to be watched; it is its turn at once where one worker alone has the database.
    pub(super) fn source(&mut self, name: &str) -> Turn {
        let (turn, receiver) = watch::channel(self.engine.store.node().is_none());
        self.leases.push(Lease {
            source: name.to_owned(),
            turn,
            granted_at: None,
            told: String::new(),
        });
        receiver
    }

    /// Runs until it is dropped: also while what is in hand is finished after a stop.
    pub(super) async fn run(mut self) {
        let Some(me) = self.engine.store.node().map(str::to_owned) else {
            return;
        };
        info!(
            node = me,
            "other workers may share the database; each source is watched by one of them"
        );
        loop {
            for lease in &mut self.leases {
                // Its loop has ended.
                if !lease.turn.is_closed() {
                    lease.renew(&self.engine).await;
                }
            }
            if let Err(error) = self.meet(&me).await {
                warn!(error = %supervisor::with_causes(&error), "other workers could not be heard of; trying again");
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    async fn meet(&mut self, me: &str) -> Result<(), StoreError> {
        let ruleset = self.engine.rulebook.current().rules.hash().to_owned();
        if ruleset != self.ruleset {
            self.since_ms = self.engine.clock.now_ms();
            self.ruleset = ruleset;
        }
        let meeting = self.engine.store.meet(&self.ruleset, self.since_ms).await?;
        if let Some(meeting) = meeting {
            self.fellows
                .met(&meeting, me, &self.ruleset, self.engine.clock.now_ms());
        }
        let problems = self.fellows.problems();
        if problems.len() > self.problems.len() {
            for problem in &problems {
                warn!(
                    error = problem,
                    "workers that share a database should be alike"
                );
            }
        }
        self.problems = problems;
        Ok(())
    }
}

impl Lease {
    async fn renew(&mut self, engine: &Engine) {
        let asked_at = Instant::now();
        let lease_ms = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        match engine.store.watch_source(&self.source, lease_ms).await {
            Ok(Watch::Granted) => {
                self.granted_at = Some(asked_at);
                if !self.turn.send_replace(true) {
                    info!(mailbox.name = self.source, "this worker watches the source");
                }
                self.told.clear();
            }
            Ok(Watch::By(other)) => {
                self.granted_at = None;
                self.turn.send_replace(false);
                if other != self.told {
                    info!(
                        mailbox.name = self.source,
                        node = other,
                        "another worker watches the source; ready to take over"
                    );
                    self.told = other;
                }
            }
            Err(error) => {
                warn!(mailbox.name = self.source, error = %supervisor::with_causes(&error), "the lease of the source could not be renewed; trying again");
                // It may be another's by now.
                if self.granted_at.is_none_or(|at| at.elapsed() >= LEASE) {
                    self.granted_at = None;
                    self.turn.send_replace(false);
                }
            }
        }
    }
}

/// Waits until it is this worker's turn to watch; `false` when it is to stop.
pub(super) async fn wait_for_turn(
    turn: &mut Turn,
    pulse: &Pulse,
    soft: &CancellationToken,
) -> bool {
    loop {
        if soft.is_cancelled() {
            return false;
        }
        if *turn.borrow_and_update() {
            return true;
        }
        pulse.beat();
        tokio::select! {
            changed = turn.changed() => {
                if changed.is_err() {
                    return false;
                }
            }
            () = tokio::time::sleep(RENEW_EVERY) => {}
            () = soft.cancelled() => return false,
        }
    }
}

/// Comes back when it is this worker's turn no more.
pub(super) async fn turn_lost(turn: &mut Turn) {
    if turn.wait_for(|mine| !*mine).await.is_err() {
        // Nobody renews any more: the worker is stopping.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Node;

    fn meeting(nodes: &[(&str, &str)], clock_ms: i64) -> Meeting {
        let node = |(name, ruleset): &(&str, &str)| Node {
            name: (*name).to_owned(),
            ruleset: (*ruleset).to_owned(),
            ruleset_at_ms: 0,
        };
        Meeting {
            clock_ms,
            nodes: nodes.iter().map(node).collect(),
        }
    }

    #[test]
    fn fellows_have_a_minute_to_take_up_the_same_rules() {
        let fellows = Fellows::default();
        let now = Instant::now();
        let later = now.checked_add(Duration::from_secs(90)).unwrap();
        let both = meeting(&[("a", "ny"), ("b", "gammel")], 1_000);
        fellows.met(&both, "a", "ny", 1_000);
        assert_eq!(fellows.problems_at(now), [""; 0]);
        let told = fellows.problems_at(later);
        assert!(
            told[0].starts_with("the worker b has decided by other rules for "),
            "{told:?}"
        );
        fellows.met(
            &meeting(&[("a", "ny"), ("b", "ny")], 1_000),
            "a",
            "ny",
            1_000,
        );
        assert_eq!(fellows.problems_at(later), [""; 0]);
        fellows.met(&meeting(&[("a", "ny")], 100_000), "a", "ny", 1_000);
        assert_eq!(
            fellows.problems_at(now),
            ["the clock here is 99 s from that of the database; set both by NTP"]
        );
    }
}
