//! Sound rows, each broken in one way that the audit has to see.

use super::*;
use crate::invariant::{CheckStatus, Verdict, verdict};
use crate::redemption::decide::Command;
use crate::redemption::sample::{Deal, Reply, Shop, cart, claim, line};
use crate::redemption::{RedemptionStatus, RefundLine};
use crate::refund::Wanted;
use crate::sample::user;

const BUDGET: MinorUnits = 2_000;

/// One redemption held, one partly refunded, one refunded whose claim stays used.
fn sound() -> Shop {
    let mut shop = Shop::new();
    shop.budget = Some(BUDGET);
    for (order, name) in [("o-1", "ann"), ("o-2", "ben"), ("o-3", "cleo")] {
        shop.user = user(name);
        let offer = (
            claim(1, &shop.user),
            Deal::Spend {
                spend: 5_000,
                off: 500,
            },
        );
        let hold = shop.hold(order, &cart(vec![line("shoes", 3, 3_000)], 500), &[offer]);
        done(shop.run(order, &hold));
    }
    for order in ["o-2", "o-3"] {
        done(shop.run(order, &Command::Confirm { key: None }));
    }
    let part = Command::Refund {
        refund_id: "r-1".to_owned(),
        wanted: Wanted::Pieces(vec![RefundLine {
            id: "shoes".to_owned(),
            quantity: 1,
        }]),
    };
    done(shop.run("o-2", &part));
    shop.return_claims = false;
    let full = Command::Refund {
        refund_id: "r-1".to_owned(),
        wanted: Wanted::Everything,
    };
    done(shop.run("o-3", &full));
    shop
}

fn done(reply: Reply) {
    assert!(matches!(reply, Reply::Done(_)), "{reply:?}");
}

/// A name and a way to break what was sound.
type Break<T> = (&'static str, fn(&mut T));

struct Facts {
    limits: HashMap<TermsKey, UseLimits>,
    rows: Vec<RedemptionRows>,
    money: CouponMoney,
}

fn facts() -> Facts {
    let shop = sound();
    let limits = UseLimits {
        uses_per_claim: 1,
        uses_per_user: None,
    };
    let coupon = CouponId(1);
    let mut rows = shop.store.rows();
    rows.sort_by(|a, b| a.redemption.order.cmp(&b.redemption.order));
    Facts {
        limits: HashMap::from([((coupon, crate::id::Version(1)), limits)]),
        rows,
        money: CouponMoney {
            coupon,
            kept: shop.store.usage(claim(1, &user("ann"))),
            budget: Some(BUDGET),
        },
    }
}

fn audit(facts: &Facts) -> Vec<Check> {
    let mut audit = RedemptionAudit::new(facts.limits.clone());
    for rows in &facts.rows {
        audit.look_at(rows);
    }
    audit.finish(&[facts.money])
}

fn assert_seen(invariant: u8, what: &str, break_it: impl FnOnce(&mut Facts)) {
    let mut facts = facts();
    break_it(&mut facts);
    let checks = audit(&facts);
    let seen = checks
        .iter()
        .any(|check| check.invariant == invariant && check.status == CheckStatus::Violated);
    assert!(seen, "{what} was not seen: {checks:#?}");
}

#[test]
fn sound_rows_hold_and_everything_was_looked_at() {
    let checks = audit(&facts());
    assert_eq!(verdict(&checks), Verdict::Exact, "{checks:#?}");
    for check in checks {
        assert!(check.examined > 0, "{} looked at nothing", check.name);
    }
}

#[test]
fn what_spans_redemptions_is_unchecked_where_they_moved() {
    let mut facts = facts();
    // A claim that went from one order to another between two pages is seen with both.
    let mut twin = facts.rows[0].clone();
    twin.redemption.order = "o-9".parse().unwrap();
    twin.redemption.id.0[0] ^= 1;
    for held in &mut twin.uses {
        (held.redemption, held.order) = (twin.redemption.id, twin.redemption.order.clone());
    }
    for event in &mut twin.events {
        event.redemption = twin.redemption.id;
    }
    facts.rows.push(twin);
    assert_eq!(verdict(&audit(&facts)), Verdict::Violated);
    let moving = |facts: &Facts| {
        let mut audit = RedemptionAudit::new(facts.limits.clone());
        facts.rows.iter().for_each(|rows| audit.look_at(rows));
        audit.finish_moving(&[facts.money], "redemptions moved")
    };
    assert_eq!(verdict(&moving(&facts)), Verdict::Unchecked);
    facts.money.budget = Some(facts.money.kept.value - 1);
    let checks = moving(&facts);
    let broken = checks
        .iter()
        .filter(|check| check.status == CheckStatus::Violated);
    assert_eq!(
        broken.map(|check| check.invariant).collect::<Vec<_>>(),
        [10]
    );
}

#[test]
fn invariant_9_a_path_with_a_gap_a_forbidden_arrow_or_another_end_is_seen() {
    let breaks: [Break<RedemptionRows>; 12] = [
        ("a missing event", |rows| {
            rows.events.remove(1);
        }),
        ("a missing last event", |rows| {
            rows.events.pop();
        }),
        ("an event twice", |rows| {
            let last = rows.events[2].clone();
            rows.events.push(last);
        }),
        ("a gap in row versions", |rows| {
            rows.events[2].row_version.0 = 4
        }),
        ("an arrow that does not exist", |rows| {
            rows.events[2].from = Some(RedemptionStatus::Held);
        }),
        ("an end that is not the row's", |rows| {
            rows.redemption.status = RedemptionStatus::Confirmed;
        }),
        ("a row version that no event led to", |rows| {
            rows.redemption.row_version.0 += 1;
        }),
        ("one operation id for two events", |rows| {
            rows.events[1].operation_id = rows.events[2].operation_id.clone();
        }),
        ("an event of another redemption", |rows| {
            rows.events[0].redemption = Shop::id("another");
        }),
        ("an answer that cannot be read", |rows| {
            rows.events[1].result.clear()
        }),
        ("a refund that no event made", |rows| {
            rows.redemption.refunds[0].amount -= 1;
        }),
        ("an end of the hold that nobody was told", |rows| {
            rows.redemption.held_until = rows.redemption.held_until.plus_millis(1);
        }),
    ];
    for (what, break_it) in breaks {
        assert_seen(9, what, |facts| break_it(&mut facts.rows[1]));
    }
}

#[test]
fn invariant_9_a_hold_cut_short_is_seen() {
    let mut shop = sound();
    shop.pass_holds();
    done(shop.run("o-1", &Command::Expire));
    let rows = |shop: &Shop| {
        let all = shop.store.rows().into_iter();
        let mut of_order = all.filter(|rows| rows.redemption.order.as_str() == "o-1");
        of_order.next().unwrap()
    };
    let sound = rows(&shop);
    let mut early = sound.clone();
    early.events[1].at = sound.redemption.held_until.plus_millis(-1);
    for (rows, status) in [(sound, CheckStatus::Held), (early, CheckStatus::Violated)] {
        let mut check = Check::new(9, "paths");
        paths::look_at(&mut check, &rows);
        assert_eq!(check.status, status);
    }
}

#[test]
fn invariant_9_uses_that_are_not_their_redemptions_are_seen() {
    let breaks: [Break<Facts>; 9] = [
        ("a hold without its use", |facts| {
            facts.rows[0].uses.clear();
        }),
        ("a paid order without its use", |facts| {
            facts.rows[1].uses.clear();
        }),
        ("a hold that spent", |facts| {
            facts.rows[0].uses[0].held_until = None
        }),
        ("a paid order that only holds", |facts| {
            let until = facts.rows[1].redemption.held_until;
            facts.rows[1].uses[0].held_until = Some(until);
        }),
        ("a hold until another time", |facts| {
            let until = facts.rows[0].uses[0].held_until.unwrap();
            facts.rows[0].uses[0].held_until = Some(until.plus_millis(1));
        }),
        ("a use of another claim", |facts| {
            facts.rows[0].uses[0].claim_id = claim(1, &user("dan"));
        }),
        ("a use beyond the claim's", |facts| {
            facts.rows[0].uses[0].use_number = 2
        }),
        ("one use had by two", |facts| {
            let taken = facts.rows[0].uses[0].clone();
            facts.rows[1].uses.push(taken);
        }),
        ("a use under terms that nobody knows", |facts| {
            facts.limits.clear()
        }),
    ];
    for (what, break_it) in breaks {
        assert_seen(9, what, break_it);
    }
}

#[test]
fn invariant_9_more_uses_in_a_period_than_allowed_are_seen() {
    for (limit, seen) in [(2, false), (1, true)] {
        let mut facts = facts();
        for limits in facts.limits.values_mut() {
            limits.uses_per_user = Some(limit);
        }
        for rows in &mut facts.rows {
            rows.uses[0].period = Some(format!("2026-W{}", rows.redemption.user));
        }
        // Two uses of one user in one period.
        facts.rows[1].redemption.user = user("ann");
        facts.rows[1].uses[0].period = facts.rows[0].uses[0].period.clone();
        let violated = audit(&facts)
            .iter()
            .any(|check| check.name == super::SHARED && check.status == CheckStatus::Violated);
        assert_eq!(violated, seen, "limit {limit}");
    }
    assert_seen(9, "a use without its period", |facts| {
        for limits in facts.limits.values_mut() {
            limits.uses_per_user = Some(9);
        }
    });
}

#[test]
fn invariant_10_amounts_that_do_not_add_up_are_seen() {
    let breaks: [Break<Redemption>; 9] = [
        ("a total", |row| row.record.quote.total += 1),
        ("a discount", |row| row.record.quote.discount += 1),
        ("a value", |row| row.record.quote.applied[0].value += 1),
        ("a share", |row| {
            row.record.quote.applied[0].lines[0].off += 1
        }),
        ("a subtotal", |row| row.record.quote.subtotal += 1),
        ("a line taken below zero", |row| {
            row.record.quote.applied[0].lines[0].off = 9_001;
            row.record.quote.applied[0].value = 9_001;
        }),
        ("more given back than paid", |row| {
            row.refunds[0].amount = 9_001
        }),
        ("a negative refund", |row| row.refunds[0].amount = -1),
        ("more pieces back than sold", |row| {
            row.refunds[0].lines[0].quantity = 4
        }),
    ];
    for (what, break_it) in breaks {
        assert_seen(10, what, |facts| break_it(&mut facts.rows[1].redemption));
    }
    assert_seen(10, "a full refund that kept something", |facts| {
        facts.rows[2].redemption.refunds[0].amount -= 1;
    });
}

#[test]
fn invariant_10_a_budget_that_is_exceeded_is_seen() {
    let spent = facts().money.kept.value;
    assert_eq!(
        spent,
        500 + 334,
        "held, partly refunded, and nothing for the refunded one"
    );
    assert_seen(10, "a budget", |facts| facts.money.budget = Some(spent - 1));
    let mut facts = facts();
    facts.money.budget = Some(spent);
    assert_eq!(verdict(&audit(&facts)), Verdict::Exact);
}

#[test]
fn invariant_13_counters_orders_and_claims_without_their_rows_are_seen() {
    assert_seen(13, "a counted use that is not there", |facts| {
        facts.money.kept.uses += 1
    });
    assert_seen(13, "a counted value that is not there", |facts| {
        facts.money.kept.value -= 1
    });
    assert_seen(13, "two redemptions of one order", |facts| {
        let order = facts.rows[0].redemption.order.clone();
        facts.rows[1].redemption.order = order;
    });
}

#[test]
fn invariant_13_a_use_of_a_claim_that_is_not_there_or_anothers_is_seen() {
    use crate::claim::{ClaimRow, Durability};
    use crate::coupon::ClaimLimits;
    use crate::id::{LeaseNumber, Revision, Ticket, Version};
    use crate::lease::Stock;
    use crate::time::Timestamp;

    let rows = ["ann", "ben", "cleo"].map(|name| ClaimRow {
        claim_id: claim(1, &user(name)),
        coupon: CouponId(1),
        user: user(name),
        lease: LeaseNumber(1),
        ticket: Ticket(1),
        revision: Revision(1),
        version: Version(1),
        granted_at: Timestamp::MIN,
        durability: Durability::Ledger,
        device: None,
        address: None,
        revoked: false,
    });
    let mut coupon = CouponRows {
        coupon: CouponId(1),
        stock: Stock::default(),
        leases: Vec::new(),
        rows: rows.to_vec(),
        limits: ClaimLimits {
            total: None,
            per_user: 1,
            per_device: None,
            per_address: None,
        },
    };
    let facts = facts();
    let violated =
        |coupon: &CouponRows| used_claims_exist(&facts.rows, std::slice::from_ref(coupon)).violated;
    assert_eq!(violated(&coupon), 0);
    coupon.rows[0].user = user("eve");
    assert_eq!(violated(&coupon), 1);
    coupon.rows.clear();
    assert_eq!(violated(&coupon), 3);
}
