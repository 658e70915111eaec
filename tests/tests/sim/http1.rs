//! As much HTTP/1.1 as the scripted peers need, by hand: they must not make the planes' mistakes.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message up to its body.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The first line.
    pub line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    fn read(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { line, headers }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Of an answer.
    pub fn status(&self) -> Option<u16> {
        self.line.split(' ').nth(1)?.parse().ok()
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// Reads one message, as its bytes come.
#[derive(Debug, Default)]
pub struct Reader {
    unread: Vec<u8>,
    pub head: Option<Head>,
    rest: Rest,
}

#[derive(Debug, Default, PartialEq)]
enum Rest {
    #[default]
    Head,
    /// So many bytes, or of this chunk.
    Length(usize),
    ChunkSize,
    Chunk(usize),
    /// Until the connection ends.
    Close,
    Complete,
}

impl Reader {
    pub fn is_complete(&self) -> bool {
        self.rest == Rest::Complete
    }

    /// Takes bytes of the message; gives those of the body among them.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.unread.extend_from_slice(bytes);
        let mut body = Vec::new();
        while self.step(&mut body)? {}
        Ok(body)
    }

    fn step(&mut self, body: &mut Vec<u8>) -> Result<bool, String> {
        match self.rest {
            Rest::Head => {
                let Some(end) = find(&self.unread, b"\r\n\r\n") else { return Ok(false) };
                let head = Head::read(&String::from_utf8_lossy(&self.unread[..end]));
                self.unread.drain(..end + 4);
                self.rest = match (head.is_chunked(), head.length()) {
                    (true, _) => Rest::ChunkSize,
                    (false, Some(0)) => Rest::Complete,
                    (false, Some(length)) => Rest::Length(length),
                    (false, None) => Rest::Close,
                };
                self.head = Some(head);
                Ok(true)
            }
            Rest::Length(length) => {
                let left = self.give(length, body);
                self.rest = if left == 0 { Rest::Complete } else { Rest::Length(left) };
                Ok(false)
            }
            Rest::ChunkSize => {
                let Some(end) = find(&self.unread, b"\r\n") else { return Ok(false) };
                let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                let size = usize::from_str_radix(&line, 16).map_err(|_| format!("chunk size {line:?}"))?;
                self.unread.drain(..end + 2);
                self.rest = if size == 0 { Rest::Complete } else { Rest::Chunk(size) };
                Ok(size != 0)
            }
            Rest::Chunk(0) if self.unread.len() < 2 => Ok(false),
            Rest::Chunk(0) => {
                self.unread.drain(..2);
                self.rest = Rest::ChunkSize;
                Ok(true)
            }
            Rest::Chunk(size) => {
                let left = self.give(size, body);
                self.rest = Rest::Chunk(left);
                Ok(left == 0)
            }
            Rest::Close => {
                self.give(usize::MAX, body);
                Ok(false)
            }
            Rest::Complete => Ok(false),
        }
    }

    fn give(&mut self, most: usize, body: &mut Vec<u8>) -> usize {
        let given = most.min(self.unread.len());
        body.extend(self.unread.drain(..given));
        most - given
    }
}

/// Reads a request whole.
pub async fn request(from: &mut (impl AsyncRead + Unpin)) -> Option<(Head, Vec<u8>)> {
    let (mut reader, mut body, mut buffer) = (Reader::default(), Vec::new(), [0; 4096]);
    while !reader.is_complete() {
        let read = from.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        body.extend(reader.take(&buffer[..read]).ok()?);
    }
    Some((reader.head?, body))
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}
