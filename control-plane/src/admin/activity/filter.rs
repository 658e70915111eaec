//! Which events a viewer wants.

use std::collections::HashSet;

use luthien_proto::message::{Outcome, Severity};

use crate::{
    admin::calls::params,
    record::{Happening, Place, outcome_from_name},
};

const KNOWN: &str = "session, model, policy, severity, outcome, since";
const OUTCOMES: &str = "parameter \"outcome\": one of delivered, cut_by_client, ended_by_policy, failed, unknown";

/// What a viewer asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) filter: Filter,
    /// Behind this.
    pub(super) since: Option<Place>,
}

/// Which events. All that is said must hold; an event of which something can't be said is left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter {
    session: Option<String>,
    model: Option<String>,
    policy: Option<String>,
    severity: Option<Severity>,
    outcome: Option<Outcome>,
}

impl Wanted {
    /// Reads the query part of a URL. Whatever is not understood is refused.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        let mut seen = HashSet::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            wanted.set(&name, &value)?;
            params::once(&mut seen, name)?;
        }
        Ok(wanted)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let filter = &mut self.filter;
        let text = || Some(value.to_owned());
        match name {
            "session" => filter.session = text(),
            "model" => filter.model = text(),
            "policy" => filter.policy = text(),
            "severity" => filter.severity = Some(params::severity(value)?),
            "outcome" => filter.outcome = Some(outcome_from_name(value).ok_or(OUTCOMES)?),
            "since" => {
                self.since = Some(Place::from_text(value).ok_or("parameter \"since\": not the id of an event")?);
            }
            _ => return Err(format!("unknown parameter {name:?}; there are {KNOWN}")),
        }
        Ok(())
    }
}

impl Filter {
    pub(super) fn lets_by(&self, happening: &Happening) -> bool {
        let Self { session, model, policy, severity, outcome } = self;
        let Happening { call, what, .. } = happening;
        session.as_ref().is_none_or(|session| *session == call.session)
            && model.as_ref().is_none_or(|model| *model == call.model)
            && policy.as_ref().is_none_or(|policy| what.policies().contains(&policy.as_str()))
            && severity.is_none_or(|severity| what.severity() >= Some(severity))
            && outcome.is_none_or(|outcome| what.outcome() == Some(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let place = Place::from_text(&"A".repeat(32));
        let text = format!("session=s&model=m&policy=p&severity=warning&outcome=failed&since={}", "A".repeat(32));
        let filter = Filter {
            session: Some("s".into()),
            model: Some("m".into()),
            policy: Some("p".into()),
            severity: Some(Severity::Warning),
            outcome: Some(Outcome::Failed),
        };
        assert_eq!(Wanted::parse(&text), Ok(Wanted { filter, since: place }));
        assert_eq!(Wanted::parse(""), Ok(Wanted::default()));
        for (text, named) in [
            ("colour=red", "\"colour\""),
            ("model=a&model=b", "twice"),
            ("severity=bad", "\"severity\""),
            ("since=x", "\"since\""),
        ] {
            let error = Wanted::parse(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
