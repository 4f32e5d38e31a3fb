//! Which address a request comes from.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Hops looked at, from the nearest on. More are nobody's honest chain of proxies.
const HOPS_MAX: usize = 32;

/// The client's address: the socket's peer, unless that is a proxy we trust. Then the
/// `X-Forwarded-For` entries are walked from right to left over all lines, and the first address
/// that is no trusted proxy is the client: everything left of it was written by the client.
///
/// Where an entry cannot be read (`unknown`, an obfuscated name, rubbish) the walk ends, and the
/// proxy that wrote it stands for its clients.
pub(crate) fn client_address(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut current = peer.to_canonical();
    if !is_trusted(current) {
        return current;
    }
    let entries = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries.take(HOPS_MAX) {
        let Some(address) = read(entry) else {
            return current;
        };
        current = address;
        if !is_trusted(current) {
            return current;
        }
    }
    current
}

/// What an address is limited by: IPv4 whole, IPv6 by its /64, since a household has a whole /64.
/// Returns the bytes and how many of them count.
pub(crate) fn network_of(address: IpAddr) -> ([u8; 8], usize) {
    let mut network = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            network[..4].copy_from_slice(&v4.octets());
            (network, 4)
        }
        IpAddr::V6(v6) => {
            network.copy_from_slice(&v6.octets()[..8]);
            (network, 8)
        }
    }
}

/// One entry: an address, an address with a port, or an IPv6 address in brackets; maybe quoted.
fn read(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim().trim_matches('"');
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| {
            text.strip_prefix('[')?
                .strip_suffix(']')?
                .parse()
                .ok()
                .map(IpAddr::V6)
        })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn address_of(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["127.0.0.0/8", "10.0.0.0/8", "::1/128", "fd00::/8"]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        client_address(peer.parse().unwrap(), &trusted, &headers).to_string()
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        let table: &[(&str, &[&str], &str)] = &[
            // An untrusted peer: the header is the client's invention.
            ("203.0.113.9", &["1.2.3.4"], "203.0.113.9"),
            ("203.0.113.9", &[], "203.0.113.9"),
            // One proxy.
            ("127.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            // Forged entries stand left of the true one.
            ("127.0.0.1", &["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            ("127.0.0.1", &["127.0.0.1, 1.2.3.4"], "1.2.3.4"),
            // Several proxies, several lines.
            ("127.0.0.1", &["9.9.9.9", "1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            ("127.0.0.1", &["1.2.3.4", "10.1.1.1,10.2.2.2"], "1.2.3.4"),
            // Nobody but proxies.
            ("127.0.0.1", &["10.0.0.5"], "10.0.0.5"),
            ("127.0.0.1", &[], "127.0.0.1"),
            // Ports, brackets, quotes.
            ("127.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("127.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("127.0.0.1", &["\"[2001:db8::7]\""], "2001:db8::7"),
            ("127.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            // IPv4 written as IPv6 is the IPv4 address, as peer and as entry.
            ("::ffff:127.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
            ("::ffff:203.0.113.9", &["1.2.3.4"], "203.0.113.9"),
            // What cannot be read stands for the proxy that wrote it.
            ("127.0.0.1", &["1.2.3.4, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["1.2.3.4, _hidden, 10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1", &["1.2.3.4,"], "127.0.0.1"),
            ("127.0.0.1", &["999.1.1.1"], "127.0.0.1"),
            ("127.0.0.1", &["fe80::1%eth0"], "127.0.0.1"),
        ];
        for (peer, lines, expected) in table {
            assert_eq!(address_of(peer, lines), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_long_chain_ends() {
        let line = vec!["10.0.0.1"; 10_000].join(",");
        assert_eq!(address_of("127.0.0.1", &[&line]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn the_left_of_an_untrusted_hop_changes_nothing(rubbish in "[ -~]{0,80}") {
            let line = format!("{rubbish},1.2.3.4");
            prop_assert_eq!(address_of("127.0.0.1", &[&line]), "1.2.3.4");
            prop_assert_eq!(address_of("8.8.8.8", &[&line]), "8.8.8.8");
        }
    }
}
