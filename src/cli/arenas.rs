//! The C library keeps free memory apart for each of many threads, and gives back the less of it the larger the pieces are
//! that it was once asked for: a worker that rests would hold most of what it ever took. How many such places (arenas) there
//! are, and when it gives back, is settled before a program begins, so `linjevei` starts itself over once.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the C library asks for the number of its arenas (mallopt(3)).
const SETTING: &str = "MALLOC_ARENA_MAX";
/// One for the thread that reads messages and one for the others: a single one would have them wait for each other.
const ARENAS: &str = "2";
/// What it asks for the bytes that may be free at the end of an arena before it gives them back (mallopt(3)).
const FREE_SETTING: &str = "MALLOC_TRIM_THRESHOLD_";
/// Little beside what a worker that rests may hold, and much beside what one message takes.
const FREE_BYTES: &str = "524288";

/// Goes on in the same process with few arenas. Where that is not possible, or somebody has chosen a number, nothing changes.
pub(super) fn keep_few() {
    if env::var_os(SETTING).is_some() {
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
    again.args(arguments).env(SETTING, ARENAS);
    if env::var_os(FREE_SETTING).is_none() {
        again.env(FREE_SETTING, FREE_BYTES);
    }
    // This returns only when it failed.
    let _unchanged = again.exec();
}
