//! Failures of commands and their exit codes (sysexits.h).

use std::process::ExitCode;

/// A command that could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// Rules, templates or input are faulty (`EX_DATAERR`).
    pub fn data(text: impl Into<String>) -> Self {
        Self { code: 65, text: text.into() }
    }

    /// A file cannot be read or written (`EX_IOERR`).
    pub fn io(text: impl Into<String>) -> Self {
        Self { code: 74, text: text.into() }
    }

    /// Prints the text and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        anstream::eprintln!("linjevei: {}", self.text.trim_end());
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::io(error.to_string())
    }
}
