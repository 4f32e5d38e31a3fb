//! The checks: pure functions over facts and figures.

use std::collections::HashSet;

use sluice_domain::claim::ClaimForm;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, LeaseNumber};
use sluice_domain::invariant::{Check, CheckStatus, VIOLATIONS_LISTED_MAX};
use sluice_domain::lease::LeaseState;
use sluice_ledger::audit_facts::{CouponLedgerFacts, LeaseFacts};

use super::figures::{Figures, signed};
use super::reading::{Claims, HotReading, Reading};

/// The widest limits that a coupon ever had: a limit lowered later takes nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WidestLimits {
    pub per_user: u64,
    /// `None` where there was none at some time.
    pub per_device: Option<u64>,
    pub per_address: Option<u64>,
}

/// Everything that one coupon's checks look at.
pub(crate) struct Evidence<'a> {
    pub reading: &'a Reading,
    pub figures: &'a Figures,
    /// What still moved between the last two rounds.
    pub moved: &'a [&'static str],
    /// `None` where there were too many claims to compare, or they moved.
    pub claims: Option<&'a Claims>,
    pub widest: WidestLimits,
    pub keys: &'a HashKeys,
}

/// All checks of one coupon.
pub(crate) fn of_coupon(evidence: &Evidence<'_>) -> Vec<Check> {
    let ledger = &evidence.reading.ledger;
    vec![
        remembered_is_durable(evidence),
        leases_and_tickets(ledger),
        limits(ledger, evidence.widest),
        one_claim_per_key(evidence),
        every_unit_accounted(evidence),
        revisions_known(ledger),
        outbox_complete(evidence),
        numbers_not_set_back(evidence),
    ]
}

/// Joins a check of another coupon to the one that stands under the same number.
pub(crate) fn merge(into: &mut Check, other: Check) {
    into.examined += other.examined;
    into.violated += other.violated;
    into.status = match (into.status, other.status) {
        (CheckStatus::Violated, _) | (_, CheckStatus::Violated) => CheckStatus::Violated,
        (CheckStatus::Unchecked, _) | (_, CheckStatus::Unchecked) => CheckStatus::Unchecked,
        (CheckStatus::Held, CheckStatus::Held) => CheckStatus::Held,
    };
    let room = VIOLATIONS_LISTED_MAX.saturating_sub(into.violations.len());
    into.violations
        .extend(other.violations.into_iter().take(room));
}

/// Invariant 13, by the ledger's own word.
pub(crate) fn integrity(problems: &[String]) -> Check {
    let mut check = Check::new(13, "index rows and primary rows agree");
    check.expect(problems.is_empty(), || problems.join("; "));
    check.violated = problems.len() as u64;
    check
}

/// Invariants 1 and 11 as far as the stores show them: a claim that hot state would repeat to its
/// owner as granted is a row, or in the outbox.
fn remembered_is_durable(evidence: &Evidence<'_>) -> Check {
    const NAME: &str = "claims in hot state are rows or on their way";
    let Ok(hot) = &evidence.reading.hot else {
        return unchecked_hot(1, NAME, evidence);
    };
    if !evidence.moved.is_empty() {
        return moved(1, NAME, evidence);
    }
    let mut check = Check::new(1, NAME);
    if !hot.is_ready() {
        return check;
    }
    let Some((claims, remembered)) = evidence
        .claims
        .and_then(|claims| Some((claims, claims.hot.as_ref()?)))
    else {
        return moved(1, NAME, evidence);
    };
    let mut durable: HashSet<ClaimId> = claims.rows.iter().map(|(id, _user)| *id).collect();
    durable.extend(hot.outbox.iter().map(|claim| claim.claim_id));
    for (user, grant) in remembered {
        check.expect(durable.contains(&grant.claim_id), || {
            format!(
                "claim {} of user {user}, entry {}, is neither a row nor in the outbox",
                grant.claim_id, grant.entry
            )
        });
    }
    check
}

/// Invariant 3.
fn leases_and_tickets(ledger: &CouponLedgerFacts) -> Check {
    let mut check = Check::new(3, "leases, tickets and claim ids");
    let (coupon, stock) = (ledger.coupon.id, &ledger.stock);
    let out = signed(stock.leased) - signed(stock.returned);
    check.expect(
        out >= 0 && stock.total.is_none_or(|total| out <= signed(total)),
        || {
            format!(
                "coupon {coupon}: {out} tickets are out of {:?}",
                stock.total
            )
        },
    );
    let sum = |of: fn(&LeaseFacts) -> u64| ledger.leases.iter().map(of).sum::<u64>();
    for (what, summed, kept) in [
        (
            "leased",
            sum(|facts| u64::from(facts.lease.size)),
            stock.leased,
        ),
        (
            "returned",
            sum(|facts| u64::from(facts.lease.returned)),
            stock.returned,
        ),
        ("claims", sum(|facts| facts.rows), ledger.rows),
    ] {
        check.expect(summed == kept, || {
            format!("coupon {coupon}: leases say {summed} {what}, the coupon says {kept}")
        });
    }
    for facts in &ledger.leases {
        lease(&mut check, facts);
    }
    rows_in_place(&mut check, ledger);
    check
}

fn rows_in_place(check: &mut Check, ledger: &CouponLedgerFacts) {
    let coupon = ledger.coupon.id;
    check.examined += ledger.rows;
    for (what, count, rows) in [
        (
            "outside the range of its lease",
            ledger.outside_range.count,
            &ledger.outside_range.first,
        ),
        (
            "with the id of another coupon",
            ledger.foreign_ids.count,
            &ledger.foreign_ids.first,
        ),
    ] {
        check.expect(count == 0, || {
            let named: Vec<String> = rows
                .iter()
                .map(|row| {
                    format!(
                        "{} (lease {}, ticket {})",
                        row.claim_id, row.lease, row.ticket
                    )
                })
                .collect();
            format!(
                "coupon {coupon}: {count} claims {what}: {}",
                named.join(", ")
            )
        });
    }
    for (what, count) in [
        ("claim id", ledger.repeated_claim_ids),
        ("ticket", ledger.repeated_tickets),
    ] {
        check.expect(count == 0, || {
            format!("coupon {coupon}: {count} rows repeat the {what} of another")
        });
    }
}

fn lease(check: &mut Check, facts: &LeaseFacts) {
    let lease = &facts.lease;
    let named = |what: String| format!("coupon {} lease {}: {what}", lease.coupon, lease.number);
    check.expect(facts.rows <= u64::from(lease.size), || {
        named(format!("{} rows, {} tickets", facts.rows, lease.size))
    });
    check.expect(facts.rows == u64::from(lease.rows), || {
        named(format!(
            "{} rows, its counter says {}",
            facts.rows, lease.rows
        ))
    });
    let given_back = u64::from(lease.size) + facts.revoked;
    match lease.state {
        LeaseState::Closed => {
            check.expect(facts.rows + u64::from(lease.returned) == given_back, || {
                named(format!(
                    "closed with {} rows, {} revoked and {} returned of {}",
                    facts.rows, facts.revoked, lease.returned, lease.size
                ))
            })
        }
        LeaseState::Open | LeaseState::Quarantined => {
            check.expect(u64::from(lease.returned) <= facts.revoked, || {
                named(format!("{} returned while not closed", lease.returned))
            });
        }
    }
}

/// Invariant 4.
fn limits(ledger: &CouponLedgerFacts, widest: WidestLimits) -> Check {
    let mut check = Check::new(4, "limits per user, device and address");
    let coupon = ledger.coupon.id;
    for (what, facts, limit) in [
        ("user", &ledger.users, Some(widest.per_user)),
        ("device", &ledger.devices, widest.per_device),
        ("address", &ledger.addresses, widest.per_address),
    ] {
        check.examined += facts.distinct.saturating_sub(1);
        let limit = limit.unwrap_or(u64::MAX);
        check.expect(facts.most <= limit, || {
            let named: Vec<String> = facts
                .over
                .first
                .iter()
                .filter(|over| over.claims > limit)
                .map(|over| format!("{} ({} claims)", over.user, over.claims))
                .collect();
            format!(
                "coupon {coupon}: more than {limit} claims per {what}: {}",
                named.join(", ")
            )
        });
    }
    check
}

/// Invariant 5 as far as the stores show it: where a user has one claim, its id is the one that
/// follows from the user, so every repeat finds it.
fn one_claim_per_key(evidence: &Evidence<'_>) -> Check {
    const NAME: &str = "one claim id per user and key";
    let Some(claims) = evidence.claims else {
        return moved(5, NAME, evidence);
    };
    let mut check = Check::new(5, NAME);
    let coupon = &evidence.reading.ledger.coupon;
    if coupon.spec.limits.form() == ClaimForm::Keyed {
        return check;
    }
    for (claim_id, user) in &claims.rows {
        let expected = evidence.keys.single_claim_id(coupon.id, user);
        check.expect(*claim_id == expected, || {
            format!("claim {claim_id} of user {user} should be {expected}")
        });
    }
    check
}

/// Invariant 6: every unit that was leased is a row, on its way, left, in quarantine or back.
fn every_unit_accounted(evidence: &Evidence<'_>) -> Check {
    const NAME: &str = "every unit is accounted for";
    let (figures, ledger) = (evidence.figures, &evidence.reading.ledger);
    if ledger.leases.is_empty() {
        return Check::new(6, NAME);
    }
    let hot = match &evidence.reading.hot {
        Ok(hot) => hot,
        Err(_reason) => return unchecked_hot(6, NAME, evidence),
    };
    if !evidence.moved.is_empty() {
        return moved(6, NAME, evidence);
    }
    if figures.drift().is_none() {
        let why = format!("coupon {}: it is warming up in hot state", figures.id);
        return Check::unchecked(6, NAME, why);
    }
    let mut check = Check::new(6, NAME);
    let mut calling_back = Vec::new();
    for facts in &ledger.leases {
        if facts.lease.state != LeaseState::Open {
            continue;
        }
        let unit_gap = unaccounted(facts, hot);
        if unit_gap > 0 && !is_listed(facts.lease.number, hot) {
            calling_back.push(facts.lease.number.to_string());
            continue;
        }
        check.expect(unit_gap == 0, || {
            format!(
                "coupon {} lease {}: {unit_gap} units of {} are nowhere",
                figures.id, facts.lease.number, facts.lease.size
            )
        });
    }
    if check.status == CheckStatus::Held && !calling_back.is_empty() {
        let leases = calling_back.join(", ");
        let why = format!("coupon {}: leases {leases} are being closed", figures.id);
        return Check::unchecked(6, NAME, why);
    }
    check
}

/// Units of an open lease that are neither rows nor on their way nor left.
fn unaccounted(facts: &LeaseFacts, hot: &HotReading) -> i64 {
    let number = facts.lease.number;
    let on_their_way = hot
        .outbox
        .iter()
        .filter(|claim| claim.lease == number)
        .count() as u64;
    let left = hot
        .listed()
        .filter(|(listed, _next, _end)| *listed == number)
        .map(|(_listed, next, end)| end.0.saturating_sub(next.0))
        .sum();
    i64::from(facts.lease.size) - signed(facts.rows) - signed(on_their_way) - signed(left)
}

fn is_listed(number: LeaseNumber, hot: &HotReading) -> bool {
    hot.listed().any(|(listed, _next, _end)| *listed == number)
}

/// Invariant 8 as far as the stores show it: no claim names a revision or version that the coupon
/// never had.
fn revisions_known(ledger: &CouponLedgerFacts) -> Check {
    let mut check = Check::new(8, "claims name revisions and versions that were in force");
    let coupon = &ledger.coupon;
    for (revision, rows) in &ledger.revisions {
        check.expect(*revision <= coupon.revision && revision.0 > 0, || {
            format!(
                "coupon {}: {rows} claims under revision {revision}, it is at {}",
                coupon.id, coupon.revision
            )
        });
    }
    for (version, rows) in &ledger.versions {
        check.expect(*version <= coupon.version && version.0 > 0, || {
            format!(
                "coupon {}: {rows} claims under version {version}, it is at {}",
                coupon.id, coupon.version
            )
        });
    }
    check
}

/// Invariant 11 as far as the stores show it: between mark and tail nothing is missing.
fn outbox_complete(evidence: &Evidence<'_>) -> Check {
    const NAME: &str = "the outbox is complete after its mark";
    let hot = match &evidence.reading.hot {
        Ok(hot) => hot,
        Err(_reason) => return unchecked_hot(11, NAME, evidence),
    };
    // The keeper trims while the stream is read; only a quiet lane shows a gap for certain.
    if !hot.bad_entries.is_empty() && !evidence.moved.is_empty() {
        return moved(11, NAME, evidence);
    }
    let mut check = Check::new(11, NAME);
    for one in &hot.lanes {
        let mark = one.facts.mark.unwrap_or_default();
        check.examined += one.facts.tail.0.saturating_sub(mark.0);
    }
    for entry in &hot.bad_entries {
        check.expect(false, || entry.clone());
    }
    check
}

/// Invariant 12 as far as the stores show it: hot state never knows a higher number than the
/// ledger, and no epoch was opened that was not reached.
fn numbers_not_set_back(evidence: &Evidence<'_>) -> Check {
    const NAME: &str = "epochs, keepers and sequences are not set back";
    let mut check = Check::new(12, NAME);
    let row = &evidence.reading.ledger.lane;
    check.expect(row.opened <= row.epoch, || {
        format!(
            "lane {}: opened {} above {}",
            row.lane, row.opened, row.epoch
        )
    });
    // Hot state is read after the ledger, so in motion it may be ahead of what was read.
    let quiet = evidence.moved.is_empty();
    if let (Ok(hot), true) = (&evidence.reading.hot, quiet) {
        for one in &hot.lanes {
            check.expect(one.facts.epoch <= one.epoch, || {
                format!(
                    "lane {}: epoch {} in hot state, {} in the ledger",
                    one.lane, one.facts.epoch, one.epoch
                )
            });
        }
    }
    check
}

fn unchecked_hot(invariant: u8, name: &'static str, evidence: &Evidence<'_>) -> Check {
    let ledger = &evidence.reading.ledger;
    if ledger.leases.is_empty() {
        // Hot state never had a ticket of it: there is nothing to compare.
        return Check::new(invariant, name);
    }
    let reason = match &evidence.reading.hot {
        Ok(_) => "hot state was not read",
        Err(reason) => reason,
    };
    Check::unchecked(
        invariant,
        name,
        format!("coupon {}: {reason}", ledger.coupon.id),
    )
}

fn moved(invariant: u8, name: &'static str, evidence: &Evidence<'_>) -> Check {
    let why = if evidence.moved.is_empty() {
        "its claims could not be compared one by one".to_owned()
    } else {
        format!("these still moved: {}", evidence.moved.join(", "))
    };
    let id = evidence.figures.id;
    Check::unchecked(invariant, name, format!("coupon {id}: {why}"))
}
