//! Who calls: from the `Authorization` header to a verified caller.

use http::HeaderMap;
use http::header;

use crate::identity::{Caller, Identity, Rejected};
use crate::service_key::SERVICE_KEY_PREFIX;

/// Verifies the one bearer credential of a request.
pub(crate) fn identify(headers: &HeaderMap, identity: &Identity) -> Result<Caller, Rejected> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = lines.next().ok_or(Rejected::Missing)?;
    // Two credentials are nobody's honest request, and proxies disagree about which one counts.
    if lines.next().is_some() {
        return Err(Rejected::Invalid);
    }
    let text = line.to_str().map_err(|_not_ascii| Rejected::Invalid)?;
    let (scheme, credential) = text.split_once(' ').ok_or(Rejected::Invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Rejected::Invalid);
    }
    let credential = credential.trim();
    if credential.starts_with(SERVICE_KEY_PREFIX) {
        return Err(Rejected::ServiceKey);
    }
    identity.verify(credential)
}
