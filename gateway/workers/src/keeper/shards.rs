//! Shards: a coupon of a giant sale has its stock in several lanes, each with its own keeper.
//!
//! A user's claims are decided in one lane, so limits per user stay exact. Stock is shared through
//! the ledger: each keeper leases for its shard, sized by its own rate and never more than a fair
//! share of what is left. When the ledger has nothing left, a shard that ran dry asks the others to
//! give back what they still have. They take it off their lists, close it, and answer; from then on
//! a shard leases only when a claim asks for it. "Final" is said when no lease is open in any lane
//! and nothing was leased or returned while that was looked at: so every unit is sold to whoever
//! asks, in whichever shard they are, and nobody hears "sold out" while there is one.
//!
//! Words between keepers may be lost: claims that still wait cause them again, and the sweep looks
//! whether another shard is dry.

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, LaneId};
use sluice_domain::lease::{Lease, LeaseState};

use super::Keeper;
use super::trouble::{Trouble, settled};

/// Words that wait to be delivered. More are dropped: they are said again.
const WORDS_MAX: usize = 1_024;

/// What one keeper tells another about a coupon of which both keep a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShardWord {
    /// Give back what is on your list: somebody waits for it.
    GiveBack {
        /// Who is to be told when it is there.
        from: LaneId,
    },
    /// Something came back.
    Look,
}

/// A word on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardNote {
    /// To the keeper of this lane.
    pub to: LaneId,
    /// About this coupon.
    pub coupon: CouponId,
    /// What it is told.
    pub word: ShardWord,
}

impl Keeper {
    /// What this keeper has to say to others since the last call. Whoever drives it delivers that;
    /// what is lost is said again.
    pub fn take_notes(&mut self) -> Vec<ShardNote> {
        std::mem::take(&mut self.notes)
    }

    /// A word of another lane's keeper.
    pub fn hear_word(&mut self, coupon: CouponId, word: ShardWord) {
        match word {
            ShardWord::Look => self.touch(coupon),
            ShardWord::GiveBack { from } => self.give_back(coupon, Some(from)),
        }
    }

    pub(super) fn tell(&mut self, to: LaneId, coupon: CouponId, word: ShardWord) {
        let note = ShardNote { to, coupon, word };
        if self.notes.len() < WORDS_MAX && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Asks the keepers of these lanes to give back what they have of a coupon.
    pub(super) fn ask_back(&mut self, lanes: &[LaneId], coupon: CouponId) {
        let from = self.lane;
        for lane in lanes {
            self.tell(*lane, coupon, ShardWord::GiveBack { from });
        }
    }

    /// Whether this lane keeps a shard of the coupon.
    pub(super) fn keeps(&self, coupon: &Coupon) -> bool {
        let lanes = self.parts.ledger.identity().lanes;
        lanes.keeps(self.lane, coupon.id, coupon.spec.shards)
    }

    /// Whether this is the lane of the coupon's shard 0, which does what is done once for a coupon.
    pub(super) fn is_home(&self, coupon: CouponId) -> bool {
        self.parts.ledger.identity().lanes.lane_of(coupon) == self.lane
    }

    /// The other lanes of a coupon.
    pub(super) fn other_lanes(&self, coupon: &Coupon) -> Vec<LaneId> {
        let lanes = self.parts.ledger.identity().lanes;
        lanes
            .lanes_of(coupon.id, coupon.spec.shards)
            .filter(|lane| *lane != self.lane)
            .collect()
    }

    /// The leases of this lane.
    pub(super) fn own<'a>(
        &self,
        leases: &'a [Lease],
    ) -> impl Iterator<Item = &'a Lease> + Clone + use<'a> {
        let lane = self.lane;
        leases.iter().filter(move |lease| lease.lane == lane)
    }

    /// Other lanes that have a lease which is not closed yet, each once.
    pub(super) fn open_elsewhere(&self, leases: &[Lease]) -> Vec<LaneId> {
        let mut lanes: Vec<LaneId> = leases
            .iter()
            .filter(|lease| lease.lane != self.lane && lease.state == LeaseState::Open)
            .map(|lease| lease.lane)
            .collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }

    /// Whether "final" may not be said because of other shards: then they are asked for what they
    /// have, and "final" that was said is taken back.
    pub(super) async fn waits_for_shards(
        &mut self,
        coupon: &Coupon,
        leases: &[Lease],
        was_final: bool,
    ) -> Result<bool, Trouble> {
        let elsewhere = self.open_elsewhere(leases);
        if elsewhere.is_empty() {
            return Ok(false);
        }
        self.ask_back(&elsewhere, coupon.id);
        if was_final {
            settled(self.parts.store.clear_final(self.fence, coupon.id).await?)?;
            if let Some(held) = self.coupons.get_mut(&coupon.id) {
                held.is_final = None;
            }
        }
        Ok(true)
    }

    /// What nobody asked for: where the ledger has nothing left, this shard has something and
    /// another has nothing, it is given back. A lane that does not answer is passed over: it must
    /// not hold this one up.
    pub(super) async fn give_where_others_are_dry(
        &mut self,
        coupon: &Coupon,
    ) -> Result<(), Trouble> {
        let others = self.other_lanes(coupon);
        if others.is_empty() {
            return Ok(());
        }
        let stock = self.parts.ledger.stock(coupon.id).await?;
        if stock.unleased() != Some(0) {
            return Ok(());
        }
        for lane in others {
            let Ok(figures) = self.parts.store.figures(lane, coupon.id).await else {
                return Ok(());
            };
            let is_dry = figures.is_some_and(|figures| {
                figures.ready && figures.leases.is_empty() && !figures.is_final
            });
            if is_dry {
                self.give_back(coupon.id, Some(lane));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether another lane still has the state of a coupon, or does not say.
    pub(super) async fn is_held_elsewhere(&self, coupon: &Coupon) -> bool {
        for lane in self.other_lanes(coupon) {
            match self.parts.store.figures(lane, coupon.id).await {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return true,
            }
        }
        false
    }
}
