//! Reading what the scripts answer about a lane and its coupons.

use redis::Value;
use sluice_claim::port::StoreError;
use sluice_domain::id::{
    CouponId, EntryNumber, Epoch, KeeperNumber, LeaseNumber, LedgerId, StockSeq, Ticket, UserId,
};
use sluice_domain::time::Timestamp;

use crate::lane_store::{CouponFigures, LaneFacts, LaneState, OutboxEntry};
use crate::redis::layout::{self, FLAG_FINAL};
use crate::redis::outbox;
use crate::redis::reply::{Code, Reply, array, bytes, narrow, nonsense};

pub(super) fn facts(mut reply: Reply) -> Result<LaneFacts, StoreError> {
    if reply.code != Code::Done {
        return Err(reply.unexpected());
    }
    let time = |ms: u64| Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    Ok(LaneFacts {
        lane_time: time(reply.number()?),
        same_server: reply.number()? == 1,
        epoch: Epoch(reply.number()?),
        state: match reply.text()?.as_str() {
            "open" => LaneState::Open,
            "recovering" => LaneState::Recovering,
            "halted" => LaneState::Halted,
            _ => return Err(nonsense("a lane's state is not known")),
        },
        keeper: KeeperNumber(reply.number()?),
        lease_until: time(reply.number()?),
        ledger_id: u128::from_str_radix(&reply.text()?, 16)
            .map(|id| LedgerId(id.to_be_bytes()))
            .map_err(|_digits| nonsense("a ledger id is not hexadecimal"))?,
        seq: reply.number()?,
        tail: EntryNumber(reply.number()?),
        unsalvaged: reply
            .text()?
            .split(',')
            .filter(|epoch| !epoch.is_empty())
            .map(|epoch| epoch.parse().map(Epoch))
            .collect::<Result<_, _>>()
            .map_err(|_digits| nonsense("an unsalvaged epoch is no number"))?,
        mark: reply.optional_number()?.map(EntryNumber),
        refused: reply.number()?,
    })
}

pub(super) fn figures(coupon: CouponId, mut reply: Reply) -> Result<CouponFigures, StoreError> {
    let revision = layout::rules_revision(&reply.bytes()?)?;
    let packed = match reply.value()? {
        Value::Nil => None,
        value => Some(bytes(value)?),
    };
    let listed = reply.bytes()?;
    let hydrating_last = LeaseNumber(narrow(reply.number()?)?);
    let Some(packed) = packed else {
        return Ok(CouponFigures {
            coupon,
            ready: false,
            revision,
            leases: Vec::new(),
            last_lease: hydrating_last,
            is_final: false,
            stock_seq: StockSeq(0),
            users: 0,
            devices: 0,
            addresses: 0,
        });
    };
    let stock = layout::stock(&packed)?;
    let mut leases: Vec<(LeaseNumber, Ticket, Ticket)> = Vec::new();
    if stock.next < stock.end {
        leases.push((stock.lease, stock.next, stock.end));
    }
    leases.extend(layout::listed(&listed)?);
    Ok(CouponFigures {
        coupon,
        ready: true,
        revision,
        leases,
        last_lease: stock.last_lease,
        is_final: stock.flags & FLAG_FINAL != 0,
        stock_seq: stock.stock_seq,
        users: stock.users,
        devices: stock.devices,
        addresses: stock.addresses,
    })
}

/// An entry as XRANGE answers it: its id and its fields.
pub(super) fn entry(value: Value) -> Result<OutboxEntry, StoreError> {
    let mut parts = array(value)?.into_iter();
    let (Some(id), Some(fields)) = (parts.next(), parts.next()) else {
        return Err(nonsense("an outbox entry has no fields"));
    };
    let id = bytes(id)?;
    let number = std::str::from_utf8(&id)
        .ok()
        .and_then(|id| id.split_once('-'))
        .and_then(|(number, _part)| number.parse().ok())
        .map(EntryNumber)
        .ok_or_else(|| nonsense("an outbox entry's id is no number"))?;
    let fields = array(fields)?
        .into_iter()
        .map(bytes)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(outbox::decode(number, &fields))
}

pub(super) fn coupon_id(value: Value) -> Result<CouponId, StoreError> {
    let text = bytes(value)?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| nonsense("a coupon id cannot be read"))
}

pub(super) fn user_id(value: Value) -> Result<UserId, StoreError> {
    let text = bytes(value)?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| UserId::new(text).ok())
        .ok_or_else(|| nonsense("a user id cannot be read"))
}
