//! What a part of the benchmark is called.

use super::{
    cell::{Cell, Kind, cells},
    path::Path,
};

/// A part, with what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A path of luthien's, streamed.
    Path(Path),
    /// Whole responses.
    Whole,
}

impl Scenario {
    /// Each of them, by its name.
    pub const ALL: [(&'static str, Self); 11] = [
        ("nothing", Self::Path(Path::Nothing)),
        ("passed", Self::Path(Path::Passed)),
        ("replaced", Self::Path(Path::Replaced)),
        ("converted", Self::Path(Path::Converted)),
        ("strict", Self::Path(Path::Strict)),
        ("postgres", Self::Path(Path::Postgres)),
        ("strict-postgres", Self::Path(Path::StrictPostgres)),
        ("remote", Self::Path(Path::Remote)),
        ("python", Self::Path(Path::Python)),
        ("remote-python", Self::Path(Path::RemotePython)),
        ("whole", Self::Whole),
    ];
}

impl std::str::FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(other, _)| *other == name);
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        found.map(|(_, scenario)| scenario).ok_or_else(|| format!("{name:?} is no scenario; there are: {}", names()))
    }
}

/// The loads of scenarios; of none: all.
pub fn loads(only: &[Scenario], quick: bool) -> Vec<Cell> {
    let is_whole = |scenario: &Scenario| *scenario == Scenario::Whole;
    let wanted = |cell: &Cell| match cell.kind {
        Kind::Streamed => only.is_empty() || !only.iter().all(is_whole),
        Kind::Whole => only.is_empty() || only.iter().any(is_whole),
    };
    cells(quick).into_iter().filter(wanted).collect()
}

/// The paths of scenarios, and what they are compared with; of none: the usual ones.
pub fn paths(only: &[Scenario]) -> Vec<Path> {
    let named: Vec<Path> = only
        .iter()
        .filter_map(|scenario| match scenario {
            Scenario::Path(path) => Some(*path),
            Scenario::Whole => None,
        })
        .collect();
    if named.is_empty() {
        return Path::USUAL.to_vec();
    }
    let is_needed = |path: &Path| {
        let is_beside = |named: &Path| [Some(*named), named.floor(), named.base()].contains(&Some(*path));
        *path == Path::Straight || named.iter().any(is_beside)
    };
    Path::ALL.into_iter().filter(is_needed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_brings_what_it_is_compared_with() {
        let converted = [Scenario::Path(Path::Converted)];
        assert_eq!(paths(&converted), [Path::Straight, Path::Judged, Path::Passed, Path::Converted]);
        assert!(loads(&converted, false).iter().all(|cell| cell.kind == Kind::Streamed));
        assert_eq!(paths(&[Scenario::Whole]), Path::USUAL);
        assert!(loads(&[Scenario::Whole], false).iter().all(|cell| cell.kind == Kind::Whole));
    }

    #[test]
    fn who_names_none_is_told_all() {
        for (name, scenario) in Scenario::ALL {
            assert_eq!(name.parse(), Ok(scenario));
            assert!("pased".parse::<Scenario>().is_err_and(|error| error.contains(name)));
        }
    }
}
