//! The `linjevei` command: hands the arguments to [`linjevei::cli`] and turns its answer into an exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    linjevei::cli::main()
}
