//! As much of Redis' protocol as the peers and the bench need: one call, one reply, over a unix
//! socket.

use std::path::Path;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Deepest nesting of a reply that is read.
const DEPTH_MAX: u8 = 4;

/// A connection to a Redis.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
    request: Vec<u8>,
}

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A text or a status.
    Text(Vec<u8>),
    /// A number.
    Number(i64),
    /// Several.
    List(Vec<Reply>),
    /// Nothing is there.
    Nil,
}

impl Reply {
    /// The number; also one that came as a text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn number(&self) -> anyhow::Result<i64> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => Ok(std::str::from_utf8(text)?.parse()?),
            other => bail!("no number: {other:?}"),
        }
    }

    /// The text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn text(&self) -> anyhow::Result<&str> {
        match self {
            Self::Text(text) => Ok(std::str::from_utf8(text)?),
            other => bail!("no text: {other:?}"),
        }
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody listens there.
    pub async fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("the Redis at {}", socket.display()))?;
        Ok(Self {
            stream: BufReader::new(stream),
            request: Vec::with_capacity(512),
        })
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// Where the connection broke, or Redis refused. The connection is of no use afterwards.
    pub async fn call(&mut self, words: &[&[u8]]) -> anyhow::Result<Reply> {
        self.request.clear();
        encode(&mut self.request, words);
        self.stream.get_mut().write_all(&self.request).await?;
        self.reply(0).await
    }

    async fn reply(&mut self, depth: u8) -> anyhow::Result<Reply> {
        let mut line = Vec::with_capacity(32);
        self.stream.read_until(b'\n', &mut line).await?;
        let line = std::str::from_utf8(&line)?.trim_end();
        let Some(kind) = line.chars().next() else {
            bail!("Redis closed the connection");
        };
        let rest = &line[1..];
        Ok(match kind {
            '+' => Reply::Text(rest.as_bytes().to_vec()),
            ':' => Reply::Number(rest.parse()?),
            '$' => match usize::try_from(rest.parse::<i64>()?) {
                Ok(length) => {
                    let mut text = vec![0; length + 2];
                    self.stream.read_exact(&mut text).await?;
                    text.truncate(length);
                    Reply::Text(text)
                }
                Err(_minus_one) => Reply::Nil,
            },
            '*' if depth < DEPTH_MAX => {
                let mut list = Vec::new();
                for _item in 0..rest.parse::<i64>()? {
                    list.push(Box::pin(self.reply(depth + 1)).await?);
                }
                Reply::List(list)
            }
            _error => bail!("Redis refused: {line}"),
        })
    }
}

fn encode(into: &mut Vec<u8>, words: &[&[u8]]) {
    use std::io::Write;
    // Writing into a vector has no way to fail.
    write!(into, "*{}\r\n", words.len()).unwrap_or_default();
    for word in words {
        write!(into, "${}\r\n", word.len()).unwrap_or_default();
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::{Connection, Reply, encode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

    #[test]
    fn words_are_counted_in_bytes() {
        let mut sent = Vec::new();
        encode(&mut sent, &[b"GET", "ü".as_bytes(), b""]);
        assert_eq!(sent, "*3\r\n$3\r\nGET\r\n$2\r\nü\r\n$0\r\n\r\n".as_bytes());
    }

    #[tokio::test]
    async fn every_kind_of_reply_is_read_and_a_refusal_is_an_error() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let mut connection = Connection {
            stream: BufReader::new(ours),
            request: Vec::new(),
        };
        theirs
            .write_all(b"*4\r\n:7\r\n$4\r\na\r\nb\r\n$-1\r\n+OK\r\n-ERR no\r\n")
            .await
            .unwrap();
        let reply = connection.call(&[b"X"]).await.unwrap();
        let expected = Reply::List(vec![
            Reply::Number(7),
            Reply::Text(b"a\r\nb".to_vec()),
            Reply::Nil,
            Reply::Text(b"OK".to_vec()),
        ]);
        assert_eq!(reply, expected);
        assert!(connection.call(&[b"Y"]).await.is_err());
        let mut sent = [0; 22];
        theirs.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"*1\r\n$1\r\nX\r\n*1\r\n$1\r\nY\r\n");
    }
}
