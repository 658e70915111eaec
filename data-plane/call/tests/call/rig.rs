//! Drives a call by hand, and keeps all that it says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use luthien_call::{
    call::{Call, ConsultLimits, Content, Head, Input, Limits, Output, Setup, Times, UpstreamHead},
    conversion::{Bridge, Response},
};
use luthien_proto::{
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Chunk, Delta, Event, Kind, Step},
    json::Extras,
    message::{
        Admission, AdmissionDecision, Answer, CallEnded, CallReport, CallStarted, Consult, Decision, FailureMode,
        Forward, FromService, Interest, Level, Limits as ServiceLimits, Outcome, Reply, ToService, Verdict,
    },
    request::{Dialect, Request},
};

/// A call, and what it has said so far.
pub struct Rig {
    pub call: Call,
    pub now: Instant,
    /// On the stream that is open.
    pub told: Vec<ToService>,
    /// On those that were lost.
    pub told_before: Vec<Vec<ToService>>,
    pub forwarded: Vec<Option<Box<Request>>>,
    pub consults: Vec<Consult>,
    pub cancelled_consults: Vec<String>,
    pub closed_service: bool,
    pub heads: Vec<Head>,
    pub written: Vec<u8>,
    /// Whether the client's body is complete (`true`) or broken off.
    pub finished: Option<bool>,
    pub upstream_cancelled: bool,
    pub report: Option<Box<CallReport>>,
    pub done: Option<Result<(), String>>,
    seen: u64,
    settled: u64,
}

pub const LIMITS: Limits = Limits {
    held: 1 << 20,
    sse_event: 1 << 16,
    body: 1 << 20,
    batch: 1 << 16,
    resume: 1 << 16,
    consults: ConsultLimits { per_call: 4, at_once: 2 },
};

pub const TIMES: Times = Times {
    lease: Duration::from_secs(5),
    hold: Duration::from_secs(60),
    first_byte: Duration::from_secs(600),
    idle: Duration::from_secs(300),
    keepalive_first: Duration::from_secs(8),
    keepalive_every: Duration::from_secs(10),
    close: Duration::from_secs(30),
    takeover: Duration::ZERO,
};

impl Rig {
    /// A call that nobody has admitted yet.
    pub fn new(dialect: Dialect) -> Self {
        Self::with(dialect, LIMITS, FailureMode::Closed)
    }

    pub fn with(dialect: Dialect, limits: Limits, on_loss: FailureMode) -> Self {
        Self::begin(dialect, limits, on_loss, true, None)
    }

    /// An admitted call of which all is gated, for a client that asked for a stream or a whole response.
    pub fn asking(dialect: Dialect, stream: bool) -> Self {
        let mut rig = Self::begin(dialect, LIMITS, FailureMode::Closed, stream, None);
        rig.admit(GATE_ALL, FailureMode::Closed);
        rig
    }

    /// A call whose upstream speaks another dialect, admitted with that interest.
    pub fn converting(bridge: Bridge, streams: bool, interest: Interest) -> Self {
        let conversion = Some(Response::new(bridge.clone()));
        let mut rig = Self::begin(bridge.client, LIMITS, FailureMode::Closed, streams, conversion);
        rig.admit(interest, FailureMode::Closed);
        rig
    }

    /// A call of Anthropic's dialect that another policy service may take over.
    pub fn resumable(limits: Limits, takeover: Duration) -> Self {
        let times = Times { takeover, ..TIMES };
        Self::begin_in(Dialect::AnthropicMessages, limits, times, FailureMode::Closed, true, None)
    }

    pub fn begin(
        dialect: Dialect,
        limits: Limits,
        on_loss: FailureMode,
        stream: bool,
        conversion: Option<Response>,
    ) -> Self {
        Self::begin_in(dialect, limits, TIMES, on_loss, stream, conversion)
    }

    /// A call that nobody has admitted yet, for a client that asked for a stream and said that besides.
    pub fn asked_with(dialect: Dialect, extras: Extras) -> Self {
        let request = Request { model: "m".into(), stream: true, choices: 1, extras, ..Request::default() };
        Self::begin_with(dialect, LIMITS, TIMES, FailureMode::Closed, request, None)
    }

    fn begin_in(
        dialect: Dialect,
        limits: Limits,
        times: Times,
        on_loss: FailureMode,
        stream: bool,
        conversion: Option<Response>,
    ) -> Self {
        let request = Request { model: "m".into(), stream, choices: 1, ..Request::default() };
        Self::begin_with(dialect, limits, times, on_loss, request, conversion)
    }

    fn begin_with(
        dialect: Dialect,
        limits: Limits,
        times: Times,
        on_loss: FailureMode,
        request: Request,
        conversion: Option<Response>,
    ) -> Self {
        let upstream_dialect = conversion.as_ref().map_or(dialect, |conversion| conversion.bridge().upstream);
        let started = CallStarted {
            session: String::new(),
            dropped: Vec::new(),
            omitted: Vec::new(),
            capabilities: Vec::new(),
            headers: Vec::new(),
            call_id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            started_at_us: 1_700_000_000_000_000,
            dialect,
            upstream_dialect,
            upstream: "up".into(),
            route: "*".into(),
            upstream_model: "m".into(),
            client: String::new(),
            request,
        };
        let now = Instant::now();
        let call = Call::new(Setup { started, limits, times, on_loss, conversion }, now);
        let mut rig = Self {
            call,
            now,
            told: Vec::new(),
            told_before: Vec::new(),
            forwarded: Vec::new(),
            consults: Vec::new(),
            cancelled_consults: Vec::new(),
            closed_service: false,
            heads: Vec::new(),
            written: Vec::new(),
            finished: None,
            upstream_cancelled: false,
            report: None,
            done: None,
            seen: 0,
            settled: 0,
        };
        rig.pump();
        rig
    }

    /// A call that streams, admitted with that interest.
    pub fn streaming(dialect: Dialect, interest: Interest) -> Self {
        let mut rig = Self::new(dialect);
        rig.admit(interest, FailureMode::Closed);
        rig.head(200, Content::Sse);
        rig
    }

    pub fn admit(&mut self, interest: Interest, failure_mode: FailureMode) {
        self.admit_as(Forward {
            interest,
            failure_mode,
            limits: ServiceLimits::default(),
            known_kinds: Kind::ALL.to_vec(),
            edits: Vec::new(),
        });
    }

    /// Admitted by a service whose loss is not final.
    pub fn admit_resumable(&mut self, interest: Interest, failure_mode: FailureMode) {
        let forward = Forward {
            interest,
            failure_mode,
            limits: ServiceLimits::default(),
            known_kinds: Kind::ALL.to_vec(),
            edits: Vec::new(),
        };
        self.say(Reply::Admission(Admission {
            decision: AdmissionDecision::Forward(forward),
            revision: "r".into(),
            pipeline: vec!["p".into()],
            capabilities: vec!["resume".into()],
        }));
    }

    pub fn admit_as(&mut self, forward: Forward) {
        self.say(Reply::Admission(Admission {
            decision: AdmissionDecision::Forward(forward),
            revision: "r".into(),
            pipeline: vec!["p".into()],
            capabilities: Vec::new(),
        }));
    }

    /// The policies answer, by a service whose loss is not final.
    pub fn answer(&mut self, mut events: Vec<Event>) {
        events.push(Step::Ended.into());
        let decision = AdmissionDecision::Answer(Answer::new(events).unwrap());
        let (revision, pipeline, capabilities) = ("r".into(), vec!["p".into()], vec!["resume".into()]);
        self.say(Reply::Admission(Admission { decision, revision, pipeline, capabilities }));
    }

    pub fn head(&mut self, status: u16, content: Content) {
        self.input(Input::UpstreamHead(UpstreamHead { status, content }));
    }

    pub fn data(&mut self, data: impl AsRef<[u8]>) {
        self.input(Input::UpstreamData(Bytes::copy_from_slice(data.as_ref())));
    }

    pub fn say(&mut self, message: Reply) {
        self.input(Input::Service(FromService { message, seen: self.seen }));
    }

    /// The service takes all that it was told.
    pub fn working(&mut self) {
        self.say(Reply::Working);
    }

    pub fn verdict(&mut self, through: u64, decision: Decision) {
        self.settled = through;
        self.say(Reply::Verdict(Verdict { through, decision, annotations: Vec::new(), cancel_upstream: false }));
    }

    /// A verdict that cancels the upstream too.
    pub fn cancel(&mut self, through: u64, decision: Decision) {
        self.settled = through;
        self.say(Reply::Verdict(Verdict { through, decision, annotations: Vec::new(), cancel_upstream: true }));
    }

    pub fn pass(&mut self, through: u64) {
        self.verdict(through, Decision::Pass);
    }

    /// Passes all that there is and will be until nothing more is told.
    pub fn pass_all(&mut self) {
        while let Some(last) = self.chunks().last().map(|chunk| chunk.seq).filter(|last| *last > self.settled) {
            self.pass(last);
        }
        self.working();
    }

    pub fn end(&mut self) {
        self.input(Input::UpstreamEnd);
    }

    pub fn after(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick);
    }

    pub fn input(&mut self, input: Input) {
        self.call.handle(input, self.now);
        self.pump();
    }

    fn pump(&mut self) {
        while let Some(output) = self.call.poll() {
            match output {
                Output::OpenService => {
                    let before = std::mem::take(&mut self.told);
                    self.told_before.extend(Some(before).filter(|before| !before.is_empty()));
                    (self.seen, self.closed_service) = (0, false);
                }
                Output::Tell(message) => {
                    assert!(!self.closed_service, "nothing follows the close");
                    let message = message.decode().unwrap();
                    if let ToService::Chunks(_) | ToService::Block(_) | ToService::Consultation(_) = message {
                        self.seen += 1;
                    }
                    self.told.push(message);
                }
                Output::CloseService => self.closed_service = true,
                Output::DropService | Output::Ended(_) => {}
                Output::Report(report) => {
                    assert!(self.report.replace(report).is_none(), "a call is reported once");
                }
                Output::Forward(edited) => self.forwarded.push(edited),
                Output::Consult(question) => self.consults.push(*question),
                Output::CancelConsult(id) => self.cancelled_consults.push(id),
                Output::CancelUpstream => self.upstream_cancelled = true,
                Output::Head(head) => self.heads.push(head),
                Output::Write(bytes) => {
                    assert_eq!(self.heads.len(), 1, "a head stands before the body, once");
                    assert_eq!(self.finished, None, "nothing follows the end of the body");
                    self.written.extend_from_slice(&bytes);
                    self.call.handle(Input::ClientTook(bytes.len()), self.now);
                }
                Output::Finish => self.finished = Some(true),
                Output::Abort => self.finished = Some(false),
                Output::Done(result) => self.done = Some(result),
            }
        }
    }

    /// Every chunk that was told.
    pub fn chunks(&self) -> Vec<&Chunk> {
        let batches = self.told.iter().filter_map(|message| match message {
            ToService::Chunks(chunks) => Some(chunks),
            _ => None,
        });
        batches.flatten().collect()
    }

    /// The seq of the first chunk whose step that is.
    pub fn seq_of(&self, wanted: impl Fn(&Step) -> bool) -> u64 {
        self.chunks().into_iter().find(|chunk| wanted(&chunk.event.step)).expect("the chunk was told").seq
    }

    pub fn call_ended(&self) -> &CallEnded {
        match self.told.last() {
            Some(ToService::CallEnded(ended)) => ended,
            other => panic!("the last message is no CallEnded: {other:?}"),
        }
    }

    pub fn call_ended_outcome(&self) -> Outcome {
        self.call.ended().outcome
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.written).unwrap()
    }
}

pub const GATE_ALL: Interest = Interest::all(Level::Gate);

/// An Anthropic SSE event.
pub fn sse(data: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(data).unwrap();
    format!("event: {}\ndata: {data}\n\n", value["type"].as_str().unwrap())
}

pub fn message_start() -> String {
    sse(
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#,
    )
}

pub fn text_block(index: u32, deltas: &[&str]) -> String {
    let mut out = sse(&format!(
        r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"text","text":""}}}}"#
    ));
    for delta in deltas {
        out += &sse(&format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":{}}}}}"#,
            serde_json::Value::from(*delta)
        ));
    }
    out + &stop(index)
}

pub fn tool_start(index: u32, id: &str, name: &str) -> String {
    sse(&format!(
        r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"tool_use","id":"{id}","name":"{name}","input":{{}}}}}}"#
    ))
}

pub fn tool_delta(index: u32, json: &str) -> String {
    sse(&format!(
        r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"input_json_delta","partial_json":{}}}}}"#,
        serde_json::Value::from(json)
    ))
}

pub fn stop(index: u32) -> String {
    sse(&format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
}

pub fn message_end(reason: &str) -> String {
    sse(&format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":9}}}}"#
    )) + &sse(r#"{"type":"message_stop"}"#)
}

/// A text block as a policy makes it.
pub fn made_text(key: u32, text: &str) -> Vec<Event> {
    made(key, 0, text)
}

/// The same in a choice of its own.
pub fn made_text_in(choice: u32, text: &str) -> Vec<Event> {
    made(0, choice, text)
}

fn made(key: u32, choice: u32, text: &str) -> Vec<Event> {
    let block = BlockKey(BlockKey::POLICY_FIRST.0 + key);
    vec![
        Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::Text }).into(),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text.into()) }).into(),
        Step::BlockStopped(block).into(),
    ]
}

/// A failure as a policy service makes it.
pub fn made_failure(message: &str) -> Vec<Event> {
    vec![Step::Failed(CallError { status: 500, message: message.into(), ..CallError::default() }).into()]
}

/// The data of the SSE events that were written, by an own small reader.
pub fn events(text: &str) -> Vec<serde_json::Value> {
    let data = text.split("\n\n").flat_map(|event| event.lines()).filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The types and indexes of Anthropic's events: a short form to compare.
pub fn outline(text: &str) -> Vec<String> {
    let describe = |event: serde_json::Value| {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let block = &event["content_block"];
        let more = match kind.as_str() {
            "content_block_start" => {
                format!(
                    " {} {}{}",
                    event["index"],
                    block["type"].as_str().unwrap(),
                    block["name"].as_str().map_or(String::new(), |n| format!(" {n}"))
                )
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                let text = delta["text"].as_str().or(delta["partial_json"].as_str()).unwrap_or_default();
                format!(" {} {text}", event["index"])
            }
            "content_block_stop" => format!(" {}", event["index"]),
            "message_delta" => format!(" {}", event["delta"]["stop_reason"].as_str().unwrap()),
            "error" => format!(" {}", event["error"]["type"].as_str().unwrap()),
            _ => String::new(),
        };
        kind + &more
    };
    events(text).into_iter().map(describe).collect()
}
