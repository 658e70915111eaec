//! `plain_dashes`: dashes that nobody types become the one that everybody does.

use luthien_proto::event::Kind;
use serde_json::{Value, json};

use crate::{
    BuildError,
    policies::{
        Common, object,
        string_replacement::{StringReplacement, apply_to_schema},
    },
    set::Fields,
};

/// Figure dash, en dash, em dash, horizontal bar, two-em and three-em dash.
const DASHES: [&str; 6] = ["\u{2012}", "\u{2013}", "\u{2014}", "\u{2015}", "\u{2e3a}", "\u{2e3b}"];

/// What a client shows to people. Arguments of tools have to fit the files that they are about.
const KINDS: [Kind; 2] = [Kind::Text, Kind::Refusal];

pub(in super::super) fn plain_dashes(common: Common, fields: &mut Fields) -> Result<StringReplacement, BuildError> {
    let pairs = DASHES.map(|dash| (dash.to_owned(), "-".to_owned()));
    StringReplacement::of(common, pairs.into(), &KINDS, fields)
}

/// What [`plain_dashes`] reads.
pub(in super::super) fn plain_dashes_schema() -> Value {
    let apply_to = apply_to_schema(&KINDS);
    object(json!({ "apply_to": apply_to }), &[], json!([{ "apply_to": ["text", "refusal", "thinking"] }]))
}
