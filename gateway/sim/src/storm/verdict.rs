//! After the storm: sell what is left, wait for quiet, read the ledger, judge.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_domain::coupon::ClaimLimits;
use sluice_domain::invariant::history::{
    Answer, History, acknowledged_is_durable, epochs_rise, granted_under_current_state,
    hot_is_lost_only_with_hot_state, never_oversold, one_answer_per_key, refused_left_nothing,
};
use sluice_domain::invariant::rows::{CouponRows, leases_and_tickets, limits, sold_exactly};
use sluice_domain::invariant::{Check, CheckStatus};
use sluice_ledger::sqlite::SqliteLedger;

use super::setup::Stage;
use super::{CLIENT_TIMEOUT, Sale};
use crate::http::Connection;
use crate::ledger_facts;
use crate::shopper::{Passes, claim};
use crate::sluice_process::address;
use crate::tally::Tally;

/// How long selling the rest may take: quarantined units come back after their grace.
const SELL_OUT_WAIT: Duration = Duration::from_secs(40);
/// How long the audit may take to find the system at rest.
const AUDIT_WAIT: Duration = Duration::from_secs(20);
/// Users in a row who are told "sold out" before a coupon counts as sold out.
const SOLD_OUT_IN_A_ROW: u32 = 5;

/// The end of a round.
pub(super) struct Judged {
    pub(super) acknowledged: usize,
    pub(super) rows: usize,
    pub(super) checks: Vec<Check>,
}

/// Claims for one user after the other until each coupon has granted its total. Right after a loss
/// units are quarantined, and a memory of "sold out" may be a second old: so the figures decide
/// when to stop, and the answers must agree with them in the end.
pub(super) async fn sell_out(
    stage: &Stage,
    sales: &[Sale],
    passes: &Passes,
    tally: &Tally,
) -> anyhow::Result<()> {
    let mut connection = Connection::new(address(&stage.server.ready.data)?, CLIENT_TIMEOUT);
    let deadline = Instant::now() + SELL_OUT_WAIT;
    for sale in sales {
        let (mut user, mut sold_out) = (0, 0);
        while sold_out < SOLD_OUT_IN_A_ROW {
            anyhow::ensure!(
                Instant::now() < deadline,
                "coupon {} was not sold out in time: {}\n{}",
                sale.coupon,
                stage.counts(sale.coupon).await?,
                stage.server.log_tail()
            );
            // Backwards through the users: the last ones are the least likely to have claimed.
            let number = passes.len() - 1 - user % passes.len();
            let key = if sale.per_user == 1 { "" } else { "rest" };
            match claim(&mut connection, passes, number, sale.coupon, key, tally).await {
                Answer::Refused(code) if code == "sold_out" => {
                    let counts = stage.counts(sale.coupon).await?;
                    let all = counts["granted"] == counts["total"];
                    sold_out = if all { sold_out + 1 } else { 0 };
                    if !all {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Answer::Acknowledged { .. } | Answer::Refused(_) => user += 1,
                Answer::NotApplied | Answer::Unknown | Answer::Pending(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    Ok(())
}

/// Lets the audit look at the system at rest, stops it, and judges history and ledger.
pub(super) async fn judge(
    stage: &mut Stage,
    sales: &[Sale],
    history: &History,
) -> anyhow::Result<Judged> {
    let audit = audit_at_rest(stage).await?;
    let stopped_well = stage.server.stop().await?;
    let path = stage.data_dir.join("ledger.sqlite");
    let ledger = SqliteLedger::open_read_only(&path)?;
    let mut coupons = Vec::new();
    for sale in sales {
        // The total only bounds through the history; the rest never changes in a storm.
        let widest = ClaimLimits {
            total: None,
            per_user: sale.per_user,
            per_device: None,
            per_address: None,
        };
        coupons.push(ledger_facts::read(&ledger, sale.coupon, widest).await?);
    }
    let mut checks = vec![
        acknowledged_is_durable(history, &coupons),
        hot_is_lost_only_with_hot_state(history, &coupons),
        never_oversold(history, &coupons),
        one_answer_per_key(history),
        refused_left_nothing(history, &coupons),
        granted_under_current_state(history, &coupons),
        epochs_rise(history),
    ];
    for facts in &coupons {
        checks.push(leases_and_tickets(facts));
        checks.push(limits(facts));
        checks.push(sold_exactly(facts));
    }
    checks.push(audit_agrees(&audit));
    let mut stop = Check::new(11, "a graceful stop leaves nothing behind");
    stop.expect(stopped_well, || {
        format!("it did not end with 0:\n{}", stage.server.log_tail())
    });
    for facts in &coupons {
        stop.expect(facts.quarantined() == 0, || {
            format!(
                "coupon {}: {} units are quarantined",
                facts.coupon,
                facts.quarantined()
            )
        });
    }
    checks.push(stop);
    Ok(Judged {
        acknowledged: acknowledged(history),
        rows: rows(&coupons),
        checks,
    })
}

/// The audit's word, once it can give one: right after a storm figures still move.
async fn audit_at_rest(stage: &Stage) -> anyhow::Result<Value> {
    let deadline = Instant::now() + AUDIT_WAIT;
    loop {
        let report = stage.audit()?;
        if report["verdict"] != "unchecked" || Instant::now() > deadline {
            return Ok(report);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn audit_agrees(report: &Value) -> Check {
    let mut check = Check::new(6, "sluice audit says exact");
    check.expect(report["verdict"] == "exact", || {
        let bad: Vec<String> = report["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["status"] != "held")
            .map(Value::to_string)
            .collect();
        format!("it says {}: {}", report["verdict"], bad.join("\n"))
    });
    check
}

fn acknowledged(history: &History) -> usize {
    let ids: HashSet<_> = history
        .attempts
        .iter()
        .filter_map(|attempt| match &attempt.answer {
            Answer::Acknowledged { claim_id, .. } => Some(claim_id),
            _other => None,
        })
        .collect();
    ids.len()
}

fn rows(coupons: &[CouponRows]) -> usize {
    coupons.iter().map(|facts| facts.rows.len()).sum()
}

impl super::Outcome {
    /// The checks that do not hold.
    #[must_use]
    pub fn violations(&self) -> Vec<&Check> {
        self.checks
            .iter()
            .filter(|check| check.status != CheckStatus::Held)
            .collect()
    }
}
