//! What the policy service is told, on whichever stream is open.

use luthien_proto::{ToService, codec::Encoded, message::CallResumed};

use super::{
    Output,
    life::{Call, Service},
};

impl Call {
    /// Tells what there is to tell; once the call is over for the client and the upstream, that.
    pub(super) fn report(&mut self) {
        if self.is_ended() {
            match self.service {
                Service::Asked | Service::Judging | Service::Unheeded => {
                    self.service = Service::Told;
                    self.cancel_consults();
                    let ended = self.ended();
                    self.out.push_back(Output::Ended(ended.clone()));
                    self.reporter.end(ended);
                }
                Service::Gone => {
                    self.service = Service::Closed;
                    let report = self.take_report();
                    self.out.extend(report.map(Output::Report));
                    self.out.push_back(Output::Done(self.trouble.take().map_or(Ok(()), Err)));
                }
                Service::Told | Service::Closed => {}
            }
        }
        match self.service {
            Service::Judging | Service::Unheeded | Service::Told if self.stream.is_open() => {
                while let Some(message) = self.reporter.next_told() {
                    self.tell(message);
                }
            }
            Service::Asked | Service::Judging | Service::Unheeded | Service::Told | Service::Gone | Service::Closed => {
            }
        }
    }

    fn tell(&mut self, message: ToService) {
        let is_last = matches!(message, ToService::CallEnded(_));
        let message = Encoded::from(message);
        self.stream.tell(&message);
        self.out.push_back(Output::Tell(message));
        if is_last {
            self.out.push_back(Output::CloseService);
        }
    }

    /// Goes on with another stream: it is told how the call stands, and all that the lost one was told.
    pub(super) fn reopen(&mut self) {
        self.stream.reopen(self.reporter.reopen());
        let (epoch, admission, applied) = (self.stream.epoch(), self.admission.clone(), self.applied);
        let resumed = ToService::CallResumed(Box::new(CallResumed { epoch, admission, applied }));
        self.out.extend([Output::OpenService, Output::Tell(resumed.into())]);
        self.out.extend(self.stream.told().map(Output::Tell));
        if self.service == Service::Told && self.reporter.has_told_end() {
            self.out.push_back(Output::CloseService);
        }
        self.clocks.reopened(self.now);
    }
}
