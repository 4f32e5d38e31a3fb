//! The section `checkout`.

use std::time::Duration;

use serde::Deserialize;
use sluice_checkout::CheckoutSettings;
use sluice_domain::pricing::OrderLimits;
use sluice_domain::redemption::RefundPolicy;

use super::{Refused, refused};

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Checkout {
    hold_s: u32,
    coupons_per_order_max: u16,
    combinable_per_order_max: u16,
    always_per_order_max: u16,
    claims_of_one_coupon_per_order_max: u16,
    refund_policy: RefundPolicyName,
    return_claims: bool,
    wallet_claims_max: usize,
    terms_cached_max: u64,
    sweep_ms: u64,
}

/// How partial refunds are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct RefundPolicyName(RefundPolicy);

// === impl RefundPolicyName ===

impl TryFrom<String> for RefundPolicyName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "keep_allocation" => Ok(Self(RefundPolicy::KeepAllocation)),
            "reevaluate" => Ok(Self(RefundPolicy::Reevaluate)),
            _other => Err("\"keep_allocation\" or \"reevaluate\" is accepted"),
        }
    }
}

// === impl Checkout ===

impl Checkout {
    /// Settings of the checkout.
    pub(crate) fn settings(&self) -> CheckoutSettings {
        CheckoutSettings {
            hold_ms: self.hold_s.saturating_mul(1_000),
            order_limits: OrderLimits {
                coupons: self.coupons_per_order_max,
                combinable: self.combinable_per_order_max,
                always: self.always_per_order_max,
                per_coupon: self.claims_of_one_coupon_per_order_max,
            },
            refund_policy: self.refund_policy.0,
            return_claims: self.return_claims,
            wallet_claims_max: self.wallet_claims_max,
            terms_cached_max: self.terms_cached_max,
        }
    }

    /// How often holds that ran out are freed.
    pub(crate) const fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }

    pub(super) fn validate(&self) -> Result<(), Refused> {
        for (key, value, high) in [
            ("coupons_per_order_max", self.coupons_per_order_max, 20),
            (
                "combinable_per_order_max",
                self.combinable_per_order_max,
                20,
            ),
            ("always_per_order_max", self.always_per_order_max, 20),
            (
                "claims_of_one_coupon_per_order_max",
                self.claims_of_one_coupon_per_order_max,
                20,
            ),
        ] {
            in_range(key, u64::from(value), 1, high)?;
        }
        let wallet = u64::try_from(self.wallet_claims_max).unwrap_or(u64::MAX);
        in_range("hold_s", u64::from(self.hold_s), 1, 86_400)?;
        in_range("wallet_claims_max", wallet, 1, 1_000)?;
        in_range("terms_cached_max", self.terms_cached_max, 1, 1_000_000)?;
        in_range("sweep_ms", self.sweep_ms, 50, 60_000)
    }
}

fn in_range(key: &str, value: u64, low: u64, high: u64) -> Result<(), Refused> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let message = format!("is {value}; {low} to {high} is accepted");
    Err(refused(&format!("checkout.{key}"), &message))
}
