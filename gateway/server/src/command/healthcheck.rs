//! `sluice healthcheck`: 0 where claims can be served, 1 where not; says why.

use std::process::ExitCode;

use anyhow::Context;
use http::Method;

use crate::admin_client::{Client, read_ready};
use crate::cli::HealthcheckArgs;

pub(crate) fn run(arguments: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => read_ready(&arguments.data_dir)?.ops,
    };
    let reply = super::small_runtime()?
        .block_on(async {
            Client::new(&url, None)?
                .call(Method::GET, "/readyz", None)
                .await
        })
        .with_context(|| format!("no answer from {url}"))?;
    super::say(&reply.text);
    Ok(if reply.status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
