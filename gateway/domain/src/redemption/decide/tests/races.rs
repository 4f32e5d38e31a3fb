//! 64 callers at once on one redemption, their reads and writes in any order; and ledgers with a
//! defect, which the audit has to see.

use super::*;
use crate::redemption::TransitionEvent;
use crate::redemption::sample::Defect;

/// Numbers that follow from a seed (`SplitMix64`).
struct Steps(u64);

impl Steps {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

const CALLERS: usize = 64;

/// How far a caller is. It reads the event and the redemption in two steps, and writes in a third:
/// between any two of them the others go on.
enum Phase {
    Start,
    EventRead(Option<TransitionEvent>),
    Decided(Decision),
    Over(Reply),
}

struct Caller {
    command: Command,
    phase: Phase,
}

impl Caller {
    fn new(command: Command) -> Self {
        Self {
            command,
            phase: Phase::Start,
        }
    }

    /// One step; the sweeper's operation id follows from the row, so it reads both at once.
    fn step(&mut self, shop: &mut Shop) {
        let id = Shop::id("o-1");
        self.phase = match std::mem::replace(&mut self.phase, Phase::Start) {
            Phase::Start => {
                let row = shop.store.redemptions.get(&id);
                let operation_id = self.command.operation_id(row);
                Phase::EventRead(shop.store.event(id, &operation_id))
            }
            Phase::EventRead(event) => {
                let row = shop.store.redemptions.get(&id);
                Phase::Decided(shop.decide(row, event.as_ref(), &self.command))
            }
            Phase::Decided(decision) => match shop.carry_out(decision) {
                Some(reply) => Phase::Over(reply),
                None => Phase::Start,
            },
            Phase::Over(reply) => Phase::Over(reply),
        };
    }

    fn reply(&self) -> Option<&Reply> {
        match &self.phase {
            Phase::Over(reply) => Some(reply),
            Phase::Start | Phase::EventRead(_) | Phase::Decided(_) => None,
        }
    }
}

/// What callers of a race do; each race has some of these.
#[derive(Clone, Copy)]
enum Kind {
    Confirm,
    Cancel,
    Expire,
    Hold,
    Part,
    Full,
}

const RACES: [&[Kind]; 5] = [
    &[
        Kind::Confirm,
        Kind::Cancel,
        Kind::Expire,
        Kind::Hold,
        Kind::Part,
        Kind::Full,
    ],
    &[Kind::Confirm, Kind::Cancel, Kind::Expire],
    &[Kind::Confirm, Kind::Expire, Kind::Part],
    &[Kind::Expire, Kind::Hold, Kind::Cancel, Kind::Full],
    &[Kind::Expire, Kind::Part],
];

fn command(shop: &mut Shop, steps: &mut Steps, kinds: &[Kind]) -> Command {
    let number = steps.below(3);
    let key = |word: &str| (number > 0).then(|| format!("{word}-{number}"));
    match kinds[steps.below(kinds.len())] {
        Kind::Confirm => Command::Confirm { key: key("a") },
        Kind::Cancel => Command::Cancel { key: key("b") },
        Kind::Expire => Command::Expire,
        Kind::Hold => shop.hold("o-1", &shoes(2), &[ten_percent()]),
        Kind::Part => refund(&format!("r-{}", number % 2), 1),
        Kind::Full => refund_all(&format!("full-{number}")),
    }
}

/// Lets 64 callers loose on a hold that is about to run out; all steps follow from the seed.
fn race(seed: u64, defect: Option<Defect>) -> (Shop, Vec<Caller>) {
    let mut steps = Steps(seed);
    let mut shop = shop_in(RedemptionStatus::Held);
    shop.store.defect = defect;
    shop.now = shop.row("o-1").held_until.plus_millis(-20);
    let kinds = RACES[steps.below(RACES.len())];
    let mut callers: Vec<Caller> = (0..CALLERS)
        .map(|_caller| Caller::new(command(&mut shop, &mut steps, kinds)))
        .collect();
    // Each write makes at most 63 others decide again.
    for _step in 0..CALLERS * CALLERS * 10 {
        let waiting: Vec<usize> = (0..CALLERS)
            .filter(|caller| callers[*caller].reply().is_none())
            .collect();
        if waiting.is_empty() {
            return (shop, callers);
        }
        if steps.below(4) == 0 {
            shop.now = shop.now.plus_millis(1);
        }
        let next = waiting[steps.below(waiting.len())];
        callers[next].step(&mut shop);
    }
    panic!("seed {seed}: callers without an answer");
}

/// What a caller was told is true of where the redemption ended.
fn assert_true(seed: u64, shop: &Shop, caller: &Caller) {
    use RedemptionStatus::{Cancelled, Confirmed, PartiallyRefunded, Refunded};
    let row = shop.row("o-1");
    let paid = matches!(row.status, Confirmed | PartiallyRefunded | Refunded);
    let place = format!(
        "seed {seed}: {:?} ended {:?}",
        caller.command,
        caller.reply()
    );
    match (&caller.command, caller.reply().unwrap()) {
        (Command::Confirm { .. }, Reply::Done(answer)) => {
            assert_eq!(status_of(answer), Confirmed, "{place}");
            assert!(paid, "{place}");
        }
        (Command::Cancel { .. }, Reply::Done(_)) => assert_eq!(row.status, Cancelled, "{place}"),
        (Command::Refund { refund_id, .. }, Reply::Done(Answer::Refund { refund, .. })) => {
            assert_eq!(refund.refund_id, *refund_id, "{place}");
            assert!(row.refunds.contains(refund), "{place}");
        }
        (_, Reply::Refused(Refusal::Conflict { state, .. })) => match state {
            Cancelled | Refunded => assert_eq!(row.status, *state, "{place}"),
            Confirmed | PartiallyRefunded => assert!(paid, "{place}"),
            RedemptionStatus::Held | RedemptionStatus::Expired => {}
        },
        _ => {}
    }
}

#[test]
fn of_64_callers_in_any_order_one_legal_path_results_and_all_are_told_the_truth() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let (shop, callers) = race(seed, None);
        let checks = shop.audit();
        assert_eq!(verdict(&checks), Verdict::Exact, "seed {seed}: {checks:#?}");
        for caller in &callers {
            assert_true(seed, &shop, caller);
        }
        ends.insert(shop.row("o-1").status);
    }
    assert!(ends.len() >= 5, "the races end alike: {ends:?}");
}

#[test]
fn a_ledger_that_does_not_compare_or_keeps_uses_is_seen() {
    for defect in [Defect::Compare, Defect::Free] {
        let seen = (0..20).any(|seed| {
            let (shop, _callers) = race(seed, Some(defect));
            verdict(&shop.audit()) == Verdict::Violated
        });
        assert!(seen, "{defect:?}");
    }
}

#[test]
fn a_ledger_that_lets_two_orders_have_a_claim_or_overspends_is_seen() {
    for (defect, claims, budget) in [
        (Defect::UseLimit, [five_off(), five_off()], None),
        (
            Defect::Budget,
            [five_off(), (claim(1, &user("ben")), five_off().1)],
            Some(700),
        ),
    ] {
        for defect in [None, Some(defect)] {
            let mut shop = Shop::new();
            shop.store.defect = defect;
            shop.budget = budget;
            for (order, offer) in ["o-1", "o-2"].iter().zip(&claims) {
                let hold = shop.hold(order, &shoes(2), std::slice::from_ref(offer));
                shop.run(order, &hold);
            }
            let expected = match defect {
                None => Verdict::Exact,
                Some(_) => Verdict::Violated,
            };
            assert_eq!(verdict(&shop.audit()), expected, "{defect:?}");
        }
    }
}
