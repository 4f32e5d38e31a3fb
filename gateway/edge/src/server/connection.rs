//! One connection: which protocol, within which limits, until when.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::Edge;
use crate::claims::Claims;
use crate::metrics::Shed;
use crate::service;
use crate::settings::EdgeSettings;

/// How every HTTP/2 connection begins (RFC 9113).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often a half-received preface is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Room for one head: above our own limits, so that ours answer first.
const HEAD_BUFFER_BYTES: usize = 64 * 1024;
/// How long a connection over HTTP/1 without a request stays open in a drain: one may be under way,
/// and would meet a closed door. Its answer ends the connection.
const LAST_REQUEST_WAIT: Duration = Duration::from_millis(500);
const H2_WINDOW_BYTES: u32 = 64 * 1024;
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
const H2_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// Streams reset by the peer before we took them up (rapid reset, CVE-2023-44487).
const H2_RESETS_PENDING_MAX: usize = 20;
/// Streams that we had to reset for the peer's errors.
const H2_LOCAL_RESETS_MAX: usize = 128;

/// One accepted connection.
pub(super) struct Connection<C> {
    pub(super) edge: Arc<Edge<C>>,
    pub(super) peer: IpAddr,
    pub(super) draining: watch::Receiver<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Counts requests and rings when there were enough.
#[derive(Debug, Default)]
struct Allowance {
    used: AtomicU32,
    spent: Notify,
}

impl<C: Claims> Connection<C> {
    /// Serves until either side has enough.
    pub(super) async fn serve(mut self, stream: TcpStream) {
        let Some(protocol) = self.protocol(&stream).await else {
            return;
        };
        self.edge.metrics.connections.increment(1.0);
        let gauge = self.edge.metrics.connections.clone();
        let _counted = Counted(gauge);
        let allowance = Arc::new(Allowance::default());
        let service = {
            let edge = Arc::clone(&self.edge);
            let allowance = Arc::clone(&allowance);
            let peer = self.peer;
            service_fn(move |request: Request<Incoming>| {
                let spent = allowance.take(edge.settings.requests_per_connection_max);
                let last = spent || edge.is_leaving();
                let edge = Arc::clone(&edge);
                async move {
                    let http1 = request.version() < Version::HTTP_2;
                    let mut response = service::answer(&edge, peer, request).await;
                    if last && http1 {
                        // Said with the last answer, so that no client sends into a close.
                        response
                            .headers_mut()
                            .insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let patience = self.last_request_wait();
        let io = TokioIo::new(stream);
        let outcome = match protocol {
            Protocol::Http1 => {
                let connection = http1_builder(&self.edge.settings).serve_connection(io, service);
                self.drive(connection, &allowance, patience).await
            }
            Protocol::Http2 => {
                let connection = http2_builder(&self.edge.settings).serve_connection(io, service);
                // Its good-bye says which streams it still answers: nothing needs waiting for.
                self.drive(connection, &allowance, Duration::ZERO).await
            }
        };
        if let Err(error) = outcome {
            // Clients go away all the time; whoever looks for one finds it at this level.
            tracing::debug!(%error, "a connection ended early");
        }
    }

    /// Waits for the first bytes, within the first-byte time and not far into a drain. hyper has no
    /// timer before it knows the protocol, and none inside the HTTP/2 preface.
    async fn protocol(&mut self, stream: &TcpStream) -> Option<Protocol> {
        let limit = self.edge.settings.first_byte_timeout;
        let patience = self.last_request_wait();
        let detected = tokio::select! {
            detected = tokio::time::timeout(limit, detect(stream)) => detected,
            () = drained(&mut self.draining, patience) => return None,
        };
        if detected.is_err() {
            self.edge.metrics.shed(Shed::FirstByte);
        }
        detected.ok()?.ok()
    }

    fn last_request_wait(&self) -> Duration {
        LAST_REQUEST_WAIT.min(self.edge.settings.drain_deadline / 2)
    }

    /// Runs a connection; asks it to finish when it has served enough, or so long after the server
    /// began to drain.
    async fn drive<G>(
        &mut self,
        connection: G,
        allowance: &Allowance,
        last_request_wait: Duration,
    ) -> Result<(), G::Error>
    where
        G: GracefulConnection,
    {
        let mut connection = pin!(connection);
        tokio::select! {
            outcome = connection.as_mut() => return outcome,
            () = drained(&mut self.draining, last_request_wait) => {}
            () = allowance.spent.notified() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}

/// Until the drain has lasted for so long.
async fn drained(draining: &mut watch::Receiver<bool>, lasted: Duration) {
    // A sender that is gone has stopped too.
    drop(draining.wait_for(|draining| *draining).await);
    tokio::time::sleep(lasted).await;
}

// === impl Allowance ===

impl Allowance {
    /// Counts a request; true for the last one.
    fn take(&self, requests_max: u32) -> bool {
        let used = self.used.fetch_add(1, Ordering::Relaxed) + 1;
        let last = used >= requests_max;
        if last {
            self.spent.notify_one();
        }
        last
    }
}

/// An open connection in the gauge.
struct Counted(metrics::Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn http1_builder(settings: &EdgeSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_read_timeout)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .pipeline_flush(settings.pipeline_flush)
        .writev(settings.vectored_writes);
    builder
}

fn http2_builder(settings: &EdgeSettings) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_per_connection_max)
        .max_pending_accept_reset_streams(H2_RESETS_PENDING_MAX)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .max_header_list_size(H2_HEADER_LIST_BYTES)
        .initial_stream_window_size(H2_WINDOW_BYTES)
        .initial_connection_window_size(H2_WINDOW_BYTES)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(H2_PING_TIMEOUT);
    builder
}

/// Tells the protocol by the first bytes, which stay in the socket.
async fn detect(stream: &TcpStream) -> io::Result<Protocol> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if seen[..count] != PREFACE[..count] {
            return Ok(Protocol::Http1);
        }
        if count == PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        // The socket stays readable by what was only peeked at: waiting on it would spin.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}
