//! `sluice dev`: everything in one process, on a machine that has nothing but `redis-server`.

use std::process::ExitCode;

use anyhow::Context;

use crate::admin_client::Ready;
use crate::boot::{Ground, start};
use crate::cli::DevArgs;
use crate::clock::SystemClock;
use crate::data_dir::DataDir;
use crate::redis_child::{Purpose, RedisChild};
use crate::role::Roles;
use crate::telemetry::start_logs;

mod demo;

pub(crate) fn run(arguments: &DevArgs) -> anyhow::Result<ExitCode> {
    let mut settings = super::dev_settings(&arguments.data_dir, arguments.config.as_deref())?;
    let log = start_logs(&settings.log)?;
    let folder = DataDir::create(&settings.data_dir)?;
    let lock = folder.lock()?;
    sluice_edge::identity::sign::generate_dev_keys(&folder.keys())?;

    let mut children = Vec::new();
    let mut redis_pid = None;
    if settings.hotstate.redis_urls.is_empty() {
        let child = start_redis(Purpose::Claims, &folder, "claims")?;
        settings.hotstate.redis_urls = vec![child.url()];
        redis_pid = Some(child.pid());
        children.push(child);
    }
    if settings.limits.enabled && settings.limits.redis_url.is_empty() {
        let child = start_redis(Purpose::Limits, &folder, "limits")?;
        settings.limits.redis_url = child.url();
        children.push(child);
    }
    let redis_url = settings.hotstate.redis_urls.join(",");

    let running = start(Ground {
        settings,
        folder: folder.clone(),
        lock: Some(lock),
        log,
        roles: Roles::ALL,
    })?;
    let admin_key = admin_key(&folder, &running)?;
    let ready = Ready {
        event: "ready".to_owned(),
        data: running.bound.data.map(|at| format!("http://{at}")),
        control: running.bound.control.map(|at| format!("http://{at}")),
        ops: format!("http://{}", running.bound.ops),
        admin_key: Some(admin_key),
        data_dir: folder.root().display().to_string(),
        redis_url,
        redis_pid,
    };
    let line = serde_json::to_string(&ready)?;
    write_private(&folder.ready_file(), &line)?;
    super::say(&line);
    if arguments.demo {
        demo::present(&ready, &folder)?;
    }
    let ended = running.run_until_stopped();
    for child in children {
        child.stop();
    }
    ended
}

fn start_redis(purpose: Purpose, folder: &DataDir, name: &str) -> anyhow::Result<RedisChild> {
    RedisChild::start(purpose, &folder.redis(name), &folder.socket(name))
}

/// The admin key of this data folder: made at the first start, kept beside the other keys.
fn admin_key(folder: &DataDir, running: &crate::boot::Running) -> anyhow::Result<String> {
    let path = folder.keys().join("admin.key");
    if let Ok(key) = std::fs::read_to_string(&path) {
        return Ok(key.trim().to_owned());
    }
    let made = super::small_runtime()?.block_on(sluice_control::bootstrap_admin_key(
        &*running.ledger,
        SystemClock::start().wall(),
    ))?;
    let key = made.reveal();
    write_private(&path, &key)?;
    Ok(key)
}

/// Writes a file that only its owner may read, in one step.
pub(crate) fn write_private(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let beside = path.with_extension("new");
    let written = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| writeln!(file, "{text}"))
        .and_then(|()| std::fs::rename(&beside, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
