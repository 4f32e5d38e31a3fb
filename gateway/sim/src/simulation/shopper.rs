//! Shoppers: they claim, repeat, look up, and go away in the midst of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use sluice_claim::outcome::{AttemptOutcome, ClaimOutcome, ClaimView, LookupOutcome};
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::{ClaimId, UserId};
use sluice_domain::invariant::history::{Answer, Attempt};
use tokio::time::timeout;

use super::dice::Dice;
use super::story::SHOPPER;
use super::time::pause;
use super::world::{Gone, Offer, World, locked};

/// Users that all shoppers act for: few, so that they meet.
const USERS: u64 = 14;
/// Devices that the users share.
const DEVICES: u64 = 5;
/// In a thousand: how often a shopper does not wait for the answer.
const IMPATIENT: u32 = 60;

/// A shopper at work.
pub(super) struct Visitor {
    pub(super) world: Arc<World>,
    pub(super) number: usize,
    pub(super) dice: Dice,
    /// The claims that this shopper knows of, with what they were asked for.
    known: BTreeMap<ClaimId, (Offer, UserId, String)>,
}

// === impl Visitor ===

impl Visitor {
    pub(super) fn new(world: Arc<World>, number: usize, dice: Dice) -> Self {
        Self {
            world,
            number,
            dice,
            known: BTreeMap::new(),
        }
    }

    /// Claims now and then until the world is calm.
    pub(super) async fn visit(mut self, requests: u32) {
        for _request in 0..requests {
            pause(self.dice.below(1_900)).await;
            if self.world.is_calm() {
                return;
            }
            let offers = self.world.offers();
            let Some(offer) = offers.get(self.dice.index(offers.len())).cloned() else {
                continue;
            };
            let Some(user) = user('u', self.dice.below(USERS)) else {
                return;
            };
            let key = match offer.per_user {
                1 => String::new(),
                _many => format!("k{}", self.dice.below(3)),
            };
            for _repeat in 0..=self.dice.below(3) {
                let impatient = self.dice.chance(IMPATIENT);
                let patience = impatient.then(|| self.dice.between(1, 40));
                let answer = self.claim(&offer, user, &key, patience).await;
                if !matches!(
                    answer,
                    Answer::Unknown | Answer::NotApplied | Answer::Pending(_)
                ) {
                    break;
                }
                pause(self.dice.below(250)).await;
            }
            if self.dice.chance(400) {
                self.look_up().await;
            }
        }
    }

    /// A crowd of strangers comes, a few times.
    pub(super) async fn rush(mut self) {
        let mut stranger = 0;
        for _crowd in 0..self.dice.between(1, 4) {
            pause(self.dice.below(4_000)).await;
            let offers = self.world.offers();
            let Some(offer) = offers.get(self.dice.index(offers.len())).cloned() else {
                return;
            };
            for _one in 0..self.dice.between(5, 25) {
                let Some(user) = user('y', stranger).filter(|_user| !self.world.is_calm()) else {
                    return;
                };
                stranger += 1;
                self.claim(&offer, user, "rush", Some(400)).await;
            }
        }
    }

    /// Strangers come one after the other, with so long between two; some come again, of those who may
    /// have several claims some with another key.
    pub(super) async fn stream(mut self, (least, most): (u64, u64)) {
        let mut came: Vec<(Offer, UserId)> = Vec::new();
        for stranger in 0.. {
            pause(self.dice.between(least, most)).await;
            if self.world.is_calm() {
                return;
            }
            let offers = self.world.offers();
            let Some(offer) = offers.get(self.dice.index(offers.len())) else {
                return;
            };
            let Some(user) = user('w', stranger) else {
                return;
            };
            let again = self.dice.chance(550) && !came.is_empty();
            let (offer, user) = if again {
                // Mostly those who came a moment ago.
                let among = came
                    .len()
                    .min(if self.dice.chance(700) { 3 } else { came.len() });
                came[came.len() - 1 - self.dice.index(among)].clone()
            } else {
                came.push((offer.clone(), user));
                (offer.clone(), user)
            };
            let key = format!("k{}", self.dice.below(3));
            self.claim(&offer, user, &key, Some(400)).await;
        }
    }

    /// One claim at some process; recorded, with what it ended in.
    pub(super) async fn claim(
        &mut self,
        offer: &Offer,
        user: UserId,
        key: &str,
        patience_ms: Option<u64>,
    ) -> Answer {
        let world = Arc::clone(&self.world);
        // What a coupon of one claim per user is asked for with is the same whatever the key.
        let key = if offer.per_user == 1 { "" } else { key };
        let number = self.dice.index(world.process_count());
        let sent_at = world.now();
        let outcome = match world.process(number) {
            None => Some(Answer::NotApplied),
            Some(process) => {
                let shopper = shopper(user);
                let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let claiming = process
                    .engine
                    .claim(offer.coupon, &shopper, address, Some(key));
                let patience = Duration::from_millis(patience_ms.unwrap_or(60_000));
                let outcome = process.living(timeout(patience, claiming)).await;
                let outcome = outcome.and_then(Result::ok);
                if matches!(outcome, Some(ClaimOutcome::Replayed(_))) {
                    world.net.counts.add("claim: replayed");
                }
                outcome.map(answer_of)
            }
        };
        let answered_at = world.now();
        world.net.time.take_turn().await;
        if outcome.is_none() && patience_ms.is_some() {
            world.net.counts.add("claim: client gone");
        }
        let answer = outcome.unwrap_or(Answer::Unknown);
        world.net.counts.add(name_of(&answer));
        let at = world.net.time.now_ms();
        let words = || {
            format!(
                "coupon {} user {user} key {key:?} at process {number}: {answer:?}",
                offer.coupon
            )
        };
        world
            .net
            .story
            .step(at, SHOPPER + self.number, "claims", 0, words);
        if let Answer::Acknowledged { claim_id, .. } = &answer {
            locked(&world.won).push((*claim_id, user));
        }
        if let Answer::Acknowledged { claim_id, .. } | Answer::Pending(claim_id) = &answer {
            self.known
                .insert(*claim_id, (offer.clone(), user, key.to_owned()));
        }
        world.tally.attempt(Attempt {
            sent_at,
            answered_at,
            coupon: offer.coupon,
            user,
            key: key.to_owned(),
            answer: answer.clone(),
        });
        answer
    }

    /// Looks one of the known claims up.
    async fn look_up(&mut self) {
        let world = Arc::clone(&self.world);
        let index = self.dice.index(self.known.len());
        let Some((&claim_id, (_, user, key))) = self.known.iter().nth(index) else {
            return;
        };
        let Some(process) = world.process(self.dice.index(world.process_count())) else {
            return;
        };
        let (user, key) = (*user, key.clone());
        let asked_at = world.now();
        let outcome = process.living(process.engine.lookup(claim_id, &user)).await;
        world.net.time.take_turn().await;
        let at = world.net.time.now_ms();
        let words = || format!("claim {claim_id} of {user}: {outcome:?}");
        world
            .net
            .story
            .step(at, SHOPPER + self.number, "looks up", 0, words);
        match outcome {
            Some(LookupOutcome::Found(_)) => world.net.counts.add("look-up: found"),
            Some(LookupOutcome::NotFound) => {
                world.net.counts.add("look-up: not found");
                locked(&world.gone).push(Gone {
                    claim_id,
                    user,
                    key,
                    asked_at,
                });
            }
            Some(LookupOutcome::Unavailable(_)) | None => {}
        }
    }
}

/// A user by a letter and a number.
pub(super) fn user(letter: char, number: u64) -> Option<UserId> {
    UserId::new(&format!("{letter}{number:03}")).ok()
}

/// Strangers have a device of their own each, others share a few.
fn shopper(user: UserId) -> Shopper {
    let name = user.as_str();
    let number: u64 = name[1..].parse().unwrap_or(0);
    let device = match name.as_bytes().first() {
        Some(b'u') => format!("d{}", number % DEVICES),
        _stranger => format!("d-{name}"),
    };
    Shopper {
        user,
        groups: Arc::default(),
        is_new: None,
        verified: Arc::default(),
        device: Some(device.into()),
    }
}

fn answer_of(outcome: ClaimOutcome) -> Answer {
    match outcome {
        ClaimOutcome::Granted(view) | ClaimOutcome::Replayed(view) => Answer::Acknowledged {
            claim_id: view.claim_id,
            durability: view.durability,
            body: body_of(&view),
        },
        ClaimOutcome::Pending(claim_id) => Answer::Pending(claim_id),
        ClaimOutcome::Refused(refusal) => Answer::Refused(refusal.code.as_str().to_owned()),
        ClaimOutcome::Unavailable(why) => match why.outcome {
            AttemptOutcome::NotApplied => Answer::NotApplied,
            AttemptOutcome::Unknown => Answer::Unknown,
        },
    }
}

/// All that the body of an answer says.
fn body_of(view: &ClaimView) -> String {
    format!(
        "{} {} {} {:?} {} {} {:?}",
        view.claim_id,
        view.user,
        view.version,
        view.durability,
        view.granted_at,
        view.valid_from,
        view.expires_at
    )
}

fn name_of(answer: &Answer) -> &'static str {
    match answer {
        Answer::Acknowledged { .. } => "claim: granted",
        Answer::Pending(_) => "claim: pending",
        Answer::NotApplied => "claim: not applied",
        Answer::Unknown => "claim: unknown",
        Answer::Refused(code) => match code.as_str() {
            "sold_out" => "claim: sold_out",
            "paused" => "claim: paused",
            "ended" => "claim: ended",
            "user_limit_reached" => "claim: user_limit_reached",
            "device_limit_reached" => "claim: device_limit_reached",
            _other => "claim: refused otherwise",
        },
    }
}
