//! Refunds in a merchant's words (`tests/cases.txt`), what is refused, and properties.

mod cases;
mod properties;

use super::*;
use crate::redemption::sample::{Deal, any_record, by_claim, cart, claim, line, price};
use crate::sample::{at, user};

fn pieces(lines: &[(&str, u32)]) -> Wanted {
    let lines = lines.iter().map(|(id, quantity)| RefundLine {
        id: (*id).to_owned(),
        quantity: *quantity,
    });
    Wanted::Pieces(lines.collect())
}

/// Makes a refund, as the state machine does.
fn give_back(
    record: &QuoteRecord,
    policy: RefundPolicy,
    refunds: &mut Vec<Refund>,
    wanted: &Wanted,
    reprice: impl Fn(&Cart) -> Quote,
) -> Result<Settlement, RefundRefusal> {
    let settlement = settle(record, policy, refunds, wanted, reprice)?;
    refunds.push(Refund {
        refund_id: format!("r-{}", refunds.len()),
        lines: match wanted {
            Wanted::Everything => Vec::new(),
            Wanted::Pieces(lines) => lines.clone(),
        },
        full: *wanted == Wanted::Everything,
        amount: settlement.amount,
        owed: settlement.owed,
        claims_returned: Vec::new(),
        values: settlement.values.clone(),
        at: at("2026-11-27T12:00:00Z"),
    });
    Ok(settlement)
}

#[test]
fn what_cannot_come_back_is_named_line_by_line() {
    let cart = cart(vec![line("shoes", 3, 3_000), line("bag", 1, 2_000)], 0);
    let record = any_record(&cart, &[]);
    let policy = RefundPolicy::KeepAllocation;
    let mut refunds = Vec::new();
    let reprice = |kept: &Cart| price(kept, &[]);
    let first = pieces(&[("shoes", 2), ("bag", 1)]);
    give_back(&record, policy, &mut refunds, &first, reprice).unwrap();
    for (lines, pointer, message) in [
        (
            vec![("hat", 1)],
            "/lines/0/id",
            "is hat, and the order has no such line",
        ),
        (
            vec![("shoes", 1), ("shoes", 1)],
            "/lines/1/id",
            "names line shoes twice; say it once",
        ),
        (
            vec![("shoes", 2)],
            "/lines/0/quantity",
            "is 2; 1 to 1 pieces of line shoes can come back",
        ),
        (
            vec![("shoes", 0)],
            "/lines/0/quantity",
            "is 0; 1 to 1 pieces of line shoes can come back",
        ),
        (
            vec![("shoes", u32::MAX)],
            "/lines/0/quantity",
            "is 4294967295; 1 to 1 pieces of line shoes can come back",
        ),
        (
            vec![("shoes", 1), ("bag", 1)],
            "/lines/1/quantity",
            "is 1; nothing of the line is left",
        ),
        (vec![], "/lines", "is empty; name at least one line"),
    ] {
        let refused = settle(&record, policy, &refunds, &pieces(&lines), reprice);
        let expected = FieldError {
            pointer: pointer.to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(
            refused,
            Err(RefundRefusal::Lines(vec![expected])),
            "{lines:?}"
        );
    }
    give_back(&record, policy, &mut refunds, &Wanted::Everything, reprice).unwrap();
    for wanted in [Wanted::Everything, pieces(&[("shoes", 1)])] {
        let refused = settle(&record, policy, &refunds, &wanted, reprice);
        assert_eq!(refused, Err(RefundRefusal::NothingLeft));
    }
}

#[test]
fn refunds_are_bounded_and_the_last_one_gives_back_the_rest() {
    let cart = cart(vec![line("pins", 1_000, 10)], 0);
    let record = any_record(&cart, &[]);
    let policy = RefundPolicy::KeepAllocation;
    let reprice = |kept: &Cart| price(kept, &[]);
    let mut refunds = Vec::new();
    let one = pieces(&[("pins", 1)]);
    for _ in 1..REFUNDS_MAX {
        give_back(&record, policy, &mut refunds, &one, reprice).unwrap();
    }
    let refused = settle(&record, policy, &refunds, &one, reprice);
    assert_eq!(refused, Err(RefundRefusal::TooMany));
    let rest = give_back(&record, policy, &mut refunds, &Wanted::Everything, reprice).unwrap();
    assert!(rest.complete);
    assert_eq!(refunds.len(), REFUNDS_MAX);
    assert_eq!(
        refunds.iter().map(|refund| refund.amount).sum::<i64>(),
        10_000
    );
}

/// The first claim falls away with the second return, and the other, a share of what it left, would
/// give more for less.
#[test]
fn a_refund_gives_no_new_discount_and_takes_no_budget_again() {
    let ann = user("ann");
    let offers = [
        (
            claim(1, &ann),
            Deal::Spend {
                spend: 10_000,
                off: 5_000,
            },
        ),
        (claim(2, &ann), Deal::Percent(1_000)),
    ];
    let cart = cart(vec![line("a", 1, 10_000), line("b", 9, 1_000)], 0);
    let record = any_record(&cart, &offers);
    assert_eq!(
        (record.quote.applied[0].value, record.quote.applied[1].value),
        (5_000, 1_400)
    );
    let reprice = |kept: &Cart| price(kept, &offers);
    let policy = RefundPolicy::Reevaluate;
    let mut refunds = Vec::new();
    // 100.00 is kept: 50.00 off, then a tenth of the other half.
    give_back(&record, policy, &mut refunds, &pieces(&[("b", 9)]), reprice).unwrap();
    assert_eq!(by_claim(&refunds[0].values)[&offers[1].0], 500);
    // 90.00 would be kept: a tenth of it is more than before, and is not taken from the budget.
    let mut kept = Returned::new();
    kept.insert("a".to_owned(), 1);
    assert_eq!(due(&record, policy, &kept, reprice).values[1].value, 900);
    let earlier = Refund {
        values: refunds[0].values.clone(),
        ..refunds[0].clone()
    };
    let values = not_above(due(&record, policy, &kept, reprice).values, Some(&earlier));
    assert_eq!(values[1].value, 500);
    // And where it would be more than for the whole order, the shopper pays the difference.
    let offers = [
        (
            claim(1, &ann),
            Deal::Spend {
                spend: 15_000,
                off: 15_000,
            },
        ),
        (claim(2, &ann), Deal::Percent(1_000)),
    ];
    let record = any_record(&cart, &offers);
    assert_eq!(record.quote.applied[1].value, 400);
    let reprice = |kept: &Cart| price(kept, &offers);
    let mut returned = Returned::new();
    returned.insert("b".to_owned(), 9);
    let due = due(&record, policy, &returned, reprice);
    assert_eq!(due.values[1].value, 400);
    assert_eq!(due.amount, 0, "paid 36.00, and the kept piece costs 96.00");
}
