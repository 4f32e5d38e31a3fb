//! Which role each route needs at least. One table; a route that is not in it is refused.

use axum::http::Method;
use sluice_domain::reason::ReasonCode;
use sluice_ledger::api_keys::Role;

use crate::error::{Answer, Problem};

/// One row: method, path as the router writes it, least role.
pub(crate) type Rule = (Method, &'static str, Role);

/// The table.
pub(crate) const RULES: &[Rule] = &[
    (Method::GET, "/admin/v1/whoami", Role::Viewer),
    (Method::GET, "/admin/v1/coupons", Role::Viewer),
    (Method::POST, "/admin/v1/coupons", Role::Operator),
    (Method::GET, "/admin/v1/coupons/{id}", Role::Viewer),
    (Method::PATCH, "/admin/v1/coupons/{id}", Role::Operator),
    (
        Method::POST,
        "/admin/v1/coupons/{id}/publish",
        Role::Operator,
    ),
    (Method::POST, "/admin/v1/coupons/{id}/pause", Role::Operator),
    (
        Method::POST,
        "/admin/v1/coupons/{id}/resume",
        Role::Operator,
    ),
    (Method::POST, "/admin/v1/coupons/{id}/end", Role::Operator),
    (
        Method::POST,
        "/admin/v1/coupons/{id}/archive",
        Role::Operator,
    ),
    (
        Method::POST,
        "/admin/v1/coupons/{id}/duplicate",
        Role::Operator,
    ),
    (Method::POST, "/admin/v1/coupons/{id}/stock", Role::Operator),
    (Method::GET, "/admin/v1/coupons/{id}/versions", Role::Viewer),
    (Method::GET, "/admin/v1/coupons/{id}/claims", Role::Viewer),
    (Method::GET, "/admin/v1/coupons/{id}/audit", Role::Viewer),
    (
        Method::POST,
        "/admin/v1/coupons/{id}/grants",
        Role::Operator,
    ),
    (Method::GET, "/admin/v1/coupons/{id}/why-not", Role::Viewer),
    // A question: it is a POST because it has a cart.
    (Method::POST, "/admin/v1/cannot-use", Role::Viewer),
    (Method::GET, "/admin/v1/audit-log", Role::Viewer),
    (Method::GET, "/admin/v1/api-keys", Role::Admin),
    (Method::POST, "/admin/v1/api-keys", Role::Admin),
    (Method::DELETE, "/admin/v1/api-keys/{prefix}", Role::Admin),
    (Method::GET, "/admin/v1/system/lanes", Role::Viewer),
    (
        Method::POST,
        "/admin/v1/system/lanes/{lane}/recover",
        Role::Admin,
    ),
    (
        Method::POST,
        "/admin/v1/system/lanes/{lane}/release",
        Role::Admin,
    ),
];

/// Refuses a role that may not use a route.
///
/// # Errors
/// 403, naming the role that would do.
pub(crate) fn authorize(method: &Method, path: &str, role: Role) -> Answer<()> {
    // HEAD answers what GET answers, without the body.
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let least = RULES
        .iter()
        .find(|(its_method, its_path, _least)| its_method == method && *its_path == path)
        .map(|(_method, _path, least)| *least);
    match least {
        Some(least) if role >= least => Ok(()),
        Some(least) => Err(Problem::new(
            ReasonCode::Forbidden,
            format!("This needs the role {} or more.", role_name(least)),
        )),
        None => {
            tracing::error!(%method, path, "a route is missing in the table of roles");
            Err(Problem::new(
                ReasonCode::Forbidden,
                "No role may use this route.",
            ))
        }
    }
}

/// The role as the API writes it.
pub(crate) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Approver => "approver",
        Role::Admin => "admin",
    }
}
