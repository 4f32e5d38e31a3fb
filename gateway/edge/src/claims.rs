//! What the handlers need of the claim engine, and no more: so that they are tested with a fake.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_claim::engine::Engine;
use sluice_claim::outcome::{ClaimOutcome, CouponLookup, LookupOutcome};
use sluice_claim::port::ClaimStore;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::{ClaimId, CouponId, UserId};

/// The claim engine as the handlers see it. Dropping a returned future (the client went away)
/// changes nothing about a claim that was begun.
pub trait Claims: Send + Sync + 'static {
    /// Claims a coupon for a shopper, from an address (for limits per address). `key` is the
    /// `Idempotency-Key`: 1 to 128 visible ASCII characters.
    fn claim(
        &self,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> impl Future<Output = ClaimOutcome> + Send;

    /// Claims a coupon for a shopper who has its public code; else as [`Self::claim`].
    fn claim_by_code(
        &self,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> impl Future<Output = ClaimOutcome> + Send;

    /// Grants a coupon to a user, on the word of a service that may. `key` names the claim where the
    /// coupon allows several per user.
    fn grant(
        &self,
        coupon: CouponId,
        user: &UserId,
        key: &str,
    ) -> impl Future<Output = ClaimOutcome> + Send;

    /// Looks a claim of this user up. Somebody else's claim is not found.
    fn lookup(&self, claim: ClaimId, user: &UserId) -> impl Future<Output = LookupOutcome> + Send;

    /// Looks a published coupon up.
    fn coupon(&self, coupon: CouponId) -> impl Future<Output = CouponLookup> + Send;
}

impl<S: ClaimStore> Claims for Arc<Engine<S>> {
    async fn claim(
        &self,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        Engine::claim(self, coupon, shopper, address, key).await
    }

    async fn claim_by_code(
        &self,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        Engine::claim_by_code(self, coupon, shopper, address, key).await
    }

    async fn grant(&self, coupon: CouponId, user: &UserId, key: &str) -> ClaimOutcome {
        Engine::grant(self, coupon, user, key).await
    }

    async fn lookup(&self, claim: ClaimId, user: &UserId) -> LookupOutcome {
        Engine::lookup(self, claim, user).await
    }

    async fn coupon(&self, coupon: CouponId) -> CouponLookup {
        Engine::coupon(self, coupon).await
    }
}
