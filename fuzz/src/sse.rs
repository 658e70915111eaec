//! SSE: the same events however the bytes are cut, the ones that the standard says, and no byte of the input is lost.

use bytes::Bytes;
use luthien_call::sse::{Decoder, SseEvent};

use crate::input::Input;

/// A case: a limit, how many cuts, the lengths of the pieces (over and over), and the stream.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = if input.flag() { 64 } else { 1 << 20 };
    let cuts = usize::from(input.below(16));
    let pieces: Vec<usize> = input.take(cuts).iter().map(|len| usize::from(*len).max(1)).collect();
    let stream = input.rest();

    let whole = read(limit, stream, &[], false);
    let cut = read(limit, stream, &pieces, false);
    assert_eq!(whole.events, cut.events, "cutting the bytes changed the events");
    assert_eq!((whole.failed, &whole.tail), (cut.failed, &cut.tail), "cutting the bytes changed the end");
    let split = read(limit, stream, &pieces, true);
    if !whole.failed {
        assert_eq!(said(&whole), said(&split), "taking comments early changed the events");
        assert_eq!(said(&whole), standard(stream), "another reader sees other events");
    }
    for read in [whole, cut, split] {
        assert_eq!(read.bytes, stream, "bytes were lost, or made");
    }
}

#[derive(Default)]
struct Read {
    events: Vec<SseEvent>,
    /// The event that only lacks its blank line.
    tail: Option<SseEvent>,
    failed: bool,
    /// All bytes that came out, in order.
    bytes: Vec<u8>,
}

fn read(limit: usize, stream: &[u8], pieces: &[usize], comments_early: bool) -> Read {
    let mut read = Read::default();
    let mut decoder = Decoder::new(limit);
    let mut rest = stream;
    let mut lens = pieces.iter().copied().cycle();
    while !rest.is_empty() && !read.failed {
        let (piece, after) = rest.split_at(lens.next().unwrap_or(rest.len()).min(rest.len()));
        rest = after;
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next() {
                Ok(Some(event)) => {
                    read.bytes.extend_from_slice(&event.raw);
                    read.events.push(event);
                }
                Ok(None) => break,
                Err(_) => {
                    read.failed = true;
                    break;
                }
            }
        }
        if comments_early && !read.failed {
            read.bytes.extend_from_slice(&decoder.take_ignored().unwrap_or_default());
        }
    }
    let tail = decoder.finish();
    assert!(tail.event.is_none() || !tail.cut, "an event that is whole and cut");
    read.bytes.extend(tail.event.iter().flat_map(|event| event.raw.iter()));
    read.bytes.extend_from_slice(&tail.rest);
    read.bytes.extend_from_slice(rest);
    read.tail = tail.event;
    read
}

type Said = Vec<(Option<Vec<u8>>, Vec<u8>)>;

fn said(read: &Read) -> Said {
    let events = read.events.iter().chain(&read.tail);
    events.map(|event| (event.name.as_ref().map(|name| name.to_vec()), event.data.to_vec())).collect()
}

/// The events by the letter of the standard, but for the last one, which may lack its blank line.
fn standard(stream: &[u8]) -> Said {
    let mut rest = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let (mut events, mut name, mut data) = (Vec::new(), None, None::<Vec<u8>>);
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = &rest[..end];
        let two = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(two)..];
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match field {
            _ if line.is_empty() => {
                let name = name.take();
                events.extend(data.take().map(|data| (name, data)));
            }
            b"event" => name = Some(value),
            b"data" => match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(&value);
                }
                None => data = Some(value),
            },
            _ => {}
        }
    }
    if rest.is_empty() {
        events.extend(data.map(|data| (name, data)));
    }
    events
}
