//! The queue of one lane, and what is sent next: decisions only, no I/O, no clock.
//!
//! Claims wait per coupon, because a call is for one coupon. Coupons take turns, so one hot coupon
//! does not starve its lane. A call takes what waits *now*, up to the cap; while the calls in flight
//! are at their limit, claims collect, and that is the whole of the batching: nothing ever waits for
//! a batch to fill.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sluice_domain::claim::ClaimForm;
use sluice_domain::id::{CouponId, Revision};
use tokio::time::Instant;

/// Claims with the same key may share a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BatchKey {
    /// The coupon.
    pub(crate) coupon: CouponId,
    /// How its claim ids are made.
    pub(crate) form: ClaimForm,
    /// The revision eligibility was decided with.
    pub(crate) revision: Revision,
}

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    /// Claims waiting.
    pub(crate) claims_max: usize,
    /// Claims per call.
    pub(crate) batch_max: usize,
    /// Calls in flight.
    pub(crate) calls_max: usize,
}

/// A claim in the queue.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    /// With whom it may share a call.
    pub(crate) key: BatchKey,
    /// It is not sent at or after this instant.
    pub(crate) deadline: Instant,
    /// It was sent before, and waits for the keeper.
    pub(crate) awaits_keeper: bool,
    /// The claim.
    pub(crate) item: T,
}

/// The queue of one lane.
#[derive(Debug)]
pub(crate) struct LaneQueue<T> {
    limits: QueueLimits,
    /// Only coupons with claims waiting, so the map is bounded by `claims_max`.
    coupons: HashMap<CouponId, CouponQueue<T>>,
    /// Whose turn it is: every coupon with claims that does not rest, once.
    turns: VecDeque<CouponId>,
    /// When resting coupons go on, in order of time.
    rests: VecDeque<(Instant, CouponId)>,
    /// Coupons of which nothing is sent before then, whether or not claims of them wait: as few as
    /// winner filters are made at a time.
    held: Vec<(CouponId, Instant)>,
    /// One record per claim accepted, in order of time; it stays when the claim is sent, because
    /// the claim may come back with the same deadline.
    deadlines: VecDeque<(Instant, CouponId)>,
    waiting: usize,
    in_flight: usize,
}

#[derive(Debug)]
struct CouponQueue<T> {
    /// In order of their deadlines.
    entries: VecDeque<Entry<T>>,
    resting: bool,
}

// === impl LaneQueue ===

impl<T> LaneQueue<T> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            coupons: HashMap::new(),
            turns: VecDeque::new(),
            rests: VecDeque::new(),
            held: Vec::new(),
            deadlines: VecDeque::new(),
            waiting: 0,
            in_flight: 0,
        }
    }

    /// Takes a claim in; gives it back when the queue is full.
    pub(crate) fn push(&mut self, mut entry: Entry<T>) -> Result<(), Entry<T>> {
        if self.waiting >= self.limits.claims_max {
            return Err(entry);
        }
        let coupon = entry.key.coupon;
        // Claims of several threads may arrive in another order than their deadlines were set.
        if let Some(last) = self.deadlines.back() {
            entry.deadline = entry.deadline.max(last.0);
        }
        self.deadlines.push_back((entry.deadline, coupon));
        self.queue_of(coupon).entries.push_back(entry);
        self.waiting += 1;
        Ok(())
    }

    /// Puts claims of one coupon back, before all that came after them. With `rest_until` the coupon is
    /// left alone until then. The bound of the queue does not apply: they were in it before.
    pub(crate) fn put_back(&mut self, entries: Vec<Entry<T>>, rest_until: Option<Instant>) {
        let Some(coupon) = entries.first().map(|entry| entry.key.coupon) else {
            return;
        };
        self.waiting += entries.len();
        let queue = self.queue_of(coupon);
        for entry in entries.into_iter().rev() {
            // Not simply to the front: two calls may come back in the other order.
            let place = queue
                .entries
                .partition_point(|held| held.deadline < entry.deadline);
            queue.entries.insert(place, entry);
        }
        if let Some(until) = rest_until {
            self.rest(coupon, until);
        }
    }

    /// Sends nothing of this coupon for up to `wait`, or until it is released: claims of it, also
    /// those still to come, collect meanwhile. It ends early enough that the oldest of them has as
    /// much time left to be sent in; where that is now, nothing is held.
    pub(crate) fn hold(&mut self, coupon: CouponId, now: Instant, wait: Duration) {
        let waiting = self.coupons.get(&coupon);
        let oldest = waiting.and_then(|queue| queue.entries.front());
        let latest = oldest.and_then(|entry| entry.deadline.checked_sub(wait));
        let until = latest.map_or(now + wait, |latest| latest.min(now + wait));
        if until <= now {
            return;
        }
        self.held.retain(|held| held.0 != coupon);
        self.held.push((coupon, until));
        if self.coupons.contains_key(&coupon) {
            self.rest(coupon, until);
        }
    }

    /// Ends a hold, if there is one, and takes out what waits of this coupon. What is still to be
    /// sent is put back.
    pub(crate) fn release(&mut self, coupon: CouponId) -> Vec<Entry<T>> {
        self.held.retain(|held| held.0 != coupon);
        self.turns.retain(|waiting| *waiting != coupon);
        self.rests.retain(|rest| rest.1 != coupon);
        let waiting = self.coupons.remove(&coupon);
        let entries = waiting.map_or_else(VecDeque::new, |queue| queue.entries);
        self.waiting -= entries.len();
        entries.into()
    }

    /// The next call, if one may be sent: claims with one key, in order, none past its deadline
    /// (call [`expire`](Self::expire) with the same `now` first). The caller says
    /// [`finished`](Self::finished) when it is over.
    pub(crate) fn next_call(&mut self, now: Instant) -> Option<Vec<Entry<T>>> {
        self.end_rests(now);
        if self.in_flight >= self.limits.calls_max {
            return None;
        }
        let coupon = self.turns.pop_front()?;
        let queue = self.coupons.get_mut(&coupon)?;
        let key = queue.entries.front()?.key;
        let shared = queue.entries.iter().take(self.limits.batch_max);
        let count = shared.take_while(|entry| entry.key == key).count();
        let batch: Vec<_> = queue.entries.drain(..count).collect();
        if queue.entries.is_empty() {
            self.coupons.remove(&coupon);
        } else {
            self.turns.push_back(coupon);
        }
        self.waiting -= batch.len();
        self.in_flight += 1;
        Some(batch)
    }

    /// A call is over.
    pub(crate) fn finished(&mut self) {
        debug_assert!(self.in_flight > 0);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Takes out the claims whose deadline has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Entry<T>> {
        let mut expired = Vec::new();
        while let Some((_, coupon)) = self.deadlines.pop_front_if(|record| record.0 <= now) {
            let Some(queue) = self.coupons.get_mut(&coupon) else {
                continue;
            };
            while let Some(entry) = queue.entries.pop_front_if(|entry| entry.deadline <= now) {
                expired.push(entry);
            }
            if queue.entries.is_empty() {
                if queue.resting {
                    self.rests.retain(|rest| rest.1 != coupon);
                } else {
                    self.turns.retain(|waiting| *waiting != coupon);
                }
                self.coupons.remove(&coupon);
            }
        }
        self.waiting -= expired.len();
        expired
    }

    /// When to look again although nothing happened: the next deadline, or the end of a rest.
    /// `None` while nothing waits.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if self.waiting == 0 {
            return None;
        }
        let deadline = self.deadlines.front().map(|record| record.0);
        let rest = self.rests.front().map(|rest| rest.0);
        match (deadline, rest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) const fn is_idle(&self) -> bool {
        self.waiting == 0 && self.in_flight == 0
    }

    fn queue_of(&mut self, coupon: CouponId) -> &mut CouponQueue<T> {
        let held = self.held.iter().find(|held| held.0 == coupon);
        let (turns, rests) = (&mut self.turns, &mut self.rests);
        self.coupons.entry(coupon).or_insert_with(|| {
            match held {
                Some(&(_, until)) => insert_rest(rests, coupon, until),
                None => turns.push_back(coupon),
            }
            CouponQueue {
                entries: VecDeque::new(),
                resting: held.is_some(),
            }
        })
    }

    /// Takes a coupon with claims out of its turn until then.
    fn rest(&mut self, coupon: CouponId, until: Instant) {
        if let Some(queue) = self.coupons.get_mut(&coupon) {
            queue.resting = true;
            self.turns.retain(|waiting| *waiting != coupon);
            self.rests.retain(|rest| rest.1 != coupon);
            insert_rest(&mut self.rests, coupon, until);
        }
    }

    fn end_rests(&mut self, now: Instant) {
        self.held.retain(|held| held.1 > now);
        while let Some((_, coupon)) = self.rests.pop_front_if(|rest| rest.0 <= now) {
            if let Some(queue) = self.coupons.get_mut(&coupon) {
                queue.resting = false;
                self.turns.push_back(coupon);
            }
        }
    }
}

fn insert_rest(rests: &mut VecDeque<(Instant, CouponId)>, coupon: CouponId, until: Instant) {
    let place = rests.partition_point(|rest| rest.0 <= until);
    rests.insert(place, (until, coupon));
}

#[cfg(test)]
mod tests;
