//! The clock as a port: everything that asks for the time is handed a [`Clock`], so that tests and the demo can move it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Tells the time in Unix milliseconds, UTC.
pub trait Clock: Send + Sync {
    /// Now, in Unix milliseconds.
    fn now_ms(&self) -> i64;
}

/// The clock that the program shares between its parts.
pub type SharedClock = Arc<dyn Clock>;

/// How far the clock of the machine is moved, in milliseconds; heeded by debug builds only, so that tests can let time pass
/// between two starts.
pub const OFFSET_VARIABLE: &str = "LINJEVEI_CLOCK_OFFSET_MS";

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        if cfg!(debug_assertions) {
            now_ms.saturating_add(offset_ms())
        } else {
            now_ms
        }
    }
}

/// The offset that the environment asks for.
fn offset_ms() -> i64 {
    static OFFSET_MS: OnceLock<i64> = OnceLock::new();
    *OFFSET_MS.get_or_init(|| {
        let text = std::env::var(OFFSET_VARIABLE).unwrap_or_default();
        text.parse().unwrap_or_default()
    })
}

/// A clock that stands still until it is moved, for tests and the demo.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub const fn new(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
