//! `sluice serve`: with a configuration file and an external Redis.

use std::process::ExitCode;

use anyhow::bail;

use crate::admin_client::Ready;
use crate::boot::{Ground, start};
use crate::cli::{Role, ServeArgs};
use crate::config::ConfigError;
use crate::data_dir::DataDir;
use crate::telemetry::start_logs;

/// All roles: what one process runs.
const ALL_ROLES: [Role; 3] = [Role::Data, Role::Control, Role::Workers];

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
    if ALL_ROLES.iter().any(|role| !arguments.role.contains(role)) {
        bail!(
            "--role: all roles (data,control,workers) run in one process; roles apart are not \
             available yet"
        );
    }
    let log = start_logs(&settings.log)?;
    let folder = DataDir::create(&settings.data_dir)?;
    let lock = folder.lock()?;
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
    })?;
    let ready = Ready {
        event: "ready".to_owned(),
        data: format!("http://{}", running.bound.data),
        control: format!("http://{}", running.bound.control),
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
