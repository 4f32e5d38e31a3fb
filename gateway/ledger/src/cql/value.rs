//! Values as they are bound, and rows as they are read: by the name of each column, because servers
//! answer conditional statements with different columns.

use std::sync::Arc;

use scylla::value::CqlValue;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, SubjectHash, UserId};
use sluice_domain::time::Timestamp;

use crate::LedgerError;

/// A bound value; `None` is null.
pub(super) type Bound = Option<CqlValue>;

/// Something that can be bound.
pub(super) trait Bind {
    /// The value.
    fn bound(&self) -> Bound;
}

/// Binds each of its arguments, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::cql::value::Bind::bound(&$value)),*]
    };
}
pub(super) use values;

/// Numbers are `bigint`; those that are u64 in code stay below 2^63 by their own bounds.
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Bind for $number {
            fn bound(&self) -> Bound {
                Some(CqlValue::BigInt(i64::try_from(*self).unwrap_or(i64::MAX)))
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, i64);

impl Bind for str {
    fn bound(&self) -> Bound {
        Some(CqlValue::Text(self.to_owned()))
    }
}

impl Bind for String {
    fn bound(&self) -> Bound {
        self.as_str().bound()
    }
}

impl Bind for bool {
    fn bound(&self) -> Bound {
        Some(CqlValue::Boolean(*self))
    }
}

impl Bind for [u8] {
    fn bound(&self) -> Bound {
        Some(CqlValue::Blob(self.to_vec()))
    }
}

impl Bind for Vec<u8> {
    fn bound(&self) -> Bound {
        self.as_slice().bound()
    }
}

impl<const N: usize> Bind for [u8; N] {
    fn bound(&self) -> Bound {
        self.as_slice().bound()
    }
}

impl<T: Bind> Bind for Option<T> {
    fn bound(&self) -> Bound {
        self.as_ref().and_then(Bind::bound)
    }
}

impl<T: Bind + ?Sized> Bind for &T {
    fn bound(&self) -> Bound {
        (*self).bound()
    }
}

impl Bind for CouponId {
    fn bound(&self) -> Bound {
        self.0.bound()
    }
}

impl Bind for ClaimId {
    fn bound(&self) -> Bound {
        self.0.bound()
    }
}

impl Bind for RedemptionId {
    fn bound(&self) -> Bound {
        self.0.bound()
    }
}

impl Bind for SubjectHash {
    fn bound(&self) -> Bound {
        self.0.bound()
    }
}

impl Bind for UserId {
    fn bound(&self) -> Bound {
        self.as_str().bound()
    }
}

impl Bind for Timestamp {
    fn bound(&self) -> Bound {
        self.as_millis().bound()
    }
}

/// A row that was read.
#[derive(Debug, Clone)]
pub(super) struct Record {
    names: Arc<[String]>,
    values: Vec<Bound>,
}

// === impl Record ===

impl Record {
    pub(super) fn new(names: Arc<[String]>, values: Vec<Bound>) -> Self {
        Self { names, values }
    }

    fn value(&self, name: &str) -> Result<Option<&CqlValue>, LedgerError> {
        let index = self.names.iter().position(|held| held == name);
        let value = index.and_then(|index| self.values.get(index));
        let value = value.ok_or_else(|| LedgerError::corrupt(format!("no column {name}")))?;
        Ok(value.as_ref())
    }

    fn wrong<T>(name: &str) -> Result<T, LedgerError> {
        Err(LedgerError::corrupt(format!(
            "column {name} holds no value that can be read"
        )))
    }

    fn present<T>(name: &str, value: Option<T>) -> Result<T, LedgerError> {
        value.map_or_else(|| Self::wrong(name), Ok)
    }

    /// Whether a conditional statement was carried out; true for others, which have no such column.
    pub(super) fn applied(&self) -> Result<bool, LedgerError> {
        if !self.names.iter().any(|name| name == "[applied]") {
            return Ok(true);
        }
        match self.value("[applied]")? {
            Some(CqlValue::Boolean(applied)) => Ok(*applied),
            _ => Self::wrong("[applied]"),
        }
    }

    pub(super) fn opt_i64(&self, name: &str) -> Result<Option<i64>, LedgerError> {
        match self.value(name)? {
            None => Ok(None),
            Some(CqlValue::BigInt(number)) => Ok(Some(*number)),
            Some(_other) => Self::wrong(name),
        }
    }

    /// A number of any width; out of its range is corrupt.
    pub(super) fn opt_number<N: TryFrom<i64>>(&self, name: &str) -> Result<Option<N>, LedgerError> {
        let number = self.opt_i64(name)?.map(N::try_from).transpose();
        number.or_else(|_range| Self::wrong(name))
    }

    pub(super) fn number<N: TryFrom<i64>>(&self, name: &str) -> Result<N, LedgerError> {
        Self::present(name, self.opt_number(name)?)
    }

    pub(super) fn opt_instant(&self, name: &str) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.opt_i64(name)?.map(Timestamp::from_millis))
    }

    pub(super) fn instant(&self, name: &str) -> Result<Timestamp, LedgerError> {
        Self::present(name, self.opt_instant(name)?)
    }

    pub(super) fn opt_text(&self, name: &str) -> Result<Option<&str>, LedgerError> {
        match self.value(name)? {
            None => Ok(None),
            Some(CqlValue::Text(text)) => Ok(Some(text)),
            Some(_other) => Self::wrong(name),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, LedgerError> {
        Self::present(name, self.opt_text(name)?)
    }

    /// False where it is null.
    pub(super) fn flag(&self, name: &str) -> Result<bool, LedgerError> {
        match self.value(name)? {
            None => Ok(false),
            Some(CqlValue::Boolean(flag)) => Ok(*flag),
            Some(_other) => Self::wrong(name),
        }
    }

    pub(super) fn opt_blob(&self, name: &str) -> Result<Option<&[u8]>, LedgerError> {
        match self.value(name)? {
            None => Ok(None),
            Some(CqlValue::Blob(bytes)) => Ok(Some(bytes)),
            Some(_other) => Self::wrong(name),
        }
    }

    pub(super) fn opt_bytes<const N: usize>(
        &self,
        name: &str,
    ) -> Result<Option<[u8; N]>, LedgerError> {
        let bytes = self.opt_blob(name)?.map(<[u8; N]>::try_from).transpose();
        bytes.or_else(|_length| Self::wrong(name))
    }

    pub(super) fn bytes<const N: usize>(&self, name: &str) -> Result<[u8; N], LedgerError> {
        Self::present(name, self.opt_bytes(name)?)
    }

    pub(super) fn coupon(&self, name: &str) -> Result<CouponId, LedgerError> {
        self.number(name).map(CouponId)
    }

    pub(super) fn user(&self, name: &str) -> Result<UserId, LedgerError> {
        UserId::new(self.text(name)?).or_else(|_format| Self::wrong(name))
    }

    /// A JSON document.
    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<T, LedgerError> {
        from_json(self.text(name)?)
    }
}

/// Reads a document that this ledger wrote.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text)
        .map_err(|error| LedgerError::corrupt(format!("a document cannot be read: {error}")))
}
