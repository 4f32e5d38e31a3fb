//! Stories, one per rule of the protocol.
