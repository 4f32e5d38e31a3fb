//! The processes of a round, and the coupons they sell.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use http::Method;
use serde_json::Value;
use sluice_domain::id::{CouponId, Epoch, KeeperNumber, LaneId};
use sluice_domain::invariant::history::{Deed, LaneSample, OperatorCall};
use tempfile::TempDir;

use super::{Round, Sale};
use crate::admin::{Admin, coupon};
use crate::redis_server::{RedisServer, free_port};
use crate::shopper::Passes;
use crate::sluice_process::{SluiceProcess, address};
use crate::tally::{Tally, now};

/// How often lanes are looked at.
const SAMPLE_PAUSE: Duration = Duration::from_millis(200);

/// A running system in a folder of its own.
pub(super) struct Stage {
    pub(super) redis: RedisServer,
    pub(super) server: SluiceProcess,
    pub(super) config: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) binary: PathBuf,
    admin_key: String,
    // Last, so that the processes are stopped before their folder goes.
    _folder: TempDir,
}

impl Stage {
    /// Starts Redis and the server.
    pub(super) async fn set(round: &Round) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("storm").tempdir()?;
        let redis = RedisServer::start(&folder.path().join("redis")).await?;
        let config = folder.path().join("storm.toml");
        let data_dir = folder.path().join("data");
        std::fs::write(&config, configuration(&redis, &data_dir)?)?;
        let admin_key = run(
            &round.binary,
            &[
                "key",
                "create",
                "--role",
                "admin",
                "--config",
                text(&config)?,
            ],
        )?;
        let log = folder.path().join("sluice.log");
        let server =
            SluiceProcess::start(&round.binary, &["serve", "--config", text(&config)?], &log)?;
        server.wait_until_ready().await?;
        Ok(Self {
            redis,
            server,
            config,
            data_dir,
            binary: round.binary.clone(),
            admin_key: admin_key.trim().to_owned(),
            _folder: folder,
        })
    }

    /// A client of the admin API.
    pub(super) fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::new(
            address(&self.server.ready.control)?,
            &self.admin_key,
        ))
    }

    /// Publishes the coupons: one claim per user and durable, two per user and durable, one per
    /// user and `hot`.
    pub(super) async fn open_sales(&self, tally: &Tally) -> anyhow::Result<Vec<Sale>> {
        let mut admin = self.admin()?;
        let mut sales = Vec::new();
        for (name, total, per_user, durability) in [
            ("one each", 300, 1, "ledger"),
            ("two each", 300, 2, "ledger"),
            ("one each, hot", 300, 1, "hot"),
        ] {
            let sent_at = now();
            let id = admin
                .publish(&coupon(name, total, per_user, durability))
                .await?;
            tally.operator_call(OperatorCall {
                sent_at,
                answered_at: now(),
                coupon: id,
                deed: Deed::Publish(Some(total)),
                revision: None,
            });
            sales.push(Sale {
                coupon: id,
                total,
                per_user,
            });
        }
        Ok(sales)
    }

    /// A pass for each user.
    pub(super) fn passes(&self, users: usize) -> anyhow::Result<Passes> {
        let count = users.to_string();
        let lines = run(
            &self.binary,
            &[
                "token",
                "--data-dir",
                text(&self.data_dir)?,
                "--pass",
                "--prefix",
                "u",
                "--users",
                &count,
            ],
        )?;
        Passes::parse(&lines)
    }

    /// The coupon's counts, as the admin API tells them.
    pub(super) async fn counts(&self, coupon: CouponId) -> anyhow::Result<Value> {
        let path = format!("/admin/v1/coupons/{coupon}");
        let reply = self
            .admin()?
            .call(Method::GET, &path, None, &Value::Null)
            .await?;
        Ok(reply.body["counts"].clone())
    }

    /// What `sluice audit --json` says of this system now.
    pub(super) fn audit(&self) -> anyhow::Result<Value> {
        let output = Command::new(&self.binary)
            .args(["audit", "--json", "--config", text(&self.config)?])
            .output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "the audit ended with {} and said {}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            )
        })
    }
}

/// Looks at the lanes' rows until told to stop.
pub(super) async fn sample_lanes(mut admin: Admin, tally: Arc<Tally>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let looked = admin
            .call(Method::GET, "/admin/v1/system/lanes", None, &Value::Null)
            .await;
        if let Ok(reply) = looked {
            for lane in reply.body["items"].as_array().into_iter().flatten() {
                let number = |key: &str| lane[key].as_u64().unwrap_or(0);
                tally.lane(LaneSample {
                    lane: LaneId(u16::try_from(number("lane")).unwrap_or(u16::MAX)),
                    epoch: Epoch(number("epoch")),
                    keeper: KeeperNumber(number("keeper")),
                });
            }
        }
        tokio::time::sleep(SAMPLE_PAUSE).await;
    }
}

/// `config/storm.toml` with this round's places: fixed ports, so that clients find a restarted
/// server where it was.
fn configuration(redis: &RedisServer, data_dir: &Path) -> anyhow::Result<String> {
    let times: toml::Table = include_str!("../../../../config/storm.toml").parse()?;
    let mut config = times;
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let table = config
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(table) = table {
            table.insert(key.to_owned(), value);
        }
    };
    for section in ["data", "control", "ops"] {
        let listen = format!("127.0.0.1:{}", free_port()?);
        set(section, "listen", toml::Value::String(listen));
    }
    set(
        "hotstate",
        "redis_urls",
        toml::Value::Array(vec![toml::Value::String(redis.url())]),
    );
    set("ledger", "lanes", toml::Value::Integer(4));
    config.insert(
        "data_dir".to_owned(),
        toml::Value::String(text(data_dir)?.to_owned()),
    );
    Ok(config.to_string())
}

fn run(binary: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary).args(arguments).output()?;
    anyhow::ensure!(
        output.status.success(),
        "sluice {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}
