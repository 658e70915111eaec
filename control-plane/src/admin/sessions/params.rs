//! The parameters of sessions.

use std::collections::HashSet;

use crate::{
    admin::calls::params,
    record::{Cursor, SessionCursor, SessionQuery},
};

/// How many calls of a session are shown where nobody says, and at most.
const TURNS_DEFAULT: u32 = 50;
const TURNS_MAX: u32 = 200;

/// Reads the query part of the URL of the list.
pub(super) fn sessions(text: &str) -> Result<SessionQuery, String> {
    let mut query = SessionQuery::default();
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "cursor" => {
                query.after = Some(SessionCursor::from_text(&value).ok_or("parameter \"cursor\": not one of ours")?);
            }
            _ => params::set(&mut query.calls, &name, &value)?,
        }
        params::once(&mut seen, name)?;
    }
    Ok(query)
}

/// Reads the query part of the URL of one session: behind which call, and how many.
pub(super) fn turns(text: &str) -> Result<(Option<Cursor>, u32), String> {
    let (mut after, mut limit, mut seen) = (None, TURNS_DEFAULT, HashSet::new());
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "cursor" => after = Some(Cursor::from_text(&value).ok_or("parameter \"cursor\": not one of ours")?),
            "limit" => limit = params::limit(&value, TURNS_MAX)?,
            _ => return Err(format!("unknown parameter {name:?}; there are cursor, limit")),
        }
        params::once(&mut seen, name)?;
    }
    Ok((after, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Query;

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(
            sessions("model=m&limit=7").unwrap().calls,
            Query { model: Some("m".into()), limit: 7, ..Query::default() }
        );
        assert_eq!(turns("limit=3"), Ok((None, 3)));
        for (text, named) in [("colour=red", "\"colour\""), ("limit=201", "\"limit\""), ("cursor=x", "\"cursor\"")] {
            assert!(turns(text).unwrap_err().contains(named), "{text}");
        }
        for (text, named) in [("colour=red", "\"colour\""), ("limit=1&limit=1", "twice"), ("cursor=!", "\"cursor\"")] {
            assert!(sessions(text).unwrap_err().contains(named), "{text}");
        }
    }
}
