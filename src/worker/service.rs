//! What the service manager is told (systemd `Type=notify`): ready, reloading, stopping, and that the loops get on. Without a
//! service manager nothing happens.

use super::vitals::Vitals;
use sd_notify::NotifyState;
use std::time::Duration;
use tracing::{error, warn};

/// The watchdog is fed this many times within its time.
const FEEDS: u32 = 3;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        warn!(error = %error, "the service manager could not be told");
    }
}

/// The loops run.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// No new work is taken.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Edited rules are being loaded; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Feeds the watchdog as long as every loop gets on; does nothing where there is none. Never returns.
pub async fn feed_watchdog(vitals: Vitals) {
    let mut usec = 0;
    if !sd_notify::watchdog_enabled(false, &mut usec) || usec == 0 {
        return std::future::pending().await;
    }
    let pause = Duration::from_micros(usec)
        .checked_div(FEEDS)
        .unwrap_or_default();
    let mut complained = false;
    loop {
        let stuck = vitals.stuck();
        if stuck.is_empty() {
            complained = false;
            tell(&[NotifyState::Watchdog]);
        } else if !std::mem::replace(&mut complained, true) {
            let names = stuck.join(" ");
            error!(
                name = names,
                "a loop does not get on; the service manager's watchdog is no longer fed"
            );
        }
        tokio::time::sleep(pause).await;
    }
}
