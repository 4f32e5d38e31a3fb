//! The lanes, and what an operator can do about one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sluice_domain::id::{EntryNumber, Epoch, KeeperNumber, LaneId};
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::{LaneFacts, LaneState};

use crate::api::body::{Page, RawBody, expect_nothing, parse};
use crate::api::call::Call;
use crate::api::query::Parameters;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::port::OperatorError;

/// Lanes read at a time.
const READ_AHEAD: usize = 16;

/// A lane, as ledger, hot state and keeper see it.
#[derive(Debug, Serialize)]
pub(crate) struct LaneView {
    lane: LaneId,
    epoch: Epoch,
    opened: Epoch,
    keeper: KeeperNumber,
    holder: String,
    until: Timestamp,
    halted: Option<String>,
    seq: u64,
    /// Null where hot state has nothing of the lane or does not answer.
    hot_state: Option<HotStateView>,
    hot_state_error: Option<String>,
    phase: Option<String>,
    detail: Option<String>,
}

/// The lane in hot state.
#[derive(Debug, Serialize)]
struct HotStateView {
    state: &'static str,
    epoch: Epoch,
    same_server: bool,
    lease_until: Timestamp,
    lane_time: Timestamp,
    mark: Option<EntryNumber>,
    tail: EntryNumber,
    outbox_entries: u64,
    refused: u64,
    unsalvaged: Vec<Epoch>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoverInput {
    #[serde(default)]
    accept_ledger: bool,
}

/// Lists all lanes.
#[utoipa::path(get, path = "/admin/v1/system/lanes", tag = "system",
    responses((status = 200, description = "The lanes.", body = inline(crate::openapi::LanePage))))]
pub(crate) async fn list_lanes(
    State(app): State<Arc<App>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Json<Page<LaneView>>> {
    Parameters::new(pairs).done()?;
    let reads = app.lanes.iter().map(|lane| {
        let app = Arc::clone(&app);
        async move { view(&app, lane).await }
    });
    let items = stream::iter(reads).buffered(READ_AHEAD);
    Ok(Json(Page {
        items: items.try_collect().await?,
        next_cursor: None,
    }))
}

/// Starts a recovery of a lane. With `accept_ledger` also out of a halt: what only Redis knew is
/// set aside, and the ledger is right.
#[utoipa::path(post, path = "/admin/v1/system/lanes/{lane}/recover", tag = "system",
    params(("lane" = u16, Path, description = "The lane's number.")),
    request_body = Option<crate::openapi::RecoverInput>,
    responses((status = 200, description = "The lane.", body = crate::openapi::Lane)))]
pub(crate) async fn recover_lane(
    State(app): State<Arc<App>>,
    call: Call,
    Path(lane): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Json<LaneView>> {
    let lane = lane_of(&app, &lane)?;
    let input: RecoverInput = if bytes.is_empty() {
        RecoverInput {
            accept_ledger: false,
        }
    } else {
        parse(&bytes)?
    };
    let asked = format!("{{\"accept_ledger\":{}}}", input.accept_ledger);
    record(&app, &call, "lane.recover", lane, asked).await?;
    app.lane_operator
        .recover(lane, input.accept_ledger)
        .await
        .map_err(problem_of)?;
    Ok(Json(view(&app, lane).await?))
}

/// Ends the quarantine of a lane's units before their grace is over. Only where it is certain that
/// no cut-off server has granted from them: else units are sold twice.
#[utoipa::path(post, path = "/admin/v1/system/lanes/{lane}/release", tag = "system",
    params(("lane" = u16, Path, description = "The lane's number.")),
    responses((status = 200, description = "The lane.", body = crate::openapi::Lane)))]
pub(crate) async fn release_lane(
    State(app): State<Arc<App>>,
    call: Call,
    Path(lane): Path<String>,
    RawBody(bytes): RawBody,
) -> Answer<Json<LaneView>> {
    let lane = lane_of(&app, &lane)?;
    expect_nothing(&bytes)?;
    record(&app, &call, "lane.release", lane, String::new()).await?;
    app.lane_operator.release(lane).await.map_err(problem_of)?;
    Ok(Json(view(&app, lane).await?))
}

/// What a keeper could not do, as an answer.
pub(crate) fn problem_of(error: OperatorError) -> Problem {
    match error {
        OperatorError::Unavailable { lane, .. } => {
            Problem::unavailable(ReasonCode::Recovering, error.to_string()).member("lane", lane.0)
        }
        OperatorError::Refused { lane, .. } => {
            Problem::new(ReasonCode::Conflict, error.to_string()).member("lane", lane.0)
        }
        OperatorError::Unknown { lane, .. } => {
            Problem::unknown(error.to_string()).member("lane", lane.0)
        }
    }
}

/// Written before the keeper acts: what an operator asked for is on record whatever comes of it.
async fn record(app: &App, call: &Call, action: &str, lane: LaneId, asked: String) -> Answer<()> {
    let entry = call.entry(app, action, format!("lane:{lane}"), String::new(), asked);
    app.ledger.append_audit(entry).await?;
    Ok(())
}

fn lane_of(app: &App, text: &str) -> Answer<LaneId> {
    text.parse::<u16>()
        .ok()
        .filter(|lane| *lane < app.lanes.get())
        .map(LaneId)
        .ok_or_else(|| {
            let last = app.lanes.get() - 1;
            Problem::new(ReasonCode::NotFound, format!("The lanes are 0 to {last}."))
        })
}

async fn view(app: &App, lane: LaneId) -> Answer<LaneView> {
    let row = app.ledger.lane(lane).await?;
    let reading = app.lanes_store.facts(lane);
    let (hot_state, hot_state_error) =
        match tokio::time::timeout(app.settings.lane_call_timeout, reading).await {
            Ok(Ok(facts)) => (facts.map(HotStateView::from), None),
            Ok(Err(error)) => (None, Some(error.to_string())),
            Err(_elapsed) => (None, Some("it did not answer in time".to_owned())),
        };
    let status = app.lane_operator.status(lane);
    let (phase, detail) = status.map_or((None, None), |status| {
        (Some(status.phase), Some(status.detail))
    });
    Ok(LaneView {
        lane,
        epoch: row.epoch,
        opened: row.opened,
        keeper: row.keeper,
        holder: row.holder,
        until: row.until,
        halted: row.halted,
        seq: row.seq,
        hot_state,
        hot_state_error,
        phase,
        detail,
    })
}

impl From<LaneFacts> for HotStateView {
    fn from(facts: LaneFacts) -> Self {
        let mark = facts.mark.unwrap_or_default();
        Self {
            state: match facts.state {
                LaneState::Open => "open",
                LaneState::Recovering => "recovering",
                LaneState::Halted => "halted",
            },
            epoch: facts.epoch,
            same_server: facts.same_server,
            lease_until: facts.lease_until,
            lane_time: facts.lane_time,
            mark: facts.mark,
            tail: facts.tail,
            outbox_entries: facts.tail.0.saturating_sub(mark.0),
            refused: facts.refused,
            unsalvaged: facts.unsalvaged,
        }
    }
}
