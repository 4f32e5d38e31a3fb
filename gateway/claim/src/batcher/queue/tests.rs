use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const LIMITS: QueueLimits = QueueLimits {
    claims_max: 12,
    batch_max: 4,
    calls_max: 2,
};

fn key(coupon: u32, revision: u32) -> BatchKey {
    BatchKey {
        coupon: CouponId(coupon),
        form: ClaimForm::Single,
        revision: Revision(revision),
    }
}

fn entry(key: BatchKey, deadline: Instant, item: u32) -> Entry<u32> {
    Entry {
        key,
        deadline,
        awaits_keeper: false,
        item,
    }
}

fn items(batch: Option<Vec<Entry<u32>>>) -> Vec<u32> {
    batch.map_or_else(Vec::new, |batch| {
        batch.into_iter().map(|entry| entry.item).collect()
    })
}

const WAIT: Duration = Duration::from_millis(50);

#[test]
fn a_claim_alone_is_sent_at_once_and_those_that_come_meanwhile_together() {
    let (mut queue, now) = (LaneQueue::new(LIMITS), Instant::now());
    queue.push(entry(key(1, 1), now + WAIT, 0)).unwrap();
    assert_eq!(items(queue.next_call(now)), [0]);
    queue.push(entry(key(1, 1), now + WAIT, 1)).unwrap();
    assert_eq!(items(queue.next_call(now)), [1]);
    for item in 2..7 {
        queue.push(entry(key(1, 1), now + WAIT, item)).unwrap();
    }
    assert!(queue.next_call(now).is_none(), "two are in flight");
    queue.finished();
    assert_eq!(items(queue.next_call(now)), [2, 3, 4, 5], "capped");
    queue.finished();
    assert_eq!(items(queue.next_call(now)), [6]);
}

#[test]
fn coupons_take_turns_and_a_new_revision_starts_a_new_call() {
    let (mut queue, now) = (
        LaneQueue::new(QueueLimits {
            calls_max: 9,
            ..LIMITS
        }),
        Instant::now(),
    );
    for item in 0..6 {
        queue.push(entry(key(1, 1), now + WAIT, item)).unwrap();
    }
    queue.push(entry(key(1, 2), now + WAIT, 6)).unwrap();
    queue.push(entry(key(2, 1), now + WAIT, 7)).unwrap();
    assert_eq!(items(queue.next_call(now)), [0, 1, 2, 3]);
    assert_eq!(
        items(queue.next_call(now)),
        [7],
        "the other coupon before the rest"
    );
    assert_eq!(
        items(queue.next_call(now)),
        [4, 5],
        "not mixed with the next revision"
    );
    assert_eq!(items(queue.next_call(now)), [6]);
    assert!(queue.next_call(now).is_none());
}

#[test]
fn at_its_bound_the_queue_gives_the_claim_back() {
    let (mut queue, now) = (LaneQueue::new(LIMITS), Instant::now());
    for item in 0..12 {
        queue
            .push(entry(key(item % 3, 1), now + WAIT, item))
            .unwrap();
    }
    let refused = queue.push(entry(key(1, 1), now + WAIT, 12)).unwrap_err();
    assert_eq!(refused.item, 12);
}

#[test]
fn what_waited_too_long_is_dropped_and_never_sent() {
    let (mut queue, now) = (LaneQueue::new(LIMITS), Instant::now());
    queue.push(entry(key(1, 1), now + WAIT, 0)).unwrap();
    queue.push(entry(key(2, 1), now + WAIT * 2, 1)).unwrap();
    assert_eq!(queue.wake_at(), Some(now + WAIT));
    let later = now + WAIT;
    let expired: Vec<_> = queue
        .expire(later)
        .into_iter()
        .map(|entry| entry.item)
        .collect();
    assert_eq!(expired, [0]);
    assert_eq!(items(queue.next_call(later)), [1]);
    assert!(queue.next_call(later).is_none());
    queue.finished();
    assert!(queue.is_idle());
    assert_eq!(queue.wake_at(), None);
}

#[test]
fn what_comes_back_is_first_again_after_its_rest_with_its_old_deadline() {
    let (mut queue, now) = (LaneQueue::new(LIMITS), Instant::now());
    for item in 0..2 {
        queue.push(entry(key(1, 1), now + WAIT, item)).unwrap();
    }
    let batch = queue.next_call(now).unwrap();
    queue.push(entry(key(1, 1), now + WAIT, 2)).unwrap();
    queue.finished();
    let rest = now + Duration::from_millis(5);
    queue.put_back(batch, Some(rest));
    assert!(
        queue.next_call(now).is_none(),
        "it rests, the new claim with it"
    );
    assert_eq!(queue.wake_at(), Some(rest));
    assert_eq!(items(queue.next_call(rest)), [0, 1, 2]);
    queue.finished();
    queue.put_back(vec![entry(key(1, 1), now + WAIT, 0)], Some(rest));
    assert_eq!(queue.expire(now + WAIT).len(), 1, "its record was kept");
    assert!(queue.next_call(now + WAIT).is_none());
    assert!(queue.is_idle());
}

#[test]
fn a_held_coupon_collects_claims_until_it_is_released_or_their_time_runs_short() {
    let (mut queue, now) = (LaneQueue::new(LIMITS), Instant::now());
    let half = WAIT / 2;
    // Held with nothing waiting: who comes after waits, and other coupons do not.
    queue.hold(CouponId(1), now, half);
    queue.push(entry(key(1, 1), now + WAIT, 0)).unwrap();
    queue.push(entry(key(2, 1), now + WAIT, 1)).unwrap();
    assert_eq!(items(queue.next_call(now)), [1]);
    queue.finished();
    assert!(queue.next_call(now).is_none());
    assert_eq!(queue.wake_at(), Some(now + half));
    assert_eq!(items(Some(queue.release(CouponId(1)))), [0]);
    queue.push(entry(key(1, 1), now + WAIT, 2)).unwrap();
    assert_eq!(items(queue.next_call(now)), [2], "the hold is over");
    queue.finished();
    // With a claim that has waited already, the hold is shorter; or there is none.
    let waited = Duration::from_millis(10);
    queue.push(entry(key(1, 1), now + WAIT, 3)).unwrap();
    queue.hold(CouponId(1), now + waited, half);
    assert_eq!(queue.wake_at(), Some(now + half));
    assert!(queue.next_call(now + waited).is_none());
    assert_eq!(items(queue.next_call(now + half)), [3], "unreleased");
    queue.finished();
    queue.push(entry(key(1, 1), now + WAIT, 4)).unwrap();
    queue.hold(CouponId(1), now + half, half);
    assert_eq!(items(queue.next_call(now + half)), [4], "too late to hold");
}

#[derive(Debug, Clone)]
enum Event {
    Push { coupon: u32, revision: u32 },
    Send,
    Finish { put_back: u8, rest: bool },
    Pass { millis: u64 },
    Hold { coupon: u32, millis: u64 },
    Release { coupon: u32, answered: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u32..3, 1_u32..3).prop_map(|(coupon, revision)| Event::Push { coupon, revision }),
        3 => Just(Event::Send),
        2 => (0_u8..5, any::<bool>()).prop_map(|(put_back, rest)| Event::Finish { put_back, rest }),
        2 => (0_u64..30).prop_map(|millis| Event::Pass { millis }),
        1 => (0_u32..3, 1_u64..40).prop_map(|(coupon, millis)| Event::Hold { coupon, millis }),
        1 => (0_u32..3, 0_u8..5).prop_map(|(coupon, answered)| Event::Release { coupon, answered }),
    ]
}

/// A queue, and what the test knows about it.
struct World {
    queue: LaneQueue<u32>,
    now: Instant,
    flying: Vec<Vec<Entry<u32>>>,
    pushed: u32,
    left: HashSet<u32>,
    resting: Vec<(CouponId, Instant)>,
    held: Vec<(CouponId, Instant)>,
}

impl World {
    fn new() -> Self {
        Self {
            queue: LaneQueue::new(LIMITS),
            now: Instant::now(),
            flying: Vec::new(),
            pushed: 0,
            left: HashSet::new(),
            resting: Vec::new(),
            held: Vec::new(),
        }
    }

    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        for expired in self.queue.expire(self.now) {
            prop_assert!(expired.deadline <= self.now, "expired early");
            prop_assert!(self.left.insert(expired.item), "left twice");
        }
        let held = &self.queue.coupons;
        self.resting.retain(|rest| held.contains_key(&rest.0));
        match *event {
            Event::Push { coupon, revision } => {
                let entry = entry(key(coupon, revision), self.now + WAIT, self.pushed);
                let begins = !self.queue.coupons.contains_key(&CouponId(coupon));
                match self.queue.push(entry) {
                    Err(refused) => prop_assert!(self.left.insert(refused.item)),
                    Ok(()) if begins => {
                        let held = self.held.iter().filter(|held| held.0 == CouponId(coupon));
                        self.resting.extend(held);
                    }
                    Ok(()) => {}
                }
                self.pushed += 1;
            }
            Event::Send => self.send()?,
            Event::Finish { put_back, rest } if !self.flying.is_empty() => {
                self.finish(usize::from(put_back), rest)?;
            }
            Event::Finish { .. } => {}
            Event::Pass { millis } => self.now += Duration::from_millis(millis),
            Event::Hold { coupon, millis } => self.hold(CouponId(coupon), millis),
            Event::Release { coupon, answered } => self.release(CouponId(coupon), answered)?,
        }
        Ok(())
    }

    fn hold(&mut self, coupon: CouponId, millis: u64) {
        let wait = Duration::from_millis(millis);
        let waiting = self.queue.coupons.get(&coupon);
        let oldest = waiting.map_or(self.now + WAIT, |held| held.entries[0].deadline);
        let is_waiting = waiting.is_some();
        let until = if is_waiting {
            (oldest - wait).min(self.now + wait)
        } else {
            self.now + wait
        };
        self.queue.hold(coupon, self.now, wait);
        if until > self.now {
            self.held.retain(|held| held.0 != coupon);
            self.held.push((coupon, until));
            if is_waiting {
                self.resting.retain(|rest| rest.0 != coupon);
                self.resting.push((coupon, until));
            }
        }
    }

    fn release(&mut self, coupon: CouponId, answered: u8) -> Result<(), TestCaseError> {
        let mut entries = self.queue.release(coupon);
        let back = entries.split_off(entries.len().min(usize::from(answered)));
        for entry in entries {
            prop_assert!(self.left.insert(entry.item), "left twice");
        }
        self.queue.put_back(back, None);
        self.held.retain(|held| held.0 != coupon);
        self.resting.retain(|rest| rest.0 != coupon);
        Ok(())
    }

    fn send(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        self.held.retain(|held| held.1 > now);
        self.resting.retain(|rest| rest.1 > now);
        let free = self.flying.len() < LIMITS.calls_max;
        let rests = |id: &CouponId| self.resting.iter().any(|rest| rest.0 == *id);
        let waiting = self.queue.coupons.keys().any(|id| !rests(id));
        let call = self.queue.next_call(now);
        prop_assert_eq!(
            call.is_some(),
            free && waiting,
            "a free call is used, no other"
        );
        if let Some(batch) = call {
            prop_assert!(batch.len() <= LIMITS.batch_max);
            prop_assert!(batch.iter().all(|entry| entry.key == batch[0].key));
            prop_assert!(batch.iter().all(|entry| entry.deadline > now), "sent late");
            prop_assert!(
                batch.is_sorted_by_key(|entry| entry.deadline),
                "out of order"
            );
            self.flying.push(batch);
        }
        Ok(())
    }

    fn finish(&mut self, put_back: usize, rest: bool) -> Result<(), TestCaseError> {
        let now = self.now;
        let mut batch = self.flying.remove(0);
        self.queue.finished();
        let answered = batch.len().saturating_sub(put_back);
        let (back, late): (Vec<_>, Vec<_>) = batch
            .split_off(answered)
            .into_iter()
            .partition(|entry| entry.deadline > now);
        for entry in batch.into_iter().chain(late) {
            prop_assert!(self.left.insert(entry.item), "left twice");
        }
        let until = rest.then(|| now + Duration::from_millis(5));
        if let Some(first) = back.first() {
            let coupon = first.key.coupon;
            if let Some(until) = until {
                self.resting.retain(|rest| rest.0 != coupon);
                self.resting.push((coupon, until));
            } else if !self.queue.coupons.contains_key(&coupon) {
                let held = self.held.iter().filter(|held| held.0 == coupon);
                self.resting.extend(held);
            }
        }
        self.queue.put_back(back, until);
        Ok(())
    }

    fn settled(&self) -> Result<(), TestCaseError> {
        let waiting: usize = self
            .queue
            .coupons
            .values()
            .map(|held| held.entries.len())
            .sum();
        let flying: usize = self.flying.iter().map(Vec::len).sum();
        prop_assert_eq!(self.queue.waiting, waiting);
        prop_assert!(waiting <= LIMITS.claims_max + LIMITS.batch_max * LIMITS.calls_max);
        prop_assert_eq!(
            self.pushed as usize,
            self.left.len() + waiting + flying,
            "one was lost"
        );
        prop_assert!(
            self.queue
                .coupons
                .values()
                .all(|held| !held.entries.is_empty())
        );
        Ok(())
    }
}

proptest! {
    /// Every claim leaves exactly once; the bounds hold; nothing is sent late, mixed, out of
    /// order, or held back while a call is free.
    #[test]
    fn the_queue_keeps_its_promises(events in prop::collection::vec(event(), 0..120)) {
        let mut world = World::new();
        for event in &events {
            world.step(event)?;
        }
        world.settled()?;
    }
}
