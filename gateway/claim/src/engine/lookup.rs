//! Looking a claim up: the poll after a 202, and `GET /v1/claims/{id}`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sluice_domain::claim::{ClaimForm, GrantRecord};
use sluice_domain::id::{ClaimId, EntryNumber, Epoch, LaneId, SubjectHash, UserId};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_domain::validity::Standing;
use tokio::time::{Instant, timeout};

use super::{Engine, view};
use crate::batcher::BatchKey;
use crate::definitions::{Definition, LiveCoupon};
use crate::failure::Failure;
use crate::outcome::{AttemptOutcome, ClaimView, LookupOutcome, Unavailable};
use crate::port::{ClaimAnswer, ClaimRequest, ClaimStore};

impl<S: ClaimStore> Engine<S> {
    /// Looks a claim up for its owner, with the status of now. Somebody else's claim is
    /// `NotFound`; so is one that was lost before it was acknowledged as `ledger`, which stays true
    /// until somebody repeats the request.
    pub async fn lookup(&self, claim_id: ClaimId, user: &UserId) -> LookupOutcome {
        let coupon = claim_id.coupon();
        let deadline = Instant::now() + self.shared.settings.decide_within;
        let live = match self.definitions.get(coupon, None, deadline).await {
            Definition::Live(live) => live,
            Definition::Retired(published) => {
                let lane = self.lane_for(&published, user);
                return self.in_ledger(claim_id, user, lane, &published, None).await;
            }
            Definition::Unknown => return LookupOutcome::NotFound,
            Definition::Failed(failure) => return unavailable(failure),
        };
        let published = live.rules.published();
        let lane = self.lane_for(published, user);
        // A claim id of form `single` names its owner.
        let foreign = published.form == ClaimForm::Single
            && self.keys.single_claim_id(coupon, user) != claim_id;
        if foreign {
            return LookupOutcome::NotFound;
        }
        // Hot state first, the ledger after it, the epoch last: a claim moves in that direction,
        // so this order cannot miss it between the two.
        match self
            .in_hot_state(claim_id, user, lane, &live, deadline)
            .await
        {
            Ok((Some(record), epoch)) => self.found_hot(record, epoch, user, lane, &live).await,
            Ok((None, epoch)) => {
                let answered = Some(Ok(epoch));
                self.in_ledger(claim_id, user, lane, published, answered)
                    .await
            }
            Err(failure) => {
                let answered = Some(Err(failure));
                self.in_ledger(claim_id, user, lane, published, answered)
                    .await
            }
        }
    }

    async fn in_hot_state(
        &self,
        claim_id: ClaimId,
        user: &UserId,
        lane: LaneId,
        live: &LiveCoupon,
        deadline: Instant,
    ) -> Result<(Option<GrantRecord>, Epoch), Failure> {
        let published = live.rules.published();
        let key = BatchKey {
            coupon: published.id,
            form: published.form,
            revision: published.revision,
        };
        let request = self.poll_request(claim_id, user, published);
        let sold_out = Arc::clone(self.sold_out(live, lane));
        let decided = self
            .batcher
            .decide(lane, key, request, sold_out, deadline)
            .await?;
        match decided.answer {
            ClaimAnswer::Replayed(record) => Ok((Some(record), decided.epoch)),
            // Replays come first, so any other answer means that there is none.
            _none => Ok((None, decided.epoch)),
        }
    }

    /// A question that grants nothing. The hashes are there because the call's form asks for them.
    pub(super) fn poll_request(
        &self,
        claim_id: ClaimId,
        user: &UserId,
        published: &Published,
    ) -> ClaimRequest {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let limits = &published.limits;
        ClaimRequest {
            user: *user,
            claim_id,
            device: limits.per_device.map(|_limit| SubjectHash([0; 8])),
            address: limits
                .per_address
                .map(|_limit| self.keys.address(published.id, nobody)),
            replay_only: true,
        }
    }

    async fn found_hot(
        &self,
        record: GrantRecord,
        epoch: Epoch,
        user: &UserId,
        lane: LaneId,
        live: &LiveCoupon,
    ) -> LookupOutcome {
        let Some(claim) = view::of_record(live.rules.published(), &record, user) else {
            return unavailable(Failure::Warming);
        };
        let pair = (record.claim_id, record.entry);
        let durable = record.entry == EntryNumber(0)
            || self
                .marks
                .subscribe(lane)
                .is_some_and(|board| board.borrow().is_durable(epoch, pair));
        let standing = view::standing(claim.durability, durable);
        self.found(claim, standing, lane)
    }

    /// Asks the ledger. `answered` is what hot state said before: the epoch in which it has no such
    /// claim, or why it could not tell. `None` where there is no hot state any more.
    async fn in_ledger(
        &self,
        claim_id: ClaimId,
        user: &UserId,
        lane: LaneId,
        published: &Published,
        answered: Option<Result<Epoch, Failure>>,
    ) -> LookupOutcome {
        let read = self.reader.find(claim_id, lane);
        let Ok(Ok(found)) = timeout(self.shared.settings.decide_within, read).await else {
            return unavailable(Failure::Recovering);
        };
        if let Some(row) = found.row {
            if !view::is_owned(&row, published.id, user) {
                return LookupOutcome::NotFound;
            }
            let standing = if row.revoked {
                Standing::Revoked
            } else {
                Standing::Durable
            };
            return match view::of_row(published, &row) {
                Some(claim) => self.found(claim, standing, lane),
                None => unavailable(Failure::Warming),
            };
        }
        match answered {
            None => LookupOutcome::NotFound,
            Some(Ok(epoch)) if epoch == found.epoch => LookupOutcome::NotFound,
            // The lane moved on in between: what it said proves nothing.
            Some(Ok(_moved)) => unavailable(Failure::Recovering),
            Some(Err(failure)) => unavailable(failure),
        }
    }

    fn found(&self, claim: ClaimView, standing: Standing, lane: LaneId) -> LookupOutcome {
        // Without a clock nothing is called expired.
        let now = self.lane_now(lane).unwrap_or(Timestamp::MIN);
        LookupOutcome::Found(view::as_of(claim, standing, now))
    }
}

/// A look-up applies nothing, but says nothing about the attempt it asks for either.
fn unavailable(failure: Failure) -> LookupOutcome {
    LookupOutcome::Unavailable(Unavailable {
        outcome: AttemptOutcome::Unknown,
        ..failure.answer()
    })
}
