//! Invariants 1, 2, 5, 7, 8 and 12, over what clients and operators saw.
//!
//! The history has every request, unknown ones included, with the instants at which it was sent and
//! answered. Clocks: all instants are of the machine that ran the storm, which is the machine its
//! Redis ran on; `CLOCK_SLACK_MS` covers the rounding of two of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Check;
use super::rows::CouponRows;
use crate::claim::{ClaimRow, Durability};
use crate::id::{ClaimId, CouponId, Epoch, KeeperNumber, LaneId, Revision, UserId};
use crate::time::Timestamp;

/// Two readings of one clock, each cut to the millisecond.
const CLOCK_SLACK_MS: i64 = 2;

/// What a claim request ended in, as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 201 or 200: acknowledged.
    Acknowledged {
        /// The claim.
        claim_id: ClaimId,
        /// The class in the body.
        durability: Durability,
        /// The body, byte by byte.
        body: String,
    },
    /// 202: granted in hot state, not yet durable.
    Pending(ClaimId),
    /// 4xx: a business refusal.
    Refused(String),
    /// 503 with `outcome: not_applied`.
    NotApplied,
    /// 503 with `outcome: unknown`, a broken connection, a time-out.
    Unknown,
}

/// One claim request.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When its answer, or the lack of one, was seen.
    pub answered_at: Timestamp,
    /// The coupon.
    pub coupon: CouponId,
    /// Who claimed.
    pub user: UserId,
    /// The idempotency key; empty for coupons with one claim per user.
    pub key: String,
    /// What it ended in.
    pub answer: Answer,
}

/// What an operator did to a coupon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Published, with this total.
    Publish(Option<u64>),
    /// Stopped grants.
    Pause,
    /// Let them go on.
    Resume,
    /// Set the total.
    SetTotal(u64),
    /// Changed terms, class or words.
    Edit,
    /// Changed the claim window, which opens then; `None` is at once.
    Window(Option<Timestamp>),
    /// Ended for good.
    End,
}

/// One call of an operator.
#[derive(Debug, Clone)]
pub struct OperatorCall {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it was answered.
    pub answered_at: Timestamp,
    /// The coupon.
    pub coupon: CouponId,
    /// What was asked.
    pub deed: Deed,
    /// The revision in the answer; `None` where it was refused, failed or is unknown.
    pub revision: Option<Revision>,
}

/// A look at a lane's row, in the order of time.
#[derive(Debug, Clone, Copy)]
pub struct LaneSample {
    /// The lane.
    pub lane: LaneId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its keeper.
    pub keeper: KeeperNumber,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Claim requests, in any order.
    pub attempts: Vec<Attempt>,
    /// Operators' calls, in any order.
    pub operator_calls: Vec<OperatorCall>,
    /// Looks at lanes, in the order of time.
    pub lane_samples: Vec<LaneSample>,
    /// When faults had been inflicted after which hot state may have forgotten answers.
    pub losses: Vec<Timestamp>,
}

/// Invariant 1: what was acknowledged as `ledger` is a row.
#[must_use]
pub fn acknowledged_is_durable(history: &History, coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(1, "acknowledged as ledger is in the ledger");
    let rows = rows_by_id(coupons);
    for attempt in &history.attempts {
        let Answer::Acknowledged {
            claim_id,
            durability: Durability::Ledger,
            ..
        } = &attempt.answer
        else {
            continue;
        };
        let held = rows
            .get(claim_id)
            .is_some_and(|row| row.user == attempt.user);
        check.expect(held, || {
            format!(
                "claim {claim_id} of user {} was acknowledged and is no row",
                attempt.user
            )
        });
    }
    check
}

/// Invariant 1, the other half: a claim acknowledged as `hot` is missing only where hot state was
/// lost after it was first asked for.
///
/// A loss of its outbox entry alone is noticed a moment later:
/// until then a repeat hears "yes" from what is left of it, after the loss. What was granted counts
/// from the first request that may have made it.
#[must_use]
pub fn hot_is_lost_only_with_hot_state(history: &History, coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(1, "acknowledged as hot is lost only with hot state");
    let rows = rows_by_id(coupons);
    let last_loss = history.losses.iter().max();
    let asked = |attempt: &Attempt| (attempt.coupon, attempt.user, attempt.key.clone());
    let mut first_asked: HashMap<(CouponId, UserId, String), Timestamp> = HashMap::new();
    for attempt in &history.attempts {
        if matches!(attempt.answer, Answer::Refused(_) | Answer::NotApplied) {
            continue;
        }
        let first = first_asked.entry(asked(attempt)).or_insert(attempt.sent_at);
        *first = attempt.sent_at.min(*first);
    }
    for attempt in &history.attempts {
        let Answer::Acknowledged {
            claim_id,
            durability: Durability::Hot,
            ..
        } = &attempt.answer
        else {
            continue;
        };
        let first = first_asked.get(&asked(attempt));
        let since = first.copied().unwrap_or(attempt.sent_at);
        let excused = last_loss.is_some_and(|&loss| loss >= since);
        let held = rows
            .get(claim_id)
            .is_some_and(|row| row.user == attempt.user);
        check.expect(held || excused, || {
            format!(
                "claim {claim_id} of user {} was acknowledged as hot at {}, is no row, and nothing \
                 was lost since",
                attempt.user, attempt.answered_at
            )
        });
    }
    check
}

/// Invariant 2: at every moment, acknowledged claims are within the highest total asked for so far.
///
/// Claims are counted once, however often they were answered. Claims acknowledged as `hot` that are no rows at the end were lost
/// in the loss window of their class, and do not count.
#[must_use]
pub fn never_oversold(history: &History, coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(2, "never oversold");
    let rows = rows_by_id(coupons);
    for facts in coupons {
        let mut acknowledged: Vec<(Timestamp, ClaimId)> = history
            .attempts
            .iter()
            .filter(|attempt| attempt.coupon == facts.coupon)
            .filter_map(|attempt| match &attempt.answer {
                Answer::Acknowledged {
                    claim_id,
                    durability,
                    ..
                } => (*durability == Durability::Ledger || rows.contains_key(claim_id))
                    .then_some((attempt.answered_at, *claim_id)),
                _ => None,
            })
            .collect();
        acknowledged.sort_unstable();
        let mut totals: Vec<(Timestamp, Option<u64>)> = history
            .operator_calls
            .iter()
            .filter(|call| call.coupon == facts.coupon)
            .filter_map(|call| match call.deed {
                Deed::Publish(total) => Some((call.sent_at, total)),
                Deed::SetTotal(total) => Some((call.sent_at, Some(total))),
                _ => None,
            })
            .collect();
        totals.sort_unstable_by_key(|(sent_at, _total)| *sent_at);
        let mut distinct = HashSet::new();
        for (answered_at, claim_id) in acknowledged {
            distinct.insert(claim_id);
            let by_then = totals
                .iter()
                .take_while(|(sent_at, _total)| *sent_at <= answered_at);
            let highest = by_then
                .map(|(_sent_at, total)| total.unwrap_or(u64::MAX))
                .max();
            let sold = distinct.len() as u64;
            check.expect(highest.is_some_and(|highest| sold <= highest), || {
                format!(
                    "coupon {}: {sold} acknowledged at {answered_at}, highest total {highest:?}",
                    facts.coupon
                )
            });
        }
        let granted = facts.granted().count() as u64;
        let highest = totals
            .iter()
            .map(|(_sent_at, total)| total.unwrap_or(u64::MAX))
            .max();
        check.expect(highest.is_some_and(|highest| granted <= highest), || {
            format!(
                "coupon {}: {granted} rows, highest total {highest:?}",
                facts.coupon
            )
        });
    }
    check
}

/// Invariant 5: one (user, key) has one claim id and one body.
///
/// A claim acknowledged as `hot` that was lost with hot state may be granted anew under the same
/// id, with another body: only where a loss lies between the two answers.
#[must_use]
pub fn one_answer_per_key(history: &History) -> Check {
    let mut check = Check::new(5, "one key, one claim, one body");
    let mut order: Vec<&Attempt> = history.attempts.iter().collect();
    order.sort_by_key(|attempt| attempt.answered_at);
    let mut ids: HashMap<(CouponId, UserId, &str), ClaimId> = HashMap::new();
    let mut bodies: HashMap<ClaimId, (&Attempt, Durability, &str)> = HashMap::new();
    for attempt in order {
        let claim_id = match &attempt.answer {
            Answer::Acknowledged { claim_id, .. } | Answer::Pending(claim_id) => *claim_id,
            Answer::Refused(_) | Answer::NotApplied | Answer::Unknown => continue,
        };
        let key = (attempt.coupon, attempt.user, attempt.key.as_str());
        let known = *ids.entry(key).or_insert(claim_id);
        check.expect(known == claim_id, || {
            format!(
                "user {} key {:?}: claims {known} and {claim_id}",
                attempt.user, attempt.key
            )
        });
        let Answer::Acknowledged {
            durability, body, ..
        } = &attempt.answer
        else {
            continue;
        };
        // The same body dates from its first answer: where its outbox entry alone is lost, a repeat
        // hears it until that is noticed, after the loss.
        let first = match bodies.get(&claim_id) {
            Some((first, _class, before)) if *before == body.as_str() => *first,
            Some(_) | None => attempt,
        };
        if let Some((earlier, class, before)) =
            bodies.insert(claim_id, (first, *durability, body.as_str()))
        {
            let lost_between = class == Durability::Hot
                && history
                    .losses
                    .iter()
                    .any(|&loss| loss >= earlier.sent_at && loss <= attempt.answered_at);
            check.expect(before == body || lost_between, || {
                format!("claim {claim_id}: body {body} differs from the one before, {before}")
            });
        }
    }
    check
}

/// Invariant 7: where every attempt of a (user, key) was refused for certain, there is no row; and
/// no row belongs to somebody who never asked.
#[must_use]
pub fn refused_left_nothing(history: &History, coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(7, "a refused request left no claim");
    // Per user and coupon: how many distinct keys may have been granted.
    let mut may_have: HashMap<(CouponId, UserId), HashSet<&str>> = HashMap::new();
    for attempt in &history.attempts {
        let keys = may_have.entry((attempt.coupon, attempt.user)).or_default();
        if !matches!(attempt.answer, Answer::Refused(_) | Answer::NotApplied) {
            keys.insert(attempt.key.as_str());
        }
    }
    for facts in coupons {
        let mut rows: HashMap<UserId, usize> = HashMap::new();
        for row in &facts.rows {
            *rows.entry(row.user).or_default() += 1;
        }
        for (user, count) in rows {
            let keys = may_have.get(&(facts.coupon, user)).map_or(0, HashSet::len);
            check.expect(count <= keys, || {
                format!(
                    "coupon {}: user {user} has {count} rows, {keys} requests may have left one",
                    facts.coupon
                )
            });
        }
    }
    check
}

/// Invariant 8: no row was granted while a pause, an end or a window that had yet to open was in
/// force, and none granted after an edit was answered carries an older revision than that edit's.
#[must_use]
pub fn granted_under_current_state(history: &History, coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(8, "granted under the state and revision in force");
    for facts in coupons {
        let mut calls: Vec<&OperatorCall> = history
            .operator_calls
            .iter()
            .filter(|call| call.coupon == facts.coupon)
            .collect();
        calls.sort_by_key(|call| call.sent_at);
        let stops = stops(&calls);
        for row in &facts.rows {
            for (from, until) in &stops {
                let inside = row.granted_at.as_millis() > from.as_millis() + CLOCK_SLACK_MS
                    && until.is_none_or(|until| row.granted_at < until);
                check.expect(!inside, || {
                    format!(
                        "claim {} was granted at {} while stopped since {from}",
                        row.claim_id, row.granted_at
                    )
                });
            }
            for call in &calls {
                let (Deed::Edit | Deed::Window(_), Some(revision)) = (&call.deed, call.revision)
                else {
                    continue;
                };
                let after =
                    row.granted_at.as_millis() > call.answered_at.as_millis() + CLOCK_SLACK_MS;
                check.expect(!after || row.revision >= revision, || {
                    format!(
                        "claim {} was granted at {} under revision {}, after {revision} was in force since {}",
                        row.claim_id, row.granted_at, row.revision, call.answered_at
                    )
                });
            }
        }
    }
    check
}

/// Invariant 12: in each lane, epochs and keeper numbers never fall.
#[must_use]
pub fn epochs_rise(history: &History) -> Check {
    let mut check = Check::new(12, "epochs and keeper numbers rise");
    let mut last: BTreeMap<LaneId, (Epoch, KeeperNumber)> = BTreeMap::new();
    for sample in &history.lane_samples {
        if let Some((epoch, keeper)) = last.insert(sample.lane, (sample.epoch, sample.keeper)) {
            check.expect(sample.epoch >= epoch && sample.keeper >= keeper, || {
                format!(
                    "lane {}: epoch {epoch} keeper {keeper}, then epoch {} keeper {}",
                    sample.lane, sample.epoch, sample.keeper
                )
            });
        }
    }
    check
}

/// Spans in which a stop was certainly in force: from the answer of a stop that succeeded until the
/// next call that may have ended it was sent, and for a window at the latest until it opens. An end
/// is final.
fn stops(calls: &[&OperatorCall]) -> Vec<(Timestamp, Option<Timestamp>)> {
    let mut spans = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        if call.revision.is_none() {
            continue;
        }
        let next = |ends: fn(&Deed) -> bool| {
            let later = calls[index + 1..].iter().find(|later| ends(&later.deed));
            later.map(|later| later.sent_at)
        };
        match call.deed {
            Deed::End => spans.push((call.answered_at, None)),
            Deed::Pause => {
                // A resume of unknown outcome sent before this stop may still take effect after it.
                let doubtful = calls[..index]
                    .iter()
                    .any(|earlier| earlier.deed == Deed::Resume && earlier.revision.is_none());
                if !doubtful {
                    let resumed = next(|deed| matches!(deed, Deed::Resume | Deed::Publish(_)));
                    spans.push((call.answered_at, resumed));
                }
            }
            // No such doubt: an edit names the revision that it changes.
            Deed::Window(Some(opens)) => {
                let moved = next(|deed| matches!(deed, Deed::Window(_)));
                let until = moved.map_or(opens, |moved| moved.min(opens));
                spans.push((call.answered_at, Some(until)));
            }
            _ => {}
        }
    }
    spans
}

fn rows_by_id(coupons: &[CouponRows]) -> HashMap<ClaimId, &ClaimRow> {
    coupons
        .iter()
        .flat_map(|facts| &facts.rows)
        .map(|row| (row.claim_id, row))
        .collect()
}
