//! Errors of the databases, cut by what the caller does next.

use super::{StoreError, postgres, sqlite};
use sqlx::postgres::PgDatabaseError;

/// What a code of a database means for what was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This row alone cannot be stored, now or later.
    RowRefused,
    /// Somebody else was at the same rows: everything is read and decided again.
    Again,
    /// Nothing can be stored now; what an operator can do about it.
    Later(&'static str),
}

/// The text never holds what was to be stored: the databases quote values in some of their messages.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let is_postgres = database.try_downcast_ref::<PgDatabaseError>().is_some();
                let (name, judgement) = if is_postgres {
                    ("PostgreSQL", postgres::judge(&code))
                } else {
                    ("SQLite", sqlite::judge(&code))
                };
                match judgement {
                    Judgement::RowRefused => Self::Broken(format!("{name} code {code}")),
                    Judgement::Again => Self::Conflict,
                    Judgement::Later(meaning) => Self::Temporary {
                        what: format!("{name} code {code}{meaning}"),
                        source: error,
                    },
                }
            }
            sqlx::Error::ColumnDecode { index, .. } => Self::Broken(format!("column {index}")),
            sqlx::Error::PoolTimedOut => Self::Temporary {
                what: "no connection to it could be had in time".to_owned(),
                source: error,
            },
            _ => Self::Temporary {
                what: "connection".to_owned(),
                source: error,
            },
        }
    }
}
