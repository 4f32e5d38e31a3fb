//! What must hold for the coupon to be claimed and used, and how it stacks.

use super::reader::{Node, Object, Report};
use super::text;
use crate::terms::{
    Conditions, Currency, MinSpendBase, ProductSet, Stacking, StackingBase, StackingGroup, Stage,
    Users, Verified, Weekday, WeeklyWindow,
};

/// Most entries of one list of a product set.
const PRODUCTS_MAX: usize = 1_000;
/// Most groups of users.
const GROUPS_MAX: usize = 100;
/// Most users listed one by one; more belong into a group.
const USERS_MAX: usize = 10_000;
/// Most weekly windows.
const WINDOWS_MAX: usize = 50;
/// Most entries of the other lists.
const NAMES_MAX: usize = 100;
/// Priority of a coupon that says none: the middle of what people use.
pub(super) const PRIORITY_DEFAULT: u16 = 100;

const MIN_SPEND_BASES: &[(&str, MinSpendBase)] = &[
    ("initial", MinSpendBase::Initial),
    ("before_this", MinSpendBase::BeforeThis),
    ("after_this", MinSpendBase::AfterThis),
];
const VERIFIED: &[(&str, Verified)] = &[
    ("phone", Verified::Phone),
    ("email", Verified::Email),
    ("identity", Verified::Identity),
];
const DAYS: &[(&str, Weekday)] = &[
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];
const STAGES: &[(&str, Stage)] = &[
    ("product", Stage::Product),
    ("order", Stage::Order),
    ("shipping", Stage::Shipping),
];
const STACKING_GROUPS: &[(&str, StackingGroup)] = &[
    ("exclusive", StackingGroup::Exclusive),
    ("combinable", StackingGroup::Combinable),
    ("always", StackingGroup::Always),
];
const STACKING_BASES: &[(&str, StackingBase)] = &[
    ("initial", StackingBase::Initial),
    ("running", StackingBase::Running),
];

#[derive(Clone, Copy)]
enum Kind {
    All,
    New,
    Existing,
    Groups,
    Ids,
    Audience,
}

const KINDS: &[(&str, Kind)] = &[
    ("all", Kind::All),
    ("new", Kind::New),
    ("existing", Kind::Existing),
    ("groups", Kind::Groups),
    ("ids", Kind::Ids),
    ("audience", Kind::Audience),
];

pub(super) fn read(
    node: &Node<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Conditions> {
    let object = node.object(
        report,
        &[
            "min_spend",
            "min_spend_base",
            "products",
            "users",
            "verified",
            "windows",
            "channels",
        ],
    )?;
    let min_spend = object.optional(report, "min_spend", |node, report| {
        node.positive_amount(report, currency)
    });
    let base = object.or(
        report,
        "min_spend_base",
        MinSpendBase::Initial,
        |node, report| node.word(report, MIN_SPEND_BASES),
    );
    let products = object.or(report, "products", <_>::default(), read_products);
    let users = object.or(report, "users", Users::All, read_users);
    let verified = object.or(report, "verified", Vec::new(), |node, report| {
        text::set(node, report, NAMES_MAX, |node, report| {
            node.word(report, VERIFIED)
        })
    });
    let windows = object.or(report, "windows", Vec::new(), read_windows);
    let channels = object.or(report, "channels", Vec::new(), names);
    let (include, exclude) = products?;
    Some(Conditions {
        min_spend: min_spend?,
        min_spend_base: base?,
        include,
        exclude,
        users: users?,
        verified: verified?,
        windows: windows?,
        channels: channels?,
    })
}

pub(super) fn read_stacking(node: &Node<'_>, report: &mut Report) -> Option<Stacking> {
    let object = node.object(
        report,
        &[
            "stage",
            "priority",
            "group",
            "combines_with",
            "base",
            "tags",
        ],
    )?;
    let stage = object.or(report, "stage", Stage::Order, |node, report| {
        node.word(report, STAGES)
    });
    let priority = object.or(report, "priority", PRIORITY_DEFAULT, |node, report| {
        node.small(report, 0, 1_000)
    });
    let group = object.or(
        report,
        "group",
        StackingGroup::Combinable,
        |node, report| node.word(report, STACKING_GROUPS),
    );
    let combines_with = object.or(report, "combines_with", Vec::new(), names);
    let base = object.or(report, "base", StackingBase::Running, |node, report| {
        node.word(report, STACKING_BASES)
    });
    let tags = object.or(report, "tags", Vec::new(), names);
    Some(Stacking {
        stage: stage?,
        priority: priority?,
        group: group?,
        combines_with: combines_with?,
        base: base?,
        tags: tags?,
    })
}

fn names(node: &Node<'_>, report: &mut Report) -> Option<Vec<String>> {
    text::set(node, report, NAMES_MAX, text::name)
}

fn read_products(node: &Node<'_>, report: &mut Report) -> Option<(ProductSet, ProductSet)> {
    let object = node.object(report, &["include", "exclude"])?;
    let include = object.or(report, "include", ProductSet::default(), read_product_set);
    let exclude = object.or(report, "exclude", ProductSet::default(), read_product_set);
    Some((include?, exclude?))
}

fn read_product_set(node: &Node<'_>, report: &mut Report) -> Option<ProductSet> {
    let object = node.object(report, &["skus", "categories", "brands", "tags"])?;
    let mut labels = |name| {
        object.or(report, name, Vec::new(), |node, report| {
            text::set(node, report, PRODUCTS_MAX, text::label)
        })
    };
    let (skus, categories) = (labels("skus"), labels("categories"));
    let (brands, tags) = (labels("brands"), labels("tags"));
    Some(ProductSet {
        skus: skus?,
        categories: categories?,
        brands: brands?,
        tags: tags?,
    })
}

fn read_users(node: &Node<'_>, report: &mut Report) -> Option<Users> {
    let object = node.object(report, &["kind", "groups", "ids"])?;
    let kind = object
        .require(report, "kind", "all, new, existing, groups or ids")
        .and_then(|node| match node.word(report, KINDS)? {
            Kind::Audience => node.refuse(
                report,
                "is \"audience\", which is not available yet; use \"all\", \"new\", \"existing\", \"groups\" or \"ids\"",
            ),
            kind => Some(kind),
        });
    let groups = object.or(report, "groups", Vec::new(), |node, report| {
        text::set(node, report, GROUPS_MAX, text::name)
    });
    let ids = object.or(report, "ids", Vec::new(), |node, report| {
        text::set(node, report, USERS_MAX, text::user)
    });
    let (kind, groups, ids) = (kind?, groups?, ids?);
    let with_groups = matches!(kind, Kind::Groups);
    let with_ids = matches!(kind, Kind::Ids);
    let fits = list_fits(&object, report, "groups", groups.len(), with_groups)
        & list_fits(&object, report, "ids", ids.len(), with_ids);
    if !fits {
        return None;
    }
    Some(match kind {
        Kind::All | Kind::Audience => Users::All,
        Kind::New => Users::New,
        Kind::Existing => Users::Existing,
        Kind::Groups => Users::Groups { groups },
        Kind::Ids => Users::Ids { ids },
    })
}

/// A list that the kind does not read would be a misunderstanding about who is meant; one that it
/// reads and that is empty would mean nobody.
fn list_fits(
    object: &Object<'_>,
    report: &mut Report,
    name: &str,
    found: usize,
    wanted: bool,
) -> bool {
    match (wanted, found) {
        (true, 0) => {
            report.say(
                object.at(name),
                format!("is empty; kind \"{name}\" needs at least one entry"),
            );
            false
        }
        (false, 1..) => {
            report.say(
                object.at(name),
                format!("is only read with kind \"{name}\"; leave it empty or change the kind"),
            );
            false
        }
        _ => true,
    }
}

fn read_windows(node: &Node<'_>, report: &mut Report) -> Option<Vec<WeeklyWindow>> {
    let windows: Vec<Option<WeeklyWindow>> = node
        .list(report, WINDOWS_MAX)?
        .iter()
        .map(|node| read_window(node, report))
        .collect();
    windows.into_iter().collect()
}

fn read_window(node: &Node<'_>, report: &mut Report) -> Option<WeeklyWindow> {
    let object = node.object(report, &["days", "from", "to", "zone"])?;
    let days = object
        .require(report, "days", "a list of days, as in [\"fri\", \"sat\"]")
        .and_then(|node| read_days(&node, report));
    let from = object
        .require(report, "from", "a time of day, as in \"18:00\",")
        .and_then(|node| read_minute(&node, report, 1_439));
    let to = object
        .require(report, "to", "a time of day, as in \"24:00\",")
        .and_then(|node| read_minute(&node, report, 1_440));
    let zone = object
        .require(
            report,
            "zone",
            "an IANA time zone, as in \"Asia/Shanghai\",",
        )
        .and_then(|node| text::zone(&node, report));
    Some(WeeklyWindow {
        days: days?,
        from_minute: from?,
        to_minute: to?,
        zone: zone?,
    })
}

fn read_days(node: &Node<'_>, report: &mut Report) -> Option<Vec<Weekday>> {
    let days = text::set(node, report, DAYS.len(), |node, report| {
        node.word(report, DAYS)
    })?;
    if days.is_empty() {
        return node.refuse(report, "is empty; at least one day is expected");
    }
    Some(days)
}

/// `HH:MM` as a minute of the day.
fn read_minute(node: &Node<'_>, report: &mut Report, most: u16) -> Option<u16> {
    let minute = clock(node.text(report)?).filter(|&minute| minute <= most);
    if minute.is_none() {
        let last = if most == 1_440 { "24:00" } else { "23:59" };
        return node.refuse(
            report,
            format!("is not a time of day; write HH:MM, from \"00:00\" to \"{last}\""),
        );
    }
    minute
}

fn clock(text: &str) -> Option<u16> {
    let [a, b, b':', c, d] = text.as_bytes() else {
        return None;
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let (hours, minutes) = (digit(a)? * 10 + digit(b)?, digit(c)? * 10 + digit(d)?);
    (minutes < 60).then_some(hours * 60 + minutes)
}
