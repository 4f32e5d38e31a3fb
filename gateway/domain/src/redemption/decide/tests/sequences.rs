//! Random commands on a few orders that share claims: whatever comes, the audit holds.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Hold {
        order: usize,
        pieces: u32,
        claims: usize,
    },
    Do {
        order: usize,
        command: Command,
    },
    Wait(i64),
}

const ORDERS: [&str; 3] = ["o-1", "o-2", "o-3"];

fn any_step() -> impl Strategy<Value = Step> {
    let order = 0..ORDERS.len();
    let key = prop::option::of("k[1-3]");
    let command = prop_oneof![
        3 => key.clone().prop_map(|key| Command::Confirm { key }),
        1 => key.prop_map(|key| Command::Cancel { key }),
        3 => ("r-[1-9]", 1_u32..4).prop_map(|(id, pieces)| refund(&id, pieces)),
        1 => "r-[1-9]".prop_map(|id| refund_all(&id)),
        1 => Just(Command::Expire),
    ];
    prop_oneof![
        4 => (order.clone(), 1_u32..6, 0_usize..4)
            .prop_map(|(order, pieces, claims)| Step::Hold { order, pieces, claims }),
        6 => (order, command).prop_map(|(order, command)| Step::Do { order, command }),
        1 => (0_i64..1_200_000).prop_map(Step::Wait),
    ]
}

fn offers(claims: usize) -> Vec<Offer> {
    let all = [five_off(), ten_percent()];
    let picked = all.into_iter().enumerate();
    picked
        .filter(|(bit, _offer)| claims & (1 << bit) != 0)
        .map(|(_bit, offer)| offer)
        .collect()
}

fn take(shop: &mut Shop, step: &Step) {
    let (order, command) = match step {
        Step::Wait(millis) => {
            shop.now = shop.now.plus_millis(*millis);
            return;
        }
        Step::Hold {
            order,
            pieces,
            claims,
        } => {
            let hold = shop.hold(ORDERS[*order], &shoes(*pieces), &offers(*claims));
            (ORDERS[*order], hold)
        }
        Step::Do { order, command } => (ORDERS[*order], command.clone()),
    };
    let before = shop.store.redemptions.get(&Shop::id(order)).cloned();
    let events = shop.store.events.len();
    let reply = shop.run(order, &command);
    let after = shop.store.redemptions.get(&Shop::id(order)).cloned();
    let wrote = shop.store.events.len() - events;
    if before == after {
        assert_eq!(wrote, 0, "{command:?}: an event without a change");
    } else {
        let version = |row: &Option<Redemption>| row.as_ref().map_or(0, |row| row.row_version.0);
        assert_eq!(version(&after), version(&before) + 1, "{command:?}");
        assert_eq!(wrote, 1, "{command:?}");
        assert!(
            matches!(reply, Reply::Done(_)),
            "{command:?} was refused and changed the row"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_commands_leave_legal_paths_and_conserved_uses(
        steps in prop::collection::vec(any_step(), 1..40),
        reevaluate in any::<bool>(),
        return_claims in any::<bool>(),
        uses_per_claim in 1_u32..3,
        budget in prop::option::of(0_i64..2_500),
    ) {
        let mut shop = Shop::new();
        if reevaluate {
            shop.policy = RefundPolicy::Reevaluate;
        }
        shop.return_claims = return_claims;
        shop.uses_per_claim = uses_per_claim;
        shop.budget = budget;
        for step in &steps {
            take(&mut shop, step);
        }
        assert_sound(&shop);
    }
}
