//! A gateway that is stopped in good order, again and again, while a crowd claims.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::crowd::{Crowd, Ends};
use super::{Done, report, rounds, steady};
use crate::http::call;
use crate::process::Place;
use crate::redis::RedisServer;

/// A load balancer with one gateway: sends nothing while the gateway does not say that it is ready.
fn balance(ops: &str, crowd: &Crowd, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let ready = call(ops, "GET", "/readyz", &[], "").is_ok_and(|said| said.status == 200);
        crowd.held_back.store(!ready, Ordering::SeqCst);
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn f29_a_graceful_stop_in_mid_sale_resets_nobody_and_loses_nothing() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    // Longer than a busy machine keeps the balancer from looking.
    let text = steady(&place, &redis.url()).replace("drain_wait_ms = 0", "drain_wait_ms = 1500");
    let server = place.serve_with(&text);
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000}}));
    let crowd = Crowd::gather(&place, &server, &coupon, 400);
    let stops = rounds(3);
    let (mut slowest, over) = (Duration::ZERO, AtomicBool::new(false));
    let ops = server.url("ops").to_owned();
    let mut running = Some(server);
    std::thread::scope(|scope| {
        let balancer = scope.spawn(|| balance(&ops, &crowd, &over));
        // The balancer ends also where the crowd's end is a failed assertion.
        let ends = Ends(&over);
        crowd.during(|| {
            for _stop in 0..stops {
                crowd.let_claim(100);
                let begun = Instant::now();
                let ended = running.take().map(crate::process::Running::stop);
                assert_eq!(ended.and_then(|ended| ended.code()), Some(0));
                let took = begun.elapsed();
                assert!(took < Duration::from_secs(25), "{took:?}");
                slowest = slowest.max(took);
                let server = place.serve_with(&text);
                server.wait_ready();
                running = Some(server);
            }
            crowd.let_claim(100);
        });
        drop(ends);
        balancer.join().unwrap();
    });
    let server = running.unwrap();
    assert_eq!(crowd.broken(), 0, "of {} requests", crowd.answered());
    crowd.has_kept_everything(&place, &server);
    let log = server.log();
    assert!(!log.contains("not every lease was closed"), "{log}");
    report(
        29,
        &Done {
            rounds: stops,
            kills: 0,
            recovery: Some(slowest),
        },
    );
}
