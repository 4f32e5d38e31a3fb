//! A rolling restart under load: gateway after gateway stops and starts again while shoppers claim.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::hammer::Hammer;
use super::stage::{Stage, free_port};
use crate::process::{Running, signal};

const GATEWAYS: usize = 2;
const CALLERS: usize = 6;
/// For each round: more than come in its time.
const SHOPPERS: usize = 40_000;
const ROLES: &str = "data,control,workers";

/// Rounds over all gateways; `SLUICE_ROLLING_ROUNDS` says how many for a longer run.
fn rounds() -> usize {
    let asked = std::env::var("SLUICE_ROLLING_ROUNDS");
    asked.map_or(1, |text| text.parse().unwrap())
}

#[test]
fn f29_a_rolling_restart_resets_nobody_and_loses_no_answer() {
    let stage =
        Stage::lay_with(|config| config.replace("drain_wait_ms = 0", "drain_wait_ms = 2000"));
    let ports: Vec<u16> = (0..GATEWAYS).map(|_gateway| free_port()).collect();
    let mut gateways: Vec<Running> = ports
        .iter()
        .map(|port| stage.start_at(ROLES, *port))
        .collect();
    for gateway in &gateways {
        gateway.wait_ready();
    }
    let shoppers = SHOPPERS * rounds();
    let coupon = gateways[0].sale(&json!({"limits": {"total": shoppers}}));
    let tokens = stage.place.tokens("u", shoppers, &["--pass"]);
    let hammer = Hammer::new(&ports, &coupon, &tokens);
    let done = AtomicBool::new(false);
    let enough = || done.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_caller| scope.spawn(|| hammer.swing(&enough)))
            .collect();
        for number in 0..GATEWAYS * rounds() {
            let index = number % GATEWAYS;
            let before = hammer.won().len();
            restart(&stage, &mut gateways, index, ports[index]);
            assert!(hammer.won().len() > before, "the sale went on");
        }
        done.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
    });
    let broken = hammer.broken();
    assert!(broken.is_empty(), "{} broken: {broken:?}", broken.len());
    assert!(
        hammer.closed_in_order() > 0,
        "nobody was told to go elsewhere"
    );
    assert_eq!(hammer.refused(), 0, "there was enough for everybody");
    let won = hammer.won();
    stage.is_exact(&gateways[0], &coupon, won.len() as u64);
    // Every answer was true: whoever asks again has the claim that they were told of.
    for (shopper, id) in won.iter().take(200) {
        let again = gateways[1].claim_patiently(&coupon, &tokens[*shopper]);
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.json()["claim_id"], **id);
    }
}

/// Stops a gateway in good order and starts it again where it was.
fn restart(stage: &Stage, gateways: &mut Vec<Running>, index: usize, port: u16) {
    let stopping = gateways.remove(index);
    signal(stopping.pid(), "TERM");
    // It says so before it is gone.
    stopping.wait_not_ready("stopping");
    assert!(stopping.stop().success());
    let started = stage.start_at(ROLES, port);
    started.wait_ready();
    gateways.insert(index, started);
}
