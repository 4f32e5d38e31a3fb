//! Redemptions on CQL: see [`super::transaction`] for how a transition is all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};
use sluice_domain::redemption::{
    ClaimUse, CouponUsage, Redemption, TermsKey, Transition, TransitionEvent, UseTarget,
};
use sluice_domain::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use super::cells::{Cell, CellKey, Owner};
use super::decide::{ClaimCell, CouponCell, UserCell, Work};
use super::failure::Failure;
use super::store::{Cas, Reading, back_off, fresh_op};
use super::transaction::{Commit, Effect, Held};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::claims::page_rows;
use crate::coupons::VersionRow;
use crate::coupons::change::to_json;
use crate::redemptions::check::{check_alone, check_follows};
use crate::redemptions::{Redemptions, RedemptionsPage, TransitionOutcome};

/// Attempts of a transition that others keep giving up.
const ROUNDS: u32 = 12;
/// Queues of this process's own transitions.
const QUEUES: usize = 64;

/// Transitions of this process wait for each other here, in order, rather than meet at a lock in the
/// ledger: first those of one redemption, then those of one coupon.
#[derive(Debug)]
pub(super) struct Queues {
    redemptions: Vec<Mutex<()>>,
    coupons: Vec<Mutex<()>>,
}

/// The cells of a transition, locked.
struct Locked {
    owner: Owner,
    cells: BTreeMap<CellKey, Cell>,
}

// === impl Queues ===

impl Queues {
    pub(super) fn new() -> Self {
        let queues = || (0..QUEUES).map(|_queue| Mutex::new(())).collect();
        Self {
            redemptions: queues(),
            coupons: queues(),
        }
    }

    async fn enter(&self, transition: &Transition) -> Vec<MutexGuard<'_, ()>> {
        let id = transition.redemption.id;
        let first = usize::from(id.0[15]) % QUEUES;
        let mut guards = vec![self.redemptions[first].lock().await];
        let coupons = coupons_of(transition).into_iter();
        let places: BTreeSet<usize> = coupons.map(|coupon| coupon.0 as usize % QUEUES).collect();
        for place in places {
            guards.push(self.coupons[place].lock().await);
        }
        guards
    }
}

fn coupons_of(transition: &Transition) -> BTreeSet<CouponId> {
    let uses = transition.uses.iter();
    uses.map(|change| change.claim_id.coupon()).collect()
}

/// Every cell that a transition reads or writes.
fn cell_keys(transition: &Transition, held: &Held) -> BTreeSet<CellKey> {
    let redemption = &transition.redemption;
    let mut keys = BTreeSet::new();
    if transition.seen.is_none() {
        keys.insert(CellKey::order(&redemption.order));
    }
    for change in &transition.uses {
        let coupon = change.claim_id.coupon();
        keys.insert(CellKey::claim(change.claim_id));
        keys.insert(CellKey::coupon(coupon));
        let counted = held.uses.get(&change.claim_id);
        let counted = counted.is_some_and(|held| held.period.is_some());
        let limited = match &change.to {
            UseTarget::Taken(wanted) => wanted.user_limit.is_some(),
            UseTarget::Free => false,
        };
        if counted || limited {
            keys.insert(CellKey::user(coupon, &redemption.user));
        }
    }
    keys
}

// === impl Locked ===

impl Locked {
    fn cell(&self, key: &CellKey) -> Option<&Cell> {
        self.cells.get(key)
    }

    /// What the transition works on, without the rows of claims.
    fn work(&self, transition: &Transition, held: &Held) -> Result<Work, LedgerError> {
        let mut work = Work {
            own: held.uses.clone(),
            ..Work::default()
        };
        for change in &transition.uses {
            let coupon = change.claim_id.coupon();
            if let Some(cell) = self.cell(&CellKey::claim(change.claim_id)) {
                let content = cell.content::<ClaimCell>()?;
                work.claims.insert(change.claim_id, (content, None));
            }
            if let Some(cell) = self.cell(&CellKey::coupon(coupon)) {
                work.coupons.insert(coupon, cell.content::<CouponCell>()?);
            }
            let user = CellKey::user(coupon, &transition.redemption.user);
            if let Some(cell) = self.cell(&user) {
                work.users.insert(coupon, cell.content::<UserCell>()?);
            }
        }
        Ok(work)
    }

    /// What becomes of each locked cell.
    fn effects(&self, transition: &Transition, work: &Work) -> Result<Vec<Effect>, LedgerError> {
        let redemption = &transition.redemption;
        let mut effects = Vec::with_capacity(self.cells.len());
        if let Some(cell) = self.cell(&CellKey::order(&redemption.order)) {
            effects.push(Effect::of(cell, &Some(redemption.id))?);
        }
        for (claim_id, (content, _row)) in &work.claims {
            if let Some(cell) = self.cell(&CellKey::claim(*claim_id)) {
                effects.push(Effect::of(cell, content)?);
            }
        }
        for (coupon, content) in &work.users {
            if let Some(cell) = self.cell(&CellKey::user(*coupon, &redemption.user)) {
                effects.push(Effect::of(cell, content)?);
            }
        }
        for (coupon, content) in &work.coupons {
            if let Some(cell) = self.cell(&CellKey::coupon(*coupon)) {
                effects.push(Effect::of(cell, content)?);
            }
        }
        Ok(effects)
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// What is answered without any lock; `None` where the transition is to be tried.
    async fn answered_before(
        &self,
        transition: &Transition,
        held: &Held,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let new = &transition.redemption;
        let operation = &transition.event.operation_id;
        if let Some(known) = self.redemption_operation(new.id, operation).await? {
            return Ok(Some(TransitionOutcome::known(known, transition)));
        }
        match &held.redemption {
            Some(held) if Some(held.row_version) != transition.seen => {
                Ok(Some(TransitionOutcome::Stale(Box::new(held.clone()))))
            }
            None if transition.seen.is_some() => {
                let text = format!("redemption {} is not there", new.id);
                Err(LedgerError::corrupt(text))
            }
            _ => Ok(None),
        }
    }

    /// Decides with all cells locked, and commits. `None`: it was given up by somebody else.
    async fn decide_and_commit(
        &self,
        transition: &Transition,
        held: &Held,
        locked: &Locked,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let new = &transition.redemption;
        if let Some(cell) = locked.cell(&CellKey::order(&new.order)) {
            let holder: Option<RedemptionId> = cell.content()?;
            if holder.is_some_and(|holder| holder != new.id) {
                return Ok(Some(TransitionOutcome::OrderTaken));
            }
        }
        check_follows(held.redemption.as_ref(), transition)?;
        let mut work = locked.work(transition, held)?;
        for (claim_id, (_cell, row)) in &mut work.claims {
            *row = self.claim_row(*claim_id, Reading::Serial).await?;
        }
        if let Some(refusal) = work.change_uses(transition)? {
            return Ok(Some(refusal));
        }
        let mut coupons: BTreeSet<CouponId> = held.coupons.iter().copied().collect();
        let used = work.own.keys().map(|claim_id| claim_id.coupon());
        let joined: Vec<CouponId> = used.filter(|coupon| !coupons.contains(coupon)).collect();
        coupons.extend(&joined);
        self.index_redemption(new, transition.seen.is_none(), &joined)
            .await?;
        let commit = Commit {
            transition,
            effects: locked.effects(transition, &work)?,
            uses: work.own.into_values().collect(),
            coupons: coupons.into_iter().collect(),
        };
        let attempt = locked.owner.attempt;
        if !self.commit(attempt, &commit).await? {
            return Ok(None);
        }
        self.finish_own(attempt, commit).await;
        Ok(Some(TransitionOutcome::Done))
    }

    /// One attempt; `None`: again.
    async fn attempt(
        &self,
        transition: &Transition,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let id = transition.redemption.id;
        let held = self.settled(id).await?;
        if let Some(known) = self.answered_before(transition, &held).await? {
            return Ok(Some(known));
        }
        let owner = Owner {
            redemption: id,
            attempt: fresh_op()?,
        };
        if !self.begin(id, &held, owner.attempt).await? {
            return Ok(None);
        }
        let mut locked = Locked {
            owner,
            cells: BTreeMap::new(),
        };
        let outcome = async {
            for key in cell_keys(transition, &held) {
                let cell = self.lock(&key, owner).await?;
                locked.cells.insert(key, cell);
            }
            self.decide_and_commit(transition, &held, &locked).await
        }
        .await;
        let unknown = matches!(outcome, Err(LedgerError::Unknown { .. }));
        if !unknown && !matches!(outcome, Ok(Some(TransitionOutcome::Done))) {
            let cells: Vec<Cell> = locked.cells.into_values().collect();
            self.give_up(owner, &cells).await;
        }
        outcome
    }

    /// Keeps further uses from being taken of a claim; gives the live uses that it has, where it
    /// has any, and then changes nothing.
    pub(super) async fn take_back(&self, claim_id: ClaimId) -> Result<Vec<ClaimUse>, LedgerError> {
        let key = CellKey::claim(claim_id);
        for round in 0..ROUNDS {
            let cell = self.settled_cell(&key).await?;
            let mut content: ClaimCell = cell.content()?;
            if !content.uses.is_empty() {
                return Ok(content.live());
            }
            if content.taken_back {
                return Ok(Vec::new());
            }
            content.taken_back = true;
            // A locked cell refuses it: then its owner comes first.
            match self.change_cell(&cell, &to_json(&content)?).await {
                Ok(Cas::Applied) => return Ok(Vec::new()),
                Ok(Cas::Refused) | Err(Failure::Uncertain(_)) => back_off(round + 2).await,
                Err(Failure::Refused(error)) => return Err(error),
            }
        }
        Err(crowded("claim", claim_id))
    }

    /// What a coupon's cell counts.
    pub(super) async fn counted(&self, coupon: CouponId) -> Result<CouponCell, LedgerError> {
        self.settled_cell(&CellKey::coupon(coupon)).await?.content()
    }
}

#[async_trait::async_trait]
impl Redemptions for CqlLedger {
    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, LedgerError> {
        Ok(self.read_held(id, Reading::Quorum).await?.redemption)
    }

    async fn events(&self, id: RedemptionId) -> Result<Vec<TransitionEvent>, LedgerError> {
        let events = self.read_events(id, Reading::Quorum).await?;
        Ok(events.into_iter().map(|made| made.event).collect())
    }

    async fn redemption_operation(
        &self,
        id: RedemptionId,
        operation_id: &str,
    ) -> Result<Option<TransitionEvent>, LedgerError> {
        let events = self.read_events(id, Reading::Serial).await?;
        let mut events = events.into_iter().map(|made| made.event);
        Ok(events.find(|event| event.operation_id == operation_id))
    }

    async fn apply(&self, transition: &Transition) -> Result<TransitionOutcome, LedgerError> {
        check_alone(transition)?;
        let _in_order = self.queues.enter(transition).await;
        for round in 0..ROUNDS {
            if let Some(outcome) = self.attempt(transition).await? {
                return Ok(outcome);
            }
            back_off(round).await;
        }
        Err(crowded("redemption", transition.redemption.id))
    }

    async fn claim_uses(&self, claims: &[ClaimId]) -> Result<Vec<ClaimUse>, LedgerError> {
        let asked: BTreeSet<ClaimId> = claims.iter().copied().collect();
        let mut reads = Vec::with_capacity(asked.len());
        for claim_id in asked {
            reads.push(async move {
                let cell = self.settled_cell(&CellKey::claim(claim_id)).await?;
                Ok::<_, LedgerError>(cell.content::<ClaimCell>()?.live())
            });
        }
        let uses = futures_util::future::try_join_all(reads).await?;
        Ok(uses.into_iter().flatten().collect())
    }

    async fn uses_of_user(
        &self,
        periods: &[(CouponId, String)],
        user: &UserId,
    ) -> Result<Vec<u32>, LedgerError> {
        let mut counts = Vec::with_capacity(periods.len());
        for (coupon, period) in periods {
            let cell = self.settled_cell(&CellKey::user(*coupon, user)).await?;
            let content: UserCell = cell.content()?;
            counts.push(content.get(period).copied().unwrap_or(0));
        }
        Ok(counts)
    }

    async fn coupon_usage(&self, coupons: &[CouponId]) -> Result<Vec<CouponUsage>, LedgerError> {
        let mut usage = Vec::with_capacity(coupons.len());
        for coupon in coupons {
            usage.push(self.counted(*coupon).await?.counted().usage);
        }
        Ok(usage)
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionId>, LedgerError> {
        self.due_holds(now, after, page_rows(limit)).await
    }

    async fn terms(&self, keys: &[TermsKey]) -> Result<Vec<VersionRow>, LedgerError> {
        let mut rows = Vec::with_capacity(keys.len());
        for (coupon, version) in keys {
            let row = self
                .read_version(*coupon, *version, Reading::Quorum)
                .await?;
            rows.push(row.ok_or_else(|| {
                LedgerError::corrupt(format!("coupon {coupon} has no version {version}"))
            })?);
        }
        Ok(rows)
    }

    async fn coupon_by_code(&self, code: &str) -> Result<Option<Coupon>, LedgerError> {
        let found = self.coupon_with_word(code).await?;
        Ok(found.filter(|coupon| coupon.first_open_at.is_some()))
    }

    async fn redemptions_of_coupon(
        &self,
        coupon: CouponId,
        page: RedemptionsPage,
    ) -> Result<Vec<Redemption>, LedgerError> {
        self.listed_redemptions(coupon, page.after, page_rows(page.limit))
            .await
    }

    async fn redeemed(&self, coupon: CouponId) -> Result<u64, LedgerError> {
        Ok(self.counted(coupon).await?.counted().spent)
    }
}
