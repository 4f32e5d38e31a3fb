//! What of checkout is configuration.

use sluice_domain::pricing::OrderLimits;
use sluice_domain::redemption::RefundPolicy;

/// Settings of the checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckoutSettings {
    /// How long a hold lasts, in milliseconds; 1 s to 24 h.
    pub hold_ms: u32,
    /// How many coupons one order may use.
    pub order_limits: OrderLimits,
    /// How partial refunds are computed; frozen with each hold.
    pub refund_policy: RefundPolicy,
    /// Whether a full refund gives a claim back that is still valid.
    pub return_claims: bool,
    /// How many claims of a wallet are looked at, newest first, 1 to 1,000.
    pub wallet_claims_max: usize,
    /// Frozen terms kept in memory.
    pub terms_cached_max: u64,
}

// === impl CheckoutSettings ===

impl Default for CheckoutSettings {
    fn default() -> Self {
        Self {
            hold_ms: 15 * 60 * 1_000,
            order_limits: OrderLimits {
                coupons: 10,
                combinable: 5,
                always: 5,
                per_coupon: 1,
            },
            refund_policy: RefundPolicy::KeepAllocation,
            return_claims: true,
            wallet_claims_max: 200,
            terms_cached_max: 10_000,
        }
    }
}
