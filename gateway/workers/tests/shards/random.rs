//! Random crowds and random faults: every unit is sold, exactly, and "sold out" is always true.

use sluice_domain::id::UserId;
use sluice_hotstate::model::fault::ModelKey;
use sluice_ledger::lanes::Lanes as _;

use crate::crowd::{Crowd, now};

/// Histories per run.
const SEEDS: u64 = 200;

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[test]
fn every_unit_is_sold_exactly_whatever_happens() {
    let begin = std::env::var("SLUICE_SEED").map_or(1, |text| text.parse().unwrap());
    for seed in begin..begin + SEEDS {
        let told = std::panic::catch_unwind(|| history(seed));
        assert!(told.is_ok(), "SLUICE_SEED={seed}");
    }
}

fn history(seed: u64) {
    let mut dice = Dice(seed);
    let shards = u16::try_from(2 + dice.roll(7)).unwrap();
    let total = 1 + dice.roll(150);
    let mut crowd = Crowd::new(shards, total);
    let lanes = crowd.own_lanes();
    // Most of the crowd may be in few of the shards.
    let favoured = 1 + dice.roll(lanes.len() as u64);
    let crowds: Vec<Vec<UserId>> = lanes
        .iter()
        .map(|lane| crowd.users_of(*lane, 200))
        .collect();
    for _deed in 0..60 {
        let shard = usize::try_from(dice.roll(favoured)).unwrap();
        let lane = lanes[usize::try_from(dice.roll(lanes.len() as u64)).unwrap()];
        match dice.roll(20) {
            0 => crowd.crash(lane),
            1 => crowd.deaf = !crowd.deaf,
            2 => {
                let epoch = now(crowd.ledger.lane(lane)).unwrap().epoch;
                let key = match dice.roll(3) {
                    0 => ModelKey::Users(crowd.coupon),
                    1 => ModelKey::Coupon(crowd.coupon),
                    _ => ModelKey::Mark,
                };
                crowd.hot.lose_key(lane, epoch, key);
            }
            3 => {
                crowd.hot.step_down_and_up(0);
            }
            4 => {
                let stored = crowd.stored().spec.limits.total.unwrap();
                crowd.raise_total(stored + 1 + dice.roll(4));
            }
            5..8 => crowd.run(1 + dice.roll(700)),
            _ => {
                let users = &crowds[shard];
                for _claim in 0..1 + dice.roll(12) {
                    let user = users[usize::try_from(dice.roll(200)).unwrap()];
                    let _whatever = crowd.claim(user);
                }
                crowd.run(dice.roll(8));
            }
        }
        crowd.check();
    }
    crowd.deaf = dice.roll(2) == 0;
    crowd.run(2_000);
    assert!(crowd.all_open());
    // Everybody who is left tries again and again, in a few of the shards or in one.
    let total = usize::try_from(crowd.stored().spec.limits.total.unwrap()).unwrap();
    for users in &crowds[..usize::try_from(favoured).unwrap()] {
        assert!(crowd.sell(users));
    }
    let demand = 200 * usize::try_from(favoured).unwrap();
    assert_eq!(crowd.granted.len(), total.min(demand));
    crowd.check_at_rest();
}
