//! What `on_moot` speaks through.

use crate::{policy::ConsultId, stage::Asking};

/// What `on_moot` speaks through. There is nothing to decide about.
pub struct MootOutput<'a> {
    pub(crate) policy: &'a str,
    pub(crate) asking: Asking<'a>,
}

impl MootOutput<'_> {
    /// As [`super::HookOutput::cancel_consult`].
    pub fn cancel_consult(&mut self, id: ConsultId) {
        self.asking.cancel(self.policy, id);
    }
}
