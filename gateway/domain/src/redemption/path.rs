//! Which status may follow which: the arrows of the picture above.

use super::RedemptionStatus;

// === impl RedemptionStatus ===

impl RedemptionStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Held,
        Self::Confirmed,
        Self::Cancelled,
        Self::Expired,
        Self::PartiallyRefunded,
        Self::Refunded,
    ];

    /// Whether a transition may lead here from `from` (`None`: the order has no redemption yet).
    /// Whether it is right at this moment, with this content, is decided elsewhere; a path that
    /// this refuses is never right.
    #[must_use]
    pub const fn may_follow(self, from: Option<Self>) -> bool {
        match from {
            None | Some(Self::Expired) if matches!(self, Self::Held) => true,
            None | Some(Self::Cancelled | Self::Refunded) => false,
            Some(Self::Held) => matches!(
                self,
                Self::Held | Self::Confirmed | Self::Cancelled | Self::Expired
            ),
            Some(Self::Expired) => matches!(self, Self::Confirmed),
            Some(Self::Confirmed | Self::PartiallyRefunded) => {
                matches!(self, Self::PartiallyRefunded | Self::Refunded)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RedemptionStatus::{
        self, Cancelled, Confirmed, Expired, Held, PartiallyRefunded, Refunded,
    };

    #[test]
    fn the_arrows_are_those_of_the_picture() {
        let drawn = [
            (None, Held),
            (Some(Held), Held),
            (Some(Held), Confirmed),
            (Some(Held), Cancelled),
            (Some(Held), Expired),
            (Some(Expired), Held),
            (Some(Expired), Confirmed),
            (Some(Confirmed), PartiallyRefunded),
            (Some(Confirmed), Refunded),
            (Some(PartiallyRefunded), PartiallyRefunded),
            (Some(PartiallyRefunded), Refunded),
        ];
        let every = RedemptionStatus::ALL.map(Some);
        for from in every.into_iter().chain([None]) {
            for to in RedemptionStatus::ALL {
                let expected = drawn.contains(&(from, to));
                assert_eq!(to.may_follow(from), expected, "{from:?} to {to:?}");
            }
        }
    }
}
