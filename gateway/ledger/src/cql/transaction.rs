//! A transition of a redemption over several partitions, all of it or nothing.
//!
//! 1. *Begin*: the redemption's partition names the attempt as pending, on the condition of its
//!    version and that none is pending.
//! 2. *Lock* the cells that it meets others at (claims, the order, users, coupons), in one order.
//! 3. *Decide* on what they hold, purely. A refusal aborts: the pending name is taken away, and the
//!    cells are let go.
//! 4. *Commit*: one conditional batch of the redemption's partition writes row, event and what is to
//!    become of the cells, on the condition that the attempt is still pending.
//! 5. *Finish*: cells are filled and let go.
//!
//! Whoever finds a cell locked looks at the owner's redemption: committed, it finishes in the
//! owner's stead; pending, it waits, and in the end takes the pending name away, after which that
//! attempt can never commit; neither, the lock is dead. So a process may end at any point.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sluice_domain::id::{ClaimId, CouponId, RedemptionId};
use sluice_domain::redemption::{ClaimUse, Redemption, Transition, TransitionEvent};

use super::cells::{Cell, CellKey, Owner};
use super::decide::StoredUse;
use super::failure::{self, Failure};
use super::store::{Cas, Reading, back_off};
use super::value::{Record, from_json, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::coupons::change::to_json;
use crate::redemptions::document;

const READ: &str = "SELECT version, document, uses, coupons, pending, attempt, effects, finished \
                    FROM redemptions WHERE id = ? LIMIT 1";
const BEGIN: &str =
    "UPDATE redemptions SET pending = ? WHERE id = ? IF pending = null AND version = ?";
const ABORT: &str = "UPDATE redemptions SET pending = null WHERE id = ? IF pending = ?";
const COMMIT: &str = "UPDATE redemptions SET version = ?, document = ?, uses = ?, coupons = ?, \
                      pending = null, attempt = ?, effects = ?, finished = false \
                      WHERE id = ? IF pending = ?";
const EVENT: &str =
    "UPDATE redemptions SET event = ?, made_by = ? WHERE id = ? AND row_version = ?";
const FINISH: &str =
    "UPDATE redemptions SET finished = true, effects = null WHERE id = ? IF attempt = ?";
const EVENTS: &str = "SELECT event, made_by FROM redemptions WHERE id = ?";

pub(super) const STATEMENTS: &[&str] = &[READ, BEGIN, ABORT, COMMIT, EVENT, FINISH, EVENTS];

/// How long a transition under way is waited for before it is taken for dead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long anything here may take in all.
const TIME_MAX: Duration = Duration::from_secs(15);

/// A redemption's partition. One that was never written is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// The row's version; `None`: there is no such redemption.
    pub(super) version: Option<u32>,
    pub(super) redemption: Option<Redemption>,
    /// Its live uses.
    pub(super) uses: BTreeMap<ClaimId, ClaimUse>,
    /// Coupons whose claims it ever used.
    pub(super) coupons: Vec<CouponId>,
    pending: Option<[u8; 16]>,
    attempt: Option<[u8; 16]>,
    effects: Vec<Effect>,
    finished: bool,
}

/// What a committed transition writes to a cell that it has locked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Effect {
    key: CellKey,
    version: Option<u64>,
    content: String,
}

/// What a commit writes to the redemption's own partition.
pub(super) struct Commit<'a> {
    pub(super) transition: &'a Transition,
    pub(super) uses: Vec<ClaimUse>,
    pub(super) coupons: Vec<CouponId>,
    pub(super) effects: Vec<Effect>,
}

/// An event with the attempt that wrote it.
#[derive(Debug, Clone)]
pub(super) struct MadeEvent {
    pub(super) event: TransitionEvent,
    made_by: Option<[u8; 16]>,
}

fn decode(record: &Record) -> Result<Held, LedgerError> {
    let uses: Vec<StoredUse> = record.opt_text("uses")?.map_or(Ok(Vec::new()), from_json)?;
    let uses = uses.into_iter().map(ClaimUse::from);
    Ok(Held {
        version: record.opt_number("version")?,
        redemption: record
            .opt_text("document")?
            .map(document::read)
            .transpose()?,
        uses: uses.map(|held| (held.claim_id, held)).collect(),
        coupons: record
            .opt_text("coupons")?
            .map_or(Ok(Vec::new()), from_json)?,
        pending: record.opt_bytes("pending")?,
        attempt: record.opt_bytes("attempt")?,
        effects: record
            .opt_text("effects")?
            .map_or(Ok(Vec::new()), from_json)?,
        finished: record.flag("finished")?,
    })
}

// === impl Effect ===

impl Effect {
    /// The new content of a locked cell.
    pub(super) fn of<T: Serialize>(cell: &Cell, content: &T) -> Result<Self, LedgerError> {
        Ok(Self {
            key: cell.key.clone(),
            version: cell.version,
            content: to_json(content)?,
        })
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Reads a redemption's partition.
    pub(super) async fn read_held(
        &self,
        id: RedemptionId,
        reading: Reading,
    ) -> Result<Held, LedgerError> {
        let record = self.store.row(READ, values![id], reading).await?;
        record.as_ref().map_or(Ok(Held::default()), decode)
    }

    /// All events of a redemption, oldest first.
    pub(super) async fn read_events(
        &self,
        id: RedemptionId,
        reading: Reading,
    ) -> Result<Vec<MadeEvent>, LedgerError> {
        let records = self.store.rows(EVENTS, values![id], reading).await?;
        let mut events = Vec::new();
        for record in &records {
            // A partition without events is read as one row without any.
            if let Some(text) = record.opt_text("event")? {
                events.push(MadeEvent {
                    event: from_json(text)?,
                    made_by: record.opt_bytes("made_by")?,
                });
            }
        }
        Ok(events)
    }

    /// Sees to it that nothing of a redemption is under way or half done: what is committed is
    /// finished, what is pending is waited for and in the end given up.
    pub(super) async fn settled(&self, id: RedemptionId) -> Result<Held, LedgerError> {
        let (started, mut waiting) = (Instant::now(), None);
        for round in 0.. {
            let held = self.read_held(id, Reading::Serial).await?;
            if let Some(pending) = held.pending {
                self.wait_or_abort(id, pending, &mut waiting).await?;
            } else if held.attempt.is_some() && !held.finished {
                self.finish(id, &held).await?;
            } else {
                return Ok(held);
            }
            if started.elapsed() > TIME_MAX {
                break;
            }
            back_off(round).await;
        }
        Err(crowded("redemption", id))
    }

    /// Waits for a pending attempt; takes its name away once patience is at an end.
    async fn wait_or_abort(
        &self,
        id: RedemptionId,
        pending: [u8; 16],
        waiting: &mut Option<([u8; 16], Instant)>,
    ) -> Result<(), LedgerError> {
        match waiting {
            Some((attempt, since)) if *attempt == pending => {
                if since.elapsed() > PATIENCE {
                    self.abort(id, pending).await?;
                }
            }
            _ => *waiting = Some((pending, Instant::now())),
        }
        Ok(())
    }

    /// Takes a pending name away: that attempt cannot commit any more, or has. Whether it took
    /// place shows at the next read.
    pub(super) async fn abort(
        &self,
        id: RedemptionId,
        attempt: [u8; 16],
    ) -> Result<(), LedgerError> {
        match self.store.cas(ABORT, values![id, attempt]).await {
            Err(Failure::Refused(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Begins an attempt on a settled partition; false where another came first.
    pub(super) async fn begin(
        &self,
        id: RedemptionId,
        held: &Held,
        attempt: [u8; 16],
    ) -> Result<bool, LedgerError> {
        let begun = self
            .store
            .cas(BEGIN, values![attempt, id, held.version])
            .await;
        match begun {
            Ok(Cas::Applied) => Ok(true),
            Ok(Cas::Refused) => Ok(false),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Uncertain(_reason)) => {
                let now = self.read_held(id, Reading::Serial).await?;
                Ok(now.pending == Some(attempt))
            }
        }
    }

    /// Locks a cell, whoever has it.
    pub(super) async fn lock(&self, key: &CellKey, owner: Owner) -> Result<Cell, LedgerError> {
        let started = Instant::now();
        let (mut reading, mut waiting) = (Reading::Quorum, None);
        for round in 0.. {
            let cell = self.read_cell(key, reading).await?;
            match cell.owner {
                Some(held) if held == owner => return Ok(cell),
                Some(other) => self.clear(&cell, other, &mut waiting).await?,
                None => match self.try_lock(&cell, owner).await {
                    Ok(Cas::Applied) => return Ok(cell),
                    Ok(Cas::Refused) | Err(Failure::Uncertain(_)) => {}
                    Err(Failure::Refused(error)) => return Err(error),
                },
            }
            if started.elapsed() > TIME_MAX {
                break;
            }
            reading = Reading::Serial;
            back_off(round).await;
        }
        Err(crowded(&key.kind, &key.key))
    }

    /// Brings the owner of a cell nearer to letting it go.
    async fn clear(
        &self,
        cell: &Cell,
        owner: Owner,
        waiting: &mut Option<([u8; 16], Instant)>,
    ) -> Result<(), LedgerError> {
        let id = owner.redemption;
        let held = self.read_held(id, Reading::Serial).await?;
        if held.attempt == Some(owner.attempt) {
            return self.finish(id, &held).await;
        }
        if held.pending == Some(owner.attempt) {
            return self.wait_or_abort(id, owner.attempt, waiting).await;
        }
        // It is dead. Whether the cell is free shows at the next read.
        match self.free_cell(cell, owner).await {
            Err(Failure::Refused(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads a cell as committed transitions left it.
    pub(super) async fn settled_cell(&self, key: &CellKey) -> Result<Cell, LedgerError> {
        let mut reading = Reading::Quorum;
        for round in 0..8 {
            let cell = self.read_cell(key, reading).await?;
            let Some(owner) = cell.owner else {
                return Ok(cell);
            };
            let held = self.read_held(owner.redemption, Reading::Serial).await?;
            if held.attempt != Some(owner.attempt) {
                // Not committed: the cell is as it was.
                return Ok(cell);
            }
            self.finish(owner.redemption, &held).await?;
            reading = Reading::Serial;
            back_off(round).await;
        }
        Err(crowded(&key.kind, &key.key))
    }

    /// Commits an attempt; false where it was given up by somebody who waited for it.
    pub(super) async fn commit(
        &self,
        attempt: [u8; 16],
        commit: &Commit<'_>,
    ) -> Result<bool, LedgerError> {
        let new = &commit.transition.redemption;
        let uses: Vec<StoredUse> = commit.uses.iter().cloned().map(StoredUse::from).collect();
        let row = values![
            new.row_version.0,
            document::write(new)?,
            to_json(&uses)?,
            to_json(&commit.coupons)?,
            attempt,
            to_json(&commit.effects)?,
            new.id,
            attempt
        ];
        let event = to_json(&commit.transition.event)?;
        let event = values![event, attempt, new.id, new.row_version.0];
        let calls = vec![(COMMIT, row), (EVENT, event)];
        let started = Instant::now();
        for round in 0.. {
            let reason = match self.store.cas_batch(calls.clone()).await {
                Ok(Cas::Applied) => return Ok(true),
                Ok(Cas::Refused) => "its condition did not hold".to_owned(),
                Err(Failure::Refused(error)) if round == 0 => return Err(error),
                Err(Failure::Refused(error)) => error.to_string(),
                Err(Failure::Uncertain(reason)) => reason,
            };
            let unknown = |error| failure::unknown(format!("{reason}; {error}"));
            // Later transitions may have followed: the event says who made it.
            let events = self.read_events(new.id, Reading::Serial).await;
            let made = events.map_err(unknown)?;
            if made.iter().any(|made| made.made_by == Some(attempt)) {
                return Ok(true);
            }
            let held = self.read_held(new.id, Reading::Serial).await;
            if held.map_err(unknown)?.pending != Some(attempt) {
                return Ok(false);
            }
            if started.elapsed() > TIME_MAX {
                return Err(failure::unknown(reason));
            }
            back_off(round).await;
        }
        Ok(false)
    }

    /// Fills the cells of a committed transition and lets them go. May be done by many at once.
    pub(super) async fn finish(&self, id: RedemptionId, held: &Held) -> Result<(), LedgerError> {
        let Some(attempt) = held.attempt.filter(|_attempt| !held.finished) else {
            return Ok(());
        };
        let owner = Owner {
            redemption: id,
            attempt,
        };
        let mut fills = Vec::with_capacity(held.effects.len());
        for effect in &held.effects {
            fills.push(self.fill(effect, owner));
        }
        futures_util::future::try_join_all(fills).await?;
        let finished = self.store.cas(FINISH, values![id, attempt]).await;
        match finished {
            Err(Failure::Refused(error)) => Err(error),
            // Done over where it is not: nothing changes by it.
            _ => Ok(()),
        }
    }

    async fn fill(&self, effect: &Effect, owner: Owner) -> Result<(), LedgerError> {
        let mut reason = String::new();
        for round in 0..6 {
            let Effect {
                key,
                version,
                content,
            } = effect;
            match self.fill_cell(key, owner, *version, content).await {
                // Refused: it was filled before.
                Ok(Cas::Applied | Cas::Refused) => return Ok(()),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Uncertain(why)) => reason = why,
            }
            back_off(round).await;
        }
        Err(failure::unknown(reason))
    }

    /// Finishes right after a commit; what fails is done by whoever meets the cells next.
    pub(super) async fn finish_own(&self, attempt: [u8; 16], commit: Commit<'_>) {
        let held = Held {
            attempt: Some(attempt),
            effects: commit.effects,
            ..Held::default()
        };
        let id = commit.transition.redemption.id;
        if let Err(error) = self.finish(id, &held).await {
            tracing::debug!(%error, redemption = %id, "a transition is finished later");
        }
    }

    /// Gives an attempt up that wrote nothing, and lets its cells go.
    pub(super) async fn give_up(&self, owner: Owner, cells: &[Cell]) {
        let aborted = self.abort(owner.redemption, owner.attempt).await;
        if let Err(error) = aborted {
            tracing::debug!(%error, redemption = %owner.redemption, "given up later");
            return;
        }
        for cell in cells {
            // Where this fails whoever meets the cell finds its owner dead.
            if let Err(error) = self.free_cell(cell, owner).await {
                tracing::debug!(?error, cell = %cell.key.key, "a cell is let go later");
            }
        }
    }
}
