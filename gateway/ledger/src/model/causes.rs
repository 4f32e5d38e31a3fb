//! Causes of the model.

use sluice_domain::cause::{CAUSES_PER_ORDER_MAX, Cause, CauseState};
use sluice_domain::id::{ClaimId, OrderId};
use sluice_domain::time::Timestamp;

use super::{ModelLedger, State};
use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::causes::{CauseSettled, Causes, Intended, OrderCauses, check_settlement};

impl State {
    fn causes_of(&self, order: &OrderId) -> Vec<Cause> {
        let all = self.causes.iter();
        let of_order = all.filter(|((held, _claim), _cause)| held == order);
        of_order.map(|(_at, cause)| cause.clone()).collect()
    }
}

#[async_trait::async_trait]
impl Causes for ModelLedger {
    async fn order_causes(&self, order: &OrderId) -> Result<OrderCauses, LedgerError> {
        self.call(|state| {
            Ok(OrderCauses {
                cancelled_at: state.cancelled_orders.get(order).copied(),
                causes: state.causes_of(order),
            })
        })
    }

    async fn intend(&self, cause: &Cause) -> Result<Intended, LedgerError> {
        self.call(|state| {
            if state.cancelled_orders.contains_key(&cause.order) {
                return Ok(Intended::OrderCancelled);
            }
            let key = (cause.order.clone(), cause.claim_id);
            let many = state.causes_of(&cause.order).len() >= CAUSES_PER_ORDER_MAX;
            match state.causes.get_mut(&key) {
                Some(held) if held.state == CauseState::Refused => *held = cause.clone(),
                Some(_further) => {}
                None if many => return Ok(Intended::TooMany),
                None => {
                    state.causes.insert(key, cause.clone());
                }
            }
            Ok(Intended::Done)
        })
    }

    async fn settle_cause(
        &self,
        order: &OrderId,
        claim_id: ClaimId,
        to: CauseState,
        entry: Option<AuditEntry>,
    ) -> Result<CauseSettled, LedgerError> {
        self.call(|state| {
            let is_cancelled = state.cancelled_orders.contains_key(order);
            let held = state.causes.get_mut(&(order.clone(), claim_id));
            let before = held.as_ref().map(|cause| cause.state);
            let settled = check_settlement(before, to, is_cancelled, order)?;
            if let (CauseSettled::Done, Some(held)) = (settled, held) {
                held.state = to;
                if let Some(entry) = entry {
                    state.write_audit(entry);
                }
            }
            Ok(settled)
        })
    }

    async fn cancel_order(&self, order: &OrderId, at: Timestamp) -> Result<Timestamp, LedgerError> {
        self.call(|state| Ok(*state.cancelled_orders.entry(order.clone()).or_insert(at)))
    }
}
