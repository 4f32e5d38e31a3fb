//! A closed-loop load generator: prepared requests over keep-alive connections, raw sockets, one
//! write and (mostly) one read per request. For CPU per request and peak throughput, not for
//! latency.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests on one connection before it is opened again: below the gateway's own bound.
const REQUESTS_PER_CONNECTION: usize = 5_000;

/// What a phase expects of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// All 201, less what was shed (counted).
    Granted,
    /// All 201, or 202 where the mark came late.
    GrantedOrPending,
    /// All 409.
    SoldOut,
    /// All 200.
    Replayed,
    /// All 200, with a discount of the wallet's claims.
    Priced,
    /// Any success.
    Any,
}

/// Requests to be sent, each once.
pub struct Load {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
}

/// Counted answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// All of them.
    pub total: usize,
    by_status: BTreeMap<u16, usize>,
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

    /// The same request many times.
    pub fn fixed(address: SocketAddr, count: usize) -> Self {
        let pass = "sp_".to_owned() + &"x".repeat(48);
        Self::claims(address, "0000000", &vec![pass; count])
    }

    /// Sends everything over so many connections.
    pub async fn run(self, connections: usize) -> anyhow::Result<Answers> {
        let next = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..connections)
            .map(|_number| {
                tokio::spawn(send(
                    self.address,
                    Arc::clone(&self.requests),
                    Arc::clone(&next),
                ))
            })
            .collect();
        let mut all = Answers::default();
        for task in tasks {
            for (status, count) in task.await?? {
                all.total += count;
                *all.by_status.entry(status).or_default() += count;
            }
        }
        Ok(all)
    }
}

impl Answers {
    /// Refuses a run whose answers are not what the phase is about.
    pub fn expect(&self, expected: Expected, requests: usize) -> anyhow::Result<()> {
        let fits = |status: &u16| match expected {
            Expected::Granted => *status == 201,
            Expected::GrantedOrPending => [201, 202].contains(status),
            Expected::SoldOut => *status == 409,
            Expected::Replayed | Expected::Priced => *status == 200,
            Expected::Any => (200..300).contains(status),
        };
        if self.total != requests || !self.by_status.keys().all(fits) {
            bail!(
                "void: expected {expected:?} for {requests} requests, got {:?}",
                self.by_status
            );
        }
        Ok(())
    }
}

async fn send(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<BTreeMap<u16, usize>> {
    let mut counts = BTreeMap::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut stream = connect(address).await?;
    for sent in 0_usize.. {
        let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else {
            break;
        };
        if sent % REQUESTS_PER_CONNECTION == REQUESTS_PER_CONNECTION - 1 {
            stream = connect(address).await?;
        }
        stream.write_all(request).await?;
        let status = read_answer(&mut stream, &mut buffer).await?;
        *counts.entry(status).or_default() += 1;
    }
    Ok(counts)
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one whole answer and returns its status.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<u16> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        filled += read;
        let answer = &buffer[..filled];
        let Some(head) = find(answer, b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&answer[..head])?;
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("no content-length")?
            .parse()?;
        if filled >= head + 4 + length {
            return Ok(text.get(9..12).context("no status")?.parse()?);
        }
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len())
        .position(|window| window == pattern)
}
