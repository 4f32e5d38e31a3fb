//! The schema: numbered steps, each applied once, by one migrator at a time.

use std::time::Duration;

use scylla::client::session::Session;

use super::{CqlOptions, OpenError};

/// The steps in order; the schema's number is how many were applied.
const STEPS: &[&str] = &[
    include_str!("../../migrations/cql/0001_first.cql"),
    include_str!("../../migrations/cql/0002_causes.cql"),
];

/// How long a migrator that died keeps others away, in seconds.
const LOCK_SECONDS: i32 = 120;
/// How long a change of the schema may take: all nodes are asked.
const DDL_WAIT: Duration = Duration::from_secs(60);
/// How often a migrator asks for the lock that another has.
const LOCK_PAUSE: Duration = Duration::from_millis(250);

/// The number of this program's schema.
pub(super) fn known() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// The statements of a step: what is between semicolons, comments left out.
fn statements(step: &str) -> impl Iterator<Item = String> {
    let code: String = step
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let parts: Vec<String> = code.split(';').map(|part| part.trim().to_owned()).collect();
    parts.into_iter().filter(|part| !part.is_empty())
}

fn failed(what: &str) -> impl Fn(&dyn std::fmt::Display) -> OpenError + '_ {
    move |error| OpenError::Schema(format!("{what}: {error}"))
}

async fn ddl(session: &Session, text: &str) -> Result<(), OpenError> {
    let mut statement = scylla::statement::Statement::new(text);
    statement.set_request_timeout(Some(DDL_WAIT));
    let done = session.query_unpaged(statement, ()).await;
    done.map_err(|error| failed("a schema change was refused")(&error))?;
    let agreed = session.await_schema_agreement().await;
    agreed.map_err(|error| failed("the nodes do not agree on the schema")(&error))?;
    Ok(())
}

/// The schema's number that is applied; `None` where there is no ledger yet.
pub(super) async fn found(session: &Session, keyspace: &str) -> Result<Option<u32>, OpenError> {
    let tables = session
        .query_unpaged(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'migrations'",
            (keyspace,),
        )
        .await
        .map_err(|error| failed("the schema cannot be read")(&error))?;
    let tables = tables
        .into_rows_result()
        .map_err(|error| failed("the schema cannot be read")(&error))?;
    if tables.rows_num() == 0 {
        return Ok(None);
    }
    let mut statement = scylla::statement::Statement::new(format!(
        "SELECT number FROM \"{keyspace}\".migrations WHERE name = 'ledger'"
    ));
    statement.set_consistency(scylla::statement::Consistency::Serial);
    let rows = session
        .query_unpaged(statement, ())
        .await
        .map_err(|error| failed("the applied migrations cannot be read")(&error))?
        .into_rows_result()
        .map_err(|error| failed("the applied migrations cannot be read")(&error))?;
    let numbers = rows.rows::<(i64,)>();
    let numbers =
        numbers.map_err(|error| failed("the applied migrations cannot be read")(&error))?;
    let mut last = 0;
    for number in numbers {
        let (number,) = number.map_err(|error| failed("a migration cannot be read")(&error))?;
        last = last.max(u32::try_from(number).unwrap_or(u32::MAX));
    }
    Ok(Some(last))
}

/// Makes keyspace and tables where they are not there, and applies what is missing.
pub(super) async fn migrate(session: &Session, options: &CqlOptions) -> Result<(), OpenError> {
    let (keyspace, copies) = (&options.keyspace, options.replication);
    // `NetworkTopologyStrategy` needs a datacenter's name; without one the simple strategy serves a
    // single datacenter.
    let replication = match &options.datacenter {
        Some(name) => format!("{{'class': 'NetworkTopologyStrategy', '{name}': {copies}}}"),
        None => format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"),
    };
    ddl(
        session,
        &format!("CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\" WITH replication = {replication}"),
    )
    .await?;
    let used = session.use_keyspace(keyspace, true).await;
    used.map_err(|error| failed("the keyspace cannot be used")(&error))?;
    ddl(
        session,
        "CREATE TABLE IF NOT EXISTS migrations (name text, number bigint, PRIMARY KEY ((name), number))",
    )
    .await?;
    lock(session).await?;
    let applied = apply(session, keyspace).await;
    let freed = session
        .query_unpaged(
            "DELETE FROM migrations WHERE name = 'lock' AND number = 0 IF EXISTS",
            (),
        )
        .await;
    if let Err(error) = freed {
        tracing::warn!(%error, "the migration lock was not freed; it ends by itself");
    }
    applied
}

async fn lock(session: &Session) -> Result<(), OpenError> {
    let tries = u32::try_from(LOCK_SECONDS).unwrap_or(1) * 4 + 40;
    for _try in 0..tries {
        let taken = session
            .query_unpaged(
                format!(
                    "INSERT INTO migrations (name, number) VALUES ('lock', 0) IF NOT EXISTS USING TTL {LOCK_SECONDS}"
                ),
                (),
            )
            .await;
        if let Ok(answer) = taken
            && let Ok(rows) = answer.into_rows_result()
            && let Ok(row) = rows.first_row::<scylla::value::Row>()
            && let Some(Some(scylla::value::CqlValue::Boolean(true))) = row.columns.first()
        {
            return Ok(());
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Err(OpenError::Schema(
        "another migrator has been at it for too long".to_owned(),
    ))
}

async fn apply(session: &Session, keyspace: &str) -> Result<(), OpenError> {
    let found = found(session, keyspace).await?.unwrap_or(0);
    if found > known() {
        return Err(OpenError::NewerSchema {
            found,
            known: known(),
        });
    }
    for (number, step) in (1_u32..).zip(STEPS).skip(found as usize) {
        // Each statement of a step may be repeated: a migrator that died half-way is no trouble.
        for statement in statements(step) {
            ddl(session, &statement).await?;
        }
        session
            .query_unpaged(
                "INSERT INTO migrations (name, number) VALUES ('ledger', ?) IF NOT EXISTS",
                (i64::from(number),),
            )
            .await
            .map_err(|error| failed("a migration was not recorded")(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{STEPS, statements};

    #[test]
    fn every_statement_of_a_step_may_be_repeated() {
        for step in STEPS {
            let all: Vec<String> = statements(step).collect();
            assert!(!all.is_empty());
            for statement in all {
                assert!(
                    statement.contains("IF NOT EXISTS"),
                    "cannot be repeated: {statement}"
                );
            }
        }
    }
}
