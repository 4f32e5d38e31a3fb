//! Open load: each request is sent when the schedule says, whatever became of those before it, and
//! its latency is counted from when it was due.
//!
//! A thread of its own keeps the time, because a runtime's timers are too coarse. All else happens
//! on one thread: it writes what is due on connections that wait, round robin, and reads answers as
//! they come. A request that finds no connection waiting is *not sent*, and counted: below capacity
//! that voids a run, above it such requests are the ones that a load balancer turns away.

mod outcome;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Load, answer, connect, schedule};
use crate::cpu;

pub use self::outcome::Outcome;
use self::outcome::microseconds;

/// How long the last answers may take.
const LAST_ANSWERS_WAIT: Duration = Duration::from_secs(10);
/// Head and body of one answer.
const ANSWER_BYTES_MAX: usize = 4_096;

/// How an open load comes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Requests a second.
    pub per_second: f64,
    /// Connections, all opened before the first request.
    pub connections: usize,
    /// Which schedule.
    pub seed: u64,
}

impl Pace {
    /// Requests that come within so many seconds.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate and a time are positive, and their product far below what a count can hold"
    )]
    pub fn requests(&self, seconds: f64) -> usize {
        (self.per_second * seconds) as usize
    }
}

/// One connection: its stream, and when the request was due that it is busy with.
struct Connection {
    stream: RefCell<Rc<TcpStream>>,
    due: Cell<Option<Instant>>,
}

struct Shared {
    address: SocketAddr,
    waiting: RefCell<VecDeque<Rc<Connection>>>,
    busy: Cell<usize>,
    outcome: RefCell<Outcome>,
    answered: Notify,
}

/// What the thread that keeps the time says.
#[derive(Default)]
struct Clock {
    due: AtomicUsize,
    tick: Notify,
}

impl Load {
    /// Sends everything when it is due, on a thread of its own.
    ///
    /// # Errors
    /// Where connections cannot be opened, or an answer cannot be read.
    pub async fn open(self, pace: Pace) -> anyhow::Result<Outcome> {
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || {
                // Nobody waits any more where this fails.
                let _gone = tell.send(generate(self, pace));
            })?;
        told.await.context("the generator ended early")?
    }
}

fn generate(load: Load, pace: Pace) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(load, pace))
}

async fn run(load: Load, pace: Pace) -> anyhow::Result<Outcome> {
    let total = load.requests.len();
    let shared = Rc::new(Shared {
        address: load.address,
        waiting: RefCell::default(),
        busy: Cell::new(0),
        outcome: RefCell::new(Outcome::new(total)?),
        answered: Notify::new(),
    });
    for _number in 0..pace.connections {
        let connection = Rc::new(Connection {
            stream: RefCell::new(Rc::new(connect(load.address).await?)),
            due: Cell::new(None),
        });
        shared
            .waiting
            .borrow_mut()
            .push_back(Rc::clone(&connection));
        tokio::task::spawn_local(read(Rc::clone(&shared), connection));
    }
    let due = Arc::new(schedule::poisson(pace.per_second, total, pace.seed));
    let clock = Arc::new(Clock::default());
    let (begun, used) = (Instant::now(), busy_seconds()?);
    let (measured, until_measured) = std::sync::mpsc::channel::<()>();
    let keeper = std::thread::Builder::new()
        .name("clock".to_owned())
        .spawn({
            let (due, clock) = (Arc::clone(&due), Arc::clone(&clock));
            move || {
                keep_time(begun, &due, &clock);
                // A thread that has ended takes its CPU time with it.
                let _dropped = until_measured.recv();
            }
        })?;
    let mut sent = 0;
    while sent < total {
        clock.tick.notified().await;
        for due in &due[sent..clock.due.load(Ordering::Acquire)] {
            shared.send(&load.requests[sent], begun + *due)?;
            sent += 1;
        }
    }
    let (took, busy) = (begun.elapsed(), busy_seconds()? - used);
    drop(measured);
    let last = tokio::time::timeout(LAST_ANSWERS_WAIT, async {
        while shared.busy.get() > 0 {
            shared.answered.notified().await;
        }
    });
    let unanswered = if last.await.is_err() {
        shared.busy.get()
    } else {
        0
    };
    if keeper.join().is_err() {
        bail!("the thread that keeps the time panicked");
    }
    let mut outcome = shared.outcome.replace(Outcome::new(0)?);
    outcome.lost += unanswered;
    outcome.took = took;
    outcome.busy_cores = busy / took.as_secs_f64();
    Ok(outcome)
}

/// Says how many requests are due, as soon as they are.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which has nothing to do but to wait"
)]
fn keep_time(begun: Instant, due: &[Duration], clock: &Clock) {
    let mut passed = 0;
    while passed < due.len() {
        let now = begun.elapsed();
        let ready = passed + due[passed..].partition_point(|at| *at <= now);
        if ready > passed {
            passed = ready;
            clock.due.store(passed, Ordering::Release);
            clock.tick.notify_one();
        }
        if let Some(next) = due.get(passed) {
            std::thread::sleep(next.saturating_sub(begun.elapsed()));
        }
    }
}

impl Shared {
    /// Writes a request on the connection that has waited longest.
    fn send(&self, request: &[u8], due: Instant) -> anyhow::Result<()> {
        let Some(connection) = self.waiting.borrow_mut().pop_front() else {
            self.outcome.borrow_mut().unsent += 1;
            return Ok(());
        };
        connection.due.set(Some(due));
        self.busy.set(self.busy.get() + 1);
        let lag = microseconds(due.elapsed());
        self.outcome.borrow_mut().lag.saturating_record(lag);
        let stream = Rc::clone(&connection.stream.borrow());
        match stream.try_write(request) {
            Ok(written) if written == request.len() => Ok(()),
            // The buffer of a connection that waits is empty: a part of a request is a defect.
            Ok(written) => bail!("only {written} bytes of a request were taken"),
            // The reader sees that it is closed, and counts the request as lost.
            Err(_closed) => Ok(()),
        }
    }

    fn finished(&self, connection: &Rc<Connection>) {
        self.busy.set(self.busy.get() - 1);
        self.waiting.borrow_mut().push_back(Rc::clone(connection));
        self.answered.notify_one();
    }
}

/// Reads the answers of one connection, and opens it anew where the server closed it.
async fn read(shared: Rc<Shared>, connection: Rc<Connection>) -> anyhow::Result<()> {
    let mut buffer = [0; ANSWER_BYTES_MAX];
    let mut filled = 0;
    loop {
        let stream = Rc::clone(&connection.stream.borrow());
        stream.readable().await?;
        let read = match stream.try_read(&mut buffer[filled..]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Ok(read) => read,
            Err(_broken) => 0,
        };
        filled += read;
        let answer = answer::parse(&buffer[..filled])?;
        let closed = read == 0 || answer.is_some_and(|answer| answer.closing);
        if closed {
            *connection.stream.borrow_mut() = Rc::new(connect(shared.address).await?);
        }
        if let (Some(answer), Some(due)) = (answer, connection.due.take()) {
            let mut outcome = shared.outcome.borrow_mut();
            outcome.answered(answer.status, due.elapsed());
            drop(outcome);
            filled = 0;
            shared.finished(&connection);
        } else if closed && connection.due.take().is_some() {
            shared.outcome.borrow_mut().lost += 1;
            filled = 0;
            shared.finished(&connection);
        }
    }
}

/// CPU seconds of the generator: its own thread and the one that keeps the time.
fn busy_seconds() -> anyhow::Result<f64> {
    let threads = cpu::by_thread(std::process::id())?;
    let of = |name: &str| threads.get(name).copied().unwrap_or(0.0);
    Ok(of("generator") + of("clock"))
}
