//! The faults that are planted: what stands in a file once, and what is put in its place. No program of ours has them.

/// A fault to be planted.
pub struct Planted {
    pub name: &'static str,
    pub file: &'static str,
    pub find: &'static str,
    pub instead: &'static str,
    pub shows: Shows,
}

/// Where a fault shows.
pub enum Shows {
    /// In a run of the planes.
    InTheSimulation,
    /// Only where a peer does what ours do not do, or not there.
    InTheModels,
}

const fn planted(name: &'static str, file: &'static str, find: &'static str, instead: &'static str) -> Planted {
    Planted { name, file, find, instead, shows: Shows::InTheSimulation }
}

const fn for_models(name: &'static str, file: &'static str, find: &'static str, instead: &'static str) -> Planted {
    Planted { name, file, find, instead, shows: Shows::InTheModels }
}

const GATE: &str = "data-plane/call/src/gate.rs";
const TAIL: &str = "data-plane/call/src/tail.rs";
const TURN: &str = "data-plane/call/src/turn.rs";
const WRITER: &str = "data-plane/call/src/writer.rs";
const SERVICE: &str = "data-plane/call/src/call/service.rs";
const TELLING: &str = "data-plane/call/src/call/telling.rs";
const STREAM: &str = "data-plane/call/src/call/stream.rs";
const CONSULTS: &str = "data-plane/call/src/call/consults.rs";
const CLOCKS: &str = "data-plane/call/src/call/clocks.rs";
const UPSTREAM: &str = "data-plane/call/src/upstream.rs";
const STANDS: &str = "control-plane/policy/src/session/stands.rs";
const VERDICTS: &str = "control-plane/policy/src/session/verdicts.rs";
const REPLACED: &str = "control-plane/policy/src/policies/string_replacement/stream.rs";
const SPOKEN: &str = "control-plane/src/policy_service/conversation.rs";
const RECORDED: &str = "control-plane/src/record/writer.rs";

/// All of them.
pub const ALL: &[Planted] = &[
    planted(
        "under strict audit a verdict does not wait for its record",
        SPOKEN,
        "Audit::Strict => self.record.added(),",
        "Audit::Strict => 0,",
    ),
    planted(
        "a chunk is released before its verdict",
        GATE,
        "Level::Gate if !self.open => Fate::Held",
        "Level::Gate if !self.open && seq != 7 => Fate::Held",
    ),
    planted(
        "a passed chunk is dropped",
        GATE,
        "Fate::Passed(event) => events.push(event),",
        "Fate::Passed(event) if slot.seq != 6 => events.push(event),\n                Fate::Passed(_) => {}",
    ),
    planted(
        "a replacement is said twice",
        GATE,
        "Fate::Replaced(made) => events.extend(made),",
        "Fate::Replaced(made) => {\n                    if matches!(&made[..], [Event { step: Step::BlockDelta(_), .. }]) {\n                        \
         events.extend(made.clone());\n                    }\n                    events.extend(made);\n                }",
    ),
    for_models("a verdict on what was never sent counts", GATE, "if through > sent {", "if through > sent + 1000 {"),
    for_models(
        "a verdict that goes back counts",
        GATE,
        "if through < self.settled {",
        "if through + 1000 < self.settled {",
    ),
    for_models(
        "original bytes leave although something in them was changed",
        GATE,
        "original: frame.original.filter(|_| intact)",
        "original: frame.original.filter(|_| intact || through % 5 == 0)",
    ),
    for_models(
        "an injection is forgotten",
        GATE,
        "if let Some(events) = events.filter(|events| !events.is_empty()) {",
        "if let Some(events) = events.filter(|events| events.len() > 1000) {",
    ),
    planted(
        "text stands behind a tool call",
        TAIL,
        "let state = if gated { State::Flowing } else { State::Flushed };",
        "let state = if gated && choices > 1000 { State::Flowing } else { State::Flushed };",
    ),
    for_models(
        "a tool call that has not stopped is written at the end",
        TAIL,
        "released.events.retain(|event| block_of(event).is_none_or(|key| !open.contains(&key)));",
        "released.events.retain(|event| block_of(event).is_none_or(|key| !open.contains(&key)) || true);",
    ),
    for_models(
        "a half-written tool call is completed",
        TURN,
        "block.choice == choice && block.sort != Sort::ToolCall);",
        "block.choice == choice);",
    ),
    planted(
        "a response stops for tools of which none is left",
        TURN,
        "if finished.reason == FinishReason::ToolUse && !self.has_tool_calls(finished.choice) {",
        "if finished.reason == FinishReason::StopSequence && !self.has_tool_calls(finished.choice) {",
    ),
    for_models(
        "bytes leave as they came behind a difference",
        WRITER,
        "Some(original) if !self.differs => self.write_original",
        "Some(original) => self.write_original",
    ),
    for_models(
        "a stream that is closed cleanly opens the gate",
        SERVICE,
        "                self.stream_lost(\"it closed the stream before the call ended\".into());",
        "                self.judged.open();",
    ),
    for_models(
        "the loss of the policy service opens a closed gate",
        SERVICE,
        "FailureMode::Closed => self.end_closed(&fault),",
        "FailureMode::Closed => self.judged.open(),",
    ),
    planted(
        "what was applied is told one chunk short",
        SERVICE,
        "(self.applied.settled, self.applied.injected) = (settled, 0);",
        "(self.applied.settled, self.applied.injected) = (settled - 1, 0);",
    ),
    planted(
        "what was applied is told one chunk too far",
        SERVICE,
        "(self.applied.settled, self.applied.injected) = (settled, 0);",
        "(self.applied.settled, self.applied.injected) = (settled + 1, 0);",
    ),
    for_models(
        "what was injected is not told",
        SERVICE,
        "self.applied.injected += events as u64;",
        "self.applied.injected += events as u64 * 0;",
    ),
    for_models(
        "another stream has the same epoch",
        STREAM,
        "self.epoch = self.epoch.saturating_add(1);",
        "self.epoch = self.epoch.saturating_add(0);",
    ),
    planted(
        "a message is not told again",
        STREAM,
        "            messages.push(message.clone());",
        "            if self.log.bytes % 7 != 0 {\n                messages.push(message.clone());\n            }",
    ),
    for_models(
        "a consult is answered twice",
        CONSULTS,
        "(self.finish(id) == Some(State::Running), self.next())",
        "(self.finish(id).is_some(), self.next())",
    ),
    planted(
        "a question that is known is asked again",
        CONSULTS,
        "if let Some(known) = self.known.get(&question.id) {",
        "if let Some(known) = self.known.get(&question.id).filter(|known| known.state == State::Over) {",
    ),
    for_models(
        "a call that nobody had at its end is not reported",
        TELLING,
        "self.out.extend(report.map(Output::Report));",
        "self.out.extend(report.filter(|report| report.epoch > 1000).map(Output::Report));",
    ),
    planted(
        "a policy service that is silent is not lost",
        CLOCKS,
        "waits.service.then(|| (self.service + 2 * lease, Due::Lease)),",
        "waits.service.then(|| (self.service + 2000 * lease, Due::Lease)),",
    ),
    for_models(
        "what broke off seems whole",
        UPSTREAM,
        "decoder.cut(\"the stream ended within an event\")",
        "{ drop(decoder.cut(\"\")); vec![luthien_proto::Event::from(Step::Ended)] }",
    ),
    planted(
        "a chunk that is not settled is skipped when a call is taken over",
        STANDS,
        "if ended || through < settled || (through == settled && !injects) {",
        "if ended || through <= settled + 1 {",
    ),
    for_models(
        "what was injected is injected again",
        STANDS,
        "events.split_off(injected)",
        "events.split_off(injected * 0)",
    ),
    for_models("an end is said again", STANDS, "if ended || through < settled", "if through < settled"),
    planted(
        "a pass is said for a chunk that was not decided",
        VERDICTS,
        "            self.say(through, Decision::Pass, false);",
        "            self.say(through + 1, Decision::Pass, false);",
    ),
    planted(
        "a match that spans two chunks is missed",
        REPLACED,
        "let keep = self.found.map_or(begun, |found| found.start.min(begun));",
        "let keep = self.found.map_or(begun.max(self.text.len()), |found| found.start);",
    ),
    planted(
        "what the store refused once is not written again",
        RECORDED,
        "                Err(reason) => attempts.failed(reason).await,",
        "                Err(_) => break Written::default(),",
    ),
    planted(
        "a record counts as durable before it is written",
        RECORDED,
        "            tokio::select! {\n                written = self.write(&group.batch) => {",
        "            let early = Group { waiting: group.waiting, progress: group.progress, ..Group::default() };\n            \
         early.tell(&Written::default());\n            \
         let group = Group { waiting: Vec::new(), progress: Vec::new(), ..group };\n            \
         tokio::select! {\n                written = self.write(&group.batch) => {",
    ),
];
