//! What the gateways of a round are told.

use std::path::Path;

use super::setup::text;
use crate::fault;
use crate::ledger_ring::LedgerRing;
use crate::redis_server::free_port;

/// The times of a storm.
const TIMES: &str = include_str!("../../../../config/storm.toml");

/// `config/storm.toml` with this round's places: fixed ports, so that clients find a restarted
/// server where it was. Without a Redis the server runs its own.
pub(super) fn configuration(
    redis_urls: Vec<String>,
    data_dir: &Path,
) -> anyhow::Result<toml::Table> {
    let mut config: toml::Table = TIMES.parse()?;
    let mut set = |section: &str, key: &str, value| put(&mut config, section, key, value);
    for section in ["data", "control", "ops"] {
        let listen = format!("127.0.0.1:{}", free_port()?);
        set(section, "listen", toml::Value::String(listen));
    }
    let proxies = toml::Value::Array(vec![toml::Value::String("127.0.0.0/8".to_owned())]);
    set("data", "trusted_proxies", proxies);
    if !redis_urls.is_empty() {
        set("hotstate", "redis_urls", redis_urls.into());
    }
    set("ledger", "lanes", toml::Value::Integer(fault::LANES.into()));
    // Holds that run out while the storm lasts.
    set("checkout", "hold_s", toml::Value::Integer(1));
    set("checkout", "sweep_ms", toml::Value::Integer(200));
    config.insert(
        "data_dir".to_owned(),
        toml::Value::String(text(data_dir)?.to_owned()),
    );
    Ok(config)
}

fn put(config: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    let table = config
        .entry(section)
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(table) = table {
        table.insert(key.to_owned(), value);
    }
}

/// Hot state in a cluster and the ledger on several nodes, with the times that six servers and
/// three nodes take on one small machine.
pub(super) fn distribute(config: &mut toml::Table, ledger: &LedgerRing) -> anyhow::Result<()> {
    let options = ledger.options();
    let replication = i64::from(options.replication);
    let settings: [(&str, &str, toml::Value); 13] = [
        ("hotstate", "cluster", true.into()),
        ("hotstate", "response_timeout_ms", 1_000.into()),
        ("ledger", "backend", "cql".into()),
        ("ledger", "nodes", options.nodes.clone().into()),
        ("ledger", "keyspace", options.keyspace.clone().into()),
        ("ledger", "replication", replication.into()),
        ("ledger", "lwt_timeout_ms", 3_000.into()),
        ("ledger", "request_timeout_ms", 3_000.into()),
        ("keeper", "keeper_lease_ms", 4_000.into()),
        ("keeper", "lane_lease_ms", 12_000.into()),
        ("keeper", "grace_ms", 13_000.into()),
        ("keeper", "renewal_ms", 1_000.into()),
        ("checkout", "hold_s", 3.into()),
    ];
    for (section, key, value) in settings {
        put(config, section, key, value);
    }
    Ok(())
}
