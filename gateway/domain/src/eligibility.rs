//! Eligibility at claim: pure, and with *all* reasons.

use std::sync::Arc;

use crate::id::UserId;
use crate::terms::Verified;

/// The shopper, as their token or pass describes them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shopper {
    /// Who.
    pub user: UserId,
    /// Groups they are in; sorted.
    pub groups: Arc<[Box<str>]>,
    /// Without a paid order (`true`), with one (`false`), or the token does not say.
    pub is_new: Option<bool>,
    /// What they had verified; sorted.
    pub verified: Arc<[Verified]>,
    /// The device the token is bound to.
    pub device: Option<Arc<str>>,
}
