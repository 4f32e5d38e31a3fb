use proptest::prelude::*;
use sluice_domain::id::{Epoch, Revision, StockSeq};

use super::*;

const TIMES: MemoryTimes = MemoryTimes {
    lasts: Duration::from_secs(1),
    probe_lead: Duration::from_millis(100),
};

fn proof(stock_seq: u64, users: u64) -> SoldOutProof {
    SoldOutProof {
        epoch: Epoch(1),
        revision: Revision(1),
        stock_seq: StockSeq(stock_seq),
        users,
        more_may_come: false,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn sold_out<'a>(filter: Option<&'a u8>) -> Belief<'a, u8> {
    Belief::SoldOut {
        filter,
        more_may_come: false,
    }
}

#[test]
fn it_lasts_one_second_from_sending_not_from_the_answer() {
    let (mut memory, sent) = (Memory::<u8>::new(), Instant::now());
    assert_eq!(memory.judge(sent, TIMES), Belief::Unknown);
    memory.learn(proof(1, 10), sent);
    assert_eq!(memory.judge(sent + ms(899), TIMES), sold_out(None));
    assert_eq!(memory.judge(sent + ms(1_000), TIMES), Belief::Unknown);
}

#[test]
fn one_caller_renews_it_before_it_ends() {
    let (mut memory, sent) = (Memory::<u8>::new(), Instant::now());
    memory.learn(proof(1, 10), sent);
    assert_eq!(memory.judge(sent + ms(900), TIMES), Belief::Probe);
    assert_eq!(
        memory.judge(sent + ms(901), TIMES),
        sold_out(None),
        "only one"
    );
    memory.learn(proof(1, 10), sent + ms(900));
    assert_eq!(
        memory.judge(sent + ms(1_700), TIMES),
        sold_out(None),
        "renewed"
    );
    assert_eq!(
        memory.judge(sent + ms(1_800), TIMES),
        Belief::Probe,
        "and again"
    );
}

#[test]
fn a_filter_serves_its_own_proof_only() {
    let (mut memory, sent) = (Memory::<u8>::new(), Instant::now());
    assert_eq!(
        memory.begin_filter(sent, TIMES),
        None,
        "no memory, no filter"
    );
    memory.learn(proof(1, 10), sent);
    assert_eq!(memory.begin_filter(sent, TIMES), Some(proof(1, 10)));
    assert_eq!(memory.begin_filter(sent, TIMES), None, "once");
    memory.learn(proof(2, 10), sent + ms(1));
    memory.filter_built(&proof(1, 10), Some(7), sent);
    assert_eq!(
        memory.judge(sent + ms(2), TIMES),
        sold_out(None),
        "too late"
    );
    assert_eq!(memory.begin_filter(sent + ms(2), TIMES), Some(proof(2, 10)));
    memory.filter_built(&proof(2, 10), Some(8), sent);
    assert_eq!(memory.judge(sent + ms(3), TIMES), sold_out(Some(&8)));
    memory.learn(proof(2, 11), sent + ms(4));
    assert_eq!(
        memory.winners(sent + ms(5), TIMES),
        None,
        "another number of users"
    );
}

#[test]
fn a_filter_that_could_not_be_built_is_tried_again_later() {
    let (mut memory, sent) = (Memory::<u8>::new(), Instant::now());
    memory.learn(proof(1, 10), sent);
    let asked = memory.begin_filter(sent, TIMES).unwrap();
    memory.filter_built(&asked, None, sent + ms(500));
    assert_eq!(memory.begin_filter(sent + ms(499), TIMES), None);
    assert_eq!(memory.begin_filter(sent + ms(500), TIMES), Some(asked));
}

#[test]
fn signs_of_stock_end_it_and_a_late_older_answer_does_not_bring_it_back() {
    let (mut memory, sent) = (Memory::<u8>::new(), Instant::now());
    memory.learn(proof(2, 10), sent);
    memory.doubt(sent + ms(10));
    assert_eq!(memory.judge(sent + ms(20), TIMES), Belief::Unknown);
    memory.learn(proof(1, 10), sent + ms(30));
    assert_eq!(
        memory.judge(sent + ms(30), TIMES),
        Belief::Unknown,
        "an older proof"
    );
    memory.learn(proof(2, 10), sent + ms(40));
    assert_eq!(memory.judge(sent + ms(50), TIMES), sold_out(None));
}

#[test]
fn an_expired_memory_keeps_its_filter_for_the_same_proof() {
    let (mut memory, sent) = (Memory::<u8>::new(), Instant::now());
    memory.learn(proof(1, 10), sent);
    let asked = memory.begin_filter(sent, TIMES).unwrap();
    memory.filter_built(&asked, Some(7), sent);
    assert_eq!(
        memory.winners(sent + ms(1_000), TIMES),
        None,
        "proves nothing now"
    );
    memory.learn(proof(1, 10), sent + ms(3_000));
    assert_eq!(memory.winners(sent + ms(3_001), TIMES), Some(&7));
    assert!(!memory.drop_idle_filter(sent + ms(3_001), TIMES));
    assert!(memory.drop_idle_filter(sent + ms(4_000), TIMES));
}

proptest! {
    /// Whatever is learned in whatever order: a belief rests on a call sent within the second, and
    /// a filter is only ever shown under the proof it was built for.
    #[test]
    fn no_belief_without_proof(
        events in prop::collection::vec((0_u8..4, 0_u64..3, 0_u64..400), 1..80),
    ) {
        let mut memory = Memory::<u64>::new();
        let start = Instant::now();
        let mut now = start;
        let mut last: Option<(u64, Instant)> = None;
        let mut building = None;
        for (kind, stock_seq, millis) in events {
            now += ms(millis);
            match kind {
                0 => {
                    // An answer that took a while: sent earlier than now.
                    let sent = now.checked_sub(ms(millis / 2)).unwrap_or(start);
                    memory.learn(proof(stock_seq, 5), sent);
                    last = Some(last.map_or((stock_seq, sent), |held| (held.0.max(stock_seq), held.1.max(sent))));
                }
                1 => building = memory.begin_filter(now, TIMES).or(building),
                2 => {
                    if let Some(proof) = building.take() {
                        memory.filter_built(&proof, Some(proof.stock_seq.0), now);
                    }
                }
                _ => {
                    let newest = last.map(|held| held.0);
                    if let Some(filter) = memory.winners(now, TIMES) {
                        prop_assert_eq!(Some(*filter), newest, "a filter of another proof");
                    }
                    if !matches!(memory.judge(now, TIMES), Belief::Unknown) {
                        let sent = last.map(|held| held.1);
                        prop_assert!(sent.is_some_and(|sent| now < sent + TIMES.lasts));
                    }
                }
            }
        }
    }
}
