//! Draining: the outbox becomes rows, and the mark says how far.
//!
//! This is on the path of every claim of class `ledger`: it begins when a claim was granted, not
//! at a tick, and the waiters are told as soon as the rows are there, before Redis is. While one
//! append is under way the outbox fills, so appends grow with the load by themselves.

use std::sync::Arc;

use sluice_domain::claim::{Grant, GrantBatch};
use sluice_domain::id::EntryNumber;
use sluice_hotstate::lane_store::Refusal;
use sluice_ledger::claims::{AppendFrom, Appended, Conflict, DeadLetter, DeposedBy};

use super::Keeper;
use super::decide::{self, CutEnd};
use super::trouble::{Cause, Trouble, settled};
use crate::metrics;

/// Reads in one step; then the rest of the work has its turn.
const ROUNDS_MAX: usize = 4;

impl Keeper {
    /// Handles what waits in the outbox; true where there was something.
    pub(super) async fn drain(&mut self) -> Result<bool, Trouble> {
        if self.outbox.marked < self.outbox.handled {
            self.mark().await?;
        }
        if !self.nudged && self.outbox.tail <= self.outbox.handled {
            // Nobody reported anything: the lane's own number tells, and tells of losses too.
            self.current_facts().await?;
            if self.outbox.tail == self.outbox.handled {
                return Ok(false);
            }
        }
        self.nudged = false;
        let mut worked = false;
        for _round in 0..ROUNDS_MAX {
            let handled = self.outbox.handled;
            if !self.drain_once().await? {
                break;
            }
            worked |= self.outbox.handled > handled;
            if self.outbox.tail <= self.outbox.handled {
                break;
            }
        }
        Ok(worked)
    }

    /// One read and what follows from it; false where nothing more can be done now.
    async fn drain_once(&mut self) -> Result<bool, Trouble> {
        let (lane, epoch) = (self.lane, self.fence.epoch);
        let count = self.settings.drain_entries_max;
        let after = self.outbox.handled;
        let mut entries = self
            .parts
            .store
            .read_outbox(lane, epoch, after, count)
            .await?;
        if entries.is_empty() {
            // An empty stream proves nothing by itself: the lane's number of entries has to agree.
            self.current_facts().await?;
            if self.outbox.tail == self.outbox.handled {
                return Ok(false);
            }
            // Something came in between the two reads, or something is gone.
            entries = self
                .parts
                .store
                .read_outbox(lane, epoch, after, count)
                .await?;
            if entries.is_empty() {
                return Err(Trouble::Recover(Cause::Gap));
            }
        }
        let cut = decide::cut(entries, after, self.settings.append_rows_max);
        for batches in &cut.appends {
            self.append(batches).await?;
        }
        match cut.end {
            CutEnd::Clean => Ok(true),
            CutEnd::Gap => Err(Trouble::Recover(Cause::Gap)),
            CutEnd::Unreadable { entry, reason } => {
                self.stop_at(entry, &reason);
                Ok(false)
            }
        }
    }

    /// An entry that cannot be read stops the mark: `ledger` answers 202 until an operator
    /// decides (a recovery sets the entry aside and goes on).
    fn stop_at(&mut self, entry: EntryNumber, reason: &str) {
        self.hear_tail(entry);
        if self.outbox.stuck != Some(entry) {
            self.outbox.stuck = Some(entry);
            tracing::error!(lane = %self.lane, %entry, reason,
                "an outbox entry cannot be read; the mark stops until an operator decides");
        }
        self.figures.stuck(true);
    }

    /// One append, and everything that has to be true before the mark may pass it.
    async fn append(&mut self, batches: &[GrantBatch]) -> Result<(), Trouble> {
        let Some(last) = batches.last().map(|batch| batch.entry) else {
            return Ok(());
        };
        self.hear_tail(last);
        let appended = self
            .parts
            .ledger
            .append(self.fence, AppendFrom::Current, batches)
            .await?;
        let (seq, conflicts) = match appended {
            Appended::Done { seq, conflicts } => (seq, conflicts),
            Appended::Deposed { reason } => return Err(self.deposed(reason).await?),
        };
        self.hear_seq(seq);
        for conflict in &conflicts {
            self.refuse(batches, conflict).await?;
        }
        self.outbox.handled = last;
        self.outbox.waiting_since_ms = (self.outbox.tail > last).then(|| self.now_ms());
        self.outbox.stuck = None;
        self.figures.stuck(false);
        self.publish_mark();
        self.note_grants(batches);
        self.mark().await
    }

    /// Tells Redis, which trims what is durable.
    async fn mark(&mut self) -> Result<(), Trouble> {
        let handled = self.outbox.handled;
        let facts = settled(self.parts.store.mark(self.fence, handled, self.seq).await?)?;
        self.outbox.marked = handled;
        self.hear_facts(&facts)
    }

    /// A refused append: by the lane row, somebody else is in charge; by a lease while still in
    /// charge, Redis granted from what the ledger had closed.
    async fn deposed(&self, reason: DeposedBy) -> Result<Trouble, Trouble> {
        match reason {
            DeposedBy::Lane => Ok(Trouble::Lost),
            DeposedBy::Lease { coupon, lease } => {
                let row = self.parts.ledger.lane(self.lane).await?;
                if (row.epoch, row.keeper) != (self.fence.epoch, self.fence.keeper) {
                    return Ok(Trouble::Lost);
                }
                tracing::error!(lane = %self.lane, %coupon, %lease,
                    "the ledger refused a lease of the current epoch");
                Ok(Trouble::Recover(Cause::LeaseRefused))
            }
        }
    }

    /// A claim whose ticket belongs to another: set aside for a person to see, refused in Redis,
    /// and only then may the mark pass it.
    async fn refuse(&mut self, batches: &[GrantBatch], conflict: &Conflict) -> Result<(), Trouble> {
        let found = find(batches, conflict);
        let Some((batch, grant)) = found else {
            return Err(super::wait_for_store(
                "the ledger refused a claim that was not sent",
            ));
        };
        tracing::error!(lane = %self.lane, entry = %conflict.entry, ticket = %conflict.ticket,
            coupon = %batch.coupon, "a ticket belongs to another claim; the later one is set aside");
        let letter = self.letter(
            self.fence.epoch,
            batch,
            Some(grant),
            format!("ticket conflict: the ledger has claim {}", conflict.holder),
        );
        self.parts.ledger.set_aside(&[letter]).await?;
        metrics::dead_letters(1);
        let refusal = Refusal {
            coupon: batch.coupon,
            claim_id: conflict.claim_id,
            entry: conflict.entry,
            user: grant.user,
            device: grant.device,
            address: grant.address,
        };
        settled(self.parts.store.refuse(self.fence, refusal).await?)?;
        Arc::make_mut(&mut self.outbox.refused).insert((conflict.claim_id, conflict.entry));
        Ok(())
    }

    /// What is set aside of an entry: one claim, or all of it.
    pub(super) fn letter(
        &self,
        epoch: sluice_domain::id::Epoch,
        batch: &GrantBatch,
        grant: Option<&Grant>,
        reason: String,
    ) -> DeadLetter {
        let grants = grant.map_or(batch.grants.as_slice(), std::slice::from_ref);
        DeadLetter {
            lane: self.lane,
            epoch,
            entry: batch.entry,
            claim_id: grant.map(|grant| grant.claim_id),
            at: self.lane_time,
            reason,
            payload: describe(batch, grants).into_bytes(),
        }
    }

    /// Remembers the highest tail seen, and since when something waits.
    pub(super) fn hear_tail(&mut self, tail: EntryNumber) {
        self.outbox.tail = self.outbox.tail.max(tail);
        if self.outbox.tail > self.outbox.handled && self.outbox.waiting_since_ms.is_none() {
            self.outbox.waiting_since_ms = Some(self.now_ms());
        }
    }
}

fn find<'a>(batches: &'a [GrantBatch], conflict: &Conflict) -> Option<(&'a GrantBatch, &'a Grant)> {
    let batch = batches.iter().find(|batch| batch.entry == conflict.entry)?;
    let grant = batch
        .grants
        .iter()
        .find(|grant| grant.claim_id == conflict.claim_id)?;
    Some((batch, grant))
}

/// An entry in words, one claim a line: for people, read by no program.
fn describe(batch: &GrantBatch, grants: &[Grant]) -> String {
    use std::fmt::Write as _;

    let mut text = format!(
        "entry={} coupon={} lease={} revision={} version={} granted_at={} durability={:?}\n",
        batch.entry,
        batch.coupon,
        batch.lease,
        batch.revision,
        batch.version,
        batch.granted_at,
        batch.durability
    );
    for grant in grants {
        // Writing into a String cannot fail.
        let _always = writeln!(
            text,
            "ticket={} claim={} user={}",
            grant.ticket,
            grant.claim_id,
            grant.user.as_str()
        );
    }
    text
}
