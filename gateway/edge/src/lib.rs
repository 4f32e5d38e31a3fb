//! Data-plane HTTP: routing, admission, identity, wire format, responses.
