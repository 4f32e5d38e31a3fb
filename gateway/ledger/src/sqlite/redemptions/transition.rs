//! Carrying out a transition on SQLite: all of it in the caller's savepoint, or nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use sluice_domain::id::{ClaimId, CouponId};
use sluice_domain::redemption::{
    ClaimUse, Redemption, TakenUse, Transition, TransitionEvent, UseTarget,
};
use sluice_domain::terms::MinorUnits;

use super::super::claims;
use super::super::failure::{Part, Step, Stop};
use super::super::value::Instant;
use super::{find, operation, status_code, uses};
use crate::LedgerError;
use crate::audit_facts::CountedUses;
use crate::redemptions::check::{check_alone, check_follows, check_left, sum};
use crate::redemptions::{TransitionOutcome, document};

/// What a transition works on: the redemption's own uses, and the counters of the coupons that it
/// touches, read once and written once.
struct Work<'a> {
    connection: &'a Connection,
    transition: &'a Transition,
    own: BTreeMap<ClaimId, ClaimUse>,
    counters: BTreeMap<CouponId, CountedUses>,
}

/// Carries a transition out. What is refused after some writing is taken back by the caller.
pub(super) fn apply(connection: &Connection, transition: &Transition) -> Step<TransitionOutcome> {
    check_alone(transition)?;
    let (redemption, event) = (&transition.redemption, &transition.event);
    if let Some(known) = operation(connection, redemption.id, &event.operation_id)? {
        return Ok(TransitionOutcome::known(known, transition));
    }
    let held = find(connection, redemption.id)?;
    match &held {
        Some(held) if Some(held.row_version) != transition.seen => {
            return Ok(TransitionOutcome::Stale(Box::new(held.clone())));
        }
        None if transition.seen.is_some() => {
            let text = format!("redemption {} is not there", redemption.id);
            return Err(LedgerError::corrupt(text).into());
        }
        None if order_taken(connection, redemption)? => return Ok(TransitionOutcome::OrderTaken),
        _ => check_follows(held.as_ref(), transition)?,
    }
    write_row(connection, redemption)?;
    write_event(connection, event)?;
    let own = uses::of_redemption(connection, redemption.id)?.into_iter();
    let mut work = Work {
        connection,
        transition,
        own: own.map(|held| (held.claim_id, held)).collect(),
        counters: BTreeMap::new(),
    };
    if let Some(refusal) = work.change_uses()? {
        return Err(Stop::Undo(Box::new(refusal)));
    }
    Ok(TransitionOutcome::Done)
}

fn order_taken(connection: &Connection, redemption: &Redemption) -> Part<bool> {
    let found = connection
        .prepare_cached("SELECT 1 FROM redemptions WHERE order_id = ?1")?
        .query_row(params![redemption.order.as_str()], |_row| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Writes the row, whose version was compared in this transaction.
fn write_row(connection: &Connection, redemption: &Redemption) -> Part<()> {
    connection
        .prepare_cached(
            "INSERT INTO redemptions (id, order_id, user, status, row_version, held_until, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE
             SET status = ?4, row_version = ?5, held_until = ?6, document = ?7",
        )?
        .execute(params![
            redemption.id.0,
            redemption.order.as_str(),
            redemption.user.as_str(),
            status_code(redemption.status),
            redemption.row_version.0,
            Instant(redemption.held_until),
            document::write(redemption)?,
        ])?;
    Ok(())
}

fn write_event(connection: &Connection, event: &TransitionEvent) -> Part<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO redemption_events ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            super::EVENT_COLUMNS
        ))?
        .execute(params![
            event.redemption.0,
            event.row_version.0,
            Instant(event.at),
            event.from.map(status_code),
            status_code(event.to),
            event.operation_id,
            event.fingerprint,
            event.actor,
            event.result,
        ])?;
    Ok(())
}

/// The lowest number that none of a claim's uses has.
fn free_number(live: &[ClaimUse]) -> u32 {
    let taken = |number: &u32| live.iter().any(|held| held.use_number == *number);
    (1..).find(|number| !taken(number)).unwrap_or(u32::MAX)
}

// === impl Work ===

impl Work<'_> {
    /// Frees, then takes, then writes the counters. The first use that is refused ends it.
    fn change_uses(&mut self) -> Part<Option<TransitionOutcome>> {
        for change in &self.transition.uses {
            if change.to == UseTarget::Free {
                self.free(change.claim_id)?;
            }
        }
        for change in &self.transition.uses {
            let UseTarget::Taken(wanted) = &change.to else {
                continue;
            };
            let refusal = match self.own.remove(&change.claim_id) {
                Some(held) => self.alter(&held, wanted)?,
                None => self.take(change.claim_id, wanted)?,
            };
            if refusal.is_some() {
                return Ok(refusal);
            }
        }
        check_left(
            self.transition,
            self.own.values().map(|held| held.held_until),
        )?;
        for (coupon, counted) in &self.counters {
            uses::keep(self.connection, *coupon, counted)?;
        }
        Ok(None)
    }

    fn free(&mut self, claim_id: ClaimId) -> Part<()> {
        let Some(held) = self.own.remove(&claim_id) else {
            let id = self.transition.redemption.id;
            let text = format!("redemption {id} has no use of claim {claim_id} to free");
            return Err(LedgerError::corrupt(text).into());
        };
        uses::delete(self.connection, &held)?;
        self.counters(claim_id.coupon())?.leave(&held)?;
        Ok(())
    }

    /// Takes a use that the redemption does not have.
    fn take(&mut self, claim_id: ClaimId, wanted: &TakenUse) -> Part<Option<TransitionOutcome>> {
        let redemption = &self.transition.redemption;
        let claim = claims::find(self.connection, claim_id)?;
        if claim.is_none_or(|claim| claim.revoked || claim.user != redemption.user) {
            return Ok(Some(TransitionOutcome::ClaimGone { claim_id }));
        }
        let live = uses::of_claim(self.connection, claim_id)?;
        if live.len() as u64 >= u64::from(wanted.uses_per_claim) {
            let uses = live;
            return Ok(Some(TransitionOutcome::ClaimNotFree { claim_id, uses }));
        }
        if let Some(refusal) = self.refused_by_limits(claim_id, wanted, None)? {
            return Ok(Some(refusal));
        }
        let taken = ClaimUse {
            claim_id,
            use_number: free_number(&live),
            redemption: redemption.id,
            order: redemption.order.clone(),
            held_until: wanted.held_until,
            value: wanted.value,
            period: wanted.user_limit.as_ref().map(|limit| limit.period.clone()),
        };
        uses::insert(self.connection, &redemption.user, &taken)?;
        self.list(claim_id.coupon())?;
        self.counters(claim_id.coupon())?.enter(&taken)?;
        self.own.insert(claim_id, taken);
        Ok(None)
    }

    /// Changes a use that the redemption has.
    fn alter(&mut self, held: &ClaimUse, wanted: &TakenUse) -> Part<Option<TransitionOutcome>> {
        let refusal = self.refused_by_limits(held.claim_id, wanted, Some(held))?;
        if refusal.is_some() {
            return Ok(refusal);
        }
        let altered = ClaimUse {
            held_until: wanted.held_until,
            value: wanted.value,
            period: wanted.user_limit.as_ref().map(|limit| limit.period.clone()),
            ..held.clone()
        };
        uses::update(self.connection, &altered)?;
        let counters = self.counters(held.claim_id.coupon())?;
        counters.leave(held)?;
        counters.enter(&altered)?;
        self.own.insert(held.claim_id, altered);
        Ok(None)
    }

    /// The limits that span claims, as far as this use counts more than it did before.
    fn refused_by_limits(
        &mut self,
        claim_id: ClaimId,
        wanted: &TakenUse,
        before: Option<&ClaimUse>,
    ) -> Part<Option<TransitionOutcome>> {
        let coupon = claim_id.coupon();
        if let Some(limit) = &wanted.user_limit {
            let counts_already =
                before.is_some_and(|held| held.period.as_ref() == Some(&limit.period));
            let user = &self.transition.redemption.user;
            if !counts_already {
                let uses = uses::in_period(self.connection, coupon, user, &limit.period)?;
                if uses >= limit.count {
                    return Ok(Some(TransitionOutcome::UserLimitReached { claim_id, uses }));
                }
            }
        }
        let own: MinorUnits = before.map_or(0, |held| held.value);
        if let Some(budget) = wanted.budget
            && wanted.value > own
        {
            let others = self.counters(coupon)?.usage.value - own;
            if sum(others, wanted.value)? > budget {
                return Ok(Some(TransitionOutcome::BudgetReached {
                    claim_id,
                    coupon,
                    left: (budget - others).max(0),
                }));
            }
        }
        Ok(None)
    }

    /// Lists the redemption under a coupon that it uses.
    fn list(&self, coupon: CouponId) -> Part<()> {
        let redemption = &self.transition.redemption;
        self.connection
            .prepare_cached(
                "INSERT INTO coupon_redemptions (coupon, created_at, redemption)
                 VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                coupon.0,
                Instant(redemption.created_at),
                redemption.id.0
            ])?;
        Ok(())
    }

    fn counters(&mut self, coupon: CouponId) -> Part<&mut CountedUses> {
        if !self.counters.contains_key(&coupon) {
            let kept = uses::kept(self.connection, coupon)?;
            self.counters.insert(coupon, kept);
        }
        // Inserted above where it was not there.
        Ok(self.counters.entry(coupon).or_default())
    }
}
