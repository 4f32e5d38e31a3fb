//! Facts for the audit on CQL, from the rows. There is no instant at which several partitions are
//! read: a coupon is read until nothing of it changed meanwhile, some times at most; a busy one may
//! be told apart from a broken one by auditing it again.

use std::collections::BTreeMap;

use sluice_domain::id::{ClaimId, CouponId, RedemptionId};
use sluice_domain::redemption::ClaimUse;

use super::CqlLedger;
use super::cells::CellKey;
use super::decide::ClaimCell;
use super::store::Reading;
use super::value::{from_json, values};
use crate::LedgerError;
use crate::audit_facts::count::coupon_facts;
use crate::audit_facts::{
    AuditFacts, CountedUses, CouponLedgerFacts, OFFENDERS_MAX, Offenders, RedemptionFacts,
    RedemptionOrphans, UsageFacts,
};
use crate::claims::page_rows;

const CLAIM_CELLS: &str = "SELECT kind, key, content FROM cells";
const WALLET: &str = "SELECT claim_id FROM claims_by_user \
                      WHERE user_id = ? AND granted_at = ? AND coupon = ? AND ticket = ?";

pub(super) const STATEMENTS: &[&str] = &[CLAIM_CELLS, WALLET];

/// Times that a coupon is read anew because it changed meanwhile.
const ROUNDS: u32 = 3;
/// Redemptions on a page of a count.
const PAGE: usize = 500;

fn none<T>() -> Offenders<T> {
    Offenders {
        count: 0,
        first: Vec::new(),
    }
}

fn add<T>(offenders: &mut Offenders<T>, offender: T) {
    offenders.count += 1;
    if offenders.first.len() < OFFENDERS_MAX {
        offenders.first.push(offender);
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    async fn read_facts(&self, coupon: CouponId) -> Result<Option<CouponLedgerFacts>, LedgerError> {
        let part = self.read_part(coupon, Reading::Serial).await?;
        let Some(document) = &part.coupon else {
            return Ok(None);
        };
        let lane = self.identity.lanes.lane_of(coupon);
        let mut leases = Vec::new();
        let mut rows = Vec::new();
        for entry in self.lease_entries(coupon, Reading::Serial).await? {
            rows.extend(self.rows_of_lease(&entry.lease).await?);
            let number = entry.lease.number;
            let kept = self.lease_claims(coupon, number, Reading::Quorum).await?;
            let mut lease = entry.lease;
            lease.rows = kept.map_or(0, |kept| kept.row_count);
            leases.push(lease);
        }
        let lane = self.read_lane(lane, Reading::Serial).await?.row;
        let rows: Vec<_> = rows.iter().collect();
        Ok(Some(coupon_facts(
            document, &lane, part.stock, &leases, &rows,
        )))
    }

    async fn facts_of(&self, id: RedemptionId) -> Result<Option<RedemptionFacts>, LedgerError> {
        let held = self.read_held(id, Reading::Quorum).await?;
        let Some(redemption) = held.redemption else {
            return Ok(None);
        };
        let order = self
            .settled_cell(&CellKey::order(&redemption.order))
            .await?;
        let holder: Option<RedemptionId> = order.content()?;
        Ok(Some(RedemptionFacts {
            events: self.redemption_events(id).await?,
            uses: held.uses.into_values().collect(),
            found_by_its_own: redemption.id == id
                && held.version == Some(redemption.row_version.0)
                && holder == Some(id),
            redemption,
        }))
    }

    async fn redemption_events(
        &self,
        id: RedemptionId,
    ) -> Result<Vec<sluice_domain::redemption::TransitionEvent>, LedgerError> {
        let events = self.read_events(id, Reading::Quorum).await?;
        Ok(events.into_iter().map(|made| made.event).collect())
    }

    /// Ids of a coupon's redemptions, ascending.
    async fn ids_of_coupon(&self, coupon: CouponId) -> Result<Vec<RedemptionId>, LedgerError> {
        let listed = self.listed_redemptions(coupon, None, usize::MAX).await?;
        let mut ids: Vec<RedemptionId> = listed.iter().map(|held| held.id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// A page of facts about redemptions that there are.
    async fn facts_page(
        &self,
        coupon: Option<CouponId>,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionFacts>, LedgerError> {
        let mut after = after;
        loop {
            let ids = match coupon {
                Some(coupon) => {
                    let mut ids = self.ids_of_coupon(coupon).await?;
                    ids.retain(|id| after.is_none_or(|after| *id > after));
                    ids.truncate(limit);
                    ids
                }
                None => self.redemption_ids(after, limit).await?,
            };
            let Some(last) = ids.last().copied() else {
                return Ok(Vec::new());
            };
            let mut page = Vec::with_capacity(ids.len());
            for id in ids {
                page.extend(self.facts_of(id).await?);
            }
            if !page.is_empty() {
                return Ok(page);
            }
            // All of them were given up before they came to be.
            after = Some(last);
        }
    }

    /// What a use of a claim's cell belongs to, and does not find.
    async fn check_use(
        &self,
        held: ClaimUse,
        orphans: &mut RedemptionOrphans,
    ) -> Result<(), LedgerError> {
        let owner = self.read_held(held.redemption, Reading::Quorum).await?;
        let coupon = held.claim_id.coupon();
        let Some(redemption) = owner.redemption else {
            add(&mut orphans.uses_unlisted, held.clone());
            add(&mut orphans.uses_without_redemption, held);
            return Ok(());
        };
        let own = owner.uses.get(&held.claim_id);
        if redemption.order != held.order || own != Some(&held) {
            add(&mut orphans.uses_without_redemption, held.clone());
        }
        if !owner.coupons.contains(&coupon) {
            add(&mut orphans.uses_unlisted, held.clone());
        }
        let row = self.claim_row(held.claim_id, Reading::Quorum).await?;
        if row.is_none_or(|row| row.revoked || row.user != redemption.user) {
            add(&mut orphans.uses_without_claim, held);
        }
        Ok(())
    }

    /// What a redemption and its events do not find of each other.
    async fn check_path(
        &self,
        id: RedemptionId,
        orphans: &mut RedemptionOrphans,
    ) -> Result<(), LedgerError> {
        let held = self.read_held(id, Reading::Quorum).await?;
        let events = self.redemption_events(id).await?;
        let Some(redemption) = held.redemption else {
            for event in events {
                add(&mut orphans.events, (id, event.row_version));
            }
            return Ok(());
        };
        let last = events.last().map(|event| (event.row_version, event.to));
        if last != Some((redemption.row_version, redemption.status)) {
            add(&mut orphans.redemptions, id);
        }
        Ok(())
    }

    async fn problems_of(
        &self,
        coupon: CouponId,
        problems: &mut Vec<String>,
    ) -> Result<(), LedgerError> {
        for row in self.rows_of_coupon(coupon).await? {
            if problems.len() >= OFFENDERS_MAX {
                return Ok(());
            }
            let places = self.places(row.claim_id).await?;
            if !places.contains(&(row.lease, row.ticket)) {
                problems.push(format!("claim {} is not found by its id", row.claim_id));
            }
            let key = values![row.user, row.granted_at, coupon, row.ticket.0];
            let wallet = self.store.row(WALLET, key, Reading::Quorum).await?;
            let found = wallet.map(|entry| entry.bytes("claim_id")).transpose()?;
            if found.map(ClaimId) != Some(row.claim_id) {
                problems.push(format!("claim {} is in no wallet", row.claim_id));
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl AuditFacts for CqlLedger {
    async fn coupon_ids(
        &self,
        after: Option<CouponId>,
        limit: usize,
    ) -> Result<Vec<CouponId>, LedgerError> {
        let parts = self.all_parts().await?;
        let ids = parts.iter().map(|part| part.id);
        let rest = ids.filter(|id| after.is_none_or(|after| *id > after));
        Ok(rest.take(page_rows(limit)).collect())
    }

    async fn coupon_facts(
        &self,
        coupon: CouponId,
    ) -> Result<Option<CouponLedgerFacts>, LedgerError> {
        let mut before = self.read_facts(coupon).await?;
        for _round in 0..ROUNDS {
            let after = self.read_facts(coupon).await?;
            if after == before {
                break;
            }
            before = after;
        }
        Ok(before)
    }

    async fn redemption_facts(
        &self,
        coupon: Option<CouponId>,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionFacts>, LedgerError> {
        self.facts_page(coupon, after, page_rows(limit)).await
    }

    async fn usage_facts(&self, coupon: CouponId) -> Result<UsageFacts, LedgerError> {
        let mut counted = CountedUses::default();
        for id in self.ids_of_coupon(coupon).await? {
            let held = self.read_held(id, Reading::Quorum).await?;
            for held in held.uses.values() {
                if held.claim_id.coupon() == coupon {
                    counted.enter(held)?;
                }
            }
        }
        let kept = self.counted(coupon).await?.counted();
        Ok(UsageFacts { kept, counted })
    }

    async fn redemption_orphans(&self) -> Result<RedemptionOrphans, LedgerError> {
        let mut orphans = RedemptionOrphans {
            events: none(),
            redemptions: none(),
            uses_without_redemption: none(),
            uses_without_claim: none(),
            uses_unlisted: none(),
            // An index row that leads nowhere is no fault here: it is written first.
            listed: none(),
        };
        let mut after = None;
        loop {
            let ids = self.redemption_ids(after, PAGE).await?;
            let Some(last) = ids.last().copied() else {
                break;
            };
            for id in ids {
                self.check_path(id, &mut orphans).await?;
            }
            after = Some(last);
        }
        // In the order of claims, whatever order the server reads its partitions in.
        let mut claims: BTreeMap<String, ClaimCell> = BTreeMap::new();
        for record in self
            .store
            .rows(CLAIM_CELLS, values![], Reading::Quorum)
            .await?
        {
            if record.text("kind")? == "claim"
                && let Some(content) = record.opt_text("content")?
            {
                claims.insert(record.text("key")?.to_owned(), from_json(content)?);
            }
        }
        for cell in claims.values() {
            for held in cell.live() {
                self.check_use(held, &mut orphans).await?;
            }
        }
        Ok(orphans)
    }

    async fn integrity_problems(&self) -> Result<Vec<String>, LedgerError> {
        let mut problems = Vec::new();
        for part in self.all_parts().await? {
            self.problems_of(part.id, &mut problems).await?;
        }
        problems.truncate(OFFENDERS_MAX);
        Ok(problems)
    }
}
