//! The grammar of a response as the client sees it: what has been written, and so what may be written next.
//!
//! ```text
//! idle ──Started──▶ answering ──Ended | Failed──▶ over
//!                      │ per choice: blocks start, have deltas, stop ──Finished──▶ no more blocks
//! ```

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Event, FinishReason, Finished, Kind, Step},
    request::Dialect,
};

/// An event that can't be written where it stands.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A response starts once.
    #[error("the response has started already")]
    StartedTwice,
    /// Nothing follows the last event.
    #[error("the response is over")]
    Over,
    /// A key names one block.
    #[error("block {} has been started already", .0.0)]
    BlockTwice(BlockKey),
    /// A delta or a stop needs an open block.
    #[error("block {} is not open", .0.0)]
    NotOpen(BlockKey),
    /// A delta has to be of its block's kind.
    #[error("block {} has no deltas of this sort", .0.0)]
    WrongDelta(BlockKey),
    /// A choice is finished once, and has no blocks after that.
    #[error("choice {0} is finished")]
    ChoiceFinished(u32),
    /// A dialect of one choice has a place for no other.
    #[error("the client's dialect has no choice {0}")]
    NoSuchChoice(u32),
    /// A tool call is completed by whoever makes it, never by its end being cut off.
    #[error("tool call {} has not stopped", .0.0)]
    ToolCallOpen(BlockKey),
}

/// What has been written of a response.
#[derive(Clone, Debug)]
pub struct Turn {
    places: Places,
    state: State,
    started: bool,
    open: Vec<OpenBlock>,
    /// Keys of the blocks that have stopped; sorted.
    stopped: Vec<BlockKey>,
    choices: Vec<Choice>,
}

/// For which choices there is a place.
#[derive(Clone, Debug)]
enum Places {
    All,
    /// For the first. What else the upstream has is dropped where it is converted, with what a policy makes of it.
    First {
        dropped: BTreeSet<u32>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Answering,
    Over,
}

#[derive(Clone, Debug)]
struct OpenBlock {
    key: BlockKey,
    choice: u32,
    sort: Sort,
}

/// What deltas a block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Prose,
    Thinking,
    ToolCall,
    Opaque,
}

#[derive(Clone, Debug)]
struct Choice {
    number: u32,
    finished: bool,
    /// Whether the client is to run a tool that was called in it.
    has_tool_calls: bool,
    /// The last block of text in it.
    last_text: Option<BlockKey>,
}

impl Turn {
    /// For a client of that dialect.
    pub fn new(dialect: Dialect) -> Self {
        let places = if dialect.has_choices() { Places::All } else { Places::First { dropped: BTreeSet::new() } };
        let (open, stopped, choices) = (Vec::new(), Vec::new(), Vec::new());
        Self { places, state: State::Idle, started: false, open, stopped, choices }
    }

    /// Takes note of what the upstream says, whatever becomes of it.
    pub fn hear(&mut self, step: &Step) {
        match (&mut self.places, step) {
            (Places::First { dropped }, Step::BlockStarted(BlockStarted { choice: choice @ 1.., .. }))
            | (Places::First { dropped }, Step::Finished(Finished { choice: choice @ 1.., .. })) => {
                dropped.insert(*choice);
            }
            (Places::All | Places::First { .. }, _) => {}
        }
    }

    /// Whether nothing has been written.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether its start has been written.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Takes one more event as written.
    ///
    /// # Errors
    /// The event can't be written here; nothing has changed then.
    pub fn write(&mut self, step: &Step) -> Result<(), Error> {
        match (self.state, step) {
            (State::Over, _) => return Err(Error::Over),
            (State::Answering, Step::Started(_)) => return Err(Error::StartedTwice),
            (State::Idle | State::Answering, _) => {}
        }
        match step {
            Step::Started(_) => (self.state, self.started) = (State::Answering, true),
            Step::BlockStarted(started) => self.start_block(started)?,
            Step::BlockDelta(delta) => self.check_delta(delta)?,
            Step::BlockStopped(key) => self.stop_block(*key)?,
            Step::Finished(finished) => self.finish(finished)?,
            Step::Ended | Step::Failed(_) => self.state = State::Over,
            Step::Usage(_) | Step::Opaque(_) => {}
        }
        Ok(())
    }

    /// A finish as it fits what was written: tools are to be run only if a tool call remains.
    pub fn fit(&self, finished: &mut Finished) {
        if finished.reason == FinishReason::ToolUse && !self.has_tool_calls(finished.choice) {
            finished.reason = FinishReason::EndTurn;
            finished.word.clear();
        }
    }

    /// Whether a block has been started and has stopped.
    pub fn has_stopped(&self, key: BlockKey) -> bool {
        self.stopped.binary_search(&key).is_ok()
    }

    /// The last block of text that was begun in a choice.
    pub fn last_text(&self, choice: u32) -> Option<BlockKey> {
        self.choices.iter().find(|it| it.number == choice)?.last_text
    }

    /// The blocks of a choice that have to stop before another can start, or before it can be finished. Tool calls are
    /// not among them.
    pub fn unstopped(&self, choice: u32) -> Vec<Event> {
        let stoppable = self.open.iter().filter(|block| block.choice == choice && block.sort != Sort::ToolCall);
        stoppable.map(|block| Step::BlockStopped(block.key).into()).collect()
    }

    /// The finishes that are missing before the response can end. At least one choice is always finished.
    pub fn unfinished(&self, reason: Option<FinishReason>) -> Vec<Event> {
        let mut numbers: Vec<u32> = self.choices.iter().filter(|c| !c.finished).map(|c| c.number).collect();
        if self.choices.is_empty() {
            numbers.push(0);
        }
        numbers.sort_unstable();
        let fitting = |number| match self.has_tool_calls(number) {
            true => FinishReason::ToolUse,
            false => FinishReason::EndTurn,
        };
        let finish = |number| Finished::new(number, reason.unwrap_or_else(|| fitting(number)));
        numbers.into_iter().map(|number| Step::Finished(finish(number)).into()).collect()
    }

    fn has_tool_calls(&self, number: u32) -> bool {
        self.choices.iter().any(|choice| choice.number == number && choice.has_tool_calls)
    }

    fn check_place(&self, choice: u32) -> Result<(), Error> {
        match &self.places {
            Places::First { dropped } if choice > 0 && !dropped.contains(&choice) => Err(Error::NoSuchChoice(choice)),
            Places::All | Places::First { .. } => Ok(()),
        }
    }

    fn start_block(&mut self, started: &BlockStarted) -> Result<(), Error> {
        self.check_place(started.choice)?;
        let key = started.block;
        let known = self.has_stopped(key) || self.open.iter().any(|block| block.key == key);
        if known {
            return Err(Error::BlockTwice(key));
        }
        let choice = self.choice(started.choice);
        if choice.finished {
            return Err(Error::ChoiceFinished(started.choice));
        }
        choice.has_tool_calls |= is_clients_tool_call(&started.kind);
        if started.kind.kind() == Kind::Text {
            choice.last_text = Some(key);
        }
        self.open.push(OpenBlock { key, choice: started.choice, sort: sort(&started.kind) });
        Ok(())
    }

    fn check_delta(&self, delta: &BlockDelta) -> Result<(), Error> {
        let block = self.open.iter().find(|block| block.key == delta.block).ok_or(Error::NotOpen(delta.block))?;
        let fits = match &delta.delta {
            Delta::Text(_) => matches!(block.sort, Sort::Prose | Sort::Thinking),
            Delta::Arguments(_) => block.sort == Sort::ToolCall,
            Delta::Signature(_) => block.sort == Sort::Thinking,
            Delta::Opaque(_) => true,
        };
        if fits { Ok(()) } else { Err(Error::WrongDelta(delta.block)) }
    }

    fn stop_block(&mut self, key: BlockKey) -> Result<(), Error> {
        let at = self.open.iter().position(|block| block.key == key).ok_or(Error::NotOpen(key))?;
        self.open.remove(at);
        if let Err(place) = self.stopped.binary_search(&key) {
            self.stopped.insert(place, key);
        }
        Ok(())
    }

    fn finish(&mut self, finished: &Finished) -> Result<(), Error> {
        self.check_place(finished.choice)?;
        let of_choice = |block: &&OpenBlock| block.choice == finished.choice && block.sort == Sort::ToolCall;
        if let Some(block) = self.open.iter().find(of_choice) {
            return Err(Error::ToolCallOpen(block.key));
        }
        let choice = self.choice(finished.choice);
        if std::mem::replace(&mut choice.finished, true) {
            return Err(Error::ChoiceFinished(finished.choice));
        }
        Ok(())
    }

    fn choice(&mut self, number: u32) -> &mut Choice {
        let at = self.choices.iter().position(|choice| choice.number == number).unwrap_or_else(|| {
            self.choices.push(Choice { number, finished: false, has_tool_calls: false, last_text: None });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }
}

/// Whether a block is a tool call that the client is to run.
pub fn is_clients_tool_call(kind: &BlockKind) -> bool {
    match kind {
        BlockKind::ToolCall(call) => call.form.is_clients(),
        BlockKind::Text
        | BlockKind::Thinking { .. }
        | BlockKind::RedactedThinking { .. }
        | BlockKind::Refusal
        | BlockKind::Opaque(_) => false,
    }
}

fn sort(kind: &BlockKind) -> Sort {
    match kind {
        BlockKind::Text | BlockKind::Refusal => Sort::Prose,
        BlockKind::Thinking { .. } => Sort::Thinking,
        BlockKind::ToolCall(_) => Sort::ToolCall,
        BlockKind::RedactedThinking { .. } | BlockKind::Opaque(_) => Sort::Opaque,
    }
}
