//! A plain gateway of the kind that a good afternoon gives: hyper, a pool of connections, one of
//! them checked out for each claim, one call on it. No signature is checked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use bb8::ManageConnection;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::Gateway;
use super::redis::PeerRedis;
use crate::child::{self, Server};
use crate::resp::{Connection, Reply};

/// Connections of the pool.
const CONNECTIONS: u32 = 32;
/// Where the user is in the text of a pass, with "Bearer " before it.
const USER_IN_PASS: std::ops::Range<usize> = 26..38;

/// The running gateway.
#[derive(Debug)]
pub struct Pool {
    server: Server,
    address: SocketAddr,
}

impl Pool {
    pub(super) fn start(redis: &PeerRedis) -> anyhow::Result<Self> {
        let socket = redis.socket();
        let socket = socket.to_str().context("a path of text")?;
        let (server, address) = Server::start_ours(&["pool", socket, redis.script()])?;
        Ok(Self { server, address })
    }
}

impl Gateway for Pool {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn processes(&self) -> anyhow::Result<Vec<u32>> {
        Ok(vec![self.server.pid()])
    }
}

struct Manager {
    socket: PathBuf,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = anyhow::Error;

    async fn connect(&self) -> Result<Connection, anyhow::Error> {
        Connection::open(&self.socket).await
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), anyhow::Error> {
        connection.call(&[b"PING"]).await.map(drop)
    }

    fn has_broken(&self, _connection: &mut Connection) -> bool {
        false
    }
}

struct Claims {
    pool: bb8::Pool<Manager>,
    script: String,
}

/// Serves until killed.
///
/// # Errors
/// Where it cannot listen, or Redis is not there.
pub fn serve(socket: &Path, script: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pool = bb8::Pool::builder()
            .max_size(CONNECTIONS)
            .min_idle(CONNECTIONS)
            .test_on_check_out(false)
            .build(Manager {
                socket: socket.to_path_buf(),
            })
            .await?;
        let claims = Arc::new(Claims {
            pool,
            script: script.to_owned(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        child::say(listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let claims = Arc::clone(&claims);
            let answer = service_fn(move |request| {
                let claims = Arc::clone(&claims);
                async move { Ok::<_, Infallible>(claims.answer(request).await) }
            });
            tokio::spawn(
                http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), answer),
            );
        }
    })
}

impl Claims {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.claim(request).await {
            Ok((status, body)) => response(status, &body),
            Err(_broken) => response(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": 503})),
        }
    }

    async fn claim(&self, request: Request<Incoming>) -> anyhow::Result<(StatusCode, Value)> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let coupon = path
            .strip_prefix("/v1/coupons/")
            .and_then(|rest| rest.strip_suffix("/claims"))
            .context("no such route")?;
        let pass = head.headers.get(header::AUTHORIZATION).context("no pass")?;
        let user = pass.to_str()?.get(USER_IN_PASS).context("no user")?;
        let key = head.headers.get("idempotency-key");
        let key = key.map_or("-".as_bytes(), HeaderValue::as_bytes);
        let _body: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
        let (hash, id) = (format!("c:{{{coupon}}}"), format!("{:032x}", number()));
        let words: [&[u8]; 9] = [
            b"EVALSHA",
            self.script.as_bytes(),
            b"3",
            hash.as_bytes(),
            &[hash.as_bytes(), b":users"].concat(),
            &[hash.as_bytes(), b":journal"].concat(),
            user.as_bytes(),
            key,
            id.as_bytes(),
        ];
        let pooled = self.pool.get().await;
        let mut connection = pooled.map_err(|error| anyhow::anyhow!("the pool: {error:?}"))?;
        let Reply::List(reply) = connection.call(&words).await? else {
            bail!("no list");
        };
        drop(connection);
        let [code, id, at] = &reply[..] else {
            bail!("no three values");
        };
        let status = match code.number()? {
            0 => StatusCode::CREATED,
            1 => StatusCode::OK,
            code => return Ok((StatusCode::CONFLICT, refusal(code))),
        };
        Ok((
            status,
            json!({
                "claim_id": id.text()?, "coupon_id": coupon, "user_id": user, "version": 1,
                "status": "usable", "durability": "hot", "granted_at": at.text()?,
                "valid_from": at.text()?, "expires_at": null,
            }),
        ))
    }
}

/// A number for a claim that no other claim of this process has.
fn number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn refusal(code: i64) -> Value {
    let (reason, detail) = match code {
        4 => ("sold_out", "Nothing is left."),
        3 => ("user_limit_reached", "Not granted."),
        _other => ("not_open", "Not granted."),
    };
    json!({
        "type": format!("urn:sluice:reason:{reason}"), "title": detail, "status": 409,
        "code": reason, "detail": detail,
    })
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
