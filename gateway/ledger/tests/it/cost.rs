//! What an appended row costs, as a figure to look at (`-- --nocapture cost`).

use std::io::Write as _;

use sluice_ledger::SqliteLedger;
use sluice_ledger::claims::{AppendFrom, Appended, Claims};
use sluice_ledger::conformance::sample;
use sluice_ledger::leases::{LeaseOpened, Leases};

use crate::story::{COUPON, Keeper, options, runtime};

/// Leases that are filled for each size of batch.
const LEASES: u32 = 4;

#[test]
fn cost_of_an_appended_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let runtime = runtime();
    let keeper = runtime.block_on(Keeper::start(SqliteLedger::open(&path, options()).unwrap()));
    let mut claim = 0;
    for size in [64_u32, 256, 1_024] {
        let before = cpu_ticks();
        for _ in 0..LEASES {
            runtime.block_on(fill_lease(&keeper, size, claim));
            claim += 8_192;
        }
        // A tick is 10 ms on every Linux that this runs on.
        let micros = (cpu_ticks() - before) * 10_000;
        let per_row = micros / u64::from(LEASES * 8_192);
        let mut out = std::io::stdout();
        writeln!(out, "batches of {size}: {per_row} us of CPU a row").unwrap();
    }
    runtime.block_on(keeper.ledger.close());
    assert_eq!(runtime.block_on(granted(&path)), u64::from(claim));
}

async fn fill_lease(keeper: &Keeper, size: u32, claim: u32) {
    let opened = keeper.ledger.open_lease(keeper.fence, COUPON, 8_192, false);
    let LeaseOpened::Opened(lease, _seq) = opened.await.unwrap() else {
        panic!("an unlimited coupon has leases")
    };
    for offset in (0..8_192).step_by(size as usize) {
        let claims = claim + offset..claim + offset + size;
        let mut batch = sample::batch(u64::from(offset), &lease, u64::from(offset), claims);
        for grant in &mut batch.grants {
            scatter(grant);
        }
        let (from, batches) = (AppendFrom::Current, [batch]);
        let appended = keeper.ledger.append(keeper.fence, from, &batches).await;
        assert!(matches!(appended.unwrap(), Appended::Done { .. }));
    }
}

/// Ids and users in no order, as real ones come.
fn scatter(grant: &mut sluice_domain::claim::Grant) {
    let hash = permuted(u64::from_le_bytes(
        grant.claim_id.0[4..12].try_into().unwrap(),
    ));
    grant.claim_id.0[4..12].copy_from_slice(&hash.to_le_bytes());
    grant.user = sample::user(u32::try_from(hash % 10_000_000).unwrap());
}

/// A permutation of 64 bits (the finish of `SplitMix64`).
fn permuted(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

async fn granted(path: &std::path::Path) -> u64 {
    let ledger = SqliteLedger::open_read_only(path).unwrap();
    ledger.granted(COUPON).await.unwrap()
}

/// User and system time of this process.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
