//! `cargo xtask soak`.

use clap::{Args, ValueEnum};

use crate::{
    postgres,
    step::{Step, release_folder},
};

/// How long, and how much.
#[derive(Args)]
pub struct Soak {
    /// How long calls are made
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// How often something is killed; in place of the seconds
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    rounds: Option<u64>,
    /// Where the record is kept; a server is killed too
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
    /// Whether verdicts wait for the record. With `strict`, what clients got when one plane is killed is compared with its record too
    #[arg(long, value_enum, default_value_t = Audit::Relaxed)]
    audit: Audit,
    /// How many at once
    #[arg(long, value_name = "N", default_value_t = 300)]
    streams: u64,
}

/// Where the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

/// `control_plane.audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Audit {
    Relaxed,
    Strict,
}

/// Kills a control plane under strict audit, and compares what clients got with what is on record.
const STRICT: &str = "audit::whatever_clients_got_when_a_control_plane_is_killed_is_on_record";

impl Database {
    /// The test that kills planes under calls, for longer and with more calls than in a run of all tests.
    fn test(self) -> &'static str {
        match self {
            Self::Sqlite => "takeover::soak::while_control_planes_are_killed_no_call_loses_anything",
            Self::Postgres => "takeover::soak::while_the_database_is_killed_too_no_call_loses_anything",
        }
    }
}

/// Makes calls through several planes while control planes are killed, and prints what came of it.
pub fn run(soak: &Soak) -> bool {
    if soak.database == Database::Postgres {
        postgres::install();
    }
    if !Step::release(&["luthien-control-plane", "luthien-data-plane"]).run() {
        eprintln!("\nThe build failed; nothing was run.");
        return false;
    }
    let length = match soak.rounds {
        Some(rounds) => format!("until {rounds} were killed"),
        None => format!("for {} s", soak.seconds),
    };
    eprintln!("{} calls at once {length}, then their records are read …", soak.streams);
    let (audit, tests) = match soak.audit {
        Audit::Relaxed => ("relaxed", vec![soak.database.test()]),
        Audit::Strict => ("strict", vec![soak.database.test(), STRICT]),
    };
    let kills = soak.rounds.unwrap_or(soak.seconds);
    Step::cargo(["test", "-p", "luthien-tests", "--test", "it", "--", "--exact", "--nocapture", "--test-threads=1"])
        .args(tests.into_iter().map(str::to_owned))
        .env("LUTHIEN_PROGRAMS", &release_folder().display().to_string())
        .env("LUTHIEN_SOAK_AUDIT", audit)
        .env("LUTHIEN_SOAK_KILLS", &kills.to_string())
        .env("LUTHIEN_SOAK_SECONDS", &soak.seconds.to_string())
        .env("LUTHIEN_SOAK_ROUNDS", &soak.rounds.unwrap_or(0).to_string())
        .env("LUTHIEN_SOAK_STREAMS", &soak.streams.to_string())
        .run()
}
