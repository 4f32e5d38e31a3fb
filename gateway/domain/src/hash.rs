//! Keyed hashes and the permutation behind public ids.
//!
//! One master key lives in the ledger, is made with it and never rotates: claim ids and the hashes
//! that limits are counted by must mean the same for ever. Sub-keys are derived by BLAKE3's key
//! derivation with one context string per use, so no hash of one kind can be taken for another.

use crate::id::{
    ClaimId, CouponId, CouponNumber, NotificationId, OrderId, RedemptionId, SubjectHash, UserId,
};

/// Rounds of the Feistel network; four are enough for a pseudo-random permutation (Luby and
/// Rackoff 1988), six leave a margin.
const PERMUTATION_ROUNDS: u8 = 6;

/// The sub-keys for everything that is hashed per coupon.
#[derive(Clone)]
pub struct HashKeys {
    permutation: [u8; 32],
    single: [u8; 32],
    keyed: [u8; 32],
    device: [u8; 32],
    address: [u8; 32],
    redemption: [u8; 32],
    grant: [u8; 32],
    notification: [u8; 32],
}

impl HashKeys {
    /// Derives the sub-keys from the ledger's master key.
    #[must_use]
    pub fn derive(master: &[u8; 32]) -> Self {
        Self {
            permutation: blake3::derive_key("sluice 2026 coupon id permutation", master),
            single: blake3::derive_key("sluice 2026 claim id, one per user", master),
            keyed: blake3::derive_key("sluice 2026 claim id, by idempotency key", master),
            device: blake3::derive_key("sluice 2026 device of a claim", master),
            address: blake3::derive_key("sluice 2026 address of a claim", master),
            redemption: blake3::derive_key("sluice 2026 redemption of an order", master),
            grant: blake3::derive_key("sluice 2026 subject of a granted claim", master),
            notification: blake3::derive_key("sluice 2026 reminder of a claim", master),
        }
    }

    /// The public id of the coupon with this number.
    #[must_use]
    pub fn coupon_id(&self, number: CouponNumber) -> CouponId {
        let (mut left, mut right) = halves(number.0);
        for round in 0..PERMUTATION_ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        CouponId(join(left, right))
    }

    /// The number behind a public id. Every id has one; whether the coupon exists is another
    /// question.
    #[must_use]
    pub fn coupon_number(&self, id: CouponId) -> CouponNumber {
        let (mut left, mut right) = halves(id.0);
        for round in (0..PERMUTATION_ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        CouponNumber(join(left, right))
    }

    /// The claim id of form `single`: one claim per user and coupon.
    #[must_use]
    pub fn single_claim_id(&self, coupon: CouponId, user: &UserId) -> ClaimId {
        let mut hasher = blake3::Hasher::new_keyed(&self.single);
        hasher.update(&coupon.0.to_be_bytes());
        hasher.update(user.as_bytes());
        ClaimId::new(coupon, first(&hasher))
    }

    /// The claim id of form `keyed`: one claim per user, coupon and idempotency key.
    #[must_use]
    pub fn keyed_claim_id(&self, coupon: CouponId, user: &UserId, key: &str) -> ClaimId {
        let mut hasher = blake3::Hasher::new_keyed(&self.keyed);
        hasher.update(&coupon.0.to_be_bytes());
        hasher.update(&[u8::try_from(user.as_bytes().len()).unwrap_or(u8::MAX)]);
        hasher.update(user.as_bytes());
        hasher.update(key.as_bytes());
        ClaimId::new(coupon, first(&hasher))
    }

    /// The id of an order's one redemption.
    #[must_use]
    pub fn redemption_id(&self, order: &OrderId) -> RedemptionId {
        let mut hasher = blake3::Hasher::new_keyed(&self.redemption);
        hasher.update(order.as_str().as_bytes());
        RedemptionId(first(&hasher))
    }

    /// The hash that a coupon's limit per device counts by.
    #[must_use]
    pub fn device(&self, coupon: CouponId, device: &str) -> SubjectHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.device);
        hasher.update(&coupon.0.to_be_bytes());
        hasher.update(device.as_bytes());
        SubjectHash(first(&hasher))
    }

    /// The hash that a coupon's limit per address counts by. IPv4 counts whole addresses, IPv6
    /// the /64; an IPv4 address written as IPv6 is the IPv4 address.
    #[must_use]
    pub fn address(&self, coupon: CouponId, address: std::net::IpAddr) -> SubjectHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.address);
        hasher.update(&coupon.0.to_be_bytes());
        match address.to_canonical() {
            std::net::IpAddr::V4(v4) => hasher.update(&v4.octets()),
            std::net::IpAddr::V6(v6) => hasher.update(&v6.octets()[..8]),
        };
        SubjectHash(first(&hasher))
    }

    /// The id of the reminder that a claim expires, `lead_ms` milliseconds before it does.
    #[must_use]
    pub fn notification_id(&self, claim: ClaimId, lead_ms: u64) -> NotificationId {
        let mut hasher = blake3::Hasher::new_keyed(&self.notification);
        hasher.update(&claim.0);
        hasher.update(&lead_ms.to_be_bytes());
        NotificationId(first(&hasher))
    }

    /// What stands for device and address in a claim that was granted to a user: there is neither,
    /// and limits by them are no business of grants, so each such claim counts by itself.
    #[must_use]
    pub fn granted(&self, claim: ClaimId) -> SubjectHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.grant);
        hasher.update(&claim.0);
        SubjectHash(first(&hasher))
    }

    fn round(&self, round: u8, half: u16) -> u16 {
        let [high, low] = half.to_be_bytes();
        let hash = blake3::keyed_hash(&self.permutation, &[round, high, low]);
        let [a, b, ..] = *hash.as_bytes();
        u16::from_be_bytes([a, b])
    }
}

impl std::fmt::Debug for HashKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKeys(secret)")
    }
}

fn first<const N: usize>(hasher: &blake3::Hasher) -> [u8; N] {
    let mut out = [0; N];
    hasher.finalize_xof().fill(&mut out);
    out
}

fn halves(value: u32) -> (u16, u16) {
    let [a, b, c, d] = value.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

fn join(left: u16, right: u16) -> u32 {
    (u32::from(left) << 16) | u32::from(right)
}

#[cfg(test)]
mod tests;
