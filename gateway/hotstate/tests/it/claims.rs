//! The claim script: what is granted, in which order it refuses, and what it writes.

use sluice_claim::port::{ClaimAnswer, ClaimStore, NotReady, StoreError};
use sluice_domain::claim::Durability;
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{EntryNumber, LeaseNumber, Revision, Ticket, Version};
use sluice_domain::time::Timestamp;
use sluice_hotstate::LaneStore;

use super::fixture::{
    LANE, Stage, by, call, from, granted, keyed, limited, ok, published, revised, subject, user,
};

#[tokio::test]
async fn a_grant_takes_a_ticket_and_is_in_the_outbox() {
    let stage = Stage::serving(&published(), 10).await;
    let reply = stage.claims(vec![by("ann"), by("bob")]).await;
    let (ann, bob) = (granted(reply.answers[0]), granted(reply.answers[1]));
    assert_eq!((ann.ticket, bob.ticket), (Ticket(1_000), Ticket(1_001)));
    assert_eq!((ann.entry, ann.version), (EntryNumber(1), Version(1)));
    assert_eq!(ann.granted_at, reply.lane_time);
    let [batch] = &stage.outbox(0).await[..] else {
        panic!("one call is one entry");
    };
    assert_eq!(batch.entry, EntryNumber(1));
    assert_eq!((batch.lease, batch.revision), (LeaseNumber(1), Revision(1)));
    assert_eq!(
        (batch.version, batch.durability),
        (Version(1), Durability::Ledger)
    );
    assert_eq!(batch.granted_at, reply.lane_time);
    let users: Vec<_> = batch
        .grants
        .iter()
        .map(|grant| (grant.user, grant.ticket))
        .collect();
    assert_eq!(
        users,
        [(user("ann"), ann.ticket), (user("bob"), bob.ticket)]
    );
    assert_eq!(batch.grants[0].claim_id, ann.claim_id);
}

#[tokio::test]
async fn f17_a_repeat_answers_the_first_grant_before_everything_else() {
    let stage = Stage::serving(&published(), 1).await;
    let first = granted(stage.claim(by("ann")).await);
    let replay = ClaimAnswer::Replayed(first);
    assert_eq!(stage.claim(by("ann")).await, replay);
    // Sold out, paused, ended, of another revision: the old claim is answered.
    ok(stage
        .store
        .set_final(stage.fence, super::fixture::COUPON, false)
        .await);
    assert!(matches!(
        stage.claim(by("bob")).await,
        ClaimAnswer::SoldOut(_)
    ));
    assert_eq!(stage.claim(by("ann")).await, replay);
    let ended = revised(&published(), |next| next.lifecycle = Lifecycle::Ended);
    stage
        .store
        .install(LANE, stage.fence.epoch, &ended)
        .await
        .unwrap();
    assert_eq!(stage.claim(by("ann")).await, replay);
    let mut newer = call(vec![by("ann")]);
    newer.revision = Revision(9);
    assert_eq!(stage.store.decide(newer).await.unwrap().answers, [replay]);
    assert_eq!(stage.outbox(0).await.len(), 1);
}

#[tokio::test]
async fn replay_only_grants_nothing() {
    let stage = Stage::serving(&published(), 5).await;
    let mut poll = by("ann");
    poll.replay_only = true;
    let before = stage.digest().await;
    assert_eq!(stage.claim(poll).await, ClaimAnswer::NoClaim);
    assert_eq!(stage.digest().await, before);
    let reply = stage.claims(vec![poll, by("bob")]).await;
    assert_eq!(reply.answers[0], ClaimAnswer::NoClaim);
    assert_eq!(granted(reply.answers[1]).ticket, Ticket(1_000));
    let record = granted(stage.claim(by("ann")).await);
    assert_eq!(stage.claim(poll).await, ClaimAnswer::Replayed(record));
}

#[tokio::test]
async fn the_same_user_twice_in_a_batch() {
    let single = Stage::serving(&published(), 5).await;
    let reply = single.claims(vec![by("ann"), by("ann"), by("bob")]).await;
    let first = granted(reply.answers[0]);
    assert_eq!(reply.answers[1], ClaimAnswer::Replayed(first));
    assert_eq!(granted(reply.answers[2]).ticket, Ticket(1_001));
    assert_eq!(single.outbox(0).await[0].grants.len(), 2);

    let keys = Stage::serving(&limited(2, None, None), 5).await;
    let batch = vec![
        keyed("ann", 1),
        keyed("ann", 2),
        keyed("ann", 1),
        keyed("ann", 3),
    ];
    let reply = keys.claims(batch).await;
    let (one, two) = (granted(reply.answers[0]), granted(reply.answers[1]));
    assert_eq!((one.ticket, two.ticket), (Ticket(1_000), Ticket(1_001)));
    assert_eq!(reply.answers[2], ClaimAnswer::Replayed(one));
    assert_eq!(reply.answers[3], ClaimAnswer::UserLimit);
    assert_eq!(
        keys.claim(keyed("ann", 2)).await,
        ClaimAnswer::Replayed(two)
    );
    let figures = keys
        .store
        .figures(LANE, super::fixture::COUPON)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(figures.users, 1);
}

#[tokio::test]
async fn devices_and_addresses_are_counted_within_a_batch_and_across() {
    let stage = Stage::serving(&limited(1, Some(2), Some(3)), 20).await;
    let batch = vec![
        from("a", Some(1), Some(1)),
        from("b", Some(1), Some(1)),
        from("c", Some(1), Some(1)),
        from("d", Some(2), Some(1)),
        from("e", Some(2), Some(1)),
    ];
    let answers = stage.claims(batch).await.answers;
    granted(answers[0]);
    granted(answers[1]);
    assert_eq!(answers[2], ClaimAnswer::DeviceLimit);
    granted(answers[3]);
    assert_eq!(answers[4], ClaimAnswer::AddressLimit);
    assert_eq!(
        stage.claim(from("f", Some(1), Some(9))).await,
        ClaimAnswer::DeviceLimit
    );
    assert_eq!(
        stage.claim(from("g", Some(9), Some(1))).await,
        ClaimAnswer::AddressLimit
    );
    let figures = stage
        .store
        .figures(LANE, super::fixture::COUPON)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (figures.users, figures.devices, figures.addresses),
        (3, 2, 1)
    );
    let grants = &stage.outbox(0).await[0].grants;
    assert_eq!(grants[2].device, Some(subject(2)));
    assert_eq!(grants[2].address, Some(subject(1)));
}

#[tokio::test]
async fn each_limit_works_alone() {
    let devices = Stage::serving(&limited(1, Some(1), None), 20).await;
    granted(devices.claim(from("a", Some(1), None)).await);
    assert_eq!(
        devices.claim(from("b", Some(1), None)).await,
        ClaimAnswer::DeviceLimit
    );
    let addresses = Stage::serving(&limited(1, None, Some(1)), 20).await;
    granted(addresses.claim(from("a", None, Some(1))).await);
    assert_eq!(
        addresses.claim(from("b", None, Some(1))).await,
        ClaimAnswer::AddressLimit
    );
}

#[tokio::test]
async fn a_missing_or_surplus_device_is_a_stale_definition() {
    let stage = Stage::serving(&limited(1, Some(1), None), 5).await;
    for wrong in [
        by("a"),
        from("a", Some(1), Some(1)),
        from("a", None, Some(1)),
    ] {
        assert_eq!(stage.claim(wrong).await, ClaimAnswer::StaleDefinition);
    }
    granted(stage.claim(from("a", Some(1), None)).await);
}

#[tokio::test]
async fn refusals_come_in_their_order() {
    let stage = Stage::serving(&published(), 5).await;
    let epoch = stage.fence.epoch;
    let paused = revised(&published(), |next| {
        next.lifecycle = Lifecycle::Paused;
        next.window.ends_at = Some(Timestamp::from_millis(1));
    });
    stage.store.install(LANE, epoch, &paused).await.unwrap();
    assert_eq!(stage.claim(by("ann")).await, ClaimAnswer::StaleDefinition);
    let at = |revision: u32| {
        let mut at = call(vec![by("ann")]);
        at.revision = Revision(revision);
        at
    };
    let answer = async |revision| stage.store.decide(at(revision)).await.unwrap().answers[0];
    assert_eq!(answer(2).await, ClaimAnswer::Paused);
    let over = revised(&paused, |next| next.lifecycle = Lifecycle::Live);
    stage.store.install(LANE, epoch, &over).await.unwrap();
    assert_eq!(answer(3).await, ClaimAnswer::Ended);
    for (revision, lifecycle) in [(4, Lifecycle::Ended), (5, Lifecycle::Archived)] {
        let ended = revised(&over, |next| {
            next.revision = Revision(revision);
            next.terms_revision = next.revision;
            next.lifecycle = lifecycle;
            next.window.ends_at = None;
        });
        stage.store.install(LANE, epoch, &ended).await.unwrap();
        assert_eq!(answer(revision).await, ClaimAnswer::Ended);
    }
    let starts_at = Timestamp::MAX;
    let later = revised(&over, |next| {
        next.revision = Revision(6);
        next.terms_revision = Revision(6);
        next.window.ends_at = None;
        next.window.starts_at = Some(starts_at);
    });
    stage.store.install(LANE, epoch, &later).await.unwrap();
    assert_eq!(answer(6).await, ClaimAnswer::NotStarted { starts_at });
    assert!(stage.outbox(0).await.is_empty());
}

#[tokio::test]
async fn stock_only_changes_keep_older_callers_and_a_newer_caller_is_a_loss() {
    let stage = Stage::serving(&published(), 5).await;
    let restocked = revised(&published(), |next| next.terms_revision = Revision(1));
    stage
        .store
        .install(LANE, stage.fence.epoch, &restocked)
        .await
        .unwrap();
    granted(stage.claim(by("ann")).await);
    let mut newer = call(vec![by("bob")]);
    newer.revision = Revision(3);
    let error = stage.store.decide(newer).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::LaneNotReady {
                reason: NotReady::Loss,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn f14_the_outbox_cap_holds_grants_back_and_nothing_else() {
    let stage = Stage::bare(|settings| settings.outbox_entries_max = 1).await;
    stage.open(&published()).await;
    stage.lease(1, 5).await;
    let first = granted(stage.claim(by("ann")).await);
    let before = stage.digest().await;
    assert!(matches!(
        stage.claim_error(by("bob")).await,
        StoreError::Backpressure { .. }
    ));
    assert_eq!(stage.digest().await, before);
    assert_eq!(stage.claim(by("ann")).await, ClaimAnswer::Replayed(first));
    ok(stage.store.mark(stage.fence, EntryNumber(1), 9).await);
    granted(stage.claim(by("bob")).await);
}

#[tokio::test]
async fn a_batch_of_the_largest_size_is_one_entry() {
    let stage = Stage::serving(&published(), 500).await;
    let names: Vec<String> = (0..128).map(|n| format!("user-{n}")).collect();
    let reply = stage
        .claims(names.iter().map(|name| by(name)).collect())
        .await;
    for (offset, answer) in reply.answers.iter().enumerate() {
        assert_eq!(granted(*answer).ticket, Ticket(1_000 + offset as u64));
    }
    let entries = stage.outbox(0).await;
    assert_eq!((entries.len(), entries[0].grants.len()), (1, 128));
}
