//! Writes what is released: as it came while nothing differs from the upstream, encoded anew after the first difference.

use bytes::{Bytes, BytesMut};
use luthien_proto::{
    event::{BlockDelta, BlockStarted, CallError, Delta, Event, FinishReason, Kind, Started, Step},
    json::Extras,
    proxy::{Turn, turn},
    request::Dialect,
};

use crate::{
    conversion::Leaving,
    dialect::{self, ResponseEncoder},
    gate::Released,
};

/// Writes one response.
#[derive(Debug)]
pub struct Writer {
    dialect: Dialect,
    form: Form,
    turn: Turn,
    differs: bool,
    /// What a response starts with that a policy makes before the upstream's has.
    stand_in: Started,
    /// What every event passes for a client of another dialect.
    conversion: Option<Leaving>,
    converted: Vec<Event>,
    out: BytesMut,
}

/// What the response is written as.
#[derive(Debug)]
pub enum Form {
    /// SSE events, as they come.
    Stream(ResponseEncoder),
    /// One body, when it is complete.
    Whole(Vec<Event>),
}

impl Form {
    fn write(&mut self, event: Event, out: &mut BytesMut) {
        match self {
            Self::Stream(encoder) => encoder.encode(&event, out),
            Self::Whole(events) => events.push(event),
        }
    }
}

/// What came of writing.
#[derive(Debug)]
pub struct Written {
    /// The bytes for the client; may be empty.
    pub bytes: Bytes,
    /// Whether that was the last of it.
    pub over: Option<Over>,
}

/// What the client is to be told of a failure.
#[derive(Debug, PartialEq)]
pub struct Failure {
    /// The error.
    pub error: CallError,
    /// The upstream's unknown fields of it.
    pub extras: Extras,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { error, extras: Extras::NONE }
    }
}

/// How a response is over.
#[derive(Debug, PartialEq)]
pub enum Over {
    /// It is complete.
    Complete,
    /// It failed, and the bytes say so.
    Failed(CallError),
    /// It failed, and the client has to be told.
    FailedUntold(Failure),
}

impl Writer {
    /// For a response of that form.
    pub fn new(dialect: Dialect, form: Form, stand_in: Started, conversion: Option<Leaving>) -> Self {
        Self {
            dialect,
            form,
            turn: Turn::new(dialect),
            differs: false,
            stand_in,
            conversion,
            converted: Vec::new(),
            out: BytesMut::new(),
        }
    }

    /// Writes SSE events from now on, and what was to stand in a whole body first.
    pub fn stream(&mut self, mut encoder: ResponseEncoder) {
        if let Form::Whole(events) = &self.form {
            events.iter().for_each(|event| encoder.encode(event, &mut self.out));
        }
        self.form = Form::Stream(encoder);
    }

    /// Takes note of what the upstream says, whatever becomes of it.
    pub fn hear(&mut self, events: &[Event]) {
        events.iter().for_each(|event| self.turn.hear(&event.step));
    }

    /// Writes what the gate released.
    ///
    /// # Errors
    /// An event can't be written where it stands: the policy service is at fault. What was written stands.
    pub fn write(&mut self, released: Released) -> Result<Written, turn::Error> {
        match released.original {
            Some(original) if !self.differs => self.write_original(original, &released.events),
            Some(_) | None => self.write_anew(released.events),
        }
    }

    /// Finishes the response properly, for that reason or for the one that fits.
    ///
    /// # Errors
    /// A tool call has been begun and not stopped: it is never completed by us.
    pub fn finish(&mut self, reason: Option<FinishReason>) -> Result<Written, turn::Error> {
        self.differs = true;
        self.start_if_idle();
        for event in self.turn.unfinished(reason) {
            self.put(event)?;
        }
        self.put(Step::Ended.into())?;
        Ok(self.take(Some(Over::Complete)))
    }

    /// Takes back what was written last and has not left: it leaves with what comes next.
    pub fn put_back(&mut self, mut bytes: BytesMut) {
        bytes.unsplit(self.out.split());
        self.out = bytes;
    }

    /// The in-band error of the dialect: nothing follows it.
    pub fn failure(&mut self, failure: Failure) -> Bytes {
        // What was relayed has begun without us.
        let is_ours = self.conversion.is_some();
        if is_ours && dialect::fails_begun(self.dialect) && !self.turn.has_started() {
            let started = Step::Started(std::mem::take(&mut self.stand_in));
            self.put_through(started.into());
        }
        if let Form::Stream(encoder) = &mut self.form {
            let Failure { error, extras } = failure;
            // Another dialect's own fields mean nothing to the client.
            let extras = if self.conversion.is_some() { Extras::NONE } else { extras };
            encoder.encode(&Event { step: Step::Failed(error), extras }, &mut self.out);
        }
        self.out.split().freeze()
    }

    /// Takes note of what is relayed: if it breaks off, its error has to fit what came before.
    pub fn follow(&mut self, events: &[Event]) {
        if let Form::Stream(encoder) = &mut self.form {
            events.iter().for_each(|event| encoder.observe(event));
        }
    }

    fn write_original(&mut self, original: Bytes, events: &[Event]) -> Result<Written, turn::Error> {
        let mut over = None;
        for event in events {
            self.turn.write(&event.step)?;
            if let Form::Stream(encoder) = &mut self.form {
                encoder.observe(event);
            }
            over = over_after(&event.step).or(over);
        }
        Ok(Written { bytes: original, over })
    }

    fn write_anew(&mut self, events: Vec<Event>) -> Result<Written, turn::Error> {
        self.differs = true;
        for event in events {
            match event.step {
                Step::Failed(error) => {
                    self.turn.write(&Step::Failed(error.clone()))?;
                    let failure = Failure { error, extras: event.extras };
                    return Ok(self.take(Some(Over::FailedUntold(failure))));
                }
                Step::Ended => return self.end(event),
                Step::Started(_)
                | Step::BlockStarted(_)
                | Step::BlockDelta(_)
                | Step::BlockStopped(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_) => self.put(event)?,
            }
        }
        Ok(self.take(None))
    }

    /// Writes the end, and whatever has to stand before it.
    fn end(&mut self, ended: Event) -> Result<Written, turn::Error> {
        self.start_if_idle();
        for event in self.turn.unfinished(None) {
            self.put(event)?;
        }
        self.put(ended)?;
        Ok(self.take(Some(Over::Complete)))
    }

    /// Writes one event, and the stops that have to stand before it.
    fn put(&mut self, mut event: Event) -> Result<(), turn::Error> {
        match &mut event.step {
            // Clients of OpenAI's count on a time, and not all that are compatible tell one.
            Step::Started(started) => started.created = started.created.or(self.stand_in.created),
            Step::Failed(_) => {}
            Step::BlockStarted(started) => {
                self.start_if_idle();
                if started.kind.kind() != Kind::ToolCall {
                    self.stop_blocks(started.choice)?;
                }
                let gap = self.gap_in(started);
                self.encode(event)?;
                return gap.map_or(Ok(()), |gap| self.encode(gap));
            }
            // The stop of a block that had to stop before another could start.
            Step::BlockStopped(key) if self.turn.has_stopped(*key) => return Ok(()),
            Step::Finished(finished) => {
                self.start_if_idle();
                self.turn.fit(finished);
                self.stop_blocks(finished.choice)?;
            }
            Step::BlockDelta(_) | Step::BlockStopped(_) | Step::Usage(_) | Step::Opaque(_) | Step::Ended => {
                self.start_if_idle();
            }
        }
        self.encode(event)
    }

    /// What parts a text from the one before it, where a policy made either and the dialect joins them.
    fn gap_in(&self, started: &BlockStarted) -> Option<Event> {
        if started.kind.kind() != Kind::Text || !dialect::joins_texts(self.dialect) {
            return None;
        }
        let before = self.turn.last_text(started.choice)?;
        let apart = before.is_policys() || started.block.is_policys();
        let gap = BlockDelta { block: started.block, delta: Delta::Text("\n\n".to_owned()) };
        apart.then(|| Step::BlockDelta(gap).into())
    }

    fn stop_blocks(&mut self, choice: u32) -> Result<(), turn::Error> {
        self.turn.unstopped(choice).into_iter().try_for_each(|stop| self.encode(stop))
    }

    fn start_if_idle(&mut self) {
        if self.turn.is_idle() {
            let started = Step::Started(std::mem::take(&mut self.stand_in));
            let wrote = self.encode(started.into());
            debug_assert!(wrote.is_ok(), "an idle response can start");
        }
    }

    fn encode(&mut self, event: Event) -> Result<(), turn::Error> {
        self.turn.write(&event.step)?;
        self.put_through(event);
        Ok(())
    }

    /// Writes what becomes of an event for this client.
    fn put_through(&mut self, event: Event) {
        match &mut self.conversion {
            Some(conversion) => {
                conversion.event(event, &mut self.converted);
                self.converted.drain(..).for_each(|event| self.form.write(event, &mut self.out));
            }
            None => self.form.write(event, &mut self.out),
        }
    }

    fn take(&mut self, over: Option<Over>) -> Written {
        match (&mut self.form, &over) {
            (Form::Whole(events), Some(Over::Complete)) => {
                let body = dialect::encode_whole(self.dialect, &std::mem::take(events));
                return Written { bytes: body, over };
            }
            (Form::Stream(encoder), _) => encoder.flush(&mut self.out),
            (Form::Whole(_), Some(Over::Failed(_) | Over::FailedUntold(_)) | None) => {}
        }
        Written { bytes: self.out.split().freeze(), over }
    }
}

fn over_after(step: &Step) -> Option<Over> {
    match step {
        Step::Ended => Some(Over::Complete),
        Step::Failed(error) => Some(Over::Failed(error.clone())),
        Step::Started(_)
        | Step::BlockStarted(_)
        | Step::BlockDelta(_)
        | Step::BlockStopped(_)
        | Step::Usage(_)
        | Step::Finished(_)
        | Step::Opaque(_) => None,
    }
}
