//! What the policy service says.

use serde_json::Value;

use super::{Malformed, each, json, message, nested, optional_object, set, to_each};
use crate::{
    event::{FinishReason, Kind},
    message::{
        Admission, AdmissionDecision, Annotation, Answer, Consult, Credentials, Decision, Edit, FailureMode, Forward,
        FromService, Interest, Level, Limits, Reject, Reply, Severity, Verdict,
    },
    request::Message,
    wire,
};

impl From<FromService> for wire::EnforceResponse {
    fn from(FromService { message, seen }: FromService) -> Self {
        use wire::enforce_response::Message as Wire;
        let message = match message {
            Reply::Admission(admission) => Wire::Admission(admission.into()),
            Reply::Verdict(verdict) => Wire::Verdict(verdict.into()),
            Reply::Working => Wire::Working(wire::Working {}),
            Reply::Interest(interest) => Wire::Interest(interest.into()),
            Reply::Consult(consult) => Wire::Consult((*consult).into()),
            Reply::CancelConsult(id) => Wire::CancelConsult(wire::CancelConsult { id }),
        };
        Self { message: Some(message), seen }
    }
}

impl TryFrom<wire::EnforceResponse> for FromService {
    type Error = Malformed;

    fn try_from(response: wire::EnforceResponse) -> Result<Self, Malformed> {
        use wire::enforce_response::Message as Wire;
        let message = match set(response.message, "message")? {
            Wire::Admission(admission) => Reply::Admission(nested(admission, "admission")?),
            Wire::Verdict(verdict) => Reply::Verdict(nested(verdict, "verdict")?),
            Wire::Working(wire::Working {}) => Reply::Working,
            Wire::Interest(interest) => Reply::Interest(interest.into()),
            Wire::Consult(consult) => Reply::Consult(Box::new(nested(consult, "consult")?)),
            Wire::CancelConsult(wire::CancelConsult { id }) => Reply::CancelConsult(id),
        };
        Ok(Self { message, seen: response.seen })
    }
}

impl From<Admission> for wire::Admission {
    fn from(Admission { decision, revision, pipeline, capabilities }: Admission) -> Self {
        let decision = match decision {
            AdmissionDecision::Forward(forward) => wire::admission::Decision::Forward(forward.into()),
            AdmissionDecision::Reject(reject) => wire::admission::Decision::Reject(reject.into()),
            AdmissionDecision::Answer(answer) => wire::admission::Decision::Answer(answer.into()),
        };
        Self { decision: Some(decision), revision, pipeline, capabilities }
    }
}

impl TryFrom<wire::Admission> for Admission {
    type Error = Malformed;

    fn try_from(admission: wire::Admission) -> Result<Self, Malformed> {
        let decision = match set(admission.decision, "decision")? {
            wire::admission::Decision::Forward(forward) => AdmissionDecision::Forward(nested(forward, "forward")?),
            wire::admission::Decision::Reject(reject) => AdmissionDecision::Reject(nested(reject, "reject")?),
            wire::admission::Decision::Answer(answer) => AdmissionDecision::Answer(nested(answer, "answer")?),
        };
        let wire::Admission { revision, pipeline, capabilities, .. } = admission;
        Ok(Self { decision, revision, pipeline, capabilities })
    }
}

impl From<Forward> for wire::Forward {
    fn from(forward: Forward) -> Self {
        Self {
            interest: Some(forward.interest.into()),
            failure_mode: wire::FailureMode::from(forward.failure_mode).into(),
            limits: Some(forward.limits.into()),
            known_kinds: forward.known_kinds.into_iter().map(|kind| wire::Kind::from(kind).into()).collect(),
            edits: to_each(forward.edits),
        }
    }
}

impl TryFrom<wire::Forward> for Forward {
    type Error = Malformed;

    fn try_from(forward: wire::Forward) -> Result<Self, Malformed> {
        Ok(Self {
            failure_mode: forward.failure_mode().into(),
            known_kinds: forward.known_kinds().filter_map(kind).collect(),
            interest: forward.interest.map_or(Interest::all(Level::Gate), Interest::from),
            limits: forward.limits.unwrap_or_default().into(),
            edits: each(forward.edits, "edits")?,
        })
    }
}

impl From<Answer> for wire::Answer {
    fn from(answer: Answer) -> Self {
        Self { events: to_each(answer.into_events()) }
    }
}

impl TryFrom<wire::Answer> for Answer {
    type Error = Malformed;

    fn try_from(answer: wire::Answer) -> Result<Self, Malformed> {
        Self::new(each(answer.events, "events")?).map_err(|error| Malformed::new("events", error.to_string()))
    }
}

impl From<Edit> for wire::Edit {
    fn from(edit: Edit) -> Self {
        use wire::edit::Edit as Wire;
        let at = |position, message: Message| wire::MessageAt { position, message: Some(message.into()) };
        let edit = match edit {
            Edit::ReplaceMessage(position, message) => Wire::ReplaceMessage(at(position, message)),
            Edit::InsertMessage(position, message) => Wire::InsertMessage(at(position, message)),
            Edit::DropMessage(position) => Wire::DropMessage(position),
            Edit::System(content) => Wire::System(wire::SystemContent { content: to_each(content) }),
            Edit::Tools(tools) => Wire::Tools(wire::Tools { tools: to_each(tools) }),
            Edit::Sampling(sampling) => Wire::Sampling(sampling.into()),
            Edit::Field(name, value) => {
                Wire::Field(wire::Field { name, json: value.map(|value| value.to_string()).unwrap_or_default() })
            }
        };
        Self { edit: Some(edit) }
    }
}

impl TryFrom<wire::Edit> for Edit {
    type Error = Malformed;

    fn try_from(edit: wire::Edit) -> Result<Self, Malformed> {
        use wire::edit::Edit as Wire;
        Ok(match set(edit.edit, "edit")? {
            Wire::ReplaceMessage(at) => Self::ReplaceMessage(at.position, message(at.message, "replace_message")?),
            Wire::InsertMessage(at) => Self::InsertMessage(at.position, message(at.message, "insert_message")?),
            Wire::DropMessage(position) => Self::DropMessage(position),
            Wire::System(wire::SystemContent { content }) => Self::System(each(content, "system.content")?),
            Wire::Tools(wire::Tools { tools }) => Self::Tools(each(tools, "tools.tools")?),
            Wire::Sampling(sampling) => Self::Sampling(nested(sampling, "sampling")?),
            Wire::Field(wire::Field { name, json: text }) => match text.as_str() {
                "" => Self::Field(name, None),
                text => Self::Field(name, Some(json(text, "field.json")?)),
            },
        })
    }
}

impl From<Consult> for wire::Consult {
    fn from(consult: Consult) -> Self {
        Self {
            id: consult.id,
            request: Some(consult.request.into()),
            upstream: consult.upstream,
            credentials: wire::Credentials::from(consult.credentials).into(),
            deadline_ms: consult.deadline_ms.unwrap_or(0),
            reuse: consult.reuse,
        }
    }
}

impl TryFrom<wire::Consult> for Consult {
    type Error = Malformed;

    fn try_from(consult: wire::Consult) -> Result<Self, Malformed> {
        if consult.id.is_empty() {
            return Err(Malformed::new("id", "not set"));
        }
        Ok(Self {
            credentials: consult.credentials().into(),
            id: consult.id,
            request: message(consult.request, "request")?,
            upstream: consult.upstream,
            deadline_ms: Some(consult.deadline_ms).filter(|&limit| limit != 0),
            reuse: consult.reuse,
        })
    }
}

impl From<Credentials> for wire::Credentials {
    fn from(credentials: Credentials) -> Self {
        match credentials {
            Credentials::Caller => Self::Caller,
            Credentials::Configured => Self::Configured,
        }
    }
}

impl From<wire::Credentials> for Credentials {
    fn from(credentials: wire::Credentials) -> Self {
        match credentials {
            wire::Credentials::Caller | wire::Credentials::Unspecified => Self::Caller,
            wire::Credentials::Configured => Self::Configured,
        }
    }
}

impl From<Reject> for wire::Reject {
    fn from(Reject { status, type_, message }: Reject) -> Self {
        Self { status: status.into(), r#type: type_, message }
    }
}

impl TryFrom<wire::Reject> for Reject {
    type Error = Malformed;

    fn try_from(reject: wire::Reject) -> Result<Self, Malformed> {
        let status = match reject.status {
            0 => 403,
            status => u16::try_from(status)
                .ok()
                .filter(|status| (400..=599).contains(status))
                .ok_or_else(|| Malformed::new("status", format!("{status} is not between 400 and 599")))?,
        };
        Ok(Self { status, type_: reject.r#type, message: reject.message })
    }
}

impl From<Kind> for wire::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Thinking => Self::Thinking,
            Kind::Refusal => Self::Refusal,
            Kind::ToolCall => Self::ToolCall,
            Kind::Opaque => Self::Opaque,
        }
    }
}

/// The kind, if this program has it.
fn kind(kind: wire::Kind) -> Option<Kind> {
    match kind {
        wire::Kind::Text => Some(Kind::Text),
        wire::Kind::Thinking => Some(Kind::Thinking),
        wire::Kind::Refusal => Some(Kind::Refusal),
        wire::Kind::ToolCall => Some(Kind::ToolCall),
        wire::Kind::Opaque => Some(Kind::Opaque),
        wire::Kind::Unspecified => None,
    }
}

impl From<Interest> for wire::Interest {
    fn from(interest: Interest) -> Self {
        let level = |kind| wire::Level::from(interest.of(kind)).into();
        Self {
            text: level(Kind::Text),
            thinking: level(Kind::Thinking),
            refusal: level(Kind::Refusal),
            tool_call: level(Kind::ToolCall),
            opaque: level(Kind::Opaque),
        }
    }
}

impl From<wire::Interest> for Interest {
    fn from(interest: wire::Interest) -> Self {
        Self::all(Level::Gate)
            .with(Kind::Text, interest.text().into())
            .with(Kind::Thinking, interest.thinking().into())
            .with(Kind::Refusal, interest.refusal().into())
            .with(Kind::ToolCall, interest.tool_call().into())
            .with(Kind::Opaque, interest.opaque().into())
    }
}

impl From<Level> for wire::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Record => Self::Record,
            Level::Observe => Self::Observe,
            Level::Gate => Self::Gate,
        }
    }
}

impl From<wire::Level> for Level {
    fn from(level: wire::Level) -> Self {
        match level {
            wire::Level::Record => Self::Record,
            wire::Level::Observe => Self::Observe,
            wire::Level::Gate | wire::Level::Unspecified => Self::Gate,
        }
    }
}

impl From<FailureMode> for wire::FailureMode {
    fn from(mode: FailureMode) -> Self {
        match mode {
            FailureMode::Open => Self::Open,
            FailureMode::Closed => Self::Closed,
        }
    }
}

impl From<wire::FailureMode> for FailureMode {
    fn from(mode: wire::FailureMode) -> Self {
        match mode {
            wire::FailureMode::Open => Self::Open,
            wire::FailureMode::Closed | wire::FailureMode::Unspecified => Self::Closed,
        }
    }
}

impl From<Limits> for wire::Limits {
    fn from(limits: Limits) -> Self {
        Self { hold_ms: limits.hold_ms.unwrap_or(0), held_bytes: limits.held_bytes.unwrap_or(0) }
    }
}

impl From<wire::Limits> for Limits {
    fn from(limits: wire::Limits) -> Self {
        let given = |number| Some(number).filter(|&number| number != 0);
        Self { hold_ms: given(limits.hold_ms), held_bytes: given(limits.held_bytes) }
    }
}

impl From<Verdict> for wire::Verdict {
    fn from(verdict: Verdict) -> Self {
        Self {
            through: verdict.through,
            decision: Some(verdict.decision.into()),
            annotations: to_each(verdict.annotations),
            cancel_upstream: verdict.cancel_upstream,
        }
    }
}

impl TryFrom<wire::Verdict> for Verdict {
    type Error = Malformed;

    fn try_from(verdict: wire::Verdict) -> Result<Self, Malformed> {
        Ok(Self {
            through: verdict.through,
            decision: set(verdict.decision, "decision")?.try_into()?,
            annotations: each(verdict.annotations, "annotations")?,
            cancel_upstream: verdict.cancel_upstream,
        })
    }
}

impl From<Decision> for wire::verdict::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Pass => Self::Pass(wire::Pass {}),
            Decision::Replace(events) => Self::Replace(wire::Replace { events: to_each(events) }),
            Decision::End { events, reason } => {
                let reason = reason.map_or(wire::FinishReason::Unspecified, Into::into);
                Self::End(wire::End { events: to_each(events), reason: reason.into() })
            }
        }
    }
}

impl TryFrom<wire::verdict::Decision> for Decision {
    type Error = Malformed;

    fn try_from(decision: wire::verdict::Decision) -> Result<Self, Malformed> {
        use wire::verdict::Decision as Wire;
        Ok(match decision {
            Wire::Pass(wire::Pass {}) => Self::Pass,
            Wire::Replace(wire::Replace { events }) => Self::Replace(each(events, "replace.events")?),
            Wire::End(wire::End { events, reason }) => {
                Self::End { events: each(events, "end.events")?, reason: FinishReason::from_wire(reason) }
            }
        })
    }
}

impl From<Annotation> for wire::Annotation {
    fn from(annotation: Annotation) -> Self {
        Self {
            policy: annotation.policy,
            seq: annotation.seq,
            severity: wire::Severity::from(annotation.severity).into(),
            summary: annotation.summary,
            details_json: annotation.details.as_ref().map(Value::to_string).unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::Annotation> for Annotation {
    type Error = Malformed;

    fn try_from(annotation: wire::Annotation) -> Result<Self, Malformed> {
        Ok(Self {
            severity: annotation.severity().into(),
            policy: annotation.policy,
            seq: annotation.seq,
            summary: annotation.summary,
            details: optional_object(&annotation.details_json, "details_json")?.map(Value::Object),
        })
    }
}

impl From<Severity> for wire::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Debug => Self::Debug,
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

impl From<wire::Severity> for Severity {
    fn from(severity: wire::Severity) -> Self {
        match severity {
            wire::Severity::Debug => Self::Debug,
            wire::Severity::Info => Self::Info,
            wire::Severity::Warning => Self::Warning,
            wire::Severity::Error | wire::Severity::Unspecified => Self::Error,
        }
    }
}
