//! Policies, and the session that runs them over a call.
//!
//! A [`Session`] is one call as the policy service sees it: messages of the proxy go in, answers and entries of the
//! record come out. It has no clock, no sockets, no tasks and no randomness: the same messages give the same answers,
//! however they were batched.
//!
//! A [`PolicySet`] is what an operator configured, checked whole. Its bindings pick the [`Pipeline`] of a call, which keeps
//! the one it began with: a chain of stages, each of which runs one [`Policy`] and speaks to the next as the model's
//! response spoke to it.

mod config;
mod draft;
mod entry;
mod policies;
mod policy;
pub mod replay;
mod session;
mod set;
mod stage;

pub use config::{BindingConfig, OnFailure, PolicyConfig, PolicySetConfig, WhenConfig};
pub use entry::{
    AdmissionEntry, BlockEntry, ConsultBlockEntry, ConsultEntry, ContentEntry, CoverageEntry, DeltaEntry, Deltas,
    Entry, EntryBody, InterestEntry, NoteEntry, OpenedEntry, OutcomeEntry, PartEntry, Piece, PolicyCoverage,
    ReportEntry, RequestEntry, ResumedEntry, StepEntry, Tally, VerdictEntry, WaitedEntry,
};
pub use policies::{Remote, RemoteAddress, RemoteTls, kinds};
pub use policy::{
    ConsultId, Consulted, ConsultedOutput, Held, Hook, HookError, HookOutput, HookResult, Hooks, MootOutput, Policy,
    PolicyCall, Question, RequestOutput, Seen, SeenBlock, SummaryOutput,
};
pub use session::{Audit, Before, Fault, Output, Session};
pub use set::{BuildError, Pipeline, PolicySet};
pub use stage::Owed;
