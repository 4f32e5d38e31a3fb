//! The coupons of a storm.

use serde_json::{Value, json};
use sluice_domain::money;
use sluice_domain::terms::{Currency, MinorUnits};

use crate::fault;

/// What is sold: one claim per user and durable, two per user with two uses each and durable, one per
/// user and `hot`, few per device and address, and one whose budget is soon gone, with one use per
/// user and day for two claims.
pub(super) const OFFERS: [Offer; 5] = [
    Offer {
        shards_in_cluster: fault::LANES,
        ..Offer::new("one each", 300, 1, "ledger")
    },
    Offer {
        uses_per_claim: 2,
        ..Offer::new("two each", 300, 2, "ledger")
    },
    Offer::new("one each, hot", 300, 1, "hot"),
    Offer {
        // 10 devices and 25 addresses: about as many as the total, often fewer.
        per_device: Some(10),
        per_address: Some(4),
        ..Offer::new("few each device and address", 80, 1, "ledger")
    },
    Offer {
        uses_per_user: Some(1),
        budget: Some(1_500),
        ..Offer::new("in budget, once a day", 150, 2, "ledger")
    },
];

/// What is rushed for after the storm: money for seven, claims for many more.
pub(super) const LAST_MONEY: Offer = Offer {
    budget: Some(3_500),
    ..Offer::new("the last money", 40, 1, "ledger")
};

/// A coupon to be published.
pub(super) struct Offer {
    pub(super) name: &'static str,
    pub(super) total: u64,
    pub(super) per_user: u16,
    pub(super) per_device: Option<u16>,
    pub(super) per_address: Option<u16>,
    pub(super) uses_per_claim: u32,
    pub(super) uses_per_user: Option<u32>,
    pub(super) budget: Option<MinorUnits>,
    pub(super) durability: &'static str,
    /// Lanes that it is sold in where these are on several servers.
    pub(super) shards_in_cluster: u16,
}

// === impl Offer ===

impl Offer {
    const fn new(name: &'static str, total: u64, per_user: u16, durability: &'static str) -> Self {
        Self {
            name,
            total,
            per_user,
            per_device: None,
            per_address: None,
            uses_per_claim: 1,
            uses_per_user: None,
            budget: None,
            durability,
            shards_in_cluster: 1,
        }
    }

    /// The coupon, as the admin API takes it.
    pub(super) fn coupon(&self, shards: u16) -> Value {
        let once_a_day = |count| json!({"count": count, "period": "day"});
        let usd = Currency(*b"USD");
        json!({
            "name": self.name,
            "currency": "USD",
            "benefit": {"type": "fixed", "off": "5.00"},
            "limits": {
                "total": self.total,
                "per_user": self.per_user,
                "per_device": self.per_device,
                "per_ip": self.per_address,
                "uses_per_claim": self.uses_per_claim,
                "uses_per_user": self.uses_per_user.map(once_a_day),
                "budget": self.budget.map(|budget| money::format(budget, usd)),
            },
            "durability": self.durability,
            "shards": shards,
        })
    }
}
