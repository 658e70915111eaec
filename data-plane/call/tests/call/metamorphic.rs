//! Losing the policy service, however often and wherever, changes no byte that the client gets.

use std::time::Duration;

use luthien_call::call::{Content, Input};
use luthien_proto::{
    Chunk, ToService,
    event::{BlockDelta, BlockKey, Delta, Step},
    message::{Applied, Decision, FailureMode},
};
use proptest::{collection::vec, prelude::*};

use crate::rig::{GATE_ALL, LIMITS, Rig, made_text, message_end, message_start, text_block, tool_delta, tool_start};

/// A policy service that decides by what it was told and by nothing else: it passes, rewrites, drops, injects, and holds
/// some chunks until the next one has come.
#[derive(Default)]
struct Service {
    /// How many of the messages on the stream that is open were read.
    read: usize,
    chunks: Vec<Chunk>,
    /// How many of its verdicts are behind it: said, or applied before the stream was opened.
    said: usize,
    applied: Applied,
    injected: u64,
}

impl Service {
    /// Reads what it is told, and says at most so many verdicts. How many it said.
    fn run(&mut self, rig: &mut Rig, most: usize) -> usize {
        let mut count = 0;
        loop {
            let told: Vec<ToService> = rig.told[self.read..].to_vec();
            if told.is_empty() {
                return count;
            }
            self.read += told.len();
            told.into_iter().for_each(|message| self.hear(message));
            while let Some((through, decision)) = self.next() {
                if count == most {
                    return count;
                }
                rig.verdict(through, decision);
                count += 1;
                if rig.done.is_some() {
                    return count;
                }
            }
            rig.working();
        }
    }

    fn hear(&mut self, message: ToService) {
        match message {
            ToService::CallResumed(resumed) => {
                let applied = resumed.applied;
                *self = Self { read: self.read, applied, ..Self::default() };
            }
            ToService::Chunks(chunks) => self.chunks.extend(chunks),
            _ => {}
        }
    }

    /// The next verdict that was not applied yet, if it can be decided.
    fn next(&mut self) -> Option<(u64, Decision)> {
        loop {
            let (through, decision) = self.decide(self.said)?;
            self.said += 1;
            let injects = self.said.is_multiple_of(2);
            let was_applied = match injects {
                false => through <= self.applied.settled,
                true if through < self.applied.settled => true,
                true if through == self.applied.settled => {
                    self.injected += 3;
                    self.injected <= self.applied.injected
                }
                true => false,
            };
            let says_nothing = injects && !matches!(&decision, Decision::Replace(events) if !events.is_empty());
            if !was_applied && !says_nothing {
                return Some((through, decision));
            }
        }
    }

    /// Its verdicts come in pairs: on a chunk, and what is put behind that.
    fn decide(&self, number: usize) -> Option<(u64, Decision)> {
        let at = number / 2;
        let chunk = self.chunks.get(at)?;
        let (seq, step) = (chunk.seq, &chunk.event.step);
        let waits = seq % 3 == 0 && !step.is_last();
        if waits && self.chunks.len() == at + 1 {
            return None;
        }
        if number % 2 == 1 {
            let has_room = matches!(step, Step::BlockStopped(_)) && seq % 2 == 0;
            let made = if has_room { made_text(u32::try_from(seq).unwrap(), "injected") } else { Vec::new() };
            return Some((seq, Decision::Replace(made)));
        }
        Some((
            seq,
            match step {
                Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }) if seq % 5 == 1 => {
                    Decision::Replace(rewritten(*block, text))
                }
                Step::BlockDelta(BlockDelta { delta: Delta::Text(_), .. }) if seq % 5 == 2 => {
                    Decision::Replace(Vec::new())
                }
                _ => Decision::Pass,
            },
        ))
    }
}

fn rewritten(block: BlockKey, text: &str) -> Vec<luthien_proto::Event> {
    vec![Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text.to_uppercase()) }).into()]
}

/// What the client gets where the service is lost after each of so many verdicts.
fn run(pieces: &[String], losses: &[usize]) -> (String, Option<bool>) {
    let mut rig = Rig::resumable(LIMITS, Duration::from_secs(15));
    rig.admit_resumable(GATE_ALL, FailureMode::Closed);
    rig.head(200, Content::Sse);
    let mut service = Service { read: 1, ..Service::default() };
    let mut losses = losses.iter().copied();
    let mut left = losses.next();
    let mut drive = |rig: &mut Rig| {
        loop {
            let said = service.run(rig, left.unwrap_or(usize::MAX));
            match &mut left {
                Some(most) if said >= *most => {
                    service.read = 0;
                    rig.input(Input::ServiceClosed(Err("gone".into())));
                    left = losses.next();
                    // In case it was lost before, and waits a little.
                    rig.after(Duration::from_millis(600));
                }
                Some(most) => {
                    *most -= said;
                    return;
                }
                None => return,
            }
        }
    };
    for piece in pieces {
        rig.data(piece);
        drive(&mut rig);
    }
    rig.end();
    drive(&mut rig);
    (rig.text().to_owned(), rig.finished)
}

fn response() -> impl Strategy<Value = Vec<String>> {
    let texts = vec(vec("[a-z]{1,6}", 1..6), 1..4);
    (texts, any::<bool>(), vec(any::<prop::sample::Index>(), 0..6)).prop_map(|(texts, calls, cuts)| {
        let mut body = message_start();
        for (index, deltas) in texts.iter().enumerate() {
            let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
            body += &text_block(u32::try_from(index).unwrap(), &deltas);
        }
        if calls {
            let index = u32::try_from(texts.len()).unwrap();
            body += &(tool_start(index, "t", "f") + &tool_delta(index, "{}") + &crate::rig::stop(index));
        }
        body += &message_end(if calls { "tool_use" } else { "end_turn" });
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| body[pair[0]..pair[1]].to_owned()).filter(|piece| !piece.is_empty()).collect()
    })
}

proptest! {
    #[test]
    fn a_lost_policy_service_changes_nothing_that_the_client_gets(
        pieces in response(),
        losses in vec(0..6_usize, 0..8),
    ) {
        let (expected, complete) = run(&pieces, &[]);
        prop_assert_eq!(complete, Some(true));
        prop_assert_eq!(run(&pieces, &losses), (expected, complete));
    }
}
