//! What both implementations must agree on in a list of coupons: search text, sort keys, cursors.

use sluice_domain::coupon::Coupon;
use sluice_domain::id::CouponId;

use crate::LedgerError;
use crate::coupons::{CouponPage, CouponQuery, CouponSort};

/// Most coupons on a page.
pub const PAGE_COUPONS_MAX: usize = 200;

/// The key that a sort compares first. Ties are broken by id, ascending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SortKey {
    /// An instant in milliseconds.
    Millis(i64),
    /// A folded name.
    Name(String),
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The key of the last coupon.
    pub(crate) key: SortKey,
    /// Its id.
    pub(crate) id: CouponId,
}

/// Whether `cursor` is one that a list in this order gave out. Callers refuse others as a bad
/// request; the ledger answers them as corrupt.
#[must_use]
pub fn is_cursor(sort: CouponSort, cursor: &str) -> bool {
    Cursor::parse(sort, cursor).is_ok()
}

/// The text that a search looks in, folded.
pub(crate) fn search_text(coupon: &Coupon) -> String {
    let code = coupon.spec.code.as_deref().unwrap_or("");
    format!("{}\n{code}\n{}", coupon.spec.terms.name, coupon.id).to_lowercase()
}

/// The name as it is sorted by.
pub(crate) fn name_key(coupon: &Coupon) -> String {
    coupon.spec.terms.name.to_lowercase()
}

/// The end of the window as it is sorted by: open ends last.
pub(crate) fn ends_key(coupon: &Coupon) -> i64 {
    let ends_at = coupon.spec.window.ends_at;
    ends_at.map_or(i64::MAX, sluice_domain::time::Timestamp::as_millis)
}

/// A page of a list, from all coupons that there are.
pub(crate) fn list<'a>(
    all: impl Iterator<Item = &'a Coupon>,
    query: &CouponQuery,
) -> Result<CouponPage, LedgerError> {
    let sort = query.sort;
    let after = query
        .cursor
        .as_deref()
        .map(|text| Cursor::parse(sort, text));
    let after = after.transpose()?;
    let needle = query.search.as_deref().unwrap_or("").to_lowercase();
    let limit = query.limit.clamp(1, PAGE_COUPONS_MAX);
    let of_status = |held: &&Coupon| {
        query
            .status
            .is_none_or(|wanted| held.status(query.now) == wanted)
    };
    let rest = |held: &&Coupon| {
        let cursor = after.as_ref();
        cursor.is_none_or(|cursor| cursor.precedes(sort, held))
    };
    let mut found: Vec<&Coupon> = all
        .filter(of_status)
        .filter(|held| search_text(held).contains(&needle))
        .filter(rest)
        .collect();
    found.sort_by(|left, right| {
        let keys = SortKey::of(sort, left).cmp(&SortKey::of(sort, right));
        let keys = if sort.descends() {
            keys.reverse()
        } else {
            keys
        };
        keys.then(left.id.cmp(&right.id))
    });
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_last| more);
    Ok(CouponPage {
        next_cursor: last.map(|last| Cursor::after(sort, last).format(sort)),
        items: found.into_iter().cloned().collect(),
    })
}

// === impl SortKey ===

impl SortKey {
    /// The key of a coupon in this order.
    pub(crate) fn of(sort: CouponSort, coupon: &Coupon) -> Self {
        match sort {
            CouponSort::CreatedDesc | CouponSort::CreatedAsc => {
                Self::Millis(coupon.created_at.as_millis())
            }
            CouponSort::UpdatedDesc => Self::Millis(coupon.updated_at.as_millis()),
            CouponSort::EndsAsc => Self::Millis(ends_key(coupon)),
            CouponSort::NameAsc => Self::Name(name_key(coupon)),
        }
    }
}

// === impl CouponSort ===

impl CouponSort {
    /// True where greater keys come first.
    pub(crate) const fn descends(self) -> bool {
        matches!(self, Self::CreatedDesc | Self::UpdatedDesc)
    }

    const fn letter(self) -> char {
        match self {
            Self::CreatedDesc => 'c',
            Self::CreatedAsc => 'o',
            Self::UpdatedDesc => 'u',
            Self::NameAsc => 'n',
            Self::EndsAsc => 'e',
        }
    }
}

// === impl Cursor ===

impl Cursor {
    /// The cursor that goes on after `coupon`.
    pub(crate) fn after(sort: CouponSort, coupon: &Coupon) -> Self {
        Self {
            key: SortKey::of(sort, coupon),
            id: coupon.id,
        }
    }

    /// Writes it so that it needs no escaping in a URL.
    pub(crate) fn format(&self, sort: CouponSort) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{}.{}.", sort.letter(), self.id);
        match &self.key {
            SortKey::Millis(millis) => text.push_str(&millis.to_string()),
            SortKey::Name(name) => {
                for byte in name.bytes() {
                    let _infallible = write!(text, "{byte:02x}");
                }
            }
        }
        text
    }

    /// Reads what [`format`](Self::format) wrote for the same order.
    pub(crate) fn parse(sort: CouponSort, text: &str) -> Result<Self, LedgerError> {
        let refused = || LedgerError::corrupt("a list cursor that this list did not give out");
        let mut parts = text.splitn(3, '.');
        let (letter, id, key) = (parts.next(), parts.next(), parts.next());
        if letter != Some(sort.letter().to_string().as_str()) {
            return Err(refused());
        }
        let id = id.and_then(|id| id.parse().ok()).ok_or_else(refused)?;
        let key = key.ok_or_else(refused)?;
        let key = if sort == CouponSort::NameAsc {
            SortKey::Name(unhex(key).ok_or_else(refused)?)
        } else {
            SortKey::Millis(key.parse().ok().ok_or_else(refused)?)
        };
        Ok(Self { key, id })
    }

    /// Whether a coupon comes after this place in the order.
    pub(crate) fn precedes(&self, sort: CouponSort, coupon: &Coupon) -> bool {
        let key = SortKey::of(sort, coupon);
        let order = if sort.descends() {
            self.key.cmp(&key)
        } else {
            key.cmp(&self.key)
        };
        order.then(coupon.id.cmp(&self.id)).is_gt()
    }
}

fn unhex(text: &str) -> Option<String> {
    let digits = text.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect();
    String::from_utf8(bytes?).ok()
}
