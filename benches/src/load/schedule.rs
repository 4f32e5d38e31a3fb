//! When the requests of an open load are due, decided before it begins: a slow server does not slow
//! its users down.

use std::time::Duration;

/// The instants of a Poisson stream, counted from its start: people come independently of each
/// other. The same seed is the same stream.
///
/// Yields `count` instants, `per_second` of them a second in the long run.
#[must_use]
pub(super) fn poisson(per_second: f64, count: usize, seed: u64) -> Vec<Duration> {
    let mut state = seed;
    let mut at = 0.0_f64;
    let next = |_number| {
        // 53 random bits as a number above 0 and at most 1.
        let uniform = ((mix(&mut state) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        at -= uniform.ln() / per_second;
        Duration::from_secs_f64(at)
    };
    (0..count).map(next).collect()
}

/// splitmix64: good enough for arrivals, and the same on every machine.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::poisson;

    #[test]
    fn a_stream_keeps_its_rate_in_the_long_run() {
        let due = poisson(2_000.0, 20_000, 1);
        let took = due.last().unwrap().as_secs_f64();
        assert!((9.5..10.5).contains(&took), "{took}");
    }

    #[test]
    fn instants_rise_and_a_seed_is_a_stream() {
        let due = poisson(500.0, 1_000, 7);
        assert!(due.is_sorted());
        assert_eq!(due, poisson(500.0, 1_000, 7));
        assert_ne!(due, poisson(500.0, 1_000, 8));
    }

    #[test]
    fn gaps_are_those_of_independent_people() {
        // Of exponential gaps, 1 - 1/e are shorter than the mean; of regular ones, none or all.
        let due = poisson(1_000.0, 20_000, 3);
        let short = due
            .windows(2)
            .filter(|pair| pair[1] - pair[0] < std::time::Duration::from_millis(1))
            .count();
        let share = short as f64 / due.len() as f64;
        assert!((0.61..0.66).contains(&share), "{share}");
    }
}
