//! The state machine of a redemption: what a command does to it, as a pure function.
//!
//! The caller reads the event of the command's operation id, *then* the redemption (or both in one
//! snapshot), decides, and carries the [`Transition`] out as one compare-and-set. Where another
//! transition came first it reads and decides again. A command is answered in this order:
//!
//! 1. The operation was carried out before: its answer again (`key_reused` where its content is
//!    another). Repeats never depend on what happened since.
//! 2. The redemption is not in a status that the command starts from: `conflict`, with the status
//!    that won.
//! 3. Conditions of the command (price, pieces left, claims still valid).
//!
//! # Time
//! A hold is over at `held_until`, exactly, whether or not the sweeper has been there: a `held` row
//! at or after that instant is treated like an `expired` one. It may be held again, and confirming
//! it takes the uses anew at the frozen price, if every claim is still valid at that time; else
//! `hold_expired`. The difference that remains is one of uses: an unswept row still has them, so
//! nobody else can have taken them. Confirm and expiry meet in one compare-and-set on the row's
//! version. Cancelling works on every unconfirmed `held` row; an expired one has nothing to free.
//!
//! # Operation ids
//! | command | operation id |
//! | --- | --- |
//! | hold | `hold:<content>:<row version it starts from>`: holding A, then B, then A again is no repeat of the first |
//! | confirm | `key:<idempotency key>` or `confirm` |
//! | cancel | `key:<idempotency key>` or `cancel` |
//! | refund | `refund:<refund id>` |
//! | expire | `expire:<row version it starts from>` |
//!
//! Keys have a prefix, so that no key of a caller is ever an id of ours.

mod answer;
mod cancel;
mod confirm;
mod expire;
mod fingerprint;
mod hold;
mod refund;
mod refusal;
mod transition;

#[cfg(test)]
mod tests;

use super::{QuoteRecord, Redemption, RefundPolicy, Transition, TransitionEvent, UserLimit};
use crate::cart::Cart;
use crate::id::{OrderId, RedemptionId};
use crate::pricing::{Applied, Quote};
use crate::refund::Wanted;
use crate::terms::MinorUnits;
use crate::time::Timestamp;

pub use answer::{Answer, OperationResult, ResultError};
pub use fingerprint::HoldContent;
pub use hold::{ROW_VERSION_TO_HOLD_MAX, standing_hold};
pub use refusal::Refusal;

/// What somebody wants done to a redemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Reserve claims for an order.
    Hold(Box<Hold>),
    /// It was paid.
    Confirm {
        /// The caller's idempotency key.
        key: Option<String>,
    },
    /// It was given up.
    Cancel {
        /// The caller's idempotency key.
        key: Option<String>,
    },
    /// Something comes back.
    Refund {
        /// The caller's id for it.
        refund_id: String,
        /// What.
        wanted: Wanted,
    },
    /// The hold ran out (the sweeper).
    Expire,
}

/// A hold, priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The redemption's id, derived from the order's.
    pub id: RedemptionId,
    /// The order.
    pub order: OrderId,
    /// The hash of [`HoldContent`].
    pub fingerprint: [u8; 32],
    /// The total that the caller expects.
    pub expected_total: Option<MinorUnits>,
    /// The quote, in which every given claim applies, and what it was computed from.
    pub record: QuoteRecord,
}

/// What the ledger has.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The redemption; `None`: the order has none.
    pub redemption: Option<&'a Redemption>,
    /// The event with the command's [operation id](Command::operation_id), read before the
    /// redemption or together with it.
    pub event: Option<&'a TransitionEvent>,
}

/// What is known of an applied claim at the time of the command, for the limits of its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNow {
    /// Uses that one claim has, by its frozen terms; from 1.
    pub uses_per_claim: u32,
    /// The frozen limit of uses by one user, and the period of the instant asked for.
    pub user_limit: Option<UserLimit>,
    /// The budget of the coupon's current definition.
    pub budget: Option<MinorUnits>,
    /// The claim was taken back, or its coupon archived.
    pub withdrawn: bool,
}

/// What a decision may ask of its caller. Everything has been read before.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The instant of the decision.
    pub now: Timestamp,
    /// How long a hold lasts, above 0.
    pub hold_ttl_ms: u32,
    /// Whether a full refund gives claims back that are still valid.
    pub return_claims: bool,
    /// The policy that a new hold freezes.
    pub refund_policy: RefundPolicy,
    /// Who asks: `user:…`, `key:…` or `sluice`.
    pub actor: &'a str,
    /// What is known of an applied claim; the instant is that of the hold, in whose period the use
    /// counts. Not called for cancel and expire, nor where the command is refused or repeated.
    pub claim_now: &'a (dyn Fn(&Applied, Timestamp) -> ClaimNow + Sync),
    /// The quote of a smaller cart, with the redemption's applied claims under their frozen terms at
    /// the frozen instant. Called for refunds that re-evaluate only.
    pub reprice: &'a (dyn Fn(&Cart) -> Quote + Sync),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Carry this out; where it is done, [`Answer::of`] its redemption and event is the answer.
    ///
    /// Where the ledger finds the row changed or the operation known, the command is decided again
    /// on what is there: another caller's row may have another quote. Where it refuses the uses, a
    /// hold is refused with that reason, and a confirm with [`Refusal::HoldExpired`].
    Write(Box<Transition>),
    /// It is done already; nothing is written.
    Replay(Answer),
    /// It cannot be done; nothing is written.
    Refuse(Refusal),
}

/// Decides a command.
///
/// # Errors
/// Where the stored result of an operation cannot be read: the ledger is damaged.
pub fn decide(
    seen: Seen<'_>,
    command: &Command,
    context: &Context<'_>,
) -> Result<Decision, ResultError> {
    if let Command::Hold(hold) = command {
        return Ok(hold::decide(seen.redemption, hold, command, context));
    }
    let Some(redemption) = seen.redemption else {
        return Ok(Decision::Refuse(Refusal::NotFound));
    };
    if let Some(event) = seen.event {
        if event.fingerprint != command.fingerprint() {
            let operation_id = event.operation_id.clone();
            return Ok(Decision::Refuse(Refusal::KeyReused { operation_id }));
        }
        return Ok(Decision::Replay(Answer::of(redemption, event)?));
    }
    Ok(match command {
        Command::Hold(hold) => hold::decide(Some(redemption), hold, command, context),
        Command::Confirm { .. } => confirm::decide(redemption, command, context),
        Command::Cancel { .. } => cancel::decide(redemption, command, context),
        Command::Refund { refund_id, wanted } => {
            refund::decide(redemption, refund_id, wanted, command, context)
        }
        Command::Expire => expire::decide(redemption, command, context),
    })
}

// === impl Command ===

impl Command {
    /// The id of the operation that this command is on this redemption.
    #[must_use]
    pub fn operation_id(&self, redemption: Option<&Redemption>) -> String {
        let from = redemption.map_or(0, |redemption| redemption.row_version.0);
        let keyed = |key: &Option<String>, word: &str| match key {
            Some(key) => format!("key:{key}"),
            None => word.to_owned(),
        };
        match self {
            Self::Hold(hold) => format!("hold:{}:{from}", fingerprint::short(&hold.fingerprint)),
            Self::Confirm { key } => keyed(key, "confirm"),
            Self::Cancel { key } => keyed(key, "cancel"),
            Self::Refund { refund_id, .. } => format!("refund:{refund_id}"),
            Self::Expire => format!("expire:{from}"),
        }
    }
}

// === impl Context ===

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}
