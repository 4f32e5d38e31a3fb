//! The system under measure: `sluice dev` in a folder of its own, request limits off.

mod inspect;

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cpu::{self, Meter, Part};
use crate::load::Load;

/// How long the drain may take to bring every claim into the ledger.
const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// How long a start on a filled ledger may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(600);

/// A running system.
pub struct System {
    binary: PathBuf,
    child: Child,
    ready: Value,
    folder: TempDir,
}

impl System {
    /// Starts it on free ports, request limits off.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn start(binary: &Path) -> anyhow::Result<Self> {
        Self::start_with(binary, &[("SLUICE__LIMITS__ENABLED", "false")]).await
    }

    /// Starts it on free ports with settings of its own, each as (environment variable, value).
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn start_with(binary: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_in(binary, tempfile::tempdir()?, settings)
    }

    /// The same in a folder of data, which may hold a ledger already.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_in(
        binary: &Path,
        folder: TempDir,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.arg("dev").arg("--data-dir").arg(folder.path());
        for plane in ["DATA", "CONTROL", "OPS"] {
            command.env(format!("SLUICE__{plane}__LISTEN"), "127.0.0.1:0");
        }
        let mut child = command
            .env("SLUICE__LOG__FILTER", "error")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        let ready = serde_json::from_str(&line).context("the ready line")?;
        Ok(Self {
            binary: binary.to_path_buf(),
            child,
            ready,
            folder,
        })
    }

    /// The process of the gateway.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process of its Redis.
    ///
    /// # Errors
    /// Where the ready line named none.
    pub fn redis_pid(&self) -> anyhow::Result<u32> {
        let pid = self.ready["redis_pid"].as_u64().context("no redis_pid")?;
        Ok(u32::try_from(pid)?)
    }

    /// The folder of its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data plane.
    pub fn data(&self) -> SocketAddr {
        self.address("data")
    }

    /// What counts its CPU time and that of its Redis, by part.
    ///
    /// # Errors
    /// Where the ready line named no Redis.
    pub fn meter(&self) -> anyhow::Result<Meter> {
        let meter = Meter::default().gateway(self.pid());
        Ok(meter.process(self.redis_pid()?, Part::Redis))
    }

    /// Waits until it says that it can serve: its lanes are recovered.
    ///
    /// # Errors
    /// Where it does not in time.
    pub async fn wait_ready(&self) -> anyhow::Result<()> {
        let deadline = std::time::Instant::now() + READY_WAIT;
        loop {
            let request = Request::get("/readyz").header("host", "sluice");
            let request = request.body(Full::default())?;
            if exchange(self.address("ops"), request).await?.0 == StatusCode::OK {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                bail!("not ready after {READY_WAIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// CPU seconds of the gateway so far.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        cpu::seconds(self.child.id())
    }

    /// CPU seconds of its Redis so far.
    pub fn redis_cpu(&self) -> anyhow::Result<f64> {
        cpu::seconds(self.redis_pid()?)
    }

    /// Passes of numbered users.
    pub fn passes(&self, users: usize) -> anyhow::Result<Vec<String>> {
        self.passes_of("u", users)
    }

    /// Passes of numbered users whose names begin with `prefix`.
    pub fn passes_of(&self, prefix: &str, users: usize) -> anyhow::Result<Vec<String>> {
        let output = Command::new(&self.binary)
            .args([
                "token",
                "--pass",
                "--prefix",
                prefix,
                "--users",
                &users.to_string(),
            ])
            .arg("--data-dir")
            .arg(self.folder.path())
            .output()?;
        let lines = String::from_utf8(output.stdout)?;
        let passes: Vec<String> = lines
            .lines()
            .filter_map(|line| Some(line.split_once(',')?.1.to_owned()))
            .collect();
        if passes.len() != users {
            bail!(
                "sluice token failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(passes)
    }

    /// Creates and publishes a coupon.
    pub async fn publish(
        &self,
        name: &str,
        total: usize,
        durability: &str,
    ) -> anyhow::Result<String> {
        let coupon = json!({
            "name": name,
            "currency": "USD",
            "benefit": {"type": "fixed", "off": "5.00"},
            "limits": {"total": total},
            "durability": durability,
        });
        let made = self
            .admin(Method::POST, "/admin/v1/coupons", Some(coupon))
            .await?;
        let id = made["id"]
            .as_str()
            .with_context(|| made.to_string())?
            .to_owned();
        let path = format!("/admin/v1/coupons/{id}/publish");
        for _attempt in 0..100 {
            let published = self.admin(Method::POST, &path, None).await?;
            if published["status"] == "active" {
                // The first claim of a coupon waits for its hydration and lease.
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                return Ok(id);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("coupon {name} could not be published")
    }

    /// Claims until the coupon is sold out and the gateway refuses by itself, without asking Redis.
    /// Takes ten passes at a time, and should have some hundreds.
    ///
    /// # Errors
    /// Where it still asks after all passes were used.
    pub async fn sell_out(&self, coupon: &str, passes: &[String]) -> anyhow::Result<()> {
        const AT_ONCE: usize = 10;
        // Keepers call scripts too.
        const OTHER_CALLS: u64 = 4;
        let mut quiet = 0;
        for some in passes.chunks_exact(AT_ONCE) {
            let before = self.script_calls().await?;
            let load = Load::claims(self.data(), coupon, some);
            let refused = load.run(2).await?.with(409) == AT_ONCE;
            let asked = self.script_calls().await? - before > OTHER_CALLS;
            quiet = if refused && !asked { quiet + 1 } else { 0 };
            if quiet == 3 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("coupon {coupon} is still asked for in Redis")
    }

    /// Waits until every outbox is empty, so that the drain's CPU is counted with its claims.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let deadline = std::time::Instant::now() + SETTLE_WAIT;
        loop {
            let lanes = self
                .admin(Method::GET, "/admin/v1/system/lanes", None)
                .await?;
            let waiting: u64 = lanes["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|lane| lane["hot_state"]["outbox_entries"].as_u64())
                .sum();
            if waiting == 0 {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                bail!("{waiting} outbox entries were not drained in time");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let key = self.ready["admin_key"].as_str().context("no admin_key")?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sluice")
            .header("authorization", format!("Bearer {key}"));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let text = body.map_or_else(String::new, |body| body.to_string());
        let request = request.body(Full::new(Bytes::from(text)))?;
        let (_status, body) = exchange(self.address("control"), request).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    fn address(&self, plane: &str) -> SocketAddr {
        let url = self.ready[plane].as_str().unwrap_or_default();
        let parsed = url.trim_start_matches("http://").parse();
        parsed.unwrap_or_else(|_invalid| SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // It has ended already where this fails; its Redis ends with it.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Sends a request on a connection of its own and reads the answer.
async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let reply = sender.send_request(request).await?;
    let status = reply.status();
    let body = reply.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, body))
}
