//! The audit log's hash chain.

use sluice_domain::invariant::Check;
use sluice_ledger::audit_log::verify_chain;
use sluice_ledger::{Ledger, LedgerError};

const PAGE: usize = 1_000;

/// Reads the whole log and verifies its chain.
pub(crate) async fn read_and_check(ledger: &dyn Ledger) -> Result<Check, LedgerError> {
    let mut check = Check::new(14, "the audit log's hash chain verifies");
    let mut previous = [0; 32];
    let mut after = 0;
    loop {
        let rows = ledger.audit_entries(None, after, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(check);
        };
        let follows = rows.first().is_some_and(|row| row.sequence == after + 1);
        check.expect(follows, || format!("entry {} is missing", after + 1));
        let verified = verify_chain(previous, &rows);
        check.examined += rows.len() as u64 - 1;
        check.expect(verified.is_ok(), || match &verified {
            Err(broken) => broken.to_string(),
            Ok(()) => String::new(),
        });
        (previous, after) = (last.hash, last.sequence);
    }
}
