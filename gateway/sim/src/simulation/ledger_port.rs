//! The ledger as one process reaches it.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::FutureExt as _;
use sluice_domain::cause::{Cause, CauseState};
use sluice_domain::claim::{ClaimRow, GrantBatch};
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{
    ClaimId, CouponId, CouponNumber, Epoch, LaneId, LeaseNumber, NotificationId, OrderId,
    RedemptionId, Revision, Ticket, UserId,
};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{Lease, Stock};
use sluice_domain::notification::Notification;
use sluice_domain::redemption::{
    ClaimUse, CouponUsage, Redemption, TermsKey, Transition, TransitionEvent,
};
use sluice_domain::time::Timestamp;
use sluice_ledger::api_keys::{ApiKey, ApiKeys};
use sluice_ledger::audit_facts::{
    AuditFacts, CouponLedgerFacts, RedemptionFacts, RedemptionOrphans, UsageFacts,
};
use sluice_ledger::audit_log::{AuditEntry, AuditLog, AuditRow};
use sluice_ledger::causes::{CauseSettled, Causes, Intended, OrderCauses};
use sluice_ledger::claims::{AppendFrom, Appended, Claims, ClaimsPage, DeadLetter, Revoked};
use sluice_ledger::coupons::{
    CouponPage, CouponQuery, CouponWrite, Coupons, Operation, VersionRow,
};
use sluice_ledger::lanes::{LaneRow, LaneWrite, Lanes, LedgerIdentity};
use sluice_ledger::leases::{LeaseOpened, LeaseStep, Leases, TargetSettled};
use sluice_ledger::notifications::{Notifications, NotificationsPage, ReminderKey};
use sluice_ledger::redemptions::{Redemptions, RedemptionsPage, TransitionOutcome};
use sluice_ledger::{LedgerError, ModelLedger};

use super::link::{Link, Side, Silence};
use super::mutation::Mutation;
use super::time::pause;

/// What a process hears where the ledger does not answer.
const SILENCE: Silence<LedgerError> = Silence {
    not_carried_out: || LedgerError::Unavailable {
        reason: "nobody is there".to_owned(),
    },
    unknown: || LedgerError::Unknown {
        reason: "no answer".to_owned(),
    },
};
/// How late an append comes that was reported as done.
const LATE_APPEND_MS: u64 = 60;

/// The port.
pub(super) struct LedgerPort {
    link: Arc<Link>,
    mutation: Option<Mutation>,
}

// === impl LedgerPort ===

impl LedgerPort {
    pub(super) fn new(link: &Arc<Link>, mutation: Option<Mutation>) -> Self {
        Self {
            link: Arc::clone(link),
            mutation,
        }
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    async fn ask<T: Debug + Send + 'static>(
        &self,
        what: &'static str,
        run: impl Fn(&ModelLedger) -> Option<Result<T, LedgerError>> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let ledger = Arc::clone(&self.link.net.ledger);
        let run = move || at_once(run(&ledger));
        self.link.call(Side::Ledger, what, SILENCE, run).await
    }

    /// A write of a keeper: where another is in charge, it changes nothing.
    async fn fenced<T: Debug + Send + 'static>(
        &self,
        what: &'static str,
        fence: LaneFence,
        run: impl Fn(&ModelLedger) -> Option<Result<T, LedgerError>> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let net = Arc::clone(&self.link.net);
        self.change(what, move |ledger| {
            let row = || ledger.lane(fence.lane).now_or_never()?.ok();
            let before = row();
            let answer = run(ledger);
            if let (Some(before), Some(after)) = (before, row()) {
                let in_charge = (before.epoch, before.keeper) == (fence.epoch, fence.keeper);
                net.watch.fenced(in_charge || before == after, what, fence);
            }
            answer
        })
        .await
    }

    async fn change<T: Debug + Send + 'static>(
        &self,
        what: &'static str,
        run: impl Fn(&ModelLedger) -> Option<Result<T, LedgerError>> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let net = Arc::clone(&self.link.net);
        self.ask(what, move |ledger| {
            let answer = run(ledger);
            if let Some(counted) = counted(what) {
                net.counts.add(counted);
            }
            net.watch.after_write(ledger, net.time.now_ms());
            answer
        })
        .await
    }

    /// An append that is reported as done and made later, if its process lives to see it.
    async fn append_later(
        &self,
        fence: LaneFence,
        from: AppendFrom,
        batches: Vec<GrantBatch>,
    ) -> Result<Appended, LedgerError> {
        let link = Arc::clone(&self.link);
        let seq = self.lane(fence.lane).await?.seq;
        drop(tokio::spawn(async move {
            pause(LATE_APPEND_MS).await;
            if !link.is_dead() {
                let append = link.net.ledger.append(fence, from, &batches);
                let _too_late = append.now_or_never();
            }
        }));
        let conflicts = Vec::new();
        Ok(Appended::Done { seq, conflicts })
    }
}

/// What a future of the model gives: it never waits.
pub(super) fn at_once<T>(answer: Option<Result<T, LedgerError>>) -> Result<T, LedgerError> {
    answer.unwrap_or_else(|| {
        Err(LedgerError::Corrupt {
            reason: "the model waits".to_owned(),
        })
    })
}

/// Under which name a write is counted.
fn counted(what: &str) -> Option<&'static str> {
    match what {
        "raise_epoch" => Some("lane: recovered"),
        "take_lane" => Some("lane: taken over"),
        "quarantine_lease" => Some("lane: quarantined"),
        "set_retired" => Some("lane: retired"),
        "halt_lane" => Some("lane: halted"),
        _uncounted => None,
    }
}

/// Methods that only pass on what they were given; what is borrowed is kept first.
macro_rules! passed_on {
    (@ ask $port:ident $name:ident $run:ident $($arg:ident)*) => {
        $port.ask(stringify!($name), $run).await
    };
    (@ change $port:ident $name:ident $run:ident $($arg:ident)*) => {
        $port.change(stringify!($name), $run).await
    };
    (@ fenced $port:ident $name:ident $run:ident $fence:ident $($arg:ident)*) => {
        $port.fenced(stringify!($name), $fence, $run).await
    };
    ($($part:ident { $($special:item)* } {
        $($how:ident $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty
            = [$($kept:ident = $keep:expr),*] ($($pass:expr),*);)*
    })*) => {$(
        #[async_trait::async_trait]
        impl $part for LedgerPort {
            $($special)*

            $(async fn $name(&self, $($arg: $kind),*) -> Result<$answer, LedgerError> {
                $(let $kept = $keep;)*
                let run = move |ledger: &ModelLedger| ledger.$name($($pass),*).now_or_never();
                passed_on!(@ $how self $name run $($arg)*)
            })*
        }
    )*};
}

passed_on! {
    Lanes {
        fn identity(&self) -> &LedgerIdentity {
            self.link.net.ledger.identity()
        }

        async fn raise_epoch(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
            let raise = move |ledger: &ModelLedger| ledger.raise_epoch(fence).now_or_never();
            let mut written = self.fenced("raise_epoch", fence, raise).await?;
            if let LaneWrite::Done(row) = &mut written && self.has(Mutation::OldEpochApplied) {
                row.opened = Epoch(0);
            }
            Ok(written)
        }
    } {
        ask lane(lane: LaneId) -> LaneRow = [] (lane);
        change take_lane(seen: &LaneRow, holder: &str, until: Timestamp) -> LaneWrite
            = [seen = seen.clone(), holder = holder.to_owned()] (&seen, &holder, until);
        fenced renew_lane(fence: LaneFence, until: Timestamp) -> LaneWrite = [] (fence, until);
        fenced set_opened(fence: LaneFence) -> LaneWrite = [] (fence);
        change halt_lane(fence: LaneFence, reason: &str) -> LaneWrite
            = [reason = reason.to_owned()] (fence, &reason);
        fenced accept_lane(fence: LaneFence, epoch: Epoch, seq: u64) -> LaneWrite
            = [] (fence, epoch, seq);
    }

    Leases {} {
        ask stock(coupon: CouponId) -> Stock = [] (coupon);
        ask leases(coupon: CouponId) -> Vec<Lease> = [] (coupon);
        ask live_leases(lane: LaneId) -> Vec<Lease> = [] (lane);
        fenced open_lease(fence: LaneFence, coupon: CouponId, want: u32, hot_possible: bool) -> LeaseOpened
            = [] (fence, coupon, want, hot_possible);
        fenced close_lease(fence: LaneFence, coupon: CouponId, lease: LeaseNumber) -> LeaseStep
            = [] (fence, coupon, lease);
        fenced quarantine_lease(fence: LaneFence, coupon: CouponId, lease: LeaseNumber, grace_until: Timestamp) -> LeaseStep
            = [] (fence, coupon, lease, grace_until);
        change set_hot_possible(coupon: CouponId) -> () = [] (coupon);
        change set_target(coupon: CouponId, target: Option<u64>) -> Stock = [] (coupon, target);
        fenced settle_target(fence: LaneFence, coupon: CouponId, now: Timestamp) -> TargetSettled
            = [] (fence, coupon, now);
    }

    Claims {
        async fn append(
            &self,
            fence: LaneFence,
            from: AppendFrom,
            batches: &[GrantBatch],
        ) -> Result<Appended, LedgerError> {
            let batches = batches.to_vec();
            if self.has(Mutation::MarkBeforeAppend) && from == AppendFrom::Current {
                return self.append_later(fence, from, batches).await;
            }
            let append = move |ledger: &ModelLedger| ledger.append(fence, from, &batches).now_or_never();
            self.fenced("append", fence, append).await
        }

        async fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), LedgerError> {
            self.link.net.counts.add("lane: set aside");
            if self.has(Mutation::NothingSetAside) {
                return Ok(());
            }
            let letters = letters.to_vec();
            self.change("set_aside", move |ledger| ledger.set_aside(&letters).now_or_never()).await
        }
    } {
        ask claim(claim_id: ClaimId) -> Option<ClaimRow> = [] (claim_id);
        ask claim_with_epoch(claim_id: ClaimId, lane: LaneId) -> (Option<ClaimRow>, Epoch)
            = [] (claim_id, lane);
        ask claims_of_coupon(coupon: CouponId, page: ClaimsPage) -> Vec<ClaimRow> = [] (coupon, page);
        ask claims_by_user_order(coupon: CouponId, after: Option<&UserId>, limit: usize) -> Vec<ClaimRow>
            = [after = after.copied()] (coupon, after.as_ref(), limit);
        ask claims_of_user(user: &UserId, limit: usize) -> Vec<ClaimRow> = [user = *user] (&user, limit);
        ask granted(coupon: CouponId) -> u64 = [] (coupon);
        change revoke(claim_id: ClaimId) -> Revoked = [] (claim_id);
        ask dead_letters(lane: LaneId) -> Vec<DeadLetter> = [] (lane);
    }

    Coupons {} {
        change next_number() -> CouponNumber = [] ();
        change create_coupon(coupon: &Coupon, entry: AuditEntry) -> CouponWrite
            = [coupon = coupon.clone()] (&coupon, entry.clone());
        ask coupon(id: CouponId) -> Option<Coupon> = [] (id);
        change update_coupon(seen: Revision, coupon: &Coupon, author: &str, entry: AuditEntry) -> CouponWrite
            = [coupon = coupon.clone(), author = author.to_owned()] (seen, &coupon, &author, entry.clone());
        ask list_coupons(query: &CouponQuery) -> CouponPage = [query = query.clone()] (&query);
        ask versions(id: CouponId) -> Vec<VersionRow> = [] (id);
        ask published_coupons(lane: LaneId) -> Vec<(CouponId, bool)> = [] (lane);
        change set_retired(id: CouponId, retired: bool) -> () = [] (id, retired);
        ask operation(scope: &str, key: &str) -> Option<Operation>
            = [scope = scope.to_owned(), key = key.to_owned()] (&scope, &key);
        change record_operation(scope: &str, key: &str, operation: &Operation) -> bool
            = [scope = scope.to_owned(), key = key.to_owned(), operation = operation.clone()]
            (&scope, &key, &operation);
    }

    Redemptions {} {
        ask redemption(id: RedemptionId) -> Option<Redemption> = [] (id);
        ask events(id: RedemptionId) -> Vec<TransitionEvent> = [] (id);
        ask redemption_operation(id: RedemptionId, operation_id: &str) -> Option<TransitionEvent>
            = [operation_id = operation_id.to_owned()] (id, &operation_id);
        change apply(transition: &Transition) -> TransitionOutcome
            = [transition = transition.clone()] (&transition);
        ask claim_uses(claims: &[ClaimId]) -> Vec<ClaimUse> = [claims = claims.to_vec()] (&claims);
        ask uses_of_user(periods: &[(CouponId, String)], user: &UserId) -> Vec<u32>
            = [periods = periods.to_vec(), user = *user] (&periods, &user);
        ask coupon_usage(coupons: &[CouponId]) -> Vec<CouponUsage>
            = [coupons = coupons.to_vec()] (&coupons);
        ask due(now: Timestamp, after: Option<RedemptionId>, limit: usize) -> Vec<RedemptionId>
            = [] (now, after, limit);
        ask terms(keys: &[TermsKey]) -> Vec<VersionRow> = [keys = keys.to_vec()] (&keys);
        ask coupon_by_code(code: &str) -> Option<Coupon> = [code = code.to_owned()] (&code);
        ask redemptions_of_coupon(coupon: CouponId, page: RedemptionsPage) -> Vec<Redemption>
            = [] (coupon, page);
        ask redeemed(coupon: CouponId) -> u64 = [] (coupon);
    }

    Causes {} {
        ask order_causes(order: &OrderId) -> OrderCauses = [order = order.clone()] (&order);
        change intend(cause: &Cause) -> Intended = [cause = cause.clone()] (&cause);
        change settle_cause(order: &OrderId, claim_id: ClaimId, to: CauseState, entry: Option<AuditEntry>) -> CauseSettled
            = [order = order.clone()] (&order, claim_id, to, entry.clone());
        change cancel_order(order: &OrderId, at: Timestamp) -> Timestamp
            = [order = order.clone()] (&order, at);
    }

    Notifications {} {
        ask reminder_cursor(key: ReminderKey) -> Option<Ticket> = [] (key);
        change remind(key: ReminderKey, passed: Ticket, notifications: &[Notification]) -> u64
            = [notifications = notifications.to_vec()] (key, passed, &notifications);
        ask notifications(user: &UserId, page: NotificationsPage) -> Vec<Notification>
            = [user = *user] (&user, page);
        change mark_read(id: NotificationId, user: &UserId, at: Timestamp) -> Option<Notification>
            = [user = *user] (id, &user, at);
        change forget_notifications(expired_before: Timestamp, limit: usize) -> usize
            = [] (expired_before, limit);
    }

    ApiKeys {} {
        change create_key(key: &ApiKey, entry: AuditEntry) -> () = [key = key.clone()] (&key, entry.clone());
        ask key(prefix: &str) -> Option<ApiKey> = [prefix = prefix.to_owned()] (&prefix);
        ask list_keys() -> Vec<ApiKey> = [] ();
        change revoke_key(prefix: &str, at: Timestamp, entry: AuditEntry) -> bool
            = [prefix = prefix.to_owned()] (&prefix, at, entry.clone());
    }

    AuditLog {} {
        change append_audit(entry: AuditEntry) -> () = [] (entry.clone());
        ask audit_entries(object: Option<&str>, after: u64, limit: usize) -> Vec<AuditRow>
            = [object = object.map(str::to_owned)] (object.as_deref(), after, limit);
    }

    AuditFacts {} {
        ask coupon_ids(after: Option<CouponId>, limit: usize) -> Vec<CouponId> = [] (after, limit);
        ask coupon_facts(coupon: CouponId) -> Option<CouponLedgerFacts> = [] (coupon);
        ask redemption_facts(coupon: Option<CouponId>, after: Option<RedemptionId>, limit: usize) -> Vec<RedemptionFacts>
            = [] (coupon, after, limit);
        ask usage_facts(coupon: CouponId) -> UsageFacts = [] (coupon);
        ask redemption_orphans() -> RedemptionOrphans = [] ();
        ask integrity_problems() -> Vec<String> = [] ();
    }
}
