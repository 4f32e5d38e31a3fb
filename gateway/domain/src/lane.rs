//! Lanes: which coupon belongs to which, and the fence under which a keeper writes.

use serde::{Deserialize, Serialize};

use crate::id::{CouponId, Epoch, KeeperNumber, LaneId};

/// Most lanes a ledger may have.
pub const LANES_MAX: u16 = 256;

/// The number of lanes, fixed in the ledger at its first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneCount(u16);

/// Under what a keeper writes: every write to Redis and to the ledger carries it and is refused
/// when the lane has moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneFence {
    /// The lane.
    pub lane: LaneId,
    /// The epoch the keeper works in.
    pub epoch: Epoch,
    /// The keeper's number.
    pub keeper: KeeperNumber,
}

impl LaneCount {
    /// A count of lanes.
    ///
    /// # Errors
    /// With the number itself when it is 0 or above [`LANES_MAX`].
    pub const fn new(count: u16) -> Result<Self, u16> {
        if count == 0 || count > LANES_MAX {
            Err(count)
        } else {
            Ok(Self(count))
        }
    }

    /// The number of lanes, 1 to 256.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// All lanes, in order.
    pub fn iter(self) -> impl Iterator<Item = LaneId> {
        (0..self.0).map(LaneId)
    }

    /// The lane that keeps a coupon. Never changes under a published coupon.
    #[must_use]
    pub fn lane_of(self, coupon: CouponId) -> LaneId {
        let hash = xxhash_rust::xxh3::xxh3_64(&coupon.0.to_be_bytes());
        LaneId(u16::try_from(hash % u64::from(self.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
