//! Seeds, spread over processes. What tokio numbers it numbers for a whole process, and drops in an order that depends on
//! it: two runs at once in one process would not be the same again.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use crate::check;

/// The seeds of a worker.
const SHARE: &str = "LUTHIEN_SIM_SHARE";
/// Whether the first seed that fails is enough.
const STOP: &str = "LUTHIEN_SIM_STOP";
const FAILED: &str = "seed ";

/// What this process is to work on, if it is a worker.
pub fn share() -> Option<Vec<u64>> {
    let share = env::var(SHARE).ok()?;
    Some(share.split(' ').filter_map(|seed| seed.parse().ok()).collect())
}

/// Checks seeds, one after the other.
pub fn work(seeds: &[u64]) {
    for seed in seeds {
        let wrong = check::seed(*seed);
        if !wrong.is_empty() {
            println!("\n{FAILED}{seed}: {}", wrong.join("\n  "));
            if env::var_os(STOP).is_some() {
                return;
            }
        }
    }
}

/// Checks seeds, on all processors.
pub fn hold(seeds: Vec<u64>) {
    let began = Instant::now();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    let workers: Vec<_> = (0..workers)
        .map(|first| start(seeds.iter().skip(first).step_by(workers)))
        .map(|worker| thread::spawn(move || failures(worker)))
        .collect();
    let failures: Vec<_> =
        workers.into_iter().flat_map(|worker| worker.join().expect("it tells its failures")).collect();
    println!("{} seeds in {} s, {} of them failed", seeds.len(), began.elapsed().as_secs(), failures.len());
    assert!(failures.is_empty(), "seeds {failures:?} fail; one again, with its story: cargo xtask sim --from SEED");
}

fn start<'a>(seeds: impl Iterator<Item = &'a u64>) -> Child {
    let seeds: Vec<_> = seeds.map(u64::to_string).collect();
    let mut command = Command::new(env::current_exe().expect("the test has a file"));
    command.args(["--ignored", "--exact", "asked_seeds_hold", "--nocapture"]).env(SHARE, seeds.join(" "));
    command.stdout(Stdio::piped()).spawn().expect("the test can be started again")
}

/// The seeds that failed; what was wrong is told as it comes.
fn failures(mut worker: Child) -> Vec<String> {
    let mut failures = Vec::new();
    let told = BufReader::new(worker.stdout.take().expect("it was piped"));
    let mut telling = false;
    for line in told.lines().map_while(Result::ok) {
        if let Some((seed, _)) = line.strip_prefix(FAILED).and_then(|rest| rest.split_once(':')) {
            failures.push(seed.to_owned());
            telling = true;
        }
        if telling {
            println!("{line}");
        }
    }
    if !worker.wait().is_ok_and(|status| status.success()) {
        failures.push("of a worker that did not end well".to_owned());
    }
    failures
}
