//! Making API keys: for the API, for the command line and for a first start.

use serde_json::json;
use sluice_domain::time::Timestamp;
use sluice_ledger::api_keys::{ApiKey, Role, Scope};
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::{Ledger, LedgerError};

use crate::session::{ApiKeyText, RandomUnavailable};

/// Most characters of a label.
pub(crate) const LABEL_CHARS_MAX: usize = 200;

/// What a key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// What it is for, for people; at most 200 characters.
    pub label: String,
    /// The operator's role, for keys of people.
    pub role: Option<Role>,
    /// The service's scopes.
    pub scopes: Vec<Scope>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gave no randomness.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// The ledger could not store it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes and stores a key, as the command line does; the text is not stored anywhere.
///
/// # Errors
/// When the system gives no randomness or the ledger cannot store it.
pub async fn create_key(
    ledger: &dyn Ledger,
    spec: KeySpec,
    now: Timestamp,
) -> Result<ApiKeyText, KeyError> {
    let (text, key) = make(spec, now)?;
    let entry = AuditEntry {
        at: now,
        actor: "cli".to_owned(),
        action: "key.create".to_owned(),
        object: key.prefix.clone(),
        before: String::new(),
        after: document(&key),
        request_id: String::new(),
    };
    ledger.create_key(&key, entry).await?;
    Ok(text)
}

/// Makes and stores an admin's key, for a first start.
///
/// # Errors
/// As [`create_key`].
pub async fn bootstrap_admin_key(
    ledger: &dyn Ledger,
    now: Timestamp,
) -> Result<ApiKeyText, KeyError> {
    let spec = KeySpec {
        label: "made at the first start".to_owned(),
        role: Some(Role::Admin),
        scopes: Vec::new(),
        expires_at: None,
    };
    create_key(ledger, spec, now).await
}

/// Makes a key without storing it.
pub(crate) fn make(
    spec: KeySpec,
    now: Timestamp,
) -> Result<(ApiKeyText, ApiKey), RandomUnavailable> {
    let text = ApiKeyText::generate()?;
    let key = ApiKey {
        prefix: text.prefix().to_owned(),
        hash: text.hash(),
        label: spec.label,
        role: spec.role,
        scopes: spec.scopes,
        created_at: now,
        expires_at: spec.expires_at,
        revoked_at: None,
    };
    Ok((text, key))
}

/// A key as the audit log keeps it: without its hash.
pub(crate) fn document(key: &ApiKey) -> String {
    json!({
        "label": key.label,
        "role": key.role,
        "scopes": key.scopes,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    })
    .to_string()
}
