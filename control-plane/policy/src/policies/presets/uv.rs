//! Calls of pip, in whatever way.

use super::guard::Finding;
use crate::policies::shell::{Command, Reading};

pub(super) fn findings(reading: &Reading) -> Vec<Finding> {
    let calls = reading.commands.iter().filter_map(|command| Some((command, arguments_of_pip(command)?)));
    calls.map(|(command, args)| Finding::new(command.line(), reason(args))).collect()
}

/// What pip is called with, if it is.
fn arguments_of_pip(command: &Command) -> Option<&[String]> {
    let args = command.args();
    if stem(&command.program) == "pip" {
        return Some(args);
    }
    if !matches!(stem(&command.program), "python" | "pypy" | "py") {
        return None;
    }
    let at = args.iter().position(|arg| arg == "-m" || arg.starts_with("-m"))?;
    match args[at].as_str() {
        "-m" => (args.get(at + 1).map(String::as_str) == Some("pip")).then(|| &args[at + 2..]),
        "-mpip" => Some(&args[at + 1..]),
        _ => None,
    }
}

/// A program's name without its version.
fn stem(program: &str) -> &str {
    program.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.')
}

fn reason(args: &[String]) -> String {
    let operands: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    let instead = match operands.as_slice() {
        ["install", ..] if args.iter().any(|arg| arg == "-r" || arg == "--requirement") => {
            "`uv pip install -r FILE`, or `uv add -r FILE` in a project"
        }
        ["install", ..] => "`uv add PACKAGE` in a project, or `uv pip install PACKAGE`",
        ["uninstall", ..] => "`uv remove PACKAGE` in a project, or `uv pip uninstall PACKAGE`",
        _ => "`uv pip`, with the same arguments",
    };
    format!("packages are managed with uv here, not with pip: use {instead}")
}
