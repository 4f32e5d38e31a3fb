//! The ops port: metrics, liveness, readiness, the log filter. It runs on a thread and a runtime of
//! its own, so that it answers while the others are saturated.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use sluice_control::serving::{self, Bounds};

use crate::readiness::Readiness;
use crate::telemetry::LogFilter;

/// How often the recorder tidies its histograms; without it memory grows with each scrape's age.
const UPKEEP: Duration = Duration::from_secs(5);
/// More than probes and scrapers need; whoever holds connections open is cut off before long. The
/// port serves as long as the process, so nothing is drained.
const BOUNDS: Bounds = Bounds {
    connections_max: 64,
    header_read_timeout: Duration::from_secs(5),
    drain_timeout: Duration::ZERO,
};
/// Longest time from the head of a request to its answer: the body may be drawn out.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest body: a log filter.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the ops port shows.
#[derive(Clone)]
pub(crate) struct Ops {
    /// Rendered on each scrape.
    pub(crate) metrics: PrometheusHandle,
    /// Whether claims can be served, and why not.
    pub(crate) readiness: Arc<Readiness>,
    /// The log filter.
    pub(crate) log: LogFilter,
}

#[derive(Serialize)]
struct NotReadyBody {
    ready: bool,
    reasons: Vec<String>,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: tokio::net::TcpListener, ops: Ops) {
    let upkeep = ops.metrics.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    let process = metrics_process::Collector::default();
    process.describe();
    let router = Router::new()
        .route(
            "/metrics",
            get(move |State(ops): State<Ops>| async move {
                process.collect();
                (
                    [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
                    ops.metrics.render(),
                )
            }),
        )
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .route("/log-filter", put(set_log_filter))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        .with_state(ops);
    serving::serve("ops", listener, router, BOUNDS, std::future::pending()).await;
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_WITHIN, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| StatusCode::REQUEST_TIMEOUT.into_response())
}

async fn ready(State(ops): State<Ops>) -> Response {
    answer(ops.readiness.reasons())
}

/// Like `/readyz` until it was ready once, then always fine: for start-up probes.
async fn started(State(ops): State<Ops>) -> Response {
    answer(if ops.readiness.was_ready() {
        Vec::new()
    } else {
        ops.readiness.reasons()
    })
}

async fn set_log_filter(State(ops): State<Ops>, filter: String) -> Response {
    match ops.log.set(filter.trim()) {
        Ok(()) => {
            tracing::info!(filter = filter.trim(), "the log filter was changed");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")).into_response(),
    }
}

fn answer(reasons: Vec<String>) -> Response {
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(NotReadyBody { ready, reasons })).into_response()
}
