//! What was decided of a call before any policy sees it.

use luthien_proto::message::{Edit, Interest, Reject};

use super::{Audit, shown::Stopped};

/// What was decided of a call before any policy sees it; nothing, by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// What is changed in its request.
    pub edits: Vec<Edit>,
    /// It does not go upstream.
    pub reject: Option<Reject>,
    /// It does not go upstream where a policy gates anything of the answer.
    pub reject_if_gated: Option<Reject>,
    /// Whether what is said of it waits until it is on record.
    pub audit: Audit,
}

impl From<Vec<Edit>> for Before {
    fn from(edits: Vec<Edit>) -> Self {
        Self { edits, ..Self::default() }
    }
}

impl Before {
    /// The rejection, whatever the policies want.
    pub(super) fn rejection(&self) -> Option<Stopped> {
        self.reject.clone().map(Stopped::by_nobody)
    }

    /// The rejection, now that it is known what the policies want.
    pub(super) fn rejection_of(&self, wanted: Interest) -> Option<Stopped> {
        self.reject_if_gated.clone().filter(|_| wanted.gates()).map(Stopped::by_nobody)
    }
}
