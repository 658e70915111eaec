//! What long answers cost where they are converted: time and memory of 20,000 and 200,000 chunks, and of tool arguments of
//! 1 MB and 10 MB. Each row runs in a process of its own, so that its peak is its own.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a benchmark that can't go on ends"
)]

use std::{
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use luthien_call::{
    call::{Call, ConsultLimits, Content, Input, Limits, Output, Setup, Times, UpstreamHead},
    conversion::{Bridge, Response, Target},
    dialect::{ResponseEncoder, UpstreamOptions},
};
use luthien_proto::{
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Event, FinishReason, Finished, Kind, Started, Step,
        ToolCall, ToolForm,
    },
    message::{
        Admission, AdmissionDecision, CallStarted, FailureMode, Forward, FromService, Interest, Level,
        Limits as ServiceLimits, Reply, ToService, Verdict,
    },
    request::{Dialect, Request},
};

const CHUNKS: [usize; 2] = [20_000, 200_000];
const ARGUMENTS: [usize; 2] = [1_000_000, 10_000_000];
/// How much of the arguments comes at once.
const PIECE: usize = 16 * 1024;
const CLIENTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [client, upstream, level, sort, size] => {
            let dialect = |name: &str| Dialect::from_name(name).unwrap();
            run(dialect(client), dialect(upstream), level, sort, size.parse().unwrap());
        }
        _ => table(),
    }
}

/// Every pair, small and large.
fn table() {
    println!("| client | upstream | interest | answer | time | per unit, large / small | peak |");
    println!("|---|---|---|---|--:|--:|--:|");
    for client in CLIENTS {
        for upstream in Dialect::ALL.into_iter().filter(|upstream| *upstream != client) {
            for level in ["record", "gate"] {
                row(client, upstream, level, "chunks", CHUNKS);
                row(client, upstream, level, "arguments", ARGUMENTS);
            }
        }
    }
}

fn row(client: Dialect, upstream: Dialect, level: &str, sort: &str, [small, large]: [usize; 2]) {
    let [first, last] = [small, large].map(|size| {
        let program = Command::new(env::current_exe().unwrap())
            .args([client.name(), upstream.name(), level, sort, &size.to_string()])
            .output()
            .unwrap();
        assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
        let text = String::from_utf8(program.stdout).unwrap();
        let (micros, peak) = text.trim().split_once(' ').unwrap();
        (micros.parse::<f64>().unwrap(), peak.parse::<u64>().unwrap())
    });
    let ratio = last.0 / first.0 * small as f64 / large as f64;
    println!(
        "| {} | {} | {level} | {large} {sort} | {:.0} ms | {ratio:.2} | {} → {} MiB |",
        client.name(),
        upstream.name(),
        last.0 / 1e3,
        first.1 / 1024,
        last.1 / 1024
    );
}

/// One answer. Prints the microseconds that it took, and the peak of memory in KiB.
fn run(client: Dialect, upstream: Dialect, level: &str, sort: &str, size: usize) {
    let level = if level == "gate" { Level::Gate } else { Level::Record };
    let mut driven = Driven::new(client, upstream, level);
    let mut answer = Answer::new(upstream);
    let mut micros = 0.0;
    let mut feed = |bytes: Bytes| {
        let began = Instant::now();
        driven.upstream(bytes);
        micros += began.elapsed().as_secs_f64() * 1e6;
    };
    feed(answer.begin(sort));
    match (sort, upstream) {
        ("arguments", Dialect::Gemini) => feed(answer.whole_call(size)),
        ("arguments", _) => {
            feed(answer.argument("{\"text\":\""));
            (0..size / PIECE).for_each(|_| feed(answer.argument(&"x".repeat(PIECE))));
            feed(answer.argument("\"}"));
        }
        _ => (0..size).for_each(|_| feed(answer.text("word "))),
    }
    feed(answer.end(sort));
    driven.call.handle(Input::UpstreamEnd, driven.now);
    driven.pump();
    assert!(driven.finished && driven.written > size, "the answer is whole: {} bytes", driven.written);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{micros:.0} {}", peak.trim().trim_end_matches(" kB"));
}

/// What the upstream says, piece by piece.
struct Answer {
    upstream: Dialect,
    encoder: ResponseEncoder,
}

const BLOCK: BlockKey = BlockKey(0);

impl Answer {
    fn new(upstream: Dialect) -> Self {
        // No client speaks Gemini's dialect, so that nothing encodes it.
        let spoken = if upstream == Dialect::Gemini { Dialect::OpenAiChat } else { upstream };
        Self { upstream, encoder: ResponseEncoder::new(spoken) }
    }

    fn say(&mut self, steps: impl IntoIterator<Item = Step>) -> Bytes {
        let mut out = BytesMut::new();
        steps.into_iter().for_each(|step| self.encoder.encode(&Event::from(step), &mut out));
        self.encoder.flush(&mut out);
        out.freeze()
    }

    fn begin(&mut self, sort: &str) -> Bytes {
        if self.upstream == Dialect::Gemini {
            return gemini("{\"text\":\"\"}", "");
        }
        let kind = match sort {
            "arguments" => BlockKind::ToolCall(ToolCall {
                id: "call_1".into(),
                name: "write".into(),
                form: ToolForm::Function,
                namespace: String::new(),
                type_: String::new(),
            }),
            _ => BlockKind::Text,
        };
        let started = Started { id: "id_1".into(), model: "m".into(), created: Some(1) };
        self.say([Step::Started(started), Step::BlockStarted(BlockStarted { block: BLOCK, choice: 0, kind })])
    }

    fn text(&mut self, text: &str) -> Bytes {
        if self.upstream == Dialect::Gemini {
            return gemini(&format!("{{\"text\":\"{text}\"}}"), "");
        }
        self.say([Step::BlockDelta(BlockDelta { block: BLOCK, delta: Delta::Text(text.to_owned()) })])
    }

    fn argument(&mut self, text: &str) -> Bytes {
        self.say([Step::BlockDelta(BlockDelta { block: BLOCK, delta: Delta::Arguments(text.to_owned()) })])
    }

    fn whole_call(&self, size: usize) -> Bytes {
        let text = "x".repeat(size);
        gemini(&format!("{{\"functionCall\":{{\"name\":\"write\",\"args\":{{\"text\":\"{text}\"}}}}}}"), "")
    }

    fn end(&mut self, sort: &str) -> Bytes {
        if self.upstream == Dialect::Gemini {
            return gemini("{\"text\":\"\"}", ",\"finishReason\":\"STOP\"");
        }
        let reason = if sort == "arguments" { FinishReason::ToolUse } else { FinishReason::EndTurn };
        self.say([Step::BlockStopped(BLOCK), Step::Finished(Finished::new(0, reason)), Step::Ended])
    }
}

fn gemini(part: &str, more: &str) -> Bytes {
    let candidate = format!("{{\"content\":{{\"parts\":[{part}],\"role\":\"model\"}},\"index\":0{more}}}");
    format!("data: {{\"candidates\":[{candidate}],\"responseId\":\"r\",\"modelVersion\":\"m\"}}\r\n\r\n").into()
}

/// A call whose service passes everything at once, and whose client takes everything at once.
struct Driven {
    call: Call,
    now: Instant,
    seen: u64,
    written: usize,
    finished: bool,
}

impl Driven {
    fn new(client: Dialect, upstream: Dialect, level: Level) -> Self {
        let options = UpstreamOptions::default();
        let bridge = Bridge::new(client, &Target { dialect: upstream, model: "m", options: &options });
        let started = CallStarted {
            call_id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            started_at_us: 0,
            dialect: client,
            upstream_dialect: upstream,
            upstream: "up".into(),
            route: "*".into(),
            upstream_model: "m".into(),
            client: String::new(),
            session: String::new(),
            dropped: Vec::new(),
            omitted: Vec::new(),
            capabilities: Vec::new(),
            headers: Vec::new(),
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
            takeover: long,
        };
        let consults = ConsultLimits { per_call: 0, at_once: 1 };
        let limits =
            Limits { held: 1 << 24, sse_event: 1 << 25, body: 1 << 25, batch: 1 << 18, resume: 1 << 20, consults };
        let now = Instant::now();
        let conversion = Some(Response::new(bridge));
        let call = Call::new(Setup { started, limits, times, on_loss: FailureMode::Closed, conversion }, now);
        let mut driven = Self { call, now, seen: 0, written: 0, finished: false };
        driven.pump();
        driven.say(Reply::Admission(Admission {
            decision: AdmissionDecision::Forward(Forward {
                interest: Interest::all(level),
                failure_mode: FailureMode::Closed,
                limits: ServiceLimits::default(),
                known_kinds: Kind::ALL.to_vec(),
                edits: Vec::new(),
            }),
            revision: "r".into(),
            pipeline: vec!["p".into()],
            capabilities: vec!["resume".into()],
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
        self.call.handle(Input::Service(FromService { message, seen: self.seen }), self.now);
        self.pump();
    }

    fn pump(&mut self) {
        while let Some(output) = self.call.poll() {
            match output {
                Output::Tell(message) => match message.decode().unwrap() {
                    ToService::Chunks(chunks) => {
                        self.seen += 1;
                        let through = chunks.last().unwrap().seq;
                        let decision = luthien_proto::message::Decision::Pass;
                        let annotations = Vec::new();
                        self.say(Reply::Verdict(Verdict { through, decision, annotations, cancel_upstream: false }));
                    }
                    ToService::Block(_) => {
                        self.seen += 1;
                        self.say(Reply::Working);
                    }
                    _ => {}
                },
                Output::Write(bytes) => {
                    self.written += bytes.len();
                    self.call.handle(Input::ClientTook(bytes.len()), self.now);
                }
                Output::Finish => self.finished = true,
                Output::Abort | Output::Done(_) => panic!("the call ended: {output:?}"),
                _ => {}
            }
        }
    }
}
