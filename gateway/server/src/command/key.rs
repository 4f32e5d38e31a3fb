//! `sluice key create`: makes an API key and prints it, once.

use std::process::ExitCode;

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};
use sluice_control::KeySpec;
use sluice_ledger::api_keys::{Role, Scope};

use crate::admin_client::Client;
use crate::cli::{KeyCommand, KeyCreateArgs};
use crate::clock::SystemClock;
use crate::config::{Backend, Settings};
use crate::data_dir::DataDir;
use crate::ledger_store::LedgerStore;

pub(crate) fn run(command: &KeyCommand) -> anyhow::Result<ExitCode> {
    let KeyCommand::Create(arguments) = command;
    let role = arguments.role.as_deref().map(role).transpose()?;
    let scopes = arguments
        .scope
        .iter()
        .map(|name| scope(name))
        .collect::<Result<Vec<_>, _>>()?;
    let settings = super::located(&arguments.locate)?;
    // A configuration says where a server will run that need not have run yet. A folder that
    // somebody typed is there, or mistyped.
    let folder = match arguments.locate.config {
        Some(_) => DataDir::create(&settings.data_dir)?,
        None => DataDir::existing(&settings.data_dir)?,
    };
    let make = || in_ledger(arguments, role, scopes, &settings, &folder);
    let key = match settings.ledger_backend() {
        Backend::Cql => make()?,
        Backend::Sqlite => match folder.lock() {
            Ok(_lock) => make()?,
            // A server runs on this ledger: it makes the key.
            Err(in_use) => through_server(arguments, &folder)
                .with_context(|| format!("{in_use:#}, and asking it failed"))?,
        },
    };
    super::say(&key);
    Ok(ExitCode::SUCCESS)
}

fn in_ledger(
    arguments: &KeyCreateArgs,
    role: Option<Role>,
    scopes: Vec<Scope>,
    settings: &Settings,
    folder: &DataDir,
) -> anyhow::Result<String> {
    let spec = KeySpec {
        label: arguments.label.clone(),
        role,
        scopes,
        expires_at: None,
    };
    let now = SystemClock::start().wall();
    let runtime = super::small_runtime()?;
    let store = runtime.block_on(LedgerStore::open(settings, folder))?;
    let ledger = store.ledger();
    let made = runtime.block_on(sluice_control::create_key(&*ledger, spec, now));
    runtime.block_on(store.close());
    Ok(made?.reveal())
}

fn through_server(arguments: &KeyCreateArgs, folder: &DataDir) -> anyhow::Result<String> {
    let admin_key = std::env::var("SLUICE_ADMIN_KEY").ok();
    let client = Client::of_admin(None, admin_key.as_deref(), folder.root())?;
    let body = json!({
        "label": arguments.label,
        "role": arguments.role,
        "scopes": arguments.scope,
    });
    let reply = super::small_runtime()?.block_on(client.call(
        Method::POST,
        "/admin/v1/api-keys",
        Some(body.to_string()),
    ))?;
    let answer: Value = serde_json::from_str(&reply.text).unwrap_or(Value::Null);
    match answer["key"].as_str() {
        Some(key) if reply.status.is_success() => Ok(key.to_owned()),
        _other => bail!("the admin API refused ({}): {}", reply.status, reply.text),
    }
}

fn role(name: &str) -> anyhow::Result<Role> {
    serde_json::from_value(Value::from(name))
        .with_context(|| format!("`{name}` is no role; viewer, operator, approver or admin"))
}

fn scope(name: &str) -> anyhow::Result<Scope> {
    serde_json::from_value(Value::from(name))
        .with_context(|| format!("`{name}` is no scope; checkout or events"))
}
