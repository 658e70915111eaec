//! Grammatical responses, of anything that a dialect can say.

use std::collections::BTreeMap;

use luthien_proto::{
    Event, Step,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, FinishReason, Finished, Started, ToolCall, ToolForm,
        Usage,
    },
    json::Extras,
    request::Dialect,
};
use proptest::{collection::vec, option, prelude::*, sample::Index};
use serde_json::{Value, json};

/// A block to be, with its extras' places where the dialect has them.
#[derive(Clone, Debug)]
struct Block {
    choice: u32,
    kind: BlockKind,
    deltas: Vec<Delta>,
}

/// The steps of a complete response.
pub(crate) fn response(dialect: Dialect) -> impl Strategy<Value = Vec<Event>> {
    let choices = if dialect == Dialect::OpenAiChat { 1..=3u32 } else { 1..=1 };
    choices.prop_flat_map(move |choices| {
        let blocks = vec(block(dialect, choices), 0..8);
        let finishes = vec(finish(dialect), choices as usize);
        // Anthropic's messages always have theirs.
        let last_usage = match dialect {
            Dialect::AnthropicMessages => usage(dialect).prop_map(Some).boxed(),
            _ => option::of(usage(dialect)).boxed(),
        };
        let usages = (usage(dialect), last_usage);
        (started(dialect), blocks, vec(any::<Index>(), 40), finishes, usages, vec(any::<bool>(), 60)).prop_map(
            move |(started, blocks, order, finishes, usages, extras)| {
                let mut events = vec![Event::from(Step::Started(started))];
                if dialect == Dialect::AnthropicMessages {
                    events.push(Step::Usage(usages.0).into());
                }
                events.extend(interleave(dialect, blocks, &order));
                if dialect == Dialect::AnthropicMessages {
                    events.extend(usages.1.clone().map(|usage| Step::Usage(usage).into()));
                }
                if dialect == Dialect::OpenAiResponses {
                    events.extend(usages.1.clone().map(|usage| Step::Usage(usage).into()));
                }
                for (choice, mut finished) in (0..).zip(finishes) {
                    finished.choice = choice;
                    fit(dialect, &mut finished, &events);
                    events.push(Step::Finished(finished).into());
                }
                if dialect == Dialect::OpenAiChat {
                    events.extend(usages.1.map(|usage| Step::Usage(usage).into()));
                }
                events.push(Step::Ended.into());
                add_extras(dialect, &mut events, &extras);
                events
            },
        )
    })
}

/// What completes a response of the dialect follows from what it holds.
fn fit(dialect: Dialect, finished: &mut Finished, events: &[Event]) {
    if dialect != Dialect::OpenAiResponses || finished.reason != FinishReason::EndTurn {
        return;
    }
    let has = |is: fn(&BlockKind) -> bool| {
        events.iter().any(|event| matches!(&event.step, Step::BlockStarted(started) if is(&started.kind)))
    };
    if has(|kind| matches!(kind, BlockKind::ToolCall(_))) {
        finished.reason = FinishReason::ToolUse;
    } else if has(|kind| *kind == BlockKind::Refusal) {
        finished.reason = FinishReason::Refusal;
    }
}

/// Prose runs on; calls may overlap each other, and prose.
fn interleave(dialect: Dialect, blocks: Vec<Block>, order: &[Index]) -> Vec<Event> {
    let mut lanes: Vec<Vec<Vec<Event>>> = Vec::new();
    let mut last_prose = BTreeMap::new();
    for (key, block) in (0..).map(BlockKey).zip(blocks) {
        let is_call = matches!(block.kind, BlockKind::ToolCall(_));
        // Neighbours of one kind would be one block where blocks are not marked.
        let repeats = last_prose.insert(block.choice, block.kind.clone()).as_ref() == Some(&block.kind);
        if !is_call && repeats && dialect != Dialect::OpenAiResponses {
            continue;
        }
        let started = BlockStarted { block: key, choice: block.choice, kind: block.kind };
        let mut steps = vec![Event::from(Step::BlockStarted(started))];
        steps.extend(
            block.deltas.into_iter().map(|delta| Event::from(Step::BlockDelta(BlockDelta { block: key, delta }))),
        );
        steps.push(Step::BlockStopped(key).into());
        lanes.push(if is_call { steps.into_iter().rev().map(|step| vec![step]).collect() } else { vec![steps] });
    }
    let mut out = Vec::new();
    let mut order = order.iter().cycle();
    let mut begun = 0;
    while lanes.iter().any(|lane| !lane.is_empty()) {
        let at = order.next().map_or(0, |index| index.index(lanes.len()));
        // Blocks begin in the order of their keys.
        let at = if at > begun || lanes[at].is_empty() {
            lanes.iter().position(|lane| !lane.is_empty()).unwrap_or(0)
        } else {
            at
        };
        begun = begun.max(at + 1);
        out.extend(lanes[at].pop().into_iter().flatten());
    }
    out
}

fn started(dialect: Dialect) -> impl Strategy<Value = Started> {
    let created = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => any::<i64>().prop_map(Some).boxed(),
        _ => Just(None).boxed(),
    };
    (text(), text(), created).prop_map(|(id, model, created)| Started { id, model, created })
}

fn block(dialect: Dialect, choices: u32) -> impl Strategy<Value = Block> {
    let field = if dialect == Dialect::OpenAiChat { "reasoning_content" } else { "" };
    let texts = || vec(text().prop_map(Delta::Text), 1..4);
    let prose = |kind: BlockKind| texts().prop_map(move |deltas| (kind.clone(), deltas));
    let id = if dialect == Dialect::OpenAiResponses { "rs_1" } else { "" };
    let thinking = BlockKind::Thinking { field: field.to_owned(), id: id.to_owned() };
    let calls = (0..3usize, text(), name(), arguments());
    let common = prop_oneof![
        prose(BlockKind::Text),
        prose(thinking.clone()),
        calls.prop_map(move |(form, id, name, arguments)| call(dialect, form, id, name, arguments)),
    ];
    let own = match dialect {
        Dialect::AnthropicMessages => prop_oneof![
            (texts(), text()).prop_map(move |(mut deltas, signature)| {
                deltas.push(Delta::Signature(signature));
                (thinking.clone(), deltas)
            }),
            text().prop_map(|data| (BlockKind::RedactedThinking { data }, Vec::new())),
            text().prop_map(|text| {
                let citation = Delta::Opaque(json!({"type": "citations_delta", "citation": {"x": text.as_str()}}));
                (BlockKind::Text, vec![Delta::Text(text), citation])
            }),
            text().prop_map(|text| (BlockKind::Opaque(json!({"type": "x_result", "x": text})), Vec::new())),
        ]
        .boxed(),
        Dialect::OpenAiResponses => prop_oneof![
            prose(BlockKind::Refusal),
            (texts(), text()).prop_map(move |(mut deltas, signature)| {
                deltas.push(Delta::Signature(signature));
                (thinking.clone(), deltas)
            }),
            text().prop_map(|text| {
                let citation = json!({"type": "response.output_text.annotation.added", "annotation": {"x": text}});
                (BlockKind::Text, vec![Delta::Text(text), Delta::Opaque(citation)])
            }),
            text().prop_map(|text| {
                let item = json!({"id": text, "type": "x_call", "status": "in_progress"});
                let done = json!({"type": "response.output_item.done", "item": {"x": text}});
                let news = json!({"type": "response.x_call.searching", "y": text});
                (BlockKind::Opaque(item), vec![Delta::Opaque(news), Delta::Opaque(done)])
            }),
        ]
        .boxed(),
        _ => prop_oneof![
            prose(BlockKind::Refusal),
            (texts(), text()).prop_map(move |(mut deltas, signature)| {
                deltas.push(Delta::Signature(signature));
                (thinking.clone(), deltas)
            }),
            text().prop_map(|data| (BlockKind::RedactedThinking { data }, Vec::new())),
        ]
        .boxed(),
    };
    (0..choices, prop_oneof![3 => common, 1 => own]).prop_map(|(choice, (kind, deltas))| Block { choice, kind, deltas })
}

fn call(dialect: Dialect, form: usize, id: String, name: String, arguments: Vec<String>) -> (BlockKind, Vec<Delta>) {
    let (form, type_) = match (dialect, form) {
        (Dialect::AnthropicMessages, 0) => (ToolForm::Server, "mcp_tool_use"),
        (Dialect::OpenAiChat | Dialect::OpenAiResponses, 0) => (ToolForm::Custom, ""),
        _ => (ToolForm::Function, ""),
    };
    let head = ToolCall { id, name, namespace: String::new(), form, type_: type_.to_owned() };
    (BlockKind::ToolCall(head), arguments.into_iter().map(Delta::Arguments).collect())
}

/// A JSON object in pieces.
fn arguments() -> impl Strategy<Value = Vec<String>> {
    (text(), any::<Index>()).prop_map(|(value, cut)| {
        let text = json!({"x": value}).to_string();
        let chars: Vec<_> = text.chars().collect();
        let (first, second) = chars.split_at(1 + cut.index(chars.len() - 1));
        [first, second]
            .map(|piece| piece.iter().collect())
            .into_iter()
            .filter(|piece: &String| !piece.is_empty())
            .collect()
    })
}

fn finish(dialect: Dialect) -> impl Strategy<Value = Finished> {
    let reasons = match dialect {
        Dialect::OpenAiChat => vec![
            (FinishReason::EndTurn, ""),
            (FinishReason::MaxTokens, ""),
            (FinishReason::ToolUse, ""),
            (FinishReason::ToolUse, "function_call"),
            (FinishReason::ContentFilter, ""),
            (FinishReason::Other, "x_word"),
        ],
        Dialect::OpenAiResponses => vec![
            (FinishReason::EndTurn, ""),
            (FinishReason::MaxTokens, ""),
            (FinishReason::ContentFilter, ""),
            (FinishReason::Other, "steered"),
            (FinishReason::Other, "cancelled"),
        ],
        _ => vec![
            (FinishReason::EndTurn, ""),
            (FinishReason::MaxTokens, ""),
            (FinishReason::ToolUse, ""),
            (FinishReason::Refusal, ""),
            (FinishReason::Pause, ""),
            (FinishReason::ContextWindow, ""),
            (FinishReason::Other, "x_word"),
        ],
    };
    prop::sample::select(reasons)
        .prop_map(|(reason, word)| Finished { word: word.to_owned(), ..Finished::new(0, reason) })
}

fn usage(dialect: Dialect) -> impl Strategy<Value = Usage> {
    (0..1000u64, 0..1000u64, 0..1000u64, 0..1000u64).prop_map(move |(input, cache_read, cache_write, output)| {
        let raw = match dialect {
            Dialect::OpenAiChat => json!({
                "prompt_tokens": input + cache_read + cache_write, "completion_tokens": output,
                "prompt_tokens_details": {"cached_tokens": cache_read, "cache_write_tokens": cache_write}, "x": 1,
            }),
            Dialect::OpenAiResponses => json!({
                "input_tokens": input + cache_read + cache_write, "output_tokens": output,
                "input_tokens_details": {"cached_tokens": cache_read, "cache_write_tokens": cache_write}, "x": 1,
            }),
            _ => json!({
                "input_tokens": input, "cache_creation_input_tokens": cache_write, "cache_read_input_tokens": cache_read,
                "output_tokens": output, "x": {"y": 1},
            }),
        };
        let raw = Extras::from(raw.as_object().cloned().unwrap_or_default());
        let [input, cache_read, cache_write, output] = [input, cache_read, cache_write, output].map(Some);
        Usage { input, cache_read, cache_write, output, thinking: None, raw }
    })
}

/// Gives some steps a field that is found nowhere else, at each place that such a step has.
fn add_extras(dialect: Dialect, events: &mut [Event], which: &[bool]) {
    for (at, (event, _)) in events.iter_mut().zip(which.iter().cycle()).enumerate().filter(|(_, (_, add))| **add) {
        let field = |place: &str| (place.to_owned(), json!({format!("x_{at}"): [at.to_string()]}));
        let fields: Vec<(String, Value)> = match (dialect, &event.step) {
            (Dialect::OpenAiChat, Step::Started(_) | Step::Finished(_)) => {
                ["chunk", "choice", "delta"].map(field).into()
            }
            (Dialect::OpenAiChat, Step::BlockDelta(BlockDelta { delta: Delta::Text(_), .. })) => {
                ["chunk", "choice", "delta"].map(field).into()
            }
            (Dialect::OpenAiChat, Step::BlockDelta(BlockDelta { delta: Delta::Signature(_), .. })) => {
                ["chunk", "choice", "delta", "reasoning_detail"].map(field).into()
            }
            (Dialect::OpenAiChat, Step::BlockStarted(started))
                if matches!(started.kind, BlockKind::RedactedThinking { .. }) =>
            {
                ["chunk", "choice", "delta", "reasoning_detail"].map(field).into()
            }
            (Dialect::OpenAiChat, Step::BlockDelta(_)) => ["chunk", "tool_call"].map(field).into(),
            (Dialect::OpenAiChat, Step::BlockStarted(started)) if matches!(started.kind, BlockKind::ToolCall(_)) => {
                ["choice", "tool_call"].map(field).into()
            }
            (Dialect::OpenAiChat, _) => Vec::new(),
            (Dialect::OpenAiResponses, Step::Started(_) | Step::Ended) => vec![field("response"), field("x")],
            (Dialect::OpenAiResponses, Step::BlockStarted(started)) => match started.kind {
                BlockKind::Text | BlockKind::Refusal => {
                    ["item", "part", "output_item.added", "content_part.added"].map(field).into()
                }
                BlockKind::Opaque(_) => vec![field("output_item.added")],
                _ => vec![field("item"), field("output_item.added")],
            },
            (Dialect::OpenAiResponses, Step::BlockDelta(BlockDelta { delta, .. })) => match delta {
                Delta::Text(_) | Delta::Arguments(_) => vec![field("x")],
                Delta::Signature(_) | Delta::Opaque(_) => Vec::new(),
            },
            (Dialect::OpenAiResponses, _) => Vec::new(),
            (_, Step::Started(_)) => vec![field("message"), field("x")],
            (_, Step::BlockStarted(started)) if !matches!(started.kind, BlockKind::Opaque(_)) => {
                vec![field("content_block"), field("x")]
            }
            (_, Step::BlockDelta(BlockDelta { delta: Delta::Opaque(_), .. })) => vec![field("x")],
            (_, Step::BlockDelta(_) | Step::Finished(_)) => vec![field("delta"), field("x")],
            (_, Step::BlockStopped(_) | Step::Ended) => vec![field("x")],
            (_, _) => Vec::new(),
        };
        event.extras = fields.into_iter().collect::<serde_json::Map<_, _>>().into();
    }
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("not empty", |text| !text.is_empty())
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,8}"
}
