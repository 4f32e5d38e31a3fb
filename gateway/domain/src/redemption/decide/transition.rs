//! Putting a transition together.

use super::super::{
    Redemption, RedemptionStatus, TakenUse, Transition, TransitionEvent, UseChange, UseTarget,
};
use super::{Command, Context, OperationResult};
use crate::id::ClaimId;
use crate::pricing::Applied;
use crate::terms::MinorUnits;
use crate::time::Timestamp;

/// The transition that replaces `seen` by `redemption`, whose row version, time of change and event
/// are filled in here. A refund is the redemption's last one.
pub(super) fn transition(
    seen: Option<&Redemption>,
    mut redemption: Redemption,
    uses: Vec<UseChange>,
    command: &Command,
    context: &Context<'_>,
) -> Transition {
    let before = seen.map(|seen| seen.row_version);
    redemption.row_version = before.unwrap_or_default().next();
    redemption.updated_at = context.now;
    let refund = match command {
        Command::Refund { .. } => redemption.refunds.last().cloned(),
        Command::Hold(_) | Command::Confirm { .. } | Command::Cancel { .. } | Command::Expire => {
            None
        }
    };
    let result = OperationResult {
        status: redemption.status,
        held_until: redemption.held_until,
        refund,
    };
    let event = TransitionEvent {
        redemption: redemption.id,
        row_version: redemption.row_version,
        at: context.now,
        from: seen.map(|seen| seen.status),
        to: redemption.status,
        operation_id: command.operation_id(seen),
        fingerprint: command.fingerprint(),
        actor: context.actor.to_owned(),
        result: serde_json::to_string(&result).expect("a result has text keys only"),
    };
    Transition {
        redemption,
        seen: before,
        event,
        uses,
    }
}

/// The same redemption in another status.
pub(super) fn moved(redemption: &Redemption, status: RedemptionStatus) -> Redemption {
    Redemption {
        status,
        ..redemption.clone()
    }
}

/// A use of this redemption, reserved or spent (`held_until` is `None`).
pub(super) fn taken(
    applied: &Applied,
    value: MinorUnits,
    held_until: Option<Timestamp>,
    counted_at: Timestamp,
    context: &Context<'_>,
) -> UseChange {
    let now = (context.claim_now)(applied, counted_at);
    UseChange {
        claim_id: applied.claim_id,
        to: UseTarget::Taken(TakenUse {
            held_until,
            value,
            uses_per_claim: now.uses_per_claim,
            user_limit: now.user_limit,
            budget: now.budget,
        }),
    }
}

pub(super) fn freed(claim_id: ClaimId) -> UseChange {
    UseChange {
        claim_id,
        to: UseTarget::Free,
    }
}

/// All uses of a redemption that is held are given up.
pub(super) fn all_freed(redemption: &Redemption) -> Vec<UseChange> {
    let applied = redemption.record.quote.applied.iter();
    applied.map(|applied| freed(applied.claim_id)).collect()
}
