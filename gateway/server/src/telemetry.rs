//! Logs and metrics: set up once, before anything else runs.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{LogFormat, LogSettings};

/// Edges of all duration histograms, in seconds: 0.5 ms to 2.5 s, with the promises (50 ms queue
/// wait, 250 ms durability budget) as exact edges.
const DURATION_EDGES: [f64; 12] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];
/// Edges for counts: rows, claims in a batch, claims that a quote looked at.
const BATCH_EDGES: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// Changes the log filter of the running process.
#[derive(Clone)]
pub(crate) struct LogFilter(reload::Handle<EnvFilter, Registry>);

/// Sends logs to standard error in the wanted form.
pub(crate) fn start_logs(settings: &LogSettings) -> anyhow::Result<LogFilter> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    match settings.format {
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(writer))
            .try_init()?,
        LogFormat::Text => {
            registry
                .with(fmt::layer().with_target(false).with_writer(writer))
                .try_init()?;
        }
    }
    Ok(LogFilter(handle))
}

/// Installs the recorder that all crates' metrics go to.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_EDGES)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &BATCH_EDGES)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".to_owned()), &BATCH_EDGES)?
        .set_buckets_for_metric(Matcher::Suffix("_candidates".to_owned()), &BATCH_EDGES)?
        .install_recorder()?;
    metrics::gauge!("sluice_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    register_rare();
    Ok(handle)
}

/// Counters of what should never happen begin at 0: a series that appears with its first event
/// hides that event from every rate.
fn register_rare() {
    metrics::counter!(sluice_workers::metrics::DEAD_LETTERS_TOTAL).increment(0);
    metrics::counter!("sluice_checkout_holds_freed_total").increment(0);
    metrics::counter!("sluice_checkout_holds_stuck_total").increment(0);
    for result in ["ok", "failed"] {
        metrics::counter!("sluice_jobs_total", "kind" => "publish_retry", "result" => result)
            .increment(0);
    }
}

impl LogFilter {
    /// Puts another filter in force, in the syntax of `log.filter`.
    pub(crate) fn set(&self, filter: &str) -> anyhow::Result<()> {
        Ok(self.0.reload(EnvFilter::try_new(filter)?)?)
    }
}
