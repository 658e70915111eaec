//! `luthien up`: both planes, one process.

use anyhow::Context;
use luthien_service::{
    Shutdown,
    config::ConfigArgs,
    logs::{self, LogArgs},
    telemetry,
};
use tokio::runtime::Builder;

use crate::{planes::Planes, style::Style};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    logs: LogArgs,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    logs::init(args.logs.log_format)?;
    let _telemetry = telemetry::init("luthien")?;
    let document = args.config.document()?;
    // Of its own: signals are heard whatever the serving threads do.
    let signals = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("can't start a thread")?;
    let shutdown = Shutdown::new();
    let planes = {
        let _context = signals.enter();
        Planes::start(&document, &shutdown)?
    };
    print!("{}", welcome(&planes, Style::of_stdout()));
    planes.join()
}

fn welcome(planes: &Planes, style: Style) -> String {
    let (clients, control) = (planes.data_addr(), planes.control());
    let admin = control.admin_addr();
    let token = match control.admin_token_file() {
        Some(path) => format!("$(cat {})", path.display()),
        None => "<admin.token of your configuration>".to_owned(),
    };
    format!(
        "\n{heading}\n\n  ANTHROPIC_BASE_URL=http://{clients}\n  OPENAI_BASE_URL=http://{clients}/v1\n\n\
         {record}\n\n  curl -H \"authorization: Bearer {token}\" http://{admin}/api/calls\n\n{stop}\n\n",
        heading = style.heading("luthien is up. Point your agent at it:"),
        record = style.heading("What happened is on record:"),
        stop = style.quiet("Ctrl-C finishes running calls and stops."),
    )
}
