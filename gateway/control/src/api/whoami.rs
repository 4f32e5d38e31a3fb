//! Who the caller is.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::call::Call;
use crate::rbac;

/// The key behind the call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Whoami {
    /// The public part of the key.
    pub prefix: String,
    /// What the key is for.
    pub label: String,
    /// viewer, operator, approver or admin.
    pub role: &'static str,
}

/// Says which key was used and what it may do.
#[utoipa::path(get, path = "/admin/v1/whoami", tag = "keys",
    responses((status = 200, description = "The key.", body = Whoami)))]
pub(crate) async fn get_whoami(call: Call) -> Json<Whoami> {
    Json(Whoami {
        prefix: call.operator.prefix,
        label: call.operator.label,
        role: rbac::role_name(call.operator.role),
    })
}
