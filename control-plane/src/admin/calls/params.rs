//! The parameters of a list. Whatever is not understood is refused: a filter that silently does nothing shows calls that
//! nobody asked for.

use std::{borrow::Cow, collections::HashSet};

use jiff::Timestamp;

use luthien_proto::message::Severity;

use crate::record::{Cursor, Ended, Query, Search, outcome_from_name, severity_from_name};

const KNOWN: &str = "model, dialect, client, route, upstream, outcome, session, severity, policy, text, since, until, \
                     cursor, limit";

/// Reads the query part of a URL.
pub(in crate::admin) fn parse(text: &str) -> Result<Query, String> {
    let mut query = Query::default();
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        set(&mut query, &name, &value)?;
        once(&mut seen, name)?;
    }
    Ok(query)
}

/// The same, for as many calls as are wanted; `None`: all.
pub(in crate::admin) fn unlimited(text: &str) -> Result<(Query, Option<u64>), String> {
    let (mut query, mut limit) = (Query::default(), None);
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "limit" => limit = Some(value.parse().map_err(|_| "parameter \"limit\": a number is needed")?),
            _ => set(&mut query, &name, &value)?,
        }
        once(&mut seen, name)?;
    }
    Ok((query, limit))
}

/// Refuses what is given twice.
pub(in crate::admin) fn once<'t>(seen: &mut HashSet<Cow<'t, str>>, name: Cow<'t, str>) -> Result<(), String> {
    match seen.replace(name) {
        Some(name) => Err(format!("parameter {name:?} is given twice")),
        None => Ok(()),
    }
}

/// How a call is shown.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shown {
    /// Which of its epochs.
    pub(super) epoch: Option<u32>,
    /// Whether with how its blocks came.
    pub(super) deltas: bool,
}

/// Reads the query part of the URL of one call.
pub(super) fn shown(text: &str) -> Result<Shown, String> {
    let (mut shown, mut seen) = (Shown::default(), HashSet::new());
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "epoch" => {
                let epoch = value.parse().map_err(|_| "parameter \"epoch\": a number is needed")?;
                shown.epoch = Some(epoch);
            }
            "deltas" => {
                shown.deltas = value.parse().map_err(|_| "parameter \"deltas\": true or false is needed")?;
            }
            _ => return Err(format!("unknown parameter {name:?}; there are epoch, deltas")),
        }
        once(&mut seen, name)?;
    }
    Ok(shown)
}

pub(in crate::admin) fn set(query: &mut Query, name: &str, value: &str) -> Result<(), String> {
    let text = || Some(value.to_owned());
    match name {
        "model" => query.model = text(),
        "dialect" => query.dialect = text(),
        "client" => query.client = text(),
        "route" => query.route = text(),
        "upstream" => query.upstream = text(),
        "outcome" => query.outcome = Some(outcome(value)?),
        "session" => query.session = text(),
        "severity" => query.severity = Some(severity(value)?),
        "policy" => query.policy = text(),
        "text" => query.text = Some(Search::parse(value).ok_or("parameter \"text\": there is no word in it")?),
        "since" => query.since_us = Some(time(name, value)?),
        "until" => query.until_us = Some(time(name, value)?),
        "cursor" => query.after = Some(Cursor::from_text(value).ok_or("parameter \"cursor\": not one of ours")?),
        "limit" => query.limit = limit(value, Query::LIMIT_MAX)?,
        _ => return Err(format!("unknown parameter {name:?}; there are {KNOWN}")),
    }
    Ok(())
}

fn outcome(value: &str) -> Result<Ended, String> {
    match value {
        "running" => Ok(Ended::Not),
        _ => outcome_from_name(value).map(Ended::As).ok_or_else(|| {
            "parameter \"outcome\": one of running, delivered, cut_by_client, ended_by_policy, failed, unknown".into()
        }),
    }
}

pub(in crate::admin) fn severity(value: &str) -> Result<Severity, String> {
    severity_from_name(value).ok_or_else(|| "parameter \"severity\": one of debug, info, warning, error".to_owned())
}

fn time(name: &str, value: &str) -> Result<i64, String> {
    let time: Result<Timestamp, _> = value.parse();
    time.map(Timestamp::as_microsecond)
        .map_err(|_| format!("parameter {name:?}: a time as in 2026-11-30T12:00:00Z (RFC 3339) is needed"))
}

/// How many, at most `max`.
pub(in crate::admin) fn limit(value: &str, max: u32) -> Result<u32, String> {
    match value.parse() {
        Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
        Ok(_) | Err(_) => Err(format!("parameter \"limit\": a number from 1 to {max} is needed")),
    }
}

#[cfg(test)]
mod tests {
    use luthien_proto::message::Outcome;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let cursor = Cursor { started_at_us: -1, call_id: Uuid::from_u128(7) };
        let text = format!(
            "model=claude-%2A&dialect=openai-chat&client=c+i&route=%2A&upstream=u&outcome=failed&session=s&severity=warning&policy=p&text=rm+-rf+%22a+b%22&since=1970-01-01T00:00:01Z\
             &until=1970-01-01T02:00:00%2B02:00&limit=1000&cursor={}",
            cursor.to_text()
        );
        let expected = Query {
            model: Some("claude-*".into()),
            dialect: Some("openai-chat".into()),
            client: Some("c i".into()),
            route: Some("*".into()),
            upstream: Some("u".into()),
            outcome: Some(Ended::As(Outcome::Failed)),
            session: Some("s".into()),
            severity: Some(Severity::Warning),
            policy: Some("p".into()),
            text: Search::parse("rm -rf \"a b\""),
            since_us: Some(1_000_000),
            until_us: Some(0),
            after: Some(cursor),
            limit: 1000,
        };
        assert_eq!(parse(&text), Ok(expected));
        assert_eq!(parse(""), Ok(Query::default()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, named) in [
            ("modle=x", "unknown parameter \"modle\""),
            ("model=a&model=a", "\"model\" is given twice"),
            ("outcome=fine", "\"outcome\""),
            ("severity=bad", "\"severity\""),
            ("text=%22-%22+%2F", "\"text\""),
            ("since=yesterday", "\"since\""),
            ("cursor=AAAA", "\"cursor\""),
            ("limit=0", "\"limit\""),
            ("limit=1001", "\"limit\""),
            ("limit=-1", "\"limit\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
