//! `cargo xtask soak`.

use clap::Args;

use crate::step::Step;

/// How long, and how much.
#[derive(Args)]
pub struct Soak {
    /// How long calls are made
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// How many at once
    #[arg(long, value_name = "N", default_value_t = 300)]
    streams: u64,
}

/// The test that kills control planes under calls, for longer and with more calls than in a run of all tests.
const TEST: &str = "takeover::soak";

/// Makes calls through several planes while control planes are killed, and prints what came of it.
pub fn run(soak: &Soak) -> bool {
    if !Step::cargo(["build", "--workspace", "--bins"]).run() {
        eprintln!("\nThe build failed; nothing was run.");
        return false;
    }
    eprintln!("{} calls at once for {} s, then their records are read …", soak.streams, soak.seconds);
    Step::cargo(["test", "-p", "luthien-tests", "--test", "it", TEST, "--", "--nocapture"])
        .env("LUTHIEN_SOAK_SECONDS", &soak.seconds.to_string())
        .env("LUTHIEN_SOAK_STREAMS", &soak.streams.to_string())
        .run()
}
