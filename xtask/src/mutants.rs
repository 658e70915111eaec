//! `cargo xtask mutants`: plants faults, one by one, in a copy of the tree, and sees whether the tests notice.

mod planted;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use clap::Args;

use planted::{ALL, Planted, Shows};

/// Plants faults in a copy of the tree, and tells which the simulation or the model tests notice
#[derive(Args)]
pub struct Mutants {
    /// Simulated seeds per fault
    #[arg(long, default_value_t = 60)]
    seeds: u64,
    /// The tree is known to be sound: it is not checked first
    #[arg(long)]
    sound: bool,
    /// Only faults with this in their name
    #[arg(default_value = "")]
    name: String,
}

/// What noticed a fault.
enum Outcome {
    Caught(&'static str),
    NotCaught,
    /// It has no place any more, or what came of it can't be built.
    NotPlanted(String),
}

/// What may notice a fault.
#[derive(Clone, Copy)]
enum Check {
    Simulation,
    Models,
}

impl Check {
    const ALL: [Self; 2] = [Self::Simulation, Self::Models];
}

impl Planted {
    /// What is to notice it first: it is there that it shows sooner.
    fn checks(&self) -> [Check; 2] {
        match self.shows {
            Shows::InTheSimulation => Check::ALL,
            Shows::InTheModels => [Check::Models, Check::Simulation],
        }
    }
}

/// The package that a file belongs to.
fn package_of(file: &str) -> &'static str {
    let packages = [("data-plane/call/", MODELS[0]), ("control-plane/policy/", MODELS[1])];
    packages.into_iter().find(|(folder, _)| file.starts_with(folder)).map_or("luthien-control-plane", |(_, name)| name)
}

/// The packages with the model tests.
const MODELS: [&str; 2] = ["luthien-call", "luthien-policy"];

pub fn run(mutants: &Mutants) -> bool {
    let tree = match Tree::prepare() {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("the tree can't be copied: {error}");
            return false;
        }
    };
    if !mutants.sound
        && let Some(what) = tree.noticed(Check::ALL, mutants.seeds)
    {
        eprintln!("{what} fails without any fault");
        return false;
    }
    let (mut planted, mut caught) = (0, 0);
    for fault in ALL.iter().filter(|fault| fault.name.contains(&mutants.name)) {
        let began = Instant::now();
        let outcome = tree.with(fault, || tree.noticed(fault.checks(), mutants.seeds));
        let seconds = began.elapsed().as_secs();
        planted += 1;
        match outcome {
            Outcome::Caught(by) => {
                caught += 1;
                println!("caught by {by}: {} ({seconds} s)", fault.name);
            }
            Outcome::NotCaught => println!("NOT CAUGHT: {} ({seconds} s)", fault.name),
            Outcome::NotPlanted(why) => println!("NOT PLANTED: {}: {why}", fault.name),
        }
    }
    println!("{caught} of {planted} planted faults were caught");
    caught == planted
}

/// A copy of the tree, with a target directory of its own.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies what has changed since the last time.
    fn prepare() -> io::Result<Self> {
        let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize()?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("target"), PathBuf::from).join("mutants");
        let tree = Self { root: target.join("tree"), target: target.join("target") };
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&here).output()?;
        for file in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let (from, to) = (here.join(file), tree.root.join(file));
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(&tree.root))?;
                copy(&fs::read(from)?, &to)?;
            }
        }
        Ok(tree)
    }

    /// Does something with a fault planted.
    fn with(&self, fault: &Planted, check: impl FnOnce() -> Option<&'static str>) -> Outcome {
        let path = self.root.join(fault.file);
        let sound = match fs::read_to_string(&path) {
            Ok(sound) => sound,
            Err(error) => return Outcome::NotPlanted(format!("{}: {error}", fault.file)),
        };
        let places = sound.matches(fault.find).count();
        if places != 1 {
            return Outcome::NotPlanted(format!("{places} places for it in {}", fault.file));
        }
        let planted = fs::write(&path, sound.replace(fault.find, fault.instead));
        let outcome = match planted {
            Ok(()) if !self.builds(fault.file) => Outcome::NotPlanted("it can't be built".to_owned()),
            Ok(()) => check().map_or(Outcome::NotCaught, Outcome::Caught),
            Err(error) => Outcome::NotPlanted(error.to_string()),
        };
        match fs::write(&path, sound) {
            Ok(()) => outcome,
            Err(error) => Outcome::NotPlanted(format!("and can't be taken out again: {error}")),
        }
    }

    fn builds(&self, file: &str) -> bool {
        self.cargo(&["check", "-p", package_of(file)], 0)
    }

    /// Which tests fail, if any.
    fn noticed(&self, checks: [Check; 2], seeds: u64) -> Option<&'static str> {
        checks.into_iter().find(|check| !self.passes(*check, seeds)).map(|check| match check {
            Check::Simulation => "the simulation",
            Check::Models => "the model tests",
        })
    }

    fn passes(&self, check: Check, seeds: u64) -> bool {
        const SIMULATE: [&str; 8] =
            ["test", "-p", "luthien-tests", "--test", "sim", "--", "--ignored", "asked_seeds_hold"];
        match check {
            Check::Simulation => self.cargo(&SIMULATE, seeds),
            Check::Models => MODELS.iter().all(|package| self.cargo(&["test", "-p", package], 0)),
        }
    }

    fn cargo(&self, arguments: &[&str], seeds: u64) -> bool {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        cargo.env("LUTHIEN_SIM_SEEDS", seeds.to_string()).env("LUTHIEN_SIM_FROM", "0").env("LUTHIEN_SIM_STOP", "1");
        // Every fault is built once: what would help the next build fills the disk.
        cargo.env("CARGO_INCREMENTAL", "0");
        cargo.stdout(Stdio::null()).stderr(Stdio::null());
        cargo.status().is_ok_and(|status| status.success())
    }
}

/// A file that stays the same is not written, and so not built again.
fn copy(bytes: &[u8], to: &Path) -> io::Result<()> {
    match fs::read(to) {
        Ok(known) if known == bytes => Ok(()),
        _ => fs::write(to, bytes),
    }
}
