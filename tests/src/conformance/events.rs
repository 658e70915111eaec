//! Requests and responses as a proxy would tell them, and ones that it would not.

use luthien_proto::wire;
use luthien_proto::wire::{
    BlockDelta, BlockStarted, BlockStopped, CallEnded, CallError, CallStarted, Content, Dialect, Ended, EnforceRequest,
    Event, Failed, FinishReason, Finished, Message, Opaque, OpaqueBlock, Outcome, RedactedThinking, Refusal, Request,
    Sampling, Started, Text, TextContent, Thinking, Tool, ToolCall, ToolForm, Usage, block_delta::Delta,
    block_started::Kind, content::Content as Block, enforce_request::Message as Told, event::Event as Step,
    tool::Kind as ToolKind,
};
use uuid::Uuid;

/// A response, by name.
#[derive(Clone)]
pub(super) struct Response {
    pub name: &'static str,
    pub events: Vec<Event>,
}

/// The name of the response with what no service of today knows.
pub(super) const UNKNOWN_THINGS: &str = "unknown things";

/// Every response that is played: what policies may act on is in them.
pub(super) fn responses() -> Vec<Response> {
    let of = |name, events| Response { name, events };
    vec![
        of("text", whole([text(0, 0, &["Hello ", "there, so", "rry: it is a co", "ol day — really."])])),
        of("thinking and a refusal", whole([thinking(0), redacted(1), text(2, 0, &["I ca", "n't."]), refusal(3)])),
        of(
            "tool calls",
            whole([
                text(0, 0, &["Let me see."]),
                tool(1, "Bash", &["{\"command\": \"rm ", "-rf /\"}"]),
                tool(2, "read_file", &["{\"path\":", " \"/etc/passwd\"}"]),
                tool(3, "delete_file", &["{}"]),
            ]),
        ),
        of("interleaved tool calls", whole([interleaved()])),
        of("two choices", two_choices()),
        of(
            UNKNOWN_THINGS,
            whole([
                opaque(0),
                vec![step(Step::Opaque(Opaque { json: "{\"later\":[1]}".into() }))],
                text(1, 0, &["ok"]),
            ]),
        ),
        of("many pieces", whole([text(0, 0, &["wo", "rd ", "🦀", " co", "ol,"].repeat(12))])),
        of("nothing", whole([])),
        of("a failure", [vec![started()], text(0, 0, &["half a", " sent"])[..3].to_vec(), vec![failed()]].concat()),
        of("a failure at once", vec![failed()]),
    ]
}

/// A call that nobody has begun.
pub(super) fn call() -> CallStarted {
    let message = Message { role: "user".into(), content: vec![said("How is the weather?")], ..Message::default() };
    let tool = |name: &str| Tool {
        name: name.into(),
        kind: Some(ToolKind::Function(wire::FunctionTool {
            schema_json: "{\"type\":\"object\"}".into(),
            strict: None,
        })),
        ..Tool::default()
    };
    let request = Request {
        model: "conformance".into(),
        stream: true,
        choices: 1,
        system: vec![said("Be kind.")],
        messages: vec![message],
        tools: ["Bash", "read_file", "delete_file"].map(tool).to_vec(),
        sampling: Some(Sampling { max_output_tokens: Some(256), ..Sampling::default() }),
        ..Request::default()
    };
    CallStarted {
        call_id: Uuid::now_v7().to_string(),
        started_at_us: 1_700_000_000_000_000,
        dialect: Dialect::OpenaiChat.into(),
        upstream_dialect: Dialect::OpenaiChat.into(),
        upstream: "conformance".into(),
        route: "*".into(),
        upstream_model: "conformance".into(),
        capabilities: ["answer", "consult", "edits", "interest", "resume"].map(str::to_owned).to_vec(),
        request: Some(request),
        ..CallStarted::default()
    }
}

fn said(text: &str) -> Content {
    Content { content: Some(Block::Text(TextContent { text: text.into() })), ..Content::default() }
}

/// What a model answers a question of a policy.
pub(super) fn opinion() -> Vec<Event> {
    whole([text(0, 0, &["{\"probability\": 0.5, \"explanation\": \"nothing is known\"}"])])
}

pub(super) fn ended(outcome: Outcome, written: u64) -> EnforceRequest {
    let status = if outcome == Outcome::Failed { 502 } else { 200 };
    told(Told::CallEnded(CallEnded {
        outcome: outcome.into(),
        written,
        status,
        upstream_status: 200,
        upstream_first_us: 900,
        client_first_us: 1000,
        ended_us: 1_000_000,
        ..CallEnded::default()
    }))
}

pub(super) fn told(message: Told) -> EnforceRequest {
    EnforceRequest { message: Some(message) }
}

/// A message of the proxy that has a field which nobody knows yet.
pub(super) fn with_unknown_field(mut bytes: Vec<u8>) -> Vec<u8> {
    // Field 1000, a text.
    bytes.extend([0xC2, 0x3E, 0x05]);
    bytes.extend(b"later");
    bytes
}

pub(super) fn step(step: Step) -> Event {
    Event { event: Some(step), extras_json: String::new() }
}

pub(super) fn started() -> Event {
    step(Step::Started(Started { id: "r1".into(), model: "conformance-1".into(), created: Some(1_700_000_000) }))
}

pub(super) fn whole(blocks: impl IntoIterator<Item = Vec<Event>>) -> Vec<Event> {
    let mut events = vec![started()];
    events.extend(blocks.into_iter().flatten());
    events.extend(end([0]));
    events
}

fn end(choices: impl IntoIterator<Item = u32>) -> Vec<Event> {
    let mut events: Vec<Event> = choices.into_iter().map(finished).collect();
    events.push(step(Step::Usage(Usage { input: Some(5), output: Some(7), ..Usage::default() })));
    events.push(step(Step::Ended(Ended {})));
    events
}

fn finished(choice: u32) -> Event {
    step(Step::Finished(Finished { choice, reason: FinishReason::EndTurn.into(), ..Finished::default() }))
}

pub(super) fn failed() -> Event {
    let error = CallError { status: 529, message: "overloaded".into(), ..CallError::default() };
    step(Step::Failed(Failed { error: Some(error) }))
}

pub(super) fn begin(block: u32, choice: u32, kind: Kind) -> Event {
    step(Step::BlockStarted(BlockStarted { block, choice, kind: Some(kind) }))
}

pub(super) fn piece(block: u32, delta: Delta) -> Event {
    step(Step::BlockDelta(BlockDelta { block, delta: Some(delta) }))
}

pub(super) fn stop(block: u32) -> Event {
    step(Step::BlockStopped(BlockStopped { block }))
}

pub(super) fn text(block: u32, choice: u32, pieces: &[&str]) -> Vec<Event> {
    let pieces = pieces.iter().map(|text| piece(block, Delta::Text((*text).to_owned())));
    [begin(block, choice, Kind::Text(Text {}))].into_iter().chain(pieces).chain([stop(block)]).collect()
}

fn thinking(block: u32) -> Vec<Event> {
    let kind = Kind::Thinking(Thinking::default());
    let pieces = [Delta::Text("hm, co".into()), Delta::Text("ol".into()), Delta::Signature("c2ln".into())];
    [begin(block, 0, kind)].into_iter().chain(pieces.map(|delta| piece(block, delta))).chain([stop(block)]).collect()
}

fn redacted(block: u32) -> Vec<Event> {
    vec![begin(block, 0, Kind::RedactedThinking(RedactedThinking { data: "b3BhcXVl".into() })), stop(block)]
}

fn refusal(block: u32) -> Vec<Event> {
    vec![begin(block, 0, Kind::Refusal(Refusal {})), piece(block, Delta::Text("No.".into())), stop(block)]
}

fn tool_kind(block: u32, name: &str, form: i32) -> Kind {
    Kind::ToolCall(ToolCall { id: format!("call_{block}"), name: name.into(), form, ..ToolCall::default() })
}

fn tool(block: u32, name: &str, pieces: &[&str]) -> Vec<Event> {
    let pieces = pieces.iter().map(|text| piece(block, Delta::Arguments((*text).to_owned())));
    let begun = begin(block, 0, tool_kind(block, name, ToolForm::Function.into()));
    [begun].into_iter().chain(pieces).chain([stop(block)]).collect()
}

/// Two calls whose pieces come in turn.
fn interleaved() -> Vec<Event> {
    let (one, two) = (tool(0, "Bash", &["{\"comm", "and\": \"ls\"}"]), tool(1, "delete_file", &["{\"path\":", "1}"]));
    one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect()
}

fn two_choices() -> Vec<Event> {
    let (one, two) = (text(0, 0, &["one ", "co", "ol"]), text(1, 1, &["two ", "co", "ol"]));
    let both = one.into_iter().zip(two).flat_map(|(one, two)| [one, two]);
    [started()].into_iter().chain(both).chain(end([0, 1])).collect()
}

/// A block of a kind that is not known, with pieces that are not either.
fn opaque(block: u32) -> Vec<Event> {
    let kind = Kind::Opaque(OpaqueBlock { json: "{\"type\":\"hologram\",\"name\":\"delete_all\"}".into() });
    let pieces = ["{\"piece\":\"co\"}", "[1]", "\"ol\""].map(|json| piece(block, Delta::OpaqueJson(json.into())));
    [begin(block, 0, kind)].into_iter().chain(pieces).chain([stop(block)]).collect()
}

/// What no proxy of today says, and one of tomorrow may: unknown values of every enum that a service reads.
pub(super) fn of_tomorrow() -> Vec<Event> {
    let late = Finished { choice: 0, reason: 99, word: "retired".into(), ..Finished::default() };
    let mut events =
        vec![started(), begin(0, 0, tool_kind(0, "search", 77)), piece(0, Delta::Arguments("{}".into())), stop(0)];
    events.extend([step(Step::Finished(late)), step(Step::Ended(Ended {}))]);
    events
}
