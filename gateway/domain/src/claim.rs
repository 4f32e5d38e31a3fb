//! Claims: what a grant is, before and after it is durable.

use serde::{Deserialize, Serialize};

use crate::id::{
    ClaimId, CouponId, EntryNumber, LeaseNumber, Revision, SubjectHash, Ticket, UserId, Version,
};
use crate::time::Timestamp;

/// What an acknowledged claim is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Answered when the claim is a row in the ledger: survives everything the ledger survives.
    #[default]
    Ledger,
    /// Answered after the script: the loss window is Redis's own.
    Hot,
}

/// How claim ids of a coupon are made. Fixed when the coupon is first published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimForm {
    /// One claim per user: the id follows from coupon and user, a repeat is idempotent by nature.
    Single,
    /// Several claims per user: the id follows from coupon, user and idempotency key.
    Keyed,
}

/// Where a claim stands. `Pending` and `Revoked` are facts; the rest is derived with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimStatus {
    /// Granted in hot state, not yet a row in the ledger.
    Pending,
    /// May be used now, or from `valid_from` on.
    Usable,
    /// Reserved by an order.
    Held,
    /// Redeemed.
    Used,
    /// Past `expires_at`.
    Expired,
    /// Taken back.
    Revoked,
}

/// What hot state remembers of a grant, per user: enough to repeat the first answer exactly and to
/// wait for its durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantRecord {
    /// The claim.
    pub claim_id: ClaimId,
    /// The unit of stock it consumed.
    pub ticket: Ticket,
    /// The version of the terms it is frozen under.
    pub version: Version,
    /// When, by the lane's Redis clock.
    pub granted_at: Timestamp,
    /// The outbox entry that carries it; 0 for claims that hydration took from the ledger (they
    /// are rows already and wait for nothing).
    pub entry: EntryNumber,
}

/// One claim in an outbox entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The unit of stock.
    pub ticket: Ticket,
    /// The claim.
    pub claim_id: ClaimId,
    /// Who claimed.
    pub user: UserId,
    /// Present where the coupon counts devices.
    pub device: Option<SubjectHash>,
    /// Present where the coupon counts addresses.
    pub address: Option<SubjectHash>,
}

/// One outbox entry: all claims granted by one script call. They share everything but what
/// [`Grant`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantBatch {
    /// The entry's number in its lane; also its stream id (`<number>-0`).
    pub entry: EntryNumber,
    /// The coupon.
    pub coupon: CouponId,
    /// The lease all tickets are from.
    pub lease: LeaseNumber,
    /// The coupon's revision when the script ran.
    pub revision: Revision,
    /// The version of the terms.
    pub version: Version,
    /// When the script ran, by its Redis.
    pub granted_at: Timestamp,
    /// The durability class of the coupon at that time.
    pub durability: Durability,
    /// The claims, in ticket order, never empty.
    pub grants: Vec<Grant>,
}

/// A claim as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    /// The claim.
    pub claim_id: ClaimId,
    /// The coupon.
    pub coupon: CouponId,
    /// Who claimed.
    pub user: UserId,
    /// The lease of its ticket.
    pub lease: LeaseNumber,
    /// The unit of stock.
    pub ticket: Ticket,
    /// The coupon's revision when it was granted.
    pub revision: Revision,
    /// The version of its frozen terms.
    pub version: Version,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// The durability class it was granted under.
    pub durability: Durability,
    /// Present where the coupon counts devices.
    pub device: Option<SubjectHash>,
    /// Present where the coupon counts addresses.
    pub address: Option<SubjectHash>,
    /// True when the claim was taken back: its unit is free again. Limits per user, device and
    /// address still count it, since its id is never given a second time.
    pub revoked: bool,
}
