//! Shoppers that hammer a list of gateways over kept connections, and take a reset for a failure.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

/// Attempts until a shopper has to know.
const ATTEMPTS_MAX: usize = 2_000;
/// The pause after "come again" and after a gateway that is not there.
const PAUSE: Duration = Duration::from_millis(10);

/// The shoppers, and how they fared.
pub(super) struct Hammer<'a> {
    pub(super) ports: &'a [u16],
    pub(super) coupon: &'a str,
    pub(super) tokens: &'a [String],
    next: AtomicUsize,
    won: Mutex<HashMap<usize, String>>,
    refused: AtomicUsize,
    broken: Mutex<Vec<String>>,
    closed_in_order: AtomicUsize,
}

/// One kept connection.
struct Line {
    stream: TcpStream,
    gateway: usize,
}

struct Answer {
    status: u16,
    closes: bool,
    body: String,
}

impl<'a> Hammer<'a> {
    pub(super) fn new(ports: &'a [u16], coupon: &'a str, tokens: &'a [String]) -> Self {
        Self {
            ports,
            coupon,
            tokens,
            next: AtomicUsize::new(0),
            won: Mutex::default(),
            refused: AtomicUsize::new(0),
            broken: Mutex::default(),
            closed_in_order: AtomicUsize::new(0),
        }
    }

    /// One after the other claims until all know, or `enough` says that it is.
    pub(super) fn swing(&self, enough: &(dyn Fn() -> bool + Sync)) {
        let mut line = None;
        while !enough() {
            let shopper = self.next.fetch_add(1, Ordering::SeqCst);
            if shopper >= self.tokens.len() {
                return;
            }
            self.claim(shopper, &mut line);
        }
    }

    fn claim(&self, shopper: usize, line: &mut Option<Line>) {
        for _attempt in 0..ATTEMPTS_MAX {
            let Some(said) = self.ask(shopper, line) else {
                std::thread::park_timeout(PAUSE);
                continue;
            };
            let body: Value = serde_json::from_str(&said.body).unwrap();
            match said.status {
                200 | 201 => {
                    let id = body["claim_id"].as_str().unwrap().to_owned();
                    let before = self.won.lock().unwrap().insert(shopper, id);
                    assert!(before.is_none());
                    return;
                }
                409 => {
                    assert_eq!(body["code"], "sold_out", "{body}");
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                // Not known yet, or to come again: the same claim says.
                202 | 503 => std::thread::park_timeout(PAUSE),
                other => panic!("{other} {body}"),
            }
        }
        panic!("a shopper never learnt what became of the claim");
    }

    /// One request; nothing where no gateway took the connection, or it broke.
    fn ask(&self, shopper: usize, line: &mut Option<Line>) -> Option<Answer> {
        let held = match line.take() {
            Some(held) => held,
            None => self.connect(shopper)?,
        };
        let gateway = held.gateway;
        match held.send(self.coupon, &self.tokens[shopper]) {
            Ok((answer, held)) => {
                if answer.closes {
                    self.closed_in_order.fetch_add(1, Ordering::SeqCst);
                } else {
                    *line = Some(held);
                }
                Some(answer)
            }
            Err(error) => {
                let what = format!("gateway {gateway}: {error}");
                self.broken.lock().unwrap().push(what);
                None
            }
        }
    }

    /// A connection to the first gateway that takes one. A port on which nobody listens is no
    /// failure: a balancer would not have sent us there.
    fn connect(&self, shopper: usize) -> Option<Line> {
        for turn in 0..self.ports.len() {
            let gateway = (shopper + turn) % self.ports.len();
            match TcpStream::connect(("127.0.0.1", self.ports[gateway])) {
                Ok(stream) => {
                    stream.set_nodelay(true).unwrap();
                    let wait = Some(Duration::from_secs(30));
                    stream.set_read_timeout(wait).unwrap();
                    return Some(Line { stream, gateway });
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => {
                    let what = format!("gateway {gateway}: connecting: {error}");
                    self.broken.lock().unwrap().push(what);
                }
            }
        }
        None
    }

    pub(super) fn won(&self) -> HashMap<usize, String> {
        self.won.lock().unwrap().clone()
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Connections that broke: a reset, or an end in place of an answer.
    pub(super) fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap().clone()
    }

    /// Connections that a gateway ended with its last answer.
    pub(super) fn closed_in_order(&self) -> usize {
        self.closed_in_order.load(Ordering::SeqCst)
    }
}

impl Line {
    fn send(mut self, coupon: &str, token: &str) -> std::io::Result<(Answer, Self)> {
        let request = format!(
            "POST /v1/coupons/{coupon}/claims HTTP/1.1\r\nhost: shop\r\n\
             authorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes())?;
        let mut seen = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            if let Some(answer) = Answer::of(&seen) {
                return Ok((answer, self));
            }
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                let what = format!("the end after {} bytes of an answer", seen.len());
                return Err(std::io::Error::other(what));
            }
            seen.extend_from_slice(&buffer[..count]);
        }
    }
}

impl Answer {
    /// The answer, once all of it is there.
    fn of(seen: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(seen).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let head = head.to_lowercase();
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let length: usize = header("content-length:").unwrap().parse().unwrap();
        (body.len() == length).then(|| Self {
            status: head[9..12].parse().unwrap(),
            closes: header("connection:").is_some_and(|value| value == "close"),
            body: body.to_owned(),
        })
    }
}
