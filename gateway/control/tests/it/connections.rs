//! Connections of the admin port: slow, idle, many, drained.

use std::time::Duration;

use sluice_control::ControlSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, quick};

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.address).await.unwrap()
}

/// Reads until the server has closed; what came.
async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("the server closes")
        .unwrap();
    String::from_utf8(rest).unwrap()
}

/// Asks for the index on a connection that is kept, and reads the answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"}") && !answer.ends_with(b"\n") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("an answer");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn silent_slow_and_idle_clients_are_closed() {
    let settings = ControlSettings {
        header_read_timeout: Duration::from_millis(200),
        ..quick()
    };
    let world = World::with(settings).await;
    let mut silent = connect(&world).await;
    assert_eq!(read_to_close(&mut silent).await, "");
    // A head that never ends, byte by byte: each byte must not buy more time.
    let mut slow = connect(&world).await;
    let (mut other, mut half) = slow.split();
    let drip = async {
        half.write_all(b"GET /openapi.json HTTP/1.1\r\nx-slow: ")
            .await
            .unwrap();
        while half.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut rest = Vec::new();
    let closed = async {
        // A close with bytes unread is a reset.
        let _either_way = other.read_to_end(&mut rest).await;
    };
    let both = async {
        tokio::select! {
            () = drip => {}
            () = closed => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("the server closes");
    let rest = String::from_utf8(rest).unwrap();
    assert!(!rest.contains(" 200 "), "{rest}");
    // Idle after an answer.
    let mut idle = connect(&world).await;
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_close(&mut idle).await, "");
}

#[tokio::test]
async fn newcomers_wait_for_a_slot_that_the_clock_gives_back() {
    let settings = ControlSettings {
        connections_max: 2,
        header_read_timeout: Duration::from_secs(1),
        ..quick()
    };
    let world = World::with(settings).await;
    let hogs = [connect(&world).await, connect(&world).await];
    let mut waiting = connect(&world).await;
    waiting
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.peek(&mut byte)).await;
    assert!(early.is_err(), "served beyond the cap");
    assert!(
        read_to_close(&mut waiting)
            .await
            .starts_with("HTTP/1.1 200")
    );
    drop(hogs);
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let world = World::with(quick()).await;
    let mut client = connect(&world).await;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: test\r\nx-large: {}\r\n\r\n",
        "a".repeat(64 * 1024)
    );
    // The server may close before all of it is written.
    let _early_close = client.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset_after_the_answer = client.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(world.get("/").await.status, 200, "others are served");
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_and_cuts_what_never_ends() {
    let settings = ControlSettings {
        drain_timeout: Duration::from_millis(300),
        header_read_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_secs(60),
        ..quick()
    };
    let mut world = World::with(settings).await;
    let mut idle = connect(&world).await;
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    let mut endless = connect(&world).await;
    let head = format!(
        "POST /admin/v1/coupons HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\
         expect: 100-continue\r\ncontent-length: 10\r\n\r\n",
        world.admin
    );
    endless.write_all(head.as_bytes()).await.unwrap();
    // The body is being waited for once the server has asked for it.
    let mut asked = [0; 12];
    endless.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    tokio::time::timeout(Duration::from_secs(20), world.stop())
        .await
        .expect("the stop has an end");
    assert_eq!(read_to_close(&mut idle).await, "");
}
