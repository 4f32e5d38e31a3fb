//! `sluice lane`: looks at lanes and acts on them, through the admin API of the running process
//! (the keepers live there, and the ledger is theirs).

use std::process::ExitCode;

use anyhow::{Context, bail};
use http::Method;
use serde_json::json;

use crate::admin_client::Client;
use crate::cli::{LaneArgs, LaneCommand};

pub(crate) fn run(command: &LaneCommand) -> anyhow::Result<ExitCode> {
    match command {
        LaneCommand::Status(admin) => call(admin, Method::GET, "/admin/v1/system/lanes", None),
        LaneCommand::Recover {
            lane,
            accept_ledger,
            admin,
        } => {
            let path = format!("/admin/v1/system/lanes/{lane}/recover");
            let body = json!({"accept_ledger": accept_ledger}).to_string();
            call(admin, Method::POST, &path, Some(body))
        }
        LaneCommand::Release { lane, admin } => {
            let path = format!("/admin/v1/system/lanes/{lane}/release");
            call(admin, Method::POST, &path, None)
        }
    }
}

fn call(
    admin: &LaneArgs,
    method: Method,
    path: &str,
    body: Option<String>,
) -> anyhow::Result<ExitCode> {
    let client = Client::of_admin(admin.url.as_deref(), admin.key.as_deref(), &admin.data_dir)?;
    let reply = super::small_runtime()?
        .block_on(client.call(method, path, body))
        .context("the admin API does not answer; is the server running?")?;
    if !reply.status.is_success() {
        bail!("the admin API refused ({}): {}", reply.status, reply.text);
    }
    super::say(&reply.text);
    Ok(ExitCode::SUCCESS)
}
