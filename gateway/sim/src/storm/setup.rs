//! The processes of a round, and the coupons they sell.

use std::net::SocketAddr;
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
use sluice_domain::lane::LaneCount;
use sluice_ledger::Ledger;
use sluice_ledger::sqlite::SqliteLedger;
use tempfile::TempDir;

use super::configuration::{configuration, distribute};
use super::offer::{OFFERS, Offer};
use super::{Mode, Round, Sale};
use crate::admin::Admin;
use crate::dev_redis::DevRedis;
use crate::fault::{self, System};
use crate::hot_cluster::HotCluster;
use crate::hot_server::{HotServer, HotState};
use crate::ledger_ring::LedgerRing;
use crate::redis_server::RedisServer;
use crate::shopper::Passes;
use crate::sluice_process::{SluiceProcess, address};
use crate::tally::{Tally, now};

/// How often lanes are looked at.
const SAMPLE_PAUSE: Duration = Duration::from_millis(200);

/// Gateways of several machines, each with all roles.
const GATEWAYS: usize = 2;

/// Devices that all users share.
const DEVICES: usize = 10;

/// A running system in a folder of its own.
pub(super) struct Stage {
    pub(super) redis: HotState,
    /// Gateways; operators go to the first.
    pub(super) servers: Vec<SluiceProcess>,
    /// A ledger of processes of its own; else it is a file of the data folder.
    ledger: Option<LedgerRing>,
    data_dir: PathBuf,
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
            Mode::Distributed => Self::distributed(round, folder).await?,
        };
        stage.wait_until_ready().await?;
        Ok(stage)
    }

    /// What may be broken.
    pub(super) fn system(&mut self) -> System<'_> {
        System {
            redis: &mut self.redis,
            servers: &mut self.servers,
            ledger: self.ledger.as_mut(),
        }
    }

    /// Brings back what is away, and waits until all is served.
    pub(super) async fn heal(&mut self) -> anyhow::Result<()> {
        if let Some(ledger) = &mut self.ledger {
            ledger.restore()?;
        }
        self.wait_until_ready().await
    }

    /// Waits until every gateway says that it is ready.
    pub(super) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        for server in &self.servers {
            server.wait_until_ready().await?;
        }
        Ok(())
    }

    /// Where a gateway serves shoppers.
    pub(super) fn data(&self, server: usize) -> anyhow::Result<SocketAddr> {
        Ok(address(&self.servers[server].ready.data)?)
    }

    /// The last that the gateways logged.
    pub(super) fn log_tail(&self) -> String {
        let tails: Vec<String> = self.servers.iter().map(SluiceProcess::log_tail).collect();
        tails.join("\n")
    }

    /// Stops every gateway; whether all ended with 0 in time.
    pub(super) async fn stop(&mut self) -> anyhow::Result<bool> {
        let mut well = true;
        for server in &mut self.servers {
            well &= server.stop().await?;
        }
        Ok(well)
    }

    /// The ledger, once the gateways have stopped.
    pub(super) async fn ledger(&self) -> anyhow::Result<Box<dyn Ledger>> {
        if let Some(ring) = &self.ledger {
            return Ok(Box::new(ring.open().await?));
        }
        let path = self.data_dir.join("ledger.sqlite");
        Ok(Box::new(SqliteLedger::open_read_only(&path)?))
    }

    async fn distributed(round: &Round, folder: TempDir) -> anyhow::Result<Self> {
        let redis = HotCluster::start(&folder.path().join("redis")).await?;
        let lanes = LaneCount::new(fault::LANES)
            .map_err(|lanes| anyhow::anyhow!("{lanes} is no number of lanes"))?;
        let ledger = LedgerRing::start(&folder.path().join("ledger"), "storm", lanes).await?;
        let data_dir = folder.path().join("data");
        let mut configs = Vec::new();
        for gateway in 0..GATEWAYS {
            // Ports of its own; on one machine even the folder may be shared.
            let mut table = configuration(redis.urls(), &data_dir)?;
            distribute(&mut table, &ledger)?;
            let config = folder.path().join(format!("storm{gateway}.toml"));
            std::fs::write(&config, table.to_string())?;
            configs.push(text(&config)?.to_owned());
        }
        let make_key = ["key", "create", "--role", "admin", "--config", &configs[0]];
        let admin_key = run(&round.binary, &make_key)?;
        let mut servers = Vec::new();
        for (gateway, config) in configs.iter().enumerate() {
            let log = folder.path().join(format!("sluice{gateway}.log"));
            let start = ["serve", "--config", config];
            servers.push(SluiceProcess::start(&round.binary, &start, &log)?);
        }
        Ok(Self {
            redis: HotState::Cluster(redis),
            servers,
            ledger: Some(ledger),
            data_dir,
            binary: round.binary.clone(),
            located: ["--config".to_owned(), configs[0].clone()],
            admin_key: admin_key.trim().to_owned(),
            _folder: folder,
        })
    }

    async fn serve(round: &Round, folder: TempDir) -> anyhow::Result<Self> {
        let redis = RedisServer::start(&folder.path().join("redis")).await?;
        let config = folder.path().join("storm.toml");
        let data_dir = folder.path().join("data");
        let table = configuration(vec![redis.url()], &data_dir)?;
        std::fs::write(&config, table.to_string())?;
        let config = text(&config)?;
        let make_key = ["key", "create", "--role", "admin", "--config", config];
        let admin_key = run(&round.binary, &make_key)?;
        let log = folder.path().join("sluice.log");
        let server = SluiceProcess::start(&round.binary, &["serve", "--config", config], &log)?;
        Ok(Self {
            redis: HotState::One(HotServer::Own(redis)),
            servers: vec![server],
            ledger: None,
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
        let table = configuration(Vec::new(), &data_dir)?;
        std::fs::write(&config, table.to_string())?;
        let data = text(&data_dir)?;
        let log = folder.path().join("sluice.log");
        let start = ["dev", "--data-dir", data, "--config", text(&config)?];
        let server = SluiceProcess::start(&round.binary, &start, &log)?;
        let admin_key = server.ready.admin_key.clone();
        Ok(Self {
            redis: HotState::One(HotServer::Child(DevRedis::new(
                &server.ready.redis_url,
                &data_dir,
            )?)),
            ledger: None,
            binary: round.binary.clone(),
            located: ["--data-dir".to_owned(), data.to_owned()],
            admin_key: admin_key.context("`sluice dev` printed no admin key")?,
            servers: vec![server],
            data_dir,
            _folder: folder,
        })
    }

    /// A client of the admin API.
    pub(super) fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::new(
            address(&self.servers[0].ready.control)?,
            &self.admin_key,
        ))
    }

    /// Publishes the coupons.
    pub(super) async fn open_sales(&self, tally: &Tally) -> anyhow::Result<Vec<Sale>> {
        let mut sales = Vec::new();
        for offer in &OFFERS {
            let shards = match self.redis {
                HotState::Cluster(_) => offer.shards_in_cluster,
                HotState::One(_) => 1,
            };
            sales.push(self.open_sale(offer, shards, tally).await?);
        }
        Ok(sales)
    }

    /// Publishes one.
    pub(super) async fn open_sale(
        &self,
        offer: &Offer,
        shards: u16,
        tally: &Tally,
    ) -> anyhow::Result<Sale> {
        let sent_at = now();
        let coupon = self.admin()?.publish(&offer.coupon(shards)).await?;
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

pub(super) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}
