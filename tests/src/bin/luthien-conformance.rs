//! The conformance kit as a command. `cargo xtask conformance` builds and runs it.

use std::{
    fs,
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use luthien_tests::conformance::{self, Options, json_lines, table};

/// Checks whether a policy service keeps the rules of the verdict protocol
///
/// Plays conversations of a proxy with the service, good ones, odd ones and faulty ones, and says of each rule whether it
/// was kept (and how often), broken (and how), or not seen: the service did nothing that the rule is about. It knows
/// nothing of the service's policies, and checks what has to hold whatever they decide; so give the service some that hold,
/// replace and end, or there is little to see. The rules: docs/conformance.md.
///
/// The service is talked to as by any proxy: what it records, it will record of these calls. Their model, route and
/// upstream are called "conformance".
#[derive(Parser)]
#[command(
    name = "cargo xtask conformance",
    after_help = "Exits with 0 if no rule was broken, with 1 if one was, with 2 if the service can't be reached.\n\n\
                  Examples:\n  \
                  cargo xtask conformance --service 127.0.0.1:50051\n  \
                  cargo xtask conformance --service 127.0.0.1:50051 --metadata 'authorization=Bearer …' --jsonl findings.jsonl"
)]
struct Cli {
    /// Where it listens: host:port, without TLS
    #[arg(long, value_name = "ADDR")]
    service: String,
    /// Metadata for each call, NAME=VALUE; again for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Writes what was found there too: a line of JSON for each rule
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// The lease: while it owes something the service has to speak once in so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    lease_ms: u64,
    /// How long a chunk may be held, where the service does not say, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    hold_ms: u64,
    /// How long the close of a stream may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    close_ms: u64,
    /// How many calls run at once, where that is what is checked
    #[arg(long, value_name = "N", default_value_t = 100)]
    crowd: usize,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<bool, Box<dyn std::error::Error>> {
    let options = Options {
        address: cli.service,
        metadata: cli.metadata,
        lease: Duration::from_millis(cli.lease_ms),
        hold: Duration::from_millis(cli.hold_ms),
        close: Duration::from_millis(cli.close_ms),
        crowd: cli.crowd,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = io::stderr().is_terminal();
    let findings = runtime.block_on(conformance::run(&options, |playing| {
        if progress {
            eprint!("\r\x1b[2Kplaying: {playing}");
        }
    }))?;
    if progress {
        eprint!("\r\x1b[2K");
    }
    if let Some(file) = cli.jsonl {
        fs::write(&file, json_lines(&findings)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut out = io::stdout();
    write!(out, "{}", table(&findings, out.is_terminal() && !plain))?;
    let broken = findings.broken_rules().len();
    if broken > 0 {
        writeln!(out, "\n{broken} rules are broken.")?;
    }
    Ok(broken == 0)
}
