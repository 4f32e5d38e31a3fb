//! Leasing: the ledger lends numbered tickets, and Redis hands out only those.

use sluice_domain::claim::{Durability, GrantBatch};
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, LeaseNumber, Revision};
use sluice_domain::lease::{Lease, LeaseState};
use sluice_hotstate::lane_store::{CouponFigures, LeaseInstall, LeaseInstalled};
use sluice_ledger::leases::LeaseOpened;

use super::Keeper;
use super::close::Closing;
use super::decide::{self, Rate};
use super::trouble::{Cause, Trouble, settled};

/// Leases made for one coupon in a row; then the outbox has its turn.
const LEASES_AT_ONCE: usize = 8;

/// Coupons that are looked at in one step.
const COUPONS_AT_ONCE: usize = 8;

/// What the keeper knows of a coupon that is ready in hot state.
#[derive(Debug)]
pub(super) struct Held {
    /// Tickets on the list, less those seen granted since.
    pub(super) left: u64,
    pub(super) rate: Rate,
    /// What is kept ready where the rate does not ask for more; grows when the list ran dry.
    floor: u32,
    /// Hot state was told that the ledger has nothing more, and whether more may come.
    pub(super) is_final: Option<bool>,
    /// Leases not used up, as installed by this keeper or read from the list.
    ends: Vec<(LeaseNumber, sluice_domain::id::Ticket)>,
    /// When the last lease was put on the list, by the own clock.
    pub(super) listed_at_ms: u64,
}

impl Keeper {
    /// Looks at the coupons that were touched: hydrates what is not there, leases where little is
    /// left.
    pub(super) async fn look_at_touched(&mut self) -> Result<(), Trouble> {
        for _turn in 0..COUPONS_AT_ONCE.min(self.touched.len()) {
            let Some(coupon) = self.touched.pop() else {
                break;
            };
            if let Err(trouble) = self.tend(coupon).await {
                self.touched.push(coupon);
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Brings one coupon to where it should be, or starts what brings it there.
    pub(super) async fn tend(&mut self, coupon: CouponId) -> Result<(), Trouble> {
        if self.stopping || self.is_clearing(coupon) {
            return Ok(());
        }
        let figures = self.parts.store.figures(self.lane, coupon).await?;
        let Some(figures) = figures.filter(|figures| figures.ready) else {
            self.coupons.remove(&coupon);
            return self.want_hydration(coupon).await;
        };
        let Some(stored) = self.parts.ledger.coupon(coupon).await? else {
            return Ok(());
        };
        if !self.keeps(&stored) {
            return Ok(());
        }
        let floor = self.settings.lease_floor;
        let held = self
            .coupons
            .entry(coupon)
            .or_insert_with(|| Held::new(floor));
        held.read(&figures, self.settings.lease_floor_max);
        if figures.revision < stored.revision {
            // A change that reached the ledger and not this lane, or not yet.
            self.install_definition(coupon).await?;
        }
        if !decide::is_leasable(&stored, self.lane_time) {
            return Ok(());
        }
        let stock = self.parts.ledger.stock(coupon).await?;
        if let Some(target) = stock.target {
            if self.is_home(coupon) {
                // A lowering that an earlier keeper did not finish.
                self.resume_lowering(coupon, target);
            } else if !figures.leases.is_empty() {
                // It waits for the leases of all lanes.
                self.give_back(coupon, None);
            }
            return Ok(());
        }
        self.fill(&stored, &figures, stock.unleased()).await
    }

    /// Makes leases until enough is on the list; where the ledger has nothing left, says so. The
    /// lane holds the revision `stored` or a later one.
    async fn fill(
        &mut self,
        stored: &Coupon,
        figures: &CouponFigures,
        mut unleased: Option<u64>,
    ) -> Result<(), Trouble> {
        let (coupon, mut in_force) = (stored.id, stored.revision);
        let hot_possible = stored.spec.durability == Durability::Hot;
        // Once hot state was told "final", anything that came back is leased at once, however full
        // the list is: "sold out" has to be true.
        let mut told_final = figures.is_final;
        for _lease in 0..LEASES_AT_ONCE {
            let now = self.now_ms();
            let Some(held) = self.coupons.get(&coupon) else {
                return Ok(());
            };
            let left = if told_final { 0 } else { held.left };
            let ahead = held.rate.ahead(now);
            let shards = stored.spec.shards;
            let Some(want) = decide::lease_size(left, ahead, held.floor, unleased, shards) else {
                return Ok(());
            };
            if unleased == Some(0) {
                return self.say_final(stored, figures).await;
            }
            let opened = self
                .parts
                .ledger
                .open_lease(self.fence, coupon, want, hot_possible)
                .await?;
            let (lease, seq) = match opened {
                LeaseOpened::Opened(lease, seq) => (lease, seq),
                LeaseOpened::NothingLeft(_) => return self.say_final(stored, figures).await,
                LeaseOpened::Deposed => return Err(Trouble::Lost),
            };
            self.hear_seq(seq);
            unleased = unleased.map(|rest| rest.saturating_sub(u64::from(lease.size)));
            // Until the installation is certain the lease counts as given up: whatever happens
            // from here on (an error, a dropped future), it is closed and never installed twice.
            self.closing.insert((coupon, lease.number), Closing::Retire);
            if !hot_possible {
                in_force = self.overtake(coupon, in_force).await?;
            }
            if !self.install(&lease, seq).await? {
                return Ok(());
            }
            self.closing.remove(&(coupon, lease.number));
            told_final = false;
            if let Some(held) = self.coupons.get_mut(&coupon) {
                held.listed(&lease, now);
            }
        }
        self.touch(coupon);
        Ok(())
    }

    /// Between a lease without `hot_possible` and its way to the lane: brings the lane to the
    /// revision that the ledger has now, where that is not `in_force` yet, and gives it.
    ///
    /// The lease knows the class at the instant it was made. The coupon may have been `hot` for a
    /// moment before that, and the installation of that revision may still be under way: arriving
    /// behind the lease, it would let the lease grant `hot` claims without the flag, and a loss
    /// would close it at once instead of putting it into quarantine. Once the lane has what the
    /// ledger has now, every earlier revision comes too late; a later one was written after the
    /// lease was made, so its writer flags the lease before installing it.
    async fn overtake(&self, coupon: CouponId, in_force: Revision) -> Result<Revision, Trouble> {
        let stored = self.parts.ledger.coupon(coupon).await?;
        let newer = stored.filter(|stored| stored.revision > in_force);
        let Some(stored) = newer else {
            return Ok(in_force);
        };
        self.install_definition(coupon).await?;
        Ok(stored.revision)
    }

    /// Puts a lease on the coupon's list; false where it was not taken and is given up.
    async fn install(&mut self, lease: &Lease, seq: u64) -> Result<bool, Trouble> {
        let install = LeaseInstall {
            coupon: lease.coupon,
            lease: lease.number,
            first: lease.first,
            size: lease.size,
            seq,
        };
        let answer = self.parts.store.install_lease(self.fence, install).await?;
        match settled(answer)? {
            LeaseInstalled::Listed => Ok(true),
            LeaseInstalled::Ignored { last } => {
                tracing::warn!(lane = %self.lane, coupon = %lease.coupon, lease = %lease.number,
                    %last, "hot state ignored a lease; it is given up");
                Ok(false)
            }
            LeaseInstalled::NotHydrated => {
                self.coupons.remove(&lease.coupon);
                self.touch(lease.coupon);
                Ok(false)
            }
        }
    }

    /// Tells hot state that the ledger has nothing more, once no lease is under way that could
    /// still give something back.
    async fn say_final(&mut self, stored: &Coupon, figures: &CouponFigures) -> Result<(), Trouble> {
        let coupon = stored.id;
        let before = self.parts.ledger.stock(coupon).await?;
        let leases = self.parts.ledger.leases(coupon).await?;
        let listed: Vec<LeaseNumber> = match self.coupons.get(&coupon) {
            Some(held) => held.ends.iter().map(|(lease, _)| *lease).collect(),
            None => figures.leases.iter().map(|(lease, ..)| *lease).collect(),
        };
        for lease in decide::off_the_list(self.own(&leases), self.fence.epoch.0, &listed) {
            self.closing
                .entry((coupon, lease))
                .or_insert(Closing::Retire);
        }
        if self.closing.keys().any(|(held, _)| *held == coupon) {
            // Each close looks at the coupon again.
            return Ok(());
        }
        if stored.spec.shards > 1 {
            let was_final = figures.is_final;
            if self.waits_for_shards(stored, &leases, was_final).await? {
                return Ok(());
            }
            // Another lane may have closed or made a lease since the stock was read.
            let after = self.parts.ledger.stock(coupon).await?;
            if after != before || after.unleased() != Some(0) {
                self.touch(coupon);
                return Ok(());
            }
        }
        let more_may_come = leases
            .iter()
            .any(|lease| lease.state == LeaseState::Quarantined && decide::unused(lease) > 0);
        let Some(held) = self.coupons.get_mut(&coupon) else {
            return Ok(());
        };
        if held.is_final == Some(more_may_come) && figures.is_final {
            return Ok(());
        }
        settled(
            self.parts
                .store
                .set_final(self.fence, coupon, more_may_come)
                .await?,
        )?;
        held.is_final = Some(more_may_come);
        Ok(())
    }

    /// What was drained tells the rate, what is left, and which leases are used up.
    pub(super) fn note_grants(&mut self, batches: &[GrantBatch]) {
        let now = self.now_ms();
        for batch in batches {
            let Some(held) = self.coupons.get_mut(&batch.coupon) else {
                self.touch(batch.coupon);
                continue;
            };
            let grants = batch.grants.len() as u64;
            held.rate.record(grants, now);
            held.left = held.left.saturating_sub(grants);
            let last = batch.grants.last().map(|grant| grant.ticket.next());
            let used_up = held
                .ends
                .iter()
                .any(|(lease, end)| *lease == batch.lease && Some(*end) == last);
            if used_up {
                held.ends.retain(|(lease, _)| *lease != batch.lease);
                self.closing
                    .entry((batch.coupon, batch.lease))
                    .or_insert(Closing::Retire);
            }
            let short = decide::lease_size(held.left, held.rate.ahead(now), held.floor, None, 1);
            if short.is_some() && held.is_final.is_none() {
                self.touch(batch.coupon);
            }
        }
    }

    /// The keeper was asked for a coupon that is not ready. A lease of this very epoch in the
    /// ledger says that it was ready once: then it is a loss.
    async fn want_hydration(&mut self, coupon: CouponId) -> Result<(), Trouble> {
        let leases = self.parts.ledger.leases(coupon).await?;
        let was_ready = self
            .own(&leases)
            .any(|lease| lease.epoch == self.fence.epoch && lease.state != LeaseState::Closed);
        if was_ready {
            return Err(Trouble::Recover(Cause::Loss));
        }
        self.begin_hydration(coupon);
        Ok(())
    }
}

// === impl Held ===

impl Held {
    fn new(floor: u32) -> Self {
        Self {
            left: 0,
            rate: Rate::default(),
            floor,
            is_final: None,
            ends: Vec::new(),
            listed_at_ms: 0,
        }
    }

    /// Takes over what hot state says. Where a list ran dry that had been filled, the floor grows.
    fn read(&mut self, figures: &CouponFigures, floor_max: u32) {
        if figures.leases.is_empty() && figures.last_lease.0 > 0 && !figures.is_final {
            self.floor = self.floor.saturating_mul(2).min(floor_max);
        }
        self.left = figures
            .leases
            .iter()
            .map(|(_, next, end)| end.0.saturating_sub(next.0))
            .sum();
        self.ends = figures
            .leases
            .iter()
            .map(|(lease, _, end)| (*lease, *end))
            .collect();
        if !figures.is_final {
            self.is_final = None;
        }
    }

    /// Nothing is on the list any more.
    pub(super) fn given_back(&mut self) {
        self.left = 0;
        self.ends.clear();
    }

    fn listed(&mut self, lease: &Lease, now_ms: u64) {
        self.listed_at_ms = now_ms;
        self.left = self.left.saturating_add(u64::from(lease.size));
        self.ends.push((lease.number, lease.end()));
        self.is_final = None;
    }
}
