//! What is fixed when a ledger is made, and the numbers that it gives.

use sluice_domain::id::{CouponNumber, LedgerId};
use sluice_domain::lane::LaneCount;

use super::failure::{self, Failure};
use super::store::{Cas, Reading, Store, back_off, fresh_op};
use super::value::values;
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::lanes::LedgerIdentity;

const READ: &str =
    "SELECT ledger_id, hash_key, lanes, numbers_given, op FROM meta WHERE name = 'ledger'";
const MAKE: &str = "INSERT INTO meta (name, ledger_id, hash_key, lanes, numbers_given, op) \
                    VALUES ('ledger', ?, ?, ?, ?, ?) IF NOT EXISTS";
const GIVE: &str = "UPDATE meta SET numbers_given = ?, op = ? WHERE name = 'ledger' IF op = ?";
const MAKE_LANE: &str = "INSERT INTO lanes (lane, epoch, opened, keeper, holder, until, seq, op) \
                         VALUES (?, 0, 0, 0, '', 0, 0, ?) IF NOT EXISTS";

pub(super) const STATEMENTS: &[&str] = &[READ, MAKE, GIVE, MAKE_LANE];

/// Attempts at a statement that may be repeated because its own condition keeps it from taking
/// place twice.
const ATTEMPTS: u32 = 5;
/// Writers that a giver of numbers may lose against.
const ROUNDS: u32 = 30;

/// Sends a statement that is on the condition that its row is not there, until it is answered.
async fn insert(
    store: &Store,
    text: &'static str,
    values: Vec<super::value::Bound>,
) -> Result<(), LedgerError> {
    let mut reason = String::new();
    for attempt in 0..ATTEMPTS {
        match store.cas(text, values.clone()).await {
            Ok(Cas::Applied | Cas::Refused) => return Ok(()),
            Err(Failure::Refused(error)) => reason = error.to_string(),
            Err(Failure::Uncertain(why)) => reason = why,
        }
        back_off(attempt).await;
    }
    Err(failure::unknown(reason))
}

/// Reads the identity, or gives the ledger one with its lanes.
pub(super) async fn ensure(store: &Store, lanes: LaneCount) -> Result<LedgerIdentity, LedgerError> {
    let (mut id, mut key) = ([0_u8; 16], [0_u8; 32]);
    let random = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut key));
    random.map_err(|error| failure::unavailable(&error))?;
    let known = store.row(READ, values![], Reading::Serial).await?;
    if known.is_none() {
        let values = values![id, key, lanes.get(), 0_u32, fresh_op()?];
        insert(store, MAKE, values).await?;
    }
    let record = store.row(READ, values![], Reading::Serial).await?;
    let record = record.ok_or_else(|| LedgerError::corrupt("the ledger has no identity"))?;
    let count = LaneCount::new(record.number("lanes")?);
    let lanes =
        count.map_err(|count| LedgerError::corrupt(format!("the ledger has {count} lanes")))?;
    for lane in lanes.iter() {
        insert(store, MAKE_LANE, values![lane.0, fresh_op()?]).await?;
    }
    Ok(LedgerIdentity {
        id: LedgerId(record.bytes("ledger_id")?),
        lanes,
        hash_key: record.bytes("hash_key")?,
    })
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Gives the next number of a coupon.
    pub(super) async fn give_number(&self) -> Result<CouponNumber, LedgerError> {
        for round in 0..ROUNDS {
            let record = self.store.row(READ, values![], Reading::Serial).await?;
            let record = record.ok_or_else(|| LedgerError::corrupt("no identity"))?;
            let given: u32 = record.number::<u32>("numbers_given")?.saturating_add(1);
            let seen: [u8; 16] = record.bytes("op")?;
            let op = fresh_op()?;
            let calls = vec![(GIVE, values![given, op, seen])];
            let written = self.store.write(calls, (READ, values![]), Some(seen), op);
            if written.await? {
                return Ok(CouponNumber(given));
            }
            back_off(round).await;
        }
        Err(crowded("the giver of numbers", "of coupons"))
    }
}
