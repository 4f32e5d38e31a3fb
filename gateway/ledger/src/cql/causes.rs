//! Causes on CQL: all of one order is one partition, written as a whole on the condition of its
//! stamp. An audit entry stands there as pending until it is in the log; every call finishes one
//! that an earlier call left, also a call that has nothing to write.

use sluice_domain::cause::{CAUSES_PER_ORDER_MAX, Cause, CauseState};
use sluice_domain::id::{ClaimId, OrderId};
use sluice_domain::time::Timestamp;

use super::audit::Pending;
use super::store::{Call, Reading, back_off, fresh_op};
use super::value::{Record, from_json, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::causes::{CauseSettled, Causes, Intended, OrderCauses, check_settlement};
use crate::coupons::change::to_json;

const READ: &str = "SELECT op, cancelled_at, pending_audit, claim_id, user_id, at, state \
                    FROM order_causes WHERE order_id = ?";
const PROBE: &str = "SELECT op FROM order_causes WHERE order_id = ? LIMIT 1";
const WRITE: &str = "UPDATE order_causes SET op = ?, cancelled_at = ?, pending_audit = ? \
                     WHERE order_id = ? IF op = ?";
const WRITE_CAUSE: &str = "UPDATE order_causes SET user_id = ?, at = ?, state = ? \
                           WHERE order_id = ? AND claim_id = ?";
const CLEAR: &str = "UPDATE order_causes SET pending_audit = null WHERE order_id = ? \
                     IF pending_audit = ?";

pub(super) const STATEMENTS: &[&str] = &[READ, PROBE, WRITE, WRITE_CAUSE, CLEAR];

/// Writers of one order that may be lost against.
const ROUNDS: u32 = 20;

/// An order's partition. One that was never written is empty.
struct Order {
    id: OrderId,
    op: Option<[u8; 16]>,
    pending: Option<Pending>,
    known: OrderCauses,
}

const fn state_word(state: CauseState) -> &'static str {
    match state {
        CauseState::Intended => "intended",
        CauseState::Granted => "granted",
        CauseState::Refused => "refused",
        CauseState::Revoked => "revoked",
        CauseState::Flagged => "flagged",
    }
}

fn state_of(word: &str) -> Result<CauseState, LedgerError> {
    match word {
        "intended" => Ok(CauseState::Intended),
        "granted" => Ok(CauseState::Granted),
        "refused" => Ok(CauseState::Refused),
        "revoked" => Ok(CauseState::Revoked),
        "flagged" => Ok(CauseState::Flagged),
        other => Err(LedgerError::corrupt(format!("a cause is {other:?}"))),
    }
}

/// `None` for the row that a partition without causes is read as.
fn decode_cause(order: &OrderId, record: &Record) -> Result<Option<Cause>, LedgerError> {
    let Some(claim_id) = record.opt_bytes("claim_id")? else {
        return Ok(None);
    };
    Ok(Some(Cause {
        order: order.clone(),
        claim_id: ClaimId(claim_id),
        user: record.user("user_id")?,
        at: record.instant("at")?,
        state: state_of(record.text("state")?)?,
    }))
}

fn decode(order: &OrderId, records: &[Record]) -> Result<Order, LedgerError> {
    let mut held = Order {
        id: order.clone(),
        op: None,
        pending: None,
        known: OrderCauses::default(),
    };
    if let Some(first) = records.first() {
        held.op = first.opt_bytes("op")?;
        held.known.cancelled_at = first.opt_instant("cancelled_at")?;
        let pending = first.opt_text("pending_audit")?;
        held.pending = pending.map(from_json).transpose()?;
    }
    for record in records {
        held.known.causes.extend(decode_cause(order, record)?);
    }
    held.known
        .causes
        .sort_unstable_by_key(|cause| cause.claim_id);
    Ok(held)
}

fn cause_call(cause: &Cause) -> Call {
    let state = state_word(cause.state);
    let order = cause.order.as_str();
    let values = values![cause.user, cause.at, state, order, cause.claim_id];
    (WRITE_CAUSE, values)
}

// === impl Order ===

impl Order {
    fn find(&self, claim_id: ClaimId) -> Option<&Cause> {
        let mut causes = self.known.causes.iter();
        causes.find(|cause| cause.claim_id == claim_id)
    }

    fn is_cancelled(&self) -> bool {
        self.known.cancelled_at.is_some()
    }

    /// What an intent comes to; `None` where it is to be written.
    fn answer_intent(&self, cause: &Cause) -> Option<Intended> {
        if self.is_cancelled() {
            return Some(Intended::OrderCancelled);
        }
        match self.find(cause.claim_id).map(|held| held.state) {
            None if self.known.causes.len() >= CAUSES_PER_ORDER_MAX => Some(Intended::TooMany),
            None | Some(CauseState::Refused) => None,
            Some(_further) => Some(Intended::Done),
        }
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Reads an order through Paxos: what is under way there is finished first.
    async fn read_order(&self, order: &OrderId) -> Result<Order, LedgerError> {
        let key = values![order.as_str()];
        let records = self.store.rows(READ, key, Reading::Serial).await?;
        decode(order, &records)
    }

    /// The same, with its pending audit entry in the log.
    async fn settled_order(&self, order: &OrderId) -> Result<Order, LedgerError> {
        let mut held = self.read_order(order).await?;
        self.finish_order_audit(&held).await?;
        held.pending = None;
        Ok(held)
    }

    /// Writes an order that was read, with a cause of it, all or nothing; false where another write
    /// came first.
    async fn write_order(&self, held: &Order, cause: Option<&Cause>) -> Result<bool, LedgerError> {
        let (op, order) = (fresh_op()?, held.id.as_str());
        let pending = held.pending.as_ref().map(to_json).transpose()?;
        let cancelled_at = held.known.cancelled_at;
        let mut calls = vec![(WRITE, values![op, cancelled_at, pending, order, held.op])];
        calls.extend(cause.map(cause_call));
        let probe = (PROBE, values![order]);
        self.store.write(calls, probe, held.op, op).await
    }

    async fn finish_order_audit(&self, held: &Order) -> Result<(), LedgerError> {
        let Some(pending) = &held.pending else {
            return Ok(());
        };
        self.record(pending).await?;
        // Left standing where this fails: recording it again changes nothing.
        let clear = values![held.id.as_str(), to_json(pending)?];
        if let Err(error) = self.store.cas(CLEAR, clear).await {
            tracing::debug!(?error, order = %held.id, "a pending audit entry stays for now");
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Causes for CqlLedger {
    async fn order_causes(&self, order: &OrderId) -> Result<OrderCauses, LedgerError> {
        let held = self.read_order(order).await?;
        if let Err(error) = self.finish_order_audit(&held).await {
            tracing::warn!(%error, %order, "an audit entry is recorded later");
        }
        Ok(held.known)
    }

    async fn intend(&self, cause: &Cause) -> Result<Intended, LedgerError> {
        for round in 0..ROUNDS {
            let held = self.settled_order(&cause.order).await?;
            if let Some(answer) = held.answer_intent(cause) {
                return Ok(answer);
            }
            if self.write_order(&held, Some(cause)).await? {
                return Ok(Intended::Done);
            }
            back_off(round).await;
        }
        Err(crowded("order", &cause.order))
    }

    async fn settle_cause(
        &self,
        order: &OrderId,
        claim_id: ClaimId,
        to: CauseState,
        entry: Option<AuditEntry>,
    ) -> Result<CauseSettled, LedgerError> {
        for round in 0..ROUNDS {
            let mut held = self.settled_order(order).await?;
            let cause = held.find(claim_id).cloned();
            let before = cause.as_ref().map(|cause| cause.state);
            let settled = check_settlement(before, to, held.is_cancelled(), order)?;
            let (CauseSettled::Done, Some(mut cause)) = (settled, cause) else {
                return Ok(settled);
            };
            cause.state = to;
            let entry = entry.clone();
            held.pending = entry.map(|entry| self.pending(entry)).transpose()?;
            if self.write_order(&held, Some(&cause)).await? {
                // Written either way: whoever comes next records what is pending.
                if let Err(error) = self.finish_order_audit(&held).await {
                    tracing::warn!(%error, %order, "an audit entry is recorded later");
                }
                return Ok(settled);
            }
            back_off(round).await;
        }
        Err(crowded("order", order))
    }

    async fn cancel_order(&self, order: &OrderId, at: Timestamp) -> Result<Timestamp, LedgerError> {
        for round in 0..ROUNDS {
            let mut held = self.settled_order(order).await?;
            if let Some(first) = held.known.cancelled_at {
                return Ok(first);
            }
            held.known.cancelled_at = Some(at);
            if self.write_order(&held, None).await? {
                return Ok(at);
            }
            back_off(round).await;
        }
        Err(crowded("order", order))
    }
}
