//! Reasons that lie with who buys. What is not said of a buyer meets no condition: guessing would
//! give the coupon to the wrong ones.

use super::Found;
use crate::pricing::Buyer;
use crate::reason::ReasonCode;
use crate::terms::Users;
use crate::words;

pub(super) fn collect(found: &mut Found<'_>, buyer: &Buyer) {
    match &found.claim.terms().conditions.users {
        Users::All => {}
        Users::New => newness(found, buyer, true),
        Users::Existing => newness(found, buyer, false),
        Users::Groups { groups } => {
            if !buyer.groups.iter().any(|held| groups.contains(held)) {
                let held = match buyer.groups.as_slice() {
                    [] => "in no group".to_owned(),
                    held => format!("in {}", words::some(held.iter().map(String::as_str))),
                };
                let expected = "a member of a group that the coupon is for";
                found.add(ReasonCode::NotEligible, "users", expected, held);
            }
        }
        Users::Ids { ids } => {
            if !ids.contains(&buyer.user) {
                found.add(
                    ReasonCode::NotEligible,
                    "users",
                    "a user on the coupon's list",
                    "not on the list",
                );
            }
        }
    }
    verified(found, buyer);
}

fn newness(found: &mut Found<'_>, buyer: &Buyer, wanted: bool) {
    if buyer.is_new == Some(wanted) {
        return;
    }
    let name = |new| {
        if new {
            "a customer without a paid order"
        } else {
            "a customer with a paid order"
        }
    };
    let actual = buyer
        .is_new
        .map_or("it is not known whether there is a paid order", name);
    found.add(ReasonCode::NotEligible, "users", name(wanted), actual);
}

fn verified(found: &mut Found<'_>, buyer: &Buyer) {
    for &wanted in &found.claim.terms().conditions.verified {
        if buyer.verified.contains(&wanted) {
            continue;
        }
        let name = words::verified(wanted);
        found
            .add(
                ReasonCode::VerificationRequired,
                "verified",
                format!("a verified {name}"),
                "not verified",
            )
            .fix = Some(format!("Verify your {name}."));
    }
}
