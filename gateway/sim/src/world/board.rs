//! What the engine hears of marks.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context;
use sluice_claim::durability::{LaneMark, MarkBoard};
use sluice_domain::id::EntryNumber;
use sluice_domain::lane::LaneCount;

use super::{LANE, Setup};

/// More entries than a world's outbox ever has.
const ENTRIES_MAX: u64 = 1_000;

/// The board that the engine looks at: the keeper's own, or one that says something else.
pub(super) fn engine_marks(
    marks: &Arc<MarkBoard>,
    lanes: LaneCount,
    setup: &Setup,
) -> anyhow::Result<Arc<MarkBoard>> {
    let change: fn(&mut LaneMark) = match (setup.deaf_to_refusals, setup.refused_by_claim) {
        (true, _) => |mark| mark.refused = Arc::default(),
        (false, true) => refuse_every_entry,
        (false, false) => return Ok(Arc::clone(marks)),
    };
    let changed = Arc::new(MarkBoard::new(lanes));
    let mut heard = marks.subscribe(LANE).context("there is no lane")?;
    let told = Arc::clone(&changed);
    // Ends with the keeper's board.
    tokio::spawn(async move {
        loop {
            let mut mark = heard.borrow_and_update().clone();
            change(&mut mark);
            told.publish(LANE, mark);
            if heard.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(changed)
}

/// As if the entry were no part of a refusal.
fn refuse_every_entry(mark: &mut LaneMark) {
    let claims: HashSet<_> = mark.refused.iter().map(|(claim, _entry)| *claim).collect();
    let every = claims
        .into_iter()
        .flat_map(|claim| (0..ENTRIES_MAX).map(move |entry| (claim, EntryNumber(entry))));
    mark.refused = Arc::new(every.collect());
}
