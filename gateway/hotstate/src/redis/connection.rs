//! Connections: one multiplexed connection per link, replaced when it breaks.
//!
//! A link is a pool of one: callers take a clone of its connection and give the slot back at once,
//! so any number of calls share one socket. The socket is opened here rather than by the library,
//! for `TCP_NODELAY` and because the task that drives it then tells when it ends: a broken
//! connection is known before anything is sent into it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_redis::bb8;
use metrics::Counter;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, Value,
};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// The wait after the first failed attempt to connect; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// The longest wait between attempts: how late a server that is back is noticed.
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// Times and bounds of a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkSettings {
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) in_flight_max: usize,
}

/// A connection to one server, shared by all callers.
#[derive(Debug)]
pub(super) struct Link {
    pool: bb8::Pool<Manager>,
    health: Arc<Health>,
    in_flight: Semaphore,
}

/// Why a command has no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// It was not sent, for this reason: nothing happened.
    NotSent(String),
    /// The connection or the server failed it; [`super::reply::failure`] sorts what that means.
    Failed(RedisError),
}

/// Clones of one multiplexed connection, with the word on whether it still works.
#[derive(Debug, Clone)]
struct Wire {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

/// Makes wires for the pool.
#[derive(Debug)]
struct Manager {
    address: ConnectionAddr,
    handshake: RedisConnectionInfo,
    settings: LinkSettings,
    health: Arc<Health>,
}

/// How connecting went lately.
#[derive(Debug)]
struct Health {
    state: Mutex<Attempts>,
    failed: Notify,
    reconnects: Counter,
}

#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
    last_error: String,
    connected_before: bool,
}

// === impl Link ===

impl Link {
    /// A link that connects when it is first used. Building it does no I/O.
    pub(super) fn new(url: &str, settings: LinkSettings) -> Result<Self, RedisError> {
        Self::to(&url.into_connection_info()?, settings)
    }

    /// As [`new`](Self::new), to an address that was read already.
    pub(super) fn to(info: &ConnectionInfo, settings: LinkSettings) -> Result<Self, RedisError> {
        let health = Arc::new(Health {
            state: Mutex::default(),
            failed: Notify::new(),
            reconnects: metrics::counter!("sluice_hotstate_reconnects_total"),
        });
        let manager = Manager {
            address: info.addr().clone(),
            handshake: info.redis_settings().clone(),
            settings,
            health: Arc::clone(&health),
        };
        if !matches!(
            manager.address,
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_)
        ) {
            return Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "only redis:// and unix:// URLs are supported",
            )));
        }
        let pool = bb8::Pool::builder()
            .max_size(1)
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            // The link waits between attempts itself: the pool's own waits are too long for a
            // service that has to be back within moments.
            .retry_connection(false)
            .connection_timeout(settings.connect_timeout)
            .build_unchecked(manager);
        Ok(Self {
            pool,
            health,
            in_flight: Semaphore::new(settings.in_flight_max),
        })
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, SendError> {
        let _permit = self
            .in_flight
            .try_acquire()
            .map_err(|_full| SendError::NotSent("too many calls are in flight".to_owned()))?;
        let mut wire = self.wire().await.map_err(SendError::NotSent)?;
        match wire.connection.req_packed_command(command).await {
            Ok(value) => value.extract_error().map_err(SendError::Failed),
            Err(error) => {
                // After a timeout too: the call is lost, and connecting anew tells at once whether
                // anybody is there.
                if error.is_io_error() {
                    wire.broken.store(true, Ordering::Release);
                }
                Err(SendError::Failed(error))
            }
        }
    }

    async fn wire(&self) -> Result<Wire, String> {
        // Twice: the first may only find out that the pooled connection broke.
        for _attempt in 0..2 {
            let mut failed = pin!(self.health.failed.notified());
            failed.as_mut().enable();
            self.health.check()?;
            let pooled = tokio::select! {
                biased;
                pooled = self.pool.get() => pooled,
                () = failed => return Err(self.health.last_error()),
            };
            match pooled {
                Ok(wire) if !wire.broken.load(Ordering::Acquire) => return Ok((*wire).clone()),
                Ok(_broken) => {}
                Err(bb8::RunError::TimedOut) => {
                    return Err("no connection within the connect timeout".to_owned());
                }
                Err(bb8::RunError::User(error)) => return Err(error.to_string()),
            }
        }
        Err("the connection broke".to_owned())
    }
}

// === impl Manager ===

impl Manager {
    async fn open(&self) -> Result<Wire, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_response_timeout(Some(self.settings.response_timeout));
        let broken = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&broken);
        // One arm per kind of socket: the driver's type differs.
        let connection = match &self.address {
            ConnectionAddr::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(&self.handshake, socket, config).await?;
                tokio::spawn(async move {
                    driver.await;
                    ended.store(true, Ordering::Release);
                });
                connection
            }
            ConnectionAddr::Unix(path) => {
                let socket = UnixStream::connect(path).await?;
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(&self.handshake, socket, config).await?;
                tokio::spawn(async move {
                    driver.await;
                    ended.store(true, Ordering::Release);
                });
                connection
            }
            _ => {
                return Err(RedisError::from((
                    ErrorKind::InvalidClientConfig,
                    "only redis:// and unix:// URLs are supported",
                )));
            }
        };
        Ok(Wire { connection, broken })
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = Wire;
    type Error = RedisError;

    async fn connect(&self) -> Result<Wire, RedisError> {
        let opened = match tokio::time::timeout(self.settings.connect_timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(RedisError::from((ErrorKind::Io, "connecting timed out"))),
        };
        self.health.note(&opened);
        opened
    }

    async fn is_valid(&self, wire: &mut Wire) -> Result<(), RedisError> {
        if self.has_broken(wire) {
            return Err(RedisError::from((ErrorKind::Io, "the connection broke")));
        }
        Ok(())
    }

    fn has_broken(&self, wire: &mut Wire) -> bool {
        wire.broken.load(Ordering::Acquire)
    }
}

// === impl Health ===

impl Health {
    /// Refuses while the wait after a failure lasts, so that nobody queues for a dead server.
    fn check(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.not_before {
            Some(at) if Instant::now() < at => Err(state.last_error.clone()),
            _ => Ok(()),
        }
    }

    fn last_error(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_error.clone()
    }

    fn note(&self, opened: &Result<Wire, RedisError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(_wire) => {
                if state.connected_before {
                    self.reconnects.increment(1);
                }
                *state = Attempts {
                    connected_before: true,
                    ..Attempts::default()
                };
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                state.not_before = Some(Instant::now() + backoff(state.failures));
                state.last_error = error.to_string();
                drop(state);
                self.failed.notify_waiters();
            }
        }
    }
}

/// Doubles with each failure up to the maximum, less up to a half at random, so that gateways do
/// not come back in step.
fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let full = doubled.min(BACKOFF_MAX);
    // The hasher's keys are random; that is all the randomness this needs.
    let random = RandomState::new().build_hasher().finish() % 512;
    full - full.mul_f64(f64::from(u32::try_from(random).unwrap_or(0)) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::{BACKOFF_MAX, BACKOFF_MIN, backoff};

    #[test]
    fn waits_grow_and_stay_bounded() {
        for failures in 1..=64 {
            let wait = backoff(failures);
            assert!(
                wait >= BACKOFF_MIN / 2 && wait <= BACKOFF_MAX,
                "{failures}: {wait:?}"
            );
        }
        assert!(backoff(1) <= BACKOFF_MIN);
        assert!(backoff(64) >= BACKOFF_MAX / 2);
    }
}
