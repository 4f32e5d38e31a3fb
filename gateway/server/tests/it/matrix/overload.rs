//! Ten times more than the gateway can do.
//!
//! What it can do is made small and certain: twenty requests at once, each waiting for a disk that
//! takes a twentieth of a second longer to sync. Neither the machine's speed nor its load decides then, but the
//! cap.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Done, report};
use crate::checkout::Caller;
use crate::disk::Shimmed;
use crate::process::{PATIENT, Running};

/// Requests handled at once, and how many of them may be claims.
const IN_FLIGHT_MAX: usize = 20;
const CLAIMS_MAX: usize = 17;
/// How long each half of a turn lasts.
const TURN: Duration = Duration::from_secs(3);
/// Turns of "as much as it can do" and "ten times that", one after the other, at most. Others who use
/// the machine may spoil one of them; a gateway that collapses spoils all.
const TURNS_MAX: usize = 5;
/// Threads of the storm: most wait for an answer that is a refusal.
const STORMERS: usize = 64;

/// What came of a number of claims.
#[derive(Default)]
struct Tally {
    granted: AtomicUsize,
    shed: AtomicUsize,
    refused_after: Mutex<Vec<Duration>>,
}

impl Tally {
    fn claim(&self, server: &Running, coupon: &str, pass: &str) {
        let begun = Instant::now();
        let said = server.claim(coupon, pass);
        match said.status {
            200..=202 => {
                self.granted.fetch_add(1, Ordering::Relaxed);
            }
            503 => {
                assert_eq!(said.json()["outcome"], "not_applied", "{said:?}");
                assert!(said.header("retry-after").is_some(), "{said:?}");
                self.shed.fetch_add(1, Ordering::Relaxed);
                self.refused_after.lock().unwrap().push(begun.elapsed());
            }
            _ => panic!("{said:?}"),
        }
    }
}

/// As many callers as are let in, each as soon as it was answered; what they got in a turn.
fn at_capacity(server: &Running, coupon: &str, passes: &Passes<'_>) -> usize {
    let tally = Tally::default();
    let end = Instant::now() + TURN;
    std::thread::scope(|scope| {
        for _caller in 0..CLAIMS_MAX {
            scope.spawn(|| {
                while Instant::now() < end {
                    tally.claim(server, coupon, passes.next());
                }
            });
        }
    });
    tally.granted.into_inner()
}

/// `intended` claims at a steady rate, whatever the answers; what they got.
fn storm(server: &Running, coupon: &str, passes: &Passes<'_>, intended: usize) -> Tally {
    let tally = Tally::default();
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _stormer in 0..STORMERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= intended {
                        return;
                    }
                    let due = begun + TURN.mul_f64(number as f64 / intended as f64);
                    let early = due.saturating_duration_since(Instant::now());
                    if !early.is_zero() {
                        std::thread::park_timeout(early);
                    }
                    tally.claim(server, coupon, passes.next());
                }
            });
        }
    });
    tally
}

/// A user of its own for every claim.
struct Passes<'a> {
    all: &'a [String],
    next: AtomicUsize,
}

impl Passes<'_> {
    fn next(&self) -> &str {
        &self.all[self.next.fetch_add(1, Ordering::Relaxed) % self.all.len()]
    }
}

#[test]
fn f31_at_ten_times_capacity_goodput_stays_and_orders_go_on() {
    let mut disk = Shimmed::new();
    let cap = format!("[data]\nin_flight_max = {IN_FLIGHT_MAX}\n");
    let config = disk.config.replacen("[data]\n", &cap, 1);
    let timeout = "[hotstate]\nresponse_timeout_ms = 2000\n";
    disk.config = config.replacen("[hotstate]\n", timeout, 1) + PATIENT;
    let server = disk.serve();
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000}}));
    let tokens = disk.place.tokens("o", 8_000, &["--pass"]);
    server.claim_patiently(&coupon, &tokens[0]);
    let passes = Passes {
        all: &tokens[1..],
        next: AtomicUsize::new(0),
    };
    let buyer = Caller::shopper(&disk.place, &server, "buyer");
    disk.break_it("slow");
    let (mut usual, mut got, mut shed, mut waits) = (0, 0, 0, Vec::new());
    let mut held = false;
    for _turn in 0..TURNS_MAX {
        let capacity = at_capacity(&server, &coupon, &passes);
        let asked = AtomicUsize::new(0);
        let stormed = std::thread::scope(|scope| {
            let storm = scope.spawn(|| storm(&server, &coupon, &passes, 10 * capacity));
            // Somebody who ends an order meanwhile is never turned away at the cap.
            while !storm.is_finished() {
                let said = buyer.confirm("unknown");
                assert_eq!(said.status, 404, "{said:?}");
                asked.fetch_add(1, Ordering::Relaxed);
                // Not all the time, or a place less would be left for claims.
                std::thread::park_timeout(Duration::from_millis(20));
            }
            storm.join().unwrap()
        });
        assert!(asked.into_inner() > 0);
        usual += capacity;
        let granted = stormed.granted.into_inner();
        got += granted;
        shed += stormed.shed.into_inner();
        waits.extend(stormed.refused_after.into_inner().unwrap());
        held = granted * 10 >= capacity * 9;
        if held {
            break;
        }
    }
    disk.mend("slow");
    waits.sort_unstable();
    let refused_p99 = waits[waits.len() * 99 / 100];
    say(usual, got, shed, refused_p99);
    assert!(
        shed > 5 * usual,
        "{shed} shed beside {usual}: that was no overload"
    );
    assert!(held, "{got} granted, {usual} at capacity");
    report(
        31,
        &Done {
            rounds: got + shed,
            kills: 0,
            recovery: None,
        },
    );
}

#[expect(
    clippy::print_stdout,
    reason = "the measured times belong to the matrix"
)]
fn say(usual: usize, got: usize, shed: usize, refused_p99: Duration) {
    println!(
        "overload: {usual} at capacity, {got} at ten times that, {shed} shed, 99 % of them within \
         {refused_p99:.1?}"
    );
}
