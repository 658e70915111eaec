//! What the lines of one block say.

use bytes::{Bytes, BytesMut};

use super::{SseEvent, scan::line_len};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The length of the byte order mark that a stream may begin with.
pub(super) fn bom(block: &[u8], first: bool) -> usize {
    if first && block.starts_with(BOM) { BOM.len() } else { 0 }
}

/// The event that the block from `start` on dispatches. It has data, or it is none.
pub(super) fn event(raw: &Bytes, start: usize, bom: usize) -> Option<SseEvent> {
    let mut name = None;
    let mut data = Data::None;
    let mut plain = start + bom == 0;
    let mut blank = false;
    for line in Lines::new(raw, start + bom) {
        plain &= !blank;
        match field(line.bytes) {
            Field::Blank => blank = true,
            Field::Data(at) => data.add(raw.slice(line.start + at..line.start + line.bytes.len())),
            Field::Event(at) => {
                plain &= name.is_none();
                name = Some(raw.slice(line.start + at..line.start + line.bytes.len()));
            }
            Field::Other => plain = false,
        }
    }
    Some(SseEvent { raw: raw.clone(), name, data: data.join()?, plain: plain && blank })
}

/// How many of these bytes are whole lines that are blank or comments, before the first that is neither.
pub(super) fn leading_comments(bytes: &[u8]) -> usize {
    let mut len = 0;
    for line in Lines::new(bytes, 0) {
        let is_comment = line.bytes.is_empty() || line.bytes.starts_with(b":");
        // A CR at the end may be half of a line end.
        if !is_comment || !line.ended || bytes[..line.end].ends_with(b"\r") && line.end == bytes.len() {
            break;
        }
        len = line.end;
    }
    len
}

enum Field {
    Blank,
    /// The value begins at that byte.
    Data(usize),
    Event(usize),
    /// Comments, `id`, `retry`, and whatever has no meaning.
    Other,
}

fn field(line: &[u8]) -> Field {
    if line.is_empty() {
        return Field::Blank;
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let value = match colon {
        Some(at) => at + 1 + usize::from(line.get(at + 1) == Some(&b' ')),
        None => line.len(),
    };
    match &line[..colon.unwrap_or(line.len())] {
        b"data" => Field::Data(value),
        b"event" => Field::Event(value),
        _ => Field::Other,
    }
}

enum Data {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn add(&mut self, line: Bytes) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + 1 + line.len());
                joined.extend_from_slice(&first);
                Self::Many(joined).with(&line)
            }
            many @ Self::Many(_) => many.with(&line),
        };
    }

    fn with(mut self, line: &[u8]) -> Self {
        if let Self::Many(joined) = &mut self {
            joined.extend_from_slice(b"\n");
            joined.extend_from_slice(line);
        }
        self
    }

    fn join(self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(joined) => Some(joined.freeze()),
        }
    }
}

struct Line<'a> {
    start: usize,
    bytes: &'a [u8],
    /// Where the next line begins.
    end: usize,
    /// Whether it has a line end.
    ended: bool,
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let len = line_len(rest);
        let end = match &rest[len..] {
            [] => 0,
            [b'\r', b'\n', ..] => 2,
            _ => 1,
        };
        let start = self.at;
        self.at += len + end;
        Some(Line { start, bytes: &rest[..len], end: self.at, ended: end > 0 })
    }
}
