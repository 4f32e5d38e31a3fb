//! The one thread that writes, with group commit.
//!
//! Jobs wait in a bounded queue. The thread takes what is there, runs each job in a savepoint of
//! one transaction and commits once; only then is any of them answered. So a burst of writers pays
//! for one sync of the disk together, and an answer always means "on disk".
//!
//! What goes wrong is weighed by [`failure::gravity`]. Where the disk is full, or another process
//! holds the write lock for longer than a write waits, the group is refused; so are those after it,
//! at once, until a probe goes through that is made once a second. A failed sync, a failed write or a damaged page ends
//! the process: the state of the file is not known any more, and trying again would only hide it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::Checkpoints;
use super::connection::{BUSY_WAIT, PROBE_WAIT};
use super::failure::{self, Gravity, Step, Stop};
use super::health::{Health, Unwritable};
use super::{FatalHook, failure::describe};
use crate::LedgerError;

/// Most jobs in one transaction: bounds how long the first of them waits for the last.
const GROUP_JOBS_MAX: usize = 64;
/// How often a file that refuses is asked again, and an idle writer wakes.
const IDLE_WAKE: Duration = Duration::from_secs(1);

/// What the thread is asked.
pub(super) enum Request {
    /// Carry this out.
    Run(Box<dyn Job>),
    /// Carry out what is queued, move the WAL into the file, and end.
    Close(oneshot::Sender<()>),
}

/// A write, with somebody who waits for its answer.
pub(super) trait Job: Send {
    /// Carries it out inside a savepoint.
    fn run(&mut self, connection: &Connection) -> Ran;
    /// Answers, once it is known what became of the transaction.
    fn answer(self: Box<Self>, committed: Result<(), LedgerError>);
}

/// What became of a job inside its savepoint.
pub(super) enum Ran {
    /// Its writes stand.
    Keep,
    /// Its writes are to be taken back.
    Undo,
    /// The whole transaction cannot go on.
    Failed(rusqlite::Error),
}

/// Where jobs are handed in.
pub(super) struct Writer {
    queue: SyncSender<Request>,
    health: Arc<Health>,
    closed: AtomicBool,
}

/// The thread's own side.
pub(super) struct WriterLoop {
    pub(super) connection: Connection,
    pub(super) queue: Receiver<Request>,
    pub(super) health: Arc<Health>,
    pub(super) checkpoints: Checkpoints,
    pub(super) fatal: FatalHook,
    pub(super) asked: Option<Instant>,
}

struct JobOf<T, F> {
    step: Option<F>,
    outcome: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(queue: SyncSender<Request>, health: Arc<Health>) -> Self {
        Self {
            queue,
            health,
            closed: AtomicBool::new(false),
        }
    }

    /// Queues a step and waits until its transaction is committed. Whoever stops waiting changes
    /// nothing: the step is carried out all the same.
    pub(super) async fn run<T, F>(&self, step: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        if self.closed.load(Ordering::Acquire) {
            return Err(unavailable("it was closed"));
        }
        let (reply, answer) = oneshot::channel();
        let job = JobOf {
            step: Some(step),
            outcome: None,
            reply,
        };
        self.health.entered();
        self.queue
            .try_send(Request::Run(Box::new(job)))
            .map_err(|refused| {
                self.health.left();
                match refused {
                    TrySendError::Full(_) => unavailable("too many writes wait"),
                    TrySendError::Disconnected(_) => unavailable("it was closed"),
                }
            })?;
        // Without an answer the thread has ended: by a fatal error, in mid-commit perhaps.
        answer.await.unwrap_or_else(|_ended| {
            Err(LedgerError::Unknown {
                reason: "the writer ended before it answered".to_owned(),
            })
        })
    }

    /// Asks the thread to finish and waits for it. Harmless where it has ended.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let (done, closed) = oneshot::channel();
        // A full queue empties in bounded time: the thread takes all of it in each group.
        let mut request = Request::Close(done);
        while let Err(refused) = self.queue.try_send(request) {
            match refused {
                TrySendError::Full(back) => request = back,
                TrySendError::Disconnected(_) => return,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if closed.await.is_err() {
            tracing::warn!("the ledger's writer ended before it was closed");
        }
    }
}

fn unavailable(reason: &str) -> LedgerError {
    LedgerError::Unavailable {
        reason: reason.to_owned(),
    }
}

// === impl JobOf ===

impl<T, F> Job for JobOf<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Step<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> Ran {
        let Some(step) = self.step.take() else {
            return Ran::Undo;
        };
        match step(connection) {
            Ok(value) => {
                self.outcome = Some(Ok(value));
                Ran::Keep
            }
            Err(Stop::Undo(value)) => {
                self.outcome = Some(Ok(*value));
                Ran::Undo
            }
            Err(Stop::Ledger(error)) => {
                self.outcome = Some(Err(error));
                Ran::Undo
            }
            Err(Stop::Sql(error)) => match failure::gravity(&error) {
                Gravity::Defect => {
                    self.outcome = Some(Err(failure::answer(&error)));
                    Ran::Undo
                }
                Gravity::Full | Gravity::Fatal | Gravity::Busy | Gravity::Passing => {
                    Ran::Failed(error)
                }
            },
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), LedgerError>) {
        let outcome = match committed {
            Ok(()) => self
                .outcome
                .unwrap_or_else(|| Err(unavailable("the write was not begun"))),
            Err(error) => Err(error),
        };
        // Whoever asked may have stopped waiting.
        let _nobody_waits = self.reply.send(outcome);
    }
}

// === impl WriterLoop ===

impl WriterLoop {
    /// Runs until the queue is closed or a fatal error ends it.
    pub(super) fn run(mut self) {
        loop {
            let first = match self.queue.recv_timeout(IDLE_WAKE) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let Some(first) = first else {
                if self.idle().is_err() {
                    return;
                }
                continue;
            };
            let (jobs, closing) = self.gather(first);
            if !jobs.is_empty() && self.group(jobs).is_err() {
                return;
            }
            if let Some(done) = closing {
                self.refuse_late();
                let _checked = self.finish();
                let _nobody_waits = done.send(());
                return;
            }
        }
        let _checked = self.finish();
    }

    /// Takes what is queued, up to a group.
    fn gather(&self, first: Request) -> (Vec<Box<dyn Job>>, Option<oneshot::Sender<()>>) {
        let mut jobs = Vec::with_capacity(GROUP_JOBS_MAX);
        let mut next = Ok(first);
        loop {
            match next {
                Ok(Request::Run(job)) => jobs.push(job),
                Ok(Request::Close(done)) => return (jobs, Some(done)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return (jobs, None),
            }
            if jobs.len() == GROUP_JOBS_MAX {
                return (jobs, None);
            }
            next = self.queue.try_recv();
        }
    }

    /// Answers what came in behind the request to close.
    fn refuse_late(&self) {
        while let Ok(request) = self.queue.try_recv() {
            match request {
                Request::Run(job) => self.answer(vec![job], &Err(unavailable("it was closed"))),
                Request::Close(done) => drop(done),
            }
        }
    }

    fn idle(&mut self) -> Result<(), Ended> {
        if self.health.unwritable().is_some() {
            self.probe()?;
        }
        let checkpointed = self.checkpoints.idle(&self.connection);
        self.checked(checkpointed)
    }

    fn finish(&mut self) -> Result<(), Ended> {
        let checkpointed = self.checkpoints.last(&self.connection);
        self.checked(checkpointed)
    }

    /// Runs a group of jobs and answers all of them.
    fn group(&mut self, mut jobs: Vec<Box<dyn Job>>) -> Result<(), Ended> {
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= IDLE_WAKE);
        if due && self.health.unwritable().is_some() {
            self.probe()?;
        }
        if let Some(why) = self.health.unwritable() {
            self.answer(jobs, &Err(refusal(why)));
            return Ok(());
        }
        let committed = match self.transaction(&mut jobs) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.roll_back();
                self.weigh(&error)?;
                Err(failure::answer(&error))
            }
        };
        self.answer(jobs, &committed);
        if committed.is_ok() {
            let checkpointed = self.checkpoints.after_commit(&self.connection);
            self.checked(checkpointed)?;
        }
        Ok(())
    }

    fn transaction(&self, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let run = |sql: &str| -> rusqlite::Result<()> {
            self.connection.prepare_cached(sql)?.execute([]).map(drop)
        };
        run("BEGIN IMMEDIATE")?;
        for job in jobs {
            run("SAVEPOINT job")?;
            match job.run(&self.connection) {
                Ran::Keep => {}
                Ran::Undo => run("ROLLBACK TO job")?,
                Ran::Failed(error) => return Err(error),
            }
            run("RELEASE job")?;
        }
        run("COMMIT")
    }

    fn answer(&self, jobs: Vec<Box<dyn Job>>, committed: &Result<(), LedgerError>) {
        for job in jobs {
            job.answer(committed.clone());
            self.health.left();
        }
    }

    fn roll_back(&self) {
        // SQLite has rolled back by itself after some errors.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(error = %describe(&error), "a failed ledger transaction was not rolled back");
        }
    }

    /// Asks whether writes go through again.
    fn probe(&mut self) -> Result<(), Ended> {
        let probed = self.try_write();
        self.asked = Some(Instant::now());
        match probed {
            Ok(()) => {
                self.health.set(None);
                tracing::info!("the ledger can be written again");
                Ok(())
            }
            Err(error) => {
                self.roll_back();
                self.weigh(&error)
            }
        }
    }

    /// The smallest write. It waits less than others for another process, as it comes again soon
    /// and writers may be queued behind it.
    fn try_write(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(PROBE_WAIT)?;
        let written = self
            .connection
            .execute_batch("BEGIN IMMEDIATE; UPDATE meta SET probes = probes + 1; COMMIT");
        self.connection.busy_timeout(BUSY_WAIT)?;
        written
    }

    fn checked(&mut self, checkpointed: rusqlite::Result<()>) -> Result<(), Ended> {
        checkpointed.or_else(|error| self.weigh(&error))
    }

    /// Acts on an error: marks the ledger as refusing, or ends the process.
    fn weigh(&mut self, error: &rusqlite::Error) -> Result<(), Ended> {
        match failure::gravity(error) {
            Gravity::Full => {
                self.refuse(Unwritable::Full, error);
                Ok(())
            }
            Gravity::Busy => {
                self.refuse(Unwritable::Busy, error);
                Ok(())
            }
            Gravity::Fatal => {
                self.health.set(Some(Unwritable::Failed));
                (self.fatal)(&describe(error));
                Err(Ended)
            }
            Gravity::Passing | Gravity::Defect => {
                tracing::warn!(error = %describe(error), "a ledger transaction was refused");
                Ok(())
            }
        }
    }

    /// No write is tried from now on but a probe.
    fn refuse(&mut self, why: Unwritable, error: &rusqlite::Error) {
        self.asked = Some(Instant::now());
        if self.health.set(Some(why)) != Some(why) {
            tracing::error!(
                error = %describe(error),
                "the ledger cannot be written: {why}; no claim is made durable until it can"
            );
        }
    }
}

/// What a write is answered that was not tried.
fn refusal(why: Unwritable) -> LedgerError {
    match why {
        Unwritable::Busy => unavailable("another process has been holding the write lock"),
        Unwritable::Full | Unwritable::Failed | Unwritable::ReadOnly => LedgerError::Full {
            reason: "no room was found since the disk was full".to_owned(),
        },
    }
}

/// The writer must not go on.
struct Ended;
