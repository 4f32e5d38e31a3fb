//! Who makes the calls of a history: turns ops into steps by what it knows, as keepers, the control
//! plane and gateways would. It knows only what it did and what it was answered.

mod book;

use std::sync::Arc;

use sluice_claim::port::{ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, SoldOutProof};
use sluice_domain::id::{CouponId, EntryNumber, Epoch, KeeperNumber, Revision};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use crate::conformance::Fault;
use crate::conformance::fixture::{BEGIN, COUPONS, LANE, claim_id, limits, subject, user};
use crate::conformance::op::{ClaimPick, KeeperWord, Op, RowPick};
use crate::conformance::step::{Seen, Step};
use crate::lane_store::{HydrateBegin, LeaseInstall, Refusal};
use crate::model::fault::ModelKey;
use book::Book;

/// How long a lane is opened for unless an op says otherwise.
const LANE_LEASE_MS: i64 = 120_000;

/// The caller of a history.
#[derive(Debug)]
pub(super) struct Caller {
    epoch: u64,
    highest: u64,
    keeper: u64,
    seq: u64,
    tail: u64,
    now: Timestamp,
    /// The lane hash was destroyed: a fence of an old epoch would find that epoch's old keys, which
    /// no ledger ever lets happen.
    lost: bool,
    books: [Book; 2],
    grants: Vec<Refusal>,
    proof: Option<(CouponId, SoldOutProof)>,
}

/// A lane that serves both coupons, the first with five units and the second with four.
pub(super) fn preparation() -> Vec<Op> {
    let lease = |coupon, size| Op::Lease {
        coupon,
        who: 0,
        number: 0,
        size,
    };
    let hydrate = |coupon| Op::Hydrate {
        coupon,
        rows: Vec::new(),
    };
    vec![
        Op::Recover,
        hydrate(0),
        hydrate(1),
        lease(0, 5),
        lease(1, 4),
    ]
}

impl Caller {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            highest: 0,
            keeper: 1,
            seq: 0,
            tail: 0,
            now: BEGIN,
            lost: false,
            books: [
                Book::new(COUPONS[0], limits(1, None, None)),
                Book::new(COUPONS[1], limits(2, Some(2), Some(3))),
            ],
            grants: Vec::new(),
            proof: None,
        }
    }

    /// The steps that come before every history.
    pub(super) fn begin(&self) -> Vec<Step> {
        vec![Step::Now(self.now)]
    }

    pub(super) const fn highest_epoch(&self) -> u64 {
        self.highest
    }

    /// What an op means now.
    pub(super) fn steps(&mut self, op: &Op) -> Vec<Step> {
        self.seq += 1;
        match op {
            Op::Recover => self.recover(),
            Op::Hydrate { coupon, rows } => self.hydrate(*coupon, rows),
            Op::HydrateStep {
                coupon,
                who,
                step,
                attempt,
                definition,
                rows,
            } => {
                let fence = self.fence(*who);
                let step = (*step, *attempt, *definition);
                vec![self.hydrate_step(*coupon, fence, step, rows)]
            }
            Op::Lease {
                coupon,
                who,
                number,
                size,
            } => vec![self.lease(*coupon, *who, *number, *size)],
            Op::Claims {
                coupon,
                revision,
                picks,
            } => vec![self.claims(*coupon, *revision, picks)],
            Op::Install {
                coupon,
                change,
                life,
                window,
                limits,
                epoch,
            } => {
                let now = self.now;
                let terms = (*life, *window, *limits);
                let published = self.book(*coupon).revise(*change, terms, now);
                let epoch = Epoch(self.epoch.saturating_sub(u64::from(*epoch)));
                vec![Step::Install(epoch, published)]
            }
            Op::Keeper { who, word } => self.keeper_word(*who, *word),
            Op::Power {
                move_,
                epoch,
                keeper,
                lease,
            } => vec![self.power(*move_, *epoch, *keeper, *lease)],
            Op::Learn => vec![Step::Learn(Epoch(self.epoch))],
            Op::Proof { call, altered } => self.proof_call(*call, *altered),
            Op::Advance { by } => {
                let millis = [1, 1_199, 1_200, 60_000, LANE_LEASE_MS + 1];
                vec![self.advance(millis[usize::from(*by) % millis.len()])]
            }
            Op::Fault { kind, coupon } => self.fault(*kind, *coupon),
        }
    }

    /// Learns from an answer of the model.
    pub(super) fn heard(&mut self, step: &Step, seen: &Seen) {
        match step {
            Step::Fence(fence) if seen.text.starts_with("fence: Done") => {
                (self.epoch, self.keeper) = (fence.epoch.0, fence.keeper.0);
                self.lost = false;
            }
            Step::Take { fence, .. } if seen.text.starts_with("take: Done") => {
                self.keeper = fence.keeper.0;
            }
            Step::Decide(call) => {
                if let Some(reply) = &seen.reply {
                    self.heard_claims(call, reply);
                }
            }
            _nothing_to_learn => {}
        }
    }

    fn heard_claims(&mut self, call: &ClaimCall, reply: &ClaimReply) {
        for (request, answer) in call.requests.iter().zip(&reply.answers) {
            match answer {
                ClaimAnswer::Granted(record) => {
                    self.tail = record.entry.0;
                    self.grants.push(Refusal {
                        coupon: call.coupon,
                        claim_id: request.claim_id,
                        entry: record.entry,
                        user: request.user,
                        device: request.device,
                        address: request.address,
                    });
                }
                ClaimAnswer::SoldOut(proof) => self.proof = Some((call.coupon, *proof)),
                _other => {}
            }
        }
    }

    fn book(&mut self, coupon: u8) -> &mut Book {
        &mut self.books[usize::from(coupon) % 2]
    }

    const fn fence(&self, who: u8) -> LaneFence {
        let (epoch, keeper) = match who {
            0 => (self.epoch, self.keeper),
            1 => (self.epoch, self.keeper.saturating_sub(1)),
            2 => (self.epoch, self.keeper + 1),
            3 => (self.epoch.saturating_sub(1), self.keeper),
            _ => (self.epoch + 1, self.keeper),
        };
        LaneFence {
            lane: LANE,
            epoch: Epoch(epoch),
            keeper: KeeperNumber(keeper),
        }
    }

    const fn lease_until(&self, lease: u8) -> Timestamp {
        self.now.plus_millis(match lease {
            0 => LANE_LEASE_MS,
            1 => 1_000,
            2 => 0,
            _ => -1,
        })
    }

    fn advance(&mut self, millis: i64) -> Step {
        self.now = self.now.plus_millis(millis);
        Step::Now(self.now)
    }

    fn recover(&mut self) -> Vec<Step> {
        self.highest += 1;
        let fence = LaneFence {
            lane: LANE,
            epoch: Epoch(self.highest),
            keeper: KeeperNumber(self.keeper),
        };
        let mut steps = vec![Step::Fence(fence)];
        for book in &self.books {
            steps.push(Step::Install(fence.epoch, book.latest()));
        }
        let (retired, known): (Vec<&Book>, Vec<&Book>) =
            self.books.iter().partition(|book| book.retired);
        let ids = |books: &[&Book]| books.iter().map(|book| book.latest().id).collect();
        steps.push(Step::Open {
            fence,
            lease_until: self.lease_until(0),
            known: ids(&known),
            retired: ids(&retired),
            seq: self.seq,
        });
        steps.push(Step::Learn(fence.epoch));
        steps.push(self.advance(1_200));
        steps
    }

    fn hydrate(&mut self, coupon: u8, rows: &[RowPick]) -> Vec<Step> {
        let fence = self.fence(0);
        [0, 1, 2]
            .map(|step| self.hydrate_step(coupon, fence, (step, 0, 0), rows))
            .into()
    }

    fn hydrate_step(
        &mut self,
        coupon: u8,
        fence: LaneFence,
        (step, attempt, definition): (u8, u8, u8),
        rows: &[RowPick],
    ) -> Step {
        let seq = self.seq;
        let book = self.book(coupon);
        let id = book.latest().id;
        match step {
            0 => Step::Begin {
                fence,
                begin: HydrateBegin {
                    published: book.definition(definition),
                    last_lease: book.last_lease,
                    seq,
                },
                attempt: book.begin(attempt),
            },
            1 => Step::Fill {
                fence,
                coupon: id,
                attempt: book.attempt(attempt),
                rows: book.fill(rows),
            },
            _ => Step::Finish {
                fence,
                coupon: id,
                attempt: book.attempt(attempt),
                counts: book.counts(step == 3),
            },
        }
    }

    fn lease(&mut self, coupon: u8, who: u8, number: u8, size: u8) -> Step {
        let (fence, seq) = (self.fence(who), self.seq);
        let book = self.book(coupon);
        let (lease, first) = book.lease(number, size);
        Step::Lease(
            fence,
            LeaseInstall {
                coupon: book.latest().id,
                lease,
                first,
                size: u32::from(size),
                seq,
            },
        )
    }

    fn claims(&mut self, coupon: u8, revision: u8, picks: &[ClaimPick]) -> Step {
        let published = self.book(coupon).definition(revision);
        Step::Decide(ClaimCall {
            lane: LANE,
            coupon: published.id,
            form: published.form,
            revision: if revision == 2 {
                published.revision.next()
            } else {
                published.revision
            },
            requests: picks.iter().map(|pick| request(&published, pick)).collect(),
        })
    }

    fn keeper_word(&mut self, who: u8, word: KeeperWord) -> Vec<Step> {
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

    fn power(&mut self, move_: u8, epoch: u8, keeper: u8, lease: u8) -> Step {
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

    fn proof_call(&self, call: u8, altered: u8) -> Vec<Step> {
        let Some((coupon, mut proof)) = self.proof else {
            return Vec::new();
        };
        match altered {
            0 => {}
            1 => proof.revision = Revision(proof.revision.0 + 1),
            2 => proof.stock_seq = proof.stock_seq.next(),
            3 => proof.users += 1,
            _ => proof.epoch = proof.epoch.next(),
        }
        vec![match call {
            0 => Step::Winners(coupon, proof),
            1 => Step::LoadFilter(coupon, proof),
            _ => Step::StoreFilter(coupon, proof, altered),
        }]
    }

    fn fault(&mut self, kind: u8, coupon: u8) -> Vec<Step> {
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

/// A claim as a gateway would send it that decided by this definition.
fn request(published: &Arc<Published>, pick: &ClaimPick) -> ClaimRequest {
    let single = published.limits.per_user == 1;
    let key = if single { 0 } else { pick.key };
    let device = published.limits.per_device.is_some() != pick.wrong_presence;
    let address = published.limits.per_address.is_some() != pick.wrong_presence;
    ClaimRequest {
        user: user(pick.user),
        claim_id: claim_id(published.id, pick.user, key),
        device: device.then(|| subject(pick.device)),
        address: address.then(|| subject(pick.address)),
        replay_only: pick.replay_only,
    }
}
