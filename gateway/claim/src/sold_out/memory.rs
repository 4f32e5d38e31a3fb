//! What a gateway remembers of one coupon's "sold out": a decision over values, no I/O, no clock.
//!
//! Two things must hold for a refusal without Redis. *There is nothing left*: some call that was
//! sent less than a second ago was told so, with `final`; the protocol opens new stock 1.2 s after
//! it came, when all such memories are over. *The caller is no winner*: a filter of all winners, made
//! under the very proof that is remembered, does not have them. Without either, Redis is asked.

use std::time::Duration;

use tokio::time::Instant;

use crate::port::SoldOutProof;

/// The memory of one coupon. `F` is the filter.
#[derive(Debug)]
pub(crate) struct Memory<F> {
    held: Option<Held>,
    filter: FilterState<F>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    proof: SoldOutProof,
    /// When the call was sent that brought it last.
    sent: Instant,
    /// Whether a claim went to Redis to renew it.
    probed: bool,
    /// Nothing since has spoken against it.
    stands: bool,
}

#[derive(Debug)]
enum FilterState<F> {
    Missing { retry_at: Option<Instant> },
    Building,
    Ready(F),
}

/// The times a memory is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryTimes {
    /// How long it lasts, from sending.
    pub(crate) lasts: Duration,
    /// How long before its end it is renewed.
    pub(crate) probe_lead: Duration,
}

/// What is known of a coupon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Belief<'a, F> {
    /// Nothing: ask.
    Unknown,
    /// Nothing is left. Who is not in the filter may be told so; where there is none, ask.
    SoldOut {
        /// The winners, if the filter is there.
        filter: Option<&'a F>,
        /// True while units are quarantined.
        more_may_come: bool,
    },
    /// As `SoldOut`, but it is time to renew it and this caller is the one to ask.
    Probe,
}

// === impl Memory ===

impl<F> Memory<F> {
    pub(crate) const fn new() -> Self {
        Self {
            held: None,
            filter: FilterState::Missing { retry_at: None },
        }
    }

    /// A call sent at `sent` was told "sold out".
    pub(crate) fn learn(&mut self, proof: SoldOutProof, sent: Instant) {
        if let Some(held) = &mut self.held {
            // Answers overtake each other: an older proof says nothing new.
            if order(&proof) < order(&held.proof) {
                return;
            }
            if bound_to(&proof) == bound_to(&held.proof) {
                if sent > held.sent {
                    held.sent = sent;
                    held.probed = false;
                    held.stands = true;
                }
                held.proof = proof;
                return;
            }
        }
        self.held = Some(Held {
            proof,
            sent,
            probed: false,
            stands: true,
        });
        self.filter = FilterState::Missing { retry_at: None };
    }

    /// A call sent at `sent` was told something that does not go with "sold out".
    pub(crate) fn doubt(&mut self, sent: Instant) {
        if let Some(held) = &mut self.held
            && sent >= held.sent
        {
            held.stands = false;
        }
    }

    /// What to believe at `now`. Says `Probe` once per memory.
    pub(crate) fn judge(&mut self, now: Instant, times: MemoryTimes) -> Belief<'_, F> {
        let Some(held) = self.held.as_mut().filter(|held| held.lives(now, times)) else {
            return Belief::Unknown;
        };
        if !held.probed && now + times.probe_lead >= held.sent + times.lasts {
            held.probed = true;
            return Belief::Probe;
        }
        Belief::SoldOut {
            filter: self.filter.ready(),
            more_may_come: held.proof.more_may_come,
        }
    }

    /// The filter, where it is there and the memory lives: proof about who is no winner.
    pub(crate) fn winners(&self, now: Instant, times: MemoryTimes) -> Option<&F> {
        self.held.filter(|held| held.lives(now, times))?;
        self.filter.ready()
    }

    /// The proof under which a filter should be built now, if one should. Whoever asks must bring
    /// the result to [`filter_built`](Self::filter_built).
    pub(crate) fn begin_filter(
        &mut self,
        now: Instant,
        times: MemoryTimes,
    ) -> Option<SoldOutProof> {
        let held = self.held.filter(|held| held.lives(now, times))?;
        let FilterState::Missing { retry_at } = self.filter else {
            return None;
        };
        if retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.filter = FilterState::Building;
        Some(held.proof)
    }

    /// A filter was built under `proof`, or could not be. A result for another proof than the one
    /// remembered now is dropped.
    pub(crate) fn filter_built(
        &mut self,
        proof: &SoldOutProof,
        filter: Option<F>,
        retry_at: Instant,
    ) {
        let current = self
            .held
            .is_some_and(|held| bound_to(&held.proof) == bound_to(proof));
        if !current || !matches!(self.filter, FilterState::Building) {
            return;
        }
        self.filter = filter.map_or(
            FilterState::Missing {
                retry_at: Some(retry_at),
            },
            FilterState::Ready,
        );
    }

    /// Drops the filter of a memory that is over; says whether there was one.
    pub(crate) fn drop_idle_filter(&mut self, now: Instant, times: MemoryTimes) -> bool {
        let lives = self.held.is_some_and(|held| held.lives(now, times));
        let idle = !lives && self.filter.ready().is_some();
        if idle {
            self.filter = FilterState::Missing { retry_at: None };
        }
        idle
    }

    /// The last proof that nothing has spoken against, and when its call was sent.
    pub(crate) fn last_proof(&self) -> Option<(SoldOutProof, Instant)> {
        self.held
            .filter(|held| held.stands)
            .map(|held| (held.proof, held.sent))
    }
}

// === impl Held, FilterState ===

impl Held {
    fn lives(&self, now: Instant, times: MemoryTimes) -> bool {
        self.stands && now < self.sent + times.lasts
    }
}

impl<F> FilterState<F> {
    const fn ready(&self) -> Option<&F> {
        match self {
            Self::Ready(filter) => Some(filter),
            Self::Missing { .. } | Self::Building => None,
        }
    }
}

/// What a filter is bound to. `more_may_come` is news about stock, not about winners.
fn bound_to(proof: &SoldOutProof) -> (u64, u64, u32, u64) {
    let (epoch, stock_seq, revision) = order(proof);
    (epoch, stock_seq, revision, proof.users)
}

/// Later proofs are greater.
fn order(proof: &SoldOutProof) -> (u64, u64, u32) {
    (proof.epoch.0, proof.stock_seq.0, proof.revision.0)
}

#[cfg(test)]
mod tests;
