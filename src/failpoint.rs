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

/// Every point, in the order in which a message passes them. Points that only ever fail are not among those that kill.
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
    // The attempt is counted; the message is read; its outcome is stored.
    "decide.begun",
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
}

#[derive(Debug, Default)]
struct State {
    /// What happens at which pass of a point.
    orders: BTreeMap<String, Vec<(Action, u64)>>,
    passes: BTreeMap<&'static str, u64>,
}

/// Passes a point: the process may end here.
pub fn pass(point: &'static str) {
    if cfg!(debug_assertions) && reaches(point, Action::Kill) {
        tracing::warn!(point, "killed at a failpoint");
        // Nothing can be done about a kill that fails; the process stands still then, and the test says so.
        kill_process(getpid(), Signal::KILL).ok();
        loop {
            std::thread::park();
        }
    }
}

/// Passes a point at which a call may be told to fail; whether it shall.
pub fn fails(point: &'static str) -> bool {
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

fn reaches(point: &'static str, action: Action) -> bool {
    with(|state| {
        let passes = state.passes.entry(point).or_default();
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
                Action::Kill => POINTS.contains(&point),
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

    /// What stands between the quotes in `failpoint::pass("…")` all over the sources.
    fn passed(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                passed(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = std::fs::read_to_string(&path).unwrap();
                for part in code.split("failpoint::pass(\"").skip(1) {
                    found.insert(part.split('"').next().unwrap().to_owned());
                }
            }
        }
    }

    #[test]
    fn the_list_is_complete() {
        let mut found = BTreeSet::new();
        passed(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        // This file speaks of one point that is none.
        found.remove("…");
        found.retain(|point| !point.contains(").skip"));
        let listed: BTreeSet<String> = POINTS.iter().map(|point| (*point).to_owned()).collect();
        assert_eq!(found, listed);
        assert_eq!(listed.len(), POINTS.len());
    }
}
