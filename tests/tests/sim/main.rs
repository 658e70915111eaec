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

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use plan::Plan;

/// Seeds that once found something, one a line; what stands behind it is what.
const KEPT: &str = include_str!("kept_seeds.txt");
/// How many seeds that nobody has tried are tried in each run.
const FRESH: u64 = 20;

#[test]
fn kept_and_fresh_seeds_hold() {
    let kept = KEPT.lines().filter_map(|line| line.split_whitespace().next());
    let kept = kept.map(|seed| seed.parse().expect("a kept seed is a number"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is behind 1970").as_millis() as u64;
    workers::hold(kept.chain(now..now + FRESH).collect());
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
