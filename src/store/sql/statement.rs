//! One statement for many rows, and lists of values that are looked for.

use super::{CHUNK_BYTES, Connection};
use crate::store::StoreError;
use sqlx::query_builder::Separated;
use sqlx::{Encode, QueryBuilder, Type};

pub(super) type Sql = <Connection as sqlx::Connection>::Database;

/// Rows that one statement writes or looks for, at most.
pub(super) const ROWS_MAX: usize = 128;

/// The values of `IN (…)`, with the bracket that ends them.
pub(super) fn push_list<'t, T: Encode<'t, Sql> + Type<Sql>>(
    statement: &mut QueryBuilder<Sql>,
    values: impl IntoIterator<Item = T>,
) {
    let mut list = statement.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    statement.push(")");
}

/// The beginning of a statement that goes through a list of names: `asked`, with the column `name`.
pub(super) fn asking(names: &[String]) -> QueryBuilder<Sql> {
    let mut statement = QueryBuilder::new("WITH asked (name) AS (");
    statement.push_values(names, |mut row, name| {
        row.push_bind(name);
    });
    statement.push(") ");
    statement
}

/// A statement with its values.
pub(super) struct Statement {
    built: QueryBuilder<Sql>,
    rows: usize,
}

impl Statement {
    fn new<T>(
        head: &str,
        rows: &[T],
        tail: &str,
        push: impl Fn(&mut Separated<'_, Sql, &'static str>, &T),
    ) -> Self {
        let mut built = QueryBuilder::new(head);
        built.push_values(rows, |mut row, values| push(&mut row, values));
        built.push(tail);
        Self {
            built,
            rows: rows.len(),
        }
    }

    pub(super) async fn execute(mut self, connection: &mut Connection) -> Result<(), StoreError> {
        // A statement for each number of rows would drive the others out of the cache.
        let statement = self.built.build().persistent(self.rows == 1);
        statement.execute(connection).await?;
        Ok(())
    }
}

/// Few statements for many rows: what stands before `VALUES`, a row's values, what stands behind.
pub(super) fn insert<T>(
    statements: &mut Vec<Statement>,
    head: &str,
    rows: &[T],
    tail: &str,
    push: impl Fn(&mut Separated<'_, Sql, &'static str>, &T),
) {
    for rows in rows.chunks(ROWS_MAX) {
        statements.push(Statement::new(head, rows, tail, &push));
    }
}

/// Writes contents, each by the row that it belongs to, in chunks. A statement holds a chunk or two, or many small contents.
pub(super) async fn insert_chunks(
    connection: &mut Connection,
    head: &str,
    contents: &[(i64, &[u8])],
) -> Result<(), StoreError> {
    let mut rest = contents;
    let mut seq = 0;
    while let Some(statement) = next_chunks(head, &mut rest, &mut seq) {
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// `seq` counts the chunks of the first content that are written.
fn next_chunks(head: &str, rest: &mut &[(i64, &[u8])], seq: &mut usize) -> Option<Statement> {
    let mut chunks: Vec<(i64, usize, &[u8])> = Vec::new();
    let mut bytes = 0_usize;
    while bytes < CHUNK_BYTES
        && chunks.len() < ROWS_MAX
        && let Some(((id, content), others)) = rest.split_first()
    {
        if let Some(chunk) = content.chunks(CHUNK_BYTES).nth(*seq) {
            chunks.push((*id, *seq, chunk));
            bytes = bytes.saturating_add(chunk.len());
            *seq = seq.saturating_add(1);
        } else {
            (*rest, *seq) = (others, 0);
        }
    }
    let number = |row: &mut Separated<'_, Sql, &'static str>, chunk: &(i64, usize, &[u8])| {
        let (id, seq, bytes) = chunk;
        row.push_bind(*id)
            .push_bind(i64::try_from(*seq).unwrap_or(i64::MAX))
            .push_bind(*bytes);
    };
    (!chunks.is_empty()).then(|| Statement::new(head, &chunks, "", number))
}
