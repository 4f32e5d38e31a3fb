//! Hot state as claims see it.

use redis::Value;
use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimStore, DefinitionAnswer, SoldOutProof, StoreError,
    WinnersPage,
};
use sluice_domain::claim::GrantRecord;
use sluice_domain::id::{
    CouponId, EntryNumber, Epoch, LaneId, Revision, StockSeq, Ticket, Version,
};
use sluice_domain::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::call::Call;
use super::key::EpochKeys;
use super::layout::{FLAG_MORE_MAY_COME, RECORD_BYTES, records};
use super::reply::{Code, Reply, bytes, narrow, nonsense};
use super::script::Script;
use super::{RedisHotState, definition, key, outbox};

/// Users per page of winners: a page costs Redis well under a millisecond.
const WINNERS_PAGE: usize = 1_000;
/// A larger filter is not shared: it would hold Redis up for everybody.
const FILTER_BYTES_MAX: usize = 16 * 1024 * 1024;

impl ClaimStore for RedisHotState {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        let (epoch, keys) = self.keys(call.lane)?;
        let coupon = call.coupon;
        let mut script = Call::new(&self.handles, Script::Claim)
            .key(&key::lane(call.lane))
            .key(&keys.hydrated())
            .key(&keys.coupon(coupon))
            .key(&keys.users(coupon))
            .key(&keys.devices(coupon))
            .key(&keys.addresses(coupon))
            .key(&keys.outbox())
            .arg(epoch.0)
            .arg(coupon.to_string())
            .arg(call.revision.0)
            .arg(self.settings.outbox_entries_max)
            .arg(replay_flags(&call));
        for request in &call.requests {
            script.push(outbox::record(
                &request.user,
                request.claim_id,
                request.device,
                request.address,
            ));
            script.push(request.user.as_bytes());
        }
        let reply = script
            .run(self.claim_way(call.lane), call.lane, epoch)
            .await?;
        decided(reply.ready(call.lane, epoch)?, &call, epoch)
    }

    async fn definition(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        let (epoch, keys) = self.keys(lane)?;
        let mut reply = Call::new(&self.handles, Script::Definition)
            .key(&key::lane(lane))
            .key(&keys.known())
            .key(&keys.definition(coupon))
            .arg(epoch.0)
            .arg(coupon.to_string())
            .run(self.claim_way(lane), lane, epoch)
            .await?
            .ready(lane, epoch)?;
        match reply.code {
            Code::Done => {}
            Code::UnknownCoupon => return Ok(DefinitionAnswer::Unknown),
            _ => return Err(reply.unexpected()),
        }
        let life = reply.text()?;
        let published = definition::decode(&reply.bytes()?)?;
        match life.as_str() {
            "live" => Ok(DefinitionAnswer::Found(published)),
            "retired" => Ok(DefinitionAnswer::Retired(published)),
            _ => Err(nonsense("a coupon's life is neither live nor retired")),
        }
    }

    async fn winners(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        cursor: u64,
    ) -> Result<Option<WinnersPage>, StoreError> {
        let keys = EpochKeys::new(lane, proof.epoch);
        let call = Call::new(&self.handles, Script::Winners)
            .key(&key::lane(lane))
            .key(&keys.coupon(coupon))
            .key(&keys.users(coupon));
        let call = with_proof(call, proof).arg(cursor).arg(WINNERS_PAGE);
        let Some(mut reply) = self.proven(call, lane, proof).await? else {
            return Ok(None);
        };
        let next = reply.number()?;
        let user_hashes = reply
            .rest()
            .map(|user| Ok(xxh3_64(&bytes(user)?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(WinnersPage {
            user_hashes,
            next: (next != 0).then_some(next),
        }))
    }

    async fn load_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let keys = EpochKeys::new(lane, proof.epoch);
        let call = Call::new(&self.handles, Script::FilterLoad)
            .key(&key::lane(lane))
            .key(&keys.coupon(coupon))
            .key(&keys.filter(coupon));
        let call = with_proof(call, proof).arg(&packed(proof)[..]);
        match self.proven(call, lane, proof).await? {
            Some(mut reply) => reply.bytes().map(Some),
            None => Ok(None),
        }
    }

    async fn store_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        filter: Vec<u8>,
    ) -> Result<(), StoreError> {
        if filter.len() > FILTER_BYTES_MAX {
            return Ok(());
        }
        let keys = EpochKeys::new(lane, proof.epoch);
        let call = Call::new(&self.handles, Script::FilterStore)
            .key(&key::lane(lane))
            .key(&keys.coupon(coupon))
            .key(&keys.filter(coupon));
        let life_ms = u64::try_from(self.settings.filter_life.as_millis()).unwrap_or(u64::MAX);
        let call = with_proof(call, proof)
            .arg(&packed(proof)[..])
            .arg(filter)
            .arg(life_ms);
        self.proven(call, lane, proof).await.map(|_reply| ())
    }
}

impl RedisHotState {
    /// Runs a call that holds only under a proof; `None` where the proof is gone.
    async fn proven(
        &self,
        call: Call<'_>,
        lane: LaneId,
        proof: SoldOutProof,
    ) -> Result<Option<Reply>, StoreError> {
        let reply = call.run(self.keeper_way(lane), lane, proof.epoch).await?;
        match reply.code {
            // The proof is of an epoch; another one has none of it.
            Code::ProofGone | Code::Epoch => return Ok(None),
            _ => {}
        }
        let reply = reply.ready(lane, proof.epoch)?;
        match reply.code {
            Code::Done => Ok(Some(reply)),
            _ => Err(reply.unexpected()),
        }
    }
}

/// A 0 or 1 per claim, or nothing where all may be granted.
fn replay_flags(call: &ClaimCall) -> Vec<u8> {
    if call.requests.iter().any(|request| request.replay_only) {
        let flag = |replay_only| if replay_only { b'1' } else { b'0' };
        call.requests
            .iter()
            .map(|request| flag(request.replay_only))
            .collect()
    } else {
        Vec::new()
    }
}

fn with_proof(call: Call<'_>, proof: SoldOutProof) -> Call<'_> {
    call.arg(proof.epoch.0)
        .arg(proof.revision.0)
        .arg(proof.stock_seq.0)
        .arg(proof.users)
}

/// What a stored filter begins with.
fn packed(proof: SoldOutProof) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&proof.revision.0.to_be_bytes());
    bytes[4..12].copy_from_slice(&proof.stock_seq.0.to_be_bytes());
    bytes[12..].copy_from_slice(&proof.users.to_be_bytes());
    bytes
}

/// Reads the claim script's answer.
fn decided(mut reply: Reply, call: &ClaimCall, epoch: Epoch) -> Result<ClaimReply, StoreError> {
    match reply.code {
        Code::Done => {}
        Code::CouponNotReady => {
            return Err(StoreError::CouponNotReady {
                coupon: call.coupon,
            });
        }
        Code::Backpressure => {
            return Err(StoreError::Backpressure {
                reason: "the outbox is full",
            });
        }
        _ => return Err(reply.unexpected()),
    }
    let lane_time = time(reply.number()?);
    let letters = reply.bytes()?;
    if letters.len() != call.requests.len() {
        return Err(nonsense("not every claim was answered"));
    }
    let instant = time(reply.number()?);
    let mut ticket = Ticket(reply.number()?);
    let version = Version(narrow(reply.number()?)?);
    let entry = EntryNumber(reply.number()?);
    let proof = SoldOutProof {
        epoch,
        revision: Revision(narrow(reply.number()?)?),
        stock_seq: StockSeq(reply.number()?),
        users: reply.number()?,
        more_may_come: u8::try_from(reply.number()?).unwrap_or(0) & FLAG_MORE_MAY_COME != 0,
    };
    let mut replays = reply.rest();
    let mut answers = Vec::with_capacity(letters.len());
    for (letter, request) in letters.into_iter().zip(&call.requests) {
        answers.push(match letter {
            b'G' => {
                let record = GrantRecord {
                    claim_id: request.claim_id,
                    ticket,
                    version,
                    granted_at: lane_time,
                    entry,
                };
                ticket = ticket.next();
                ClaimAnswer::Granted(record)
            }
            b'R' => ClaimAnswer::Replayed(replayed(replays.next(), call.coupon)?),
            b'N' => ClaimAnswer::NoClaim,
            b'S' => ClaimAnswer::StaleDefinition,
            b'P' => ClaimAnswer::Paused,
            b'E' => ClaimAnswer::Ended,
            b'B' => ClaimAnswer::NotStarted { starts_at: instant },
            b'O' => ClaimAnswer::OpensSoon { opens_at: instant },
            b'U' => ClaimAnswer::UserLimit,
            b'D' => ClaimAnswer::DeviceLimit,
            b'A' => ClaimAnswer::AddressLimit,
            b'F' => ClaimAnswer::SoldOut(proof),
            b'X' => ClaimAnswer::NextLease,
            b'L' => ClaimAnswer::NeedLease,
            _ => return Err(nonsense("a claim's answer is not known")),
        });
    }
    Ok(ClaimReply {
        epoch,
        lane_time,
        answers,
    })
}

fn replayed(record: Option<Value>, coupon: CouponId) -> Result<GrantRecord, StoreError> {
    let record = bytes(record.ok_or_else(|| nonsense("a replay has no record"))?)?;
    debug_assert_eq!(record.len(), RECORD_BYTES);
    match records(coupon, &record)?.as_slice() {
        [record] => Ok(*record),
        _ => Err(nonsense("a replay has not one record")),
    }
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
