//! A peer's Redis: on a unix socket, in memory only.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::START_WAIT;
use crate::child::Server;
use crate::resp::{Connection, Reply};

/// A running Redis that knows the peers' script.
#[derive(Debug)]
pub(super) struct PeerRedis {
    server: Server,
    script: String,
    folder: TempDir,
}

impl PeerRedis {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args([
                "--maxmemory-policy",
                "noeviction",
                "--unixsocketperm",
                "700",
            ])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null());
        let mut server = Server::start(&mut command)?;
        let deadline = Instant::now() + START_WAIT;
        let mut connection = loop {
            match Connection::open(&socket).await {
                Ok(connection) => break connection,
                Err(error) if server.has_ended() || Instant::now() > deadline => {
                    return Err(error.context("a peer's redis-server did not come up"));
                }
                Err(_not_yet) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let text = std::fs::read(super::folder().join("claim-3.lua"))?;
        let loaded = connection.call(&[b"SCRIPT", b"LOAD", &text]).await?;
        let script = loaded.text()?.to_owned();
        Ok(Self {
            server,
            script,
            folder,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of the script.
    pub(super) fn script(&self) -> &str {
        &self.script
    }

    pub(super) async fn publish(&self, coupon: &str, total: usize) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.socket()).await?;
        let (key, total) = (key(coupon), total.to_string());
        let rules: [&[u8]; 10] = [
            b"HSET",
            key.as_bytes(),
            b"left",
            total.as_bytes(),
            b"per_user",
            b"1",
            b"starts",
            b"0",
            b"ends",
            b"99999999999",
        ];
        connection.call(&rules).await?;
        Ok(())
    }

    /// Units left, entries of the journal, users with a claim.
    pub(super) async fn count(&self, coupon: &str) -> anyhow::Result<(usize, usize, usize)> {
        let mut connection = Connection::open(&self.socket()).await?;
        let key = key(coupon);
        let left = connection.call(&[b"HGET", key.as_bytes(), b"left"]).await?;
        if left == Reply::Nil {
            bail!("the coupon {coupon} is not there");
        }
        let journal = format!("{key}:journal");
        let written = connection.call(&[b"XLEN", journal.as_bytes()]).await?;
        let users = format!("{key}:users");
        // A count and a key for each user.
        let fields = connection.call(&[b"HLEN", users.as_bytes()]).await?;
        let number = |reply: Reply| -> anyhow::Result<usize> {
            usize::try_from(reply.number()?).context("less than nothing")
        };
        Ok((number(left)?, number(written)?, number(fields)? / 2))
    }
}

fn key(coupon: &str) -> String {
    format!("c:{{{coupon}}}")
}
