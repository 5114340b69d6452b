//! The first messages after a start, or after edited rules, would take up to a quarter of a second each: regular expressions
//! fill their tables while they are used, and once for each of several threads. A sample is read and classified beforehand, when
//! the worker has been up for a moment, so that the first report is acknowledged as quickly as the thousandth.

use super::Engine;
use crate::message::{Limits, parse};
use crate::rules::{ClassifyContext, RuleSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::debug;

/// Time between a start and the warming, and between two looks whether there are other rules. A start has better things to do.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The tables are kept by thread, in eight groups; reading a message takes a thread, and two more inside it.
const ROUNDS: usize = 8;
/// Text as reports have it: a letter, HTML, a form, a quoted mail.
const SAMPLE: &str = include_str!("warming/sample.eml");

/// Warms up after the start and after every change of the rules. Never returns.
pub(super) async fn keep_warm(engine: Engine) {
    let mut warm = String::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let rules = engine.rulebook.current().rules;
        if rules.hash() == warm {
            continue;
        }
        rules.hash().clone_into(&mut warm);
        for _ in 0..ROUNDS {
            round(Arc::clone(&rules), engine.limits.clone()).await;
        }
        debug!("warmed up");
    }
}

/// Once, on a thread of its own, which holds up no end of the program.
async fn round(rules: Arc<RuleSet>, limits: Limits) {
    let (done, wait) = oneshot::channel();
    let spawned = std::thread::Builder::new().spawn(move || {
        if let Ok(message) = parse(SAMPLE.as_bytes(), &limits) {
            rules.classify(&message, &ClassifyContext::default());
        }
        // Nobody waits any more when the program ends.
        done.send(()).ok();
    });
    // Without a thread, or when it failed, the first messages take a little longer, and nothing else happens.
    if spawned.is_ok() {
        wait.await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_message_with_text() {
        let message = parse(SAMPLE.as_bytes(), &Limits::default()).unwrap();
        assert!(
            message
                .texts
                .iter()
                .any(|text| text.text.contains("epikrise"))
        );
    }
}
