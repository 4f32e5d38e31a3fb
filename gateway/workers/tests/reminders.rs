//! Reminders, on both ledgers: what is due is found, once, by a worker that may stop at any time.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach their helpers"
)]

use std::sync::Arc;
use std::time::Duration;

use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::pricing::{Buyer, Choose};
use sluice_domain::terms::{Currency, RelativeEnd, Validity};
use sluice_domain::time::Timestamp;
use sluice_ledger::conformance::granting::Granting;
use sluice_ledger::conformance::sample::{NOW, user};
use sluice_ledger::model::Fault;
use sluice_ledger::notifications::NotificationsPage;
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, LedgerError, ModelLedger, SqliteLedger};
use sluice_workers::reminders::{ReminderSettings, Reminders, Round};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

struct Scene {
    ledger: Arc<dyn Ledger>,
    granting: Granting,
    keys: HashKeys,
    _folder: Option<tempfile::TempDir>,
}

impl Scene {
    async fn on(ledger: Arc<dyn Ledger>, folder: Option<tempfile::TempDir>) -> Self {
        Self {
            granting: Granting::start(Arc::clone(&ledger)).await,
            keys: HashKeys::derive(&ledger.identity().hash_key),
            ledger,
            _folder: folder,
        }
    }

    async fn on_model() -> (Self, Arc<ModelLedger>) {
        let model = Arc::new(ModelLedger::new(LaneCount::new(1).unwrap()));
        (
            Self::on(Arc::<ModelLedger>::clone(&model), None).await,
            model,
        )
    }

    async fn both() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(LaneCount::new(1).unwrap());
        let sqlite = SqliteLedger::open(folder.path().join("ledger.db"), options).unwrap();
        [
            Self::on_model().await.0,
            Self::on(Arc::new(sqlite), Some(folder)).await,
        ]
    }

    /// A worker that has just started, with these leads in hours.
    fn worker(&self, hours: &[u64]) -> Reminders {
        let before = hours.iter().map(|hours| Duration::from_secs(hours * 3_600));
        let settings = ReminderSettings {
            before: before.collect(),
            every: Duration::from_secs(60),
            retention: Duration::from_secs(86_400),
        };
        Reminders::new(Arc::clone(&self.ledger), self.keys.clone(), settings)
    }

    async fn coupon(&self, validity: Validity) -> CouponId {
        let several = |spec: &mut sluice_domain::coupon::CouponSpec| {
            spec.terms.validity = validity;
            spec.limits.per_user = 100;
        };
        self.granting.coupon(several).await
    }

    async fn grant(&self, coupon: CouponId, to: u32, hours: i64) -> ClaimId {
        let key = format!("k{hours}");
        let at = NOW.plus_millis(hours * HOUR_MS);
        self.granting.grant(coupon, &user(to), &key, at).await
    }

    /// The claims that a user was reminded of, newest message first.
    async fn reminded(&self, to: u32) -> Vec<ClaimId> {
        let page = NotificationsPage {
            after: None,
            limit: 100,
        };
        let found = self.ledger.notifications(&user(to), page).await.unwrap();
        found.iter().map(|one| one.claim_id).collect()
    }
}

fn days(days: u16) -> Validity {
    Validity::Relative {
        days,
        until: RelativeEnd::Minute,
        zone: "UTC".to_owned(),
    }
}

fn after_hours(hours: i64) -> Timestamp {
    NOW.plus_millis(hours * HOUR_MS)
}

#[tokio::test]
async fn each_claim_is_reminded_of_once_when_it_is_due() {
    for scene in Scene::both().await {
        let coupon = scene.coupon(days(4)).await;
        let first = scene.grant(coupon, 0, 0).await;
        let second = scene.grant(coupon, 0, 5).await;
        let mut worker = scene.worker(&[72]);
        // Claims expire after 96 hours: they are due after 24 and 29.
        assert_eq!(
            worker.round(after_hours(23)).await.unwrap(),
            Round::default()
        );
        let sent = worker.round(after_hours(24)).await.unwrap();
        assert_eq!((sent.sent, sent.backlog), (1, 0));
        assert!(sent.lag_ms < 60_000, "cut to the minute: {sent:?}");
        for again in [24, 25, 28] {
            assert_eq!(worker.round(after_hours(again)).await.unwrap().sent, 0);
        }
        let sent = worker.round(after_hours(32)).await.unwrap();
        assert_eq!(sent.sent, 1);
        assert!(
            sent.lag_ms >= 3 * HOUR_MS,
            "it came three hours late: {sent:?}"
        );
        assert_eq!(scene.reminded(0).await, [second, first]);
        // A worker that starts anew, and one for another lead.
        assert_eq!(
            scene
                .worker(&[72])
                .round(after_hours(33))
                .await
                .unwrap()
                .sent,
            0
        );
        let sent = scene
            .worker(&[72, 70])
            .round(after_hours(33))
            .await
            .unwrap();
        assert_eq!(sent.sent, 2, "one more for each claim");
        assert_eq!(
            scene.worker(&[]).round(after_hours(50)).await.unwrap().sent,
            0
        );
    }
}

#[tokio::test]
async fn versions_are_due_by_their_own_terms() {
    for scene in Scene::both().await {
        let coupon = scene.coupon(days(30)).await;
        for to in 0..5 {
            scene.grant(coupon, to, 0).await;
        }
        let shorter =
            |coupon: &mut sluice_domain::coupon::Coupon| coupon.spec.terms.validity = days(2);
        scene.granting.change(coupon, shorter).await;
        let mut worker = scene.worker(&[24]);
        assert_eq!(worker.round(after_hours(0)).await.unwrap().sent, 0);
        let short = scene.grant(coupon, 9, 1).await;
        assert_eq!(worker.round(after_hours(25)).await.unwrap().sent, 1);
        assert_eq!(
            scene.reminded(9).await,
            [short],
            "though 30 days come before it"
        );
        let longest = |coupon: &mut sluice_domain::coupon::Coupon| {
            coupon.spec.terms.validity = Validity::Permanent
        };
        scene.granting.change(coupon, longest).await;
        scene.grant(coupon, 9, 26).await;
        assert_eq!(worker.round(after_hours(29 * 24)).await.unwrap().sent, 5);
        assert_eq!(
            scene
                .worker(&[24])
                .round(after_hours(40 * 24))
                .await
                .unwrap()
                .sent,
            0
        );
    }
}

#[tokio::test]
async fn a_fixed_end_is_due_for_all_and_nobody_is_reminded_after_it() {
    for scene in Scene::both().await {
        let validity = Validity::Fixed {
            starts_at: NOW,
            ends_at: after_hours(48),
        };
        let coupon = scene.coupon(validity).await;
        scene.grant(coupon, 0, 0).await;
        let mut worker = scene.worker(&[24]);
        assert_eq!(worker.round(after_hours(24)).await.unwrap().sent, 1);
        scene.grant(coupon, 1, 30).await;
        assert_eq!(
            worker.round(after_hours(31)).await.unwrap().sent,
            1,
            "within the lead: at once"
        );
        scene.grant(coupon, 2, 40).await;
        assert_eq!(
            worker.round(after_hours(48)).await.unwrap().sent,
            0,
            "it is over"
        );
        assert_eq!(scene.reminded(2).await.len(), 0);
    }
}

#[tokio::test]
async fn who_cannot_use_it_is_passed_over() {
    for scene in Scene::both().await {
        let coupon = scene.coupon(days(4)).await;
        let mut claims = Vec::new();
        for to in 0..4 {
            claims.push(scene.grant(coupon, to, 0).await);
        }
        scene.ledger.revoke(claims[0]).await.unwrap();
        hold(&scene, "o-1", user(1), claims[1], after_hours(23)).await;
        let archived = scene.coupon(days(4)).await;
        scene.grant(archived, 5, 0).await;
        let archive =
            |coupon: &mut sluice_domain::coupon::Coupon| coupon.lifecycle = Lifecycle::Archived;
        scene.granting.change(archived, archive).await;
        let paused = scene.coupon(days(4)).await;
        scene.grant(paused, 6, 0).await;
        let pause =
            |coupon: &mut sluice_domain::coupon::Coupon| coupon.lifecycle = Lifecycle::Paused;
        scene.granting.change(paused, pause).await;
        // The hold lasts two hours.
        let sent = scene.worker(&[72]).round(after_hours(24)).await.unwrap();
        assert_eq!(sent.sent, 3);
        let mut counts = Vec::new();
        for to in 0..7 {
            counts.push(scene.reminded(to).await.len());
        }
        assert_eq!(counts, [0, 0, 1, 1, 0, 0, 1]);
        let later = scene.worker(&[72]).round(after_hours(60)).await.unwrap();
        assert_eq!(later.sent, 0, "they were passed over for good");
    }
}

async fn hold(scene: &Scene, order: &str, buyer: UserId, claim: ClaimId, now: Timestamp) {
    use sluice_checkout::{Ask, Checkout, CheckoutSettings, HoldAsk};
    let settings = CheckoutSettings {
        hold_ms: 7_200_000,
        ..CheckoutSettings::default()
    };
    let checkout = Checkout::new(Arc::clone(&scene.ledger), scene.keys.clone(), settings);
    let line = CartLine {
        id: "l1".to_owned(),
        sku: "A".to_owned(),
        quantity: 1,
        unit_price: 9_000,
        categories: Vec::new(),
        brand: None,
        tags: Vec::new(),
        floor_price: 0,
    };
    let asked = HoldAsk {
        order: order.parse().unwrap(),
        expected_total: None,
        actor: "key:test".to_owned(),
        ask: Ask {
            cart: Cart {
                currency: Currency(*b"USD"),
                lines: vec![line],
                shipping: 0,
                channel: None,
            },
            buyer: Buyer {
                user: buyer,
                groups: Vec::new(),
                is_new: None,
                verified: Vec::new(),
            },
            claims: vec![claim],
            codes: Vec::new(),
            choose: Choose::Given,
        },
    };
    checkout.hold(&asked, now).await.unwrap().unwrap();
}

/// Whatever call of the ledger fails or loses its answer, a rerun leaves the same: one reminder each.
#[tokio::test]
async fn a_worker_that_stops_anywhere_reminds_once_all_the_same() {
    let away = || LedgerError::Unavailable {
        reason: "told to".to_owned(),
    };
    for at in 0..12 {
        for lost in [false, true] {
            let (scene, model) = Scene::on_model().await;
            let coupon = scene.coupon(days(4)).await;
            for to in 0..3 {
                scene.grant(coupon, to, i64::from(to)).await;
            }
            for _call in 0..at {
                model.fail_next(Fault::Pass);
            }
            model.fail_next(if lost {
                Fault::LoseAnswer
            } else {
                Fault::Refuse(away())
            });
            let mut worker = scene.worker(&[72]);
            let mut sent = 0;
            for _round in 0..3 {
                if let Ok(round) = worker.round(after_hours(30)).await {
                    sent += round.sent;
                }
                worker = scene.worker(&[72]);
            }
            model.clear_faults();
            assert!(sent <= 3, "call {at}");
            for to in 0..3 {
                assert_eq!(scene.reminded(to).await.len(), 1, "call {at}, lost {lost}");
            }
        }
    }
}

#[tokio::test]
async fn a_large_coupon_takes_several_rounds_and_none_is_left() {
    let (scene, _model) = Scene::on_model().await;
    let coupon = scene.coupon(days(4)).await;
    // More claims than one round reads, and a second coupon behind them.
    for n in 0..20_300_u32 {
        scene.granting.grant(coupon, &user(n), "k", NOW).await;
    }
    let mut worker = scene.worker(&[72]);
    let first = worker.round(after_hours(24)).await.unwrap();
    assert_eq!((first.sent, first.backlog), (20_000, 1));
    let second = worker.round(after_hours(24)).await.unwrap();
    assert_eq!((second.sent, second.backlog), (300, 0));
    assert_eq!(scene.reminded(20_299).await.len(), 1);
}

#[tokio::test]
async fn old_messages_go_a_while_after_their_claims_end() {
    for scene in Scene::both().await {
        let coupon = scene.coupon(days(4)).await;
        scene.grant(coupon, 0, 0).await;
        let mut worker = scene.worker(&[72]);
        worker.round(after_hours(30)).await.unwrap();
        worker
            .round(NOW.plus_millis(5 * DAY_MS - HOUR_MS))
            .await
            .unwrap();
        assert_eq!(scene.reminded(0).await.len(), 1);
        // A day after its end, also where reminders are switched off.
        let mut off = scene.worker(&[]);
        off.round(NOW.plus_millis(5 * DAY_MS + HOUR_MS))
            .await
            .unwrap();
        assert_eq!(scene.reminded(0).await.len(), 0);
        let again = scene.worker(&[72]).round(NOW.plus_millis(5 * DAY_MS)).await;
        assert_eq!(again.unwrap().sent, 0);
    }
}
