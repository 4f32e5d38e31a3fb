//! Whether writes go through, as far as the writer knows. Shared with those who ask.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Why writes do not go through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The disk is full, or it or the file is read-only. Asked again each second.
    #[error("disk full or read-only")]
    Full,
    /// Another process held the write lock for longer than a write waits. Asked again each second.
    #[error("another process holds the write lock of its file")]
    Busy,
    /// The file failed and cannot be trusted: for good.
    #[error("its file failed")]
    Failed,
    /// It was opened only to read.
    #[error("it was opened only to read")]
    ReadOnly,
}

/// What the writer knows, and how many writes wait.
#[derive(Debug)]
pub(super) struct Health {
    /// 0 while writes go through, else [`code`] of the reason.
    refusing: AtomicU8,
    /// Jobs that were queued and are not answered yet.
    waiting: AtomicU64,
    depth: metrics::Gauge,
}

// === impl Health ===

impl Health {
    pub(super) fn new() -> Self {
        Self {
            refusing: AtomicU8::new(0),
            waiting: AtomicU64::new(0),
            depth: metrics::gauge!("sluice_ledger_queue_depth"),
        }
    }

    /// `None` while writes go through.
    pub(super) fn unwritable(&self) -> Option<Unwritable> {
        let held = self.refusing.load(Ordering::Acquire);
        ALL.into_iter().find(|why| code(Some(*why)) == held)
    }

    /// From now on; gives what held before.
    pub(super) fn set(&self, now: Option<Unwritable>) -> Option<Unwritable> {
        let before = self.refusing.swap(code(now), Ordering::AcqRel);
        ALL.into_iter().find(|why| code(Some(*why)) == before)
    }

    /// A job was queued.
    pub(super) fn entered(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge of a bounded queue")]
        self.depth
            .set((self.waiting.fetch_add(1, Ordering::Relaxed) + 1) as f64);
    }

    /// A job was answered.
    pub(super) fn left(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge of a bounded queue")]
        self.depth
            .set((self.waiting.fetch_sub(1, Ordering::Relaxed) - 1) as f64);
    }
}

const ALL: [Unwritable; 4] = [
    Unwritable::Full,
    Unwritable::Busy,
    Unwritable::Failed,
    Unwritable::ReadOnly,
];

const fn code(state: Option<Unwritable>) -> u8 {
    match state {
        None => 0,
        Some(Unwritable::Full) => 1,
        Some(Unwritable::Busy) => 2,
        Some(Unwritable::Failed) => 3,
        Some(Unwritable::ReadOnly) => 4,
    }
}
