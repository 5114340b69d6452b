//! Whether the loops get on: each beats when it has done a step, and has a longest time between two beats. A loop that is
//! later than that is stuck; then the service manager's watchdog is no longer fed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// One loop.
#[derive(Debug)]
pub struct Pulse {
    name: String,
    begun: Instant,
    /// Longest time between two beats that is no sign of trouble.
    limit: Duration,
    /// Milliseconds after `begun`.
    last_beat_ms: AtomicU64,
    ended: AtomicBool,
}

impl Pulse {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A step is done.
    pub fn beat(&self) {
        self.last_beat_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// The loop has ended as it should.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Time since the last beat.
    pub fn age(&self) -> Duration {
        let last = self.last_beat_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.now_ms().saturating_sub(last))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn is_stuck(&self) -> bool {
        !self.ended.load(Ordering::Relaxed) && self.age() > self.limit
    }
}

/// All loops of a process.
#[derive(Debug, Clone, Default)]
pub struct Vitals(Arc<RwLock<Vec<Arc<Pulse>>>>);

impl Vitals {
    /// A loop that is to beat at least this often.
    pub fn pulse(&self, name: impl Into<String>, limit: Duration) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            name: name.into(),
            begun: Instant::now(),
            limit,
            last_beat_ms: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let mut pulses = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pulses.push(Arc::clone(&pulse));
        pulse
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Pulse>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Names of those that do not get on.
    pub fn stuck(&self) -> Vec<String> {
        let pulses = self.all();
        let stuck = pulses.iter().filter(|pulse| pulse.is_stuck());
        stuck.map(|pulse| pulse.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_beat_is_stuck_until_it_beats_or_ends() {
        let vitals = Vitals::default();
        let slow = vitals.pulse("slow", Duration::from_hours(1));
        let quick = vitals.pulse("quick", Duration::ZERO);
        while quick.age().is_zero() {
            std::thread::yield_now();
        }
        assert_eq!(vitals.stuck(), ["quick"]);
        slow.beat();
        quick.end();
        assert!(vitals.stuck().is_empty());
    }
}
