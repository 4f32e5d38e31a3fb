//! One answer over HTTP/1.1, found in the bytes that came.

use anyhow::{Context, bail};

/// A whole answer at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Where its body begins.
    pub(super) body: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Whether the server is going to close the connection.
    pub(super) closing: bool,
}

/// Reads the answer at the front of `bytes`; `None` while it is not whole.
///
/// # Errors
/// Where it is no answer, or one without a length.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(head) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let Some(("HTTP/1.1", status)) = status.split_once(' ') else {
        bail!("no answer of HTTP/1.1: {status}");
    };
    let (mut length, mut closing) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        } else if name.eq_ignore_ascii_case("connection") {
            closing = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let body = head + 4;
    let end = body + length.context("an answer without content-length")?;
    Ok((bytes.len() >= end).then_some(Answer {
        status: status.get(..3).context("no status")?.parse()?,
        body,
        end,
        closing,
    }))
}

/// A hash of the claim id in a body; 0 where there is none.
#[must_use]
pub(super) fn claim_id(body: &[u8]) -> u64 {
    const FIELD: &[u8] = b"\"claim_id\":\"";
    let Some(start) = find(body, FIELD) else {
        return 0;
    };
    let id = &body[start + FIELD.len()..];
    let id = &id[..id.iter().position(|&byte| byte == b'"').unwrap_or(0)];
    // FNV-1a; an odd number is never the 0 that stands for "none".
    let hash = id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash | 1
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = *pattern.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|&byte| byte == first) {
        from += at;
        if bytes[from..].starts_with(pattern) {
            return Some(from);
        }
        from += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{claim_id, find, parse};

    const WHOLE: &[u8] =
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\nconnection: close\r\n\r\nbodyHTTP/1.1";

    #[test]
    fn an_answer_is_none_until_it_is_whole() {
        let end = WHOLE.len() - "HTTP/1.1".len();
        for length in 0..end {
            assert_eq!(parse(&WHOLE[..length]).unwrap(), None, "{length}");
        }
        let answer = parse(WHOLE).unwrap().unwrap();
        assert_eq!((answer.status, answer.end), (409, end));
        assert_eq!(&WHOLE[answer.body..answer.end], b"body");
        assert!(answer.closing);
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").is_err());
    }

    #[test]
    fn equal_ids_and_only_those_have_equal_hashes() {
        let body = |id: &str| format!("{{\"a\":1,\"claim_id\":\"{id}\",\"b\":2}}").into_bytes();
        assert_eq!(claim_id(&body("abc")), claim_id(&body("abc")));
        assert_ne!(claim_id(&body("abc")), claim_id(&body("abd")));
        assert_eq!(claim_id(b"{\"code\":\"sold_out\"}"), 0);
    }

    #[test]
    fn patterns_that_begin_like_their_own_middle_are_found() {
        assert_eq!(find(b"\r\n\r\r\n\r\nx", b"\r\n\r\n"), Some(3));
        assert_eq!(find(b"abc", b"d"), None);
    }
}
