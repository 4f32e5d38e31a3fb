//! What the rounds of a run have measured, and ratios of it, round by round.

use std::collections::BTreeMap;

use crate::cpu::Cpu;
use crate::statistics::Spread;

/// One thing that the bench puts a system through, in the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Refusals of a sold-out coupon to users whose pass was never seen before.
    FirstSight,
    /// The same refusals to the same users once more.
    SoldOut,
    /// Grants of a coupon of class `hot`.
    Hot,
    /// Grants of a coupon of class `ledger`.
    Ledger,
    /// Repeats of claims that were granted.
    Replay,
    /// Requests above the limit of their users.
    Denied,
    /// Of ten requests, one grant, two repeats, seven refusals.
    Mixed,
    /// Quotes of three lines with the best of a wallet.
    Quote,
    /// Grants over many connections, beside a gateway with batches of one.
    Batch,
    /// Grants at 5 % of the peak: latency.
    Low,
    /// Grants at the peak, at 0.7 of it and at three times of it: latency and what is accepted.
    Overload,
    /// Grants with one and with ten times the data.
    Growth,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// Sluice as it is.
    Sluice,
    /// Sluice with one claim per script call.
    Single,
    /// nginx with Lua and Redis.
    Nginx,
    /// A plain gateway with a connection pool and Redis.
    Pool,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Microseconds per request.
    pub cpu: Cpu,
    /// Requests a second, by the clock on the wall.
    pub per_second: f64,
    /// Cores that the generator kept busy meanwhile.
    pub generator_cores: f64,
}

/// All measurements of a run, each list in the order of the rounds.
#[derive(Debug, Default)]
pub struct Results {
    samples: BTreeMap<(Phase, Contender), Vec<Sample>>,
    rulers: BTreeMap<Phase, Vec<f64>>,
    figures: BTreeMap<&'static str, Vec<f64>>,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::FirstSight,
        Self::SoldOut,
        Self::Hot,
        Self::Ledger,
        Self::Replay,
        Self::Denied,
        Self::Mixed,
        Self::Quote,
        Self::Batch,
        Self::Low,
        Self::Overload,
        Self::Growth,
    ];

    /// Its name, on the command line and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstSight => "first-sight",
            Self::SoldOut => "sold-out",
            Self::Hot => "hot",
            Self::Ledger => "ledger",
            Self::Replay => "replay",
            Self::Denied => "denied",
            Self::Mixed => "mixed",
            Self::Quote => "quote",
            Self::Batch => "batch",
            Self::Low => "low",
            Self::Overload => "overload",
            Self::Growth => "growth",
        }
    }

    /// The phase of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Phases that have to be done before it, because it goes on with what they leave.
    #[must_use]
    pub const fn needs(self) -> &'static [Self] {
        match self {
            Self::SoldOut => &[Self::FirstSight],
            Self::Replay | Self::Mixed | Self::Quote => &[Self::Hot],
            Self::Low => &[Self::Batch],
            _other => &[],
        }
    }

    /// Some phases and all that they need, in their order.
    #[must_use]
    pub fn with_needs(wanted: &[Self]) -> Vec<Self> {
        let needed = |phase: &Self| {
            wanted.contains(phase) || wanted.iter().any(|other| other.needs().contains(phase))
        };
        Self::ALL.into_iter().filter(needed).collect()
    }
}

impl Contender {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::Single => "sluice, batches of 1",
            Self::Nginx => "nginx + Lua",
            Self::Pool => "pool gateway",
        }
    }
}

impl Results {
    /// Adds a round's measurement.
    pub fn add(&mut self, phase: Phase, who: Contender, sample: Sample) {
        self.samples.entry((phase, who)).or_default().push(sample);
    }

    /// Adds what the ruler cost in a round, microseconds per request.
    pub fn add_ruler(&mut self, phase: Phase, cost: f64) {
        self.rulers.entry(phase).or_default().push(cost);
    }

    /// Adds a round's value of a figure that is no CPU time.
    pub fn add_figure(&mut self, name: &'static str, value: f64) {
        self.figures.entry(name).or_default().push(value);
    }

    /// Who was measured in which phase.
    pub fn measured(&self) -> impl Iterator<Item = (Phase, Contender)> {
        self.samples.keys().copied()
    }

    /// One value of each round.
    #[must_use]
    pub fn rounds(&self, phase: Phase, who: Contender, pick: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let samples = self.samples.get(&(phase, who));
        samples.into_iter().flatten().map(pick).collect()
    }

    /// The median of one value.
    #[must_use]
    pub fn median(&self, phase: Phase, who: Contender, pick: impl Fn(&Sample) -> f64) -> f64 {
        Spread::of(self.rounds(phase, who, pick)).map_or(f64::NAN, |spread| spread.median)
    }

    /// What the ruler cost in each round of a phase.
    #[must_use]
    pub fn ruler(&self, phase: Phase) -> &[f64] {
        self.rulers.get(&phase).map_or(&[], Vec::as_slice)
    }

    /// A figure in each round.
    #[must_use]
    pub fn figure(&self, name: &str) -> &[f64] {
        self.figures.get(name).map_or(&[], Vec::as_slice)
    }

    /// All figures by name.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, &[f64])> {
        self.figures
            .iter()
            .map(|(name, values)| (*name, values.as_slice()))
    }
}

/// Ratios of values of the same rounds. Rounds that only one of them has are left out.
#[must_use]
pub fn ratios(above: &[f64], below: &[f64]) -> Vec<f64> {
    above
        .iter()
        .zip(below)
        .map(|(above, below)| above / below)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Contender, Cpu, Phase, Results, Sample, ratios};

    #[test]
    fn every_name_is_the_name_of_one_phase() {
        for phase in Phase::ALL {
            assert_eq!(Phase::named(phase.name()), Some(phase));
        }
        assert_eq!(Phase::named("lukewarm"), None);
    }

    #[test]
    fn what_a_phase_needs_comes_before_it() {
        for phase in Phase::ALL {
            assert!(phase.needs().iter().all(|needed| *needed < phase));
            assert!(phase.needs().iter().all(|needed| needed.needs().is_empty()));
        }
        let phases = Phase::with_needs(&[Phase::Low, Phase::SoldOut]);
        let expected = [Phase::FirstSight, Phase::SoldOut, Phase::Batch, Phase::Low];
        assert_eq!(phases, expected);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut results = Results::default();
        for (edge, ruler) in [(10.0, 5.0), (30.0, 10.0), (8.0, 2.0)] {
            let cpu = Cpu {
                edge,
                ..Cpu::default()
            };
            results.add(
                Phase::Hot,
                Contender::Sluice,
                Sample {
                    cpu,
                    per_second: 1.0,
                    generator_cores: 0.5,
                },
            );
            results.add_ruler(Phase::Hot, ruler);
        }
        let edge = results.rounds(Phase::Hot, Contender::Sluice, |sample| sample.cpu.edge);
        assert_eq!(ratios(&edge, results.ruler(Phase::Hot)), [2.0, 3.0, 4.0]);
        assert_eq!(
            results.median(Phase::Hot, Contender::Sluice, |sample| sample.cpu.total()),
            10.0
        );
        assert!(
            results
                .rounds(Phase::Hot, Contender::Nginx, |_| 1.0)
                .is_empty()
        );
    }
}
