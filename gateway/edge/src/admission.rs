//! Who is let in while there is more to do than can be done.
//!
//! All requests being handled share one cap. Each class may fill it to its own share only, so what
//! matters least is turned away first, and what the classes above it need stays free: somebody who
//! pays is not kept waiting by people who look. The decision is one comparison, before anything of
//! the request is verified or read.
//!
//! A claim that is repeated cannot be told from a new one before it is decided; whoever was told
//! where to look for its outcome asks there, and is let in before new claims.

use crate::route::Route;

/// What a request is for, from what is kept up the longest to what is turned away first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// An order goes on or ends: hold, confirm, cancel, refund, and what a backend says of orders.
    Confirm,
    /// What became of something that was asked for before.
    Replay,
    /// A claim, and what comes right before one or an order.
    Claim,
    /// A page of what is there.
    List,
    /// What costs a computation over a whole wallet.
    Report,
}

/// The most requests in flight beside which each class is let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    in_flight_max: [usize; Class::ALL.len()],
}

// === impl Class ===

impl Class {
    pub(crate) const ALL: [Self; 5] = [
        Self::Confirm,
        Self::Replay,
        Self::Claim,
        Self::List,
        Self::Report,
    ];

    /// The class of a route.
    pub(crate) const fn of(route: &Route<'_>) -> Self {
        match route {
            Route::Redemptions
            | Route::Confirm { .. }
            | Route::Cancel { .. }
            | Route::Refunds { .. }
            | Route::Grants
            | Route::OrderCancelled { .. } => Self::Confirm,
            Route::ClaimStatus { .. } | Route::Redemption { .. } => Self::Replay,
            Route::Claim { .. } | Route::ClaimByCode | Route::Passes | Route::Quotes => Self::Claim,
            Route::Coupon { .. }
            | Route::Wallet
            | Route::Notifications
            | Route::NotificationRead { .. } => Self::List,
            Route::Match | Route::Unknown => Self::Report,
        }
    }

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Replay => "replay",
            Self::Claim => "claim",
            Self::List => "list",
            Self::Report => "report",
        }
    }

    /// How much of the cap this class may fill, in percent.
    const fn share(self) -> usize {
        match self {
            Self::Confirm => 100,
            Self::Replay => 95,
            Self::Claim => 85,
            Self::List => 70,
            Self::Report => 50,
        }
    }
}

// === impl Admission ===

impl Admission {
    /// Shares of a cap of so many requests, from 1; each class has at least one place.
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self {
            in_flight_max: Class::ALL
                .map(|class| (in_flight_max.saturating_mul(class.share()) / 100).max(1)),
        }
    }

    /// Whether a request of this class is let in beside so many in flight.
    pub(crate) const fn admits(&self, class: Class, in_flight: usize) -> bool {
        in_flight < self.in_flight_max[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_matters_least_is_turned_away_first() {
        let admission = Admission::new(20);
        let let_in = |in_flight: usize| -> Vec<&str> {
            let classes = Class::ALL.into_iter();
            let admitted = classes.filter(|class| admission.admits(*class, in_flight));
            admitted.map(Class::as_str).collect()
        };
        assert_eq!(let_in(9), ["confirm", "replay", "claim", "list", "report"]);
        assert_eq!(let_in(10), ["confirm", "replay", "claim", "list"]);
        assert_eq!(let_in(14), ["confirm", "replay", "claim"]);
        assert_eq!(let_in(17), ["confirm", "replay"]);
        assert_eq!(let_in(19), ["confirm"]);
        assert_eq!(let_in(20), [""; 0]);
    }

    #[test]
    fn routes_have_the_class_of_what_they_are_for() {
        let table = [
            ("/v1/redemptions/r/confirm", Class::Confirm),
            ("/v1/redemptions", Class::Confirm),
            ("/v1/orders/o/cancelled", Class::Confirm),
            ("/v1/claims/c", Class::Replay),
            ("/v1/coupons/c/claims", Class::Claim),
            ("/v1/passes", Class::Claim),
            ("/v1/wallet", Class::List),
            ("/v1/coupons/c", Class::List),
            ("/v1/wallet/match", Class::Report),
        ];
        for (path, class) in table {
            assert_eq!(Class::of(&Route::of(path)), class, "{path}");
        }
    }

    proptest! {
        /// Whoever is let in, everybody above is let in too; nobody beyond the cap, and an idle
        /// server turns nobody away.
        #[test]
        fn classes_are_in_order(cap in 1_usize..1_000_000, in_flight in 0_usize..1_100_000) {
            let admission = Admission::new(cap);
            let admitted = Class::ALL.map(|class| admission.admits(class, in_flight));
            prop_assert!(admitted.is_sorted_by(|above, below| above >= below));
            prop_assert!(!admitted[0] || in_flight < cap);
            prop_assert!(Class::ALL.iter().all(|class| admission.admits(*class, 0)));
        }
    }
}
