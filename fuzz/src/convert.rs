//! Between the dialects: what is converted can be read by whom it is for, and says the same.

use std::time::{Duration, Instant};

use bytes::Bytes;
use luthien_call::{
    call::{Call, ConsultLimits, Content, Head, Input as Happening, Limits, Output, Setup, Times, UpstreamHead},
    conversion::{Bridge, BridgedTool, Response, Target, convert, edited},
    dialect::{UpstreamOptions, decode_error, decode_request, decode_whole},
};
use luthien_proto::{
    Event, Step, ToService,
    event::{BlockKind, Delta, FinishReason, Kind, ToolForm},
    json,
    message::{
        Admission, AdmissionDecision, CallStarted, FailureMode, Forward, FromService, Interest, Level,
        Limits as ServiceLimits, Reply,
    },
    request::{ContentBlock, Dialect, Request},
};

use crate::{decode::Read, grammar, input::Input};

const CLIENTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

/// What the signatures of other upstreams begin with.
const ENVELOPE: &[u8] = b"luth1.";

/// A case: the client's dialect, the upstream's, and a request.
pub fn request(data: &[u8]) {
    let mut input = Input::new(data);
    let client = CLIENTS[usize::from(input.below(3))];
    let upstream = usize::from(input.below(5));
    let options = UpstreamOptions { compatible: upstream == 4, reasoning_echo: upstream == 4, max_output_tokens: None };
    let dialect = Dialect::ALL.get(upstream).copied().unwrap_or(Dialect::OpenAiChat);
    let Ok(asked) = decode_request(client, Bytes::copy_from_slice(input.rest())) else { return };
    let to = Target { dialect, model: "up", options: &options };
    let sent = edited(client, &asked.request, &to);
    if client != dialect {
        let first = convert(&asked, &to).map(|converted| converted.body);
        assert_eq!(first, sent.clone().map(|edited| edited.body), "what is converted again is the same");
    }
    let Ok(sent) = sent else { return };
    json::parse_object(&sent.body).unwrap_or_else(|error| panic!("{error}: {:?}", sent.body));
    if dialect == Dialect::Gemini {
        return;
    }
    let read = decode_request(dialect, sent.body.clone()).unwrap_or_else(|error| panic!("{error}: {:?}", sent.body));
    assert_eq!(read.request.model, "up");
    if client == dialect {
        assert_eq!(texts(&read.request), texts(&asked.request), "{:?}", sent.body);
        // What another upstream signed is left out as soon as it is understood.
        if sent.body.windows(ENVELOPE.len()).any(|part| part == ENVELOPE) {
            return;
        }
        let again = edited(client, &read.request, &to).expect("it could be written before");
        let [first, second] =
            [&sent.body, &again.body].map(|body| json::parse_object(body).expect("it was read before"));
        assert_eq!(first, second, "what was written anew stays as it is");
    }
}

/// All that was said in plain text, in order; without white space, by which it may be parted.
fn texts(request: &Request) -> String {
    let said = request.messages.iter().flat_map(|message| &message.content);
    let text = |block: &ContentBlock| match block {
        ContentBlock::Text(text) => text.clone(),
        _ => String::new(),
    };
    let all: String = request.system.iter().chain(said).map(|content| text(&content.block)).collect();
    all.split_whitespace().collect()
}

/// A case: the client's dialect, the upstream's, how both want the answer, and what the upstream says.
pub fn response(data: &[u8]) {
    let mut input = Input::new(data);
    let client = CLIENTS[usize::from(input.below(3))];
    let upstream = Dialect::ALL[usize::from(input.below(4))];
    let (streams, form) = (input.flag(), input.below(8));
    let content = if form < 6 && streams { Content::Sse } else { Content::Json };
    let status = if form == 7 { 400 + u16::from(input.byte()) % 200 } else { 200 };
    let bytes = input.rest();
    if client == upstream {
        return;
    }
    let mut run = Run::new(client, upstream, streams);
    let said = match content {
        Content::Sse => Read::of(upstream, bytes).events(),
        Content::Json | Content::Other | Content::Encoded => {
            decode_whole(upstream, &Bytes::copy_from_slice(bytes)).unwrap_or_default()
        }
    };
    // Nobody can run a call without a name; some dialects can't even say it.
    if said.iter().any(is_nameless) {
        return;
    }
    run.answer(status, content, bytes);
    let Some(head) = run.head else { panic!("no head") };
    let got = match head {
        Head::Own { status: 200, content_type, .. } | Head::Converted { status: 200, content_type } => {
            match content_type.starts_with("text/event-stream") {
                true => {
                    let read = Read::of(client, &run.written);
                    assert_eq!(read.broken, None, "{:?}", Bytes::from(run.written));
                    read.events()
                }
                false => decode_whole(client, &Bytes::copy_from_slice(&run.written))
                    .unwrap_or_else(|error| panic!("{error}: {:?}", Bytes::from(run.written))),
            }
        }
        Head::Own { status, .. } | Head::Converted { status, .. } => {
            let body = Bytes::from(run.written);
            assert!(matches!(decode_error(client, status, &body).step, Step::Failed(_)));
            json::parse_object(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
            return;
        }
        Head::Upstream { .. } => panic!("what is converted is not the upstream's"),
    };
    grammar::check_whole(&got);
    let is_ended = |events: &[Event]| events.last().is_some_and(|event| event.step == Step::Ended);
    assert!(is_ended(&said) || !is_ended(&got), "a failure became a success: {got:?}");
    if is_ended(&said) && is_ended(&got) && !is_explained(&said) {
        assert_eq!(prose(&said), prose(&got), "{got:?}");
    }
}

fn is_nameless(event: &Event) -> bool {
    let Step::BlockStarted(started) = &event.step else { return false };
    matches!(&started.kind, BlockKind::ToolCall(call) if call.name.is_empty())
}

/// Whether an answer's end may tell more than its blocks do.
fn is_explained(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(&event.step, Step::Finished(finished) if finished.reason == FinishReason::Refusal)
            && event.extras.get("delta").is_some()
    })
}

/// The letters that the first choice says to people: not all dialects keep apart, or in order, what it says and what it
/// refuses. A picture that the client's dialect has no place for is noted among them.
fn prose(events: &[Event]) -> Vec<char> {
    let mut blocks = Vec::new();
    let mut text = String::new();
    for event in events {
        match &event.step {
            Step::BlockStarted(started) if started.choice == 0 => {
                if let BlockKind::Text | BlockKind::Refusal = started.kind {
                    blocks.push(started.block);
                }
            }
            Step::BlockDelta(delta) if blocks.contains(&delta.block) => {
                if let Delta::Text(piece) = &delta.delta {
                    text.push_str(piece);
                }
            }
            _ => {}
        }
    }
    let mut letters: Vec<char> = text.replace("[image]", "").chars().collect();
    letters.sort_unstable();
    letters
}

/// A call of which nothing is gated, between an upstream and a client that do not speak the same.
struct Run {
    call: Call,
    now: Instant,
    head: Option<Head>,
    written: Vec<u8>,
    seen: u64,
    done: bool,
}

impl Run {
    fn new(client: Dialect, upstream: Dialect, streams: bool) -> Self {
        let options = UpstreamOptions::default();
        let mut bridge = Bridge::new(client, &Target { dialect: upstream, model: "up", options: &options });
        for (theirs, form) in [("f", ToolForm::Custom), ("g", ToolForm::Function)] {
            let tool = BridgedTool { name: format!("own_{theirs}"), namespace: String::new(), form };
            bridge.tools.insert(theirs.to_owned(), tool);
        }
        let limits = Limits {
            held: 1 << 20,
            sse_event: 1 << 16,
            body: 1 << 20,
            batch: 1 << 12,
            resume: 1 << 16,
            consults: ConsultLimits { per_call: 0, at_once: 0 },
        };
        let hour = Duration::from_secs(3600);
        let times = Times {
            lease: hour,
            hold: hour,
            first_byte: hour,
            idle: hour,
            keepalive_first: hour,
            keepalive_every: hour,
            close: hour,
            takeover: Duration::ZERO,
        };
        let setup = Setup {
            started: started(client, upstream, streams),
            limits,
            times,
            on_loss: FailureMode::Closed,
            conversion: Some(Response::new(bridge)),
        };
        let now = Instant::now();
        let call = Call::new(setup, now);
        let mut run = Self { call, now, head: None, written: Vec::new(), seen: 0, done: false };
        run.pump();
        let forward = Forward {
            interest: Interest::all(Level::Record),
            failure_mode: FailureMode::Closed,
            limits: ServiceLimits::default(),
            known_kinds: Kind::ALL.to_vec(),
            edits: Vec::new(),
        };
        let decision = AdmissionDecision::Forward(forward);
        run.say(Reply::Admission(Admission {
            decision,
            revision: "r".to_owned(),
            pipeline: Vec::new(),
            capabilities: Vec::new(),
        }));
        run
    }

    fn answer(&mut self, status: u16, content: Content, bytes: &[u8]) {
        self.happen(Happening::UpstreamHead(UpstreamHead { status, content }));
        self.happen(Happening::UpstreamData(Bytes::copy_from_slice(bytes)));
        self.happen(Happening::UpstreamEnd);
        self.happen(Happening::ServiceClosed(Ok(())));
        assert!(self.done, "a call whose three sides are done is done");
    }

    fn say(&mut self, message: Reply) {
        self.happen(Happening::Service(FromService { message, seen: self.seen }));
    }

    fn happen(&mut self, happening: Happening) {
        if !self.done {
            self.call.handle(happening, self.now);
            self.pump();
        }
    }

    fn pump(&mut self) {
        while let Some(output) = self.call.poll() {
            match output {
                Output::Tell(message) => match message.decode().expect("what is told can be read") {
                    ToService::Chunks(_) | ToService::Block(_) | ToService::Consultation(_) => {
                        self.seen += 1;
                        let message = FromService { message: Reply::Working, seen: self.seen };
                        self.call.handle(Happening::Service(message), self.now);
                    }
                    ToService::CallStarted(_) | ToService::CallResumed(_) | ToService::CallEnded(_) => {}
                },
                Output::Head(head) => assert_eq!(self.head.replace(head), None, "a second head"),
                Output::Write(bytes) => {
                    self.written.extend_from_slice(&bytes);
                    self.call.handle(Happening::ClientTook(bytes.len()), self.now);
                }
                Output::Done(_) => self.done = true,
                Output::Forward(_)
                | Output::OpenService
                | Output::CloseService
                | Output::DropService
                | Output::Ended(_)
                | Output::Report(_)
                | Output::Consult(_)
                | Output::CancelConsult(_)
                | Output::CancelUpstream
                | Output::Finish
                | Output::Abort => {}
            }
        }
    }
}

fn started(dialect: Dialect, upstream_dialect: Dialect, stream: bool) -> CallStarted {
    CallStarted {
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        call_id: "018f0000-0000-7000-8000-000000000001".parse().expect("a UUID"),
        started_at_us: 1_700_000_000_000_000,
        dialect,
        upstream_dialect,
        upstream: "up".to_owned(),
        route: "*".to_owned(),
        upstream_model: "up".to_owned(),
        client: String::new(),
        request: Request { model: "m".to_owned(), stream, choices: 1, ..Request::default() },
    }
}
