//! Closing leases: taken off the list, waited for, counted.

use sluice_domain::id::{CouponId, EntryNumber, LeaseNumber};
use sluice_hotstate::lane_store::Retire;
use sluice_ledger::leases::LeaseStep;

use super::Keeper;
use super::trouble::{Trouble, settled};

/// Leases that are brought forward in one step.
const CLOSES_AT_ONCE: usize = 32;

/// How far the closing of a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// To be taken off the list, once more if it was before: an installation that is still under
    /// way is ignored from then on.
    Retire,
    /// Off the list. No entry of it comes after this one.
    Wait(EntryNumber),
}

impl Keeper {
    /// Brings all closings forward that can be.
    pub(super) async fn close_due(&mut self) -> Result<(), Trouble> {
        let due: Vec<(CouponId, LeaseNumber)> = self
            .closing
            .iter()
            .filter(|(_, closing)| self.can_go_on(**closing))
            .map(|(key, _)| *key)
            .take(CLOSES_AT_ONCE)
            .collect();
        for (coupon, lease) in due {
            self.close(coupon, lease).await?;
        }
        Ok(())
    }

    /// Whether some closing could go on at once.
    pub(super) fn close_is_due(&self) -> bool {
        self.closing
            .values()
            .any(|closing| self.can_go_on(*closing))
    }

    fn can_go_on(&self, closing: Closing) -> bool {
        match closing {
            Closing::Retire => true,
            Closing::Wait(tail) => self.outbox.handled >= tail,
        }
    }

    async fn close(&mut self, coupon: CouponId, lease: LeaseNumber) -> Result<(), Trouble> {
        let key = (coupon, lease);
        if self.closing.get(&key) == Some(&Closing::Retire) {
            let tail = self.retire(coupon, Some(lease), lease).await?;
            self.closing.insert(key, Closing::Wait(tail));
        }
        match self.closing.get(&key) {
            Some(Closing::Wait(tail)) if self.outbox.handled >= *tail => {}
            _ => return Ok(()),
        }
        self.close_in_ledger(coupon, lease).await?;
        self.closing.remove(&key);
        // What came back is leased again; or it was the last thing that "final" waited for.
        self.touch(coupon);
        Ok(())
    }

    /// Takes one lease or all off the list; the tail read after that.
    pub(super) async fn retire(
        &mut self,
        coupon: CouponId,
        only: Option<LeaseNumber>,
        last: LeaseNumber,
    ) -> Result<EntryNumber, Trouble> {
        let retire = Retire {
            coupon,
            only,
            last,
            seq: self.seq,
        };
        let retired = settled(self.parts.store.retire(self.fence, retire).await?)?;
        self.hear_tail(retired.tail);
        Ok(retired.tail)
    }

    pub(super) async fn close_in_ledger(
        &mut self,
        coupon: CouponId,
        lease: LeaseNumber,
    ) -> Result<(), Trouble> {
        match self
            .parts
            .ledger
            .close_lease(self.fence, coupon, lease)
            .await?
        {
            LeaseStep::Done(_lease, seq) => {
                self.hear_seq(seq);
                Ok(())
            }
            LeaseStep::Deposed => Err(Trouble::Lost),
        }
    }
}
