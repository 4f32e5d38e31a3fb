//! Answers and errors: what a script said, and what an error means for the caller.

use redis::{RedisError, Value};
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{Epoch, LaneId};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $lua:literal;)*) => {
        /// The first element of every lane script's answer. The one list that Lua
        /// (`lua/prologue.lua`) and Rust share.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            #[cfg(test)]
            pub(super) const ALL: &'static [(Self, i64, &'static str)] =
                &[$((Self::$name, $value, $lua),)*];

            const fn of(value: i64) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Done, or read.
    Done = 0, "DONE";
    /// There is no lane hash.
    Missing = 1, "MISSING";
    /// Another server than the one that was opened, or a replica.
    ServerChanged = 2, "SERVER_CHANGED";
    /// The lane is in another epoch; followed by it.
    Epoch = 3, "EPOCH";
    /// Another keeper or epoch is in charge; followed by both.
    Deposed = 4, "DEPOSED";
    /// An operator has to decide.
    Halted = 5, "HALTED";
    /// Between fence and open.
    Recovering = 6, "RECOVERING";
    /// Past `lease_until`.
    LeaseOver = 7, "LEASE_OVER";
    /// Something that must be there is not.
    Loss = 8, "LOSS";
    /// The coupon is not hydrated.
    CouponNotReady = 9, "COUPON_NOT_READY";
    /// The outbox is at its cap.
    Backpressure = 10, "BACKPRESSURE";
    /// "Sold out" does not stand any more.
    ProofGone = 11, "PROOF_GONE";
    /// No such coupon.
    UnknownCoupon = 12, "UNKNOWN_COUPON";
    /// A revision at or above it is in force; followed by it.
    Older = 13, "OLDER";
    /// At or below what was seen; followed by that.
    Ignored = 14, "IGNORED";
    /// The coupon does not serve.
    NotHydrated = 15, "NOT_HYDRATED";
    /// The coupon serves already.
    AlreadyReady = 16, "ALREADY_READY";
    /// A newer revision was installed meanwhile.
    StaleRevision = 17, "STALE_REVISION";
    /// The hashes have other sizes than what was filled.
    CountsDiffer = 18, "COUNTS_DIFFER";
    /// A later hydration is at work, or the coupon is retired.
    Superseded = 19, "SUPERSEDED";
    /// The server may evict keys.
    Evicting = 20, "EVICTING";
}

/// A script's answer, read from front to back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: Code,
    rest: std::vec::IntoIter<Value>,
}

// === impl Code ===

impl Code {
    /// The lane's refusal behind this code, if it is one.
    pub(super) fn not_ready(self) -> Option<NotReady> {
        match self {
            Self::Missing => Some(NotReady::Missing),
            Self::ServerChanged => Some(NotReady::ServerChanged),
            Self::Halted => Some(NotReady::Halted),
            Self::Recovering => Some(NotReady::Recovering),
            Self::LeaseOver => Some(NotReady::LeaseOver),
            Self::Loss => Some(NotReady::Loss),
            _ => None,
        }
    }
}

// === impl Reply ===

impl Reply {
    pub(super) fn new(value: Value) -> Result<Self, StoreError> {
        let Value::Array(items) = value else {
            return Err(nonsense("an answer is no array"));
        };
        let mut rest = items.into_iter();
        let Some(Value::Int(code)) = rest.next() else {
            return Err(nonsense("an answer does not begin with a code"));
        };
        let code = Code::of(code).ok_or_else(|| nonsense("an answer's code is not known"))?;
        Ok(Self { code, rest })
    }

    pub(super) fn value(&mut self) -> Result<Value, StoreError> {
        self.rest
            .next()
            .ok_or_else(|| nonsense("an answer is too short"))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        bytes(self.value()?)
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        String::from_utf8(self.bytes()?).map_err(|_utf8| nonsense("a text is no UTF-8"))
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        number(&self.value()?)
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<u64>, StoreError> {
        match self.value()? {
            Value::Nil => Ok(None),
            value => number(&value).map(Some),
        }
    }

    pub(super) fn array(&mut self) -> Result<Vec<Value>, StoreError> {
        array(self.value()?)
    }

    pub(super) fn rest(self) -> std::vec::IntoIter<Value> {
        self.rest
    }

    /// Reads a refusal of the lane as an error, as calls without a keeper see it; hands back what
    /// is no refusal.
    pub(super) fn ready(mut self, lane: LaneId, epoch: Epoch) -> Result<Self, StoreError> {
        let reason = match self.code {
            Code::Epoch => NotReady::Epoch(Epoch(self.number()?)),
            code => match code.not_ready() {
                Some(reason) => reason,
                None => return Ok(self),
            },
        };
        Err(StoreError::LaneNotReady {
            lane,
            epoch,
            reason,
        })
    }

    /// For codes that the script never answers with.
    pub(super) fn unexpected(&self) -> StoreError {
        StoreError::Protocol {
            reason: format!("the code {:?} does not fit the call", self.code),
        }
    }
}

/// An answer that makes no sense.
pub(super) fn nonsense(reason: &str) -> StoreError {
    StoreError::Protocol {
        reason: reason.to_owned(),
    }
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(nonsense("a string was expected")),
    }
}

pub(super) fn array(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(nonsense("an array was expected")),
    }
}

/// A number, as Redis answers it (an integer) or as a hash holds it (digits).
pub(super) fn number(value: &Value) -> Result<u64, StoreError> {
    let read = match value {
        Value::Int(int) => u64::try_from(*int).ok(),
        Value::BulkString(digits) => std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok()),
        _ => None,
    };
    read.ok_or_else(|| nonsense("a number was expected"))
}

/// A number that has to fit.
pub(super) fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_range| nonsense("a number is out of range"))
}

/// What an error of the connection or the server means. The one question is whether the call may
/// have had, or may still have, an effect.
pub(super) fn failure(error: &RedisError) -> StoreError {
    let reason = error.to_string();
    let Some(code) = error.code() else {
        // No answer from the server: broken, timed out, or not to be parsed.
        return StoreError::Unknown { reason };
    };
    // An error raised by a command inside a script names the script. Scripts are not rolled back,
    // so whatever was written before it stays.
    if error
        .detail()
        .is_some_and(|detail| detail.contains("@user_script"))
    {
        return StoreError::Unknown { reason };
    }
    match code {
        "OOM" => StoreError::Backpressure {
            reason: "Redis is out of memory",
        },
        "MISCONF" => StoreError::Backpressure {
            reason: "Redis cannot write to its disk",
        },
        "NOREPLICAS" => StoreError::Backpressure {
            reason: "Redis has too few replicas",
        },
        "BUSY" => StoreError::Backpressure {
            reason: "Redis is busy with a script that takes too long",
        },
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT"
        | "NOSCRIPT" | "NOAUTH" | "WRONGPASS" | "NOPERM" | "READONLY" => {
            StoreError::Unavailable { reason }
        }
        _ => StoreError::Protocol { reason },
    }
}

/// Whether the server refused because it is no primary: the caller knows the lane to name.
pub(super) fn is_replica(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
        && !error
            .detail()
            .is_some_and(|detail| detail.contains("@user_script"))
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn lua_and_rust_have_the_same_codes() {
        let prologue = include_str!("../../../../lua/prologue.lua");
        let mut lua = Vec::new();
        for line in prologue.lines().filter(|line| line.starts_with("local ")) {
            let Some((names, values)) = line["local ".len()..].split_once(" = ") else {
                continue;
            };
            for (name, value) in names.split(", ").zip(values.split(", ")) {
                if let Ok(value) = value.parse::<i64>() {
                    lua.push((value, name.to_owned()));
                }
            }
        }
        for (code, value, name) in Code::ALL {
            assert!(
                lua.contains(&(*value, (*name).to_owned())),
                "{name} = {value}"
            );
            assert_eq!(Code::of(*value), Some(*code));
        }
    }
}
