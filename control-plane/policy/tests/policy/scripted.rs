//! A policy made of functions.

use std::sync::{Arc, Mutex};

use luthien_policy::{
    ConsultId, Consulted, ConsultedOutput, Held, Hook, HookOutput, HookResult, Hooks, Policy, PolicyCall, PolicySet,
    Question, RequestOutput, Seen, SummaryOutput,
};
use luthien_proto::{
    Request, Step,
    json::Extras,
    message::{CallStarted, Credentials, Edit, FailureMode, Interest, Level, Outcome, Severity},
    request::{ContentBlock, Message},
};

use crate::proxy::Proxy;

/// What the test policy does in a hook.
pub type Act = fn(&mut Acting, &Seen<'_>, &mut HookOutput<'_>) -> HookResult;

/// What it does with the request.
pub type OnRequest = fn(&CallStarted, &mut RequestOutput<'_>) -> HookResult;

/// What it does with an answer.
pub type Answered = fn(&mut Acting, &Consulted<'_>, &mut ConsultedOutput<'_>) -> HookResult;

/// A policy made of functions.
#[derive(Clone)]
pub struct Scripted {
    pub name: &'static str,
    pub interest: Interest,
    pub failure_mode: FailureMode,
    pub hooks: Hooks,
    pub act: Act,
    /// What it edits in every request.
    pub edits: Vec<Edit>,
    pub on_request: OnRequest,
    pub answered: Answered,
    pub completed: Arc<Mutex<Vec<Outcome>>>,
}

pub struct Acting {
    pub policy: Scripted,
    pub held: Vec<Held>,
    pub asked: Vec<ConsultId>,
}

pub const CHUNKS: Hooks = Hooks::of(&[Hook::ChunkStarted, Hook::Consulted, Hook::ResponseCompleted]);

pub fn scripted(name: &'static str, act: Act) -> Scripted {
    Scripted {
        name,
        interest: Interest::all(Level::Gate),
        failure_mode: FailureMode::Closed,
        hooks: CHUNKS,
        act,
        edits: Vec::new(),
        on_request: |_, _| Ok(()),
        answered: |_, _, _| Ok(()),
        completed: Arc::default(),
    }
}

pub fn pipeline(policies: impl IntoIterator<Item = Scripted>) -> Proxy {
    Proxy::start(set_of(policies))
}

pub fn set_of(policies: impl IntoIterator<Item = Scripted>) -> Arc<PolicySet> {
    let policies = policies.into_iter().map(|policy| Arc::new(policy) as Arc<dyn Policy>);
    Arc::new(PolicySet::of("rev".to_owned(), policies.collect()).unwrap())
}

impl Policy for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn hooks(&self) -> Hooks {
        self.hooks
    }

    fn interest(&self, _: &CallStarted) -> Interest {
        self.interest
    }

    fn failure_mode(&self) -> FailureMode {
        self.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Acting { policy: self.clone(), held: Vec::new(), asked: Vec::new() })
    }
}

/// A group of them.
pub struct Together {
    name: &'static str,
    members: Vec<Arc<dyn Policy>>,
}

impl Together {
    pub fn of(name: &'static str, members: impl IntoIterator<Item = Scripted>) -> Self {
        let members = members.into_iter().map(|member| Arc::new(member) as Arc<dyn Policy>).collect();
        Self { name, members }
    }
}

impl Policy for Together {
    fn name(&self) -> &str {
        self.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::NONE
    }

    fn interest(&self, call: &CallStarted) -> Interest {
        self.members.iter().map(|member| member.interest(call)).fold(Interest::all(Level::Record), Interest::join)
    }

    fn failure_mode(&self) -> FailureMode {
        self.members.iter().map(|member| member.failure_mode()).max().unwrap()
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        unreachable!("its members are run")
    }

    fn members(&self) -> &[Arc<dyn Policy>] {
        &self.members
    }
}

impl PolicyCall for Acting {
    fn on_request(&mut self, call: &CallStarted, out: &mut RequestOutput<'_>) -> HookResult {
        for edit in self.policy.edits.clone() {
            match edit {
                Edit::InsertMessage(at, message) => out.insert_message(at, message),
                Edit::ReplaceMessage(at, message) => out.replace_message(at, message),
                Edit::DropMessage(at) => out.drop_message(at),
                other => panic!("{other:?}"),
            }
        }
        (self.policy.on_request)(call, out)
    }

    fn on_chunk_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        (self.policy.act)(self, seen, out)
    }

    fn on_consulted(&mut self, consulted: &Consulted<'_>, out: &mut ConsultedOutput<'_>) -> HookResult {
        (self.policy.answered)(self, consulted, out)
    }

    fn on_response_completed(&mut self, outcome: Outcome, out: &mut SummaryOutput<'_>) -> HookResult {
        self.policy.completed.lock().unwrap().push(outcome);
        out.annotate(Severity::Info, "done", None);
        Ok(())
    }
}

pub fn pass(_: &mut Acting, _: &Seen<'_>, _: &mut HookOutput<'_>) -> HookResult {
    Ok(())
}

pub fn hold_all(acting: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    acting.held.push(out.hold());
    if seen.event.step.is_last() {
        acting.held.drain(..).for_each(|held| out.pass_held(held));
    }
    Ok(())
}

/// Holds what its pattern says, and lets go at each block's stop and at the end.
pub fn hold_some<const NTH: u64>(acting: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if matches!(seen.event.step, Step::BlockStopped(_)) || seen.event.step.is_last() {
        acting.held.drain(..).for_each(|held| out.pass_held(held));
    } else if seen.seq.is_multiple_of(NTH) {
        acting.held.push(out.hold());
    }
    Ok(())
}

/// A question to a model.
pub fn question(text: &str) -> Question {
    let content = vec![ContentBlock::Text(text.to_owned()).into()];
    let messages = vec![Message { role: "user".to_owned(), content, extras: Extras::NONE }];
    let request = Request { model: "judge".to_owned(), choices: 1, messages, ..Request::default() };
    Question { request, upstream: String::new(), credentials: Credentials::Configured, deadline: None, reuse: false }
}
