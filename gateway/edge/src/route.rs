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
            _ => Self::Unknown,
        }
    }

    /// The methods of the route, as an `Allow` header says them.
    pub(crate) const fn allow(&self) -> &'static str {
        match self {
            Self::Passes | Self::Claim { .. } => "POST, OPTIONS",
            Self::ClaimStatus { .. } | Self::Coupon { .. } => "GET, HEAD, OPTIONS",
            Self::Unknown => "",
        }
    }

    /// Whether the route has this method (`OPTIONS` is answered before).
    pub(crate) fn has(&self, method: &Method) -> bool {
        match self {
            Self::Passes | Self::Claim { .. } => method == Method::POST,
            Self::ClaimStatus { .. } | Self::Coupon { .. } => {
                method == Method::GET || method == Method::HEAD
            }
            Self::Unknown => false,
        }
    }

    /// The route's name in metrics and logs, and its place in tables.
    pub(crate) const fn label(&self) -> (usize, &'static str) {
        match self {
            Self::Passes => (0, "passes"),
            Self::Claim { .. } => (1, "claim"),
            Self::ClaimStatus { .. } => (2, "claim_status"),
            Self::Coupon { .. } => (3, "coupon"),
            Self::Unknown => (4, "unknown"),
        }
    }
}

/// Number of route labels.
pub(crate) const ROUTE_LABELS: usize = 5;

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
            ("/v1/claims", Route::Unknown),
            ("/v2/passes", Route::Unknown),
            ("/", Route::Unknown),
            ("", Route::Unknown),
            ("/metrics", Route::Unknown),
            ("/admin/v1/coupons", Route::Unknown),
            ("/v1/wallet", Route::Unknown),
            ("/v1/quotes", Route::Unknown),
        ];
        for (path, route) in table {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
