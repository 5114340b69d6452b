//! Is it well? «Connected» is not healthy: what counts is when each source was last checked to the end, how long the oldest mail
//! has waited to be sent, whether the loops get on and whether everything adds up. [`Health::json`] and [`Health::metrics`]
//! hold no personal data: names of mailboxes are those of the settings, everything else is a number.

use super::fellows::Fellows;
use super::reloading::{self, RulesInForce};
use super::vitals::Vitals;
use super::{Engine, LiveSince};
use crate::store::{Counts, Reconciled, SourceAccount, StoreError, Unreadable};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Something that cannot be read at its source for this long is told; a forsendelse in SvarInn has two hours before KS begins
/// to send warnings.
const UNREADABLE_SECS: i64 = 30 * 60;

/// Counting that takes so long is not done at every question.
const COUNTING_IS_LONG: Duration = Duration::from_millis(200);
/// So many times as long as it took, what was counted is told again.
const COUNTING_RESTS: u32 = 100;

/// When something counts as too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthLimits {
    /// Longest time since the last completed check of each source, by name.
    pub check_age: BTreeMap<String, Duration>,
    /// Longest time that a mail may wait to be sent.
    pub unsent_age: Duration,
}

/// Everything that is asked when somebody asks how it is.
#[derive(Clone)]
pub struct Examiner {
    /// Store and clock.
    pub engine: Engine,
    /// The loops.
    pub vitals: Vitals,
    /// The other workers that share the database.
    pub fellows: Fellows,
    /// Limits.
    pub limits: HealthLimits,
    /// When the worker was started, Unix milliseconds.
    pub started_at_ms: i64,
    /// What was counted last.
    pub counted: Counted,
}

/// A source's last completed check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceHealth {
    /// Its name.
    pub name: String,
    /// When, Unix milliseconds; 0 when it was never checked.
    pub checked_at_ms: i64,
    /// Seconds since then, or since the start when it was never checked.
    pub age_secs: i64,
    /// The worker that watches it, where several share the database: any of them completes its checks.
    pub watched_by: Option<String>,
}

/// What is stored, counted.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    accounts: Vec<SourceAccount>,
    counts: Counts,
}

/// What was counted last.
#[derive(Debug, Clone, Default)]
pub struct Counted(Arc<Mutex<Option<Count>>>);

#[derive(Debug)]
struct Count {
    at: Instant,
    took: Duration,
    numbers: Arc<Numbers>,
}

/// How it is.
#[derive(Debug, Clone)]
pub struct Health {
    /// What is wrong, for people; empty when all is well.
    pub problems: Vec<String>,
    /// The watched sources.
    pub sources: Vec<SourceHealth>,
    /// Seconds that the oldest mail has waited; `None` when none waits.
    pub oldest_unsent_secs: Option<i64>,
    /// The rules in force.
    pub rules: Option<RulesInForce>,
    /// The last reconciliations.
    pub reconciled: Vec<Reconciled>,
    loops: Vec<(String, u64)>,
    live_since: LiveSince,
    unreadable: Vec<Unreadable>,
}

/// A check that was completed further ahead than this was completed before the clock was set back.
const CLOCK_SLACK_MS: i64 = 60_000;

const fn age_secs(now_ms: i64, then_ms: i64) -> i64 {
    let ms = now_ms.saturating_sub(then_ms);
    if ms < 0 { 0 } else { ms / 1000 }
}

impl Examiner {
    /// Looks at everything.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn examine(&self) -> Result<Health, StoreError> {
        let store = &self.engine.store;
        let now_ms = self.engine.clock.now_ms();
        let mut problems = Vec::new();
        let mut sources = Vec::new();
        let watchers = store.watchers().await?;
        for (name, limit) in &self.limits.check_age {
            let checked_at_ms = store.checked_at_ms(name).await?.unwrap_or_default();
            let age_secs = age_secs(now_ms, checked_at_ms.max(self.started_at_ms));
            if is_over(age_secs, *limit) {
                problems.push(format!(
                    "source {name}: last check completed {age_secs} s ago"
                ));
            }
            if checked_at_ms.saturating_sub(now_ms) > CLOCK_SLACK_MS {
                problems.push(format!(
                    "source {name}: no check was completed since the clock was set back"
                ));
            }
            let watcher = watchers.iter().find(|(source, _)| source == name);
            sources.push(SourceHealth {
                name: name.clone(),
                watched_by: watcher.map(|(_, node)| node.clone()),
                checked_at_ms,
                age_secs: if checked_at_ms == 0 {
                    age_secs
                } else {
                    self::age_secs(now_ms, checked_at_ms)
                },
            });
        }
        let oldest_unsent_ms = store.oldest_unsent_ms().await?;
        let oldest_unsent_secs = oldest_unsent_ms.map(|ms| age_secs(now_ms, ms));
        if let Some(age) = oldest_unsent_secs.filter(|age| is_over(*age, self.limits.unsent_age)) {
            problems.push(format!("the oldest unsent mail has waited {age} s"));
        }
        let reconciled = store.reconciliations().await?;
        for last in reconciled.iter().filter(|last| last.differences > 0) {
            let of = if last.source.is_empty() {
                "the store"
            } else {
                &last.source
            };
            problems.push(format!(
                "{of}: {} do not add up; see «linjevei reconcile»",
                last.differences
            ));
        }
        let unreadable = store.unreadable().await?;
        for name in self.limits.check_age.keys() {
            let mut of_source = unreadable.iter().filter(|one| one.source == *name);
            let Some(oldest) = of_source.next() else {
                continue;
            };
            let age = age_secs(now_ms, oldest.first_at_ms);
            if age >= UNREADABLE_SECS {
                problems.push(format!(
                    "source {name}: {} cannot be read at the source, the oldest for {age} s ({})",
                    of_source.count().saturating_add(1),
                    oldest.why
                ));
            }
        }
        problems.extend(self.fellows.problems());
        for name in self.vitals.stuck() {
            problems.push(format!("the loop {name} does not get on"));
        }
        Ok(Health {
            problems,
            sources,
            oldest_unsent_secs,
            rules: reloading::in_force(store).await?,
            reconciled,
            loops: self
                .vitals
                .all()
                .iter()
                .map(|pulse| (pulse.name().to_owned(), pulse.age().as_secs()))
                .collect(),
            live_since: self.engine.live_since.clone(),
            unreadable,
        })
    }
}

impl Examiner {
    /// Counts what is stored. Where that takes long, what was counted a moment ago will do: monitors ask every few seconds, and
    /// counting never takes more than a hundredth of the time.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn count(&self) -> Result<Arc<Numbers>, StoreError> {
        let mut counted = self.counted.0.lock().await;
        if let Some(last) = counted.as_ref()
            && last.took >= COUNTING_IS_LONG
            && last.at.elapsed() < last.took.saturating_mul(COUNTING_RESTS)
        {
            return Ok(Arc::clone(&last.numbers));
        }
        let at = Instant::now();
        let numbers = Arc::new(Numbers {
            accounts: self.engine.store.accounts().await?,
            counts: self.engine.store.counts().await?,
        });
        *counted = Some(Count {
            at,
            took: at.elapsed(),
            numbers: Arc::clone(&numbers),
        });
        Ok(numbers)
    }
}

fn is_over(age_secs: i64, limit: Duration) -> bool {
    u64::try_from(age_secs).is_ok_and(|age| age > limit.as_secs())
}

/// A moment in RFC 3339, or nothing for 0.
fn moment(ms: i64) -> Option<String> {
    let moment = jiff::Timestamp::from_millisecond(ms).ok()?;
    (ms != 0).then(|| moment.to_string())
}

impl Health {
    /// All is well.
    pub const fn is_well(&self) -> bool {
        self.problems.is_empty()
    }

    /// For `/healthz`.
    pub fn json(&self) -> serde_json::Value {
        let sources: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                let mut told = json!({ "name": source.name, "last_check": moment(source.checked_at_ms), "age_secs": source.age_secs });
                if let (Some(told), Some(node)) = (told.as_object_mut(), &source.watched_by) {
                    told.insert("watched_by".to_owned(), json!(node));
                }
                told
            })
            .collect();
        let reconciled: Vec<_> = self
            .reconciled
            .iter()
            .map(|last| json!({ "source": last.source, "at": moment(last.at_ms), "differences": last.differences }))
            .collect();
        let rules = self.rules.as_ref().map(|rules| {
            json!({ "hash": rules.hash, "since": moment(rules.since_ms), "newer_set_refused": rules.refused.is_some() })
        });
        json!({
            "status": if self.is_well() { "ok" } else { "failing" },
            "problems": self.problems,
            "version": env!("CARGO_PKG_VERSION"),
            "sources": sources,
            "oldest_unsent_age_secs": self.oldest_unsent_secs,
            "rules": rules,
            "reconciliation": reconciled,
        })
    }

    /// For `/metrics`: the text format of Prometheus, version 0.0.4.
    pub fn metrics(&self, numbers: &Numbers) -> String {
        let mut page = Page::default();
        page.family("linjevei_build_info", "The version that runs.");
        page.value(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.family("linjevei_healthy", "1 when /healthz answers 200.");
        page.value(&[], i64::from(self.is_well()));
        page.family(
            "linjevei_source_check_age_seconds",
            "Time since the last completed check of the source.",
        );
        for source in &self.sources {
            page.value(&[("source", &source.name)], source.age_secs);
        }
        page.family(
            "linjevei_messages",
            "Stored messages by source and outcome.",
        );
        for account in self.watched(numbers) {
            for (outcome, count) in [
                ("opened", account.opened),
                ("joined", account.joined),
                ("duplicate", account.duplicate),
                ("left-alone", account.left_alone),
                ("pending", account.pending),
            ] {
                page.value(&[("source", &account.source), ("outcome", outcome)], count);
            }
        }
        page.family(
            "linjevei_messages_seen",
            "Messages that the source has shown and that were stored.",
        );
        for account in self.watched(numbers) {
            page.value(&[("source", &account.source)], account.seen);
        }
        page.family(
            "linjevei_messages_gone_before_fetch",
            "Messages that were listed and gone before they could be fetched.",
        );
        for account in self.watched(numbers) {
            page.value(&[("source", &account.source)], account.gone);
        }
        page.family(
            "linjevei_messages_unreadable",
            "What lies at the source and cannot be read there.",
        );
        for source in &self.sources {
            let of_source = |one: &&Unreadable| one.source == source.name;
            let count = self.unreadable.iter().filter(of_source).count();
            page.value(
                &[("source", &source.name)],
                i64::try_from(count).unwrap_or(i64::MAX),
            );
        }
        page.family("linjevei_cases", "Cases by state.");
        for (state, count) in &numbers.counts.cases {
            page.value(&[("state", state)], *count);
        }
        page.family("linjevei_outbox", "Mail by state.");
        for (state, count) in &numbers.counts.outbox {
            page.value(&[("state", state)], *count);
        }
        page.family(
            "linjevei_oldest_unsent_age_seconds",
            "How long the oldest mail has waited to be sent; 0 when none waits.",
        );
        page.value(&[], self.oldest_unsent_secs.unwrap_or_default());
        page.family(
            "linjevei_rules_loaded_timestamp_seconds",
            "When the rules in force were loaded.",
        );
        let rules = self.rules.as_ref();
        page.value(&[], rules.map_or(0, |rules| rules.since_ms / 1000));
        page.family(
            "linjevei_rules_refused",
            "1 while a newer set of rules or templates is refused.",
        );
        let refused = rules.is_some_and(|rules| rules.refused.is_some());
        page.value(&[], i64::from(refused));
        page.family(
            "linjevei_reconciliation_timestamp_seconds",
            "When the source was last reconciled; an empty source is the store itself.",
        );
        for last in &self.reconciled {
            page.value(&[("source", &last.source)], last.at_ms / 1000);
        }
        page.family(
            "linjevei_reconciliation_differences",
            "What did not add up at the last reconciliation.",
        );
        for last in &self.reconciled {
            page.value(&[("source", &last.source)], last.differences);
        }
        page.family(
            "linjevei_loop_age_seconds",
            "Time since the loop last got on.",
        );
        for (name, age) in &self.loops {
            page.value(&[("loop", name)], i64::try_from(*age).unwrap_or(i64::MAX));
        }
        page.text
    }

    /// Watched sources only: what was taken in by hand goes under the name of a file.
    fn watched<'n>(&'n self, numbers: &'n Numbers) -> impl Iterator<Item = &'n SourceAccount> {
        let accounts = numbers.accounts.iter();
        accounts.filter(|account| self.live_since.sources.contains(&account.source))
    }
}

/// A page of metrics under construction. All are gauges: they are counted, and can shrink.
#[derive(Debug, Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, help: &str) {
        self.name = name;
        // Writing to a String cannot fail, here and below.
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge\n").ok();
    }

    fn value(&mut self, labels: &[(&str, &str)], value: i64) {
        self.text.push_str(self.name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            write!(self.text, "{open}{label}=\"{value}\"").ok();
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut page = Page::default();
        page.family("linjevei_cases", "Cases by state.");
        page.value(&[("state", "a\"b\\c\nd"), ("other", "x")], 3);
        page.value(&[], -1);
        assert_eq!(
            page.text,
            "# HELP linjevei_cases Cases by state.\n# TYPE linjevei_cases gauge\n\
             linjevei_cases{state=\"a\\\"b\\\\c\\nd\",other=\"x\"} 3\nlinjevei_cases -1\n"
        );
    }
}
