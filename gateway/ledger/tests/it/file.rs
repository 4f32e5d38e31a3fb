//! What a damaged, foreign or newer file does.

use std::fs::{self, OpenOptions as FileOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sluice_domain::id::LaneId;
use sluice_ledger::claims::{AppendFrom, Claims};
use sluice_ledger::lanes::Lanes;
use sluice_ledger::sqlite::{OpenError, Unwritable};
use sluice_ledger::{LedgerError, SqliteLedger};

use crate::story::{COUPON, Keeper, ROWS, check_batches, options, runtime};

const BATCHES: u32 = 12;

/// A ledger with some batches, and an image of its files as a power cut would leave them. The
/// image gives its last number.
fn image(folder: &Path) -> (PathBuf, u64) {
    let (path, copy) = (folder.join("ledger.db"), folder.join("image.db"));
    let seq = runtime().block_on(async {
        let ledger = SqliteLedger::open(&path, options()).unwrap();
        let mut keeper = Keeper::start(ledger).await;
        let mut seq = 0;
        for n in 0..BATCHES {
            seq = keeper.append(n).await.unwrap();
        }
        fs::copy(&path, &copy).unwrap();
        fs::copy(wal(&path), wal(&copy)).unwrap();
        keeper.ledger.close().await;
        seq
    });
    (copy, seq)
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

#[test]
fn an_untouched_image_holds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, seq) = image(folder.path());
    assert_eq!(runtime().block_on(check_batches(&copy)), (BATCHES, seq));
}

#[test]
fn f24_a_torn_tail_drops_whole_commits_and_the_number_tells() {
    for torn in [1, 100, 5_000, 40_000] {
        let folder = tempfile::tempdir().unwrap();
        let (copy, seq) = image(folder.path());
        let file = FileOptions::new().write(true).open(wal(&copy)).unwrap();
        file.set_len(file.metadata().unwrap().len() - torn).unwrap();
        let (batches, held) = runtime().block_on(check_batches(&copy));
        assert!(batches < BATCHES, "{torn} bytes were torn off");
        assert!(held < seq, "what was lost shows in the lane's number");
        assert_eq!(seq - held, u64::from(BATCHES - batches));
    }
}

#[test]
fn f24_a_flipped_bit_in_the_wal_drops_what_follows_and_the_number_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, seq) = image(folder.path());
    let file = FileOptions::new()
        .read(true)
        .write(true)
        .open(wal(&copy))
        .unwrap();
    // In the last quarter: the commits before it stay.
    let at = file.metadata().unwrap().len() / 4 * 3;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let (batches, held) = runtime().block_on(check_batches(&copy));
    assert!(
        batches > 0 && batches < BATCHES,
        "{batches} batches are left"
    );
    assert!(
        held < seq,
        "SQLite says nothing; the lane's number is all that tells"
    );
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    runtime().block_on(async {
        SqliteLedger::open(&path, options()).unwrap().close().await;
    });
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("INSERT INTO schema_version VALUES (999, 'later')", [])
        .unwrap();
    drop(raw);
    for refused in [
        SqliteLedger::open(&path, options()),
        SqliteLedger::open_read_only(&path),
    ] {
        let Err(OpenError::NewerSchema { found: 999, known }) = refused else {
            panic!("a newer schema was opened: {refused:?}")
        };
        assert!(known < 999);
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let refused = SqliteLedger::open(&path, options());
    assert!(matches!(refused, Err(OpenError::Sqlite(_))), "{refused:?}");
    let missing = SqliteLedger::open_read_only(folder.path().join("nothing.db"));
    assert!(matches!(missing, Err(OpenError::Sqlite(_))), "{missing:?}");
}

#[test]
fn a_reader_beside_the_writer_sees_every_answered_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    runtime().block_on(async {
        let mut keeper = Keeper::start(SqliteLedger::open(&path, options()).unwrap()).await;
        let beside = SqliteLedger::open_read_only(&path).unwrap();
        assert_eq!(beside.identity().id, keeper.ledger.identity().id);
        for n in 0..3 {
            let seq = keeper.append(n).await.unwrap();
            assert_eq!(
                beside.granted(COUPON).await.unwrap(),
                u64::from((n + 1) * ROWS)
            );
            assert_eq!(beside.lane(LaneId(0)).await.unwrap().seq, seq);
        }
        let refused = beside.append(keeper.fence, AppendFrom::Current, &[]).await;
        assert!(
            matches!(refused, Err(LedgerError::Full { .. })),
            "{refused:?}"
        );
        assert!(!beside.writable());
        beside.close().await;
        keeper.ledger.close().await;
        let closed = keeper.append(3).await;
        assert!(
            matches!(closed, Err(LedgerError::Unavailable { .. })),
            "{closed:?}"
        );
    });
}

/// Another process with a write lock: a shell that was left in a transaction, a backup tool.
#[test]
fn f14_a_locked_file_is_told_and_heals_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    runtime().block_on(async {
        let mut keeper = Keeper::start(SqliteLedger::open(&path, options()).unwrap()).await;
        keeper.append(0).await.unwrap();
        assert_eq!(keeper.ledger.unwritable(), None);
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        // The first waits for the lock; the others are refused as it goes on.
        for _write in 0..3 {
            let refused = keeper.append(1).await;
            assert!(
                matches!(refused, Err(LedgerError::Unavailable { .. })),
                "{refused:?}"
            );
            assert_eq!(keeper.ledger.unwritable(), Some(Unwritable::Busy));
        }
        assert_eq!(
            keeper.ledger.granted(COUPON).await.unwrap(),
            u64::from(ROWS)
        );
        other.execute_batch("ROLLBACK").unwrap();
        // Nobody writes: it is found out all the same.
        let healed = async {
            while !keeper.ledger.writable() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let healed = tokio::time::timeout(std::time::Duration::from_secs(30), healed).await;
        assert!(healed.is_ok(), "{:?}", keeper.ledger.unwritable());
        keeper.append(1).await.unwrap();
        keeper.ledger.close().await;
    });
}
