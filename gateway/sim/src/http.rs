//! A small HTTP/1.1 client that tells "not sent" from "no answer": the history needs to know.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection: the request was never sent.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Sent, and then a broken connection or no answer in time.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// One keep-alive connection, opened when needed.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A client of this address; each call gives up after `timeout`.
    #[must_use]
    pub const fn new(address: SocketAddr, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            sender: None,
        }
    }

    /// Sends one request and waits for its whole answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, CallError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sluice");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body.into()))
            .map_err(|error| CallError::NotSent(error.to_string()))?;
        let mut sender = self.connect().await?;
        let exchange = async {
            let reply = sender.send_request(request).await?;
            let (parts, body) = reply.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((
                sender,
                Reply {
                    status: parts.status,
                    headers: parts.headers,
                    body,
                },
            ))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok((sender, reply))) => {
                self.sender = Some(sender);
                Ok(reply)
            }
            Ok(Err(error)) => Err(CallError::NoAnswer(error.to_string())),
            Err(_elapsed) => Err(CallError::NoAnswer("timed out".to_owned())),
        }
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let not_sent = |error: &dyn std::fmt::Display| CallError::NotSent(error.to_string());
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| not_sent(&error))?;
        stream.set_nodelay(true).map_err(|error| not_sent(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| not_sent(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
        Ok(sender)
    }
}
