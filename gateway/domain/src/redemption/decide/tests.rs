//! The state machine: each command in each status, what repeats answer, sequences and races.

mod holds;
mod races;
mod refunds;
mod sequences;

use super::*;
use crate::invariant::{Verdict, verdict};
use crate::reason::ReasonCode;
use crate::redemption::sample::{Deal, Offer, Reply, Shop, cart, claim, line};
use crate::redemption::{RedemptionStatus, RefundLine};
use crate::sample::user;

fn shoes(quantity: u32) -> Cart {
    cart(vec![line("shoes", quantity, 3_000)], 500)
}

/// Spend 50.00, get 5.00 off.
fn five_off() -> Offer {
    (
        claim(1, &user("ann")),
        Deal::Spend {
            spend: 5_000,
            off: 500,
        },
    )
}

fn ten_percent() -> Offer {
    (claim(2, &user("ann")), Deal::Percent(1_000))
}

fn confirm() -> Command {
    Command::Confirm { key: None }
}

fn cancel() -> Command {
    Command::Cancel { key: None }
}

fn refund(id: &str, pieces: u32) -> Command {
    Command::Refund {
        refund_id: id.to_owned(),
        wanted: Wanted::Pieces(vec![RefundLine {
            id: "shoes".to_owned(),
            quantity: pieces,
        }]),
    }
}

fn refund_all(id: &str) -> Command {
    Command::Refund {
        refund_id: id.to_owned(),
        wanted: Wanted::Everything,
    }
}

/// A shop with order `o-1` of three shoes in this status.
fn shop_in(status: RedemptionStatus) -> Shop {
    let mut shop = Shop::new();
    let hold = shop.hold("o-1", &shoes(3), &[five_off()]);
    done(shop.run("o-1", &hold));
    let path: &[Command] = match status {
        RedemptionStatus::Held => &[],
        RedemptionStatus::Confirmed => &[confirm()],
        RedemptionStatus::Cancelled => &[cancel()],
        RedemptionStatus::Expired => &[Command::Expire],
        RedemptionStatus::PartiallyRefunded => &[confirm(), refund("r-0", 1)],
        RedemptionStatus::Refunded => &[confirm(), refund_all("r-0")],
    };
    if status == RedemptionStatus::Expired {
        shop.pass_holds();
    }
    for command in path {
        done(shop.run("o-1", command));
    }
    assert_eq!(shop.row("o-1").status, status);
    shop
}

fn done(reply: Reply) -> Answer {
    match reply {
        Reply::Done(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The status in an answer.
fn status_of(answer: &Answer) -> RedemptionStatus {
    match answer {
        Answer::Redemption(redemption) => redemption.status,
        Answer::Refund { status, .. } => *status,
    }
}

fn assert_sound(shop: &Shop) {
    let checks = shop.audit();
    assert_eq!(verdict(&checks), Verdict::Exact, "{checks:#?}");
}

#[test]
fn every_command_in_every_status() {
    use RedemptionStatus::{Cancelled, Confirmed, Expired, Held, PartiallyRefunded, Refunded};
    let conflict = |state| Err((ReasonCode::Conflict, Some(state)));
    for (status, confirmed, cancelled, refunded_part, refunded_all) in [
        (
            Held,
            Ok(Confirmed),
            Ok(Cancelled),
            conflict(Held),
            conflict(Held),
        ),
        (
            Confirmed,
            Ok(Confirmed),
            conflict(Confirmed),
            Ok(PartiallyRefunded),
            Ok(Refunded),
        ),
        (
            Cancelled,
            conflict(Cancelled),
            Ok(Cancelled),
            conflict(Cancelled),
            conflict(Cancelled),
        ),
        (
            Expired,
            Ok(Confirmed),
            conflict(Expired),
            conflict(Expired),
            conflict(Expired),
        ),
        (
            PartiallyRefunded,
            conflict(PartiallyRefunded),
            conflict(PartiallyRefunded),
            Ok(PartiallyRefunded),
            Ok(Refunded),
        ),
        (
            Refunded,
            conflict(Refunded),
            conflict(Refunded),
            conflict(Refunded),
            conflict(Refunded),
        ),
    ] {
        // Keys of their own, so that nothing is a repeat of how the status came about.
        let key = Some("another".to_owned());
        for (command, expected) in [
            (Command::Confirm { key: key.clone() }, confirmed),
            (Command::Cancel { key }, cancelled),
            (refund("r-1", 1), refunded_part),
            (refund_all("r-1"), refunded_all),
        ] {
            let mut shop = shop_in(status);
            let found = match shop.run("o-1", &command) {
                Reply::Done(answer) => Ok(status_of(&answer)),
                Reply::Refused(refusal) => Err((
                    refusal.code(),
                    match refusal {
                        Refusal::Conflict { state, .. } => Some(state),
                        _ => None,
                    },
                )),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{command:?} when {status:?}");
            assert_sound(&shop);
        }
    }
}

#[test]
fn a_command_on_no_redemption_finds_nothing() {
    let mut shop = Shop::new();
    for command in [confirm(), cancel(), refund_all("r-1"), Command::Expire] {
        let refusal = refused(shop.run("o-1", &command));
        assert_eq!(refusal, Refusal::NotFound);
    }
}

#[test]
fn a_repeat_is_answered_as_the_first_time_whatever_happened_since() {
    let mut shop = shop_in(RedemptionStatus::Held);
    let keyed = Command::Confirm {
        key: Some("k-1".to_owned()),
    };
    let first = done(shop.run("o-1", &keyed));
    let part = done(shop.run("o-1", &refund("r-1", 1)));
    let rest = done(shop.run("o-1", &refund_all("r-2")));
    let version = shop.row("o-1").row_version;
    let Answer::Redemption(again) = done(shop.run("o-1", &keyed)) else {
        panic!("a confirm is answered with the redemption");
    };
    let Answer::Redemption(first) = first else {
        panic!("a confirm is answered with the redemption");
    };
    assert_eq!(
        (again.status, again.held_until, &again.record),
        (first.status, first.held_until, &first.record)
    );
    assert_eq!(done(shop.run("o-1", &refund("r-1", 1))), part);
    assert_eq!(done(shop.run("o-1", &refund_all("r-2"))), rest);
    assert_eq!(
        shop.row("o-1").row_version,
        version,
        "repeats write nothing"
    );
}

#[test]
fn an_id_used_for_something_else_is_a_misuse() {
    let mut shop = shop_in(RedemptionStatus::Confirmed);
    done(shop.run("o-1", &refund("r-1", 1)));
    for other in [refund("r-1", 2), refund_all("r-1")] {
        let refusal = refused(shop.run("o-1", &other));
        assert_eq!(refusal.code(), ReasonCode::KeyReused);
    }
    let key = Some("k-1".to_owned());
    let mut shop = shop_in(RedemptionStatus::Held);
    done(shop.run("o-1", &Command::Confirm { key: key.clone() }));
    let refusal = refused(shop.run("o-1", &Command::Cancel { key }));
    assert_eq!(
        refusal,
        Refusal::KeyReused {
            operation_id: "key:k-1".to_owned()
        }
    );
    // No key of a caller is an operation id of ours.
    let key = Some("confirm".to_owned());
    let mut shop = shop_in(RedemptionStatus::Confirmed);
    let refusal = refused(shop.run("o-1", &Command::Cancel { key }));
    assert_eq!(refusal.code(), ReasonCode::Conflict);
}

#[test]
fn the_sweeper_frees_at_the_end_of_the_hold_and_not_before() {
    let mut shop = shop_in(RedemptionStatus::Held);
    let end = shop.row("o-1").held_until;
    shop.now = end.plus_millis(-1);
    let refusal = refused(shop.run("o-1", &Command::Expire));
    assert!(matches!(
        refusal,
        Refusal::Conflict { state: RedemptionStatus::Held, held_until: Some(until), .. } if until == end
    ));
    shop.now = end;
    assert_eq!(
        status_of(&done(shop.run("o-1", &Command::Expire))),
        RedemptionStatus::Expired
    );
    assert!(shop.store.uses.is_empty());
    refused(shop.run("o-1", &Command::Expire));
    assert_sound(&shop);
}

#[test]
fn a_late_confirm_takes_the_uses_again_at_the_frozen_price_or_says_so() {
    for swept in [false, true] {
        let late = |shop: &mut Shop| {
            shop.pass_holds();
            if swept {
                done(shop.run("o-1", &Command::Expire));
            }
        };
        let mut shop = shop_in(RedemptionStatus::Held);
        let total = shop.row("o-1").paid();
        late(&mut shop);
        done(shop.run("o-1", &confirm()));
        assert_eq!(shop.row("o-1").paid(), total);
        assert_eq!(shop.store.uses[0].held_until, None);
        assert_sound(&shop);

        // The claim was taken back in the meantime.
        let mut shop = shop_in(RedemptionStatus::Held);
        late(&mut shop);
        shop.withdrawn.insert(five_off().0);
        let refusal = refused(shop.run("o-1", &confirm()));
        let expected = Refusal::hold_expired(shop.row("o-1"), vec![five_off().0]);
        assert_eq!(refusal, expected);
        assert_eq!(refusal.code(), ReasonCode::HoldExpired);

        // The claim's own time ended just then.
        let mut shop = Shop::new();
        shop.expires_at = Some(shop.now.plus_millis(i64::from(Shop::TTL_MS)));
        let hold = shop.hold("o-1", &shoes(3), &[five_off()]);
        done(shop.run("o-1", &hold));
        late(&mut shop);
        let refusal = refused(shop.run("o-1", &confirm()));
        assert_eq!(refusal.code(), ReasonCode::HoldExpired);
        assert_sound(&shop);
    }
    // Somebody else has it.
    let mut shop = shop_in(RedemptionStatus::Expired);
    let other = shop.hold("o-2", &shoes(2), &[five_off()]);
    done(shop.run("o-2", &other));
    assert_eq!(shop.run("o-1", &confirm()), Reply::NotFree(five_off().0));
    assert_sound(&shop);
}

#[test]
fn within_its_time_a_hold_is_kept_whatever_became_of_the_claim() {
    let mut shop = Shop::new();
    shop.expires_at = Some(shop.now.plus_millis(1));
    let hold = shop.hold("o-1", &shoes(3), &[five_off()]);
    done(shop.run("o-1", &hold));
    shop.withdrawn.insert(five_off().0);
    shop.now = shop.row("o-1").held_until.plus_millis(-1);
    assert_eq!(
        status_of(&done(shop.run("o-1", &confirm()))),
        RedemptionStatus::Confirmed
    );
    assert_sound(&shop);
}
