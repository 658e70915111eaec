//! `luthien`: both planes in one process, and the operator's commands.

mod demo;
mod planes;
mod replay;
mod style;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A gateway for AI control.
///
/// An agent points its base URL at luthien; luthien forwards to the real provider, and nothing that a policy wants to
/// judge reaches the agent before the policy has said so, chunk by chunk. Everything is on record.
#[derive(Parser)]
#[command(name = "luthien", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run both planes in this process, with SQLite; print what to set in the agent's environment
    ///
    /// Without a configuration file, OPENAI_API_KEY, ANTHROPIC_API_KEY and GEMINI_API_KEY say which providers there are,
    /// and no policy judges: calls pass and are recorded.
    #[command(after_help = UP_HELP)]
    Up(up::Args),
    /// Show what luthien does, with a scripted model and no network
    ///
    /// Starts both planes and a scripted upstream on free ports of this machine, and shows beside each other what the
    /// model said, what the client's socket got, and what is on record.
    Demo(demo::Args),
    /// Run other policies over calls that are on record, and tell what they would decide otherwise
    ///
    /// Reads the record that the configuration names, or an export of it, and changes nothing. The calls are judged by the
    /// same code that judges them while they run; what policies asked models is answered from the record. Nothing is sent
    /// anywhere.
    #[command(after_help = REPLAY_HELP)]
    Replay(replay::Args),
}

const REPLAY_HELP: &str = "\
Examples:
  luthien replay --config luthien.yaml --policies candidate.yaml --since 7d
  luthien replay --config luthien.yaml --policies candidate.yaml --model 'gpt-5' --jsonl differences.jsonl
  luthien replay --from export.jsonl --policies candidate.yaml --fail-on-diff     in CI: 1 if anything differs";

const UP_HELP: &str = "\
Examples:
  luthien up                          providers from the environment, everything recorded
  luthien up --config luthien.yaml    with policies; README.md describes the file
  ANTHROPIC_BASE_URL=http://127.0.0.1:8000 claude
  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 python my_agent.py";

fn main() -> ExitCode {
    let cli = Cli::parse();
    luthien_service::exit::run(|| match cli.command {
        Command::Up(args) => up::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Replay(args) => replay::run(&args),
    })
}
