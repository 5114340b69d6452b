//! What possible duplicates are known by.

use super::{Connection, key};
use crate::case::likeness::{COMMON_FILE, Earlier, Sketch, WINDOW_DAYS};
use crate::store::{StoreError, rows};
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;

pub(super) fn to_bytes(hashes: &[u64]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<u64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks
        .iter()
        .map(|chunk| u64::from_be_bytes(*chunk))
        .collect()
}

/// Forgets the sketches of texts that no later report can be compared with any more.
pub(super) async fn sweep(connection: &mut Connection, now_ms: i64) -> Result<(), StoreError> {
    let window = WINDOW_DAYS.saturating_mul(DAY_MS);
    // Rows that another worker forgets just now are left to it: nobody waits here with other rows in hand.
    sqlx::query(concat!(
        "DELETE FROM case_likeness WHERE case_id IN (SELECT case_id FROM case_likeness WHERE received_at_ms < $1",
        skip_locked!(),
        ")"
    ))
    .bind(now_ms.saturating_sub(window.saturating_mul(2)))
    .execute(connection)
    .await?;
    Ok(())
}

rows::row! {
    struct OfficeRow {
        id: i64,
        year: i64,
        count: i64,
        merged_into: String,
        shingles: Vec<u8>,
        numbers: Vec<u8>,
    }
}

/// Earlier cases that a report may repeat: those with one of its files, and those of its office from the days around.
pub(super) async fn earlier(
    connection: &mut Connection,
    sketch: &Sketch,
    received_at_ms: i64,
) -> Result<Vec<Earlier>, StoreError> {
    let mut found: BTreeMap<i64, Earlier> = BTreeMap::new();
    for sha256 in &sketch.files {
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(
            "SELECT c.id, c.year, c.count, c.merged_into FROM case_file f JOIN cases c ON c.id = f.case_id WHERE f.sha256 = $1 \
             ORDER BY c.id LIMIT $2",
        )
        .bind(sha256)
        .bind(i64::try_from(COMMON_FILE).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        for (id, year, count, merged_into) in rows {
            entry(&mut found, id, year, count, &merged_into)?
                .files
                .push(sha256.clone());
        }
    }
    if !sketch.office.is_empty() && !sketch.shingles.is_empty() {
        let window = WINDOW_DAYS.saturating_mul(DAY_MS);
        // The newest of an office: more within the window is a machine. The number stands in the text, since SQLite plans a
        // statement anew for each value that is bound as a limit.
        let rows: Vec<OfficeRow> = sqlx::query_as(
            "SELECT c.id, c.year, c.count, c.merged_into, l.shingles, l.numbers FROM case_likeness l JOIN cases c ON c.id = l.case_id \
             WHERE l.office = $1 AND l.received_at_ms BETWEEN $2 AND $3 ORDER BY c.id DESC LIMIT 500",
        )
        .bind(key(&sketch.office))
        .bind(received_at_ms.saturating_sub(window))
        .bind(received_at_ms.saturating_add(window))
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let earlier = entry(&mut found, row.id, row.year, row.count, &row.merged_into)?;
            earlier.office.clone_from(&sketch.office);
            earlier.shingles = from_bytes(&row.shingles);
            earlier.numbers = from_bytes(&row.numbers);
        }
    }
    Ok(found.into_values().collect())
}

/// The sketch of a case among those found; a merged case goes by the number that it is under now.
fn entry<'f>(
    found: &'f mut BTreeMap<i64, Earlier>,
    id: i64,
    year: i64,
    count: i64,
    merged_into: &str,
) -> Result<&'f mut Sketch, StoreError> {
    let number = if merged_into.is_empty() {
        rows::number(year, count)?
    } else {
        merged_into
            .parse()
            .map_err(|_| rows::broken("merged_into", merged_into))?
    };
    let earlier = found.entry(id).or_insert_with(|| Earlier {
        number,
        sketch: Sketch::default(),
    });
    Ok(&mut earlier.sketch)
}
