//! The ops port while somebody holds its connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::call;
use crate::process::Place;

/// More than the port has slots.
const IDLERS: usize = 70;

#[test]
fn whoever_holds_connections_open_is_cut_off_and_locks_nobody_out() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let ops = server.url("ops");
    let host = ops.strip_prefix("http://").unwrap();
    let idlers: Vec<TcpStream> = (0..IDLERS)
        .map(|_idler| {
            let mut idler = TcpStream::connect(host).unwrap();
            idler.write_all(b"GET /livez HTTP/1.1\r\nhost: x").unwrap();
            idler
        })
        .collect();
    // Answered once a slot comes free: none would, if nobody were cut off.
    let alive = call(ops, "GET", "/livez", &[], "").unwrap();
    assert_eq!((alive.status, alive.body.as_str()), (200, "ok\n"));
    for mut idler in idlers {
        idler
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        // An answer or none, then the end; a reset is an end too.
        let mut rest = Vec::new();
        let ended = idler.read_to_end(&mut rest);
        let waited = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!waited, "a connection was left open");
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let place = Place::new();
    let server = place.dev();
    let host = server.url("ops").strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(host).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    slow.write_all(b"PUT /log-filter HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nin")
        .unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}
