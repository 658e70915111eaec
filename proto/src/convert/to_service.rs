//! What the proxy says.

use uuid::Uuid;

use super::{Malformed, each, extras, message, nested, set, status, to_each};
use crate::{
    event::{BlockDelta, Chunk, Event},
    json::Extras,
    message::{
        Applied, Block, CallEnded, CallResumed, CallStarted, Consultation, Header, Opened, Outcome, ToService, Waited,
    },
    request::Dialect,
    wire,
};

impl From<ToService> for wire::EnforceRequest {
    fn from(message: ToService) -> Self {
        use wire::enforce_request::Message as Wire;
        let message = match message {
            ToService::CallStarted(started) => Wire::CallStarted((*started).into()),
            ToService::Chunks(chunks) => Wire::Chunks(wire::Chunks { chunks: to_each(chunks) }),
            ToService::Block(block) => Wire::Block(block.into()),
            ToService::CallEnded(ended) => Wire::CallEnded(ended.into()),
            ToService::CallResumed(resumed) => Wire::CallResumed((*resumed).into()),
            ToService::Consultation(consultation) => Wire::Consultation(consultation.into()),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::EnforceRequest> for ToService {
    type Error = Malformed;

    fn try_from(request: wire::EnforceRequest) -> Result<Self, Malformed> {
        use wire::enforce_request::Message as Wire;
        Ok(match set(request.message, "message")? {
            Wire::CallStarted(started) => Self::CallStarted(Box::new(nested(started, "call_started")?)),
            Wire::Chunks(wire::Chunks { chunks }) => Self::Chunks(batch(chunks)?),
            Wire::Block(block) => Self::Block(nested(block, "block")?),
            Wire::CallEnded(ended) => Self::CallEnded(nested(ended, "call_ended")?),
            Wire::CallResumed(resumed) => Self::CallResumed(Box::new(nested(resumed, "call_resumed")?)),
            Wire::Consultation(consultation) => Self::Consultation(nested(consultation, "consultation")?),
        })
    }
}

fn batch(chunks: Vec<wire::Chunk>) -> Result<Vec<Chunk>, Malformed> {
    if chunks.is_empty() {
        return Err(Malformed::new("chunks.chunks", "empty"));
    }
    let chunks: Vec<Chunk> = each(chunks, "chunks.chunks")?;
    match chunks.windows(2).position(|pair| pair[0].seq >= pair[1].seq) {
        Some(i) => Err(Malformed::new("seq", "seqs have to rise").within(format_args!("chunks.chunks[{}]", i + 1))),
        None => Ok(chunks),
    }
}

impl From<CallResumed> for wire::CallResumed {
    fn from(CallResumed { epoch, admission, applied }: CallResumed) -> Self {
        let Applied { settled, injected, ended } = applied;
        Self { epoch, admission: admission.map(Into::into), settled, injected, ended }
    }
}

impl TryFrom<wire::CallResumed> for CallResumed {
    type Error = Malformed;

    fn try_from(resumed: wire::CallResumed) -> Result<Self, Malformed> {
        let wire::CallResumed { epoch, admission, settled, injected, ended } = resumed;
        if epoch == 0 {
            return Err(Malformed::new("epoch", "a call that is resumed had a stream before"));
        }
        let admission = admission.map(|admission| nested(admission, "admission")).transpose()?;
        Ok(Self { epoch, admission, applied: Applied { settled, injected, ended } })
    }
}

impl From<Consultation> for wire::Consultation {
    fn from(Consultation { id, events, reused }: Consultation) -> Self {
        Self { id, events: to_each(events), reused }
    }
}

impl TryFrom<wire::Consultation> for Consultation {
    type Error = Malformed;

    fn try_from(consultation: wire::Consultation) -> Result<Self, Malformed> {
        let events: Vec<Event> = each(consultation.events, "events")?;
        let lasts = events.iter().filter(|event| event.step.is_last()).count();
        if lasts != 1 || !events.last().is_some_and(|event| event.step.is_last()) {
            return Err(Malformed::new("events", "the last one, and no other, has to be Ended or Failed"));
        }
        Ok(Self { id: consultation.id, events, reused: consultation.reused })
    }
}

impl From<CallStarted> for wire::CallStarted {
    fn from(started: CallStarted) -> Self {
        Self {
            call_id: started.call_id.to_string(),
            started_at_us: started.started_at_us,
            dialect: wire::Dialect::from(started.dialect).into(),
            upstream_dialect: wire::Dialect::from(started.upstream_dialect).into(),
            upstream: started.upstream,
            route: started.route,
            upstream_model: started.upstream_model,
            client: started.client,
            session: started.session,
            dropped: started.dropped,
            omitted: started.omitted,
            capabilities: started.capabilities,
            headers: to_each(started.headers),
            request: Some(started.request.into()),
        }
    }
}

impl TryFrom<wire::CallStarted> for CallStarted {
    type Error = Malformed;

    fn try_from(started: wire::CallStarted) -> Result<Self, Malformed> {
        Ok(Self {
            call_id: call_id(&started.call_id)?,
            started_at_us: started.started_at_us,
            dialect: Dialect::from_wire(started.dialect, "dialect")?,
            upstream_dialect: Dialect::from_wire(started.upstream_dialect, "upstream_dialect")?,
            upstream: started.upstream,
            route: started.route,
            upstream_model: started.upstream_model,
            client: started.client,
            session: started.session,
            dropped: started.dropped,
            omitted: started.omitted,
            capabilities: started.capabilities,
            headers: started.headers.into_iter().map(Into::into).collect(),
            request: message(started.request, "request")?,
        })
    }
}

impl From<Header> for wire::Header {
    fn from(Header { name, value }: Header) -> Self {
        Self { name, value }
    }
}

impl From<wire::Header> for Header {
    fn from(wire::Header { name, value }: wire::Header) -> Self {
        Self { name, value }
    }
}

fn call_id(text: &str) -> Result<Uuid, Malformed> {
    Uuid::try_parse(text).map_err(|_| Malformed::new("call_id", "not a UUID"))
}

impl From<Block> for wire::Block {
    fn from(block: Block) -> Self {
        Self {
            first: block.first,
            last: block.last,
            first_arrived_us: block.first_arrived_us,
            last_arrived_us: block.last_arrived_us,
            started: Some(block.started.into()),
            extras_json: block.extras.into_text(),
            deltas: block.deltas.into_iter().map(delta_to_wire).collect(),
            stopped: block.stopped,
        }
    }
}

impl TryFrom<wire::Block> for Block {
    type Error = Malformed;

    fn try_from(block: wire::Block) -> Result<Self, Malformed> {
        if block.first == 0 {
            return Err(Malformed::new("first", "seqs begin at 1"));
        }
        if block.last < block.first {
            return Err(Malformed::new("last", "before the first"));
        }
        Ok(Self {
            first: block.first,
            last: block.last,
            first_arrived_us: block.first_arrived_us,
            last_arrived_us: block.last_arrived_us,
            started: message(block.started, "started")?,
            extras: extras(block.extras_json, "extras_json")?,
            deltas: deltas(block.deltas)?,
            stopped: block.stopped,
        })
    }
}

fn delta_to_wire((delta, extras): (BlockDelta, Extras)) -> wire::Delta {
    wire::Delta { delta: Some(delta.into()), extras_json: extras.into_text() }
}

fn deltas(deltas: Vec<wire::Delta>) -> Result<Vec<(BlockDelta, Extras)>, Malformed> {
    let one = |delta: wire::Delta| Ok((message(delta.delta, "delta")?, extras(delta.extras_json, "extras_json")?));
    let numbered = |(i, delta)| one(delta).map_err(|e: Malformed| e.within(format_args!("deltas[{i}]")));
    deltas.into_iter().enumerate().map(numbered).collect()
}

impl From<CallEnded> for wire::CallEnded {
    fn from(ended: CallEnded) -> Self {
        Self {
            outcome: wire::Outcome::from(ended.outcome).into(),
            written: ended.written,
            reason: ended.reason,
            status: ended.status.into(),
            upstream_status: ended.upstream_status.into(),
            upstream_first_us: ended.upstream_first_us,
            client_first_us: ended.client_first_us,
            ended_us: ended.ended_us,
            opened: ended.opened.map(Into::into),
            waited: (ended.waited != Waited::default()).then(|| ended.waited.into()),
        }
    }
}

impl TryFrom<wire::CallEnded> for CallEnded {
    type Error = Malformed;

    fn try_from(ended: wire::CallEnded) -> Result<Self, Malformed> {
        Ok(Self {
            outcome: ended.outcome().into(),
            written: ended.written,
            status: status(ended.status, "status")?,
            upstream_status: status(ended.upstream_status, "upstream_status")?,
            reason: ended.reason,
            upstream_first_us: ended.upstream_first_us,
            client_first_us: ended.client_first_us,
            ended_us: ended.ended_us,
            opened: ended.opened.map(|opened| nested(opened, "opened")).transpose()?,
            waited: ended.waited.map(Into::into).unwrap_or_default(),
        })
    }
}

impl From<Waited> for wire::Waited {
    fn from(Waited { chunks, total_us, longest_us }: Waited) -> Self {
        Self { chunks, total_us, longest_us }
    }
}

impl From<wire::Waited> for Waited {
    fn from(wire::Waited { chunks, total_us, longest_us }: wire::Waited) -> Self {
        Self { chunks, total_us, longest_us }
    }
}

impl From<Opened> for wire::Opened {
    fn from(Opened { first, last, chunks, cause, reason }: Opened) -> Self {
        Self { first, last, chunks, cause: wire::ServiceFailure::from(cause).into(), reason }
    }
}

impl TryFrom<wire::Opened> for Opened {
    type Error = Malformed;

    fn try_from(opened: wire::Opened) -> Result<Self, Malformed> {
        let cause = opened.cause().into();
        let wire::Opened { first, last, chunks, reason, .. } = opened;
        if last < first {
            return Err(Malformed::new("last", "before the first"));
        }
        Ok(Self { first, last, chunks, cause, reason })
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::CutByClient => Self::CutByClient,
            Outcome::EndedByPolicy => Self::EndedByPolicy,
            Outcome::Failed => Self::Failed,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl From<wire::Outcome> for Outcome {
    fn from(outcome: wire::Outcome) -> Self {
        match outcome {
            wire::Outcome::Delivered => Self::Delivered,
            wire::Outcome::CutByClient => Self::CutByClient,
            wire::Outcome::EndedByPolicy => Self::EndedByPolicy,
            wire::Outcome::Failed => Self::Failed,
            wire::Outcome::Unknown | wire::Outcome::Unspecified => Self::Unknown,
        }
    }
}
