//! Carrying out a step of a history.

use sluice_domain::claim::{Durability, Grant, GrantBatch};
use sluice_domain::coupon::{ClaimWindow, Coupon, Lifecycle};
use sluice_domain::id::{
    CouponId, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber, Revision, Ticket, Version,
};
use sluice_domain::lane::LaneFence;
use sluice_domain::redemption::Transition;

use super::{Batch, COUPONS, Fence, LaneStep, Op, Update, lanes, redeem, sample};
use crate::api_keys::{ApiKey, Role, Scope};
use crate::claims::{AppendFrom, DeadLetter};
use crate::coupons::Operation;
use crate::lanes::LaneRow;
use crate::{Ledger, LedgerError};

/// A step with everything that it takes from the ledger of now.
#[derive(Debug, Clone)]
pub(super) struct Call {
    op: Op,
    fence: LaneFence,
    seen: Option<LaneRow>,
    coupon: Option<Coupon>,
    batches: Vec<GrantBatch>,
    transition: Option<Transition>,
}

/// Fills in what a step takes from the ledger.
pub(super) async fn resolve(ledger: &dyn Ledger, op: &Op) -> Result<Call, String> {
    let failed = |error: LedgerError| error.to_string();
    let mut call = Call {
        op: op.clone(),
        fence: fence(ledger, op).await,
        seen: None,
        coupon: None,
        batches: Vec::new(),
        transition: None,
    };
    match op {
        Op::Take { lane, stale } => {
            let mut row = ledger.lane(LaneId(*lane)).await.map_err(failed)?;
            row.seq += u64::from(*stale);
            call.seen = Some(row);
        }
        Op::Update(update) => {
            let held = ledger
                .coupon(CouponId(update.coupon))
                .await
                .map_err(failed)?;
            let fresh = || sample::coupon(CouponId(update.coupon), Some(3));
            call.coupon = Some(changed(held.unwrap_or_else(fresh), update));
        }
        Op::Append { batches, .. } => {
            for (batch, entry) in batches.iter().zip(1..) {
                call.batches
                    .push(grants(ledger, batch, entry).await.map_err(failed)?);
            }
        }
        Op::Redeem(step) => {
            call.transition = Some(redeem::transition(ledger, step).await.map_err(failed)?);
        }
        _ => {}
    }
    Ok(call)
}

async fn fence(ledger: &dyn Ledger, op: &Op) -> LaneFence {
    let (asked, coupon) = match op {
        Op::Lane { fence, .. } => (*fence, 0),
        Op::Open { fence, coupon, .. }
        | Op::Lease { fence, coupon, .. }
        | Op::Settle { fence, coupon } => (*fence, *coupon),
        Op::Append { fence, batches, .. } => {
            (*fence, batches.first().map_or(0, |batch| batch.coupon))
        }
        _ => {
            let lane = Some(0);
            (
                Fence {
                    lane,
                    epochs_behind: 0,
                    keepers_behind: 0,
                },
                0,
            )
        }
    };
    let lane = asked.lane.map_or(lanes().lane_of(CouponId(coupon)), LaneId);
    let held = ledger.lane(lane).await.ok();
    let (epoch, keeper) = held.map_or((0, 0), |row| (row.epoch.0, row.keeper.0));
    LaneFence {
        lane,
        epoch: Epoch(epoch.saturating_sub(asked.epochs_behind)),
        keeper: KeeperNumber(keeper.saturating_sub(asked.keepers_behind)),
    }
}

fn changed(mut coupon: Coupon, update: &Update) -> Coupon {
    let behind = u32::from(update.stale);
    coupon.revision = Revision(coupon.revision.next().0.saturating_sub(behind).max(1));
    coupon.spec.limits.total = update.total;
    coupon.spec.code = update.word.map(|word| format!("WORD{word}"));
    coupon.lifecycle = match update.lifecycle {
        0 => Lifecycle::Draft,
        1 => Lifecycle::Live,
        2 => Lifecycle::Paused,
        3 => Lifecycle::Ended,
        _ => Lifecycle::Archived,
    };
    let instant = |millis: Option<i64>| millis.map(|millis| sample::NOW.plus_millis(millis));
    coupon.spec.window = ClaimWindow {
        starts_at: instant(update.window.0),
        ends_at: instant(update.window.1),
    };
    coupon.updated_at = coupon.updated_at.plus_millis(1);
    if let Some(new) = update.version {
        coupon.version = Version(coupon.version.0 + u16::from(new));
        coupon.spec.terms.name = format!("coupon r{}", coupon.revision);
        coupon.spec.durability = durability(update.hot);
    }
    coupon
}

fn durability(hot: bool) -> Durability {
    if hot {
        Durability::Hot
    } else {
        Durability::Ledger
    }
}

async fn grants(ledger: &dyn Ledger, batch: &Batch, entry: u64) -> Result<GrantBatch, LedgerError> {
    let coupon = CouponId(batch.coupon);
    let leases = ledger.leases(coupon).await?;
    let lease = leases.iter().find(|lease| lease.number.0 == batch.lease);
    let (first, size) = lease.map_or((1, 4), |lease| (lease.first.0, u64::from(lease.size)));
    let grants = batch
        .grants
        .iter()
        .map(|(offset, claim, user, device)| Grant {
            // One past the end now and then.
            ticket: Ticket(first + offset % (size + u64::from(*offset == 6))),
            claim_id: sample::claim_id(coupon, *claim),
            user: sample::user(*user),
            device: device.map(sample::subject),
            address: device.map(|n| sample::subject(n + 100)),
        });
    Ok(GrantBatch {
        entry: EntryNumber(entry),
        coupon,
        lease: LeaseNumber(batch.lease),
        revision: Revision(1 + batch.lease),
        version: Version(1),
        granted_at: sample::NOW.plus_millis(i64::from(batch.lease)),
        durability: durability(batch.lease == 2),
        grants: grants.collect(),
    })
}

/// An answer in words. Of errors only the kind: their words are for people.
pub(super) fn words<T: std::fmt::Debug>(answer: Result<T, LedgerError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(LedgerError::Unavailable { .. }) => "unavailable".to_owned(),
        Err(LedgerError::Full { .. }) => "full".to_owned(),
        Err(LedgerError::Unknown { .. }) => "unknown".to_owned(),
        Err(LedgerError::Corrupt { .. }) => "corrupt".to_owned(),
    }
}

/// Carries a step out and gives the answer in words.
pub(super) async fn apply(ledger: &dyn Ledger, call: &Call) -> String {
    let fence = call.fence;
    match &call.op {
        Op::Take { .. } | Op::Lane { .. } => apply_lane(ledger, call).await,
        Op::Create { .. } | Op::Update(_) => apply_coupon(ledger, call).await,
        Op::Open {
            coupon, want, hot, ..
        } => words(
            ledger
                .open_lease(fence, CouponId(*coupon), *want, *hot)
                .await,
        ),
        Op::Lease {
            coupon,
            lease,
            quarantine,
            ..
        } => {
            let (coupon, lease) = (CouponId(*coupon), LeaseNumber(*lease));
            if *quarantine {
                words(
                    ledger
                        .quarantine_lease(fence, coupon, lease, sample::NOW)
                        .await,
                )
            } else {
                words(ledger.close_lease(fence, coupon, lease).await)
            }
        }
        Op::Append { salvage, .. } => {
            let from = salvage.map_or(AppendFrom::Current, |e| AppendFrom::Salvage(Epoch(e)));
            words(ledger.append(fence, from, &call.batches).await)
        }
        Op::Redeem(_) => apply_transition(ledger, call).await,
        Op::Notify(step) => super::notify::apply(ledger, step).await,
        Op::Cause { order, step } => super::cause::apply(ledger, *order, step).await,
        Op::Revoke { coupon, claim } => {
            let claim_id = sample::claim_id(CouponId(*coupon), *claim);
            let lane = lanes().lane_of(CouponId(*coupon));
            let revoked = words(ledger.revoke(claim_id).await);
            let claim = words(ledger.claim_with_epoch(claim_id, lane).await);
            format!("{revoked} {claim} {}", words(ledger.claim(claim_id).await))
        }
        Op::Target { coupon, target } => words(ledger.set_target(CouponId(*coupon), *target).await),
        Op::Settle { coupon, .. } => words(
            ledger
                .settle_target(fence, CouponId(*coupon), sample::NOW)
                .await,
        ),
        Op::HotPossible { coupon } => words(ledger.set_hot_possible(CouponId(*coupon)).await),
        Op::Retire { coupon, retired } => {
            words(ledger.set_retired(CouponId(*coupon), *retired).await)
        }
        Op::SetAside { .. } | Op::Operation { .. } | Op::Key { .. } | Op::Number => {
            apply_record(ledger, &call.op).await
        }
    }
}

async fn apply_transition(ledger: &dyn Ledger, call: &Call) -> String {
    let Some(transition) = &call.transition else {
        return String::new();
    };
    let (id, operation) = (transition.redemption.id, &transition.event.operation_id);
    format!(
        "{} {}",
        words(ledger.apply(transition).await),
        words(ledger.redemption_operation(id, operation).await)
    )
}

async fn apply_lane(ledger: &dyn Ledger, call: &Call) -> String {
    let fence = call.fence;
    if let Some(seen) = &call.seen {
        return words(ledger.take_lane(seen, "sample", sample::NOW).await);
    }
    let Op::Lane { step, .. } = &call.op else {
        return String::new();
    };
    words(match step {
        LaneStep::Renew => ledger.renew_lane(fence, sample::NOW.plus_millis(1)).await,
        LaneStep::RaiseEpoch => ledger.raise_epoch(fence).await,
        LaneStep::SetOpened => ledger.set_opened(fence).await,
        LaneStep::Halt => ledger.halt_lane(fence, "set back").await,
        LaneStep::Accept { epoch, seq } => ledger.accept_lane(fence, Epoch(*epoch), *seq).await,
    })
}

async fn apply_coupon(ledger: &dyn Ledger, call: &Call) -> String {
    if let Some(coupon) = &call.coupon {
        let seen = Revision(coupon.revision.0 - 1);
        let entry = sample::entry("coupon.update", &coupon.id.to_string());
        return words(ledger.update_coupon(seen, coupon, "sample", entry).await);
    }
    let Op::Create { coupon, total, hot } = &call.op else {
        return String::new();
    };
    let mut made = sample::coupon(CouponId(*coupon), *total);
    made.spec.durability = durability(*hot);
    made.created_at = made.created_at.plus_millis(i64::from(COUPONS - coupon) / 2);
    let entry = sample::entry("coupon.create", &made.id.to_string());
    words(ledger.create_coupon(&made, entry).await)
}

async fn apply_record(ledger: &dyn Ledger, op: &Op) -> String {
    match op {
        Op::SetAside { lane, entry, claim } => {
            let letter = DeadLetter {
                lane: LaneId(*lane),
                epoch: Epoch(1),
                entry: EntryNumber(*entry),
                claim_id: claim.map(|n| sample::claim_id(CouponId(0), n)),
                at: sample::NOW,
                reason: "ticket taken".to_owned(),
                payload: vec![1, 2],
            };
            words(ledger.set_aside(&[letter.clone(), letter]).await)
        }
        Op::Operation { key, status } => {
            let operation = Operation {
                fingerprint: [*key; 32],
                status: *status,
                body: b"{}".to_vec(),
                at: sample::NOW,
            };
            let key = key.to_string();
            let recorded = words(ledger.record_operation("coupons", &key, &operation).await);
            format!(
                "{recorded} {}",
                words(ledger.operation("coupons", &key).await)
            )
        }
        Op::Key { prefix, revoke } => apply_key(ledger, *prefix, *revoke).await,
        _ => words(ledger.next_number().await),
    }
}

async fn apply_key(ledger: &dyn Ledger, prefix: u8, revoke: bool) -> String {
    let name = format!("key{prefix}");
    let answer = if revoke {
        let entry = sample::entry("key.revoke", &name);
        words(ledger.revoke_key(&name, sample::NOW, entry).await)
    } else {
        let key = ApiKey {
            prefix: name.clone(),
            hash: [prefix; 32],
            label: "sample".to_owned(),
            role: (prefix == 0).then_some(Role::Operator),
            scopes: vec![Scope::Checkout; usize::from(prefix)],
            created_at: sample::NOW,
            expires_at: (prefix == 1).then_some(sample::NOW),
            revoked_at: None,
        };
        words(
            ledger
                .create_key(&key, sample::entry("key.create", &name))
                .await,
        )
    };
    let audited = ledger.append_audit(sample::entry("key.seen", &name)).await;
    format!(
        "{answer} {} {}",
        words(ledger.key(&name).await),
        words(audited)
    )
}
