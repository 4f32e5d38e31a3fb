//! Closing a listener without resetting anybody.
//!
//! For its client a connection is made as soon as the kernel has shaken hands; then it waits in the
//! listener's queue until the process accepts it. Whoever closes a listener resets all that wait
//! there, with requests that were sent in good faith. So newcomers are kept out first: their first
//! packet is dropped, unanswered, so that their kernel tries again a second later and finds either
//! the next process or a closed port, which is no reset. Then everybody who is in the queue, or was
//! shaking hands, is taken in; and then nobody is left to be reset.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};

/// How long handshakes that have begun may take: far above a round trip to a balancer.
const HANDSHAKES_WAIT: Duration = Duration::from_millis(50);

/// Closes the listener; `take` gets every connection that was made until then.
pub(super) async fn close(listener: TcpListener, mut take: impl FnMut(TcpStream, SocketAddr)) {
    if let Err(error) = keep_newcomers_out(&listener) {
        // Then whoever connects between the last accept and the close is reset: a moment.
        tracing::debug!(%error, "newcomers cannot be kept out of the listener's queue");
    }
    let arriving = async {
        while let Ok((stream, peer)) = listener.accept().await {
            take(stream, peer);
        }
    };
    // Ends by time, or by an error which the next accept meets again.
    let _elapsed = tokio::time::timeout(HANDSHAKES_WAIT, arriving).await;
    // Straight from the kernel: the runtime may not have heard of the last ones yet.
    let Ok(queue) = listener.into_std() else {
        return;
    };
    while let Ok((stream, peer)) = queue.accept() {
        let taken = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = taken {
            take(stream, peer);
        }
    }
}

/// Lets the kernel drop packets that begin a handshake (SYN without ACK in the thirteenth byte of
/// the TCP header), and no others.
fn keep_newcomers_out(listener: &TcpListener) -> io::Result<()> {
    // Classic BPF, by its numbers: load byte, and, jump if equal, return.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    let program = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_connected_is_taken_in_and_nobody_comes_after() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        // The kernel answers these; nobody has accepted them.
        let mut waiting = Vec::new();
        for _client in 0..50 {
            waiting.push(TcpStream::connect(address).await.unwrap());
        }
        let mut taken = Vec::new();
        close(listener, |stream, peer| taken.push((stream, peer))).await;
        assert_eq!(taken.len(), waiting.len());
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_newcomer_is_not_answered_once_they_are_kept_out() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        keep_newcomers_out(&listener).unwrap();
        let connecting = TcpStream::connect(address);
        let wait = Duration::from_millis(200);
        let unanswered = tokio::time::timeout(wait, connecting).await;
        assert!(unanswered.is_err(), "{unanswered:?}");
    }
}
