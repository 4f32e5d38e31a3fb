//! What an operator writes, written back.

use serde::Serialize;

use crate::claim::Durability;
use crate::coupon::{ClaimWindow, CouponSpec, Distribution};
use crate::id::UserId;
use crate::money;
use crate::terms::{
    Benefit, BudgetPartial, Conditions, Currency, MinSpendBase, MinorUnits, ProductSet, Stacking,
    Terms, Users, UsesPerUser, Validity, Verified, Weekday, WeeklyWindow,
};
use crate::words;

/// The API form of a [`CouponSpec`]: every field present, defaults included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Definition {
    name: String,
    description: String,
    code: Option<String>,
    currency: Currency,
    benefit: BenefitBody,
    conditions: ConditionsBody,
    stacking: Stacking,
    limits: LimitsBody,
    distribution: Vec<Distribution>,
    claim_window: ClaimWindow,
    validity: Validity,
    durability: Durability,
    shards: u16,
    template: Option<String>,
    notes: String,
}

/// What the coupon gives, with amounts as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum BenefitBody {
    Threshold {
        tiers: Vec<TierBody>,
    },
    Percent {
        basis_points: u16,
        max_off: Option<String>,
    },
    Fixed {
        off: String,
    },
    Product {
        sku: String,
        quantity: u32,
        max_value: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TierBody {
    spend: String,
    off: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ConditionsBody {
    min_spend: Option<String>,
    min_spend_base: MinSpendBase,
    products: ProductsBody,
    users: UsersBody,
    verified: Vec<Verified>,
    windows: Vec<WindowBody>,
    channels: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ProductsBody {
    include: ProductSet,
    exclude: ProductSet,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct UsersBody {
    kind: &'static str,
    groups: Vec<String>,
    ids: Vec<UserId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WindowBody {
    days: Vec<Weekday>,
    from: String,
    to: String,
    zone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LimitsBody {
    total: Option<u64>,
    per_user: u16,
    per_device: Option<u16>,
    per_ip: Option<u16>,
    uses_per_claim: u32,
    uses_per_user: Option<UsesPerUser>,
    budget: Option<String>,
    budget_partial: BudgetPartial,
}

impl Definition {
    /// The API form of what an operator wrote.
    #[must_use]
    pub fn of(spec: &CouponSpec) -> Self {
        let terms = &spec.terms;
        Self {
            name: terms.name.clone(),
            description: terms.description.clone(),
            code: spec.code.clone(),
            currency: terms.currency,
            benefit: BenefitBody::of(&terms.benefit, terms.currency),
            conditions: ConditionsBody::of(&terms.conditions, terms.currency),
            stacking: terms.stacking.clone(),
            limits: LimitsBody::of(spec, terms),
            distribution: spec.distribution.clone(),
            claim_window: spec.window,
            validity: terms.validity.clone(),
            durability: spec.durability,
            shards: spec.shards,
            template: spec.template.clone(),
            notes: spec.notes.clone(),
        }
    }
}

impl BenefitBody {
    pub(super) fn of(benefit: &Benefit, currency: Currency) -> Self {
        let amount = |minor: MinorUnits| money::format(minor, currency);
        match benefit {
            Benefit::Threshold { tiers } => Self::Threshold {
                tiers: tiers
                    .iter()
                    .map(|tier| TierBody {
                        spend: amount(tier.spend),
                        off: amount(tier.off),
                    })
                    .collect(),
            },
            Benefit::Percent {
                basis_points,
                max_off,
            } => Self::Percent {
                basis_points: *basis_points,
                max_off: max_off.map(amount),
            },
            Benefit::Fixed { off } => Self::Fixed { off: amount(*off) },
            Benefit::Product {
                sku,
                quantity,
                max_value,
            } => Self::Product {
                sku: sku.clone(),
                quantity: *quantity,
                max_value: max_value.map(amount),
            },
        }
    }
}

impl ConditionsBody {
    fn of(conditions: &Conditions, currency: Currency) -> Self {
        Self {
            min_spend: conditions
                .min_spend
                .map(|minor| money::format(minor, currency)),
            min_spend_base: conditions.min_spend_base,
            products: ProductsBody::of(conditions),
            users: UsersBody::of(&conditions.users),
            verified: conditions.verified.clone(),
            windows: conditions.windows.iter().map(WindowBody::of).collect(),
            channels: conditions.channels.clone(),
        }
    }
}

impl ProductsBody {
    pub(super) fn of(conditions: &Conditions) -> Self {
        Self {
            include: conditions.include.clone(),
            exclude: conditions.exclude.clone(),
        }
    }
}

impl UsersBody {
    fn of(users: &Users) -> Self {
        let (groups, ids) = match users {
            Users::Groups { groups } => (groups.clone(), Vec::new()),
            Users::Ids { ids } => (Vec::new(), ids.clone()),
            Users::All | Users::New | Users::Existing => (Vec::new(), Vec::new()),
        };
        Self {
            kind: kind(users),
            groups,
            ids,
        }
    }
}

impl WindowBody {
    pub(super) fn of(window: &WeeklyWindow) -> Self {
        Self {
            days: window.days.clone(),
            from: words::clock(window.from_minute),
            to: words::clock(window.to_minute),
            zone: window.zone.clone(),
        }
    }
}

impl LimitsBody {
    fn of(spec: &CouponSpec, terms: &Terms) -> Self {
        Self {
            total: spec.limits.total,
            per_user: spec.limits.per_user,
            per_device: spec.limits.per_device,
            per_ip: spec.limits.per_address,
            uses_per_claim: terms.uses_per_claim,
            uses_per_user: terms.uses_per_user,
            budget: terms
                .budget
                .map(|minor| money::format(minor, terms.currency)),
            budget_partial: terms.budget_partial,
        }
    }
}

pub(super) const fn kind(users: &Users) -> &'static str {
    match users {
        Users::All => "all",
        Users::New => "new",
        Users::Existing => "existing",
        Users::Groups { .. } => "groups",
        Users::Ids { .. } => "ids",
    }
}
