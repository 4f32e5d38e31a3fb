//! How many requests of each kind a sale makes.

use clap::ValueEnum;
use serde::Serialize;

use super::CapacityError;

/// What an acknowledgement of the coupon means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Class {
    /// Answered when Redis has decided.
    Hot,
    /// Answered when it is in the ledger.
    Ledger,
}

/// What is asked. One claim per user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sale {
    /// Who comes.
    pub(crate) users: u64,
    /// In which time all of them come.
    pub(crate) seconds: f64,
    /// Units to give away, over all coupons.
    pub(crate) coupons: u64,
    /// Different coupons that share users and units evenly.
    pub(crate) sales: u64,
    /// How often each user asks again.
    pub(crate) reloads: f64,
    /// The busiest second, as a multiple of the mean second.
    pub(crate) peak: f64,
    /// In which time the units are handed out.
    pub(crate) grant_seconds: f64,
    /// The coupons' class.
    pub(crate) class: Class,
    /// Connections that each user keeps open to a gateway.
    pub(crate) connections_per_user: f64,
    /// Carts that each winner has priced.
    pub(crate) quotes_per_winner: f64,
    /// Over which time after the rush.
    pub(crate) checkout_seconds: f64,
    /// How long the machines are paid for.
    pub(crate) hours: f64,
}

/// Requests of each kind: in all, or in the busiest second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Requests {
    /// A unit was given.
    pub(crate) granted: f64,
    /// A winner asked again.
    pub(crate) replayed: f64,
    /// Nothing was left, or not yet: wait and ask again.
    pub(crate) refused: f64,
}

/// What a sale makes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Demand {
    /// Users who get a unit.
    pub(crate) winners: f64,
    /// In all.
    pub(crate) total: Requests,
    /// In the busiest second.
    pub(crate) peak: Requests,
    /// Quotes per second after the rush.
    pub(crate) quotes: f64,
    /// Open connections if everybody's are open at once.
    pub(crate) connections: f64,
}

// === impl Sale ===

impl Sale {
    fn check(&self) -> Result<(), CapacityError> {
        let must = |fits: bool, flag, value, range| {
            if fits {
                Ok(())
            } else {
                Err(CapacityError::Flag { flag, value, range })
            }
        };
        let counts = [
            ("--users", self.users),
            ("--coupons", self.coupons),
            ("--sales", self.sales),
        ];
        for (flag, value) in counts {
            let fits = (1..=1_000_000_000_000).contains(&value);
            must(fits, flag, value as f64, "from 1 to 1000000000000")?;
        }
        let times = [
            ("--seconds", self.seconds),
            ("--grant-seconds", self.grant_seconds),
            ("--checkout-seconds", self.checkout_seconds),
            ("--hours", self.hours),
        ];
        for (flag, value) in times {
            let fits = value.is_finite() && value > 0.0;
            must(fits, flag, value, "a time is above 0")?;
        }
        let factors = [
            ("--reloads", self.reloads),
            ("--connections-per-user", self.connections_per_user),
            ("--quotes-per-winner", self.quotes_per_winner),
        ];
        for (flag, value) in factors {
            let fits = (0.0..=10_000.0).contains(&value);
            must(fits, flag, value, "from 0 to 10000")?;
        }
        let peak = (1.0..=10_000.0).contains(&self.peak);
        must(
            peak,
            "--peak",
            self.peak,
            "the busiest second is never below the mean: from 1 to 10000",
        )?;
        let sales = self.sales <= self.coupons;
        let most = "a coupon has at least one unit: at most --coupons";
        must(sales, "--sales", self.sales as f64, most)
    }

    /// What it makes.
    ///
    /// # Errors
    /// When a number is outside its range.
    pub(crate) fn demand(&self) -> Result<Demand, CapacityError> {
        self.check()?;
        let users = self.users as f64;
        let winners = self.users.min(self.coupons) as f64;
        let total = Requests {
            granted: winners,
            replayed: winners * self.reloads,
            refused: (users - winners) * (1.0 + self.reloads),
        };
        let all = total.all();
        // A sale of less than a second is within the busiest one.
        let busiest = (all / self.seconds * self.peak).min(all);
        let granted = (winners / self.grant_seconds).min(winners).min(busiest);
        let replayed = (busiest * total.replayed / all).min(busiest - granted);
        Ok(Demand {
            winners,
            total,
            peak: Requests {
                granted,
                replayed,
                refused: busiest - granted - replayed,
            },
            quotes: winners * self.quotes_per_winner / self.checkout_seconds.max(1.0),
            connections: users * self.connections_per_user,
        })
    }
}

// === impl Requests ===

impl Requests {
    /// Of all kinds.
    pub(crate) fn all(&self) -> f64 {
        self.granted + self.replayed + self.refused
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Ten million users in ten seconds, a million units.
    pub(crate) fn giant() -> Sale {
        Sale {
            users: 10_000_000,
            seconds: 10.0,
            coupons: 1_000_000,
            sales: 1,
            reloads: 1.5,
            peak: 2.0,
            grant_seconds: 10.0,
            class: Class::Ledger,
            connections_per_user: 1.0,
            quotes_per_winner: 3.0,
            checkout_seconds: 600.0,
            hours: 2.0,
        }
    }

    #[test]
    fn every_request_is_of_one_kind_and_the_peak_is_within_the_whole() {
        for users in [1, 7, 1_000, 10_000_000] {
            for coupons in [1, 500, 20_000_000] {
                for (seconds, peak, reloads) in
                    [(0.2, 1.0, 0.0), (10.0, 2.0, 1.5), (60.0, 30.0, 4.0)]
                {
                    let sale = Sale {
                        users,
                        coupons,
                        seconds,
                        peak,
                        reloads,
                        grant_seconds: seconds,
                        ..giant()
                    };
                    let demand = sale.demand().unwrap();
                    let all = users as f64 * (1.0 + reloads);
                    assert!((demand.total.all() - all).abs() < all * 1e-9, "{sale:?}");
                    assert!(demand.winners <= users.min(coupons) as f64);
                    let busiest = demand.peak;
                    assert!(busiest.all() <= all * (1.0 + 1e-9), "{sale:?}");
                    for kind in [busiest.granted, busiest.replayed, busiest.refused] {
                        assert!(kind >= 0.0, "{sale:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_giant_sale_is_five_million_requests_in_its_busiest_second() {
        let demand = giant().demand().unwrap();
        assert_eq!(demand.peak.all(), 5_000_000.0);
        assert_eq!(demand.peak.granted, 100_000.0);
        assert_eq!(demand.total.replayed, 1_500_000.0);
        assert_eq!(demand.total.refused, 22_500_000.0);
    }

    #[test]
    fn a_number_outside_its_range_is_refused_by_its_flag() {
        let refused = |sale: Sale| sale.demand().unwrap_err().to_string();
        let cases = [
            (
                Sale {
                    users: 0,
                    ..giant()
                },
                "--users is 0",
            ),
            (
                Sale {
                    seconds: 0.0,
                    ..giant()
                },
                "--seconds is 0",
            ),
            (
                Sale {
                    hours: f64::NAN,
                    ..giant()
                },
                "--hours is NaN",
            ),
            (
                Sale {
                    peak: 0.5,
                    ..giant()
                },
                "--peak is 0.5",
            ),
            (
                Sale {
                    reloads: -1.0,
                    ..giant()
                },
                "--reloads is -1",
            ),
            (
                Sale {
                    sales: 2,
                    coupons: 1,
                    ..giant()
                },
                "--sales is 2",
            ),
        ];
        for (sale, said) in cases {
            let refusal = refused(sale);
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}
