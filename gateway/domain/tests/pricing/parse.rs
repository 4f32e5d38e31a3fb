//! Reads `cases.txt`. The file says at its head how it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::id::{ClaimId, UserId, Version};
use sluice_domain::money;
use sluice_domain::pricing::{Candidate, Choose, ClaimStanding, OrderLimits, QuoteInput};
use sluice_domain::terms::{
    Benefit, BudgetPartial, Currency, MinSpendBase, Period, ProductSet, StackingBase,
    StackingGroup, Stage, Terms, Tier, Users, UsesPerUser, Verified, Weekday, WeeklyWindow,
};
use sluice_domain::time::Timestamp;

use super::worlds::{NOW, candidate, input, terms};

/// One case: what is asked, and what is expected.
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) input: QuoteInput,
    /// Coupons by their letter, in the order of the file.
    pub(crate) names: BTreeMap<String, usize>,
    pub(crate) expected: Vec<String>,
}

pub(crate) fn cases(text: &str) -> Vec<Case> {
    text.split("\n== ").skip(1).map(case).collect()
}

fn case(text: &str) -> Case {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut case = Case {
        title: lines.next().unwrap().trim().to_owned(),
        input: input(
            Cart {
                currency: Currency(*b"USD"),
                lines: Vec::new(),
                shipping: 0,
                channel: None,
            },
            Vec::new(),
        ),
        names: BTreeMap::new(),
        expected: Vec::new(),
    };
    case.input.choose = Choose::Given;
    for line in lines {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match word {
            "cart" => cart(&mut case.input.cart, rest),
            "line" => case
                .input
                .cart
                .lines
                .push(cart_line(rest, case.input.cart.currency)),
            "coupon" => coupon(&mut case, rest),
            "claim" => claim(&mut case, rest),
            "buyer" => buyer(&mut case.input, rest),
            "limits" => limits(&mut case.input.limits, rest),
            "now" => case.input.now = rest.parse().unwrap(),
            "best" => case.input.choose = Choose::Best,
            "expect" => case.expected.push(rest.to_owned()),
            other => panic!("{}: {other} is not known", case.title),
        }
    }
    case
}

fn cart(cart: &mut Cart, text: &str) {
    for part in text.split(", ") {
        match part.split_once(' ') {
            None => cart.currency = part.parse_currency(),
            Some(("shipping", price)) => cart.shipping = money(price, cart.currency),
            Some(("in", channel)) => cart.channel = Some(channel.to_owned()),
            Some(other) => panic!("cart: {other:?} is not known"),
        }
    }
}

trait ParseCurrency {
    fn parse_currency(&self) -> Currency;
}

impl ParseCurrency for str {
    fn parse_currency(&self) -> Currency {
        Currency::new(self).unwrap()
    }
}

pub(crate) fn money(text: &str, currency: Currency) -> i64 {
    money::parse(text, currency).unwrap_or_else(|error| panic!("{text} {error}"))
}

/// `l1: 2 x A-1 at 30.00, shoes, brand x, tag new, never below 20.00`
fn cart_line(text: &str, currency: Currency) -> CartLine {
    let (id, rest) = text.split_once(": ").unwrap();
    let mut parts = rest.split(", ");
    let (quantity, rest) = parts.next().unwrap().split_once(" x ").unwrap();
    let (sku, price) = rest.split_once(" at ").unwrap();
    let mut line = CartLine {
        id: id.to_owned(),
        sku: sku.to_owned(),
        quantity: quantity.parse().unwrap(),
        unit_price: money(price, currency),
        categories: Vec::new(),
        brand: None,
        tags: Vec::new(),
        floor_price: 0,
    };
    for part in parts {
        if let Some(floor) = part.strip_prefix("never below ") {
            line.floor_price = money(floor, currency);
        } else if let Some(brand) = part.strip_prefix("brand ") {
            line.brand = Some(brand.to_owned());
        } else if let Some(tag) = part.strip_prefix("tag ") {
            line.tags.push(tag.to_owned());
        } else {
            line.categories.push(part.to_owned());
        }
    }
    line
}

fn coupon(case: &mut Case, text: &str) {
    let (name, rest) = text.split_once(": ").unwrap();
    let number = u32::try_from(case.input.candidates.len()).unwrap() + 1;
    let mut claim = candidate(number, 1, terms(Benefit::Fixed { off: 1 }));
    let mut terms = (*claim.terms).clone();
    terms.currency = case.input.cart.currency;
    terms.benefit = Benefit::Threshold { tiers: Vec::new() };
    for phrase in rest.split("; ") {
        let known = benefit(&mut terms, phrase)
            || condition(&mut terms, phrase)
            || stacking(&mut terms, phrase, case)
            || state(&mut terms, &mut claim, phrase);
        assert!(known, "{}: {phrase:?} is not known", case.title);
    }
    claim.terms = Arc::new(terms);
    case.names
        .insert(name.to_owned(), case.input.candidates.len());
    case.input.candidates.push(claim);
}

/// `b: another of a`
fn claim(case: &mut Case, text: &str) {
    let (name, of) = text.split_once(": another of ").unwrap();
    let mut claim = case.input.candidates[case.names[of]].clone();
    let serial = u8::try_from(case.input.candidates.len()).unwrap() + 1;
    let coupon = claim.facts.coupon;
    claim.facts.claim_id = ClaimId::new(coupon, [serial; 12]);
    case.names
        .insert(name.to_owned(), case.input.candidates.len());
    case.input.candidates.push(claim);
}

fn benefit(terms: &mut Terms, phrase: &str) -> bool {
    let currency = terms.currency;
    let amount = |text: &str| money(text, currency);
    if let Some((spend, off)) = phrase
        .strip_prefix("spend ")
        .and_then(|rest| rest.strip_suffix(" off")?.split_once(" get "))
    {
        let tier = Tier {
            spend: amount(spend),
            off: amount(off),
        };
        if let Benefit::Threshold { tiers } = &mut terms.benefit {
            tiers.push(tier);
        }
    } else if let Some(rest) = phrase.strip_prefix("free ") {
        let (what, most) = rest.split_once(" worth at most ").unzip();
        let (quantity, sku) = what.unwrap_or(rest).split_once(" x ").unwrap();
        terms.benefit = Benefit::Product {
            sku: sku.to_owned(),
            quantity: quantity.parse().unwrap(),
            max_value: most.map(amount),
        };
    } else if let Some((percent, rest)) = phrase.split_once("% off") {
        let hundredths = money(percent, Currency(*b"USD"));
        terms.benefit = Benefit::Percent {
            basis_points: u16::try_from(hundredths).unwrap(),
            max_off: rest.strip_prefix(", at most ").map(amount),
        };
    } else if let Some(off) = phrase.strip_suffix(" off") {
        terms.benefit = Benefit::Fixed { off: amount(off) };
    } else {
        return false;
    }
    true
}

fn condition(terms: &mut Terms, phrase: &str) -> bool {
    let currency = terms.currency;
    let conditions = &mut terms.conditions;
    if let Some(rest) = phrase.strip_prefix("at least ") {
        let (amount, base) = rest.split_once(' ').unwrap_or((rest, ""));
        conditions.min_spend = Some(money(amount, currency));
        conditions.min_spend_base = match base {
            "" => MinSpendBase::Initial,
            "left before it" => MinSpendBase::BeforeThis,
            "left after it" => MinSpendBase::AfterThis,
            other => panic!("{other:?} is not known"),
        };
    } else if let Some(rest) = phrase.strip_prefix("on ") {
        products(&mut conditions.include, rest);
    } else if let Some(rest) = phrase.strip_prefix("not on ") {
        products(&mut conditions.exclude, rest);
    } else if let Some(rest) = phrase.strip_prefix("in channel ") {
        conditions.channels = rest.split(", ").map(str::to_owned).collect();
    } else if let Some(group) = phrase.strip_prefix("for group ") {
        conditions.users = Users::Groups {
            groups: vec![group.to_owned()],
        };
    } else if let Some(user) = phrase.strip_prefix("for user ") {
        conditions.users = Users::Ids {
            ids: vec![UserId::new(user).unwrap()],
        };
    } else if let Some(rest) = phrase.strip_prefix("open ") {
        conditions.windows = vec![window(rest)];
    } else {
        match phrase {
            "for new customers" => conditions.users = Users::New,
            "for existing customers" => conditions.users = Users::Existing,
            "for a verified phone" => conditions.verified = vec![Verified::Phone],
            _ => return false,
        }
    }
    true
}

fn products(set: &mut ProductSet, text: &str) {
    for part in text.split(", ") {
        let (list, name) = match part.split_once(' ') {
            Some(("sku", name)) => (&mut set.skus, name),
            Some(("brand", name)) => (&mut set.brands, name),
            Some(("tag", name)) => (&mut set.tags, name),
            _ => (&mut set.categories, part),
        };
        list.push(name.to_owned());
    }
}

/// `fri 18:00-02:00 Asia/Shanghai`
fn window(text: &str) -> WeeklyWindow {
    let mut parts = text.split(' ');
    let day = match parts.next() {
        Some("fri") => Weekday::Fri,
        Some("sun") => Weekday::Sun,
        other => panic!("{other:?} is not known"),
    };
    let (from, to) = parts.next().unwrap().split_once('-').unwrap();
    let minute = |clock: &str| {
        let (hour, minute) = clock.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    WeeklyWindow {
        days: vec![day],
        from_minute: minute(from),
        to_minute: minute(to),
        zone: parts.next().unwrap().to_owned(),
    }
}

fn stacking(terms: &mut Terms, phrase: &str, case: &Case) -> bool {
    let stacking = &mut terms.stacking;
    if let Some(stage) = phrase.strip_prefix("stage ") {
        stacking.stage = match stage {
            "product" => Stage::Product,
            "order" => Stage::Order,
            "shipping" => Stage::Shipping,
            other => panic!("{other:?} is not known"),
        };
    } else if let Some(priority) = phrase.strip_prefix("priority ") {
        stacking.priority = priority.parse().unwrap();
    } else if let Some(partner) = phrase.strip_prefix("only with ") {
        let id = |&index: &usize| case.input.candidates[index].facts.coupon.to_string();
        let named = case.names.get(partner).map(id);
        stacking
            .combines_with
            .push(named.unwrap_or(partner.to_owned()));
    } else if let Some(tag) = phrase.strip_prefix("tagged ") {
        stacking.tags.push(tag.to_owned());
    } else {
        match phrase {
            "alone" => stacking.group = StackingGroup::Exclusive,
            "always" => stacking.group = StackingGroup::Always,
            "of first prices" => stacking.base = StackingBase::Initial,
            _ => return false,
        }
    }
    true
}

fn state(terms: &mut Terms, claim: &mut Candidate, phrase: &str) -> bool {
    let facts = &mut claim.facts;
    if let Some(rest) = phrase.strip_prefix("budget left ") {
        let (amount, partial) = rest.split_once(", ").unzip();
        facts.budget_left = Some(money(amount.unwrap_or(rest), terms.currency));
        terms.budget = Some(1_000_000);
        if partial == Some("part of it will do") {
            terms.budget_partial = BudgetPartial::GrantRest;
        }
    } else if let Some(rest) = phrase.strip_prefix("held by ") {
        let (order, until) = rest.split_once(" until ").unwrap();
        facts.standing = ClaimStanding::Held {
            order: order.parse().unwrap(),
            until: until.parse().unwrap(),
        };
    } else if let Some(end) = phrase.strip_prefix("until ") {
        facts.expires_at = Some(end.parse::<Timestamp>().unwrap());
    } else if let Some(start) = phrase.strip_prefix("from ") {
        facts.valid_from = start.parse().unwrap();
    } else if let Some(currency) = phrase.strip_prefix("in ") {
        terms.currency = currency.parse_currency();
    } else if let Some((limit, used)) = phrase
        .strip_suffix(" used")
        .and_then(|rest| rest.split_once(", "))
    {
        let (count, period) = limit.split_once(" uses a ").unwrap();
        facts.user_uses = Some(used.parse().unwrap());
        terms.uses_per_user = Some(UsesPerUser {
            count: count.parse().unwrap(),
            period: match period {
                "day" => Period::Day,
                "week" => Period::Week,
                "month" => Period::Month,
                "life" => Period::Lifetime,
                other => panic!("{other:?} is not known"),
            },
        });
    } else {
        match phrase {
            "used up" => facts.standing = ClaimStanding::Used,
            "taken back" => facts.standing = ClaimStanding::Revoked,
            "archived" => facts.archived = true,
            "version 2" => facts.version = Version(2),
            _ => return false,
        }
    }
    true
}

fn buyer(input: &mut QuoteInput, text: &str) {
    for part in text.split(", ") {
        match part.split_once(' ') {
            Some(("group", group)) => input.buyer.groups.push(group.to_owned()),
            Some(("user", user)) => input.buyer.user = UserId::new(user).unwrap(),
            Some(("verified", "phone")) => input.buyer.verified.push(Verified::Phone),
            None if part == "new" => input.buyer.is_new = Some(true),
            None if part == "existing" => input.buyer.is_new = Some(false),
            other => panic!("buyer: {other:?} is not known"),
        }
    }
}

fn limits(limits: &mut OrderLimits, text: &str) {
    for part in text.split(", ") {
        let (count, what) = part.split_once(' ').unwrap();
        let count = count.parse().unwrap();
        match what {
            "coupons" => limits.coupons = count,
            "combinable" => limits.combinable = count,
            "always" => limits.always = count,
            "of one coupon" => limits.per_coupon = count,
            other => panic!("{other:?} is not known"),
        }
    }
}

/// The instant that cases without a `now` are at, for the head of the file.
pub(crate) fn default_now() -> String {
    NOW.to_string()
}
