//! The session: prepared statements, one profile for each kind of them, and what is retried.
//!
//! A table is written by conditional statements only, or by plain ones only. Conditional ones are
//! sent once and never retried by the driver: what became of one is found by a serial read. Plain
//! writes go to index tables, carry their own timestamp, and are repeated until they are in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{ExecutionError, PagerExecutionError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::response::query_result::QueryResult;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::Row;

use super::CqlOptions;
use super::failure::{self, Failure};
use super::value::{Bound, Record};
use crate::LedgerError;

/// Attempts of a plain write.
const UPSERT_ATTEMPTS: u32 = 6;
/// Attempts of a conditional write whose outcome is uncertain.
const WRITE_ATTEMPTS: u32 = 4;
/// Plain writes under way for one call.
const UPSERTS_AT_ONCE: usize = 32;
/// Rows on a page of a SELECT.
const PAGE_ROWS: i32 = 1_000;

/// How a SELECT reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// By a quorum: sees every conditional write that was answered.
    Quorum,
    /// Through Paxos: finishes what is under way in the partition first.
    Serial,
}

/// What became of a conditional statement that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cas {
    /// Carried out.
    Applied,
    /// Its condition did not hold.
    Refused,
}

/// A statement with its values.
pub(super) type Call = (&'static str, Vec<Bound>);

/// The session and its statements.
pub(super) struct Store {
    session: Session,
    prepared: HashMap<&'static str, PreparedStatement>,
    serial: HashMap<&'static str, PreparedStatement>,
    lwt: scylla::client::execution_profile::ExecutionProfileHandle,
    /// What the last conditional statement failed with; `None` once one was answered again.
    trouble: Mutex<Option<String>>,
}

/// A session on the given keyspace, or on none.
pub(super) async fn connect(
    options: &CqlOptions,
    keyspace: Option<&str>,
) -> Result<Session, scylla::errors::NewSessionError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .default_execution_profile_handle(profile(options).into_handle())
        .connection_timeout(options.connect_timeout)
        .schema_agreement_timeout(Duration::from_secs(30))
        .tcp_nodelay(true);
    if let Some(keyspace) = keyspace {
        builder = builder.use_keyspace(keyspace, true);
    }
    builder.build().await
}

/// For reads and plain writes; the driver's own retries are safe for both.
fn profile(options: &CqlOptions) -> ExecutionProfile {
    let speculation = SimpleSpeculativeExecutionPolicy {
        max_retry_count: 1,
        retry_interval: Duration::from_millis(50),
    };
    let mut builder = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(options.request_timeout))
        .speculative_execution_policy(Some(Arc::new(speculation)));
    if let Some(datacenter) = &options.datacenter {
        let policy = DefaultPolicy::builder()
            .prefer_datacenter(datacenter.clone())
            .build();
        builder = builder.load_balancing_policy(policy);
    }
    builder.build()
}

/// A pause before attempt `attempt` of something: some of a doubling bound, so that callers who met
/// once do not meet again.
pub(super) async fn back_off(attempt: u32) {
    let bound = 8_u64 << attempt.min(5);
    let mut byte = [0_u8; 1];
    // Without randomness the pause is merely a plain one.
    let share = getrandom::fill(&mut byte).map_or(128, |()| u64::from(byte[0]));
    tokio::time::sleep(Duration::from_millis(bound / 2 + bound * share / 512)).await;
}

/// A number that nobody else has: names one intention of one writer.
pub(super) fn fresh_op() -> Result<[u8; 16], LedgerError> {
    let mut op = [0; 16];
    getrandom::fill(&mut op).map_err(|error| failure::unavailable(&error))?;
    Ok(op)
}

// === impl Store ===

impl Store {
    /// Prepares every statement on a session that has its keyspace.
    pub(super) async fn prepare(
        session: Session,
        options: &CqlOptions,
        statements: impl Iterator<Item = &'static str>,
    ) -> Result<Self, LedgerError> {
        let lwt = profile(options)
            .to_builder()
            .serial_consistency(Some(SerialConsistency::LocalSerial))
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .speculative_execution_policy(None)
            .request_timeout(Some(options.lwt_timeout))
            .build()
            .into_handle();
        let (mut prepared, mut serial) = (HashMap::new(), HashMap::new());
        for text in statements {
            let ready = session.prepare(text).await;
            let mut ready = ready.map_err(|error| failure::unavailable(&error))?;
            ready.set_page_size(PAGE_ROWS);
            if text.starts_with("SELECT") {
                ready.set_is_idempotent(true);
                let mut exact = ready.clone();
                exact.set_consistency(Consistency::LocalSerial);
                exact.set_execution_profile_handle(Some(lwt.clone()));
                serial.insert(text, exact);
            } else if text.contains(" IF ") {
                ready.set_execution_profile_handle(Some(lwt.clone()));
            } else {
                ready.set_is_idempotent(true);
            }
            prepared.insert(text, ready);
        }
        Ok(Self {
            session,
            prepared,
            serial,
            lwt,
            trouble: Mutex::new(None),
        })
    }

    /// Why conditional statements fail, as far as the last one tells.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble_slot().clone()
    }

    fn trouble_slot(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a conditional statement came to, and weighs it.
    fn answered(&self, answer: Result<QueryResult, ExecutionError>) -> Result<Cas, Failure> {
        *self.trouble_slot() = answer.as_ref().err().map(ToString::to_string);
        weigh(answer.map_err(|error| failure::of_write(&error))?)
    }

    fn find(
        &self,
        text: &'static str,
        reading: Reading,
    ) -> Result<&PreparedStatement, LedgerError> {
        let all = match reading {
            Reading::Quorum => &self.prepared,
            Reading::Serial => &self.serial,
        };
        let found = all.get(text);
        found.ok_or_else(|| LedgerError::corrupt(format!("not a prepared statement: {text}")))
    }

    /// Reads rows, page by page.
    pub(super) async fn rows(
        &self,
        text: &'static str,
        values: Vec<Bound>,
        reading: Reading,
    ) -> Result<Vec<Record>, LedgerError> {
        self.rows_at_most(text, values, reading, usize::MAX).await
    }

    /// Reads the first rows.
    pub(super) async fn rows_at_most(
        &self,
        text: &'static str,
        values: Vec<Bound>,
        reading: Reading,
        limit: usize,
    ) -> Result<Vec<Record>, LedgerError> {
        let statement = self.find(text, reading)?.clone();
        let failed = |error: PagerExecutionError| failure::unavailable(&error);
        let pager = self.session.execute_iter(statement, values).await;
        let stream = pager.map_err(failed)?.rows_stream::<Row>();
        let mut stream = stream.map_err(|error| failure::defect(&error))?;
        let specs = stream.column_specs();
        let names: Arc<[String]> = specs.iter().map(|spec| spec.name().to_owned()).collect();
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            let row = row.map_err(|error| failure::unavailable(&error))?;
            rows.push(Record::new(Arc::clone(&names), row.columns));
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    /// Reads one row.
    pub(super) async fn row(
        &self,
        text: &'static str,
        values: Vec<Bound>,
        reading: Reading,
    ) -> Result<Option<Record>, LedgerError> {
        let rows = self.rows_at_most(text, values, reading, 1).await?;
        Ok(rows.into_iter().next())
    }

    /// Sends a conditional statement, once.
    pub(super) async fn cas(&self, text: &'static str, values: Vec<Bound>) -> Result<Cas, Failure> {
        let statement = self.find(text, Reading::Quorum).map_err(Failure::Refused)?;
        self.answered(self.session.execute_unpaged(statement, values).await)
    }

    /// Sends a conditional batch of one partition, once: all of it is carried out or nothing.
    pub(super) async fn cas_batch(&self, calls: Vec<Call>) -> Result<Cas, Failure> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.lwt.clone()));
        let mut all = Vec::with_capacity(calls.len());
        for (text, values) in calls {
            let statement = self.find(text, Reading::Quorum).map_err(Failure::Refused)?;
            batch.append_statement(statement.clone());
            all.push(values);
        }
        self.answered(self.session.batch(&batch, all).await)
    }

    /// Carries out one intention, `op`, on a partition that was read with `seen` as its stamp: true
    /// where it is written, false where another came first. Every write of a partition is on the
    /// condition of its stamp and sets a new one, so an uncertain attempt is repeated under the
    /// same stamp: it and a delayed first one cannot both take place.
    ///
    /// `probe` is the SELECT of the stamp.
    pub(super) async fn write(
        &self,
        calls: Vec<Call>,
        probe: Call,
        seen: Option<[u8; 16]>,
        op: [u8; 16],
    ) -> Result<bool, LedgerError> {
        let mut reason = String::new();
        for attempt in 0..WRITE_ATTEMPTS {
            match self.cas_batch(calls.clone()).await {
                Ok(Cas::Applied) => return Ok(true),
                Ok(Cas::Refused) if attempt == 0 => return Ok(false),
                Ok(Cas::Refused) => {}
                Err(Failure::Refused(error)) if attempt == 0 => return Err(error),
                Err(Failure::Refused(error)) => reason = error.to_string(),
                Err(Failure::Uncertain(why)) => reason = why,
            }
            metrics::counter!("sluice_ledger_cql_uncertain_total").increment(1);
            let found = self.row(probe.0, probe.1.clone(), Reading::Serial).await;
            let found = found.map_err(|error| failure::unknown(format!("{reason}; {error}")))?;
            let stamp = found.map(|row| row.opt_bytes("op")).transpose()?.flatten();
            if stamp == Some(op) {
                return Ok(true);
            }
            if stamp != seen {
                return Ok(false);
            }
            back_off(attempt).await;
        }
        Err(failure::unknown(reason))
    }

    /// Writes a row of an index table; repeated until it is in.
    async fn upsert(&self, text: &'static str, values: Vec<Bound>) -> Result<(), LedgerError> {
        let statement = self.find(text, Reading::Quorum)?;
        let mut attempt = 0;
        loop {
            let answer = self.session.execute_unpaged(statement, &values).await;
            let Err(error) = answer else { return Ok(()) };
            attempt += 1;
            if attempt == UPSERT_ATTEMPTS {
                return Err(failure::of_repeatable(&error));
            }
            back_off(attempt).await;
        }
    }

    /// Writes rows of index tables, some at a time; all are in when it returns.
    pub(super) async fn upserts(&self, calls: Vec<Call>) -> Result<(), LedgerError> {
        let mut writes = Vec::with_capacity(calls.len());
        for (text, values) in calls {
            writes.push(self.upsert(text, values));
        }
        futures_util::stream::iter(writes)
            .buffer_unordered(UPSERTS_AT_ONCE)
            .try_collect::<()>()
            .await
    }
}

/// Whether a conditional statement was carried out: the only thing that is looked at, because
/// servers answer with different rows.
fn weigh(answer: QueryResult) -> Result<Cas, Failure> {
    let unread = |error: String| Failure::Uncertain(format!("the answer cannot be read: {error}"));
    let rows = answer.into_rows_result();
    let rows = rows.map_err(|error| unread(error.to_string()))?;
    let specs = rows.column_specs();
    let names: Arc<[String]> = specs.iter().map(|spec| spec.name().to_owned()).collect();
    let first = rows.maybe_first_row::<Row>();
    let first = first.map_err(|error| unread(error.to_string()))?;
    let first = first.ok_or_else(|| unread("no row".to_owned()))?;
    let applied = Record::new(names, first.columns).applied();
    match applied.map_err(|error| unread(error.to_string()))? {
        true => Ok(Cas::Applied),
        false => Ok(Cas::Refused),
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("statements", &self.prepared.len())
            .finish_non_exhaustive()
    }
}
