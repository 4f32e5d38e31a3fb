//! What the claims' Redis is like, looked at again and again: a server that may forget keys, is a
//! replica or does not answer must not be sent claims to, whatever it was when we started.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_hotstate::redis::RedisHotState;
use sluice_hotstate::redis::server::{ServerFacts, ServerProblem};

use crate::readiness::Readiness;

/// How often the server is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What the last look found; the default is what is true before the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Findings {
    /// Why no claim may be served.
    fatal: Option<String>,
    /// What is worth a warning only.
    warning: Option<String>,
}

/// Adds Redis to what must be ready, and looks at it until the runtime ends.
pub(crate) fn watch(readiness: &Readiness, hotstate: &Arc<RedisHotState>) {
    let found = Arc::new(Mutex::new(Findings {
        fatal: Some("redis has not been looked at yet".to_owned()),
        warning: None,
    }));
    let shown = Arc::clone(&found);
    readiness.add(move || {
        let found = shown.lock().unwrap_or_else(PoisonError::into_inner);
        found.fatal.clone()
    });
    let hotstate = Arc::clone(hotstate);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let now = look(&hotstate).await;
            let before = {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *found, now.clone())
            };
            report(&before, &now);
        }
    });
}

async fn look(hotstate: &RedisHotState) -> Findings {
    let servers = match hotstate.check_server().await {
        Ok(servers) => servers,
        Err(error) => {
            return Findings {
                fatal: Some(format!("redis does not answer: {error}")),
                warning: None,
            };
        }
    };
    let problems: Vec<_> = servers.iter().flat_map(ServerFacts::problems).collect();
    let (fatal, warnings): (Vec<_>, Vec<_>) =
        problems.iter().partition(|problem| problem.is_fatal());
    Findings {
        fatal: in_words(&fatal),
        warning: in_words(&warnings),
    }
}

fn in_words(problems: &[&ServerProblem]) -> Option<String> {
    let words: Vec<String> = problems
        .iter()
        .map(|problem| format!("redis: {problem}"))
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Logs what has changed, and only that.
fn report(before: &Findings, now: &Findings) {
    if before.fatal != now.fatal {
        match &now.fatal {
            Some(reason) => tracing::error!(%reason, "redis cannot be used for claims"),
            None => tracing::info!("redis can be used for claims"),
        }
    }
    if before.warning != now.warning
        && let Some(reason) = &now.warning
    {
        tracing::warn!(%reason, "redis is not set up for a sale");
    }
}
