//! The ruler: a bare hyper server with a fixed answer, in a process of its own.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::child::{self, Server};
use crate::cpu::{Meter, Part};
use crate::load::{Expected, Load};

/// An answer of the size of a claim's.
const BODY: &[u8] = &[b'x'; 250];

/// The running ruler.
#[derive(Debug)]
pub struct Ruler {
    _server: Server,
    meter: Meter,
    address: SocketAddr,
}

impl Ruler {
    /// Starts it.
    ///
    /// # Errors
    /// Where `bench-server` is not there.
    pub fn start() -> anyhow::Result<Self> {
        let (server, address) = Server::start_ours(&["ruler"])?;
        Ok(Self {
            meter: Meter::default().process(server.pid(), Part::Edge),
            _server: server,
            address,
        })
    }

    /// Microseconds of CPU per request under the same load.
    ///
    /// # Errors
    /// Where it did not answer each request.
    pub async fn cost(&self, connections: usize, requests: usize) -> anyhow::Result<f64> {
        let before = self.meter.read()?;
        let answers = Load::fixed(self.address, requests).run(connections).await?;
        answers.expect(Expected::Any, requests)?;
        Ok((self.meter.read()? - before).total() * 1e6 / answers.total as f64)
    }
}

/// Serves until killed: as many threads as the gateway has.
///
/// # Errors
/// Where it cannot listen.
pub fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        child::say(listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(http1::Builder::new().pipeline_flush(true).serve_connection(
                TokioIo::new(stream),
                service_fn(|_request| async {
                    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
                    response.headers_mut().insert(
                        http::header::CONTENT_TYPE,
                        http::HeaderValue::from_static("application/json"),
                    );
                    Ok::<_, Infallible>(response)
                }),
            ));
        }
    })
}
