//! The faults of a scene.

use std::sync::Arc;

use sluice_domain::claim::Durability;
use sluice_workers::keeper::PhaseName;

use super::Gremlin;
use crate::simulation::link::Side;
use crate::simulation::operator::Operator;
use crate::simulation::process::Process;
use crate::simulation::scene::Scene;
use crate::simulation::time::pause;
use crate::simulation::world::Offer;

/// How long the keeper of a lane hears nothing from the ledger: longer than its hold.
const CUT_MS: u64 = 2_500;
/// Tries at a change that has to be made before the next fault.
const TRIES_MAX: u32 = 4;

// === impl Gremlin ===

impl Gremlin {
    /// What a scene is about, until the world is calm.
    pub(in crate::simulation) async fn direct(mut self) {
        let (least, most) = match self.world.net.scene {
            Scene::TornScripts => (150, 1_000),
            Scene::OldPrimary => (300, 1_500),
            Scene::HydrationEchoes => (2_800, 4_500),
            Scene::LostHotClaims => (800, 2_500),
            Scene::OldLedger => (1_000, 3_000),
            // What goes wrong there goes wrong with calls.
            Scene::Ordinary | Scene::Changes | Scene::LostAnswers => return,
        };
        loop {
            pause(self.dice.between(least, most)).await;
            if self.world.is_calm() {
                return;
            }
            match self.world.net.scene {
                Scene::TornScripts => self.tear(),
                Scene::HydrationEchoes => self.restart(),
                Scene::LostHotClaims => self.lose_hot_claims().await,
                Scene::OldPrimary => return self.leave_behind().await,
                Scene::OldLedger => return self.old_ledger().await,
                Scene::Ordinary | Scene::Changes | Scene::LostAnswers => return,
            }
        }
    }

    /// One process stays with an old primary, away from the ledger, for longer than the lane's lease.
    async fn leave_behind(mut self) {
        let Some(process) = self.anyone() else { return };
        let old = self.promote_for_all_but(Some(&process)).await;
        let millis = self.dice.between(6_000, 8_500);
        process.link.cut(Side::Ledger, millis);
        self.go_on_with(old, process, millis, false);
    }

    /// A crowd is told "yes" by a lane whose keeper does not reach the ledger; then, often, the
    /// coupon's class changes; then hot state forgets everything.
    async fn lose_hot_claims(&mut self) {
        let offers = self.world.offers();
        let Some(offer) = offers.get(self.dice.index(offers.len())) else {
            return;
        };
        let mut operator = Operator {
            world: Arc::clone(&self.world),
            dice: self.dice.fork(),
        };
        self.make(&mut operator, offer, Durability::Hot).await;
        let Some(keeper) = self.keeper_of(offer) else {
            return;
        };
        self.note("fault: the ledger is cut off", || {
            format!("process {} for {CUT_MS} ms", keeper.link.process)
        });
        keeper.link.cut(Side::Ledger, CUT_MS);
        operator.send_crowd(offer);
        pause(self.dice.between(60, 200)).await;
        if self.dice.chance(600) {
            self.make(&mut operator, offer, Durability::Ledger).await;
        }
        self.restart_empty();
    }

    async fn make(&self, operator: &mut Operator, offer: &Offer, class: Durability) {
        for _try in 0..TRIES_MAX {
            let stored = operator.stored(offer.coupon).await;
            if stored.is_none_or(|stored| stored.spec.durability == class) {
                return;
            }
            operator.flip_class(offer.coupon).await;
        }
    }

    /// The process whose keeper serves the coupon's lane.
    fn keeper_of(&self, offer: &Offer) -> Option<Arc<Process>> {
        let lane = self.world.net.ledger_lanes().lane_of(offer.coupon);
        let serves = |process: &Arc<Process>| {
            let statuses = process.handle.status();
            let mut of_lane = statuses.iter().filter(|status| status.lane == lane);
            of_lane.any(|status| status.phase == PhaseName::Open)
        };
        self.world.alive().into_iter().find(serves)
    }
}
