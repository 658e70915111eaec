//! What is done once per chunk in the control plane's core. Timed by `cargo xtask bench --micro`; `cargo xtask bench
//! --instructions` runs them one by one, under valgrind.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't go on ends")]

use std::{env, sync::Arc};

use divan::{Bencher, black_box};
use luthien_policy::{Output, PolicySet, PolicySetConfig, Session};
use luthien_proto::{
    Chunk, Event, Request, Step, ToService,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Started},
    message::CallStarted,
    request::Dialect,
};
use serde_json::{Value, json};

/// Does its work for one chunk.
type Path = Box<dyn FnMut()>;

/// Makes one ready.
type Begin = fn() -> Path;

const PATHS: [(&str, Begin); 6] = [
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
    let config = json!({"replacements": [[word, "some"]], "match_capitalization": match_capitalization});
    session(&[json!({"name": "p", "kind": "string_replacement", "config": config})], bytes)
}

fn pipeline(policies: usize) -> Path {
    let policy = |i| {
        let config = json!({"replacements": [["#never#", "some"]]});
        json!({"name": format!("p{i}"), "kind": "string_replacement", "config": config})
    };
    session(&(0..policies).map(policy).collect::<Vec<_>>(), 5)
}

/// A session in the midst of a text, a batch of one delta after the other.
fn session(policies: &[Value], bytes: usize) -> Path {
    let pipeline: Vec<&Value> = policies.iter().map(|policy| &policy["name"]).collect();
    let config: PolicySetConfig = serde_json::from_value(json!({"policies": policies, "pipeline": pipeline})).unwrap();
    let mut session = Session::begin(Arc::new(PolicySet::build(config).unwrap()), started());
    let mut seq = 0;
    let mut tell = move |event: Event| {
        seq += 1;
        session.handle(ToService::Chunks(vec![Chunk { seq, arrived_us: seq, event }])).unwrap();
        while let Some(output) = session.poll() {
            assert!(!matches!(output, Output::Ended));
            black_box(output);
        }
    };
    let block = BlockKey(0);
    tell(Step::Started(Started::default()).into());
    tell(Step::BlockStarted(BlockStarted { block, choice: 0, kind: BlockKind::Text }).into());
    let text: String = "a few words of prose, ".chars().cycle().take(bytes).collect();
    let delta: Event = Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }).into();
    Box::new(move || tell(delta.clone()))
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
