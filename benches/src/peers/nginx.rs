//! nginx with Lua, from the distribution's packages: in the foreground, in a folder of its own, on
//! a free port, ended by its process id. The configuration is in `peers/nginx`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::redis::PeerRedis;
use super::{Gateway, START_WAIT};
use crate::child::Server;
use crate::cpu;

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/nginx";
/// Where Debian puts its modules.
const MODULES: &str = "/usr/lib/nginx/modules";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
    address: SocketAddr,
}

impl Nginx {
    pub(super) async fn start(redis: &PeerRedis, workers: usize) -> anyhow::Result<Self> {
        let prefix = redis.folder();
        // Free now; whoever takes it before nginx does makes the start fail, with a message.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let template = std::fs::read_to_string(super::folder().join("nginx/nginx.conf"))?;
        let claim = super::folder().join("nginx/claim.lua");
        let words = [
            ("WORKERS", workers.to_string()),
            ("PREFIX", prefix.display().to_string()),
            ("MODULES", MODULES.to_owned()),
            ("REDIS", redis.socket().display().to_string()),
            ("SCRIPT", redis.script().to_owned()),
            ("CLAIM", claim.display().to_string()),
            ("PORT", address.port().to_string()),
        ];
        let configuration = prefix.join("nginx.conf");
        std::fs::write(&configuration, filled(&template, &words))?;
        let mut command = Command::new(PROGRAM);
        command
            .arg("-p")
            .arg(prefix)
            .arg("-c")
            .arg(&configuration)
            .arg("-e")
            .arg(prefix.join("error.log"));
        let mut server = Server::start(&mut command)?;
        let deadline = Instant::now() + START_WAIT;
        // It listens before it has workers.
        let up = |pid| cpu::children(pid).is_ok_and(|all| all.len() == workers);
        while TcpStream::connect(address).is_err() || !up(server.pid()) {
            if server.has_ended() || Instant::now() > deadline {
                let log = std::fs::read_to_string(prefix.join("error.log")).unwrap_or_default();
                bail!("nginx did not come up (`make bench-peers` installs it): {log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { server, address })
    }
}

impl Gateway for Nginx {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let mut all = cpu::children(self.server.pid())?;
        if all.is_empty() {
            bail!("nginx has no workers");
        }
        all.push(self.server.pid());
        Ok(all)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master alone cannot be killed hard: its workers would stay.
        let pid = self.server.pid().to_string();
        let _asked = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + START_WAIT;
        while !self.server.has_ended() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// A template with its words put in.
fn filled(template: &str, words: &[(&str, String)]) -> String {
    words
        .iter()
        .fold(template.to_owned(), |text, (word, value)| {
            text.replace(&format!("@{word}@"), value)
        })
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn every_word_of_the_template_is_filled_in() {
        let template = std::fs::read_to_string(super::super::folder().join("nginx/nginx.conf"));
        let names = [
            "WORKERS", "PREFIX", "MODULES", "REDIS", "SCRIPT", "CLAIM", "PORT",
        ];
        let words: Vec<_> = names.iter().map(|name| (*name, "7".to_owned())).collect();
        let text = filled(&template.unwrap(), &words);
        assert!(text.contains("worker_processes 7;") && text.contains("listen 127.0.0.1:7 "));
        let settings = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let left: Vec<_> = settings.filter(|line| line.contains('@')).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
