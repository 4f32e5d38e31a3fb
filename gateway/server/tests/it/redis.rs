//! A real `redis-server`, and a client that sends one command.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::http::wait_for;

/// A server with a folder of its own, ended with the value.
pub(crate) struct RedisServer {
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server as a sale needs it.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::with(
            folder,
            &["--appendonly", "yes", "--maxmemory-policy", "noeviction"],
        )
    }

    /// A server with these settings.
    pub(crate) fn with(folder: &Path, settings: &[&str]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self {
            folder: folder.to_path_buf(),
            port,
            settings: settings.iter().map(|&word| word.to_owned()).collect(),
            child: None,
        };
        server.restart();
        server
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let url = self.url();
        wait_for("redis-server to come up", 20, || {
            command(&url, &["PING"]).filter(|answer| answer.starts_with("+PONG"))
        });
    }

    /// Deletes the keys that match, and says how many there were.
    pub(crate) fn delete_matching(&self, pattern: &str) -> usize {
        let found = command(&self.url(), &["KEYS", pattern]).unwrap();
        let keys: Vec<&str> = found.lines().filter(|line| line.starts_with('{')).collect();
        for key in &keys {
            assert!(command(&self.url(), &["DEL", key]).is_some_and(|done| done.starts_with(":1")));
        }
        keys.len()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends one command to `redis://host:port` or `unix://path`; the raw answer, if there is one.
pub(crate) fn command(url: &str, words: &[&str]) -> Option<String> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    if let Some(path) = url.strip_prefix("unix://") {
        let stream = UnixStream::connect(path).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        exchange(stream, &text)
    } else {
        let stream = TcpStream::connect(url.strip_prefix("redis://")?).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        exchange(stream, &text)
    }
}

fn exchange(mut stream: impl Read + Write, text: &str) -> Option<String> {
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = vec![0; 256 * 1024];
    let mut length = stream.read(&mut answer).ok()?;
    // A bulk answer says how long it is: read to its end.
    while length < bulk_length(&answer[..length]) {
        length += stream.read(&mut answer[length..]).ok()?;
    }
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// How long the whole answer is, where its head says so; else 0.
fn bulk_length(answer: &[u8]) -> usize {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _rest)) = text.split_once("\r\n") else {
        return 0;
    };
    let size = head.strip_prefix('$').and_then(|size| size.parse().ok());
    size.map_or(0, |size: usize| head.len() + 4 + size)
}

/// How many scripts the server has run.
pub(crate) fn scripts_run(url: &str) -> u64 {
    let answer = command(url, &["INFO", "commandstats"]).unwrap();
    answer
        .lines()
        .filter(|line| line.starts_with("cmdstat_eval") || line.starts_with("cmdstat_fcall"))
        .filter_map(|line| {
            line.split_once("calls=")?
                .1
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum()
}
