//! The data plane's metrics. Handles are made once and kept; labels are of closed sets.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram};

use crate::admission::Class;
use crate::limits::LimiterKind;
use crate::route::{ROUTE_LABELS, Route};

/// Every status the data plane answers with, and a last one for what hyper may add.
const STATUSES: [(u16, &str); 22] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (422, "422"),
    (425, "425"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (503, "503"),
    (0, "other"),
];
const METHODS: [&str; 5] = ["GET", "HEAD", "OPTIONS", "POST", "other"];

/// Why work was turned away before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Too many requests are being handled.
    InFlight,
    /// One address has too many connections.
    ConnectionsPerAddress,
    /// A new connection stayed silent.
    FirstByte,
    /// Accepting failed, mostly for want of file descriptors.
    Accept,
}

/// The handles.
pub(crate) struct Metrics {
    durations: Box<[OnceLock<Histogram>]>,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) panics: Counter,
    shed: [Counter; 4],
    turned_away: [Counter; Class::ALL.len()],
    limiter_allowed: [Counter; 3],
    limiter_denied: [Counter; 3],
    limiter_keys: [Gauge; 3],
}

impl Metrics {
    /// Registers with the recorder that is installed by now.
    pub(crate) fn register() -> Self {
        describe();
        let decisions = |decision: &'static str| {
            LimiterKind::ALL.map(|limiter| {
                metrics::counter!(
                    "sluice_ratelimit_decisions_total",
                    "limiter" => limiter.as_str(),
                    "decision" => decision
                )
            })
        };
        Self {
            durations: (0..ROUTE_LABELS * METHODS.len() * STATUSES.len())
                .map(|_cell| OnceLock::new())
                .collect(),
            in_flight: metrics::gauge!("sluice_http_requests_in_flight"),
            connections: metrics::gauge!("sluice_http_connections"),
            panics: metrics::counter!("sluice_http_panics_total"),
            shed: [
                Shed::InFlight,
                Shed::ConnectionsPerAddress,
                Shed::FirstByte,
                Shed::Accept,
            ]
            .map(|reason| metrics::counter!("sluice_shed_total", "reason" => reason.as_str())),
            turned_away: Class::ALL.map(
                |class| metrics::counter!("sluice_admission_shed_total", "class" => class.as_str()),
            ),
            limiter_allowed: decisions("allowed"),
            limiter_denied: decisions("denied"),
            limiter_keys: LimiterKind::ALL.map(
                |limiter| metrics::gauge!("sluice_ratelimit_keys", "limiter" => limiter.as_str()),
            ),
        }
    }

    /// One answered request.
    pub(crate) fn answered(
        &self,
        route: Route<'_>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let (route_index, route_label) = route.label();
        let method_index = METHODS
            .iter()
            .position(|label| *label == method.as_str())
            .unwrap_or(METHODS.len() - 1);
        let status_index = STATUSES
            .iter()
            .position(|(code, _label)| *code == status.as_u16())
            .unwrap_or(STATUSES.len() - 1);
        let cell = (route_index * METHODS.len() + method_index) * STATUSES.len() + status_index;
        // A label combination is registered when it first occurs: most never do.
        self.durations[cell]
            .get_or_init(|| {
                metrics::histogram!(
                    "sluice_http_request_duration_seconds",
                    "route" => route_label,
                    "method" => METHODS[method_index],
                    "status" => STATUSES[status_index].1
                )
            })
            .record(took.as_secs_f64());
    }

    /// Work turned away.
    pub(crate) fn shed(&self, reason: Shed) {
        self.shed[reason as usize].increment(1);
    }

    /// A request of this class found no place among those in flight.
    pub(crate) fn turned_away(&self, class: Class) {
        self.turned_away[class as usize].increment(1);
    }

    /// A decision of a limiter.
    pub(crate) fn limited(&self, limiter: LimiterKind, allowed: bool) {
        let counters = if allowed {
            &self.limiter_allowed
        } else {
            &self.limiter_denied
        };
        counters[limiter as usize].increment(1);
    }

    /// Subjects that a limiter holds.
    pub(crate) fn limiter_keys(&self, limiter: LimiterKind, held: usize) {
        // Exact far beyond the most keys that can be configured.
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.limiter_keys[limiter as usize].set(held as f64);
    }
}

impl Shed {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::FirstByte => "first_byte",
            Self::Accept => "accept",
        }
    }
}

fn describe() {
    use metrics::Unit;
    metrics::describe_histogram!(
        "sluice_http_request_duration_seconds",
        Unit::Seconds,
        "Time from a complete request head to its answer, on the data plane."
    );
    metrics::describe_gauge!(
        "sluice_http_requests_in_flight",
        "Data-plane requests being handled."
    );
    metrics::describe_gauge!("sluice_http_connections", "Open data-plane connections.");
    metrics::describe_counter!(
        "sluice_http_panics_total",
        "Handlers that panicked and were answered 500."
    );
    metrics::describe_counter!(
        "sluice_admission_shed_total",
        "Requests turned away at the cap of requests in flight, by class."
    );
    metrics::describe_counter!(
        "sluice_shed_total",
        "Work turned away before it began, by reason."
    );
    metrics::describe_counter!(
        "sluice_ratelimit_decisions_total",
        "Decisions of the request limiters."
    );
    metrics::describe_gauge!(
        "sluice_ratelimit_keys",
        "Subjects that a request limiter holds in memory."
    );
}
