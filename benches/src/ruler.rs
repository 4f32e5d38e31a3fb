//! The ruler: a bare hyper server with a fixed answer, in a process of its own.

use std::convert::Infallible;
use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::cpu;
use crate::load::{Expected, Load};

/// An answer of the size of a claim's.
const BODY: &[u8] = &[b'x'; 250];

/// The running ruler.
pub struct Ruler {
    child: Child,
    address: SocketAddr,
}

impl Ruler {
    /// Starts it.
    pub fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(crate::beside("bench-server")?)
            .arg("ruler")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self {
            child,
            address: line.trim().parse()?,
        })
    }

    /// Microseconds of CPU per request under the same load.
    pub async fn cost(&self, connections: usize, requests: usize) -> anyhow::Result<f64> {
        let before = cpu::seconds(self.child.id())?;
        let answers = Load::fixed(self.address, requests).run(connections).await?;
        answers.expect(Expected::Any, requests)?;
        Ok((cpu::seconds(self.child.id())? - before) * 1e6 / answers.total as f64)
    }
}

impl Drop for Ruler {
    fn drop(&mut self) {
        // It has ended already where this fails.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Serves until killed: as many threads as the gateway has.
pub fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        say(listener.local_addr()?);
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

#[expect(clippy::print_stdout, reason = "its parent reads the address there")]
fn say(address: SocketAddr) {
    println!("{address}");
}
