//! After the storm: sell what is left, wait for quiet, read the ledger, judge.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_domain::coupon::ClaimLimits;
use sluice_domain::invariant::checkout::CheckoutAttempt;
use sluice_domain::invariant::history::{
    Answer, History, acknowledged_is_durable, epochs_rise, granted_under_current_state,
    hot_is_lost_only_with_hot_state, never_oversold, one_answer_per_key, refused_left_nothing,
};
use sluice_domain::invariant::rows::{
    CouponRows, leases_and_tickets, limits, nothing_left_out, sold_exactly,
    versions_follow_revisions,
};
use sluice_domain::invariant::{Check, CheckStatus};

use super::checkout::{self, Bought};
use super::setup::Stage;
use super::{CLIENT_TIMEOUT, Mode, Sale};
use crate::dev_redis::wait_until_gone;
use crate::hot_server::{HotServer, HotState};
use crate::http::Connection;
use crate::ledger_facts;
use crate::operator::Fate;
use crate::shopper::{Passes, claim};
use crate::tally::Tally;

/// How long the audit may take to find the system at rest.
const AUDIT_WAIT: Duration = Duration::from_secs(20);
/// Users in a row who are told "sold out" before a coupon counts as sold out.
const SOLD_OUT_IN_A_ROW: u32 = 5;

/// The end of a round.
pub(super) struct Judged {
    pub(super) acknowledged: usize,
    pub(super) rows: usize,
    pub(super) bought: Bought,
    pub(super) checks: Vec<Check>,
}

/// Sells what can still be sold, and waits until nothing of an ended coupon is quarantined any more.
pub(super) async fn sell_out(
    stage: &Stage,
    mode: Mode,
    fates: &[(Sale, Fate)],
    passes: &Passes,
    tally: &Tally,
) -> anyhow::Result<()> {
    let mut connection = Connection::new(stage.data(0)?, CLIENT_TIMEOUT);
    let deadline = Instant::now() + mode.patience();
    for (sale, fate) in fates {
        match fate {
            Fate::Live => sell(stage, &mut connection, *sale, passes, tally, deadline).await?,
            Fate::Ended => come_back(stage, *sale, deadline).await?,
        }
    }
    Ok(())
}

/// Claims for one user after the other until the coupon has granted its total, or every user in a
/// row has it or shares a device or address that has had enough. Right after a loss units are
/// quarantined, and a memory of "sold out" may be a second old: so the figures decide when to stop,
/// and the answers must agree with them in the end.
async fn sell(
    stage: &Stage,
    connection: &mut Connection,
    sale: Sale,
    passes: &Passes,
    tally: &Tally,
    deadline: Instant,
) -> anyhow::Result<()> {
    let key = if sale.per_user == 1 { "" } else { "rest" };
    let (mut user, mut sold_out, mut content) = (0, 0, 0);
    while sold_out < SOLD_OUT_IN_A_ROW && content < passes.len() {
        anyhow::ensure!(
            Instant::now() < deadline,
            "coupon {} was not sold out in time: {}\n{}",
            sale.coupon,
            stage.counts(sale.coupon).await?,
            stage.log_tail()
        );
        // Backwards through the users: the last ones are the least likely to have claimed.
        let number = passes.len() - 1 - user % passes.len();
        match claim(connection, passes, number, sale.coupon, key, tally).await {
            Answer::Refused(code) if code == "sold_out" => {
                let counts = stage.counts(sale.coupon).await?;
                let all = counts["granted"] == counts["total"];
                sold_out = if all { sold_out + 1 } else { 0 };
                content = 0;
                if !all {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Answer::Refused(code)
                if code == "device_limit_reached" || code == "ip_limit_reached" =>
            {
                (user, content) = (user + 1, content + 1);
            }
            Answer::Acknowledged { .. } => (user, content) = (user + 1, content + 1),
            Answer::Refused(_) => (user, content) = (user + 1, 0),
            Answer::NotApplied | Answer::Unknown | Answer::Pending(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    Ok(())
}

/// Waits until nothing of a coupon is quarantined: the end of its grace does not need claimants.
async fn come_back(stage: &Stage, sale: Sale, deadline: Instant) -> anyhow::Result<()> {
    loop {
        let counts = stage.counts(sale.coupon).await?;
        if counts["quarantined"] == 0 {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the end of coupon {} left units in quarantine: {counts}\n{}",
            sale.coupon,
            stage.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Lets the audit look at the system at rest, stops it, and judges history and ledger.
pub(super) async fn judge(
    stage: &mut Stage,
    fates: &[(Sale, Fate)],
    passes: &Passes,
    history: &History,
    checkouts: &[CheckoutAttempt],
) -> anyhow::Result<Judged> {
    let audit = audit_at_rest(stage).await?;
    let child = match &stage.redis {
        HotState::One(HotServer::Child(child)) => child.pid().await,
        HotState::One(HotServer::Own(_)) | HotState::Cluster(_) => None,
    };
    let stopped_well = stage.stop().await?;
    let ledger = stage.ledger().await?;
    let ledger = ledger.as_ref();
    let mut coupons = Vec::new();
    for (sale, _fate) in fates {
        // The total only bounds through the history; limits never change in a storm.
        let widest = ClaimLimits {
            total: None,
            per_user: sale.per_user,
            per_device: sale.per_device,
            per_address: sale.per_address,
        };
        coupons.push(ledger_facts::read(ledger, sale.coupon, widest).await?);
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
    for (facts, (_sale, fate)) in coupons.iter().zip(fates) {
        checks.push(leases_and_tickets(facts));
        checks.push(limits(facts));
        checks.push(versions_follow_revisions(facts));
        checks.push(match fate {
            Fate::Ended => nothing_left_out(facts),
            Fate::Live if everybody_is_content(facts, passes) => nothing_left_out(facts),
            Fate::Live => sold_exactly(facts),
        });
    }
    let sales: Vec<Sale> = fates.iter().map(|(sale, _fate)| *sale).collect();
    let (of_checkout, bought) = checkout::judge(ledger, &sales, &coupons, checkouts).await?;
    checks.extend(of_checkout);
    checks.push(audit_agrees(&audit));
    checks.push(stopped(stopped_well, child, stage, &coupons).await);
    Ok(Judged {
        acknowledged: acknowledged(history),
        rows: rows(&coupons),
        bought,
        checks,
    })
}

/// Whether there is nobody left who could have a claim: everybody holds one, or their device or
/// address has as many as it may. Told by who shares what, not by the hashes in the rows.
fn everybody_is_content(facts: &CouponRows, passes: &Passes) -> bool {
    let (Some(per_device), Some(per_address)) = (facts.limits.per_device, facts.limits.per_address)
    else {
        return false;
    };
    let holders: HashSet<_> = facts.granted().map(|row| row.user).collect();
    let mut devices: HashMap<usize, u16> = HashMap::new();
    let mut addresses: HashMap<&str, u16> = HashMap::new();
    for pass in passes.iter().filter(|pass| holders.contains(&pass.user)) {
        *devices.entry(pass.device).or_default() += 1;
        *addresses.entry(&pass.address).or_default() += 1;
    }
    passes.iter().all(|pass| {
        holders.contains(&pass.user)
            || devices
                .get(&pass.device)
                .is_some_and(|&held| held >= per_device)
            || addresses
                .get(&*pass.address)
                .is_some_and(|&held| held >= per_address)
    })
}

/// A graceful stop leaves nothing quarantined, and no Redis of its own.
async fn stopped(well: bool, child: Option<u32>, stage: &Stage, coupons: &[CouponRows]) -> Check {
    let mut stop = Check::new(11, "a graceful stop leaves nothing behind");
    stop.expect(well, || {
        format!("it did not end with 0:\n{}", stage.log_tail())
    });
    for facts in coupons {
        stop.expect(facts.quarantined() == 0, || {
            format!(
                "coupon {}: {} units are quarantined",
                facts.coupon,
                facts.quarantined()
            )
        });
    }
    if let Some(child) = child {
        let gone = wait_until_gone(child).await;
        stop.expect(gone.is_ok(), || format!("its Redis: {gone:?}"));
    }
    stop
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
