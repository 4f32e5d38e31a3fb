//! A client that sends exactly the bytes it is told to, and keeps what it read.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client that keeps what it read beyond an answer.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Client {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one whole answer, of a request that was not HEAD.
    pub(crate) async fn read(&mut self) -> Answer {
        self.read_answer(true).await.expect("an answer")
    }

    /// Reads the head of an answer that has no body.
    pub(crate) async fn read_head(&mut self) -> Answer {
        self.read_answer(false).await.expect("an answer")
    }

    /// Reads until the server has closed, whether or not it had unread bytes of ours (then the
    /// close is a reset).
    pub(crate) async fn read_to_close(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        let read = self.stream.read_to_end(&mut rest);
        let _closed_either_way = tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("the server closes");
        rest
    }

    /// Reads one whole answer, or `None` where the server closed instead.
    pub(crate) async fn try_read(&mut self) -> Option<Answer> {
        self.read_answer(true).await
    }

    /// Reads to the end of the stream; what came.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        let read = self.stream.read_to_end(&mut rest);
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("the server closes")
            .expect("and does not reset");
        rest
    }

    async fn read_answer(&mut self, has_body: bool) -> Option<Answer> {
        loop {
            if let Some(answer) = self.parse(has_body) {
                return Some(answer);
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk);
            let count = tokio::time::timeout(Duration::from_secs(20), read)
                .await
                .expect("an answer in time")
                .ok()?;
            if count == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    fn parse(&mut self, has_body: bool) -> Option<Answer> {
        let end = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        let mut answer = Answer {
            status: head.get(9..12)?.parse().unwrap(),
            head,
            body: String::new(),
        };
        let length: usize = match answer.header("content-length") {
            Some(text) if has_body => text.parse().unwrap(),
            _ => 0,
        };
        let body = self.buffer.get(end..end + length)?;
        answer.body = String::from_utf8(body.to_vec()).unwrap();
        self.buffer.drain(..end + length);
        Some(answer)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// Asserts that this is a problem of this status and code, with all its fields.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["type"], format!("urn:sluice:reason:{code}"));
        assert_eq!(json["code"], code);
        assert_eq!(json["status"], status);
        assert!(json["title"].is_string() && json["detail"].is_string());
        assert_eq!(
            json["request_id"].as_str(),
            self.header("x-request-id"),
            "{self:?}"
        );
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("server"), None);
    }
}
