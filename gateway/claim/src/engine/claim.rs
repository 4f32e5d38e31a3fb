//! Claiming a coupon.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_domain::claim::ClaimForm;
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::{ClaimId, CouponId, LaneId, UserId};
use sluice_domain::published::Published;
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::time::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{Engine, view};
use crate::batcher::{BatchKey, Decided};
use crate::clock::LaneTime;
use crate::definitions::{Definition, LiveCoupon};
use crate::failure::Failure;
use crate::outcome::{ClaimOutcome, Refusal};
use crate::port::{ClaimAnswer, ClaimRequest, ClaimStore};
use crate::sold_out::Local;

/// How often a claim is decided again, when its definition was too old or the lane's time unknown.
const ROUNDS_MAX: usize = 3;

/// Who asks for what.
pub(super) struct Asked<'a> {
    pub(super) coupon: CouponId,
    pub(super) shopper: &'a Shopper,
    address: IpAddr,
    key: Option<&'a str>,
    /// How the shopper comes to it.
    way: Way,
    /// When the decision has to be there.
    pub(super) deadline: Instant,
}

/// How a shopper comes to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the coupon's id.
    Open,
    /// With the coupon's public code.
    Code,
    /// Somebody who may grant gives it to them.
    Grant,
}

/// What pure eligibility says.
enum Eligible {
    Yes,
    No(Refusal),
    /// It depends on the lane's time, which is not known yet.
    TimeUnknown,
}

/// What one round ended in.
enum Round {
    Over(ClaimOutcome),
    /// Once more, with a definition asked for after this instant, if one is given.
    Again(Option<Instant>),
}

impl<S: ClaimStore> Engine<S> {
    /// Claims a coupon for a shopper. `key` is the idempotency key, whose form the edge has
    /// checked; it matters only where the coupon allows several claims per user.
    ///
    /// Dropping the future changes nothing about the claim.
    pub async fn claim(
        self: &Arc<Self>,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        let asked = self.asked(coupon, shopper, address, key);
        self.decide(asked).await
    }

    /// As [`Engine::claim`], for a shopper who has the coupon's public code.
    pub async fn claim_by_code(
        self: &Arc<Self>,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        let way = Way::Code;
        let asked = self.asked(coupon, shopper, address, key);
        self.decide(Asked { way, ..asked }).await
    }

    /// Grants a coupon to a user, on the word of somebody who may: an operator, or a service. A
    /// claim like every other, by the same script, with the same limits per user and in all. What
    /// only the user's own token could say is not asked ([`Rules::grant_reasons`]), and limits per
    /// device and address do not count it: there is neither.
    ///
    /// `key` names the claim where the coupon allows several per user; the same key again is the
    /// same claim.
    ///
    /// [`Rules::grant_reasons`]: sluice_domain::eligibility::Rules::grant_reasons
    pub async fn grant(
        self: &Arc<Self>,
        coupon: CouponId,
        user: &UserId,
        key: &str,
    ) -> ClaimOutcome {
        let shopper = Shopper::known_by_name(*user);
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let way = Way::Grant;
        let asked = self.asked(coupon, &shopper, nowhere, Some(key));
        self.decide(Asked { way, ..asked }).await
    }

    /// A claim by the coupon's id.
    fn asked<'a>(
        &self,
        coupon: CouponId,
        shopper: &'a Shopper,
        address: IpAddr,
        key: Option<&'a str>,
    ) -> Asked<'a> {
        Asked {
            coupon,
            shopper,
            address,
            key,
            way: Way::Open,
            deadline: Instant::now() + self.shared.settings.decide_within,
        }
    }

    async fn decide(self: &Arc<Self>, asked: Asked<'_>) -> ClaimOutcome {
        let mut not_before = None;
        for _round in 0..ROUNDS_MAX {
            match self.claim_round(&asked, not_before).await {
                Round::Over(outcome) => {
                    self.shared.metrics.claim(&outcome);
                    return outcome;
                }
                Round::Again(bound) => not_before = bound.or(not_before),
            }
        }
        let outcome = Failure::Warming.into();
        self.shared.metrics.claim(&outcome);
        outcome
    }

    /// The phases of a claim, in order.
    async fn claim_round(&self, asked: &Asked<'_>, not_before: Option<Instant>) -> Round {
        // What is it? Read at most a second ago.
        let definition = self
            .definitions
            .get(asked.coupon, not_before, asked.deadline);
        let live = match definition.await {
            Definition::Live(live) => live,
            Definition::Retired(published) => {
                // Boxed, because it is rare and large, and every claim's future would be as large.
                return Round::Over(Box::pin(self.claim_retired(asked, &published)).await);
            }
            Definition::Unknown => return refused(Refusal::of(ReasonCode::NotFound)),
            Definition::Failed(failure) => return Round::Over(failure.into()),
        };
        let published = live.rules.published();
        let lane = self.lane_for(published, &asked.shopper.user);

        // May this shopper have it? Pure, with all reasons.
        let now = Instant::now();
        let time = self.shared.clocks.read(lane, now);
        let eligible = eligible(&live, asked, time);

        // Can it be refused here and now, with proof that the caller is no winner?
        let eligible = match self.refuse_locally(&live, asked, lane, eligible, time, now) {
            Ok(refusal) => return refused(refusal),
            Err(eligible) => eligible,
        };

        // Which claim is it? Without a key or a device there is none that could be named.
        let request = match self.request(published, asked, &eligible) {
            Ok(request) => request,
            Err(refusal) => return refused(refusal),
        };

        // The script decides, together with whatever waits for the same coupon.
        let key = BatchKey {
            coupon: asked.coupon,
            form: published.form,
            revision: published.revision,
        };
        let sold_out = Arc::clone(self.sold_out(&live, lane));
        let decision = self
            .batcher
            .decide(lane, key, request, sold_out, asked.deadline);
        let decided = match decision.await {
            Ok(decided) => decided,
            Err(failure) => return Round::Over(failure.into()),
        };

        // What it said, and for a grant: the wait until it is worth its class.
        self.answer(&live, asked, eligible, decided).await
    }

    /// A refusal that needs no answer of Redis, or the eligibility given back.
    fn refuse_locally(
        &self,
        live: &LiveCoupon,
        asked: &Asked<'_>,
        lane: LaneId,
        eligible: Eligible,
        time: Option<LaneTime>,
        now: Instant,
    ) -> Result<Refusal, Eligible> {
        let (user, room) = (&asked.shopper.user, &self.shared.filters);
        let sold_out = self.sold_out(live, lane);
        match eligible {
            Eligible::No(refusal) => {
                let first_open_at = live.rules.published().first_open_at;
                let never_open = time.is_some_and(|time| time.is_before(first_open_at));
                if never_open || sold_out.is_no_winner(user, now, room) {
                    Ok(refusal)
                } else {
                    Err(Eligible::No(refusal))
                }
            }
            Eligible::Yes => match sold_out.judge(user, now, room, &self.shared.metrics) {
                Local::Refuse { more_may_come } => Ok(sold_out_refusal(more_may_come)),
                Local::Ask => Err(Eligible::Yes),
            },
            Eligible::TimeUnknown => Err(Eligible::TimeUnknown),
        }
    }

    fn request(
        &self,
        published: &Published,
        asked: &Asked<'_>,
        eligible: &Eligible,
    ) -> Result<ClaimRequest, Refusal> {
        let limits = &published.limits;
        if asked.way == Way::Grant {
            let claim_id = self.claim_id(published.form, asked)?;
            let subject = self.keys.granted(claim_id);
            return Ok(ClaimRequest {
                user: asked.shopper.user,
                claim_id,
                device: limits.per_device.map(|_limit| subject),
                address: limits.per_address.map(|_limit| subject),
                replay_only: !matches!(eligible, Eligible::Yes),
            });
        }
        let device = match (limits.per_device, &asked.shopper.device) {
            (None, _) => None,
            (Some(_), Some(device)) => Some(self.keys.device(asked.coupon, device)),
            (Some(_), None) => {
                return Err(match eligible {
                    Eligible::No(refusal) => refusal.clone(),
                    Eligible::Yes | Eligible::TimeUnknown => {
                        Refusal::of(ReasonCode::VerificationRequired)
                    }
                });
            }
        };
        Ok(ClaimRequest {
            user: asked.shopper.user,
            claim_id: self.claim_id(published.form, asked)?,
            device,
            address: limits
                .per_address
                .map(|_limit| self.keys.address(asked.coupon, asked.address)),
            replay_only: !matches!(eligible, Eligible::Yes),
        })
    }

    fn claim_id(&self, form: ClaimForm, asked: &Asked<'_>) -> Result<ClaimId, Refusal> {
        let user = &asked.shopper.user;
        match (form, asked.key) {
            (ClaimForm::Single, _) => Ok(self.keys.single_claim_id(asked.coupon, user)),
            (ClaimForm::Keyed, Some(key)) => Ok(self.keys.keyed_claim_id(asked.coupon, user, key)),
            (ClaimForm::Keyed, None) => Err(Refusal::of(ReasonCode::KeyRequired)),
        }
    }

    async fn answer(
        &self,
        live: &LiveCoupon,
        asked: &Asked<'_>,
        eligible: Eligible,
        decided: Decided,
    ) -> Round {
        let code = match decided.answer {
            ClaimAnswer::Granted(record) => {
                let seen = record.ticket.0.saturating_add(1);
                live.notes.tickets_seen.fetch_max(seen, Ordering::Relaxed);
                let said = self.acknowledge(live, asked, record, decided, false);
                return Round::Over(said.await);
            }
            ClaimAnswer::Replayed(record) => {
                let said = self.acknowledge(live, asked, record, decided, true);
                return Round::Over(said.await);
            }
            ClaimAnswer::NoClaim => {
                return match eligible {
                    Eligible::No(refusal) => refused(refusal),
                    Eligible::Yes | Eligible::TimeUnknown => Round::Again(None),
                };
            }
            ClaimAnswer::StaleDefinition => return Round::Again(Some(decided.received)),
            ClaimAnswer::NotStarted { starts_at } => {
                return refused(Refusal {
                    starts_at: Some(starts_at),
                    ..Refusal::of(ReasonCode::NotStarted)
                });
            }
            ClaimAnswer::SoldOut(proof) => return refused(sold_out_refusal(proof.more_may_come)),
            // The lane does not pass these on: it sends the claim again, or gives it up.
            ClaimAnswer::OpensSoon { .. } | ClaimAnswer::NextLease | ClaimAnswer::NeedLease => {
                return Round::Over(Failure::Warming.into());
            }
            ClaimAnswer::Paused => ReasonCode::Paused,
            ClaimAnswer::Ended => ReasonCode::Ended,
            ClaimAnswer::UserLimit => ReasonCode::UserLimitReached,
            ClaimAnswer::DeviceLimit => ReasonCode::DeviceLimitReached,
            ClaimAnswer::AddressLimit => ReasonCode::IpLimitReached,
        };
        refused(Refusal::of(code))
    }

    /// Hot state of this coupon was retired long after its end: repeats are answered from the
    /// ledger, everybody else is too late.
    async fn claim_retired(&self, asked: &Asked<'_>, published: &Published) -> ClaimOutcome {
        let claim_id = match self.claim_id(published.form, asked) {
            Ok(claim_id) => claim_id,
            Err(refusal) => return ClaimOutcome::Refused(refusal),
        };
        let lane = self.lane_for(published, &asked.shopper.user);
        let read = self.reader.find(claim_id, lane);
        let Ok(Ok(found)) = timeout_at(asked.deadline, read).await else {
            return Failure::Recovering.into();
        };
        let view = found
            .row
            .filter(|row| is_live_row(row, asked.coupon, &asked.shopper.user))
            .and_then(|row| view::of_row(published, &row));
        match view {
            Some(view) => ClaimOutcome::Replayed(view),
            None => ClaimOutcome::Refused(Refusal::of(ReasonCode::Ended)),
        }
    }
}

fn is_live_row(row: &sluice_domain::claim::ClaimRow, coupon: CouponId, user: &UserId) -> bool {
    view::is_owned(row, coupon, user) && !row.revoked
}

/// Pure eligibility at the lane's time. Where nothing but the claim window depends on the time, an
/// unknown time does not matter: the script knows it.
fn eligible(live: &LiveCoupon, asked: &Asked<'_>, time: Option<LaneTime>) -> Eligible {
    let published = live.rules.published();
    let at = match time {
        Some(time) => time.for_window(published.window),
        None if published.terms.conditions.windows.is_empty() => while_open(published),
        None => return Eligible::TimeUnknown,
    };
    let reasons = match asked.way {
        Way::Open => live.rules.claim_reasons(asked.shopper, at),
        Way::Code => live.rules.claim_reasons_by_code(asked.shopper, at),
        Way::Grant => live.rules.grant_reasons(asked.shopper, at),
    };
    match reasons.first().map(|reason: &Reason| reason.code) {
        None => Eligible::Yes,
        Some(code) => Eligible::No(Refusal {
            code,
            reasons,
            starts_at: published
                .window
                .starts_at
                .filter(|_start| code == ReasonCode::NotStarted),
            more_may_come: false,
        }),
    }
}

/// An instant inside the claim window.
fn while_open(published: &Published) -> Timestamp {
    let window = published.window;
    window
        .starts_at
        .or_else(|| window.ends_at.map(|end| end.plus_millis(-1)))
        .unwrap_or(published.first_open_at)
}

const fn sold_out_refusal(more_may_come: bool) -> Refusal {
    let mut refusal = Refusal::of(ReasonCode::SoldOut);
    refusal.more_may_come = more_may_come;
    refusal
}

const fn refused(refusal: Refusal) -> Round {
    Round::Over(ClaimOutcome::Refused(refusal))
}
