//! The figures of a coupon that operators see.

use futures_util::future::try_join_all;
use serde::Serialize;
use sluice_claim::port::StoreError;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::LaneId;
use sluice_domain::lease::{Lease, LeaseState, Stock};
use sluice_hotstate::lane_store::CouponFigures;

use crate::app::App;
use crate::error::Answer;

/// Units of a coupon, by where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Units in all; null is unlimited.
    pub total: Option<u64>,
    /// Claims in the ledger that are not revoked.
    pub granted: u64,
    /// Units that may still be claimed; null where the coupon is unlimited or hot state does not
    /// answer.
    pub available: Option<u64>,
    /// Units that nobody holds and nobody may have before the grace of a lost lease is over.
    pub quarantined: u64,
    /// Uses spent at checkout; one that came back with a full refund is not counted any more.
    pub redeemed: u64,
    /// Why a figure is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Reads the counts. Hot state that does not answer costs one figure, not the answer.
pub(crate) async fn read(app: &App, coupon: &Coupon) -> Answer<Counts> {
    let granted = app.ledger.granted(coupon.id).await?;
    if coupon.first_open_at.is_none() {
        return Ok(of_draft(coupon));
    }
    let redeemed = app.ledger.redeemed(coupon.id).await?;
    // Hot state between two readings of the stock: a lease made meanwhile would count twice or
    // not at all.
    let stock = app.ledger.stock(coupon.id).await?;
    let leases = app.ledger.leases(coupon.id).await?;
    let lanes = app.lanes.lanes_of(coupon.id, coupon.spec.shards);
    let reading = lanes.map(async |lane| {
        let figures = app.lanes_store.figures(lane, coupon.id).await?;
        Ok::<_, StoreError>((lane, figures))
    });
    let reading = try_join_all(reading);
    let (available, note) =
        match tokio::time::timeout(app.settings.lane_call_timeout, reading).await {
            Ok(Ok(shards)) => available(&stock, &leases, &shards),
            Ok(Err(error)) => {
                tracing::debug!(%error, coupon = %coupon.id, "hot state has no figures");
                (None, Some("hot state does not answer"))
            }
            Err(_elapsed) => (None, Some("hot state does not answer")),
        };
    Ok(Counts {
        total: stock.total,
        granted,
        available,
        quarantined: quarantined(&leases),
        redeemed,
        note,
    })
}

/// Units of quarantined leases that are no rows.
pub(crate) fn quarantined(leases: &[Lease]) -> u64 {
    leases
        .iter()
        .filter(|lease| lease.state == LeaseState::Quarantined)
        .map(|lease| u64::from(lease.size.saturating_sub(lease.rows)))
        .sum()
}

/// Tickets of the list that were not given out.
pub(crate) fn tickets_left(figures: &CouponFigures) -> u64 {
    figures
        .leases
        .iter()
        .map(|(_lease, next, end)| end.0.saturating_sub(next.0))
        .sum()
}

fn of_draft(coupon: &Coupon) -> Counts {
    Counts {
        total: coupon.spec.limits.total,
        granted: 0,
        available: coupon.spec.limits.total,
        quarantined: 0,
        redeemed: 0,
        note: coupon
            .spec
            .limits
            .total
            .is_none()
            .then_some("the coupon is unlimited"),
    }
}

/// total - (leased - returned) + tickets left in all shards, or why that is not known.
fn available(
    stock: &Stock,
    leases: &[Lease],
    shards: &[(LaneId, Option<CouponFigures>)],
) -> (Option<u64>, Option<&'static str>) {
    let Some(unleased) = stock.unleased() else {
        return (None, Some("the coupon is unlimited"));
    };
    let left = shards.iter().map(|(lane, figures)| {
        let mut own = leases.iter().filter(|lease| lease.lane == *lane);
        match figures {
            Some(figures) if figures.ready => Some(tickets_left(figures)),
            // Nothing is out on an open lease, so this shard has nothing to add.
            _ if !own.any(|lease| lease.state == LeaseState::Open) => Some(0),
            _ => None,
        }
    });
    match left.sum::<Option<u64>>() {
        Some(left) => (Some(unleased + left), None),
        None => (None, Some("the coupon is warming up in hot state")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_domain::id::{CouponId, Epoch, LaneId, LeaseNumber, Revision, StockSeq, Ticket};

    fn lease(state: LeaseState, rows: u32) -> Lease {
        Lease {
            coupon: CouponId(1),
            number: LeaseNumber(1),
            lane: LaneId(0),
            epoch: Epoch(1),
            first: Ticket(1),
            size: 100,
            state,
            hot_possible: false,
            returned: 0,
            grace_until: None,
            rows,
        }
    }

    fn figures(ready: bool, next: u64) -> CouponFigures {
        CouponFigures {
            coupon: CouponId(1),
            ready,
            revision: Revision(1),
            leases: vec![(LeaseNumber(1), Ticket(next), Ticket(101))],
            last_lease: LeaseNumber(1),
            is_final: false,
            stock_seq: StockSeq(0),
            users: 0,
            devices: 0,
            addresses: 0,
        }
    }

    #[test]
    fn available_is_what_is_not_leased_and_what_is_left_of_leases_or_unknown_never_zero() {
        let stock = Stock {
            total: Some(1_000),
            target: None,
            leased: 100,
            returned: 0,
        };
        let open = [lease(LeaseState::Open, 10)];
        let ready = figures(true, 11);
        let shards = |figures: Option<CouponFigures>| [(LaneId(0), figures)];
        let known = available(&stock, &open, &shards(Some(ready.clone())));
        assert_eq!(known, (Some(990), None));
        let cold = shards(Some(figures(false, 11)));
        assert_eq!(available(&stock, &open, &cold).0, None);
        assert_eq!(available(&stock, &open, &shards(None)).0, None);
        let lost = [lease(LeaseState::Quarantined, 10)];
        assert_eq!(available(&stock, &lost, &shards(None)), (Some(900), None));
        // Of two shards each adds what it has left, and one that does not tell hides the whole.
        let mut other = figures(true, 51);
        other.leases = vec![(LeaseNumber(2), Ticket(151), Ticket(201))];
        let both = [(LaneId(0), Some(ready.clone())), (LaneId(1), Some(other))];
        assert_eq!(available(&stock, &open, &both), (Some(1_040), None));
        let mut elsewhere = lease(LeaseState::Open, 0);
        elsewhere.lane = LaneId(1);
        let leases = [open[0].clone(), elsewhere];
        let dark = [(LaneId(0), Some(ready.clone())), (LaneId(1), None)];
        assert_eq!(available(&stock, &leases, &dark).0, None);
        assert_eq!(quarantined(&lost), 90);
        let unlimited = Stock {
            total: None,
            ..stock
        };
        assert_eq!(available(&unlimited, &open, &shards(Some(ready))).0, None);
    }
}
