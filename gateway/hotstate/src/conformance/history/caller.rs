//! Who makes the calls of a history: turns ops into steps by what it knows, as keepers, the control
//! plane and gateways would. It knows only what it did and what it was answered.

mod book;
mod keeper;

use std::sync::Arc;

use sluice_claim::port::{ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, SoldOutProof};
use sluice_domain::id::{CouponId, Epoch, KeeperNumber, Revision};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use crate::conformance::fixture::{BEGIN, COUPONS, LANE, claim_id, limits, subject, user};
use crate::conformance::op::{ClaimPick, Op, RowPick};
use crate::conformance::step::{Seen, Step};
use crate::lane_store::{HydrateBegin, LeaseInstall, Refusal};
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
        twist: 0,
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
            Op::Hydrate {
                coupon,
                twist,
                rows,
            } => self.hydrate(*coupon, *twist, rows),
            Op::SellOut { coupon } => self.sell_out(*coupon),
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

    fn hydrate(&mut self, coupon: u8, twist: u8, rows: &[RowPick]) -> Vec<Step> {
        let (fence, now) = (self.fence(0), self.now);
        let mut steps = vec![
            self.hydrate_step(coupon, fence, (0, 0, 0), rows),
            self.hydrate_step(coupon, fence, (1, 0, 0), rows),
        ];
        match twist {
            2 => {
                let published = self.book(coupon).revise(1, (0, 0, 0), now);
                steps.push(Step::Install(fence.epoch, published));
            }
            3 => steps.push(self.hydrate_step(coupon, fence, (0, 2, 0), rows)),
            _plain => {}
        }
        let finish = if twist == 1 { 3 } else { 2 };
        steps.push(self.hydrate_step(coupon, fence, (finish, 0, 0), rows));
        steps
    }

    fn sell_out(&mut self, coupon: u8) -> Vec<Step> {
        let fence = self.fence(0);
        let more_may_come = self.seq.is_multiple_of(2);
        let pick = |user| ClaimPick {
            user,
            key: 0,
            device: user + 1,
            address: user + 1,
            replay_only: false,
            wrong_presence: false,
        };
        let picks: Vec<ClaimPick> = (0..12).map(pick).collect();
        vec![
            Step::Final {
                fence,
                coupon: self.book(coupon).latest().id,
                more_may_come,
            },
            self.claims(coupon, 0, &picks),
        ]
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
            2 => Step::StoreFilter(coupon, proof, altered),
            _ => {
                return vec![
                    Step::Winners(coupon, proof),
                    Step::StoreFilter(coupon, proof, altered),
                    Step::LoadFilter(coupon, proof),
                ];
            }
        }]
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
