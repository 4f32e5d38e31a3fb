//! Tests of the checker: the system is broken on purpose, and the checker has to say so. Each
//! scenario is played twice: on a broken world, where the invariant named is violated, and on the
//! whole one, where every check holds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its stage is not as it must be, and says what the checker said"
)]

mod protocol;

use futures_util::future::join_all;
use sluice_domain::invariant::history::Answer;
use sluice_domain::invariant::{Check, CheckStatus};
use sluice_hotstate::redis::script::Script;
use sluice_sim::world::mutation::Mutation;
use sluice_sim::world::{Setup, World};

/// Plenty: more than one lease, so that a quarantined one leaves something to sell.
const PLENTY: u64 = 1_000;

fn violated(checks: &[Check]) -> Vec<&Check> {
    checks
        .iter()
        .filter(|check| check.status != CheckStatus::Held)
        .collect()
}

/// The broken world: the check with this number and name has to be among those that do not hold.
fn assert_caught(checks: &[Check], invariant: u8, name: &str) {
    let found = violated(checks);
    for check in &found {
        println!(
            "caught by {} ({}): {} of {}, first {:?}",
            check.invariant,
            check.name,
            check.violated,
            check.examined,
            check.violations.first()
        );
    }
    assert!(
        found
            .iter()
            .any(|check| check.invariant == invariant && check.name == name),
        "the checker did not notice; it says {checks:#?}"
    );
}

/// The whole world: everything holds, and something was looked at.
fn assert_whole(checks: &[Check]) {
    let found = violated(checks);
    assert!(found.is_empty(), "{found:#?}");
    let acknowledged: u64 = checks
        .iter()
        .filter(|check| check.invariant == 1)
        .map(|check| check.examined)
        .sum();
    assert!(acknowledged > 0, "nothing was ever acknowledged");
}

const HOT_LOST: &str = "acknowledged as hot is lost only with hot state";
const LIMITS: &str = "limits per user, device and address";
const LEDGER_LOST: &str = "acknowledged as ledger is in the ledger";

fn names(prefix: char, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number:03}"))
        .collect()
}

/// Each asks until they have it.
async fn all_get_it(world: &World, names: &[String]) {
    for name in names {
        let answer = world.insist(name).await.unwrap();
        assert!(
            matches!(answer, Answer::Acknowledged { .. }),
            "{name}: {answer:?}"
        );
    }
}

/// Each asks once, all at the same time; those who were told nothing for certain.
async fn ask_once(world: &World, names: &[String]) -> Vec<String> {
    let asked = join_all(names.iter().map(|name| world.claim(name))).await;
    names
        .iter()
        .zip(asked)
        .filter(|(_, answer)| !matches!(answer.as_ref().unwrap(), Answer::Acknowledged { .. }))
        .map(|(name, _)| name.clone())
        .collect()
}

async fn rest(world: &World) {
    assert!(world.rest().await.unwrap(), "{:?}", world.lane_status());
}

/// Redis is set back to before some grants that are rows by now, with no restart to tell it by, and
/// others claim before the keeper looks.
async fn set_back(mutations: Vec<Mutation>) -> Vec<Check> {
    let world = World::open(&Setup {
        hot: true,
        total: PLENTY,
        mutations,
        ..Setup::default()
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 10)).await;
    rest(&world).await;
    world.cut_copy_off().await.unwrap();
    all_get_it(&world, &names('b', 10)).await;
    rest(&world).await;
    let held = world.hold_keeper().await;
    world.lose_tail().await.unwrap();
    let mut unserved = Vec::new();
    for name in names('c', 12) {
        unserved.extend(ask_once(&world, &[name]).await);
    }
    drop(held);
    all_get_it(&world, &unserved).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_no_replid_check_is_caught() {
    let blind = Mutation::new(
        None,
        "string.find(info, 'master_replid:' .. replid, 1, true) ~= nil",
        "true",
    );
    assert_caught(&set_back(vec![blind]).await, 1, HOT_LOST);
    assert_whole(&set_back(Vec::new()).await);
}

/// The keeper is slow, so that some grants are in Redis alone; and there they are lost.
async fn lost_before_the_mark(early_yes: bool) -> Vec<Check> {
    let world = World::open(&Setup {
        total: PLENTY,
        early_yes,
        ..Setup::default()
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 10)).await;
    rest(&world).await;
    world.cut_copy_off().await.unwrap();
    let held = world.hold_keeper().await;
    let unserved = ask_once(&world, &names('b', 10)).await;
    world.lose_tail().await.unwrap();
    drop(held);
    all_get_it(&world, &unserved).await;
    all_get_it(&world, &names('c', 5)).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_acknowledged_before_the_mark_is_caught() {
    assert_caught(&lost_before_the_mark(true).await, 1, LEDGER_LOST);
    assert_whole(&lost_before_the_mark(false).await);
}

/// A lease that was used up and closed is put on the list once more.
async fn lease_again(mutations: Vec<Mutation>) -> Vec<Check> {
    const TOTAL: usize = 16;
    let world = World::open(&Setup {
        hot: true,
        total: TOTAL as u64,
        mutations,
        ..Setup::default()
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', TOTAL)).await;
    rest(&world).await;
    let late = world.insist("late").await.unwrap();
    assert_eq!(late, Answer::Refused("sold_out".to_owned()));
    let held = world.hold_keeper().await;
    world.repeat_lease_installs().await.unwrap();
    // Stock that comes after "sold out" opens when every memory of it is over.
    let opened = tokio::time::Instant::now() + std::time::Duration::from_millis(2_500);
    let strangers = names('b', TOTAL);
    let mut asking = strangers.iter().cycle();
    while tokio::time::Instant::now() < opened {
        let name = asking.next().unwrap();
        world.claim(name).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(held);
    world.judge(true).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_lease_installed_twice_is_caught() {
    let forgetful = Mutation::new(
        Some(Script::Lease),
        "if number <= highest then return { IGNORED, highest } end",
        "",
    );
    assert_caught(&lease_again(vec![forgetful]).await, 1, HOT_LOST);
    assert_whole(&lease_again(Vec::new()).await);
}

/// The claim script's write of the ticket, of the users' records, and of the outbox entry.
const TICKET: &str = "  redis.call('HSET', KEYS[3], 'leases', list, 'stock', pack(STOCK, \
    lease, next, last, highest,\n    stock_seq, opens_at, users, devices, addresses, flags), 'began', n)\n";
const USERS: &str = "  redis.call('HSET', KEYS[4], unpack(of_users))\n";
const ENTRY: &str = "  redis.call('XADD', KEYS[7], entry, 'h',\n    \
    said .. (g == count and table.concat(ARGV, '', 6) or table.concat(some)))\n";
/// What the script says of a call that began its writes and did not end them.
const UNENDED: &str = "if coupon[4] ~= coupon[5] or redis.call('HLEN', KEYS[4]) ~= users\n";
/// The same, without that.
const UNENDED_OR_NOT: &str = "if redis.call('HLEN', KEYS[4]) ~= users\n";
/// An error in the midst of the writes, for one shopper.
const TORN: &str = "  if names[granted[1]] == 'torn' then error('injected') end\n";

/// One shopper's call ends in an error between the writes of the claim script.
async fn torn_script(mutations: Vec<Mutation>, setup: Setup) -> Vec<Check> {
    let world = World::open(&Setup {
        total: PLENTY,
        mutations,
        ..setup
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 8)).await;
    let torn = world.claim("torn").await.unwrap();
    assert_eq!(torn, Answer::Unknown);
    all_get_it(&world, &names('b', 8)).await;
    world.judge(false).await.unwrap()
}

/// The claim script with the writes that take the ticket at the end, breaking off before them.
fn ticket_last() -> Vec<Mutation> {
    let claim = Some(Script::Claim);
    vec![
        Mutation::new(claim, TICKET, ""),
        Mutation::new(claim, USERS, ""),
        Mutation::new(claim, ENTRY, &[ENTRY, TORN, USERS, TICKET].concat()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_ticket_taken_last_is_caught() {
    let hot = || Setup {
        hot: true,
        ..Setup::default()
    };
    assert_caught(&torn_script(ticket_last(), hot()).await, 1, HOT_LOST);
    // The script as it is under-sells at worst, where it breaks off after the first write and
    // before the last.
    let claim = Some(Script::Claim);
    let after_ticket = vec![Mutation::new(claim, TICKET, &[TICKET, TORN].concat())];
    assert_whole(&torn_script(after_ticket, hot()).await);
    let before_entry = vec![Mutation::new(claim, ENTRY, &[TORN, ENTRY].concat())];
    assert_whole(&torn_script(before_entry, hot()).await);
}

/// The claim script breaks off for one shopper, who asks again before any keeper has looked.
async fn torn_and_repeated(mutations: Vec<Mutation>) -> Vec<Check> {
    let world = World::open(&Setup {
        hot: true,
        total: PLENTY,
        mutations,
        ..Setup::default()
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 8)).await;
    rest(&world).await;
    let held = world.hold_keeper().await;
    assert_eq!(world.claim("torn").await.unwrap(), Answer::Unknown);
    world.claim("torn").await.unwrap();
    drop(held);
    all_get_it(&world, &names('b', 8)).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_entry_written_last_is_caught() {
    let claim = Some(Script::Claim);
    // That the entry comes first and that no call goes over one that broke off are each enough alone.
    let entry_last = vec![
        Mutation::new(claim, UNENDED, UNENDED_OR_NOT),
        Mutation::new(claim, ENTRY, ""),
        Mutation::new(claim, USERS, &[USERS, TORN, ENTRY].concat()),
    ];
    assert_caught(&torn_and_repeated(entry_last).await, 1, HOT_LOST);
    // The script as it is holds wherever it breaks off.
    for write in [TICKET, ENTRY, USERS] {
        let after = vec![Mutation::new(claim, write, &[write, TORN].concat())];
        assert_whole(&torn_and_repeated(after).await);
    }
}

/// An error before the second claim of one shopper is written into the users' records.
const TORN_SECOND: &str = "  if names[granted[1]] == 'torn' and #of_users[2] > RECORD_BYTES then \
    error('injected') end\n";

/// Each may have two claims. One shopper's second call breaks off behind the entry: the number of
/// users is right, and the record of what this one holds is not. Then a third claim is asked for.
async fn torn_second_claim(mut mutations: Vec<Mutation>) -> Vec<Check> {
    let claim = Some(Script::Claim);
    mutations.push(Mutation::new(claim, USERS, &[TORN_SECOND, USERS].concat()));
    let world = World::open(&Setup {
        total: PLENTY,
        two_each: true,
        mutations,
        ..Setup::default()
    })
    .await
    .unwrap();
    all_get_it(&world, &names('a', 8)).await;
    let first = world.claim_with("torn", "first").await.unwrap();
    assert!(matches!(first, Answer::Acknowledged { .. }), "{first:?}");
    let second = world.claim_with("torn", "second").await.unwrap();
    assert_eq!(second, Answer::Unknown);
    rest(&world).await;
    world.claim_with("torn", "third").await.unwrap();
    all_get_it(&world, &names('b', 8)).await;
    world.judge(false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_that_goes_over_a_call_that_broke_off_is_caught() {
    let over = Mutation::new(Some(Script::Claim), UNENDED, UNENDED_OR_NOT);
    assert_caught(&torn_second_claim(vec![over]).await, 4, LIMITS);
    assert_whole(&torn_second_claim(Vec::new()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutant_mark_passes_a_refused_claim_is_caught() {
    // Two claims with one ticket come into the outbox; the later one is refused by the keeper.
    let deaf = Setup {
        deaf_to_refusals: true,
        ..Setup::default()
    };
    assert_caught(&torn_script(ticket_last(), deaf).await, 1, LEDGER_LOST);
    // Class `ledger` stands even that script: the refused shopper is told "not applied".
    assert_whole(&torn_script(ticket_last(), Setup::default()).await);
}
