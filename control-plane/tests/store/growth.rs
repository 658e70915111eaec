//! The record grows with what is new in a session, and not with the square of it.

use luthien_control_plane::record::{Store as _, Summary};
use luthien_policy::{BlockEntry, ContentEntry, Deltas, Entry, EntryBody};
use serde_json::{Value, json};

use crate::{
    conformance::{call, id},
    faults::Plane,
    messages::entry,
};

/// Words that are drawn the same each time.
struct Words(u64);

impl Words {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// A text of about so many bytes, of as many different words as a programme has.
    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            let word = self.next(3_000);
            text.push_str(&format!("{:x} ", word.wrapping_mul(0x9e37_79b9)));
        }
        text
    }
}

/// An agent at work: each turn calls a tool, and gets 1 to 4 kB from it.
struct Agent {
    words: Words,
    system: Value,
    tools: Value,
    messages: Vec<Value>,
}

impl Agent {
    fn new() -> Self {
        let mut words = Words(7);
        let tool = |words: &mut Words, n: usize| {
            let properties =
                json!({"path": {"type": "string", "description": words.text(100)}, "limit": {"type": "integer"}});
            let schema = json!({"type": "object", "properties": properties, "required": ["path"]});
            json!({"name": format!("tool_{n}"), "description": words.text(600), "function": {"schema": schema}})
        };
        let tools = (0..15).map(|n| tool(&mut words, n)).collect();
        let system = json!([{"text": words.text(8_000)}]);
        let messages = vec![json!({"role": "user", "content": [{"text": words.text(300)}]})];
        Self { words, system, tools, messages }
    }

    fn request(&self) -> Value {
        json!({"stream": true, "system": self.system, "messages": self.messages, "tools": self.tools})
    }

    /// What the model says, and what it is told then.
    fn turn(&mut self) -> [EntryBody; 2] {
        let text = self.words.text(250);
        let arguments = json!({"path": self.words.text(60), "limit": self.words.next(500)}).to_string();
        let bytes = 1_000 + usize::try_from(self.words.next(3_000)).unwrap();
        let result = json!({"id": "toolu_1", "content": [{"text": self.words.text(bytes)}]});
        let called = json!({"id": "toolu_1", "name": "tool_3", "form": "function", "arguments": arguments});
        self.messages.push(json!({"role": "assistant", "content": [{"text": text}, {"tool_call": called}]}));
        self.messages.push(json!({"role": "user", "content": [{"tool_result": result}]}));
        let said = ContentEntry { text: Some(text), ..ContentEntry::default() };
        let called = ContentEntry { arguments: Some(arguments), ..ContentEntry::default() };
        [block("text", said), block("tool_call", called)]
    }
}

fn block(kind: &'static str, content: ContentEntry) -> EntryBody {
    // About as many chunks as there are tokens.
    let length = content.text.as_ref().or(content.arguments.as_ref()).map_or(0, String::len);
    let deltas: Vec<Value> = (0..length / 4).map(|n| json!([1, 9_000 + 7 * n, 4])).collect();
    let deltas: Deltas = serde_json::from_value(deltas.into()).unwrap();
    EntryBody::Block(Box::new(BlockEntry {
        choice: 0,
        block: 0,
        kind,
        tool: None,
        first: 2,
        last: 90,
        arrived_us: 0,
        stopped: true,
        unchanged: true,
        original: Some(content.clone()),
        settled: Some(content),
        deltas,
    }))
}

#[tokio::test]
async fn a_session_grows_in_a_line() {
    let plane = Plane::new().await;
    let empty = plane.store.extent().await.unwrap().bytes;
    let (mut agent, mut naive, mut bytes) = (Agent::new(), 0, Vec::new());
    for turn in 1..=200_u32 {
        let n = u128::from(turn);
        let mut record = plane.recorder.call(Summary { session: Some("s".into()), ..call(n) });
        let request = EntryBody::Request(entry(agent.request()));
        for (at_us, body) in (0..).zip([request].into_iter().chain(agent.turn())) {
            naive += serde_json::to_string(&body).unwrap().len() as u64;
            record.push(Entry { at_us, body });
        }
        record.close().await.unwrap();
        if [50, 100, 200].contains(&turn) {
            let kept = plane.store.extent().await.unwrap().bytes - empty;
            println!("{turn} turns: {kept} bytes kept, {naive} said, {:.1} times", naive as f64 / kept as f64);
            bytes.push(kept);
        }
    }
    assert!(bytes[1] * 10 < bytes[0] * 23 && bytes[2] * 10 < bytes[1] * 23, "{bytes:?}");
    assert!(bytes[2] * 20 < naive, "{bytes:?} of {naive}");
    let last = plane.store.call(id(200)).await.unwrap().unwrap();
    let request: Value = last.entries[0].body.parse().unwrap();
    assert_eq!(request["request"]["messages"].as_array().unwrap().len(), 399);
}
