//! Reasons that lie with the other claims of the order.

use crate::pricing::Contender;
use crate::reason::{Reason, ReasonCode};
use crate::stacking::Conflict;
use crate::terms::MinorUnits;
use crate::words;

/// Reasons of a claim that may not go together with those that are applied.
pub(crate) fn excluded(claim: &Contender<'_>, conflicts: &[Conflict]) -> Vec<Reason> {
    conflicts
        .iter()
        .map(|conflict| match conflict {
            Conflict::Pairs { with } => {
                let names = names(with);
                Reason {
                    code: ReasonCode::NotCombinable,
                    condition: "stacking".into(),
                    expected: "coupons that it combines with".to_owned(),
                    actual: format!("applied together with {names}"),
                    gap: None,
                    fix: Some(format!("Leave out {names}.")),
                    terms_version: claim.candidate.facts.version,
                }
            }
            Conflict::Limit { what, most } => Reason {
                code: ReasonCode::NotCombinable,
                condition: "order_limits".into(),
                expected: format!("at most {most} {what} on one order"),
                actual: format!("{most} are applied"),
                gap: Some("1".to_owned()),
                fix: Some("Leave out one of them.".to_owned()),
                terms_version: claim.candidate.facts.version,
            },
        })
        .collect()
}

/// The reason of a claim that could be applied, where others take more off.
pub(crate) fn overshadowed(
    claim: &Contender<'_>,
    by: &[String],
    discount: MinorUnits,
) -> Vec<Reason> {
    let currency = claim.terms().currency;
    let alone = words::amount(claim.alone_value(), currency);
    vec![Reason {
        code: ReasonCode::Overshadowed,
        condition: "stacking".into(),
        expected: format!(
            "a combination that takes more than {} off",
            words::amount(discount, currency)
        ),
        actual: format!("{alone} off alone, and nothing more beside {}", names(by)),
        gap: None,
        fix: Some(format!("Leave out {} to use it.", names(by))),
        terms_version: claim.candidate.facts.version,
    }]
}

fn names(claims: &[String]) -> String {
    words::some(claims.iter().map(String::as_str))
}
