//! What policies have in common that ask a model about each finished block, and hold it meanwhile.
//!
//! A [`Law`] says which kinds are judged, what the judge is asked, and what follows from its answer. All blocks of a turn are
//! judged at once; equal ones are asked about once. What has no place in the canonical model and looks like a call of a tool
//! is judged like one.

mod answer;
mod asking;
mod bench;
mod call;
mod docket;
mod subject;

pub(super) use answer::NoOpinion;
pub(super) use asking::{Asking, OnError};
pub(super) use call::Call;
pub(super) use docket::Counts;
use luthien_proto::{
    event::Kind,
    message::{Interest, Level, Severity},
};
use serde_json::{Map, Value};
pub(super) use subject::{Mark, Subject, What};

use crate::{Hook, Hooks};

/// What is judged, by which words, and what follows.
pub(super) trait Law: Send + Sync + 'static {
    /// What the judge thinks of a block.
    type Opinion: Clone + Send;

    /// How the judge is asked.
    fn asking(&self) -> &Asking;

    /// Whether texts are judged.
    fn judges_texts(&self) -> bool;

    /// Whether calls of tools are judged.
    fn judges_calls(&self) -> bool;

    /// What the judge is told beside the data.
    fn instructions(&self, subject: &Subject, mark: &Mark) -> String;

    /// An answer is an opinion if it is exactly what was asked for; else what is wrong with it.
    fn read(&self, subject: &Subject, answer: &Map<String, Value>) -> Result<Self::Opinion, &'static str>;

    /// What follows.
    fn sentence(&self, subject: &Subject, found: &Result<Self::Opinion, NoOpinion>) -> Sentence;

    /// What is noted of it.
    fn note(&self, subject: &Subject, found: &Result<Self::Opinion, NoOpinion>, sentence: &Sentence) -> Note;

    /// What is noted of all of it, when the call is over.
    fn summary(&self, counts: Counts) -> Note;
}

/// What becomes of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sentence {
    /// It stays as it is.
    Pass,
    /// That text instead; an empty one: nothing.
    Say(String),
    /// The call stays, with these arguments.
    Arguments(String),
}

/// A note in the making.
pub(super) struct Note {
    pub severity: Severity,
    pub summary: String,
    pub details: Value,
}

/// The hooks that it takes.
pub(super) fn hooks(law: &impl Law) -> Hooks {
    let texts = if law.judges_texts() { Hooks::of(&[Hook::ContentChunk, Hook::ContentCompleted]) } else { Hooks::NONE };
    let calls = if law.judges_calls() {
        Hooks::of(&[Hook::ToolCallChunk, Hook::ToolCallCompleted, Hook::Failed])
    } else {
        Hooks::NONE
    };
    texts | calls | Hooks::of(&[Hook::OpaqueChunk, Hook::Consulted, Hook::ResponseCompleted])
}

/// What has to be held. Opaque content may be a call, or belong to a text.
pub(super) fn interest(law: &impl Law) -> Interest {
    let level = |gates| if gates { Level::Gate } else { Level::Record };
    Interest::all(Level::Record)
        .with(Kind::Text, level(law.judges_texts()))
        .with(Kind::ToolCall, level(law.judges_calls()))
        .with(Kind::Opaque, Level::Gate)
}
