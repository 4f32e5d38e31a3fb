//! The stored form of a published coupon: its revision in four bytes, then JSON. The revision
//! stands in front so that scripts compare it without parsing.

use std::sync::Arc;

use sluice_claim::port::StoreError;
use sluice_domain::published::{PUBLISHED_FORMAT, Published};

use super::reply::nonsense;

/// Writes the document.
pub(super) fn encode(published: &Published) -> Result<Vec<u8>, StoreError> {
    let mut bytes = published.revision.0.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, published).map_err(|error| StoreError::Protocol {
        reason: format!("a coupon cannot be written: {error}"),
    })?;
    Ok(bytes)
}

/// Reads the document.
pub(super) fn decode(bytes: &[u8]) -> Result<Arc<Published>, StoreError> {
    let (revision, json) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| nonsense("a definition is too short"))?;
    let published: Published =
        serde_json::from_slice(json).map_err(|error| StoreError::Protocol {
            reason: format!("a definition cannot be read: {error}"),
        })?;
    if published.format > PUBLISHED_FORMAT {
        return Err(nonsense("a definition has a format from the future"));
    }
    if published.revision.0 != u32::from_be_bytes(*revision) {
        return Err(nonsense("a definition has another revision than it says"));
    }
    Ok(Arc::new(published))
}
