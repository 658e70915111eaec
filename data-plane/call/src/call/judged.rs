//! The way of a response through a call: gate, tail, writer.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use luthien_proto::{
    event::{Chunk, Event, FinishReason, Kind, Started, Step},
    message::{Decision, Interest, Level, Verdict},
    request::Dialect,
};

use super::fault::Fault;
use crate::{
    conversion::Leaving,
    dialect::ResponseEncoder,
    gate::{Gate, Released},
    stats::Stats,
    tail::Tail,
    upstream::{Arrival, Passage},
    writer::{Failure, Form, Over, Writer, Written},
};

/// Whom a response is for.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// What the client speaks.
    pub dialect: Dialect,
    /// How many alternative answers it asked for.
    pub choices: u32,
    /// What a response starts with that the upstream did not begin.
    pub stand_in: Started,
    /// What every event passes, where the upstream speaks another dialect.
    pub conversion: Option<Leaving>,
}

/// What becomes of a response on its way to the client.
#[derive(Debug)]
pub struct Judged {
    passage: Passage,
    /// Whether anything is gated.
    gates: bool,
    gate: Gate,
    tail: Tail,
    writer: Writer,
    /// What the gate released and the tail did not keep.
    ready: VecDeque<Released>,
    /// The last chunk that was written, or whose replacement was.
    written: u64,
    /// Whether it was a verdict that ended the response.
    ended_by_policy: bool,
}

impl Judged {
    /// For a call in which `interest` was declared, by a policy service that knows these kinds of block.
    pub fn new(recipient: &Recipient, interest: Interest, known: &[Kind]) -> Self {
        let Recipient { dialect, choices, stand_in, conversion } = recipient.clone();
        let gates = interest.gates();
        Self {
            passage: if gates || conversion.is_some() { Passage::Decoded } else { Passage::Relay },
            gates,
            gate: Gate::new(interest, known),
            tail: Tail::new(choices, interest.of(Kind::ToolCall) == Level::Gate),
            writer: Writer::new(dialect, Form::Whole(Vec::new()), stand_in, conversion),
            ready: VecDeque::new(),
            written: 0,
            ended_by_policy: false,
        }
    }

    /// The client's dialect is written otherwise; nothing was.
    pub fn convert_with(&mut self, recipient: &Recipient) {
        let Recipient { dialect, stand_in, conversion, .. } = recipient.clone();
        self.writer = Writer::new(dialect, Form::Whole(Vec::new()), stand_in, conversion);
    }

    /// How what is read goes on.
    pub fn passage(&self) -> Passage {
        self.passage
    }

    /// Whether anything is gated.
    pub fn gates(&self) -> bool {
        self.gates
    }

    /// The last chunk that was written, or whose replacement was.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether it was a verdict that ended the response.
    pub fn is_ended_by_policy(&self) -> bool {
        self.ended_by_policy
    }

    /// Whether a verdict ends the response, now or when all before it was written.
    pub fn is_ending(&self) -> bool {
        self.gate.is_ending()
    }

    /// The last chunk that a verdict named.
    pub fn settled(&self) -> u64 {
        self.gate.settled()
    }

    /// Whether a chunk waits for its verdict.
    pub fn is_holding(&self) -> bool {
        self.gate.is_holding()
    }

    /// Whether everything that has arrived is settled and has left.
    pub fn is_spent(&self) -> bool {
        self.gate.is_empty() && self.ready.is_empty()
    }

    /// The bytes that arrived and were not written.
    pub fn held_bytes(&self) -> usize {
        self.gate.held_bytes() + self.tail.bytes()
    }

    /// What became of the chunks so far.
    pub fn stats(&self) -> Stats {
        self.gate.stats()
    }

    /// The response is written as SSE events.
    pub fn stream(&mut self, encoder: ResponseEncoder) {
        self.writer.stream(encoder);
    }

    /// Takes in what arrived, and says how each chunk of it is to be reported.
    pub fn arrive(&mut self, arrival: Arrival, arrived_us: u64) -> Vec<(Chunk, Level)> {
        self.writer.hear(&arrival.events);
        self.gate.push(arrival.original, arrival.size, arrival.events, arrived_us)
    }

    /// Less is wanted from now on.
    pub fn lower(&mut self, interest: Interest) {
        self.gate.lower(interest);
    }

    /// Applies a verdict.
    pub fn apply(&mut self, verdict: Verdict, sent: u64, now_us: u64) -> Result<(), Fault> {
        let only_passes = matches!(verdict.decision, Decision::Pass) && !verdict.cancel_upstream;
        if !self.gates && !only_passes {
            return Err(Fault::Protocol("a verdict would change a response of which nothing is gated".to_owned()));
        }
        Ok(self.gate.apply(verdict, sent, now_us)?)
    }

    /// These events, of no chunk, are the response.
    pub fn end_with(&mut self, events: Vec<Event>) -> Result<(), Fault> {
        let decision = Decision::End { events, reason: None };
        let verdict = Verdict { through: 0, decision, annotations: Vec::new(), cancel_upstream: false };
        Ok(self.gate.apply(verdict, 0, 0)?)
    }

    /// Passes all that is held, and all that comes.
    pub fn open(&mut self) {
        self.gate.open();
    }

    /// Whether all that comes passes unjudged.
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The first and the last chunk that passed since, though a verdict was owed, and how many there were.
    pub fn opened(&self) -> Option<(u64, u64, u64)> {
        self.gate.opened()
    }

    /// The last chunk that came.
    pub fn last_seq(&self) -> u64 {
        self.gate.last_seq()
    }

    /// Drops all that is held, and all that comes.
    pub fn shut(&mut self) {
        self.gate.shut();
        self.tail.discard();
        self.ready.clear();
    }

    /// What is to be written next.
    pub fn write_next(&mut self) -> Result<Option<Written>, Fault> {
        loop {
            if let Some(released) = self.ready.pop_front() {
                self.written = self.written.max(released.through);
                return self.write(released).map(Some);
            }
            if let Some(released) = self.gate.release() {
                self.ready.extend(self.tail.push(released));
                continue;
            }
            match self.gate.take_end() {
                Some(reason) => return self.finish(reason).map(Some),
                None => return Ok(None),
            }
        }
    }

    /// The in-band error of the dialect.
    pub fn failure(&mut self, failure: Failure) -> Bytes {
        self.writer.failure(failure)
    }

    fn write(&mut self, released: Released) -> Result<Written, Fault> {
        match self.passage {
            Passage::Decoded => Ok(self.writer.write(released)?),
            Passage::Relay => {
                if released.original.is_some() {
                    self.writer.follow(&released.events);
                }
                Ok(relay(released))
            }
        }
    }

    fn finish(&mut self, reason: Option<FinishReason>) -> Result<Written, Fault> {
        self.ended_by_policy = true;
        let mut bytes = BytesMut::new();
        match self.finish_into(&mut bytes, reason) {
            Ok(over) => Ok(Written { bytes: bytes.freeze(), over }),
            Err(fault) => {
                // What was written stands.
                self.writer.put_back(bytes);
                Err(fault)
            }
        }
    }

    fn finish_into(&mut self, bytes: &mut BytesMut, reason: Option<FinishReason>) -> Result<Option<Over>, Fault> {
        for released in self.tail.flush_for_end() {
            self.written = self.written.max(released.through);
            let written = self.write(released)?;
            bytes.extend_from_slice(&written.bytes);
            if written.over.is_some() {
                return Ok(written.over);
            }
        }
        let written = self.writer.finish(reason)?;
        bytes.extend_from_slice(&written.bytes);
        Ok(written.over)
    }
}

/// What was relayed is over when its bytes are; only what is missing has to be said.
fn relay(released: Released) -> Written {
    match released.original {
        Some(bytes) => Written { bytes, over: None },
        None => {
            let failed = released.events.into_iter().find_map(|event| match event.step {
                Step::Failed(error) => Some(error),
                Step::Started(_)
                | Step::BlockStarted(_)
                | Step::BlockDelta(_)
                | Step::BlockStopped(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_)
                | Step::Ended => None,
            });
            Written { bytes: Bytes::new(), over: failed.map(|error| Over::FailedUntold(error.into())) }
        }
    }
}
