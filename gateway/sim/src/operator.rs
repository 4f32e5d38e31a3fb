//! An operator of the storm: pauses, edits, restocks and lowers the total, now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sluice_domain::id::{CouponId, Revision};
use sluice_domain::invariant::history::{Deed, OperatorCall};

use crate::admin::Admin;
use crate::tally::{Tally, now};

/// Works on the coupons at random until told to stop; leaves none paused.
pub async fn operate(
    seed: u64,
    mut admin: Admin,
    coupons: Arc<[(CouponId, u64)]>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let mut random = SmallRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..600))).await;
        let (coupon, total) = coupons[random.random_range(0..coupons.len())];
        match random.random_range(0..4_u8) {
            0 => {
                act(&mut admin, coupon, Deed::Pause, &tally).await;
                tokio::time::sleep(Duration::from_millis(random.random_range(20..150))).await;
                act(&mut admin, coupon, Deed::Resume, &tally).await;
            }
            1 => {
                act(&mut admin, coupon, Deed::Edit, &tally).await;
            }
            2 => {
                let raised = total + random.random_range(1..40);
                act(&mut admin, coupon, Deed::SetTotal(raised), &tally).await;
            }
            _lower => {
                let lowered = total.saturating_sub(random.random_range(1..40));
                act(&mut admin, coupon, Deed::SetTotal(lowered), &tally).await;
            }
        }
    }
}

/// Resumes a coupon until that is answered: whatever the storm left behind, it is live again.
pub async fn resume_for_certain(admin: &mut Admin, coupon: CouponId, tally: &Tally) -> bool {
    for _attempt in 0..40 {
        if act(admin, coupon, Deed::Resume, tally).await.is_some() {
            return true;
        }
        if status(admin, coupon).await.as_deref() == Some("active") {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    false
}

/// The coupon's status, as the admin API tells it.
pub async fn status(admin: &mut Admin, coupon: CouponId) -> Option<String> {
    let path = format!("/admin/v1/coupons/{coupon}");
    let reply = admin
        .call(Method::GET, &path, None, &Value::Null)
        .await
        .ok()?;
    reply.body["status"].as_str().map(str::to_owned)
}

/// One call, recorded; the revision where it succeeded.
pub async fn act(
    admin: &mut Admin,
    coupon: CouponId,
    deed: Deed,
    tally: &Tally,
) -> Option<Revision> {
    let base = format!("/admin/v1/coupons/{coupon}");
    let current = if deed == Deed::Edit {
        admin
            .call(Method::GET, &base, None, &Value::Null)
            .await
            .ok()?
            .revision
    } else {
        None
    };
    let sent_at = now();
    let reply = match &deed {
        Deed::Pause => {
            admin
                .call(Method::POST, &format!("{base}/pause"), None, &Value::Null)
                .await
        }
        Deed::Resume => {
            admin
                .call(Method::POST, &format!("{base}/resume"), None, &Value::Null)
                .await
        }
        Deed::End => {
            admin
                .call(Method::POST, &format!("{base}/end"), None, &Value::Null)
                .await
        }
        Deed::Publish(_total) => {
            admin
                .call(Method::POST, &format!("{base}/publish"), None, &Value::Null)
                .await
        }
        Deed::SetTotal(total) => {
            let body = json!({"total": total});
            admin
                .call(Method::POST, &format!("{base}/stock"), None, &body)
                .await
        }
        Deed::Edit => {
            let body = json!({"description": format!("edited at {sent_at}")});
            admin.call(Method::PATCH, &base, current, &body).await
        }
    };
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
    revision
}
