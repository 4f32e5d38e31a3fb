//! API keys: made, listed, revoked. For admins only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use sluice_ledger::api_keys::{ApiKey, Role, Scope};

use crate::api::body::{Page, RawBody, located, parse};
use crate::api::call::Call;
use crate::api::query::Parameters;
use crate::app::App;
use crate::error::{Answer, FieldProblem, Problem};
use crate::idempotency::ShownOnce;
use crate::keys;

/// What a new key may do: either a role or scopes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKeyInput {
    #[serde(default)]
    label: String,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    scopes: Vec<Scope>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// A key as the API shows it: never its secret or hash.
#[derive(Debug, Serialize)]
pub(crate) struct ApiKeyView {
    prefix: String,
    label: String,
    role: Option<Role>,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// A new key: the only answer that has its text.
#[derive(Debug, Serialize)]
struct CreatedKey {
    key: String,
    #[serde(flatten)]
    view: ApiKeyView,
}

/// Lists all keys, oldest first.
#[utoipa::path(get, path = "/admin/v1/api-keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = inline(crate::openapi::ApiKeyPage))))]
pub(crate) async fn list_api_keys(
    State(app): State<Arc<App>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Json<Page<ApiKeyView>>> {
    Parameters::new(pairs).done()?;
    let keys = app.ledger.list_keys().await?;
    Ok(Json(Page {
        items: keys.into_iter().map(ApiKeyView::from).collect(),
        next_cursor: None,
    }))
}

/// Makes a key. Its text is in this answer and nowhere else; a repeat with the same
/// `Idempotency-Key` answers 409 with the key's public part.
#[utoipa::path(post, path = "/admin/v1/api-keys", tag = "keys",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless.")),
    request_body = crate::openapi::ApiKeyInput,
    responses((status = 201, description = "The key, with its text.", body = crate::openapi::CreatedApiKey)))]
pub(crate) async fn create_api_key(
    State(app): State<Arc<App>>,
    call: Call,
    RawBody(bytes): RawBody,
) -> Answer<Response> {
    let input: NewKeyInput = parse(&bytes)?;
    let now = app.clock.now();
    check(&input, now)?;
    let spec = keys::KeySpec {
        label: input.label,
        role: input.role,
        scopes: input.scopes,
        expires_at: input.expires_at,
    };
    let (text, key) = keys::make(spec, now).map_err(|error| {
        tracing::error!(%error, "no key can be made");
        Problem::internal()
    })?;
    let entry = call.entry(
        &app,
        "key.create",
        &key.prefix,
        String::new(),
        keys::document(&key),
    );
    app.ledger.create_key(&key, entry).await?;
    let path = format!("/admin/v1/api-keys/{}", key.prefix);
    let replay = format!(
        "This call made the key {}; its text was shown once. Revoke it and make another one where \
         it was lost.",
        key.prefix
    );
    let body = CreatedKey {
        key: text.reveal(),
        view: key.into(),
    };
    let mut response = located((StatusCode::CREATED, Json(body)).into_response(), &path);
    response.extensions_mut().insert(ShownOnce(replay));
    Ok(response)
}

/// Revokes a key; it is refused everywhere within two seconds. Revoking it again changes nothing.
#[utoipa::path(delete, path = "/admin/v1/api-keys/{prefix}", tag = "keys",
    params(("prefix" = String, Path, description = "The public part of the key.")),
    responses((status = 200, description = "The key, revoked.", body = crate::openapi::ApiKey)))]
pub(crate) async fn revoke_api_key(
    State(app): State<Arc<App>>,
    call: Call,
    Path(prefix): Path<String>,
) -> Answer<Json<ApiKeyView>> {
    let key = find(&app, &prefix).await?;
    if key.revoked_at.is_some() {
        return Ok(Json(key.into()));
    }
    if key.prefix == call.operator.prefix {
        return Err(Problem::new(
            ReasonCode::Conflict,
            "A key cannot revoke itself: use another admin's key.",
        ));
    }
    let now = app.clock.now();
    let revoked = ApiKey {
        revoked_at: Some(now),
        ..key.clone()
    };
    let (before, after) = (keys::document(&key), keys::document(&revoked));
    let entry = call.entry(&app, "key.revoke", &prefix, before, after);
    app.ledger.revoke_key(&prefix, now, entry).await?;
    app.operator_keys.forget(&prefix);
    Ok(Json(find(&app, &prefix).await?.into()))
}

async fn find(app: &App, prefix: &str) -> Answer<ApiKey> {
    app.ledger
        .key(prefix)
        .await?
        .ok_or_else(|| Problem::new(ReasonCode::NotFound, "There is no key with this prefix."))
}

fn check(input: &NewKeyInput, now: Timestamp) -> Answer<()> {
    let mut errors = Vec::new();
    if input.role.is_some() != input.scopes.is_empty() {
        errors.push(FieldProblem::field(
            "/role",
            "Give either a role (viewer, operator, approver, admin) or scopes (checkout, events).",
        ));
    }
    if input.label.chars().count() > keys::LABEL_CHARS_MAX {
        errors.push(FieldProblem::field(
            "/label",
            format!("label has at most {} characters.", keys::LABEL_CHARS_MAX),
        ));
    }
    if input.expires_at.is_some_and(|at| at <= now) {
        errors.push(FieldProblem::field(
            "/expires_at",
            "expires_at is in the past; a later instant or null is expected.",
        ));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(errors))
    }
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            prefix: key.prefix,
            label: key.label,
            role: key.role,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}
