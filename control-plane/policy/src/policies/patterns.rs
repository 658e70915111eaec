//! Globs and regular expressions, as an operator writes them.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Regex, RegexBuilder};

use crate::BuildError;

/// The largest compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Reads the glob that stands at `key`.
pub(super) fn read_glob(key: &'static str, glob: &str) -> Result<GlobMatcher, BuildError> {
    let glob = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| BuildError::new(key, error.to_string()))
}

/// Reads the regular expression that stands at `key`.
pub(super) fn read_regex(key: &'static str, regex: &str) -> Result<Regex, BuildError> {
    let regex = RegexBuilder::new(regex).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
    regex.map_err(|error| BuildError::new(key, error.to_string()))
}
