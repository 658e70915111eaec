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
mod world;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use plan::Plan;

/// Seeds that once found something, one a line; what stands behind it is what.
const KEPT: &str = include_str!("kept_seeds.txt");
const FRESH: u64 = 20;

#[test]
fn kept_seeds_hold() {
    let seeds = KEPT.lines().filter_map(|line| line.split_whitespace().next());
    hold(seeds.map(|seed| seed.parse().expect("a seed is a number")).collect());
}

#[test]
fn fresh_seeds_hold() {
    let from = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) * FRESH;
    hold((from..from + FRESH).collect());
}

/// What `cargo xtask sim` runs.
#[test]
#[ignore = "runs the seeds that the environment asks for"]
fn asked_seeds_hold() {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let (from, seeds) = (number("LUTHIEN_SIM_FROM").unwrap_or(0), number("LUTHIEN_SIM_SEEDS").unwrap_or(1));
    if seeds == 1 {
        println!("{:#?}", Plan::of(from));
        let run = world::run(&Plan::of(from));
        println!("{}", run.seen.log.join("\n"));
        run.store.look(|kept| println!("{kept:#?}"));
    }
    hold((from..from + seeds).collect());
}

/// Checks them on all processors.
fn hold(seeds: Vec<u64>) {
    let (next, failures, began) = (AtomicU64::new(0), Mutex::new(Vec::new()), Instant::now());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let wrong = check::seed(seed);
                    if !wrong.is_empty() {
                        println!("seed {seed}: {}\n", wrong.join("\n  "));
                        failures.lock().expect("nobody panics with it").push(seed);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    println!("{} seeds in {} s, {} of them failed", seeds.len(), began.elapsed().as_secs(), failures.len());
    assert!(failures.is_empty(), "seeds {failures:?} fail; one again, with its story: cargo xtask sim --from SEED");
}
