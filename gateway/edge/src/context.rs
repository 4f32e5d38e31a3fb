//! What is known of a request from its first phase on: its id, its trace, its time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderValue};

const ID_BYTES_MAX: usize = 64;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A request id: the client's own where it is well formed, else one of ours. Held inline.
#[derive(Clone, Copy)]
pub(crate) struct RequestId {
    length: u8,
    bytes: [u8; ID_BYTES_MAX],
}

/// Numbers that need to be unlike each other, not secret: request ids, jitter, sampling.
#[derive(Debug)]
pub(crate) struct Entropy {
    start: u64,
    counter: AtomicU64,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestContext {
    /// Echoed as `X-Request-Id`, in every problem body and in the log.
    pub(crate) request_id: RequestId,
    /// The caller's trace with a span of ours, where it sent one.
    pub(crate) traceparent: Option<[u8; TRACEPARENT_BYTES]>,
    /// A number unlike those of other requests.
    pub(crate) seed: u64,
    /// When its head was complete.
    pub(crate) started: Instant,
}

/// Bytes of a `traceparent` of version 00.
pub(crate) const TRACEPARENT_BYTES: usize = 55;

// === impl RequestContext ===

impl RequestContext {
    /// Reads `X-Request-Id` and `traceparent`; what is malformed is replaced or dropped, never
    /// echoed.
    pub(crate) fn of(headers: &HeaderMap, entropy: &Entropy) -> Self {
        let seed = entropy.draw();
        let request_id = headers
            .get("x-request-id")
            .and_then(|value| RequestId::accept(value.as_bytes()))
            .unwrap_or_else(|| RequestId::made_of(seed, mix(seed ^ entropy.start)));
        Self {
            request_id,
            traceparent: headers
                .get("traceparent")
                .and_then(|value| traceparent(value.as_bytes(), mix(seed))),
            seed,
            started: Instant::now(),
        }
    }
}

// === impl RequestId ===

impl RequestId {
    /// Takes a client's id: 1 to 64 of letters, digits, `.`, `_`, `-`. Anything else could carry
    /// line breaks or quotes into logs and bodies.
    fn accept(text: &[u8]) -> Option<Self> {
        let fits = (1..=ID_BYTES_MAX).contains(&text.len());
        let clean = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !fits || !text.iter().all(clean) {
            return None;
        }
        let mut bytes = [0; ID_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self {
            length: u8::try_from(text.len()).ok()?,
            bytes,
        })
    }

    fn made_of(high: u64, low: u64) -> Self {
        let mut bytes = [0; ID_BYTES_MAX];
        hex(high, &mut bytes[..16]);
        hex(low, &mut bytes[16..32]);
        Self { length: 32, bytes }
    }

    /// The id as bytes; visible ASCII without quotes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Entropy ===

impl Entropy {
    /// Starts anywhere.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            start: getrandom::u64()?,
            counter: AtomicU64::new(getrandom::u64()?),
        })
    }

    /// The next number.
    pub(crate) fn draw(&self) -> u64 {
        // Relaxed: only distinctness matters, not order.
        let count = self
            .counter
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mix(count)
    }
}

/// The finaliser of splitmix64: a bijection, so distinct inputs stay distinct.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut mixed = value;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn hex(value: u64, text: &mut [u8]) {
    let mut rest = value;
    for slot in text.iter_mut().rev() {
        *slot = HEX[usize::try_from(rest & 15).unwrap_or(0)];
        rest >>= 4;
    }
}

/// Our answer to a `traceparent`: its trace and flags, a span of our own. `None` where it is
/// malformed or all zero.
fn traceparent(text: &[u8], span: u64) -> Option<[u8; TRACEPARENT_BYTES]> {
    let text: [u8; TRACEPARENT_BYTES] = text.try_into().ok()?;
    let lower_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (trace, parent, flags) = (&text[3..35], &text[36..52], &text[53..55]);
    let dashes = text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    let zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    if !text.starts_with(b"00")
        || !dashes
        || !lower_hex(trace)
        || !lower_hex(parent)
        || !lower_hex(flags)
        || zero(trace)
        || zero(parent)
    {
        return None;
    }
    let mut answer = text;
    hex(span | 1, &mut answer[36..52]);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_ids_are_taken_over() {
        assert_eq!(
            RequestId::accept(b"abc-1.2_Z").map(|id| id.as_str().to_owned()),
            Some("abc-1.2_Z".to_owned())
        );
        for bad in [
            &b""[..],
            b"a b",
            b"a\"b",
            b"\n",
            &[b'a'; 65],
            "é".as_bytes(),
        ] {
            assert!(RequestId::accept(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn made_ids_differ() {
        let entropy = Entropy::new().unwrap();
        let headers = HeaderMap::new();
        let first = RequestContext::of(&headers, &entropy);
        let second = RequestContext::of(&headers, &entropy);
        assert_eq!(first.request_id.as_bytes().len(), 32);
        assert_ne!(first.request_id.as_bytes(), second.request_id.as_bytes());
    }

    #[test]
    fn a_trace_is_kept_and_the_span_is_ours() {
        let sent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let answer = traceparent(sent, 5).unwrap();
        assert_eq!(&answer[..36], &sent[..36]);
        assert_eq!(&answer[36..], b"0000000000000005-01");
        for bad in [
            &b"00-00000000000000000000000000000000-b7ad6b7169203331-01"[..],
            b"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(traceparent(bad, 5), None);
        }
    }
}
