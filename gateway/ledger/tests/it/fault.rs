//! Processes that are killed and disks that fail.

use std::fs;

use crate::child::{Running, acked};
use crate::story::{Keeper, check_batches, options, runtime};
use sluice_ledger::SqliteLedger;
use sluice_ledger::sqlite::EXIT_IO_ERROR;

#[test]
fn f01_nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut child = Running::start(&path, None);
    for _ in 0..40 {
        child.until("acked");
    }
    let (batch, seq) = child.kill();

    runtime().block_on(async {
        let (batches, held) = check_batches(&path).await;
        assert!(
            batches > batch,
            "{batches} batches, {batch} was acknowledged"
        );
        assert!(held >= seq, "the lane's number did not fall: {held}, {seq}");
        // The ledger goes on where it was.
        let ledger = SqliteLedger::open(&path, options()).unwrap();
        let mut keeper = Keeper::start(ledger).await;
        keeper.append(batches).await.unwrap();
        keeper.ledger.close().await;
        assert_eq!(check_batches(&path).await.0, batches + 1);
    });
}

#[test]
fn f23_a_full_disk_refuses_and_recovers_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let faults = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut child = Running::start(&path, Some(faults.path()));
    child.until("acked");
    fs::write(faults.path().join("full"), "").unwrap();
    let refused = child.until("full");
    assert!(refused.starts_with("full false"), "not writable: {refused}");
    for _ in 0..20 {
        let line = child.next().unwrap();
        assert!(
            line.starts_with("full false"),
            "nothing is acknowledged: {line}"
        );
    }
    fs::remove_file(faults.path().join("full")).unwrap();
    let again = child.until("acked");
    assert!(acked(&again).is_some());
    let (batch, seq) = child.kill();
    let (batches, held) = runtime().block_on(check_batches(&path));
    assert!(batches > batch && held >= seq);
}

#[test]
fn f23_a_failed_sync_ends_the_process_and_acknowledges_nothing_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let faults = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut child = Running::start(&path, Some(faults.path()));
    child.until("acked");
    fs::write(faults.path().join("sync"), "").unwrap();
    let mut last = (0, 0);
    let fatal = loop {
        let line = child.next().expect("it says why it ends");
        match acked(&line) {
            Some(ack) => last = ack,
            None => break line,
        }
    };
    assert!(
        fatal.starts_with("fatal") && fatal.contains("disk I/O error"),
        "{fatal}"
    );
    assert_eq!(child.next(), None, "not a word after it");
    assert_eq!(child.exit_code(), Some(EXIT_IO_ERROR));
    let (batches, held) = runtime().block_on(check_batches(&path));
    assert!(batches > last.0 && held >= last.1);
}

#[test]
fn f23_a_read_only_file_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let faults = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    runtime().block_on(async {
        SqliteLedger::open(&path, options()).unwrap().close().await;
    });
    fs::write(faults.path().join("read_only"), "").unwrap();
    let mut child = Running::start(&path, Some(faults.path()));
    let refused = child.until("refused");
    assert!(refused.contains("read-only"), "{refused}");
    assert_eq!(child.exit_code(), Some(3));
}
