//! Coupons.

pub(crate) mod audit;
pub(crate) mod claims;
pub(crate) mod create;
pub(crate) mod duplicate;
pub(crate) mod edit;
pub(crate) mod get;
pub(crate) mod grants;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod stock;
pub(crate) mod versions;
pub(crate) mod why_not;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use sluice_domain::change::ChangeError;
use sluice_domain::coupon::{Coupon, CouponSpec};
use sluice_domain::reason::ReasonCode;
use sluice_domain::render::CouponBody;
use sluice_domain::time::Timestamp;

use crate::api::body::at_revision;
use crate::api::call::Call;
use crate::app::App;
use crate::counts::{self, Counts};
use crate::error::{Answer, FieldProblem, Problem};
use crate::publish::Saved;

/// Attempts of a change that other changes overtake, where the caller named no revision.
const ATTEMPTS_MAX: u32 = 5;

/// A coupon with its figures.
#[derive(Debug, Serialize)]
pub(crate) struct CouponView {
    #[serde(flatten)]
    coupon: CouponBody,
    counts: Counts,
}

/// Reads a coupon's figures and puts both together.
async fn view(app: &App, coupon: &Coupon) -> Answer<CouponView> {
    Ok(CouponView {
        coupon: CouponBody::of(coupon, app.clock.now()),
        counts: counts::read(app, coupon).await?,
    })
}

/// Answers with a coupon and its `ETag`.
async fn answer(app: &App, status: StatusCode, coupon: &Coupon) -> Answer<Response> {
    Ok(at_revision(
        status,
        coupon.revision,
        view(app, coupon).await?,
    ))
}

/// Changes a coupon: reads it, decides, saves and publishes; answers with it.
///
/// A change that leaves the coupon as it is answers 200 too, once its lane has what the ledger has:
/// so repeating a call whose outcome was unknown completes it.
async fn change(
    app: &App,
    call: &Call,
    id: &str,
    action: &str,
    decide: impl Fn(&Coupon, Timestamp) -> Answer<Coupon>,
) -> Answer<Response> {
    for _attempt in 0..ATTEMPTS_MAX {
        let current = app.coupon(id).await?;
        call.if_match.check(current.revision)?;
        let next = decide(&current, app.clock.now())?;
        if save(app, call, action, &current, &next).await? {
            return answer(app, StatusCode::OK, &next).await;
        }
    }
    Err(overtaken())
}

/// Saves one change; false where another one came first.
async fn save(
    app: &App,
    call: &Call,
    action: &str,
    current: &Coupon,
    next: &Coupon,
) -> Answer<bool> {
    if next.revision == current.revision {
        app.publisher.put_in_force(current).await?;
        return Ok(true);
    }
    let now = app.clock.now();
    let (before, after) = (document(current, now)?, document(next, now)?);
    let entry = call.entry(app, action, current.id, before, after);
    match app.publisher.save(current.revision, next, entry).await? {
        Saved::InForce => Ok(true),
        Saved::Stale(other) => {
            call.if_match.check(other.revision)?;
            Ok(false)
        }
    }
}

/// Refuses more shards than there are lanes: each shard lives in a lane of its own.
fn shards_fit(app: &App, spec: &CouponSpec) -> Answer<()> {
    let lanes = app.lanes.get();
    if spec.shards <= lanes {
        return Ok(());
    }
    let message = format!(
        "shards is {}; this system has {lanes} lanes, and each shard needs one of its own",
        spec.shards
    );
    Err(Problem::invalid(vec![FieldProblem::field(
        "/shards", message,
    )]))
}

/// A coupon as the audit log keeps it.
fn document(coupon: &Coupon, now: Timestamp) -> Answer<String> {
    serde_json::to_string(&CouponBody::of(coupon, now)).map_err(|error| {
        tracing::error!(%error, coupon = %coupon.id, "a coupon cannot be written as JSON");
        Problem::internal()
    })
}

fn overtaken() -> Problem {
    Problem::new(
        ReasonCode::Conflict,
        "Other changes came first each time. Read the coupon and repeat.",
    )
}

/// 409 where the coupon's state stands against a change, 400 where what was sent does.
fn not_changed(coupon: &Coupon, now: Timestamp, errors: &[ChangeError]) -> Problem {
    let conflict = errors.iter().find(|error| error.is_conflict());
    if let Some(error) = conflict {
        let state = serde_json::to_value(coupon.status(now)).unwrap_or_default();
        let problem = Problem::new(ReasonCode::Conflict, sentence(&error.to_string()));
        return problem.member("state", state);
    }
    Problem::invalid(
        errors
            .iter()
            .map(|error| {
                let name = error.pointer().rsplit('/').next().unwrap_or_default();
                FieldProblem::field(error.pointer(), format!("{name} {error}"))
            })
            .collect(),
    )
}

/// Words of the domain as a sentence.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}
