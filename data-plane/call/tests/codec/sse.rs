//! The SSE decoder against a naive reading of the whole input, however it is cut.

use bytes::{Bytes, BytesMut};
use expect_test::{Expect, expect};
use luthien_call::sse::{Decoder, Error, SseEvent, Tail, write};
use proptest::{collection::vec, prelude::*, sample::Index};

/// All events of these reads, and the end.
fn read(reads: &[&[u8]]) -> (Vec<SseEvent>, Tail) {
    let mut decoder = Decoder::new(1 << 16);
    let mut events = Vec::new();
    for read in reads {
        decoder.push(Bytes::copy_from_slice(read));
        while let Some(event) = decoder.next().unwrap() {
            events.push(event);
        }
    }
    let tail = decoder.finish();
    (events, tail)
}

fn check(input: &str, expect: Expect) {
    let (events, tail) = read(&[input.as_bytes()]);
    let shown = |event: &SseEvent| {
        let plain = if event.plain { "" } else { " (not plain)" };
        format!("{:?}: {:?}{plain}\n", event.name().unwrap(), String::from_utf8_lossy(&event.data))
    };
    let mut out: String = events.iter().map(shown).collect();
    if let Some(event) = &tail.event {
        out.push_str(&format!("last {}", shown(event)));
    }
    if !tail.rest.is_empty() {
        out.push_str(&format!("rest {:?}\n", String::from_utf8_lossy(&tail.rest)));
    }
    if tail.cut {
        out.push_str("cut\n");
    }
    expect.assert_eq(&out);
}

#[test]
fn fields_and_line_ends() {
    check(
        "data: a\n\ndata:b\r\n\r\ndata:  c\r\r",
        expect![[r#"
        None: "a"
        None: "b"
        None: " c"
    "#]],
    );
    check(
        "event: x\ndata: a\ndata: b\n\nevent\ndata\n\n",
        expect![[r#"
        Some("x"): "a\nb"
        Some(""): ""
    "#]],
    );
    check(
        "event: x\n\ndata\n\nda",
        expect![[r#"
        None: "" (not plain)
        rest "da"
        cut
    "#]],
    );
}

#[test]
fn what_is_not_plain() {
    check(
        ": c\ndata: a\n\n",
        expect![[r#"
        None: "a" (not plain)
    "#]],
    );
    check(
        ": c\n\ndata: a\n\n",
        expect![[r#"
        None: "a" (not plain)
    "#]],
    );
    check(
        "id: 1\ndata: a\n\n",
        expect![[r#"
        None: "a" (not plain)
    "#]],
    );
    check(
        "retry: 1\ndata: a\n\n",
        expect![[r#"
        None: "a" (not plain)
    "#]],
    );
    check(
        "event: a\nevent: b\ndata: a\n\n",
        expect![[r#"
        Some("b"): "a" (not plain)
    "#]],
    );
    check(
        "\u{feff}data: a\n\ndata: b\n\n\u{feff}data: c\n\n",
        expect![[r#"
        None: "a" (not plain)
        None: "b"
        rest "\u{feff}data: c\n\n"
    "#]],
    );
    check(
        "\ndata: a\n\n",
        expect![[r#"
        None: "a" (not plain)
    "#]],
    );
}

#[test]
fn the_end_of_the_bytes() {
    check(
        "data: a\n",
        expect![[r#"
        last None: "a" (not plain)
    "#]],
    );
    check(
        "data: a",
        expect![[r#"
        rest "data: a"
        cut
    "#]],
    );
    check(
        "data: a\r\n\r",
        expect![[r#"
        last None: "a"
    "#]],
    );
    check(
        ": bye\n\n",
        expect![[r#"
        rest ": bye\n\n"
    "#]],
    );
    check(
        "event: x\n",
        expect![[r#"
        rest "event: x\n"
        cut
    "#]],
    );
    check("", expect![[""]]);
}

#[test]
fn an_event_over_the_limit_is_refused_before_it_is_whole() {
    let mut decoder = Decoder::new(9);
    decoder.push(Bytes::from_static(b"data: a\n\ndata: "));
    assert_eq!(decoder.next().unwrap().unwrap().data, "a");
    assert_eq!(decoder.next(), Ok(None));
    decoder.push(Bytes::from_static(b"bcd"));
    assert_eq!(decoder.next(), Ok(None));
    decoder.push(Bytes::from_static(b"e"));
    assert_eq!(decoder.next(), Err(Error::TooLarge { limit: 9 }));
    assert_eq!(decoder.next(), Err(Error::TooLarge { limit: 9 }));
    assert_eq!(decoder.finish(), Tail { event: None, rest: Bytes::from_static(b"data: bcde"), cut: true });
}

#[test]
fn comments_can_be_taken_before_their_event() {
    let mut decoder = Decoder::new(64);
    decoder.push(Bytes::from_static(b": a\n\n: b\nda"));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.take_ignored(), Some(Bytes::from_static(b": a\n\n: b\n")));
    assert_eq!(decoder.take_ignored(), None);
    decoder.push(Bytes::from_static(b"ta: x\n\n"));
    let event = decoder.next().unwrap().unwrap();
    assert_eq!((&event.raw[..], event.plain), (&b"data: x\n\n"[..], true));
}

#[test]
fn data_of_one_line_is_a_slice_of_the_read() {
    let read = Bytes::from_static(b"data: one\n\ndata: two\n\n");
    let mut decoder = Decoder::new(64);
    decoder.push(read.clone());
    for at in [6, 17] {
        let event = decoder.next().unwrap().unwrap();
        assert_eq!(event.data.as_ptr(), read[at..].as_ptr());
    }
}

#[test]
fn what_is_written_is_plain() {
    let mut out = BytesMut::new();
    write(&mut out, Some("x"), b"a\nb");
    write(&mut out, None, b"");
    check(
        &String::from_utf8_lossy(&out),
        expect![[r#"
        Some("x"): "a\nb"
        None: ""
    "#]],
    );
}

/// WHATWG HTML, section 9.2.6, read slowly; the last event may lack its blank line.
fn naive(input: &[u8]) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let mut text = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let mut events = Vec::new();
    let mut name = None;
    let mut data: Option<Vec<u8>> = None;
    while let Some(at) = text.iter().position(|byte| b"\r\n".contains(byte)) {
        let line = &text[..at];
        text = &text[at + if text[at..].starts_with(b"\r\n") { 2 } else { 1 }..];
        if line.is_empty() {
            events.extend(data.take().map(|data| (name.take(), data)));
            name = None;
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let value = colon.map_or(&b""[..], |colon| &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon.unwrap_or(line.len())] {
            b"event" => name = Some(value.to_vec()),
            b"data" => data = Some(data.map_or(value.to_vec(), |data| [&data[..], b"\n", value].concat())),
            _ => {}
        }
    }
    events.extend(data.filter(|_| text.is_empty()).map(|data| (name, data)));
    events
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "\n",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\r\n\r\n",
        "data",
        "data:",
        "data: ",
        "event: ",
        "id: 1",
        "retry: 1",
        ":",
        " ",
        "x",
        "é",
        "\u{feff}",
        "{\"a\":1}",
    ]);
    (any::<bool>(), vec(token, 0..40)).prop_map(|(bom, tokens)| {
        let text = if bom { "\u{feff}" } else { "" }.to_owned() + &tokens.concat();
        text.into_bytes()
    })
}

fn cut<'a>(input: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(input in input(), cuts in vec(any::<Index>(), 0..12)) {
        let whole = read(&[&input]);
        let pieces = read(&cut(&input, &cuts));
        prop_assert_eq!(&whole, &pieces);
    }

    #[test]
    fn the_events_are_those_of_the_specification(input in input()) {
        let (events, tail) = read(&[&input]);
        let found: Vec<_> =
            events.iter().chain(&tail.event).map(|event| (event.name.as_deref().map(<[u8]>::to_vec), event.data.to_vec())).collect();
        prop_assert_eq!(found, naive(&input));
    }

    #[test]
    fn no_byte_is_lost_or_repeated(input in input(), cuts in vec(any::<Index>(), 0..12), takes in any::<u16>()) {
        let mut decoder = Decoder::new(1 << 16);
        let mut out = Vec::new();
        let mut found = Vec::new();
        for (at, read) in cut(&input, &cuts).into_iter().enumerate() {
            decoder.push(Bytes::copy_from_slice(read));
            while let Some(event) = decoder.next().unwrap() {
                out.extend_from_slice(&event.raw);
                found.push((event.name.map(|name| name.to_vec()), event.data.to_vec()));
            }
            if takes & (1 << at) != 0 {
                out.extend(decoder.take_ignored().into_iter().flatten());
            }
        }
        let tail = decoder.finish();
        if let Some(event) = &tail.event {
            out.extend_from_slice(&event.raw);
            found.push((event.name.as_deref().map(<[u8]>::to_vec), event.data.to_vec()));
        }
        out.extend_from_slice(&tail.rest);
        prop_assert_eq!(out, input.clone());
        prop_assert_eq!(found, naive(&input));
    }
}
