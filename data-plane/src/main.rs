//! The data plane as a program of its own.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use luthien_data_plane::{Config, DataPlane};
use luthien_service::{
    Shutdown,
    config::ConfigArgs,
    exit,
    logs::{self, LogArgs},
    telemetry,
};
use tokio::runtime::Builder;

/// Forwards calls of clients to models, and asks a control plane what of the answers may pass.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    logs: LogArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    exit::run(|| run(&args))
}

fn run(args: &Args) -> anyhow::Result<()> {
    logs::init(args.logs.log_format)?;
    let _telemetry = telemetry::init("luthien-data-plane")?;
    let document = args.config.document()?;
    let config = Config::load(&document)?;
    // Of its own: signals are heard whatever the serving threads do.
    let signals = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("can't start a thread")?;
    let shutdown = Shutdown::new();
    signals.block_on(async { shutdown.follow_signals(config.timeouts.drain) }).context("can't catch signals")?;
    DataPlane::start(config, &shutdown)?.join()?;
    Ok(())
}
