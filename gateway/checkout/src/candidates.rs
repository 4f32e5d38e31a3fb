//! From claims to what pricing needs of them: frozen terms, validity, and the facts that limits
//! count.

mod limits;
mod uses;

use std::sync::Arc;

use sluice_domain::cart::Cart;
use sluice_domain::claim::{ClaimForm, ClaimRow, Durability};
use sluice_domain::coupon::{Coupon, Status};
use sluice_domain::eligibility::{self, Shopper};
use sluice_domain::id::{ClaimId, CouponId, LeaseNumber, RedemptionId, Ticket, UserId};
use sluice_domain::input::FieldError;
use sluice_domain::pricing::{self, Buyer, Candidate, CandidateFacts, Choose, QuoteInput};
use sluice_domain::published::Published;
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::Redemption;
use sluice_domain::time::Timestamp;
use sluice_ledger::redemptions::standing::StandingQuery;

use crate::error::{Answer, CheckoutError, Refused};
use crate::{Checkout, metrics};
use limits::Limits;
use uses::Uses;

/// What a caller asks a price for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The cart.
    pub cart: Cart,
    /// Who buys.
    pub buyer: Buyer,
    /// The claims to use, distinct.
    pub claims: Vec<ClaimId>,
    /// Public codes to use, trimmed and in upper case, distinct.
    pub codes: Vec<String>,
    /// Which to use.
    pub choose: Choose,
}

/// A pricing input, and what was noticed while it was gathered.
pub(crate) struct Gathered {
    pub(crate) input: QuoteInput,
    /// Redemptions whose hold ran out and still has claims or limits reserved.
    pub(crate) due: Vec<RedemptionId>,
    /// Claims that are not there yet: a public code stands for them.
    pub(crate) unclaimed: Vec<Unclaimed>,
}

/// A coupon whose code the buyer has, and no claim of it yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Unclaimed {
    /// The coupon.
    pub coupon: Coupon,
    /// The claim that they would get.
    pub claim_id: ClaimId,
}

/// One claim on the way to a candidate.
struct Found {
    row: ClaimRow,
    code: Option<String>,
}

// === impl Checkout ===

impl Checkout {
    /// Gathers everything that a quote for this ask is computed from. What the redemption `own`
    /// has reserved counts as free: a re-hold may take it again.
    pub(crate) async fn gather(
        &self,
        ask: &Ask,
        own: Option<&Redemption>,
        now: Timestamp,
    ) -> Answer<Gathered> {
        let mut found = match self.claims_asked(ask).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut unclaimed = Vec::new();
        for (place, code) in ask.codes.iter().enumerate() {
            match self.by_code(code, ask, &mut found, now).await? {
                Ok(None) => {}
                Ok(Some(wanted)) => unclaimed.push(wanted),
                Err(mut refused) => {
                    refused.errors.push(FieldError {
                        pointer: format!("/codes/{place}"),
                        message: "is not accepted".to_owned(),
                    });
                    return Ok(Err(refused));
                }
            }
        }
        let mut due = Vec::new();
        let candidates = self
            .candidates(&ask.buyer.user, found, own, now, &mut due)
            .await?;
        metrics::candidates(candidates.len());
        Ok(Ok(Gathered {
            input: QuoteInput {
                cart: ask.cart.clone(),
                buyer: ask.buyer.clone(),
                candidates,
                choose: ask.choose,
                limits: self.settings.order_limits,
                now,
            },
            due,
            unclaimed,
        }))
    }

    /// The claims that the ask names, or the whole wallet. Foreign and unknown ones are answered
    /// alike.
    async fn claims_asked(&self, ask: &Ask) -> Answer<Vec<Found>> {
        let user = &ask.buyer.user;
        let mut rows: Vec<ClaimRow> = match ask.choose {
            Choose::Given => Vec::new(),
            Choose::Best => self.usable_rows(user).await?,
        };
        let known = |claim: &&ClaimId| !rows.iter().any(|row| row.claim_id == **claim);
        let named: Vec<ClaimId> = ask.claims.iter().filter(known).copied().collect();
        if !named.is_empty() {
            for row in self.ledger.claims(&named).await? {
                match row {
                    Some(row) if row.user == *user => rows.push(row),
                    Some(_) | None => return Ok(Err(Refused::of(ReasonCode::NotFound))),
                }
            }
        }
        Ok(Ok(rows
            .into_iter()
            .map(|row| Found { row, code: None })
            .collect()))
    }

    /// The wallet's newest claims, those taken back left out.
    pub(crate) async fn usable_rows(&self, user: &UserId) -> Result<Vec<ClaimRow>, CheckoutError> {
        let limit = self.settings.wallet_claims_max;
        let mut rows = self.ledger.claims_of_user(user, limit).await?;
        rows.retain(|row| !row.revoked);
        Ok(rows)
    }

    /// Finds the claim that a public code stands for: the one that was got by it, or another of the
    /// coupon that the ask has; else the claim that the user would get now. Unknown, closed and
    /// foreign codes are refused alike.
    async fn by_code(
        &self,
        code: &str,
        ask: &Ask,
        found: &mut Vec<Found>,
        now: Timestamp,
    ) -> Answer<Option<Unclaimed>> {
        let refused = || Ok(Err(Refused::of(ReasonCode::CodeNotAccepted)));
        let Some(coupon) = self.ledger.coupon_by_code(code).await? else {
            return refused();
        };
        let user = &ask.buyer.user;
        let claim_id = self.claim_of_code(&coupon, user);
        let place = found
            .iter()
            .position(|held| held.row.claim_id == claim_id)
            .or_else(|| found.iter().position(|held| held.row.coupon == coupon.id));
        if let Some(place) = place {
            found[place].code = Some(code.to_owned());
            return Ok(Ok(None));
        }
        if let Some(row) = self.ledger.claim(claim_id).await? {
            found.push(Found {
                row,
                code: Some(code.to_owned()),
            });
            return Ok(Ok(None));
        }
        if !open_to(&coupon, &ask.buyer, now) {
            return refused();
        }
        found.push(Found {
            row: not_claimed_yet(&coupon, claim_id, user, now),
            code: Some(code.to_owned()),
        });
        Ok(Ok(Some(Unclaimed { coupon, claim_id })))
    }

    /// The id of the claim that a user gets by the public code of a coupon. Where one user may
    /// have several claims, the code itself is the idempotency key: one claim by code and user.
    #[must_use]
    pub fn claim_of_code(&self, coupon: &Coupon, user: &UserId) -> ClaimId {
        match (coupon.spec.limits.form(), &coupon.spec.code) {
            (ClaimForm::Keyed, Some(code)) => self.keys.keyed_claim_id(coupon.id, user, code),
            (ClaimForm::Single | ClaimForm::Keyed, _) => self.keys.single_claim_id(coupon.id, user),
        }
    }

    /// The published coupon with this public code, however it was typed.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn coupon_by_code(&self, code: &str) -> Result<Option<Coupon>, CheckoutError> {
        Ok(self.ledger.coupon_by_code(code).await?)
    }

    /// What pricing needs of these claims. `due` gets the redemptions whose hold ran out.
    async fn candidates(
        &self,
        user: &UserId,
        found: Vec<Found>,
        own: Option<&Redemption>,
        now: Timestamp,
        due: &mut Vec<RedemptionId>,
    ) -> Result<Vec<Candidate>, CheckoutError> {
        let keys = found.iter().map(|held| (held.row.coupon, held.row.version));
        let terms = self.terms.all(&*self.ledger, keys).await?;
        let query = StandingQuery {
            user: *user,
            claims: with_own_claims(&found, own),
            coupons: coupons_of(&found),
            periods: limits::periods(&terms, now),
        };
        let mut facts = self.ledger.standing(&query).await?;
        let live = std::mem::take(&mut facts.uses);
        let uses = Uses::of(live, own.map(|own| own.id), now);
        let limits = Limits::of(query, facts, &uses);
        let candidates = found.into_iter().filter_map(|held| {
            let Found { row, code } = held;
            let frozen = terms.get(&(row.coupon, row.version))?;
            let period = pricing::period_key(frozen, now);
            Some(Candidate {
                facts: CandidateFacts {
                    claim_id: row.claim_id,
                    coupon: row.coupon,
                    version: row.version,
                    code,
                    valid_from: frozen.validity.valid_from(row.granted_at),
                    expires_at: frozen.validity.expires_at(row.granted_at),
                    standing: uses.standing(&row, frozen),
                    user_uses: period.map(|period| limits.user_uses(row.coupon, &period)),
                    budget_left: limits.budget_left(row.coupon),
                    archived: limits.archived(row.coupon),
                },
                terms: Arc::clone(frozen),
            })
        });
        let candidates = candidates.collect();
        due.extend(uses.due);
        Ok(candidates)
    }
}

/// The claims found, and those that the redemption gives up with this hold: their value and their
/// use are free for other claims of the same coupon.
fn with_own_claims(found: &[Found], own: Option<&Redemption>) -> Vec<ClaimId> {
    let mut ids: Vec<ClaimId> = found.iter().map(|held| held.row.claim_id).collect();
    if let Some(own) = own {
        ids.extend(own.live_values().iter().map(|value| value.claim_id));
    }
    ids
}

fn coupons_of(found: &[Found]) -> Vec<CouponId> {
    let mut coupons: Vec<CouponId> = found.iter().map(|held| held.row.coupon).collect();
    coupons.sort_unstable();
    coupons.dedup();
    coupons
}

/// Whether the buyer could claim the coupon by its code now, as far as the ledger knows.
fn open_to(coupon: &Coupon, buyer: &Buyer, now: Timestamp) -> bool {
    let shopper = Shopper::from(buyer);
    coupon.status(now) == Status::Active
        && Published::of(coupon, &[]).is_some_and(|published| {
            eligibility::claim_reasons_by_code(&published, &shopper, now)
                .iter()
                .all(|reason| reason.condition == "limits.per_device")
        })
}

/// The row that a claim by code would become if it were granted now.
fn not_claimed_yet(coupon: &Coupon, claim_id: ClaimId, user: &UserId, now: Timestamp) -> ClaimRow {
    ClaimRow {
        claim_id,
        coupon: coupon.id,
        user: *user,
        lease: LeaseNumber(0),
        ticket: Ticket(0),
        revision: coupon.revision,
        version: coupon.version,
        granted_at: now,
        durability: Durability::Ledger,
        device: None,
        address: None,
        revoked: false,
    }
}
