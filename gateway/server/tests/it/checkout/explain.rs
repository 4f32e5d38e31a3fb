//! `sluice explain`: the stored quote, computed again.

use std::process::Output;

use serde_json::{Value, json};
use sluice_domain::redemption::{RedemptionStatus, Transition, TransitionEvent};
use sluice_ledger::redemptions::{Redemptions, TransitionOutcome};
use sluice_ledger::sqlite::{OpenOptions, SqliteLedger};

use super::{Caller, id_in, shoes, threshold};
use crate::process::{Place, run, text};

fn explain(place: &Place, redemption: &str, more: &[&str]) -> Output {
    let data = place.data();
    let mut arguments = vec!["explain", "--data-dir", data.to_str().unwrap()];
    arguments.extend(["--redemption", redemption]);
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn a_price_is_explained_and_a_changed_one_is_noticed() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = alice.claims(&server, &server.sale(&threshold()));
    let redemption = id_in(&alice.holds("o-1", &shoes(), &[&claim]), "redemption_id");

    let beside = explain(&place, &redemption, &[]);
    assert_eq!(beside.status.code(), Some(0), "{}", text(&beside.stderr));
    let words = text(&beside.stdout);
    for word in [
        "order o-1 of user alice",
        &claim,
        "60.00",
        "the same to the last unit",
    ] {
        assert!(words.contains(word), "no {word:?} in\n{words}");
    }
    let json = explain(&place, &redemption, &["--json"]);
    let body: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&body["same"], &body["status"]),
        (&json!(true), &json!("held"))
    );
    assert_eq!(body["stored"], body["replayed"]);

    let data = place.data();
    let of_order = |order: &str| {
        run(&[
            "explain",
            "--data-dir",
            data.to_str().unwrap(),
            "--order",
            order,
        ])
    };
    assert_eq!(text(&of_order("o-1").stdout), words);
    let other = of_order("o-2");
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("order o-2"));

    for unknown in ["0".repeat(26), "no-id".to_owned()] {
        let said = explain(&place, &unknown, &[]);
        assert_eq!(said.status.code(), Some(2), "{unknown}");
        assert!(
            said.stdout.is_empty() && !said.stderr.is_empty(),
            "{unknown}"
        );
    }
    let nowhere = Place::new();
    assert_eq!(explain(&nowhere, &redemption, &[]).status.code(), Some(2));

    assert!(server.stop().success());
    falsify(&place, &redemption);
    let differs = explain(&place, &redemption, &[]);
    assert_eq!(differs.status.code(), Some(1), "{}", text(&differs.stderr));
    assert!(text(&differs.stdout).contains("DIFFERENT, total 60.00 instead of 59.00"));
    let json = explain(&place, &redemption, &["--json"]);
    let body: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (json.status.code(), &body["same"]),
        (Some(1), &json!(false))
    );
}

/// Cancels the redemption, and writes another total into its quote on the way.
fn falsify(place: &Place, redemption: &str) {
    let lanes = sluice_domain::lane::LaneCount::new(2).unwrap();
    let path = place.data().join("ledger.sqlite");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ledger = SqliteLedger::open(&path, OpenOptions::new(lanes)).unwrap();
        let id = redemption.parse().unwrap();
        let mut row = ledger.redemption(id).await.unwrap().unwrap();
        let seen = row.row_version;
        let uses = row
            .live_values()
            .into_iter()
            .map(|live| sluice_domain::redemption::UseChange {
                claim_id: live.claim_id,
                to: sluice_domain::redemption::UseTarget::Free,
            });
        let uses = uses.collect();
        row.row_version = seen.next();
        row.status = RedemptionStatus::Cancelled;
        row.record.quote.total = 5_900;
        let event = TransitionEvent {
            redemption: id,
            row_version: row.row_version,
            at: row.updated_at,
            from: Some(RedemptionStatus::Held),
            to: RedemptionStatus::Cancelled,
            operation_id: "cancel:falsified".to_owned(),
            fingerprint: [0; 32],
            actor: "user:alice".to_owned(),
            result: "{}".to_owned(),
        };
        let transition = Transition {
            redemption: row,
            seen: Some(seen),
            event,
            uses,
        };
        assert_eq!(
            ledger.apply(&transition).await.unwrap(),
            TransitionOutcome::Done
        );
        ledger.close().await;
    });
}
