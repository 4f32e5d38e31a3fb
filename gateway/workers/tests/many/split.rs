//! Processes that do not see the same Redis, or not the same definition.

use super::{
    ClaimOutcome, Coupon, Duration, Ground, Instant, KeeperSettings, PATIENCE, RedisServer, change,
    input, keeping,
};
use sluice_ledger::claims::Claims as _;

const TOTAL: usize = 60;
/// Claimed, and rows, before the split.
const BEFORE: usize = 20;

/// Times short enough that a test sees them pass.
fn brief() -> KeeperSettings {
    KeeperSettings {
        lane_lease_ms: 3_000,
        grace_ms: 5_000,
        ..keeping()
    }
}

/// Copies what the old server has written, as a replica that was promoted has it.
async fn copy_of(old: &RedisServer, dir: &std::path::Path) -> RedisServer {
    let (from, to) = (old.dir().join("appendonlydir"), dir.join("appendonlydir"));
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    RedisServer::start(dir).await.unwrap()
}

/// The old primary goes on serving a gateway that does not know better; its keeper is gone. A new
/// one has its data and another gateway. What the old one may still grant is kept back on the new
/// one until it has stopped by itself: nobody's unit is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_an_old_primary_stops_by_itself_before_its_units_are_given_again() {
    let ground = Ground::lay().await;
    let mut old = ground.start_at(&ground.redis.url(), "old", Some(brief()));
    old.until_open().await;
    let coupon = ground.publish_as(&old, TOTAL as u64, "hot").await.id;
    for number in 0..BEFORE {
        let outcome = old.insist(coupon, &format!("a{number}")).await;
        assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
    }
    until("the ledger to have them", || async {
        ground.ledger.granted(coupon).await.unwrap() == BEFORE as u64
    })
    .await;

    let dir = tempfile::Builder::new()
        .prefix("sln")
        .tempdir_in("/tmp")
        .unwrap();
    let promoted = copy_of(&ground.redis, dir.path()).await;
    drop(old.keepers.take());
    let new = ground.start_at(&promoted.url(), "new", Some(brief()));

    // Both are asked, in turn, until the new one grants.
    let (mut last_of_old, mut of_old) = (None, Vec::new());
    let begun = Instant::now();
    let first_of_new = loop {
        assert!(begun.elapsed() < PATIENCE, "the new side never granted");
        let user = format!("o{}", of_old.len());
        if let ClaimOutcome::Granted(view) = old.claim(coupon, &user).await {
            last_of_old = Some(Instant::now());
            of_old.push(view.claim_id);
        }
        let asked = Instant::now();
        if let ClaimOutcome::Granted(_) = new.claim(coupon, "n0").await {
            break asked;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let last_of_old = last_of_old.expect("the old side still granted for a while");
    assert!(last_of_old < first_of_new, "both sides granted");
    assert!(BEFORE + of_old.len() <= TOTAL, "{of_old:?}");
    let late = old.claim(coupon, "late").await;
    assert!(matches!(late, ClaimOutcome::Unavailable(_)), "{late:?}");

    // What was a row stays; what only the old side knew is lost, and its units are sold once.
    for number in 0..BEFORE {
        let again = new.insist(coupon, &format!("a{number}")).await;
        assert!(matches!(again, ClaimOutcome::Replayed(_)), "{again:?}");
    }
    for number in 1..TOTAL - BEFORE {
        let outcome = new.insist(coupon, &format!("n{number}")).await;
        assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
    }
    let outcome = new.insist(coupon, "one-more").await;
    assert!(matches!(outcome, ClaimOutcome::Refused(_)), "{outcome:?}");
    until("every unit to be a row", || async {
        ground.ledger.granted(coupon).await.unwrap() == TOTAL as u64
    })
    .await;
}

/// A gateway that never hears of an edit: its first claim after it is granted under the new terms,
/// in one request, because the script says that its definition is old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_a_gateway_with_old_terms_grants_under_the_new_ones() {
    let ground = Ground::lay().await;
    let worker = ground.start("worker", true);
    worker.until_open().await;
    let deaf = ground.start_at(&ground.redis.url(), "deaf", None);
    let mut coupon = ground.publish(&worker, 1_000).await;
    let first = deaf.insist(coupon.id, "first").await;
    assert!(matches!(first, ClaimOutcome::Granted(_)), "{first:?}");
    for edit in 0..5_u16 {
        let off = format!("{}.00", 6 + edit);
        let rule = |held: &Coupon, now| {
            let json = format!(
                r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"{off}"}},
                "limits":{{"total":1000}},"durability":"ledger"}}"#
            );
            change::edit(held, input::coupon(json.as_bytes()).unwrap(), now).unwrap()
        };
        coupon = ground.change(&worker, &coupon, rule).await;
        let outcome = deaf.claim(coupon.id, &format!("u{edit}")).await;
        let ClaimOutcome::Granted(view) = outcome else {
            panic!("more than one request was needed: {outcome:?}");
        };
        assert_eq!(view.version, coupon.version, "edit {edit}");
    }
}

async fn until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
