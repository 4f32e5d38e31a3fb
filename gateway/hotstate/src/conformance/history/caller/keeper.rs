//! The ops of keepers, and what happens to the server.

use sluice_domain::id::{EntryNumber, Epoch, KeeperNumber};
use sluice_domain::lane::LaneFence;

use super::Caller;
use crate::conformance::Fault;
use crate::conformance::fixture::{COUPONS, LANE};
use crate::conformance::op::KeeperWord;
use crate::conformance::step::Step;
use crate::model::fault::ModelKey;

impl Caller {
    pub(super) fn keeper_word(&mut self, who: u8, word: KeeperWord) -> Vec<Step> {
        let (fence, seq) = (self.fence(who), self.seq);
        let step = match word {
            KeeperWord::Renew(lease) => Step::Renew {
                fence,
                lease_until: self.lease_until(lease),
                seq,
            },
            KeeperWord::Mark(to) => Step::Mark {
                fence,
                mark: EntryNumber(match to {
                    0 => self.tail,
                    1 => self.tail.saturating_sub(1),
                    2 => self.tail + 1,
                    _ => 0,
                }),
                seq,
            },
            KeeperWord::Refuse(back) => {
                let Some(refusal) = self.grants.iter().rev().nth(usize::from(back)) else {
                    return Vec::new();
                };
                Step::Refuse(fence, *refusal)
            }
            KeeperWord::Final(coupon, more_may_come) => Step::Final {
                fence,
                coupon: self.book(coupon).latest().id,
                more_may_come,
            },
            KeeperWord::ClearFinal(coupon) => {
                Step::ClearFinal(fence, self.book(coupon).latest().id)
            }
            KeeperWord::Retire(coupon, only, raise) => {
                Step::Retire(fence, self.book(coupon).retire(only, raise, seq))
            }
            KeeperWord::Forget(coupon) => {
                let book = self.book(coupon);
                book.retired |= who == 0;
                Step::Forget(fence, book.latest().id)
            }
            KeeperWord::Halt => Step::Halt(fence),
            KeeperWord::Sweep(back) => {
                Step::Sweep(Epoch(self.epoch.saturating_sub(u64::from(back))))
            }
        };
        vec![step]
    }

    pub(super) fn power(&mut self, move_: u8, epoch: u8, keeper: u8, lease: u8) -> Step {
        let (here, next) = (self.epoch, self.highest + 1);
        let [epoch_0, epoch_1] = if move_ == 0 {
            [next, here]
        } else {
            [here, next]
        };
        let epoch = match epoch {
            _any if self.lost && move_ == 0 => next,
            0 => epoch_0,
            1 => epoch_1,
            _ => here.saturating_sub(1),
        };
        let rises = u64::from(move_ == 1) ^ u64::from(keeper == 1);
        let keeper = if keeper == 2 {
            self.keeper.saturating_sub(1)
        } else {
            self.keeper + rises
        };
        self.highest = self.highest.max(epoch);
        let fence = LaneFence {
            lane: LANE,
            epoch: Epoch(epoch),
            keeper: KeeperNumber(keeper),
        };
        let lease_until = self.lease_until(lease);
        match move_ {
            0 => Step::Fence(fence),
            1 => Step::Take { fence, lease_until },
            _ => Step::Open {
                fence,
                lease_until,
                known: vec![COUPONS[0]],
                retired: Vec::new(),
                seq: self.seq,
            },
        }
    }

    pub(super) fn fault(&mut self, kind: u8, coupon: u8) -> Vec<Step> {
        let coupon = self.book(coupon).latest().id;
        let key = match kind {
            0 => return vec![Step::Fault(Fault::StepDownAndUp)],
            1 => {
                self.lost = true;
                return vec![Step::Fault(Fault::Flush)];
            }
            2 => {
                self.lost = true;
                ModelKey::Lane
            }
            3 => ModelKey::Outbox,
            4 => ModelKey::Mark,
            5 => ModelKey::Refused,
            6 => ModelKey::Known,
            7 => ModelKey::Hydrated,
            8 => ModelKey::Coupon(coupon),
            9 => ModelKey::Definition(coupon),
            10 => ModelKey::Users(coupon),
            11 => ModelKey::Devices(coupon),
            _ => ModelKey::Addresses(coupon),
        };
        vec![Step::Fault(Fault::Lose {
            lane: LANE,
            epoch: Epoch(self.epoch),
            key,
        })]
    }
}
