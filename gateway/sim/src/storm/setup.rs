//! The processes of a round, and the coupons they sell.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use http::Method;
use serde_json::{Value, json};
use sluice_domain::id::{CouponId, Epoch, KeeperNumber, LaneId};
use sluice_domain::invariant::history::{Deed, LaneSample, OperatorCall};
use sluice_domain::money;
use sluice_domain::terms::{Currency, MinorUnits};
use tempfile::TempDir;

use super::{Mode, Round, Sale};
use crate::admin::Admin;
use crate::dev_redis::DevRedis;
use crate::hot_server::HotServer;
use crate::redis_server::{RedisServer, free_port};
use crate::shopper::Passes;
use crate::sluice_process::{SluiceProcess, address};
use crate::tally::{Tally, now};

/// How often lanes are looked at.
const SAMPLE_PAUSE: Duration = Duration::from_millis(200);

/// The times of a storm.
const TIMES: &str = include_str!("../../../../config/storm.toml");

/// Devices that all users share.
const DEVICES: usize = 10;

/// What is sold: one claim per user and durable, two per user with two uses each and durable, one per
/// user and `hot`, few per device and address, and one whose budget is soon gone, with one use per
/// user and day for two claims.
const OFFERS: [Offer; 5] = [
    Offer::new("one each", 300, 1, "ledger"),
    Offer {
        uses_per_claim: 2,
        ..Offer::new("two each", 300, 2, "ledger")
    },
    Offer::new("one each, hot", 300, 1, "hot"),
    Offer {
        // 10 devices and 25 addresses: about as many as the total, often fewer.
        per_device: Some(10),
        per_address: Some(4),
        ..Offer::new("few each device and address", 80, 1, "ledger")
    },
    Offer {
        uses_per_user: Some(1),
        budget: Some(1_500),
        ..Offer::new("in budget, once a day", 150, 2, "ledger")
    },
];

/// What is rushed for after the storm: money for seven, claims for many more.
pub(super) const LAST_MONEY: Offer = Offer {
    budget: Some(3_500),
    ..Offer::new("the last money", 40, 1, "ledger")
};

/// A coupon to be published.
pub(super) struct Offer {
    name: &'static str,
    total: u64,
    per_user: u16,
    per_device: Option<u16>,
    per_address: Option<u16>,
    uses_per_claim: u32,
    uses_per_user: Option<u32>,
    budget: Option<MinorUnits>,
    durability: &'static str,
}

/// A running system in a folder of its own.
pub(super) struct Stage {
    pub(super) redis: HotServer,
    pub(super) server: SluiceProcess,
    pub(super) data_dir: PathBuf,
    binary: PathBuf,
    /// What tells `sluice audit` which system is meant.
    located: [String; 2],
    admin_key: String,
    // Last, so that the processes are stopped before their folder goes.
    _folder: TempDir,
}

impl Stage {
    /// Starts the server, and Redis with it or before it.
    pub(super) async fn set(round: &Round) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("storm").tempdir()?;
        let stage = match round.mode {
            Mode::Serve => Self::serve(round, folder).await?,
            Mode::Dev => Self::dev(round, folder)?,
        };
        stage.server.wait_until_ready().await?;
        Ok(stage)
    }

    async fn serve(round: &Round, folder: TempDir) -> anyhow::Result<Self> {
        let redis = RedisServer::start(&folder.path().join("redis")).await?;
        let config = folder.path().join("storm.toml");
        let data_dir = folder.path().join("data");
        std::fs::write(&config, configuration(Some(&redis), &data_dir)?)?;
        let config = text(&config)?;
        let make_key = ["key", "create", "--role", "admin", "--config", config];
        let admin_key = run(&round.binary, &make_key)?;
        let log = folder.path().join("sluice.log");
        let server = SluiceProcess::start(&round.binary, &["serve", "--config", config], &log)?;
        Ok(Self {
            redis: HotServer::Own(redis),
            server,
            data_dir,
            binary: round.binary.clone(),
            located: ["--config".to_owned(), config.to_owned()],
            admin_key: admin_key.trim().to_owned(),
            _folder: folder,
        })
    }

    fn dev(round: &Round, folder: TempDir) -> anyhow::Result<Self> {
        let config = folder.path().join("storm.toml");
        let data_dir = folder.path().join("data");
        std::fs::write(&config, configuration(None, &data_dir)?)?;
        let data = text(&data_dir)?;
        let log = folder.path().join("sluice.log");
        let start = ["dev", "--data-dir", data, "--config", text(&config)?];
        let server = SluiceProcess::start(&round.binary, &start, &log)?;
        let admin_key = server.ready.admin_key.clone();
        Ok(Self {
            redis: HotServer::Child(DevRedis::new(&server.ready.redis_url, &data_dir)?),
            binary: round.binary.clone(),
            located: ["--data-dir".to_owned(), data.to_owned()],
            admin_key: admin_key.context("`sluice dev` printed no admin key")?,
            server,
            data_dir,
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

    /// Publishes the coupons.
    pub(super) async fn open_sales(&self, tally: &Tally) -> anyhow::Result<Vec<Sale>> {
        let mut sales = Vec::new();
        for offer in &OFFERS {
            sales.push(self.open_sale(offer, tally).await?);
        }
        Ok(sales)
    }

    /// Publishes one.
    pub(super) async fn open_sale(&self, offer: &Offer, tally: &Tally) -> anyhow::Result<Sale> {
        let sent_at = now();
        let coupon = self.admin()?.publish(&offer.coupon()).await?;
        tally.operator_call(OperatorCall {
            sent_at,
            answered_at: now(),
            coupon,
            deed: Deed::Publish(Some(offer.total)),
            revision: None,
        });
        Ok(Sale {
            coupon,
            total: offer.total,
            per_user: offer.per_user,
            per_device: offer.per_device,
            per_address: offer.per_address,
            uses_per_claim: offer.uses_per_claim,
            uses_per_user: offer.uses_per_user,
            budget: offer.budget,
        })
    }

    /// A pass for each user.
    pub(super) fn passes(&self, users: usize) -> anyhow::Result<Passes> {
        let count = (users / DEVICES).to_string();
        let data_dir = text(&self.data_dir)?;
        let mut passes = Passes::default();
        for device in 0..DEVICES {
            let (prefix, name) = (format!("u{device}-"), format!("device {device}"));
            let lines = run(
                &self.binary,
                &[
                    "token",
                    "--data-dir",
                    data_dir,
                    "--pass",
                    "--prefix",
                    &prefix,
                    "--users",
                    &count,
                    "--device",
                    &name,
                ],
            )?;
            passes.add(device, &lines)?;
        }
        Ok(passes)
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
            .args(["audit", "--json"])
            .args(&self.located)
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

impl Offer {
    const fn new(name: &'static str, total: u64, per_user: u16, durability: &'static str) -> Self {
        Self {
            name,
            total,
            per_user,
            per_device: None,
            per_address: None,
            uses_per_claim: 1,
            uses_per_user: None,
            budget: None,
            durability,
        }
    }

    fn coupon(&self) -> Value {
        let once_a_day = |count| json!({"count": count, "period": "day"});
        let usd = Currency(*b"USD");
        json!({
            "name": self.name,
            "currency": "USD",
            "benefit": {"type": "fixed", "off": "5.00"},
            "limits": {
                "total": self.total,
                "per_user": self.per_user,
                "per_device": self.per_device,
                "per_ip": self.per_address,
                "uses_per_claim": self.uses_per_claim,
                "uses_per_user": self.uses_per_user.map(once_a_day),
                "budget": self.budget.map(|budget| money::format(budget, usd)),
            },
            "durability": self.durability,
        })
    }
}

/// `config/storm.toml` with this round's places: fixed ports, so that clients find a restarted
/// server where it was. Without a Redis the server runs its own.
fn configuration(redis: Option<&RedisServer>, data_dir: &Path) -> anyhow::Result<String> {
    let mut config: toml::Table = TIMES.parse()?;
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
    let proxies = toml::Value::Array(vec![toml::Value::String("127.0.0.0/8".to_owned())]);
    set("data", "trusted_proxies", proxies);
    if let Some(redis) = redis {
        let urls = toml::Value::Array(vec![toml::Value::String(redis.url())]);
        set("hotstate", "redis_urls", urls);
    }
    set("ledger", "lanes", toml::Value::Integer(4));
    // Holds that run out while the storm lasts.
    set("checkout", "hold_s", toml::Value::Integer(1));
    set("checkout", "sweep_ms", toml::Value::Integer(200));
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
