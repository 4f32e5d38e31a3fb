//! Moving the WAL into the file, when it pays and nobody is waiting for more than a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

/// A passive checkpoint once the WAL has this many pages (16 MiB): it then starts over.
const PASSIVE_AT_PAGES: u32 = 4_096;
/// Cut the WAL file once it has this many pages (256 MiB), as a long read may have let it grow.
const TRUNCATE_AT_PAGES: u32 = 65_536;

/// How large the WAL is, and when to look again.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Pages in the WAL, told by SQLite at each commit.
    pages: Arc<AtomicU32>,
    /// Look again when the WAL has this many: a reader may have kept pages from moving.
    next_at: u32,
    largest: u32,
}

impl Checkpoints {
    /// Watches the commits of the writer's connection.
    pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&pages);
        connection.wal_hook(Some(move |_wal: &mut rusqlite::hooks::Wal, now: i32| {
            told.store(u32::try_from(now).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            next_at: PASSIVE_AT_PAGES,
            largest: 0,
        })
    }

    /// After a commit: moves pages when enough have gathered.
    pub(super) fn after_commit(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let pages = self.pages.load(Ordering::Relaxed);
        self.largest = self.largest.max(pages);
        if pages < PASSIVE_AT_PAGES {
            // The WAL started over.
            self.next_at = PASSIVE_AT_PAGES;
        }
        if pages < self.next_at {
            return Ok(());
        }
        self.next_at = pages.saturating_add(PASSIVE_AT_PAGES);
        checkpoint(connection, "PASSIVE")
    }

    /// While nobody writes: moves the rest, and cuts a file that had grown large.
    pub(super) fn idle(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.pages.swap(0, Ordering::Relaxed) == 0 {
            return Ok(());
        }
        checkpoint(connection, "PASSIVE")?;
        if self.largest >= TRUNCATE_AT_PAGES {
            self.largest = 0;
            // Waiting for a long reader would hold up writers: it is left for the next time.
            connection.busy_timeout(std::time::Duration::ZERO)?;
            let cut = checkpoint(connection, "TRUNCATE");
            connection.busy_timeout(super::connection::BUSY_WAIT)?;
            return cut;
        }
        Ok(())
    }

    /// At the end: moves everything.
    pub(super) fn last(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        checkpoint(connection, "TRUNCATE")
    }
}

/// Readers that keep pages from moving are no error: the answer's first column says so, and the
/// next checkpoint moves them.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.query_row(&sql, [], |_row| Ok(()))
}
