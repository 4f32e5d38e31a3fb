//! Reads `cases.txt` and plays it.

use super::*;
use crate::money;
use crate::redemption::sample::Offer;
use crate::terms::{Currency, MinorUnits};

const CASES: &str = include_str!("cases.txt");

struct Case {
    name: String,
    policy: RefundPolicy,
    cart: Cart,
    offers: Vec<Offer>,
    paid: MinorUnits,
    /// What comes back, the refund, and what is owed after it.
    returns: Vec<(Wanted, MinorUnits, MinorUnits)>,
}

impl Case {
    fn read(block: &str) -> Self {
        let mut rows = block.lines().filter(|row| !row.starts_with('#'));
        let mut case = Self {
            name: rows.next().unwrap().to_owned(),
            policy: RefundPolicy::KeepAllocation,
            cart: cart(Vec::new(), 0),
            offers: Vec::new(),
            paid: -1,
            returns: Vec::new(),
        };
        for row in rows {
            let (word, rest) = row.trim().split_once(' ').unwrap();
            case.read_row(word, rest.trim());
        }
        assert!(case.paid >= 0 && !case.returns.is_empty(), "{block}");
        case
    }

    fn read_row(&mut self, word: &str, rest: &str) {
        let amount = |text: &str| money::parse(text.trim(), self.cart.currency).unwrap();
        match word {
            "policy" => {
                self.policy = match rest {
                    "keep" => RefundPolicy::KeepAllocation,
                    "re-evaluate" => RefundPolicy::Reevaluate,
                    _ => panic!("policy {rest}"),
                };
            }
            "currency" => self.cart.currency = Currency::new(rest).unwrap(),
            "line" => {
                let (quantity, rest) = rest.split_once(' ').unwrap();
                let (id, price) = rest.split_once(" at ").unwrap();
                let line = line(id, quantity.parse().unwrap(), amount(price));
                self.cart.lines.push(line);
            }
            "shipping" => self.cart.shipping = amount(rest),
            "coupon" => {
                let deal = if let Some(rest) = rest.strip_prefix("spend ") {
                    let (spend, gift) = rest.split_once(" get ").unwrap();
                    let spend = amount(spend);
                    match gift.strip_suffix(" off") {
                        Some(off) => Deal::Spend {
                            spend,
                            off: amount(off),
                        },
                        None if gift == "free shipping" => Deal::FreeShipping { spend },
                        None => panic!("coupon {rest}"),
                    }
                } else {
                    let percent = rest.strip_suffix("% off").unwrap();
                    Deal::Percent(percent.parse::<i64>().unwrap() * 100)
                };
                let number = u32::try_from(self.offers.len()).unwrap() + 1;
                self.offers.push((claim(number, &user("ann")), deal));
            }
            "paid" => self.paid = amount(rest),
            "return" => {
                let (what, money) = rest.split_once(" -> ").unwrap();
                let (refund, owed) = money.split_once(" owed ").unwrap_or((money, "0"));
                let wanted = if what.trim() == "everything" {
                    Wanted::Everything
                } else {
                    let lines = what.split(',').map(|line| {
                        let (quantity, id) = line.trim().split_once(' ').unwrap();
                        (id, quantity.parse().unwrap())
                    });
                    pieces(&lines.collect::<Vec<_>>())
                };
                let row = (wanted, amount(refund), amount(owed));
                self.returns.push(row);
            }
            _ => panic!("{word}"),
        }
    }

    fn play(&self) {
        let name = &self.name;
        let record = any_record(&self.cart, &self.offers);
        assert_eq!(record.quote.total, self.paid, "{name}: paid");
        let mut refunds = Vec::new();
        for (index, (wanted, amount, owed)) in self.returns.iter().enumerate() {
            let settled = give_back(&record, self.policy, &mut refunds, wanted, |kept| {
                price(kept, &self.offers)
            });
            let settled = settled.unwrap();
            let found = (settled.amount, settled.owed);
            assert_eq!(found, (*amount, *owed), "{name}: return {}", index + 1);
        }
    }
}

#[test]
fn every_case_gives_back_what_the_merchant_expects() {
    let cases: Vec<Case> = CASES
        .split("\n\n")
        .filter(|block| {
            block
                .lines()
                .any(|row| !row.starts_with('#') && !row.is_empty())
        })
        .map(|block| Case::read(block.trim_start_matches('\n').trim_end()))
        .collect();
    for case in &cases {
        case.play();
    }
    assert!(cases.len() >= 25, "only {} cases were read", cases.len());
    for currency in ["USD", "JPY", "KWD"] {
        let currency = Currency::new(currency).unwrap();
        assert!(cases.iter().any(|case| case.cart.currency == currency));
    }
}
