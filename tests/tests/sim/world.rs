//! A run: every host of a plan in one thread, on simulated time.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Once},
    time::Duration,
};

use luthien_control_plane::{
    Metrics,
    continuation::Continuations,
    policies::Policies,
    policy_service::{PolicyService, Streams},
    record::{Store, Writer},
};
use luthien_policy::{Audit, PolicySet};
use luthien_proto::message::Outcome;
use luthien_service::Shutdown;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use turmoil::{Builder, Sim};

use crate::{
    client, net,
    plan::{Fault, Plan, Trouble},
    store::Memory,
    trace::{Seen, Trace},
    upstream,
};

pub const CLIENTS_PORT: u16 = 8000;
/// What upstreams are shown where the client has nothing for them.
pub const UPSTREAM_KEY: &str = "sk-upstream-credential";
const POLICY_PORT: u16 = 50051;
/// How many messages a connection takes before somebody reads them, and how many connections a listener before it takes one.
const SEGMENTS: usize = 64;
/// How often messages are delivered.
const TICK: Duration = Duration::from_millis(4);
/// When nobody should have anything left to do.
const PATIENCE: Duration = Duration::from_secs(400);
/// What planes have to put on record how the last call ended.
const AFTERWARDS: Duration = Duration::from_secs(90);

/// What is left of a run.
pub struct Run {
    pub seen: Seen,
    pub store: Memory,
    /// Whether all clients were done in time.
    pub finished: Result<(), String>,
    pub panics: usize,
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

pub fn run(plan: &Plan) -> Run {
    let plan = Rc::new(plan.clone());
    count_panics();
    align_tasks();
    let trace = Trace::new(plan.calls.len());
    let store = Memory::new(plan.seed, plan.store);
    let panics = PANICS.get();
    let mut sim = Builder::new()
        .rng_seed(plan.seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(plan.latency))
        .simulation_duration(PATIENCE + AFTERWARDS * 2)
        .tcp_capacity(SEGMENTS)
        .build();
    hosts(&mut sim, &plan, &trace, &store);
    let mut faults = Faults::new(&plan);
    let finished = loop {
        faults.apply(&mut sim, &trace);
        match sim.step() {
            Ok(true) => break Ok(()),
            Ok(false) if sim.elapsed() > PATIENCE => break Err("clients still wait".to_owned()),
            Ok(false) => {}
            Err(error) => break Err(error.to_string()),
        }
    };
    let end = sim.elapsed() + AFTERWARDS;
    while finished.is_ok() && sim.elapsed() < end && !(faults.are_over() && is_recorded(&plan, &store, &trace)) {
        faults.apply(&mut sim, &trace);
        if let Err(error) = sim.step() {
            trace.note(format!("afterwards: {error}"));
            break;
        }
    }
    drop(sim);
    Run { seen: trace.take(), store, finished, panics: PANICS.get() - panics }
}

/// Counts panics from now on: tokio would keep them to itself.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}

/// Lets the tasks of each run have the same numbers, up to a multiple: a runtime that is dropped drops its tasks by number.
fn align_tasks() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime needs nothing");
    let number = || runtime.block_on(async { tokio::spawn(async {}).id() }).to_string().parse::<u64>();
    while number().is_ok_and(|number| number % 64 != 0) {}
}

/// Whether it is on record how each call ended that went to its upstream. Of one whose data plane was killed nobody knows.
fn is_recorded(plan: &Plan, store: &Memory, trace: &Trace) -> bool {
    let ended = |id: &str, data_plane: usize| {
        let id = id.parse().unwrap_or_default();
        let outcome = store.look(|kept| kept.summaries.get(&id).and_then(|summary| summary.outcome));
        outcome.is_some_and(|outcome| outcome != Outcome::Unknown || plan.loses(data_plane))
    };
    trace.look(|seen| {
        let calls = seen.clients.iter().zip(&seen.upstreams).zip(&plan.calls);
        let asked = calls.filter(|((_, upstream), _)| !upstream.asked.is_empty());
        asked
            .filter_map(|((client, _), call)| Some((client.call_id.as_deref()?, call.data_plane)))
            .all(|(id, data_plane)| ended(id, data_plane))
    })
}

fn hosts(sim: &mut Sim<'_>, plan: &Rc<Plan>, trace: &Trace, store: &Memory) {
    let (upstream_plan, upstream_trace) = (plan.clone(), trace.clone());
    sim.host("upstream", move || upstream::serve(upstream_plan.clone(), upstream_trace.clone()));
    for number in 0..plan.control_planes {
        let (plan, store) = (plan.clone(), store.clone());
        sim.host(control_plane(number), move || serve_control_plane(plan.clone(), store.clone()));
    }
    for number in 0..plan.data_planes {
        let plan = plan.clone();
        sim.host(client::data_plane(number), move || serve_data_plane(plan.clone()));
    }
    for number in 0..plan.calls.len() {
        sim.client(format!("client-{number}"), client::run(plan.clone(), number, trace.clone()));
    }
}

fn control_plane(number: usize) -> String {
    format!("control-plane-{number}")
}

async fn serve_control_plane(plan: Rc<Plan>, store: Memory) -> turmoil::Result {
    let (store, metrics): (Arc<dyn Store>, Arc<Metrics>) = (Arc::new(store), Arc::default());
    let set = PolicySet::build(serde_json::from_value(plan.policy_set())?)?;
    let (writer, recorder) = Writer::new(store.clone());
    let writer = match plan.audit {
        Audit::Relaxed => writer,
        Audit::Strict => writer.at_once(),
    };
    tokio::spawn(writer.run(CancellationToken::new(), CancellationToken::new()));
    let (continuations, lookups) = Continuations::new(store);
    tokio::spawn(lookups.run());
    let service = PolicyService {
        policies: Policies::fixed(set, metrics.clone()),
        streams: Streams::default(),
        recorder,
        continuations,
        audit: plan.audit,
        lease: Duration::from_secs(5),
        takeover_wait: Duration::from_secs(30),
        message_bytes_max: 64 << 20,
        metrics,
        health: HealthReporter::new(),
        handover: CancellationToken::new(),
    };
    let listener = net::listen(POLICY_PORT).await?;
    Ok(service.serve(net::proxies(listener), Shutdown::new()).await?)
}

async fn serve_data_plane(plan: Rc<Plan>) -> turmoil::Result {
    let control_planes: Vec<_> =
        (0..plan.control_planes).map(|number| format!("http://{}:{POLICY_PORT}", control_plane(number))).collect();
    let section = json!({
        "control_plane": control_planes,
        "upstreams": {
            "openai": { "dialect": "openai-chat", "base_url": "http://upstream/v1", "api_key": UPSTREAM_KEY },
            "anthropic": { "dialect": "anthropic-messages", "base_url": "http://upstream", "api_key": UPSTREAM_KEY },
        },
        "routes": [
            { "model": "openai-*", "upstream": "openai" },
            { "model": "anthropic-*", "upstream": "anthropic" },
        ],
        "limits": { "unsettled": plan.window },
    });
    let section: luthien_data_plane::config::Section = serde_json::from_value(section)?;
    let config = section.check(|_| None)?;
    let clients = net::Clients(net::listen(CLIENTS_PORT).await?);
    let served = luthien_data_plane::serve(config, clients, net::upstreams(), net::to_policy_service, Shutdown::new());
    Ok(served.await?)
}

/// Faults that are still to come, and those that are still to be repaired.
struct Faults {
    coming: Vec<Fault>,
    present: Vec<Fault>,
}

impl Faults {
    fn new(plan: &Plan) -> Self {
        Self { coming: plan.faults.clone(), present: Vec::new() }
    }

    fn are_over(&self) -> bool {
        self.coming.is_empty() && self.present.is_empty()
    }

    fn apply(&mut self, sim: &mut Sim<'_>, trace: &Trace) {
        let now = sim.elapsed().as_millis() as u64;
        for fault in self.present.extract_if(.., |fault| fault.end() <= now) {
            trace.note(format!("{now} repaired: {:?}", fault.trouble));
            repair(fault.trouble, sim);
        }
        for fault in self.coming.extract_if(.., |fault| fault.at <= now) {
            trace.note(format!("{now} trouble: {:?}", fault.trouble));
            begin(fault.trouble, sim);
            self.present.push(fault);
        }
    }
}

fn begin(trouble: Trouble, sim: &mut Sim<'_>) {
    match trouble {
        Trouble::Crash(control) => sim.crash(control_plane(control)),
        Trouble::CrashData(data) => sim.crash(client::data_plane(data)),
        Trouble::Partition(data, control) => sim.partition(client::data_plane(data), control_plane(control)),
        Trouble::Deaf(data, control) => sim.partition_oneway(control_plane(control), client::data_plane(data)),
        Trouble::Hold(data, control) => sim.hold(client::data_plane(data), control_plane(control)),
    }
}

fn repair(trouble: Trouble, sim: &mut Sim<'_>) {
    match trouble {
        Trouble::Crash(control) => sim.bounce(control_plane(control)),
        Trouble::CrashData(data) => sim.bounce(client::data_plane(data)),
        Trouble::Partition(data, control) => sim.repair(client::data_plane(data), control_plane(control)),
        Trouble::Deaf(data, control) => sim.repair_oneway(control_plane(control), client::data_plane(data)),
        Trouble::Hold(data, control) => sim.release(client::data_plane(data), control_plane(control)),
    }
}
