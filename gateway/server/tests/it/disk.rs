//! A disk under the ledger that fails, played by the shim of the ledger's own tests.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::http::wait_for;
use crate::process::{Place, Running, text};
use crate::redis::RedisServer;

/// The exit code of a process whose disk cannot be trusted any more (`EX_IOERR`).
pub(crate) const EXIT_IO_ERROR: i32 = 74;

/// A place whose ledger the shim can reach, a Redis, and the folder that tells the shim what to do.
pub(crate) struct Shimmed {
    pub(crate) place: Place,
    // Ended with the value.
    _redis: RedisServer,
    faults: tempfile::TempDir,
    shim: PathBuf,
    pub(crate) config: String,
}

impl Shimmed {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let faults = tempfile::tempdir().unwrap();
        let shim = build_shim(faults.path());
        let redis = RedisServer::start(&place.folder.path().join("redis"));
        let config = place.serve_config(&redis.url());
        // The shim fails files of this name only.
        let ledger = place.folder.path().join("ledger.db");
        let config = std::fs::read_to_string(config).unwrap().replace(
            "[ledger]",
            &format!("[ledger]\npath = \"{}\"", ledger.display()),
        );
        Self {
            place,
            _redis: redis,
            faults,
            shim,
            config,
        }
    }

    pub(crate) fn serve(&self) -> Running {
        self.place
            .serve_shimmed(&self.config, &self.shim, self.faults.path())
    }

    pub(crate) fn break_it(&self, fault: &str) {
        std::fs::write(self.faults.path().join(fault), "").unwrap();
    }

    pub(crate) fn mend(&self, fault: &str) {
        std::fs::remove_file(self.faults.path().join(fault)).unwrap();
    }
}

#[test]
fn f23_a_full_disk_acknowledges_nothing_and_heals_when_there_is_room() {
    let disk = Shimmed::new();
    let place = &disk.place;
    let server = disk.serve();
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let first = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(first.status, 201, "{first:?}");
    disk.break_it("full");
    for user in ["bob", "carol"] {
        let said = server.claim(&coupon, &place.token(user));
        assert!(
            matches!(said.status, 202 | 503),
            "not acknowledged: {said:?}"
        );
    }
    server.wait_not_ready("the ledger cannot be written");
    let log = server.log();
    assert!(log.contains("full"), "{log}");
    disk.mend("full");
    server.wait_ready();
    let bob = server.claim_patiently(&coupon, &place.token("bob"));
    assert!(matches!(bob.status, 200 | 201), "{bob:?}");
}

/// A file system that the kernel made read-only under us (as it does after errors) is a disk that
/// cannot be trusted: the process ends, and whoever starts it again is told why it does not start.
#[test]
fn f23_a_disk_that_turns_read_only_ends_the_process_and_loses_nothing() {
    let disk = Shimmed::new();
    let place = &disk.place;
    let mut server = disk.serve();
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let [alice, bob] = [place.token("alice"), place.token("bob")];
    let first = server.claim_patiently(&coupon, &alice);
    assert_eq!(first.status, 201, "{first:?}");
    disk.break_it("read_only");
    // The process may end before it answers; what counts is that it acknowledges nothing.
    if let Ok(said) = server.try_claim(&coupon, &bob, &[]) {
        assert!(
            matches!(said.status, 202 | 503),
            "not acknowledged: {said:?}"
        );
    }
    let ended = wait_for("the process to end", 20, || {
        server.child.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(EXIT_IO_ERROR), "{}", server.log());
    let log = server.log();
    assert!(log.contains("the process ends: check the disk"), "{log}");

    let refused = place.try_serve_shimmed(&disk.shim, disk.faults.path());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = text(&refused.stderr);
    assert!(
        why.contains("ledger.db") && why.contains("read-only"),
        "{why}"
    );

    disk.mend("read_only");
    let server = disk.serve();
    server.wait_ready();
    let again = server.claim_patiently(&coupon, &alice);
    assert_eq!((again.status, &again.body), (200, &first.body));
    let said = server.claim_patiently(&coupon, &bob);
    assert!(matches!(said.status, 200 | 201), "{said:?}");
}

fn build_shim(folder: &Path) -> PathBuf {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../ledger/tests/it/disk_fault.c"
    );
    let shim = folder.join("disk_fault.so");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(source)
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    shim
}
