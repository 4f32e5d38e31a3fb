//! Reaching the server: down, frozen, slow, busy, without scripts.

use std::time::Duration;

use sluice_claim::port::{ClaimAnswer, ClaimStore, StoreError};
use sluice_hotstate::redis::server::ServerProblem;
use sluice_hotstate::{LaneStore, RedisHotState, RedisSettings};

use super::fixture::{COUPON, LANE, Stage, by, call, granted, published};

#[tokio::test]
async fn f02_a_server_that_is_down_costs_no_waiting_and_comes_back_by_itself() {
    let mut stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    stage.server.kill().unwrap();
    let begun = tokio::time::Instant::now();
    for _attempt in 0..20 {
        match stage.store.decide(call(vec![by("b")])).await.unwrap_err() {
            StoreError::Unavailable { .. } | StoreError::Unknown { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    // Once it is known to be down, nothing is sent any more.
    let error = stage.store.decide(call(vec![by("b")])).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    stage.server.restart().await.unwrap();
    let begun = tokio::time::Instant::now();
    while stage.store.ping().await.is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it does not come back"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn starting_does_not_need_a_server() {
    let dir = tempfile::Builder::new()
        .prefix("slr")
        .tempdir_in("/tmp")
        .unwrap();
    let url = format!("unix://{}", dir.path().join("none.sock").display());
    let lanes = sluice_domain::lane::LaneCount::new(4).unwrap();
    let store = RedisHotState::connect(RedisSettings::new(vec![url]), lanes).unwrap();
    assert!(matches!(
        store.facts(LANE).await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(matches!(
        store.check_server().await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(RedisHotState::connect(RedisSettings::new(vec![]), lanes).is_err());
    let tls = RedisSettings::new(vec!["rediss://localhost".to_owned()]);
    assert!(RedisHotState::connect(tls, lanes).is_err());
}

#[tokio::test]
async fn f11_a_frozen_server_leaves_the_outcome_open_and_the_repeat_settles_it() {
    let stage = Stage::bare(|settings| {
        settings.claim_timeout = Duration::from_millis(150);
        settings.connect_timeout = Duration::from_millis(100);
    })
    .await;
    stage.open(&published()).await;
    stage.lease(1, 5).await;
    granted(stage.claim(by("a")).await);
    stage.server.pause().unwrap();
    let begun = tokio::time::Instant::now();
    let error = stage.claim_error(by("b")).await;
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    stage.server.cont().unwrap();
    let answer = loop {
        match stage.store.decide(call(vec![by("b")])).await {
            Ok(reply) => break reply.answers[0],
            Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // The call that was given up was carried out after all.
    assert!(matches!(answer, ClaimAnswer::Replayed(_)), "{answer:?}");
    assert_eq!(stage.outbox(0).await.len(), 2);
}

#[tokio::test]
async fn f08_flushed_scripts_are_loaded_again() {
    let stage = Stage::serving(&published(), 5).await;
    stage.redis(&["SCRIPT", "FLUSH"]).await;
    granted(stage.claim(by("a")).await);
    assert_eq!(stage.outbox(0).await.len(), 1);
}

#[tokio::test]
async fn f11_f31_at_the_bound_of_calls_in_flight_nothing_is_sent() {
    let stage = Stage::bare(|settings| {
        settings.in_flight_max = 1;
        settings.connections = 1;
    })
    .await;
    stage.open(&published()).await;
    stage.lease(1, 5).await;
    let (first, second) = tokio::join!(
        stage.store.decide(call(vec![by("a")])),
        stage.store.decide(call(vec![by("b")])),
    );
    granted(first.unwrap().answers[0]);
    assert!(
        matches!(second, Err(StoreError::Unavailable { .. })),
        "{second:?}"
    );
}

#[tokio::test]
async fn many_callers_share_the_connections() {
    let stage = Stage::serving(&published(), 500).await;
    let names: Vec<String> = (0..200).map(|n| format!("u{n}")).collect();
    let calls = names
        .iter()
        .map(|name| stage.store.decide(call(vec![by(name)])));
    for reply in futures_util::future::join_all(calls).await {
        granted(reply.unwrap().answers[0]);
    }
    let clients = stage.redis(&["INFO", "clients"]).await;
    let redis::Value::BulkString(text) = clients else {
        panic!("{clients:?}");
    };
    let text = String::from_utf8(text).unwrap();
    let connected = text
        .lines()
        .find_map(|line| line.strip_prefix("connected_clients:"))
        .and_then(|count| count.trim().parse::<u32>().ok())
        .unwrap();
    assert!(connected <= 4, "{connected}");
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!(figures.users, 200);
}

#[tokio::test]
async fn the_server_says_what_is_wrong_with_it() {
    let stage = Stage::bare(|_settings| {}).await;
    let [facts] = &stage.store.check_server().await.unwrap()[..] else {
        panic!("one server was given");
    };
    assert!(facts.is_primary && facts.appendonly, "{facts:?}");
    assert_eq!(facts.appendfsync.as_deref(), Some("everysec"));
    assert_eq!(facts.problems(), []);
    stage
        .redis(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await;
    stage.redis(&["CONFIG", "SET", "appendonly", "no"]).await;
    let problems = stage.store.check_server().await.unwrap()[0].problems();
    assert!(
        matches!(problems[0], ServerProblem::Evicting { .. }),
        "{problems:?}"
    );
    assert!(problems[0].is_fatal());
    assert_eq!(problems[1], ServerProblem::NotAppending);
    assert!(!problems[1].is_fatal());
}
