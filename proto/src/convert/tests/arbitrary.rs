//! Any value of the checked types. Strategies are boxed: nested, they would outgrow the stack of a test's thread.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Chunk, Delta, Event, FinishReason, Finished, Kind,
        Started, Step, ToolCall, ToolForm, Usage,
    },
    json::Extras,
    message::{
        Admission, AdmissionDecision, Annotation, Answer, Applied, Block, CallEnded, CallReport, CallResumed,
        CallStarted, Consult, Consultation, Credentials, Decision, Edit, FailureMode, Forward, FromService, Header,
        Interest, Level, Limits, Opened, Outcome, Reject, Reply, ServiceFailure, Severity, ToService, Verdict, Waited,
    },
    request::{
        Content, ContentBlock, Dialect, Message, OutputFormat, Reasoning, ReasoningMode, Request, Sampling,
        ServiceOptions, Source, Tool, ToolChoice, ToolKind,
    },
};

fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[a-z_]{1,8}", "\\PC{0,12}"].boxed()
}

fn number() -> BoxedStrategy<f64> {
    prop_oneof![Just(0.0), Just(-0.5), Just(1.0), -1e9..1e9].boxed()
}

fn json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..3).prop_map(Value::from), object_of(inner).prop_map(Value::Object)]
    })
    .boxed()
}

fn object_of(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Map<String, Value>> {
    vec((text(), value), 0..3).prop_map(Map::from_iter).boxed()
}

fn extras() -> BoxedStrategy<Extras> {
    prop_oneof![3 => Just(Extras::NONE), 1 => object_of(json()).prop_map(Extras::from)].boxed()
}

fn tool_call() -> BoxedStrategy<ToolCall> {
    let form = select(vec![ToolForm::Function, ToolForm::Custom, ToolForm::Legacy, ToolForm::Server]);
    (text(), text(), text(), form, text())
        .prop_map(|(id, name, namespace, form, type_)| ToolCall { id, name, namespace, form, type_ })
        .boxed()
}

fn finish_reason() -> BoxedStrategy<FinishReason> {
    select(vec![
        FinishReason::EndTurn,
        FinishReason::MaxTokens,
        FinishReason::StopSequence,
        FinishReason::ToolUse,
        FinishReason::Refusal,
        FinishReason::ContentFilter,
        FinishReason::ContextWindow,
        FinishReason::Pause,
        FinishReason::Other,
    ])
    .boxed()
}

fn block_started() -> BoxedStrategy<BlockStarted> {
    let kind = prop_oneof![
        Just(BlockKind::Text),
        (text(), text()).prop_map(|(field, id)| BlockKind::Thinking { field, id }),
        text().prop_map(|data| BlockKind::RedactedThinking { data }),
        Just(BlockKind::Refusal),
        tool_call().prop_map(BlockKind::ToolCall),
        json().prop_map(BlockKind::Opaque),
    ];
    (any::<u32>(), any::<u32>(), kind)
        .prop_map(|(block, choice, kind)| BlockStarted { block: BlockKey(block), choice, kind })
        .boxed()
}

fn block_delta() -> BoxedStrategy<BlockDelta> {
    let delta = prop_oneof![
        text().prop_map(Delta::Text),
        text().prop_map(Delta::Arguments),
        text().prop_map(Delta::Signature),
        json().prop_map(Delta::Opaque),
    ];
    (any::<u32>(), delta).prop_map(|(block, delta)| BlockDelta { block: BlockKey(block), delta }).boxed()
}

fn usage() -> BoxedStrategy<Usage> {
    let tokens = || option::of(any::<u64>());
    (tokens(), tokens(), tokens(), tokens(), tokens(), extras())
        .prop_map(|(input, cache_read, cache_write, output, thinking, raw)| Usage {
            input,
            cache_read,
            cache_write,
            output,
            thinking,
            raw,
        })
        .boxed()
}

fn call_error() -> BoxedStrategy<CallError> {
    (any::<u16>(), text(), text(), text(), text())
        .prop_map(|(status, type_, message, code, param)| CallError { status, type_, message, code, param })
        .boxed()
}

fn started() -> BoxedStrategy<Started> {
    (text(), text(), option::of(any::<i64>())).prop_map(|(id, model, created)| Started { id, model, created }).boxed()
}

fn step() -> BoxedStrategy<Step> {
    let finished = (any::<u32>(), finish_reason(), text(), option::of(text()))
        .prop_map(|(choice, reason, word, stop_sequence)| Finished { choice, reason, word, stop_sequence });
    prop_oneof![
        started().prop_map(Step::Started),
        block_started().prop_map(Step::BlockStarted),
        block_delta().prop_map(Step::BlockDelta),
        any::<u32>().prop_map(|block| Step::BlockStopped(BlockKey(block))),
        usage().prop_map(Step::Usage),
        finished.prop_map(Step::Finished),
        json().prop_map(Step::Opaque),
        Just(Step::Ended),
        call_error().prop_map(Step::Failed),
    ]
    .boxed()
}

fn event() -> BoxedStrategy<Event> {
    (step(), extras()).prop_map(|(step, extras)| Event { step, extras }).boxed()
}

fn chunks() -> BoxedStrategy<Vec<Chunk>> {
    vec((1..1000_u64, any::<u64>(), event()), 1..4)
        .prop_map(|chunks| {
            let mut seq = 0;
            let mut numbered = |(step, arrived_us, event)| {
                seq += step;
                Chunk { seq, arrived_us, event }
            };
            chunks.into_iter().map(&mut numbered).collect()
        })
        .boxed()
}

fn content() -> BoxedStrategy<Content> {
    let leaf = prop_oneof![
        text().prop_map(ContentBlock::Text),
        (text(), text(), text()).prop_map(|(text, signature, id)| ContentBlock::Thinking { text, signature, id }),
        (source(), text()).prop_map(|(source, detail)| ContentBlock::Image { source, detail }),
        (source(), text()).prop_map(|(source, title)| ContentBlock::Document { source, title }),
        (text(), text()).prop_map(|(data, format)| ContentBlock::Audio { data, format }),
        text().prop_map(ContentBlock::RedactedThinking),
        text().prop_map(ContentBlock::Refusal),
        (tool_call(), text()).prop_map(|(call, arguments)| ContentBlock::ToolCall { call, arguments }),
        json().prop_map(ContentBlock::Opaque),
    ];
    let with_extras = |(block, extras)| Content { block, extras };
    (leaf, extras())
        .prop_map(with_extras)
        .prop_recursive(2, 6, 2, move |inner| {
            let result = (text(), option::of(any::<bool>()), vec(inner, 0..3))
                .prop_map(|(id, is_error, content)| ContentBlock::ToolResult { id, is_error, content });
            (result, extras()).prop_map(with_extras)
        })
        .boxed()
}

fn message() -> BoxedStrategy<Message> {
    (text(), vec(content(), 0..3), extras())
        .prop_map(|(role, content, extras)| Message { role, content, extras })
        .boxed()
}

fn request() -> BoxedStrategy<Request> {
    let talk = (vec(content(), 0..2), vec(message(), 0..3));
    let tools = (vec(tool(), 0..2), option::of(tool_choice()), option::of(any::<bool>()));
    let head = (text(), any::<bool>(), 1..9_u32, extras());
    let wishes = (sampling(), reasoning(), option::of(output()), service());
    (head, talk, tools, wishes)
        .prop_map(|((model, stream, choices, extras), (system, messages), tools, wishes)| {
            let (tools, tool_choice, parallel_tool_calls) = tools;
            let (sampling, reasoning, output, service) = wishes;
            Request {
                model,
                stream,
                choices,
                system,
                messages,
                tools,
                tool_choice,
                parallel_tool_calls,
                sampling,
                reasoning,
                output,
                service,
                extras,
            }
        })
        .boxed()
}

fn tool() -> BoxedStrategy<Tool> {
    let kind = prop_oneof![
        (json(), option::of(any::<bool>())).prop_map(|(schema, strict)| ToolKind::Function { schema, strict }),
        json().prop_map(|format| ToolKind::Custom { format }),
        json().prop_map(ToolKind::Hosted),
    ];
    (text(), text(), text(), kind, extras())
        .prop_map(|(name, namespace, description, kind, extras)| Tool { name, namespace, description, kind, extras })
        .boxed()
}

fn tool_choice() -> BoxedStrategy<ToolChoice> {
    prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        text().prop_map(ToolChoice::Named),
        (any::<bool>(), vec(text(), 0..3)).prop_map(|(required, names)| ToolChoice::Allowed { required, names }),
        json().prop_map(ToolChoice::Opaque),
    ]
    .boxed()
}

fn sampling() -> BoxedStrategy<Sampling> {
    let picks = (option::of(number()), option::of(number()), option::of(any::<u64>()));
    let penalties = (option::of(number()), option::of(number()));
    let rest = (option::of(any::<u64>()), vec(text(), 0..3), option::of(any::<i64>()), option::of(any::<u32>()));
    (picks, penalties, rest)
        .prop_map(|((temperature, top_p, top_k), (frequency_penalty, presence_penalty), rest)| {
            let (max_output_tokens, stop, seed, logprobs) = rest;
            Sampling {
                max_output_tokens,
                temperature,
                top_p,
                top_k,
                stop,
                seed,
                frequency_penalty,
                presence_penalty,
                logprobs,
            }
        })
        .boxed()
}

fn reasoning() -> BoxedStrategy<Reasoning> {
    let mode = prop_oneof![
        Just(ReasoningMode::Unset),
        Just(ReasoningMode::Off),
        Just(ReasoningMode::Adaptive),
        any::<u64>().prop_map(ReasoningMode::Budget),
    ];
    (mode, text(), option::of(any::<bool>()))
        .prop_map(|(mode, effort, shown)| Reasoning { mode, effort, shown })
        .boxed()
}

fn output() -> BoxedStrategy<OutputFormat> {
    prop_oneof![
        Just(OutputFormat::Text),
        Just(OutputFormat::JsonObject),
        (text(), text(), json(), option::of(any::<bool>())).prop_map(|(name, description, schema, strict)| {
            OutputFormat::JsonSchema { name, description, schema, strict }
        }),
    ]
    .boxed()
}

fn service() -> BoxedStrategy<ServiceOptions> {
    (text(), text(), text(), text(), option::of(any::<bool>()))
        .prop_map(|(end_user, cache_key, tier, verbosity, store)| ServiceOptions {
            end_user,
            cache_key,
            tier,
            verbosity,
            store,
        })
        .boxed()
}

fn source() -> BoxedStrategy<Source> {
    prop_oneof![
        (text(), text()).prop_map(|(media_type, data)| Source::Base64 { media_type, data }),
        text().prop_map(Source::Url),
        text().prop_map(Source::FileId),
        text().prop_map(Source::Text),
    ]
    .boxed()
}

fn call_started() -> BoxedStrategy<CallStarted> {
    let dialect = || select(Dialect::ALL.to_vec());
    let ids = (any::<u128>().prop_map(Uuid::from_u128), any::<i64>(), dialect(), dialect());
    let loss = (vec(text(), 0..2), vec(text(), 0..2));
    let headers = vec((text(), text()).prop_map(|(name, value)| Header { name, value }), 0..2);
    (ids, text(), text(), text(), (text(), text(), vec(text(), 0..2), headers), loss, request())
        .prop_map(
            |(
                (call_id, started_at_us, dialect, upstream_dialect),
                upstream,
                route,
                upstream_model,
                (client, session, capabilities, headers),
                (dropped, omitted),
                request,
            )| {
                CallStarted {
                    call_id,
                    started_at_us,
                    dialect,
                    upstream_dialect,
                    upstream,
                    route,
                    upstream_model,
                    client,
                    session,
                    dropped,
                    omitted,
                    capabilities,
                    headers,
                    request,
                }
            },
        )
        .boxed()
}

fn block() -> BoxedStrategy<Block> {
    let seqs = (1..1000_u64, 0..1000_u64, any::<u64>(), any::<u64>());
    (seqs, block_started(), extras(), vec((block_delta(), extras()), 0..3), any::<bool>())
        .prop_map(|((first, more, first_arrived_us, last_arrived_us), started, extras, deltas, stopped)| Block {
            first,
            last: first + more,
            first_arrived_us,
            last_arrived_us,
            started,
            extras,
            deltas,
            stopped,
        })
        .boxed()
}

fn call_ended() -> BoxedStrategy<CallEnded> {
    let outcome = select(vec![
        Outcome::Delivered,
        Outcome::CutByClient,
        Outcome::EndedByPolicy,
        Outcome::Failed,
        Outcome::Unknown,
    ]);
    let times = || (any::<u64>(), any::<u64>(), any::<u64>());
    (outcome, any::<u64>(), text(), any::<u16>(), any::<u16>(), times(), option::of(opened()), times())
        .prop_map(|(outcome, written, reason, status, upstream_status, times, opened, waited)| {
            let (upstream_first_us, client_first_us, ended_us) = times;
            let (chunks, total_us, longest_us) = waited;
            CallEnded {
                outcome,
                written,
                reason,
                status,
                upstream_status,
                upstream_first_us,
                client_first_us,
                ended_us,
                opened,
                waited: Waited { chunks, total_us, longest_us },
            }
        })
        .boxed()
}

fn opened() -> BoxedStrategy<Opened> {
    (any::<u32>(), any::<u32>(), any::<u64>(), select(ServiceFailure::ALL.to_vec()), text())
        .prop_map(|(first, more, chunks, cause, reason)| Opened {
            first: first.into(),
            last: u64::from(first) + u64::from(more),
            chunks,
            cause,
            reason,
        })
        .boxed()
}

pub fn call_report() -> BoxedStrategy<CallReport> {
    let judges = (text(), vec(text(), 0..2));
    let why = (select(ServiceFailure::ALL.to_vec()), text());
    (1..u32::MAX, call_started(), any::<bool>(), call_ended(), why, judges, option::of(usage()))
        .prop_map(|(epoch, started, request_left_out, ended, (cause, reason), (revision, pipeline), usage)| {
            CallReport {
                epoch,
                started: Box::new(started),
                request_left_out,
                ended,
                cause,
                reason,
                revision,
                pipeline,
                usage,
            }
        })
        .boxed()
}

pub fn to_service() -> BoxedStrategy<ToService> {
    prop_oneof![
        call_started().prop_map(|started| ToService::CallStarted(Box::new(started))),
        chunks().prop_map(ToService::Chunks),
        block().prop_map(ToService::Block),
        call_ended().prop_map(ToService::CallEnded),
        call_resumed().prop_map(|resumed| ToService::CallResumed(Box::new(resumed))),
        consultation().prop_map(ToService::Consultation),
    ]
    .boxed()
}

fn call_resumed() -> BoxedStrategy<CallResumed> {
    let applied = (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(settled, injected, ended)| Applied {
        settled,
        injected,
        ended,
    });
    (1..u32::MAX, option::of(admission()), applied)
        .prop_map(|(epoch, admission, applied)| CallResumed { epoch, admission, applied })
        .boxed()
}

fn consultation() -> BoxedStrategy<Consultation> {
    let last = prop_oneof![Just(Step::Ended), call_error().prop_map(Step::Failed)].prop_map(Event::from);
    let before = event().prop_filter("not the last", |event| !event.step.is_last());
    (text(), vec(before, 0..3), last, any::<bool>())
        .prop_map(|(id, mut events, last, reused)| {
            events.push(last);
            Consultation { id, events, reused }
        })
        .boxed()
}

fn edit() -> BoxedStrategy<Edit> {
    prop_oneof![
        (any::<u32>(), message()).prop_map(|(at, message)| Edit::ReplaceMessage(at, message)),
        (any::<u32>(), message()).prop_map(|(at, message)| Edit::InsertMessage(at, message)),
        any::<u32>().prop_map(Edit::DropMessage),
        vec(content(), 0..2).prop_map(Edit::System),
        vec(tool(), 0..2).prop_map(Edit::Tools),
        sampling().prop_map(Edit::Sampling),
        (text(), option::of(json())).prop_map(|(name, value)| Edit::Field(name, value)),
    ]
    .boxed()
}

fn consult() -> BoxedStrategy<Consult> {
    let credentials = select(vec![Credentials::Caller, Credentials::Configured]);
    ("[a-z]{1,8}", request(), text(), credentials, option::of(1..u64::MAX), any::<bool>())
        .prop_map(|(id, request, upstream, credentials, deadline_ms, reuse)| Consult {
            id,
            request,
            upstream,
            credentials,
            deadline_ms,
            reuse,
        })
        .boxed()
}

fn interest() -> BoxedStrategy<Interest> {
    vec(select(vec![Level::Record, Level::Observe, Level::Gate]), Kind::ALL.len())
        .prop_map(|levels| {
            let each = Kind::ALL.into_iter().zip(levels);
            each.fold(Interest::all(Level::Gate), |interest, (kind, level)| interest.with(kind, level))
        })
        .boxed()
}

fn admission() -> BoxedStrategy<Admission> {
    let limit = || option::of(1..u64::MAX);
    let limits = (limit(), limit()).prop_map(|(hold_ms, held_bytes)| Limits { hold_ms, held_bytes });
    let mode = select(vec![FailureMode::Open, FailureMode::Closed]);
    let forward = (interest(), mode, limits, vec(select(Kind::ALL.to_vec()), 0..6), vec(edit(), 0..3)).prop_map(
        |(interest, failure_mode, limits, known_kinds, edits)| Forward {
            interest,
            failure_mode,
            limits,
            known_kinds,
            edits,
        },
    );
    let reject = (400..=599_u16, text(), text()).prop_map(|(status, type_, message)| Reject { status, type_, message });
    let decision = prop_oneof![
        forward.prop_map(AdmissionDecision::Forward),
        reject.prop_map(AdmissionDecision::Reject),
        answer().prop_map(AdmissionDecision::Answer),
    ];
    (decision, text(), vec(text(), 0..3), vec(text(), 0..2))
        .prop_map(|(decision, revision, pipeline, capabilities)| Admission {
            decision,
            revision,
            pipeline,
            capabilities,
        })
        .boxed()
}

fn answer() -> BoxedStrategy<Answer> {
    let started = (started(), extras()).prop_map(|(started, extras)| Event { step: Step::Started(started), extras });
    let is_within = |event: &Event| !event.step.is_last() && !matches!(event.step, Step::Started(_));
    let within = event().prop_filter("stands first or last", is_within);
    (option::of(started), vec(within, 0..3))
        .prop_map(|(started, within)| {
            let events = started.into_iter().chain(within).chain([Step::Ended.into()]);
            Answer::new(events.collect()).expect("Started is first and Ended is last")
        })
        .boxed()
}

fn verdict() -> BoxedStrategy<Verdict> {
    let events = || vec(event(), 0..3);
    let decision = prop_oneof![
        Just(Decision::Pass),
        events().prop_map(Decision::Replace),
        (events(), option::of(finish_reason())).prop_map(|(events, reason)| Decision::End { events, reason }),
    ];
    let severity = select(vec![Severity::Debug, Severity::Info, Severity::Warning, Severity::Error]);
    let details = option::of(object_of(json()).prop_map(Value::Object));
    let annotation = (text(), any::<u64>(), severity, text(), details)
        .prop_map(|(policy, seq, severity, summary, details)| Annotation { policy, seq, severity, summary, details });
    (any::<u64>(), decision, vec(annotation, 0..3), any::<bool>())
        .prop_map(|(through, decision, annotations, cancel_upstream)| Verdict {
            through,
            decision,
            annotations,
            cancel_upstream,
        })
        .boxed()
}

pub fn from_service() -> BoxedStrategy<FromService> {
    let message = prop_oneof![
        admission().prop_map(Reply::Admission),
        verdict().prop_map(Reply::Verdict),
        Just(Reply::Working),
        interest().prop_map(Reply::Interest),
        consult().prop_map(|consult| Reply::Consult(Box::new(consult))),
        text().prop_map(Reply::CancelConsult),
    ];
    (message, any::<u64>()).prop_map(|(message, seen)| FromService { message, seen }).boxed()
}
