//! The faults of the matrix that no other test of this folder plays, on the real binary, with a crowd
//! that claims meanwhile. `deploy/faults.toml` has the matrix; each test says in one line what it
//! did, which `make faults` gathers.

mod clock;
pub(crate) mod crowd;
mod edits;
mod kills;
mod ledger;
mod limiter;
mod overload;
mod repeats;
mod stops;
mod streams;

use std::net::TcpListener;
use std::time::Duration;

use crate::process::{PATIENT, Place};

/// How often a test does its worst: `few` in a plain run, `SLUICE_FAULT_ROUNDS` in `make faults`.
pub(crate) fn rounds(few: usize) -> usize {
    let Ok(text) = std::env::var("SLUICE_FAULT_ROUNDS") else {
        return few;
    };
    let rounds: usize = text
        .parse()
        .unwrap_or_else(|_no_number| panic!("SLUICE_FAULT_ROUNDS is no number: {text}"));
    rounds.max(few)
}

/// What a test did, as the runner of the matrix reads it.
pub(crate) struct Done {
    /// Times that the fault was inflicted.
    pub(crate) rounds: usize,
    /// Processes that were killed for it.
    pub(crate) kills: usize,
    /// The longest time from the fault until everything served again.
    pub(crate) recovery: Option<Duration>,
}

/// Says the line of fault `number`.
#[expect(clippy::print_stdout, reason = "the matrix is made of these lines")]
pub(crate) fn report(number: u8, done: &Done) {
    let recovery = done
        .recovery
        .map(|took| format!(" recovery_ms={}", took.as_millis()))
        .unwrap_or_default();
    println!(
        "matrix: F{number:02} rounds={} kills={}{recovery}",
        done.rounds, done.kills
    );
}

/// The configuration of a `sluice serve` on this Redis whose waits a busy machine does not use up,
/// and whose ports stay the same over restarts.
pub(crate) fn steady(place: &Place, redis_url: &str) -> String {
    let path = place.serve_config(redis_url);
    let mut text = std::fs::read_to_string(path).unwrap();
    text = text.replace("[hotstate]\n", "[hotstate]\nresponse_timeout_ms = 2000\n") + PATIENT;
    // All are held until all are found, so that no two are the same.
    let free: Vec<TcpListener> = (0..3)
        .map(|_plane| TcpListener::bind(("127.0.0.1", 0)).unwrap())
        .collect();
    for listener in &free {
        let port = listener.local_addr().unwrap().port();
        text = text.replacen("127.0.0.1:0\"", &format!("127.0.0.1:{port}\""), 1);
    }
    text
}
