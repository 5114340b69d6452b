//! The C library keeps free memory apart for each of many threads, and gives back the less of it the larger the pieces are
//! that it was once asked for: a worker that rests would hold most of what it ever took. How many such places (arenas) there
//! are, and when it gives back, is settled before a program begins, so `linjevei` starts itself over once.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the C library asks for (mallopt(3)), and what it is told.
const SETTINGS: [(&str, &str); 2] = [
    // One for the thread that reads messages and one for the others: a single one would have them wait for each other.
    ("MALLOC_ARENA_MAX", "2"),
    // Bytes that may be free at the end of an arena: little beside what a worker that rests may hold, and much beside what
    // one message takes.
    ("MALLOC_TRIM_THRESHOLD_", "524288"),
];

/// Goes on in the same process with few arenas. Where that is not possible nothing changes, and what somebody has chosen
/// stays.
pub(super) fn keep_few() {
    let missing =
        SETTINGS.map(|(name, value)| env::var_os(name).is_none().then_some((name, value)));
    if missing == [None, None] {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut arguments = env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // This returns only when it failed.
    let _unchanged = again
        .args(arguments)
        .envs(missing.into_iter().flatten())
        .exec();
}
