//! The dialects: what is decoded is grammatical, and what is encoded from it can be read again and says the same.

use bytes::{Bytes, BytesMut};
use luthien_call::{
    dialect::{ResponseDecoder, ResponseEncoder, decode_error, decode_request, decode_whole, encode_whole, error_body},
    sse::{self, SseEvent},
};
use luthien_proto::{Event, Step, event::CallError, request::Dialect};

use crate::{
    grammar::{self, Meaning},
    input::Input,
};

/// A case: which form, a number, and the bytes.
pub fn check(dialect: Dialect, data: &[u8]) {
    let mut input = Input::new(data);
    let form = input.below(4);
    let number = input.byte();
    let bytes = input.rest();
    match form {
        0 => stream(dialect, usize::from(number), bytes),
        1 => whole(dialect, bytes),
        2 => error(dialect, 400 + u16::from(number) % 200, bytes),
        _ => request(dialect, bytes),
    }
}

/// A case of a dialect that only upstreams speak, so that nothing is written in it.
pub fn check_upstream(dialect: Dialect, data: &[u8]) {
    let mut input = Input::new(data);
    let form = input.below(3);
    let number = input.byte();
    let bytes = input.rest();
    match form {
        0 => grammar::check_whole(&Read::of(dialect, bytes).events()),
        1 => {
            let events = decode_whole(dialect, &Bytes::copy_from_slice(bytes));
            events.iter().for_each(|events| grammar::check_whole(events));
        }
        _ => error(dialect, 400 + u16::from(number) % 200, bytes),
    }
}

/// A stream as it was read: each SSE event with its steps, and what stands behind them.
pub struct Read {
    pub frames: Vec<(SseEvent, Vec<Event>)>,
    /// How many of the first may leave as they came.
    pub clear: usize,
    /// Behind which no bytes may be parted from those of the next.
    pub amid: Vec<bool>,
    pub tail: Vec<Event>,
    /// What broke the dialect's grammar.
    pub broken: Option<String>,
}

impl Read {
    pub fn of(dialect: Dialect, stream: &[u8]) -> Self {
        let mut sse = sse::Decoder::new(1 << 20);
        let mut decoder = ResponseDecoder::new(dialect);
        let mut read = Self { frames: Vec::new(), clear: usize::MAX, amid: Vec::new(), tail: Vec::new(), broken: None };
        sse.push(Bytes::copy_from_slice(stream));
        while let Ok(Some(frame)) = sse.next() {
            if read.take(&mut decoder, frame) {
                return read;
            }
        }
        let tail = sse.finish();
        if tail.event.is_some_and(|frame| read.take(&mut decoder, frame)) {
            return read;
        }
        read.tail = if tail.cut { decoder.cut("it broke off") } else { decoder.end() };
        read
    }

    /// Whether there is nothing more to read.
    fn take(&mut self, decoder: &mut ResponseDecoder, frame: SseEvent) -> bool {
        let name = frame.name().map_err(|error| error.to_string());
        match name.and_then(|name| decoder.event(name, &frame.data).map_err(|error| error.to_string())) {
            Ok(events) => {
                let over = events.iter().any(|event| event.step.is_last());
                if decoder.take_ambiguous() {
                    self.clear = self.clear.min(self.frames.len());
                }
                self.frames.push((frame, events));
                self.amid.push(decoder.is_amid());
                over
            }
            Err(error) => {
                self.tail = vec![Step::Failed(CallError { message: error.clone(), ..CallError::default() }).into()];
                self.broken = Some(error);
                true
            }
        }
    }

    pub fn events(&self) -> Vec<Event> {
        self.frames.iter().flat_map(|(_, events)| events).chain(&self.tail).cloned().collect()
    }
}

fn stream(dialect: Dialect, raw: usize, bytes: &[u8]) {
    let read = Read::of(dialect, bytes);
    let events = read.events();
    grammar::check_whole(&events);

    reads_the_same(dialect, &events, 0, &encode(dialect, &[], &events));
    let mut raw = raw.min(read.frames.len()).min(read.clear);
    while raw > 0 && read.amid[raw - 1] {
        raw -= 1;
    }
    let (as_it_came, anew) = read.frames.split_at(raw);
    let mut rest: Vec<Event> = anew.iter().flat_map(|(_, events)| events).cloned().collect();
    rest.extend(read.tail.iter().cloned());
    reads_the_same(dialect, &events, raw, &encode(dialect, as_it_came, &rest));
    if matches!(events.last().map(|event| &event.step), Some(Step::Ended)) {
        let body = encode_whole(dialect, &events);
        let again = decode_whole(dialect, &body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        grammar::check_whole(&again);
    }
}

fn encode(dialect: Dialect, as_it_came: &[(SseEvent, Vec<Event>)], anew: &[Event]) -> Bytes {
    let mut encoder = ResponseEncoder::new(dialect);
    let mut out = BytesMut::new();
    for (frame, events) in as_it_came {
        out.extend_from_slice(&frame.raw);
        events.iter().for_each(|event| encoder.observe(event));
    }
    // An event at the end of a stream may lack its blank line.
    if !out.is_empty() {
        out.extend_from_slice(b"\n\n");
    }
    anew.iter().for_each(|event| encoder.encode(event, &mut out));
    encoder.flush(&mut out);
    out.freeze()
}

fn reads_the_same(dialect: Dialect, events: &[Event], raw: usize, written: &Bytes) {
    let again = Read::of(dialect, written);
    assert_eq!(again.broken, None, "the first {raw} as they came: {written:?}");
    let again = again.events();
    grammar::check_whole(&again);
    assert_eq!(Meaning::of(events), Meaning::of(&again), "the first {raw} as they came: {written:?}");
    let ended = |events: &[Event]| matches!(events.last().map(|event| &event.step), Some(Step::Ended));
    assert_eq!(ended(events), ended(&again), "the first {raw} as they came: {written:?}");
}

fn whole(dialect: Dialect, bytes: &[u8]) {
    let Ok(events) = decode_whole(dialect, &Bytes::copy_from_slice(bytes)) else { return };
    grammar::check_whole(&events);
    if let Some(Step::Ended) = events.last().map(|event| &event.step) {
        let body = encode_whole(dialect, &events);
        let again = decode_whole(dialect, &body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        grammar::check_whole(&again);
        assert_eq!(Meaning::of(&events), Meaning::of(&again), "{body:?}");
    }
}

fn error(dialect: Dialect, status: u16, bytes: &[u8]) {
    let Step::Failed(told) = decode_error(dialect, status, &Bytes::copy_from_slice(bytes)).step else {
        panic!("an error body is an error");
    };
    assert_eq!(told.status, status);
    let body = error_body(dialect, &told);
    let Step::Failed(again) = decode_error(dialect, status, &body).step else { panic!("an error body is an error") };
    if !told.message.is_empty() {
        assert_eq!(told.message, again.message, "{body:?}");
    }
}

fn request(dialect: Dialect, bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let Ok(asked) = decode_request(dialect, body.clone()) else { return };
    assert_eq!(asked.upstream_body(&asked.request.model), body);
    let renamed = decode_request(dialect, asked.upstream_body("another \"model\"")).expect("only the model is another");
    assert_eq!(renamed.request.model, "another \"model\"");
    let mut request = renamed.request;
    request.model.clone_from(&asked.request.model);
    assert_eq!(request, asked.request);
}
