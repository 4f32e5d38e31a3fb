//! Connections of a port for operators (admin, ops): how many, how slow, and until when.
//!
//! Such a port is not for the internet, but it is there in the hour of need: a client that holds
//! connections open, or sends its head byte by byte, must not keep the operator out. So there is a
//! cap, and a clock on the head (idle time included). The clock on the body and on the answer is
//! the router's: see [`phases`](crate::phases) for the admin port's.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Room for one head; hyper answers a larger one with 431.
const HEAD_BUFFER_BYTES: usize = 32 * 1024;
/// After a failed accept (no file descriptors, mostly) the next one waits so long.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// What a port bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections, from 1. At the cap nothing is accepted; the kernel's backlog holds
    /// newcomers.
    pub connections_max: usize,
    /// How long the head of a request may take, idle time on a kept connection included.
    pub header_read_timeout: Duration,
    /// How long a stop waits for requests under way.
    pub drain_timeout: Duration,
}

/// Serves until `shutdown` completes; then nothing is accepted any more, requests that are under way
/// are answered, and what is still open after the drain's bound is cut. `port` names it in the log.
pub async fn serve(
    port: &'static str,
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (drain, draining) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = shutdown => {}
        () = accept_all(port, &listener, &router, bounds, &mut tasks, &draining) => {}
    }
    drop(listener);
    drain.send_replace(true);
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.drain_timeout, all)
        .await
        .is_err()
    {
        tracing::warn!(
            port,
            connections = tasks.len(),
            "requests were still open at the end of the drain"
        );
        tasks.shutdown().await;
    }
}

/// Accepts for ever. The slot is taken *before* accepting: at the cap newcomers wait in the kernel's
/// backlog, and the clocks above see to it that a slot comes free.
async fn accept_all(
    port: &'static str,
    listener: &TcpListener,
    router: &Router,
    bounds: Bounds,
    tasks: &mut JoinSet<()>,
    draining: &watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(
        bounds.connections_max.min(Semaphore::MAX_PERMITS),
    ));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(port, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        // Finished connections are forgotten here, so the set is as large as what is open.
        while tasks.try_join_next().is_some() {}
        let (router, draining) = (router.clone(), draining.clone());
        let head_within = bounds.header_read_timeout;
        tasks.spawn(async move {
            serve_one(port, stream, router, head_within, draining).await;
            drop(slot);
        });
    }
}

async fn serve_one(
    port: &'static str,
    stream: TcpStream,
    router: Router,
    head_within: Duration,
    mut draining: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        // The peer is gone already.
        tracing::debug!(port, %error, "TCP_NODELAY could not be set");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _drained = draining.wait_for(|draining| *draining) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away all the time; whoever looks for one finds it at this level.
        tracing::debug!(port, %error, "a connection ended early");
    }
}
