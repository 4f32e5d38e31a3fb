//! A small client of a running process: for commands that must not touch its ledger themselves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server prints when it is ready, and leaves in the data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Always `ready`.
    pub(crate) event: String,
    /// The data plane, where the process has that role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    /// The control plane, where the process has that role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control: Option<String>,
    /// The ops port.
    pub(crate) ops: String,
    /// A key with the role `admin`; `sluice dev` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_key: Option<String>,
    /// The data folder.
    pub(crate) data_dir: String,
    /// The Redis that decides claims.
    pub(crate) redis_url: String,
    /// Its process id, where it is a child.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_pid: Option<u32>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

/// Calls one server over plain HTTP.
#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    key: Option<String>,
}

impl Client {
    /// A client of `http://host:port`.
    pub(crate) fn new(url: &str, key: Option<String>) -> anyhow::Result<Self> {
        let Some(host) = url.strip_prefix("http://") else {
            bail!("{url} is no http:// URL");
        };
        Ok(Self {
            host: host.trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// A client of the admin API; what is not given stands in the data folder's ready.json.
    pub(crate) fn of_admin(
        url: Option<&str>,
        key: Option<&str>,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        if let (Some(url), Some(key)) = (url, key) {
            return Self::new(url, Some(key.to_owned()));
        }
        let ready = read_ready(data_dir)?;
        let key = key.map(str::to_owned).or(ready.admin_key);
        if key.is_none() {
            bail!("no admin key: give --key or set SLUICE_ADMIN_KEY");
        }
        let Some(url) = url.or(ready.control.as_deref()) else {
            bail!(
                "the process of this data folder has no control role: give --url of one that has"
            );
        };
        Self::new(url, key)
    }

    /// One call.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let exchange = async {
            let stream = tokio::net::TcpStream::connect(&self.host)
                .await
                .with_context(|| format!("cannot connect to {}", self.host))?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let driver = tokio::spawn(connection);
            let reply = sender.send_request(request).await?;
            let status = reply.status();
            let body = reply.into_body().collect().await?.to_bytes();
            driver.abort();
            Ok(Reply {
                status,
                text: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .context("no answer in time")?
    }
}

/// What the server in this data folder printed when it was ready.
pub(crate) fn read_ready(data_dir: &Path) -> anyhow::Result<Ready> {
    let path = data_dir.join("ready.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; is a server running there?", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}
