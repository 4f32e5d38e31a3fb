//! What can be seen of a running system from outside: its Redis, its metrics, its stores.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use http::Request;
use http_body_util::Full;

use super::{System, exchange};
use crate::resp;

impl System {
    /// A connection to its Redis.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn redis(&self) -> anyhow::Result<resp::Connection> {
        let url = self.ready["redis_url"].as_str().context("no redis_url")?;
        resp::Connection::open(Path::new(url.trim_start_matches("unix://"))).await
    }

    /// Script calls that its Redis has answered so far, whoever made them.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn script_calls(&self) -> anyhow::Result<u64> {
        let mut redis = self.redis().await?;
        let stats = redis.call(&[b"INFO", b"commandstats"]).await?;
        calls_of("evalsha", stats.text()?)
    }

    /// Rows that its ledger has written for claims so far.
    ///
    /// # Errors
    /// Where the ops port does not answer.
    pub async fn rows_written(&self) -> anyhow::Result<f64> {
        let request = Request::get("/metrics").header("host", "sluice");
        let (_status, text) = exchange(self.address("ops"), request.body(Full::default())?).await?;
        let text = std::str::from_utf8(&text)?;
        let value = |line: &str| Some(line.strip_prefix("sluice_ledger_batch_rows_sum ")?.parse());
        let found: Option<Result<f64, _>> = text.lines().find_map(value);
        // A series shows once it has a value.
        Ok(found.transpose()?.unwrap_or(0.0))
    }

    /// Checks every invariant that its stores can show, beside the running process.
    ///
    /// # Errors
    /// Where anything is not exact: sold too often, a limit passed, a claim missing.
    pub fn audit(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        let command = command.arg("audit").arg("--data-dir").arg(self.folder());
        let output = command.output()?;
        if !output.status.success() {
            bail!("void: {}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(())
    }
}

/// The calls of a command in the text of `INFO commandstats`.
fn calls_of(command: &str, stats: &str) -> anyhow::Result<u64> {
    let prefix = format!("cmdstat_{command}:calls=");
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix(&prefix)?.split(',').next());
    // A command that was never called has no line.
    Ok(calls.unwrap_or("0").parse()?)
}

#[cfg(test)]
mod tests {
    use super::calls_of;

    #[test]
    fn calls_are_those_of_the_very_command() {
        let stats = "# Commandstats\r\ncmdstat_evalsha_ro:calls=9,usec=1\r\n\
                     cmdstat_evalsha:calls=17,usec=100,usec_per_call=5.9\r\n";
        assert_eq!(calls_of("evalsha", stats).unwrap(), 17);
        assert_eq!(calls_of("eval", stats).unwrap(), 0);
    }
}
