//! The policies of a call that somebody else serves: what they are told, and what they say.

use luthien_proto::message::{FromService, Reply};

use super::{Fault, Output, Session, State};
use crate::stage::{Common, Failure, Flow, Owed, Remote};

impl Session {
    /// Takes in what the remote policy at that position of the pipeline says.
    ///
    /// # Errors
    /// As [`Self::handle`], of what the proxy had said before the call was admitted.
    pub fn heard(&mut self, stage: usize, said: FromService) -> Result<(), Fault> {
        self.with_remote(stage, |remote, common, out| remote.heard(said, common, out))
    }

    /// The remote policy at that position is lost: its failure mode says what becomes of the call. `why` is put on record.
    ///
    /// # Errors
    /// As [`Self::heard`].
    pub fn remote_lost(&mut self, stage: usize, why: &str) -> Result<(), Fault> {
        self.with_remote(stage, |remote, common, out| remote.lost(why, common, out))
    }

    /// What the remote policy at that position owes; `None`: nothing.
    pub fn owed(&self, stage: usize) -> Option<Owed> {
        match self.state {
            State::Admitting | State::Open => self.stages.get(stage)?.remote()?.owed(),
            State::Stopped | State::Over | State::Ended => None,
        }
    }

    fn with_remote(
        &mut self,
        stage: usize,
        run: impl FnOnce(&mut Remote, &mut Common, &mut Vec<Flow>) -> Result<(), Failure>,
    ) -> Result<(), Fault> {
        if self.fault.is_some() || !matches!(self.state, State::Admitting | State::Open) {
            return Ok(());
        }
        let Some(remote) = self.stages.get_mut(stage).and_then(|link| link.remote_mut()) else { return Ok(()) };
        let mut out = Vec::new();
        let ran = run(remote, &mut self.common, &mut out);
        match (self.state, ran) {
            (State::Admitting, Ok(())) => self.go_on_admitting(),
            (State::Admitting, Err(failure)) => self.fail_admitting(failure),
            (State::Open | State::Stopped | State::Over | State::Ended, ran) => {
                self.flow(stage + 1, out);
                if let Err(failure) = ran {
                    self.fail(failure);
                }
                self.note_beside();
                let seen = self.seen;
                if self.speak() == 0 && self.seen > seen {
                    self.say(Reply::Working);
                }
            }
        }
        self.fault.map_or(Ok(()), Err)
    }

    /// Tells the remote policies what there is to tell.
    pub(super) fn tell_remotes(&mut self) {
        for (stage, link) in self.stages.iter_mut().enumerate() {
            let Some(remote) = link.remote_mut() else { continue };
            if remote.leaves() {
                self.outputs.push_back(Output::Leave { stage });
            }
            while let Some(message) = remote.next_told() {
                self.outputs.push_back(Output::Tell { stage, message });
            }
        }
    }

    /// Whether a remote policy has not taken all that it was told: what the proxy told is not taken before it has.
    pub(super) fn is_behind(&self) -> bool {
        self.state == State::Open
            && self.stages.iter().filter_map(|link| link.remote()).any(|remote| remote.is_behind())
    }
}
