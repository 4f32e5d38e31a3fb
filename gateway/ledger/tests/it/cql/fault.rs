//! What gets lost between ledger and server, by a proxy in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use scylla_proxy::{
    Condition, Node, Proxy, Reaction, RequestFrame, RequestOpcode, RequestReaction, RequestRule,
    ResponseFrame, ResponseOpcode, ResponseReaction, ResponseRule, RunningProxy, ShardAwareness,
    example_db_errors,
};
use sluice_domain::id::LaneId;
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::lease::Lease;
use sluice_ledger::audit_facts::AuditFacts;
use sluice_ledger::claims::{AppendFrom, Appended, Claims};
use sluice_ledger::conformance::{read_all, sample, scenario};
use sluice_ledger::coupons::Coupons;
use sluice_ledger::cql::{CqlOptions, index_writes};
use sluice_ledger::lanes::{LaneWrite, Lanes};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::{CqlLedger, LedgerError, testing};

use crate::cql::Keyspace;
use crate::story::{COUPON, runtime};

/// A proxy in front of the shared node, and a keyspace behind it.
struct Between {
    proxy: RunningProxy,
    address: String,
    keyspace: Keyspace,
}

impl Between {
    async fn start() -> Self {
        let real: SocketAddr = testing::cassandra().parse().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = free.local_addr().unwrap();
        drop(free);
        let node = Node::new(real, own, ShardAwareness::Unaware, None, None);
        let proxy = Proxy::new([node]).run().await.unwrap();
        let address = own.to_string();
        let keyspace = Keyspace::new(LaneCount::new(1).unwrap()).await;
        Self {
            proxy,
            address,
            keyspace,
        }
    }

    /// Lets answers with this in them meet a reaction, with a probability.
    fn on_answers(&mut self, text: &str, share: f64, reaction: ResponseReaction) {
        let condition = Condition::all([
            Condition::ResponseOpcode(ResponseOpcode::Result),
            Condition::BodyContainsCaseSensitive(text.as_bytes().into()),
            Condition::RandomWithProbability(share),
        ]);
        let rules = vec![ResponseRule(condition, reaction)];
        self.proxy.running_nodes[0].change_response_rules(Some(rules));
    }

    fn on_requests(&mut self, rules: Vec<RequestRule>) {
        self.proxy.running_nodes[0].change_request_rules(Some(rules));
    }

    /// A new ledger behind it. Nothing is lost while it is opened.
    async fn ledger(&mut self) -> (CqlLedger, CqlOptions) {
        self.proxy.turn_off_rules();
        self.keyspace.empty().await;
        let mut options = self.keyspace.options.clone();
        options.nodes = vec![self.address.clone()];
        options.lwt_timeout = Duration::from_millis(900);
        (CqlLedger::open(&options).await.unwrap(), options)
    }
}

/// The answer of a coordinator that could not finish: it says so after the write is in.
fn uncertain_answer() -> ResponseReaction {
    ResponseReaction::transform_frame(Arc::new(|frame: ResponseFrame| {
        ResponseFrame::forged_error(frame.params, example_db_errors::write_timeout(), None).unwrap()
    }))
}

fn refusal(error: fn() -> scylla::errors::DbError) -> RequestReaction {
    RequestReaction::forge_response(Arc::new(move |frame: RequestFrame| {
        ResponseFrame::forged_error(frame.params, error(), None).unwrap()
    }))
}

/// A keeper with a lease of eight of an unlimited coupon.
async fn keeper(ledger: &CqlLedger) -> (LaneFence, Lease) {
    let entry = sample::entry("coupon.create", "fault");
    let coupon = sample::coupon(COUPON, None);
    ledger.create_coupon(&coupon, entry).await.unwrap();
    let seen = ledger.lane(LaneId(0)).await.unwrap();
    let taken = ledger.take_lane(&seen, "fault", sample::NOW).await.unwrap();
    let LaneWrite::Done(row) = taken else {
        panic!("nobody else keeps the lane")
    };
    let fence = LaneFence {
        lane: row.lane,
        epoch: row.epoch,
        keeper: row.keeper,
    };
    let opened = ledger.open_lease(fence, COUPON, 8, false).await.unwrap();
    let LeaseOpened::Opened(lease, _seq) = opened else {
        panic!("no lease: {opened:?}")
    };
    (fence, lease)
}

/// Stories, with this happening to the answers of conditional statements: those of claims, and all
/// of them in `make faults`, which has the minutes that they take.
async fn stories_with(share: f64, reaction: ResponseReaction) {
    let between = tokio::sync::Mutex::new(Between::start().await);
    let fresh = async || {
        let mut between = between.lock().await;
        let (ledger, _options) = between.ledger().await;
        between.on_answers("[applied]", share, reaction.clone());
        ledger
    };
    if std::env::var_os("SLUICE_ALL_FAULTS").is_some() {
        scenario::run_all(fresh).await;
    } else {
        scenario::run_granting(&fresh).await;
    }
}

/// Every story is told to its end although a part of the answers to conditional batches never
/// arrives: what was written is found by a serial read, and nothing is written twice.
#[test]
fn f15_an_answer_that_is_lost_changes_no_story() {
    runtime().block_on(stories_with(0.1, ResponseReaction::drop_frame()));
}

/// The same where the coordinator answers a timeout after the write is in.
#[test]
fn f15_a_timeout_after_the_write_changes_no_story() {
    runtime().block_on(stories_with(0.2, uncertain_answer()));
}

/// A write that never reached a node, whatever the coordinator says of it, is sent again under the
/// same stamp, and takes place once.
#[test]
fn f15_a_write_that_was_not_carried_out_takes_place_once() {
    runtime().block_on(async {
        let mut between = Between::start().await;
        let (ledger, _options) = between.ledger().await;
        let (fence, lease) = keeper(&ledger).await;
        for (n, error) in [
            example_db_errors::write_timeout as fn() -> _,
            example_db_errors::unavailable,
            example_db_errors::overloaded,
        ]
        .into_iter()
        .enumerate()
        {
            // Lane, lease: each is refused once.
            let condition = Condition::RequestOpcode(RequestOpcode::Batch)
                .and(Condition::TrueForLimitedTimes(2));
            between.on_requests(vec![RequestRule(condition, refusal(error))]);
            let claims = u32::try_from(n).unwrap();
            let batch = sample::batch(n as u64 + 1, &lease, n as u64, claims..claims + 1);
            let before = ledger.lane(LaneId(0)).await.unwrap().seq;
            let appended = ledger.append(fence, AppendFrom::Current, &[batch]).await;
            let conflicts = Vec::new();
            let seq = before + 1;
            assert_eq!(appended.unwrap(), Appended::Done { seq, conflicts });
        }
        assert_eq!(ledger.granted(COUPON).await.unwrap(), 3);
        assert_eq!(ledger.integrity_problems().await.unwrap(), [""; 0]);
    });
}

/// The rules that let this share of index writes fail.
async fn index_fails(options: &CqlOptions, share: f64) -> Vec<RequestRule> {
    let builder = scylla::client::session_builder::SessionBuilder::new();
    let session = builder
        .known_nodes(&options.nodes)
        .use_keyspace(&options.keyspace, true)
        .build()
        .await
        .unwrap();
    let mut rules = Vec::new();
    for text in index_writes() {
        // A request names its statement by the id that the server gave it.
        let statement = session.prepare(*text).await.unwrap();
        let condition = Condition::all([
            Condition::RequestOpcode(RequestOpcode::Execute),
            Condition::BodyContainsCaseSensitive(statement.get_id().to_vec().into()),
            Condition::RandomWithProbability(share),
        ]);
        rules.push(RequestRule(
            condition,
            refusal(example_db_errors::write_timeout),
        ));
    }
    rules
}

/// One index write in five fails: each is repeated until it is in.
#[test]
fn f16_an_index_write_that_fails_is_repeated() {
    runtime().block_on(async {
        let mut between = Between::start().await;
        let (ledger, options) = between.ledger().await;
        let (fence, lease) = keeper(&ledger).await;
        between.on_requests(index_fails(&options, 0.2).await);
        let batch = [sample::batch(1, &lease, 0, 0..8)];
        let appended = ledger.append(fence, AppendFrom::Current, &batch).await;
        assert!(
            matches!(appended, Ok(Appended::Done { .. })),
            "{appended:?}"
        );
        assert_eq!(ledger.integrity_problems().await.unwrap(), [""; 0]);
        for n in 0..8 {
            let found = ledger.claim(sample::claim_id(COUPON, n)).await.unwrap();
            assert!(found.is_some(), "claim {n}");
        }
    });
}

/// While no index write gets through there is no row either: nothing is ever without its index,
/// and the same entry again brings in both.
#[test]
fn f33_a_row_is_never_without_its_index() {
    runtime().block_on(async {
        let mut between = Between::start().await;
        let (ledger, options) = between.ledger().await;
        let (fence, lease) = keeper(&ledger).await;
        let batch = [sample::batch(1, &lease, 0, 0..8)];
        between.on_requests(index_fails(&options, 1.0).await);
        let refused = ledger.append(fence, AppendFrom::Current, &batch).await;
        let expected = matches!(refused, Err(LedgerError::Unavailable { .. }));
        assert!(expected, "{refused:?}");
        assert_eq!(ledger.granted(COUPON).await.unwrap(), 0);

        between.proxy.turn_off_rules();
        let appended = ledger.append(fence, AppendFrom::Current, &batch).await;
        assert!(
            matches!(appended, Ok(Appended::Done { .. })),
            "{appended:?}"
        );
        let users = (0..8).map(sample::user).collect::<Vec<_>>();
        let all = read_all(&ledger, &[COUPON], &users).await.unwrap();
        assert!(all.contains("problems: []"), "{all}");
        for user in &users {
            assert_eq!(ledger.claims_of_user(user, 10).await.unwrap().len(), 1);
        }
    });
}
