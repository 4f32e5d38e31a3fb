//! The same random history on two implementations, compared at every answer and in the whole state.

mod caller;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::strategy::Strategy;
use sluice_domain::id::Epoch;

pub use super::op::Op;
use super::snapshot::snapshot;
use super::step::{Seen, Step};
use super::{Harness, op};
use caller::Caller;

/// After so many steps the whole state is compared, and at the end.
const STEPS_PER_SNAPSHOT: usize = 6;

/// A generated history.
#[derive(Debug, Clone)]
pub struct History {
    /// Whether it begins with a lane that serves both coupons.
    pub prepared: bool,
    /// What happens then.
    pub ops: Vec<Op>,
}

/// Where two implementations first differed, with all that led there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// For people: the steps, then both answers or both states.
    pub report: String,
}

/// The kinds of answers that a history met, for a check that histories reach what they are for.
pub type Reached = BTreeSet<String>;

/// Histories of up to `length` ops.
pub fn histories(length: usize) -> impl Strategy<Value = History> {
    op::histories(length).prop_map(|(prepared, ops)| History { prepared, ops })
}

/// Runs a history on both implementations, which have to be fresh.
///
/// # Errors
/// With the first difference.
pub async fn compare<A: Harness, B: Harness>(
    history: &History,
    model: &A,
    other: &B,
) -> Result<Reached, Difference> {
    let mut run = Run {
        caller: Caller::new(),
        reached: Reached::new(),
        taken: Vec::new(),
        model,
        other,
    };
    let begin = run.caller.begin();
    run.steps(begin).await?;
    if history.prepared {
        for op in caller::preparation() {
            run.op(&op).await?;
        }
    }
    for op in &history.ops {
        run.op(op).await?;
    }
    run.compare_states().await?;
    Ok(run.reached)
}

/// A history on its way.
struct Run<'a, A, B> {
    caller: Caller,
    reached: Reached,
    taken: Vec<Step>,
    model: &'a A,
    other: &'a B,
}

impl<A: Harness, B: Harness> Run<'_, A, B> {
    async fn op(&mut self, op: &Op) -> Result<(), Difference> {
        let steps = self.caller.steps(op);
        self.steps(steps).await
    }

    async fn steps(&mut self, steps: Vec<Step>) -> Result<(), Difference> {
        for step in steps {
            let expected = step.take(self.model).await;
            let found = step.take(self.other).await;
            self.taken.push(step);
            if expected.text != found.text {
                return Err(self.difference(&expected.text, &found.text));
            }
            self.reached.extend(kinds(&expected));
            if let Some(step) = self.taken.last() {
                self.caller.heard(step, &expected);
            }
            if self.taken.len().is_multiple_of(STEPS_PER_SNAPSHOT) {
                self.compare_states().await?;
            }
        }
        Ok(())
    }

    async fn compare_states(&self) -> Result<(), Difference> {
        let epochs = Epoch(self.caller.highest_epoch());
        let expected = snapshot(self.model.store(), epochs).await;
        let found = snapshot(self.other.store(), epochs).await;
        match expected.iter().zip(&found).find(|(a, b)| a != b) {
            Some((expected, found)) => Err(self.difference(expected, found)),
            None => Ok(()),
        }
    }

    fn difference(&self, expected: &str, found: &str) -> Difference {
        let mut report = String::new();
        for (number, step) in self.taken.iter().enumerate() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(report, "{number:4}  {}", step.brief());
        }
        let _infallible = write!(report, "model: {expected}\nother: {found}");
        Difference { report }
    }
}

/// What kind of answer a step had: its words without its figures.
fn kinds(seen: &Seen) -> Vec<String> {
    let kind = |text: &str| {
        let head = text.split(['{', '[']).next().unwrap_or_default();
        head.replace(|letter: char| letter.is_ascii_digit(), "")
            .trim()
            .to_owned()
    };
    match &seen.reply {
        Some(reply) => reply
            .answers
            .iter()
            .map(|answer| kind(&format!("claims: {answer:?}")))
            .collect(),
        None => vec![kind(&seen.text)],
    }
}
