//! `POST /v1/passes`: a token for a pass, which is far cheaper to verify.

use http::StatusCode;

use crate::context::RequestContext;
use crate::identity::{Caller, Credential, Identity, Rejected};
use crate::respond::{Reply, Stop};
use crate::wire;

/// Makes a pass. Only a token buys one: a pass that could be renewed would outlive its token.
pub(crate) fn handle(identity: &Identity, caller: &Caller, context: &RequestContext) -> Reply {
    match caller.by {
        Credential::Token => {
            let (pass, expires_at) = identity.issue_pass(caller);
            Reply::json(StatusCode::OK, wire::pass(&pass, expires_at))
        }
        Credential::Pass => Stop::Rejected(Rejected::Invalid).reply(context),
    }
}
