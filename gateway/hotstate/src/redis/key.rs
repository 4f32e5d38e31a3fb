//! Key names. All keys of a lane share its hash tag, so that one script can have them all.

use sluice_domain::id::{CouponId, Epoch, LaneId};

/// The lane hash: the only key that is not named after an epoch.
pub(super) fn lane(lane: LaneId) -> String {
    format!("{{l{:02}}}:lane", lane.0)
}

/// The keys of a lane in one epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochKeys {
    lane: LaneId,
    epoch: Epoch,
}

impl EpochKeys {
    pub(super) const fn new(lane: LaneId, epoch: Epoch) -> Self {
        Self { lane, epoch }
    }

    /// What all keys of this epoch begin with.
    pub(super) fn prefix(self) -> String {
        format!("{{l{:02}}}:{}:", self.lane.0, self.epoch)
    }

    fn named(self, name: &str) -> String {
        format!("{{l{:02}}}:{}:{name}", self.lane.0, self.epoch)
    }

    fn of(self, kind: char, coupon: CouponId) -> String {
        format!("{{l{:02}}}:{}:{kind}:{coupon}", self.lane.0, self.epoch)
    }

    pub(super) fn outbox(self) -> String {
        self.named("out")
    }

    pub(super) fn mark(self) -> String {
        self.named("mark")
    }

    pub(super) fn refused(self) -> String {
        self.named("refused")
    }

    pub(super) fn known(self) -> String {
        self.named("known")
    }

    pub(super) fn hydrated(self) -> String {
        self.named("hydrated")
    }

    pub(super) fn coupon(self, coupon: CouponId) -> String {
        self.of('c', coupon)
    }

    pub(super) fn definition(self, coupon: CouponId) -> String {
        self.of('d', coupon)
    }

    pub(super) fn users(self, coupon: CouponId) -> String {
        self.of('u', coupon)
    }

    pub(super) fn devices(self, coupon: CouponId) -> String {
        self.of('v', coupon)
    }

    pub(super) fn addresses(self, coupon: CouponId) -> String {
        self.of('i', coupon)
    }

    pub(super) fn filter(self, coupon: CouponId) -> String {
        self.of('f', coupon)
    }
}

#[cfg(test)]
mod tests {
    use sluice_domain::id::{CouponId, Epoch, LaneId};

    #[test]
    fn names_are_those_of_the_protocol() {
        let keys = super::EpochKeys::new(LaneId(7), Epoch(12));
        assert_eq!(super::lane(LaneId(7)), "{l07}:lane");
        assert_eq!(super::lane(LaneId(200)), "{l200}:lane");
        assert_eq!(keys.coupon(CouponId(1)), "{l07}:12:c:0000001");
        assert_eq!(keys.outbox(), "{l07}:12:out");
        assert!(keys.mark().starts_with(&keys.prefix()));
    }
}
