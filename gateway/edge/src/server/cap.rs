//! How many connections one address may have open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::network_of;

type Network = ([u8; 8], usize);

/// Open connections by network. Bounded by the number of open connections.
#[derive(Debug)]
pub(super) struct AddressCap {
    open: Mutex<HashMap<Network, usize>>,
    per_address_max: usize,
}

/// A connection's place under the cap; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    held: Option<(Arc<AddressCap>, Network)>,
}

impl AddressCap {
    pub(super) fn new(per_address_max: usize) -> Self {
        Self {
            open: Mutex::default(),
            per_address_max,
        }
    }
}

impl Place {
    /// Takes a place, or `None` where the address has as many as it may. Without a cap there
    /// always is one.
    pub(super) fn take(cap: Option<&Arc<AddressCap>>, peer: IpAddr) -> Option<Self> {
        let Some(cap) = cap else {
            return Some(Self { held: None });
        };
        let network = network_of(peer);
        {
            let mut open = cap.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(network).or_insert(0);
            if *count >= cap.per_address_max {
                return None;
            }
            *count += 1;
        }
        Some(Self {
            held: Some((Arc::clone(cap), network)),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((cap, network)) = &self.held else {
            return;
        };
        let mut open = cap.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                open.remove(network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_per_network_and_given_back() {
        let cap = Arc::new(AddressCap::new(2));
        let take = |text: &str| Place::take(Some(&cap), text.parse().unwrap());
        let first = take("2001:db8::1");
        let second = take("2001:db8::2");
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8::3").is_none(), "the same /64");
        assert!(take("2001:db8:0:1::1").is_some(), "another /64");
        drop(first);
        assert!(take("2001:db8::3").is_some());
        drop(second);
        assert!(
            cap.open.lock().unwrap().is_empty(),
            "nothing is left behind"
        );
    }
}
