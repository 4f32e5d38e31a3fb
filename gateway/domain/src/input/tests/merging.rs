//! Merge patches.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::arbitrary;
use crate::coupon::CouponSpec;
use crate::input::{self, FieldError};
use crate::render::Definition;
use crate::sample::{CONTRACT, draft, spec};
use crate::terms::Users;

fn patched(json: &str, patch: &Value) -> Result<CouponSpec, Vec<FieldError>> {
    input::patch(&draft(json), patch.to_string().as_bytes())
}

/// The API form after a patch of the contract's coupon.
fn body(patch: &Value) -> Value {
    serde_json::to_value(Definition::of(&patched(CONTRACT, patch).unwrap())).unwrap()
}

#[test]
fn what_is_not_named_stays() {
    let before = serde_json::to_value(Definition::of(&spec(CONTRACT))).unwrap();
    assert_eq!(body(&json!({})), before);
    let mut expected = before.clone();
    expected["name"] = json!("Other");
    expected["limits"]["per_device"] = json!(3);
    expected["conditions"]["windows"] = json!([]);
    assert_eq!(
        body(&json!({
            "name": "Other", "limits": {"per_device": 3}, "conditions": {"windows": []}
        })),
        expected
    );
}

#[test]
fn null_is_the_default() {
    let after = body(&json!({
        "conditions": null, "validity": null, "claim_window": {"ends_at": null},
        "limits": {"uses_per_user": null, "budget": null}
    }));
    assert_eq!(after["conditions"]["min_spend"], json!(null));
    assert_eq!(after["validity"], json!({"type": "permanent"}));
    assert_eq!(
        after["claim_window"],
        json!({"starts_at": "2026-11-27T00:00:00Z", "ends_at": null})
    );
    assert_eq!(after["limits"]["uses_per_user"], json!(null));
    assert_eq!(
        body(&json!({"limits": {"total": null}}))["limits"]["total"],
        json!(null)
    );
    assert_eq!(
        body(&json!({"limits": {"per_user": 2}}))["limits"]["total"],
        json!(1_000)
    );
}

#[test]
fn another_variant_leaves_nothing_of_the_old_one() {
    let percent = json!({"type": "percent", "basis_points": 1_500});
    assert_eq!(
        body(&json!({"benefit": percent}))["benefit"],
        json!({"type": "percent", "basis_points": 1_500, "max_off": null})
    );
    let groups = patched(
        CONTRACT,
        &json!({"conditions": {"users": {"kind": "groups", "groups": ["vip"]}}}),
    )
    .unwrap();
    assert_eq!(
        groups.terms.conditions.users,
        Users::Groups {
            groups: vec!["vip".to_owned()]
        }
    );
    let mut coupon = draft(CONTRACT);
    coupon.spec = groups;
    let all = input::patch(&coupon, br#"{"conditions": {"users": {"kind": "all"}}}"#).unwrap();
    assert_eq!(all.terms.conditions.users, Users::All);
    // The same variant merges.
    assert_eq!(
        body(&json!({"validity": {"type": "relative", "days": 9}}))["validity"],
        json!({"type": "relative", "days": 9, "until": "minute", "zone": "UTC"})
    );
}

#[test]
fn what_is_wrong_in_a_patch_is_pointed_at() {
    for (patch, pointer) in [
        (json!({"name": null}), "/name"),
        (json!({"limits": null}), "/limits"),
        (json!({"colour": 1}), "/colour"),
        (json!({"limits": {"per_usr": 1}}), "/limits/per_usr"),
        (
            json!({"benefit": {"type": "percent"}}),
            "/benefit/basis_points",
        ),
        (json!({"benefit": {"off": "1.00"}}), "/benefit/off"),
        (json!({"currency": "JPY"}), "/benefit/tiers/0/spend"),
        (json!([]), ""),
    ] {
        let errors = patched(CONTRACT, &patch).unwrap_err();
        assert_eq!(errors[0].pointer, pointer, "{patch}: {errors:?}");
    }
    let twice = input::patch(&draft(CONTRACT), br#"{"name": "a", "name": "b"}"#).unwrap_err();
    assert_eq!(twice[0].pointer, "/name");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_patch_with_the_whole_of_another_coupon_is_that_coupon(
        from in arbitrary::spec(),
        to in arbitrary::spec(),
    ) {
        let mut coupon = draft(CONTRACT);
        coupon.spec = from;
        let patch = serde_json::to_vec(&Definition::of(&to)).unwrap();
        prop_assert_eq!(input::patch(&coupon, &patch), Ok(to));
    }

    #[test]
    fn no_patch_makes_it_panic(from in arbitrary::spec(), patch in arbitrary::json()) {
        let mut coupon = draft(CONTRACT);
        coupon.spec = from;
        let _answer = input::patch(&coupon, patch.to_string().as_bytes());
    }
}
