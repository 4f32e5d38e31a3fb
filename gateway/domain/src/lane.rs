//! Lanes: which coupon belongs to which, and the fence under which a keeper writes.

use serde::{Deserialize, Serialize};

use crate::id::{CouponId, Epoch, KeeperNumber, LaneId, UserId};

/// Most lanes a ledger may have.
pub const LANES_MAX: u16 = 256;

/// Most shards of a coupon's stock. A coupon never has more shards than the ledger has lanes.
pub const SHARDS_MAX: u16 = 64;

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

    /// The lane that keeps a coupon; of a coupon with shards the lane of its shard 0, its *home*.
    /// Never changes under a published coupon.
    #[must_use]
    pub fn lane_of(self, coupon: CouponId) -> LaneId {
        let hash = xxhash_rust::xxh3::xxh3_64(&coupon.0.to_be_bytes());
        LaneId(u16::try_from(hash % u64::from(self.0)).unwrap_or(0))
    }

    /// The lanes that keep a coupon of so many shards, each once: that of shard 0 first, then those
    /// that follow it.
    pub fn lanes_of(self, coupon: CouponId, shards: u16) -> impl Iterator<Item = LaneId> {
        let home = self.lane_of(coupon).0;
        (0..self.possible(shards)).map(move |shard| LaneId((home + shard) % self.0))
    }

    /// The lane in which a user's claims of a coupon are decided: that of the user's shard. Never
    /// changes under a published coupon, whose number of shards is fixed.
    #[must_use]
    pub fn lane_for(self, coupon: CouponId, shards: u16, user: &UserId) -> LaneId {
        let shard = shard_of(user, self.possible(shards));
        LaneId((self.lane_of(coupon).0 + shard) % self.0)
    }

    /// Whether a lane keeps a shard of the coupon.
    #[must_use]
    pub fn keeps(self, lane: LaneId, coupon: CouponId, shards: u16) -> bool {
        self.shard_in(lane, coupon) < self.possible(shards) && lane.0 < self.0
    }

    /// The shard that a lane keeps of a coupon, if it has so many.
    #[must_use]
    pub fn shard_in(self, lane: LaneId, coupon: CouponId) -> u16 {
        (lane.0 % self.0 + self.0 - self.lane_of(coupon).0) % self.0
    }

    /// No two shards of a coupon share a lane: there are no more of them than lanes.
    const fn possible(self, shards: u16) -> u16 {
        if shards == 0 {
            1
        } else if shards > self.0 {
            self.0
        } else {
            shards
        }
    }
}

/// The shard of a user, of so many.
fn shard_of(user: &UserId, shards: u16) -> u16 {
    if shards == 1 {
        return 0;
    }
    let hash = xxhash_rust::xxh3::xxh3_64(user.as_bytes());
    u16::try_from(hash % u64::from(shards)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
