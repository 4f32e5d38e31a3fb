//! The load generator: prepared requests over keep-alive connections, raw sockets, one write and
//! (mostly) one read per request.
//!
//! [`Load::run`] is a closed loop: for CPU per request and peak throughput. [`Load::open`] sends by
//! a schedule: for latency, counted from when each request was due.

mod answer;
pub mod open;
mod schedule;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests on one connection before it is opened again: below the gateway's own bound.
const REQUESTS_PER_CONNECTION: usize = 5_000;

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

/// Requests to be sent, each once.
#[derive(Debug, Clone)]
pub struct Load {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
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

impl Load {
    /// One claim per pass.
    pub fn claims(address: SocketAddr, coupon: &str, passes: &[String]) -> Self {
        let request = |pass: &String| {
            format!(
                "POST /v1/coupons/{coupon}/claims HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer \
                 {pass}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
            )
            .into_bytes()
        };
        Self {
            address,
            requests: Arc::new(passes.iter().map(request).collect()),
        }
    }

    /// One quote per pass: a cart of three lines, with the best of the wallet.
    pub fn quotes(address: SocketAddr, passes: &[String]) -> Self {
        let line = |id: &str, quantity: u32, price: &str| {
            json!({"id": id, "sku": id, "quantity": quantity, "unit_price": price,
                   "categories": ["shoes"], "brand": "x"})
        };
        let body = json!({
            "cart": {
                "currency": "USD",
                "lines": [line("l1", 2, "30.00"), line("l2", 1, "12.50"), line("l3", 3, "3.33")],
                "shipping": {"price": "5.00"},
            },
            "choose": "best",
        })
        .to_string();
        let request = |pass: &String| {
            format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {pass}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Self {
            address,
            requests: Arc::new(passes.iter().map(request).collect()),
        }
    }

    /// One look at each coupon's public page.
    pub fn pages(address: SocketAddr, coupons: &[String]) -> Self {
        let request = |coupon: &String| {
            format!("GET /v1/coupons/{coupon} HTTP/1.1\r\nhost: shop\r\n\r\n").into_bytes()
        };
        Self {
            address,
            requests: Arc::new(coupons.iter().map(request).collect()),
        }
    }

    /// The same request many times.
    #[must_use]
    pub fn fixed(address: SocketAddr, count: usize) -> Self {
        let pass = "sp_".to_owned() + &"x".repeat(48);
        Self::claims(address, "0000000", &vec![pass; count])
    }

    /// Several loads as one, `shares` requests of each in turn, until one of them has no more.
    #[must_use]
    pub fn mixed(address: SocketAddr, loads: &[(Self, usize)]) -> Self {
        let mut streams: Vec<_> = loads
            .iter()
            .map(|(load, share)| load.requests.chunks_exact(*share))
            .collect();
        let mut requests = Vec::new();
        'turns: loop {
            let mut turn = Vec::new();
            for stream in &mut streams {
                let Some(next) = stream.next() else {
                    break 'turns;
                };
                turn.extend_from_slice(next);
            }
            if turn.is_empty() {
                break;
            }
            requests.append(&mut turn);
        }
        Self {
            address,
            requests: Arc::new(requests),
        }
    }

    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Sends everything over so many connections, each answer before the next request.
    ///
    /// # Errors
    /// Where a connection breaks, or an answer cannot be read.
    pub async fn run(self, connections: usize) -> anyhow::Result<Answers> {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let tasks: Vec<_> = (0..connections)
            .map(|_number| {
                tokio::spawn(send(
                    self.address,
                    Arc::clone(&self.requests),
                    Arc::clone(&next),
                ))
            })
            .collect();
        let mut all = Answers {
            claim_ids: vec![0; self.requests.len()],
            ..Answers::default()
        };
        for task in tasks {
            for (number, status, claim_id) in task.await?? {
                all.total += 1;
                *all.by_status.entry(status).or_default() += 1;
                all.claim_ids[number] = claim_id;
            }
        }
        all.took = begun.elapsed();
        Ok(all)
    }
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

async fn send(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<(usize, u16, u64)>> {
    let mut answers = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut stream = connect(address).await?;
    for sent in 0_usize.. {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(number) else {
            break;
        };
        if sent % REQUESTS_PER_CONNECTION == REQUESTS_PER_CONNECTION - 1 {
            stream = connect(address).await?;
        }
        stream.write_all(request).await?;
        let (status, claim_id) = read_answer(&mut stream, &mut buffer).await?;
        answers.push((number, status, claim_id));
    }
    Ok(answers)
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one whole answer: its status, and the hash of its claim id.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<(u16, u64)> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        filled += read;
        if let Some(answer) = answer::parse(&buffer[..filled])? {
            let body = &buffer[answer.body..answer.end];
            return Ok((answer.status, answer::claim_id(body)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use super::{Answers, Expected, Load, fits};

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn claims(coupon: &str, count: usize) -> Load {
        Load::claims(address(), coupon, &vec!["p".to_owned(); count])
    }

    #[test]
    fn a_mixture_takes_turns_and_ends_with_its_shortest() {
        let mixed = Load::mixed(address(), &[(claims("aa", 7), 3), (claims("bb", 9), 1)]);
        let order: String = mixed
            .requests
            .iter()
            .map(|request| {
                if request.windows(2).any(|two| two == b"aa") {
                    'a'
                } else {
                    'b'
                }
            })
            .collect();
        assert_eq!(order, "aaabaaab");
    }

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
