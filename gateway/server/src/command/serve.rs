//! `sluice serve`: with a configuration file and an external Redis.

use std::process::ExitCode;

use crate::admin_client::Ready;
use crate::boot::{Ground, start};
use crate::cli::ServeArgs;
use crate::config::{Backend, ConfigError, Settings};
use crate::data_dir::DataDir;
use crate::role::Roles;
use crate::telemetry::start_logs;

pub(crate) fn run(arguments: &ServeArgs) -> anyhow::Result<ExitCode> {
    let settings = super::settings_from(&arguments.config)?;
    if settings.hotstate.redis_urls.is_empty() {
        return Err(ConfigError::Value {
            place: arguments.config.display().to_string(),
            key: "hotstate.redis_urls".to_owned(),
            message:
                "is empty; name the Redis that decides claims (only `sluice dev` runs its own)"
                    .to_owned(),
        }
        .into());
    }
    let roles = Roles::of(&arguments.role, &settings)?;
    let log = start_logs(&settings.log)?;
    let folder = DataDir::create(&settings.data_dir)?;
    // One ledger file, one process. What several processes share is guarded elsewhere.
    let lock = match settings.ledger_backend() {
        Backend::Sqlite => Some(folder.lock()?),
        Backend::Cql => {
            warn_of_what_is_not_shared(&settings);
            None
        }
    };
    if settings.uses_dev_keys() {
        tracing::warn!(
            "identity.jwks_file is not set: user tokens are verified with a generated development key"
        );
        sluice_edge::identity::sign::generate_dev_keys(&folder.keys())?;
    }
    let redis_url = settings.hotstate.redis_urls.join(",");
    let running = start(Ground {
        settings,
        folder: folder.clone(),
        lock,
        log,
        roles,
    })?;
    tracing::info!(%roles, "started");
    let ready = Ready {
        event: "ready".to_owned(),
        data: running.bound.data.map(|at| format!("http://{at}")),
        control: running.bound.control.map(|at| format!("http://{at}")),
        ops: format!("http://{}", running.bound.ops),
        admin_key: None,
        data_dir: folder.root().display().to_string(),
        redis_url,
        redis_pid: None,
    };
    let line = serde_json::to_string(&ready)?;
    super::dev::write_private(&folder.ready_file(), &line)?;
    super::say(&line);
    running.run_until_stopped()
}

/// What several gateways have to have in common is told to each of them by its configuration.
fn warn_of_what_is_not_shared(settings: &Settings) {
    if settings.limits.enabled && settings.limits.redis_url.is_empty() {
        tracing::warn!("limits.redis_url is not set: each gateway counts requests for itself");
    }
    if settings.uses_own_pass_keys() {
        tracing::warn!(
            "identity.pass_keys_file is not set: passes are known to processes of this data folder only"
        );
    }
}
