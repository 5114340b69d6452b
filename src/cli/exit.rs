//! Failures of commands and their exit codes (sysexits.h).

use crate::store::StoreError;
use crate::worker::{PersonError, ReportError, WorkError};
use std::process::ExitCode;

/// A command that could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// Not done; the text says why (exit code 1).
    pub fn not_done(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            text: text.into(),
        }
    }

    /// Rules, templates or input are faulty (`EX_DATAERR`).
    pub fn data(text: impl Into<String>) -> Self {
        Self {
            code: 65,
            text: text.into(),
        }
    }

    /// Another linjevei runs on the same database (`EX_UNAVAILABLE`).
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self {
            code: 69,
            text: text.into(),
        }
    }

    /// An error in linjevei itself (`EX_SOFTWARE`).
    pub fn software(text: impl Into<String>) -> Self {
        Self {
            code: 70,
            text: text.into(),
        }
    }

    /// A file cannot be read or written (`EX_IOERR`).
    pub fn io(text: impl Into<String>) -> Self {
        Self {
            code: 74,
            text: text.into(),
        }
    }

    /// Not now, try again (`EX_TEMPFAIL`).
    pub fn temporary(text: impl Into<String>) -> Self {
        Self {
            code: 75,
            text: text.into(),
        }
    }

    /// The configuration is faulty (`EX_CONFIG`).
    pub fn config(text: impl Into<String>) -> Self {
        Self {
            code: 78,
            text: text.into(),
        }
    }

    /// What happened and what to do.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Prints the text and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        anstream::eprintln!("linjevei: {}", self.text.trim_end());
        ExitCode::from(self.code)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Temporary { .. } | StoreError::Conflict => {
                Self::temporary(format!("{text}; nothing was changed, try again"))
            }
            StoreError::Open { .. } => Self::temporary(text),
            StoreError::Broken(_) => Self::software(text),
        }
    }
}

impl From<WorkError> for Failure {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Store(error) => error.into(),
            other if other.is_temporary() => {
                Self::temporary(crate::worker::supervisor::chain(&other))
            }
            other => Self::not_done(crate::worker::supervisor::chain(&other)),
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Work(error) => error.into(),
            other @ ReportError::Unwritten(..) => Self::not_done(other.to_string()),
        }
    }
}

impl From<PersonError> for Failure {
    fn from(error: PersonError) -> Self {
        match error {
            PersonError::Work(error) => error.into(),
            other => Self::not_done(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::io(error.to_string())
    }
}
