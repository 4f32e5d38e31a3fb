//! A page of coupons. The status is derived in SQL as `domain::coupon::status` derives it; a test
//! compares the two.

use rusqlite::types::{ToSql, Value};
use rusqlite::{Connection, params_from_iter};
use sluice_domain::coupon::Status;

use super::failure::Step;
use crate::coupons::listing::{Cursor, PAGE_COUPONS_MAX, SortKey};
use crate::coupons::{CouponPage, CouponQuery, CouponSort, document};

/// The condition of a status; `?1` is now.
const fn status_condition(status: Status) -> &'static str {
    match status {
        Status::Draft => "lifecycle = 0",
        Status::Archived => "lifecycle = 4",
        Status::Ended => "(lifecycle = 3 OR (lifecycle IN (1, 2) AND ends_at <= ?1))",
        Status::Paused => "lifecycle = 2 AND (ends_at IS NULL OR ends_at > ?1)",
        Status::Scheduled => {
            "lifecycle = 1 AND (ends_at IS NULL OR ends_at > ?1) AND starts_at > ?1"
        }
        Status::Active => {
            "lifecycle = 1 AND (ends_at IS NULL OR ends_at > ?1)
             AND (starts_at IS NULL OR starts_at <= ?1)"
        }
    }
}

const fn sort_column(sort: CouponSort) -> &'static str {
    match sort {
        CouponSort::CreatedDesc | CouponSort::CreatedAsc => "created_at",
        CouponSort::UpdatedDesc => "updated_at",
        CouponSort::NameAsc => "name_key",
        CouponSort::EndsAsc => "ends_key",
    }
}

/// Reads a page.
pub(super) fn list(connection: &Connection, query: &CouponQuery) -> Step<CouponPage> {
    let sort = query.sort;
    let cursor = query
        .cursor
        .as_deref()
        .map(|text| Cursor::parse(sort, text));
    let cursor = cursor.transpose()?;
    let limit = query.limit.clamp(1, PAGE_COUPONS_MAX);
    let (column, descends) = (sort_column(sort), sort.descends());

    // `?1` is bound always, so that the numbers of the others do not depend on the status.
    let mut conditions = vec!["?1 IS NOT NULL".to_owned()];
    let mut values = vec![Value::Integer(query.now.as_millis())];
    if let Some(status) = query.status {
        conditions.push(status_condition(status).to_owned());
    }
    if let Some(search) = &query.search {
        values.push(Value::Text(search.to_lowercase()));
        conditions.push(format!("instr(search, ?{}) > 0", values.len()));
    }
    if let Some(Cursor { key, id }) = cursor {
        values.push(match key {
            SortKey::Millis(millis) => Value::Integer(millis),
            SortKey::Name(name) => Value::Text(name),
        });
        values.push(Value::Integer(i64::from(id.0)));
        let (key, id) = (values.len() - 1, values.len());
        let beyond = if descends { "<" } else { ">" };
        conditions.push(format!(
            "({column} {beyond} ?{key} OR ({column} = ?{key} AND id > ?{id}))"
        ));
    }
    // One more than the page: it tells whether there is a next one. At most 201.
    let sql = format!(
        "SELECT document FROM coupons WHERE {} ORDER BY {column} {}, id LIMIT {}",
        conditions.join(" AND "),
        if descends { "DESC" } else { "ASC" },
        limit + 1
    );
    let mut statement = connection.prepare(&sql)?;
    let bound = params_from_iter(values.iter().map(|value| value as &dyn ToSql));
    let documents: Vec<String> = statement
        .query_map(bound, |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let more = documents.len() > limit;
    let mut items = Vec::with_capacity(limit.min(documents.len()));
    for stored in documents.iter().take(limit) {
        items.push(document::read(stored)?);
    }
    let last = items.last().filter(|_last| more);
    Ok(CouponPage {
        next_cursor: last.map(|last| Cursor::after(sort, last).format(sort)),
        items,
    })
}
