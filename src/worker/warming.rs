//! The first messages after a start, or after edited rules, would take up to a quarter of a second each: regular expressions
//! fill their tables while they are used, many of them once for each thread. A sample is read and classified beforehand, when the
//! worker has been up for a moment, so that the first report is acknowledged as quickly as the thousandth: on the threads that
//! will read it, since each more would hold half a megabyte for nothing.

use super::Engine;
use crate::message::{Limits, parse};
use crate::rules::{ClassifyContext, RuleSet};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::debug;

/// Time between a start and the warming, and between two looks whether there are other rules. A start has better things to do.
const LOOK_EVERY: Duration = Duration::from_secs(10);
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
        warm_up(&rules, &engine.limits).await;
        debug!("warmed up");
    }
}

/// On as many threads at once as read messages when a few of them come together. They are those that work has been done on
/// last, and the next messages go to them again.
async fn warm_up(rules: &Arc<RuleSet>, limits: &Limits) {
    let mut rounds = JoinSet::new();
    for _ in 0..available_parallelism().map_or(1, usize::from) {
        let (rules, limits) = (Arc::clone(rules), limits.clone());
        rounds.spawn_blocking(move || {
            if let Ok(message) = parse(SAMPLE.as_bytes(), &limits) {
                rules.classify(&message, &ClassifyContext::default());
            }
        });
    }
    // When it failed, the first messages take a little longer, and nothing else happens.
    while rounds.join_next().await.is_some() {}
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
