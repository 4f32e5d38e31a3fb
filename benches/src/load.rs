//! The load generator: prepared requests over keep-alive connections, raw sockets, one write and
//! (mostly) one read per request.
//!
//! [`Load::run`] is a closed loop: for CPU per request and peak throughput. [`Load::open`] sends by
//! a schedule: for latency, counted from when each request was due.

mod answer;
mod expected;
pub mod open;
mod requests;
mod schedule;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::bail;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use self::expected::{Answers, Expected};

/// Requests on one connection before it is opened again: below the gateway's own bound.
const REQUESTS_PER_CONNECTION: usize = 5_000;

/// Requests to be sent, each once.
#[derive(Debug, Clone)]
pub struct Load {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
}

impl Load {
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
    use std::net::SocketAddr;

    use super::Load;

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
}
