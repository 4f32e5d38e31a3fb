//! A ledger that is full, away or on a disk that fails, while hot state goes on.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Done, report, steady};
use crate::checkout::{Caller, shoes};
use crate::disk::{EXIT_IO_ERROR, Shimmed};
use crate::faults::holds_exactly;
use crate::http::wait_for;
use crate::process::{PATIENT, Place, Running};
use crate::redis::RedisServer;

/// Entries that the outbox of a lane may hold in these tests.
const OUTBOX_MAX: usize = 20;

/// Claims of class `hot` one after the other, until one is refused; those that were granted.
fn claim_until_refused(server: &Running, coupon: &str, passes: &[String]) -> usize {
    for (number, pass) in passes.iter().enumerate() {
        let said = server.claim(coupon, pass);
        if said.status == 503 {
            return number;
        }
        assert_eq!(said.status, 201, "{said:?}");
    }
    panic!("the outbox has no bound")
}

/// Without its ledger a lane grants `hot` claims while it has a lease and room in its outbox; then
/// it says 503. Checkout says 503 at once. When the ledger is back, everything that was granted is
/// in it.
#[test]
fn f14_without_a_ledger_hot_claims_go_on_within_bounds_and_are_all_kept() {
    let mut disk = Shimmed::new();
    let bounded =
        format!("[hotstate]\nresponse_timeout_ms = 2000\noutbox_entries_max = {OUTBOX_MAX}\n");
    // Long enough that the outbox is full before the lane's own lease is over.
    let leases = [
        ("lane_lease_ms = 3000", "lane_lease_ms = 20000"),
        ("grace_ms = 4000", "grace_ms = 21000"),
        ("[hotstate]\n", &*bounded),
    ];
    for (from, to) in leases {
        disk.config = disk.config.replace(from, to);
    }
    disk.config += PATIENT;
    let place = &disk.place;
    let server = disk.serve();
    server.wait_ready();
    let coupon = server.sale(&json!({"durability": "hot", "limits": {"total": 1_000}}));
    let passes = place.tokens("h", 100, &["--pass"]);
    let first = server.claim_patiently(&coupon, &passes[0]);
    assert_eq!(first.status, 201, "{first:?}");
    wait_for("the first claim to be a row", 20, || {
        (super::crowd::rows(&server, &coupon).len() == 1).then_some(())
    });

    disk.break_it("full");
    let granted = claim_until_refused(&server, &coupon, &passes[1..]);
    assert!(granted > 0 && granted <= OUTBOX_MAX, "{granted} granted");
    let shopper = Caller::shopper(place, &server, "buyer");
    let order = json!({"cart": shoes(), "claims": [], "order_id": "o-1"});
    assert_eq!(shopper.post("/v1/redemptions", &order).status, 503);
    let repeat = server.claim(&coupon, &passes[0]);
    assert_eq!((repeat.status, &repeat.body), (200, &first.body));
    server.wait_not_ready("the ledger cannot be written");

    disk.mend("full");
    let begun = Instant::now();
    server.wait_ready();
    let after = server.claim_patiently(&coupon, &passes[99]);
    assert!(matches!(after.status, 200 | 201), "{after:?}");
    let recovery = begun.elapsed();
    for pass in &passes[1..=granted] {
        assert_eq!(server.claim_patiently(&coupon, pass).status, 200);
    }
    // The refused one may have been granted by nobody; the last of the crowd came after it.
    holds_exactly(place, &server, &coupon, granted as u64 + 2);
    report(
        14,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: Some(recovery),
        },
    );
}

/// A failed sync says nothing of what is on the disk, and a second one may lie: the process ends at
/// once, and what it had acknowledged is there when it starts again.
#[test]
fn f23_a_failed_sync_ends_the_process_at_once_and_loses_nothing() {
    let disk = Shimmed::new();
    let place = &disk.place;
    let mut server = disk.serve();
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let [alice, bob] = [place.token("alice"), place.token("bob")];
    let first = server.claim_patiently(&coupon, &alice);
    assert_eq!(first.status, 201, "{first:?}");
    disk.break_it("sync");
    let begun = Instant::now();
    if let Ok(said) = server.try_claim(&coupon, &bob, &[]) {
        assert!(matches!(said.status, 202 | 503), "acknowledged: {said:?}");
    }
    let ended = wait_for("the process to end", 20, || {
        server.child.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(EXIT_IO_ERROR), "{}", server.log());
    disk.mend("sync");
    let server = disk.serve();
    server.wait_ready();
    let again = server.claim_patiently(&coupon, &alice);
    assert_eq!((again.status, &again.body), (200, &first.body));
    let said = server.claim_patiently(&coupon, &bob);
    assert!(matches!(said.status, 200 | 201), "{said:?}");
    holds_exactly(place, &server, &coupon, 2);
    report(
        23,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: Some(begun.elapsed()),
        },
    );
}

/// A server whose ledger is on a file system of 6 MiB, in a mount namespace of its own.
struct SmallDisk {
    place: Place,
    _redis: RedisServer,
    server: Running,
    ledger: PathBuf,
}

impl SmallDisk {
    fn mount() -> Self {
        let place = Place::new();
        let redis = RedisServer::start(&place.folder.path().join("redis"));
        let ledger = place.folder.path().join("small");
        std::fs::create_dir(&ledger).unwrap();
        let path = format!(
            "[ledger]\npath = \"{}\"",
            ledger.join("ledger.db").display()
        );
        let config = place.config(&steady(&place, &redis.url()).replace("[ledger]", &path));
        let key = place.folder.path().join("admin.key");
        let script = "mount -t tmpfs -o size=6m tmpfs \"$1\" \
             && \"$2\" key create --config \"$3\" --role admin > \"$4\" \
             && exec \"$2\" serve --config \"$3\"";
        // The server takes the place of the shell, so its process id is the child's.
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(&ledger).arg(env!("CARGO_BIN_EXE_sluice"));
        command.arg(config).arg(&key);
        let mut server = place.spawn(command);
        let made = std::fs::read_to_string(key).unwrap();
        server.ready["admin_key"] = json!(made.trim());
        server.wait_ready();
        Self {
            place,
            _redis: redis,
            server,
            ledger,
        }
    }

    /// The filler, as seen from outside of the namespace.
    fn filler(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.server.pid());
        PathBuf::from(root + self.ledger.join("filler").to_str().unwrap())
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
    }
}

#[test]
fn f23_a_disk_that_is_really_full_acknowledges_nothing_more_and_heals() {
    let disk = SmallDisk::mount();
    let server = &disk.server;
    let coupon = server.sale(&json!({"limits": {"total": 10_000}}));
    let passes = disk.place.tokens("d", 600, &["--pass"]);
    disk.fill();
    // What its log had room for is still written; then nothing is.
    let mut kept = Vec::new();
    for pass in &passes {
        let said = server.claim(&coupon, pass);
        if said.status != 201 {
            assert!(matches!(said.status, 202 | 503), "{said:?}");
            break;
        }
        kept.push((pass, said.body));
    }
    assert!(kept.len() < passes.len(), "the disk was never full");
    server.wait_not_ready("the ledger cannot be written");
    let held = server.admin("GET", &format!("/admin/v1/coupons/{coupon}"), &Value::Null);
    assert_eq!(held.status, 200, "reads go on: {held:?}");

    std::fs::remove_file(disk.filler()).unwrap();
    let begun = Instant::now();
    server.wait_ready();
    let recovery = begun.elapsed();
    let late = server.claim_patiently(&coupon, &passes[599]);
    assert!(matches!(late.status, 200 | 201), "{late:?}");
    for (pass, body) in &kept {
        let said = server.claim_patiently(&coupon, pass);
        assert_eq!((said.status, &said.body), (200, body));
    }
    let path = format!("/admin/v1/coupons/{coupon}/audit");
    wait_for("the audit to be exact", 30, || {
        let audit = server.admin("GET", &path, &Value::Null).json();
        assert_ne!(audit["verdict"], "violated", "{audit}");
        (audit["verdict"] == "exact").then_some(())
    });
    report(
        23,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: Some(recovery),
        },
    );
}
