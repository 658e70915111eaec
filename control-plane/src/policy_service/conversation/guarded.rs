//! A session whose panics end one call and nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use luthien_policy::{Before, Fault, Output, Owed, PolicySet, Session};
use luthien_proto::{
    FromService, ToService,
    message::{CallResumed, CallStarted},
};
use thiserror::Error;

/// A session, until something in it panics.
pub(super) struct Guarded(Option<Session>);

/// Something in the session panicked; it is gone.
#[derive(Clone, Copy, Debug, Error)]
#[error("the session panicked")]
pub(super) struct Panicked;

impl Guarded {
    pub(super) fn begin(
        policies: Arc<PolicySet>,
        resumed: Option<CallResumed>,
        started: CallStarted,
        before: Before,
    ) -> Self {
        let begin = || match resumed {
            None => Session::begin_with(policies, started, before),
            Some(resumed) => Session::resume_with(policies, resumed, started, before),
        };
        Self(catch_unwind(AssertUnwindSafe(begin)).ok())
    }

    pub(super) fn handle(&mut self, message: ToService) -> Result<Result<(), Fault>, Panicked> {
        self.guard(|session| session.handle(message))
    }

    pub(super) fn heard(&mut self, stage: usize, said: FromService) -> Result<Result<(), Fault>, Panicked> {
        self.guard(|session| session.heard(stage, said))
    }

    pub(super) fn remote_lost(&mut self, stage: usize, why: &str) -> Result<Result<(), Fault>, Panicked> {
        self.guard(|session| session.remote_lost(stage, why))
    }

    /// Nothing, of a session that is gone.
    pub(super) fn owed(&mut self, stage: usize) -> Option<Owed> {
        self.guard(|session| session.owed(stage)).ok().flatten()
    }

    pub(super) fn lost(&mut self) -> Result<(), Panicked> {
        self.guard(Session::lost)
    }

    pub(super) fn poll(&mut self) -> Result<Option<Output>, Panicked> {
        self.guard(Session::poll)
    }

    /// Sound although a panic leaves the session as it happens to be: nobody sees it again.
    fn guard<T>(&mut self, act: impl FnOnce(&mut Session) -> T) -> Result<T, Panicked> {
        let session = self.0.as_mut().ok_or(Panicked)?;
        catch_unwind(AssertUnwindSafe(|| act(session))).map_err(|_| {
            self.0 = None;
            Panicked
        })
    }
}
