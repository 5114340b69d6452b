//! The C library keeps free memory apart for each of many threads, and a worker that rests would hold most of what it ever
//! took. How many such places (arenas) there are is settled before a program begins, so `linjevei` starts itself over once.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the C library asks for the number of its arenas (mallopt(3)).
const SETTING: &str = "MALLOC_ARENA_MAX";
/// One for the thread that reads messages and one for the others: a single one would have them wait for each other.
const ARENAS: &str = "2";

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
    // This returns only when it failed.
    let _unchanged = again.args(arguments).env(SETTING, ARENAS).exec();
}
