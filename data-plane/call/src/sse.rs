//! Server-sent events (WHATWG HTML, section 9.2).
//!
//! Bytes go in as they come off the network; events come out, each with the bytes that it came as, so that it can leave
//! the same way. Nothing is copied unless an event spans reads.

mod encode;
mod parse;
mod scan;

use std::{
    collections::VecDeque,
    mem,
    str::{self, Utf8Error},
};

use bytes::{Bytes, BytesMut};
use thiserror::Error;

pub use encode::{write, write_json};

use scan::Scan;

/// An event that was dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// Every byte since the end of the previous event, up to and including the blank line that ended this one: comments
    /// and all.
    pub raw: Bytes,
    /// The value of its `event:` line; absent if there is none.
    pub name: Option<Bytes>,
    /// Its `data:` lines, joined by line feeds; a slice of `raw` when it is only one.
    pub data: Bytes,
    /// Whether `raw` consists of this event's own lines only, at most one `event:` and any `data:`, and ends with a blank
    /// line: nothing in it escapes a reader of `name` and `data`.
    pub plain: bool,
}

impl SseEvent {
    /// The name as text.
    ///
    /// # Errors
    /// The name is not UTF-8.
    pub fn name(&self) -> Result<Option<&str>, Utf8Error> {
        self.name.as_deref().map(str::from_utf8).transpose()
    }
}

/// What is left when the bytes are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last event, if only its blank line is missing (some servers leave it out). Whether it is complete is for its
    /// content to say.
    pub event: Option<SseEvent>,
    /// The bytes that belong to no event.
    pub rest: Bytes,
    /// Whether those end inside an event.
    pub cut: bool,
}

/// Bytes that are no stream of events that we would read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// An event is larger than it may be.
    #[error("an SSE event is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Cuts a stream of bytes into events.
///
/// The `raw` bytes of all events, what [`Self::take_ignored`] gave in between, and [`Tail::rest`] are the input, byte by
/// byte.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    input: VecDeque<Bytes>,
    /// What came in earlier reads and belongs to the event under way: first blocks that dispatched nothing, then the
    /// beginning of the one that is being scanned.
    head: BytesMut,
    /// How much of `head` are blocks that dispatched nothing.
    ignored: usize,
    scan: Scan,
    /// Whether the next block is the first of the stream, which may begin with a byte order mark.
    first: bool,
    too_large: bool,
}

impl Decoder {
    /// A decoder of events of at most `limit` bytes, everything counted that lies between two events.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            input: VecDeque::new(),
            head: BytesMut::new(),
            ignored: 0,
            scan: Scan::default(),
            first: true,
            too_large: false,
        }
    }

    /// Adds input.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.input.push_back(bytes);
        }
    }

    /// The next event; `None`: it needs more bytes.
    ///
    /// # Errors
    /// The event is too large; the stream can't be read on.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end at the first `None`; this goes on")]
    pub fn next(&mut self) -> Result<Option<SseEvent>, Error> {
        while let Some(input) = self.input.front() {
            let end = self.scan.block_end(input);
            let taken = end.unwrap_or(input.len());
            if self.too_large || self.head.len() + taken > self.limit {
                self.too_large = true;
                return Err(Error::TooLarge { limit: self.limit });
            }
            let piece = self.take_input(taken);
            if end.is_none() {
                self.head.extend_from_slice(&piece);
            } else if let Some(event) = self.dispatch(piece) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The bytes of comments and of blocks without data that came since the last event and that are complete: whoever
    /// relays bytes as they are need not wait for the event that follows. They no longer belong to that event then, nor
    /// count against its limit. To be called when [`Self::next`] has given `None`.
    pub fn take_ignored(&mut self) -> Option<Bytes> {
        let comments = parse::leading_comments(&self.head[self.ignored..]);
        let taken = self.head.split_to(self.ignored + comments).freeze();
        self.ignored = 0;
        self.first &= taken.is_empty();
        (!taken.is_empty()).then_some(taken)
    }

    /// The bytes are over. To be called when [`Self::next`] has given `None` or failed.
    pub fn finish(&mut self) -> Tail {
        let mut rest = mem::take(&mut self.head);
        let unread = !self.input.is_empty();
        for input in self.input.drain(..) {
            rest.extend_from_slice(&input);
        }
        let rest = rest.freeze();
        let start = mem::take(&mut self.ignored);
        let bom = parse::bom(&rest[start..], self.first);
        let ended = self.scan.line_ended() && !unread;
        match parse::event(&rest, start, bom) {
            Some(event) if ended => Tail { event: Some(event), rest: Bytes::new(), cut: false },
            Some(_) => Tail { event: None, rest, cut: true },
            None => {
                let comments = parse::leading_comments(&rest[start + bom..]);
                let cut = unread || start + bom + comments < rest.len();
                Tail { event: None, rest, cut }
            }
        }
    }

    fn take_input(&mut self, len: usize) -> Bytes {
        let Some(input) = self.input.front_mut() else { return Bytes::new() };
        let piece = input.split_to(len);
        if input.is_empty() {
            self.input.pop_front();
        }
        piece
    }

    /// Ends a block with its last piece: it is an event, or it waits to be part of the next one.
    fn dispatch(&mut self, piece: Bytes) -> Option<SseEvent> {
        let raw = if self.head.is_empty() {
            piece
        } else {
            self.head.extend_from_slice(&piece);
            mem::take(&mut self.head).freeze()
        };
        let start = mem::take(&mut self.ignored);
        let bom = parse::bom(&raw[start..], mem::take(&mut self.first));
        let event = parse::event(&raw, start, bom);
        if event.is_none() {
            self.ignored = raw.len();
            self.head = raw.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        }
        event
    }
}
