//! Named points at which a debug build can be told to die or to fail, for the tests that prove that nothing is lost and nothing
//! is done twice. A release build has nothing of it: there [`pass`] and [`fails`] do nothing.
//!
//! `LINJEVEI_FAILPOINT="send.delivered=kill@3"` kills the process with SIGKILL when that point is passed for the third time,
//! `store.call=error@5` makes the fifth call of the store fail once as for a database that cannot take it now. Several orders
//! are separated by `;`.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

/// The environment variable with the orders.
pub const VARIABLE: &str = "LINJEVEI_FAILPOINT";

/// Every point but those of the store, in the order in which a message passes them. Points that only ever fail are not among
/// those that kill.
pub const POINTS: &[&str] = &[
    // Opened the store and made keys, not yet live.
    "start.opened",
    // Around what is asked of a source.
    "source.list.before",
    "source.list.after",
    "source.fetch.before",
    "source.fetch.after",
    "source.treat.before",
    // After each command of treating on an IMAP server: COPY, STORE and EXPUNGE are three.
    "imap.treat.command",
    "source.treat.after",
    // The attempts of a group are counted; a message is read; its outcome is written, and not committed.
    "decide.claimed",
    "decide.read",
    "decide.settled",
    // The mail is claimed; handed over; the result is stored.
    "send.claimed",
    "smtp.connect.before",
    "smtp.connect.after",
    "smtp.data.before",
    // The whole mail is sent and the reply is not read.
    "smtp.data.sent",
    "smtp.reply.read",
    "send.delivered",
    "send.recorded",
];

/// The use cases of the store that write. Each is a transaction with a point before and one after its commit.
pub const COMMITS: &[&str] = &[
    "keep-ruleset",
    "set-setting",
    "setting-once",
    "release-claims",
    "store-raw",
    "source-checked",
    "note-unreadable",
    "forget-unreadable",
    "mark-treated",
    "claim-undecided",
    "give-back",
    "group",
    "claim",
    "recover-sending",
    "record-delivery",
    "apply",
    "queue-report",
    "keep-reconciliation",
    "delete-left-alone-content",
    "delete-case-content",
    "hold-mail",
    "retry-mail",
    "rearrange",
    "keep-source-event",
    // Of workers that share a database.
    "meet",
    "watch-source",
    "leave-source",
    "part",
];

/// Which side of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Everything is written, and nothing of it stays when the process ends now.
    Before,
    /// It stays.
    After,
}

impl Moment {
    fn point(self, use_case: &str) -> String {
        match self {
            Self::Before => format!("commit.{use_case}.before"),
            Self::After => format!("commit.{use_case}.after"),
        }
    }
}

/// All points at which the process can be killed.
pub fn points() -> Vec<String> {
    let commits = COMMITS
        .iter()
        .flat_map(|use_case| [Moment::Before, Moment::After].map(|moment| moment.point(use_case)));
    POINTS
        .iter()
        .map(|point| (*point).to_owned())
        .chain(commits)
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
}

#[derive(Debug, Default)]
struct State {
    /// What happens at which pass of a point.
    orders: BTreeMap<String, Vec<(Action, u64)>>,
    passes: BTreeMap<String, u64>,
}

/// Passes a point: the process may end here.
pub fn pass(point: &str) {
    if cfg!(debug_assertions) && reaches(point, Action::Kill) {
        tracing::warn!(point, "killed at a failpoint");
        // Nothing can be done about a kill that fails; the process stands still then, and the test says so.
        kill_process(getpid(), Signal::KILL).ok();
        loop {
            std::thread::park();
        }
    }
}

/// Passes the point on this side of a commit of the store.
pub fn commit(use_case: &str, moment: Moment) {
    if cfg!(debug_assertions) {
        debug_assert!(COMMITS.contains(&use_case), "{use_case}");
        pass(&moment.point(use_case));
    }
}

/// Passes a point at which a call may be told to fail; whether it shall.
pub fn fails(point: &str) -> bool {
    let fails = cfg!(debug_assertions) && reaches(point, Action::Error);
    if fails {
        tracing::warn!(point, "failed at a failpoint");
    }
    fails
}

/// Counts from zero again and follows these orders from now on, in place of those of the environment.
///
/// # Errors
/// What cannot be understood.
pub fn arm(orders: &str) -> Result<(), String> {
    let orders = parse(orders)?;
    with(|state| {
        *state = State {
            orders,
            passes: BTreeMap::new(),
        }
    });
    Ok(())
}

/// How often a point was passed since the start, or since [`arm`].
pub fn passes(point: &str) -> u64 {
    with(|state| state.passes.get(point).copied().unwrap_or_default())
}

fn reaches(point: &str, action: Action) -> bool {
    with(|state| {
        let passes = state.passes.entry(point.to_owned()).or_default();
        *passes = passes.saturating_add(1);
        let now = (action, *passes);
        state
            .orders
            .get(point)
            .is_some_and(|orders| orders.contains(&now))
    })
}

fn with<T>(change: impl FnOnce(&mut State) -> T) -> T {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    let state = STATE.get_or_init(|| {
        let orders = std::env::var(VARIABLE).unwrap_or_default();
        let orders = parse(&orders).unwrap_or_else(|what| {
            tracing::error!(what, "{VARIABLE} is not understood and not followed");
            BTreeMap::new()
        });
        Mutex::new(State {
            orders,
            passes: BTreeMap::new(),
        })
    });
    change(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

fn parse(text: &str) -> Result<BTreeMap<String, Vec<(Action, u64)>>, String> {
    let mut orders: BTreeMap<String, Vec<(Action, u64)>> = BTreeMap::new();
    for order in text.split(';').filter(|order| !order.is_empty()) {
        let understood = || {
            let (point, action) = order.split_once('=')?;
            let (action, pass) = action.split_once('@').unwrap_or((action, "1"));
            let action = match action {
                "kill" => Action::Kill,
                "error" => Action::Error,
                _ => return None,
            };
            let known = match action {
                Action::Kill => points().iter().any(|known| known == point),
                Action::Error => true,
            };
            let pass = pass.parse().ok().filter(|pass| *pass > 0)?;
            known.then(|| (point.to_owned(), (action, pass)))
        };
        let (point, what) = understood().ok_or_else(|| format!("«{order}»"))?;
        orders.entry(point).or_default().push(what);
    }
    Ok(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn orders_are_understood_or_refused() {
        let orders = parse("send.claimed=kill@3;store.call=error@2;send.claimed=kill").unwrap();
        assert_eq!(
            orders["send.claimed"],
            [(Action::Kill, 3), (Action::Kill, 1)]
        );
        assert_eq!(orders["store.call"], [(Action::Error, 2)]);
        assert!(parse("").unwrap().is_empty());
        for wrong in [
            "send.claimed",
            "no.such=kill",
            "send.claimed=kill@0",
            "send.claimed=stop",
            "send.claimed=kill@x",
        ] {
            assert_eq!(parse(wrong).unwrap_err(), format!("«{wrong}»"));
        }
    }

    /// What the pattern finds in the other sources, each once.
    fn found(folder: &Path, pattern: &regex::Regex, all: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found(&path, pattern, all);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("failpoint.rs")
            {
                let code = std::fs::read_to_string(&path).unwrap();
                let names = pattern
                    .captures_iter(&code)
                    .map(|found| found[1].to_owned());
                all.extend(names);
            }
        }
    }

    #[test]
    fn the_lists_are_complete() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for (pattern, listed) in [
            (r#"failpoint::pass\(\s*"([^"]+)""#, POINTS),
            (
                r#"(?:write!\(\s*self,\s*|commit\(\s*self\.transaction,\s*)"([a-z-]+)""#,
                COMMITS,
            ),
        ] {
            let mut all = BTreeSet::new();
            found(&sources, &regex::Regex::new(pattern).unwrap(), &mut all);
            let names: BTreeSet<String> = listed.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(all, names);
            assert_eq!(names.len(), listed.len());
        }
    }
}
