//! The data plane over real sockets, with a fake claim engine.

#[cfg(test)]
mod it {
    mod bad_requests;
    mod catalogue;
    mod claims;
    mod connections;
    mod harness;
    mod http2;
    mod http2_attacks;
    mod identity;
    mod limits;
}
