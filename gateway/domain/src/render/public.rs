//! Terms as shoppers see them: in numbers and in words.

use serde::Serialize;

use super::definition::{BenefitBody, ProductsBody, WindowBody, kind};
use crate::money;
use crate::terms::{Currency, MinSpendBase, StackingGroup, Terms, UsesPerUser, Validity, Verified};
use crate::words;

/// Terms for everybody's eyes. Names neither the users nor the groups it is for, nor the budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicTerms {
    name: String,
    description: String,
    currency: Currency,
    benefit: BenefitBody,
    min_spend: Option<String>,
    min_spend_base: MinSpendBase,
    products: ProductsBody,
    users: PublicUsers,
    verified: Vec<Verified>,
    windows: Vec<WindowBody>,
    channels: Vec<String>,
    stacking: PublicStacking,
    uses_per_claim: u32,
    uses_per_user: Option<UsesPerUser>,
    validity: Validity,
    /// The same in English, one sentence each, the benefit first.
    words: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PublicUsers {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PublicStacking {
    group: StackingGroup,
}

impl PublicTerms {
    /// The public form of terms.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        let conditions = &terms.conditions;
        Self {
            name: terms.name.clone(),
            description: terms.description.clone(),
            currency: terms.currency,
            benefit: BenefitBody::of(&terms.benefit, terms.currency),
            min_spend: conditions
                .min_spend
                .map(|minor| money::format(minor, terms.currency)),
            min_spend_base: conditions.min_spend_base,
            products: ProductsBody::of(conditions),
            users: PublicUsers {
                kind: kind(&conditions.users),
            },
            verified: conditions.verified.clone(),
            windows: conditions.windows.iter().map(WindowBody::of).collect(),
            channels: conditions.channels.clone(),
            stacking: PublicStacking {
                group: terms.stacking.group,
            },
            uses_per_claim: terms.uses_per_claim,
            uses_per_user: terms.uses_per_user,
            validity: terms.validity.clone(),
            words: words::sentences(terms),
        }
    }
}
