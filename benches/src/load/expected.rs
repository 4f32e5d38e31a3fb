//! What came back, and whether it is what a phase is about.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;

/// What a phase expects of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// All 201.
    Granted,
    /// All 201, or 202 where the mark came late.
    GrantedOrPending,
    /// All 409.
    SoldOut,
    /// All 200.
    Replayed,
    /// All 200, with a discount of the wallet's claims.
    Priced,
    /// Nearly all 429: what passes is what the limit lets pass.
    Limited,
    /// 201, 200 or 409, as a mixture of winners, repeats and latecomers has it.
    Mixed,
    /// Any success.
    Any,
}

/// Counted answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// All of them.
    pub total: usize,
    /// How many had which status.
    pub by_status: BTreeMap<u16, usize>,
    /// From the first request to the last answer.
    pub took: Duration,
    /// A hash of the claim id of each answer, in the order of the requests; 0 where it had none.
    pub claim_ids: Vec<u64>,
}

impl Answers {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.total as f64 / self.took.as_secs_f64()
    }

    /// How many had a status.
    #[must_use]
    pub fn with(&self, status: u16) -> usize {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// Refuses a run whose answers are not what the phase is about.
    ///
    /// # Errors
    /// Where an answer is missing, or is none of those expected.
    pub fn expect(&self, expected: Expected, requests: usize) -> anyhow::Result<()> {
        if self.total != requests || !fits(expected, &self.by_status) {
            bail!(
                "void: expected {expected:?} for {requests} requests, got {:?}",
                self.by_status
            );
        }
        Ok(())
    }

    /// Refuses repeats that were given another claim than the first time.
    ///
    /// # Errors
    /// Where a claim differs, or either answer had none.
    pub fn same_claims(&self, first: &[u64]) -> anyhow::Result<()> {
        let differ = self
            .claim_ids
            .iter()
            .zip(first)
            .filter(|(again, first)| again != first || **again == 0)
            .count();
        if differ > 0 || self.claim_ids.len() != first.len() {
            bail!(
                "void: {differ} of {} repeats got another claim",
                first.len()
            );
        }
        Ok(())
    }
}

/// Whether statuses are those of a phase.
fn fits(expected: Expected, by_status: &BTreeMap<u16, usize>) -> bool {
    let total: usize = by_status.values().sum();
    let only = |allowed: &[u16]| by_status.keys().all(|status| allowed.contains(status));
    match expected {
        Expected::Granted => only(&[201]),
        Expected::GrantedOrPending => only(&[201, 202]),
        Expected::SoldOut => only(&[409]),
        Expected::Replayed | Expected::Priced => only(&[200]),
        Expected::Limited => {
            let limited = by_status.get(&429).copied().unwrap_or(0);
            only(&[200, 201, 409, 429]) && limited * 10 >= total * 9
        }
        Expected::Mixed => only(&[200, 201, 202, 409]) && by_status.len() >= 3,
        Expected::Any => by_status.keys().all(|status| (200..300).contains(status)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Answers, Expected, fits};

    #[test]
    fn statuses_of_another_phase_void_a_run() {
        let of = |pairs: &[(u16, usize)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        assert!(fits(Expected::Granted, &of(&[(201, 5)])));
        assert!(!fits(Expected::Granted, &of(&[(201, 5), (503, 1)])));
        assert!(fits(Expected::GrantedOrPending, &of(&[(201, 5), (202, 1)])));
        assert!(!fits(Expected::SoldOut, &of(&[(409, 5), (201, 1)])));
        assert!(fits(Expected::Limited, &of(&[(429, 95), (409, 5)])));
        assert!(!fits(Expected::Limited, &of(&[(429, 80), (409, 20)])));
        assert!(!fits(Expected::Mixed, &of(&[(409, 100)])));
    }

    #[test]
    fn a_missing_answer_voids_a_run() {
        let answers = Answers {
            total: 4,
            by_status: BTreeMap::from([(201, 4)]),
            ..Answers::default()
        };
        assert!(answers.expect(Expected::Granted, 4).is_ok());
        assert!(answers.expect(Expected::Granted, 5).is_err());
    }

    #[test]
    fn a_repeat_with_another_claim_or_none_voids_a_run() {
        let again = |claim_ids: &[u64]| Answers {
            claim_ids: claim_ids.to_vec(),
            ..Answers::default()
        };
        assert!(again(&[3, 5]).same_claims(&[3, 5]).is_ok());
        assert!(again(&[3, 7]).same_claims(&[3, 5]).is_err());
        assert!(again(&[3, 0]).same_claims(&[3, 0]).is_err());
        assert!(again(&[3]).same_claims(&[3, 5]).is_err());
    }
}
