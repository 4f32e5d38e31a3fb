//! Arbitrary coupons that are valid, and arbitrary JSON that hardly ever is.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::Value;

use crate::claim::Durability;
use crate::coupon::{ClaimLimits, ClaimWindow, CouponSpec, Distribution};
use crate::id::UserId;
use crate::terms::{
    Benefit, BudgetPartial, Conditions, Currency, MinSpendBase, MinorUnits, Period, ProductSet,
    RelativeEnd, Stacking, StackingBase, StackingGroup, Stage, Terms, Tier, Users, UsesPerUser,
    Validity, Verified, Weekday, WeeklyWindow,
};
use crate::time::Timestamp;

const ZONES: &[&str] = &["UTC", "Europe/Berlin", "Asia/Shanghai", "America/New_York"];

pub(super) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-2_i64..2_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        select(vec![
            "USD",
            "5.00",
            "-1",
            "fixed",
            "percent",
            "24:00",
            "mon",
            "UTC",
            "groups",
            "ids",
            "2026-11-27T00:00:00Z",
            "public",
            "code",
            "u1",
        ])
        .prop_map(Value::from),
    ];
    let names = select(vec![
        "name",
        "type",
        "kind",
        "tiers",
        "spend",
        "off",
        "limits",
        "total",
        "conditions",
        "users",
        "groups",
        "ids",
        "windows",
        "days",
        "from",
        "to",
        "zone",
        "benefit",
        "validity",
        "currency",
        "products",
        "include",
        "skus",
        "stacking",
        "x/y",
    ]);
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The pointer of some value in a tree.
pub(super) fn place(tree: Value) -> impl Strategy<Value = String> {
    fn walk(value: &Value, pointer: &str, out: &mut Vec<String>) {
        out.push(pointer.to_owned());
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    walk(value, &format!("{pointer}/{name}"), out);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    walk(value, &format!("{pointer}/{index}"), out);
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(&tree, "", &mut places);
    select(places)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Zäß漢\"\\\\][ -~]{0,20}"
}

fn labels() -> impl Strategy<Value = Vec<String>> {
    btree_set(text(), 0..4).prop_map(|set| set.into_iter().collect())
}

fn names() -> impl Strategy<Value = Vec<String>> {
    btree_set("[A-Za-z0-9_.:-]{1,12}", 0..4).prop_map(|set| set.into_iter().collect())
}

fn amount() -> impl Strategy<Value = MinorUnits> {
    prop_oneof![1_i64..100_000, 1..=crate::money::AMOUNT_MAX]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_102_444_800_000).prop_map(Timestamp::from_millis)
}

fn instants() -> impl Strategy<Value = (Timestamp, Timestamp)> {
    (instant(), 1_i64..100_000_000_000).prop_map(|(start, gap)| (start, start.plus_millis(gap)))
}

fn zone() -> impl Strategy<Value = String> {
    select(ZONES).prop_map(str::to_owned)
}

fn benefit() -> impl Strategy<Value = Benefit> {
    let tiers = vec((1_i64..10_000, 1_i64..1_000), 1..6).prop_map(|steps| {
        let mut tier = Tier { spend: 0, off: 0 };
        let tiers = steps
            .into_iter()
            .map(|(spend, off)| {
                tier = Tier {
                    spend: tier.spend + spend,
                    off: tier.off + off,
                };
                tier
            })
            .collect();
        Benefit::Threshold { tiers }
    });
    prop_oneof![
        tiers,
        (1_u16..=10_000, option::of(amount())).prop_map(|(basis_points, max_off)| {
            Benefit::Percent {
                basis_points,
                max_off,
            }
        }),
        amount().prop_map(|off| Benefit::Fixed { off }),
        (text(), 1_u32..=10_000, option::of(amount())).prop_map(|(sku, quantity, max_value)| {
            Benefit::Product {
                sku,
                quantity,
                max_value,
            }
        }),
    ]
}

fn product_set() -> impl Strategy<Value = ProductSet> {
    (labels(), labels(), labels(), labels()).prop_map(|(skus, categories, brands, tags)| {
        ProductSet {
            skus,
            categories,
            brands,
            tags,
        }
    })
}

fn users() -> impl Strategy<Value = Users> {
    let ids = btree_set("[A-Za-z0-9_-]{1,64}", 1..4).prop_map(|ids| {
        let mut ids: Vec<UserId> = ids.iter().map(|id| UserId::new(id).unwrap()).collect();
        ids.sort_unstable();
        Users::Ids { ids }
    });
    prop_oneof![
        Just(Users::All),
        Just(Users::New),
        Just(Users::Existing),
        btree_set("[a-z]{1,8}", 1..4).prop_map(|groups| Users::Groups {
            groups: groups.into_iter().collect(),
        }),
        ids,
    ]
}

fn window() -> impl Strategy<Value = WeeklyWindow> {
    use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    let days = subsequence(vec![Mon, Tue, Wed, Thu, Fri, Sat, Sun], 1..=7);
    (days, 0_u16..1_440, 0_u16..=1_440, zone()).prop_map(|(days, from_minute, to_minute, zone)| {
        WeeklyWindow {
            days,
            from_minute,
            to_minute,
            zone,
        }
    })
}

fn conditions() -> impl Strategy<Value = Conditions> {
    use MinSpendBase::{AfterThis, BeforeThis, Initial};
    (
        option::of(amount()),
        select(vec![Initial, BeforeThis, AfterThis]),
        (product_set(), product_set()),
        users(),
        subsequence(
            vec![Verified::Phone, Verified::Email, Verified::Identity],
            0..=3,
        ),
        vec(window(), 0..3),
        names(),
    )
        .prop_map(
            |(
                min_spend,
                min_spend_base,
                (include, exclude),
                users,
                verified,
                windows,
                channels,
            )| {
                Conditions {
                    min_spend,
                    min_spend_base,
                    include,
                    exclude,
                    users,
                    verified,
                    windows,
                    channels,
                }
            },
        )
}

fn stacking() -> impl Strategy<Value = Stacking> {
    (
        select(vec![Stage::Product, Stage::Order, Stage::Shipping]),
        0_u16..=1_000,
        select(vec![
            StackingGroup::Exclusive,
            StackingGroup::Combinable,
            StackingGroup::Always,
        ]),
        names(),
        select(vec![StackingBase::Initial, StackingBase::Running]),
        names(),
    )
        .prop_map(
            |(stage, priority, group, combines_with, base, tags)| Stacking {
                stage,
                priority,
                group,
                combines_with,
                base,
                tags,
            },
        )
}

fn validity() -> impl Strategy<Value = Validity> {
    prop_oneof![
        Just(Validity::Permanent),
        instants().prop_map(|(starts_at, ends_at)| Validity::Fixed { starts_at, ends_at }),
        (
            1_u16..=3_650,
            select(vec![RelativeEnd::Minute, RelativeEnd::EndOfDay]),
            zone()
        )
            .prop_map(|(days, until, zone)| Validity::Relative { days, until, zone }),
    ]
}

fn uses() -> impl Strategy<Value = UsesPerUser> {
    let periods = vec![Period::Day, Period::Week, Period::Month, Period::Lifetime];
    (1_u32..=10_000, select(periods)).prop_map(|(count, period)| UsesPerUser { count, period })
}

fn terms() -> impl Strategy<Value = Terms> {
    let currencies: Vec<Currency> = Currency::all().collect();
    let text_part = (text(), "[ -~\n]{0,40}", select(currencies));
    let use_part = (
        1_u32..=10_000,
        option::of(uses()),
        option::of(amount()),
        select(vec![BudgetPartial::Refuse, BudgetPartial::GrantRest]),
    );
    (
        text_part,
        benefit(),
        conditions(),
        stacking(),
        use_part,
        validity(),
    )
        .prop_map(
            |((name, description, currency), benefit, conditions, stacking, uses, validity)| {
                let (uses_per_claim, uses_per_user, budget, budget_partial) = uses;
                let of_a_product = matches!(benefit, Benefit::Product { .. });
                let stage = if of_a_product && stacking.stage == Stage::Shipping {
                    Stage::Product
                } else {
                    stacking.stage
                };
                let stacking = Stacking { stage, ..stacking };
                Terms {
                    name,
                    description,
                    currency,
                    benefit,
                    conditions,
                    stacking,
                    uses_per_claim,
                    uses_per_user,
                    budget,
                    budget_partial,
                    validity,
                }
            },
        )
}

fn claim_limits() -> impl Strategy<Value = ClaimLimits> {
    (
        option::of(0_u64..=1_000_000_000),
        1_u16..=100,
        option::of(1_u16..=1_000),
        option::of(1_u16..=10_000),
    )
        .prop_map(|(total, per_user, per_device, per_address)| ClaimLimits {
            total,
            per_user,
            per_device,
            per_address,
        })
}

/// A coupon that keeps every rule.
pub(super) fn spec() -> impl Strategy<Value = CouponSpec> {
    use Distribution::{Auto, Code, Public, Targeted};
    let ways = subsequence(vec![Public, Targeted, Code, Auto], 1..=4);
    let words = (
        option::of("[A-Z0-9_-]{3,32}"),
        option::of("[a-z0-9_-]{1,20}"),
        "[ -~\n]{0,40}",
    );
    let rest = (ways, option::of(instants()), any::<bool>(), words);
    (terms(), claim_limits(), rest).prop_map(
        |(terms, limits, (mut distribution, window, hot, (code, template, notes)))| {
            let listed = matches!(
                terms.conditions.users,
                Users::Groups { .. } | Users::Ids { .. }
            );
            distribution.retain(|way| *way != Targeted || listed);
            if !distribution.contains(&Public) && !distribution.contains(&Targeted) {
                distribution.insert(0, Public);
            }
            let coded = code.is_some() || distribution.contains(&Code);
            let window = match (&terms.validity, window) {
                // Claims must be usable once the window opens.
                (Validity::Fixed { .. }, _) | (_, None) => ClaimWindow::default(),
                (_, Some((start, end))) => ClaimWindow {
                    starts_at: Some(start),
                    ends_at: Some(end),
                },
            };
            CouponSpec {
                terms,
                code,
                limits,
                distribution,
                window,
                durability: if hot && !coded {
                    Durability::Hot
                } else {
                    Durability::Ledger
                },
                shards: 1,
                template,
                notes,
            }
        },
    )
}
