//! What the client gets.

use bytes::Bytes;
use luthien_proto::{event::CallError, message::Outcome};

use super::{
    Head, Output,
    life::{Call, Client, Form, Upstream},
};
use crate::{
    conversion::failure,
    dialect::{self, ResponseEncoder},
    upstream::Passage,
    writer::{Failure, Over, Written},
};

impl Call {
    /// Writes all that may be written.
    pub(super) fn write(&mut self) {
        // Until the upstream's status is known nothing is written: neither the head nor the form is known before.
        if self.judged.is_ending() {
            self.answer_alone();
        }
        while self.is_answering() && !matches!(self.upstream, Upstream::Asked) {
            match self.judged.write_next() {
                Ok(Some(written)) => self.wrote(written),
                Ok(None) => return,
                // With failure mode `open`, what was held leaves now.
                Err(fault) => self.service_fault(fault),
            }
        }
    }

    /// Where the upstream has not answered and never will, what a policy answers has the form that was asked for.
    pub(super) fn answer_alone(&mut self) {
        let is_alone = matches!((&self.upstream, &self.client), (Upstream::Over, Client::Waiting));
        if is_alone && self.marks.upstream_status == 0 && self.streams && !self.marks.stream {
            self.marks.stream = true;
            self.judged.stream(ResponseEncoder::new(self.recipient.dialect));
        }
    }

    pub(super) fn wrote(&mut self, Written { bytes, over }: Written) {
        match over {
            Some(Over::FailedUntold(failure)) => {
                self.send(bytes);
                let reason = self.reason_of(&failure.error);
                self.judged.shut();
                self.tell_failure(failure, None, reason);
            }
            Some(Over::Failed(error)) => {
                self.send(bytes);
                self.judged.shut();
                let reason = self.reason_of(&error);
                self.finish(Outcome::Failed, reason);
            }
            Some(Over::Complete) => {
                self.send(bytes);
                self.judged.shut();
                self.complete();
            }
            None => self.send(bytes),
        }
    }

    pub(super) fn send(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.open_head();
        self.clocks.wrote(self.now);
        self.untaken += bytes.len();
        self.out.push_back(Output::Write(bytes));
    }

    /// Sends the head of a response, the upstream's if it has answered, if none was sent.
    pub(super) fn open_head(&mut self) {
        if !matches!(self.client, Client::Waiting) {
            return;
        }
        let form = if self.marks.stream { Form::Stream } else { Form::Whole };
        let content_type = match form {
            Form::Stream => dialect::CONTENT_TYPE_SSE,
            Form::Whole => dialect::CONTENT_TYPE_JSON,
        };
        let (status, head) = match (self.marks.upstream_status, self.conversion.is_some()) {
            (0, _) => (200, Head::Own { status: 200, content_type, retry_after: None }),
            (_, true) => (200, Head::Converted { status: 200, content_type }),
            (status, false) => (status, Head::Upstream { intact: self.judged.passage() == Passage::Relay }),
        };
        self.marks.status = status;
        self.opened(head, form);
    }

    pub(super) fn opened(&mut self, head: Head, form: Form) {
        self.marks.client_first_us = self.elapsed_us();
        self.client = Client::Answering(form);
        self.out.push_back(Output::Head(head));
    }

    /// The response is complete, as far as it is the upstream's or the policies'.
    pub(super) fn complete(&mut self) {
        if !self.is_answering() {
            return;
        }
        let relayed = self.judged.passage() == Passage::Relay;
        match (&self.marks.upstream_error, self.judged.is_ended_by_policy()) {
            (Some(reason), false) if relayed => self.finish(Outcome::Failed, reason.clone()),
            (_, true) => self.finish(Outcome::EndedByPolicy, String::new()),
            (_, false) => self.finish(Outcome::Delivered, String::new()),
        }
    }

    /// What the record says of a response that failed.
    fn reason_of(&self, error: &CallError) -> String {
        self.marks.upstream_error.clone().unwrap_or_else(|| failed_reason(error))
    }

    /// The body is complete, if only the head of it.
    pub(super) fn finish(&mut self, outcome: Outcome, reason: String) {
        self.open_head();
        self.client = Client::Complete(outcome, reason);
        self.out.push_back(Output::Finish);
    }

    pub(super) fn abort(&mut self, reason: String) {
        self.client = Client::Complete(Outcome::Failed, reason);
        self.out.push_back(Output::Abort);
    }

    /// Tells the client of an error, the way that is left.
    pub(super) fn tell_failure(&mut self, failure: Failure, retry_after: Option<u32>, reason: String) {
        match self.client {
            Client::Waiting => self.refuse(&failure.error, retry_after, Outcome::Failed, reason),
            Client::Answering(Form::Stream) => {
                let bytes = self.judged.failure(failure);
                self.send(bytes);
                self.finish(Outcome::Failed, reason);
            }
            Client::Answering(Form::Whole) => self.abort(reason),
            Client::Complete(..) | Client::Gone => {}
        }
    }

    /// Answers with an error, where nothing was sent.
    pub(super) fn refuse(&mut self, error: &CallError, retry_after: Option<u32>, outcome: Outcome, reason: String) {
        if !matches!(self.client, Client::Waiting) {
            return;
        }
        let dialect = self.recipient.dialect;
        let status = match error.status {
            400..600 => error.status,
            0 if self.conversion.is_some() => failure::late_status(error, dialect),
            _ => 502,
        };
        self.marks.status = status;
        let content_type = dialect::CONTENT_TYPE_JSON;
        // What the upstream's headers say of its error, they say of no other.
        let head = match self.conversion.is_some() && self.marks.answered_error.as_ref() == Some(error) {
            true => Head::Converted { status, content_type },
            false => Head::Own { status, content_type, retry_after },
        };
        self.opened(head, Form::Whole);
        self.send(dialect::error_body(dialect, &CallError { status, ..error.clone() }));
        self.finish(outcome, reason);
    }

    pub(super) fn client_gone(&mut self) {
        let got_all = matches!(self.client, Client::Complete(..)) && self.untaken == 0;
        if !got_all {
            self.client = Client::Gone;
        }
        self.untaken = 0;
        self.judged.shut();
        self.cancel_upstream();
    }
}

/// What the record says of an error; never content.
pub(super) fn failed_reason(error: &CallError) -> String {
    match error.status {
        0 => "an error within the stream".to_owned(),
        status => format!("an error with status {status}"),
    }
}
