//! What the upstream says.

use bytes::Bytes;
use luthien_proto::event::{CallError, Event, Step};

use super::{
    Content, Output, UpstreamHead,
    answer::failed_reason,
    life::{Call, Service, Upstream},
};
use crate::{
    dialect::ResponseEncoder,
    stats::UpstreamFailure,
    upstream::{Arrival, Passage, Reader},
};

impl Call {
    pub(super) fn upstream_answered(&mut self, head: UpstreamHead) {
        if !matches!(self.upstream, Upstream::Asked) {
            return;
        }
        self.clocks.heard_upstream(self.now);
        self.marks.upstream_status = head.status;
        self.marks.upstream_first_us = self.elapsed_us();
        let passage = self.judged.passage();
        let success = (200..300).contains(&head.status);
        // In another dialect, the client gets the form that it asked for.
        self.marks.stream =
            success && if self.conversion.is_some() { self.streams } else { head.content == Content::Sse };
        if self.marks.stream {
            self.judged.stream(ResponseEncoder::new(self.recipient.dialect));
        }
        let dialect = self.upstream_dialect;
        let reader = match (head.content, passage) {
            (Content::Sse, _) if success => Some(Reader::events(passage, dialect, &self.limits)),
            (Content::Json, _) => Some(Reader::whole(passage, dialect, head.status, &self.limits)),
            (Content::Sse | Content::Other, Passage::Decoded) if !success => {
                Some(Reader::whole(passage, dialect, head.status, &self.limits))
            }
            (Content::Sse | Content::Other | Content::Encoded, Passage::Relay) => Some(Reader::unread()),
            (Content::Sse | Content::Other | Content::Encoded, Passage::Decoded) => None,
        };
        let Some(reader) = reader else {
            let message = match head.content {
                Content::Encoded => "The upstream's response is compressed, and can't be read",
                Content::Sse | Content::Json | Content::Other => {
                    "The upstream's response is of a content type that can't be read"
                }
            };
            return self.upstream_failed(502, message, None);
        };
        self.upstream = Upstream::Reading(reader);
        if passage == Passage::Relay {
            self.open_head();
        }
    }

    pub(super) fn upstream_sent(&mut self, data: Bytes) {
        self.clocks.heard_upstream(self.now);
        if let Upstream::Reading(reader) = &mut self.upstream {
            let arrivals = reader.data(data);
            self.arrived(arrivals);
        }
        if self.conversion.as_ref().is_some_and(|conversion| conversion.held_bytes() > self.limits.body) {
            self.upstream_failed(502, "The arguments of a tool call are longer than what can be read", None);
        }
    }

    pub(super) fn upstream_ended(&mut self) {
        let Upstream::Reading(reader) = &mut self.upstream else { return };
        let arrivals = reader.end();
        self.upstream = Upstream::Over;
        self.arrived(arrivals);
        if self.judged.passage() == Passage::Relay {
            self.complete();
        }
    }

    /// `message` is for the client; `why`, which may name hosts, for the record and the log.
    pub(super) fn upstream_failed(&mut self, status: u16, message: &str, why: Option<String>) {
        if matches!(self.upstream, Upstream::Idle | Upstream::Over) {
            return;
        }
        self.marks.upstream_error = why;
        self.upstream_failure.get_or_insert(match (status, self.marks.upstream_status) {
            (504, _) => UpstreamFailure::TimedOut,
            (_, 0) => UpstreamFailure::Unreachable,
            (_, _) => UpstreamFailure::BrokenOff,
        });
        let error = CallError { status, message: message.to_owned(), ..CallError::default() };
        let arrivals = match std::mem::replace(&mut self.upstream, Upstream::Over) {
            Upstream::Asked => vec![Arrival { original: None, size: 0, events: vec![Step::Failed(error).into()] }],
            Upstream::Reading(mut reader) => {
                let over = reader.is_over();
                let arrivals = reader.cut(error);
                // A relayed body that broke off behind its last event, or that was not read, is not whole.
                if over && self.judged.passage() == Passage::Relay && self.is_answering() {
                    self.abort(self.marks.upstream_error.clone().unwrap_or_default());
                }
                arrivals
            }
            Upstream::Idle | Upstream::Over => Vec::new(),
        };
        self.out.push_back(Output::CancelUpstream);
        self.arrived(arrivals);
    }

    pub(super) fn arrived(&mut self, arrivals: Vec<Arrival>) {
        let arrived_us = self.elapsed_us();
        for mut arrival in arrivals {
            self.convert(&mut arrival);
            arrival.events.iter().for_each(|event| self.heard.hear(event));
            if let Some(error) = arrival.events.last().and_then(failed) {
                self.marks.upstream_error.get_or_insert_with(|| failed_reason(error));
                self.upstream_failure.get_or_insert(UpstreamFailure::Failed);
            }
            let size = arrival.size / arrival.events.len().max(1);
            for (chunk, level) in self.judged.arrive(arrival, arrived_us) {
                match self.service {
                    Service::Judging | Service::Unheeded => self.reporter.add(chunk, level, size),
                    Service::Asked | Service::Told | Service::Gone | Service::Closed => {}
                }
            }
            self.write();
        }
    }

    /// What comes of another dialect is put into the client's names, and never goes on as it came.
    fn convert(&mut self, arrival: &mut Arrival) {
        let Some(conversion) = &mut self.conversion else { return };
        arrival.original = None;
        arrival.events = conversion.events(std::mem::take(&mut arrival.events));
        if let Some(error) = arrival.events.last().and_then(failed) {
            self.marks.answered_error = (self.marks.upstream_status != 0).then(|| error.clone());
        }
    }

    pub(super) fn cancel_upstream(&mut self) {
        match std::mem::replace(&mut self.upstream, Upstream::Over) {
            Upstream::Asked | Upstream::Reading(_) => self.out.push_back(Output::CancelUpstream),
            Upstream::Idle | Upstream::Over => {}
        }
    }
}

fn failed(event: &Event) -> Option<&CallError> {
    match &event.step {
        Step::Failed(error) => Some(error),
        Step::Started(_)
        | Step::BlockStarted(_)
        | Step::BlockDelta(_)
        | Step::BlockStopped(_)
        | Step::Usage(_)
        | Step::Finished(_)
        | Step::Opaque(_)
        | Step::Ended => None,
    }
}
