//! A span that is exported if anybody asked for it, and has ids for the log in any case.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer,
    },
};

/// The longest text of an attribute.
const TEXT_MAX: usize = 256;

/// What a call's first span of a process is to other spans.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It continues the trace of this one.
    Parent(SpanContext),
    /// It begins a trace, and points at this one.
    Link(SpanContext),
    /// It begins a trace.
    None,
}

/// A span; it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: SpanContext,
    recorded: Option<opentelemetry_sdk::trace::Span>,
    failed: bool,
}

impl Span {
    /// The first span of a call in this process. Where none are exported, the ids come from the call's.
    pub fn begin(name: &'static str, kind: SpanKind, origin: Origin, call_id: [u8; 16]) -> Self {
        let Some(tracer) = super::tracer() else {
            return Self { context: unrecorded(origin, call_id), recorded: None, failed: false };
        };
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        let (builder, parent) = match origin {
            Origin::Parent(parent) => (builder, Context::new().with_remote_span_context(parent)),
            Origin::Link(other) => (builder.with_links(vec![Link::with_context(other)]), Context::new()),
            Origin::None => (builder, Context::new()),
        };
        Self::of(tracer.build_with_context(builder, &parent))
    }

    /// A span within this one.
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        match (super::tracer(), &self.recorded) {
            (Some(tracer), Some(_)) => {
                let parent = Context::new().with_remote_span_context(self.context.clone());
                Self::of(tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), &parent))
            }
            (_, _) => Self { context: self.context.clone(), recorded: None, failed: false },
        }
    }

    fn of(span: opentelemetry_sdk::trace::Span) -> Self {
        Self { context: span.span_context().clone(), recorded: span.is_recording().then_some(span), failed: false }
    }

    /// Its ids.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether anybody will see what is set.
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Sets an attribute. Once.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Sets an attribute to a text that somebody else chose, as far as it is not too long. Once.
    pub fn set_text(&mut self, key: &'static str, text: &str) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new(key, clip(text)));
        }
    }

    /// Ends it as of then.
    pub fn end_at(mut self, at: SystemTime) {
        if let Some(span) = &mut self.recorded {
            span.end_with_timestamp(at);
        }
    }

    /// Adds an event.
    pub fn event(
        &mut self,
        name: &'static str,
        at: SystemTime,
        attributes: impl IntoIterator<Item = (&'static str, Value)>,
    ) {
        if let Some(span) = &mut self.recorded {
            let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
            span.add_event_with_timestamp(name, at, attributes);
        }
    }

    /// Marks it as failed; `error` is one of few words. The first counts.
    pub fn fail(&mut self, error: &'static str) {
        let first = !std::mem::replace(&mut self.failed, true);
        if let (Some(span), true) = (&mut self.recorded, first) {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(error));
        }
    }
}

/// As much of a text as an attribute takes.
pub fn clip(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The parent's trace, or one named after the call. Whoever records further on is asked to.
fn unrecorded(origin: Origin, call_id: [u8; 16]) -> SpanContext {
    if let Origin::Parent(parent) = origin {
        return parent;
    }
    let [_, _, _, _, _, _, _, _, span @ ..] = call_id;
    let (trace, span) = (TraceId::from_bytes(call_id), SpanId::from_bytes(span));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{parse_traceparent, traceparent};

    #[test]
    fn without_an_exporter_a_call_still_has_ids() {
        let span = Span::begin("call", SpanKind::Server, Origin::None, [0xab; 16]);
        assert_eq!(traceparent(span.context()), format!("00-{}-{}-01", "ab".repeat(16), "ab".repeat(8)));
        assert!(!span.is_recorded());
        let parent = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let span = Span::begin("call", SpanKind::Server, Origin::Parent(parent.clone()), [0xab; 16]);
        assert_eq!(span.child("inner", SpanKind::Internal).context(), &parent);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"ü".repeat(300)), "ü".repeat(256) + "…");
    }
}
