//! One script call: its command, its timing, and what its failure means.

use redis::{Cmd, ErrorKind, ServerErrorKind, ToRedisArgs, Value};
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{Epoch, LaneId};
use tokio::time::Instant;

use super::connection::SendError;
use super::places::Way;
use super::reply::{self, Reply};
use super::script::{Handle, Handles, Script};

/// A call that is being put together: all keys first, then the arguments.
#[derive(Debug)]
pub(super) struct Call<'a> {
    handle: &'a Handle,
    command: Cmd,
    keys: usize,
}

impl<'a> Call<'a> {
    pub(super) fn new(handles: &'a Handles, script: Script) -> Self {
        let handle = handles.of(script);
        let mut command = redis::cmd("EVALSHA");
        command.arg(handle.text.get_hash()).arg(script.keys());
        Self {
            handle,
            command,
            keys: 0,
        }
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.keys += 1;
        self.command.arg(key);
        self
    }

    pub(super) fn arg(mut self, value: impl ToRedisArgs) -> Self {
        // Redis would take a key for an argument, or the other way round.
        debug_assert_eq!(
            self.keys,
            self.handle.script.keys(),
            "{:?}",
            self.handle.script
        );
        self.command.arg(value);
        self
    }

    /// Adds an argument in place, for calls of many.
    pub(super) fn push(&mut self, value: impl ToRedisArgs) {
        self.command.arg(value);
    }

    /// Calls a script of a lane.
    pub(super) async fn run(
        self,
        way: Way<'_>,
        lane: LaneId,
        epoch: Epoch,
    ) -> Result<Reply, StoreError> {
        match self.send(way).await {
            Ok(value) => Reply::new(value),
            Err(SendError::Failed(error)) if reply::is_replica(&error) => {
                Err(StoreError::LaneNotReady {
                    lane,
                    epoch,
                    reason: NotReady::ServerChanged,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Calls a script, whatever its answer looks like. Where the server does not know it, it is
    /// loaded and called again: a call that was refused for that has not run.
    pub(super) async fn send(self, way: Way<'_>) -> Result<Value, SendError> {
        let begun = Instant::now();
        let mut answer = way.send(&self.command).await;
        if is_noscript(&answer) {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(&self.handle.source);
            answer = match way.send(&load).await {
                Ok(_hash) => way.send(&self.command).await,
                // Whatever became of the loading: the script itself did not run.
                Err(SendError::Failed(error)) => Err(SendError::NotSent(error.to_string())),
                Err(not_sent) => Err(not_sent),
            };
        }
        self.handle.duration.record(begun.elapsed());
        answer
    }
}

impl From<SendError> for StoreError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotSent(reason) => Self::Unavailable { reason },
            SendError::Failed(error) => reply::failure(&error),
        }
    }
}

fn is_noscript(answer: &Result<Value, SendError>) -> bool {
    matches!(answer, Err(SendError::Failed(error))
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
