//! The checker, on hand-made facts that break one invariant each.

use super::history::{
    Answer, Attempt, Deed, History, LaneSample, OperatorCall, acknowledged_is_durable, epochs_rise,
    granted_under_current_state, hot_is_lost_only_with_hot_state, never_oversold,
    one_answer_per_key, refused_left_nothing,
};
use super::rows::{
    CouponRows, leases_and_tickets, limits, nothing_left_out, sold_exactly,
    versions_follow_revisions,
};
use super::{Check, CheckStatus, Verdict, verdict};
use crate::claim::{ClaimRow, Durability};
use crate::coupon::ClaimLimits;
use crate::hash::HashKeys;
use crate::id::{
    ClaimId, CouponId, Epoch, KeeperNumber, LaneId, LeaseNumber, Revision, SubjectHash, Ticket,
    UserId, Version,
};
use crate::lease::{Lease, LeaseState, Stock};
use crate::time::Timestamp;

const COUPON: CouponId = CouponId(7);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn id_of(name: &str) -> ClaimId {
    HashKeys::derive(&[9; 32]).single_claim_id(COUPON, &user(name))
}

fn row(name: &str, ticket: u64) -> ClaimRow {
    ClaimRow {
        claim_id: id_of(name),
        coupon: COUPON,
        user: user(name),
        lease: LeaseNumber(1),
        ticket: Ticket(ticket),
        revision: Revision(1),
        version: Version(1),
        granted_at: at(10),
        durability: Durability::Ledger,
        device: None,
        address: None,
        revoked: false,
    }
}

/// Two of two units sold, all in order.
fn sound() -> (History, CouponRows) {
    let rows = vec![row("ann", 1), row("ben", 2)];
    let facts = CouponRows {
        coupon: COUPON,
        stock: Stock {
            total: Some(2),
            target: None,
            leased: 2,
            returned: 0,
        },
        leases: vec![Lease {
            coupon: COUPON,
            number: LeaseNumber(1),
            lane: LaneId(0),
            epoch: Epoch(1),
            first: Ticket(1),
            size: 2,
            state: LeaseState::Open,
            hot_possible: false,
            returned: 0,
            grace_until: None,
            rows: 2,
        }],
        limits: ClaimLimits {
            total: Some(2),
            per_user: 1,
            per_device: Some(1),
            per_address: None,
        },
        rows,
    };
    let history = History {
        attempts: vec![
            attempt("ann", acknowledged("ann")),
            attempt("ben", acknowledged("ben")),
        ],
        operator_calls: vec![call(0, 5, Deed::Publish(Some(2)))],
        lane_samples: vec![sample(1, 1), sample(1, 2), sample(2, 2)],
        losses: Vec::new(),
    };
    (history, facts)
}

fn acknowledged(name: &str) -> Answer {
    Answer::Acknowledged {
        claim_id: id_of(name),
        durability: Durability::Ledger,
        body: format!("body of {name}"),
    }
}

fn attempt(name: &str, answer: Answer) -> Attempt {
    Attempt {
        sent_at: at(9),
        answered_at: at(12),
        coupon: COUPON,
        user: user(name),
        key: String::new(),
        answer,
    }
}

fn call(sent: i64, answered: i64, deed: Deed) -> OperatorCall {
    OperatorCall {
        sent_at: at(sent),
        answered_at: at(answered),
        coupon: COUPON,
        deed,
        revision: Some(Revision(1)),
    }
}

fn sample(epoch: u64, keeper: u64) -> LaneSample {
    LaneSample {
        lane: LaneId(0),
        epoch: Epoch(epoch),
        keeper: KeeperNumber(keeper),
    }
}

fn all(history: &History, facts: &CouponRows) -> Vec<Check> {
    let coupons = std::slice::from_ref(facts);
    vec![
        acknowledged_is_durable(history, coupons),
        hot_is_lost_only_with_hot_state(history, coupons),
        never_oversold(history, coupons),
        leases_and_tickets(facts),
        limits(facts),
        one_answer_per_key(history),
        sold_exactly(facts),
        versions_follow_revisions(facts),
        refused_left_nothing(history, coupons),
        granted_under_current_state(history, coupons),
        epochs_rise(history),
    ]
}

/// The invariants that are violated.
fn broken(history: &History, facts: &CouponRows) -> Vec<u8> {
    all(history, facts)
        .iter()
        .filter(|check| check.status == CheckStatus::Violated)
        .map(|check| check.invariant)
        .collect()
}

#[test]
fn a_sound_history_holds_and_everything_was_looked_at() {
    let (history, facts) = sound();
    let checks = all(&history, &facts);
    assert_eq!(verdict(&checks), Verdict::Exact, "{checks:#?}");
    // Nothing was stopped and nothing was hot in this history.
    for check in checks
        .iter()
        .filter(|check| check.invariant != 8 && !check.name.contains("hot"))
    {
        assert!(check.examined > 0, "{} looked at nothing", check.name);
    }
}

#[test]
fn invariant_1_a_lost_claim_is_seen() {
    let (history, mut facts) = sound();
    facts.rows.pop();
    assert!(broken(&history, &facts).contains(&1));
    let (history, mut facts) = sound();
    facts.rows[1].user = user("eve");
    assert!(
        broken(&history, &facts).contains(&1),
        "a row of somebody else is no row"
    );
}

#[test]
fn invariant_2_more_acknowledged_than_the_total_is_seen() {
    let (mut history, mut facts) = sound();
    facts.rows.push(row("cleo", 3));
    facts.leases[0].size = 3;
    facts.leases[0].rows = 3;
    facts.stock.leased = 3;
    history.attempts.push(attempt("cleo", acknowledged("cleo")));
    assert!(broken(&history, &facts).contains(&2));
    history.operator_calls.push(call(20, 30, Deed::SetTotal(3)));
    assert!(
        broken(&history, &facts).contains(&2),
        "a later raise excuses nothing"
    );
    history.operator_calls.push(call(11, 40, Deed::SetTotal(3)));
    assert!(
        !broken(&history, &facts).contains(&2),
        "one that was under way does"
    );
}

#[test]
fn invariant_1_a_hot_claim_lost_without_a_fault_is_seen() {
    let (mut history, mut facts) = sound();
    facts.rows.pop();
    facts.leases[0].rows = 1;
    history.attempts[1].answer = Answer::Acknowledged {
        claim_id: id_of("ben"),
        durability: Durability::Hot,
        body: String::new(),
    };
    history.losses = vec![at(3)];
    assert!(
        broken(&history, &facts).contains(&1),
        "that loss was before"
    );
    history.losses.push(at(20));
    assert!(!broken(&history, &facts).contains(&1));
}

#[test]
fn invariant_1_a_repeat_of_a_lost_hot_claim_is_not_a_second_loss() {
    let (mut history, facts) = sound();
    let hot = Answer::Acknowledged {
        claim_id: id_of("cleo"),
        durability: Durability::Hot,
        body: "body of cleo".to_owned(),
    };
    history.losses.push(at(20));
    let repeat = Attempt {
        sent_at: at(30),
        answered_at: at(31),
        ..attempt("cleo", hot)
    };
    history.attempts.push(repeat);
    let lost = |history: &History| {
        let check = hot_is_lost_only_with_hot_state(history, std::slice::from_ref(&facts));
        check.status == CheckStatus::Violated
    };
    assert!(lost(&history), "first asked for after the loss");
    history.attempts.push(attempt("cleo", Answer::NotApplied));
    assert!(lost(&history), "what was not applied granted nothing");
    history.attempts.push(attempt("cleo", Answer::Unknown));
    assert!(!lost(&history), "granted before the loss, perhaps");
}

#[test]
fn invariant_2_a_lost_hot_claim_does_not_count() {
    let (mut history, facts) = sound();
    let hot = Answer::Acknowledged {
        claim_id: id_of("cleo"),
        durability: Durability::Hot,
        body: String::new(),
    };
    history.attempts.push(attempt("cleo", hot));
    history.losses.push(at(20));
    assert_eq!(broken(&history, &facts), Vec::<u8>::new());
}

#[test]
fn invariant_3_tickets_leases_and_stock_must_add_up() {
    let breaks: [fn(&mut CouponRows); 7] = [
        |facts| facts.rows[1].ticket = Ticket(1),
        |facts| facts.rows[1].ticket = Ticket(9),
        |facts| facts.rows[1].lease = LeaseNumber(2),
        |facts| facts.rows[1].claim_id = facts.rows[0].claim_id,
        |facts| facts.stock.total = Some(1),
        |facts| facts.stock.leased = 3,
        |facts| facts.leases[0].returned = 1,
    ];
    for (index, break_it) in breaks.iter().enumerate() {
        let (history, mut facts) = sound();
        break_it(&mut facts);
        assert!(
            broken(&history, &facts).contains(&3),
            "break {index} was not seen"
        );
    }
}

#[test]
fn invariant_4_limits() {
    let (history, mut facts) = sound();
    facts.rows[1].user = user("ann");
    assert!(broken(&history, &facts).contains(&4));
    let (history, mut facts) = sound();
    for row in &mut facts.rows {
        row.device = Some(SubjectHash([1; 8]));
    }
    assert!(broken(&history, &facts).contains(&4));
    facts.limits.per_device = Some(2);
    assert!(!broken(&history, &facts).contains(&4));
}

#[test]
fn invariant_5_a_repeat_with_another_body_or_id_is_seen() {
    let (mut history, facts) = sound();
    let other_body = Answer::Acknowledged {
        claim_id: id_of("ann"),
        durability: Durability::Ledger,
        body: "another".to_owned(),
    };
    history.attempts.push(attempt("ann", other_body));
    assert!(broken(&history, &facts).contains(&5));
    let (mut history, facts) = sound();
    history
        .attempts
        .push(attempt("ann", Answer::Pending(id_of("ben"))));
    assert!(broken(&history, &facts).contains(&5));
}

#[test]
fn invariant_5_only_a_lost_hot_claim_may_come_back_with_another_body() {
    let hot = |body: &str| Answer::Acknowledged {
        claim_id: id_of("ann"),
        durability: Durability::Hot,
        body: body.to_owned(),
    };
    let (mut history, facts) = sound();
    history.attempts[0].answer = hot("first");
    history.attempts.push(Attempt {
        sent_at: at(40),
        answered_at: at(41),
        ..attempt("ann", hot("second"))
    });
    assert!(broken(&history, &facts).contains(&5));
    history.losses = vec![at(42)];
    assert!(
        broken(&history, &facts).contains(&5),
        "that loss came later"
    );
    history.losses.push(at(20));
    assert!(!broken(&history, &facts).contains(&5));
}

#[test]
fn invariant_6_an_unsold_unit_is_seen_and_a_quarantined_one_is_not_sold() {
    let (history, mut facts) = sound();
    facts.rows.pop();
    facts.leases[0].rows = 1;
    assert!(broken(&history, &facts).contains(&6));
    facts.leases[0].state = LeaseState::Quarantined;
    assert!(!broken(&history, &facts).contains(&6));
}

#[test]
fn invariant_7_a_refused_request_that_left_a_row_is_seen() {
    for answer in [Answer::Refused("sold_out".to_owned()), Answer::NotApplied] {
        let (mut history, facts) = sound();
        history.attempts[1].answer = answer;
        assert!(broken(&history, &facts).contains(&7));
        history.attempts.push(attempt("ben", Answer::Unknown));
        assert!(
            !broken(&history, &facts).contains(&7),
            "an unknown attempt may have left it"
        );
    }
    let (history, mut facts) = sound();
    facts.rows[1].user = user("nobody");
    assert!(broken(&history, &facts).contains(&7), "nobody asked");
}

#[test]
fn invariant_8_a_grant_while_paused_or_under_an_old_revision_is_seen() {
    let (mut history, facts) = sound();
    history.operator_calls.push(call(1, 2, Deed::Pause));
    assert!(broken(&history, &facts).contains(&8));
    history.operator_calls.push(call(6, 50, Deed::Resume));
    assert!(
        !broken(&history, &facts).contains(&8),
        "the resume was under way"
    );
    let (mut history, facts) = sound();
    history.operator_calls.push(OperatorCall {
        revision: Some(Revision(2)),
        ..call(1, 2, Deed::Edit)
    });
    assert!(broken(&history, &facts).contains(&8));
}

#[test]
fn invariant_8_an_end_is_final_and_a_window_is_shut_until_it_opens() {
    let (mut history, facts) = sound();
    history.operator_calls.push(call(1, 2, Deed::End));
    history.operator_calls.push(call(6, 50, Deed::Resume));
    assert!(broken(&history, &facts).contains(&8));

    let (sold_at, opened, opens_late) = (at(10), at(10), at(11));
    assert_eq!(facts.rows[0].granted_at, sold_at);
    let (mut history, facts) = sound();
    history
        .operator_calls
        .push(call(1, 2, Deed::Window(Some(opened))));
    assert!(!broken(&history, &facts).contains(&8), "it was open");
    history.operator_calls.pop();
    history
        .operator_calls
        .push(call(1, 2, Deed::Window(Some(opens_late))));
    assert!(broken(&history, &facts).contains(&8));
    history.operator_calls.push(call(6, 50, Deed::Window(None)));
    assert!(
        !broken(&history, &facts).contains(&8),
        "the next window was under way"
    );
}

#[test]
fn invariant_8_terms_go_back_or_differ_within_a_revision_is_seen() {
    let (history, mut facts) = sound();
    facts.rows[0].version = Version(2);
    assert!(broken(&history, &facts).contains(&8), "two of one revision");
    facts.rows[1].revision = Revision(2);
    assert!(broken(&history, &facts).contains(&8), "gone back");
    facts.rows[1].version = Version(2);
    assert!(!broken(&history, &facts).contains(&8), "only stock changed");
}

#[test]
fn invariant_6_a_ticket_that_never_came_back_is_seen() {
    let (_history, mut facts) = sound();
    facts.rows.pop();
    let check = nothing_left_out(&facts);
    assert_eq!(check.status, CheckStatus::Violated);
    facts.stock.returned = 1;
    assert_eq!(nothing_left_out(&facts).status, CheckStatus::Held);
}

#[test]
fn invariant_12_a_falling_epoch_or_keeper_is_seen() {
    for falling in [sample(1, 3), sample(3, 1)] {
        let (mut history, facts) = sound();
        history.lane_samples.push(falling);
        assert!(broken(&history, &facts).contains(&12));
    }
}
