//! Holding, holding again, and the price that was expected.

use super::*;

#[test]
fn a_hold_reserves_its_claims_for_a_time() {
    let mut shop = Shop::new();
    let hold = shop.hold("o-1", &shoes(3), &[five_off(), ten_percent()]);
    let answer = done(shop.run("o-1", &hold));
    let row = shop.row("o-1");
    assert_eq!(answer, Answer::Redemption(Box::new(row.clone())));
    let end = shop.now.plus_millis(i64::from(Shop::TTL_MS));
    assert_eq!((row.row_version.0, row.held_until), (1, end));
    assert!(
        shop.store
            .uses
            .iter()
            .all(|held| held.held_until == Some(end))
    );
    assert_eq!(shop.store.uses.len(), 2);
    assert_sound(&shop);
}

#[test]
fn the_same_content_is_answered_with_what_is_held_and_not_prolonged() {
    let mut shop = shop_in(RedemptionStatus::Held);
    let before = shop.row("o-1").clone();
    shop.now = shop.now.plus_millis(60_000);
    let again = shop.hold("o-1", &shoes(3), &[five_off()]);
    let answer = done(shop.run("o-1", &again));
    assert_eq!(answer, Answer::Redemption(Box::new(before.clone())));
    assert_eq!(*shop.row("o-1"), before);
}

#[test]
fn the_same_content_means_the_same_in_any_order() {
    let mut shop = Shop::new();
    let mut other = shoes(3);
    other.lines.push(line("bag", 1, 100));
    let mut turned = other.clone();
    turned.lines.reverse();
    for lines in [&mut other.lines, &mut turned.lines] {
        lines[0].tags = vec!["x".to_owned(), "y".to_owned()];
        lines[1].tags = vec!["y".to_owned(), "x".to_owned()];
    }
    let print = |command: Command| command.fingerprint();
    let offers = [five_off(), ten_percent()];
    let turned_offers = [ten_percent(), five_off()];
    let first = print(shop.hold("o-1", &other, &offers));
    assert_eq!(first, print(shop.hold("o-1", &turned, &turned_offers)));
    assert_ne!(first, print(shop.hold("o-2", &other, &offers)));
    assert_ne!(first, print(shop.hold("o-1", &other, &offers[..1])));
    other.lines[0].quantity += 1;
    assert_ne!(first, print(shop.hold("o-1", &other, &offers)));
}

#[test]
fn other_content_is_held_instead_and_coming_back_to_the_first_is_no_repeat() {
    let mut shop = Shop::new();
    let first = shop.hold("o-1", &shoes(3), &[five_off()]);
    done(shop.run("o-1", &first));
    shop.now = shop.now.plus_millis(1_000);
    let second = shop.hold("o-1", &shoes(2), &[ten_percent()]);
    done(shop.run("o-1", &second));
    assert_eq!(shop.store.uses.len(), 1);
    assert_eq!(shop.store.uses[0].claim_id, ten_percent().0);
    assert_sound(&shop);
    shop.now = shop.now.plus_millis(1_000);
    let third = shop.hold("o-1", &shoes(3), &[five_off()]);
    done(shop.run("o-1", &third));
    let row = shop.row("o-1");
    assert_eq!(row.row_version.0, 3);
    assert_eq!(
        row.held_until,
        shop.now.plus_millis(i64::from(Shop::TTL_MS))
    );
    assert_eq!(shop.store.uses[0].claim_id, five_off().0);
    assert_sound(&shop);
}

#[test]
fn a_hold_that_ran_out_is_held_anew_swept_or_not() {
    for swept in [false, true] {
        for pieces in [3, 2] {
            let mut shop = shop_in(RedemptionStatus::Held);
            shop.pass_holds();
            if swept {
                done(shop.run("o-1", &Command::Expire));
            }
            let again = shop.hold("o-1", &shoes(pieces), &[five_off(), ten_percent()]);
            done(shop.run("o-1", &again));
            let row = shop.row("o-1");
            assert_eq!(
                row.held_until,
                shop.now.plus_millis(i64::from(Shop::TTL_MS))
            );
            assert_eq!(shop.store.uses.len(), 2);
            assert_sound(&shop);
        }
    }
}

#[test]
fn once_it_is_settled_the_same_content_is_answered_and_other_content_refused() {
    for status in [
        RedemptionStatus::Confirmed,
        RedemptionStatus::Cancelled,
        RedemptionStatus::PartiallyRefunded,
        RedemptionStatus::Refunded,
    ] {
        let mut shop = shop_in(status);
        let same = shop.hold("o-1", &shoes(3), &[five_off()]);
        assert_eq!(status_of(&done(shop.run("o-1", &same))), status);
        let other = shop.hold("o-1", &shoes(1), &[]);
        let Refusal::Conflict { state, .. } = refused(shop.run("o-1", &other)) else {
            panic!("a settled order is not held again");
        };
        assert_eq!(state, status);
        assert_sound(&shop);
    }
}

#[test]
fn the_expected_total_is_compared_for_a_first_hold_and_for_a_repeat() {
    let mut shop = Shop::new();
    for expected in [8_999, 9_000] {
        let mut hold = shop.hold("o-1", &shoes(3), &[five_off()]);
        let Command::Hold(content) = &mut hold else {
            panic!("a hold");
        };
        content.expected_total = Some(expected);
        for _twice in 0..2 {
            let reply = shop.run("o-1", &hold);
            if expected == 9_000 {
                done(reply);
                continue;
            }
            let refusal = refused(reply);
            assert_eq!(refusal.code(), ReasonCode::PriceChanged);
            assert_eq!(
                refusal.detail(),
                "The total is 90.00 USD; 89.99 was expected."
            );
            assert!(shop.store.redemptions.is_empty(), "nothing is held");
        }
    }
    let mut hold = shop.hold("o-1", &shoes(3), &[five_off()]);
    if let Command::Hold(content) = &mut hold {
        content.expected_total = Some(1);
    }
    assert_eq!(
        refused(shop.run("o-1", &hold)).code(),
        ReasonCode::PriceChanged
    );
}

#[test]
fn somebody_elses_order_is_not_there() {
    let mut shop = shop_in(RedemptionStatus::Held);
    shop.user = user("eve");
    for pieces in [3, 2] {
        let hold = shop.hold("o-1", &shoes(pieces), &[]);
        assert_eq!(refused(shop.run("o-1", &hold)), Refusal::NotFound);
    }
}

#[test]
fn an_order_is_not_held_for_ever() {
    let mut shop = shop_in(RedemptionStatus::Held);
    let id = Shop::id("o-1");
    if let Some(row) = shop.store.redemptions.get_mut(&id) {
        row.row_version.0 = ROW_VERSION_TO_HOLD_MAX;
    }
    let other = shop.hold("o-1", &shoes(1), &[]);
    let refusal = refused(shop.run("o-1", &other));
    assert_eq!(refusal.code(), ReasonCode::Conflict);
    done(shop.run("o-1", &confirm()));
}

/// These hashes stand in ledgers: they never change.
#[test]
fn fingerprints_are_for_ever() {
    let hex = |bytes: [u8; 32]| -> String {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        digits.collect()
    };
    let mut shop = Shop::new();
    let hold = shop.hold("o-1", &shoes(3), &[five_off()]);
    assert_eq!(
        hold.operation_id(None),
        format!("hold:{}:0", &hex(hold.fingerprint())[..32])
    );
    for (command, expected) in [
        (
            hold,
            "4f7d00300ed3887abbb9c758319b51a05b00995df1f6cc44ac31b152162586cb",
        ),
        (
            confirm(),
            "de4daa8749ef3c5df46439ec254a9e8835c757ca914a88e891259503bc8b4e31",
        ),
        (
            cancel(),
            "7ef1bb41e2e4d66dc0d58fd248d006cbf41fba30fed6b3058e17141059e20795",
        ),
        (
            Command::Expire,
            "d1bef8e704cba1694e093d83905f34d84decd7bc11a8774147c852cf55f28642",
        ),
        (
            refund("r-1", 2),
            "2e9803a5ae065bc2beca5399855f0e62e7e6c672e2affacbe1bc7243d4da69d3",
        ),
        (
            refund_all("r-1"),
            "c78b50aa7863f6adcbe8250e0db5da55ba42165c686d7da446d6257860627dd7",
        ),
    ] {
        assert_eq!(hex(command.fingerprint()), expected, "{command:?}");
    }
}
