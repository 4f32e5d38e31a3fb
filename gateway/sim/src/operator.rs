//! An operator of the storm: pauses, edits, restocks, lowers the total, and ends a coupon now and
//! then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sluice_domain::id::CouponId;
use sluice_domain::invariant::history::{Deed, OperatorCall};
use sluice_domain::time::Timestamp;

use crate::admin::Admin;
use crate::tally::{Tally, now};

/// One round in so many loses a coupon to its operator.
const ROUNDS_PER_END: u64 = 3;
/// The longest time that a moved window stays shut, in milliseconds.
const SHUT_MS_MAX: i64 = 400;
/// A moved window ends long after the storm.
const OPEN_MS: i64 = 3_600_000;

/// What an operator does to a coupon.
#[derive(Debug, Clone)]
enum Step {
    Pause,
    Resume,
    End,
    SetTotal(u64),
    /// A merge patch, and what it is to the history.
    Patch(Value, Deed),
}

/// How a coupon came out of the storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may be claimed.
    Live,
    /// It was ended, for good.
    Ended,
}

/// Works on the coupons at random until told to stop.
pub async fn operate(
    seed: u64,
    mut admin: Admin,
    coupons: Arc<[(CouponId, u64)]>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let mut random = SmallRng::seed_from_u64(seed);
    // At most one coupon is ended, after some time.
    let mut until_end = seed
        .is_multiple_of(ROUNDS_PER_END)
        .then(|| random.random_range(2..8_u8));
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..600))).await;
        let (coupon, total) = coupons[random.random_range(0..coupons.len())];
        if let Some(left) = &mut until_end {
            *left -= 1;
            if *left == 0 {
                until_end = None;
                act(&mut admin, coupon, Step::End, &tally).await;
                continue;
            }
        }
        match random.random_range(0..8_u8) {
            0 => {
                act(&mut admin, coupon, Step::Pause, &tally).await;
                tokio::time::sleep(Duration::from_millis(random.random_range(20..150))).await;
                act(&mut admin, coupon, Step::Resume, &tally).await;
            }
            1 => {
                let raised = total + random.random_range(1..40);
                act(&mut admin, coupon, Step::SetTotal(raised), &tally).await;
            }
            2 | 3 => {
                let lowered = total.saturating_sub(random.random_range(1..40));
                act(&mut admin, coupon, Step::SetTotal(lowered), &tally).await;
            }
            kind => {
                let step = edit(kind, &mut random);
                act(&mut admin, coupon, step, &tally).await;
            }
        }
    }
}

/// A change of one of the kinds 4 to 7.
fn edit(kind: u8, random: &mut SmallRng) -> Step {
    let at = now();
    match kind {
        4 => {
            let words = json!({"description": format!("edited at {at}")});
            Step::Patch(words, Deed::Edit)
        }
        // Terms: a new version, which earlier claims do not have.
        5 => {
            let terms = json!({
                "benefit": {"type": "fixed", "off": format!("{}.00", random.random_range(1..10))},
                "conditions": {"min_spend": format!("{}.50", random.random_range(10..60))},
                "validity": {"type": "relative", "days": random.random_range(1..30)},
            });
            Step::Patch(terms, Deed::Edit)
        }
        6 => {
            let class = if random.random_bool(0.5) {
                "hot"
            } else {
                "ledger"
            };
            Step::Patch(json!({"durability": class}), Deed::Edit)
        }
        _window => {
            let opens = after(at, random.random_range(0..SHUT_MS_MAX));
            let window = json!({"claim_window": {
                "starts_at": opens.to_string(),
                "ends_at": after(at, OPEN_MS).to_string(),
            }});
            Step::Patch(window, Deed::Window(Some(opens)))
        }
    }
}

fn after(at: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis() + millis)
}

/// Resumes a coupon until that is answered: whatever the storm left behind, it is live again,
/// unless it was ended.
pub async fn settle(admin: &mut Admin, coupon: CouponId, tally: &Tally) -> Option<Fate> {
    for _attempt in 0..40 {
        if act(admin, coupon, Step::Resume, tally).await {
            return Some(Fate::Live);
        }
        match status(admin, coupon).await.as_deref() {
            Some("active" | "scheduled") => return Some(Fate::Live),
            Some("ended") => return Some(Fate::Ended),
            _unknown => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }
    None
}

/// The coupon's status, as the admin API tells it.
async fn status(admin: &mut Admin, coupon: CouponId) -> Option<String> {
    let path = format!("/admin/v1/coupons/{coupon}");
    let reply = admin
        .call(Method::GET, &path, None, &Value::Null)
        .await
        .ok()?;
    reply.body["status"].as_str().map(str::to_owned)
}

/// One call, recorded; whether it succeeded.
async fn act(admin: &mut Admin, coupon: CouponId, step: Step, tally: &Tally) -> bool {
    let base = format!("/admin/v1/coupons/{coupon}");
    let mut current = None;
    if matches!(step, Step::Patch(..)) {
        let read = admin.call(Method::GET, &base, None, &Value::Null).await;
        let Ok(read) = read else { return false };
        current = read.revision;
    }
    let (method, path, body, deed) = match step {
        Step::Pause => (Method::POST, "/pause", Value::Null, Deed::Pause),
        Step::Resume => (Method::POST, "/resume", Value::Null, Deed::Resume),
        Step::End => (Method::POST, "/end", Value::Null, Deed::End),
        Step::SetTotal(total) => {
            let body = json!({"total": total});
            (Method::POST, "/stock", body, Deed::SetTotal(total))
        }
        Step::Patch(patch, deed) => (Method::PATCH, "", patch, deed),
    };
    let sent_at = now();
    let reply = admin
        .call(method, &format!("{base}{path}"), current, &body)
        .await;
    if let Ok(reply) = &reply
        && matches!(reply.status, 400 | 422)
    {
        // The storm's own mistake would make it a storm without edits.
        tracing::error!(%coupon, ?reply, "an operator's call was malformed");
    }
    let revision = reply
        .ok()
        .filter(|reply| reply.status == 200)
        .and_then(|reply| reply.revision);
    tally.operator_call(OperatorCall {
        sent_at,
        answered_at: now(),
        coupon,
        deed,
        revision,
    });
    revision.is_some()
}
