//! How an upstream spells its JSON makes no difference: with escapes or without, with white space, in whatever order.

use bytes::{Bytes, BytesMut};
use luthien_call::sse;
use luthien_proto::{json, request::Dialect};
use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use crate::{generate, stream};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

/// What is spelled otherwise, and whether the fields of an event come in reverse.
#[derive(Debug)]
struct Spelling {
    odd: Vec<bool>,
    at: usize,
    reversed: bool,
}

impl Spelling {
    fn is_odd(&mut self) -> bool {
        self.at += 1;
        self.odd[self.at % self.odd.len()]
    }

    fn event(&mut self, value: &Value) -> String {
        let Value::Object(fields) = value else { return self.value(value) };
        let mut fields: Vec<_> = fields.iter().collect();
        if self.reversed {
            fields.reverse();
        }
        self.fields(&fields)
    }

    fn value(&mut self, value: &Value) -> String {
        let text = match value {
            Value::Object(fields) => self.fields(&fields.iter().collect::<Vec<_>>()),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.value(item)).collect();
                format!("[{}]", items.join(","))
            }
            Value::String(text) => self.text(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        };
        if self.is_odd() { format!("\t {text} ") } else { text }
    }

    fn fields(&mut self, fields: &[(&String, &Value)]) -> String {
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| format!("{}:{}", self.text(key), self.value(value))).collect();
        format!("{{{}}}", fields.join(","))
    }

    fn text(&mut self, text: &str) -> String {
        if !self.is_odd() {
            return Value::from(text).to_string();
        }
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{escaped}\"")
    }
}

fn spelling() -> impl Strategy<Value = Spelling> {
    (vec(any::<bool>(), 1..40), any::<bool>()).prop_map(|(odd, reversed)| Spelling { odd, at: 0, reversed })
}

fn respelled(stream: &Bytes, spelling: &mut Spelling) -> Bytes {
    let mut events = sse::Decoder::new(1 << 20);
    let mut out = BytesMut::new();
    events.push(stream.clone());
    while let Some(event) = events.next().unwrap() {
        let data = json::parse(&event.data).map(|value| spelling.event(&value));
        let data = data.map_or(event.data.clone(), Bytes::from);
        sse::write(&mut out, event.name().unwrap(), &data);
    }
    out.freeze()
}

proptest! {
    #[test]
    fn a_response_says_the_same_however_it_is_spelled(
        (dialect, events) in prop::sample::select(&DIALECTS[..])
            .prop_flat_map(|dialect| generate::response(dialect).prop_map(move |events| (dialect, events))),
        mut spelling in spelling(),
    ) {
        let plain = stream::encode(dialect, &events);
        let odd = respelled(&plain, &mut spelling);
        prop_assert_eq!(stream::decode(dialect, &odd), stream::decode(dialect, &plain));
    }
}
