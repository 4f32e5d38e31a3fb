//! A few connections that only read, each used by one call at a time.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failure::{self, Gravity, Step, Stop};
use super::{FatalHook, connection};
use crate::LedgerError;

/// The pool.
pub(super) struct Readers {
    shared: Arc<Shared>,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

struct Shared {
    idle: Mutex<Vec<Connection>>,
    fatal: FatalHook,
}

impl Readers {
    /// Opens `count` connections.
    pub(super) fn open(
        path: &Path,
        count: usize,
        waiting_max: usize,
        fatal: FatalHook,
    ) -> rusqlite::Result<Self> {
        let idle: rusqlite::Result<Vec<Connection>> =
            (0..count).map(|_| connection::reader(path)).collect();
        Ok(Self {
            shared: Arc::new(Shared {
                idle: Mutex::new(idle?),
                fatal,
            }),
            free: Arc::new(Semaphore::new(count)),
            waiting: AtomicUsize::new(0),
            waiting_max,
        })
    }

    /// Runs a step at one instant of the ledger: it sees every commit that was answered before.
    pub(super) async fn run<T, F>(&self, step: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        let unavailable = |reason: &str| LedgerError::Unavailable {
            reason: reason.to_owned(),
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(unavailable("too many reads wait"));
        }
        let waits = Waits(&self.waiting);
        let permit = Arc::clone(&self.free).acquire_owned().await;
        drop(waits);
        let Ok(permit) = permit else {
            return Err(unavailable("it was closed"));
        };
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || {
            let read = shared.with_connection(step);
            drop(permit);
            read
        });
        read.await
            .unwrap_or_else(|_ended| Err(unavailable("the read was given up")))
    }

    /// Refuses further reads and closes the connections that are idle; the others follow.
    pub(super) fn close(&self) {
        self.free.close();
        self.shared.locked().clear();
    }
}

/// Counts a waiting call for as long as it waits, also where it is given up.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_connection<T>(
        &self,
        step: impl FnOnce(&Connection) -> Step<T>,
    ) -> Result<T, LedgerError> {
        let Some(connection) = self.locked().pop() else {
            return Err(LedgerError::Unavailable {
                reason: "it was closed".to_owned(),
            });
        };
        let read = at_one_instant(&connection, step);
        self.locked().push(connection);
        match read {
            Ok(value) => Ok(value),
            Err(Stop::Undo(value)) => Ok(*value),
            Err(Stop::Ledger(error)) => Err(error),
            Err(Stop::Sql(error)) => {
                if failure::gravity(&error) == Gravity::Fatal {
                    (self.fatal)(&failure::describe(&error));
                }
                Err(failure::answer(&error))
            }
        }
    }
}

fn at_one_instant<T>(
    connection: &Connection,
    step: impl FnOnce(&Connection) -> Step<T>,
) -> Step<T> {
    let transaction = connection.unchecked_transaction()?;
    let value = step(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
