//! Steps of the protocol that are left out.

use std::time::Duration;

use super::{HOT_LOST, PLENTY, all_get_it, assert_caught, assert_whole, names, rest, ticket_last};
use sluice_domain::invariant::Check;
use sluice_domain::invariant::history::Answer;
use sluice_hotstate::redis::script::Script;
use sluice_sim::world::mutation::Mutation;
use sluice_sim::world::{Setup, World};

/// Longer than a lowering takes, where it ends at all.
const LOWERED_WITHIN: Duration = Duration::from_secs(5);

fn hot(mutations: Vec<Mutation>) -> Setup {
    Setup {
        hot: true,
        total: PLENTY,
        mutations,
        ..Setup::default()
    }
}

/// The total is lowered, which closes every lease. Between the keeper's look into the outbox and
/// the moment that the leases leave the list, others claim.
async fn lowered_under_claims(early_close: bool) -> Vec<Check> {
    let world = World::open(&Setup {
        early_close,
        ..hot(Vec::new())
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 10)).await;
    rest(&world).await;
    let held = world.hold_retirement().await;
    let lowering = world.lower_total(PLENTY / 2);
    world.retirement_waits().await;
    all_get_it(&world, &names('b', 10)).await;
    drop(held);
    let lowered = tokio::time::timeout(LOWERED_WITHIN, lowering).await;
    assert!(lowered.unwrap().unwrap(), "the total was not lowered");
    all_get_it(&world, &names('c', 5)).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_lease_closed_before_the_mark_is_caught() {
    assert_caught(&lowered_under_claims(true).await, 1, HOT_LOST);
    assert_whole(&lowered_under_claims(false).await);
}

/// Redis steps down and up with all that it knows, while some grants are in its outbox alone.
async fn stepped_down(mutations: Vec<Mutation>) -> Vec<Check> {
    let world = World::open(&hot(mutations)).await.unwrap();
    all_get_it(&world, &names('a', 10)).await;
    rest(&world).await;
    let held = world.hold_keeper().await;
    all_get_it(&world, &names('b', 10)).await;
    world.step_down_and_up().await.unwrap();
    drop(held);
    all_get_it(&world, &names('c', 5)).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_epoch_that_is_not_salvaged_is_caught() {
    let forgotten = Mutation::new(
        Some(Script::Fence),
        "unsalvaged = lane[4] == '' and lane[1] or lane[4] .. ',' .. lane[1]",
        "unsalvaged = lane[4]",
    );
    assert_caught(&stepped_down(vec![forgotten]).await, 1, HOT_LOST);
    assert_whole(&stepped_down(Vec::new()).await);
}

/// A claim is refused because its ticket is another's, and its shopper asks again.
async fn refused_and_repeated(refused_by_claim: bool) -> Vec<Check> {
    let world = World::open(&Setup {
        total: PLENTY,
        mutations: ticket_last(),
        refused_by_claim,
        ..Setup::default()
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 8)).await;
    assert_eq!(world.claim("torn").await.unwrap(), Answer::Unknown);
    let first = world.claim("unlucky").await.unwrap();
    assert_eq!(first, Answer::NotApplied, "two with one ticket");
    for _attempt in 0..3 {
        world.claim("unlucky").await.unwrap();
    }
    all_get_it(&world, &names('b', 8)).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_refused_by_claim_alone_is_caught() {
    let caught = refused_and_repeated(true).await;
    assert_caught(&caught, 7, "a refused request left no claim");
    assert_whole(&refused_and_repeated(false).await);
}

/// The calls that hydrated the coupon arrive once more while it serves; its winners repeat.
async fn hydrated_again(mutations: Vec<Mutation>) -> Vec<Check> {
    let world = World::open(&hot(mutations)).await.unwrap();
    let winners = names('a', 10);
    all_get_it(&world, &winners).await;
    rest(&world).await;
    world.repeat_hydrations().await.unwrap();
    all_get_it(&world, &winners).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_hydration_over_a_served_coupon_is_caught() {
    let begin = Some(Script::HydrateBegin);
    let anyway = vec![
        Mutation::new(
            begin,
            "if coupon[1] then return { ALREADY_READY } end\n",
            "",
        ),
        Mutation::new(
            begin,
            "if redis.call('SISMEMBER', KEYS[8], ARGV[3]) == 1 then return { LOSS } end\n",
            "",
        ),
    ];
    let caught = hydrated_again(anyway).await;
    assert_caught(&caught, 5, "one key, one claim, one body");
    assert_whole(&hydrated_again(Vec::new()).await);
}
