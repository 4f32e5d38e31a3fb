//! The `OpenAPI` 3.1 document of this plane: paths from the handlers, shapes from here.
//!
//! The types below exist for their schemas only. The values that are answered are made by
//! `sluice_domain::render` and by the handlers; a test (`tests/it/schemas.rs`) holds both together by
//! checking a real answer of every route against its schema.

mod coupon;
mod grants;
mod rest;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

pub(crate) use coupon::{
    ClaimPage, Coupon, CouponInput, CouponPage, CouponPatch, StockInput, VersionPage,
};
pub(crate) use grants::{CannotUse, CannotUseInput, GrantInput, GrantReport, WhyNot};
pub(crate) use rest::{
    ApiKey, ApiKeyInput, ApiKeyPage, AuditLogPage, AuditReport, CreatedApiKey, Lane, LanePage,
    Problem, RecoverInput,
};

/// The document without its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sluice admin API",
        description = "Coupons, keys, lanes and the audit log. Errors are RFC 9457 problem \
                       details (schema Problem). Every POST takes an Idempotency-Key; edits need \
                       If-Match.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    modifiers(&Conventions),
    security(("key" = []))
)]
pub(crate) struct Document;

/// What holds for every call.
struct Conventions;

impl Modify for Conventions {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "key",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}
