//! The ops port: metrics, liveness, readiness, the log filter. It runs on a thread and a runtime of
//! its own, so that it answers while the others are saturated.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

use crate::readiness::Readiness;
use crate::telemetry::LogFilter;

/// How often the recorder tidies its histograms; without it memory grows with each scrape's age.
const UPKEEP: std::time::Duration = std::time::Duration::from_secs(5);

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
pub(crate) async fn serve(listener: tokio::net::TcpListener, ops: Ops) -> std::io::Result<()> {
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
        .with_state(ops);
    axum::serve(listener, router).await
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
