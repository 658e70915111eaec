//! What a client got, piece by piece.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use crate::{
    peers::within,
    validate::{Dialect, Failure, Turn},
};

/// An answer: its head, and as much of its body as was read. The connection is closed when it is dropped.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    received: Vec<u8>,
    connection: JoinHandle<()>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Broken,
}

impl Answer {
    pub(super) fn new(response: Response<Incoming>, connection: JoinHandle<()>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status.as_u16(), headers: head.headers, body, received: Vec::new(), connection }
    }

    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The id of the call.
    ///
    /// # Panics
    /// When the answer does not say it.
    pub fn call_id(&self) -> String {
        let id = self.header("x-luthien-call-id").to_owned();
        assert!(!id.is_empty(), "the answer has no x-luthien-call-id: {:?}", self.headers);
        id
    }

    /// What has come so far, as text.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads until the text has come.
    ///
    /// # Panics
    /// When the body ends without it.
    pub async fn until(&mut self, text: &str) {
        while !self.so_far().contains(text) {
            let piece = within(&format!("{text:?} behind {:?}", self.so_far()), self.piece()).await;
            assert!(piece.is_ok_and(|piece| piece.is_some()), "the body ended without {text:?}: {}", self.so_far());
        }
    }

    /// Reads the next piece.
    ///
    /// # Panics
    /// When the body ends.
    pub async fn more(&mut self) {
        let piece = self.piece().await;
        assert!(piece.is_ok_and(|piece| piece.is_some()), "the body ended: {}", self.so_far());
    }

    /// Reads whatever comes within a moment. What has not come then may still come: this can show that something was
    /// sent, and never that nothing will be.
    pub async fn for_a_moment(&mut self) {
        let moment = tokio::time::sleep(Duration::from_millis(300));
        tokio::pin!(moment);
        loop {
            tokio::select! {
                () = &mut moment => return,
                piece = Self::next(&mut self.body) => match piece {
                    Ok(Some(piece)) => self.received.extend_from_slice(&piece),
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }

    /// The whole body.
    ///
    /// # Panics
    /// When it breaks off.
    pub async fn complete(mut self) -> Vec<u8> {
        let end = self.rest().await;
        assert_eq!(end, End::Complete, "the body broke off behind {}", self.so_far());
        std::mem::take(&mut self.received)
    }

    /// All that came until the body ended or broke off.
    pub async fn whatever_comes(mut self) -> Vec<u8> {
        self.rest().await;
        std::mem::take(&mut self.received)
    }

    /// All that came until the body broke off.
    ///
    /// # Panics
    /// When it ends as if it were complete.
    pub async fn broken_off(mut self) -> Vec<u8> {
        let end = self.rest().await;
        assert_eq!(end, End::Broken, "the body ended as if it were complete: {}", self.so_far());
        std::mem::take(&mut self.received)
    }

    /// Reads a streamed response to its end, and understands it.
    ///
    /// # Panics
    /// When the status is not 200, or the body breaks the grammar of its dialect.
    pub async fn stream(self, dialect: Dialect) -> Turn {
        assert_eq!(self.header("content-type").split(';').next(), Some("text/event-stream"), "{:?}", self.headers);
        self.read(|body| dialect.stream(body)).await
    }

    /// Reads a whole response, and understands it.
    ///
    /// # Panics
    /// When the status is not 200, or the body breaks the grammar of its dialect.
    pub async fn whole(self, dialect: Dialect) -> Turn {
        assert_eq!(self.header("content-type").split(';').next(), Some("application/json"), "{:?}", self.headers);
        self.read(|body| dialect.whole(body)).await
    }

    /// Reads a streamed response that ends with an error.
    ///
    /// # Panics
    /// When it does not, or breaks the grammar of its dialect.
    pub async fn failed_stream(self, dialect: Dialect) -> (Turn, Failure) {
        let mut turn = self.stream(dialect).await;
        let failure = turn.failure.take().unwrap_or_else(|| panic!("the stream ends well: {turn:?}"));
        (turn, failure)
    }

    /// Reads the body of an error.
    ///
    /// # Panics
    /// When it breaks the grammar of its dialect.
    pub async fn error(self, dialect: Dialect) -> Failure {
        let body = self.complete().await;
        dialect.error(&body).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&body)))
    }

    async fn read(self, read: impl FnOnce(&[u8]) -> Result<Turn, String>) -> Turn {
        let status = self.status;
        let body = self.complete().await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{text}");
        read(&body).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    async fn rest(&mut self) -> End {
        loop {
            match within("the end of a body", self.piece()).await {
                Ok(Some(_)) => {}
                Ok(None) => return End::Complete,
                Err(_) => return End::Broken,
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        let piece = Self::next(&mut self.body).await?;
        self.received.extend(piece.iter().flatten());
        Ok(piece)
    }

    async fn next(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
        match body.frame().await.transpose()? {
            Some(frame) => Ok(Some(frame.into_data().unwrap_or_default())),
            None => Ok(None),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
