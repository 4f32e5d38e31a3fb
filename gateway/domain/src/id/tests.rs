use proptest::prelude::*;

use super::*;

#[test]
fn ids_have_one_canonical_text() {
    assert_eq!(CouponId(0).to_string(), "0000000");
    assert_eq!(CouponId(u32::MAX).to_string(), "3zzzzzz");
    assert_eq!(CouponId(77).to_string(), "000002d");
    assert_eq!(
        ClaimId([0xff; 16]).to_string(),
        format!("7{}", "z".repeat(25))
    );
    assert_eq!("000002D".parse(), Ok(CouponId(77)));
    assert_eq!(format!("{:?}", CouponId(77)), "CouponId(000002d)");
}

#[test]
fn what_is_no_id_is_refused() {
    for text in [
        "", "000002", "00000002", "4000000", "zzzzzzz", "00000i0", "00000u0", "000 02d", "éééé",
    ] {
        assert!(text.parse::<CouponId>().is_err(), "{text}");
    }
    // Seven characters, but not of the alphabet: the length is not what is wrong.
    assert!(matches!(
        "00000é0".parse::<CouponId>(),
        Err(IdError::Character { .. })
    ));
    let long = "z".repeat(26);
    assert!(long.parse::<ClaimId>().is_err());
    assert_eq!(
        "abc".parse::<ClaimId>().unwrap_err().to_string(),
        "has 3 characters; 26 are expected"
    );
}

#[test]
fn user_ids_are_bounded_and_plain() {
    let longest = "a".repeat(64);
    for text in ["a", "A-z_09", longest.as_str()] {
        assert_eq!(UserId::new(text).unwrap().as_str(), text);
    }
    let too_long = "a".repeat(65);
    for text in [
        "",
        "a b",
        "{l07}",
        "a\0",
        "a\n",
        "é",
        "a.b",
        too_long.as_str(),
    ] {
        assert!(UserId::new(text).is_err(), "{text:?}");
    }
    assert!(UserId::new("a").unwrap() < UserId::new("aa").unwrap());
    assert!(UserId::new("B").unwrap() < UserId::new("a").unwrap());
}

#[test]
fn numbers_saturate() {
    assert_eq!(Version(u16::MAX).next(), Version(u16::MAX));
    assert_eq!(LeaseNumber(0).next(), LeaseNumber(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn coupon_ids_read_back(value in any::<u32>()) {
        let id = CouponId(value);
        let text = id.to_string();
        prop_assert_eq!(text.len(), COUPON_ID_CHARS);
        prop_assert_eq!(text.parse(), Ok(id));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn claim_ids_read_back_and_hold_their_coupon(coupon in any::<u32>(), hash in any::<[u8; 12]>()) {
        let id = ClaimId::new(CouponId(coupon), hash);
        prop_assert_eq!(id.coupon(), CouponId(coupon));
        prop_assert_eq!(id.hash(), hash);
        let text = id.to_string();
        prop_assert_eq!(text.len(), CLAIM_ID_CHARS);
        prop_assert_eq!(text.parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<ClaimId>(&json).unwrap(), id);
    }

    #[test]
    fn what_reads_as_an_id_is_its_text(text in "[0-9a-zA-Z]{5,8}|[0-9a-z]{26}|\\PC{0,30}") {
        if let Ok(id) = text.parse::<CouponId>() {
            prop_assert_eq!(id.to_string(), text.to_lowercase());
        }
        if let Ok(id) = text.parse::<ClaimId>() {
            prop_assert_eq!(id.to_string(), text.to_lowercase());
        }
        if let Ok(id) = UserId::new(&text) {
            prop_assert_eq!(id.as_str(), text);
        }
    }

    #[test]
    fn order_of_user_ids_is_that_of_their_text(a in "[A-Za-z0-9_-]{1,20}", b in "[A-Za-z0-9_-]{1,20}") {
        let order = UserId::new(&a).unwrap().cmp(&UserId::new(&b).unwrap());
        prop_assert_eq!(order, a.cmp(&b));
    }
}
