//! Salvage: what ended epochs still hold is made durable under the new one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sluice_domain::claim::GrantBatch;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, Revision};
use sluice_hotstate::lane_store::OutboxEntry;
use sluice_ledger::claims::{AppendFrom, Appended, Conflict, DeadLetter, DeposedBy};

use super::Keeper;
use super::trouble::Trouble;
use crate::metrics;

impl Keeper {
    /// Salvages one read's worth; true when no epoch is left. Every part can be repeated: rows
    /// that are there are done, and letters that are there stay one.
    pub(super) async fn salvage_some(&mut self) -> Result<bool, Trouble> {
        let Some(&epoch) = self.recovery.unsalvaged.front() else {
            return Ok(true);
        };
        let count = self.settings.drain_entries_max;
        let after = self.recovery.after;
        let entries = self
            .parts
            .store
            .read_outbox(self.lane, epoch, after, count)
            .await?;
        let Some(last) = entries.last().map(number_of) else {
            self.recovery.unsalvaged.pop_front();
            self.recovery.after = EntryNumber(0);
            self.recovery.salvaged.push(epoch);
            return Ok(self.recovery.unsalvaged.is_empty());
        };
        let mut batches = Vec::new();
        let mut letters = Vec::new();
        for entry in entries {
            match entry {
                // What was opened after this epoch was opened without it: whatever turns up from
                // it now is for a person to see.
                OutboxEntry::Batch(batch) if epoch < self.recovery.opened => {
                    let reason = "from an epoch older than the last opened one".to_owned();
                    letters.push(self.letter(epoch, &batch, None, reason));
                }
                OutboxEntry::Batch(batch) => batches.push(batch),
                OutboxEntry::Unreadable {
                    entry,
                    payload,
                    reason,
                } => letters.push(DeadLetter {
                    lane: self.lane,
                    epoch,
                    entry,
                    claim_id: None,
                    at: self.lane_time,
                    reason: format!("cannot be read: {reason}"),
                    payload,
                }),
            }
        }
        let batches = self
            .known_to_the_ledger(epoch, batches, &mut letters)
            .await?;
        self.set_aside(&letters).await?;
        let mut append = Vec::new();
        let mut rows = 0;
        for batch in batches {
            rows += batch.grants.len();
            if rows > self.settings.append_rows_max && !append.is_empty() {
                self.append_salvaged(epoch, &append).await?;
                append.clear();
                rows = batch.grants.len();
            }
            append.push(batch);
        }
        self.append_salvaged(epoch, &append).await?;
        self.recovery.after = last;
        Ok(false)
    }

    /// What was granted under terms that this ledger has. An accepted backup may be older than
    /// some: it will give their revision to other terms, so those claims are for a person to see.
    async fn known_to_the_ledger(
        &self,
        epoch: Epoch,
        batches: Vec<GrantBatch>,
        letters: &mut Vec<DeadLetter>,
    ) -> Result<Vec<GrantBatch>, Trouble> {
        let mut revisions: HashMap<CouponId, Option<Revision>> = HashMap::new();
        let mut known = Vec::with_capacity(batches.len());
        for batch in batches {
            let newest = match revisions.entry(batch.coupon) {
                Entry::Occupied(held) => *held.get(),
                Entry::Vacant(place) => {
                    let coupon = self.parts.ledger.coupon(batch.coupon).await?;
                    *place.insert(coupon.map(|coupon| coupon.revision))
                }
            };
            if newest.is_some_and(|newest| batch.revision <= newest) {
                known.push(batch);
            } else {
                let reason = format!(
                    "granted under revision {} of the coupon, which this ledger does not have",
                    batch.revision
                );
                letters.push(self.letter(epoch, &batch, None, reason));
            }
        }
        Ok(known)
    }

    async fn append_salvaged(
        &mut self,
        epoch: Epoch,
        batches: &[GrantBatch],
    ) -> Result<(), Trouble> {
        if batches.is_empty() || self.append_or_refuse(epoch, batches).await?.is_none() {
            return Ok(());
        }
        // One lease of them is closed (a set-back Redis): each entry for itself.
        for batch in batches {
            let alone = std::slice::from_ref(batch);
            if let Some(reason) = self.append_or_refuse(epoch, alone).await? {
                let letter = self.letter(epoch, batch, None, reason);
                self.set_aside(&[letter]).await?;
            }
        }
        Ok(())
    }

    /// Appends; the reason where a lease refused all of it.
    async fn append_or_refuse(
        &mut self,
        epoch: Epoch,
        batches: &[GrantBatch],
    ) -> Result<Option<String>, Trouble> {
        let appended = self
            .parts
            .ledger
            .append(self.fence, AppendFrom::Salvage(epoch), batches)
            .await?;
        match appended {
            Appended::Done { seq, conflicts } => {
                self.hear_seq(seq);
                let letters: Vec<DeadLetter> = conflicts
                    .iter()
                    .filter_map(|conflict| self.conflict_letter(epoch, batches, conflict))
                    .collect();
                self.set_aside(&letters).await?;
                Ok(None)
            }
            Appended::Deposed {
                reason: DeposedBy::Lane,
            } => Err(Trouble::Lost),
            Appended::Deposed {
                reason: DeposedBy::Lease { coupon, lease },
            } => Ok(Some(format!(
                "lease {lease} of coupon {coupon} takes no claims of epoch {epoch} any more"
            ))),
        }
    }

    fn conflict_letter(
        &self,
        epoch: Epoch,
        batches: &[GrantBatch],
        conflict: &Conflict,
    ) -> Option<DeadLetter> {
        let batch = batches.iter().find(|batch| batch.entry == conflict.entry)?;
        let grant = batch
            .grants
            .iter()
            .find(|grant| grant.claim_id == conflict.claim_id)?;
        let reason = format!("ticket conflict: the ledger has claim {}", conflict.holder);
        Some(self.letter(epoch, batch, Some(grant), reason))
    }

    async fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), Trouble> {
        if letters.is_empty() {
            return Ok(());
        }
        for letter in letters {
            tracing::error!(lane = %self.lane, epoch = %letter.epoch, entry = %letter.entry,
                reason = letter.reason, "set aside for a person to see");
        }
        self.parts.ledger.set_aside(letters).await?;
        metrics::dead_letters(letters.len());
        Ok(())
    }
}

fn number_of(entry: &OutboxEntry) -> EntryNumber {
    match entry {
        OutboxEntry::Batch(batch) => batch.entry,
        OutboxEntry::Unreadable { entry, .. } => *entry,
    }
}
