//! Terms: the part of a coupon that a claim freezes.
//!
//! They are immutable per version and content-addressed: two versions with the same terms have the
//! same hash. The serialized form here is the stored one; the API
//! has its own in [`crate::input`].

mod content_hash;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

pub use content_hash::TermsHash;
pub(crate) use content_hash::canonical;

/// An amount in minor units of the coupon's currency. Never negative in a definition.
pub type MinorUnits = i64;

/// An ISO 4217 currency, three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(pub [u8; 3]);

/// What the coupon gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Benefit {
    /// "Spend X, get Y off": the best tier reached applies.
    Threshold {
        /// Rising in both numbers, never empty.
        tiers: Vec<Tier>,
    },
    /// A share of the eligible sum.
    Percent {
        /// Hundredths of a percent, 1 to 10,000.
        basis_points: u16,
        /// At most this much.
        max_off: Option<MinorUnits>,
    },
    /// A fixed amount.
    Fixed {
        /// The amount, above 0.
        off: MinorUnits,
    },
    /// A named product.
    Product {
        /// The product.
        sku: String,
        /// How many of it, from 1.
        quantity: u32,
        /// At most this much of its price.
        max_value: Option<MinorUnits>,
    },
}

/// One tier of a threshold benefit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Spend at least this.
    pub spend: MinorUnits,
    /// To get this off.
    pub off: MinorUnits,
}

/// Which amount the minimum spend is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinSpendBase {
    /// The initial amount of the eligible items.
    #[default]
    Initial,
    /// What is left before this coupon.
    BeforeThis,
    /// What is left after this coupon.
    AfterThis,
}

/// Products by attribute; empty lists say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProductSet {
    /// Stock keeping units.
    pub skus: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Brands.
    pub brands: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// Who may claim and use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Users {
    /// Everybody.
    #[default]
    All,
    /// Without a paid order.
    New,
    /// With a paid order.
    Existing,
    /// Members of any of these groups.
    Groups {
        /// Sorted, never empty.
        groups: Vec<String>,
    },
    /// Exactly these users.
    Ids {
        /// Sorted, never empty.
        ids: Vec<crate::id::UserId>,
    },
}

/// An attribute the shopper must have had verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// A phone number.
    Phone,
    /// An e-mail address.
    Email,
    /// A person's identity.
    Identity,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// A window that comes back each week, in a time zone. Where `to` is not after `from` it ends on
/// the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeeklyWindow {
    /// Days on which it starts; sorted, never empty.
    pub days: Vec<Weekday>,
    /// Minute of the local day at which it opens, 0 to 1,439.
    pub from_minute: u16,
    /// Minute of the local day at which it closes, 0 to 1,440.
    pub to_minute: u16,
    /// IANA name of the zone.
    pub zone: String,
}

/// What must hold for the coupon to be claimed and used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conditions {
    /// Spend at least this.
    pub min_spend: Option<MinorUnits>,
    /// Compared with what.
    pub min_spend_base: MinSpendBase,
    /// Products it applies to; all where empty.
    pub include: ProductSet,
    /// Products it never applies to.
    pub exclude: ProductSet,
    /// Who.
    pub users: Users,
    /// Sorted.
    pub verified: Vec<Verified>,
    /// Any of these; always where empty.
    pub windows: Vec<WeeklyWindow>,
    /// Any of these channels; all where empty.
    pub channels: Vec<String>,
}

/// Where in the order of discounts it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// On products.
    Product,
    /// On the order.
    #[default]
    Order,
    /// On shipping.
    Shipping,
}

/// With what it may be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackingGroup {
    /// Alone.
    Exclusive,
    /// With others of its kind.
    #[default]
    Combinable,
    /// With everything.
    Always,
}

/// What a discount is computed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackingBase {
    /// The initial amount.
    Initial,
    /// What earlier coupons left.
    #[default]
    Running,
}

/// How it stacks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stacking {
    /// The stage.
    pub stage: Stage,
    /// Smaller goes first, 0 to 1,000.
    pub priority: u16,
    /// The group.
    pub group: StackingGroup,
    /// Coupon ids or tags it combines with; both sides must agree.
    pub combines_with: Vec<String>,
    /// The base.
    pub base: StackingBase,
    /// Its own tags.
    pub tags: Vec<String>,
}

/// The period a use limit counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
    /// For ever.
    Lifetime,
}

/// How often one user may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsesPerUser {
    /// Uses, from 1.
    pub count: u32,
    /// In this period.
    pub period: Period,
}

/// What happens when the budget is nearly gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPartial {
    /// Refuse.
    #[default]
    Refuse,
    /// Grant the part left.
    GrantRest,
}

/// When a claim may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Validity {
    /// Between two instants.
    Fixed {
        /// From.
        starts_at: Timestamp,
        /// Before.
        ends_at: Timestamp,
    },
    /// Some days from the claim.
    Relative {
        /// 1 to 3,650.
        days: u16,
        /// To the minute, or to the end of the local day.
        until: RelativeEnd,
        /// IANA name of the zone.
        zone: String,
    },
    /// For ever.
    Permanent,
}

/// Where a relative validity ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelativeEnd {
    /// That many times 24 hours later, to the minute.
    Minute,
    /// At the end of the local day.
    EndOfDay,
}

/// The frozen part of a coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Shown to shoppers, 1 to 200 characters.
    pub name: String,
    /// Shown to shoppers, at most 2,000 characters.
    pub description: String,
    /// The currency of all amounts.
    pub currency: Currency,
    /// What it gives.
    pub benefit: Benefit,
    /// What must hold.
    pub conditions: Conditions,
    /// How it stacks.
    pub stacking: Stacking,
    /// Uses of one claim, from 1.
    pub uses_per_claim: u32,
    /// Uses by one user.
    pub uses_per_user: Option<UsesPerUser>,
    /// Cap on the total discount.
    pub budget: Option<MinorUnits>,
    /// What happens at the cap.
    pub budget_partial: BudgetPartial,
    /// When a claim may be used.
    pub validity: Validity,
}

// === impl Currency ===

impl Currency {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let code: [u8; 3] = text
            .as_bytes()
            .try_into()
            .map_err(|_length| serde::de::Error::custom("is not a three-letter currency"))?;
        Ok(Self(code))
    }
}

#[cfg(test)]
mod tests;
