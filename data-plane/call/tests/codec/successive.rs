//! An event says the same whatever came before it: that it looks like the last one is a short cut, and nothing else.

use bytes::Bytes;
use luthien_call::{dialect::ResponseDecoder, sse};
use luthien_proto::{Event, request::Dialect};
use proptest::{collection::vec, option, prelude::*, sample::Index};

use crate::{generate, stream};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

/// Pieces of text, as JSON.
const TEXTS: [&str; 9] = [
    "\"\"",
    "\"a\"",
    "\"of prose\"",
    "\"{}\"",
    "\"content\"",
    "\"text\"",
    "\"\\u0041 \\\" \\ud83d\\ude00\"",
    "\"é\"",
    " \"b\"",
];

/// What stands in place of anything: other values of JSON, pieces of it, and what is no JSON at all.
const WILD: [&str; 11] =
    ["{}", "null", "7", "[]", "\"\\ud800\"", "\"a\",\"b\":\"c\"", "\"a\\", "\"a\"b\"", "\"", " ", ""];

/// The fields that have a piece of text; `partial_json` and the arguments of calls have JSON, of any sort.
const FIELDS: [&str; 5] = ["\"content\":", "\"text\":", "\"thinking\":", "\"partial_json\":", "\"arguments\":"];

/// What only an event has that goes on.
const DELTAS: [&str; 3] = ["\"content_block_delta\"", "\"content\":", "\"arguments\":"];

/// The data of an SSE event, and its name.
type Data = (Option<String>, Vec<u8>);

/// The first string that is the value of such a field, replaced.
fn with_text(data: &[u8], text: &str) -> Vec<u8> {
    let data = str::from_utf8(data).unwrap();
    let begins = FIELDS.iter().filter_map(|field| Some(data.find(&format!("{field}\""))? + field.len())).min();
    let Some(from) = begins else { return data.into() };
    let value = serde_json::Deserializer::from_str(&data[from..]).into_iter::<String>().next();
    let len = serde_json::to_string(&value.unwrap().unwrap()).unwrap().len();
    if data.get(from..from + len).is_none_or(|value| !value.ends_with('"')) {
        return data.into();
    }
    format!("{}{text}{}", &data[..from], &data[from + len..]).into()
}

/// With a field that hides the length.
fn padded(data: &[u8], padding: &str) -> Vec<u8> {
    match data.strip_suffix(b"}") {
        Some(data) => [data, format!(",\"obfuscation\":{padding}}}").as_bytes()].concat(),
        None => data.to_vec(),
    }
}

/// With some bytes replaced.
fn wild(data: &[u8], (at, len, piece): (Index, usize, &str)) -> Vec<u8> {
    let quotes: Vec<usize> = (0..data.len()).filter(|at| data[*at] == b'"').collect();
    let (from, to) = match quotes.get(at.index(quotes.len().max(1))..) {
        // From one quote to the next.
        Some([from, to, ..]) if len == 0 => (*from, *to + 1),
        _ => (at.index(data.len() + 1), (at.index(data.len() + 1) + len).min(data.len())),
    };
    [&data[..from], piece.as_bytes(), &data[to..]].concat()
}

fn events(dialect: Dialect, response: &[Event]) -> Vec<Data> {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(stream::encode(dialect, response));
    let next = || decoder.next().unwrap();
    std::iter::from_fn(next).map(|event| (event.name().unwrap().map(str::to_owned), event.data.to_vec())).collect()
}

/// Decodes them one after the other, until one can't be.
fn decode(dialect: Dialect, events: &[Data]) -> Vec<Option<(Vec<Event>, bool)>> {
    let mut decoder = ResponseDecoder::new(dialect);
    let mut decoded = Vec::new();
    for (name, data) in events {
        let steps = decoder.event(name.as_deref(), &Bytes::copy_from_slice(data)).ok();
        let is_read = steps.is_some();
        decoded.push(steps.map(|steps| (steps, decoder.take_ambiguous())));
        if !is_read {
            break;
        }
    }
    decoded
}

proptest! {
    #[test]
    fn an_event_that_is_like_the_last_one_is_read_as_if_it_were_not(
        (dialect, response) in prop::sample::select(&DIALECTS[..])
            .prop_flat_map(|dialect| generate::response(dialect).prop_map(move |events| (dialect, events))),
        texts in vec(vec(prop::sample::select(&TEXTS[..]), 0..4), 40),
        paddings in option::of(vec("\"[a-z]{0,5}\"", 40)),
        last in (any::<Index>(), any::<Index>(), 0_usize..4, prop::sample::select(&WILD[..])),
    ) {
        let mut all = Vec::new();
        for (at, (name, data)) in events(dialect, &response).into_iter().enumerate() {
            let again = texts[at % texts.len()].iter().map(|text| (name.clone(), with_text(&data, text)));
            let again: Vec<Data> = again.collect();
            // What begins or ends something can't come again.
            let is_delta = DELTAS.iter().any(|word| data.windows(word.len()).any(|piece| piece == word.as_bytes()));
            all.push((name, data));
            all.extend(again.into_iter().filter(|_| is_delta));
        }
        if let Some(paddings) = &paddings {
            for ((_, data), padding) in all.iter_mut().zip(paddings.iter().cycle()) {
                *data = padded(data, padding);
            }
        }
        let (at, place, len, piece) = last;
        all.truncate(at.index(all.len()) + 1);
        if let Some((name, data)) = all.last().cloned() {
            all.push((name, wild(&data, (place, len, piece))));
        }
        // White space in front means nothing, and makes each unlike the last.
        let unlike = |(at, (name, data)): (usize, &Data)| (name.clone(), [&b" ".repeat(at), &data[..]].concat());
        let unlike: Vec<Data> = all.iter().enumerate().map(unlike).collect();
        prop_assert_eq!(decode(dialect, &all), decode(dialect, &unlike));
    }
}

/// The text of a call that is told as an object is not where a string says the same, whatever that is called.
#[test]
fn only_the_string_that_was_read_is_taken_for_the_text() {
    let chunk = |begins: &str, repeated: &str| {
        let call = format!(r#"{{"index":0,{begins}"function":{{"name":"f","arguments":{{}}}}}}"#);
        let choice = format!(r#"{{"index":0,"delta":{{"tool_calls":[{call}]}}}}"#);
        (None, format!(r#"{{"id":"i",{repeated},"choices":[{choice}]}}"#).into_bytes())
    };
    for repeated in [r#""model":"#, r#""model":"m","provider":{"content":"#] {
        let end = if repeated.contains('{') { "}" } else { "" };
        let says = |text: &str| format!("{repeated}\"{text}\"{end}");
        let begun = chunk(r#""id":"c","type":"function","#, &says("{}"));
        let decoded = decode(
            Dialect::OpenAiChat,
            &[begun, chunk("", &says("{}")), chunk("", &says("{}")), chunk("", &says("evil"))],
        );
        let said: Vec<String> = decoded.iter().map(|read| format!("{:?}", read.as_ref().unwrap().0)).collect();
        assert!(said[1].contains("Arguments(\"{}\")") && said[1] == said[2], "{}", said[1]);
        assert!(said[3].contains("Arguments(\"{}\")") && said[3].contains("evil"), "{}", said[3]);
    }
}
