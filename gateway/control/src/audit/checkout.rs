//! Checkout: invariants 9, 10 and the part of 13 that is about redemptions.
//!
//! Redemptions are read page by page; what is kept of each is its order, its uses and its periods.
//! A page is read at one instant, so what one redemption says of itself is judged in any case, and so
//! are the counters of a coupon, which are read with their recount. What spans redemptions is judged
//! only where two passes found the same sum of row versions: a row version rises with every
//! transition and no redemption ever goes away, so nothing moved from the first pass's end to the
//! second's beginning, and the second read what stood in between.

use std::collections::HashSet;
use std::fmt::Display;

use sluice_domain::id::{CouponId, RedemptionId};
use sluice_domain::invariant::Check;
use sluice_domain::invariant::redemptions::{
    CouponMoney, RedemptionAudit, RedemptionRows, UseLimits,
};
use sluice_domain::redemption::TermsKey;
use sluice_domain::terms::MinorUnits;
use sluice_ledger::audit_facts::{Offenders, RedemptionFacts, RedemptionOrphans, UsageFacts};
use sluice_ledger::{Ledger, LedgerError};

use super::{COUPONS_PAGE, Rounds};

/// Redemptions per page: each may have a cart of a thousand lines.
const REDEMPTIONS_PAGE: usize = 100;

/// Everything once.
struct Pass {
    audit: RedemptionAudit,
    copies: Check,
    recounts: Check,
    money: Vec<CouponMoney>,
    /// The sum of row versions: how many transitions there were.
    transitions: u64,
}

/// Checks the redemptions of one coupon, or all of them and whatever they left behind.
pub(crate) async fn read_and_check(
    ledger: &dyn Ledger,
    coupon: Option<CouponId>,
    rounds: Rounds,
) -> Result<Vec<Check>, LedgerError> {
    let mut last = Pass::read(ledger, coupon).await?;
    let mut moving = true;
    for _round in 1..rounds.most.max(3) {
        tokio::time::sleep(rounds.pause).await;
        let next = Pass::read(ledger, coupon).await?;
        moving = next.transitions != last.transitions;
        last = next;
        if !moving {
            break;
        }
    }
    let mut checks = if moving {
        let what = coupon.map_or_else(String::new, |coupon| format!("coupon {coupon}: "));
        let why = format!("{what}redemptions still moved");
        last.audit.finish_moving(&last.money, &why)
    } else {
        last.audit.finish(&last.money)
    };
    checks.extend([last.copies, last.recounts]);
    if coupon.is_none() {
        checks.push(without_orphans(&ledger.redemption_orphans().await?));
    }
    Ok(checks)
}

// === impl Pass ===

impl Pass {
    async fn read(ledger: &dyn Ledger, coupon: Option<CouponId>) -> Result<Self, LedgerError> {
        let mut pass = Self {
            audit: RedemptionAudit::new(std::collections::HashMap::new()),
            copies: Check::new(13, "redemptions are found by what they say"),
            recounts: Check::new(13, "counters of uses equal the rows of uses"),
            money: Vec::new(),
            transitions: 0,
        };
        match coupon {
            Some(coupon) => pass.read_money(ledger, coupon).await?,
            None => pass.read_all_money(ledger).await?,
        }
        let mut after = None;
        loop {
            let page = ledger
                .redemption_facts(coupon, after, REDEMPTIONS_PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(pass);
            };
            after = Some(last.redemption.id);
            pass.learn_limits(ledger, &page).await?;
            page.into_iter().for_each(|facts| pass.look_at(facts));
        }
    }

    fn look_at(&mut self, facts: RedemptionFacts) {
        let redemption = &facts.redemption;
        self.transitions += u64::from(redemption.row_version.0);
        self.copies.expect(facts.found_by_its_own, || {
            format!(
                "redemption {} of order {} is listed as something else than it says",
                redemption.id, redemption.order
            )
        });
        self.audit.look_at(&RedemptionRows {
            redemption: facts.redemption,
            events: facts.events,
            uses: facts.uses,
        });
    }

    /// Learns the limits of all versions of the coupons that a page is the first to use. A version
    /// that is not there is left to the checks.
    async fn learn_limits(
        &mut self,
        ledger: &dyn Ledger,
        page: &[RedemptionFacts],
    ) -> Result<(), LedgerError> {
        let applied = page
            .iter()
            .flat_map(|facts| &facts.redemption.record.quote.applied);
        let unknown: HashSet<CouponId> = applied
            .map(|applied| (applied.coupon, applied.version))
            .filter(|key: &TermsKey| !self.audit.knows(key))
            .map(|(coupon, _version)| coupon)
            .collect();
        for coupon in unknown {
            for row in ledger.versions(coupon).await? {
                let terms = &row.terms;
                let limits = UseLimits {
                    uses_per_claim: terms.uses_per_claim,
                    uses_per_user: terms.uses_per_user.map(|limit| limit.count),
                };
                self.audit.learn((coupon, row.version), limits);
            }
        }
        Ok(())
    }

    async fn read_all_money(&mut self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let mut after = None;
        loop {
            let ids = ledger.coupon_ids(after, COUPONS_PAGE).await?;
            let Some(last) = ids.last() else {
                return Ok(());
            };
            after = Some(*last);
            for id in ids {
                self.read_money(ledger, id).await?;
            }
        }
    }

    /// The counters first, then the budget: one that is raised meanwhile is seen.
    async fn read_money(
        &mut self,
        ledger: &dyn Ledger,
        coupon: CouponId,
    ) -> Result<(), LedgerError> {
        let UsageFacts { kept, counted } = ledger.usage_facts(coupon).await?;
        self.recounts.expect(kept == counted, || {
            format!("coupon {coupon}: the counters say {kept:?}, the rows {counted:?}")
        });
        let value = kept.usage.value.max(counted.usage.value);
        self.money.push(CouponMoney {
            coupon,
            kept: kept.usage,
            budget: highest_budget(ledger, coupon, value).await?,
        });
        Ok(())
    }
}

/// The highest budget that was ever in force, as far as `value` asks for it: a budget lowered later
/// takes nothing back.
async fn highest_budget(
    ledger: &dyn Ledger,
    coupon: CouponId,
    value: MinorUnits,
) -> Result<Option<MinorUnits>, LedgerError> {
    let Some(current) = ledger.coupon(coupon).await? else {
        return Ok(None);
    };
    let mut highest = current.spec.terms.budget;
    if highest.is_none_or(|budget| value <= budget) {
        return Ok(highest);
    }
    for row in ledger.versions(coupon).await? {
        let both = highest.zip(row.terms.budget);
        highest = both.map(|(highest, budget)| highest.max(budget));
    }
    Ok(highest)
}

/// Invariant 13: whatever checkout wrote has what it belongs to.
fn without_orphans(orphans: &RedemptionOrphans) -> Check {
    let mut check = Check::new(13, "rows of checkout have what they belong to");
    let redemption = |id: &RedemptionId| format!("redemption {id}");
    let used = |used: &sluice_domain::redemption::ClaimUse| {
        format!(
            "use {} of claim {} by redemption {}",
            used.use_number, used.claim_id, used.redemption
        )
    };
    let events = &orphans.events;
    name(&mut check, "events without redemption", events, |row| {
        format!("redemption {} at row version {}", row.0, row.1.0)
    });
    let alone = &orphans.redemptions;
    name(&mut check, "redemptions without event", alone, redemption);
    let lost = &orphans.uses_without_redemption;
    name(&mut check, "uses without redemption", lost, used);
    let lost = &orphans.uses_without_claim;
    name(&mut check, "uses without claim", lost, used);
    let lost = &orphans.uses_unlisted;
    name(&mut check, "uses not listed by coupon", lost, used);
    let listed = &orphans.listed;
    name(&mut check, "listed redemptions", listed, |(coupon, id)| {
        format!("redemption {id} under coupon {coupon}")
    });
    check
}

fn name<T, D: Display>(
    check: &mut Check,
    what: &str,
    found: &Offenders<T>,
    words: impl Fn(&T) -> D,
) {
    check.expect(found.count == 0, || {
        let named: Vec<String> = found
            .first
            .iter()
            .map(|row| words(row).to_string())
            .collect();
        format!("{} {what}: {}", found.count, named.join(", "))
    });
    // Each of them is wrong, not only the kind.
    check.violated += found.count.saturating_sub(1);
}
