//! Server-sent events (WHATWG HTML §9.2.5–6), read from a complete body.

/// An SSE event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its `event:` line.
    pub name: Option<String>,
    /// Its `data:` lines, joined.
    pub data: String,
}

/// What may stand between SSE events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// Comment lines.
    Comments,
    /// Whatever the format has: comments, `id:`, `retry:`, a byte order mark. Only for bytes that are a provider's own.
    Anything,
}

/// Reads a complete body. Stricter than the format: unknown fields, events without data and an unfinished last event are
/// errors; so are `id:` lines, because the OpenAI SDK then takes each comment for an empty event.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(body: &[u8], between: Between) -> Result<Vec<Event>, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("not UTF-8: {error}"))?;
    let text = match (text.strip_prefix('\u{feff}'), between) {
        (None, _) => text,
        (Some(rest), Between::Anything) => rest,
        (Some(_), _) => return Err("a byte order mark".into()),
    };
    let mut reader = Reader { between, events: Vec::new(), name: None, data: None };
    for (number, line) in lines(text)?.into_iter().enumerate() {
        reader.line(line).map_err(|error| format!("line {}: {error}", number + 1))?;
    }
    match (reader.name, reader.data) {
        (None, None) => Ok(reader.events),
        (name, data) => Err(format!("cut in the middle of an SSE event: {name:?} {data:?}")),
    }
}

/// Cuts a body behind each blank line: the pieces joined are the body.
pub fn split(body: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 0..body.len() {
        let end = at + 1;
        let blank = ["\n\n", "\r\n\r\n", "\r\r"].iter().any(|blank| body[start..end].ends_with(blank.as_bytes()));
        if blank {
            pieces.push(&body[start..end]);
            start = end;
        }
    }
    if start < body.len() {
        pieces.push(&body[start..]);
    }
    pieces
}

/// Cuts a body behind the first SSE event in which the text stands.
///
/// # Panics
/// When it stands in none.
pub fn split_behind<'a>(body: &'a [u8], text: &str) -> (&'a [u8], &'a [u8]) {
    let mut end = 0;
    for piece in split(body) {
        end += piece.len();
        if String::from_utf8_lossy(piece).contains(text) {
            return body.split_at(end);
        }
    }
    panic!("{text:?} stands in no SSE event");
}

fn lines(text: &str) -> Result<Vec<&str>, String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        lines.push(&rest[..at]);
        rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
    }
    match rest {
        "" => Ok(lines),
        rest => Err(format!("cut in the middle of a line: {rest:?}")),
    }
}

struct Reader {
    between: Between,
    events: Vec<Event>,
    name: Option<String>,
    data: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, self.between) {
            ("event", _) if self.name.is_some() => Err("a second event: line".into()),
            ("event", _) => {
                self.name = Some(value.to_owned());
                Ok(())
            }
            ("data", _) => {
                match &mut self.data {
                    Some(data) => *data = format!("{data}\n{value}"),
                    data @ None => *data = Some(value.to_owned()),
                }
                Ok(())
            }
            ("", Between::Comments | Between::Anything) | ("id" | "retry", Between::Anything) => Ok(()),
            ("", Between::Nothing) => Err(format!("a comment: {line:?}")),
            _ => Err(format!("not an event: or data: line: {line:?}")),
        }
    }

    fn dispatch(&mut self) -> Result<(), String> {
        match (self.name.take(), self.data.take()) {
            (None, None) => Ok(()),
            (name, Some(data)) => {
                self.events.push(Event { name, data });
                Ok(())
            }
            (Some(name), None) => Err(format!("the SSE event {name:?} has no data")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, between: Between) -> Result<Vec<(Option<String>, String)>, String> {
        parse(body.as_bytes(), between).map(|events| events.into_iter().map(|event| (event.name, event.data)).collect())
    }

    #[test]
    fn every_line_ending_ends_a_line() {
        let wanted = vec![(Some("a".to_owned()), "1\n2".to_owned()), (None, " 3".to_owned())];
        for end in ["\n", "\r\n", "\r"] {
            let body = ["event: a", "data: 1", "data:2", "", "data:  3", "", ""].join(end);
            assert_eq!(read(&body, Between::Nothing).unwrap(), wanted, "{end:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        for (body, between, reason) in [
            ("data: 1\n", Between::Nothing, "cut in the middle of an SSE event"),
            ("data: 1\n\nda", Between::Nothing, "cut in the middle of a line"),
            (": hi\n\n", Between::Nothing, "line 1: a comment"),
            ("id: 1\ndata: 1\n\n", Between::Comments, "line 1: not an event: or data: line"),
            ("\u{feff}data: 1\n\n", Between::Comments, "a byte order mark"),
            ("event: a\n\n", Between::Comments, "has no data"),
            ("event: a\nevent: b\ndata: 1\n\n", Between::Comments, "a second event: line"),
            ("what: 1\n\n", Between::Comments, "not an event: or data: line"),
        ] {
            let error = read(body, between).unwrap_err();
            assert!(error.contains(reason), "{body:?}: {error}");
        }
        assert!(parse(b"data: \xff\n\n", Between::Anything).unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn a_providers_own_bytes_may_hold_whatever_the_format_has() {
        let body = "\u{feff}: hi\n\nid: 7\nretry: 10\ndata: 1\n\n";
        assert_eq!(read(body, Between::Anything).unwrap(), vec![(None, "1".to_owned())]);
    }

    #[test]
    fn a_body_is_cut_behind_blank_lines() {
        let pieces = split(b"data: 1\n\n: c\r\n\r\ndata: 2");
        assert_eq!(pieces, [&b"data: 1\n\n"[..], b": c\r\n\r\n", b"data: 2"]);
    }
}
