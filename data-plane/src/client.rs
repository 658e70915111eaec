//! The way to the client: a queue of bytes that a call fills and the connection empties.
//!
//! The body is complete only if the call says so. Whatever else happens to a call (an abort, a panic, the end of the
//! process) breaks the connection off, so that nothing cut short looks whole.

mod pipe;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use luthien_call::call::Input;
use pipe::{Inlet, Outlet};
use thiserror::Error;
use tokio::{select, sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarm;

/// The largest piece: what a stalled client is measured by.
const PIECE_BYTES: usize = 64 * 1024;
/// What is smaller is joined with what follows it, up to so much: to copy it costs less than to write it by itself. Not
/// more, for two of these are taken for written before they are.
const SMALL_BYTES: usize = 2 * 1024;
const JOINED_BYTES: usize = 4 * 1024;

/// Status and headers of an answer.
pub(crate) type AnswerHead = (StatusCode, HeaderMap);

/// The call's end.
pub(crate) struct Client {
    head: Option<oneshot::Sender<AnswerHead>>,
    /// `None`: the connection has everything, or is gone.
    inlet: Option<Inlet>,
    queue: VecDeque<Piece>,
    patience: Patience,
    connection: CancellationToken,
}

struct Patience {
    stall: Duration,
    /// Since when there is no room.
    since: Option<Instant>,
    alarm: Alarm,
}

enum Piece {
    Data(Bytes),
    /// Small ones, which may have others join them.
    Joined(BytesMut),
    End,
    Abort,
}

/// The connection's end.
pub(crate) struct Answer {
    pub(crate) head: oneshot::Receiver<AnswerHead>,
    pub(crate) body: Body,
}

/// Makes both ends. A client that takes nothing for `stall` is given up, and `connection` cancelled.
pub(crate) fn channel(stall: Duration, connection: CancellationToken) -> (Client, Answer) {
    let (head_sender, head) = oneshot::channel();
    let (inlet, outlet) = pipe::pipe();
    let client = Client {
        head: Some(head_sender),
        inlet: Some(inlet),
        queue: VecDeque::new(),
        patience: Patience { stall, since: None, alarm: Alarm::default() },
        connection,
    };
    (client, Answer { head, body: Body(Source::Call(outlet)) })
}

impl Client {
    pub(crate) fn send_head(&mut self, head: AnswerHead) {
        if let Some(sender) = self.head.take() {
            // A receiver that is gone shows as the body's being dropped.
            let _ = sender.send(head);
        }
    }

    pub(crate) fn write(&mut self, mut bytes: Bytes) {
        if self.queue.back_mut().is_some_and(|last| last.join(&bytes)) {
            return;
        }
        while bytes.len() > PIECE_BYTES {
            self.push(Piece::Data(bytes.split_to(PIECE_BYTES)));
        }
        if !bytes.is_empty() {
            self.push(Piece::Data(bytes));
        }
    }

    pub(crate) fn finish(&mut self) {
        self.push(Piece::End);
    }

    pub(crate) fn abort(&mut self) {
        self.push(Piece::Abort);
    }

    fn push(&mut self, piece: Piece) {
        if self.inlet.is_some() {
            self.queue.push_back(piece);
        }
    }

    /// Hands the connection what it has room for, without waiting; `None`: nothing.
    pub(crate) fn hand_over(&mut self) -> Option<Input> {
        let mut bytes = 0;
        while let Some(inlet) = self.inlet.as_ref().filter(|_| !self.queue.is_empty()) {
            if inlet.is_gone() {
                return Some(self.gone());
            }
            if !inlet.has_room() {
                break;
            }
            self.patience.since = None;
            match self.queue.pop_front() {
                Some(Piece::Data(data)) => bytes += inlet.put(data),
                Some(Piece::Joined(data)) => bytes += inlet.put(data.freeze()),
                Some(Piece::End) => {
                    inlet.finish();
                    self.over();
                }
                // A body whose inlet is gone before its end breaks off.
                Some(Piece::Abort) | None => self.over(),
            }
        }
        (bytes > 0).then_some(Input::ClientTook(bytes))
    }

    /// What happens next on this side. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            if let Some(input) = self.hand_over() {
                return input;
            }
            if let Some(input) = self.wait().await {
                return input;
            }
        }
    }

    /// Waits until the connection has everything, or is gone.
    pub(crate) async fn flush(&mut self) {
        while !self.queue.is_empty() {
            // What it took is of no interest any more.
            if self.hand_over().is_none() && !self.queue.is_empty() {
                let _ = self.wait().await;
            }
        }
    }

    /// Waits for room; where there is nothing to send, for the client to leave.
    async fn wait(&mut self) -> Option<Input> {
        let Some(inlet) = &self.inlet else { return std::future::pending().await };
        if self.queue.is_empty() {
            inlet.gone().await;
            return Some(self.gone());
        }
        let deadline = *self.patience.since.get_or_insert_with(Instant::now) + self.patience.stall;
        select! {
            biased;
            () = inlet.room() => None,
            () = self.patience.alarm.ring(Some(deadline)) => {
                self.connection.cancel();
                Some(self.gone())
            }
        }
    }

    fn gone(&mut self) -> Input {
        self.over();
        Input::ClientGone
    }

    fn over(&mut self) {
        self.inlet = None;
        self.queue.clear();
    }
}

impl Piece {
    /// Takes in what follows, if both are small.
    fn join(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > SMALL_BYTES {
            return false;
        }
        match self {
            Self::Data(first) if first.len() <= SMALL_BYTES => {
                let mut joined = BytesMut::with_capacity(2 * (first.len() + bytes.len()));
                joined.extend_from_slice(first);
                joined.extend_from_slice(bytes);
                *self = Self::Joined(joined);
                true
            }
            Self::Joined(joined) if joined.len() + bytes.len() <= JOINED_BYTES => {
                joined.extend_from_slice(bytes);
                true
            }
            Self::Data(_) | Self::Joined(_) | Self::End | Self::Abort => false,
        }
    }
}

/// A body for the client.
pub struct Body(Source);

enum Source {
    Full(Option<Bytes>),
    Call(Outlet),
}

impl Body {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Source::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }
}

/// The response can't be completed.
#[derive(Debug, Error)]
#[error("the response was broken off")]
pub struct BrokenOff;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Poll::Ready(match &mut self.get_mut().0 {
            Source::Full(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Call(outlet) => match ready!(outlet.poll_take(cx)) {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None if outlet.is_finished() => None,
                None => Some(Err(BrokenOff)),
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Source::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Source::Call(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn pair() -> (Client, Answer) {
        channel(Duration::from_secs(60), CancellationToken::new())
    }

    #[tokio::test]
    async fn what_is_finished_arrives_whole() {
        let (mut client, answer) = pair();
        client.write(Bytes::from(vec![b'x'; 3 * PIECE_BYTES + 5]));
        client.finish();
        let reader = tokio::spawn(answer.body.collect());
        client.flush().await;
        assert_eq!(reader.await.unwrap().unwrap().to_bytes().len(), 3 * PIECE_BYTES + 5);
    }

    #[tokio::test]
    async fn what_is_aborted_or_forgotten_breaks_off_after_what_was_written() {
        for abort in [true, false] {
            let (mut client, mut answer) = pair();
            client.write(Bytes::from_static(b"begun"));
            if abort {
                client.abort();
            }
            client.flush().await;
            drop(client);
            assert_eq!(answer.body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
            assert!(answer.body.frame().await.unwrap().is_err());
        }
    }

    #[tokio::test]
    async fn a_dropped_body_is_a_client_that_left_and_is_told_once() {
        let (mut client, answer) = pair();
        drop(answer);
        assert!(matches!(client.next().await, Input::ClientGone));
        client.write(Bytes::from_static(b"late"));
        client.flush().await;
    }

    #[tokio::test]
    async fn small_pieces_that_wait_go_as_one_and_large_ones_as_they_are() {
        let (mut client, mut answer) = pair();
        let large = Bytes::from(vec![b'l'; SMALL_BYTES + 1]);
        for piece in
            [Bytes::from_static(b"one,"), Bytes::from_static(b"two"), large.clone(), Bytes::from_static(b"end")]
        {
            client.write(piece);
        }
        client.finish();
        assert!(matches!(client.hand_over(), Some(Input::ClientTook(taken)) if taken == 7 + large.len()));
        assert!(client.hand_over().is_none());
        let mut pieces = Vec::new();
        let read = async {
            while let Some(frame) = answer.body.frame().await {
                pieces.push(frame.unwrap().into_data().unwrap());
            }
        };
        tokio::join!(client.flush(), read);
        assert_eq!(pieces, [&b"one,two"[..], &large, b"end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_long_is_given_up() {
        let connection = CancellationToken::new();
        let (mut client, _answer) = channel(Duration::from_secs(60), connection.clone());
        (0..3).for_each(|_| client.write(Bytes::from(vec![b'x'; PIECE_BYTES])));
        assert!(matches!(client.next().await, Input::ClientTook(taken) if taken == 2 * PIECE_BYTES));
        assert!(!connection.is_cancelled());
        assert!(matches!(client.next().await, Input::ClientGone));
        assert!(connection.is_cancelled());
    }
}
