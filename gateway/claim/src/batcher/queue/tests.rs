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

#[derive(Debug, Clone)]
enum Event {
    Push { coupon: u32, revision: u32 },
    Send,
    Finish { put_back: u8, rest: bool },
    Pass { millis: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u32..3, 1_u32..3).prop_map(|(coupon, revision)| Event::Push { coupon, revision }),
        3 => Just(Event::Send),
        2 => (0_u8..5, any::<bool>()).prop_map(|(put_back, rest)| Event::Finish { put_back, rest }),
        2 => (0_u64..30).prop_map(|millis| Event::Pass { millis }),
    ]
}

/// Every claim leaves exactly once; the bounds hold; nothing is sent late, mixed, out of order, or
/// held back while a call is free.
fn check(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut queue = LaneQueue::new(LIMITS);
    let mut now = Instant::now();
    let mut flying: Vec<Vec<Entry<u32>>> = Vec::new();
    let (mut pushed, mut left, mut resting) = (0_u32, HashSet::new(), Vec::new());
    for event in events {
        for expired in queue.expire(now) {
            prop_assert!(expired.deadline <= now, "expired early");
            prop_assert!(left.insert(expired.item), "left twice");
        }
        match event {
            Event::Push { coupon, revision } => {
                match queue.push(entry(key(coupon, revision), now + WAIT, pushed)) {
                    Ok(()) => {}
                    Err(refused) => prop_assert!(left.insert(refused.item)),
                }
                pushed += 1;
            }
            Event::Send => {
                let free = flying.len() < LIMITS.calls_max;
                resting.retain(|rest: &(u32, Instant)| rest.1 > now);
                let waiting = queue
                    .coupons
                    .keys()
                    .any(|id| resting.iter().all(|rest| rest.0 != id.0));
                let call = queue.next_call(now);
                prop_assert_eq!(
                    call.is_some(),
                    free && waiting,
                    "a free call is used, no other"
                );
                let Some(batch) = call else { continue };
                prop_assert!(batch.len() <= LIMITS.batch_max);
                prop_assert!(batch.iter().all(|entry| entry.key == batch[0].key));
                prop_assert!(batch.iter().all(|entry| entry.deadline > now), "sent late");
                prop_assert!(batch.is_sorted_by_key(|entry| entry.item), "out of order");
                flying.push(batch);
            }
            Event::Finish { put_back, rest } => {
                if flying.is_empty() {
                    continue;
                }
                let mut batch = flying.remove(0);
                queue.finished();
                let keep = batch.len().saturating_sub(usize::from(put_back));
                let back: Vec<_> = batch
                    .split_off(keep)
                    .into_iter()
                    .filter(|e| e.deadline > now)
                    .collect();
                let gone: HashSet<_> = back.iter().map(|entry| entry.item).collect();
                let last = keep + usize::from(put_back);
                for item in batch.iter().map(|entry| entry.item) {
                    prop_assert!(left.insert(item), "left twice of {}", last);
                }
                // Those that were dropped because their time was over leave, too.
                let _ = gone;
                let coupon = back.first().map(|entry| entry.key.coupon.0);
                let until = rest.then(|| now + Duration::from_millis(5));
                if let (Some(coupon), Some(until)) = (coupon, until)
                    && resting.iter().all(|held| held.0 != coupon || held.1 <= now)
                {
                    resting.push((coupon, until));
                }
                queue.put_back(back, until);
            }
            Event::Pass { millis } => now += Duration::from_millis(millis),
        }
    }
    prop_assert!(queue.waiting <= LIMITS.claims_max + LIMITS.batch_max * LIMITS.calls_max);
    let waiting: usize = queue
        .coupons
        .values()
        .map(|queue| queue.entries.len())
        .sum();
    prop_assert_eq!(queue.waiting, waiting);
    prop_assert!(
        queue
            .coupons
            .values()
            .all(|queue| !queue.entries.is_empty())
    );
    Ok(())
}

proptest! {
    #[test]
    fn the_queue_keeps_its_promises(events in prop::collection::vec(event(), 0..120)) {
        check(events)?;
    }
}
