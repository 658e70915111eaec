//! `cargo xtask sim`.

use clap::Args;

use crate::step::Step;

/// Runs simulations by seed
#[derive(Args)]
pub struct Sim {
    /// How many
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Without optimisation: sooner built, and slower
    #[arg(long)]
    debug: bool,
}

/// The tests of the simulation read what is wanted from the environment.
pub fn run(sim: &Sim) -> bool {
    let mut arguments = vec!["test", "--package", "luthien-tests", "--test", "sim"];
    if !sim.debug {
        arguments.push("--release");
    }
    arguments.extend(["--", "--ignored", "--exact", "asked_seeds_hold", "--nocapture"]);
    Step::cargo([])
        .args(arguments.into_iter().map(str::to_owned))
        .env("LUTHIEN_SIM_SEEDS", &sim.seeds.to_string())
        .env("LUTHIEN_SIM_FROM", &sim.from.to_string())
        .run()
}
