//! Servers that the bench starts and ends: by their process id, never by name.

use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A running server, killed when it is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// Where the program is not there.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| {
            format!("cannot run {}", program.display())
        })?))
    }

    /// Starts one of ours, which says its address on its first line.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_ours(arguments: &[&str]) -> anyhow::Result<(Self, SocketAddr)> {
        let mut command = Command::new(crate::beside("bench-server")?);
        let mut server = Self::start(command.args(arguments).stdout(Stdio::piped()))?;
        let stdout = server.0.stdout.take().context("no standard output")?;
        let mut line = String::new();
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().context("bench-server did not start")?;
        Ok((server, address))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Asks it to end in good order, and waits until it has.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.pid().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where this fails.
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Says the address of a server of ours to who started it.
#[expect(clippy::print_stdout, reason = "its parent reads the address there")]
pub fn say(address: SocketAddr) {
    println!("{address}");
}
