//! What is done once per chunk in the control plane's core. Timed by `cargo xtask bench --micro`; `cargo xtask bench
//! --instructions` runs them one by one, under valgrind.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't go on ends")]

use std::{env, sync::Arc};

use bytes::Bytes;
use divan::{Bencher, black_box};
use luthien_policy::{Output, PolicySet, PolicySetConfig, Session};
use luthien_proto::{
    Chunk, Event, Request, Step, ToService,
    codec::Encoded,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Started},
    json::Extras,
    message::CallStarted,
    request::Dialect,
    wire,
};
use prost::Message as _;
use serde_json::{Value, json};

/// What a provider says with each delta, and the canonical call has no place for.
const EXTRAS: &str = r#"{"chunk":{"obfuscation":"aZ3xPq"}}"#;

/// Does its work for one chunk.
type Path = Box<dyn FnMut()>;

/// Makes one ready.
type Begin = fn() -> Path;

const PATHS: [(&str, Begin); 8] = [
    ("enforce: a delta passed, from its message to the verdict's, 5 B", || enforce(5)),
    ("enforce: a delta passed, from its message to the verdict's, 2 kB", || enforce(2000)),
    ("string_replacement: a delta without the word, 5 B", || replacement("#never#", false, 5)),
    ("string_replacement: a delta without the word, 2 kB", || replacement("#never#", false, 2000)),
    ("string_replacement: a delta with the word, 5 B", || replacement("few", false, 10)),
    ("string_replacement: a delta with the word, 2 kB", || replacement("few", false, 2000)),
    ("string_replacement: capitals kept, without the word, 5 B", || replacement("#never#", true, 5)),
    ("string_replacement: three in a row, without the word, 5 B", || pipeline(3)),
];

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list", ..] => PATHS.iter().for_each(|(name, _)| println!("{name}")),
        ["run", name, chunks, ..] => {
            let mut path = begin(name);
            (0..chunks.parse::<u64>().unwrap()).for_each(|_| path());
        }
        _ => divan::main(),
    }
}

#[divan::bench(args = PATHS.map(|(name, _)| name))]
fn chunk(bencher: Bencher<'_, '_>, name: &str) {
    bencher.bench_local(begin(name));
}

fn begin(name: &str) -> Path {
    let (_, begin) = PATHS.into_iter().find(|(known, _)| *known == name).unwrap();
    begin()
}

fn replacement(word: &str, match_capitalization: bool, bytes: usize) -> Path {
    session(policies(&[replacing(word, match_capitalization)]), bytes)
}

fn pipeline(length: usize) -> Path {
    session(policies(&vec![replacing("#never#", false); length]), 5)
}

fn replacing(word: &str, match_capitalization: bool) -> Value {
    json!({"replacements": [[word, "some"]], "match_capitalization": match_capitalization})
}

/// A pipeline of replacements.
fn policies(replacements: &[Value]) -> Arc<PolicySet> {
    let policy = |(i, config)| json!({"name": format!("p{i}"), "kind": "string_replacement", "config": config});
    let policies: Vec<Value> = replacements.iter().enumerate().map(policy).collect();
    let pipeline: Vec<&Value> = policies.iter().map(|policy| &policy["name"]).collect();
    let config: PolicySetConfig = serde_json::from_value(json!({"policies": policies, "pipeline": pipeline})).unwrap();
    Arc::new(PolicySet::build(config).unwrap())
}

/// A message of one delta, as it comes over the wire, until the verdict is ready to go back.
fn enforce(bytes: usize) -> Path {
    let mut session = Session::begin(policies(&[replacing("#never#", false)]), started());
    let mut written = Vec::with_capacity(4096);
    let mut tell = move |message: &wire::EnforceRequest| {
        let message = Encoded::from(Bytes::from(message.encode_to_vec()));
        session.handle(message.decode().unwrap()).unwrap();
        while let Some(output) = session.poll() {
            if let Output::Say(said) = output {
                written.clear();
                wire::EnforceResponse::from(said).encode(&mut written).unwrap();
                black_box(&written);
            }
        }
    };
    let [first, second] = beginning();
    tell(&message(1, first));
    tell(&message(2, second));
    let extras = Extras::from_text(EXTRAS).unwrap();
    let mut next = message(3, Event { extras, ..delta(bytes) });
    Box::new(move || {
        tell(&next);
        if let Some(wire::enforce_request::Message::Chunks(chunks)) = &mut next.message {
            chunks.chunks[0].seq += 1;
        }
    })
}

fn message(seq: u64, event: Event) -> wire::EnforceRequest {
    ToService::Chunks(vec![Chunk { seq, arrived_us: seq, event }]).into()
}

/// A session in the midst of a text, a batch of one delta after the other.
fn session(policies: Arc<PolicySet>, bytes: usize) -> Path {
    let mut session = Session::begin(policies, started());
    let mut seq = 0;
    let mut tell = move |event: Event| {
        seq += 1;
        session.handle(ToService::Chunks(vec![Chunk { seq, arrived_us: seq, event }])).unwrap();
        while let Some(output) = session.poll() {
            assert!(!matches!(output, Output::Ended));
            black_box(output);
        }
    };
    beginning().into_iter().for_each(&mut tell);
    let delta = delta(bytes);
    Box::new(move || tell(delta.clone()))
}

/// What comes before the first delta.
fn beginning() -> [Event; 2] {
    let block = BlockStarted { block: BlockKey(0), choice: 0, kind: BlockKind::Text };
    [Step::Started(Started::default()).into(), Step::BlockStarted(block).into()]
}

fn delta(bytes: usize) -> Event {
    let text = "a few words of prose, ".chars().cycle().take(bytes).collect();
    Step::BlockDelta(BlockDelta { block: BlockKey(0), delta: Delta::Text(text) }).into()
}

fn started() -> CallStarted {
    CallStarted {
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        call_id: "0198c9a5-7e4c-7000-8000-000000000001".parse().unwrap(),
        started_at_us: 1_700_000_000_000_000,
        dialect: Dialect::OpenAiChat,
        upstream_dialect: Dialect::OpenAiChat,
        upstream: "u".into(),
        route: "*".into(),
        upstream_model: "m".into(),
        client: String::new(),
        request: Request { model: "m".into(), stream: true, choices: 1, ..Request::default() },
    }
}
