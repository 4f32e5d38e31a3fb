//! `config/default.toml` says the defaults of the crates again, for people. Here they are compared.

use sluice_checkout::CheckoutSettings;
use sluice_claim::settings::EngineSettings;
use sluice_control::ControlSettings;
use sluice_edge::identity::IdentitySettings;
use sluice_edge::settings::EdgeSettings;
use sluice_hotstate::RedisSettings;
use sluice_workers::settings::KeeperSettings;

fn file() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/default.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// All numbers of a section that the crate's default must equal.
fn same(section: &str, crates: &[(&str, u128)]) {
    let file = file();
    let section_of_file = file[section].as_table().unwrap();
    for (key, expected) in crates {
        let value = section_of_file[*key].as_integer();
        assert_eq!(
            value.and_then(|value| u128::try_from(value).ok()),
            Some(*expected),
            "{section}.{key} is not what the crate's default is"
        );
    }
}

#[test]
fn the_edge() {
    let edge = EdgeSettings::default();
    same(
        "data",
        &[
            ("connections_max", edge.connections_max as u128),
            (
                "connections_per_address_max",
                edge.connections_per_address_max as u128,
            ),
            (
                "requests_per_connection_max",
                edge.requests_per_connection_max.into(),
            ),
            ("in_flight_max", edge.in_flight_max as u128),
            ("first_byte_timeout_ms", edge.first_byte_timeout.as_millis()),
            (
                "header_read_timeout_ms",
                edge.header_read_timeout.as_millis(),
            ),
            ("body_timeout_ms", edge.body_timeout.as_millis()),
            ("drain_deadline_ms", edge.drain_deadline.as_millis()),
            ("access_log_one_in", edge.access_log_one_in.into()),
        ],
    );
    let limits = &edge.limits;
    same(
        "limits",
        &[
            ("address_per_second", limits.address.per_second.into()),
            ("address_burst", limits.address.burst.into()),
            ("user_per_second", limits.user.per_second.into()),
            ("user_burst", limits.user.burst.into()),
            ("device_per_second", limits.device.per_second.into()),
            ("device_burst", limits.device.burst.into()),
            (
                "code_failures_per_user",
                limits.code_failures.per_user.into(),
            ),
            (
                "code_failures_per_address",
                limits.code_failures.per_address.into(),
            ),
            (
                "code_failures_window_s",
                limits.code_failures.window.as_secs().into(),
            ),
            ("keys_max", limits.keys_max as u128),
        ],
    );
    assert_eq!(file()["limits"]["enabled"].as_bool(), Some(limits.enabled));
    let identity = IdentitySettings::new("i", "a", "j".into(), "p".into());
    same(
        "identity",
        &[
            ("leeway_s", identity.leeway_s.into()),
            ("pass_ttl_s", identity.pass_ttl_s.into()),
            ("token_cache_max", identity.token_cache_max as u128),
            ("reload_ms", edge.key_files_interval.as_millis()),
        ],
    );
}

#[test]
fn the_claim_engine() {
    let claim = EngineSettings::default();
    same(
        "claim",
        &[
            ("decide_within_ms", claim.decide_within.as_millis()),
            ("durable_within_ms", claim.durable_within.as_millis()),
            ("queue_wait_ms", claim.queue_wait.as_millis()),
            ("queue_claims_max", claim.queue_claims_max as u128),
            ("batch_claims_max", claim.batch_claims_max as u128),
            ("calls_in_flight_max", claim.calls_in_flight_max as u128),
            ("call_within_ms", claim.call_within.as_millis()),
            ("definitions_max", claim.definitions_max.into()),
            ("unknown_max", claim.unknown_max.into()),
            ("filter_bytes_max", claim.filter_bytes_max as u128),
        ],
    );
}

#[test]
fn the_checkout() {
    let checkout = CheckoutSettings::default();
    let limits = checkout.order_limits;
    same(
        "checkout",
        &[
            ("hold_s", u128::from(checkout.hold_ms / 1_000)),
            ("coupons_per_order_max", limits.coupons.into()),
            ("combinable_per_order_max", limits.combinable.into()),
            ("always_per_order_max", limits.always.into()),
            (
                "claims_of_one_coupon_per_order_max",
                limits.per_coupon.into(),
            ),
            ("wallet_claims_max", checkout.wallet_claims_max as u128),
            ("terms_cached_max", checkout.terms_cached_max.into()),
        ],
    );
    let section = &file()["checkout"];
    let policy = serde_json::to_value(checkout.refund_policy).unwrap();
    assert_eq!(section["refund_policy"].as_str(), policy.as_str());
    assert_eq!(
        section["return_claims"].as_bool(),
        Some(checkout.return_claims)
    );
}

#[test]
fn the_keepers() {
    let keeper = KeeperSettings::default();
    same(
        "keeper",
        &[
            ("keeper_lease_ms", keeper.keeper_lease_ms.into()),
            ("lane_lease_ms", keeper.lane_lease_ms.into()),
            ("grace_ms", keeper.grace_ms.into()),
            ("renewal_ms", keeper.renewal_ms.into()),
            ("retention_ms", keeper.retention_ms.into()),
            ("sweep_ms", keeper.sweep_ms.into()),
            ("poll_ms_max", keeper.poll_ms_max.into()),
            ("lease_floor", keeper.lease_floor.into()),
            ("lease_floor_max", keeper.lease_floor_max.into()),
            ("stop_ms_max", keeper.stop_ms_max.into()),
        ],
    );
}

#[test]
fn the_control_plane_and_redis() {
    let control = ControlSettings::default();
    same(
        "control",
        &[
            ("connections_max", control.connections_max as u128),
            (
                "header_read_timeout_ms",
                control.header_read_timeout.as_millis(),
            ),
            ("publish_deadline_ms", control.publish_deadline.as_millis()),
        ],
    );
    let redis = RedisSettings::new(Vec::new());
    same(
        "hotstate",
        &[
            ("connections", redis.connections as u128),
            ("connect_timeout_ms", redis.connect_timeout.as_millis()),
            ("response_timeout_ms", redis.response_timeout.as_millis()),
            ("in_flight_max", redis.in_flight_max as u128),
            ("outbox_entries_max", redis.outbox_entries_max.into()),
        ],
    );
    // One bound under two names: the call gives up when the claim that waits for it does.
    same(
        "claim",
        &[("call_within_ms", redis.claim_timeout.as_millis())],
    );
}
