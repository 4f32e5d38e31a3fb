//! Values that tests start from.

use sluice_domain::time::Timestamp;
use sluice_ledger::audit_log::AuditEntry;
use sluice_workers::settings::KeeperSettings;

/// Short times, small leases.
pub(crate) fn settings() -> KeeperSettings {
    KeeperSettings {
        keeper_lease_ms: 1_000,
        renewal_ms: 300,
        lane_lease_ms: 5_000,
        grace_ms: 20_000,
        retention_ms: 60_000,
        sweep_ms: 1_000,
        full_sweep_every: 3,
        poll_ms_max: 500,
        lease_floor: 8,
        lease_floor_max: 64,
        ..KeeperSettings::default()
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    "2026-11-27T00:00:00Z"
        .parse::<Timestamp>()
        .unwrap()
        .plus_millis(millis)
}

pub(crate) fn entry() -> AuditEntry {
    AuditEntry {
        at: at(0),
        actor: "test".to_owned(),
        action: "coupon.change".to_owned(),
        object: "c".to_owned(),
        before: String::new(),
        after: String::new(),
        request_id: String::new(),
    }
}
