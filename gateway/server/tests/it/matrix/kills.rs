//! Processes that are killed, and a Redis that forgets, while a crowd claims.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::crowd::{Crowd, rows};
use super::{Done, report, rounds, steady};
use crate::http::wait_for;
use crate::process::{Place, Running};
use crate::redis::{RedisServer, command};

/// Enough for every user of a crowd, whatever is set aside.
const PLENTY: u64 = 1_000_000;

/// A server on a Redis of its own, one coupon of this class, and a crowd that wants it.
struct Sale {
    place: Place,
    redis: RedisServer,
    text: String,
    server: Running,
    coupon: String,
    crowd: Crowd,
}

impl Sale {
    fn open(redis: &[&str], durability: &str) -> Self {
        let place = Place::new();
        let redis = RedisServer::with(&place.folder.path().join("redis"), redis);
        let text = steady(&place, &redis.url());
        let server = place.serve_with(&text);
        server.wait_ready();
        let coupon = server.sale(&json!({"limits": {"total": PLENTY}, "durability": durability}));
        let crowd = Crowd::gather(&place, &server, &coupon, 400);
        Self {
            place,
            redis,
            text,
            server,
            coupon,
            crowd,
        }
    }

    fn counts(&self) -> Value {
        let path = format!("/admin/v1/coupons/{}", self.coupon);
        self.server.admin("GET", &path, &Value::Null).json()["counts"].take()
    }

    fn holds(&self) {
        self.server.wait_ready();
        self.crowd.has_kept_everything(&self.place, &self.server);
    }
}

const WITH_AOF: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--maxmemory-policy",
    "noeviction",
];

/// Waits until the ledger has caught up and every lane serves, and says how long it took.
fn recovered(server: &Running, since: Instant) -> Duration {
    // A fault may not be noticed yet: what counts is a claim after it.
    server.wait_ready();
    since.elapsed()
}

#[test]
fn f01_a_gateway_killed_in_mid_sale_loses_no_claim_and_leaks_no_unit() {
    let mut sale = Sale::open(&WITH_AOF, "ledger");
    let kills = rounds(3);
    let mut slowest = Duration::ZERO;
    let Sale {
        place,
        text,
        server,
        crowd,
        ..
    } = &mut sale;
    crowd.during(|| {
        for _kill in 0..kills {
            crowd.let_claim(100);
            server.kill();
            let begun = Instant::now();
            *server = place.serve_with(text);
            slowest = slowest.max(recovered(server, begun));
        }
        crowd.let_claim(100);
    });
    sale.holds();
    let coupon = sale.counts();
    assert_eq!(coupon["quarantined"], 0, "{coupon}");
    let left = PLENTY - coupon["granted"].as_u64().unwrap();
    assert_eq!(coupon["available"], left, "no unit is leaked: {coupon}");
    report(
        1,
        &Done {
            rounds: kills,
            kills,
            recovery: Some(slowest),
        },
    );
}

/// Of class `hot`: what Redis answered is all that was said, and it has to be there.
#[test]
fn f02_a_killed_redis_with_its_file_loses_no_claim_of_any_class() {
    let mut slowest = Duration::ZERO;
    let kills = rounds(2);
    for class in ["hot", "ledger"] {
        let mut sale = Sale::open(&WITH_AOF, class);
        let Sale {
            redis,
            server,
            crowd,
            ..
        } = &mut sale;
        crowd.during(|| {
            for _kill in 0..kills {
                crowd.let_claim(100);
                let begun = Instant::now();
                redis.restart();
                crowd.let_claim(50);
                slowest = slowest.max(recovered(server, begun));
            }
            crowd.let_claim(50);
        });
        sale.holds();
    }
    report(
        2,
        &Done {
            rounds: 2 * kills,
            kills: 2 * kills,
            recovery: Some(slowest),
        },
    );
}

/// The tail of the file is lost, as by a power cut. What Redis has forgotten is in the ledger: each
/// of those claims is answered as before, and not one of their tickets is given again.
#[test]
fn f03_a_lost_tail_of_the_file_issues_no_ticket_again() {
    let mut sale = Sale::open(&WITH_AOF, "ledger");
    let cuts = rounds(2);
    let mut slowest = Duration::ZERO;
    for _cut in 0..cuts {
        sale.crowd.during(|| sale.crowd.let_claim(60));
        let won = sale.crowd.winners();
        let before = wait_for("the ledger to have them", 30, || {
            let rows = rows(&sale.server, &sale.coupon);
            (rows.len() >= won).then_some(rows)
        });
        sale.redis.kill();
        let begun = Instant::now();
        assert!(cut_tail(&sale.place.folder.path().join("redis"), 12_000) > 0);
        sale.redis.restart();
        sale.crowd.during(|| sale.crowd.let_claim(60));
        slowest = slowest.max(recovered(&sale.server, begun));
        sale.holds();
        let old: BTreeSet<u64> = before.iter().map(|row| row.1).collect();
        let known: BTreeSet<&str> = before.iter().map(|row| &*row.0).collect();
        for (claim, ticket) in rows(&sale.server, &sale.coupon) {
            let new = !known.contains(&*claim);
            assert!(!(new && old.contains(&ticket)), "{ticket} was given again");
        }
    }
    report(
        3,
        &Done {
            rounds: cuts,
            kills: cuts,
            recovery: Some(slowest),
        },
    );
}

/// Cuts so many bytes off the end of the append-only file; how many were cut.
fn cut_tail(folder: &Path, bytes: u64) -> u64 {
    let files = std::fs::read_dir(folder.join("appendonlydir")).unwrap();
    let tail = files
        .map(|file| file.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .unwrap();
    let file = std::fs::File::options().write(true).open(tail).unwrap();
    let length = file.metadata().unwrap().len();
    let cut = bytes.min(length / 2);
    file.set_len(length - cut).unwrap();
    file.sync_all().unwrap();
    cut
}

/// Without a file Redis comes back empty. Nobody is told "sold out", nobody gets one more.
#[test]
fn f05_a_redis_that_comes_back_empty_is_filled_again_and_never_sold_out() {
    let mut sale = Sale::open(
        &["--appendonly", "no", "--maxmemory-policy", "noeviction"],
        "ledger",
    );
    let times = rounds(2);
    let mut slowest = Duration::ZERO;
    let Sale {
        redis,
        server,
        crowd,
        ..
    } = &mut sale;
    crowd.during(|| {
        for round in 0..times {
            crowd.let_claim(100);
            let begun = Instant::now();
            if round % 2 == 0 {
                redis.restart();
            } else {
                let flushed = command(&redis.url(), &["FLUSHALL"]).unwrap();
                assert!(flushed.starts_with("+OK"), "{flushed}");
            }
            crowd.let_claim(50);
            slowest = slowest.max(recovered(server, begun));
        }
        crowd.let_claim(50);
    });
    let refused = crowd.refused("503 recovering") + crowd.refused("503 warming");
    assert!(refused > 0, "nobody noticed that everything was gone");
    sale.holds();
    report(
        5,
        &Done {
            rounds: times,
            kills: times.div_ceil(2),
            recovery: Some(slowest),
        },
    );
}

#[test]
fn f08_flushed_scripts_are_loaded_again_without_a_recovery() {
    let sale = Sale::open(&WITH_AOF, "ledger");
    let epochs = || {
        let said = sale.server.lane(&["status"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let lanes = said["items"].as_array().unwrap().clone();
        lanes
            .iter()
            .map(|lane| lane["epoch"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let before = epochs();
    let times = rounds(10);
    sale.crowd.during(|| {
        for _flush in 0..times {
            sale.crowd.let_claim(40);
            let flushed = command(&sale.redis.url(), &["SCRIPT", "FLUSH"]).unwrap();
            assert!(flushed.starts_with("+OK"), "{flushed}");
        }
        sale.crowd.let_claim(40);
    });
    assert_eq!(epochs(), before, "nothing was lost: no recovery");
    sale.holds();
    report(
        8,
        &Done {
            rounds: times,
            kills: 0,
            recovery: None,
        },
    );
}

/// The ledger's log loses a commit in its middle, which SQLite does not tell. The lanes know how far
/// it was durable: they halt, until an operator has looked.
#[test]
fn f24_a_flipped_byte_in_the_log_halts_the_lanes() {
    let mut sale = Sale::open(&WITH_AOF, "ledger");
    let Sale { server, crowd, .. } = &mut sale;
    // In the midst of it: a writer that has nothing to do empties its log.
    crowd.during(|| {
        crowd.let_claim(100);
        server.kill();
    });
    let log = sale.place.data().join("ledger.sqlite-wal");
    flip_in_the_middle(&log);
    let server = sale.place.serve_with(&sale.text);
    let reasons = server.wait_not_ready("halted: ");
    let refused = server.claim(&sale.coupon, &sale.place.token("late"));
    assert_ne!(refused.status, 201, "{refused:?}");
    assert!(!reasons.is_empty());
    report(
        24,
        &Done {
            rounds: 1,
            kills: 1,
            recovery: None,
        },
    );
}

/// Flips one bit of the middle one of the pages that the write-ahead log holds.
fn flip_in_the_middle(log: &Path) {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let mut bytes = std::fs::read(log).unwrap();
    // Frames of the log as it is now have the salt of its header; older ones may follow.
    let salt = bytes[16..24].to_vec();
    let frames = bytes[HEADER..]
        .chunks_exact(FRAME)
        .take_while(|frame| frame[8..16] == salt)
        .count();
    assert!(frames > 4, "{frames} frames");
    bytes[HEADER + frames / 2 * FRAME + 24 + 100] ^= 1;
    std::fs::write(log, bytes).unwrap();
}
