//! What happens in a run: all of it follows from the seed.

mod faults;
mod response;

use luthien_policy::Audit;
use serde_json::{Value, json};

pub use faults::{Fault, Trouble};
pub use response::{Response, Tool};

use super::rng::Rng;

/// What the replacement finds, and what it says instead.
pub const SECRET: &str = "hush";
pub const INSTEAD: &str = "calm";
/// The model that is asked about tool calls.
pub const JUDGE: &str = "openai-judge";

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub data_planes: usize,
    pub control_planes: usize,
    /// The slowest message, in milliseconds.
    pub latency: u64,
    pub policies: Vec<Policy>,
    pub calls: Vec<Call>,
    pub faults: Vec<Fault>,
    /// How the store behaves.
    pub store: Temper,
    /// Whether what is said of calls waits for it.
    pub audit: Audit,
    pub judge: Judge,
    /// The most that a call may hold, in bytes.
    pub window: usize,
}

/// A policy of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Noop,
    /// `SECRET` becomes `INSTEAD`.
    Replace,
    /// Tools named `delete_…` are denied.
    DenyDeletes,
    /// A model is asked about each tool call. It dislikes those named `delete_…`.
    Judge,
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Call {
    /// When, in milliseconds.
    pub at: u64,
    pub data_plane: usize,
    pub client: Dialect,
    pub upstream: Dialect,
    pub streamed: bool,
    pub response: Response,
    /// Of the upstream's bytes: where each piece ends, and how long it waits before it, in milliseconds.
    pub pieces: Vec<(usize, u64)>,
    /// How many bytes the upstream sends before it breaks off.
    pub cut: Option<usize>,
    /// How long the client waits before it reads anything, in milliseconds.
    pub looks_away: u64,
    /// How long the client waits between two reads, in milliseconds, and how much it reads at once.
    pub reads: (u64, usize),
    /// How many bytes the client waits for before it leaves.
    pub leaves: Option<usize>,
}

/// How a model behaves that is asked about tool calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judge {
    /// How long it thinks at most, in milliseconds.
    pub slow: u64,
    /// How many of a hundred questions it understands only when they are asked again.
    pub confused: u64,
}

/// How a store behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Temper {
    /// How long a write takes at most, in milliseconds.
    pub slow: u64,
    /// How many writes of a hundred fail.
    pub fails: u64,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "shape");
        let mut plan = Self {
            seed,
            data_planes: rng.within(1..=2) as usize,
            control_planes: rng.within(1..=2) as usize,
            latency: *rng.pick(&[1, 5, 40]),
            policies: policies(&mut rng),
            calls: Vec::new(),
            faults: Vec::new(),
            store: Temper::default(),
            audit: Audit::Relaxed,
            judge: Judge::default(),
            window: *rng.pick(&[16 * 1024, 16 * 1024 * 1024]),
        };
        plan.calls = (0..rng.within(1..=4)).map(|number| Call::of(seed, number, &plan)).collect();
        let mut rng = Rng::new(seed, "store");
        if rng.chance(40) {
            plan.store = Temper { slow: *rng.pick(&[5, 100, 1500]), fails: *rng.pick(&[0, 10, 60]) };
        }
        let mut rng = Rng::new(seed, "judge");
        if rng.chance(25) {
            plan.judge = Judge { slow: *rng.pick(&[0, 50, 2500]), confused: *rng.pick(&[0, 0, 50]) };
            plan.policies = judged(&mut rng, &plan.policies);
        }
        plan.faults = faults::of(seed, &plan);
        if Rng::new(seed, "audit").chance(30) {
            // One that fails refuses calls, as it should; here it is only slow.
            (plan.audit, plan.store.fails) = (Audit::Strict, 0);
        }
        plan
    }

    /// The configuration of the policies.
    pub fn policy_set(&self) -> Value {
        let policies: Vec<_> = self.policies.iter().map(|policy| policy.config()).collect();
        json!({ "policies": policies, "pipeline": self.policies.iter().map(|policy| policy.name()).collect::<Vec<_>>() })
    }

    /// Whether calls of that tool do not come through.
    pub fn refuses(&self, tool: &str) -> bool {
        (self.has(Policy::DenyDeletes) || self.has(Policy::Judge)) && tool.starts_with("delete_")
    }

    pub fn has(&self, policy: Policy) -> bool {
        self.policies.contains(&policy)
    }

    /// Whether all that clients are connected to stays.
    pub fn loses_data_plane(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.trouble, Trouble::CrashData(_)))
    }

    /// Whether that data plane is killed.
    pub fn loses(&self, data_plane: usize) -> bool {
        self.faults.iter().any(|fault| fault.trouble == Trouble::CrashData(data_plane))
    }

    /// Whether a response may end with an error for its size.
    pub fn may_outgrow(&self, call: &Call) -> bool {
        self.may_outgrow_window(call) || call.is_flooded() && self.loses_control_plane()
    }

    /// Reasoning that ends as the secret begins may go on behind the text, and the client would join it: until then the
    /// text is held.
    fn may_outgrow_window(&self, call: &Call) -> bool {
        let thinking = call.response.thinking.concat();
        let may_go_on = (1..SECRET.len()).any(|length| thinking.ends_with(&SECRET[..length]));
        self.has(Policy::Replace) && may_go_on && call.body().len() > self.window
    }

    /// What was told of a flood is more than is kept for another control plane.
    fn loses_control_plane(&self) -> bool {
        self.faults.iter().any(|fault| !matches!(fault.trouble, Trouble::CrashData(_)))
    }

    /// Whether nothing goes wrong.
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && self.store.slow == 0 && self.store.fails == 0
    }

    /// The same run, in which nobody is lost.
    pub fn without_faults(&self) -> Self {
        Self { faults: Vec::new(), store: Temper::default(), ..self.clone() }
    }

    /// The same run, in which the upstream's bytes are cut elsewhere.
    pub fn cut_elsewhere(&self) -> Self {
        let mut plan = self.clone();
        let mut rng = Rng::new(self.seed, "recut");
        for call in &mut plan.calls {
            let length = call.body().len();
            call.pieces = if call.is_flooded() { flood(&mut rng, length) } else { pieces(&mut rng, length) };
        }
        plan
    }
}

/// Who judges calls by asking a model does not deny them by rule.
fn judged(rng: &mut Rng, policies: &[Policy]) -> Vec<Policy> {
    let mut others = policies.to_vec();
    others.retain(|policy| *policy != Policy::DenyDeletes);
    others.insert(rng.within(0..=others.len() as u64) as usize, Policy::Judge);
    others
}

fn policies(rng: &mut Rng) -> Vec<Policy> {
    use Policy::{DenyDeletes, Noop, Replace};
    let sets: [&[Policy]; 7] =
        [&[], &[Noop], &[Replace], &[DenyDeletes], &[Replace, DenyDeletes], &[DenyDeletes, Replace], &[Noop, Replace]];
    rng.pick(&sets).to_vec()
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::Noop => "nothing",
            Self::Replace => "quiet",
            Self::DenyDeletes => "keep",
            Self::Judge => "jury",
        }
    }

    fn config(self) -> Value {
        match self {
            Self::Noop => json!({ "name": self.name(), "kind": "noop" }),
            Self::Replace => json!({
                "name": self.name(), "kind": "string_replacement", "config": { "replacements": [[SECRET, INSTEAD]] },
            }),
            Self::DenyDeletes => json!({
                "name": self.name(),
                "kind": "tool_call_rules",
                "config": {
                    "deny": [{ "tool": "delete_*", "reason": "it deletes" }],
                    "message": "The call of {tool_name} was refused: {reason}",
                },
            }),
            Self::Judge => json!({
                "name": self.name(),
                "kind": "tool_call_judge",
                "config": { "model": JUDGE, "blocked_message_template": "The call of {tool_name} was refused: {explanation}" },
            }),
        }
    }
}

impl Dialect {
    /// The name of a model that is routed to an upstream of this dialect.
    pub fn model(self) -> &'static str {
        match self {
            Self::OpenAi => "openai-model",
            Self::Anthropic => "anthropic-model",
        }
    }
}

impl Call {
    fn of(seed: u64, number: u64, plan: &Plan) -> Self {
        let mut rng = Rng::new(seed, &format!("call {number}"));
        let upstream = *rng.pick(&[Dialect::OpenAi, Dialect::Anthropic]);
        let client = if rng.chance(75) { upstream } else { *rng.pick(&[Dialect::OpenAi, Dialect::Anthropic]) };
        let mut call = Self {
            at: 200 + rng.within(0..=1500),
            data_plane: rng.within(0..=plan.data_planes as u64 - 1) as usize,
            client,
            upstream,
            streamed: rng.chance(75),
            response: Response::of(&mut rng, number, client == upstream),
            pieces: Vec::new(),
            cut: None,
            looks_away: 0,
            reads: if rng.chance(25) { (rng.within(1..=20), 200) } else { (0, 16 * 1024) },
            leaves: None,
        };
        if number == 0 && rng.chance(6) {
            return call.flooded(&mut rng);
        }
        let length = call.body().len();
        call.pieces = pieces(&mut rng, length);
        if rng.chance(12) {
            call.cut = Some(rng.within(0..=length as u64 - 1) as usize);
        } else if rng.chance(10) {
            call.leaves = Some(rng.within(0..=length as u64) as usize);
        }
        call
    }

    /// The same call, in which the model says more than anybody should keep, as fast as it can, while the client looks away.
    fn flooded(mut self, rng: &mut Rng) -> Self {
        (self.streamed, self.looks_away, self.reads) = (true, rng.within(2000..=6000), (0, 64 * 1024));
        self.response.text = (0..1500).map(|mark| format!("f{mark} {} ", "water ".repeat(200))).collect();
        let length = self.body().len();
        self.pieces = flood(rng, length);
        self
    }

    /// Whether the model says more than anybody keeps.
    pub fn is_flooded(&self) -> bool {
        self.looks_away > 0
    }

    /// Whether the upstream breaks off before the end.
    pub fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// What the upstream says, if it is not cut off.
    pub fn body(&self) -> Vec<u8> {
        super::upstream::body(self)
    }
}

/// An upstream has so long to say all, in milliseconds, but for its rests.
const SAYS_WITHIN: u64 = 6000;

/// In pieces that a network with its round trips is through with soon.
fn flood(rng: &mut Rng, length: usize) -> Vec<(usize, u64)> {
    rng.cuts(length, 1000..=4000).into_iter().map(|end| (end, 0)).collect()
}

fn pieces(rng: &mut Rng, length: usize) -> Vec<(usize, u64)> {
    let size = rng.pick(&[1..=9, 1..=120, 40..=600, 10_000..=10_000]).clone();
    let gap = *rng.pick(&[0, 0, 3, 25, 120]);
    let cuts = rng.cuts(length, size);
    let gap = gap.min(2 * SAYS_WITHIN / cuts.len().max(1) as u64);
    let mut rests = *rng.pick(&[0, 0, 0, 2]);
    let waits = cuts.into_iter().map(|end| {
        if rests > 0 && rng.chance(2) {
            rests -= 1;
            return (end, rng.within(1000..=9000));
        }
        (end, rng.within(0..=gap))
    });
    waits.collect()
}
