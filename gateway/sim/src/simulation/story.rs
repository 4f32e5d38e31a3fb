//! What happened, step by step: always as one number, and in words where it is to be read.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Characters of an answer that a story shows.
const ANSWER_CHARS_MAX: usize = 220;

/// A story that grows.
#[derive(Debug)]
pub(super) struct Story {
    in_words: bool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    hash: u64,
    steps: u64,
    lines: Vec<String>,
}

// === impl Story ===

impl Story {
    pub(super) fn new(in_words: bool) -> Self {
        Self {
            in_words,
            told: Mutex::default(),
        }
    }

    /// A step: when, who (a process, or something else by a number), what, and how it ended.
    pub(super) fn step(
        &self,
        at_ms: u64,
        who: usize,
        what: &str,
        end: u64,
        words: impl FnOnce() -> String,
    ) {
        let mut told = self.lock();
        let mut hash = told.hash ^ at_ms.rotate_left(17) ^ (who as u64).rotate_left(50) ^ end;
        for byte in what.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        told.hash = hash.rotate_left(5);
        told.steps += 1;
        if self.in_words {
            let line = format!("{at_ms:>6} ms  {}  {what}  {}", name_of(who), words());
            told.lines.push(line);
        }
    }

    /// The story as one number, and how many steps it has.
    pub(super) fn fingerprint(&self) -> (u64, u64) {
        let told = self.lock();
        (told.hash, told.steps)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is no process.
pub(super) const WORLD: usize = 90;
/// Shoppers are numbered from here.
pub(super) const SHOPPER: usize = 100;

fn name_of(who: usize) -> String {
    match who {
        WORLD => "world    ".to_owned(),
        0..WORLD => format!("process {who}"),
        _shopper => format!("shopper {:<2}", who - SHOPPER),
    }
}

/// A value in a few words.
pub(super) fn briefly(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((cut, _letter)) = text.char_indices().nth(ANSWER_CHARS_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
