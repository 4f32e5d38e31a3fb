//! Money at the border: decimal text there, whole minor units inside.
//!
//! Every currency has its own number of digits (ISO 4217). An amount with more of them than the
//! currency has is refused, never rounded: nobody should have to guess what was meant.

mod currency;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::terms::{Currency, MinorUnits};

pub use currency::CurrencyError;

/// The largest amount, in minor units. Far above any price, and small enough that a share in basis
/// points of it fits 128 bits a thousand times over.
pub const AMOUNT_MAX: MinorUnits = 1_000_000_000_000_000;

/// Most characters of an amount: anything longer is above [`AMOUNT_MAX`] or has too many digits.
const AMOUNT_CHARS_MAX: usize = 32;

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most one point.
    #[error("is not an amount; write digits and a point as text, as in \"{example}\"")]
    Syntax {
        /// An amount of the currency.
        example: &'static str,
    },
    /// Below zero.
    #[error("is negative; an amount is 0 or more")]
    Negative,
    /// More digits after the point than the currency has.
    #[error("has {found} digits after the point; {currency:?} has {allowed}, as in \"{example}\"")]
    Digits {
        /// Digits found.
        found: usize,
        /// Digits that the currency has.
        allowed: u32,
        /// The currency.
        currency: Currency,
        /// An amount of the currency.
        example: &'static str,
    },
    /// Above [`AMOUNT_MAX`].
    #[error("is too large; at most {most} {currency:?} is accepted")]
    TooLarge {
        /// The largest amount, in the currency's own form.
        most: String,
        /// The currency.
        currency: Currency,
    },
}

/// Reads an amount: `"5"`, `"5.0"` and `"5.00"` are 500 minor units of USD.
///
/// # Errors
/// When the text is not an amount, is negative, has more digits than the currency or is above
/// [`AMOUNT_MAX`]. The message says what would be accepted.
pub fn parse(text: &str, currency: Currency) -> Result<MinorUnits, MoneyError> {
    let allowed = currency.digits();
    let example = example(allowed);
    let positive = match text.strip_prefix('-') {
        Some(rest) if is_plain(rest) => return Err(MoneyError::Negative),
        Some(_) => return Err(MoneyError::Syntax { example }),
        None => text,
    };
    if !is_plain(positive) {
        return Err(MoneyError::Syntax { example });
    }
    let found = positive
        .split_once('.')
        .map_or(0, |(_whole, digits)| digits.len());
    if found > usize::try_from(allowed).unwrap_or(0) {
        return Err(MoneyError::Digits {
            found,
            allowed,
            currency,
            example,
        });
    }
    minor_units(positive, allowed)
        .filter(|&amount| amount <= AMOUNT_MAX)
        .ok_or_else(|| MoneyError::TooLarge {
            most: format(AMOUNT_MAX, currency),
            currency,
        })
}

/// Writes an amount with exactly the currency's digits: 500 minor units of USD are `"5.00"`.
#[must_use]
pub fn format(amount: MinorUnits, currency: Currency) -> String {
    Decimal::new(amount, currency.digits()).to_string()
}

/// Digits, then perhaps a point and more digits, and not too long.
fn is_plain(text: &str) -> bool {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    text.len() <= AMOUNT_CHARS_MAX && is_digits(whole) && fraction.is_none_or(is_digits)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `None` where the number does not fit; the caller has checked syntax and digits.
fn minor_units(text: &str, digits: u32) -> Option<MinorUnits> {
    let amount = Decimal::from_str_exact(text).ok()?;
    let scale = Decimal::from(10_i64.checked_pow(digits)?);
    amount.checked_mul(scale)?.normalize().to_i64()
}

const fn example(digits: u32) -> &'static str {
    match digits {
        0 => "500",
        3 => "5.000",
        _ => "5.00",
    }
}

#[cfg(test)]
mod tests;
