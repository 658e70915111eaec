//! The grammar of a response, as `call.proto` and the comments on Replace say: whether what the client would get is one.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::wire::{
    BlockDelta, BlockStarted, Event, block_delta::Delta, block_started::Kind, event::Event as Step,
};

/// What has been written of a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Grammar {
    begun: bool,
    over: bool,
    /// Choice and sort of each open block.
    open: BTreeMap<u32, (u32, Sort)>,
    stopped: BTreeSet<u32>,
    finished: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Prose,
    Thinking,
    Call,
    Other,
}

impl Grammar {
    /// Takes one more event as written; says why it can't be.
    pub fn write(&mut self, event: &Event) -> Result<(), String> {
        if self.over {
            return Err("something stands behind the last event".to_owned());
        }
        let Some(step) = &event.event else { return Err("an event says nothing".to_owned()) };
        match step {
            Step::Started(_) if self.begun => {
                return Err("the response starts twice, or after something else".to_owned());
            }
            Step::Started(_) | Step::Usage(_) | Step::Opaque(_) => {}
            Step::BlockStarted(started) => self.start(started)?,
            Step::BlockDelta(delta) => self.delta(delta)?,
            Step::BlockStopped(stop) => self.stop(stop.block)?,
            Step::Finished(finished) => self.finish(finished.choice)?,
            Step::Ended(_) | Step::Failed(_) => self.over = true,
        }
        self.begun = true;
        Ok(())
    }

    /// A tool call that has not stopped: nobody but who makes it can complete it.
    pub fn open_call(&self) -> Option<u32> {
        self.open.iter().find(|(_, (_, sort))| *sort == Sort::Call).map(|(key, _)| *key)
    }

    fn start(&mut self, started: &BlockStarted) -> Result<(), String> {
        let (key, choice) = (started.block, started.choice);
        let Some(kind) = &started.kind else { return Err(format!("block {key} is of no kind")) };
        if self.open.contains_key(&key) || self.stopped.contains(&key) {
            return Err(format!("block {key} starts twice"));
        }
        if self.finished.contains(&choice) {
            return Err(format!("block {key} starts in choice {choice}, which is finished"));
        }
        let sort = sort(kind);
        if sort != Sort::Call {
            self.stop_all_but_calls(choice);
        }
        self.open.insert(key, (choice, sort));
        Ok(())
    }

    fn delta(&self, delta: &BlockDelta) -> Result<(), String> {
        let key = delta.block;
        let Some((_, sort)) = self.open.get(&key) else {
            return Err(format!("a piece of block {key}, which is not open"));
        };
        let fits = match &delta.delta {
            Some(Delta::Text(_)) => matches!(sort, Sort::Prose | Sort::Thinking),
            Some(Delta::Arguments(_)) => *sort == Sort::Call,
            Some(Delta::Signature(_)) => *sort == Sort::Thinking,
            Some(Delta::OpaqueJson(_)) => true,
            None => false,
        };
        if fits { Ok(()) } else { Err(format!("a piece of block {key} that its kind has not")) }
    }

    /// The stop of a block that had to stop before another could start says nothing.
    fn stop(&mut self, key: u32) -> Result<(), String> {
        if self.stopped.contains(&key) {
            return Ok(());
        }
        self.open.remove(&key).ok_or_else(|| format!("the stop of block {key}, which is not open"))?;
        self.stopped.insert(key);
        Ok(())
    }

    fn finish(&mut self, choice: u32) -> Result<(), String> {
        let of_choice =
            |(key, (of, sort)): (&u32, &(u32, Sort))| (*of == choice && *sort == Sort::Call).then_some(*key);
        if let Some(key) = self.open.iter().find_map(of_choice) {
            return Err(format!("choice {choice} finishes, and tool call {key} has not stopped"));
        }
        self.stop_all_but_calls(choice);
        if self.finished.insert(choice) { Ok(()) } else { Err(format!("choice {choice} finishes twice")) }
    }

    fn stop_all_but_calls(&mut self, choice: u32) {
        let stops = |(_, (of, sort)): &(&u32, &(u32, Sort))| *of == choice && *sort != Sort::Call;
        let keys: Vec<u32> = self.open.iter().filter(stops).map(|(key, _)| *key).collect();
        for key in keys {
            self.open.remove(&key);
            self.stopped.insert(key);
        }
    }
}

fn sort(kind: &Kind) -> Sort {
    match kind {
        Kind::Text(_) | Kind::Refusal(_) => Sort::Prose,
        Kind::Thinking(_) => Sort::Thinking,
        Kind::ToolCall(_) => Sort::Call,
        Kind::RedactedThinking(_) | Kind::Opaque(_) => Sort::Other,
    }
}
