//! The scripts of the claims' side: decide, definition, winners and their filter.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, DefinitionAnswer, NotReady, SoldOutProof,
    StoreError, WinnersPage,
};
use sluice_domain::claim::{Grant, GrantBatch, GrantRecord};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId, SubjectHash};

use super::flaw::{Flaw, Tear};
use super::prologue::{self, Unusable};
use super::state::{CouponHash, CouponKeys, LaneHash, LaneKeys, ListedLease, Server};

/// Users in a page of winners.
const WINNERS_PAGE: usize = 512;

/// `claim.lua`: decides a batch. Nothing is written unless every check of the batch passed.
pub(super) fn decide(
    keys: &mut LaneKeys,
    server: Server,
    epoch: Epoch,
    outbox_cap: usize,
    call: &ClaimCall,
) -> Result<ClaimReply, StoreError> {
    let (lane, current) = prologue::serving(keys, server, call.lane, epoch)?;
    let (held, hash) = prologue::hydrated(current, server, call.coupon)
        .map_err(|why| unusable(why, call.lane, epoch, call.coupon))?;
    let mut batch = Batch::new((lane, epoch), held.clone(), hash.clone(), server);
    let answers: Vec<Decided> = call
        .requests
        .iter()
        .map(|request| batch.decide(call, request))
        .collect::<Option<_>>()
        .ok_or_else(|| loss(call.lane, epoch))?;
    if !batch.grants.is_empty() && current.out.len() >= outbox_cap {
        return Err(StoreError::Backpressure {
            reason: "the outbox is at its cap",
        });
    }
    let reply = ClaimReply {
        epoch,
        lane_time: server.now,
        answers: answers
            .into_iter()
            .map(|decided| batch.answer(decided))
            .collect(),
    };
    if batch.write(keys, call.coupon) {
        return Ok(reply);
    }
    Err(StoreError::Unknown {
        reason: "the script broke off".to_owned(),
    })
}

/// `definition.lua`.
pub(super) fn definition(
    keys: &LaneKeys,
    server: Server,
    lane: LaneId,
    epoch: Epoch,
    coupon: CouponId,
) -> Result<DefinitionAnswer, StoreError> {
    let (hash, current) = prologue::serving(keys, server, lane, epoch)?;
    if current.known.len() != hash.known {
        return Err(loss(lane, epoch));
    }
    let Some(&retired) = current.known.get(&coupon) else {
        return Ok(DefinitionAnswer::Unknown);
    };
    let published = current
        .definitions
        .get(&coupon)
        .map(Arc::clone)
        .ok_or_else(|| loss(lane, epoch))?;
    Ok(if retired {
        DefinitionAnswer::Retired(published)
    } else {
        DefinitionAnswer::Found(published)
    })
}

/// The coupon, provided that "sold out" still stands as the proof says.
pub(super) fn proven(
    keys: &LaneKeys,
    server: Server,
    lane: LaneId,
    coupon: CouponId,
    proof: SoldOutProof,
) -> Result<Option<&CouponKeys>, StoreError> {
    let current = match prologue::serving(keys, server, lane, proof.epoch) {
        Ok((_hash, current)) => current,
        // A proof is of an epoch: another one has none of it.
        Err(StoreError::LaneNotReady {
            reason: NotReady::Epoch(_),
            ..
        }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stands = |coupon: &CouponHash| {
        coupon.ready
            && coupon.is_final
            && coupon.published.revision == proof.revision
            && coupon.stock_seq == proof.stock_seq
            && coupon.users as u64 == proof.users
    };
    Ok(current
        .coupon(coupon)
        .filter(|held| held.hash.as_ref().is_some_and(stands)))
}

/// One page of winners; the cursor counts users.
pub(super) fn winners(coupon: &CouponKeys, cursor: u64) -> WinnersPage {
    let from = usize::try_from(cursor).unwrap_or(usize::MAX);
    let user_hashes: Vec<u64> = coupon
        .users
        .keys()
        .skip(from)
        .take(WINNERS_PAGE)
        .map(|user| xxhash_rust::xxh3::xxh3_64(user.as_bytes()))
        .collect();
    let next = from.saturating_add(user_hashes.len());
    WinnersPage {
        user_hashes,
        next: (next < coupon.users.len()).then_some(next as u64),
    }
}

/// The filter that was stored under this proof.
pub(super) fn stored_filter(coupon: &CouponKeys, proof: SoldOutProof) -> Option<Vec<u8>> {
    let (bound, filter) = coupon.filter.as_ref()?;
    (triple(*bound) == triple(proof)).then(|| filter.clone())
}

/// Stores a filter where the proof still stands; drops it otherwise.
pub(super) fn store_filter(
    keys: &mut LaneKeys,
    server: Server,
    lane: LaneId,
    coupon: CouponId,
    proof: SoldOutProof,
    filter: Vec<u8>,
) -> Result<(), StoreError> {
    if proven(keys, server, lane, coupon, proof)?.is_some() {
        keys.epoch_mut(proof.epoch).coupon_mut(coupon).filter = Some((proof, filter));
    }
    Ok(())
}

/// All of a proof that a memory is bound to.
const fn triple(proof: SoldOutProof) -> (u64, u32, u64, u64) {
    (
        proof.epoch.0,
        proof.revision.0,
        proof.stock_seq.0,
        proof.users,
    )
}

const fn loss(lane: LaneId, epoch: Epoch) -> StoreError {
    StoreError::LaneNotReady {
        lane,
        epoch,
        reason: NotReady::Loss,
    }
}

const fn unusable(why: Unusable, lane: LaneId, epoch: Epoch, coupon: CouponId) -> StoreError {
    match why {
        Unusable::NotHydrated => StoreError::CouponNotReady { coupon },
        Unusable::Loss => loss(lane, epoch),
    }
}

/// An answer, but for what is known only at the end of the batch.
#[derive(Debug, Clone, Copy)]
enum Decided {
    Answer(ClaimAnswer),
    SoldOut,
}

/// A batch at work: a copy of the coupon, changed as its claims are granted, written at the end.
struct Batch {
    epoch: Epoch,
    server: Server,
    /// The number that the entry will have if anything is granted.
    entry: EntryNumber,
    held: CouponKeys,
    hash: CouponHash,
    /// The one lease that this call takes from.
    lease: Option<ListedLease>,
    grants: Vec<Grant>,
}

impl Batch {
    fn new(
        (lane, epoch): (&LaneHash, Epoch),
        held: CouponKeys,
        hash: CouponHash,
        server: Server,
    ) -> Self {
        Self {
            epoch,
            server,
            entry: lane.tail.next(),
            lease: hash.leases.front().copied(),
            held,
            hash,
            grants: Vec::new(),
        }
    }

    /// One claim, in the order of precedence of [`ClaimAnswer`]. `None` where the caller knows a
    /// revision that hot state does not: some of it is lost.
    fn decide(&mut self, call: &ClaimCall, request: &ClaimRequest) -> Option<Decided> {
        if self.server.has(Flaw::ReplayAfterSoldOut) && self.lease.is_none() && self.hash.is_final {
            return Some(Decided::SoldOut);
        }
        if let Some(record) = self.granted_before(request) {
            return Some(Decided::Answer(ClaimAnswer::Replayed(record)));
        }
        if request.replay_only {
            return Some(Decided::Answer(ClaimAnswer::NoClaim));
        }
        (call.revision <= self.hash.published.revision).then(|| self.decide_new(call, request))
    }

    fn decide_new(&mut self, call: &ClaimCall, request: &ClaimRequest) -> Decided {
        if let Some(closed) = self.closed(call) {
            return Decided::Answer(closed);
        }
        let limits = self.hash.published.limits;
        if request.device.is_some() != limits.per_device.is_some()
            || request.address.is_some() != limits.per_address.is_some()
        {
            return Decided::Answer(ClaimAnswer::StaleDefinition);
        }
        if let Some(limit) = self.over_limit(request) {
            return Decided::Answer(limit);
        }
        match self.lease {
            Some(lease) if lease.next < lease.end => {
                Decided::Answer(ClaimAnswer::Granted(self.grant(request, lease)))
            }
            Some(_used_up) if self.hash.leases.len() > 1 => Decided::Answer(ClaimAnswer::NextLease),
            Some(_) | None if self.hash.is_final => Decided::SoldOut,
            Some(_) | None => Decided::Answer(ClaimAnswer::NeedLease),
        }
    }

    fn granted_before(&self, request: &ClaimRequest) -> Option<GrantRecord> {
        self.held
            .users
            .get(&request.user)?
            .iter()
            .find(|record| record.claim_id == request.claim_id)
            .copied()
    }

    /// What holds for every claim of the call that is not a repeat.
    fn closed(&self, call: &ClaimCall) -> Option<ClaimAnswer> {
        let published = &self.hash.published;
        let has_flaw = self.server.has(Flaw::PauseIgnored);
        if call.revision < published.terms_revision && !has_flaw {
            return Some(ClaimAnswer::StaleDefinition);
        }
        if published.lifecycle == Lifecycle::Paused && !has_flaw {
            return Some(ClaimAnswer::Paused);
        }
        let window = published.window;
        if !(published.lifecycle == Lifecycle::Live || published.lifecycle == Lifecycle::Paused)
            || window.ends_at.is_some_and(|end| self.server.now >= end)
        {
            return Some(ClaimAnswer::Ended);
        }
        if let Some(starts_at) = window.starts_at.filter(|&start| self.server.now < start) {
            return Some(ClaimAnswer::NotStarted { starts_at });
        }
        (self.server.now < self.hash.opens_at).then_some(ClaimAnswer::OpensSoon {
            opens_at: self.hash.opens_at,
        })
    }

    fn over_limit(&self, request: &ClaimRequest) -> Option<ClaimAnswer> {
        let limits = self.hash.published.limits;
        let held = self.held.users.get(&request.user).map_or(0, Vec::len);
        if held >= usize::from(limits.per_user) && !self.server.has(Flaw::UserLimitIgnored) {
            return Some(ClaimAnswer::UserLimit);
        }
        if full(&self.held.devices, request.device, limits.per_device) {
            return Some(ClaimAnswer::DeviceLimit);
        }
        if full(&self.held.addresses, request.address, limits.per_address) {
            return Some(ClaimAnswer::AddressLimit);
        }
        None
    }

    fn grant(&mut self, request: &ClaimRequest, lease: ListedLease) -> GrantRecord {
        let record = GrantRecord {
            claim_id: request.claim_id,
            ticket: lease.next,
            version: self.hash.published.version,
            granted_at: self.server.now,
            entry: self.entry,
        };
        self.lease = Some(ListedLease {
            next: lease.next.next(),
            ..lease
        });
        let claims = self.held.users.entry(request.user).or_default();
        claims.push(record);
        for (counts, subject) in [
            (&mut self.held.devices, request.device),
            (&mut self.held.addresses, request.address),
        ] {
            if let Some(subject) = subject {
                *counts.entry(subject).or_default() += 1;
            }
        }
        self.grants.push(Grant {
            ticket: lease.next,
            claim_id: request.claim_id,
            user: request.user,
            device: request.device,
            address: request.address,
        });
        record
    }

    /// The final answer: a proof counts the users of the whole batch, else no filter that is built
    /// after it would ever match.
    fn answer(&self, decided: Decided) -> ClaimAnswer {
        match decided {
            Decided::Answer(answer) => answer,
            Decided::SoldOut => ClaimAnswer::SoldOut(SoldOutProof {
                epoch: self.epoch,
                revision: self.hash.published.revision,
                stock_seq: self.hash.stock_seq,
                users: self.held.users.len() as u64,
                more_may_come: self.hash.more_may_come,
            }),
        }
    }

    /// Writes the batch: nothing where nothing was granted. False where it broke off.
    fn write(self, keys: &mut LaneKeys, coupon: CouponId) -> bool {
        let (Some(lease), Some(lane)) = (self.lease, keys.hash.as_mut()) else {
            return true;
        };
        if self.grants.is_empty() {
            return true;
        }
        lane.tail = self.entry;
        let mut hash = self.hash;
        if lease.next < lease.end {
            if let Some(front) = hash.leases.front_mut() {
                *front = lease;
            }
        } else {
            hash.leases.pop_front();
        }
        let batch = GrantBatch {
            entry: self.entry,
            coupon,
            lease: lease.number,
            revision: hash.published.revision,
            version: hash.published.version,
            granted_at: self.server.now,
            durability: hash.published.durability,
            grants: self.grants,
        };
        let held = self.held;
        hash.users = held.users.len();
        hash.writing.0 = self.entry;
        // The script adds what a call counts: hashes of limits that the coupon does not have are
        // neither compared nor written, whatever hydration filled them with.
        let limits = hash.published.limits;
        if limits.per_device.is_some() {
            hash.devices = held.devices.len();
        }
        if limits.per_address.is_some() {
            hash.addresses = held.addresses.len();
        }
        let current = keys.epoch_mut(self.epoch);
        let writes = self.server.tear.map_or(Write::COUNT, Tear::writes);
        for write in Write::order(self.server.flaw).into_iter().take(writes) {
            match write {
                Write::Ticket => current.coupon_mut(coupon).hash = Some(hash.clone()),
                Write::Entry => {
                    current.out.insert(self.entry, Arc::new(batch.clone()));
                }
                Write::Users => {
                    let kept = current.coupon_mut(coupon);
                    kept.users.clone_from(&held.users);
                    kept.devices.clone_from(&held.devices);
                    kept.addresses.clone_from(&held.addresses);
                }
                Write::Ended => {
                    if let Some(hash) = current.coupon_mut(coupon).hash.as_mut() {
                        hash.writing.1 = self.entry;
                    }
                }
            }
        }
        writes == Write::COUNT
    }
}

/// The writes of a script that grants, each for itself where it breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Ticket,
    Entry,
    Users,
    Ended,
}

// === impl Write ===

impl Write {
    const COUNT: usize = 4;

    /// The ticket first: whatever is missing after it can only under-sell.
    const fn order(flaw: Option<Flaw>) -> [Self; Self::COUNT] {
        match flaw {
            Some(Flaw::EntryLast) => [Self::Ticket, Self::Users, Self::Entry, Self::Ended],
            Some(Flaw::TicketLast) => [Self::Entry, Self::Users, Self::Ticket, Self::Ended],
            Some(_) | None => [Self::Ticket, Self::Entry, Self::Users, Self::Ended],
        }
    }
}

/// Whether a subject has all that its limit allows.
fn full(
    counts: &BTreeMap<SubjectHash, u64>,
    subject: Option<SubjectHash>,
    limit: Option<u16>,
) -> bool {
    match (subject, limit) {
        (Some(subject), Some(limit)) => {
            counts.get(&subject).copied().unwrap_or(0) >= u64::from(limit)
        }
        (None, _) | (_, None) => false,
    }
}
