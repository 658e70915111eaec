//! One call of the service: texts are held until they are whole, tool calls are asked about, a refusal ends the response.

mod texts;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use luthien_proto::wire::{
    Admission, CallResumed, CallStarted, Chunk, Consult, Dialect, EnforceRequest, EnforceResponse, Event, FinishReason,
    Forward, Interest, Kind, Level, Pass, Reject, Request, Verdict, Working, admission::Decision as Admitted,
    block_started, enforce_request::Message, enforce_response::Message as Said, event::Event as Step,
    verdict::Decision,
};
use luthien_tests::conformance::Rule;
use tokio::{sync::mpsc, time::interval};
use tonic::{Status, Streaming};

use super::Shared;
use texts::{Texts, Verdicts};

const REVISION: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

pub struct Call {
    shared: Shared,
    out: mpsc::UnboundedSender<Result<EnforceResponse, Status>>,
    seen: u64,
    resumed: Option<CallResumed>,
    started: Option<CallStarted>,
    asked: bool,
    last: u64,
    texts: Texts,
    ended: bool,
    /// Whether the response was ended.
    over: bool,
}

enum Next {
    GoOn,
    Close,
}

fn invalid(what: &str) -> Status {
    Status::invalid_argument(what)
}

impl Call {
    pub fn new(shared: Shared, out: mpsc::UnboundedSender<Result<EnforceResponse, Status>>) -> Self {
        Self {
            texts: Texts::new(shared.clone()),
            shared,
            out,
            seen: 0,
            resumed: None,
            started: None,
            asked: false,
            last: 0,
            ended: false,
            over: false,
        }
    }

    pub async fn run(
        mut self,
        mut requests: Streaming<EnforceRequest>,
        fails: Option<Arc<AtomicBool>>,
    ) -> Result<(), Status> {
        let mut life = interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => {
                        if fails.as_ref().is_some_and(|fails| fails.load(Ordering::Relaxed)) {
                            return Err(invalid("an unknown field"));
                        }
                        if let Next::Close = self.hear(request)? {
                            return if self.breaks(Rule::E2) { Err(Status::internal("no")) } else { Ok(()) };
                        }
                    }
                    Ok(None) if self.ended => return Ok(()),
                    Err(_) if self.breaks(Rule::F8) => return Ok(()),
                    Ok(None) | Err(_) => {
                        self.shared.cut.store(true, Ordering::Relaxed);
                        return Err(Status::cancelled("cut off"));
                    }
                },
                _ = life.tick(), if self.started.is_some() && !self.breaks(Rule::L1) => self.say(Said::Working(Working {})),
            }
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.shared.breaks(rule)
    }

    fn say(&self, message: Said) {
        let seen = match self.shared.breaks {
            Some(Rule::S1) => self.seen + 1000,
            Some(Rule::S2) => 0,
            _ => self.seen,
        };
        let _ = self.out.send(Ok(EnforceResponse { message: Some(message), seen }));
    }

    fn hear(&mut self, request: EnforceRequest) -> Result<Next, Status> {
        let Some(message) = request.message else { return self.unless(Rule::F5, "nothing is said") };
        match message {
            Message::CallResumed(_) if self.started.is_some() => return self.unless(Rule::F2, "resumed again"),
            Message::CallResumed(resumed) => self.resume(resumed)?,
            Message::CallStarted(_) if self.started.is_some() => return self.unless(Rule::F2, "started twice"),
            Message::CallStarted(started) => return self.start(started),
            _ if self.started.is_none() => return self.unless(Rule::F1, "not started"),
            Message::Chunks(chunks) => return self.chunks(chunks.chunks),
            Message::Block(_) => return Err(invalid("nothing is only recorded")),
            Message::Consultation(_) if !self.asked => return self.unless(Rule::F6, "nothing was asked"),
            Message::Consultation(_) => {
                self.seen += 1;
                self.say(Said::Working(Working {}));
            }
            Message::CallEnded(_) => {
                self.ended = true;
                return Ok(if self.breaks(Rule::F4) { Next::GoOn } else { Next::Close });
            }
        }
        Ok(Next::GoOn)
    }

    /// What is a fault of the proxy, unless that is not noticed.
    fn unless(&self, rule: Rule, what: &str) -> Result<Next, Status> {
        if self.breaks(rule) { Ok(Next::GoOn) } else { Err(invalid(what)) }
    }

    fn resume(&mut self, resumed: CallResumed) -> Result<(), Status> {
        let is_known = resumed.admission.as_ref().is_none_or(|admission| admission.revision == REVISION);
        if !is_known && !self.breaks(Rule::R3) {
            return Err(Status::failed_precondition("another revision"));
        }
        self.resumed = Some(resumed);
        Ok(())
    }

    fn start(&mut self, started: CallStarted) -> Result<Next, Status> {
        if started.request.is_none() || started.dialect() == Dialect::Unspecified {
            return self.unless(Rule::F5, "no request, or no dialect");
        }
        self.started = Some(started);
        let is_owed = self.resumed.as_ref().is_none_or(|resumed| resumed.admission.is_none());
        if self.breaks(Rule::R2) && self.resumed.is_some() {
            return Ok(Next::GoOn);
        }
        if self.breaks(Rule::A1) {
            self.pass(0);
        }
        self.say(if is_owed { Said::Admission(self.admission()) } else { Said::Working(Working {}) });
        if self.breaks(Rule::A2) {
            self.say(Said::Admission(self.admission()));
        }
        Ok(Next::GoOn)
    }

    fn admission(&self) -> Admission {
        let level: i32 = if self.breaks(Rule::V5) { Level::Observe } else { Level::Gate }.into();
        let interest = Interest { text: level, thinking: level, refusal: level, tool_call: level, opaque: level };
        let kinds = [Kind::Text, Kind::Thinking, Kind::Refusal, Kind::ToolCall, Kind::Opaque];
        let known_kinds = kinds.map(i32::from).to_vec();
        let forward = Forward { interest: Some(interest), known_kinds, ..Forward::default() };
        let decision = match self.breaks(Rule::A3) {
            true => Admitted::Reject(Reject { status: 200, ..Reject::default() }),
            false => Admitted::Forward(forward),
        };
        let revision = if self.breaks(Rule::A4) { "v1" } else { REVISION }.to_owned();
        let (pipeline, capabilities) = (vec!["wrong".to_owned()], vec!["resume".to_owned()]);
        Admission { decision: Some(decision), revision, pipeline, capabilities }
    }

    fn chunks(&mut self, chunks: Vec<Chunk>) -> Result<Next, Status> {
        if chunks.is_empty() && !self.breaks(Rule::F7) {
            return Err(invalid("no chunks"));
        }
        self.seen += 1;
        if self.breaks(Rule::E1) && self.seen == 3 {
            return Ok(Next::Close);
        }
        let is_alone = chunks.len() == 1;
        for chunk in chunks {
            if chunk.seq <= self.last && !self.breaks(Rule::F3) {
                return Err(invalid("a seq that does not rise"));
            }
            self.last = chunk.seq;
            let event = chunk.event.unwrap_or_default();
            match check(&event) {
                Ok(()) => {}
                Err(_) if self.breaks(Rule::F5) => continue,
                Err(what) => return Err(invalid(what)),
            }
            self.refuse_unknown(&event)?;
            self.event(chunk.seq, event, is_alone);
        }
        self.say(Said::Working(Working {}));
        Ok(Next::GoOn)
    }

    fn refuse_unknown(&self, event: &Event) -> Result<(), Status> {
        let is_opaque = match &event.event {
            Some(Step::BlockStarted(started)) => matches!(started.kind, Some(block_started::Kind::Opaque(_))),
            _ => false,
        };
        if is_opaque && self.breaks(Rule::T2) {
            return Err(invalid("what is that"));
        }
        match &event.event {
            Some(Step::Finished(finished))
                if FinishReason::try_from(finished.reason).is_err() && self.breaks(Rule::T3) =>
            {
                Err(invalid("why is that"))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, seq: u64, event: Event, is_alone: bool) {
        if let Some(Step::BlockStarted(started)) = &event.event {
            match started.kind {
                Some(block_started::Kind::ToolCall(_)) => self.ask(),
                Some(block_started::Kind::Refusal(_)) if !self.over => {
                    self.over = true;
                    return self.verdict(seq, Decision::End(Default::default()));
                }
                _ => {}
            }
        }
        if self.over && !self.breaks(Rule::V4) {
            return;
        }
        if self.ended {
            return self.pass(seq);
        }
        for (through, decision) in self.texts.take(seq, event, is_alone) as Verdicts {
            self.verdict(through, decision);
        }
    }

    /// Asks a question, of which the answer does not matter.
    fn ask(&mut self) {
        let can = self.started.as_ref().is_some_and(|started| started.capabilities.iter().any(|it| it == "consult"));
        if self.asked || !(can || self.breaks(Rule::C1)) {
            return;
        }
        self.asked = true;
        let ask = |model: &str| Consult {
            id: "wrong/1".to_owned(),
            request: Some(Request { model: model.to_owned(), ..Request::default() }),
            ..Consult::default()
        };
        self.say(Said::Consult(ask("judge")));
        if self.breaks(Rule::C2) {
            self.say(Said::Consult(ask("another judge")));
        }
    }

    fn pass(&mut self, through: u64) {
        self.verdict(through, Decision::Pass(Pass {}));
    }

    fn verdict(&mut self, through: u64, decision: Decision) {
        let stands = |resumed: &CallResumed| resumed.ended || through <= resumed.settled;
        if self.resumed.as_ref().is_some_and(stands) && !self.breaks(Rule::R1) {
            return;
        }
        let through = if self.breaks(Rule::V1) { through + 5 } else { through };
        let decision = (!self.breaks(Rule::M1)).then_some(decision);
        self.say(Said::Verdict(Verdict { through, decision: decision.clone(), ..Verdict::default() }));
        if self.breaks(Rule::V2) && through > 1 {
            self.say(Said::Verdict(Verdict { through: through - 1, decision, ..Verdict::default() }));
        }
    }
}

fn check(event: &Event) -> Result<(), &'static str> {
    match &event.event {
        None => Err("an event says nothing"),
        Some(Step::BlockStarted(started)) if started.kind.is_none() => Err("of no kind"),
        Some(Step::BlockDelta(delta)) if delta.delta.is_none() => Err("a piece of nothing"),
        Some(_) => Ok(()),
    }
}
