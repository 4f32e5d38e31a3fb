//! Filling a coupon from the ledger.

use std::collections::BTreeMap;

use sluice_claim::port::StoreError;
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{CouponId, EntryNumber, UserId};
use sluice_domain::lane::LaneFence;

use super::key::EpochKeys;
use super::lanes::done;
use super::layout;
use super::reply::{Code, Reply};
use super::script::Script;
use super::{RedisHotState, definition};
use crate::lane_store::{Fenced, HydrateBegin, Hydration};

/// All that one user's rows put into hot state.
#[derive(Debug, Default)]
struct Filling {
    records: Vec<u8>,
    devices: Vec<u8>,
    addresses: Vec<u8>,
}

impl RedisHotState {
    pub(super) async fn begin_hydration(
        &self,
        fence: LaneFence,
        begin: &HydrateBegin,
        attempt: u64,
    ) -> Result<Fenced<Hydration>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let published = &begin.published;
        let coupon = published.id;
        let named = [
            keys.known(),
            keys.coupon(coupon),
            keys.definition(coupon),
            keys.users(coupon),
            keys.devices(coupon),
            keys.addresses(coupon),
            keys.hydrated(),
        ];
        let call = self
            .keeper_call(Script::HydrateBegin, fence, &named)
            .arg(coupon.to_string())
            .arg(attempt)
            .arg(published.revision.0)
            .arg(layout::rules(published))
            .arg(definition::encode(published)?)
            .arg(begin.last_lease.0)
            .arg(begin.seq);
        done(self.fenced_call(call, fence).await?, step)
    }

    pub(super) async fn fill_claims(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        rows: &[ClaimRow],
    ) -> Result<Fenced<Hydration>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let named = [
            keys.coupon(coupon),
            keys.users(coupon),
            keys.devices(coupon),
            keys.addresses(coupon),
        ];
        let mut call = self
            .keeper_call(Script::HydrateClaims, fence, &named)
            .arg(attempt);
        for (user, filling) in by_user(rows) {
            call.push(user.as_bytes());
            call.push(filling.records);
            call.push(filling.devices);
            call.push(filling.addresses);
        }
        done(self.fenced_call(call, fence).await?, step)
    }

    pub(super) async fn finish_hydration(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        filled: [u64; 3],
    ) -> Result<Fenced<Hydration>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let named = [
            keys.hydrated(),
            keys.coupon(coupon),
            keys.users(coupon),
            keys.devices(coupon),
            keys.addresses(coupon),
        ];
        let mut call = self
            .keeper_call(Script::HydrateFinish, fence, &named)
            .arg(coupon.to_string())
            .arg(attempt);
        for count in filled {
            call.push(count);
        }
        call.push(self.opens_delay_ms());
        done(self.fenced_call(call, fence).await?, step)
    }
}

/// The rows, user by user, in the order in which they were given. Revoked ones too: a claim's id is
/// never given a second time.
fn by_user(rows: &[ClaimRow]) -> BTreeMap<UserId, Filling> {
    let mut users: BTreeMap<UserId, Filling> = BTreeMap::new();
    for row in rows {
        let filling = users.entry(row.user).or_default();
        let record = GrantRecord {
            claim_id: row.claim_id,
            ticket: row.ticket,
            version: row.version,
            granted_at: row.granted_at,
            // A row waits for nothing.
            entry: EntryNumber(0),
        };
        layout::push_record(&mut filling.records, &record);
        filling
            .devices
            .extend(row.device.iter().flat_map(|hash| hash.0));
        filling
            .addresses
            .extend(row.address.iter().flat_map(|hash| hash.0));
    }
    users
}

fn step(reply: Reply) -> Result<Hydration, StoreError> {
    match reply.code {
        Code::Done => Ok(Hydration::Done),
        Code::AlreadyReady => Ok(Hydration::AlreadyReady),
        Code::StaleRevision => Ok(Hydration::StaleRevision),
        Code::CountsDiffer => Ok(Hydration::CountsDiffer),
        Code::Superseded => Ok(Hydration::Superseded),
        _ => Err(reply.unexpected()),
    }
}
