//! The operator's side: makes coupons and changes them over the admin API.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use sluice_domain::id::{CouponId, Revision};

use crate::http::{CallError, Connection};

/// How long an admin call may take; publishing waits for the lane.
const TIMEOUT: Duration = Duration::from_secs(8);

/// A client with an admin key.
#[derive(Debug)]
pub struct Admin {
    connection: Connection,
    authorization: String,
}

/// An answer of the admin API.
#[derive(Debug, Clone)]
pub struct AdminReply {
    /// The status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
    /// The revision in the `ETag`.
    pub revision: Option<Revision>,
}

impl Admin {
    /// A client of this address.
    #[must_use]
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self {
            connection: Connection::new(address, TIMEOUT),
            authorization: format!("Bearer {key}"),
        }
    }

    /// One call.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        if_match: Option<Revision>,
        body: &Value,
    ) -> Result<AdminReply, CallError> {
        let etag = if_match.map(|revision| format!("\"{revision}\""));
        let mut headers = vec![("authorization", self.authorization.as_str())];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        if !text.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        if let Some(etag) = &etag {
            headers.push(("if-match", etag));
        }
        let reply = self.connection.call(method, path, &headers, text).await?;
        let revision = reply
            .headers
            .get("etag")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim_matches('"').parse().ok())
            .map(Revision);
        let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        Ok(AdminReply {
            status: reply.status.as_u16(),
            body,
            revision,
        })
    }

    /// Creates and publishes a coupon.
    ///
    /// # Errors
    /// With the answer, where it is not the expected one.
    pub async fn publish(&mut self, coupon: &Value) -> anyhow::Result<CouponId> {
        let made = self
            .call(Method::POST, "/admin/v1/coupons", None, coupon)
            .await?;
        anyhow::ensure!(made.status == 201, "create answered {made:?}");
        let id: CouponId = serde_json::from_value(made.body["id"].clone())?;
        let path = format!("/admin/v1/coupons/{id}/publish");
        // A lane may be recovering just now: publishing again is harmless.
        for attempt in 0_u8.. {
            let done = self.call(Method::POST, &path, None, &Value::Null).await?;
            match done.status {
                200 => break,
                503 if attempt < 20 => tokio::time::sleep(Duration::from_millis(250)).await,
                _other => anyhow::bail!("publish answered {done:?}"),
            }
        }
        Ok(id)
    }
}
