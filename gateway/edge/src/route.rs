//! The data plane's routes: one match over path segments, without allocation.

use http::Method;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `POST /v1/passes`
    Passes,
    /// `POST /v1/coupons/{coupon}/claims`
    Claim {
        /// The coupon id as written.
        coupon: &'a str,
    },
    /// `GET /v1/claims/{claim}`
    ClaimStatus {
        /// The claim id as written.
        claim: &'a str,
    },
    /// `GET /v1/coupons/{coupon}`
    Coupon {
        /// The coupon id as written.
        coupon: &'a str,
    },
    /// `POST /v1/claims`: claim by a public code.
    ClaimByCode,
    /// `GET /v1/wallet`
    Wallet,
    /// `POST /v1/wallet/match`
    Match,
    /// `POST /v1/quotes`
    Quotes,
    /// `POST /v1/redemptions`
    Redemptions,
    /// `GET /v1/redemptions/{redemption}`
    Redemption {
        /// The redemption id as written.
        redemption: &'a str,
    },
    /// `POST /v1/redemptions/{redemption}/confirm`
    Confirm {
        /// The redemption id as written.
        redemption: &'a str,
    },
    /// `POST /v1/redemptions/{redemption}/cancel`
    Cancel {
        /// The redemption id as written.
        redemption: &'a str,
    },
    /// `POST /v1/redemptions/{redemption}/refunds`
    Refunds {
        /// The redemption id as written.
        redemption: &'a str,
    },
    /// `POST /v1/grants`: a service grants because of an order.
    Grants,
    /// `POST /v1/orders/{order}/cancelled`
    OrderCancelled {
        /// The order id as written.
        order: &'a str,
    },
    /// `GET /v1/notifications`
    Notifications,
    /// `POST /v1/notifications/{notification}/read`
    NotificationRead {
        /// The notification id as written.
        notification: &'a str,
    },
    /// Nothing lives there.
    Unknown,
}

impl<'a> Route<'a> {
    /// The route of a path. Ids are not looked at here.
    pub(crate) fn of(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v1/") else {
            return Self::Unknown;
        };
        let mut segments = rest.splitn(4, '/');
        let parts = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        );
        match parts {
            (Some("passes"), None, None, None) => Self::Passes,
            (Some("coupons"), Some(coupon), Some("claims"), None) => Self::Claim { coupon },
            (Some("coupons"), Some(coupon), None, None) => Self::Coupon { coupon },
            (Some("claims"), Some(claim), None, None) => Self::ClaimStatus { claim },
            (Some("claims"), None, None, None) => Self::ClaimByCode,
            (Some("wallet"), None, None, None) => Self::Wallet,
            (Some("wallet"), Some("match"), None, None) => Self::Match,
            (Some("quotes"), None, None, None) => Self::Quotes,
            (Some("grants"), None, None, None) => Self::Grants,
            (Some("notifications"), None, None, None) => Self::Notifications,
            (Some("notifications"), Some(notification), Some("read"), None) => {
                Self::NotificationRead { notification }
            }
            (Some("orders"), Some(order), Some("cancelled"), None) => {
                Self::OrderCancelled { order }
            }
            (Some("redemptions"), None, None, None) => Self::Redemptions,
            (Some("redemptions"), Some(redemption), verb, None) => match verb {
                None => Self::Redemption { redemption },
                Some("confirm") => Self::Confirm { redemption },
                Some("cancel") => Self::Cancel { redemption },
                Some("refunds") => Self::Refunds { redemption },
                Some(_) => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }

    /// Whether the route reads; the others write, or compute from a body.
    const fn reads(&self) -> bool {
        matches!(
            self,
            Self::ClaimStatus { .. }
                | Self::Coupon { .. }
                | Self::Wallet
                | Self::Redemption { .. }
                | Self::Notifications
        )
    }

    /// Whether it belongs to checkout: shoppers and services call it, and its body carries meaning.
    pub(crate) const fn is_checkout(&self) -> bool {
        matches!(
            self,
            Self::ClaimByCode
                | Self::Wallet
                | Self::Match
                | Self::Quotes
                | Self::Redemptions
                | Self::Redemption { .. }
                | Self::Confirm { .. }
                | Self::Cancel { .. }
                | Self::Refunds { .. }
        )
    }

    /// Whether it is a shop's backend that calls, with a key of the scope `events`.
    pub(crate) const fn is_backend(&self) -> bool {
        matches!(self, Self::Grants | Self::OrderCancelled { .. })
    }

    /// The methods of the route, as an `Allow` header says them.
    pub(crate) const fn allow(&self) -> &'static str {
        match self {
            Self::Unknown => "",
            route if route.reads() => "GET, HEAD, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }

    /// Whether the route has this method (`OPTIONS` is answered before).
    pub(crate) fn has(&self, method: &Method) -> bool {
        match self {
            Self::Unknown => false,
            route if route.reads() => method == Method::GET || method == Method::HEAD,
            _ => method == Method::POST,
        }
    }

    /// The route's name in metrics and logs, and its place in tables.
    pub(crate) const fn label(&self) -> (usize, &'static str) {
        match self {
            Self::Passes => (0, "passes"),
            Self::Claim { .. } => (1, "claim"),
            Self::ClaimStatus { .. } => (2, "claim_status"),
            Self::Coupon { .. } => (3, "coupon"),
            Self::ClaimByCode => (4, "claim_by_code"),
            Self::Wallet => (5, "wallet"),
            Self::Match => (6, "match"),
            Self::Quotes => (7, "quote"),
            Self::Redemptions => (8, "hold"),
            Self::Redemption { .. } => (9, "redemption"),
            Self::Confirm { .. } => (10, "confirm"),
            Self::Cancel { .. } => (11, "cancel"),
            Self::Refunds { .. } => (12, "refund"),
            Self::Grants => (13, "grant"),
            Self::OrderCancelled { .. } => (14, "order_cancelled"),
            Self::Notifications => (15, "notifications"),
            Self::NotificationRead { .. } => (16, "notification_read"),
            Self::Unknown => (17, "unknown"),
        }
    }
}

/// Number of route labels.
pub(crate) const ROUTE_LABELS: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_and_nothing_else() {
        let table = [
            ("/v1/passes", Route::Passes),
            ("/v1/coupons/abc/claims", Route::Claim { coupon: "abc" }),
            ("/v1/coupons/abc", Route::Coupon { coupon: "abc" }),
            ("/v1/claims/xyz", Route::ClaimStatus { claim: "xyz" }),
            ("/v1/coupons//claims", Route::Claim { coupon: "" }),
            ("/v1/coupons/abc/claims/", Route::Unknown),
            ("/v1/coupons/abc/", Route::Unknown),
            ("/v1/coupons", Route::Unknown),
            ("/v1/passes/", Route::Unknown),
            ("/v1/claims", Route::ClaimByCode),
            ("/v2/passes", Route::Unknown),
            ("/", Route::Unknown),
            ("", Route::Unknown),
            ("/metrics", Route::Unknown),
            ("/admin/v1/coupons", Route::Unknown),
            ("/v1/wallet", Route::Wallet),
            ("/v1/wallet/", Route::Unknown),
            ("/v1/wallet/match", Route::Match),
            ("/v1/quotes", Route::Quotes),
            ("/v1/quotes/x", Route::Unknown),
            ("/v1/redemptions", Route::Redemptions),
            ("/v1/redemptions/r", Route::Redemption { redemption: "r" }),
            (
                "/v1/redemptions/r/confirm",
                Route::Confirm { redemption: "r" },
            ),
            (
                "/v1/redemptions/r/cancel",
                Route::Cancel { redemption: "r" },
            ),
            (
                "/v1/redemptions/r/refunds",
                Route::Refunds { redemption: "r" },
            ),
            ("/v1/grants", Route::Grants),
            ("/v1/grants/x", Route::Unknown),
            ("/v1/notifications", Route::Notifications),
            (
                "/v1/notifications/n/read",
                Route::NotificationRead { notification: "n" },
            ),
            ("/v1/notifications/n", Route::Unknown),
            (
                "/v1/orders/o-1/cancelled",
                Route::OrderCancelled { order: "o-1" },
            ),
            ("/v1/orders/o-1", Route::Unknown),
            ("/v1/orders/o-1/cancelled/x", Route::Unknown),
            ("/v1/redemptions/r/refund", Route::Unknown),
            ("/v1/redemptions/r/refunds/x", Route::Unknown),
        ];
        for (path, route) in table {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
