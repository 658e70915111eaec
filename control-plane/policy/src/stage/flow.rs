//! What goes from stage to stage.

use luthien_proto::{
    Event,
    event::FinishReason,
    message::{Annotation, Consult},
};

use super::keys::Keys;

/// What a stage takes in and lets out.
#[derive(Clone, Debug)]
pub(crate) enum Flow {
    /// A step of the response.
    Event(Moving),
    /// Everything that was made from the chunks up to `seq` has gone by. `gated`: that chunk needs a verdict.
    Mark { seq: u64, gated: bool, by: Stages },
    /// A policy has ended the response.
    End(End),
}

/// An event between stages.
#[derive(Clone, Debug)]
pub(crate) struct Moving {
    /// The seq of the last chunk that it was made from.
    pub seq: u64,
    /// When that arrived.
    pub arrived_us: u64,
    /// What happens.
    pub event: Event,
}

/// The end of a response, by a policy's word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The chunk at which it was said.
    pub seq: u64,
    /// When that arrived.
    pub arrived_us: u64,
    /// Why each unfinished choice finishes.
    pub reason: Option<FinishReason>,
    /// Whether the upstream is to be read no further.
    pub cancel_upstream: bool,
    /// Who said it, and who changed what was settled with it.
    pub by: Stages,
}

/// The stages that changed something, by their position in the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stages(u64);

impl Stages {
    /// The longest pipeline.
    pub const MAX: usize = 64;

    /// These, and one more.
    #[must_use]
    pub fn with(self, index: usize) -> Self {
        Self(self.0 | 1 << index)
    }

    /// These, and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether none did.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their positions, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX).filter(move |index| self.0 & (1 << index) != 0)
    }
}

/// What the stages of a call share.
#[derive(Debug)]
pub(crate) struct Common {
    /// What the policies noted, and nobody has taken yet.
    pub notes: Vec<Annotation>,
    /// The keys of the next blocks that policies make.
    pub keys: Keys,
    /// Whether anything can be kept from the client: before Admission, and where any policy gated anything then.
    pub can_close: bool,
    /// Whether the proxy is able to ask models.
    pub can_consult: bool,
    /// What the policies asked, and nobody has said yet.
    pub asks: Vec<Ask>,
    /// Whether a policy wants less than before.
    pub lowered: bool,
    /// Whether a policy wants the upstream to be read no further, and nobody has said so yet.
    pub cancel_upstream: bool,
}

/// What is to be said of a consult.
#[derive(Debug)]
pub(crate) enum Ask {
    Consult { policy: String, consult: Box<Consult> },
    Cancel(String),
}

impl Default for Common {
    fn default() -> Self {
        Self {
            notes: Vec::new(),
            keys: Keys::default(),
            can_close: true,
            can_consult: false,
            asks: Vec::new(),
            lowered: false,
            cancel_upstream: false,
        }
    }
}

/// A closed policy failed: the call must not go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// Its position in the pipeline.
    pub index: usize,
}
