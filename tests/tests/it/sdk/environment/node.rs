//! A folder with the Node SDKs, and the scripts beside them: a script finds only packages that are installed above it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use luthien_tests::environment::{can, run};

use super::{Installed, Runtime, folder};

/// The oldest Node that the pinned versions are known to run on.
const MAJOR_MIN: u32 = 20;

const PINNED: &str = "package-lock.json";

/// `None`: there is no Node on this machine, or no npm.
pub fn installed() -> Option<Installed> {
    let probe = format!("process.exit(Number.parseInt(process.versions.node) < {MAJOR_MIN} ? 1 : 0)");
    if !can("node", &["-e", &probe]) || !can("npm", &["--version"]) {
        let wanted = format!("a node of version {MAJOR_MIN} or later with npm");
        Runtime::Node.note(&format!("skipped: they need {wanted}, and there is none"));
        return None;
    }
    let version = run(Command::new("node").arg("--version"), "node does not say its version");
    let place = Runtime::Node.place(PINNED, &version.stdout, |aside| {
        fs::create_dir_all(aside).expect("cargo's target folder can be written");
        for name in ["package.json", PINNED] {
            fs::copy(folder().join(name), aside.join(name)).expect("what is pinned is there");
        }
        let ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false"];
        run(Command::new("npm").args(ci).current_dir(aside), "npm could not install the SDKs");
    });
    put_scripts(&place);
    // `node` may be known by the search path alone, which the scripts are not given.
    let path = run(Command::new("node").args(["-p", "process.execPath"]), "node does not say where it is").stdout;
    let interpreter = PathBuf::from(String::from_utf8(path).expect("its path is text").trim_end());
    Some(Installed { interpreter, scripts: place })
}

/// Each is renamed into place, as another run may be reading it.
fn put_scripts(place: &Path) {
    let entries = fs::read_dir(folder()).expect("the folder of the scripts is there");
    let scripts = entries.map(|entry| entry.expect("it can be listed").path());
    for script in scripts.filter(|path| path.extension().is_some_and(|extension| extension == "mjs")) {
        let aside = place.join(process::id().to_string());
        fs::copy(&script, &aside).expect("a script can be copied");
        let name = script.file_name().expect("a script has a name");
        fs::rename(&aside, place.join(name)).expect("a script can be put into place");
    }
}
