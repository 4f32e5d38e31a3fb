//! From "the script granted it" to "yes": the wait until a claim is worth its class.

use sluice_domain::claim::{Durability, GrantRecord};
use sluice_domain::id::{EntryNumber, Epoch, LaneId};
use tokio::time::{Instant, timeout};

use super::claim::Asked;
use super::{Engine, view};
use crate::batcher::Decided;
use crate::definitions::{Definition, LiveCoupon};
use crate::durability::{self, Waited};
use crate::failure::Failure;
use crate::outcome::{ClaimOutcome, ClaimView};
use crate::port::ClaimStore;

impl<S: ClaimStore> Engine<S> {
    /// Says "yes" as soon as the claim is worth what its class promises, and not before.
    pub(super) async fn acknowledge(
        &self,
        live: &LiveCoupon,
        asked: &Asked<'_>,
        record: GrantRecord,
        decided: Decided,
        replayed: bool,
    ) -> ClaimOutcome {
        let user = &asked.shopper.user;
        let mut view = view::of_record(live.rules.published(), &record, user);
        if view.is_none() {
            // A version published since this definition was read.
            let newer = Some(decided.received);
            let definition = self.definitions.get(asked.coupon, newer, asked.deadline);
            if let Definition::Live(live) = Box::pin(definition).await {
                view = view::of_record(live.rules.published(), &record, user);
            }
        }
        let Some(view) = view else {
            return ClaimOutcome::from(Failure::Unknown);
        };
        let yes = if replayed {
            ClaimOutcome::Replayed(view)
        } else {
            ClaimOutcome::Granted(view)
        };
        if view.durability == Durability::Hot || record.entry == EntryNumber(0) {
            return yes;
        }
        let lane = self.lane_for(live.rules.published(), user);
        let waited = self.wait(lane, decided.epoch, &record).await;
        match waited {
            Waited::Durable => yes,
            Waited::TimedOut => ClaimOutcome::Pending(record.claim_id),
            Waited::Refused => ClaimOutcome::from(Failure::SetAside),
            Waited::EpochEnded => Box::pin(self.after_epoch(live, lane, view, yes)).await,
        }
    }

    async fn wait(&self, lane: LaneId, epoch: Epoch, record: &GrantRecord) -> Waited {
        let begun = Instant::now();
        let budget = self.shared.settings.durable_within;
        let waited = durability::wait(
            &self.marks,
            lane,
            epoch,
            record.entry,
            record.claim_id,
            budget,
        );
        let waited = waited.await;
        if waited == Waited::Durable {
            self.shared.metrics.durable_after(begun.elapsed());
        }
        waited
    }

    /// The epoch of a grant ended before its mark came: only its row is proof. Without one the
    /// claim may still be salvaged or may be lost, so the poll has to tell.
    ///
    /// The row may be of another grant of this claim, made in a later epoch while this one was still
    /// under way on a server that was left behind: then the answer is the row's, as everybody else
    /// is given it.
    async fn after_epoch(
        &self,
        live: &LiveCoupon,
        lane: LaneId,
        view: ClaimView,
        yes: ClaimOutcome,
    ) -> ClaimOutcome {
        let read = self.reader.find(view.claim_id, lane);
        match timeout(self.shared.settings.durable_within, read).await {
            Ok(Ok(found)) => match found.row {
                Some(row) if view::is_owned(&row, view.coupon, &view.user) && !row.revoked => {
                    match view::of_row(live.rules.published(), &row) {
                        Some(kept) if kept == view => yes,
                        Some(kept) => ClaimOutcome::Replayed(kept),
                        None => ClaimOutcome::from(Failure::Unknown),
                    }
                }
                Some(_) => ClaimOutcome::from(Failure::Unknown),
                None => ClaimOutcome::Pending(view.claim_id),
            },
            Ok(Err(_)) | Err(_) => ClaimOutcome::from(Failure::Unknown),
        }
    }
}
