//! What was set aside, on CQL: one partition for each lane.

use sluice_domain::id::{ClaimId, EntryNumber, Epoch, LaneId};

use super::store::{Reading, back_off, fresh_op};
use super::value::{Record, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::claims::DeadLetter;

const STAMP: &str = "SELECT op, given FROM dead_letters WHERE lane = ? LIMIT 1";
const GIVE: &str = "UPDATE dead_letters SET op = ?, given = ? WHERE lane = ? IF op = ?";
const INSERT: &str = "INSERT INTO dead_letters (lane, epoch, entry, claim_id, place, at, reason, \
                      payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const FIND: &str = "SELECT place FROM dead_letters \
                    WHERE lane = ? AND epoch = ? AND entry = ? AND claim_id = ?";
const LIST: &str = "SELECT epoch, entry, claim_id, place, at, reason, payload FROM dead_letters \
                    WHERE lane = ?";

pub(super) const STATEMENTS: &[&str] = &[STAMP, GIVE, INSERT, FIND, LIST];

/// Writers of a lane's letters that may be lost against.
const ROUNDS: u32 = 20;

fn decode(lane: LaneId, record: &Record) -> Result<(u64, DeadLetter), LedgerError> {
    let claim_id = record.opt_blob("claim_id")?.unwrap_or_default();
    let letter = DeadLetter {
        lane,
        epoch: Epoch(record.number("epoch")?),
        entry: EntryNumber(record.number("entry")?),
        // Empty where the whole entry was set aside.
        claim_id: <[u8; 16]>::try_from(claim_id).ok().map(ClaimId),
        at: record.instant("at")?,
        reason: record.text("reason")?.to_owned(),
        payload: record.opt_blob("payload")?.unwrap_or_default().to_vec(),
    };
    Ok((record.number("place")?, letter))
}

// === impl CqlLedger ===

impl CqlLedger {
    pub(super) async fn set_one_aside(&self, letter: &DeadLetter) -> Result<(), LedgerError> {
        let claim_id = letter.claim_id.map_or(Vec::new(), |id| id.0.to_vec());
        let (lane, epoch, entry) = (letter.lane.0, letter.epoch.0, letter.entry.0);
        for round in 0..ROUNDS {
            // The stamp is read first: who writes in between is seen by it.
            let stamp = self
                .store
                .row(STAMP, values![lane], Reading::Serial)
                .await?;
            let key = values![lane, epoch, entry, claim_id];
            if self.store.row(FIND, key, Reading::Serial).await?.is_some() {
                return Ok(());
            }
            let (seen, given) = match &stamp {
                Some(row) => (row.opt_bytes("op")?, row.opt_number("given")?.unwrap_or(0)),
                None => (None, 0_u64),
            };
            let op = fresh_op()?;
            let row = values![
                lane,
                epoch,
                entry,
                claim_id,
                given + 1,
                letter.at,
                letter.reason,
                letter.payload
            ];
            let calls = vec![(GIVE, values![op, given + 1, lane, seen]), (INSERT, row)];
            if self
                .store
                .write(calls, (STAMP, values![lane]), seen, op)
                .await?
            {
                return Ok(());
            }
            back_off(round).await;
        }
        Err(crowded("the letters of lane", letter.lane))
    }

    pub(super) async fn letters_of_lane(
        &self,
        lane: LaneId,
    ) -> Result<Vec<DeadLetter>, LedgerError> {
        let records = self
            .store
            .rows(LIST, values![lane.0], Reading::Quorum)
            .await?;
        let letters = records.iter().map(|record| decode(lane, record));
        let mut letters: Vec<(u64, DeadLetter)> = letters.collect::<Result<_, _>>()?;
        letters.sort_by_key(|(place, _letter)| *place);
        Ok(letters.into_iter().map(|(_place, letter)| letter).collect())
    }
}
