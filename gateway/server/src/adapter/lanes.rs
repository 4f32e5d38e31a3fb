//! The keepers, as the control plane gives them orders: this process's own, or one of another.
//!
//! A keeper of this process answers. One of another process is told over the bus, and what came of
//! it is read from the ledger, where each order leaves its trace; where none is seen in time, the
//! outcome is unknown to whoever asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_claim::port::NotReady;
use sluice_control::port::{KeeperStatus, LaneOperator, Lowering, OperatorError};
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lease::{LeaseState, Stock};
use sluice_hotstate::redis::bus::Order;
use sluice_ledger::{Ledger, LedgerError};
use sluice_workers::keeper::{LowerOutcome, decide};
use sluice_workers::lanes::AskError;
use sluice_workers::{Grid, KeeperHandle};
use tokio::time::Instant;

use crate::boot::company::{Company, Keeper};

/// How long an operator waits for a keeper before the answer is "not yet".
const OPERATOR_WAIT: Duration = Duration::from_secs(5);
/// How often the ledger is looked at for what a keeper of another process did.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The keepers of all lanes, wherever they are.
pub(crate) struct KeeperLanes {
    /// The way to them.
    pub(crate) company: Company,
    /// Where the traces of orders are seen, and quarantined leases looked up.
    pub(crate) ledger: Arc<dyn Ledger>,
}

/// Looks at the ledger again and again, for as long as an operator waits.
struct Patience {
    lane: LaneId,
    until: Instant,
}

#[async_trait::async_trait]
impl LaneOperator for KeeperLanes {
    fn changed(&self, lane: LaneId, coupon: CouponId) {
        self.company.requests().hydrate(lane, coupon);
    }

    fn lost(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        self.company.requests().report_loss(lane, epoch, reason);
    }

    async fn lower_total(
        &self,
        lane: LaneId,
        coupon: CouponId,
        target: u64,
    ) -> Result<Lowering, OperatorError> {
        match self.company.keeper(lane) {
            Keeper::Here(own) => lower_here(own, lane, coupon, target).await,
            Keeper::Elsewhere(grid) => self.lower_elsewhere(grid, lane, coupon, target).await,
        }
    }

    async fn recover(&self, lane: LaneId, accept_ledger: bool) -> Result<(), OperatorError> {
        let own = match self.company.keeper(lane) {
            Keeper::Here(own) => own,
            Keeper::Elsewhere(grid) => {
                return self.recover_elsewhere(grid, lane, accept_ledger).await;
            }
        };
        if accept_ledger {
            let accepted = own.accept_ledger(lane).await;
            return accepted.map_err(|error| refused(lane, &error));
        }
        match own.recover(lane).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(OperatorError::Refused {
                lane,
                reason: "it is not served now; where it is halted, accept_ledger is the way out"
                    .to_owned(),
            }),
            Err(error) => Err(refused(lane, &error)),
        }
    }

    async fn release(&self, lane: LaneId) -> Result<(), OperatorError> {
        let quarantined = self.quarantined(lane).await?;
        let grid = match self.company.keeper(lane) {
            Keeper::Here(own) => {
                for coupon in quarantined {
                    let released = own.release(lane, coupon).await;
                    let units = released.map_err(|error| refused(lane, &error))?;
                    tracing::warn!(%lane, %coupon, units, "quarantined units were released by an operator");
                }
                return Ok(());
            }
            Keeper::Elsewhere(grid) => grid,
        };
        for coupon in &quarantined {
            grid.order(lane, Order::Release(*coupon));
        }
        let patience = Patience::begin(lane);
        while !self.quarantined(lane).await?.is_disjoint(&quarantined) {
            patience.next().await?;
        }
        Ok(())
    }

    fn status(&self, lane: LaneId) -> Option<KeeperStatus> {
        let status = self.company.own()?.watch(lane)?.borrow().clone();
        let detail = match (&status.halted, status.unreadable) {
            (Some(why), _) => why.clone(),
            (None, Some(entry)) => format!(
                "outbox entry {entry} cannot be read and stops the mark; a recovery sets it aside"
            ),
            (None, None) => String::new(),
        };
        Some(KeeperStatus {
            phase: status.phase.label().to_owned(),
            detail,
        })
    }
}

impl KeeperLanes {
    /// The target is written here, so that it is kept whatever becomes of the word about it.
    async fn lower_elsewhere(
        &self,
        grid: &Grid,
        lane: LaneId,
        coupon: CouponId,
        target: u64,
    ) -> Result<Lowering, OperatorError> {
        let before = self.ledger.stock(coupon).await;
        let before = before.map_err(|error| nothing_done(lane, &error))?;
        if before.target.is_some_and(|other| other != target) {
            return Err(another_lowering(lane));
        }
        let written = self.ledger.set_target(coupon, Some(target)).await;
        written.map_err(|error| outcome_unknown(lane, error.to_string()))?;
        grid.order(lane, Order::Lower(coupon, target));
        let patience = Patience::begin(lane);
        loop {
            let stock = self.ledger.stock(coupon).await;
            let stock = stock.map_err(|error| outcome_unknown(lane, error.to_string()))?;
            if stock.target.is_none() {
                return if stock.total == Some(target) {
                    Ok(Lowering::Lowered(stock))
                } else {
                    self.too_much(lane, coupon, stock).await
                };
            }
            if patience.next().await.is_err() {
                return Ok(Lowering::StillClosing);
            }
        }
    }

    async fn too_much(
        &self,
        lane: LaneId,
        coupon: CouponId,
        stock: Stock,
    ) -> Result<Lowering, OperatorError> {
        let read = async {
            let granted = self.ledger.granted(coupon).await?;
            Ok((granted, self.ledger.leases(coupon).await?))
        };
        let (granted, leases) = read
            .await
            .map_err(|error: LedgerError| outcome_unknown(lane, error.to_string()))?;
        let blocked = || {
            leases
                .iter()
                .filter(|lease| lease.state == LeaseState::Quarantined)
        };
        Ok(Lowering::TooMuchGranted {
            stock,
            granted,
            quarantined: blocked().map(decide::unused).sum(),
            grace_until: blocked().filter_map(|lease| lease.grace_until).max(),
        })
    }

    async fn recover_elsewhere(
        &self,
        grid: &Grid,
        lane: LaneId,
        accept_ledger: bool,
    ) -> Result<(), OperatorError> {
        let before = self.ledger.lane(lane).await;
        let before = before.map_err(|error| nothing_done(lane, &error))?;
        if before.halted.is_some() != accept_ledger {
            let reason = match &before.halted {
                Some(why) => format!("it is halted ({why}); accept_ledger is the way out"),
                None => "it is not halted; without accept_ledger it is recovered".to_owned(),
            };
            return Err(OperatorError::Refused { lane, reason });
        }
        // Said once: a second word would be a second recovery.
        grid.order(
            lane,
            if accept_ledger {
                Order::AcceptLedger
            } else {
                Order::Recover
            },
        );
        let patience = Patience::begin(lane);
        loop {
            let row = self.ledger.lane(lane).await;
            let row = row.map_err(|error| outcome_unknown(lane, error.to_string()))?;
            if row.epoch > before.epoch && row.halted.is_none() {
                return Ok(());
            }
            patience.next().await?;
        }
    }

    async fn quarantined(&self, lane: LaneId) -> Result<BTreeSet<CouponId>, OperatorError> {
        let leases = self.ledger.live_leases(lane).await;
        let leases = leases.map_err(|error| nothing_done(lane, &error))?;
        Ok(leases
            .iter()
            .filter(|lease| lease.state == LeaseState::Quarantined)
            .map(|lease| lease.coupon)
            .collect())
    }
}

impl Patience {
    fn begin(lane: LaneId) -> Self {
        Self {
            lane,
            until: Instant::now() + OPERATOR_WAIT,
        }
    }

    /// Waits until the next look, or says that the operator has waited enough.
    async fn next(&self) -> Result<(), OperatorError> {
        if Instant::now() >= self.until {
            let reason = "the process that keeps it has not done it in time".to_owned();
            return Err(outcome_unknown(self.lane, reason));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }
}

async fn lower_here(
    own: &KeeperHandle,
    lane: LaneId,
    coupon: CouponId,
    target: u64,
) -> Result<Lowering, OperatorError> {
    let asked = own.lower_total(coupon, target);
    let Ok(answer) = tokio::time::timeout(OPERATOR_WAIT, asked).await else {
        return Ok(Lowering::StillClosing);
    };
    match answer.map_err(|error| refused(lane, &error))? {
        LowerOutcome::Lowered(stock) => Ok(Lowering::Lowered(stock)),
        LowerOutcome::TooMuch {
            stock,
            granted,
            quarantined,
            grace_until,
        } => Ok(Lowering::TooMuchGranted {
            stock,
            granted,
            quarantined,
            grace_until,
        }),
        LowerOutcome::Busy => Err(another_lowering(lane)),
    }
}

fn another_lowering(lane: LaneId) -> OperatorError {
    OperatorError::Refused {
        lane,
        reason: "another lowering of this coupon is under way; try again when it is done"
            .to_owned(),
    }
}

fn nothing_done(lane: LaneId, error: &LedgerError) -> OperatorError {
    OperatorError::Unavailable {
        lane,
        reason: error.to_string(),
    }
}

fn outcome_unknown(lane: LaneId, reason: String) -> OperatorError {
    OperatorError::Unknown { lane, reason }
}

fn refused(lane: LaneId, error: &AskError) -> OperatorError {
    match error {
        AskError::NoSuchLane(_) | AskError::Unavailable(_) => OperatorError::Unavailable {
            lane,
            reason: error.to_string(),
        },
        AskError::Refused(why) => OperatorError::Refused {
            lane,
            reason: why.to_string(),
        },
    }
}
