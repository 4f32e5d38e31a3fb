//! HTTP/2 clients that mean harm, frame by frame: streams opened and reset at once, and heads that
//! go on for ever. The connection is closed within bounds, little work is done for it, and others
//! are served.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{GRANTS, SOLD_OUT, Server, settings};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A text of HPACK without Huffman coding (RFC 7541, section 5.2).
fn text(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = value.len();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        bytes.push(u8::try_from(length).unwrap());
    }
    bytes.extend(value.as_bytes());
    bytes
}

/// The head of a claim, in literal fields that no table remembers.
fn head(pass: &str) -> Vec<u8> {
    // :method POST and :scheme http stand in the static table; then literals by name's index.
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text(&format!("/v1/coupons/{GRANTS}/claims")));
    block.push(0x01);
    block.extend(text("t"));
    block.push(0x00);
    block.extend(text("authorization"));
    block.extend(text(&format!("Bearer {pass}")));
    block
}

/// A connection past its preface.
async fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&hello).await.unwrap();
    stream
}

/// Sends until the server has enough, and returns what it sent until it closed.
async fn attack(stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = stream.into_split();
    let sending = tokio::spawn(async move {
        // A close in the middle is what is hoped for. The half is kept open: the server is to end it.
        let _cut = to.write_all(&bytes).await;
        to
    });
    let mut said = Vec::new();
    let closed = async {
        // A close with bytes unread is a reset.
        let _either_way = from.read_to_end(&mut said).await;
    };
    tokio::time::timeout(Duration::from_secs(20), closed)
        .await
        .expect("the server closes the connection");
    sending.abort();
    said
}

/// The error codes of the GOAWAY frames in what a server sent.
fn goodbyes(mut said: &[u8]) -> Vec<u32> {
    let mut codes = Vec::new();
    while said.len() >= 9 {
        let length = u32::from_be_bytes([0, said[0], said[1], said[2]]) as usize;
        let Some(payload) = said.get(9..9 + length) else {
            break;
        };
        if said[3] == GOAWAY {
            codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        said = &said[9 + length..];
    }
    codes
}

/// A reset may overtake the goodbye; one that arrives names the reason.
fn assert_told_off(said: &[u8]) {
    let codes = goodbyes(said);
    assert!(
        codes.iter().all(|&code| code == ENHANCE_YOUR_CALM),
        "{codes:?}"
    );
}

#[tokio::test]
async fn a_request_made_of_raw_frames_is_a_request() {
    let server = Server::start(settings()).await;
    let mut stream = connect(&server).await;
    let whole = END_STREAM | END_HEADERS;
    let request = frame(HEADERS, whole, 1, &head(&server.pass("ann")));
    stream.write_all(&request).await.unwrap();
    let answered = async {
        while server.fake.calls.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered)
        .await
        .expect("what the attacks send would be served");
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = Server::start(settings()).await;
    let head = head(&server.pass("ann"));
    let mut bytes = Vec::new();
    for number in 0..20_000 {
        let stream = number * 2 + 1;
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    let said = attack(connect(&server).await, bytes).await;
    assert_told_off(&said);
    let calls = server.fake.calls.load(Ordering::SeqCst);
    assert!(calls < 1_000, "{calls} claims were begun for an attacker");
    server
        .claim(SOLD_OUT, "bob")
        .await
        .assert_problem(409, "sold_out");
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let server = Server::start(settings()).await;
    // Empty pieces (no byte counts against a size), small ones, and ones as large as may be.
    for piece in [0, 16, 16 * 1024] {
        let mut bytes = frame(HEADERS, END_STREAM, 1, &head(&server.pass("ann")));
        let mut block = Vec::new();
        while block.len() < piece {
            // `a: a`, literal.
            block.extend([0x00, 1, b'a', 1, b'a']);
        }
        block.truncate(piece / 5 * 5);
        for _piece in 0..2_000 {
            bytes.extend(frame(CONTINUATION, 0, 1, &block));
        }
        let said = attack(connect(&server).await, bytes).await;
        assert_told_off(&said);
        assert_eq!(
            server.fake.calls.load(Ordering::SeqCst),
            0,
            "pieces of {piece}"
        );
    }
    server
        .claim(SOLD_OUT, "bob")
        .await
        .assert_problem(409, "sold_out");
}
