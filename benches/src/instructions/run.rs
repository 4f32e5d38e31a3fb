//! One case counted: the server under callgrind, and the client that asks it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::UserId;
use sluice_edge::identity::sign::{DevKeyFiles, DevSigner};

use super::Case;
use super::callgrind::{PerRequest, Profile};
use super::stage;

/// Requests before those that count: until "sold out" is proven and its filter is made.
const WARM_UP: usize = 400;
/// Of so many refusals one may ask hot state.
const PROBES_ONE_IN: usize = 20;
/// How long one answer may take: callgrind slows the server down some fifty times.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// One case's figure.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The case.
    pub case: Case,
    /// Its instructions.
    pub each: PerRequest,
}

/// Counts a case with N and 2N requests. `folder` is for the profiles and, with Redis, a socket.
///
/// # Errors
/// Where valgrind or redis-server is missing, or an answer is not what the case is about.
pub fn count(case: Case, requests: usize, folder: &Path) -> anyhow::Result<Counted> {
    let keys = sluice_edge::identity::sign::generate_dev_keys(folder)?;
    let shorter = profile(case, requests, folder, &keys)?;
    let longer = profile(case, requests * 2, folder, &keys)?;
    Ok(Counted {
        case,
        each: longer.per_request(&shorter, requests as u64),
    })
}

/// One run.
fn profile(
    case: Case,
    requests: usize,
    folder: &Path,
    keys: &DevKeyFiles,
) -> anyhow::Result<Profile> {
    let redis = match case {
        Case::GrantedRedis => Some(Redis::start(folder)?),
        Case::SoldOut | Case::Granted => None,
    };
    let out = folder.join("callgrind.out");
    let mut server = Server::start(case, folder, redis.as_ref(), &out)?;
    let signer = DevSigner::from_file(&keys.token_key, stage::ISSUER, stage::AUDIENCE)?
        .with_pass_keys(&keys.pass_keys)?;
    let mut stream = TcpStream::connect(server.address.trim())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    for number in 0..WARM_UP + requests {
        let request = request(&signer, number)?;
        stream.write_all(&request)?;
        let status = answer(&mut stream)?;
        if status != case.status() {
            bail!("{}: answer {number} is {status}", case.name());
        }
    }
    drop(stream);
    let asked = server.stop()?;
    // A refusal is the gateway's own, but for the few that renew its proof.
    let allowed = WARM_UP + requests / PROBES_ONE_IN;
    if case == Case::SoldOut && asked.is_none_or(|asked| asked > allowed) {
        bail!(
            "{}: hot state was asked {asked:?} times, {allowed} at most",
            case.name()
        );
    }
    Profile::parse(&fs::read_to_string(&out)?)
}

fn request(signer: &DevSigner, number: usize) -> anyhow::Result<Vec<u8>> {
    let shopper = Shopper {
        user: UserId::new(&format!("u{number:07}"))?,
        groups: [].into(),
        is_new: None,
        verified: [].into(),
        device: None,
    };
    let pass = signer.sign_pass(&shopper, stage::NOW_S + 1_800)?;
    Ok(format!(
        "POST /v1/coupons/{}/claims HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {pass}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
        stage::COUPON
    )
    .into_bytes())
}

/// Reads one whole answer; its status.
fn answer(stream: &mut TcpStream) -> anyhow::Result<u16> {
    let mut held = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        held.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&held);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("no content-length")?.parse()?;
        if body.len() >= length {
            return Ok(head.get(9..12).context("no status")?.parse()?);
        }
    }
}

/// The server under callgrind.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    address: String,
}

// === impl Server ===

impl Server {
    fn start(case: Case, folder: &Path, redis: Option<&Redis>, out: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe()?)
            .args(["serve", case.name()])
            .arg(folder)
            .args(redis.map(|redis| redis.url.as_str()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("valgrind cannot be started")?;
        let mut address = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut address)?;
        Ok(Self {
            stdin: child.stdin.take(),
            stdout,
            child,
            address,
        })
    }

    /// Ends it in good order, and how many claims its hot state in memory was asked about.
    /// Callgrind writes its file then.
    fn stop(&mut self) -> anyhow::Result<Option<usize>> {
        drop(self.stdin.take());
        let mut asked = String::new();
        self.stdout.read_to_string(&mut asked)?;
        let ended = self.child.wait()?;
        if !ended.success() {
            bail!("the server under callgrind ended with {ended}");
        }
        Ok(asked.trim().parse().ok())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where this fails.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A redis-server of one run.
struct Redis {
    child: Child,
    url: String,
}

// === impl Redis ===

impl Redis {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let socket = folder.join("redis.sock");
        let child = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(&socket)
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server cannot be started")?;
        let redis = Self {
            child,
            url: format!("unix://{}", socket.display()),
        };
        for _attempt in 0..200 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Ok(redis);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        bail!("redis-server does not answer")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It has ended already where this fails.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}
