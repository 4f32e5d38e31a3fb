//! Reasons of the claim itself and of the clock.

use super::{Found, seconds};
use crate::pricing::ClaimStanding;
use crate::reason::ReasonCode;
use crate::weekly::Weekly;
use crate::words;

pub(super) fn collect(found: &mut Found<'_>) {
    withdrawn(found);
    expired(found);
    taken(found);
    started(found);
    windows(found);
}

fn withdrawn(found: &mut Found<'_>) {
    let facts = &found.claim.candidate.facts;
    let revoked = facts.standing == ClaimStanding::Revoked;
    if facts.archived {
        found.add(
            ReasonCode::Archived,
            "status",
            "not archived",
            "the coupon is archived",
        );
    }
    if revoked {
        found.add(
            ReasonCode::Archived,
            "claim",
            "a claim that was not taken back",
            "the claim was taken back",
        );
    }
}

fn expired(found: &mut Found<'_>) {
    let now = found.now;
    let Some(end) = found.claim.candidate.facts.expires_at else {
        return;
    };
    if now >= end {
        found
            .add(
                ReasonCode::Expired,
                "validity",
                format!("before {end}"),
                now.to_string(),
            )
            .gap = Some((now.millis_since(end) / 1_000).to_string());
    }
}

fn taken(found: &mut Found<'_>) {
    let now = found.now;
    match &found.claim.candidate.facts.standing {
        ClaimStanding::Free | ClaimStanding::Revoked => {}
        ClaimStanding::Used => {
            let uses = found.claim.terms().uses_per_claim;
            found.add(
                ReasonCode::AlreadyUsed,
                "limits.uses_per_claim",
                format!("at most {uses} {}", words::plural(uses, "use", "uses")),
                "every use is spent",
            );
        }
        ClaimStanding::Held { order, until } => {
            let reason = found.add(
                ReasonCode::HeldByOrder,
                "claim",
                "a claim with a free use",
                format!("held by order {order} until {until}"),
            );
            reason.gap = Some(seconds(now, *until));
            reason.fix = Some(format!(
                "Cancel order {order}, or wait until {until} for its hold to end."
            ));
        }
    }
}

fn started(found: &mut Found<'_>) {
    let (now, start) = (found.now, found.claim.candidate.facts.valid_from);
    if now < start {
        let reason = found.add(
            ReasonCode::NotStarted,
            "validity",
            format!("from {start} on"),
            now.to_string(),
        );
        reason.gap = Some(seconds(now, start));
        reason.fix = Some(format!("Use it from {start} on."));
    }
}

fn windows(found: &mut Found<'_>) {
    let now = found.now;
    let wanted = &found.claim.terms().conditions.windows;
    if wanted.is_empty() {
        return;
    }
    let weekly = Weekly::new(wanted);
    if weekly.is_open(now) {
        return;
    }
    let opening = weekly.next_opening(now);
    let reason = found.add(
        ReasonCode::OutsideTimeWindow,
        "windows",
        words::windows(wanted),
        now.to_string(),
    );
    reason.gap = opening.map(|at| seconds(now, at));
    reason.fix = opening.map(|at| format!("Use it from {at} on."));
}
