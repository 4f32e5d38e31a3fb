use std::collections::HashSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn keys() -> HashKeys {
    HashKeys::derive(&[7; 32])
}

fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Ids and hashes stand in ledgers and in shoppers' hands: these values may never change.
#[test]
fn golden_values() {
    let keys = keys();
    let coupon = keys.coupon_id(CouponNumber(1));
    assert_eq!(coupon.to_string(), "2jgacnb");
    assert_eq!(keys.coupon_id(CouponNumber(2)).to_string(), "180n43g");
    assert_eq!(
        keys.single_claim_id(coupon, &user("u1")).to_string(),
        "550msapvk3p0prxpecybr6cnn7"
    );
    assert_eq!(
        keys.keyed_claim_id(coupon, &user("u1"), "k1").to_string(),
        "550msaq9643ykx58hqc5zb52a0"
    );
    assert_eq!(
        format!("{:?}", keys.device(coupon, "d1")),
        "SubjectHash(08dd9d98a96ad223)"
    );
    assert_eq!(
        format!("{:?}", keys.address(coupon, ip("192.0.2.1"))),
        "SubjectHash(8b17a2f05ec370eb)"
    );
}

#[test]
fn each_kind_of_hash_is_its_own() {
    let keys = keys();
    let (a, b) = (CouponId(1), CouponId(2));
    let claims: HashSet<ClaimId> = [
        keys.single_claim_id(a, &user("u1")),
        keys.single_claim_id(a, &user("u2")),
        keys.single_claim_id(b, &user("u1")),
        keys.keyed_claim_id(a, &user("u1"), ""),
        keys.keyed_claim_id(a, &user("u1"), "k"),
        keys.keyed_claim_id(a, &user("u1k"), ""),
        keys.keyed_claim_id(a, &user("u"), "1k"),
        HashKeys::derive(&[8; 32]).single_claim_id(a, &user("u1")),
    ]
    .into();
    assert_eq!(claims.len(), 8);
    assert_ne!(keys.device(a, "d"), keys.device(b, "d"));
    assert_ne!(keys.device(a, "d"), keys.device(a, "e"));
    assert_eq!(format!("{keys:?}"), "HashKeys(secret)");
}

#[test]
fn addresses_count_by_network() {
    let keys = keys();
    let hash = |text| keys.address(CouponId(1), ip(text));
    assert_eq!(hash("192.0.2.1"), hash("::ffff:192.0.2.1"));
    assert_ne!(hash("192.0.2.1"), hash("192.0.2.2"));
    assert_eq!(hash("2001:db8::1"), hash("2001:db8::ffff:1"));
    assert_ne!(hash("2001:db8::1"), hash("2001:db8:0:1::1"));
}

#[test]
fn the_permutation_hits_every_id_of_a_sample_once() {
    let keys = keys();
    let ids: HashSet<CouponId> = (0..100_000)
        .map(|number| keys.coupon_id(CouponNumber(number)))
        .collect();
    assert_eq!(ids.len(), 100_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn the_permutation_goes_there_and_back(master in any::<[u8; 32]>(), number in any::<u32>()) {
        let keys = HashKeys::derive(&master);
        let id = keys.coupon_id(CouponNumber(number));
        prop_assert_eq!(keys.coupon_number(id), CouponNumber(number));
        prop_assert_eq!(keys.coupon_id(keys.coupon_number(CouponId(number))), CouponId(number));
    }
}
