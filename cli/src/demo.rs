//! `luthien demo`: both planes and a scripted model on this machine, three calls, nothing canned.

mod client;
mod scene;
mod story;
mod upstream;

use std::{net::SocketAddr, path::Path};

use anyhow::Context;
use luthien_service::{
    Shutdown,
    config::Document,
    logs::{self, LogFormat},
};
use tokio::runtime::{Builder, Runtime};

use crate::{planes::Planes, style::Style};
use scene::{POLICIES, SCENES};
use story::Story;
use upstream::Script;

#[derive(clap::Args)]
pub struct Args {
    /// Show the planes' log on stderr as well
    #[arg(long)]
    verbose: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.verbose {
        logs::init(LogFormat::Text)?;
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("can't start a thread")?;
    let directory = tempfile::tempdir().context("can't make a directory for the record")?;
    let script = Script::default();
    let model = runtime.block_on(upstream::serve(script.clone())).context("can't start the scripted model")?;
    let document = configuration(model, directory.path())?;
    let shutdown = Shutdown::new();
    let planes = {
        let _context = runtime.enter();
        Planes::start(&document, &shutdown)?
    };
    let told = tell(&runtime, &planes, &script);
    shutdown.begin();
    planes.join()?;
    told
}

/// The configuration as an operator would write it, with the policies of the scenes.
fn configuration(model: SocketAddr, directory: &Path) -> anyhow::Result<Document> {
    let database = directory.join("luthien.db");
    let text = format!(
        "data_plane:
  listen: 127.0.0.1:0
  upstreams:
    scripted: {{ dialect: anthropic-messages, base_url: \"http://{model}\" }}
  routes:
    - {{ model: \"*\", upstream: scripted }}
control_plane:
  grpc_listen: 127.0.0.1:0
  http_listen: 127.0.0.1:0
  database: \"sqlite://{database}\"
{POLICIES}",
        database = database.display()
    );
    Ok(Document::parse("the demo's configuration", &text, |_| None)?)
}

fn tell(runtime: &Runtime, planes: &Planes, script: &Script) -> anyhow::Result<()> {
    let style = Style::of_stdout();
    let (clients, admin) = (planes.data_addr(), planes.control().admin_addr());
    println!("{}", style.heading("luthien, between a client and a scripted model"));
    println!("   clients: {clients}, admin: {admin}\n\n   the policies\n{}", style.quiet(POLICIES.trim_end()));
    for (index, scene) in SCENES.iter().enumerate() {
        script.set(scene.script);
        let received = runtime.block_on(client::ask(clients))?;
        let token = planes.control().admin_token().expose();
        let record = runtime.block_on(client::record(admin, token, &received.call_id))?;
        let story = Story { number: index + 1, scene, received: &received, record: &record };
        println!("\n{}", story.tell(style)?);
    }
    println!("{}", style.quiet("Next: luthien up --help, and README.md for the configuration."));
    Ok(())
}
