//! Reads the upstream's body: what arrives becomes frames for the gate.

use bytes::{Bytes, BytesMut};
use luthien_proto::{
    event::{CallError, Event, Step},
    request::Dialect,
};
use serde_json::json;

use crate::{
    call::Limits,
    dialect::{self, ResponseDecoder},
    sse::{self, SseEvent},
};

/// What has arrived together.
#[derive(Debug)]
pub struct Arrival {
    /// The bytes that may go to the client as they came; `None`: they have to be encoded.
    pub original: Option<Bytes>,
    /// How many bytes that are on hold while it is.
    pub size: usize,
    /// What they say.
    pub events: Vec<Event>,
}

/// How what is read goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Nothing is gated: every byte goes on as it came, and what it says is only reported.
    Relay,
    /// What it says goes on: as it came where all of it can be accounted for, otherwise encoded anew.
    Decoded,
}

/// Reads one body.
#[derive(Debug)]
pub struct Reader {
    passage: Passage,
    body: Body,
    /// Whether the last step of the response was given: no more are.
    over: bool,
}

#[derive(Debug)]
enum Body {
    Events {
        sse: sse::Decoder,
        decoder: ResponseDecoder,
        /// What goes on in the next event: its bytes belong to that one's.
        begun: BytesMut,
    },
    Whole {
        dialect: Dialect,
        status: u16,
        bytes: BytesMut,
        limit: usize,
    },
    /// Of a relayed call: what can't be read is not.
    Unread,
}

impl Reader {
    /// For a stream of SSE events.
    pub fn events(passage: Passage, dialect: Dialect, limits: &Limits) -> Self {
        let sse = sse::Decoder::new(limits.sse_event);
        let body = Body::Events { sse, decoder: ResponseDecoder::new(dialect), begun: BytesMut::new() };
        Self { passage, body, over: false }
    }

    /// For a body that is read as a whole: a response, or with a status of 300 and above an error.
    pub fn whole(passage: Passage, dialect: Dialect, status: u16, limits: &Limits) -> Self {
        let body = Body::Whole { dialect, status, bytes: BytesMut::new(), limit: limits.body };
        Self { passage, body, over: false }
    }

    /// For a body that nobody can read, in a call that is relayed.
    pub fn unread() -> Self {
        Self { passage: Passage::Relay, body: Body::Unread, over: true }
    }

    /// Whether the last step of the response was given.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Takes in a piece of the body.
    pub fn data(&mut self, data: Bytes) -> Vec<Arrival> {
        let relayed = self.passage == Passage::Relay;
        match &mut self.body {
            Body::Events { sse, .. } => {
                sse.push(data);
                self.read_events()
            }
            Body::Whole { bytes, limit, .. } => {
                let fits = bytes.len() + data.len() <= *limit;
                if fits {
                    bytes.extend_from_slice(&data);
                }
                let arrivals = if relayed { vec![relay(data)] } else { Vec::new() };
                if fits || self.over { arrivals } else { self.too_large(arrivals) }
            }
            Body::Unread => vec![relay(data)],
        }
    }

    /// The body is complete.
    pub fn end(&mut self) -> Vec<Arrival> {
        match &mut self.body {
            Body::Events { .. } => self.end_of_events(),
            Body::Whole { dialect, status, bytes, .. } => {
                if self.over {
                    return Vec::new();
                }
                let (dialect, status, body) = (*dialect, *status, bytes.split().freeze());
                self.over = true;
                vec![self.whole_body(dialect, status, body)]
            }
            Body::Unread => Vec::new(),
        }
    }

    /// The body broke off: what was begun and is not whole goes nowhere.
    pub fn cut(&mut self, error: CallError) -> Vec<Arrival> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        vec![failure(error)]
    }

    fn read_events(&mut self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Body::Events { sse, decoder, begun } = &mut self.body {
            match sse.next() {
                Ok(Some(event)) => arrivals.extend(read_event(self.passage, &mut self.over, decoder, begun, event)),
                Ok(None) => break,
                Err(error) => {
                    arrivals.extend(self.cut(malformed(&error)));
                    self.body = Body::Unread;
                }
            }
        }
        if let Body::Events { sse, .. } = &mut self.body {
            let ignored = sse.take_ignored().map(relay);
            arrivals.extend(ignored.filter(|_| self.passage == Passage::Relay));
        }
        arrivals
    }

    fn end_of_events(&mut self) -> Vec<Arrival> {
        let Body::Events { sse, decoder, begun } = &mut self.body else { return Vec::new() };
        let mut arrivals = Vec::new();
        let tail = sse.finish();
        if let Some(event) = tail.event {
            arrivals.extend(read_event(self.passage, &mut self.over, decoder, begun, event));
        }
        let torn = tail.cut && !self.over;
        if self.passage == Passage::Relay && !torn && !tail.rest.is_empty() {
            arrivals.push(relay(tail.rest));
        }
        if !self.over {
            let Body::Events { decoder, .. } = &mut self.body else { return arrivals };
            self.over = true;
            let events = if tail.cut { decoder.cut("the stream ended within an event") } else { decoder.end() };
            // Relayed, a response that is complete needs nothing more; one that is not is told so.
            let complete = events.iter().all(|event| !matches!(event.step, Step::Failed(_)));
            let original = (complete && self.passage == Passage::Relay).then(Bytes::new);
            arrivals.push(Arrival { original, size: 0, events });
        }
        arrivals
    }

    fn whole_body(&self, dialect: Dialect, status: u16, body: Bytes) -> Arrival {
        let events = match status {
            200..300 => dialect::decode_whole(dialect, &body),
            _ => Ok(vec![dialect::decode_error(dialect, status, &body)]),
        };
        let size = body.len();
        match (events, self.passage) {
            (Ok(events), Passage::Decoded) => {
                // Bytes that are no text were shown as something else.
                let original = std::str::from_utf8(&body).is_ok().then_some(body);
                Arrival { original, size, events }
            }
            (Ok(events), Passage::Relay) => Arrival { original: Some(Bytes::new()), size: 0, events },
            (Err(error), Passage::Decoded) => failure(malformed(&error)),
            (Err(error), Passage::Relay) => Arrival { original: Some(Bytes::new()), ..failure(malformed(&error)) },
        }
    }

    fn too_large(&mut self, mut arrivals: Vec<Arrival>) -> Vec<Arrival> {
        self.over = true;
        match self.passage {
            Passage::Decoded => {
                let message = "The upstream's response is larger than what can be read".to_owned();
                arrivals.push(failure(CallError { status: 502, message, ..CallError::default() }));
            }
            Passage::Relay => {
                let note = Step::Opaque(json!({"luthien": "the body is too large for the record"}));
                arrivals.push(Arrival { original: Some(Bytes::new()), size: 0, events: vec![note.into()] });
            }
        }
        arrivals
    }
}

fn read_event(
    passage: Passage,
    over: &mut bool,
    decoder: &mut ResponseDecoder,
    begun: &mut BytesMut,
    event: SseEvent,
) -> Option<Arrival> {
    if *over {
        return (passage == Passage::Relay).then(|| relay(event.raw));
    }
    let decoded = match event.name() {
        Ok(name) => decoder.event(name, &event.data).map_err(|error| malformed(&error)),
        Err(error) => Err(malformed(&error)),
    };
    *over = match &decoded {
        Ok(events) => events.iter().any(|event| event.step.is_last()),
        Err(_) => true,
    };
    let size = event.raw.len();
    Some(match (decoded, passage) {
        (Ok(events), Passage::Relay) => Arrival { original: Some(event.raw), size, events },
        (Ok(events), Passage::Decoded) if events.is_empty() && decoder.is_amid() => {
            begun.extend_from_slice(&accounted(event));
            return None;
        }
        (Ok(events), Passage::Decoded) => {
            let size = size + begun.len();
            let original = join(begun, accounted(event));
            let original = (!decoder.take_ambiguous()).then_some(original);
            Arrival { original, size, events }
        }
        (Err(error), Passage::Relay) => Arrival { original: Some(event.raw), size, ..failure(error) },
        (Err(error), Passage::Decoded) => failure(error),
    })
}

fn join(begun: &mut BytesMut, event: Bytes) -> Bytes {
    if begun.is_empty() {
        return event;
    }
    begun.extend_from_slice(&event);
    begun.split().freeze()
}

/// The event without what no policy could see: comments, ids, retry times.
fn accounted(event: SseEvent) -> Bytes {
    if event.plain {
        return event.raw;
    }
    let mut out = BytesMut::with_capacity(event.raw.len());
    sse::write(&mut out, event.name().unwrap_or_default(), &event.data);
    out.freeze()
}

fn relay(bytes: Bytes) -> Arrival {
    Arrival { size: bytes.len(), original: Some(bytes), events: Vec::new() }
}

fn failure(error: CallError) -> Arrival {
    Arrival { original: None, size: 0, events: vec![Step::Failed(error).into()] }
}

fn malformed(error: &dyn std::error::Error) -> CallError {
    let message = format!("The upstream's response can't be read: {error}");
    CallError { status: 502, message, ..CallError::default() }
}
