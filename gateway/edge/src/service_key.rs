//! API keys of services, as the edge asks for them. Where they are stored is not its business.

/// What every API key begins with: tells a key from a token or a pass.
pub const SERVICE_KEY_PREFIX: &str = "slk_";

/// A key that was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKey {
    /// The public part, for the record of who did something.
    pub prefix: String,
    /// Whether it may act in checkout, for any user.
    pub checkout: bool,
    /// Whether it may say what happened to orders and users.
    pub events: bool,
}

/// Why a key could not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys cannot be read now")]
pub struct KeysUnavailable;

/// Where keys are proven.
#[async_trait::async_trait]
pub trait ServiceKeys: Send + Sync + 'static {
    /// The key with this text; `None` where there is none, it is revoked or expired.
    ///
    /// # Errors
    /// When the store of keys does not answer.
    async fn prove(&self, text: &str) -> Result<Option<ServiceKey>, KeysUnavailable>;
}
