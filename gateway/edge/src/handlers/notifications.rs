//! `GET /v1/notifications` and `POST /v1/notifications/{id}/read`: a shopper's messages.

use http::StatusCode;
use sluice_domain::id::NotificationId;
use sluice_domain::time::Timestamp;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::handlers::quote::json;
use crate::identity::Caller;
use crate::respond::{self, FieldError, Reply, Stop};
use crate::server::Edge;
use crate::wire::notifications::{NotificationBody, NotificationsBody, read_cursor};

/// Messages on a page where the query does not say.
const LIMIT_DEFAULT: usize = 20;
/// Most messages on a page.
const LIMIT_MAX: usize = 100;

/// What the query asks for.
struct Asked {
    after: Option<(Timestamp, NotificationId)>,
    limit: usize,
}

/// Lists the shopper's messages, newest first.
pub(crate) async fn list<C: Claims>(
    edge: &Edge<C>,
    query: Option<&str>,
    caller: &Caller,
    context: &RequestContext,
) -> Result<Reply, Stop> {
    let asked = read(query.unwrap_or_default())?;
    let user = &caller.shopper.user;
    let page = edge
        .checkout
        .notifications(user, asked.after, asked.limit)
        .await;
    Ok(match page {
        Ok((items, more)) => json(StatusCode::OK, &NotificationsBody::of(&items, more)),
        Err(error) => respond::checkout::fault(&error, context),
    })
}

/// Writes down that the shopper has read a message. Foreign, unknown and malformed ids are answered
/// alike.
pub(crate) async fn mark_read<C: Claims>(
    edge: &Edge<C>,
    id: &str,
    caller: &Caller,
    context: &RequestContext,
) -> Reply {
    let Ok(id) = id.parse::<NotificationId>() else {
        return respond::not_found(context);
    };
    let user = &caller.shopper.user;
    let now = edge.identity.now();
    match edge.checkout.mark_read(id, user, now).await {
        Ok(Some(item)) => json(StatusCode::OK, &NotificationBody::of(&item)),
        Ok(None) => respond::not_found(context),
        Err(error) => respond::checkout::fault(&error, context),
    }
}

fn read(query: &str) -> Result<Asked, Stop> {
    let mut asked = Asked {
        after: None,
        limit: LIMIT_DEFAULT,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "limit" => {
                let limit = value.parse().ok();
                asked.limit = limit
                    .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                    .ok_or_else(|| wrong("limit", "is no whole number from 1 to 100"))?;
            }
            "cursor" => {
                let place = read_cursor(value);
                let place = place.ok_or_else(|| wrong("cursor", "is none of an earlier answer"))?;
                asked.after = Some(place);
            }
            other => return Err(wrong(other, "is not known here; limit and cursor are")),
        }
    }
    Ok(asked)
}

fn wrong(name: &str, detail: &'static str) -> Stop {
    Stop::Invalid(vec![FieldError {
        pointer: format!("query:{name}"),
        detail: detail.into(),
    }])
}
