//! Responses as providers write them, one file each: `fixtures/DIALECT/CASE.sse` streamed, `CASE.json` whole; and a request
//! with all that a client can say, `request.json`.

use std::{fs, path::PathBuf};

use crate::validate::Dialect;

/// A response of a provider.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The name of its file, without the ending.
    pub case: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

const REQUEST: &str = "request";

/// Reads the request.
///
/// # Panics
/// When there is no such file.
pub fn request(dialect: Dialect) -> Vec<u8> {
    read(dialect, REQUEST, "json")
}

/// Reads a file of a folder of fixtures.
///
/// # Panics
/// When there is no such file.
pub fn file(folder: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder).join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads one streamed response.
///
/// # Panics
/// When there is no such file.
pub fn streamed(dialect: Dialect, case: &str) -> Vec<u8> {
    read(dialect, case, "sse")
}

/// Reads one whole response.
///
/// # Panics
/// When there is no such file.
pub fn whole(dialect: Dialect, case: &str) -> Vec<u8> {
    read(dialect, case, "json")
}

/// Every streamed response of a dialect.
pub fn all_streamed(dialect: Dialect) -> Vec<Fixture> {
    all(dialect, "sse")
}

/// Every whole response of a dialect.
pub fn all_whole(dialect: Dialect) -> Vec<Fixture> {
    all(dialect, "json")
}

/// Gives the events of a changed stream of OpenAI Responses their numbers in a row; other streams have none.
///
/// # Panics
/// When it is no text.
pub fn renumbered(body: &[u8]) -> Vec<u8> {
    let body = std::str::from_utf8(body).expect("a stream is text");
    let mut parts = body.split("\"sequence_number\":");
    let first = parts.next().unwrap_or_default().to_owned();
    let number = |(number, part): (usize, &str)| {
        format!("\"sequence_number\":{number}{}", part.trim_start_matches(|digit: char| digit.is_ascii_digit()))
    };
    let rest: String = parts.enumerate().map(number).collect();
    (first + &rest).into_bytes()
}

fn read(dialect: Dialect, case: &str, ending: &str) -> Vec<u8> {
    file(dialect.name(), &format!("{case}.{ending}"))
}

fn all(dialect: Dialect, ending: &str) -> Vec<Fixture> {
    let folder = folder(dialect);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut cases: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    cases.retain(|path| path.file_stem().is_some_and(|case| case != REQUEST));
    cases.sort();
    let case = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    cases.iter().map(case).map(|case| Fixture { body: read(dialect, &case, ending), case }).collect()
}

fn folder(dialect: Dialect) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(dialect.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Turn;

    /// Responses that no client reads to a good end: they are there to show what becomes of them.
    fn is_bad(case: &str) -> bool {
        case.starts_with("bad_")
    }

    fn check(dialect: Dialect, fixtures: Vec<Fixture>, read: impl Fn(&[u8]) -> Result<Turn, String>) {
        assert!(!fixtures.is_empty());
        for fixture in fixtures {
            let read = read(&fixture.body);
            assert_eq!(read.is_err(), is_bad(&fixture.case), "{} {}: {read:?}", dialect.name(), fixture.case);
        }
    }

    #[test]
    fn each_streamed_response_keeps_the_grammar_of_its_dialect() {
        check(Dialect::OpenAi, all_streamed(Dialect::OpenAi), crate::validate::openai::relayed);
        check(Dialect::Anthropic, all_streamed(Dialect::Anthropic), crate::validate::anthropic::relayed);
        check(Dialect::Responses, all_streamed(Dialect::Responses), crate::validate::responses::relayed);
    }

    #[test]
    fn each_whole_response_keeps_the_grammar_of_its_dialect() {
        for dialect in Dialect::ALL {
            check(dialect, all_whole(dialect), |body| dialect.whole(body));
        }
    }
}
