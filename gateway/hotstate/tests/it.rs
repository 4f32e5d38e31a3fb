//! Every script and every branch of it, on a real redis-server.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its stage is not as it must be"
)]

mod it {
    mod answers;
    mod claims;
    mod cluster;
    mod conformance;
    mod fixture;
    mod hydration;
    mod keeper;
    mod limits;
    mod loss;
    mod reach;
    mod recovery;
    mod winners;
}
