//! Pure functions that every claim runs through: ids, hashes, the lane, eligibility.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, CouponNumber, UserId};
use sluice_domain::lane::LaneCount;

fn ids(criterion: &mut Criterion) {
    let keys = HashKeys::derive(&[7; 32]);
    let coupon = CouponId(0x1234_5678);
    let user = UserId::new("u0000001").unwrap_or_else(|error| panic!("{error}"));
    let lanes = LaneCount::new(16).unwrap_or_else(|count| panic!("{count} lanes"));
    criterion.bench_function("claim id, one per user", |bench| {
        bench.iter(|| keys.single_claim_id(black_box(coupon), black_box(&user)));
    });
    criterion.bench_function("claim id, by idempotency key", |bench| {
        bench.iter(|| keys.keyed_claim_id(black_box(coupon), black_box(&user), "key-1"));
    });
    criterion.bench_function("hash of an address", |bench| {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        bench.iter(|| keys.address(black_box(coupon), black_box(address)));
    });
    criterion.bench_function("coupon id of a number", |bench| {
        bench.iter(|| keys.coupon_id(black_box(CouponNumber(42))));
    });
    criterion.bench_function("lane of a coupon", |bench| {
        bench.iter(|| lanes.lane_of(black_box(coupon)));
    });
    criterion.bench_function("claim id as text", |bench| {
        let id = keys.single_claim_id(coupon, &user);
        bench.iter(|| black_box(id).to_string());
    });
}

criterion_group!(benches, ids);
criterion_main!(benches);
