//! A data plane between a scripted policy service and a scripted upstream.

use luthien_proto::wire::{Chunk, event};
use luthien_tests::{
    fixtures,
    harness::{Answer, Ask, DataPlane, data_plane_section},
    peers::{
        policy::{Conversation, PolicyService},
        upstream::{Reply, Upstream},
    },
    validate::Dialect,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A data plane between a scripted policy service and a scripted upstream.
pub struct Bench {
    pub service: PolicyService,
    pub upstream: Upstream,
    pub data: DataPlane,
    _folder: TempDir,
}

impl Bench {
    pub async fn start() -> Self {
        Self::with(json!({})).await
    }

    pub async fn with(timeouts: serde_json::Value) -> Self {
        // A script plays one stream: no other one takes its call over.
        let mut all = json!({"takeover": "0s"});
        for (name, value) in timeouts.as_object().unwrap() {
            all[name] = value.clone();
        }
        let folder = TempDir::new().unwrap();
        let (service, upstream) = (PolicyService::start().await, Upstream::start().await);
        let mut section = data_plane_section(&upstream, &[service.url()]);
        section["timeouts"] = all;
        let data = DataPlane::start(folder.path(), "data-plane", &section).await;
        Self { service, upstream, data, _folder: folder }
    }

    /// A call whose response is complete at the service, and of which nothing is decided.
    pub async fn undecided(&mut self, dialect: Dialect) -> (JoinHandle<Answer>, Conversation, Seqs) {
        self.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let asking = self.data.begin(Ask::streamed(dialect));
        let (mut call, _) = self.service.call().await;
        call.admit().await;
        let seqs = Seqs::of(&call.all_chunks().await);
        (asking, call, seqs)
    }

    /// A call of which everything up to the first piece of text is passed: the client has that.
    pub async fn begun(&mut self, dialect: Dialect) -> (Answer, Conversation, Seqs) {
        let (asking, mut call, seqs) = self.undecided(dialect).await;
        call.pass(seqs.text).await;
        let mut answer = asking.await.unwrap();
        answer.until("Hel").await;
        (answer, call, seqs)
    }
}

/// Where what is in a response that begins with text.
#[derive(Clone, Copy)]
pub struct Seqs {
    /// The start of the first block.
    pub block: u64,
    /// Its first piece.
    pub text: u64,
    /// Its stop.
    pub stop: u64,
    /// The last chunk.
    pub last: u64,
}

impl Seqs {
    pub fn of(chunks: &[Chunk]) -> Self {
        let first = |wanted: fn(&event::Event) -> bool| {
            let is = |chunk: &&Chunk| chunk.event.as_ref().and_then(|event| event.event.as_ref()).is_some_and(wanted);
            chunks.iter().find(is).unwrap().seq
        };
        Self {
            block: first(|event| matches!(event, event::Event::BlockStarted(_))),
            text: first(|event| matches!(event, event::Event::BlockDelta(_))),
            stop: first(|event| matches!(event, event::Event::BlockStopped(_))),
            last: chunks.last().unwrap().seq,
        }
    }
}
