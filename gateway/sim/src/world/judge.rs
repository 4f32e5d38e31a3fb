//! The end of a world: it comes to rest, is stopped, and its ledger and history are judged.

use std::time::{Duration, Instant};

use sluice_domain::coupon::ClaimLimits;
use sluice_domain::invariant::Check;
use sluice_domain::invariant::history::{
    LaneSample, acknowledged_is_durable, epochs_rise, granted_under_current_state,
    hot_is_lost_only_with_hot_state, never_oversold, one_answer_per_key, refused_left_nothing,
};
use sluice_domain::invariant::rows::{leases_and_tickets, limits, sold_exactly};
use sluice_hotstate::LaneStore as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_workers::keeper::PhaseName;

use super::{LANE, World};
use crate::ledger_facts;

/// How long a world may take to come to rest. A broken one may never.
const REST_WAIT: Duration = Duration::from_secs(8);
/// How long its keeper may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(8);

impl World {
    /// Waits until the lane serves, all that hot state granted is handled and no lease is being
    /// closed; false where that does not come.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn rest(&self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + REST_WAIT;
        while Instant::now() < deadline {
            if self.is_at_rest().await {
                let row = self.ledger.lane(LANE).await?;
                self.tally.lane(LaneSample {
                    lane: LANE,
                    epoch: row.epoch,
                    keeper: row.keeper,
                });
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(false)
    }

    async fn is_at_rest(&self) -> bool {
        let before = self.lane_status();
        let Ok(Some(facts)) = self.hot.facts(LANE).await else {
            return false;
        };
        let Some(status) = before else { return false };
        status.phase == PhaseName::Open
            && status.coupons_waiting == 0
            && status.closing == 0
            && facts.same_server
            && facts.epoch == status.epoch
            && facts.tail == status.mark
    }

    /// Lets the world come to rest, stops it and runs every check on what is left. With `sold_out`
    /// more people wanted the coupon than there were units.
    ///
    /// # Errors
    /// When the ledger cannot be read. A violated invariant is no error.
    pub async fn judge(self, sold_out: bool) -> anyhow::Result<Vec<Check>> {
        let rested = self.rest().await?;
        let stopped = self.keepers.shutdown(STOP_WAIT).await;
        let widest = ClaimLimits {
            total: None,
            per_user: self.per_user,
            per_device: None,
            per_address: None,
        };
        let facts = ledger_facts::read(&*self.ledger, self.coupon, widest).await?;
        self.ledger.close().await;
        let (history, _no_checkout) = self.tally.into_history();
        let coupons = [facts];
        let mut checks = vec![
            acknowledged_is_durable(&history, &coupons),
            hot_is_lost_only_with_hot_state(&history, &coupons),
            never_oversold(&history, &coupons),
            one_answer_per_key(&history),
            refused_left_nothing(&history, &coupons),
            granted_under_current_state(&history, &coupons),
            epochs_rise(&history),
        ];
        for facts in &coupons {
            checks.push(leases_and_tickets(facts));
            checks.push(limits(facts));
            if sold_out {
                checks.push(sold_exactly(facts));
            }
        }
        let mut end = Check::new(11, "it comes to rest and stops");
        end.expect(rested, || "it never came to rest".to_owned());
        end.expect(stopped, || "its keeper did not stop in time".to_owned());
        checks.push(end);
        Ok(checks)
    }
}
