//! Those who serve remote policies: each is a session of its own, so that what luthien says as a policy service is heard by
//! luthien as a proxy. They answer when it pleases them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use luthien_policy::{Output, Policy, PolicySet, PolicySetConfig, Session};
use luthien_proto::{FromService, ToService, message::FailureMode};
use serde_json::json;

/// The services of a call, by the position of their policy.
#[derive(Default)]
pub struct Peers {
    sets: BTreeMap<usize, Arc<PolicySet>>,
    /// After how many messages of the proxy each answer comes, over and over.
    delays: Vec<usize>,
    said: usize,
    now: usize,
    running: BTreeMap<usize, Peer>,
}

struct Peer {
    session: Session,
    answers: VecDeque<(usize, FromService)>,
}

impl Peers {
    pub fn new(sets: impl IntoIterator<Item = (usize, Arc<PolicySet>)>, delays: &[usize]) -> Self {
        Self { sets: sets.into_iter().collect(), delays: delays.to_vec(), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Another control plane asks them: they know nothing of the call.
    pub fn restart(&mut self) {
        self.running.clear();
    }

    pub fn tell(&mut self, stage: usize, message: ToService) {
        if let ToService::CallStarted(started) = message {
            let session = Session::begin(Arc::clone(&self.sets[&stage]), *started);
            self.running.insert(stage, Peer { session, answers: VecDeque::new() });
        } else if let Some(peer) = self.running.get_mut(&stage) {
            peer.session.handle(message).unwrap();
        }
        let Some(peer) = self.running.get_mut(&stage) else { return };
        while let Some(output) = peer.session.poll() {
            if let Output::Say(said) = output {
                let delay = self.delays.get(self.said % self.delays.len().max(1)).copied().unwrap_or_default();
                self.said += 1;
                peer.answers.push_back((self.now + delay, said));
            }
        }
    }

    pub fn leave(&mut self, stage: usize) {
        self.running.remove(&stage);
    }

    /// The proxy has said something more.
    pub fn tick(&mut self) {
        self.now += 1;
    }

    /// What is heard by now.
    pub fn due(&mut self) -> Option<(usize, FromService)> {
        self.up_to(self.now)
    }

    /// What is heard next, however long that takes.
    pub fn next(&mut self) -> Option<(usize, FromService)> {
        self.up_to(usize::MAX)
    }

    fn up_to(&mut self, now: usize) -> Option<(usize, FromService)> {
        self.running.iter_mut().find_map(|(stage, peer)| {
            let (_, said) = peer.answers.pop_front_if(|(due, _)| *due <= now)?;
            Some((*stage, said))
        })
    }
}

/// A remote policy of that name. It may ask where the routes of the proxy lead.
pub fn remote(name: &str, failure_mode: FailureMode) -> Arc<dyn Policy> {
    let on_failure = if failure_mode == FailureMode::Open { "open" } else { "closed" };
    let config = json!({ "address": "http://127.0.0.1:1", "consult": [""] });
    let config: PolicySetConfig = serde_json::from_value(json!({
        "policies": [{ "name": name, "kind": "remote", "on_failure": on_failure, "config": config }], "pipeline": [name],
    }))
    .unwrap();
    Arc::clone(&PolicySet::build(config).unwrap().pipeline().policies()[0])
}
