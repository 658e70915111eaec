//! What there is to read of a body, as one piece.
//!
//! A connection hands its body over frame by frame, and has the next one only when it had a turn of its own. What costs
//! something by the piece (a batch to the policy service, its verdict, a write to the client) is better done for all that
//! has come.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

/// What is larger goes as it is.
const SMALL: usize = 4 * 1024;
/// So much is enough.
const ENOUGH: usize = 16 * 1024;
/// Where nothing had come behind a frame, behind so many it is not looked for.
const PAUSE: u8 = 15;

/// Frames that came and were not given out.
#[derive(Debug)]
pub(super) struct Gathered<E> {
    first: Bytes,
    /// The first and those behind it.
    joined: BytesMut,
    /// What came behind them: the end of the body, or why there is none.
    end: Option<Result<(), E>>,
    /// Whether the connection had a turn since.
    has_yielded: bool,
    pause: u8,
}

impl<E> Default for Gathered<E> {
    fn default() -> Self {
        Self { first: Bytes::new(), joined: BytesMut::new(), end: None, has_yielded: false, pause: 0 }
    }
}

impl<E> Gathered<E> {
    /// The next bytes of the body; `None`: its end.
    pub(super) fn poll<B>(&mut self, body: &mut B, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, E>>>
    where
        B: Body<Data = Bytes, Error = E> + Unpin,
    {
        while !self.is_enough() {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending if self.len() > 0 && self.has_yielded => break,
                Poll::Pending => {
                    if self.len() > 0 {
                        self.has_yielded = true;
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(self.give())
    }

    fn is_enough(&self) -> bool {
        let goes_at_once = self.pause > 0 || self.len() > SMALL && self.joined.is_empty();
        self.end.is_some() || self.len() >= ENOUGH || self.len() > 0 && goes_at_once
    }

    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        let Ok(data) = frame.into_data() else { return };
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(SMALL.max(self.first.len() + data.len()));
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
        self.has_yielded = false;
    }

    fn give(&mut self) -> Option<Result<Bytes, E>> {
        if self.len() == 0 {
            return self.end.take()?.err().map(Err);
        }
        let is_alone = self.joined.is_empty();
        let came_alone = is_alone && std::mem::take(&mut self.has_yielded);
        self.pause = if came_alone { PAUSE } else { self.pause.saturating_sub(1) };
        self.has_yielded = false;
        Some(Ok(if is_alone { std::mem::take(&mut self.first) } else { std::mem::take(&mut self.joined).freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, future::poll_fn};

    use super::*;

    /// Has a frame only when it was looked at in vain since the last one, as a connection with a turn of its own has.
    struct Frames {
        frames: VecDeque<Result<Bytes, &'static str>>,
        is_ready: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            self.is_ready = !self.is_ready;
            if self.is_ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(self.frames.pop_front().map(|frame| frame.map(Frame::data)))
        }
    }

    async fn pieces(frames: Vec<Result<Bytes, &'static str>>) -> Vec<Result<Bytes, &'static str>> {
        let mut body = Frames { frames: frames.into(), is_ready: false };
        let (mut gathered, mut pieces) = (Gathered::default(), Vec::new());
        while let Some(piece) = poll_fn(|cx| gathered.poll(&mut body, cx)).await {
            let is_last = piece.is_err();
            pieces.push(piece);
            if is_last {
                break;
            }
        }
        pieces
    }

    #[tokio::test]
    async fn small_frames_that_are_there_are_one_piece_and_their_end_comes_behind_it() {
        let small = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        assert_eq!(pieces(vec![small("one,"), small("two,"), small("three")]).await, [small("one,two,three")]);
        assert_eq!(pieces(vec![small("one,"), small("two"), Err("cut")]).await, [small("one,two"), Err("cut")]);
        assert_eq!(pieces(vec![Err("cut")]).await, [Err("cut")]);
        assert_eq!(pieces(vec![]).await, []);
    }

    #[tokio::test]
    async fn a_piece_is_bounded_and_a_large_frame_goes_by_itself() {
        let frame = |size: usize| Ok(Bytes::from(vec![b'x'; size]));
        let sizes =
            |pieces: Vec<Result<Bytes, _>>| pieces.into_iter().map(|piece| piece.unwrap().len()).collect::<Vec<_>>();
        assert_eq!(sizes(pieces(vec![frame(SMALL + 1), frame(1), frame(1)]).await), [SMALL + 1, 2]);
        let many = sizes(pieces((0..100).map(|_| frame(1_000)).collect()).await);
        assert_eq!(many.iter().sum::<usize>(), 100_000);
        assert!(many.iter().all(|size| *size < ENOUGH + 1_000), "{many:?}");
        assert_eq!(many.len(), 100_000_usize.div_ceil(17_000));
    }
}
