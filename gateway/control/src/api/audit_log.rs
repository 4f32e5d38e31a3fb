//! The audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::Serialize;
use serde_json::Value;
use sluice_domain::time::Timestamp;
use sluice_ledger::audit_log::AuditRow;

use crate::api::body::Page;
use crate::api::query::Parameters;
use crate::app::App;
use crate::error::Answer;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// An entry as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct AuditLogItem {
    sequence: u64,
    at: Timestamp,
    actor: String,
    action: String,
    object: String,
    before: Value,
    after: Value,
    request_id: String,
    previous_hash: String,
    hash: String,
}

/// Lists what operators did, oldest first.
#[utoipa::path(get, path = "/admin/v1/audit-log", tag = "audit",
    params(
        ("object" = Option<String>, Query, description = "Only entries about this coupon id, key or lane."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended."),
        ("limit" = Option<u32>, Query, description = "Entries per page, 1 to 500; 50 by default."),
    ),
    responses((status = 200, description = "A page of the log.", body = inline(crate::openapi::AuditLogPage))))]
pub(crate) async fn list_audit_log(
    State(app): State<Arc<App>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Json<Page<AuditLogItem>>> {
    let mut parameters = Parameters::new(pairs);
    let object = parameters.text("object");
    let after = parameters.parsed::<u64>("cursor", "a cursor of an earlier answer");
    let limit = parameters.limit(LIMIT_DEFAULT, LIMIT_MAX);
    parameters.done()?;
    let mut rows = app
        .ledger
        .audit_entries(object.as_deref(), after.unwrap_or(0), limit + 1)
        .await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_last| more)
        .map(|last| last.sequence.to_string());
    Ok(Json(Page {
        items: rows.into_iter().map(item).collect(),
        next_cursor,
    }))
}

fn item(row: AuditRow) -> AuditLogItem {
    AuditLogItem {
        sequence: row.sequence,
        at: row.entry.at,
        actor: row.entry.actor,
        action: row.entry.action,
        object: row.entry.object,
        before: document(&row.entry.before),
        after: document(&row.entry.after),
        request_id: row.entry.request_id,
        previous_hash: hex(&row.previous),
        hash: hex(&row.hash),
    }
}

/// A stored document: JSON where it is, else its text, null where there was none.
fn document(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_text| Value::String(text.to_owned()))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
