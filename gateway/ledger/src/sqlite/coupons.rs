//! Coupons and their versions on SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::id::{CouponId, CouponNumber, LaneId, Revision, Version};
use sluice_domain::lane::LaneCount;

use super::failure::{Part, Step, Stop};
use super::listing::list;
use super::value::Instant;
use super::{SqliteLedger, codes, keys, leases, row};
use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::coupons::change::{
    check_revision, check_version, to_json, version_row, with_kept_total,
};
use crate::coupons::listing::{ends_key, name_key, search_text};
use crate::coupons::{
    CouponPage, CouponQuery, CouponWrite, Coupons, Operation, VersionRow, document,
};

const VERSION_COLUMNS: &str = "version, published, terms, hash, at, author";

/// A lifecycle as it is stored.
pub(super) const fn lifecycle_code(lifecycle: Lifecycle) -> u8 {
    match lifecycle {
        Lifecycle::Draft => 0,
        Lifecycle::Live => 1,
        Lifecycle::Paused => 2,
        Lifecycle::Ended => 3,
        Lifecycle::Archived => 4,
    }
}

/// One coupon.
pub(super) fn find(connection: &Connection, id: CouponId) -> Part<Option<Coupon>> {
    let stored: Option<String> = connection
        .prepare_cached("SELECT document FROM coupons WHERE id = ?1")?
        .query_row(params![id.0], |row| row.get(0))
        .optional()?;
    Ok(stored.as_deref().map(document::read).transpose()?)
}

/// One coupon, which must exist.
pub(super) fn known(connection: &Connection, id: CouponId) -> Part<Coupon> {
    let found = find(connection, id)?;
    Ok(found.ok_or_else(|| LedgerError::corrupt(format!("there is no coupon {id}")))?)
}

/// Writes the document of an existing coupon, and the columns that copy from it.
pub(super) fn store(connection: &Connection, coupon: &Coupon) -> Part<()> {
    let window = coupon.spec.window;
    connection
        .prepare_cached(
            "UPDATE coupons SET revision = ?2, document = ?3, lifecycle = ?4, durability = ?5,
                    published = ?6, starts_at = ?7, ends_at = ?8, created_at = ?9,
                    updated_at = ?10, name_key = ?11, ends_key = ?12, search = ?13,
                    shards = ?14
             WHERE id = ?1",
        )?
        .execute(params![
            coupon.id.0,
            coupon.revision.0,
            document::write(coupon)?,
            lifecycle_code(coupon.lifecycle),
            row::durability_code(coupon.spec.durability),
            coupon.first_open_at.is_some(),
            window.starts_at.map(Instant),
            window.ends_at.map(Instant),
            Instant(coupon.created_at),
            Instant(coupon.updated_at),
            name_key(coupon),
            ends_key(coupon),
            search_text(coupon),
            coupon.spec.shards,
        ])?;
    Ok(())
}

/// Stores a new coupon.
pub(super) fn create(
    connection: &Connection,
    lanes: LaneCount,
    coupon: &Coupon,
    entry: AuditEntry,
) -> Step<CouponWrite> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO coupons (id, lane, revision, document, lifecycle, durability, published,
                                  created_at, updated_at, name_key, ends_key, search)
             VALUES (?1, ?2, 0, '', 0, 0, 0, 0, 0, '', 0, '') ON CONFLICT DO NOTHING",
        )?
        .execute(params![coupon.id.0, lanes.lane_of(coupon.id).0])?;
    if inserted == 0 {
        return Err(LedgerError::corrupt(format!("coupon {} exists already", coupon.id)).into());
    }
    if let Some(holder) = codes::hand_over(connection, None, coupon)? {
        return Err(Stop::Undo(Box::new(CouponWrite::CodeTaken { holder })));
    }
    store(connection, coupon)?;
    connection
        .prepare_cached("INSERT INTO stock (coupon, total) VALUES (?1, ?2)")?
        .execute(params![
            coupon.id.0,
            coupon.spec.limits.total.map(super::value::Natural)
        ])?;
    if let Some(version) = version_row(coupon, &entry.actor)? {
        insert_version(connection, coupon.id, &version)?;
    }
    keys::write_audit(connection, entry)?;
    Ok(CouponWrite::Done)
}

fn update(
    connection: &Connection,
    seen: Revision,
    coupon: &Coupon,
    author: &str,
    entry: AuditEntry,
) -> Step<CouponWrite> {
    check_revision(seen, coupon)?;
    let Some(held) = find(connection, coupon.id)? else {
        return Ok(CouponWrite::Unknown);
    };
    if held.revision != seen {
        return Ok(CouponWrite::Stale(Box::new(held)));
    }
    if let Some(holder) = codes::hand_over(connection, Some(&held), coupon)? {
        return Ok(CouponWrite::CodeTaken { holder });
    }
    if let Some(new) = version_row(coupon, author)? {
        match find_version(connection, coupon.id, new.version)? {
            Some(held) => check_version(&held, &new)?,
            None => insert_version(connection, coupon.id, &new)?,
        }
    }
    let mut stock = row::known_stock(connection, coupon.id)?;
    let stored = with_kept_total(&stock, coupon);
    store(connection, &stored)?;
    stock.total = stored.spec.limits.total;
    leases::write_limits(connection, coupon.id, &stock)?;
    keys::write_audit(connection, entry)?;
    Ok(CouponWrite::Done)
}

fn insert_version(connection: &Connection, id: CouponId, version: &VersionRow) -> Part<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO coupon_versions (coupon, {VERSION_COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        ))?
        .execute(params![
            id.0,
            version.version.0,
            to_json(&version.published)?,
            to_json(&version.terms)?,
            version.hash,
            Instant(version.at),
            version.author,
        ])?;
    Ok(())
}

/// One version of a coupon.
pub(super) fn find_version(
    connection: &Connection,
    id: CouponId,
    version: Version,
) -> Part<Option<VersionRow>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {VERSION_COLUMNS} FROM coupon_versions WHERE coupon = ?1 AND version = ?2"
        ))?
        .query_row(params![id.0, version.0], decode_version)
        .optional()?)
}

fn decode_version(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
        })
    }
    Ok(VersionRow {
        version: Version(row.get(0)?),
        published: json(row, 1)?,
        terms: json(row, 2)?,
        hash: row.get(3)?,
        at: row.get::<_, Instant>(4)?.0,
        author: row.get(5)?,
    })
}

fn find_operation(connection: &Connection, scope: &str, key: &str) -> Part<Option<Operation>> {
    Ok(connection
        .prepare_cached(
            "SELECT fingerprint, status, body, at FROM operations WHERE scope = ?1 AND key = ?2",
        )?
        .query_row(params![scope, key], |row| {
            Ok(Operation {
                fingerprint: row.get(0)?,
                status: row.get(1)?,
                body: row.get(2)?,
                at: row.get::<_, Instant>(3)?.0,
            })
        })
        .optional()?)
}

#[async_trait::async_trait]
impl Coupons for SqliteLedger {
    async fn next_number(&self) -> Result<CouponNumber, LedgerError> {
        self.write(|connection| {
            let number: u32 = connection
                .prepare_cached(
                    "UPDATE meta SET numbers_given = numbers_given + 1 RETURNING numbers_given",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(CouponNumber(number))
        })
        .await
    }

    async fn create_coupon(
        &self,
        coupon: &Coupon,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError> {
        let (coupon, lanes) = (coupon.clone(), self.identity.lanes);
        self.write(move |connection| create(connection, lanes, &coupon, entry))
            .await
    }

    async fn coupon(&self, id: CouponId) -> Result<Option<Coupon>, LedgerError> {
        self.read(move |connection| Ok(find(connection, id)?)).await
    }

    async fn update_coupon(
        &self,
        seen: Revision,
        coupon: &Coupon,
        author: &str,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError> {
        let (coupon, author) = (coupon.clone(), author.to_owned());
        self.write(move |connection| update(connection, seen, &coupon, &author, entry))
            .await
    }

    async fn list_coupons(&self, query: &CouponQuery) -> Result<CouponPage, LedgerError> {
        let query = query.clone();
        self.read(move |connection| list(connection, &query)).await
    }

    async fn versions(&self, id: CouponId) -> Result<Vec<VersionRow>, LedgerError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {VERSION_COLUMNS} FROM coupon_versions WHERE coupon = ?1 ORDER BY version"
            ))?;
            let rows = statement.query_map(params![id.0], decode_version)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn published_coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, LedgerError> {
        let lanes = self.identity.lanes.get();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, retired FROM coupons WHERE lane = ?1 AND published = 1
                 UNION
                 SELECT id, retired FROM coupons
                  WHERE shards > 1 AND published = 1 AND (?1 + ?2 - lane) % ?2 < shards
                 ORDER BY id",
            )?;
            let rows = statement.query_map(params![lane.0, lanes], |row| {
                Ok((CouponId(row.get(0)?), row.get(1)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn set_retired(&self, id: CouponId, retired: bool) -> Result<(), LedgerError> {
        self.write(move |connection| {
            row::known_stock(connection, id)?;
            connection
                .prepare_cached("UPDATE coupons SET retired = ?2 WHERE id = ?1")?
                .execute(params![id.0, retired])?;
            Ok(())
        })
        .await
    }

    async fn operation(&self, scope: &str, key: &str) -> Result<Option<Operation>, LedgerError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.read(move |connection| Ok(find_operation(connection, &scope, &key)?))
            .await
    }

    async fn record_operation(
        &self,
        scope: &str,
        key: &str,
        operation: &Operation,
    ) -> Result<bool, LedgerError> {
        let (scope, key, operation) = (scope.to_owned(), key.to_owned(), operation.clone());
        self.write(move |connection| {
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO operations (scope, key, fingerprint, status, body, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    scope,
                    key,
                    operation.fingerprint,
                    operation.status,
                    operation.body,
                    Instant(operation.at)
                ])?;
            Ok(inserted == 1)
        })
        .await
    }
}
