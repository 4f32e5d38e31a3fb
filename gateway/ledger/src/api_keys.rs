//! API keys of operators and services. Only a hash of each is stored.

use serde::{Deserialize, Serialize};
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::audit_log::AuditEntry;

/// What an operator's key may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes coupons.
    Operator,
    /// Approves what needs a second person.
    Approver,
    /// Everything, keys and lanes too.
    Admin,
}

/// What a service's key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Checkout calls.
    Checkout,
    /// Events in.
    Events,
}

/// A key as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part, by which it is found: 12 characters.
    pub prefix: String,
    /// SHA-256 of the secret part.
    pub hash: [u8; 32],
    /// What it is for, for people.
    pub label: String,
    /// The operator's role, for keys of people.
    pub role: Option<Role>,
    /// The service's scopes.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The keys.
#[async_trait::async_trait]
pub trait ApiKeys: Send + Sync + 'static {
    /// Stores a new key.
    async fn create_key(&self, key: &ApiKey, entry: AuditEntry) -> Result<(), LedgerError>;

    /// The key with this public part.
    async fn key(&self, prefix: &str) -> Result<Option<ApiKey>, LedgerError>;

    /// All keys, oldest first.
    async fn list_keys(&self) -> Result<Vec<ApiKey>, LedgerError>;

    /// Revokes a key; false where there is none.
    async fn revoke_key(
        &self,
        prefix: &str,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, LedgerError>;
}
