//! The operator: publishes, pauses, edits, restocks, lowers and ends, by the code that the admin API
//! runs: decisions of `domain::change`, put in force by the `Publisher`.

use std::sync::Arc;
use std::time::Duration;

use sluice_control::publish::Saved;
use sluice_domain::change::{self, TotalChange};
use sluice_domain::claim::Durability;
use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::id::{CouponId, Revision};
use sluice_domain::input;
use sluice_domain::invariant::history::{Deed, OperatorCall};
use sluice_domain::time::Timestamp;
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::coupons::Coupons as _;
use sluice_workers::keeper::LowerOutcome;

use super::dice::Dice;
use super::process::Process;
use super::scene::{Scene, Wares};
use super::shopper::{Visitor, user};
use super::time::{in_turn, pause};
use super::world::{Offer, World, locked};

/// How long a lowering is waited for; it goes on behind.
const LOWERED_WITHIN: Duration = Duration::from_millis(900);

/// What an operator throws where something is to be edited.
const EDIT: u64 = 18;

/// The operator at work.
pub(super) struct Operator {
    pub(super) world: Arc<World>,
    pub(super) dice: Dice,
}

// === impl Operator ===

impl Operator {
    /// Writes a coupon down and publishes it; the seed says what it is like.
    pub(super) async fn publish(&mut self) -> anyhow::Result<()> {
        let world = Arc::clone(&self.world);
        let (ledger, at) = (&world.net.ledger, world.now());
        let number = ledger.next_number().await?;
        let id = world.keys.coupon_id(number);
        let (offer, total, spec) = self.offer(id);
        let spec = input::coupon(spec.to_string().as_bytes())
            .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        let draft = change::create(id, number, spec, at);
        ledger.create_coupon(&draft, entry(at)).await?;
        world.net.watch.look_after(id);
        locked(&world.offers).push(offer);
        self.deed(id, Deed::Publish(Some(total)), |coupon, now| {
            change::publish(coupon, now).ok()
        })
        .await;
        Ok(())
    }

    fn offer(&mut self, coupon: CouponId) -> (Offer, u64, serde_json::Value) {
        let wares = self.world.net.scene.wares().unwrap_or(Wares {
            total: (3, 22),
            hot: 450,
            two_each: 400,
        });
        let dice = &mut self.dice;
        let total = dice.between(wares.total.0, wares.total.1);
        let hot = dice.chance(wares.hot);
        let many = dice.chance(wares.two_each);
        let counted = dice.chance(300);
        let offer = Offer {
            coupon,
            per_user: if many { 2 } else { 1 },
            per_device: counted.then_some(2),
            uses_per_claim: if dice.chance(300) { 2 } else { 1 },
            uses_per_user: dice.chance(400).then_some(1),
            budget: dice.chance(500).then_some(1_500),
            always_ledger: !hot && dice.chance(500),
        };
        let usd = sluice_domain::terms::Currency(*b"USD");
        let budget = offer
            .budget
            .map(|budget| sluice_domain::money::format(budget, usd));
        let spec = serde_json::json!({
            "name": "c",
            "currency": "USD",
            "benefit": {"type": "fixed", "off": "5.00"},
            "limits": {
                "total": total,
                "per_user": offer.per_user,
                "per_device": offer.per_device,
                "uses_per_claim": offer.uses_per_claim,
                "uses_per_user": offer.uses_per_user.map(|count| {
                    serde_json::json!({"count": count, "period": "day"})
                }),
                "budget": budget,
            },
            "durability": if hot { "hot" } else { "ledger" },
        });
        (offer, total, spec)
    }

    /// Changes something now and then, until the world is calm.
    pub(super) async fn work(mut self) {
        let scene = self.world.net.scene;
        let Some((least, most)) = scene.operator_pauses() else {
            return;
        };
        let mut may_end = scene == Scene::Ordinary && self.dice.chance(250);
        // Where changes are the point, it is pauses and edits, and pauses long enough for late claims.
        let only_those = scene == Scene::Changes;
        let paused_ms = if only_those { 900 } else { 300 };
        loop {
            pause(self.dice.between(least, most)).await;
            if self.world.is_calm() {
                return;
            }
            let offers = self.world.offers();
            let Some(offer) = offers.get(self.dice.index(offers.len())) else {
                return;
            };
            let id = offer.coupon;
            let deed = self.dice.below(20);
            let deed = if only_those { deed % 2 * EDIT } else { deed };
            match deed {
                0..4 => {
                    self.deed(id, Deed::Pause, |coupon, now| {
                        change::pause(coupon, now).ok()
                    })
                    .await;
                    pause(self.dice.below(paused_ms)).await;
                    self.resume(id).await;
                }
                4..8 => self.raise(id).await,
                8..12 => self.lower(offer).await,
                12..16 if !offer.always_ledger => self.flip_class(id).await,
                19 if may_end => {
                    may_end = false;
                    self.deed(id, Deed::End, |coupon, now| change::end(coupon, now).ok())
                        .await;
                }
                _edit => self.edit(id).await,
            }
        }
    }

    /// Resumes a coupon; true where it is live and in force.
    pub(super) async fn resume(&mut self, id: CouponId) -> bool {
        self.deed(id, Deed::Resume, |coupon, now| {
            change::resume(coupon, now).ok()
        })
        .await
    }

    async fn raise(&mut self, id: CouponId) {
        let more = self.dice.between(1, 12);
        let Some(coupon) = self.stored(id).await else {
            return;
        };
        let total = coupon.spec.limits.total.unwrap_or(0) + more;
        self.deed(
            id,
            Deed::SetTotal(total),
            move |coupon, now| match change::set_total(coupon, Some(total), now) {
                Ok(TotalChange::Set(raised)) => Some(*raised),
                Ok(TotalChange::Unchanged | TotalChange::Lower { .. }) | Err(_) => None,
            },
        )
        .await;
    }

    /// The target goes to the keeper in charge.
    async fn lower(&mut self, offer: &Offer) {
        let id = offer.coupon;
        let less = self.dice.between(1, 8);
        let Some(coupon) = self.stored(id).await else {
            return;
        };
        let Some(total) = coupon.spec.limits.total else {
            return;
        };
        if coupon.lifecycle == Lifecycle::Ended || total <= less {
            return;
        }
        let Some(process) = self.anyone() else { return };
        if self.dice.chance(600) {
            self.send_crowd(offer);
        }
        let sent_at = self.world.now();
        let lowering = process.handle.lower_total(id, total - less);
        let lowering = tokio::time::timeout(LOWERED_WITHIN, lowering);
        let lowered = process.living(lowering).await;
        let lowered = lowered.and_then(Result::ok).and_then(Result::ok);
        self.world.net.counts.add("operator: lower");
        let revision = matches!(lowered, Some(LowerOutcome::Lowered(_))).then_some(coupon.revision);
        self.record(id, sent_at, Deed::SetTotal(total - less), revision);
    }

    /// Some strangers claim at about this moment, each for themselves.
    pub(super) fn send_crowd(&mut self, offer: &Offer) {
        for turn in 20..26 {
            let mut dice = self.dice.fork();
            let wait = dice.below(40);
            let Some(user) = user('x', dice.below(900)) else {
                return;
            };
            let mut visitor = Visitor::new(Arc::clone(&self.world), 20, dice);
            let offer = offer.clone();
            drop(tokio::spawn(in_turn(turn, async move {
                pause(wait).await;
                visitor.claim(&offer, user, "crowd", Some(400)).await;
            })));
        }
    }

    pub(super) async fn flip_class(&mut self, id: CouponId) {
        self.world.net.counts.add("operator: class");
        self.deed(id, Deed::Edit, |coupon, now| {
            let mut spec = coupon.spec.clone();
            spec.durability = match spec.durability {
                Durability::Hot => Durability::Ledger,
                Durability::Ledger => Durability::Hot,
            };
            change::edit(coupon, spec, now).ok()
        })
        .await;
    }

    async fn edit(&mut self, id: CouponId) {
        let new_words = self.dice.chance(400);
        let off = 100 * i64::try_from(self.dice.between(1, 9)).unwrap_or(1);
        self.deed(id, Deed::Edit, move |coupon, now| {
            let mut spec = coupon.spec.clone();
            if new_words {
                spec.notes = format!("{off} {now}");
            } else {
                spec.terms.benefit = sluice_domain::terms::Benefit::Fixed { off };
            }
            change::edit(coupon, spec, now).ok()
        })
        .await;
    }

    /// One change of a coupon at some process; true where it is in force.
    async fn deed(
        &mut self,
        id: CouponId,
        deed: Deed,
        decide: impl FnOnce(&Coupon, Timestamp) -> Option<Coupon>,
    ) -> bool {
        let Some(process) = self.anyone() else {
            return false;
        };
        let sent_at = self.world.now();
        let stored = process.living(process.ledger.coupon(id)).await;
        let Some(Ok(Some(stored))) = stored else {
            return false;
        };
        let Some(changed) = decide(&stored, sent_at) else {
            return false;
        };
        self.world.net.counts.add(name_of(&deed));
        let saved = if changed.revision == stored.revision {
            let put = process
                .living(process.publisher.put_in_force(&stored))
                .await;
            put.and_then(Result::ok).map(|()| true)
        } else {
            let saving = process
                .publisher
                .save(stored.revision, &changed, entry(sent_at));
            let saved = process.living(saving).await.and_then(Result::ok);
            saved.map(|saved| matches!(saved, Saved::InForce))
        };
        if saved.is_none() {
            self.world.net.counts.add("operator: unknown");
        }
        let in_force = saved == Some(true);
        let revision = in_force.then_some(changed.revision);
        self.record(id, sent_at, deed, revision);
        in_force
    }

    fn record(&self, id: CouponId, sent_at: Timestamp, deed: Deed, revision: Option<Revision>) {
        let answered_at = self.world.now();
        self.world.tell("operator", 0, || {
            format!("coupon {id}, sent at {sent_at}: {deed:?}, revision {revision:?}")
        });
        self.world.tally.operator_call(OperatorCall {
            sent_at,
            answered_at,
            coupon: id,
            deed,
            revision,
        });
    }

    pub(super) async fn stored(&self, id: CouponId) -> Option<Coupon> {
        self.world.net.ledger.coupon(id).await.ok().flatten()
    }

    fn anyone(&mut self) -> Option<Arc<Process>> {
        let alive = self.world.alive();
        alive.get(self.dice.index(alive.len())).cloned()
    }
}

fn name_of(deed: &Deed) -> &'static str {
    match deed {
        Deed::Publish(_) => "operator: publish",
        Deed::Pause => "operator: pause",
        Deed::Resume => "operator: resume",
        Deed::SetTotal(_) => "operator: raise",
        Deed::Edit => "operator: edit",
        Deed::Window(_) => "operator: window",
        Deed::End => "operator: end",
    }
}

fn entry(at: Timestamp) -> AuditEntry {
    AuditEntry {
        at,
        actor: "simulation".to_owned(),
        action: "coupon.change".to_owned(),
        object: "c".to_owned(),
        before: String::new(),
        after: String::new(),
        request_id: String::new(),
    }
}
