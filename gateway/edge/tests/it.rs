//! The data plane over real sockets, with a fake claim engine.

#[cfg(test)]
mod it {
    mod bad_requests;
    mod catalogue;
    mod checkout;
    mod checkout_refusals;
    mod claims;
    mod client;
    mod codes;
    mod connections;
    mod grants;
    mod harness;
    mod http2;
    mod http2_attacks;
    mod identity;
    mod limits;
    mod notifications;
    mod services;
    mod till;
    mod wallet;
}
