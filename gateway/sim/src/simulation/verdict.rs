//! The end of a simulation: everything heals, what is left is sold, and everything is judged.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use sluice_domain::claim::Durability;
use sluice_domain::coupon::{ClaimLimits, Lifecycle};
use sluice_domain::id::{ClaimId, CouponId, UserId};
use sluice_domain::invariant::Check;
use sluice_domain::invariant::checkout::CheckoutAnswer;
use sluice_domain::invariant::history::{
    Answer, Attempt, Deed, History, acknowledged_is_durable, epochs_rise,
    granted_under_current_state, hot_is_lost_only_with_hot_state, never_oversold,
    one_answer_per_key, refused_left_nothing,
};
use sluice_domain::invariant::rows::{
    CouponRows, leases_and_tickets, limits, nothing_left_out, sold_exactly,
    versions_follow_revisions,
};
use sluice_domain::lease::LeaseState;
use sluice_domain::time::Timestamp;
use sluice_ledger::LedgerError;
use sluice_ledger::audit_facts::AuditFacts as _;
use sluice_ledger::audit_log::{AuditLog as _, verify_chain};
use sluice_ledger::claims::Claims as _;
use sluice_ledger::coupons::Coupons as _;
use sluice_ledger::leases::Leases as _;
use sluice_workers::KeeperSettings;
use sluice_workers::keeper::PhaseName;

use super::faults::{ALL_ARRIVED_MS, accept_ledger};
use super::link::Weather;
use super::operator::Operator;
use super::shopper::{Visitor, user};
use super::time::pause;
use super::world::{Gone, Offer, World, locked};
use crate::ledger_facts;
use crate::storm::{Sale, checkout};

/// How long a world may take to serve again, and to sell what is left: longer than any grace.
const HEALED_WITHIN_MS: u64 = 60_000;
/// Entries of the audit log that a simulation never exceeds.
const AUDIT_MAX: usize = 1_000;

/// What became of a world in the end.
pub(super) struct Rest {
    healed: Check,
}

/// Lets everything heal, and sells what can still be sold.
pub(super) async fn heal(world: &Arc<World>, operator: &mut Operator) -> Rest {
    let mut healed = Check::new(6, "a world without faults serves, sells and rests");
    world.calm_down();
    world.net.set_weather(Weather {
        is_calm: true,
        ..Weather::default()
    });
    pause(ALL_ARRIVED_MS).await;
    let server = world.server();
    server.mend();
    for process in world.alive() {
        process.link.heal();
        process.link.connect_to(&server);
        process.clock.set_skew_ms(0);
    }
    let deadline = world.net.time.now_ms() + HEALED_WITHIN_MS;
    while !all_open(world) && world.net.time.now_ms() < deadline {
        pause(200).await;
        // The last fault may be a backup that comes into place only now.
        if locked(&world.set_back_at).is_some() {
            accept_ledger(world).await;
        }
    }
    healed.expect(all_open(world), || format!("lanes: {:?}", statuses(world)));
    for offer in world.offers() {
        let sold = match settle(world, operator, offer.coupon, deadline).await {
            Some(Lifecycle::Ended) => come_back(world, offer.coupon, deadline).await,
            Some(_live) => sell(world, operator, &offer, deadline).await,
            None => false,
        };
        healed.expect(sold, || {
            let leases =
                futures_util::FutureExt::now_or_never(world.net.ledger.leases(offer.coupon));
            format!(
                "coupon {} does not come to its end; lanes {:?}, leases {leases:?}",
                offer.coupon,
                statuses(world)
            )
        });
    }
    while !is_quiet(world) && world.net.time.now_ms() < deadline {
        pause(100).await;
    }
    healed.expect(is_quiet(world), || format!("lanes: {:?}", statuses(world)));
    world.no_restarts.store(true, Ordering::Relaxed);
    let alive = world.alive();
    let stopped = join_all(alive.iter().map(|process| process.stop())).await;
    healed.expect(stopped.iter().all(|stopped| *stopped), || {
        "a keeper did not stop in time".to_owned()
    });
    Rest { healed }
}

/// Some keeper serves each lane.
pub(super) fn all_open(world: &World) -> bool {
    count_lanes(world, |status| status.phase == PhaseName::Open)
}

/// Some keeper serves each lane, and has nothing to do.
fn is_quiet(world: &World) -> bool {
    count_lanes(world, |status| {
        status.phase == PhaseName::Open
            && status.mark == status.tail
            && status.closing == 0
            && status.coupons_waiting == 0
    })
}

fn count_lanes(world: &World, fits: impl Fn(&sluice_workers::keeper::LaneStatus) -> bool) -> bool {
    let lanes = world.net.ledger_lanes();
    let statuses = statuses(world);
    lanes.iter().all(|lane| {
        let mut of_lane = statuses.iter().filter(|status| status.lane == lane);
        of_lane.any(&fits)
    })
}

fn statuses(world: &World) -> Vec<sluice_workers::keeper::LaneStatus> {
    let alive = world.alive();
    alive
        .iter()
        .flat_map(|process| process.handle.status())
        .collect()
}

/// A paused coupon is resumed; how the coupon stands then.
async fn settle(
    world: &World,
    operator: &mut Operator,
    coupon: CouponId,
    deadline: u64,
) -> Option<Lifecycle> {
    while world.net.time.now_ms() < deadline {
        let stored = world.net.ledger.coupon(coupon).await.ok().flatten()?;
        if stored.lifecycle == Lifecycle::Ended || operator.resume(coupon).await {
            return Some(stored.lifecycle);
        }
        pause(200).await;
    }
    None
}

/// An ended coupon: nothing is out in the end but what was granted.
async fn come_back(world: &World, coupon: CouponId, deadline: u64) -> bool {
    while world.net.time.now_ms() < deadline {
        let leases = world.net.ledger.leases(coupon).await.unwrap_or_default();
        if leases.iter().all(|lease| lease.state == LeaseState::Closed) {
            return true;
        }
        pause(400).await;
    }
    false
}

/// Strangers claim until the total is sold and one of them is told so.
async fn sell(world: &Arc<World>, operator: &mut Operator, offer: &Offer, deadline: u64) -> bool {
    let mut visitor = Visitor::new(Arc::clone(world), 99, operator.dice.fork());
    let key = if offer.per_user == 1 { "" } else { "rest" };
    let mut stranger = 0;
    while world.net.time.now_ms() < deadline {
        let Some(user) = user('z', stranger) else {
            return false;
        };
        match visitor.claim(offer, user, key, None).await {
            Answer::Acknowledged { .. } | Answer::Pending(_) => stranger += 1,
            Answer::Refused(code) if code == "sold_out" => {
                if is_sold(world, offer.coupon).await {
                    return true;
                }
                pause(150).await;
            }
            Answer::Refused(_) | Answer::NotApplied | Answer::Unknown => pause(40).await,
        }
    }
    false
}

async fn is_sold(world: &World, coupon: CouponId) -> bool {
    let granted = world.net.ledger.granted(coupon).await.ok();
    let stock = world.net.ledger.stock(coupon).await.ok();
    stock.is_some_and(|stock| stock.total == granted && stock.target.is_none())
}

/// Every check there is.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) async fn judge(world: &World, rest: Rest) -> Result<Vec<Check>, LedgerError> {
    let ledger = &*world.net.ledger;
    let mut coupons = Vec::new();
    let mut ended = Vec::new();
    for offer in world.offers() {
        let widest = ClaimLimits {
            total: None,
            per_user: offer.per_user,
            per_device: offer.per_device,
            per_address: None,
        };
        coupons.push(ledger_facts::read(ledger, offer.coupon, widest).await?);
        let stored = ledger.coupon(offer.coupon).await?;
        ended.push(stored.is_some_and(|stored| stored.lifecycle == Lifecycle::Ended));
    }
    let mut history = world.tally.history();
    if let Some(set_back_at) = *locked(&world.set_back_at) {
        forget_before(&mut history, set_back_at);
    }
    let mut checks = vec![
        rest.healed,
        acknowledged_is_durable(&history, &coupons),
        hot_is_lost_only_with_hot_state(&history, &coupons),
        never_oversold(&history, &coupons),
        never_given_too_early(&history, &coupons, &world.net.scene.keeper_settings()),
        one_answer_per_key(&history),
        winners_keep(&history, &locked(&world.split)),
        refused_left_nothing(&history, &coupons),
        gone_stays_gone(&history, &locked(&world.gone), &coupons),
        granted_under_current_state(&history, &coupons),
        epochs_rise(&history),
    ];
    for (facts, ended) in coupons.iter().zip(ended) {
        checks.push(leases_and_tickets(facts));
        checks.push(limits(facts));
        checks.push(versions_follow_revisions(facts));
        checks.push(if ended {
            nothing_left_out(facts)
        } else {
            sold_exactly(facts)
        });
    }
    checks.extend(world.net.watch.checks());
    checks.push(stores_are_whole(world).await?);
    checks.extend(judge_checkout(world, &coupons).await?);
    Ok(checks)
}

/// The checkout's part: the same checks as in a storm of real processes.
async fn judge_checkout(world: &World, coupons: &[CouponRows]) -> Result<Vec<Check>, LedgerError> {
    let set_back_at = *locked(&world.set_back_at);
    let mut attempts = world.tally.checkouts();
    for attempt in &mut attempts {
        if set_back_at.is_some_and(|set_back_at| attempt.answered_at <= set_back_at) {
            attempt.answer = CheckoutAnswer::Unknown;
        }
    }
    let sales: Vec<Sale> = world.offers().iter().map(Offer::as_sale).collect();
    let ledger = &*world.net.ledger;
    let (mut checks, bought) = checkout::judge(ledger, &sales, coupons, &attempts).await?;
    let counts = [
        ("checkout: orders", bought.orders),
        ("checkout: confirmed", bought.confirmed),
        ("checkout: refunds", bought.refunds),
        ("checkout: ran out", bought.expired),
        ("checkout: taken", bought.taken),
        ("checkout: over budget", bought.over_budget),
        ("checkout: over uses", bought.over_uses),
        ("checkout: too late", bought.too_late),
    ];
    for (what, count) in counts {
        (0..count).for_each(|_one| world.net.counts.add(what));
    }
    let mut sound = Check::new(9, "no transition contradicts the ledger");
    let corrupt = locked(&world.corrupt);
    sound.expect(corrupt.is_empty(), || format!("{:?}", *corrupt));
    checks.push(sound);
    Ok(checks)
}

/// What was answered before the ledger was set back may be so or not, as of a crash of everything.
fn forget_before(history: &mut History, set_back_at: Timestamp) {
    for attempt in &mut history.attempts {
        if attempt.answered_at <= set_back_at {
            attempt.answer = Answer::Unknown;
        }
    }
    for call in &mut history.operator_calls {
        if call.answered_at <= set_back_at {
            call.revision = None;
        }
    }
    history.lane_samples.clear();
}

/// Invariant 2, with the claims that were lost: a unit that was acknowledged as `hot` is given to
/// nobody else before it can be certain that it was lost, which is grace less the lane's lease after
/// the answer.
fn never_given_too_early(
    history: &History,
    coupons: &[CouponRows],
    times: &KeeperSettings,
) -> Check {
    let mut check = Check::new(2, "what may be lost is not given again before its grace");
    let certain_ms = i64::try_from(times.grace_ms - times.lane_lease_ms).unwrap_or(0);
    for facts in coupons {
        let rows: HashSet<ClaimId> = facts.rows.iter().map(|row| row.claim_id).collect();
        let mut acknowledged: Vec<(Timestamp, ClaimId)> = Vec::new();
        for attempt in history
            .attempts
            .iter()
            .filter(|of| of.coupon == facts.coupon)
        {
            if let Answer::Acknowledged { claim_id, .. } = &attempt.answer {
                acknowledged.push((attempt.answered_at, *claim_id));
            }
        }
        acknowledged.sort_unstable();
        let calls = || {
            history
                .operator_calls
                .iter()
                .filter(|of| of.coupon == facts.coupon)
        };
        for (at, _claim) in &acknowledged {
            let totals = calls().filter(|call| call.sent_at <= *at);
            let highest = totals.filter_map(|call| match &call.deed {
                Deed::Publish(total) => Some(total.unwrap_or(u64::MAX)),
                Deed::SetTotal(total) => Some(*total),
                _other => None,
            });
            let counted = |(then, claim): &&(Timestamp, ClaimId)| {
                then <= at && (rows.contains(claim) || at.millis_since(*then) < certain_ms)
            };
            let out: HashSet<ClaimId> = acknowledged
                .iter()
                .filter(counted)
                .map(|(_then, claim)| *claim)
                .collect();
            let (out, highest) = (out.len() as u64, highest.max());
            check.expect(highest.is_some_and(|highest| out <= highest), || {
                format!(
                    "coupon {}: {out} units are out at {at}, of {highest:?}",
                    facts.coupon
                )
            });
        }
    }
    check
}

/// Invariant 5: whoever was told that they have a claim is never told that they cannot have one. An old
/// primary, which serves until its lane's lease is over, does not know who won elsewhere meanwhile.
fn winners_keep(history: &History, split: &[(Timestamp, Timestamp)]) -> Check {
    let mut check = Check::new(5, "a winner is never refused");
    let mut won: HashMap<(CouponId, UserId, &str), &Attempt> = HashMap::new();
    let mut order: Vec<&Attempt> = history.attempts.iter().collect();
    order.sort_by_key(|attempt| attempt.answered_at);
    for attempt in &order {
        if matches!(attempt.answer, Answer::Acknowledged { .. }) {
            won.entry((attempt.coupon, attempt.user, &attempt.key))
                .or_insert(attempt);
        }
    }
    for attempt in &order {
        let Answer::Refused(code) = &attempt.answer else {
            continue;
        };
        let key = (attempt.coupon, attempt.user, attempt.key.as_str());
        let Some(first) = won
            .get(&key)
            .filter(|first| first.answered_at < attempt.sent_at)
        else {
            continue;
        };
        let was_hot = matches!(
            first.answer,
            Answer::Acknowledged {
                durability: Durability::Hot,
                ..
            }
        );
        let lost = was_hot && history.losses.iter().any(|loss| *loss >= first.sent_at);
        let elsewhere = split
            .iter()
            .any(|(from, to)| *from <= first.answered_at && attempt.sent_at <= *to);
        check.expect(lost || elsewhere, || {
            format!(
                "user {} had coupon {} at {} and was refused with {code} at {}",
                attempt.user, attempt.coupon, first.answered_at, attempt.answered_at
            )
        });
    }
    check
}

/// Invariant 7: a claim of which a look-up said that it is nowhere comes only where it is asked for
/// again.
fn gone_stays_gone(history: &History, gone: &[Gone], coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(7, "a claim that is not there stays away");
    for lost in gone {
        let coupon = lost.claim_id.coupon();
        let asked_again = history.attempts.iter().any(|attempt| {
            let same =
                attempt.coupon == coupon && attempt.user == lost.user && attempt.key == lost.key;
            same && (attempt.answered_at >= lost.asked_at || attempt.answer == Answer::Unknown)
        });
        let rows = coupons.iter().filter(|facts| facts.coupon == coupon);
        let is_row = rows
            .flat_map(|facts| &facts.rows)
            .any(|row| row.claim_id == lost.claim_id);
        check.expect(asked_again || !is_row, || {
            format!(
                "claim {} was nowhere at {} and is a row",
                lost.claim_id, lost.asked_at
            )
        });
    }
    check
}

/// Invariants 13 and 14: indexes, references, and the chain of the audit log.
async fn stores_are_whole(world: &World) -> Result<Check, LedgerError> {
    let mut check = Check::new(13, "the ledger is whole, and its log's chain verifies");
    let ledger = &world.net.ledger;
    let problems = ledger.integrity_problems().await?;
    check.expect(problems.is_empty(), || format!("{problems:?}"));
    let rows = ledger.audit_entries(None, 0, AUDIT_MAX).await?;
    let chain = verify_chain([0; 32], &rows);
    check.expect(chain.is_ok(), || format!("14: {chain:?}"));
    let set_back = locked(&world.set_back_at).is_some();
    for status in statuses(world) {
        check.expect(set_back || status.halted.is_none(), || {
            format!("a lane is halted and no ledger was set back: {status:?}")
        });
    }
    Ok(check)
}
