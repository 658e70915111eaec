//! What somebody wants the policies to be.

use http::{HeaderMap, header};
use luthien_policy::PolicySetConfig;
use serde::{Deserialize, de::IgnoredAny};

use crate::admin::error::ApiError;

/// What somebody wants the policies to be, and which they saw when they decided so.
pub(super) struct Proposal {
    /// `None`: whichever are current.
    pub(super) expected: Option<String>,
    pub(super) config: PolicySetConfig,
}

/// As it is written; what `GET` answers is one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    revision: Option<String>,
    config: PolicySetConfig,
    #[serde(default, rename = "source")]
    _source: IgnoredAny,
    #[serde(default, rename = "since")]
    _since: IgnoredAny,
}

impl Proposal {
    /// Reads a request. What it replaces has to be named: nobody's change is undone by one who has not seen it.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let json = &mut serde_json::Deserializer::from_slice(body);
        let written: Written = serde_path_to_error::deserialize(&mut *json).map_err(unreadable)?;
        json.end().map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))?;
        let expected = match (if_match(headers)?, written.revision) {
            (Some(Match::Any), None) => None,
            (Some(Match::Revision(revision)), None) | (None, Some(revision)) => Some(revision),
            (Some(Match::Revision(one)), Some(other)) if one == other => Some(one),
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request("`If-Match` and `revision` name different revisions"));
            }
            (None, None) => return Err(ApiError::precondition_required()),
        };
        Ok(Self { expected, config: written.config })
    }
}

enum Match {
    Any,
    Revision(String),
}

fn if_match(headers: &HeaderMap) -> Result<Option<Match>, ApiError> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key(header::IF_MATCH) {
            true => Err(ApiError::bad_request("one `If-Match` is needed, with one revision")),
            false => Ok(None),
        };
    };
    let text = value.to_str().unwrap_or_default().trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match (text, quoted) {
        ("*", _) => Ok(Some(Match::Any)),
        (_, Some(revision)) if !revision.contains('"') => Ok(Some(Match::Revision(revision.to_owned()))),
        (_, _) => Err(ApiError::bad_request("`If-Match` has to be * or one revision in quotes")),
    }
}

fn unreadable(error: serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let inner = error.into_inner();
    match inner.classify() {
        serde_json::error::Category::Data => ApiError::unprocessable(path, inner.to_string()),
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            ApiError::bad_request(format!("the body is not JSON: {inner}"))
        }
    }
}
