//! A call as a trace: `luthien.call`, and within it `luthien.upstream`. Never content, never credentials.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Uri};
use luthien_call::call::{Call, Fate, Heard, Input, Output};
use luthien_proto::{
    event::FinishReason,
    message::{AdmissionDecision, CallEnded, CallStarted, Reply},
    request::Dialect,
};
use luthien_service::telemetry::{
    Array, Origin, Span, SpanContext, SpanKind, Value, clip, parse_traceparent, traceparent,
};
use uuid::Uuid;

use crate::{metrics, refusal::Refusal};

const TRACEPARENT: &str = "traceparent";

/// The spans of a call.
pub(crate) struct Trace {
    call: Span,
    /// From the request to the upstream to the end of its answer.
    upstream: Option<Span>,
    /// When that answer ended. What it said may be told later.
    upstream_ended: Option<SystemTime>,
    exchange: Exchange,
}

/// What is known of the exchange with the upstream.
#[derive(Default)]
struct Exchange {
    call_id: String,
    dialect: Option<Dialect>,
    host: String,
    port: Option<u16>,
    model: String,
    max_tokens: Option<u64>,
}

impl Trace {
    /// Begins with a request. Only clients that are known may say which trace theirs belongs to; to those of others it is
    /// linked.
    pub(crate) fn begin(id: Uuid, dialect: Dialect, headers: &HeaderMap, knows_client: bool) -> Self {
        let origin = match client_context(headers) {
            Some(context) if knows_client => Origin::Parent(context),
            Some(context) => Origin::Link(context),
            None => Origin::None,
        };
        let mut call = Span::begin("luthien.call", SpanKind::Server, origin, id.into_bytes());
        if call.is_recorded() {
            call.set("luthien.call_id", id.to_string());
            call.set("luthien.dialect", dialect.name());
        }
        Self { call, upstream: None, upstream_ended: None, exchange: Exchange::default() }
    }

    /// The ids of the call's span.
    pub(crate) fn context(&self) -> &SpanContext {
        self.call.context()
    }

    /// The same, for whoever is to continue the trace.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&traceparent(self.context())).ok()
    }

    /// The request became no call.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.call.fail(refusal.kind());
    }

    /// The request became a call, and this is where it would go.
    pub(crate) fn routed(&mut self, started: &CallStarted, uri: &Uri) {
        if !self.call.is_recorded() {
            return;
        }
        self.call.set_text("luthien.route", &started.route);
        self.call.set_text("luthien.upstream", &started.upstream);
        if !started.client.is_empty() {
            self.call.set_text("luthien.client", &started.client);
        }
        self.call.set("luthien.stream", started.request.stream);
        self.call.set_text("gen_ai.request.model", &started.request.model);
        self.exchange = Exchange {
            call_id: started.call_id.to_string(),
            dialect: Some(started.upstream_dialect),
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().or(if uri.scheme_str() == Some("https") { Some(443) } else { Some(80) }),
            model: clip(&started.upstream_model),
            max_tokens: started.request.sampling.max_output_tokens,
        };
    }

    /// What happens to the call.
    pub(crate) fn input(&mut self, input: &Input) {
        if !self.call.is_recorded() {
            return;
        }
        match input {
            Input::Service(message) => match &message.message {
                Reply::Admission(admission) => {
                    self.call.set_text("luthien.revision", &admission.revision);
                    let decision = match admission.decision {
                        AdmissionDecision::Forward(_) => "forward",
                        AdmissionDecision::Reject(_) => "reject",
                        AdmissionDecision::Answer(_) => "answer",
                    };
                    self.call.set("luthien.admission", decision);
                }
                Reply::Verdict(_)
                | Reply::Working
                | Reply::Interest(_)
                | Reply::Consult(_)
                | Reply::CancelConsult(_) => {}
            },
            Input::UpstreamHead(head) => {
                if let Some(upstream) = &mut self.upstream {
                    upstream.set("http.response.status_code", i64::from(head.status));
                }
            }
            Input::UpstreamEnd | Input::UpstreamFailed(_) => self.upstream_over(),
            Input::ServiceClosed(_)
            | Input::Consulted { .. }
            | Input::UpstreamData(_)
            | Input::ClientTook(_)
            | Input::ClientGone
            | Input::Tick => {}
        }
    }

    fn upstream_over(&mut self) {
        self.upstream_ended.get_or_insert_with(SystemTime::now);
    }

    /// What the call does.
    pub(crate) fn output(&mut self, output: &Output) {
        if !self.call.is_recorded() {
            return;
        }
        match output {
            Output::Forward(_) => self.forward(),
            Output::CancelUpstream => self.upstream_over(),
            Output::OpenService
            | Output::Tell(_)
            | Output::CloseService
            | Output::DropService
            | Output::Ended(_)
            | Output::Report(_)
            | Output::Consult(_)
            | Output::CancelConsult(_)
            | Output::Head(_)
            | Output::Write(_)
            | Output::Finish
            | Output::Abort
            | Output::Done(_) => {}
        }
    }

    /// The call is over.
    pub(crate) fn done(&mut self, call: &Call, ended: &CallEnded) {
        if !self.call.is_recorded() {
            return;
        }
        let stats = call.stats();
        let error = metrics::error(ended.upstream_status, stats.upstream_failure);
        if let Some(mut upstream) = self.upstream.take() {
            tell(call.heard(), &mut upstream);
            if let Some(error) = error {
                upstream.fail(error);
            }
            upstream.end_at(self.upstream_ended.unwrap_or_else(SystemTime::now));
        }
        self.call.set("luthien.outcome", ended.outcome.name());
        self.call.set("http.response.status_code", i64::from(ended.status));
        for (key, fate) in [
            ("luthien.chunks.unjudged", Fate::Unjudged),
            ("luthien.chunks.passed", Fate::Passed),
            ("luthien.chunks.replaced", Fate::Replaced),
            ("luthien.chunks.dropped", Fate::Dropped),
            ("luthien.chunks.opened", Fate::Opened),
            ("luthien.chunks.withheld", Fate::Withheld),
        ] {
            self.call.set(key, count(stats.total(fate)));
        }
        self.call.set("luthien.held_ms", stats.waited.total_us as f64 / 1e3);
        if let Some(failure) = stats.service_failure {
            self.call.fail(failure.name());
        } else if let Some(error) = error {
            self.call.fail(error);
        }
    }

    fn forward(&mut self) {
        let mut span = self.call.child("luthien.upstream", SpanKind::Client);
        let exchange = &self.exchange;
        span.set("luthien.call_id", exchange.call_id.clone());
        span.set("gen_ai.operation.name", "chat");
        if let Some(dialect) = exchange.dialect {
            span.set("luthien.dialect", dialect.name());
            span.set("gen_ai.provider.name", provider(dialect));
        }
        span.set("gen_ai.request.model", exchange.model.clone());
        if let Some(tokens) = exchange.max_tokens {
            span.set("gen_ai.request.max_tokens", count(tokens));
        }
        span.set("server.address", exchange.host.clone());
        if let Some(port) = exchange.port {
            span.set("server.port", i64::from(port));
        }
        self.upstream = Some(span);
    }
}

/// What the answer says of itself.
fn tell(heard: &Heard, span: &mut Span) {
    if let Some(started) = &heard.started {
        span.set_text("gen_ai.response.id", &started.id);
        span.set_text("gen_ai.response.model", &started.model);
    }
    if !heard.finishes.is_empty() {
        let finishes = heard.finishes.iter().map(|reason| finish(*reason).into()).collect();
        span.set("gen_ai.response.finish_reasons", Value::Array(Array::String(finishes)));
    }
    let Some(usage) = &heard.usage else { return };
    let inputs = [usage.input, usage.cache_read, usage.cache_write];
    if inputs.iter().any(Option::is_some) {
        span.set("gen_ai.usage.input_tokens", count(inputs.into_iter().flatten().fold(0, u64::saturating_add)));
    }
    if let Some(output) = usage.output {
        span.set("gen_ai.usage.output_tokens", count(output));
    }
}

/// One `traceparent`; several say nothing.
fn client_context(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    parse_traceparent(value.to_str().ok()?)
}

/// The provider whose format it is: who really answers, nobody can know.
fn provider(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "openai",
        Dialect::AnthropicMessages => "anthropic",
        Dialect::Gemini => "gcp.gemini",
    }
}

fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndTurn => "end_turn",
        FinishReason::MaxTokens => "max_tokens",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::ToolUse => "tool_use",
        FinishReason::Refusal => "refusal",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ContextWindow => "context_window",
        FinishReason::Pause => "pause",
        FinishReason::Other => "other",
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
