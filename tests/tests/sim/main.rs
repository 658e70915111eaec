//! Deterministic simulation: clients, data planes, control planes, a scripted upstream and a store in memory, in one
//! thread, on simulated time and a simulated network. All that happens follows from a seed; what must hold is computed
//! again, by code that shares nothing with the planes. `docs/simulation.md` tells more.

mod check;
mod client;
mod expect;
mod hear;
mod http1;
mod net;
mod oracle;
mod plan;
mod rng;
mod store;
mod trace;
mod upstream;
mod workers;
mod world;

use std::env;

use plan::Plan;

/// Seeds that once found something, one a line; what stands behind it is what.
const KEPT: &str = include_str!("kept_seeds.txt");
/// The first ones: the same in each run, so that a run of all tests says something of the change that it tests.
const FIRST: std::ops::Range<u64> = 1..21;

#[test]
fn kept_and_first_seeds_hold() {
    let kept = KEPT.lines().filter_map(|line| line.split_whitespace().next());
    let kept = kept.map(|seed| seed.parse().expect("a kept seed is a number"));
    workers::hold(kept.chain(FIRST).collect());
}

/// What `cargo xtask sim` runs.
#[test]
#[ignore = "runs the seeds that the environment asks for"]
fn asked_seeds_hold() {
    if let Some(share) = workers::share() {
        return workers::work(&share);
    }
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let (from, seeds) = (number("LUTHIEN_SIM_FROM").unwrap_or(0), number("LUTHIEN_SIM_SEEDS").unwrap_or(1));
    if seeds == 1 {
        tell(from);
    }
    workers::hold((from..from + seeds).collect());
}

/// The story of a seed.
fn tell(seed: u64) {
    let plan = Plan::of(seed);
    let run = world::run(&plan);
    println!("{plan:#?}\n{}", run.seen.log.join("\n"));
    run.store.look(|kept| println!("{kept:#?}"));
    for client in &run.seen.clients {
        println!("{:?} {:?}\n{}", client.status, client.end, String::from_utf8_lossy(&client.body));
    }
}
