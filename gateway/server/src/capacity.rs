//! What a sale needs, computed from measured costs: pure arithmetic, no clock, no machine.
//!
//! [`Costs`] is what one of each thing costs, [`Sale`] what is asked, [`demand`] how many of each
//! thing that makes, [`need`] what it takes, [`walls`] what gives way first when it grows.

mod costs;
mod demand;
mod need;
mod report;
mod walls;
mod words;

pub(crate) use costs::Costs;
pub(crate) use demand::{Class, Sale};
pub(crate) use report::Report;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CapacityError {
    /// The file of costs is not one.
    #[error("the costs in {name}: {detail}")]
    Costs {
        /// The file.
        name: String,
        /// What is wrong, and where.
        detail: String,
    },
    /// A number of the question is outside its range.
    #[error("{flag} is {value}; {range}")]
    Flag {
        /// As written on the command line.
        flag: &'static str,
        /// What was given.
        value: f64,
        /// What would do.
        range: &'static str,
    },
}

/// The least whole number that is not below this; what is below one counts as one.
fn at_least_one(value: f64) -> u64 {
    whole(value.ceil()).max(1)
}

/// The whole number, cut.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what both kinds of number hold exactly"
)]
fn whole(value: f64) -> u64 {
    value.clamp(0.0, 9e15) as u64
}
