//! What is done once per chunk in the data plane. Timed by `cargo xtask bench --micro`; `cargo xtask bench --instructions`
//! runs them one by one, under valgrind.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a benchmark that can't go on ends"
)]

use std::{
    env,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use divan::{Bencher, black_box};
use luthien_call::{
    call::{Call, ConsultLimits, Content, Input, Limits, Output, Setup, Times, UpstreamHead},
    dialect::{ResponseDecoder, ResponseEncoder},
    sse,
};
use luthien_proto::{
    codec::Encoded,
    event::{Event, Kind},
    message::{
        Admission, AdmissionDecision, CallStarted, Decision, FailureMode, Forward, FromService, Interest, Level,
        Limits as ServiceLimits, Reply, ToService, Verdict,
    },
    request::{Dialect, Request},
};

/// Does its work for one chunk.
type Path = Box<dyn FnMut()>;

/// Makes one ready.
type Begin = fn() -> Path;

const PATHS: [(&str, Begin); 14] = [
    ("sse: read an event, 5 B", || read(5)),
    ("sse: read an event, 2 kB", || read(2000)),
    ("openai-chat: decode a delta, 5 B", || decode(Dialect::OpenAiChat, 5)),
    ("openai-chat: decode a delta, 2 kB", || decode(Dialect::OpenAiChat, 2000)),
    ("openai-chat: encode a delta, 5 B", || encode(Dialect::OpenAiChat, 5)),
    ("openai-chat: encode a delta, 2 kB", || encode(Dialect::OpenAiChat, 2000)),
    ("anthropic-messages: decode a delta, 5 B", || decode(Dialect::AnthropicMessages, 5)),
    ("anthropic-messages: decode a delta, 2 kB", || decode(Dialect::AnthropicMessages, 2000)),
    ("anthropic-messages: encode a delta, 5 B", || encode(Dialect::AnthropicMessages, 5)),
    ("anthropic-messages: encode a delta, 2 kB", || encode(Dialect::AnthropicMessages, 2000)),
    ("call: a chunk that nothing gates, 5 B", || call(Level::Record, 5, false)),
    ("call: a chunk gated and passed, 5 B", || call(Level::Gate, 5, false)),
    ("call: a chunk gated and passed, 2 kB", || call(Level::Gate, 2000, false)),
    ("call: a chunk gated and replaced, 5 B", || call(Level::Gate, 5, true)),
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

fn read(bytes: usize) -> Path {
    let event = delta(Dialect::OpenAiChat, bytes);
    let mut decoder = sse::Decoder::new(1 << 20);
    Box::new(move || {
        decoder.push(event.clone());
        black_box(decoder.next().unwrap().unwrap());
    })
}

fn decode(dialect: Dialect, bytes: usize) -> Path {
    let (mut decoder, event) = (decoder(dialect), event(&delta(dialect, bytes)));
    Box::new(move || {
        black_box(decoder.event(event.name().unwrap(), &event.data).unwrap());
    })
}

fn encode(dialect: Dialect, bytes: usize) -> Path {
    let mut out = BytesMut::with_capacity(1 << 16);
    let mut encoder = ResponseEncoder::new(dialect);
    let mut decoder = ResponseDecoder::new(dialect);
    for event in beginning(dialect) {
        steps(&mut decoder, &event).iter().for_each(|step| encoder.encode(step, &mut out));
    }
    encoder.flush(&mut out);
    let first = steps(&mut decoder, &delta(dialect, bytes));
    first.iter().for_each(|step| encoder.encode(step, &mut out));
    // The first delta may begin the block; the one that is measured does not.
    let deltas = steps(&mut decoder, &delta(dialect, bytes));
    Box::new(move || {
        out.clear();
        deltas.iter().for_each(|step| encoder.encode(step, &mut out));
        black_box(&out);
    })
}

fn decoder(dialect: Dialect) -> ResponseDecoder {
    let mut decoder = ResponseDecoder::new(dialect);
    for event in beginning(dialect) {
        steps(&mut decoder, &event);
    }
    decoder
}

fn steps(decoder: &mut ResponseDecoder, bytes: &Bytes) -> Vec<Event> {
    let event = event(bytes);
    decoder.event(event.name().unwrap(), &event.data).unwrap()
}

fn event(bytes: &Bytes) -> sse::SseEvent {
    let mut decoder = sse::Decoder::new(1 << 20);
    decoder.push(bytes.clone());
    decoder.next().unwrap().unwrap()
}

/// A call, with a service that passes each chunk, or replaces it by itself.
fn call(level: Level, bytes: usize, replaces: bool) -> Path {
    let dialect = Dialect::OpenAiChat;
    let mut driven = Driven::new(dialect, level, replaces);
    for event in beginning(dialect) {
        driven.upstream(event);
    }
    let event = delta(dialect, bytes);
    // The first begins the block.
    (0..2).for_each(|_| driven.upstream(event.clone()));
    driven.reads = false;
    Box::new(move || driven.upstream(event.clone()))
}

/// A call, and a service that costs next to nothing.
struct Driven {
    call: Call,
    now: Instant,
    /// Whether what is gated is replaced, by what the service read last.
    replaces: bool,
    replacement: Vec<Event>,
    /// Whether messages are read; if not, each that is gated tells of one chunk.
    reads: bool,
    gates: bool,
    /// The last chunk that was told.
    through: u64,
    /// Messages that the service took.
    seen: u64,
}

impl Driven {
    fn new(dialect: Dialect, level: Level, replaces: bool) -> Self {
        let started = CallStarted {
            session: String::new(),
            dropped: Vec::new(),
            omitted: Vec::new(),
            capabilities: Vec::new(),
            headers: Vec::new(),
            call_id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            started_at_us: 1_700_000_000_000_000,
            dialect,
            upstream_dialect: dialect,
            upstream: "up".into(),
            route: "*".into(),
            upstream_model: "m".into(),
            client: String::new(),
            request: Request { model: "m".into(), stream: true, choices: 1, ..Request::default() },
        };
        let long = Duration::from_secs(3600);
        let times = Times {
            lease: long,
            hold: long,
            first_byte: long,
            idle: long,
            keepalive_first: long,
            keepalive_every: long,
            close: long,
            takeover: Duration::ZERO,
        };
        let consults = ConsultLimits { per_call: 0, at_once: 1 };
        let limits =
            Limits { held: 1 << 24, sse_event: 1 << 20, body: 1 << 20, batch: 1 << 18, resume: 1 << 20, consults };
        let now = Instant::now();
        let call = Call::new(Setup { started, limits, times, on_loss: FailureMode::Closed, conversion: None }, now);
        let gates = level == Level::Gate;
        let mut driven = Self { call, now, replaces, replacement: Vec::new(), reads: true, gates, through: 0, seen: 0 };
        driven.pump();
        let forward = Forward {
            interest: Interest::all(level),
            failure_mode: FailureMode::Closed,
            limits: ServiceLimits::default(),
            known_kinds: Kind::ALL.to_vec(),
            edits: Vec::new(),
        };
        let decision = AdmissionDecision::Forward(forward);
        driven.say(Reply::Admission(Admission {
            decision,
            revision: "r".into(),
            pipeline: vec!["p".into()],
            capabilities: Vec::new(),
        }));
        driven.call.handle(Input::UpstreamHead(UpstreamHead { status: 200, content: Content::Sse }), now);
        driven.pump();
        driven
    }

    fn upstream(&mut self, bytes: Bytes) {
        self.call.handle(Input::UpstreamData(bytes), self.now);
        self.pump();
    }

    fn say(&mut self, message: Reply) {
        let message = FromService { message, seen: self.seen };
        self.call.handle(Input::Service(message), self.now);
        self.pump();
    }

    /// The service answers a message.
    fn take(&mut self, message: &Encoded) {
        if self.reads {
            match message.decode().unwrap() {
                ToService::Chunks(chunks) => {
                    self.through = chunks.last().unwrap().seq;
                    self.replacement = chunks.into_iter().map(|chunk| chunk.event).collect();
                }
                ToService::Block(_) => {}
                _ => return,
            }
        } else {
            self.through += 1;
        }
        self.seen += 1;
        if !self.gates {
            return self.say(Reply::Working);
        }
        let decision = if self.replaces { Decision::Replace(self.replacement.clone()) } else { Decision::Pass };
        let verdict = Verdict { through: self.through, decision, annotations: Vec::new(), cancel_upstream: false };
        self.say(Reply::Verdict(verdict));
    }

    fn pump(&mut self) {
        while let Some(output) = self.call.poll() {
            match output {
                Output::Tell(message) => self.take(&message),
                Output::Write(bytes) => {
                    black_box(&bytes);
                    self.call.handle(Input::ClientTook(bytes.len()), self.now);
                }
                Output::Abort | Output::Done(_) => panic!("the call ended: {output:?}"),
                _ => {}
            }
        }
    }
}

/// What stands before the first delta.
fn beginning(dialect: Dialect) -> Vec<Bytes> {
    let events: &[&str] = match dialect {
        Dialect::AnthropicMessages => &[
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        ],
        _ => &[
            "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1763856000,\"model\":\"m\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
        ],
    };
    events.iter().map(|event| Bytes::from_static(event.as_bytes())).collect()
}

/// A delta of so many bytes.
fn delta(dialect: Dialect, bytes: usize) -> Bytes {
    let text: String = "a few words of prose, ".chars().cycle().take(bytes).collect();
    Bytes::from(match dialect {
        Dialect::AnthropicMessages => format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        ),
        _ => format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1763856000,\"model\":\"m\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"aZ3x\"}}\n\n"
        ),
    })
}
